//! What may happen at an operation, and how it is made to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use banister::{
    cluster::{Cluster, HostName, quorum},
    practice::{
        Fault, Practice,
        host::Power,
        tap::{Change, Reply, Tap},
        world::World,
    },
};
use etcd_client::proto::PbPutRequest;
use tokio::sync::{Notify, watch};

use super::Stage;

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// Everything that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// The wizard is killed before the operation.
    KilledBefore,
    /// It took effect, and the wizard is killed before it hears of it.
    KilledDuring,
    /// The wizard has heard of it, and is killed at its next breath.
    KilledAfter,
    /// The same as during, and the growth is taken back instead of finished.
    KilledAndTakenBack,
    /// The same as during; the growth is finished, and taken back then.
    KilledFinishedAndTakenBack,
    /// The line breaks: it took effect, nobody hears of it.
    Cut,
    /// The same, and the operator tries again at once.
    CutAndRetried,
    /// The target freezes, and thaws half a minute later: slow is not broken.
    Frozen,
    /// The target freezes for longer than anything may take.
    FrozenForLong,
    /// The target reboots right after it took effect.
    Rebooted,
    /// Another member is stopped.
    OtherMemberStopped,
    /// Not a byte is free on the target.
    DiskFull,
    /// The operator's disk is full from that line of the journal on.
    NoRoomForJournal,
    /// The operator's directory for backups cannot be made.
    NoPlaceForBackup,
}

/// How a disturbed run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    Killed,
    Failed,
    Well,
}

impl Strike {
    pub const ALL: &[Self] = &[
        Self::KilledBefore,
        Self::KilledDuring,
        Self::KilledAfter,
        Self::KilledAndTakenBack,
        Self::KilledFinishedAndTakenBack,
        Self::Cut,
        Self::CutAndRetried,
        Self::Frozen,
        Self::FrozenForLong,
        Self::Rebooted,
        Self::OtherMemberStopped,
        Self::DiskFull,
        Self::NoRoomForJournal,
        Self::NoPlaceForBackup,
    ];

    /// How often it can strike at a step: at every operation, at every line of its journal, or at what it fetches.
    pub fn times(self, stage: &Stage) -> usize {
        match self {
            Self::NoRoomForJournal => stage.lines,
            Self::NoPlaceForBackup => usize::from(stage.step == "backup.snapshot"),
            _ => stage.changes,
        }
    }

    /// Whether the second run walks all steps up to the one that was struck; the others go on with that one, since what they
    /// leave is compared with what an undisturbed walk leaves, and that is what the next steps see.
    pub fn walks_all(self) -> bool {
        matches!(self, Self::KilledDuring | Self::Rebooted)
    }

    /// Whether it strikes on the operator's own machine.
    pub fn at_home(self) -> bool {
        matches!(self, Self::NoRoomForJournal | Self::NoPlaceForBackup)
    }

    /// How the disturbed run ends in some case at least, if the fault is one.
    pub fn expected(self) -> Ended {
        match self {
            Self::KilledBefore
            | Self::KilledDuring
            | Self::KilledAfter
            | Self::KilledAndTakenBack
            | Self::KilledFinishedAndTakenBack => Ended::Killed,
            Self::CutAndRetried | Self::Frozen => Ended::Well,
            _ => Ended::Failed,
        }
    }
}

/// Counts changes.
#[derive(Debug, Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    pub fn changes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Tap for Counter {
    async fn before(&self, _: &Change) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    async fn after(&self, _: &Change) -> Reply {
        Reply::Given
    }
}

/// Strikes once, at one change.
pub struct Striker {
    practice: Practice,
    strike: Strike,
    at: usize,
    seen: AtomicUsize,
    struck: Mutex<Option<Change>>,
    /// The wizard is dead.
    pub killed: Notify,
    /// Whoever still waits for an answer to the dead may go on.
    over: watch::Sender<bool>,
    pub hit: AtomicBool,
    mended: Mutex<Option<Fault>>,
    /// Keys that etcd took meanwhile: none of them may be lost.
    pub acknowledged: Mutex<Vec<String>>,
    /// Moments with fewer voters than quorum that the fault itself does not account for.
    pub lost: Mutex<Vec<String>>,
}

impl Striker {
    pub fn new(practice: &Practice, strike: Strike, at: usize) -> Arc<Self> {
        Arc::new(Self {
            practice: practice.clone(),
            strike,
            at,
            seen: AtomicUsize::new(0),
            struck: Mutex::new(None),
            killed: Notify::new(),
            over: watch::channel(false).0,
            hit: AtomicBool::new(false),
            mended: Mutex::new(None),
            acknowledged: Mutex::default(),
            lost: Mutex::new(Vec::new()),
        })
    }

