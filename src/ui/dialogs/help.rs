//! The help: made from the key table, and what the signs mean.

use ratatui::text::Line;

use super::Dialog;
use crate::{
    lang,
    ui::{
        draw::{labelled, line, span},
        keys::{self, Action, Binding, Context},
        text,
        theme::Tone,
    },
};

/// Signs of the step list and what they mean.
const SIGNS: &[(&str, &str)] = &[
    ("·", mark!("not looked at yet")),
    ("○", mark!("being looked at")),
    ("?", mark!("waits for your answer")),
    ("▶", mark!("runs, or is being proven")),
    ("✓", mark!("done; dim: was done already")),
    ("✗", mark!("failed")),
    ("↶", mark!("taken back")),
    ("»", mark!("skipped after it failed")),
    ("!", mark!("before a title: something restarts, or an election may happen")),
    ("◆", mark!("before a title: a point of no return")),
    ("≠", mark!("in a cell of the masters: most others have something else")),
];

/// The keys of the screen below, whatever it is; dim, what makes no sense there now.
pub fn dialog(below: Context, available: impl Fn(Action) -> bool, width: usize) -> Dialog {
    let mut body = Vec::new();
    for binding in keys::TABLE.iter().filter(|b| b.contexts.contains(&below)) {
        // Without a drill it never makes sense, not only now.
        if binding.action == Action::Drill && !available(Action::Drill) {
            continue;
        }
        let tone = if available(binding.action) { Tone::Plain } else { Tone::Dim };
        body.extend(labelled_key(binding, width, tone));
    }
    body.push(Line::default());
    body.push(line(trs!("Signs"), Tone::Heading));
    for (sign, means) in SIGNS {
        body.extend(labelled(sign, 14, lang::words(means), width, Tone::Plain));
    }
    Dialog {
        title: line(tr!(" Keys: {title} ", title = below.title()), Tone::Strong),
        right: line(trs!(" ? closes "), Tone::Dim),
        body,
        width: width.min(84),
        ..Dialog::default()
    }
}

fn labelled_key(binding: &Binding, width: usize, tone: Tone) -> Vec<Line<'static>> {
    let names: Vec<String> = binding.keys.iter().map(|k| k.name()).collect();
    let mut lines = labelled("", 14, lang::words(binding.does), width.min(84), tone);
    if let Some(first) = lines.first_mut() {
        first.spans[0] = span(text::pad(&names.join(" "), 14), Tone::Key);
    }
    lines
}
