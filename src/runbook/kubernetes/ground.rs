//! What has to hold on a joiner before anything of Kubernetes is put there, looked at right before each step acts.

use std::path::Path;

use super::copied::KUBELET;
use crate::{
    cluster::Node,
    engine::act::ActError,
    remote::{Op, run_ok},
    runbook::Ctx,
    survey::{FileKind, Finding, Severity},
};

/// Ports of a master: kubelet's, the controller-manager's, the scheduler's. The apiserver's is in the cluster file.
const PORTS: [u16; 3] = [10250, 10257, 10259];

/// Whether the joiner's kubelet runs, or is about to: systemd starts a failed one again and again.
pub(super) async fn kubelet_runs(cx: &Ctx, node: &Node) -> Result<bool, ActError> {
    let unit = cx.unit(&node.name, &cx.cluster.kube.kubelet_unit()).await?;
    Ok(runs(&unit.active))
}

fn runs(active: &str) -> bool {
    matches!(active, "active" | "activating" | "reloading")
}

/// Whether a kubelet runs, or would after a reboot, although nothing lies there that it could run: its package's own doing. It
/// has to be stopped before files are put there: after a reboot it would start whatever has arrived by then.
pub(super) async fn idle_kubelet(cx: &Ctx, node: &Node) -> Result<bool, ActError> {
    let unit = cx.unit(&node.name, KUBELET).await?;
    let wakes = unit.enabled == "enabled" || runs(&unit.active);
    if !wakes {
        return Ok(false);
    }
    let op = Op::ListTree { dir: cx.cluster.kube.dir.clone() };
    let listed = run_ok(&*cx.remote, &node.name, &op).await?;
    let files = crate::survey::parse::file_states(&listed.text())
        .map_err(|e| ActError::NotProven(format!("{}: {e}", node.name)))?;
    Ok(files.iter().all(|f| f.kind == FileKind::Dir))
}

pub(super) fn block(node: &Node, what: String, why: &str, remedy: String) -> Finding {
    Finding { severity: Severity::Block, host: Some(node.name.clone()), what, why: why.to_owned(), remedy }
}

/// kubelet must not run while its files change: it would start manifests half way.
pub(super) async fn quiet(cx: &Ctx, node: &Node) -> Result<Vec<Finding>, ActError> {
    if !kubelet_runs(cx, node).await? {
        return Ok(Vec::new());
    }
    Ok(vec![block(
        node,
        tr!("kubelet runs on {name}", name = node.name),
        trs!("it would start whatever lies in the manifests directory while files are being replaced"),
        tr!(
            "if {name} is a master already, list it under `masters` in the cluster file; else `systemctl stop kubelet` on {name}; then run again",
            name = node.name
        ),
    )])
}

/// Quiet, its ports free, and no swap that the originals do not have either. Nothing to say once kubelet runs, unless it is
/// an idle one that the step is about to stop.
pub(super) async fn ready(cx: &Ctx, node: &Node, idle: bool) -> Result<Vec<Finding>, ActError> {
    let mut findings = if idle { Vec::new() } else { quiet(cx, node).await? };
    if !findings.is_empty() {
        return Ok(findings);
    }
    let ports = PORTS.into_iter().chain([cx.cluster.kube.api_port]).collect();
    let op = Op::Facts { ports, space: Vec::new(), programs: Vec::new() };
    let asked = std::time::SystemTime::now();
    let out = run_ok(&*cx.remote, &node.name, &op).await?;
    let facts = crate::survey::facts::parse(&out.text(), asked, std::time::SystemTime::now())
        .map_err(|e| ActError::NotProven(format!("{}: {e}", node.name)))?;
    for (port, program) in facts.listeners.into_iter().filter(|(_, by)| !idle || by != KUBELET) {
        let by = if program.is_empty() { trs!("something").to_owned() } else { program };
        findings.push(block(
            node,
            tr!("port {port} is taken by {by}", port = port, by = by),
            trs!("a master's components listen there, and would not start"),
            tr!("stop {by} on {name}, such as the nginx-proxy of a host that was a worker", by = by, name = node.name),
        ));
    }
    if swaps(cx, node).await? && !swaps(cx, cx.source()).await? {
        findings.push(block(
            node,
            trs!("swap is on").into(),
            trs!("kubelet refuses to start with swap unless told otherwise, and the originals have none"),
            tr!("`swapoff -a` on {name}, and take it out of /etc/fstab", name = node.name),
        ));
    }
    Ok(findings)
}

async fn swaps(cx: &Ctx, node: &Node) -> Result<bool, ActError> {
    // The first line is a heading.
    let text = cx.read_text(&node.name, Path::new("/proc/swaps")).await?;
    Ok(text.is_some_and(|t| t.lines().count() > 1))
}
