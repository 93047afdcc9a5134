//! The fault matrix on real hosts: one growth that is interrupted again and again, each interruption followed by the next run,
//! and in the end everything is as after a growth that nothing happened to.
//!
//! [`FIXED`] and [`KUBERNETES`] are what CI runs. `tests/lab/run --all-faults` strikes at every action of the growth with every
//! fault, a growth a fault.

mod shape;
pub mod strike;

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use super::{
    banister::{Desk, GROW, GROW_ALL, Ran},
    hosts::{Lab, say},
    proofs::{assert_grown, assert_nothing_left_by, differences},
    writer::Writer,
};
use shape::{shape, snapshots};
use strike::{
    At::{self, Act, Done, Running, Titled},
    Fault::{self, Cut, Frozen, Full, Killed, NoRoomForJournal, Rebooted, Stopped},
    Met, interrupt,
};

/// The fixed set: every fault at every kind of step that it can hurt, in the order of the walk. At one step the fault that
/// gets furthest, or that the step may survive, comes last: what is done by then is not done again.
const FIXED: &[(&str, At, Fault)] = &[
    // The survey alone is longer: nothing is done at all.
    ("backup.files", Running, NoRoomForJournal(1)),
    ("backup.files", Running, Killed),
    ("backup.files", Running, Full("master02", "/root")),
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

/// Which growth is struck.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// Chapters 1 and 2, on etcd alone.
    Etcd,
    /// All of them.
    Kubernetes,
}

/// What an undisturbed growth leaves, and every action that it takes: step and number.
struct Undisturbed {
    shape: BTreeMap<String, String>,
    acts: Vec<(String, usize)>,
}

impl Growth {
    fn lab(self) -> Lab {
        match self {
            Self::Etcd => Lab::up("3.4.23"),
            Self::Kubernetes => Lab::kubernetes(3, 2, 2),
        }
    }

    /// The command, up to the risk.
    fn command(self) -> &'static [&'static str] {
        match self {
            Self::Etcd => &GROW,
            Self::Kubernetes => &GROW_ALL,
        }
    }

    fn grow(self, lab: &Lab, desk: &Desk) -> Ran {
        match self {
            Self::Etcd => desk.grow(&lab.cluster_file(), "all"),
            Self::Kubernetes => desk.grow_all(&lab.cluster_file(), "all"),
        }
    }

    /// Grown once in a process.
    fn undisturbed(self) -> &'static Undisturbed {
        static ETCD: OnceLock<Undisturbed> = OnceLock::new();
        static KUBERNETES: OnceLock<Undisturbed> = OnceLock::new();
        let known = if self == Self::Etcd { &ETCD } else { &KUBERNETES };
        known.get_or_init(|| {
            let (lab, desk) = (self.lab(), Desk::new());
            let ran = self.grow(&lab, &desk).with_code(0);
            let act = |line: &str| {
                let (step, said) = line.split_once("] ")?.1.split_once(": ")?;
                let number = said.strip_prefix("act ")?.split_once('/')?.0.parse().ok()?;
                (!said.contains(" done in ")).then(|| (step.to_owned(), number))
            };
            let acts = ran.said.lines().filter_map(act).collect();
            self.at_rest(&lab);
            Undisturbed { shape: self.shape(&lab), acts }
        })
    }

    fn shape(self, lab: &Lab) -> BTreeMap<String, String> {
        shape(lab, self == Self::Kubernetes)
    }

    /// Everything that comes by itself has come.
    fn at_rest(self, lab: &Lab) {
        if self == Self::Kubernetes {
            lab.check(5);
        }
    }

    /// The growth is finished, and nothing tells it from one that nothing happened to.
    fn finished(self, lab: &Lab, desk: &Desk, writer: Writer) {
        self.grow(lab, desk).with_code(0);
        let written = writer.end();
        match self {
            Self::Etcd => assert_grown(lab, &written),
            Self::Kubernetes => written.assert_on_each(lab, &lab.all_masters()),
        }
        self.at_rest(lab);
        assert_nothing_left_by(lab, desk, || self.grow(lab, desk));
        assert!(snapshots(lab) > 0, "no snapshot is kept");
        let differ = differences(&self.undisturbed().shape, &self.shape(lab));
        assert_eq!(differ, Vec::<String>::new(), "not as after an undisturbed growth");
    }

    /// One growth, struck by each of them in turn; that all did is asserted.
    fn survives(self, faults: &[(&str, At, Fault)]) {
        self.undisturbed();
        let (lab, desk) = (self.lab(), Desk::new());
        let writer = Writer::start(&lab);
        let spared = |(step, at, fault): &&(&str, At, Fault)| {
            interrupt(&lab, &desk, self.command(), (step, *at, *fault), Duration::ZERO) != Met::Struck
        };
        let missed: Vec<_> = faults.iter().filter(spared).collect();
        assert!(missed.is_empty(), "never struck: {missed:#?}");
        self.finished(&lab, &desk, writer);
        say(format!("{} faults in one growth", faults.len()));
    }

    /// One growth, struck by that fault at every action: what is done by then is not done again, and not struck.
    fn survives_everywhere(self, maker: Maker) {
        let acts = &self.undisturbed().acts;
        let (lab, desk) = (self.lab(), Desk::new());
        // Less often than elsewhere: it goes on for half an hour, and more.
        let writer = Writer::every(&lab, Duration::from_millis(50));
        let hosts = ["master01", "master02", "master03", "master04", "master05"];
        let (mut hits, mut done) = (0, "");
        // What is done to etcd is struck at without Kubernetes, in less time.
        let mine = |step: &str| self == Self::Etcd || !step.starts_with("etcd.");
        let acts: Vec<_> = acts.iter().filter(|(step, _)| mine(step)).collect();
        for (step, number) in &acts {
            if step == done {
                continue;
            }
            let named = step.split_once('@').map(|(_, h)| h);
            let workers = if step.starts_with("workers.") { "node02" } else { "master01" };
            let host = hosts.iter().find(|h| Some(**h) == named).copied().unwrap_or(workers);
            let (after, fault) = maker(step, host);
            let at = if after { Done(*number) } else { Act(*number) };
            // The pods of a host that rebooted come back by themselves: nothing else may refuse a run.
            let comes_back = self == Self::Kubernetes && matches!(fault, Rebooted(_));
            let patience = if comes_back { Duration::from_mins(3) } else { Duration::ZERO };
            match interrupt(&lab, &desk, self.command(), (step, at, fault), patience) {
                Met::Struck => hits += 1,
                Met::Done => done = step,
                Met::Passed => {}
            }
        }
        assert!(hits > 0, "never struck");
        self.finished(&lab, &desk, writer);
        say(format!("{hits} of {} actions struck", acts.len()));
    }
}

