//! From a cluster file to a survey: the one way to the hosts, for every command.

use std::sync::{Arc, atomic::AtomicBool};

use async_trait::async_trait;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::paths;
use crate::{
    cluster::{Cluster, EtcdPair, HostName},
    engine::{
        Engine, Event, Journal, Operator,
        act::handshake,
        journal::{JournalError, Record},
        step::SharedStep,
    },
    remote::{
        Asker, SharedRemote,
        etcd::{EtcdAccess, EtcdApi, Membership},
        ssh::{ConnectState, SshRemote},
    },
    runbook::{self, Ctx},
    survey::{
        Observed,
        collect::{EtcdLook, SurveyProgress, survey},
    },
};

/// A way to the hosts of one cluster file.
#[derive(Clone)]
pub(super) struct Session {
    pub cluster: Arc<Cluster>,
    ssh: SshRemote,
    remote: SharedRemote,
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
        cluster: Arc<Cluster>,
        asker: Arc<dyn Asker>,
        progress: Option<UnboundedSender<(HostName, ConnectState)>>,
    ) -> Self {
        let ssh = SshRemote::new(&cluster, asker, progress);
        let remote: SharedRemote = Arc::new(ssh.clone());
        Self { cluster, ssh, remote }
    }

    /// Connects to every host at once, then looks at all of them and at etcd. Changes nothing.
    pub async fn look(&self, progress: UnboundedSender<SurveyProgress>) -> Looked {
        // Who failed to connect is told by the survey, together with everything else.
        let _ = self.ssh.connect_all().await;
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

    /// The steps of this growth, for what was seen.
    pub async fn steps(&self, looked: &Looked, etcd: &Arc<EtcdApi>) -> (Arc<Ctx>, Vec<SharedStep>) {
        let stamp = runbook::stamp::choose(&self.cluster, &*self.remote, jiff::Timestamp::now()).await;
        let cx = Arc::new(Ctx {
            cluster: self.cluster.clone(),
            remote: self.remote.clone(),
            etcd: etcd.clone(),
            observed: looked.observed.clone(),
            stamp,
            local_dir: paths::backups(&self.cluster),
        });
        let steps = runbook::steps(&cx);
        (cx, steps)
    }

    /// An engine whose run has its first line in the journal.
    pub fn engine(
        &self,
        cx: &Ctx,
        operator: Arc<dyn Operator>,
        events: UnboundedSender<Event>,
        stop: Arc<AtomicBool>,
    ) -> Result<Engine, JournalError> {
        let now = jiff::Timestamp::now();
        let name = format!("{}-{}.jsonl", now.strftime("%Y%m%dT%H%M%S%.3fZ"), std::process::id());
        let mut journal = Journal::create(&paths::journals(&self.cluster).join(name))?;
        journal.write(Record::Run {
            cluster: self.cluster.name.clone(),
            file: self.cluster.path.clone(),
            operator: operator_name(),
            banister: env!("CARGO_PKG_VERSION").into(),
            stamp: cx.stamp.clone(),
        })?;
        Ok(Engine { remote: self.remote.clone(), etcd: cx.etcd.clone(), operator, events, journal, stop })
    }
}

/// `user@host` of the machine the program runs on.
fn operator_name() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".into());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    crate::remote::clean::line(&format!("{user}@{}", host.trim()))
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
