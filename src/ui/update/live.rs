//! What the pollers see, taken into the model.

use std::time::Duration;

use crate::{
    cluster::EtcdPair,
    remote::{clean, etcd::Membership},
    survey::HostObserved,
    ui::{
        model::{BEATS, Beat, Etcd, Held, Model},
        xray::Matrix,
    },
};

/// A fresh look at etcd. An older one than what is known changes nothing.
pub fn etcd(etcd: &mut Etcd, look: Result<Membership, String>, at: Duration) {
    match look {
        Ok(membership) => {
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
    let voters = || membership.members.iter().filter(|m| !m.learner);
    let revision = voters().filter_map(|m| Some(m.status.as_ref().ok()?.revision)).max()?;
    let all: Option<Vec<Duration>> = voters().map(|m| m.status.as_ref().ok().map(|s| s.latency)).collect();
    Some(Beat { at, revision, slowest: all.and_then(|all| all.into_iter().max()) })
}

/// The masters were looked at again.
pub fn masters(model: &mut Model, hosts: Vec<HostObserved>, at: Duration) {
    for host in &hosts {
        let Ok(seen) = &host.seen else { continue };
        model.journal.clock(&host.name, seen.facts.clock_offset_ms);
        for pair in EtcdPair::ALL {
            let cert = seen.etcd.as_ref().and_then(|e| e.certs.get(&pair)?.cert.as_ref().ok());
            if let Some(cert) = cert {
                let names = || cert.sans.clone();
                model.names_at_start.entry((host.name.clone(), pair)).or_insert_with(names);
            }
        }
    }
    model.masters.matrix = Matrix::new(&model.cluster, &hosts);
    model.masters.hosts = hosts;
    model.masters.at = Some(at);
}

/// Holds the live panels still, or lets them go on. The quorum line goes on regardless.
pub fn pause(model: &mut Model) {
    if model.held.take().is_none() {
        let (etcd, masters) = (model.etcd.clone(), model.masters.clone());
        model.held = Some(Box::new(Held { etcd, masters }));
        model.journal.stay();
    } else {
        model.journal.follow();
    }
}
