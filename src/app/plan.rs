//! `banister plan` and `banister survey`: what would be done, and what there is. Both change nothing.

use super::{
    Task,
    headless::{look, say},
    session::Hosts,
};
use crate::{
    engine::{Chapter, Probe, event::Outcome},
    survey::show::{self, show},
    ui::plain,
};

/// Looks at everything and prints it.
pub(super) async fn survey(hosts: &Hosts) -> Outcome {
    let (session, looked) = look(hosts).await;
    let now = jiff::Timestamp::now().as_second();
    let width = crossterm::terminal::size().map_or(show::DEFAULT_WIDTH, |(columns, _)| usize::from(columns));
    let text = show(&session.cluster, &looked.observed, now, width.max(show::DEFAULT_WIDTH));
    say(&text.lines().map(str::to_owned).collect::<Vec<_>>());
    if looked.observed.blocking().is_empty() { Outcome::Done } else { Outcome::Refused }
}

/// Prints every step with its operations, diffs and undo, as they would be now.
pub(super) async fn plan(hosts: &Hosts, through: Chapter) -> Outcome {
    let (session, looked) = look(hosts).await;
    say(&plain::survey(&looked.observed));
    let blocked = !looked.observed.blocking().is_empty();
    let Some(etcd) = looked.etcd.clone() else { return Outcome::Refused };
    let task = Task::Grow { through };
    let (_, steps) = match session.steps(&looked, &etcd, task).await {
        Ok(both) => both,
        Err(e) => {
            say(&[tr!("[plan] failed: {e}", e = e)]);
            return Outcome::Failed;
        }
    };
    let steps: Vec<_> = steps.into_iter().filter(|s| s.chapter() <= through).collect();
    let (mut todo, mut failed) = (0, false);
    for step in &steps {
        let (id, title) = (step.id(), step.title());
        match step.probe().await {
            Ok(Probe::Done(seen)) => {
                say(&[tr!("[plan] {id}: nothing to do: {seen}", id = id, seen = seen)]);
                continue;
            }
            Ok(Probe::Blocked(findings)) => {
                for finding in findings {
                    say(&plain::finding(&tr!("{id} refused:", id = id), &finding));
                }
                continue;
            }
            Ok(Probe::Todo(_)) => {}
            Err(e) => {
                failed = true;
                say(&plain::not_planned(&id, &title, &e.to_string()));
                continue;
            }
        }
        todo += 1;
        match step.preview().await {
            Ok(plan) => say(&plain::plan(&id, &title, &plan.view)),
            // What an earlier step makes may not be there yet: that is no fault of the plan.
            Err(e) => say(&plain::not_planned(&id, &title, &e.to_string())),
        }
    }
    say(&[tr!(
        "[plan] {todo} of {steps} steps would run; each is worked out again from a fresh look when its turn comes",
        todo = todo,
        steps = steps.len()
    )]);
    match (blocked, failed) {
        (true, _) => Outcome::Refused,
        (false, true) => Outcome::Failed,
        (false, false) => Outcome::Done,
    }
}
