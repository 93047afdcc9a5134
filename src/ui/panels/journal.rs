//! The hosts' journals, newest below.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::{
    remote::clean,
    ui::{
        draw::{labelled, line, paint, span, title, titled},
        journal::{Entry, contains},
        model::{Model, Panel},
        text,
        theme::{Tone, style},
    },
};

/// Columns of a host's name. What the unit is, the line itself says.
const HOST: usize = 10;

/// A panel this wide has place for milliseconds.
const WIDE: usize = 100;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Journal;
    let journal = &model.journal;
    let (shown, all) = journal.counts();
    let mut right = Vec::new();
    if journal.filtered() {
        right.push(span(format!(" F: {} ", clean::line(&journal.filter_text)), Tone::Selected));
        right.push(span(tr!(" {shown} of", shown = shown), Tone::Plain));
    }
    if journal.follows() {
        right.push(span(format!(" {} ", tr!("{n} line" | "{n} lines" % all)), Tone::Dim));
    } else {
        right.push(span(tr!(" {below} newer below, f follows ", below = journal.below().count()), Tone::Selected));
    }
    let inner = titled(vec![title(trs!("Journals of the hosts"), focused)], right, focused, area, buf);
    let lines = lines(model, usize::from(inner.width), usize::from(inner.height));
    paint(&lines, 0, inner, buf);
}

/// The lines that fit: sources in trouble first, then the end of the journals.
fn lines(model: &Model, width: usize, height: usize) -> Vec<Line<'static>> {
    let journal = &model.journal;
    let mut lines: Vec<Line<'static>> = Vec::new();
    let troubled = journal.sources().iter().filter_map(|s| Some((&s.source, s.state.as_ref()?.as_ref().err()?)));
    for (source, why) in troubled {
        lines.extend(
            labelled(&format!(" ! {} {}: ", source.host, source.unit), 24, &clean::line(why), width, Tone::Warn)
                .into_iter()
                .take(1),
        );
    }
    // What is in trouble must not push the journals off a small panel.
    lines.truncate(height / 3);
    if journal.counts().0 == 0 {
        let words = match (journal.sources().is_empty(), journal.counts().1) {
            (true, _) => trs!(" followed once the hosts are connected"),
            (false, 0) => trs!(" no lines yet"),
            (false, _) => trs!(" no line passes the filter; F changes it"),
        };
        lines.push(line(words, Tone::Dim));
        return lines;
    }
    let room = height - lines.len();
    let (mut blocks, mut count) = (Vec::new(), 0);
    for entry in journal.backwards() {
        if count >= room {
            break;
        }
        let block = entry_lines(model, entry, width);
        count += block.len();
        blocks.push(block);
    }
    let mut body: Vec<_> = blocks.into_iter().rev().flatten().collect();
    if body.len() < room {
        body.extend(journal.below().take(room).flat_map(|e| entry_lines(model, e, width)).take(room - body.len()));
    }
    lines.extend(body.split_off(body.len().saturating_sub(room)));
    lines
}

fn entry_lines(model: &Model, entry: &Entry, width: usize) -> Vec<Line<'static>> {
    let host = model.journal.source(entry).map_or("", |s| s.host.as_str());
    let micros = model.now.time_of_day(entry.at);
    let (seconds, millis) = (micros / 1_000_000, micros / 1000 % 1000);
    let millis = if width >= WIDE { format!(".{millis:03}") } else { String::new() };
    let clock = format!("{:02}:{:02}:{:02}{millis}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let margin = format!(" {clock} {} ", text::pad(host, HOST));
    let columns = text::width(&margin);
    let look = style(tone(&entry.text));
    let mut wrapped = text::wrap_code(&entry.text, width.saturating_sub(columns));
    if wrapped.is_empty() {
        wrapped.push(String::new());
    }
    let lines = wrapped.into_iter().enumerate().map(|(i, l)| {
        let margin = if i == 0 { margin.clone() } else { " ".repeat(columns) };
        let mut spans = vec![span(margin, Tone::Dim)];
        spans.extend(marked(l, &model.journal.needle, look));
        Line::from(spans)
    });
    lines.collect()
}

/// Words that make a line worth a look, as etcd, the kubelet and systemd write them.
fn tone(text: &str) -> Tone {
    // The last ones are etcd's and klog's letters.
    const BAD: [&str; 7] = ["panic", "fatal", "error", "failed", " e | ", "]: e0", "]: e1"];
    const WARN: [&str; 6] = ["warn", "slow", "lost", " w | ", "]: w0", "]: w1"];
    if BAD.iter().any(|w| contains(text, w)) {
        Tone::Bad
    } else if WARN.iter().any(|w| contains(text, w)) {
        Tone::Warn
    } else {
        Tone::Plain
    }
}

/// A line with what is searched for set off from the rest.
fn marked(text: String, needle: &str, look: Style) -> Vec<Span<'static>> {
    let lower = text.to_ascii_lowercase();
    if needle.is_empty() || !lower.contains(needle) {
        return vec![Span::styled(text, look)];
    }
    let (mut spans, mut at) = (Vec::new(), 0);
    // Lower-casing ASCII moves no byte, so places in one are places in the other.
    for (begins, found) in lower.match_indices(needle) {
        spans.push(Span::styled(text[at..begins].to_owned(), look));
        at = begins + found.len();
        spans.push(Span::styled(text[begins..at].to_owned(), look.patch(style(Tone::Selected))));
    }
    spans.push(Span::styled(text[at..].to_owned(), look));
    spans
}
