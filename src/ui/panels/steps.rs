//! The step list: chapters, signs, risks.
//!
//! ```text
//!   2 etcd
//!  ✓   Copy the binaries                 reversible       12 s
//!  ? ◆ Join master04                     NO WAY BACK      waits for you
//! ```

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use crate::{
    engine::{Chapter, Risk, event::StepState},
    ui::{
        draw::{line, span, title, titled},
        model::{Model, Panel},
        steps::StepRow,
        text,
        theme::{Tone, style},
    },
};

/// Rows from which on there is place for lines across.
const ROOMY: u16 = 12;

/// Widest title a step may have.
const TITLE: usize = 34;

/// Draws the list; what is selected is always in sight.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Steps;
    let done = model.steps.iter().filter(|r| is_done(&r.state)).count();
    let right = span(tr!("{done} of {steps} done", done = done, steps = model.steps.len()), Tone::Dim);
    let inner = titled(title(trs!("Steps"), focused), vec![right], focused, area, buf);
    let (rows, selected) = rows(model, usize::from(inner.width), inner.height >= ROOMY);
    let height = usize::from(inner.height);
    let from = selected.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    for (y, (i, l)) in (inner.top()..inner.bottom()).zip(rows.iter().enumerate().skip(from)) {
        buf.set_line(inner.x, y, l, inner.width);
        if i == selected && !model.steps.is_empty() {
            buf.set_style(Rect { y, height: 1, ..inner }, style(Tone::Selected));
        }
    }
}

/// Chapter headings and steps, with a line across where there is no way back from and `room` to draw it; and which row is
/// selected.
fn rows(model: &Model, width: usize, room: bool) -> (Vec<Line<'static>>, usize) {
    let (mut rows, mut selected, mut chapter) = (Vec::new(), 0, None);
    for (i, step) in model.steps.iter().enumerate() {
        if chapter != Some(step.info.chapter) {
            chapter = Some(step.info.chapter);
            rows.push(line(
                format!(" {} {}", step.info.chapter.number(), chapter_words(step.info.chapter)),
                Tone::Heading,
            ));
        }
        let to_come = |s: &StepRow| risk(s) == Risk::Irreversible && !is_done(&s.state);
        let first = i == 0 || model.steps.get(i - 1).is_none_or(|before| !to_come(before));
        if room && first && to_come(step) {
            rows.push(no_return(width));
        }
        if i == model.selected {
            selected = rows.len();
        }
        rows.push(row(model, step, width));
    }
    (rows, selected)
}

/// The risk of a step as far as it is known.
fn risk(step: &StepRow) -> Risk {
    step.plan.as_ref().map_or(step.info.risk, |p| p.view.risk)
}

/// ` ──◆ no way back from here ─────`
fn no_return(width: usize) -> Line<'static> {
    let words = trs!(" ──◆ no way back from here ");
    let rest = width.saturating_sub(text::width(words) + 1);
    line(format!("{words}{}", "─".repeat(rest)), Tone::Bad)
}

fn row(model: &Model, step: &StepRow, width: usize) -> Line<'static> {
    let (sign, tone) = sign(&step.state);
    let risk = risk(step);
    let quiet = matches!(step.state, StepState::AlreadyDone(_));
    let name = if step.info.id.host.is_some() && width < 60 { TITLE } else { TITLE + 6 };
    let mut spans: Vec<Span<'static>> = vec![
        span(format!(" {sign} "), tone),
        span(format!("{} ", risk_sign(risk)), risk_tone(risk)),
        span(
            text::pad(&step.info.title, name.min(width.saturating_sub(6))),
            if quiet { Tone::Dim } else { Tone::Plain },
        ),
    ];
    if width >= 64 {
        let still_to_come = !is_done(&step.state);
        let words = if still_to_come { risk_words(risk) } else { "" };
        spans.push(span(format!(" {}", text::pad(words, 14)), risk_tone(risk)));
        spans.push(span(format!(" {}", state_words(model, step)), tone));
    }
    Line::from(spans)
}

/// The sign of a state and its tone; each sign differs in shape, not in colour alone.
pub fn sign(state: &StepState) -> (char, Tone) {
    match state {
        StepState::Waiting => ('·', Tone::Dim),
        StepState::Probing => ('○', Tone::Active),
        StepState::AlreadyDone(_) => ('✓', Tone::Dim),
        StepState::Asking => ('?', Tone::Warn),
        StepState::Running | StepState::Verifying => ('▶', Tone::Active),
        StepState::Done(_) => ('✓', Tone::Good),
        StepState::Failed(_) => ('✗', Tone::Bad),
        StepState::Undone => ('↶', Tone::Warn),
        StepState::Skipped => ('»', Tone::Warn),
    }
}

/// The mark of a risk: `◆` is a point of no return.
pub fn risk_sign(risk: Risk) -> char {
    match risk {
        Risk::ReadOnly | Risk::Reversible => ' ',
        Risk::Disruptive => '!',
        Risk::Irreversible => '◆',
    }
}

/// The tone of a risk.
pub fn risk_tone(risk: Risk) -> Tone {
    match risk {
        Risk::ReadOnly | Risk::Reversible => Tone::Dim,
        Risk::Disruptive => Tone::Warn,
        Risk::Irreversible => Tone::Bad,
    }
}

/// A chapter in a word.
pub fn chapter_words(chapter: Chapter) -> &'static str {
    match chapter {
        Chapter::Backup => trs!("backup"),
        Chapter::Etcd => "etcd",
        Chapter::Kubernetes => "kubernetes",
        Chapter::Certificate => trs!("certificate"),
        Chapter::Start => trs!("start"),
        Chapter::Workers => "workers",
    }
}

/// The words of a risk.
pub fn risk_words(risk: Risk) -> &'static str {
    match risk {
        Risk::ReadOnly => trs!("only reads"),
        Risk::Reversible => trs!("reversible"),
        Risk::Disruptive => trs!("DISRUPTIVE"),
        Risk::Irreversible => trs!("NO WAY BACK"),
    }
}

/// A state in a word or two.
pub fn state_words(model: &Model, step: &StepRow) -> String {
    let running = || text::duration(Duration::from_secs(model.now.at.saturating_sub(step.since).as_secs()));
    match &step.state {
        StepState::Waiting => String::new(),
        StepState::Probing => trs!("looking").to_owned(),
        StepState::AlreadyDone(_) => trs!("was done").to_owned(),
        StepState::Asking => trs!("waits for you").to_owned(),
        StepState::Running => tr!("running {running}", running = running()),
        StepState::Verifying => trs!("proving").to_owned(),
        StepState::Done(took) => text::duration(*took),
        StepState::Failed(_) => trs!("FAILED").to_owned(),
        StepState::Undone => trs!("taken back").to_owned(),
        StepState::Skipped => trs!("SKIPPED").to_owned(),
    }
}

/// Whether a state needs nothing more.
pub fn is_done(state: &StepState) -> bool {
    matches!(state, StepState::Done(_) | StepState::AlreadyDone(_))
}
