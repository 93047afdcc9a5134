//! A failed step is a screen: what failed and where, what state that leaves, the last lines, the choices.

use ratatui::text::Line;

use crate::{
    engine::{confirm::Failure, event::StepState},
    ui::{
        draw::{heading, labelled, line, prose},
        model::Model,
        panels::step,
        screens::survey,
        text,
        theme::Tone,
    },
};

/// The page.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let Some(failure) = &model.failure else { return vec![line(trs!("no step has failed"), Tone::Dim)] };
    let mut lines = what(model, failure, width);
    heading(&mut lines, trs!("Choose; nothing happens until you do"));
    let choice = |key: &str, words: &str| labelled(key, 4, words, width, Tone::Plain);
    lines.extend(choice("r", trs!("retry: look at the cluster again and go on from what is seen")));
    match &failure.undo {
        Some(card) => {
            let acts = tr!("{n} action" | "{n} actions" % card.acts.len());
            let cost = if card.cost.is_empty() { String::new() } else { tr!("; cost: {cost}", cost = card.cost) };
            lines.extend(choice("u", &tr!("undo this step ({acts}), then stop{cost}", acts = acts, cost = cost)));
        }
        None => lines.extend(labelled("-", 4, trs!("there is nothing of this step to undo"), width, Tone::Dim)),
    }
    if failure.skippable {
        lines.extend(choice(
            "i",
            trs!("skip it: leave it as it is and go on with the next step; the steps after it are right without it"),
        ));
    }
    lines.extend(choice("l h", trs!("read the log of the run, or the journals of the hosts; b comes back here")));
    lines.extend(choice("s", trs!("stop here and leave things as they are; the same command goes on later")));
    lines.extend(output(failure, width));
    lines
}

/// What failed, on which host, and what that leaves.
pub fn what(model: &Model, failure: &Failure, width: usize) -> Vec<Line<'static>> {
    let refused = !failure.refused.is_empty();
    let word = if refused { trs!("REFUSED") } else { trs!("FAILED") };
    let mut lines = vec![Line::default()];
    lines.extend(prose(
        &tr!("✗ {word}: {title}", word = word, title = model.title(&failure.step)),
        0,
        width,
        Tone::Bad,
    ));
    if let Some(host) = &failure.step.host {
        lines.extend(labelled(trs!("host"), 10, &step::host_words(model, host), width, Tone::Plain));
    }
    lines.extend(labelled(trs!("doing"), 10, &failure.doing, width, Tone::Plain));
    lines.extend(labelled(trs!("error"), 10, &failure.error, width, Tone::Bad));
    let undone = model.row(&failure.step).is_some_and(|r| r.state == StepState::Undone);
    let left = if undone { trs!("nothing: it was taken back") } else { &failure.left };
    lines.extend(labelled(trs!("leaves"), 10, left, width, Tone::Strong));
    lines.extend(survey::findings(&failure.refused, width));
    lines
}

/// The last lines of output.
pub fn output(failure: &Failure, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if failure.output.is_empty() {
        return lines;
    }
    lines.push(Line::default());
    lines.push(line(trs!("Last lines of output"), Tone::Heading));
    for l in &failure.output {
        lines.extend(
            text::wrap_code(l, width.saturating_sub(2)).into_iter().map(|c| line(format!("  {c}"), Tone::Plain)),
        );
    }
    lines
}
