//! Fresh TLS handshakes with a pair that lies on a host, from that host's own address.

use std::path::Path;

use rustls::pki_types::ServerName;

use super::{ActError, run::read_secret};
use crate::{
    cluster::{Cluster, EtcdPair, Node},
    pki::San,
    remote::{
        Op, SharedRemote, Target, run_ok,
        tls::{ClientIdentity, Get, Roots, Served, TlsClient},
    },
};

/// A TLS client that has a node's own CA file and shows one of its pairs.
pub async fn client(
    cluster: &Cluster,
    remote: &SharedRemote,
    node: &Node,
    pair: EtcdPair,
) -> Result<TlsClient, ActError> {
    let etcd = &cluster.etcd;
    let read = |path: &Path| Op::ReadFile { path: path.to_owned() };
    let ca = run_ok(&**remote, &node.name, &read(&etcd.ca())).await?.stdout;
    let cert = run_ok(&**remote, &node.name, &read(&etcd.cert(pair))).await?.stdout;
    let key = read_secret(remote, &node.name, &etcd.key(pair)).await?;
    let told = |why: String| ActError::Pki {
        what: tr!("{name}: {pair} pair in {pki}", name = node.name, pair = pair, pki = etcd.pki.display()),
        why,
    };
    let roots = Roots::from_pem(&ca).map_err(|e| told(e.to_string()))?;
    let identity = ClientIdentity::from_pem(&cert, &key).map_err(|e| told(e.to_string()))?;
    Ok(TlsClient::new(roots).with_identity(identity))
}

/// Asks a port of `to` for etcd's `/version`, from the host `from`, so that the address etcd sees is `from`'s own. The
/// answer proves both directions: TLS 1.3 tells of a refused client certificate only then.
pub async fn ask(remote: &SharedRemote, client: &TlsClient, from: &Node, to: &Node, port: u16) -> Result<(), String> {
    let target = Target { address: to.address, port };
    let stream = remote.dial(&from.name, target).await.map_err(|e| e.to_string())?;
    let host = target.to_string();
    let get = Get { server_name: ServerName::from(to.address), host: &host, path: "/version", bearer: None };
    match client.https_get(stream, &get).await {
        Ok((200, _)) => Ok(()),
        Ok((status, _)) => Err(tr!("answered with HTTP status {status}", status = status)),
        Err(e) => Err(e.to_string()),
    }
}

/// Looks at what a node's port serves now, dialled on the node itself.
pub async fn served(remote: &SharedRemote, client: &TlsClient, node: &Node, port: u16) -> Result<Served, ActError> {
    let target = Target { address: node.address, port };
    let stream = remote.dial(&node.name, target).await?;
    client
        .probe(stream, &ServerName::from(node.address))
        .await
        .map_err(|e| ActError::NotProven(tr!("{name}: port {port}: {e}", name = node.name, port = port, e = e)))
}

/// Proves that both ports of a member serve certificates that hold and have all the given names. One line a port.
pub async fn prove_ports(
    cluster: &Cluster,
    remote: &SharedRemote,
    node: &Node,
    names: &[San],
) -> Result<Vec<String>, ActError> {
    let ports = [(cluster.etcd.client_port, EtcdPair::Client), (cluster.etcd.peer_port, EtcdPair::Peer)];
    let mut proofs = Vec::new();
    for (port, pair) in ports {
        let seen = served(remote, &client(cluster, remote, node, pair).await?, node, port).await?;
        if !seen.good() {
            return Err(ActError::NotProven(tr!(
                "{name}: port {port}: {why_not}",
                name = node.name,
                port = port,
                why_not = seen.why_not()
            )));
        }
        let missing: Vec<_> = names.iter().filter(|n| !seen.cert.sans.contains(n)).map(ToString::to_string).collect();
        if !missing.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{name}: port {port} serves a certificate without {missing}; look whether etcd reads the files of {pki}",
                name = node.name,
                port = port,
                missing = missing.join(", "),
                pki = cluster.etcd.pki.display()
            )));
        }
        proofs.push(tr!(
            "{name}: a fresh handshake on {port} shows all {sans} names",
            name = node.name,
            port = port,
            sans = seen.cert.sans.len()
        ));
    }
    Ok(proofs)
}
