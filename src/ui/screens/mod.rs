//! The screens: one file each. All but the wizard are one page of text that scrolls.

pub mod connecting;
pub mod failed;
pub mod finished;
pub mod survey;
pub mod welcome;
pub mod wizard;

/// The area of a page inside the body.
pub const fn inner(body: ratatui::layout::Rect) -> ratatui::layout::Rect {
    ratatui::layout::Rect { x: body.x + 1, width: body.width.saturating_sub(2), ..body }
}
