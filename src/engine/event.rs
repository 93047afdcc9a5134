//! The engine's one output.

use std::{sync::Arc, time::Duration};

use super::{
    act::ActProgress,
    confirm::{ConfirmRequest, Failure},
    plan::PlanView,
    step::{Chapter, Risk, StepId},
};
use crate::survey::Finding;

/// A step as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepInfo {
    /// Which step.
    pub id: StepId,
    /// Its chapter.
    pub chapter: Chapter,
    /// Its title.
    pub title: String,
    /// Its worst risk.
    pub risk: Risk,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Not looked at yet.
    Waiting,
    /// Being looked at.
    Probing,
    /// Its effect was there already.
    AlreadyDone(String),
    /// Waits for the operator.
    Asking,
    /// Runs.
    Running,
    /// Its effect is being proven.
    Verifying,
    /// Done by this run.
    Done(Duration),
    /// Failed.
    Failed(String),
    /// Taken back by this run.
    Undone,
    /// Failed, and left as it is by the operator.
    Skipped,
}

/// How a run ended. The numbers are the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All done (0).
    Done,
    /// A step failed (1).
    Failed,
    /// Stopped by the operator, or approval did not reach (3).
    Stopped,
    /// Refused by a gate (4).
    Refused,
}

impl Outcome {
    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Stopped => 3,
            Self::Refused => 4,
        }
    }
}

/// What the engine says, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The steps of this run.
    Steps(Vec<StepInfo>),
    /// A step's state changed.
    State(StepId, StepState),
    /// What a step would do.
    Preview(StepId, Arc<PlanView>),
    /// The operator is asked.
    Asking(ConfirmRequest),
    /// The operator (or a flag) said yes.
    Confirmed(StepId, &'static str),
    /// An act began; index into [`PlanView::acts`].
    ActStarted(StepId, usize),
    /// Progress of the act that runs.
    ActProgress(StepId, usize, ActProgress),
    /// An act ended well.
    ActDone(StepId, usize, Duration),
    /// Proofs of a step.
    Verified(StepId, Vec<String>),
    /// A step failed or was refused.
    Failed(Failure),
    /// A remark for the log.
    Note(String),
    /// A gate or the survey refuses.
    Refused(Vec<Finding>),
    /// The run is over.
    Finished(Outcome, String),
}
