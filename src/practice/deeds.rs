//! What an engineer can do by hand: before a drill begins, and about it, whether that repairs it or not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Fault, Practice,
    clock::Clock,
    etcd::rules::{Asked, add, remove},
    kube::docker,
    units,
    world::World,
};
use crate::{
    cluster::{Cluster, HostName, url},
    remote::op::{Owner, UnitVerb},
};

/// In steps of so much, time goes by where nobody looks.
const STEP: Duration = Duration::from_millis(500);

/// Stops a unit and starts it again; the others notice in between.
fn restart(world: &mut World, host: &HostName, unit: &str) -> units::Answer {
    let (status, said) = units::systemctl(world, host, UnitVerb::Stop, unit);
    if status != 0 {
        return (status, said);
    }
    world.settle();
    units::systemctl(world, host, UnitVerb::Start, unit)
}

/// Replaces text in a file; what owner and mode it has stays.
fn replace(world: &mut World, host: &HostName, path: &std::path::Path, from: &str, to: &str) -> bool {
    let Some(host) = world.hosts.get_mut(host) else { return false };
    let (Some(text), Some(mut entry)) = (host.files.text(path), host.files.entry(path).cloned()) else { return false };
    if !text.contains(from) {
        return false;
    }
    entry.kind = super::files::Kind::File(text.replace(from, to).into());
    host.files.lay(path, entry);
    true
}

/// Something that somebody does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// What an engineer does about a fault: the certificate is issued again, the disk freed, the host switched on.
    Mend(Mended),
    /// `systemctl VERB UNIT` with etcd's unit.
    Etcd {
        /// Where.
        host: String,
        /// What.
        verb: Verb,
    },
    /// What an engineer does that makes things worse.
    Strike(Mended),
    /// `systemctl restart UNIT`.
    Unit {
        /// Where.
        host: String,
        /// Which unit.
        unit: String,
    },
    /// `kubectl delete pod` of calico's agent on a host: the daemon set makes it again.
    Agent {
        /// Where.
        host: String,
    },
    /// `docker restart` of the control plane's containers on a master: they read their files again.
    StaticPods {
        /// Where.
        host: String,
    },
    /// `docker exec nginx-proxy nginx -s reload`: reads the file that is mounted again, which may be the old one.
    ProxyReload {
        /// On which worker.
        host: String,
    },
    /// `docker restart nginx-proxy`.
    Proxy {
        /// On which worker.
        host: String,
    },
    /// `etcdctl member add`, with a vote.
    MemberAdd {
        /// The address in its peer URL.
        address: std::net::IpAddr,
    },
    /// `etcdctl member remove`.
    MemberRemove {
        /// The address in its peer URL.
        address: std::net::IpAddr,
    },
    /// Text in a file becomes other text.
    Replace {
        /// Where.
        host: String,
        /// Which file.
        path: std::path::PathBuf,
        /// What is there.
        from: String,
        /// What shall be there.
        to: String,
    },
    /// A file or a directory with all that is in it is removed.
    Remove {
        /// Where.
        host: String,
        /// What.
        path: std::path::PathBuf,
    },
    /// `chown`.
    Owner {
        /// Where.
        host: String,
        /// Which file.
        path: std::path::PathBuf,
        /// User and group.
        owner: String,
    },
}

/// Which fault is meant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mended {
    /// The fault, as a scenario names it.
    pub of: Fault,
}

/// What `systemctl` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Restart it.
    Restart,
}

impl Practice {
    /// Time goes by while nobody looks.
    pub fn pass(&self, time: Duration) {
        self.with(|world| {
            let end = world.clock.now() + time;
            while world.clock.now() < end {
                world.clock = Clock::from(world.clock.now() + STEP, world.clock.speed());
                world.settle();
            }
        });
    }

    /// Does something a trainee chose. What the hosts or etcd answer when they refuse.
    ///
    /// # Errors
    /// The words of etcd, systemd or the file system.
    pub fn attempt(&self, deed: &Deed) -> Result<(), String> {
        self.with(|world| deed.act(world, &self.cluster))
    }

    /// The text of a file, named `HOST:PATH`.
    ///
    /// # Errors
    /// When it is not there, or no text.
    pub fn read_text(&self, file: &str) -> Result<String, String> {
        let (host, path) = file.split_once(':').unwrap_or((file, ""));
        self.with(|w| w.hosts.get(&HostName::new(host)).and_then(|h| h.files.text(path)))
            .ok_or_else(|| format!("{file}: no such file, or no text"))
    }

