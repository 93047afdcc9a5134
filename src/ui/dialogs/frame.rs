//! How a dialog is drawn.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::Line,
    widgets::{Block, Widget},
};

use crate::ui::{
    draw::{clear, paint, row},
    theme::{Tone, style},
};

/// A dialog: its parts, before there is a place for them.
#[derive(Debug, Clone, Default)]
pub struct Dialog {
    /// On the border, left.
    pub title: Line<'static>,
    /// On the border, right.
    pub right: Line<'static>,
    /// Of the border.
    pub tone: Option<Tone>,
    /// Stays on top.
    pub head: Vec<Line<'static>>,
    /// Scrolls.
    pub body: Vec<Line<'static>>,
    /// Stays below.
    pub foot: Vec<Line<'static>>,
    /// Columns of text.
    pub width: usize,
}

impl Dialog {
    /// Draws it into the middle of an area.
    pub fn draw(&self, scroll: usize, area: Rect, buf: &mut Buffer) {
        let outer = self.outer(area);
        clear(outer, area, buf);
        let border = style(self.tone.unwrap_or(Tone::Strong));
        let block = Block::bordered()
            .border_style(border)
            .title(self.title.clone())
            .title_top(self.right.clone().right_aligned());
        block.render(outer, buf);
        let [head, body, foot] = self.parts(outer);
        paint(&self.head, 0, head, buf);
        paint(&self.body, scroll, body, buf);
        if foot.height > 0 && foot.y > outer.y + 1 {
            let y = foot.y - 1;
            row(
                &Line::styled("─".repeat(usize::from(outer.width)), border),
                &Line::default(),
                Rect { y, height: 1, ..outer },
                buf,
            );
            buf[(outer.left(), y)].set_char('├');
            buf[(outer.right() - 1, y)].set_char('┤');
        }
        paint(&self.foot, 0, foot, buf);
    }

    /// Lines of the body, and how many of them are visible in an area.
    pub fn extent(&self, area: Rect) -> (usize, usize) {
        let [_, body, _] = self.parts(self.outer(area));
        (self.body.len(), usize::from(body.height))
    }

    /// The place it takes: as high as its text, never more than there is.
    fn outer(&self, area: Rect) -> Rect {
        let wanted = self.head.len() + self.body.len() + self.foot.len() + 2 + usize::from(!self.foot.is_empty());
        let height = u16::try_from(wanted).unwrap_or(u16::MAX).min(area.height);
        let width = u16::try_from(self.width + 4).unwrap_or(u16::MAX).min(area.width);
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
    }

    /// Head, body and foot inside the border. The foot has what to press in it, so it goes first where room is short.
    fn parts(&self, outer: Rect) -> [Rect; 3] {
        let inner = Rect {
            x: outer.x + 2,
            y: outer.y + 1,
            width: outer.width.saturating_sub(4),
            height: outer.height.saturating_sub(2),
        };
        let rows = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let foot = rows(self.foot.len()).min(inner.height);
        let rule = u16::from(foot > 0).min(inner.height - foot);
        let head = rows(self.head.len()).min(inner.height - foot - rule);
        let body = inner.height - foot - rule - head;
        [
            Rect { height: head, ..inner },
            Rect { y: inner.y + head, height: body, ..inner },
            Rect { y: inner.bottom() - foot, height: foot, ..inner },
        ]
    }
}
