//! Small drawing tools the panels share. Everything is clipped: no size makes them panic.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget,
};

use super::{
    text,
    theme::{Tone, style},
};

/// A piece of text in a tone.
pub fn span(content: impl Into<String>, tone: Tone) -> Span<'static> {
    Span::styled(content.into(), style(tone))
}

/// A line in one tone.
pub fn line(content: impl Into<String>, tone: Tone) -> Line<'static> {
    Line::from(span(content, tone))
}

/// Wrapped prose, each line indented.
pub fn prose(content: &str, indent: usize, width: usize, tone: Tone) -> Vec<Line<'static>> {
    let pad = " ".repeat(indent);
    text::wrap(content, width.saturating_sub(indent)).into_iter().map(|l| line(format!("{pad}{l}"), tone)).collect()
}

/// `label` in a column, then wrapped text beside it.
pub fn labelled(label: &str, column: usize, content: &str, width: usize, tone: Tone) -> Vec<Line<'static>> {
    let lines = text::wrap(content, width.saturating_sub(column));
    let label = |first| if first { text::pad(label, column) } else { " ".repeat(column) };
    lines
        .into_iter()
        .enumerate()
        .map(|(i, l)| Line::from(vec![span(label(i == 0), Tone::Dim), span(l, tone)]))
        .collect()
}

/// A heading inside a panel, with an empty line before it unless it is the first thing.
pub fn heading(lines: &mut Vec<Line<'static>>, content: &str) {
    if !lines.is_empty() {
        lines.push(Line::default());
    }
    lines.push(line(content, Tone::Heading));
}

/// Draws one line at the top of an area, a second one at its right end; the left one gives way.
pub fn row(left: &Line<'_>, right: &Line<'_>, area: Rect, buf: &mut Buffer) {
    let area = Rect { height: area.height.min(1), ..area };
    let right_width = u16::try_from(right.width()).unwrap_or(u16::MAX).min(area.width);
    let left_width = area.width - right_width;
    buf.set_line(area.x, area.y, left, if area.height == 0 { 0 } else { left_width });
    if area.height > 0 {
        buf.set_line(area.x + left_width, area.y, right, right_width);
    }
}

/// Fewest columns that a cut title still tells something in.
const SHORTEST: usize = 8;

/// A panel's title on a rule; returns the area below. Where both don't fit, the title is cut, not what stands at the right.
pub fn titled(
    mut title: Span<'static>,
    right: Vec<Span<'static>>,
    focused: bool,
    area: Rect,
    buf: &mut Buffer,
) -> Rect {
    if area.height == 0 {
        return area;
    }
    let top = Rect { height: 1, ..area };
    let rule = style(if focused { Tone::Active } else { Tone::Dim });
    for x in top.left()..top.right() {
        buf[(x, top.y)].set_char('─').set_style(rule);
    }
    let room = area.width.saturating_sub(2);
    let wide = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<usize>();
    // A blank at each end of both, and a piece of the rule between them.
    let spare = usize::from(room).saturating_sub(wide(&right) + 5);
    if !right.is_empty() && spare >= SHORTEST && title.width() > spare {
        // The blanks of a focused title stay.
        let words = title.content.trim_end().to_owned();
        let end = if words.len() < title.content.len() { " " } else { "" };
        title.content = format!("{}{end}", text::fit(&words, spare - end.len())).into();
    }
    let left = Line::from(vec![span(" ", Tone::Plain), title, span(" ", Tone::Plain)]);
    let right = if right.is_empty() {
        Line::default()
    } else {
        let mut spans = vec![span(" ", Tone::Plain)];
        spans.extend(right);
        spans.push(span(" ", Tone::Plain));
        Line::from(spans)
    };
    let left_width = u16::try_from(left.width()).unwrap_or(room).min(room);
    buf.set_line(area.x + area.width.min(1), area.y, &left, left_width);
    let right_width = u16::try_from(right.width()).unwrap_or(u16::MAX);
    if right_width > 0 && left_width + right_width < room {
        buf.set_line(area.right() - 1 - right_width, area.y, &right, right_width);
    }
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// The title of a panel: in the focused one it stands out without colour too.
pub fn title(content: impl Into<String>, focused: bool) -> Span<'static> {
    let content: String = content.into();
    if focused { span(format!(" {content} "), Tone::Selected) } else { span(content, Tone::Strong) }
}

/// Draws the lines from `scroll` on, and says where more are. Returns nothing; scrolling too far shows the end.
pub fn paint(lines: &[Line<'_>], scroll: usize, area: Rect, buf: &mut Buffer) {
    let height = usize::from(area.height);
    let from = scroll.min(lines.len().saturating_sub(height));
    for (y, l) in (area.top()..area.bottom()).zip(&lines[from..]) {
        buf.set_line(area.x, y, l, area.width);
    }
    let below = lines.len().saturating_sub(from + height);
    if below > 0 && area.height > 0 {
        corner(&tr!(" ↓ {below} more ", below = below), area.bottom() - 1, area, buf);
    }
    if from > 0 && area.height > 1 {
        corner(&tr!(" ↑ {from} more ", from = from), area.top(), area, buf);
    }
}

/// A word at the right end of a row, over what is there.
fn corner(word: &str, y: u16, area: Rect, buf: &mut Buffer) {
    let width = u16::try_from(text::width(word)).unwrap_or(u16::MAX);
    if width < area.width {
        let x = area.right() - width;
        whole_left_of(x, y, buf);
        // A word that goes on below must not look as if it ended here.
        let covers = (x..area.right()).any(|x| !buf[(x, y)].symbol().trim().is_empty());
        if covers && x > area.left() {
            whole_left_of(x - 1, y, buf);
            buf[(x - 1, y)].set_char('…');
        }
        buf.set_stringn(x, y, word, usize::from(width), style(Tone::Plain).patch(style(Tone::Selected)));
    }
}

/// Blanks a wide glyph that would be cut in half by something drawn from column `x` on: the terminal would push what
/// follows out of place.
pub fn whole_left_of(x: u16, y: u16, buf: &mut Buffer) {
    if let Some(cell) = x.checked_sub(1).and_then(|left| buf.cell_mut((left, y)))
        && text::width(cell.symbol()) > 1
    {
        cell.set_symbol(" ");
    }
}

/// Fewest columns of what is below that are worth showing beside something on top.
const SLIVER: u16 = 20;

/// Empties an area for something on top, and a little at both sides: single letters of what is below would distract.
pub fn clear(area: Rect, within: Rect, buf: &mut Buffer) {
    let mut left = area.left().saturating_sub(2).max(within.left());
    let mut right = area.right().saturating_add(2).min(within.right());
    if left - within.left() < SLIVER {
        left = within.left();
    }
    if within.right() - right < SLIVER {
        right = within.right();
    }
    let area = Rect { x: left, width: right - left, ..area };
    for y in area.top()..area.bottom() {
        whole_left_of(area.left(), y, buf);
    }
    ratatui::widgets::Clear.render(area, buf);
}

/// A vertical rule.
pub fn vertical(area: Rect, buf: &mut Buffer) {
    for y in area.top()..area.bottom() {
        buf[(area.x, y)].set_char('│').set_style(Style::new().patch(style(Tone::Dim)));
    }
}
