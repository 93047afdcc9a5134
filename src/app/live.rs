//! The pollers of the live panels, and what they need of the other rooms.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio::sync::{Notify, mpsc};

use crate::{
    cluster::{Cluster, EtcdPair, Node, Role},
    engine::act::handshake,
    remote::{SharedRemote, tls::TlsClient},
    survey::{HostObserved, survey_host},
    watch::{self, Clients, LogMsg, PortSeen, Source},
};

/// How often the masters are looked at when nothing happens. A look is a dozen operations on each.
const MASTERS_EVERY: Duration = Duration::from_mins(1);

/// Batches of journal lines that may wait for the screen; more than that, and the hosts wait.
const WAITING: usize = 16;

/// What comes out of the pollers.
pub(super) struct Live {
    /// Looks at the masters.
    pub masters: mpsc::UnboundedReceiver<Vec<HostObserved>>,
    /// Looks at the ports.
    pub served: mpsc::UnboundedReceiver<Vec<PortSeen>>,
    /// The journals.
    pub logs: mpsc::Receiver<LogMsg>,
    /// Whose journals.
    pub sources: Vec<Source>,
}

/// Starts them all. A nudge makes them look at once: files or certificates have just changed.
pub(super) fn start(cluster: &Arc<Cluster>, remote: &SharedRemote, nudge: [Arc<Notify>; 2]) -> Live {
    let [for_masters, for_ports] = nudge;
    let (to, masters) = mpsc::unbounded_channel();
    tokio::spawn(look_again(cluster.clone(), remote.clone(), for_masters, to));
    let (to, served) = mpsc::unbounded_channel();
    let clients = Arc::new(Pairs { cluster: cluster.clone(), remote: remote.clone() });
    tokio::spawn(watch::served(cluster.clone(), remote.clone(), clients, for_ports, to));
    let sources = sources(cluster);
    let (to, logs) = mpsc::channel(WAITING);
    tokio::spawn(watch::logs(remote.clone(), sources.clone(), to));
    Live { masters, served, logs, sources }
}

/// etcd and the kubelet on masters, the kubelet on workers. A unit that isn't there yet has an empty journal and is
/// followed all the same.
fn sources(cluster: &Cluster) -> Vec<Source> {
    let units = |node: &Node| match node.role {
        Role::Original | Role::Joiner => vec![cluster.etcd.unit.clone(), "kubelet".to_owned()],
        Role::Worker => vec!["kubelet".to_owned()],
    };
    cluster
        .hosts()
        .flat_map(|node| units(node).into_iter().map(|unit| Source { host: node.name.clone(), unit }))
        .collect()
}

/// Looks at the masters until nobody listens. The survey has just done so: the first look comes later.
async fn look_again(
    cluster: Arc<Cluster>,
    remote: SharedRemote,
    nudge: Arc<Notify>,
    to: mpsc::UnboundedSender<Vec<HostObserved>>,
) {
    loop {
        let _ = tokio::time::timeout(MASTERS_EVERY, nudge.notified()).await;
        let looks: Vec<_> = cluster.all_masters().map(|node| survey_host(&cluster, node, &*remote, None)).collect();
        let seen: Vec<HostObserved> = stream::iter(looks).buffered(8).collect().await;
        if to.send(seen).is_err() {
            return;
        }
    }
}

/// The pairs that lie on the hosts.
struct Pairs {
    cluster: Arc<Cluster>,
    remote: SharedRemote,
}

#[async_trait]
impl Clients for Pairs {
    async fn client(&self, node: &Node, pair: EtcdPair) -> Result<TlsClient, String> {
        handshake::client(&self.cluster, &self.remote, node, pair).await.map_err(|e| e.to_string())
    }
}
