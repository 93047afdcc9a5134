//! The quorum gate at every step: with a member down and no voter to spare, nothing is changed, and who has to be repaired is
//! named.

use std::sync::Arc;

use banister::{
    engine::{Chapter, Risk, confirm::Choice, event::Outcome},
    practice::{Fault, etcd::model::Etcd, world::World},
};

use super::{
    super::harness::{Desk, Looked, differences},
    Stage, in_still_time,
    strike::Counter,
    walked,
};

const DOWN: &str = "master03";
const SECOND: &str = "master02";

fn stop(desk: &Desk, host: &str) -> Fault {
    let fault = Fault::MemberDown { host: host.into() };
    desk.practice.with(|w| fault.strike(w, &desk.practice.cluster));
    fault
}

fn voters(etcd: &Etcd) -> usize {
    etcd.clusters.values().map(|c| c.members.values().filter(|m| !m.learner).count()).max().unwrap_or(0)
}

/// `true` when the step was refused.
async fn with_members_down(stage: &Stage, down: &[&str]) -> Result<bool, String> {
    let desk = stage.desk();
    let etcd = desk.etcd().await?;
    let (cx, steps) = desk.steps_for(Looked { observed: stage.observed.clone(), etcd: Ok(etcd) }).await;
    for host in down {
        stop(&desk, host);
    }
    let before = desk.state();
    let counter = Arc::new(Counter::default());
    desk.practice.set_tap(Some(counter.clone()));
    let step = &steps[stage.index];
    let one = std::slice::from_ref(step);
    let ran = desk.run_through(cx.etcd.clone(), one, &cx.stamp, Choice::Stop, Chapter::Workers).await;
    let spare = desk.practice.with(|w: &mut World| voters(&w.etcd)) >= 3 + 2 * down.len();
    match ran.outcome {
        Outcome::Done if spare || step.risk() == Risk::ReadOnly => Ok(false),
        // It may be done, and then its proof misses the member that is down.
        Outcome::Failed if (spare || step.risk() == Risk::ReadOnly) && ran.why.contains(DOWN) => Ok(false),
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
        let stages = walked(scenario);
        let (mut refused, mut wrong) = (0, Vec::new());
        for stage in stages {
            match in_still_time(with_members_down(stage, &[DOWN])) {
                Ok(yes) => refused += usize::from(yes),
                Err(why) => wrong.push(format!("{}: {why}", stage.step)),
            }
        }
        assert!(wrong.is_empty(), "{scenario}:\n{}", wrong.join("\n"));
        assert!(refused >= 10, "{refused} of {} steps", stages.len());
    }
}

/// The chapters of Kubernetes: five voters by then, of which two are down.
#[test]
fn with_two_of_five_down_nothing_of_kubernetes_is_changed_either() {
    let (mut refused, mut wrong) = (0, Vec::new());
    for stage in walked("growth").iter().filter(|s| !s.step.starts_with("backup.") && !s.step.starts_with("etcd.")) {
        match in_still_time(with_members_down(stage, &[DOWN, SECOND])) {
            Ok(yes) => refused += usize::from(yes),
            Err(why) => wrong.push(format!("{}: {why}", stage.step)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused >= 15, "{refused} steps were refused");
}

/// It is not called unhealthy: there is nothing to repair yet.
#[test]
fn a_member_that_never_started_is_to_be_started_or_removed() {
    let stage = walked("growth").iter().find(|s| s.step == "etcd.join@master04").unwrap();
    in_still_time(async {
        let desk = stage.desk();
        let etcd = desk.etcd().await.unwrap();
        let (cx, steps) = desk.steps_for(Looked { observed: stage.observed.clone(), etcd: Ok(etcd) }).await;
        let added = Fault::MemberAdded { host: "master05".into() };
        desk.practice.with(|w| added.strike(w, &desk.practice.cluster));
        let ran = desk.run(cx.etcd.clone(), &steps[stage.index..=stage.index], &cx.stamp, Choice::Stop).await;
        assert_eq!(ran.outcome, Outcome::Refused, "{}", ran.why);
        let said: String = ran.failures().iter().flat_map(|f| f.refused.clone()).map(|f| f.remedy).collect();
        assert!(said.contains("start the member at https://10.10.33.41:2380"), "{said}");
        assert!(said.contains("etcdctl member remove"), "{said}");
    });
}

#[test]
fn an_undo_waits_until_the_member_that_is_down_is_repaired() {
    in_still_time(async {
        let desk = Desk::new("growth-3.3");
        assert_eq!(desk.grow().await.outcome, Outcome::Done);
        let (fault, other) = (stop(&desk, DOWN), stop(&desk, SECOND));
        let before = desk.state();
        let ran = desk.take_back().await;
        assert_eq!(ran.outcome, Outcome::Refused, "{}", ran.why);
        let said: String = ran.failures().iter().flat_map(|f| f.refused.clone()).map(|f| f.remedy).collect();
        assert!(said.contains(DOWN) && said.contains(SECOND), "{said}");
        assert_eq!(differences(&before, &desk.state()), Vec::<String>::new());
        for fault in [fault, other] {
            desk.practice.with(|w| fault.mend(w, &desk.practice.cluster));
        }
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert_eq!(desk.take_back().await.outcome, Outcome::Done);
    });
}

/// Another jump host, no journal, and whoever brought it about: after every third step a run from elsewhere finds what was done
/// done, and ends where the first one would have. (The second runs of the matrix come from elsewhere, too, after every step.)
#[test]
fn a_run_from_another_jump_host_goes_on_from_what_it_sees() {
    let stages = walked("growth");
    let end = &stages.last().unwrap().after;
    for stage in stages.iter().step_by(3) {
        in_still_time(async {
            let desk = stage.desk();
            let ran = desk.grow_through(Chapter::Workers).await;
            assert_eq!(ran.outcome, Outcome::Done, "{}: {}", stage.step, ran.why);
            desk.rest().await;
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
