//! Three to five on Kubernetes and all the way back, beside the runbook's own commands on the same lab.

use std::{collections::BTreeMap, time::Instant};

use super::{outage, secrets::Secrets};
use crate::{
    banister::{Desk, GROW_ALL, Ran},
    bar::{self, Figures},
    hosts::{Lab, say},
    proofs::{Processes, assert_desk_is_tidy, assert_nothing_left_by, differences, written},
    reader::Reader,
    writer::Writer,
};

#[test]
fn three_grow_to_five_and_back_beside_the_runbooks_commands() {
    let (lab, desk) = (Lab::kubernetes(3, 2, 2), Desk::new());
    let pristine = settings(&lab);
    let figures = grows(&lab, &desk);
    let writer = Writer::start(&lab);
    outage::two_of_five_down(&lab, &writer);
    lab.check(5);
    is_taken_back(&lab, &desk, writer, &pristine);
    drop(lab);

    let lab = Lab::kubernetes(3, 2, 2);
    let script = bar::runbook(&lab);
    lab.check(5);
    // Shown, not judged: what else the machine does meanwhile is in both.
    figures.report("banister, all chapters");
    script.report("runbook's script, all chapters");
}

/// Everything under a writer and a reader.
fn grows(lab: &Lab, desk: &Desk) -> Figures {
    let file = lab.cluster_file();
    let before = Processes::of(lab, &lab.masters);
    let (writer, reader) = (Writer::start(lab), Reader::start(lab, "node01"));
    let mut etcd_grown = None;
    let ran = desk.until(&[&GROW_ALL[..], &["all"]].concat(), &file, |line| {
        if line.contains("] kube.") {
            etcd_grown.get_or_insert_with(Instant::now);
        }
        false
    });
    let ran = ran.with_code(0);
    reader.end();
    let acknowledged = writer.end();
    lab.check(5);
    acknowledged.assert_on_each(lab, &lab.all_masters());
    assert_eq!(before, Processes::of(lab, &lab.masters), "etcd was restarted on an original");
    assert_desk_is_tidy(desk, &[&ran]);
    for host in lab.all_masters() {
        let newest = lab.joiners[1].address;
        let files = "/etc/calico/calicoctl.cfg /etc/cni/net.d/10-calico.conflist";
        let told = lab.on(&host.name, &format!("grep --files-with-matches --fixed-strings {newest} {files} | wc -l"));
        assert_eq!(told, "2\n", "{}: calico's own settings do not know the last member", host.name);
    }

    assert_nothing_left_by(lab, desk, || desk.grow_all(&file, "all"));
    is_reported(lab, desk, &ran);
    Figures::of(ran.took, &acknowledged, Some(etcd_grown.expect("chapter 3")))
}

/// The report says it all and no secret; neither does anything else that was printed or kept.
fn is_reported(lab: &Lab, desk: &Desk, ran: &Ran) {
    let file = lab.cluster_file();
    let markdown = desk.run(&["report"], &file).with_code(0);
    for host in lab.all() {
        assert!(markdown.said.contains(&host.name), "the report does not name {}", host.name);
    }
    let manifest = "master03:/etc/kubernetes/manifests/kube-apiserver.json";
    let new = format!("https://{}:2379", lab.joiners[1].address);
    let markdown = ["confirmed by --approve", "```diff", manifest, "- proven: ", "## What can still be taken back"]
        .into_iter()
        .fold(markdown, Ran::saying);
    let (_, diff) = markdown.said.split_once(manifest).expect("the diff");
    let (diff, _) = diff.split_once("\n```\n").expect("its end");
    let added: Vec<_> = diff.lines().filter(|l| l.starts_with('+')).collect();
    assert!(added.iter().any(|l| l.contains("--etcd-servers=") && l.contains(&new)), "{diff}");

    let json = desk.run(&["report", "--json"], &file).with_code(0);
    let report: serde_json::Value = serde_json::from_str(&json.said).expect("JSON");
    let steps = report["runs"][0]["steps"].as_array().expect("steps");
    assert!(steps.len() > 30, "{} steps", steps.len());
    for step in steps {
        let name = &step["step"];
        assert!(step["milliseconds"].is_u64(), "{name}: no duration");
        assert!(step["error"].is_null(), "{name}: {}", step["error"]);
        assert!(step["proofs"].as_array().is_some_and(|p| !p.is_empty()), "{name}: no proof");
    }
    let undo = report["undo"].as_array().expect("what can be taken back");
    assert!(undo.iter().any(|u| u[0] == "etcd.join@master04"), "{undo:?}");

    let secrets = Secrets::of(lab);
    for (what, text) in [("the run", &ran.said), ("the report", &markdown.said), ("the report's JSON", &json.said)] {
        secrets.assert_none_in(what, text);
    }
    for text in written(desk) {
        secrets.assert_none_in("what the run wrote down", &text);
    }
}

/// Undo, under a writer: three masters, as they were, nothing lost; then there is nothing to undo.
fn is_taken_back(lab: &Lab, desk: &Desk, writer: Writer, pristine: &BTreeMap<String, String>) {
    let file = lab.cluster_file();
    let undo = ["undo", "--headless", "--approve", "all"];
    let reader = Reader::start(lab, "node01");
    desk.run(&undo, &file).with_code(0);
    reader.end();
    let acknowledged = writer.end();
    lab.check(3);
    let originals: Vec<_> = lab.masters.iter().collect();
    acknowledged.assert_on_each(lab, &originals);
    assert_eq!(differences(pristine, &settings(lab)), Vec::<String>::new(), "not as before the growth");
    desk.run(&undo, &file).with_code(0).saying("nothing to do");
    desk.run(&["report"], &file).with_code(0).saying("Nothing: every step was taken back");
    say("three masters again, every setting as before");
}

/// Every setting that a growth may change and an undo must bring back, on every host: mode, owner and content of files,
/// units that are switched on, users, names. Not the backups, and not what hosts keep for themselves: the last version of
/// users and groups, docker's own key, the mode that hostnamectl gives its file.
fn settings(lab: &Lab) -> BTreeMap<String, String> {
    let files = "find /etc /opt /root /usr/local /usr/bin/kube* /var/lib/calico /var/lib/cni /var/lib/kubelet/config.yaml \
        -path /root/backup -prune -o -path /etc/mtab -prune -o -path '/etc/*-' -prune -o -path /etc/docker/key.json -prune \
        -o -path /etc/hostname -prune -o ! -type d -printf '%p %m %u:%g %l\\n' \
        -type f -exec sha256sum {} + 2>/dev/null | sort";
    let rest = "systemctl list-unit-files --state=enabled --no-legend --no-pager; systemctl is-active docker etcd firewalld kubelet; \
        hostname; getent passwd";
    lab.all().iter().map(|h| (h.name.clone(), lab.on(&h.name, &format!("{files}; {rest}; true")))).collect()
}
