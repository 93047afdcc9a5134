//! What the pollers see, taken into the model.

use std::time::Duration;

use crate::{
    cluster::{Cluster, EtcdPair, HostName},
    pki::San,
    remote::{
        clean,
        etcd::{Member, Membership},
    },
    survey::{HostObserved, HostSeen},
    ui::{
        model::{Answered, BEATS, Beat, CertKind, Etcd, Held, Masters, Model},
        xray::Matrix,
    },
    watch::{NodesLook, PortSeen},
};

/// A fresh look at etcd. An older one than what is known changes nothing.
pub fn etcd(etcd: &mut Etcd, look: Result<Membership, String>, at: Duration) {
    match look {
        Ok(mut membership) => {
            // etcd lists them by their ids, which tell nobody anything.
            membership
                .members
                .sort_by_cached_key(|m| m.host.as_ref().map_or_else(|| m.name.clone(), ToString::to_string));
            if etcd.last.as_ref().is_none_or(|(_, known)| *known <= at) {
                if etcd.history.back().is_none_or(|b| b.at < at) {
                    if etcd.history.len() == BEATS {
                        etcd.history.pop_front();
                    }
                    etcd.history.extend(beat(&membership, at));
                }
                etcd.last = Some((membership, at));
                etcd.error = None;
            }
        }
        Err(why) => etcd.error = Some(clean::line(&why)),
    }
}

fn beat(membership: &Membership, at: Duration) -> Option<Beat> {
    let members = &membership.members;
    let revision = members.iter().filter_map(|m| Some(m.status.as_ref().ok()?.revision)).max()?;
    let answered =
        |m: &Member| Answered { member: m.id, voter: !m.learner, latency: m.status.as_ref().ok().map(|s| s.latency) };
    Some(Beat { at, revision, answers: members.iter().map(answered).collect() })
}

/// Some of the masters were looked at again.
pub fn masters(model: &mut Model, hosts: Vec<HostObserved>, at: Duration) {
    for mut host in hosts {
        if let Ok(seen) = &host.seen {
            model.journal.clock(&host.name, seen.facts.clock_offset_ms);
            for (kind, names) in names(seen) {
                model.names_at_start.entry((host.name.clone(), kind)).or_insert_with(|| names.to_vec());
            }
        }
        let known = model.masters.hosts.iter_mut().find(|(h, _)| h.name == host.name);
        match known {
            // The survey looks at less than the poller does: what is known of Kubernetes stays until it is looked at again.
            Some((old, when)) => {
                if let (Ok(new), Ok(old)) = (&mut host.seen, &mut old.seen)
                    && new.kube.is_none()
                {
                    new.kube = old.kube.take();
                }
                (*old, *when) = (host, at);
            }
            None => model.masters.hosts.push((host, at)),
        }
    }
    let place = |name: &HostName, cluster: &Cluster| cluster.hosts().position(|n| &n.name == name);
    model.masters.hosts.sort_by_key(|(h, _)| place(&h.name, &model.cluster));
    compare(model);
}

/// The masters side by side, from what is known of them.
fn compare(model: &mut Model) {
    let hosts: Vec<&HostObserved> = model.masters.hosts.iter().map(|(h, _)| h).collect();
    let nodes = model.nodes.last.as_ref().map_or(&[][..], |(seen, _)| &seen.nodes);
    model.masters.matrix = Matrix::new(&model.cluster, &hosts, nodes);
}

/// The names in each certificate of a host.
fn names(seen: &HostSeen) -> impl Iterator<Item = (CertKind, &[San])> {
    let etcd = EtcdPair::ALL
        .into_iter()
        .filter_map(|pair| Some((CertKind::Etcd(pair), seen.etcd.as_ref()?.certs.get(&pair)?)));
    let apiserver = seen.kube.as_ref().and_then(|k| k.apiserver.as_ref()).map(|c| (CertKind::Apiserver, c));
    etcd.chain(apiserver).filter_map(|(kind, disk)| Some((kind, disk.cert.as_ref().ok()?.sans.as_slice())))
}

/// Some of the ports were looked at again.
pub fn served(masters: &mut Masters, ports: Vec<PortSeen>, at: Duration) {
    for port in ports {
        match masters.served.iter_mut().find(|(p, _)| p.host == port.host && p.port == port.port) {
            Some(known) => *known = (port, at),
            None => masters.served.push((port, at)),
        }
    }
}

/// A fresh look at the nodes.
pub fn nodes(model: &mut Model, look: NodesLook, at: Duration) {
    match look {
        Ok(seen) => {
            let versions = |nodes: &[crate::watch::NodeSeen]| {
                nodes.iter().map(|n| (n.name.clone(), n.version.clone())).collect::<Vec<_>>()
            };
            let before = model.nodes.last.as_ref().map(|(known, _)| versions(&known.nodes));
            let changed = before.is_none_or(|before| before != versions(&seen.nodes));
            model.nodes.last = Some((seen, at));
            model.nodes.tried.clear();
            if changed {
                compare(model);
            }
        }
        Err(tried) => model.nodes.tried = tried.into_iter().map(|(host, why)| (host, clean::line(&why))).collect(),
    }
}

/// Holds the live panels still, or lets them go on. The quorum line goes on regardless.
pub fn pause(model: &mut Model) {
    if model.held.take().is_none() {
        let (etcd, masters, nodes) = (model.etcd.clone(), model.masters.clone(), model.nodes.clone());
        model.held = Some(Box::new(Held { etcd, masters, nodes }));
        model.journal.stay();
    } else {
        model.journal.follow();
    }
}
