//! What the engine says, taken into the model.

use std::time::Duration;

use super::{close_dialogs, enter};
use crate::{
    cluster::HostName,
    engine::{
        Event, StepId,
        act::ActProgress,
        confirm::{ConfirmRequest, Failure},
        event::StepState,
        plan::UndoCard,
    },
    remote::clean,
    survey::Finding,
    ui::{
        log::Kind,
        message::{Answer, Effect},
        model::{Asking, End, Model, Phase, Section},
        steps::{ActState, StepRow},
        text, training,
    },
};

/// Takes an event over.
pub fn event(model: &mut Model, event: Event) -> Vec<Effect> {
    match event {
        Event::Steps(infos) => {
            let now = model.now.at;
            model.steps = infos.into_iter().map(|info| StepRow::new(info, now)).collect();
            model.starting = false;
            model.selected = 0;
            enter(model, Phase::Wizard);
        }
        Event::State(id, state) => step_state(model, &id, state),
        Event::Preview(id, plan) => {
            if let Some(row) = model.row_mut(&id) {
                row.prepare(&plan);
            }
        }
        Event::Asking(request) => return asking(model, request),
        Event::Confirmed(id, by) => {
            model.asking = None;
            note(model, id.host.as_ref(), Kind::Step, &tr!("{id}: confirmed by {by}", id = model.title(&id), by = by));
        }
        Event::ActStarted(id, index) => act_started(model, &id, index),
        Event::ActProgress(id, index, progress) => act_progress(model, &id, index, progress),
        Event::ActDone(id, index, took) => act_done(model, &id, index, took),
        Event::Verified(id, proofs) => {
            let proofs: Vec<String> = proofs.iter().map(|p| clean::line(p)).collect();
            for proof in &proofs {
                note(model, id.host.as_ref(), Kind::Proof, &tr!("proven: {proof}", proof = proof));
            }
            if let Some(row) = model.row_mut(&id) {
                row.proofs = proofs;
            }
        }
        Event::Failed(failure) => failed(model, failure),
        Event::Note(line) => note(model, None, Kind::Output, &line),
        Event::Refused(findings) => {
            for finding in &findings {
                note(model, finding.host.as_ref(), Kind::Error, &tr!("refused: {what}", what = finding.what));
            }
            model.refused = findings.into_iter().map(cleaned_finding).collect();
        }
        Event::Finished(outcome, summary) => {
            // A bug reported before stays on screen: it is the reason for this end.
            if !matches!(model.end, Some(End::Fatal(_))) {
                model.end = Some(End::Outcome(outcome, clean::text(&summary)));
            }
            model.last_failure = model.failure.take().or(model.last_failure.take());
            model.starting = false;
            close_dialogs(model);
            enter(model, Phase::Finished);
            if model.leaving {
                return vec![Effect::Quit];
            }
        }
    }
    Vec::new()
}

/// Adds to the log, with the operator's clock.
fn note(model: &mut Model, host: Option<&HostName>, kind: Kind, line: &str) {
    let at = model.now.clock.time();
    model.log.push(at, host, kind, line);
}

fn step_state(model: &mut Model, id: &StepId, state: StepState) {
    let title = model.title(id);
    let host = id.host.as_ref();
    match &state {
        StepState::Running => note(model, host, Kind::Step, &tr!("{title}: begins", title = title)),
        StepState::Done(took) => {
            note(model, host, Kind::Step, &tr!("{title}: done in {took}", title = title, took = text::duration(*took)));
        }
        StepState::AlreadyDone(seen) => {
            note(model, host, Kind::Step, &tr!("{title}: was done already: {seen}", title = title, seen = seen));
        }
        StepState::Failed(why) => {
            note(model, host, Kind::Error, &tr!("{title}: failed: {why}", title = title, why = why));
        }
        StepState::Undone => note(model, host, Kind::Step, &tr!("{title}: taken back", title = title)),
        StepState::Skipped => note(model, host, Kind::Error, &tr!("{title}: skipped, left as it is", title = title)),
        StepState::Waiting | StepState::Probing | StepState::Asking | StepState::Verifying => {}
    }
    // A step that goes on is no longer one that was asked about or failed.
    if !matches!(state, StepState::Asking) && model.asking.as_ref().is_some_and(|a| &a.request.step == id) {
        model.asking = None;
    }
    let now = model.now.at;
    if let Some(row) = model.row_mut(id) {
        row.since = now;
        row.state = match state {
            StepState::AlreadyDone(seen) => StepState::AlreadyDone(clean::line(&seen)),
            StepState::Failed(why) => StepState::Failed(clean::line(&why)),
            other => other,
        };
    }
    select_current(model);
}

