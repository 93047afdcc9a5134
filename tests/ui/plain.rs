//! The plain lines of a run, of a plan, of a survey.

use std::{sync::Arc, time::Duration};

use banister::{
    engine::{
        Event, Risk,
        act::ActProgress,
        event::{Outcome, StepState},
    },
    ui::plain::{self, Plain},
};

use crate::{
    fixtures::{failure, join, join_plan, observed, question, steps},
    screens::settings,
};

fn events() -> Vec<Event> {
    let took = Duration::from_millis(1200);
    vec![
        Event::Steps(steps()),
        Event::State(steps()[0].id.clone(), StepState::AlreadyDone("an archive of today".into())),
        Event::State(join(), StepState::Probing),
        Event::Preview(join(), Arc::new(join_plan(Risk::Disruptive))),
        Event::State(join(), StepState::Asking),
        Event::Asking(question(Risk::Disruptive)),
        Event::Confirmed(join(), "--approve"),
        Event::State(join(), StepState::Running),
        Event::ActStarted(join(), 1),
        Event::ActProgress(join(), 1, ActProgress::Line("systemd: started\u{1b}[2J".into())),
        Event::ActProgress(join(), 1, ActProgress::Bytes { done: 12 << 20, total: Some(27 << 20) }),
        Event::ActProgress(
            join(),
            1,
            ActProgress::Waiting { what: "learner behind".into(), seconds: 12, deadline: 120 },
        ),
        Event::ActDone(join(), 1, took),
        Event::State(join(), StepState::Verifying),
        Event::Verified(join(), vec!["4 voters, all healthy".into(), "revision 81,240 on all".into()]),
        Event::State(join(), StepState::Done(took)),
        Event::Failed(failure()),
        Event::Note("the run goes on tomorrow".into()),
        Event::Refused(observed(true).findings),
        Event::Finished(Outcome::Failed, "one step failed".into()),
    ]
}

#[test]
fn a_run_a_plan_and_a_survey_as_lines() {
    let mut said = Plain::default();
    let run: Vec<String> = events().iter().flat_map(|e| said.lines(e)).collect();
    let planned = plain::plan(&join(), "Join master04", &join_plan(Risk::Disruptive));
    let surveyed = plain::survey(&observed(true));
    settings().bind(|| {
        insta::assert_snapshot!("plain-run", run.join("\n"));
        insta::assert_snapshot!("plain-plan", planned.join("\n"));
        insta::assert_snapshot!("plain-survey", surveyed.join("\n"));
    });
}
