//! Accidents by name, from a scenario file or a test.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
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
    /// kubelet calls itself something else.
    KubeletName {
        /// Whose kubelet.
        host: String,
        /// The name that it has.
        name: String,
    },
    /// A backup copy of the apiserver's manifest lies beside it.
    StrayManifest {
        /// Where.
        host: String,
    },
    /// The proxy's nginx takes no configuration: its image lacks the stream module.
    NginxRefuses {
        /// Which worker's.
        host: String,
    },
    /// The apiserver lists a member of etcd less than there are.
    StaleServers {
        /// Whose.
        host: String,
    },
    /// The apiserver's certificate lacks the host's own address.
    ApiserverSanMissing {
        /// Whose.
        host: String,
    },
    /// Service-account keys of its own.
    OtherTokenKeys {
        /// Whose.
        host: String,
    },
    /// Secrets are sealed with a key of its own.
    OtherEncryption {
        /// Whose.
        host: String,
    },
    /// nginx.conf was written, and the proxy not restarted.
    ProxyBehind {
        /// Which worker's.
        host: String,
    },
    /// Calico's name of the node ends in a line end.
    NodenameLine {
        /// Whose.
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
            | Self::KubeletName { host, .. }
            | Self::StrayManifest { host }
            | Self::NginxRefuses { host }
            | Self::StaleServers { host }
            | Self::ApiserverSanMissing { host }
            | Self::OtherTokenKeys { host }
            | Self::OtherEncryption { host }
            | Self::ProxyBehind { host }
            | Self::NodenameLine { host } => Some(HostName::new(host)),
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
                for (path, entry) in self.files(world, cluster, name) {
                    let Some(host) = world.hosts.get_mut(name) else { return };
                    let before = host.files.entry(&path).cloned();
                    host.before.entry(path.clone()).or_insert(before);
                    host.files.lay(&path, entry);
                }
                super::kube::faults::take_hold(self, world, cluster, name, true);
            }
        }
    }

    /// The files it changes, as they are afterwards.
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
            let now = super::clock::epoch_ms() / 1000 - days_ago * 86_400;
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
            _ => super::kube::faults::files(self, world, cluster, name),
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
                        }
                    }
                }
                super::kube::faults::take_hold(self, world, cluster, &name, false);
            }
        }
    }
}
