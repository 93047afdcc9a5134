//! etcd's API through a tunnel, with deadlines; one client per member.

use std::time::Duration;

use crate::cluster::{HostName, Voters};

mod client;
mod error;
mod look;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use client::{CHANGE, EtcdAccess, EtcdApi, LOOK};
pub use error::EtcdError;

/// One member as the member list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Member id.
    pub id: u64,
    /// Its name; empty until it has started once.
    pub name: String,
    /// Peer URLs.
    pub peer_urls: Vec<String>,
    /// Client URLs; empty until it has started once.
    pub client_urls: Vec<String>,
    /// Whether it is a learner.
    pub learner: bool,
    /// The host of the cluster file that has this member's peer address.
    pub host: Option<HostName>,
    /// Its own answer, or why there is none.
    pub status: Result<MemberStatus, String>,
}

impl Member {
    /// Whether it has ever started: an unstarted one has no name.
    pub fn started(&self) -> bool {
        !self.name.is_empty()
    }

    /// Whether it answered and sees a leader, without errors of its own.
    pub fn healthy(&self) -> bool {
        self.status.as_ref().is_ok_and(|s| s.leader != 0 && s.errors.is_empty())
    }
}

impl Member {
    /// Whether it counts for quorum: it answered and sees a leader, and complains of nothing but alarms. Every member tells
    /// every alarm of the cluster as an error of its own, and none of them has stopped voting.
    pub fn in_quorum(&self) -> bool {
        self.status.as_ref().is_ok_and(|s| s.leader != 0 && s.errors.iter().all(|e| look::alarm_in(e).is_some()))
    }
}

/// A member's own answer to Status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Server version, such as `3.4.23`.
    pub version: String,
    /// The leader's member id as this member sees it; 0 for none.
    pub leader: u64,
    /// Store revision.
    pub revision: i64,
    /// Raft term.
    pub raft_term: u64,
    /// Raft index.
    pub raft_index: u64,
    /// Applied raft index; 0 on 3.3, which does not tell.
    pub raft_applied_index: u64,
    /// Database size in bytes.
    pub db_size: i64,
    /// Database size in use in bytes; 0 where the version does not tell.
    pub db_size_in_use: i64,
    /// Errors the member reports of itself (alarms among them).
    pub errors: Vec<String>,
    /// How long the answer took.
    pub latency: Duration,
}

/// An alarm that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Which member raised it.
    pub member: u64,
    /// `NOSPACE` or `CORRUPT`.
    pub kind: String,
}

/// The member list with each member's own answer: one fresh look at etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Cluster id.
    pub cluster_id: u64,
    /// Whom the list was asked of.
    pub asked: HostName,
    /// All members.
    pub members: Vec<Member>,
    /// Alarms that are on.
    pub alarms: Vec<Alarm>,
}

impl Membership {
    /// Voters, healthy ones and learners.
    pub fn voters(&self) -> Voters {
        let voting = || self.members.iter().filter(|m| !m.learner);
        Voters {
            total: voting().count(),
            healthy: voting().filter(|m| m.in_quorum()).count(),
            learners: self.members.iter().filter(|m| m.learner).count(),
        }
    }

    /// The leader's id, where the members that vote agree on one.
    pub fn leader(&self) -> Option<u64> {
        let mut ids =
            self.members.iter().filter(|m| m.in_quorum()).filter_map(|m| m.status.as_ref().ok()).map(|s| s.leader);
        let first = ids.next()?;
        ids.all(|id| id == first).then_some(first)
    }

    /// The member with that peer URL.
    pub fn by_peer_url(&self, url: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.peer_urls.iter().any(|u| u == url))
    }

    /// `name=url,name=url…` for `--initial-cluster`: started members by name, every peer URL.
    pub fn initial_cluster(&self) -> Vec<(String, String)> {
        self.members
            .iter()
            .filter(|m| m.started())
            .flat_map(|m| m.peer_urls.iter().map(|u| (m.name.clone(), u.clone())))
            .collect()
    }

    /// The lowest server version among the members that answered.
    pub fn lowest_version(&self) -> Option<Version> {
        self.members.iter().filter_map(|m| m.status.as_ref().ok()).filter_map(|s| Version::parse(&s.version)).min()
    }
}

/// An etcd version, compared as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// Reads `3.4.23` (anything after the third number is ignored).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').splitn(3, '.');
        let mut next = || parts.next()?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        Some(Self(next()?, next()?, next()?))
    }

    /// Learners exist since 3.4.0 (etcd CHANGELOG-3.4).
    pub fn has_learners(self) -> bool {
        self >= Self(3, 4, 0)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}
