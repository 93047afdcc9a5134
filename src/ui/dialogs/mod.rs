//! The dialogs: one file each, all drawn the same way: a head that stays, a body that scrolls, a foot that stays.
//!
//! ```text
//! ┌ Title ─────────────────────────── IRREVERSIBLE ┐
//! │ head                                           │
//! │ body …                                ↓ 7 more │
//! ├────────────────────────────────────────────────┤
//! │ foot: what to press or type                    │
//! └────────────────────────────────────────────────┘
//! ```

mod ask;
mod confirm;
mod frame;
mod help;
mod leave;
mod palette;
mod training;

pub use frame::Dialog;
pub use help::dialog as help;

use super::{
    keys::{Context, available, below_help, context},
    model::{Ask, Model},
};
use ratatui::layout::Rect;

/// Columns for the text of a dialog in that body.
pub fn width(body: Rect) -> usize {
    usize::from(body.width.saturating_sub(6).min(104))
}

/// The dialog on top, if any, for text that wide.
pub fn top(model: &Model, width: usize) -> Option<Dialog> {
    match context(model) {
        Context::Quit | Context::QuitHard => model.quit.as_ref().map(|q| leave::dialog(model, q, width)),
        Context::HostKey | Context::TakeOver | Context::Secret => match model.asks.front()? {
            Ask::HostKey { host, address, key_type, fingerprint, .. } => {
                Some(ask::host_key(model, host, address, key_type, fingerprint, width))
            }
            Ask::TakeOver { lock, .. } => Some(ask::take_over(model, lock, width)),
            Ask::Secret { prompt, second, typed, .. } => Some(ask::secret(prompt, *second, typed, width)),
        },
        Context::Palette => model.palette.as_ref().map(|p| palette::dialog(model, p, width)),
        Context::Help => Some(help(below_help(model), |action| available(model, action), width)),
        Context::Predict => model.predicting().map(|p| training::predict(model, p, width)),
        Context::Drill | Context::File | Context::Line => {
            model.drill_page().map(|(run, page)| training::drill(model, run, page, width))
        }
        Context::Undo => model.failure.as_ref().map(|f| confirm::undo(model, f, width)),
        Context::Confirm | Context::ConfirmTyped => model.asking.as_ref().map(|a| confirm::dialog(model, a, width)),
        _ => None,
    }
}

/// How far the dialog on top is scrolled.
pub fn scroll(model: &Model) -> usize {
    if context(model) == Context::Help { model.scroll.help } else { model.scroll.dialog }
}
