//! What the ports of the masters really serve, as opposed to what lies in the files.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rustls::pki_types::ServerName;
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    time::timeout,
};

use super::Nudge;
use crate::{
    cluster::{Cluster, EtcdPair, HostName, Node},
    pki::CertInfo,
    remote::{SharedRemote, Target, kube::Kubeconfig, tls::TlsClient},
};

/// How often a port is looked at when nothing happens. A handshake is cheap, reading the pair for it is not.
pub const SERVED_EVERY: Duration = Duration::from_mins(1);

/// Most time a port is given, the pair for it read.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port that serves a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// etcd's for clients.
    EtcdClient,
    /// etcd's for its peers.
    EtcdPeer,
    /// The apiserver's.
    Apiserver,
}

impl Port {
    /// All three.
    pub const ALL: [Self; 3] = [Self::EtcdClient, Self::EtcdPeer, Self::Apiserver];

    /// Its number.
    pub fn number(self, cluster: &Cluster) -> u16 {
        match self {
            Self::EtcdClient => cluster.etcd.client_port,
            Self::EtcdPeer => cluster.etcd.peer_port,
            Self::Apiserver => cluster.kube.api_port,
        }
    }
}

/// A port, and what a fresh handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSeen {
    /// On which host.
    pub host: HostName,
    /// Which port.
    pub port: Port,
    /// Its number.
    pub number: u16,
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

/// Who has the client pair that a port of etcd wants to see.
#[async_trait]
pub trait Clients: Send + Sync + 'static {
    /// A client with the CA and a pair of that host.
    async fn client(&self, node: &Node, pair: EtcdPair) -> Result<TlsClient, String>;
}

/// Looks at every port of every master, each in its own time: again and again, at once when nudged, until nobody
/// listens.
pub async fn served(
    cluster: Arc<Cluster>,
    remote: SharedRemote,
    clients: Arc<dyn Clients>,
    nudge: Nudge,
    out: UnboundedSender<PortSeen>,
) {
    let mut all = tokio::task::JoinSet::new();
    for node in cluster.all_masters() {
        for port in Port::ALL {
            let looking = Looking { cluster: cluster.clone(), remote: remote.clone(), node: node.clone(), port };
            all.spawn(looking.again(clients.clone(), nudge.clone(), out.clone()));
        }
    }
    while all.join_next().await.is_some() {}
}

struct Looking {
    cluster: Arc<Cluster>,
    remote: SharedRemote,
    node: Node,
    port: Port,
}

impl Looking {
    async fn again(self, clients: Arc<dyn Clients>, mut nudge: watch::Receiver<u64>, out: UnboundedSender<PortSeen>) {
        let number = self.port.number(&self.cluster);
        loop {
            nudge.mark_unchanged();
            let silence = || Err(tr!("nothing was seen within {deadline} s", deadline = PATIENCE.as_secs()));
            let served = timeout(PATIENCE, self.handshake(&*clients, number)).await.unwrap_or_else(|_| silence());
            let seen = PortSeen { host: self.node.name.clone(), port: self.port, number, served };
            if out.send(seen).is_err() {
                return;
            }
            super::pause(SERVED_EVERY, &mut nudge).await;
        }
    }

    async fn handshake(&self, clients: &dyn Clients, port: u16) -> Result<ServedCert, String> {
        let client = match self.port {
            // A peer shows its own pair when it dials; the client port is dialled as etcdctl does.
            Port::EtcdPeer => clients.client(&self.node, EtcdPair::Peer).await?,
            Port::EtcdClient => clients.client(&self.node, EtcdPair::Client).await?,
            Port::Apiserver => self.as_kubectl().await?,
        };
        let target = Target { address: self.node.address, port };
        let stream = self.remote.dial(&self.node.name, target).await.map_err(|e| e.to_string())?;
        let name = ServerName::from(self.node.address);
        let seen = client.probe(stream, &name).await.map_err(|e| e.to_string())?;
        Ok(ServedCert { trouble: seen.why_not(), cert: seen.cert })
    }

    async fn as_kubectl(&self) -> Result<TlsClient, String> {
        let path = &self.cluster.kube.admin_conf;
        let config = Kubeconfig::read(&self.remote, &self.node.name, path).await.map_err(|e| e.to_string())?;
        let (client, _) = config.credential(&self.remote).await.map_err(|e| e.to_string())?;
        Ok(client)
    }
}
