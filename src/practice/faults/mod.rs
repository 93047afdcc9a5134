//! Accidents by name, from a scenario file or a test.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

mod kube;

use super::{
    clock::epoch_ms,
    etcd::model::{Member, member_id},
    files::Entry,
    host::{Line, Power},
    pki::Authority,
    units::{self, Exit},
    world::World,
};
use crate::{
    cluster::{Cluster, EtcdPair, HostName},
    pki::{CertInfo, PrivateKey, Reissue, San, reissue},
    remote::op::{Owner, UnitVerb},
};

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The host is off.
    HostDown {
        /// Which host.
        host: String,
    },
    /// The host is frozen.
    HostHangs {
        /// Which host.
        host: String,
    },
    /// The SSH session breaks with the operation of that number from now: it takes effect and is not answered.
    SshDrops {
        /// Which host.
        host: String,
        /// The how-manieth operation.
        after: u32,
    },
    /// Everything takes that much longer.
    SlowHost {
        /// Which host.
        host: String,
        /// Milliseconds.
        ms: u64,
    },
    /// What the host says tries to move the operator's cursor.
    HostileOutput {
        /// Which host.
        host: String,
    },
    /// Not a byte is free.
    DiskFull {
        /// Which host.
        host: String,
    },
    /// The file system is read-only.
    ReadOnly {
        /// Which host.
        host: String,
    },
    /// The clock is off.
    ClockOff {
        /// Which host.
        host: String,
        /// Seconds, negative for slow.
        seconds: i64,
    },
    /// The runbook's own slip: a peer URL that ends in 2378.
    WrongPort {
        /// Whose etcd.conf.
        host: String,
    },
    /// The server and peer certificates lack the host's own address.
    SanMissing {
        /// Whose.
        host: String,
    },
    /// The CA file is another CA's, of the same name.
    ForeignCa {
        /// Whose.
        host: String,
    },
    /// The server certificate has expired.
    ExpiredCertificate {
        /// Whose.
        host: String,
    },
    /// The data directory of another life.
    OldData {
        /// Whose.
        host: String,
    },
    /// systemd cannot start etcd there, however right its files are.
    UnitFails {
        /// Where.
        host: String,
    },
    /// New members never get further than a part of the database.
    LearnerStuck,
    /// A member's etcd is stopped.
    MemberDown {
        /// Whose.
        host: String,
    },
    /// etcd's space is used up, and the alarm is on.
    NoSpace,
    /// Somebody has added it as a voter and never started it.
    MemberAdded {
        /// Whom.
        host: String,
    },
    /// A CA of its own lies where the cluster's belongs: the "two clusters on one database" of the runbook's FAQ.
    FreshCa {
        /// Where.
        host: String,
    },
    /// The keys that sign service accounts' tokens are others.
    ServiceAccountKeys {
        /// Where.
        host: String,
    },
    /// Secrets are encrypted with a key of its own.
    EncryptionDiffers {
        /// Where.
        host: String,
    },
    /// The apiserver's certificate lacks the host's own address.
    ApiserverSanMissing {
        /// Where.
        host: String,
    },
    /// A drop-in of another life gives the kubelet the name that the host had before.
    KubeletName {
        /// Where.
        host: String,
    },
    /// A backup copy of the apiserver's manifest lies beside it, where the kubelet reads it, too.
    StrayManifest {
        /// Where.
        host: String,
    },
    /// The apiserver knows one of etcd's members only.
    StaleEtcdServers {
        /// Where.
        host: String,
    },
    /// An editor has left a line end behind the node's name.
    NodenameNewline {
        /// Where.
        host: String,
    },
    /// The worker's proxy takes its configuration no more: its image lacks the stream module.
    NginxRefused {
        /// Which worker.
        host: String,
    },
    /// The worker's nginx.conf names all masters, and its proxy was never restarted.
    ProxyNotRestarted {
        /// Which worker.
        host: String,
    },
}

impl Fault {
    /// The host it is about, if one.
    pub fn host(&self) -> Option<HostName> {
        match self {
            Self::HostDown { host }
            | Self::HostHangs { host }
            | Self::SshDrops { host, .. }
            | Self::SlowHost { host, .. }
            | Self::HostileOutput { host }
            | Self::DiskFull { host }
            | Self::ReadOnly { host }
            | Self::ClockOff { host, .. }
            | Self::WrongPort { host }
            | Self::SanMissing { host }
            | Self::ForeignCa { host }
            | Self::ExpiredCertificate { host }
            | Self::OldData { host }
            | Self::UnitFails { host }
            | Self::MemberDown { host }
            | Self::MemberAdded { host }
            | Self::FreshCa { host }
            | Self::ServiceAccountKeys { host }
            | Self::EncryptionDiffers { host }
            | Self::ApiserverSanMissing { host }
            | Self::KubeletName { host }
            | Self::StrayManifest { host }
            | Self::StaleEtcdServers { host }
            | Self::NodenameNewline { host }
            | Self::NginxRefused { host }
            | Self::ProxyNotRestarted { host } => Some(HostName::new(host)),
            Self::LearnerStuck | Self::NoSpace => None,
        }
    }

