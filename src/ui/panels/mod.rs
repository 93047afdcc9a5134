//! The panels: one file each.

pub mod bars;
pub mod certs;
pub mod etcd;
pub mod journal;
pub mod log;
pub mod masters;
pub mod nodes;
pub mod step;
pub mod steps;

use std::time::Duration;

use ratatui::text::Span;

use super::{draw::span, model::Model, text, theme::Tone};

/// How old something is, once it is stale; for one host among several.
fn old(model: &Model, at: Duration, stale: Duration) -> Option<Span<'static>> {
    let age = model.now.at.saturating_sub(at);
    (age >= stale).then(|| span(tr!("  ! STALE: {age} old ", age = text::duration(age)), Tone::Warn))
}

/// The age of live data for a panel's title: marked in words once it is stale, or held still.
fn aged(model: &Model, at: Option<Duration>, stale: Duration) -> Vec<Span<'static>> {
    let Some(at) = at else { return Vec::new() };
    let age = model.now.at.saturating_sub(at);
    let words = tr!("{age} old", age = text::duration(age));
    if model.held.is_some() {
        vec![span(tr!(" PAUSED, {words}; p goes on ", words = words), Tone::Selected)]
    } else if age >= stale {
        vec![span(tr!(" ! STALE: {words} ", words = words), Tone::Selected)]
    } else {
        vec![span(words, Tone::Dim)]
    }
}
