//! Which language the program speaks: the flag, then the cluster file, then the locale.

use std::process::Command;

const FILE: &str =
    "cluster: prod\nmasters: [{ name: master01, address: 10.0.0.1 }]\njoin: [{ name: master04, address: 10.0.0.4 }]\n";

/// What the program says, on both outputs, without a word of the locale but the one given.
fn said(args: &[&str], locale: &[(&str, &str)], file: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cluster.yaml"), file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_banister"));
    command.args(args).current_dir(dir.path()).env("HOME", dir.path());
    for name in ["LC_ALL", "LC_MESSAGES", "LANG", "XDG_STATE_HOME", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
    let out = command.envs(locale.iter().copied()).output().unwrap();
    String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap()
}

fn han(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[test]
fn the_locale_chooses_where_nothing_else_does() {
    let report = |locale: &[(&str, &str)]| said(&["report", "cluster.yaml"], locale, FILE);
    assert!(report(&[]).contains("no run of prod is on record"), "{}", report(&[]));
    assert!(report(&[("LANG", "zh_CN.UTF-8")]).contains("没有 prod 的运行记录"));
    assert!(!han(&report(&[("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")])));
}

#[test]
fn the_cluster_file_goes_before_the_locale_and_the_flag_before_both() {
    let chinese = format!("{FILE}lang: zh\n");
    assert!(han(&said(&["report", "cluster.yaml"], &[("LANG", "en_US.UTF-8")], &chinese)));
    assert!(!han(&said(&["report", "cluster.yaml", "--lang", "en"], &[("LANG", "zh_CN.UTF-8")], &chinese)));
    assert!(han(&said(&["--lang", "zh", "report", "cluster.yaml"], &[], &format!("{FILE}lang: en\n"))));
}

#[test]
fn what_is_wrong_with_the_file_and_the_help_are_in_that_language_too() {
    let wrong = said(&["survey", "cluster.yaml", "--lang=zh"], &[], "cluster: prod\nmaster: []\n");
    assert!(wrong.contains("未知的键 `master`") && wrong.contains("`masters`"), "{wrong}");
    let help = said(&["practice", "--help"], &[("LC_MESSAGES", "zh_CN.UTF-8")], FILE);
    assert!(help.contains("用法：") && help.contains("选项") && help.contains("显示帮助"), "{help}");
    assert!(!help.contains("Options") && !help.contains("possible values") && !help.contains("default:"), "{help}");
    assert!(said(&["practice", "--help"], &[], FILE).contains("Print help"));
}
