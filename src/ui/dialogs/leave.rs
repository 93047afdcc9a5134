//! The question before leaving.

use ratatui::text::Line;

use super::Dialog;
use crate::ui::{
    draw::{line, prose, span},
    model::{Model, Quit},
    theme::Tone,
    update::LEAVE,
};

/// The question before leaving, by what leaving would do.
pub fn dialog(model: &Model, quit: &Quit, width: usize) -> Dialog {
    let width = width.min(72);
    let (title, words, foot) = if quit.hard {
        (trs!(" Leave in the middle of an action? "), hard(model), typed(quit))
    } else {
        (trs!(" Leave? "), soft(model).to_owned(), yes_no())
    };
    let mut body: Vec<Line<'static>> = words.lines().flat_map(|l| prose(l, 0, width, Tone::Plain)).collect();
    if let Some(said) = model.remark().filter(|_| quit.hard) {
        body.push(line(format!("! {said}"), Tone::Warn));
    }
    let tone = if quit.hard { Tone::Bad } else { Tone::Warn };
    Dialog { title: line(title, Tone::Strong), tone: Some(tone), body, foot, width, ..Dialog::default() }
}

fn soft(model: &Model) -> &'static str {
    if model.asking.is_some() {
        trs!(
            "Nothing runs: a step waits for your answer, and leaving answers no.\nThe same command looks again and goes on from there."
        )
    } else if model.failure.is_some() {
        trs!(
            "Nothing runs. Leaving stops here and leaves the failed step as described.\nThe same command looks again and goes on from there."
        )
    } else {
        trs!(
            "Something is running. It is never cut off: yes lets the running action finish, writes that down, and leaves then.\nThe same command looks again and goes on from there."
        )
    }
}

fn hard(model: &Model) -> String {
    let running = model.current().and_then(|i| model.steps.get(i)).map(|s| s.info.title.clone());
    let what = running.map(|title| tr!(" ({title})", title = title)).unwrap_or_default();
    tr!(
        "The running action{what} has not ended yet; it has a deadline and will.\nLeaving now abandons it: what it did is unknown until the next run has looked.",
        what = what
    )
}

fn yes_no() -> Vec<Line<'static>> {
    vec![Line::from(vec![
        span("y", Tone::Key),
        span(trs!(" yes, leave   "), Tone::Plain),
        span("n", Tone::Key),
        span(trs!(" no, stay"), Tone::Plain),
    ])]
}

fn typed(quit: &Quit) -> Vec<Line<'static>> {
    vec![Line::from(vec![
        span(trs!("Type "), Tone::Plain),
        span(LEAVE, Tone::Strong),
        span(trs!(" and press Enter: "), Tone::Plain),
        span(quit.typed.clone(), Tone::Strong),
        span(" ", Tone::Selected),
        span("   Esc", Tone::Key),
        span(trs!(" wait"), Tone::Plain),
    ])]
}
