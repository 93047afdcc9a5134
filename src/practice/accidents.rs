//! Accidents that a drill begins with, and deeds that may or may not repair them: each a change an engineer could make.

use serde::{Deserialize, Serialize};

use super::{
    Fault, Practice,
    etcd::{
        model::{Member, member_id},
        rules::{Asked, add, remove},
    },
    units,
    world::World,
};
use crate::{
    cluster::{Cluster, HostName, url},
    remote::op::{Owner, UnitVerb},
};

/// Something that somebody did to etcd, or to its files, before the drill began.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Accident {
    /// The runbook's slip in a file that is read: etcd listens for its peers at 2378, since a restart.
    ListensAtWrongPort {
        /// Whose.
        host: String,
    },
    /// The peer key was copied by root and belongs to root; etcd was restarted since.
    KeyUnreadable {
        /// Whose.
        host: String,
    },
    /// Added to etcd's list, as a learner where there are any, and never started.
    AddedNotStarted {
        /// A host of the cluster file.
        host: String,
        /// With a vote in any case.
        #[serde(default)]
        voter: bool,
    },
    /// A voter that is no host of the cluster file, and never started.
    Stranger {
        /// Its address.
        address: std::net::IpAddr,
    },
}

impl Accident {
    /// The host it is about, if one of the file.
    pub fn host(&self) -> Option<HostName> {
        match self {
            Self::ListensAtWrongPort { host } | Self::KeyUnreadable { host } | Self::AddedNotStarted { host, .. } => {
                Some(HostName::new(host))
            }
            Self::Stranger { .. } => None,
        }
    }

    /// Makes it happen.
    pub fn strike(&self, world: &mut World, cluster: &Cluster) {
        let etcd = &cluster.etcd;
        match self {
            Self::ListensAtWrongPort { host } => {
                let name = HostName::new(host);
                let Some(node) = cluster.node(&name) else { return };
                let right = format!("--listen-peer-urls {}", cluster.peer_url(node));
                let wrong = format!("--listen-peer-urls {}", url(node.address, 2378));
                replace(world, &name, &etcd.config, &right, &wrong);
                units::systemctl(world, &name, UnitVerb::Restart, &etcd.unit);
            }
            Self::KeyUnreadable { host } => {
                let name = HostName::new(host);
                if let Some(host) = world.hosts.get_mut(&name) {
                    let _ = host.files.set(&etcd.key(crate::cluster::EtcdPair::Peer), 0o600, &Owner::both("root"));
                }
                units::systemctl(world, &name, UnitVerb::Restart, &etcd.unit);
            }
            Self::AddedNotStarted { host, voter } => {
                if let Some(node) = cluster.node(&HostName::new(host)) {
                    added(world, &cluster.peer_url(node), !voter);
                }
            }
            Self::Stranger { address } => added(world, &url(*address, etcd.peer_port), false),
        }
    }
}

/// A member in the list that nobody started; etcd's own rules were met when it was added.
fn added(world: &mut World, peer_url: &str, learner: bool) {
    for cluster in world.etcd.clusters.values_mut() {
        let urls = vec![peer_url.to_owned()];
        let id = member_id(&urls, &cluster.token, Some(1));
        let learner = learner && !cluster.members.values().any(|m| m.learner);
        cluster
            .members
            .insert(id, Member { id, name: String::new(), peer_urls: urls, client_urls: Vec::new(), learner });
        cluster.index += 1;
    }
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

/// Something a trainee may do about an accident.
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
    /// Makes an accident happen.
    pub fn strike(&self, accident: &Accident) {
        self.with(|world| accident.strike(world, &self.cluster));
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

    /// Writes a file that is there, owner and mode kept.
    ///
    /// # Errors
    /// The file system's words.
    pub fn write_text(&self, file: &str, text: &str) -> Result<(), String> {
        let (host, path) = file.split_once(':').unwrap_or((file, ""));
        let path = std::path::Path::new(path);
        self.with(|w| {
            let host = w.hosts.get_mut(&HostName::new(host)).ok_or("no such host")?;
            let entry = host.files.entry(path).cloned().ok_or("No such file or directory")?;
            host.files.put(path, text.to_owned().into(), entry.mode, entry.owner).map_err(super::files::Errno::words)
        })
        .map_err(|why| format!("{file}: {why}"))
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
            Self::Etcd { host, verb } => {
                let verb = match verb {
                    Verb::Start => UnitVerb::Start,
                    Verb::Stop => UnitVerb::Stop,
                    Verb::Restart => UnitVerb::Restart,
                };
                let (status, said) = units::systemctl(world, &HostName::new(host), verb, &cluster.etcd.unit);
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
