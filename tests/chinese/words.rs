//! Texts in Chinese that no screen of the scenes shows.

use std::path::Path;

use banister::{
    cluster::{HostName, Voters, file},
    pki::PkiError,
    remote::RemoteError,
    runbook::texts::{self, KINDS},
};
use unicode_width::UnicodeWidthStr as _;

use crate::chinese;

fn han(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[test]
fn every_step_has_its_chinese_words_and_they_fit() {
    chinese();
    let read = |lang: &str| {
        let path = format!("{}/assets/steps.{lang}.yaml", env!("CARGO_MANIFEST_DIR"));
        serde_yaml::from_str::<serde_yaml::Mapping>(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let (english, chinese) = (read("en"), read("zh"));
    for kind in KINDS {
        let words = texts::text(kind);
        let title = texts::title(kind, Some(&HostName::new("master04")));
        assert!(title.width() <= texts::TITLE_COLUMNS && !title.contains('…'), "{kind}: {title}");
        for text in [&words.title, &words.what, &words.why, &words.runbook, &words.undo.until, &words.undo.cost] {
            assert!(han(text) && !text.contains('\n') && !text.contains('！'), "{kind}: {text}");
        }
        let titles = [&english, &chinese].map(|f| f[kind]["title"].as_str().unwrap().contains("{host}"));
        assert_eq!(titles[0], titles[1], "{kind}");
        assert_eq!(english[kind]["expected_seconds"], chinese[kind]["expected_seconds"], "{kind}");
        assert!(english[kind]["what"] != chinese[kind]["what"], "{kind}");
    }
    assert_eq!(english.len(), chinese.len());
}

#[test]
fn errors_are_chinese_and_keep_what_they_name() {
    chinese();
    let lost = RemoteError::Lost { host: HostName::new("master04"), what: "systemctl start etcd.service".into() };
    assert_eq!(lost.to_string(), "master04：在“systemctl start etcd.service”期间连接断开；查看之前无从知道它的结果");
    assert_eq!(PkiError::NoCertificate.to_string(), "其中没有 PEM 证书；请检查路径指向的是证书，而不是密钥或请求");
    let problems = file::parse("cluster: prod\nlang: fr\n", Path::new("cluster.yaml"), None).unwrap_err().to_string();
    assert!(problems.contains("`lang` 的值是 `fr`，banister 没有这种语言"), "{problems}");
    assert!(problems.lines().all(han), "{problems}");
}

#[test]
fn counts_have_no_plural() {
    chinese();
    let voters = |total| Voters { total, healthy: total, learners: 1 };
    assert_eq!(voters(1).sentence(), "1 个 voter，法定人数 1，可失去 0，1 个 learner");
    assert_eq!(voters(3).sentence(), "3 个 voter，法定人数 2，可失去 1，1 个 learner");
    assert_eq!(voters(3).if_one_dies(), "仍可服务");
}
