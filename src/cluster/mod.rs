//! What the operator wrote: the cluster file, parsed and checked.
//!
//! Parsing lives in [`file`] and reports every problem at once; what comes out here is already valid, so nobody
//! downstream checks again.

use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc};

use crate::lang::Lang;

pub mod file;
mod layout;

pub use layout::{CalicoLayout, EtcdLayout, EtcdPair, KubeLayout};

/// A host's short name as the operator wrote it (`master04`): a valid DNS label, unique in the file.
///
/// It is the etcd member name, the system hostname, and with the domain the Kubernetes node name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Wraps a name that has been checked already; [`file`] does the checking.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a host is in this growth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// One of the masters the cluster has now.
    Original,
    /// A bare host that is to become a master.
    Joiner,
    /// A worker node.
    Worker,
}

/// One host of the cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Short name, see [`HostName`].
    pub name: HostName,
    /// The address the other hosts reach it by; also where SSH goes unless `ssh.host` says otherwise.
    pub address: IpAddr,
    /// What it is in this growth.
    pub role: Role,
    /// The operator's own remark, shown beside the name; may hold wide glyphs.
    pub comment: Option<String>,
    /// SSH settings that differ from the file's for this host.
    pub ssh: SshSettings,
}

/// How to log in. What is `None` here comes from the user's own ssh settings and agent (`ssh -G`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshSettings {
    /// Host name or address to dial instead of the node's address.
    pub host: Option<String>,
    /// Login name.
    pub user: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Private key file, `~` already expanded.
    pub identity: Option<PathBuf>,
    /// Known-hosts file, `~` already expanded.
    pub known_hosts: Option<PathBuf>,
    /// A bastion to go through, as `[user@]host[:port]`.
    pub jump: Option<String>,
    /// Become root by `sudo` after login (for a user who is not root).
    pub sudo: Option<bool>,
}

/// What to do with the joiners' firewall and SELinux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirewallChoice {
    /// As the runbook says: firewalld stopped and disabled, SELinux permissive now and after a reboot.
    #[default]
    Off,
    /// Leave both on and open the ports the control plane needs.
    Open,
    /// Touch neither; the handshake rehearsal will tell.
    Keep,
}

/// Where the joiners' etcd binaries come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BinarySource {
    /// Streamed from the first original: exactly what the cluster runs.
    #[default]
    Original,
    /// From a release tarball on the operator's machine, its checksum given.
    Tarball {
        /// Path on the operator's machine, `~` expanded.
        path: PathBuf,
        /// Expected sha256, lower-case hex.
        sha256: String,
    },
}

/// Where the joiners' docker, kubelet and kubectl come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PackageChoice {
    /// What is there if it is right; else copied when the originals' belongs to no package; else by the package manager.
    #[default]
    Auto,
    /// By the distribution's package manager, at exactly the originals' versions.
    Repository,
    /// Binaries (and units) copied from an original.
    Copy,
    /// Nothing is installed: what is there has to be right.
    Present,
}

/// A remark about a file that is valid, such as an even number of masters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One-based line of the file, where one applies.
    pub line: Option<usize>,
    /// The remark, a sentence or two.
    pub text: String,
}

/// A cluster file, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The file it came from.
    pub path: PathBuf,
    /// The cluster's name.
    pub name: String,
    /// DNS domain; a node's Kubernetes name is `NAME.DOMAIN`.
    pub domain: Option<String>,
    /// SSH settings for all hosts.
    pub ssh: SshSettings,
    /// The masters of now.
    pub masters: Vec<Node>,
    /// The hosts to join.
    pub join: Vec<Node>,
    /// The workers.
    pub workers: Vec<Node>,
    /// etcd's layout.
    pub etcd: EtcdLayout,
    /// Kubernetes' layout.
    pub kube: KubeLayout,
    /// Directory on each original that dated backups go into. Default `/root/backup`.
    pub backup_dir: PathBuf,
    /// Firewall and SELinux on the joiners.
    pub firewall: FirewallChoice,
    /// The joiners' binaries.
    pub binaries: BinarySource,
    /// The joiners' docker, kubelet and kubectl.
    pub packages: PackageChoice,
    /// How many workers are changed at a time after the first one; `None`: a tenth of all.
    pub worker_batch: Option<usize>,
    /// Set the joiners' system hostname to their name. Default true.
    pub set_hostname: bool,
    /// Lifetime of re-issued certificates in days; `None` keeps that of the certificate in use.
    pub lifetime_days: Option<u32>,
    /// Language of the screens; `None` takes that of the locale.
    pub lang: Option<Lang>,
    /// Points of no return want a second person's yes. Default false.
    pub two_key: bool,
    /// Remarks made while checking.
    pub notices: Vec<Notice>,
}

impl Cluster {
    /// Every host: originals, joiners, workers, in the file's order.
    pub fn hosts(&self) -> impl Iterator<Item = &Node> {
        self.masters.iter().chain(&self.join).chain(&self.workers)
    }