#[test]
fn one_growth_with_every_kind_of_fault_ends_as_an_undisturbed_one() {
    assert!(FIXED.len() >= 40, "{} combinations", FIXED.len());
    Growth::Etcd.survives(FIXED);
}

#[test]
fn a_growth_of_kubernetes_with_faults_ends_as_an_undisturbed_one() {
    Growth::Kubernetes.survives(KUBERNETES);
}

/// A fault for an action of that step on that host, and whether it strikes once the action is done.
type Maker = fn(&str, &'static str) -> (bool, Fault);

/// Where a step writes.
fn disk(step: &str) -> &'static str {
    match step.split('@').next().unwrap_or_default() {
        "backup.files" | "backup.snapshot" => "/root",
        "etcd.install" => "/usr/local/bin",
        "workers.nginx" => "/opt",
        _ => "/etc",
    }
}

/// Every action × every fault, a growth a fault: hours of it.
macro_rules! everywhere {
    ($($name:ident: $maker:expr;)+) => {
        mod all_faults {
            mod etcd {
                use super::super::*;
                $(#[test] #[ignore = "hours; tests/lab/run --all-faults"] fn $name() { Growth::Etcd.survives_everywhere($maker) })+
            }
            mod kubernetes {
                use super::super::*;
                $(#[test] #[ignore = "hours; tests/lab/run --all-faults"] fn $name() { Growth::Kubernetes.survives_everywhere($maker) })+
            }
        }
    };
}

everywhere! {
    killed_during: |_, _| (false, Killed);
    killed_after: |_, _| (true, Killed);
    cut: |_, host| (false, Cut(host));
    frozen: |_, host| (false, Frozen(host, 5));
    rebooted: |_, host| (false, Rebooted(host));
    stopped: |_, host| (false, Stopped(if host == "master03" { "master02" } else { "master03" }));
    disk_full: |step, host| (false, Full(host, disk(step)));
    no_room_for_journal: |_, _| (false, NoRoomForJournal(4));
}
