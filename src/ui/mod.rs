//! The screen: model, message, update, view.
//!
//! Pure from end to end. [`update`] is the only writer of the [`Model`]; [`view`] draws it and nothing else: no clock, no
//! lock, no I/O in either. What is to be done comes out as [`Effect`]s, and `app.rs` does it. [`terminal`] holds the only
//! I/O of this room: taking the terminal over and giving it back.
//!
//! ```text
//! keys, ticks, engine events ─▶ Msg ─▶ update(&mut Model) ─▶ Vec<Effect> ─▶ app
//!                                          │
//!                                          └─▶ view(&Model, &mut Frame)
//! ```
//!
//! [`plain`] renders the same events and plans as lines, for headless runs, `banister plan` and the transcript.

mod dialogs;
mod draw;
mod journal;
pub mod keys;
mod log;
mod message;
mod model;
mod pace;
mod panels;
pub mod plain;
mod screens;
mod steps;
pub mod terminal;
mod text;
pub mod theme;
mod training;
mod update;
mod view;
pub mod welcome;
pub mod xray;

pub use message::{Answer, ConnectState, DrillMsg, DrillWish, Effect, Msg, Now, Secret};
pub use model::{GUARD, Model, NODES_STALE, Panel, Phase, SLOW_STALE, SMALLEST, STALE, Section, Setup, StepText};
pub use pace::Pace;
pub use theme::Theme;
pub use update::update;
pub use view::view;