    /// Originals and joiners.
    pub fn all_masters(&self) -> impl Iterator<Item = &Node> {
        self.masters.iter().chain(&self.join)
    }

    /// Originals, the lowest address first: the same order whatever order the file names them in.
    pub fn by_address(&self) -> impl Iterator<Item = &Node> {
        let mut masters: Vec<&Node> = self.masters.iter().collect();
        masters.sort_by_key(|m| m.address);
        masters.into_iter()
    }

    /// The host of that name.
    pub fn node(&self, name: &HostName) -> Option<&Node> {
        self.hosts().find(|n| &n.name == name)
    }

    /// The settings that hold for one host: its own, then the file's.
    pub fn ssh_for(&self, node: &Node) -> SshSettings {
        let (own, all) = (&node.ssh, &self.ssh);
        SshSettings {
            host: own.host.clone(),
            user: own.user.clone().or_else(|| all.user.clone()),
            port: own.port.or(all.port),
            identity: own.identity.clone().or_else(|| all.identity.clone()),
            known_hosts: own.known_hosts.clone().or_else(|| all.known_hosts.clone()),
            jump: own.jump.clone().or_else(|| all.jump.clone()),
            sudo: own.sudo.or(all.sudo),
        }
    }

    /// `https://ADDRESS:PEER_PORT`, the peer URL the runbook's layout gives a node.
    pub fn peer_url(&self, node: &Node) -> String {
        url(node.address, self.etcd.peer_port)
    }

    /// `https://ADDRESS:CLIENT_PORT`.
    pub fn client_url(&self, node: &Node) -> String {
        url(node.address, self.etcd.client_port)
    }

    /// The node's name in Kubernetes: `NAME.DOMAIN`, or the name alone without a domain.
    pub fn node_name(&self, node: &Node) -> String {
        match &self.domain {
            Some(domain) => format!("{}.{domain}", node.name),
            None => node.name.to_string(),
        }
    }
}

/// `https://ADDRESS:PORT`, brackets around IPv6.
pub fn url(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(a) => format!("https://{a}:{port}"),
        IpAddr::V6(a) => format!("https://[{a}]:{port}"),
    }
}

/// How many voters must agree: ⌊n/2⌋ + 1.
pub const fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// How many voters may fail with quorum kept. Zero voters tolerate nothing.
pub const fn tolerated(voters: usize) -> usize {
    if voters == 0 { 0 } else { voters - quorum(voters) }
}

/// Voters that run, out of voters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voters {
    /// Members that vote.
    pub total: usize,
    /// Those of them that are healthy.
    pub healthy: usize,
    /// Members that do not vote yet.
    pub learners: usize,
}

impl Voters {
    /// How many healthy voters may fail before quorum is lost; negative when it is lost already.
    pub fn margin(self) -> isize {
        isize::try_from(self.healthy).unwrap_or(isize::MAX) - isize::try_from(quorum(self.total)).unwrap_or(isize::MAX)
    }

    /// `3 voters (3 healthy), quorum 2, survives 1`.
    pub fn sentence(self) -> String {
        let healthy = match self.healthy {
            h if h == self.total => String::new(),
            h => tr!(" ({healthy} healthy)", healthy = h),
        };
        let survives = match self.margin() {
            m if m < 0 => trs!("NO QUORUM").to_owned(),
            m => tr!("survives {margin}", margin = m.min(isize::try_from(tolerated(self.total)).unwrap_or(m))),
        };
        let learners = match self.learners {
            0 => String::new(),
            n => tr!(", {n} learner" | ", {n} learners" % n),
        };
        tr!(
            "{n} voter{healthy}, quorum {quorum}, {survives}{learners}"
                | "{n} voters{healthy}, quorum {quorum}, {survives}{learners}" % self.total,
            healthy = healthy,
            quorum = quorum(self.total),
            survives = survives,
            learners = learners
        )
    }

    /// What happens "if one member dies now".
    pub fn if_one_dies(self) -> &'static str {
        match self.margin() {
            m if m < 0 => trs!("already down"),
            0 => trs!("etcd is DOWN"),
            _ => trs!("still up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quorum_table() {
        let table: Vec<_> = (1..=7).map(|n| (n, quorum(n), tolerated(n))).collect();
        assert_eq!(table, [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2), (6, 4, 2), (7, 4, 3)]);
    }

    #[test]
    fn voters_say_what_one_more_failure_does() {
        let said = |total, healthy, learners| {
            let voters = Voters { total, healthy, learners };
            format!("{}; {}", voters.sentence(), voters.if_one_dies())
        };
        assert_eq!(said(3, 3, 1), "3 voters, quorum 2, survives 1, 1 learner; still up");
        assert_eq!(said(4, 3, 0), "4 voters (3 healthy), quorum 3, survives 0; etcd is DOWN");
        assert_eq!(said(3, 1, 0), "3 voters (1 healthy), quorum 2, NO QUORUM; already down");
        assert_eq!(said(1, 1, 0), "1 voter, quorum 1, survives 0; etcd is DOWN");
    }
}
