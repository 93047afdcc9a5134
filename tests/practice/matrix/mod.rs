//! The fault matrix: every operation of a growth × everything that may happen at it. Afterwards the cluster has its data and
//! its quorum, and the next run ends where an undisturbed one does, file by file and member by member, with nothing left over.
//!
//! A growth is walked once; the world is kept right before each step. Each case goes on from there: the step runs, the fault
//! strikes at one of its operations, what broke is repaired, and a second run (survey, this step, and with some of the faults
//! all steps before it, too) has to leave exactly what the undisturbed walk left after that step. From there on the two are the
//! same walk.
//!
//! Time stands still while anything works and jumps where everything waits, so no case waits and none depends on the machine.

mod cases;
mod gates;
mod halves;
mod strike;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use banister::{
    cluster::Cluster,
    engine::{Chapter, confirm::Choice, event::Outcome},
    practice::{Practice, world::World},
    survey::Observed,
};

use super::harness::Desk;
use strike::{Counter, Strike};

/// A step of the undisturbed walk.
pub struct Stage {
    index: usize,
    /// The step at whose end the two are compared: its own. Where kubelets are started that is the last one that marks their
    /// nodes: a node that was Ready before anybody looked is cordoned there only.
    until: usize,
    step: String,
    cluster: Arc<Cluster>,
    observed: Arc<Observed>,
    /// Of one thread at a time: what an apiserver has read is.
    world: Mutex<World>,
    now: Duration,
    before: BTreeMap<String, String>,
    after: BTreeMap<String, String>,
    /// How many changes it makes.
    changes: usize,
    /// How many lines its journal gets.
    lines: usize,
}

impl Stage {
    /// A desk of its own, at the moment before the step.
    fn desk(&self) -> Desk {
        Desk::at(Practice::of(self.cluster.clone(), self.world.lock().unwrap().clone(), self.now))
    }
}

/// Runs something while time stands still unless everything waits.
pub fn in_still_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// Walks a growth undisturbed and keeps every stage of it.
async fn walk(scenario: &str) -> Vec<Stage> {
    let desk = Desk::new(scenario);
    let looked = desk.look().await;
    let observed = looked.observed.clone();
    assert!(observed.blocking().is_empty(), "{:#?}", observed.blocking());
    let (cx, steps) = desk.steps_for(looked).await;
    let mut stages = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let (world, now) = desk.practice.with(World::kept);
        let before = desk.state();
        let (counter, lines) = (Arc::new(Counter::default()), desk.journal().len());
        desk.practice.set_tap(Some(counter.clone()));
        let one = std::slice::from_ref(step);
        let ran = desk.run_through(cx.etcd.clone(), one, &cx.stamp, Choice::Stop, Chapter::Workers).await;
        desk.practice.set_tap(None);
        assert_eq!(ran.outcome, Outcome::Done, "{}: {}", step.id(), ran.why);
        desk.rest().await;
        stages.push(Stage {
            index,
            until: index,
            step: step.id().to_string(),
            cluster: desk.cluster().clone(),
            observed: observed.clone(),
            world: Mutex::new(world),
            now,
            before,
            after: desk.state(),
            changes: counter.changes(),
            lines: desk.journal().len() - lines,
        });
    }
    let marked = stages.iter().rposition(|s| s.step.starts_with("kube.node"));
    if let (Some(start), Some(marked)) = (stages.iter().position(|s| s.step == "kube.start"), marked) {
        (stages[start].until, stages[start].after) = (marked, stages[marked].after.clone());
    }
    stages
}

/// The walk of a scenario, made once.
fn walked(scenario: &str) -> &'static [Stage] {
    static WITH_LEARNERS: OnceLock<Vec<Stage>> = OnceLock::new();
    static WITHOUT: OnceLock<Vec<Stage>> = OnceLock::new();
    let once = if scenario == "growth" { &WITH_LEARNERS } else { &WITHOUT };
    once.get_or_init(|| in_still_time(walk(scenario)))
}

/// Every case of a scenario, on all processors; what went wrong, a paragraph a case.
fn every_case(scenario: &str, strikes: &[Strike], of: impl Fn(&Stage) -> bool) {
    let began = Instant::now();
    let stages = walked(scenario);
    let walked = began.elapsed();
    let cases: Vec<(&Stage, Strike, usize)> = stages
        .iter()
        .filter(|stage| of(stage))
        .flat_map(|stage| strikes.iter().map(move |s| (stage, *s)))
        .flat_map(|(stage, strike)| (0..strike.times(stage)).map(move |at| (stage, strike, at)))
        .collect();
    let only = std::env::var("BANISTER_MATRIX").ok();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let seen = Mutex::new(BTreeSet::new());
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((stage, strike, at)) = cases.get(number) else { break };
                    if number % 200 == 0 {
                        println!("{scenario}: case {number} of {} after {:?}", cases.len(), began.elapsed());
                    }
                    let what = format!("{}: {strike:?} at {at}", stage.step);
                    // Of several words one has to be in it.
                    if only.as_ref().is_some_and(|o| !o.split(',').any(|word| what.contains(word))) {
                        continue;
                    }
                    match in_still_time(cases::case(stage, *strike, *at)) {
                        Ok(how) => {
                            seen.lock().unwrap().insert((*strike, how));
                        }
                        Err(why) => {
                            println!("{what}: {why}");
                            wrong.lock().unwrap().push(format!("{what}: {why}"));
                        }
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    let changes: usize = stages.iter().map(|s| s.changes).sum();
    println!(
        "{scenario}: {changes} operations in {} steps, {} cases in {:?} (walked in {walked:?})",
        stages.len(),
        cases.len(),
        began.elapsed()
    );
    assert!(wrong.is_empty(), "{} of {} cases went wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    // A fault that never did anything would prove nothing.
    let seen = seen.into_inner().unwrap();
    for strike in strikes.iter().filter(|_| only.is_none()) {
        let ends: Vec<_> = seen.iter().filter(|(s, _)| s == strike).map(|(_, how)| *how).collect();
        assert!(ends.contains(&strike.expected()), "{strike:?} only ever ended as {ends:?}");
    }
    assert!(only.is_some() || changes >= 60, "{changes} operations are fewer than a growth has");
    // The last stage is the end of the walk: every step was walked.
    assert_eq!(stages.last().map(|s| s.index + 1), Some(stages.len()));
}

#[test]
fn whatever_happens_at_whichever_operation_the_next_run_ends_as_an_undisturbed_one() {
    every_case("growth", Strike::ALL, |_| true);
}

/// The chapters of Kubernetes know nothing of learners.
#[test]
fn without_learners_too() {
    let strikes = [
        Strike::KilledDuring,
        Strike::KilledFinishedAndTakenBack,
        Strike::Cut,
        Strike::Rebooted,
        Strike::OtherMemberStopped,
    ];
    every_case("growth-3.3", &strikes, |stage| stage.step.starts_with("backup.") || stage.step.starts_with("etcd."));
}