    /// Writes a file; owner and mode are kept where it is there, and are root's where it is not.
    ///
    /// # Errors
    /// The file system's words.
    pub fn write_text(&self, file: &str, text: &str) -> Result<(), String> {
        let (host, path) = file.split_once(':').unwrap_or((file, ""));
        let path = std::path::Path::new(path);
        self.with(|w| {
            let host = w.hosts.get_mut(&HostName::new(host)).ok_or("no such host")?;
            let old = host.files.entry(path).map(|e| (e.mode, e.owner.clone()));
            let (mode, owner) = old.unwrap_or_else(|| (0o644, Owner::root()));
            host.files.put(path, text.to_owned().into(), mode, owner).map_err(super::files::Errno::words)
        })
        .map_err(|why| format!("{file}: {why}"))
    }

    /// Removes a file, named `HOST:PATH`.
    ///
    /// # Errors
    /// The file system's words.
    pub fn remove_file(&self, file: &str) -> Result<(), String> {
        let (host, path) = file.split_once(':').unwrap_or((file, ""));
        self.attempt(&Deed::Remove { host: host.to_owned(), path: path.into() }).map_err(|why| format!("{host}:{why}"))
    }
}

impl Deed {
    fn act(&self, world: &mut World, cluster: &Cluster) -> Result<(), String> {
        match self {
            Self::Mend(mended) => mended.of.mend(world, cluster),
            Self::Strike(mended) => mended.of.strike(world, cluster),
            Self::MemberAdd { address } => {
                let urls = [url(*address, cluster.etcd.peer_port)];
                let now = world.clock.now();
                let version = world.etcd.processes.first().map(|p| p.version).ok_or("etcd does not run")?;
                let etcd = world.etcd.clusters.values_mut().next().ok_or("etcd does not run")?;
                let at = etcd.leader.ok_or("etcdserver: no leader")?;
                let asked = Asked { at, version, now };
                add(etcd, &urls, false, asked, 2).map_err(|status| status.message().to_owned())?;
            }
            Self::Unit { host, unit } => {
                let (status, said) = units::systemctl(world, &HostName::new(host), UnitVerb::Restart, unit);
                if status != 0 {
                    return Err(said.trim().to_owned());
                }
            }
            Self::Agent { host } => {
                let name = HostName::new(host);
                let node = cluster.node(&name).map(|n| cluster.node_name(n)).ok_or("no such host")?;
                let now = world.clock.now();
                world.kube.stores.values_mut().for_each(|store| store.end_agent(&node, now));
            }
            Self::StaticPods { host } => {
                let (name, now) = (HostName::new(host), world.clock.now());
                for process in world.kube.processes.iter_mut().filter(|p| p.host == name && !p.is_ending()) {
                    process.end(now);
                }
                if let Some(kubelet) = world.kube.kubelets.get_mut(&name) {
                    kubelet.looks_anew();
                }
            }
            Self::ProxyReload { host } => docker::reload(world, &HostName::new(host), &cluster.kube.nginx_container),
            Self::Proxy { host } => docker::restart(world, &HostName::new(host), &cluster.kube.nginx_container),
            Self::Etcd { host, verb } => {
                let (name, unit) = (HostName::new(host), cluster.etcd.unit.as_str());
                let (status, said) = match verb {
                    Verb::Start => units::systemctl(world, &name, UnitVerb::Start, unit),
                    Verb::Stop => units::systemctl(world, &name, UnitVerb::Stop, unit),
                    Verb::Restart => restart(world, &name, unit),
                };
                if status != 0 {
                    return Err(said.trim().to_owned());
                }
            }
            Self::MemberRemove { address } => {
                let url = url(*address, cluster.etcd.peer_port);
                let now = world.clock.now();
                let version = world.etcd.processes.first().map(|p| p.version);
                let found = world.etcd.clusters.values_mut().find_map(|c| {
                    let id = c.members.values().find(|m| m.peer_urls.contains(&url))?.id;
                    Some((c, id))
                });
                let (Some((etcd, id)), Some(version)) = (found, version) else {
                    return Err("etcdserver: member not found".into());
                };
                let at = etcd.leader.ok_or("etcdserver: no leader")?;
                remove(etcd, id, Asked { at, version, now }).map_err(|status| status.message().to_owned())?;
            }
            Self::Replace { host, path, from, to } => {
                if !replace(world, &HostName::new(host), path, from, to) {
                    return Err(format!("{host}:{}: there is no {from} in it", path.display()));
                }
            }
            Self::Remove { host, path } => {
                let host = world.hosts.get_mut(&HostName::new(host)).ok_or("no such host")?;
                host.files.remove(path).map_err(|e| format!("{}: {}", path.display(), e.words()))?;
            }
            Self::Owner { host, path, owner } => {
                let host = world.hosts.get_mut(&HostName::new(host)).ok_or("no such host")?;
                let mode = host.files.entry(path).map(|e| e.mode).ok_or("No such file or directory")?;
                let set = host.files.set(path, mode, &Owner::both(owner));
                set.map_err(|e| format!("{}: {}", path.display(), e.words()))?;
            }
        }
        Ok(())
    }
}
