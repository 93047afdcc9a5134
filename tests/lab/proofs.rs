//! What must hold after a growth, seen by other eyes than the program's own: the lab's checks (openssl, etcdctl), `stat`,
//! `sha256sum`.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{
    banister::{Desk, Ran},
    hosts::{Host, Lab, say},
    writer::Written,
};

/// Which etcd process runs on each host: its id and when it was started.
#[derive(Debug, PartialEq, Eq)]
pub struct Processes(BTreeMap<String, String>);

impl Processes {
    pub fn of(lab: &Lab, hosts: &[Host]) -> Self {
        let process = "systemctl show etcd -p MainPID -p NRestarts -p ExecMainStartTimestampMonotonic";
        Self(hosts.iter().map(|h| (h.name.clone(), lab.on(&h.name, process))).collect())
    }
}

/// Every file that a growth may touch, on every host: type, mode, owner, size, times and content.
pub fn listing(lab: &Lab) -> BTreeMap<String, String> {
    let places = "/etc /root /usr/local/bin /var/lib/etcd -path '/etc/mtab' -o -path '/var/lib/etcd/member/*'";
    let all = format!(
        "find {places} -prune -o -printf '%y %p %m %u:%g %s %T@ %l\\n' | sort;
         find {places} -prune -o -type f -exec sha256sum {{}} + | sort;
         systemctl list-unit-files --no-pager --no-legend etcd.service firewalld.service; hostname; ls -A -I 'systemd-private-*' /var/tmp"
    );
    lab.all().iter().map(|h| (h.name.clone(), lab.on(&h.name, &all))).collect()
}

/// The lines that differ between two listings.
pub fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let mut all = Vec::new();
    for (host, old) in before {
        let new = &after[host];
        all.extend(old.lines().filter(|l| !new.lines().any(|n| n == *l)).map(|l| format!("{host}: - {l}")));
        all.extend(new.lines().filter(|l| !old.lines().any(|o| o == *l)).map(|l| format!("{host}: + {l}")));
    }
    all
}

/// Everything that is true of a grown cluster: members, certificates as files and as served, modes, owners,
/// `--initial-cluster`, health, the seed's keys; every acknowledged write on all five; no CA key on the joiners.
pub fn assert_grown(lab: &Lab, written: &Written) {
    lab.lab(["check-etcd", "5"]);
    written.assert_on_each(lab, &lab.all_masters());
    for joiner in &lab.joiners {
        let keys = lab.on(&joiner.name, "find / -xdev -name 'ca*.key'");
        assert_eq!(keys, "", "{}: a CA's key is on it", joiner.name);
    }
    for host in lab.all_masters() {
        // Every private key of etcd, the kept old ones too, is nobody's but its owner's.
        let open = lab.on(&host.name, "find /etc/etcd /root/backup -name '*.key' -perm /077 2>/dev/null; true");
        assert_eq!(open, "", "{}: keys that others can read", host.name);
        let scratch = lab.on(&host.name, "find /tmp /var/tmp -name '*banister*'");
        assert_eq!(scratch, "", "{}: scratch files are left", host.name);
    }
    say(format!(
        "five voters, {} acknowledged writes on each, longest stall {} ms, {} writes tried again",
        written.acknowledged.len(),
        written.stall.as_millis(),
        written.failed
    ));
}

/// A second run of chapters 1 and 2 finds nothing to do, and changes nothing on any host.
pub fn assert_nothing_left(lab: &Lab, desk: &Desk) {
    assert_nothing_left_by(lab, desk, || desk.grow(&lab.cluster_file(), "all"));
}

/// That run finds nothing to do, and changes nothing on any host.
pub fn assert_nothing_left_by(lab: &Lab, desk: &Desk, run: impl FnOnce() -> Ran) {
    let (files, processes) = (listing(lab), all_processes(lab));
    let local = fetched(desk);
    run().with_code(0).saying("nothing to do");
    assert_eq!(differences(&files, &listing(lab)), Vec::<String>::new(), "the second run changed files");
    assert_eq!(processes, all_processes(lab), "the second run restarted something");
    assert_eq!(local, fetched(desk), "the second run fetched something");
}

fn all_processes(lab: &Lab) -> Processes {
    let hosts: Vec<_> = lab.all_masters().into_iter().cloned().collect();
    Processes::of(lab, &hosts)
}

/// Fetched snapshots on the operator's machine.
fn fetched(desk: &Desk) -> Vec<PathBuf> {
    let data = desk.path().join("data/banister/lab");
    let mut found: Vec<_> =
        files_below(&data).into_iter().filter(|p| p.extension().is_some_and(|e| e == "db")).collect();
    found.sort();
    found
}

fn files_below(dir: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().map(|e| e.expect("an entry").path());
    entries.flat_map(|p| if p.is_dir() { files_below(&p) } else { vec![p] }).collect()
}

/// One snapshot was fetched, for the operator alone; the journal is theirs alone too; and no private key is in what a run
/// says or leaves behind.
pub fn assert_desk_is_tidy(desk: &Desk, said: &[&Ran]) {
    let snapshots = fetched(desk);
    assert_eq!(snapshots.len(), 1, "fetched snapshots: {snapshots:?}");
    let all = files_below(desk.path());
    assert!(all.iter().any(|p| p.extension().is_some_and(|e| e == "jsonl")), "no journal among {all:?}");
    for path in &all {
        let mode = path.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "mode of {}", path.display());
    }
    for text in written(desk).into_iter().chain(said.iter().map(|r| r.said.clone())) {
        assert!(!text.contains("PRIVATE KEY"), "a private key was written or printed");
    }
}

/// Every text that runs have left on the desk: all files but the fetched snapshots.
pub fn written(desk: &Desk) -> Vec<String> {
    let snapshots = fetched(desk);
    let texts = files_below(desk.path()).into_iter().filter(|p| !snapshots.contains(p));
    texts.map(|p| std::fs::read_to_string(p).expect("text")).collect()
}
