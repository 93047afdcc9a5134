//! The log of operations, newest below.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use crate::ui::{
    draw::{paint, span, title, titled},
    log::{Entry, Kind},
    model::{Model, Panel},
    text,
    theme::Tone,
};

/// Columns of time, sign and host.
const MARGIN: usize = 23;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Log;
    let right = if model.log.follows() {
        span(tr!("{lines} lines", lines = model.log.count()), Tone::Dim)
    } else {
        span(tr!(" {newer} newer below, f follows ", newer = model.log.newer()), Tone::Selected)
    };
    let inner = titled(title(trs!("Log"), focused), vec![right], focused, area, buf);
    let lines = lines(model, usize::from(inner.width), usize::from(inner.height));
    paint(&lines, 0, inner, buf);
}

/// The lines that fit, ending where the operator looks; where that is near the beginning, newer ones fill the rest.
fn lines(model: &Model, width: usize, height: usize) -> Vec<Line<'static>> {
    let (mut blocks, mut count) = (Vec::new(), 0);
    for entry in model.log.backwards() {
        if count >= height {
            break;
        }
        let block = entry_lines(entry, width);
        count += block.len();
        blocks.push(block);
    }
    let mut lines: Vec<_> = blocks.into_iter().rev().flatten().collect();
    if lines.len() < height {
        let below = model.log.entries().skip(model.log.count() - model.log.newer());
        lines.extend(below.flat_map(|e| entry_lines(e, width)).take(height - lines.len()));
    }
    lines.split_off(lines.len().saturating_sub(height))
}

fn entry_lines(entry: &Entry, width: usize) -> Vec<Line<'static>> {
    let (sign, tone) = match entry.kind {
        Kind::Step => ('▶', Tone::Strong),
        Kind::Output => (' ', Tone::Plain),
        Kind::Proof => ('✓', Tone::Good),
        Kind::Error => ('✗', Tone::Bad),
    };
    let host = entry.host.as_ref().map(ToString::to_string).unwrap_or_default();
    let margin = format!(" {} {} {sign} ", entry.at.strftime("%H:%M:%S"), text::pad(&host, 9));
    let mut wrapped = text::wrap(&entry.text, width.saturating_sub(MARGIN));
    if wrapped.is_empty() {
        wrapped.push(String::new());
    }
    wrapped
        .into_iter()
        .enumerate()
        .map(|(i, l)| {
            let margin = if i == 0 { margin.clone() } else { " ".repeat(MARGIN) };
            Line::from(vec![span(margin, Tone::Dim), Span::from(l).style(crate::ui::theme::style(tone))])
        })
        .collect()
}
