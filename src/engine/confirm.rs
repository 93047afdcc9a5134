//! Confirmation is a type: the engine acts only with a [`Confirmed`], which only a person's clear answer or an explicit
//! flag can make.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    plan::PlanView,
    step::{Risk, StepId},
    witness::Second,
};
use crate::{remote::lock::Lock, survey::Finding};

/// Up to which risk `--approve` says yes beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Approve {
    /// Nothing but looking.
    Nothing,
    /// Reversible steps.
    Reversible,
    /// Disruptive ones too.
    Disruptive,
    /// Everything, points of no return included.
    All,
}

impl Approve {
    /// Whether a risk is covered.
    pub fn covers(self, risk: Risk) -> bool {
        match risk {
            Risk::ReadOnly => true,
            Risk::Reversible => self >= Self::Reversible,
            Risk::Disruptive => self >= Self::Disruptive,
            Risk::Irreversible => self >= Self::All,
        }
    }
}

/// Leave to run one step, once. Not `Clone`, and made only here.
#[derive(Debug)]
pub struct Confirmed {
    step: StepId,
    by: &'static str,
    second: Option<String>,
}

impl Confirmed {
    /// From a flag, if it covers the risk.
    pub fn by_flag(approve: Approve, step: &StepId, risk: Risk) -> Option<Self> {
        approve.covers(risk).then(|| Self { step: step.clone(), by: "--approve", second: None })
    }

    /// From the confirm dialog. An irreversible step wants the typed word to be exactly what the dialog asks for.
    pub fn by_operator(request: &ConfirmRequest, typed: &str) -> Option<Self> {
        let enough = match &request.type_this {
            Some(word) => typed == word,
            None => true,
        };
        enough.then(|| Self { step: request.step.clone(), by: "operator", second: None })
    }

    /// With a second person's yes to the same step; another step's adds nothing.
    #[must_use]
    pub fn with_second(mut self, second: &Second) -> Self {
        if *second.step() == self.step {
            self.second = Some(second.name().to_owned());
        }
        self
    }

    /// The second person, where there was one.
    pub fn second(&self) -> Option<&str> {
        self.second.as_deref()
    }

    /// Everybody who said yes, for the journal.
    pub fn by_all(&self) -> String {
        match &self.second {
            Some(second) => tr!("{by} and {second} (two keys)", by = self.by, second = second),
            None => self.by.to_owned(),
        }
    }

    /// Which step it is for.
    pub fn step(&self) -> &StepId {
        &self.step
    }

    /// Who gave it, for the journal.
    pub fn by(&self) -> &'static str {
        self.by
    }
}

/// What the operator is asked before a step runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmRequest {
    /// Which step.
    pub step: StepId,
    /// Its title.
    pub title: String,
    /// The risk as it is now.
    pub risk: Risk,
    /// What must be typed for an irreversible step: the host's name.
    pub type_this: Option<String>,
    /// Everything there is to see.
    pub plan: Arc<PlanView>,
}

/// The answer to a [`ConfirmRequest`].
#[derive(Debug)]
pub enum Decision {
    /// Go on.
    Go(Confirmed),
    /// Stop here; nothing was changed.
    Stop,
}

/// What failed, for a screen or a plain log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which step.
    pub step: StepId,
    /// What was being done.
    pub doing: String,
    /// The error with its remedy.
    pub error: String,
    /// What state that leaves, in words.
    pub left: String,
    /// The last lines of output.
    pub output: Vec<String>,
    /// Whether the step can be taken back now, and what that would do.
    pub undo: Option<super::plan::UndoCard>,
    /// Blocking findings, when a gate refused.
    pub refused: Vec<Finding>,
    /// Whether the steps after it are right without it too.
    pub skippable: bool,
}

/// What to do about a failed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Look again and go on from what is seen.
    Retry,
    /// Take this step back, then stop.
    Undo,
    /// Leave it as it is and go on with the next step; only where the step says that this is safe.
    Skip,
    /// Stop here and leave things as they are.
    Stop,
}

/// Who decides: a person at the screen, or the flags of a headless run.
#[async_trait]
pub trait Operator: Send + Sync {
    /// May this step run?
    async fn confirm(&self, request: ConfirmRequest) -> Decision;

    /// Whether points of no return want a second person's yes.
    fn two_keys(&self) -> bool {
        false
    }

    /// A step failed.
    async fn failed(&self, failure: Failure) -> Choice;

    /// The lock on the cluster is another run's, and its lease has run out: take it over? Only somebody who knows that
    /// nobody works on the cluster any more may say yes.
    async fn take_over(&self, lock: Lock) -> bool;
}
