//! The quorum gate at every step: with a member down and no voter to spare, nothing is changed, and who has to be repaired is
//! named.

use std::sync::Arc;

use banister::{
    engine::{Risk, confirm::Choice, event::Outcome},
    practice::{Fault, etcd::model::Etcd, world::World},
};

use super::{
    super::harness::{Desk, Looked, differences},
    Stage, in_still_time,
    strike::Counter,
    walk,
};

const DOWN: &str = "master03";

fn stop(desk: &Desk) -> Fault {
    let fault = Fault::MemberDown { host: DOWN.into() };
    desk.practice.with(|w| fault.strike(w, &desk.practice.cluster));
    fault
}

fn voters(etcd: &Etcd) -> usize {
    etcd.clusters.values().map(|c| c.members.values().filter(|m| !m.learner).count()).max().unwrap_or(0)
}

/// `true` when the step was refused.
async fn with_a_member_down(stage: &Stage) -> Result<bool, String> {
    let desk = stage.desk();
    let etcd = desk.etcd().await?;
    let (cx, steps) = desk.steps_for(Looked { observed: stage.observed.clone(), etcd: Ok(etcd) }).await;
    stop(&desk);
    let before = desk.state();
    let counter = Arc::new(Counter::default());
    desk.practice.set_tap(Some(counter.clone()));
    let step = &steps[stage.index];
    let ran = desk.run(cx.etcd.clone(), std::slice::from_ref(step), &cx.stamp, Choice::Stop).await;
    let spare = desk.practice.with(|w: &mut World| voters(&w.etcd)) >= 5;
    match ran.outcome {
        Outcome::Done if spare || step.risk() == Risk::ReadOnly => Ok(false),
        // It may be done, and then its proof misses the member that is down.
        Outcome::Failed if spare && ran.why.contains(DOWN) => Ok(false),
        Outcome::Refused if !spare => {
            let changed = differences(&before, &desk.state());
            let said =
                ran.failures().iter().flat_map(|f| f.refused.clone()).map(|f| f.what + &f.remedy).collect::<String>();
            if counter.changes() != 0 || !changed.is_empty() {
                return Err(format!("refused, and yet {} changes: {changed:?}", counter.changes()));
            }
            if said.contains(DOWN) { Ok(true) } else { Err(format!("who has to be repaired is not said: {said}")) }
        }
        outcome => Err(format!("{outcome:?} with {DOWN} down: {}", ran.why)),
    }
}

#[test]
fn every_step_is_refused_while_a_member_is_down_and_none_can_be_spared() {
    for scenario in ["growth", "growth-3.3"] {
        let stages = in_still_time(walk(scenario));
        let (mut refused, mut wrong) = (0, Vec::new());
        for stage in &stages {
            match in_still_time(with_a_member_down(stage)) {
                Ok(yes) => refused += usize::from(yes),
                Err(why) => wrong.push(format!("{}: {why}", stage.step)),
            }
        }
        assert!(wrong.is_empty(), "{scenario}:\n{}", wrong.join("\n"));
        assert!(refused >= 10, "{refused} of {} steps", stages.len());
    }
}

#[test]
fn an_undo_waits_until_the_member_that_is_down_is_repaired() {
    in_still_time(async {
        let desk = Desk::new("growth-3.3");
        assert_eq!(desk.grow().await.outcome, Outcome::Done);
        let fault = stop(&desk);
        let other = Fault::MemberDown { host: "master02".into() };
        desk.practice.with(|w| other.strike(w, &desk.practice.cluster));
        let before = desk.state();
        let ran = desk.take_back().await;
        assert_eq!(ran.outcome, Outcome::Refused, "{}", ran.why);
        let said: String = ran.failures().iter().flat_map(|f| f.refused.clone()).map(|f| f.remedy).collect();
        assert!(said.contains(DOWN) && said.contains("master02"), "{said}");
        assert_eq!(differences(&before, &desk.state()), Vec::<String>::new());
        for fault in [fault, other] {
            desk.practice.with(|w| fault.mend(w, &desk.practice.cluster));
        }
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert_eq!(desk.take_back().await.outcome, Outcome::Done);
    });
}

/// Another jump host, no journal, and whoever brought it about: after every step a run from elsewhere finds what was done
/// done, and ends where the first one would have.
#[test]
fn a_run_from_another_jump_host_goes_on_from_what_it_sees() {
    let stages = in_still_time(walk("growth"));
    let end = &stages.last().unwrap().after;
    for stage in &stages {
        in_still_time(async {
            let desk = stage.desk();
            let ran = desk.grow().await;
            assert_eq!(ran.outcome, Outcome::Done, "{}: {}", stage.step, ran.why);
            assert_eq!(differences(end, &desk.state()), Vec::<String>::new(), "from {}", stage.step);
            // What was done on the hosts is not done again; a backup is fetched anew where it is not at hand, and a
            // rehearsal changes nothing.
            let again: Vec<_> = stages[..stage.index].iter().map(|s| s.step.clone()).collect();
            let done = ran.done();
            let twice: Vec<_> = again
                .iter()
                .filter(|s| done.contains(s) && !s.starts_with("backup.") && !s.contains("rehearse"))
                .collect();
            assert!(twice.is_empty(), "from {}: {twice:?} ran again", stage.step);
        });
    }
}