/// Takes the selection along with the step that runs, unless the operator is reading elsewhere.
pub fn select_current(model: &mut Model) {
    let Some(current) = model.current().filter(|_| model.along) else { return };
    if model.selected != current {
        model.selected = current;
        model.scroll.step = 0;
    }
}

fn asking(model: &mut Model, request: ConfirmRequest) -> Vec<Effect> {
    if let Some(row) = model.row_mut(&request.step) {
        row.prepare(&request.plan);
        row.state = StepState::Asking;
    }
    // Leaving was asked for while this step was looked at: the answer is known.
    if model.stopping {
        return vec![Effect::Answer(Answer::Stop { step: request.step })];
    }
    model.along = true;
    model.asking = Some(Asking { request, hidden: false, typed: String::new(), section: Section::About });
    enter(model, Phase::Wizard);
    select_current(model);
    training::pose(model);
    Vec::new()
}

fn act_started(model: &mut Model, id: &StepId, index: usize) {
    let now = model.now.at;
    let mut line = None;
    if let Some(row) = model.row_mut(id) {
        if let Some(act) = row.acts.get_mut(index) {
            *act = ActState::Running { since: now, progress: None };
        }
        line = row.plan.as_ref().and_then(|p| p.view.acts.get(index)).map(|s| (s.host.clone(), s.title.clone()));
    }
    if let Some((host, title)) = line {
        note(model, host.as_ref(), Kind::Step, &title);
    }
}

fn act_progress(model: &mut Model, id: &StepId, index: usize, progress: ActProgress) {
    let host = model.row(id).and_then(|r| r.plan.as_ref()?.view.acts.get(index)?.host.clone());
    let progress = match progress {
        ActProgress::Line(line) => return note(model, host.as_ref(), Kind::Output, &line),
        ActProgress::Waiting { what, seconds, deadline } => {
            ActProgress::Waiting { what: clean::line(&what), seconds, deadline }
        }
        bytes @ ActProgress::Bytes { .. } => bytes,
    };
    let now = model.now.at;
    if let Some(act) = model.row_mut(id).and_then(|r| r.acts.get_mut(index)) {
        let since = match act {
            ActState::Running { since, .. } => *since,
            _ => now,
        };
        *act = ActState::Running { since, progress: Some(progress) };
    }
}

fn act_done(model: &mut Model, id: &StepId, index: usize, took: Duration) {
    let mut slow = None;
    if let Some(row) = model.row_mut(id) {
        if let Some(act) = row.acts.get_mut(index) {
            *act = ActState::Done(took);
        }
        slow = row.plan.as_ref().and_then(|p| p.view.acts.get(index)).map(|s| s.host.clone());
    }
    // The line that announced it stands right above; an end is worth one only where time passed in between.
    if let Some(host) = slow.filter(|_| took >= Duration::from_secs(2)) {
        note(model, host.as_ref(), Kind::Output, &tr!("took {took}", took = text::duration(took)));
    }
}

fn failed(model: &mut Model, failure: Failure) {
    let failure = cleaned(failure);
    note(model, failure.step.host.as_ref(), Kind::Error, &tr!("failed: {error}", error = failure.error));
    model.asking = None;
    model.undo_question = false;
    model.failure = Some(failure);
    model.along = true;
    select_current(model);
    enter(model, Phase::Failed);
}

fn cleaned(mut failure: Failure) -> Failure {
    failure.doing = clean::text(&failure.doing);
    failure.error = clean::text(&failure.error);
    failure.left = clean::text(&failure.left);
    failure.output =
        failure.output.iter().flat_map(|l| clean::text(l).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    failure.refused = failure.refused.into_iter().map(cleaned_finding).collect();
    failure.undo = failure.undo.map(|mut card: UndoCard| {
        for act in &mut card.acts {
            act.title = clean::line(&act.title);
            act.commands = clean::text(&act.commands);
        }
        card
    });
    failure
}

fn cleaned_finding(finding: Finding) -> Finding {
    Finding {
        what: clean::text(&finding.what),
        why: clean::text(&finding.why),
        remedy: clean::text(&finding.remedy),
        ..finding
    }
}
