//! Chapter 2: etcd on the new nodes, one member at a time.

use std::sync::Arc;

use super::Ctx;
use crate::{
    cluster::{Cluster, HostName},
    engine::step::SharedStep,
    pki::San,
    remote::etcd::{Membership, Version},
};

mod certs;
mod conf;
mod host;
mod install;
mod join;
mod joiner_certs;
mod promote;
mod rehearse;

/// The chapter's steps for this cluster file.
pub(super) fn steps(cx: &Arc<Ctx>) -> Vec<SharedStep> {
    let mut steps: Vec<SharedStep> = Vec::new();
    for joiner in &cx.cluster.join {
        steps.push(Arc::new(host::PrepareHost::new(cx.clone(), joiner.clone())));
        steps.push(Arc::new(install::Install::new(cx.clone(), joiner.clone())));
    }
    for master in &cx.cluster.masters {
        steps.push(Arc::new(certs::Reissue::new(cx.clone(), master.clone())));
    }
    for joiner in &cx.cluster.join {
        steps.push(Arc::new(joiner_certs::JoinerCerts::new(cx.clone(), joiner.clone())));
        steps.push(Arc::new(rehearse::RehearseStep::new(cx.clone(), joiner.clone())));
        steps.push(Arc::new(join::Join::new(cx.clone(), joiner.clone())));
        if learners(cx) {
            steps.push(Arc::new(promote::Promote::new(cx.clone(), joiner.clone())));
        }
    }
    steps.push(Arc::new(conf::UpdateConf::new(cx.clone())));
    steps
}

/// The lowest version any member runs, as the survey saw it.
fn version(cx: &Ctx) -> Option<Version> {
    cx.observed.etcd.as_ref().ok().and_then(Membership::lowest_version)
}

/// Whether every member knows learners. 3.3 silently adds a voter instead, so "not known" counts as no.
fn learners(cx: &Ctx) -> bool {
    version(cx).is_some_and(Version::has_learners)
}

/// The names every certificate is to have: its own, and every master's and joiner's address. Where a certificate names an
/// original by host name, the joiners' names are added the same way.
pub(super) fn wanted_sans(cluster: &Cluster, old: &[San]) -> Vec<San> {
    let mut add: Vec<San> = cluster.all_masters().map(|n| San::Ip(n.address)).collect();
    let has = |name: &str| old.contains(&San::Dns(name.to_owned()));
    if cluster.masters.iter().any(|m| has(m.name.as_str())) {
        add.extend(cluster.join.iter().map(|j| San::Dns(j.name.to_string())));
    }
    if cluster.domain.is_some() && cluster.masters.iter().any(|m| has(&cluster.node_name(m))) {
        add.extend(cluster.join.iter().map(|j| San::Dns(cluster.node_name(j))));
    }
    crate::pki::with_added(old, &add)
}

/// A step's title with its host.
fn title(kind: &str, host: &HostName) -> String {
    super::texts::title(kind, Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joiners_are_named_the_way_the_originals_are() {
        let text = "cluster: c\ndomain: example.com\nmasters: [{name: m1, address: 10.0.0.1}]\njoin: [{name: m2, address: 10.0.0.2}]\n";
        let cluster = crate::cluster::file::parse(text, std::path::Path::new("c.yaml"), None).unwrap();
        let ip = |s: &str| San::Ip(s.parse().unwrap());
        let dns = |s: &str| San::Dns(s.to_owned());
        assert_eq!(
            wanted_sans(&cluster, &[ip("10.0.0.1"), ip("127.0.0.1")]),
            [ip("10.0.0.1"), ip("127.0.0.1"), ip("10.0.0.2")]
        );
        assert_eq!(
            wanted_sans(&cluster, &[dns("m1"), dns("m1.example.com")]),
            [dns("m1"), dns("m1.example.com"), ip("10.0.0.1"), ip("10.0.0.2"), dns("m2"), dns("m2.example.com")]
        );
    }
}
