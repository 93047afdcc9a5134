//! The hosts' journals, newest below.

use std::borrow::Cow;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::{
    remote::clean,
    ui::{
        draw::{line, paint, span, title, titled},
        journal::{Entry, contains},
        model::{Model, Panel},
        text,
        theme::{Tone, style},
    },
    watch::{Follow, Origin},
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
        let filter = text::fit(&clean::line(&journal.filter_text), usize::from(area.width) / 3);
        right.push(span(format!(" F: {filter} "), Tone::Selected));
        right.push(span(tr!(" {shown} of", shown = shown), Tone::Plain));
    }
    if journal.follows() {
        right.push(span(format!(" {} ", tr!("{n} line" | "{n} lines" % all)), Tone::Dim));
    } else {
        right.push(span(tr!(" {newer} newer below, f follows ", newer = journal.newer()), Tone::Selected));
    }
    let inner = titled(title(trs!("Journals of the hosts"), focused), right, focused, area, buf);
    let lines = lines(model, usize::from(inner.width), usize::from(inner.height));
    paint(&lines, 0, inner, buf);
}

/// The lines that fit: sources in trouble first, then the end of the journals.
fn lines(model: &Model, width: usize, height: usize) -> Vec<Line<'static>> {
    let journal = &model.journal;
    let mut lines: Vec<Line<'static>> = Vec::new();
    for state in journal.sources() {
        let Some(Follow::Lost(why)) = &state.state else { continue };
        let source = &state.source;
        // The error names the host itself, mostly.
        let why = clean::line(why);
        let why = why.strip_prefix(&format!("{}: ", source.host)).unwrap_or(&why);
        let words = format!(" ! {} {}: {why}", source.host, source.unit);
        lines.push(line(text::fit(&words, width), Tone::Warn));
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
    // A unit's line says itself whose it is, a container's doesn't.
    let pod = model.journal.source(entry).filter(|s| s.origin == Origin::Pod);
    let said = match pod {
        Some(pod) => Cow::from(format!("{}: {}", pod.unit.trim_start_matches("kube-"), entry.text)),
        None => Cow::from(&*entry.text),
    };
    let mut wrapped = text::wrap_code(&said, width.saturating_sub(columns));
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
    // A container's line begins with klog's letter.
    let klog = |letter: char| {
        text.strip_prefix(letter).is_some_and(|rest| rest.bytes().take(4).filter(u8::is_ascii_digit).count() == 4)
    };
    if klog('E') || klog('F') || BAD.iter().any(|w| contains(text, w)) {
        Tone::Bad
    } else if klog('W') || WARN.iter().any(|w| contains(text, w)) {
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
