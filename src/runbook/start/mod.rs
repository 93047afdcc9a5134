//! Chapter 5: start the new masters, verify, calico.
//!
//! The runbook starts the masters first and calico's Secret last. Here Secret and ConfigMap come before the start: every
//! member votes already, so the longer list holds, and the new masters' agents start with it instead of being rolled.

use std::sync::Arc;

use super::Ctx;
use crate::{
    cluster::{HostName, Node},
    engine::{act::ActError, step::SharedStep},
    remote::kube::{ApiAt, KubeApi},
};

mod calico;
mod gate;
mod node;
mod pki;
mod pods;
mod same;
mod start_all;
mod token;
mod units;

/// The chapter's steps for this cluster file.
pub(super) fn steps(cx: &Arc<Ctx>) -> Vec<SharedStep> {
    let mut steps: Vec<SharedStep> = Vec::new();
    for joiner in &cx.cluster.join {
        steps.push(Arc::new(pki::CopyPki::new(cx.clone(), joiner.clone())));
    }
    steps.push(Arc::new(calico::SecretStep::new(cx.clone())));
    steps.push(Arc::new(calico::EndpointsStep::new(cx.clone())));
    steps.push(Arc::new(start_all::StartMasters::new(cx.clone())));
    for joiner in &cx.cluster.join {
        steps.push(Arc::new(node::MarkStep::new(cx.clone(), joiner.clone())));
    }
    steps.push(Arc::new(token::TokenStep::new(cx.clone())));
    steps.push(Arc::new(pods::PodsStep::new(cx.clone())));
    steps
}

impl Ctx {
    /// A master's apiserver, opened with its own kubeconfig.
    fn api_at(&self, master: &Node) -> ApiAt {
        ApiAt {
            host: master.name.to_string(),
            address: master.address,
            port: self.cluster.kube.api_port,
            kubeconfig: self.cluster.kube.admin_conf.clone(),
        }
    }

    /// The API of the first original whose apiserver is healthy.
    async fn kube(&self) -> Result<(ApiAt, KubeApi), ActError> {
        let mut refused = None;
        for master in &self.cluster.masters {
            let at = self.api_at(master);
            let answer = match KubeApi::open(&self.remote, &at).await {
                Ok(api) => api.healthz().await.map(|()| api),
                Err(e) => Err(e),
            };
            match answer {
                Ok(api) => return Ok((at, api)),
                Err(e) => refused = refused.or(Some(e)),
            }
        }
        Err(refused.map_or_else(|| ActError::NotProven(trs!("no original to ask").into()), ActError::from))
    }

    /// Every host's name in Kubernetes.
    fn node_hosts(&self) -> Vec<(String, HostName)> {
        self.cluster.hosts().map(|n| (self.cluster.node_name(n), n.name.clone())).collect()
    }
}

/// `a, b and c`.
fn listed<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<_> = all.into_iter().map(|t| t.to_string()).collect();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => tr!("{rest} and {last}", rest = rest.join(", "), last = last),
        _ => all.concat(),
    }
}
