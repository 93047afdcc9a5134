//! Whether something is as it has to be: how a drill is known to be cured, whoever did what about it.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;

use super::{
    Practice,
    kube::{
        docker, kubelet,
        process::{Loaded, Process},
        tokens::Verifier,
    },
    world::World,
};
use crate::cluster::{Cluster, HostName};

/// Something that has to be so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Check {
    /// The host's file system takes what is written.
    Writable {
        /// Which host.
        host: String,
    },
    /// systemd can start etcd there.
    UnitStarts {
        /// Where.
        host: String,
    },
    /// New members of etcd get all of the database.
    CatchesUp,
    /// Every member of etcd's list has been started.
    AllStarted,
    /// No pod of a master's manifests is made twice, and what runs is what they say.
    ManifestsInForce {
        /// Which master.
        host: String,
    },
    /// Calico's agent is Ready, and the file with the node's name holds just that.
    AgentReady {
        /// Where.
        host: String,
    },
    /// All masters' apiservers run and take tokens by the same key, and all sign with it.
    AccountKeysSame,
    /// All masters' apiservers run and take callers by the same CA, and all have its key.
    ClusterCaSame,
    /// The master's apiserver runs and knows every member of etcd that the file names as a master.
    EtcdServers {
        /// Which master.
        host: String,
    },
    /// The worker's proxy runs with its file as it is now, and passes on to a master.
    ProxyInForce {
        /// Which worker.
        host: String,
    },
}

impl Practice {
    /// Whether all of it is so.
    pub fn holds(&self, checks: &[Check]) -> bool {
        self.with(|world| checks.iter().all(|check| check.holds(world, &self.cluster)))
    }
}

impl Check {
    fn holds(&self, world: &World, cluster: &Cluster) -> bool {
        match self {
            Self::Writable { host } => {
                world.hosts.get(&HostName::new(host)).is_some_and(|h| h.files.writable().is_ok() && h.files.free > 0)
            }
            Self::UnitStarts { host } => world.hosts.get(&HostName::new(host)).is_some_and(|h| h.broken.is_none()),
            Self::CatchesUp => world.etcd.clusters.values().all(|c| c.catch_up.is_some()),
            Self::AllStarted => {
                world.etcd.clusters.values().flat_map(|c| c.members.values()).all(|m| !m.name.is_empty())
            }
            Self::ManifestsInForce { host } => manifests_in_force(world, cluster, &HostName::new(host)),
            Self::AgentReady { host } => agent_ready(world, cluster, &HostName::new(host)),
            Self::AccountKeysSame => {
                same(&apiservers(world, cluster), |api| api.sa_keys.clone())
                    && same(&files(world, cluster, &cluster.kube.pki.join("sa.key")), |pem| Verifier::from_pem(pem))
            }
            Self::ClusterCaSame => {
                same(&apiservers(world, cluster), |api| api.ca.clone())
                    && same(&files(world, cluster, &cluster.kube.pki.join("ca-key.pem")), Clone::clone)
            }
            Self::EtcdServers { host } => {
                let api = apiserver(world, &HostName::new(host));
                api.is_some_and(|api| {
                    let known: BTreeSet<_> = api.etcd.iter().map(std::net::SocketAddr::ip).collect();
                    cluster.masters.iter().all(|m| known.contains(&m.address))
                })
            }
            Self::ProxyInForce { host } => {
                let name = HostName::new(host);
                let container = world.kube.containers.get(&(name.clone(), cluster.kube.nginx_container.clone()));
                let file = world.hosts.get(&name).and_then(|h| h.files.read(&cluster.kube.nginx_conf).ok());
                let seen = container.filter(|c| c.runs()).map(|c| c.seen.clone());
                seen.is_some() && seen == file && !docker::cut_off(world, &name)
            }
        }
    }
}

/// What a master's apiserver has read, if it serves.
fn apiserver<'a>(world: &'a World, host: &HostName) -> Option<&'a Loaded> {
    let now = world.clock.now();
    let serves = |p: &&Process| &p.host == host && p.is_apiserver() && p.port().is_some_and(|at| p.listens(at, now));
    world.kube.processes.iter().find(serves)?.api.as_ref()
}

/// Of every master, as far as it is there.
fn apiservers<'a>(world: &'a World, cluster: &'a Cluster) -> Vec<Option<&'a Loaded>> {
    cluster.masters.iter().map(|m| apiserver(world, &m.name)).collect()
}

/// A file of every master, as far as it is there.
fn files(world: &World, cluster: &Cluster, path: &Path) -> Vec<Option<bytes::Bytes>> {
    cluster.masters.iter().map(|m| world.hosts.get(&m.name)?.files.read(path).ok()).collect()
}

/// Whether all are there and have the same.
fn same<T, V: PartialEq>(all: &[Option<T>], of: impl Fn(&T) -> V) -> bool {
    let mut values = all.iter().map(|one| one.as_ref().map(&of));
    let Some(Some(first)) = values.next() else { return false };
    values.all(|value| value.as_ref() == Some(&first))
}

fn manifests_in_force(world: &World, cluster: &Cluster, name: &HostName) -> bool {
    let Some(host) = world.hosts.get(name) else { return false };
    let pods = kubelet::pods(host, &cluster.kube.manifests);
    let names: BTreeSet<_> = pods.iter().map(|(pod, _)| pod).collect();
    let runs = |(pod, manifest): &(String, serde_json::Value)| {
        let own = |p: &&Process| &p.host == name && &p.pod == pod && !p.is_ending();
        world.kube.processes.iter().find(own).is_some_and(|p| p.exists() && &p.manifest == manifest)
    };
    names.len() == pods.len() && pods.iter().all(runs)
}

fn agent_ready(world: &World, cluster: &Cluster, name: &HostName) -> bool {
    let now = world.clock.now();
    let Some(node) = cluster.node(name).map(|n| cluster.node_name(n)) else { return false };
    let text = world.hosts.get(name).and_then(|h| h.files.text("/var/lib/calico/nodename"));
    let agent = world.kube.stores.values().find_map(|s| s.agents.get(&node));
    text.as_ref() == Some(&node) && agent.is_some_and(|a| a.ends.is_none() && a.ready.is_some_and(|at| at <= now))
}
