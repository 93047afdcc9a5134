//! Chapter 6: every worker's proxy, and the last proof.

use std::sync::Arc;

use super::{
    Ctx,
    edit::nginx_conf::{self, Spellings},
};
use crate::{
    cluster::{Cluster, Node},
    engine::{
        act::{
            ActError,
            apiserver::{healthz, loopback},
            proxy,
        },
        step::SharedStep,
    },
    remote::{op::sha256_hex, tls::TlsClient},
    survey::FileState,
};

mod nginx;
mod proof;

/// How many workers are looked at side by side.
const AT_ONCE: usize = 16;

/// The chapter's steps for this cluster file.
pub(super) fn steps(cx: &Arc<Ctx>) -> Vec<SharedStep> {
    vec![Arc::new(nginx::Proxies::new(cx.clone())), Arc::new(proof::Proof::new(cx.clone()))]
}

/// A worker's proxy as it is.
struct Seen {
    node: Node,
    file: FileState,
    before: String,
    /// The file as it will be.
    after: String,
    /// The upstreams' servers, each upstream's own.
    servers: Vec<usize>,
    /// Why its container is not what the file says, or the API does not answer through it.
    behind: Option<String>,
}

impl Seen {
    fn done(&self) -> bool {
        self.before == self.after && self.behind.is_none()
    }
}

/// How a master may be spelled in an upstream.
fn spellings(cluster: &Cluster, node: &Node) -> Spellings {
    let port = cluster.kube.api_port;
    vec![
        std::net::SocketAddr::new(node.address, port).to_string(),
        format!("{}:{port}", node.name),
        format!("{}:{port}", cluster.node_name(node)),
    ]
}

/// Every worker, side by side, in the file's order.
async fn look_all(cx: &Ctx, client: &TlsClient) -> Vec<(Node, Result<Seen, ActError>)> {
    let mut seen = Vec::new();
    for some in cx.cluster.workers.chunks(AT_ONCE) {
        let results = futures::future::join_all(some.iter().map(|w| look(cx, client, w))).await;
        seen.extend(some.iter().cloned().zip(results));
    }
    seen
}

async fn look(cx: &Ctx, client: &TlsClient, worker: &Node) -> Result<Seen, ActError> {
    let (cluster, kube) = (&*cx.cluster, &cx.cluster.kube);
    let path = &kube.nginx_conf;
    let before = cx.need_text(&worker.name, path).await?;
    let file = cx.stat_one(&worker.name, path).await?;
    let spelled = |nodes: &[Node]| nodes.iter().map(|n| spellings(cluster, n)).collect::<Vec<_>>();
    let (originals, joiners) = (spelled(&cluster.masters), spelled(&cluster.join));
    let told = |e: super::edit::EditError| ActError::NotProven(format!("{}: {} {e}", worker.name, path.display()));
    let after = nginx_conf::with_servers(&before, &originals, &joiners).map_err(told)?;
    let servers = nginx_conf::upstreams(&before, &originals).map_err(told)?.iter().map(|u| u.servers.len()).collect();
    let seen = proxy::look(&cx.remote, &worker.name, path, &kube.nginx_container).await?;
    if seen.inside.is_none() {
        let container = &kube.nginx_container;
        let why = match seen.state.as_str() {
            "absent" => tr!("there is no container {container}", container = container),
            _ => tr!(
                "the container {container} does not have {path} mounted",
                container = container,
                path = path.display()
            ),
        };
        return Err(ActError::NotProven(tr!(
            "{name}: {why}; start the proxy as on the other workers, or fix `layout.kubernetes`",
            name = worker.name,
            why = why
        )));
    }
    let sha = sha256_hex(before.as_bytes());
    let behind = match proxy::behind(&cx.remote, &worker.name, path, &kube.nginx_container, &sha).await? {
        Some(behind) => Some(behind),
        None => healthz(&cx.remote, client, &worker.name, loopback(cluster)).await.err(),
    };
    Ok(Seen { node: worker.clone(), file, before, after, servers, behind })
}
