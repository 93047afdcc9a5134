//! Read-only: every host looked at, side by side, into one [`Observed`].
//!
//! [`collect`] asks the hosts, [`facts`] and [`parse`] read their answers, [`findings`] judges what was seen, and
//! [`show`] writes it down as plain text.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use crate::{
    cluster::{HostName, Role},
    pki::CertInfo,
    remote::{RemoteError, etcd::Membership},
};

pub mod collect;
pub mod facts;
pub mod findings;
pub mod kube;
pub mod kubelet;
pub mod parse;
pub mod show;

pub use collect::{EtcdLook, SurveyProgress, survey, survey_host};
pub use findings::findings;
pub use kube::{KubeOnHost, Shared, StaticPod, survey_kube};
pub use show::show;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it, but it does not stop the growth.
    Warn,
    /// The growth would be unsafe: it stops here.
    Block,
}

/// Something the survey or a gate noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// On which host, where on one.
    pub host: Option<HostName>,
    /// What was seen, a short sentence.
    pub what: String,
    /// What it would lead to.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// State of a systemd unit, as `systemctl show` and `is-enabled` say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitState {
    /// `loaded`, `not-found`, …
    pub load: String,
    /// `active`, `inactive`, `failed`, …
    pub active: String,
    /// `running`, `dead`, …
    pub sub: String,
    /// `enabled`, `disabled`, …
    pub enabled: String,
    /// Main process id; 0 when none.
    pub main_pid: u32,
    /// How often systemd restarted it by itself.
    pub restarts: u32,
}

impl UnitState {
    /// Whether a boot starts it: a link that lasts, or something else that pulls it in (systemctl(1), `is-enabled`).
    pub fn boots(&self) -> bool {
        matches!(self.enabled.as_str(), "enabled" | "static" | "alias" | "indirect" | "generated")
    }

    /// Its `enabled` in words.
    pub fn enabled_word(&self) -> &str {
        if self.enabled.is_empty() { trs!("not enabled") } else { &self.enabled }
    }
}

/// A file or directory as seen on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Which path.
    pub path: PathBuf,
    /// Regular file, directory, link or other.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// User name.
    pub user: String,
    /// Group name.
    pub group: String,
    /// Bytes.
    pub size: u64,
    /// Modification time, seconds since the epoch.
    pub mtime: i64,
    /// sha256 of a regular file's content, lower-case hex.
    pub sha256: Option<String>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing there.
    Absent,
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// A certificate lying on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertOnDisk {
    /// Which file.
    pub path: PathBuf,
    /// Its content read, or why it could not be.
    pub cert: Result<CertInfo, String>,
    /// Whether the key beside it belongs to it; `None` when there is no key or it was not readable.
    pub key_matches: Option<bool>,
    /// Whether the CA certificate of the same host signed it; `None` when either could not be read.
    pub issued_by_ca: Option<bool>,
}

/// One look at a host (`Op::Facts`), parsed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// Machine architecture, `uname -m`.
    pub arch: String,
    /// The host's clock minus the operator's at the moment of asking, milliseconds, half the round trip allowed for.
    pub clock_offset_ms: i64,
    /// Static hostname.
    pub hostname: String,
    /// machine-id.
    pub machine_id: String,
    /// Addresses on interfaces, loopback left out.
    pub addresses: Vec<IpAddr>,
    /// Free bytes a directory wanted.
    pub free: BTreeMap<PathBuf, u64>,
    /// Entries a directory wanted, where it exists.
    pub entries: BTreeMap<PathBuf, usize>,
    /// `active`, `inactive` or `absent`.
    pub firewalld: String,
    /// `active`, `inactive` or `absent`.
    pub ufw: String,
    /// `Enforcing`, `Permissive`, `Disabled` or `absent`.
    pub selinux: String,
    /// Listeners on the wanted ports: port, and the program where it can be told.
    pub listeners: Vec<(u16, String)>,
    /// Programs found, by name.
    pub programs: BTreeMap<String, PathBuf>,
    /// Effective user id of the session's operations.
    pub uid: u32,
}

/// etcd as it lies on one host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EtcdOnHost {
    /// Version of the binary on disk, such as `3.4.23`; `None` when there is none.
    pub version: Option<String>,
    /// The unit.
    pub unit: UnitState,
    /// Text of the configuration file, where there is one, byte for byte: clean it before showing it.
    pub config: Option<String>,
    /// Text of the unit file, where there is one, byte for byte: clean it before showing it.
    pub unit_text: Option<String>,
    /// Entries in the data directory (0 for empty), `None` when it does not exist.
    pub data_entries: Option<usize>,
    /// The CA certificate.
    pub ca: Option<CertOnDisk>,
    /// Whether the CA's key lies there, and whether it is the CA certificate's (false also when it cannot be read).
    pub ca_key: Option<bool>,
    /// server, peer and client certificates that exist.
    pub certs: BTreeMap<crate::cluster::EtcdPair, CertOnDisk>,
    /// Every file below the configuration directory.
    pub files: Vec<FileState>,
}

/// One host, looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct HostObserved {
    /// Its name.
    pub name: HostName,
    /// Its part in the growth.
    pub role: Role,
    /// What was seen, or why nothing could be.
    pub seen: Result<HostSeen, RemoteError>,
}

/// What was seen of a reachable host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostSeen {
    /// The host itself.
    pub facts: Facts,
    /// etcd on it; `None` for workers.
    pub etcd: Option<EtcdOnHost>,
    /// Kubernetes on it, where that was looked at ([`survey_kube`]) and there is some.
    pub kube: Option<KubeOnHost>,
    /// The name that its kubelet registers under, on an original that has one.
    pub kubelet: Option<String>,
}

/// Everything seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Every host of the cluster file, in its order.
    pub hosts: Vec<HostObserved>,
    /// etcd's members and their health, asked of the originals; or why nobody answered.
    pub etcd: Result<Membership, String>,
    /// What was noticed, worst first.
    pub findings: Vec<Finding>,
}

impl Observed {
    /// What was seen of a host, if it was reachable.
    pub fn host(&self, name: &HostName) -> Option<&HostSeen> {
        self.hosts.iter().find(|h| &h.name == name).and_then(|h| h.seen.as_ref().ok())
    }

    /// Findings that stop the growth.
    pub fn blocking(&self) -> Vec<Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Block).cloned().collect()
    }
}