    /// Makes it happen. `cluster` says where things lie.
    pub fn strike(&self, world: &mut World, cluster: &Cluster) {
        if let Some(name) = self.host() {
            self.strike_host(world, cluster, &name);
            return;
        }
        for etcd in world.etcd.clusters.values_mut() {
            match self {
                Self::LearnerStuck => etcd.catch_up = None,
                _ => {
                    let member = etcd.members.keys().next().copied().unwrap_or(0);
                    etcd.alarms.insert((member, 1));
                }
            }
        }
    }

    fn strike_host(&self, world: &mut World, cluster: &Cluster, name: &HostName) {
        match self {
            Self::HostDown { .. } => return world.power(name, Power::Down),
            Self::HostHangs { .. } => return world.power(name, Power::Hung),
            Self::MemberDown { .. } => {
                units::systemctl(world, name, UnitVerb::Stop, &cluster.etcd.unit);
                return;
            }
            Self::MemberAdded { .. } => return added(world, cluster, name),
            Self::NginxRefused { .. } => return self.refuse(world, cluster, name, true),
            _ => {}
        }
        let Some(host) = world.hosts.get_mut(name) else { return };
        match self {
            Self::SshDrops { after, .. } => host.line.drops_after = Some(*after),
            Self::SlowHost { ms, .. } => host.line.slow = Duration::from_millis(*ms),
            Self::HostileOutput { .. } => host.line.hostile = true,
            Self::DiskFull { .. } => host.full = Some(std::mem::replace(&mut host.files.free, 0)),
            Self::ReadOnly { .. } => host.files.read_only = true,
            Self::ClockOff { seconds, .. } => host.clock_ms = seconds * 1000,
            Self::UnitFails { .. } => {
                let unit = &cluster.etcd.unit;
                let lines = vec![
                    format!(
                        "{unit}.service: Failed to set up mount namespacing: /run/systemd/unit-root/var/lib/etcd: No such file or directory"
                    ),
                    format!(
                        "{unit}.service: Failed at step NAMESPACE spawning {}: No such file or directory",
                        cluster.etcd.bin.join("etcd").display()
                    ),
                ];
                host.broken = Some((unit.clone(), Exit::new(226, lines)));
            }
            _ => {
                let etcd = self.files(world, cluster, name);
                for (path, entry) in etcd.into_iter().chain(self.kube_files(world, cluster, name)) {
                    let Some(host) = world.hosts.get_mut(name) else { return };
                    let before = host.files.entry(&path).cloned();
                    host.before.entry(path.clone()).or_insert(before);
                    host.files.lay(&path, entry);
                }
                self.restart(world, name);
            }
        }
    }

    /// Starts the unit that it is about again, where it runs.
    fn restart(&self, world: &mut World, name: &HostName) {
        self.ends(world, name);
        let Some(unit) = self.unit() else { return };
        if world.hosts.get(name).and_then(|h| h.units.get(unit)).is_some_and(units::Unit::is_active) {
            units::systemctl(world, name, UnitVerb::Restart, unit);
        }
    }

