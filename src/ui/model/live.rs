//! What the live panels show: the last look at each thing, when it was, and a little of what was before.

use std::{collections::VecDeque, time::Duration};

use crate::{
    cluster::{EtcdPair, HostName},
    remote::etcd::Membership,
    survey::HostObserved,
    ui::xray::Matrix,
    watch::{NodesSeen, Port, PortSeen},
};

/// The live look at etcd.
#[derive(Debug, Clone, Default)]
pub(in crate::ui) struct Etcd {
    /// The last good look and its moment.
    pub last: Option<(Membership, Duration)>,
    /// Why the look after that failed.
    pub error: Option<String>,
    /// The last looks, oldest first: a small history.
    pub history: VecDeque<Beat>,
}

/// What is kept of a look at etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ui) struct Beat {
    pub at: Duration,
    /// The newest revision.
    pub revision: i64,
    /// How each member answered.
    pub answers: Vec<Answered>,
}

/// A member's answer, for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) struct Answered {
    pub member: u64,
    pub voter: bool,
    /// How long it took; `None` when there was none.
    pub latency: Option<Duration>,
}

/// The live look at the masters. Each host and each port is looked at in its own time.
#[derive(Debug, Clone, Default)]
pub(in crate::ui) struct Masters {
    /// In the order of the file, each with the moment it was looked at.
    pub hosts: Vec<(HostObserved, Duration)>,
    /// The same, compared.
    pub matrix: Matrix,
    /// What the ports serve, and when that was seen.
    pub served: Vec<(PortSeen, Duration)>,
}

impl Masters {
    /// When the oldest of the looks at hosts was taken.
    pub fn oldest(&self) -> Option<Duration> {
        self.hosts.iter().map(|(_, at)| *at).min()
    }

    /// A host, and when it was looked at.
    pub fn host(&self, name: &HostName) -> Option<&(HostObserved, Duration)> {
        self.hosts.iter().find(|(h, _)| &h.name == name)
    }

    /// What a port serves.
    pub fn port(&self, host: &HostName, port: Port) -> Option<&PortSeen> {
        self.served.iter().map(|(p, _)| p).find(|p| &p.host == host && p.port == port)
    }
}

/// The live look at the nodes.
#[derive(Debug, Clone, Default)]
pub(in crate::ui) struct Nodes {
    /// The last good look and its moment.
    pub last: Option<(NodesSeen, Duration)>,
    /// Whom the look after that was asked of in vain, and what they said.
    pub tried: Vec<(HostName, String)>,
}

/// A certificate of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ui) enum CertKind {
    Etcd(EtcdPair),
    Apiserver,
}

/// What the live panels show while they are held still.
#[derive(Debug, Clone)]
pub(in crate::ui) struct Held {
    pub etcd: Etcd,
    pub masters: Masters,
    pub nodes: Nodes,
}
