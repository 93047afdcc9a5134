//! The contract of a step.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{act::ActError, plan::Plan};
use crate::{cluster::HostName, survey::Finding};

/// What a step may do to the cluster, from harmless to final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Looks only; runs by itself.
    ReadOnly,
    /// Can be taken back at no cost; asks once a step.
    Reversible,
    /// Something restarts or an election may happen; asks and shows what is down meanwhile.
    Disruptive,
    /// A point of no return; wants the host's name typed.
    Irreversible,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ReadOnly => "read-only",
            Self::Reversible => "reversible",
            Self::Disruptive => "disruptive",
            Self::Irreversible => "irreversible",
        })
    }
}

/// The runbook's chapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chapter {
    /// 1: back up, on the originals.
    Backup,
    /// 2: etcd on the new nodes.
    Etcd,
    /// 3: Kubernetes on the new nodes.
    Kubernetes,
    /// 4: the apiserver's certificate.
    Certificate,
    /// 5: start the new masters.
    Start,
    /// 6: every worker's proxy.
    Workers,
}

impl Chapter {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Backup, Self::Etcd, Self::Kubernetes, Self::Certificate, Self::Start, Self::Workers];

    /// 1 to 6, as in the runbook.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The word used in `--through` and in step ids.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
            Self::Certificate => "certificate",
            Self::Start => "start",
            Self::Workers => "workers",
        }
    }
}

/// Which step: its kind (`etcd.join`, the key of its texts in `assets/`) and the host it is about, where it is about one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StepId {
    /// Such as `etcd.join`.
    pub kind: &'static str,
    /// The host it changes, if one.
    pub host: Option<HostName>,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{}@{host}", self.kind),
            None => f.write_str(self.kind),
        }
    }
}

/// What a look at the cluster says about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Its effect is there, whoever brought it about. Says what was seen.
    Done(String),
    /// There is something to do. Says what was seen.
    Todo(String),
    /// It must not run now.
    Blocked(Vec<Finding>),
}

/// One step of the runbook.
#[async_trait]
pub trait Step: Send + Sync {
    /// Which step.
    fn id(&self) -> StepId;

    /// Its name in the journal.
    fn journal_name(&self) -> String {
        self.id().to_string()
    }

    /// Its chapter.
    fn chapter(&self) -> Chapter;

    /// A short title for the step list, at most 34 columns.
    fn title(&self) -> String;

    /// What it may do at worst; the plan may know better ([`Plan::risk`]).
    fn risk(&self) -> Risk;

    /// Whether the steps after it are right without it too, so that the operator may skip it once it has failed.
    fn skippable(&self) -> bool {
        false
    }

    /// Looks at the cluster, not at the journal.
    async fn probe(&self) -> Result<Probe, ActError>;

    /// What would be done, computed from a fresh look. Changes nothing.
    async fn preview(&self) -> Result<Plan, ActError>;

    /// Proves the effect, not the exit code. One line a proof. Changes nothing: where it fails it is asked for again.
    async fn verify(&self) -> Result<Vec<String>, ActError>;

    /// Looks whether it is safe now, with what is about to be done; fresh data, called right before the first action
    /// and again before the first one that changes etcd's membership. Blocking findings stop the step.
    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        Ok(Vec::new())
    }
}

/// A shared step.
pub type SharedStep = Arc<dyn Step>;
