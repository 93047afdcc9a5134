//! What has to run on a new master: the runtime its kubelet needs, kubelet, and what the originals listen on.

use std::path::PathBuf;

use crate::{
    cluster::HostName,
    engine::act::ActError,
    remote::{Op, run_ok},
    runbook::Ctx,
    survey::{Facts, facts},
};

/// Runtimes' units, in the order of how likely they are on a cluster of that age.
const RUNTIMES: [&str; 4] = ["docker", "containerd", "crio", "cri-o"];

/// Ports a control plane listens on: apiserver, kubelet, controller-manager and scheduler, the latter two before and after
/// they learned TLS (1.12 and 1.13).
fn ports(cx: &Ctx) -> Vec<u16> {
    vec![cx.cluster.kube.api_port, 10250, 10251, 10252, 10257, 10259]
}

/// kubelet's unit, by its file's name.
pub(super) fn kubelet(cx: &Ctx) -> String {
    let name = cx.cluster.kube.kubelet_unit_file.file_stem();
    name.map_or_else(|| "kubelet".into(), |n| n.to_string_lossy().into_owned())
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
    let Some(text) = cx.read_text(host, unit).await? else {
        return Err(ActError::NotProven(tr!(
            "{host}: {unit} is not there; do chapter 3 first, or give the path as layout.kubernetes.kubelet_unit_file",
            host = host,
            unit = unit.display()
        )));
    };
    let mut texts = vec![text.clone()];
    let mut drop_ins = unit.clone().into_os_string();
    drop_ins.push(".d");
    let dir = PathBuf::from(drop_ins);
    let names = run_ok(&*cx.remote, host, &Op::ListDir { dir: dir.clone() }).await?;
    // systemd reads nothing else there.
    for name in names.text().lines().filter(|n| n.strip_suffix(".conf").is_some()) {
        texts.extend(cx.read_text(host, &dir.join(name)).await?);
    }
    for file in texts.iter().flat_map(|t| environment_files(t)).collect::<Vec<_>>() {
        texts.extend(cx.read_text(host, &file).await?);
    }
    match texts.iter().rev().find_map(|t| hostname_override(t)) {
        Some(name) => Ok(name),
        // kubelet takes it in lower case.
        None => Ok(cx.facts(host).await?.hostname.to_lowercase()),
    }
}

fn environment_files(unit: &str) -> Vec<PathBuf> {
    let values = unit.lines().filter_map(|l| l.trim().strip_prefix("EnvironmentFile="));
    values.map(|v| PathBuf::from(v.trim().trim_start_matches('-'))).filter(|p| p.is_absolute()).collect()
}

fn hostname_override(text: &str) -> Option<String> {
    const FLAG: &str = "--hostname-override";
    let mut lines = text.lines().rev().filter(|l| !l.trim_start().starts_with('#'));
    let after = lines.find_map(|l| l.split_once(FLAG).map(|(_, rest)| rest))?;
    let value = after.strip_prefix(['=', ' '])?.trim_start_matches(['"', '\'']);
    let end = value.find([' ', '"', '\'', '\\']).unwrap_or(value.len());
    Some(value[..end].to_owned()).filter(|v| !v.is_empty())
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

    #[test]
    fn kubelets_name_is_found_in_every_form() {
        let line = "KUBELET_ARGS=\"--kubeconfig=/k --hostname-override=m4.example.com --config=/c\"";
        assert_eq!(hostname_override(line).as_deref(), Some("m4.example.com"));
        assert_eq!(hostname_override("KUBELET_HOSTNAME=\"--hostname-override=m4\"").as_deref(), Some("m4"));
        assert_eq!(hostname_override("ExecStart=/k --hostname-override m4 \\").as_deref(), Some("m4"));
        assert_eq!(hostname_override("# --hostname-override=old\nX=1"), None);
        assert_eq!(
            environment_files("EnvironmentFile=-/etc/kubernetes/kubelet\n"),
            [PathBuf::from("/etc/kubernetes/kubelet")]
        );
    }
}
