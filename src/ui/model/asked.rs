//! What is on top of a screen: questions that wait for an answer, and lines being typed.

use crate::{
    cluster::HostName,
    engine::{confirm::ConfirmRequest, event::Outcome},
    ui::message::Secret,
};

use super::Section;

/// A line that is being typed.
#[derive(Debug, Clone)]
pub(in crate::ui) struct Prompt {
    pub kind: PromptKind,
    pub typed: String,
    /// What Esc goes back to: the selected step, or the filter or needle of before.
    pub selected: usize,
    pub before: String,
}

/// What a typed line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) enum PromptKind {
    /// Find a step.
    Step,
    /// Find text in the journals.
    Text,
    /// Filter the journals.
    Filter,
}

/// The command palette.
#[derive(Debug, Clone, Default)]
pub(in crate::ui) struct Palette {
    pub typed: String,
    pub selected: usize,
}

/// A question of the engine that waits for an answer.
#[derive(Debug, Clone)]
pub(in crate::ui) struct Asking {
    pub request: ConfirmRequest,
    /// Put aside to look around first.
    pub hidden: bool,
    /// What was typed so far.
    pub typed: String,
    pub section: Section,
}

/// A question of the login, or of the lock on the cluster.
#[derive(Debug, Clone)]
pub(in crate::ui) enum Ask {
    HostKey { id: u64, host: HostName, address: String, key_type: String, fingerprint: String },
    TakeOver { id: u64, lock: crate::remote::lock::Lock },
    Secret { id: u64, prompt: String, second: bool, typed: Secret },
}

/// The question before leaving.
#[derive(Debug, Clone, Default)]
pub(in crate::ui) struct Quit {
    /// Stopping was asked for already and something still runs: leaving now abandons it.
    pub hard: bool,
    pub typed: String,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(in crate::ui) enum End {
    Outcome(Outcome, String),
    /// The program itself broke.
    Fatal(String),
}
