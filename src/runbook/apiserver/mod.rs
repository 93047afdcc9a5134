//! Chapter 4: the apiserver's certificate and flags, on every original.

use std::{path::PathBuf, sync::Arc};

use super::{Ctx, etcd::wanted_sans};
use crate::{
    cluster::{Cluster, HostName, Node},
    engine::{act::ActError, step::SharedStep},
    pki::San,
    remote::{Op, run_ok},
    survey::{FileKind, Finding, Severity},
};

mod cert;
mod manifests;
mod openssl;
mod rollout;

/// The chapter's steps for this cluster file.
pub(super) fn steps(cx: &Arc<Ctx>) -> Vec<SharedStep> {
    let mut steps: Vec<SharedStep> =
        vec![Arc::new(openssl::OpensslConf::new(cx.clone())), Arc::new(cert::Sign::new(cx.clone()))];
    for master in &cx.cluster.masters {
        steps.push(Arc::new(rollout::Rollout::new(cx.clone(), master.clone())));
    }
    steps
}

/// Where the apiserver's certificate is issued.
struct Workshop {
    host: HostName,
    /// The CA certificate and key to sign with.
    ca: PathBuf,
    ca_key: PathBuf,
    /// The certificate as it was issued last, where it lies there.
    cert: PathBuf,
}

/// The first original that has what it takes to sign: the issuing directory, else the components' own.
async fn workshop(cx: &Ctx) -> Result<Workshop, ActError> {
    let kube = &cx.cluster.kube;
    let places = [
        (kube.issuing_ca(), kube.issuing_ca_key(), kube.issued_cert()),
        (kube.ca(), kube.pki.join("ca-key.pem"), kube.pki.join("apiserver.pem")),
    ];
    for (ca, ca_key, cert) in places {
        if let Some(node) = first_with(cx, &[ca.clone(), ca_key.clone()]).await? {
            return Ok(Workshop { host: node.name.clone(), ca, ca_key, cert });
        }
    }
    Err(ActError::Pki {
        what: trs!("cluster CA key").into(),
        why: tr!(
            "no original has {issuing_ca} and {issuing_ca_key}; put them back on one of them to sign with, or fix `layout.kubernetes.issue_dir`",
            issuing_ca = kube.issuing_ca().display(),
            issuing_ca_key = kube.issuing_ca_key().display()
        ),
    })
}

/// The first original that has all of these files.
async fn first_with<'a>(cx: &'a Ctx, paths: &[PathBuf]) -> Result<Option<&'a Node>, ActError> {
    let looks = cx.cluster.masters.iter().map(|m| cx.stat(&m.name, paths.to_vec()));
    let states = futures::future::try_join_all(looks).await?;
    let has =
        |all: &Vec<crate::survey::FileState>| all.iter().all(|s| matches!(s.kind, FileKind::File | FileKind::Link));
    Ok(cx.cluster.masters.iter().zip(&states).find(|(_, s)| has(s)).map(|(m, _)| m))
}

/// The names of `wanted` that are not among `has`.
fn lacking(cluster: &Cluster, has: &[San]) -> Vec<San> {
    wanted_sans(cluster, has).into_iter().filter(|s| !has.contains(s)).collect()
}

/// Masters of now and later on which something else than an apiserver holds its port: an nginx-proxy of its days as a worker
/// keeps the apiserver from starting there.
pub(super) async fn port_taken(cx: &Ctx) -> Result<Vec<Finding>, ActError> {
    let port = cx.cluster.kube.api_port;
    let op = Op::Facts { ports: vec![port], space: Vec::new(), programs: Vec::new() };
    let looks = cx.cluster.all_masters().map(|n| run_ok(&*cx.remote, &n.name, &op));
    let answers = futures::future::try_join_all(looks).await?;
    let now = std::time::SystemTime::now();
    let mut findings = Vec::new();
    for (node, out) in cx.cluster.all_masters().zip(answers) {
        let facts = crate::survey::facts::parse(&out.text(), now, now)
            .map_err(|e| ActError::NotProven(tr!("{name}: {e}; look at the host", name = node.name, e = e)))?;
        let Some((_, program)) = facts.listeners.iter().find(|(p, program)| *p == port && program.contains("nginx"))
        else {
            continue;
        };
        findings.push(Finding {
            severity: Severity::Block,
            host: Some(node.name.clone()),
            what: tr!("{name}: {program} listens on {port}", name = node.name, program = program, port = port),
            why: trs!("an apiserver cannot start where a worker's proxy holds its port").into(),
            remedy: tr!(
                "stop and remove the proxy on {name} (docker rm -f {nginx_container}), then run again",
                name = node.name,
                nginx_container = cx.cluster.kube.nginx_container
            ),
        });
    }
    Ok(findings)
}
