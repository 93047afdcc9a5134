//! Probe, preview, gate, confirm, intent, apply, verify, outcome: how a step is walked, whichever step it is.
//!
//! The engine has one output, a stream of [`Event`]s that the screen, the journal, the plain log and the report consume
//! alike. It asks a person (or a flag) through [`Operator`], and acts only with a [`Confirmed`] in hand.

pub mod act;
pub mod confirm;
pub mod event;
pub mod journal;
pub mod lock;
pub mod plan;
pub mod report;
pub mod run;
pub mod step;
pub mod undo;
pub mod witness;

pub use confirm::{Approve, Confirmed, Operator};
pub use event::Event;
pub use journal::Journal;
pub use lock::Lease;
pub use plan::{Plan, PlanView};
pub use run::Engine;
pub use step::{Chapter, Probe, Risk, Step, StepId};
