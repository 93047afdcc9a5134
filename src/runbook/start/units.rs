//! What has to run on a new master: the runtime its kubelet needs, kubelet, and what the originals listen on.

use crate::{
    cluster::HostName,
    engine::act::ActError,
    remote::{Op, run_ok},
    runbook::Ctx,
    survey::{
        Facts, facts,
        kubelet::{self, Named},
    },
};

/// Runtimes' units, in the order of how likely they are on a cluster of that age.
const RUNTIMES: [&str; 4] = ["docker", "containerd", "crio", "cri-o"];

/// Ports a control plane listens on: apiserver, kubelet, controller-manager and scheduler, the latter two before and after
/// they learned TLS (1.12 and 1.13).
fn ports(cx: &Ctx) -> Vec<u16> {
    vec![cx.cluster.kube.api_port, 10250, 10251, 10252, 10257, 10259]
}

/// The runtime's unit: what the source's kubelet unit names, else what runs there.
pub(super) async fn runtime(cx: &Ctx) -> Result<String, ActError> {
    let host = &cx.source().name;
    let text = cx.read_text(host, &cx.cluster.kube.kubelet_unit_file).await?.unwrap_or_default();
    if let Some(named) = named_runtime(&text) {
        return Ok(named.into());
    }
    for unit in RUNTIMES {
        if cx.unit(host, unit).await?.active == "active" {
            return Ok(unit.into());
        }
    }
    Err(ActError::NotProven(tr!(
        "{host}: no container runtime runs ({known}); start the one its kubelet uses, then run again",
        host = host,
        known = RUNTIMES.join(", ")
    )))
}

/// The runtime that a unit needs or comes after.
fn named_runtime(unit: &str) -> Option<&'static str> {
    let words = |key: &str| {
        let lines = unit.lines().filter_map(move |l| l.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        lines.flat_map(str::split_whitespace).map(|w| w.trim_end_matches(".service")).collect::<Vec<_>>()
    };
    let all = ["Requires", "BindsTo", "Wants", "After"].map(words).concat();
    RUNTIMES.into_iter().find(|r| all.contains(r))
}

/// Listeners of the control plane on a host.
pub(super) async fn listeners(cx: &Ctx, host: &HostName) -> Result<Vec<(u16, String)>, ActError> {
    Ok(look(cx, host, ports(cx)).await?.listeners)
}

async fn look(cx: &Ctx, host: &HostName, ports: Vec<u16>) -> Result<Facts, ActError> {
    let asked = std::time::SystemTime::now();
    let op = Op::Facts { ports, space: Vec::new(), programs: Vec::new() };
    let out = run_ok(&*cx.remote, host, &op).await?;
    facts::parse(&out.text(), asked, std::time::SystemTime::now())
        .map_err(|e| ActError::NotProven(format!("{host}: {e}")))
}

/// The name a host's kubelet registers under: its `--hostname-override`, else the system's hostname.
pub(super) async fn kubelet_name(cx: &Ctx, host: &HostName) -> Result<String, ActError> {
    let unit = &cx.cluster.kube.kubelet_unit_file;
    match kubelet::named(&*cx.remote, host, unit).await? {
        Named::Flag(name) => Ok(name),
        // kubelet takes it in lower case.
        Named::Hostname => Ok(cx.facts(host).await?.hostname.to_lowercase()),
        Named::NoUnit => Err(ActError::NotProven(tr!(
            "{host}: {unit} is not there; do chapter 3 first, or give the path as layout.kubernetes.kubelet_unit_file",
            host = host,
            unit = unit.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_the_one_kubelet_needs() {
        assert_eq!(named_runtime("[Unit]\nAfter=docker.service\nRequires=docker.service\n"), Some("docker"));
        assert_eq!(named_runtime("[Unit]\nWants = network-online.target containerd.service\n"), Some("containerd"));
        assert_eq!(named_runtime("[Unit]\nAfter=network.target\n"), None);
    }
}
