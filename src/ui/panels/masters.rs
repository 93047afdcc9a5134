//! The masters side by side; what differs is marked, with what it would lead to.
//!
//! ```text
//!                        master01     master02     master03
//!  etcd CA               1f3a9b02     1f3a9b02   ≠ 77aa01ce
//!    members don't take each other's certificates …
//! ```

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{aged, old};
use crate::{
    cluster::HostName,
    ui::{
        draw::{labelled, line, paint, span, title, titled},
        model::{Model, Panel, SLOW_STALE},
        text,
        theme::Tone,
        xray::Row,
    },
};

/// Columns of the labels.
const LABEL: usize = 22;

/// Fewest columns of a host.
const NARROWEST: usize = 11;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Masters;
    let right = aged(model, model.masters_shown().oldest(), SLOW_STALE);
    let inner = titled(title(trs!("Masters side by side"), focused), right, focused, area, buf);
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

/// The furthest that can be scrolled to the right: the first of the masters shown then.
pub fn furthest(model: &Model, width: usize) -> usize {
    model.masters_shown().matrix.hosts.len().saturating_sub(Places::new(model, width).count)
}

/// The lines of the panel.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let matrix = &model.masters_shown().matrix;
    if matrix.hosts.is_empty() {
        return vec![line(trs!(" not looked at yet"), Tone::Dim)];
    }
    let places = Places::new(model, width);
    let shown = matrix.hosts.iter().skip(places.from).take(places.count);
    let head: String = shown.flat_map(|h| ["  ".to_owned(), text::pad(h.as_str(), places.column - 2)]).collect();
    let mut lines = verdict(model, width);
    let (left, right) = (places.from, matrix.hosts.len() - places.from - places.count);
    if left + right > 0 {
        let words = tr!(
            " {total} masters: ← {left} more, {right} more →",
            total = matrix.hosts.len(),
            left = left,
            right = right
        );
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
    for (i, part) in matrix.parts.iter().enumerate() {
        // The masters' names stand beside the first part's title.
        let mut title = vec![span(" ", Tone::Plain), span(text::fit(part.title, LABEL), Tone::Heading)];
        if i == 0 {
            let gap = " ".repeat(LABEL.saturating_sub(text::width(part.title)));
            title.push(span(format!("{gap}{head}"), Tone::Strong));
        } else {
            lines.push(Line::default());
            title[1] = span(part.title, Tone::Heading);
        }
        lines.push(Line::from(title));
        for row in &part.rows {
            lines.push(cells(row, &places));
            if row.differs() {
                lines.extend(values(row, &matrix.hosts, &places, width));
                // A label too long for its column is whole here.
                let whole = if text::width(&row.label) > LABEL { format!("{}: ", row.label) } else { String::new() };
                lines.extend(labelled("", 4, &format!("{whole}{}", row.symptom), width.saturating_sub(1), Tone::Warn));
            }
        }
        if part.alike > 0 {
            lines.push(line(tr!(" one flag alike on all" | " {n} flags alike on all" % part.alike), Tone::Dim));
        }
    }
    lines
}

/// How many rows differ, and which: what is below may need scrolling to.
fn verdict(model: &Model, width: usize) -> Vec<Line<'static>> {
    let rows = || model.masters_shown().matrix.parts.iter().flat_map(|p| &p.rows).filter(|r| r.differs());
    let count = rows().count();
    if count == 0 {
        return vec![line(trs!(" ✓ nothing differs that should not"), Tone::Good)];
    }
    let names: Vec<&str> = rows().map(|r| r.label.as_str()).collect();
    let words = tr!("one row differs: {rows}" | "{n} rows differ: {rows}" % count, rows = names.join(" · "));
    labelled(" ≠", 3, &words, width.saturating_sub(1), Tone::Warn)
}

/// Values that find no place in their cells, whole: each once, with the masters that have it.
fn values(row: &Row, hosts: &[HostName], places: &Places, width: usize) -> Vec<Line<'static>> {
    let fits = |text: &str| text::width(text) <= places.column.saturating_sub(3);
    if row.cells.iter().all(|c| fits(&c.text)) {
        return Vec::new();
    }
    let mut seen: Vec<(&str, bool, Vec<&str>)> = Vec::new();
    for (cell, host) in row.cells.iter().zip(hosts).filter(|(c, _)| c.text != "-") {
        match seen.iter_mut().find(|(text, ..)| *text == cell.text) {
            Some((.., on)) => on.push(host.as_str()),
            None => seen.push((&cell.text, cell.differs, vec![host.as_str()])),
        }
    }
    let one = |(value, differs, on): (&str, bool, Vec<&str>)| {
        let sign = if differs { "≠" } else { " " };
        labelled(&format!("  {sign}"), 4, &format!("{}: {value}", on.join(", ")), width.saturating_sub(1), Tone::Plain)
    };
    seen.into_iter().flat_map(one).collect()
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
    // What is the same everywhere and finds no place in a cell stands there once, whole.
    let mut there = row.cells.iter().filter(|c| c.text != "-");
    if let Some(first) = there.next()
        && text::width(&first.text) > places.column.saturating_sub(3)
        && there.all(|c| c.text == first.text)
    {
        let room = (places.column * places.count).saturating_sub(2);
        spans.push(span(format!("  {}", text::fit(&first.text, room)), Tone::Plain));
        return Line::from(spans);
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
