//! From a cluster file to a survey: the one way to the hosts, for every command.

use std::sync::{Arc, atomic::AtomicBool};

use async_trait::async_trait;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{Task, history, paths};
use crate::{
    cluster::{Cluster, EtcdPair, HostName},
    engine::{
        Engine, Event, Journal, Lease, Operator,
        act::handshake,
        journal::{JournalError, Record},
        lock::Claim,
        step::SharedStep,
        undo,
    },
    practice::Practice,
    remote::{
        Asker, SharedRemote, clean,
        etcd::{EtcdAccess, EtcdApi, Membership},
        ssh::{ConnectState, Connected, SshRemote},
    },
    runbook::{self, Ctx},
    survey::{
        Finding, Observed, Severity,
        collect::{EtcdLook, SurveyProgress, survey},
    },
};

/// The hosts that are meant.
#[derive(Clone)]
pub(super) enum Hosts {
    /// Those of a cluster file, over SSH.
    Real(Arc<Cluster>),
    /// Those of a practice cluster, in memory.
    Practice(Practice),
}

impl Hosts {
    /// The cluster file that goes with them.
    pub fn cluster(&self) -> &Arc<Cluster> {
        match self {
            Self::Real(cluster) => cluster,
            Self::Practice(practice) => &practice.cluster,
        }
    }

    /// Whether they live in memory.
    pub fn practice(&self) -> bool {
        matches!(self, Self::Practice(_))
    }
}

/// A way to the hosts of one cluster file.
#[derive(Clone)]
pub(super) struct Session {
    pub cluster: Arc<Cluster>,
    line: Line,
    remote: SharedRemote,
}

/// How the hosts are connected to.
#[derive(Clone)]
enum Line {
    Ssh(SshRemote),
    /// Nothing to connect to: the hosts are here, and this is told of them.
    Memory(Option<UnboundedSender<(HostName, ConnectState)>>),
}

/// What a look at everything gave.
#[derive(Clone)]
pub(super) struct Looked {
    pub observed: Arc<Observed>,
    /// etcd's API, when an original's client pair could be read.
    pub etcd: Option<Arc<EtcdApi>>,
}

impl Session {
    /// Dials nothing yet.
    pub fn new(
        hosts: &Hosts,
        asker: Arc<dyn Asker>,
        progress: Option<UnboundedSender<(HostName, ConnectState)>>,
    ) -> Self {
        let cluster = hosts.cluster().clone();
        let (line, remote): (Line, SharedRemote) = match hosts {
            Hosts::Real(_) => {
                let ssh = SshRemote::new(&cluster, asker, progress);
                (Line::Ssh(ssh.clone()), Arc::new(ssh))
            }
            Hosts::Practice(practice) => (Line::Memory(progress), Arc::new(practice.clone())),
        };
        Self { cluster, line, remote }
    }

    /// Connects to every host at once. Who could not be is told by the survey, together with everything else.
    async fn connect(&self) {
        match &self.line {
            Line::Ssh(ssh) => {
                let _ = ssh.connect_all().await;
            }
            Line::Memory(None) => {}
            Line::Memory(Some(progress)) => {
                for node in self.cluster.hosts() {
                    let up = Connected {
                        address: format!("{}:22", node.address),
                        user: "root".into(),
                        method: "practice".into(),
                        host_key: trs!("none: this host is practice").into(),
                        via: None,
                        took: std::time::Duration::ZERO,
                    };
                    let _ = progress.send((node.name.clone(), ConnectState::Up(up)));
                }
            }
        }
    }

    /// The door to the hosts.
    pub fn remote(&self) -> &SharedRemote {
        &self.remote
    }

    /// Connects to every host at once, then looks at all of them and at etcd. Changes nothing.
    pub async fn look(&self, progress: UnboundedSender<SurveyProgress>) -> Looked {
        self.connect().await;
        let (etcd, why) = match self.etcd().await {
            Ok(api) => (Some(api), String::new()),
            Err(why) => (None, why),
        };
        let door = Door { api: etcd.clone(), why };
        let observed = survey(&self.cluster, self.remote.clone(), &door, progress).await;
        Looked { observed: Arc::new(observed), etcd }
    }

