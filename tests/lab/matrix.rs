//! The fault matrix on real hosts: one growth that is interrupted again and again, each interruption followed by the next run,
//! and in the end everything is as after a growth that nothing happened to.
//!
//! [`FIXED`] is what CI runs. `tests/lab/run --all-faults` strikes at every action of the growth with every fault, a growth a
//! fault.

use std::{collections::BTreeMap, process::Command, thread, time::Duration};

use super::{
    banister::{Desk, GROW, GROW_ALL, Ran},
    hosts::{Lab, say, wait_for},
    proofs::{assert_grown, assert_nothing_left, assert_nothing_left_by, differences},
    writer::Writer,
};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGKILL of the wizard.
    Killed,
    /// The host's network is unplugged until the run has ended.
    Cut(&'static str),
    /// Every process of the host stands still for so many seconds.
    Frozen(&'static str, u64),
    /// The host reboots.
    Rebooted(&'static str),
    /// That member is stopped until the run has ended.
    Stopped(&'static str),
    /// There is no room below that directory of the host.
    Full(&'static str, &'static str),
    /// Files of the operator's end after so many KiB: the journal has no room.
    NoRoomForJournal(u32),
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The step is about to act.
    Running,
    /// Its action of that number runs.
    Act(usize),
    /// Its action of that number is done.
    Done(usize),
    /// The action with these words in its title runs.
    Titled(&'static str),
}

use At::{Act, Done, Running, Titled};
use Fault::{Cut, Frozen, Full, Killed, NoRoomForJournal, Rebooted, Stopped};

/// The fixed set: every fault at every kind of step that it can hurt, in the order of the walk. At one step the fault that
/// gets furthest, or that the step may survive, comes last: what is done by then is not done again.
const FIXED: &[(&str, At, Fault)] = &[
    // The survey alone is longer: nothing is done at all.
    ("backup.files", Running, NoRoomForJournal(1)),
    ("backup.files", Running, Killed),
    ("backup.files", Running, Full("master02", "/root/backup")),
    ("backup.files", Act(1), Cut("master03")),
    ("backup.files", Act(1), Killed),
    ("backup.snapshot", Running, Killed),
    ("backup.snapshot", Act(1), Killed),
    ("backup.snapshot", Act(1), Frozen("master01", 5)),
    ("etcd.host@master04", Running, Killed),
    ("etcd.host@master04", Act(1), Cut("master04")),
    ("etcd.install@master04", Running, Killed),
    ("etcd.install@master04", Act(1), Killed),
    ("etcd.install@master04", Done(2), Killed),
    ("etcd.install@master04", Act(2), Cut("master04")),
    ("etcd.install@master04", Act(2), Frozen("master04", 5)),
    ("etcd.host@master05", Running, Rebooted("master05")),
    ("etcd.install@master05", Running, Full("master05", "/usr/local/bin")),
    ("etcd.install@master05", Act(2), Rebooted("master05")),
    ("etcd.certs@master01", Running, Killed),
    ("etcd.certs@master01", Act(1), Killed),
    ("etcd.certs@master01", Act(1), Cut("master01")),
    ("etcd.certs@master01", Running, Stopped("master03")),
    ("etcd.certs@master02", Act(1), Killed),
    ("etcd.certs@master02", Act(1), Frozen("master02", 5)),
    ("etcd.certs@master03", Running, Rebooted("master03")),
    ("etcd.certs@master03", Act(1), Killed),
    ("etcd.joiner-certs@master04", Running, Killed),
    ("etcd.joiner-certs@master04", Act(1), Killed),
    ("etcd.joiner-certs@master04", Act(1), Cut("master04")),
    ("etcd.rehearse@master04", Running, Killed),
    ("etcd.join@master04", Running, Stopped("master02")),
    ("etcd.join@master04", Titled("add member"), Killed),
    ("etcd.join@master04", Act(1), Cut("master04")),
    ("etcd.join@master04", Running, Killed),
    ("etcd.promote@master04", Running, Frozen("master04", 5)),
    ("etcd.joiner-certs@master05", Act(1), Killed),
    ("etcd.joiner-certs@master05", Running, Stopped("master02")),
    ("etcd.rehearse@master05", Running, Cut("master05")),
    ("etcd.join@master05", Running, NoRoomForJournal(4)),
    ("etcd.join@master05", Titled("add member"), Killed),
    ("etcd.join@master05", Act(1), Killed),
    ("etcd.promote@master05", Running, Killed),
    ("etcd.conf", Act(1), Killed),
    ("etcd.conf", Running, Stopped("master03")),
];

/// The same for chapters 3 to 6, on Kubernetes.
const KUBERNETES: &[(&str, At, Fault)] = &[
    ("kube.trees@master04", Act(1), Killed),
    ("kube.trees@master05", Running, Rebooted("master05")),
    ("kube.trees@master05", Act(1), Cut("master05")),
    ("kube.addresses@master05", Act(2), Killed),
    ("apiserver.cert", Running, NoRoomForJournal(4)),
    // The manifest is there, the apiserver not a new one yet.
    ("apiserver.rollout@master01", Act(2), Killed),
    ("apiserver.rollout@master02", Running, Stopped("master03")),
    ("apiserver.rollout@master03", Act(1), Killed),
    ("apiserver.rollout@master03", Act(1), Frozen("master03", 5)),
    ("kube.pki@master04", Act(1), Killed),
    ("calico.secret", Act(2), Killed),
    ("calico.endpoints", Act(3), Cut("master02")),
    ("kube.start", Running, Killed),
    ("calico.pods", Act(1), Killed),
    ("workers.nginx", Act(1), Killed),
    ("workers.nginx", Act(2), Cut("node02")),
];

impl At {
    /// Whether a line of a run's says that this is the moment.
    fn is(self, step: &str, line: &str) -> bool {
        let Some((_, said)) = line.split_once(&format!(" {step}: ")) else { return false };
        let act = |n: usize| said.starts_with(&format!("act {n}/"));
        match self {
            Running => said == "running",
            Act(n) => act(n) && !said.contains(" done in "),
            Done(n) => act(n) && said.contains(" done in "),
            Titled(words) => said.starts_with("act ") && said.contains(words) && !said.contains(" done in "),
        }
    }
}

/// A run that is struck there; whether it was. One that gets past that step is ended: the next ones have something left to
/// strike at. `grow` is the command, up to the risk.
fn struck(lab: &Lab, desk: &Desk, grow: &[&str], step: &str, at: At, fault: Fault) -> (bool, Ran) {
    let arguments = [grow, &["all", "--on-failure", "stop"]].concat();
    let (mut hit, mut thaw) = (false, None);
    let limit = if let NoRoomForJournal(kib) = fault { Some(kib) } else { None };
    let mut reached = false;
    let mut past = |line: &str| {
        let mine = line.contains(&format!(" {step}: "));
        reached |= mine;
        reached && !mine && line.ends_with(": running")
    };
    let ran = desk.until_limited(&arguments, &lab.cluster_file(), limit, |line, run| {
        // What it survived is not to hide what comes next.
        if past(line) {
            return true;
        }
        if hit {
            return false;
        }
        hit = limit.is_none() && at.is(step, line);
        if !hit {
            return false;
        }
        if fault == Killed {
            return true;
        }
        // It waits meanwhile, as it would not have got far in the moment that a real accident takes.
        signal("STOP", run);
        match fault {
            Killed | NoRoomForJournal(_) => {}
            Cut(host) => drop(lab.lab(["cut", host])),
            Frozen(host, seconds) => {
                lab.lab(["freeze", host]);
                let state = lab.state().to_owned();
                thaw = Some(thread::spawn(move || {
                    thread::sleep(Duration::from_secs(seconds));
                    super::hosts::lab_at(&state, &["thaw", host]);
                }));
            }
            Rebooted(host) => drop(lab.lab(["reboot", host])),
            Stopped(host) => drop(lab.on(host, "systemctl stop etcd")),
            Full(host, dir) => {
                drop(lab.on(
                    host,
                    &format!("[ -d {dir} ] || install -d -m 0700 {dir}; mount -t tmpfs -o size=16k tmpfs {dir}"),
                ));
            }
        }
        signal("CONT", run);
        false
    });
    if let Some(thaw) = thaw {
        thaw.join().expect("thawed");
    }
    (hit || limit.is_some(), ran)
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(sent.is_ok_and(|s| s.success()), "SIG{name} to {process}");
}

/// Repairs it as an engineer would, and waits until the cluster is well.
fn mend(lab: &Lab, desk: &Desk, fault: Fault) {
    match fault {
        Cut(host) => drop(lab.lab(["heal", host])),
        Stopped(host) => drop(lab.on(host, "systemctl start etcd")),
        Full(host, dir) => drop(lab.on(host, &format!("umount {dir}"))),
        Rebooted(host) => wait_for("the host to be up again", Duration::from_mins(1), || {
            let out = lab.try_on(host, "systemctl is-active ssh");
            if out.status.success() { Ok(()) } else { Err(format!("{host} is not up")) }
        }),
        Killed | Frozen(..) | NoRoomForJournal(_) => {}
    }
    // A member that was away first has to find the others again: as an engineer waits for the survey to say so.
    if !matches!(fault, Killed | NoRoomForJournal(_)) {
        wait_for("a survey where nothing blocks", Duration::from_mins(1), || {
            let ran = desk.run(&["survey"], &lab.cluster_file());
            if ran.code == Some(0) { Ok(()) } else { Err(ran.last()) }
        });
    }
}

/// Strikes, mends and tells.
fn interrupt(lab: &Lab, desk: &Desk, grow: &[&str], step: &str, at: At, fault: Fault) -> bool {
    say(format!("{step} {at:?}: {fault:?}"));
    let (hit, ran) = struck(lab, desk, grow, step, at, fault);
    if hit {
        mend(lab, desk, fault);
    } else {
        let about: Vec<_> = ran.said.lines().filter(|l| l.contains(&format!(" {step}: "))).collect();
        say(format!("{step} {at:?}: never struck: {about:#?}"));
    }
    if matches!(fault, NoRoomForJournal(_)) {
        assert_eq!(ran.code, Some(1), "without room for its journal it went on:\n{}", ran.last());
        assert!(ran.said.contains("the journal") && ran.said.contains("cannot be written"), "{}", ran.last());
    }
    // What came before is mended: nothing of it may stop this run.
    assert!(hit || ran.code != Some(4), "{step} {at:?} {fault:?}: refused\n{}", ran.last());
    // A step that only writes files may survive it.
    assert!(
        !hit || matches!(ran.code, None | Some(0 | 1 | 4)),
        "{step} {at:?} {fault:?}: {:?}\n{}",
        ran.code,
        ran.last()
    );
    hit
}

/// The snapshots that masters keep, of whichever member.
fn snapshots(lab: &Lab) -> usize {
    let find = "find /root/backup -name 'etcd-*.db' 2>/dev/null; true";
    lab.masters.iter().map(|m| lab.on(&m.name, find).lines().count()).sum()
}

/// Every file with its type, mode and owner, on every host; what is chance is left out: dates, and which member gave the
/// snapshot.
fn shape(lab: &Lab) -> BTreeMap<String, String> {
    let all = "find /etc /root /usr/local/bin /var/lib/etcd /run/banister* -path /etc/mtab -prune -o -path '/var/lib/etcd/member/*' -prune \
               -o -printf '%y %p %m %u:%g\\n' 2>/dev/null | sed -E 's/banister-[0-9]{8}T[0-9]{6}Z/banister-DATE/; /etcd-[^ ]*[.]db /d' | sort; \
               systemctl is-enabled etcd 2>&1; systemctl is-active etcd 2>&1; hostname; ls -A -I 'systemd-private-*' /tmp /var/tmp";
    lab.all().iter().map(|h| (h.name.clone(), lab.on(&h.name, &format!("{all}; true")))).collect()
}

/// What an undisturbed growth leaves, and every action that it takes: step and number.
fn undisturbed() -> (BTreeMap<String, String>, Vec<(String, usize)>) {
    let (lab, desk) = (Lab::up("3.4.23"), Desk::new());
    let ran = desk.grow(&lab.cluster_file(), "all").with_code(0);
    let act = |line: &str| {
        let (step, said) = line.split_once("] ")?.1.split_once(": ")?;
        let number = said.strip_prefix("act ")?.split_once('/')?.0.parse().ok()?;
        (!said.contains(" done in ")).then(|| (step.to_owned(), number))
    };
    (shape(&lab), ran.said.lines().filter_map(act).collect())
}

/// One growth, struck by each of them in turn; that all did is asserted.
fn interrupt_all(lab: &Lab, desk: &Desk, grow: &[&str], all: &[(&str, At, Fault)]) {
    let strike = |(step, at, fault): &&(&str, At, Fault)| !interrupt(lab, desk, grow, step, *at, *fault);
    let missed: Vec<_> = all.iter().filter(strike).collect();
    assert!(missed.is_empty(), "never struck: {missed:#?}");
}

/// The growth is finished, and nothing tells it from one that nothing happened to.
fn finished(lab: &Lab, desk: &Desk, writer: Writer, expected: &BTreeMap<String, String>) {
    desk.grow(&lab.cluster_file(), "all").with_code(0);
    let written = writer.end();
    assert_grown(lab, &written);
    assert_nothing_left(lab, desk);
    assert!(snapshots(lab) > 0, "no snapshot is kept");
    assert_eq!(differences(expected, &shape(lab)), Vec::<String>::new(), "not as after an undisturbed growth");
}

#[test]
fn one_growth_with_every_kind_of_fault_ends_as_an_undisturbed_one() {
    assert!(FIXED.len() >= 40, "{} combinations", FIXED.len());
    let (expected, _) = undisturbed();
    let (lab, desk) = (Lab::up("3.4.23"), Desk::new());
    let writer = Writer::start(&lab);
    interrupt_all(&lab, &desk, &GROW, FIXED);
    finished(&lab, &desk, writer, &expected);
    say(format!("{} faults in one growth", FIXED.len()));
}

#[test]
fn a_growth_of_kubernetes_with_faults_ends_as_its_peers() {
    let (lab, desk) = (Lab::kubernetes(3, 2, 2), Desk::new());
    let writer = Writer::start(&lab);
    interrupt_all(&lab, &desk, &GROW_ALL, KUBERNETES);
    desk.grow_all(&lab.cluster_file(), "all").with_code(0);
    let written = writer.end();
    written.assert_on_each(&lab, &lab.all_masters());
    lab.check(5);
    assert_nothing_left_by(&lab, &desk, || desk.grow_all(&lab.cluster_file(), "all"));
    say(format!("{} faults in one growth of Kubernetes", KUBERNETES.len()));
}

/// A fault for an action on that host, and whether it strikes once the action is done.
type Maker = fn(&'static str) -> (bool, Fault);

/// Every action × every fault: hours of it. `tests/lab/run --all-faults`.
#[test]
#[ignore = "takes hours; tests/lab/run --all-faults runs it"]
fn every_action_with_every_fault() {
    let (expected, acts) = undisturbed();
    let faults: [Maker; 7] = [
        |_| (false, Killed),
        |_| (true, Killed),
        |h| (false, Cut(h)),
        |h| (false, Frozen(h, 5)),
        |h| (false, Rebooted(h)),
        |h| (false, Stopped(if h == "master03" { "master02" } else { "master03" })),
        |_| (false, NoRoomForJournal(4)),
    ];
    for fault in faults {
        let (lab, desk) = (Lab::up("3.4.23"), Desk::new());
        let writer = Writer::start(&lab);
        let mut hits = 0;
        for (step, number) in &acts {
            let host = step.split_once('@').map_or("master01", |(_, h)| h);
            let host = ["master01", "master02", "master03", "master04", "master05"].into_iter().find(|h| *h == host);
            let (after, fault) = fault(host.unwrap_or("master01"));
            let at = if after { Done(*number) } else { Act(*number) };
            // An action that is done by then is not done again: there is nothing to strike at.
            hits += usize::from(interrupt(&lab, &desk, &GROW, step, at, fault));
        }
        assert!(hits > 0, "{:?} never struck", fault("master01"));
        finished(&lab, &desk, writer, &expected);
        say(format!("{:?}: {hits} of {} actions struck", fault("master01"), acts.len()));
    }
}
