//! May this step run? By risk: `y`; a screen that says what is down meanwhile, then `y`; the host's name typed. No is
//! what happens when nothing is answered.

use ratatui::text::Line;

use super::Dialog;
use crate::{
    engine::{
        Risk,
        confirm::Failure,
        plan::{PlanView, UndoCard},
    },
    remote::clean,
    ui::{
        draw::{labelled, line, prose, span},
        model::{Asking, Model, Section},
        panels::{step, steps},
        steps::{Prepared, StepRow},
        text,
        theme::Tone,
    },
};

/// The question before a step.
pub fn dialog(model: &Model, asking: &Asking, width: usize) -> Dialog {
    let request = &asking.request;
    let risk = request.risk;
    let tone = match risk {
        Risk::ReadOnly | Risk::Reversible => Tone::Strong,
        Risk::Disruptive => Tone::Warn,
        Risk::Irreversible => Tone::Bad,
    };
    let body = model.row(&request.step).map_or_else(Vec::new, |row| page(model, row, asking, width));
    let sign = if risk == Risk::Irreversible { "◆ " } else { "" };
    Dialog {
        title: Line::from(vec![span(
            tr!(" May this run? {title} ", title = clean::line(&request.title)),
            Tone::Strong,
        )]),
        right: Line::from(vec![span(format!(" {sign}{} ", steps::risk_words(risk)), tone)]),
        tone: Some(tone),
        head: vec![Line::from(step::tabs(asking.section)), Line::default()],
        body,
        foot: foot(model, asking, width),
        width,
    }
}

fn page(model: &Model, row: &StepRow, asking: &Asking, width: usize) -> Vec<Line<'static>> {
    match asking.section {
        Section::About => {
            let mut lines = Vec::new();
            if asking.request.risk == Risk::Irreversible {
                lines.extend(prose(
                    trs!("◆ POINT OF NO RETURN: read what it leaves before you type."),
                    0,
                    width,
                    Tone::Bad,
                ));
            }
            let plan: &PlanView = row.plan.as_deref().map_or(&asking.request.plan, |p: &Prepared| &p.view);
            lines.extend(step::summary(model, row, plan, width));
            lines
        }
        section => {
            // Where a name is typed, x is a letter of it: nothing is folded.
            let unfolded = model.unfolded || asking.request.type_this.is_some();
            step::page(model, row, section, unfolded, width)
        }
    }
}

/// What to press or type, and what was refused last.
fn foot(model: &Model, asking: &Asking, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(said) = model.remark() {
        lines.extend(prose(&format!("! {said}"), 0, width, Tone::Warn));
    }
    if let Some(word) = &asking.request.type_this {
        lines.push(Line::from(vec![
            span(trs!("Type "), Tone::Plain),
            span(clean::line(word), Tone::Strong),
            span(trs!(" and press Enter: "), Tone::Plain),
            span(text::fit(&asking.typed, width.saturating_sub(30 + text::width(word))), Tone::Strong),
            span(" ", Tone::Selected),
        ]));
        lines.push(Line::from(vec![
            span("Esc", Tone::Key),
            span(trs!(" look around first; anything else but the name is no"), Tone::Dim),
        ]));
    } else {
        // While the guard holds, the key is shown as not yet to be pressed.
        let key = if model.settled() { Tone::Key } else { Tone::Dim };
        lines.push(Line::from(vec![
            span("y", key),
            span(trs!(" yes, run it   "), Tone::Plain),
            span("n", Tone::Key),
            span(trs!(" no, stop here   "), Tone::Plain),
            span("Esc", Tone::Key),
            span(trs!(" look around first"), Tone::Plain),
        ]));
    }
    lines
}

/// The question before a failed step is taken back.
pub fn undo(model: &Model, failure: &Failure, width: usize) -> Dialog {
    let mut body = Vec::new();
    if let Some(card) = &failure.undo {
        body.extend(card_lines(card, width));
    }
    let mut foot = Vec::new();
    if let Some(said) = model.remark() {
        foot.extend(prose(&format!("! {said}"), 0, width, Tone::Warn));
    }
    foot.push(Line::from(vec![
        span("y", Tone::Key),
        span(trs!(" yes, take it back, then stop   "), Tone::Plain),
        span("n", Tone::Key),
        span(trs!(" no, back to the choices"), Tone::Plain),
    ]));
    let title = tr!(" Take this step back? {step} ", step = model.title(&failure.step));
    Dialog { title: line(title, Tone::Strong), tone: Some(Tone::Warn), body, foot, width, ..Dialog::default() }
}

fn card_lines(card: &UndoCard, width: usize) -> Vec<Line<'static>> {
    let mut lines = labelled(trs!("until"), 8, &clean::text(&card.until), width, Tone::Plain);
    lines.extend(labelled(trs!("cost"), 8, &clean::text(&card.cost), width, Tone::Plain));
    lines.push(line(trs!("What will run"), Tone::Heading));
    for (i, shown) in card.acts.iter().enumerate() {
        let host = shown.host.as_ref().map(|h| format!("{h}: ")).unwrap_or_default();
        lines.extend(labelled(&format!("{:>2}.", i + 1), 4, &format!("{host}{}", shown.title), width, Tone::Strong));
        let code = text::wrap_code(&shown.commands, width.saturating_sub(4));
        lines.extend(code.into_iter().map(|l| line(format!("    {l}"), Tone::Plain)));
    }
    lines
}
