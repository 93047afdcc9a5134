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
        None => trs!("is no member of etcd").to_owned(),
        Some(m) if m.learner => trs!("is still a learner").to_owned(),
        Some(m) if !m.healthy() => tr!("is not healthy: {why}", why = why_unhealthy(m)),
        Some(_) => return None,
    };
    Some(block(
        joiner,
        tr!("{name}'s etcd {why}", name = joiner.name, why = why),
        trs!("its apiserver needs an etcd that votes and answers"),
        trs!("finish chapter 2 for it first").into(),
    ))
}

async fn manifests(cx: &Ctx, joiner: &Node) -> Result<Vec<Finding>, ActError> {
    let (host, own) = (&joiner.name, joiner.address.to_string());
    let mut findings = Vec::new();
    let mut wrong = |what: String, why: &str| {
        findings.push(block(joiner, what, why, trs!("do chapter 3 for it first, or mend its manifests").into()));
    };
    let advertised = same::flag(cx, host, "kube-apiserver", "advertise-address").await?;
    if same::manifest_of(cx, host, "kube-apiserver").await?.is_none() {
        wrong(tr!("{host} has no manifest of an apiserver", host = host), trs!("there is nothing to start"));
        return Ok(findings);
    }
    if advertised.as_ref().is_some_and(|a| *a != own) {
        wrong(
            tr!("{host}'s apiserver advertises {advertised}", host = host, advertised = advertised.unwrap_or_default()),
            trs!("clients of the service kubernetes would be sent to another master"),
        );
    }
    let servers = same::flag(cx, host, "kube-apiserver", "etcd-servers").await?.unwrap_or_default();
    let listed: BTreeSet<_> = servers.split(',').map(|s| s.trim().trim_end_matches('/').to_owned()).collect();
    let missing: Vec<_> =
        cx.cluster.all_masters().map(|n| cx.cluster.client_url(n)).filter(|u| !listed.contains(u)).collect();
    if !missing.is_empty() {
        wrong(
            tr!("{host}'s apiserver does not list {missing}", host = host, missing = super::listed(missing)),
            trs!("it would lose etcd although enough members are up"),
        );
    }
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let Some(master) = same::flag(cx, host, component, "master").await? else { continue };
        if let Some(other) = cx.cluster.all_masters().find(|n| n.name != joiner.name && mentions(&master, n)) {
            wrong(
                tr!(
                    "{host}'s {component} talks to {name} ({master})",
                    host = host,
                    component = component,
                    name = other.name,
                    master = master
                ),
                trs!("it would stop when that master does"),
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
            tr!(
                "{host}'s kubelet would register as {name} and not as {wanted}",
                host = joiner.name,
                name = name,
                wanted = wanted
            ),
            trs!("the name it first registers under is the one it keeps; another node's name would push that node out"),
            trs!("set --hostname-override (or the hostname) to it first").into(),
        ));
    }
    if let Some(node) = api.node(&wanted).await?
        && !node.addresses.is_empty()
        && !node.addresses.contains(&joiner.address.to_string())
    {
        findings.push(block(
            joiner,
            tr!(
                "a node {wanted} with the address {addresses} is in the cluster already",
                wanted = wanted,
                addresses = node.addresses.join(", ")
            ),
            trs!("it is another machine, or a left-over of one"),
            tr!("find out which; if it is gone for good, `kubectl delete node {wanted}`", wanted = wanted),
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
            trs!("its control plane would not come up, or with other keys than its peers"),
            trs!("run the step that copies the certificates first").into(),
        ));
        return Ok(findings);
    }
    let path = same::flag(cx, &joiner.name, "kube-apiserver", "tls-cert-file").await?;
    let Some(path) = path.map(PathBuf::from) else { return Ok(findings) };
    let cert = cx.cert(&joiner.name, &path).await?;
    if !cert.sans.contains(&San::Ip(joiner.address)) {
        findings.push(block(
            joiner,
            tr!(
                "the apiserver certificate {path} is not for {address}",
                path = path.display(),
                address = joiner.address
            ),
            trs!("whoever asks the new apiserver by its address would refuse what it serves"),
            trs!("do chapter 4 first").into(),
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
                tr!("port {port} of {name} is taken by {program}", port = port, name = joiner.name, program = program),
                trs!("the control plane cannot listen there; on a former worker it may be its nginx-proxy"),
                tr!("stop {program}, then run again", program = program),
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
