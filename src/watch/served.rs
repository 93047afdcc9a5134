//! What the ports of etcd really serve, as opposed to what lies in the files.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use rustls::pki_types::ServerName;
use tokio::sync::{Notify, mpsc::UnboundedSender};

use crate::{
    cluster::{Cluster, EtcdPair, HostName, Node},
    pki::CertInfo,
    remote::{SharedRemote, Target, tls::TlsClient},
};

/// How often the ports are looked at when nothing happens. A handshake each is cheap, reading the pair for it is not.
pub const SERVED_EVERY: Duration = Duration::from_mins(1);

/// The ports: which, and the pair of files it serves.
const PORTS: [EtcdPair; 2] = [EtcdPair::Server, EtcdPair::Peer];

/// A port, and what a fresh handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSeen {
    /// On which host.
    pub host: HostName,
    /// The pair its files are called.
    pub pair: EtcdPair,
    /// The port.
    pub port: u16,
    /// What was served, or why nothing was.
    pub served: Result<ServedCert, String>,
}

/// A served certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCert {
    /// The leaf.
    pub cert: CertInfo,
    /// What does not hold about it, in words; empty when all does.
    pub trouble: String,
}

/// Who has the client pair that a port wants to see.
#[async_trait]
pub trait Clients: Send + Sync + 'static {
    /// A client with the CA and a pair of that host.
    async fn client(&self, node: &Node, pair: EtcdPair) -> Result<TlsClient, String>;
}

/// Looks at the ports of every master, again and again, at once when nudged, until nobody listens.
pub async fn served(
    cluster: Arc<Cluster>,
    remote: SharedRemote,
    clients: Arc<dyn Clients>,
    nudge: Arc<Notify>,
    out: UnboundedSender<Vec<PortSeen>>,
) {
    loop {
        let ports: Vec<_> = cluster
            .all_masters()
            .flat_map(|node| PORTS.map(|pair| look(&cluster, &remote, &*clients, node, pair)))
            .collect();
        let seen = stream::iter(ports).buffered(8).collect().await;
        if out.send(seen).is_err() {
            return;
        }
        let _ = tokio::time::timeout(SERVED_EVERY, nudge.notified()).await;
    }
}

async fn look(
    cluster: &Cluster,
    remote: &SharedRemote,
    clients: &dyn Clients,
    node: &Node,
    pair: EtcdPair,
) -> PortSeen {
    // A peer shows its own pair when it dials; the client port is dialled as etcdctl does.
    let (port, shown) = match pair {
        EtcdPair::Peer => (cluster.etcd.peer_port, EtcdPair::Peer),
        _ => (cluster.etcd.client_port, EtcdPair::Client),
    };
    let served = handshake(remote, clients, node, port, shown).await;
    PortSeen { host: node.name.clone(), pair, port, served }
}

async fn handshake(
    remote: &SharedRemote,
    clients: &dyn Clients,
    node: &Node,
    port: u16,
    shown: EtcdPair,
) -> Result<ServedCert, String> {
    let client = clients.client(node, shown).await?;
    let target = Target { address: node.address, port };
    let stream = remote.dial(&node.name, target).await.map_err(|e| e.to_string())?;
    let seen = client.probe(stream, &ServerName::from(node.address)).await.map_err(|e| e.to_string())?;
    Ok(ServedCert { trouble: seen.why_not(), cert: seen.cert })
}