    /// The files of etcd that it changes, as they are afterwards.
    fn files(&self, world: &World, cluster: &Cluster, name: &HostName) -> Vec<(PathBuf, Entry)> {
        let Some(host) = world.hosts.get(name) else { return Vec::new() };
        let etcd = &cluster.etcd;
        let file = |path: &Path, bytes: Vec<u8>, mode: u32| {
            let old = host.files.entry(path);
            let owner = old.map_or_else(|| Owner::both(&etcd.user), |e| e.owner.clone());
            let kind = super::files::Kind::File(bytes.into());
            (path.to_owned(), Entry { kind, mode: old.map_or(mode, |e| e.mode), owner, mtime: host.files.now })
        };
        let reissued = |pair: EtcdPair, sans: &dyn Fn(&CertInfo) -> Vec<San>, days_ago: i64, lifetime: Option<u32>| {
            let path = etcd.cert(pair);
            let cert = host.files.read(&path).ok()?;
            let (ca, key) = (host.files.read(&etcd.ca()).ok()?, host.files.read(&etcd.ca_key()).ok()?);
            let info = CertInfo::from_pem(&cert).ok()?;
            let now = epoch_ms() / 1000 - days_ago * 86_400;
            let ca_key = PrivateKey::from_pem(&key).ok()?;
            let request = Reissue {
                cert: &cert,
                ca: &ca,
                ca_key: &ca_key,
                sans: &sans(&info),
                new_key: None,
                lifetime_days: lifetime,
                now,
            };
            Some(file(&path, reissue(&request).ok()?.pem.into_bytes(), 0o644))
        };
        match self {
            Self::WrongPort { .. } => {
                let text = host.files.text(&etcd.config).unwrap_or_default();
                let own = format!("{}={}", name, crate::cluster::url(host.address, etcd.peer_port));
                let wrong = format!("{}={}", name, crate::cluster::url(host.address, 2378));
                vec![file(&etcd.config, text.replace(&own, &wrong).into_bytes(), 0o644)]
            }
            Self::SanMissing { .. } => {
                let own = San::Ip(host.address);
                let without = |info: &CertInfo| info.sans.iter().filter(|s| **s != own).cloned().collect();
                [EtcdPair::Server, EtcdPair::Peer].into_iter().filter_map(|p| reissued(p, &without, 0, None)).collect()
            }
            Self::ExpiredCertificate { .. } => {
                let same = |info: &CertInfo| info.sans.clone();
                reissued(EtcdPair::Server, &same, 500, Some(365)).into_iter().collect()
            }
            Self::ForeignCa { .. } => {
                let other = Authority::new("Etcd-ca").map(|ca| ca.pem).unwrap_or_default();
                vec![file(&etcd.ca(), other.into_bytes(), 0o644)]
            }
            Self::OldData { .. } => {
                let wal = etcd.data.join("member/wal/0000000000000000-0000000000000000.wal");
                vec![file(&wal, b"{\"cluster\":1,\"member\":2}".to_vec(), 0o600)]
            }
            _ => Vec::new(),
        }
    }

    /// Repairs it as an engineer would; what was done to the files since is kept where it is not the fault itself.
    pub fn mend(&self, world: &mut World, cluster: &Cluster) {
        let Some(name) = self.host() else {
            for etcd in world.etcd.clusters.values_mut() {
                etcd.alarms.clear();
                etcd.catch_up = Some(Duration::from_secs(2));
            }
            return;
        };
        match self {
            Self::HostDown { .. } | Self::HostHangs { .. } => return world.power(&name, Power::Up),
            Self::MemberDown { .. } => {
                units::systemctl(world, &name, UnitVerb::Start, &cluster.etcd.unit);
                return;
            }
            Self::MemberAdded { .. } => return removed(world, cluster, &name),
            Self::NginxRefused { .. } => return self.refuse(world, cluster, &name, false),
            _ => {}
        }
        let Some(host) = world.hosts.get_mut(&name) else { return };
        match self {
            Self::SshDrops { .. } | Self::SlowHost { .. } | Self::HostileOutput { .. } => host.line = Line::default(),
            Self::DiskFull { .. } => host.files.free = host.full.take().unwrap_or(host.files.free),
            Self::ReadOnly { .. } => host.files.read_only = false,
            Self::ClockOff { .. } => host.clock_ms = 0,
            Self::UnitFails { .. } => host.broken = None,
            Self::OldData { .. } => {
                host.before.clear();
                let _ = host.files.remove(&cluster.etcd.data);
            }
            _ => {
                for (path, before) in std::mem::take(&mut host.before) {
                    match before {
                        Some(entry) => host.files.lay(&path, entry),
                        None => {
                            let _ = host.files.remove(&path);
                            // Its directory came with it.
                            if let Some(dir) = path.parent().filter(|d| host.files.children(d).is_empty()) {
                                let _ = host.files.remove(dir);
                            }
                        }
                    }
                }
                self.restart(world, &name);
            }
        }
    }
}

/// A member that was added and has never run.
fn added(world: &mut World, cluster: &Cluster, name: &HostName) {
    let Some(node) = cluster.node(name) else { return };
    let peer_urls = vec![cluster.peer_url(node)];
    for etcd in world.etcd.clusters.values_mut() {
        let id = member_id(&peer_urls, &etcd.token, Some(epoch_ms() / 1000));
        let (name, client_urls, peer_urls) = (String::new(), Vec::new(), peer_urls.clone());
        etcd.members.insert(id, Member { id, name, peer_urls, client_urls, learner: false });
        etcd.index += 1;
    }
}

/// Its removal, as long as it has not run.
fn removed(world: &mut World, cluster: &Cluster, name: &HostName) {
    let Some(url) = cluster.node(name).map(|n| cluster.peer_url(n)) else { return };
    for etcd in world.etcd.clusters.values_mut() {
        let never_ran = etcd.members.values().filter(|m| m.name.is_empty() && m.peer_urls.contains(&url)).map(|m| m.id);
        for id in never_ran.collect::<Vec<_>>() {
            etcd.members.remove(&id);
            etcd.removed.insert(id);
            etcd.index += 1;
        }
    }
}