    /// The run is over: nobody waits for the dead any more, and what broke is repaired.
    pub fn mend(&self) {
        self.over.send_replace(true);
        let cluster = self.practice.cluster.clone();
        if let Some(fault) = self.mended.lock().unwrap().take() {
            self.practice.with(|w| fault.mend(w, &cluster));
        }
    }

    async fn kill(&self) {
        self.killed.notify_one();
        // A server goes on with what it was asked for; a dead client's own call was dropped with it.
        let mut over = self.over.subscribe();
        let _ = over.wait_for(|over| *over).await;
    }

    fn fault(&self, fault: Fault) {
        let cluster = self.practice.cluster.clone();
        self.practice.with(|w| fault.strike(w, &cluster));
        *self.mended.lock().unwrap() = Some(fault);
    }

    /// The power comes back, or the freeze ends, so much later.
    fn back_up(&self, host: &HostName, later: Duration) {
        let (practice, host) = (self.practice.clone(), host.clone());
        tokio::spawn(async move {
            practice.with(|w| w.clock).sleep(later).await;
            practice.with(|w| w.power(&host, Power::Up));
        });
    }

    /// Somebody writes to etcd wherever there is a leader to take it.
    fn write(&self) {
        self.practice.with(|w| {
            let led = w.etcd.clusters.values_mut().filter(|c| c.leader.is_some());
            let Some(cluster) = led.max_by_key(|c| c.members.len()) else { return };
            let mut acknowledged = self.acknowledged.lock().unwrap();
            let key = format!("/live/{:04}", acknowledged.len());
            cluster.store.put(&PbPutRequest {
                key: key.clone().into(),
                value: "taken".into(),
                ..PbPutRequest::default()
            });
            cluster.index += 1;
            acknowledged.push(key);
        });
    }

    fn count_voters(&self, change: &Change) {
        let excused = usize::from(self.hit.load(Ordering::SeqCst));
        self.practice.with(|w| {
            if let Some(why) = short(w, excused) {
                self.lost.lock().unwrap().push(format!("{why} at {}: {}", change.host, change.what));
            }
        });
    }
}

/// Why fewer voters run than quorum wants, `excused` of them aside.
fn short(world: &World, excused: usize) -> Option<String> {
    let cluster = world.etcd.clusters.values().max_by_key(|c| c.members.len())?;
    let voters: Vec<_> = cluster.members.values().filter(|m| !m.learner).collect();
    let runs = |id: u64| {
        world
            .etcd
            .of_member(cluster.id, id)
            .is_some_and(|p| world.hosts.get(&p.host).is_some_and(|h| h.power == Power::Up))
    };
    let running = voters.iter().filter(|m| runs(m.id)).count();
    (running + excused < quorum(voters.len())).then(|| format!("{running} of {} voters run", voters.len()))
}

/// An original other than that host.
fn another(cluster: &Cluster, host: &HostName) -> String {
    cluster.masters.iter().rev().find(|m| m.name != *host).map(|m| m.name.to_string()).unwrap_or_default()
}

#[async_trait]
impl Tap for Striker {
    async fn before(&self, change: &Change) {
        self.count_voters(change);
        self.write();
        if self.seen.fetch_add(1, Ordering::SeqCst) != self.at {
            return;
        }
        self.hit.store(true, Ordering::SeqCst);
        *self.struck.lock().unwrap() = Some(change.clone());
        let host = change.host.to_string();
        match self.strike {
            Strike::KilledBefore => self.kill().await,
            Strike::Frozen | Strike::FrozenForLong => {
                self.fault(Fault::HostHangs { host });
                let long = self.strike == Strike::FrozenForLong;
                self.back_up(&change.host, if long { Duration::from_mins(20) } else { HALF_A_MINUTE });
            }
            Strike::OtherMemberStopped => {
                self.fault(Fault::MemberDown { host: another(&self.practice.cluster, &change.host) });
            }
            Strike::DiskFull => self.fault(Fault::DiskFull { host }),
            _ => {}
        }
    }

    async fn after(&self, change: &Change) -> Reply {
        self.count_voters(change);
        self.write();
        if self.struck.lock().unwrap().take_if(|s| s == change).is_none() {
            return Reply::Given;
        }
        match self.strike {
            Strike::KilledDuring | Strike::KilledAndTakenBack | Strike::KilledFinishedAndTakenBack => self.kill().await,
            Strike::KilledAfter => self.killed.notify_one(),
            Strike::Cut | Strike::CutAndRetried => return Reply::Lost,
            Strike::Rebooted => {
                self.fault(Fault::HostDown { host: change.host.to_string() });
                self.back_up(&change.host, HALF_A_MINUTE);
            }
            _ => {}
        }
        Reply::Given
    }
}
