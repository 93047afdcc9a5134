//! The masters side by side; what differs is marked, with what it would lead to.
//!
//! ```text
//!                        master01     master02     master03
//!  etcd CA               1f3a9b02     1f3a9b02   ≠ 77aa01ce
//!    members don't take each other's certificates …
//! ```

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::aged;
use crate::ui::{
    draw::{labelled, line, paint, span, title, titled},
    model::{Model, Panel, SLOW_STALE},
    text,
    theme::Tone,
    xray::Row,
};

/// Columns of the labels.
const LABEL: usize = 22;

/// Fewest columns of a host.
const NARROWEST: usize = 11;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Masters;
    let right = aged(model, model.masters_shown().at, SLOW_STALE);
    let inner = titled(vec![title(trs!("Masters side by side"), focused)], right, focused, area, buf);
    paint(&lines(model, usize::from(inner.width)), model.scroll.masters, inner, buf);
}

/// The lines of the panel.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let matrix = &model.masters_shown().matrix;
    if matrix.hosts.is_empty() {
        return vec![line(trs!(" not looked at yet"), Tone::Dim)];
    }
    let room = width.saturating_sub(LABEL + 1);
    let fitting = (room / NARROWEST).clamp(1, matrix.hosts.len());
    let column = (room / fitting).min(26);
    let head: String =
        matrix.hosts.iter().take(fitting).flat_map(|h| ["  ".to_owned(), text::pad(h.as_str(), column - 2)]).collect();
    let mut lines = vec![verdict(model)];
    lines.push(line(format!(" {}{head}", " ".repeat(LABEL)), Tone::Strong));
    let left_out = matrix.hosts.len() - fitting;
    if left_out > 0 {
        let words = tr!(
            "{left_out} not shown: widen the terminal, or z",
            left_out = tr!("{n} master" | "{n} masters" % left_out)
        );
        lines.push(line(format!(" {words}"), Tone::Warn));
    }
    for row in &matrix.rows {
        lines.push(cells(row, fitting, column));
        if row.differs() {
            lines.extend(labelled("", 4, &row.symptom, width.saturating_sub(1), Tone::Warn));
        }
    }
    if matrix.flags_alike > 0 {
        lines.push(line(
            tr!(
                " {flags_alike} of etcd's configuration alike on all",
                flags_alike = tr!("{n} flag" | "{n} flags" % matrix.flags_alike)
            ),
            Tone::Dim,
        ));
    }
    lines
}

fn verdict(model: &Model) -> Line<'static> {
    let matrix = &model.masters_shown().matrix;
    match matrix.differing() {
        0 => line(trs!(" ✓ nothing differs that should not"), Tone::Good),
        n => line(tr!(" ≠ {rows} with a difference, marked ≠", rows = tr!("{n} row" | "{n} rows" % n)), Tone::Warn),
    }
}

fn cells(row: &Row, fitting: usize, column: usize) -> Line<'static> {
    let label = text::pad(&row.label, LABEL);
    let mut spans = vec![span(format!(" {label}"), if row.differs() { Tone::Strong } else { Tone::Dim })];
    for cell in row.cells.iter().take(fitting) {
        let (mark, tone) = if cell.differs { ("≠ ", Tone::Alarm) } else { ("  ", Tone::Plain) };
        spans.push(span(mark, if cell.differs { Tone::Bad } else { Tone::Plain }));
        // A gap after the text, not under it: reversed text must not run into its neighbour.
        let text = text::fit(&cell.text, column.saturating_sub(3));
        let gap = column.saturating_sub(2 + text::width(&text));
        spans.push(span(text, tone));
        spans.push(span(" ".repeat(gap), Tone::Plain));
    }
    Line::from(spans)
}
