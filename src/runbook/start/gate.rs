//! What has to hold before a new master's kubelet is started for the first time.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use super::{pki, same, units};
use crate::{
    cluster::Node,
    engine::act::{ActError, etcd::why_unhealthy},
    pki::San,
    remote::{etcd::Membership, kube::KubeApi},
    runbook::Ctx,
    survey::{Finding, Severity},
};

/// Everything that speaks against starting this joiner now.
pub(super) async fn start(
    cx: &Arc<Ctx>,
    joiner: &Node,
    seen: &Membership,
    api: &KubeApi,
) -> Result<Vec<Finding>, ActError> {
    let mut findings = Vec::new();
    findings.extend(member(cx, joiner, seen));
    findings.extend(manifests(cx, joiner).await?);
    findings.extend(identity(cx, joiner, api).await?);
    findings.extend(certificates(cx, joiner).await?);
    findings.extend(ports(cx, joiner).await?);
    Ok(findings)
}

fn block(joiner: &Node, what: String, why: &str, remedy: String) -> Finding {
    Finding { severity: Severity::Block, host: Some(joiner.name.clone()), what, why: why.into(), remedy }
}

/// A learner refuses the reads that an apiserver makes.
fn member(cx: &Ctx, joiner: &Node, seen: &Membership) -> Option<Finding> {
    let why = match seen.by_peer_url(&cx.cluster.peer_url(joiner)) {
        None => "is no member of etcd".to_owned(),
        Some(m) if m.learner => "is still a learner".to_owned(),
        Some(m) if !m.healthy() => format!("is not healthy: {}", why_unhealthy(m)),
        Some(_) => return None,
    };
    Some(block(
        joiner,
        format!("{}'s etcd {why}", joiner.name),
        "its apiserver needs an etcd that votes and answers",
        "finish chapter 2 for it first".into(),
    ))
}

async fn manifests(cx: &Ctx, joiner: &Node) -> Result<Vec<Finding>, ActError> {
    let (host, own) = (&joiner.name, joiner.address.to_string());
    let mut findings = Vec::new();
    let mut wrong = |what: String, why: &str| {
        findings.push(block(joiner, what, why, "do chapter 3 for it first, or mend its manifests".into()));
    };
    let advertised = same::flag(cx, host, "kube-apiserver", "advertise-address").await?;
    if same::manifest_of(cx, host, "kube-apiserver").await?.is_none() {
        wrong(format!("{host} has no manifest of an apiserver"), "there is nothing to start");
        return Ok(findings);
    }
    if advertised.as_ref().is_some_and(|a| *a != own) {
        wrong(
            format!("{host}'s apiserver advertises {}", advertised.unwrap_or_default()),
            "clients of the service kubernetes would be sent to another master",
        );
    }
    let servers = same::flag(cx, host, "kube-apiserver", "etcd-servers").await?.unwrap_or_default();
    let listed: BTreeSet<_> = servers.split(',').map(|s| s.trim().trim_end_matches('/').to_owned()).collect();
    let missing: Vec<_> =
        cx.cluster.all_masters().map(|n| cx.cluster.client_url(n)).filter(|u| !listed.contains(u)).collect();
    if !missing.is_empty() {
        wrong(
            format!("{host}'s apiserver does not list {}", super::listed(missing)),
            "it would lose etcd although enough members are up",
        );
    }
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let Some(master) = same::flag(cx, host, component, "master").await? else { continue };
        if let Some(other) = cx.cluster.all_masters().find(|n| n.name != joiner.name && mentions(&master, n)) {
            wrong(
                format!("{host}'s {component} talks to {} ({master})", other.name),
                "it would stop when that master does",
            );
        }
    }
    Ok(findings)
}

/// Whether a URL's host is a node's address.
fn mentions(url: &str, node: &Node) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    host == node.address.to_string()
        || host.rsplit_once(':').is_some_and(|(h, _)| h.trim_matches(['[', ']']) == node.address.to_string())
}

/// Two nodes with one name push each other out of the cluster.
async fn identity(cx: &Ctx, joiner: &Node, api: &KubeApi) -> Result<Vec<Finding>, ActError> {
    let mut findings = Vec::new();
    let wanted = cx.cluster.node_name(joiner);
    let name = units::kubelet_name(cx, &joiner.name).await?;
    if name != wanted {
        findings.push(block(
            joiner,
            format!("{}'s kubelet would register as {name} and not as {wanted}", joiner.name),
            "the name it first registers under is the one it keeps; another node's name would push that node out",
            "set --hostname-override (or the hostname) to it first".into(),
        ));
    }
    if let Some(node) = api.node(&wanted).await?
        && !node.addresses.is_empty()
        && !node.addresses.contains(&joiner.address.to_string())
    {
        findings.push(block(
            joiner,
            format!("a node {wanted} with the address {} is in the cluster already", node.addresses.join(", ")),
            "it is another machine, or a left-over of one",
            format!("find out which; if it is gone for good, `kubectl delete node {wanted}`"),
        ));
    }
    Ok(findings)
}

async fn certificates(cx: &Arc<Ctx>, joiner: &Node) -> Result<Vec<Finding>, ActError> {
    let mut findings = Vec::new();
    let missing = pki::missing(cx, joiner).await?;
    if let Some(first) = missing.first() {
        findings.push(block(
            joiner,
            format!("{}: {first}", joiner.name),
            "its control plane would not come up, or with other keys than its peers",
            "run the step that copies the certificates first".into(),
        ));
        return Ok(findings);
    }
    let path = same::flag(cx, &joiner.name, "kube-apiserver", "tls-cert-file").await?;
    let Some(path) = path.map(PathBuf::from) else { return Ok(findings) };
    let cert = cx.cert(&joiner.name, &path).await?;
    if !cert.sans.contains(&San::Ip(joiner.address)) {
        findings.push(block(
            joiner,
            format!("the apiserver certificate {} is not for {}", path.display(), joiner.address),
            "whoever asks the new apiserver by its address would refuse what it serves",
            "do chapter 4 first".into(),
        ));
    }
    Ok(findings)
}

/// Listened on by its own control plane already is fine: a start that was interrupted goes on.
async fn ports(cx: &Ctx, joiner: &Node) -> Result<Vec<Finding>, ActError> {
    let own = |program: &str| program.is_empty() || program.starts_with("kube") || program.starts_with("hyperkube");
    let taken = units::listeners(cx, &joiner.name).await?.into_iter().filter(|(_, program)| !own(program));
    Ok(taken
        .map(|(port, program)| {
            block(
                joiner,
                format!("port {port} of {} is taken by {program}", joiner.name),
                "the control plane cannot listen there; on a former worker it may be its nginx-proxy",
                format!("stop {program}, then run again"),
            )
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{HostName, Role, SshSettings};

    #[test]
    fn a_master_is_found_in_a_url_by_its_whole_address() {
        let node = |address: &str| Node {
            name: HostName::new("m"),
            address: address.parse().unwrap(),
            role: Role::Original,
            comment: None,
            ssh: SshSettings::default(),
        };
        assert!(mentions("https://10.0.0.4:6443", &node("10.0.0.4")));
        assert!(mentions("10.0.0.4", &node("10.0.0.4")));
        assert!(mentions("https://[fd00::4]:6443/", &node("fd00::4")));
        assert!(!mentions("https://10.0.0.41:6443", &node("10.0.0.4")));
    }
}
