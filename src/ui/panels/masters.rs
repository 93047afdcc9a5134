//! The masters side by side; what differs is marked, with what it would lead to.
//!
//! ```text
//!                        master01     master02     master03
//!  etcd CA               1f3a9b02     1f3a9b02   ≠ 77aa01ce
//!    members don't take each other's certificates …
//! ```

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{aged, old};
use crate::ui::{
    draw::{heading, labelled, line, paint, span, title, titled},
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
    let right = aged(model, model.masters_shown().oldest(), SLOW_STALE);
    let inner = titled(vec![title("Masters side by side", focused)], right, focused, area, buf);
    paint(&lines(model, usize::from(inner.width)), model.scroll.masters, inner, buf);
}

/// Which masters have a place, and how many columns each.
struct Places {
    from: usize,
    count: usize,
    column: usize,
}

impl Places {
    /// As many as fit, from the one scrolled to on; where it is the end that is looked at, the last ones.
    fn new(model: &Model, width: usize) -> Self {
        let hosts = model.masters_shown().matrix.hosts.len().max(1);
        let room = width.saturating_sub(LABEL + 1);
        let count = (room / NARROWEST).clamp(1, hosts);
        Self { from: model.scroll.masters_from.min(hosts - count), count, column: (room / count).min(26) }
    }
}

/// The lines of the panel.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let matrix = &model.masters_shown().matrix;
    if matrix.hosts.is_empty() {
        return vec![line(" not looked at yet", Tone::Dim)];
    }
    let places = Places::new(model, width);
    let shown = matrix.hosts.iter().skip(places.from).take(places.count);
    let head: String = shown.flat_map(|h| ["  ".to_owned(), text::pad(h.as_str(), places.column - 2)]).collect();
    let mut lines = vec![verdict(model)];
    let (left, right) = (places.from, matrix.hosts.len() - places.from - places.count);
    if left + right > 0 {
        let words = format!(" {} not shown here: ← {left} more, {right} more →", text::count(left + right, "master"));
        lines.push(line(words, Tone::Warn));
    }
    for (host, at) in &model.masters_shown().hosts {
        if let Err(why) = &host.seen {
            let why = crate::remote::clean::line(&why.to_string());
            lines.extend(labelled(" ✗", 3, &why, width, Tone::Bad));
        } else if let Some(old) = old(model, *at, SLOW_STALE) {
            lines.push(Line::from(vec![span(format!(" {}", host.name), Tone::Plain), old]));
        }
    }
    lines.push(line(format!(" {}{head}", " ".repeat(LABEL)), Tone::Strong));
    for part in &matrix.parts {
        heading(&mut lines, &format!(" {}", part.title));
        for row in &part.rows {
            lines.push(cells(row, &places));
            if row.differs() {
                // A label too long for its column is whole here.
                let whole = if text::width(&row.label) > LABEL { format!("{}: ", row.label) } else { String::new() };
                lines.extend(labelled("", 4, &format!("{whole}{}", row.symptom), width.saturating_sub(1), Tone::Warn));
            }
        }
        if part.alike > 0 {
            lines.push(line(format!(" {} alike on all", text::count(part.alike, "other flag")), Tone::Dim));
        }
    }
    lines
}

fn verdict(model: &Model) -> Line<'static> {
    let matrix = &model.masters_shown().matrix;
    match matrix.differing() {
        0 => line(" ✓ nothing differs that should not", Tone::Good),
        n => line(format!(" ≠ {} with a difference, marked ≠", text::count(n, "row")), Tone::Warn),
    }
}

fn cells(row: &Row, places: &Places) -> Line<'static> {
    let label = text::pad(&row.label, LABEL);
    let mut spans = vec![span(format!(" {label}"), if row.differs() { Tone::Strong } else { Tone::Dim })];
    // A difference on a master that has no place here is marked all the same.
    let hidden = |(i, cell): (usize, &crate::ui::xray::Cell)| {
        cell.differs && !(places.from..places.from + places.count).contains(&i)
    };
    if row.cells.iter().enumerate().any(hidden) {
        spans[0] = span(format!("≠{label}"), Tone::Bad);
    }
    for cell in row.cells.iter().skip(places.from).take(places.count) {
        let (mark, tone) = if cell.differs { ("≠ ", Tone::Alarm) } else { ("  ", Tone::Plain) };
        spans.push(span(mark, if cell.differs { Tone::Bad } else { Tone::Plain }));
        // A gap after the text, not under it: reversed text must not run into its neighbour.
        let text = text::fit(&cell.text, places.column.saturating_sub(3));
        let gap = places.column.saturating_sub(2 + text::width(&text));
        spans.push(span(text, tone));
        spans.push(span(" ".repeat(gap), Tone::Plain));
    }
    Line::from(spans)
}
