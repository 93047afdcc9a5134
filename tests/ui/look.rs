//! What a screen looks like: its text, its styles. Shared by the tests of the screens in each language.

use std::fmt::Write as _;

use banister::ui::{Model, view};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

/// What the model looks like at its size.
pub fn draw(model: &Model, size: (u16, u16)) -> Buffer {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(size.0, size.1));
    let Ok(_) = terminal.draw(|frame| view(model, frame));
    terminal.backend().buffer().clone()
}

/// The text as a terminal would show it: a wide glyph takes the column after it.
pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut x = buffer.area.left();
        let mut line = String::new();
        while x < buffer.area.right() {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol).max(1)).unwrap_or(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The styles as runs: row, first and last column, what is not plain.
pub fn styles(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut x = buffer.area.left();
        while x < buffer.area.right() {
            let style = |x| {
                let cell = &buffer[(x, y)];
                (cell.fg, cell.bg, cell.modifier)
            };
            let (start, first) = (x, style(x));
            while x < buffer.area.right() && style(x) == first {
                x += 1;
            }
            let (fg, bg, modifier) = first;
            if (fg, bg) != (ratatui::style::Color::Reset, ratatui::style::Color::Reset) || !modifier.is_empty() {
                let _ = writeln!(out, "{y}:{start}-{} fg {fg} bg {bg} {modifier:?}", x - 1);
            }
        }
    }
    out
}

/// Text and styles.
pub fn styled(buffer: &Buffer) -> String {
    format!("{}\n--- styles\n{}", text(buffer), styles(buffer))
}

/// Text and styles.
pub fn shown(model: &Model, size: (u16, u16)) -> String {
    styled(&draw(model, size))
}

/// Snapshots live at the top of the repository.
pub fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}
