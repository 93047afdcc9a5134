//! The end: how it went, what was done, what comes next.

use ratatui::text::Line;

use crate::{
    engine::event::{Outcome, StepState},
    ui::{
        draw::{heading, prose, span},
        model::{End, Model},
        panels::steps,
        screens::{failed, survey},
        text,
        theme::Tone,
    },
};

/// The page.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let Some(end) = &model.end else { return Vec::new() };
    let mut lines = vec![Line::default()];
    match end {
        End::Outcome(outcome, summary) => {
            let (headline, tone, next) = words(*outcome);
            lines.extend(prose(headline, 0, width, tone));
            lines.extend(prose(summary, 0, width, Tone::Plain));
            lines.extend(prose(next, 0, width, Tone::Plain));
            lines.extend(prose(&tr!("Exit code {code}.", code = outcome.code()), 0, width, Tone::Dim));
            if *outcome != Outcome::Done {
                lines.extend(trouble(model, width));
            }
        }
        End::Fatal(what) => {
            lines.extend(prose(trs!("✗ banister itself broke: this is a bug."), 0, width, Tone::Bad));
            lines.extend(prose(what, 0, width, Tone::Plain));
            let next = trs!(
                "What ran then may be half done. Run the same command again: it looks at the cluster first and goes on from what is there."
            );
            lines.extend(prose(next, 0, width, Tone::Strong));
        }
    }
    if !model.steps.is_empty() {
        heading(&mut lines, &tally(model));
        let broke = matches!(end, End::Fatal(_));
        lines.extend(model.steps.iter().map(|step| {
            let (mut sign, mut tone) = steps::sign(&step.state);
            let mut words = steps::state_words(model, step);
            // Nobody tells any more how it goes on with what ran.
            if broke && matches!(step.state, StepState::Running | StepState::Verifying) {
                (sign, tone, words) = ('?', Tone::Warn, trs!("NOT KNOWN: had not ended").to_owned());
            }
            let title = text::pad(&step.info.title, 40.min(width.saturating_sub(24)));
            Line::from(vec![
                span(format!(" {sign} "), tone),
                span(title, Tone::Plain),
                span(format!("  {words}"), tone),
            ])
        }));
    }
    lines
}

/// Headline, tone, what comes next.
fn words(outcome: Outcome) -> (&'static str, Tone, &'static str) {
    match outcome {
        Outcome::Done => (trs!("✓ DONE"), Tone::Good, trs!("Running the same command again finds nothing to do.")),
        Outcome::Failed => (
            trs!("✗ A STEP FAILED"),
            Tone::Bad,
            trs!("Once the cause is gone, the same command looks again and goes on from there."),
        ),
        Outcome::Stopped => {
            (trs!("! STOPPED"), Tone::Warn, trs!("The same command looks again and goes on from there."))
        }
        Outcome::Refused => (
            trs!("! REFUSED"),
            Tone::Warn,
            trs!("Nothing unsafe was begun. Do what the remedies say, then run the same command again."),
        ),
    }
}

/// Why it did not get to its end.
fn trouble(model: &Model, width: usize) -> Vec<Line<'static>> {
    let mut lines = survey::findings(&model.refused, width);
    if let Some(failure) = &model.last_failure {
        lines.extend(failed::what(model, failure, width));
        lines.extend(failed::output(failure, width));
    }
    lines
}

fn tally(model: &Model) -> String {
    let count = |wanted: fn(&StepState) -> bool| model.steps.iter().filter(|r| wanted(&r.state)).count();
    let done = count(|s| matches!(s, StepState::Done(_)));
    let before = count(|s| matches!(s, StepState::AlreadyDone(_)));
    let open = model.steps.len() - done - before;
    tr!(
        "{steps}: {done} done now, {before} done before, {open} not done",
        steps = tr!("{n} step" | "{n} steps" % model.steps.len()),
        done = done,
        before = before,
        open = open
    )
}

/// One line for the shell, after the terminal was given back.
pub fn farewell(model: &Model) -> Option<String> {
    match model.end.as_ref()? {
        End::Outcome(outcome, summary) => {
            let (headline, _, _) = words(*outcome);
            let plain = headline.trim_start_matches(['✓', '✗', '!', ' ']);
            Some(format!("{plain}: {}", summary.lines().next().unwrap_or_default()))
        }
        End::Fatal(what) => Some(tr!("banister itself broke: {what}", what = what.lines().next().unwrap_or_default())),
    }
}
