//! The pollers of the live panels, and what they need of the other rooms.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    cluster::{Cluster, EtcdPair, Node, Role},
    engine::act::handshake,
    remote::{RemoteError, SharedRemote, tls::TlsClient},
    survey::{HostObserved, survey_host, survey_kube},
    ui::Msg,
    watch::{self, Clients, LogMsg, Nudge, Source},
};

/// How often a master is looked at when nothing happens. A look is two dozen operations.
const MASTERS_EVERY: Duration = Duration::from_mins(1);

/// Most time a look at a master may take.
const MASTER_PATIENCE: Duration = Duration::from_secs(45);

/// Batches of lines that may wait for the screen; more than that, and the hosts wait.
const WAITING: usize = 16;

/// Components that run as static pods.
const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// What comes out of the pollers.
pub(super) struct Live {
    /// Looks at masters, ports and nodes, with the moment of each.
    pub looks: mpsc::UnboundedReceiver<Msg>,
    /// The logs.
    pub logs: mpsc::Receiver<LogMsg>,
    /// Whose logs.
    pub sources: Vec<Source>,
}

/// Starts them all; moments count from `began`. A nudge makes those look at once that look at files and certificates:
/// these have just changed.
pub(super) fn start(cluster: &Arc<Cluster>, remote: &SharedRemote, nudge: &Nudge, began: Instant) -> Live {
    let (to, looks) = mpsc::unbounded_channel();
    for node in cluster.all_masters() {
        tokio::spawn(look_again(cluster.clone(), remote.clone(), node.clone(), nudge.clone(), began, to.clone()));
    }
    let (ports, mut arriving) = mpsc::unbounded_channel();
    let clients = Arc::new(Pairs { cluster: cluster.clone(), remote: remote.clone() });
    tokio::spawn(watch::served(cluster.clone(), remote.clone(), clients, nudge.clone(), ports));
    let (nodes, mut arriving_nodes) = mpsc::unbounded_channel();
    tokio::spawn(watch::nodes(cluster.clone(), remote.clone(), nodes));
    tokio::spawn(async move {
        loop {
            let msg = tokio::select! {
                Some(port) = arriving.recv() => Msg::Served(vec![port], began.elapsed()),
                Some(look) = arriving_nodes.recv() => Msg::Nodes(look, began.elapsed()),
                else => return,
            };
            if to.send(msg).is_err() {
                return;
            }
        }
    });
    let sources = sources(cluster);
    let (to, logs) = mpsc::channel(WAITING);
    tokio::spawn(watch::logs(remote.clone(), sources.clone(), to));
    Live { looks, logs, sources }
}

/// etcd, the kubelet and the static pods on masters, the kubelet on workers. A unit that isn't there yet has an empty
/// journal and is followed all the same.
fn sources(cluster: &Cluster) -> Vec<Source> {
    let of = |node: &Node| {
        let units = match node.role {
            Role::Original | Role::Joiner => vec![cluster.etcd.unit.clone(), "kubelet".to_owned()],
            Role::Worker => vec!["kubelet".to_owned()],
        };
        let pods = if node.role == Role::Worker { &[][..] } else { &COMPONENTS[..] };
        let units = units.into_iter().map(|unit| Source::unit(&node.name, &unit));
        units.chain(pods.iter().map(|pod| Source::pod(&node.name, pod))).collect::<Vec<_>>()
    };
    cluster.hosts().flat_map(of).collect()
}

/// Looks at a master until nobody listens. The survey has just done so, but not at Kubernetes.
async fn look_again(
    cluster: Arc<Cluster>,
    remote: SharedRemote,
    node: Node,
    mut nudge: Nudge,
    began: Instant,
    to: mpsc::UnboundedSender<Msg>,
) {
    loop {
        nudge.mark_unchanged();
        let seen = timeout(MASTER_PATIENCE, look(&cluster, &remote, &node)).await.unwrap_or_else(|_| {
            let (host, what) = (node.name.clone(), trs!("a look at the host").to_owned());
            let late = RemoteError::Timeout { host, what, seconds: MASTER_PATIENCE.as_secs() };
            HostObserved { name: node.name.clone(), role: node.role, seen: Err(late) }
        });
        if to.send(Msg::Masters(vec![seen], began.elapsed())).is_err() {
            return;
        }
        watch::pause(MASTERS_EVERY, &mut nudge).await;
    }
}

async fn look(cluster: &Cluster, remote: &SharedRemote, node: &Node) -> HostObserved {
    let (mut host, kube) =
        tokio::join!(survey_host(cluster, node, &**remote, None), survey_kube(cluster, node, &**remote));
    match (&mut host.seen, kube) {
        (Ok(seen), Ok(kube)) => seen.kube = kube,
        (Ok(_), Err(lost)) => host.seen = Err(lost),
        (Err(_), _) => {}
    }
    host
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
