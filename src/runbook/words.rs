//! A step's words, by its kind.

use std::time::Duration;

use super::texts;
use crate::{cluster::HostName, engine::plan::UndoCard};

/// The title in the step list, with the host where there is one.
pub(super) fn title(kind: &str, host: Option<&HostName>) -> String {
    let title = texts::text(kind).map_or(kind, |t| t.title.as_str());
    host.map_or_else(|| title.to_owned(), |host| format!("{title}: {host}"))
}

/// The undo card's words; the acts come from the plan.
pub(super) fn undo_card(kind: &str) -> UndoCard {
    texts::text(kind).map_or_else(UndoCard::default, |t| UndoCard {
        acts: Vec::new(),
        until: t.undo.until.clone(),
        cost: t.undo.cost.clone(),
    })
}

/// About how long the step takes.
pub(super) fn expected(kind: &str) -> Duration {
    Duration::from_secs(texts::text(kind).map_or(1, |t| t.expected_seconds))
}
