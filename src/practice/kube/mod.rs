//! Kubernetes in memory: kubelets that run what lies in their manifests directories, apiservers that serve what lies in
//! their hosts' files and keep what they are told in etcd's model, the workers' proxies, calico's agents.
//!
//! Workers' kubelets run no static pods here: nothing in the runbook puts a manifest there, and a thousand directories need
//! not be watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub mod agents;
pub mod api;
mod complaints;
pub mod docker;
pub mod kubelet;
pub mod layout;
pub mod nginx;
pub mod objects;
pub mod packages;
mod pki;
pub mod process;
mod resources;
pub mod server;
pub mod tokens;

use super::{
    units::{self, Exit},
    world::World,
};
use crate::cluster::HostName;

/// Everything there is of Kubernetes.
#[derive(Debug, Clone, Default)]
pub struct Kube {
    /// Kubelets that run.
    pub kubelets: BTreeMap<HostName, kubelet::Kubelet>,
    /// Those of them that have not registered their node yet.
    pub registering: BTreeSet<HostName>,
    /// Static pods' processes, coming and going ones included.
    pub processes: Vec<process::Process>,
    /// What the apiservers have written, by the etcd cluster that they wrote it to.
    pub stores: BTreeMap<u64, objects::Store>,
    /// Containers that docker keeps by name.
    pub containers: BTreeMap<(HostName, String), docker::Container>,
    /// When what suffers complains again.
    complains: Duration,
    /// Packages that can be had.
    pub repository: Vec<Arc<packages::Package>>,
    /// Packages that are installed.
    pub installed: BTreeMap<HostName, layout::Installed>,
}

/// Connections of a copy are its own.
pub fn wake(kube: &mut Kube) {
    kube.processes.iter_mut().for_each(process::Process::wake);
    kube.containers.values_mut().for_each(docker::Container::wake);
}

/// Brings everything up to now.
pub fn settle(world: &mut World) {
    kubelet::settle(world);
    process::settle(world);
    objects::settle(world);
    complaints::settle(world);
}

/// A unit's process was started: what that means where it is docker or a kubelet.
pub fn started(world: &mut World, host: &HostName, unit: &str, text: &str, program: &str) -> Result<(), Exit> {
    match program.rsplit('/').next() {
        Some("dockerd") => {
            docker::started(world, host);
            Ok(())
        }
        Some("kubelet") => kubelet::started(world, host, unit, text),
        _ => Ok(()),
    }
}

/// A unit was stopped or ended.
pub fn stopped(world: &mut World, host: &HostName, unit: &str) {
    if world.kube.kubelets.get(host).is_some_and(|k| k.unit == unit) {
        kubelet::stopped(world, host);
    }
    if unit == "docker" {
        // What requires it is stopped with it.
        let kubelet = world.kube.kubelets.get(host).map(|k| k.unit.clone());
        let requires = |unit: &String| {
            let loaded = world.hosts.get(host)?.units.get(unit)?.loaded.as_ref()?;
            Some(loaded.lines().any(|l| l.trim().strip_prefix("Requires=").is_some_and(|r| r.contains("docker"))))
        };
        if let Some(unit) = kubelet.filter(|k| requires(k) == Some(true)) {
            units::stop(world, host, &unit);
        }
        docker::stopped(world, host);
        process::killed(world, host);
    }
}

/// A host went off: nothing runs on it any more.
pub fn powered_off(world: &mut World, host: &HostName) {
    kubelet::stopped(world, host);
    docker::stopped(world, host);
    process::killed(world, host);
}

/// Who listens on a port of a host, by the name that `ss` shows.
pub fn listener(world: &World, host: &HostName, port: u16) -> Option<String> {
    let now = world.clock.now();
    let process = world.kube.processes.iter().find(|p| &p.host == host && p.listens(port, now));
    if let Some(process) = process {
        // The kernel keeps 15 characters of a program's name.
        return Some(process.program().chars().take(15).collect());
    }
    if port == kubelet::PORT && world.kube.kubelets.contains_key(host) {
        return Some("kubelet".into());
    }
    let own = world.kube.containers.range((host.clone(), String::new())..).take_while(|((h, _), _)| h == host);
    own.into_iter().any(|(_, c)| c.ports(now).contains(&port)).then(|| "nginx".into())
}
