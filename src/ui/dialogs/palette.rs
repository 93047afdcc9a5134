//! The palette: everything there is to do here, from the key table.

use ratatui::text::Line;

use super::Dialog;
use crate::{
    lang,
    ui::{
        draw::{line, span},
        model::{Model, Palette},
        text,
        theme::Tone,
        update::offers,
    },
};

/// Lines offered at a time.
const SHOWN: usize = 12;

/// Columns of the keys.
const KEYS: usize = 14;

/// The palette, with what was typed on top and the selection in sight.
pub fn dialog(model: &Model, palette: &Palette, width: usize) -> Dialog {
    let width = width.min(84);
    let offers = offers(model);
    let from = (palette.selected + 1).saturating_sub(SHOWN);
    let mut body: Vec<Line<'static>> = offers
        .iter()
        .enumerate()
        .skip(from)
        .take(SHOWN)
        .map(|(i, binding)| {
            let keys: Vec<String> = binding.keys.iter().map(|k| k.name()).collect();
            let row = format!("{}{}", text::pad(&keys.join(" "), KEYS), lang::words(binding.does));
            let row = text::pad(&row, width);
            if i == palette.selected { line(row, Tone::Selected) } else { line(row, Tone::Plain) }
        })
        .collect();
    if body.is_empty() {
        body.push(line(trs!("nothing here has these words"), Tone::Dim));
    }
    // As high as it may get, so that it does not jump while one types.
    body.resize(SHOWN, Line::default());
    let typed = text::fit(&palette.typed, width.saturating_sub(4));
    let head = vec![
        Line::from(vec![span("> ", Tone::Key), span(typed, Tone::Strong), span(" ", Tone::Selected)]),
        Line::default(),
    ];
    Dialog {
        title: line(trs!(" What to do? "), Tone::Strong),
        right: line(tr!(" {at} of {of} ", at = (palette.selected + 1).min(offers.len()), of = offers.len()), Tone::Dim),
        head,
        body,
        width,
        ..Dialog::default()
    }
}
