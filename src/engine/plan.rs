//! What a step would do: the actions that will run, and everything a person needs to see before saying yes.

use std::{path::PathBuf, time::Duration};

use super::{
    act::{Act, UndoAct},
    step::Risk,
};
use crate::{
    cluster::{HostName, Voters},
    pki::SanDiff,
};

/// What will run and how it is taken back. The view is what is shown; both are made from the same acts.
#[derive(Debug)]
pub struct Plan {
    /// What runs, in order.
    pub acts: Vec<Box<dyn Act>>,
    /// What takes it back, in the order it would run. Goes into the journal before anything is done.
    pub undo: Vec<UndoAct>,
    /// The risk as it is now, which may be lower than the step's worst.
    pub risk: Risk,
    /// What a person sees.
    pub view: PlanView,
}

impl Plan {
    /// A plan whose view shows exactly the given acts.
    pub fn new(risk: Risk, acts: Vec<Box<dyn Act>>, undo: Vec<UndoAct>, card: UndoCard) -> Self {
        let view = PlanView {
            risk,
            acts: acts.iter().map(|a| a.shown()).collect(),
            undo: UndoCard { acts: undo.iter().map(UndoAct::shown).collect(), ..card },
            ..PlanView::default()
        };
        Self { acts, undo, risk, view }
    }
}

/// One action as it is shown: a line, and the exact commands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Where it happens; `None` is the operator's machine or the etcd API.
    pub host: Option<HostName>,
    /// One line.
    pub title: String,
    /// The exact shell, or the API call in words; may be empty.
    pub commands: String,
}

impl Shown {
    /// Host and title on one line.
    pub fn line(&self) -> String {
        self.host.as_ref().map_or_else(|| self.title.clone(), |host| format!("{host}: {}", self.title))
    }
}

/// A file edit, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// On which host.
    pub host: HostName,
    /// Which file.
    pub path: PathBuf,
    /// Its text now; `None` when it does not exist.
    pub before: Option<String>,
    /// Its text afterwards.
    pub after: String,
}

/// What changes in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertChange {
    /// On which host.
    pub host: HostName,
    /// Which file.
    pub path: PathBuf,
    /// Kept, added and dropped names.
    pub sans: SanDiff,
    /// Lines on what else is kept or changes: subject, key type, lifetime.
    pub notes: Vec<String>,
}

/// How to get back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UndoCard {
    /// What would run, in order.
    pub acts: Vec<Shown>,
    /// Until when it can be taken back.
    pub until: String,
    /// What taking it back costs.
    pub cost: String,
}

/// The voters before, at the weakest moment, and after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumChange {
    /// Before it runs.
    pub before: Voters,
    /// At the weakest moment in between.
    pub during: Voters,
    /// Once it is done.
    pub after: Voters,
}

/// What a person sees of a plan: plain data, for the screen, the plain log and the report alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanView {
    /// The risk as it is now.
    pub risk: Risk,
    /// What runs, in order.
    pub acts: Vec<Shown>,
    /// Text files that change.
    pub diffs: Vec<FileDiff>,
    /// Certificates that change.
    pub certs: Vec<CertChange>,
    /// How to get back.
    pub undo: UndoCard,
    /// What is down meanwhile, for a disruptive step.
    pub down_meanwhile: Option<String>,
    /// What it does to quorum, where it touches etcd.
    pub quorum: Option<QuorumChange>,
    /// About how long it takes.
    pub expected: Duration,
    /// Warnings and remarks, a line each.
    pub notes: Vec<String>,
}

impl Default for PlanView {
    fn default() -> Self {
        Self {
            risk: Risk::ReadOnly,
            acts: Vec::new(),
            diffs: Vec::new(),
            certs: Vec::new(),
            undo: UndoCard::default(),
            down_meanwhile: None,
            quorum: None,
            expected: Duration::from_secs(1),
            notes: Vec::new(),
        }
    }
}