    /// etcd's API with the client pair of the first original that has a good one.
    async fn etcd(&self) -> Result<Arc<EtcdApi>, String> {
        let mut reasons = Vec::new();
        for master in &self.cluster.masters {
            match handshake::client(&self.cluster, &self.remote, master, EtcdPair::Client).await {
                Ok(tls) => {
                    let access = EtcdAccess {
                        tls,
                        client_port: self.cluster.etcd.client_port,
                        originals: self.cluster.masters.iter().map(|m| m.name.clone()).collect(),
                        addresses: self.cluster.all_masters().map(|n| (n.name.clone(), n.address)).collect(),
                    };
                    return Ok(Arc::new(EtcdApi::new(self.remote.clone(), access)));
                }
                Err(e) => reasons.push(e.to_string()),
            }
        }
        Err(reasons.join("; "))
    }

    /// What stops the task. Taking back is also the way out of a state that must not grow: only what makes it impossible
    /// stops it.
    pub fn blocking(looked: &Looked, task: Task) -> Vec<Finding> {
        match task {
            Task::Grow { .. } => looked.observed.blocking(),
            Task::TakeBack => Vec::new(),
        }
    }

    /// The steps of the task, for what was seen.
    pub async fn steps(
        &self,
        looked: &Looked,
        etcd: &Arc<EtcdApi>,
        task: Task,
    ) -> Result<(Arc<Ctx>, Vec<SharedStep>), String> {
        let stamp = runbook::stamp::choose(&self.cluster, &*self.remote, jiff::Timestamp::now()).await;
        let cx = Arc::new(Ctx {
            cluster: self.cluster.clone(),
            remote: self.remote.clone(),
            etcd: etcd.clone(),
            observed: looked.observed.clone(),
            stamp,
            local_dir: paths::backups(&self.cluster),
        });
        let steps = match task {
            Task::Grow { .. } => runbook::steps(&cx),
            Task::TakeBack => {
                let begun = undo::begun(&history::latest(&self.cluster)?);
                undo::steps(&begun, etcd, runbook::kind, runbook::texts::title)
            }
        };
        Ok((cx, steps))
    }

    /// An engine whose run has its first line in the journal.
    pub fn engine(
        &self,
        looked: &Looked,
        cx: &Ctx,
        operator: Arc<dyn Operator>,
        events: UnboundedSender<Event>,
        stop: Arc<AtomicBool>,
    ) -> Result<Engine, JournalError> {
        let now = jiff::Timestamp::now();
        let name = format!("{}-{}.jsonl", now.strftime("%Y%m%dT%H%M%S%.3fZ"), std::process::id());
        let mut journal = Journal::create(&paths::journals(&self.cluster).join(&name))?;
        journal.write(Record::Run {
            cluster: self.cluster.name.clone(),
            // Found again from anywhere.
            file: std::path::absolute(&self.cluster.path).unwrap_or_else(|_| self.cluster.path.clone()),
            operator: operator_name(),
            banister: env!("CARGO_PKG_VERSION").into(),
            stamp: cx.stamp.clone(),
        })?;
        journal.write(survey_record(&looked.observed))?;
        // The first of the file: a cluster file has one at least.
        let lock = match self.cluster.masters.first() {
            Some(first) => {
                let run = format!("{} {name}", self.cluster.name);
                Lease::of(Claim::new(self.remote.clone(), first.name.clone(), &operator_name(), &run))
            }
            None => Lease::none(),
        };
        Ok(Engine { remote: self.remote.clone(), etcd: cx.etcd.clone(), operator, events, journal, lock, stop })
    }
}

fn survey_record(observed: &Observed) -> Record {
    let etcd = match &observed.etcd {
        Ok(seen) => seen.voters().sentence(),
        Err(why) => why.clone(),
    };
    let word = |s: Severity| match s {
        Severity::Block => "blocking",
        Severity::Warn => "warning",
        Severity::Info => "note",
    };
    let finding = |f: &Finding| {
        let host = f.host.as_ref().map(|h| format!("{h}: ")).unwrap_or_default();
        clean::line(&format!("{}: {host}{}", word(f.severity), f.what))
    };
    Record::Survey { etcd: clean::line(&etcd), findings: observed.findings.iter().map(finding).collect() }
}

/// `user@host` of the machine the program runs on.
pub(super) fn operator_name() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".into());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    clean::line(&format!("{user}@{}", host.trim()))
}

/// A receiver nobody reads, for a look whose progress is of no interest.
pub(super) fn unheard<T>() -> UnboundedSender<T> {
    mpsc::unbounded_channel().0
}

/// etcd's API, or why there is none.
struct Door {
    api: Option<Arc<EtcdApi>>,
    why: String,
}

#[async_trait]
impl EtcdLook for Door {
    async fn look(&self) -> Result<Membership, String> {
        match &self.api {
            Some(api) => api.look().await.map_err(|e| e.to_string()),
            None => Err(self.why.clone()),
        }
    }
}
