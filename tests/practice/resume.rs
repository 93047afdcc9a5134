//! The program killed before and after every act of a growth: the next run finishes the job.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use banister::{
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{Act, ActCx, ActError},
        confirm::Choice,
        event::Outcome,
        plan::Shown,
        step::SharedStep,
    },
    survey::Finding,
};
use tokio::sync::{Notify, mpsc};

use super::harness::{Desk, LAST, differences};

/// Where a run is killed.
#[derive(Debug)]
struct Kill {
    /// The how-manieth act.
    at: usize,
    /// Before it, or after it.
    after: bool,
    acts: AtomicUsize,
    killed: Notify,
}

impl Kill {
    fn new(at: usize, after: bool) -> Arc<Self> {
        Arc::new(Self { at, after, acts: AtomicUsize::new(0), killed: Notify::new() })
    }
}

#[derive(Debug)]
struct Mortal {
    act: Box<dyn Act>,
    kill: Arc<Kill>,
}

#[async_trait]
impl Act for Mortal {
    fn shown(&self) -> Shown {
        self.act.shown()
    }

    fn changes_membership(&self) -> bool {
        self.act.changes_membership()
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let now = self.kill.acts.fetch_add(1, Ordering::SeqCst) == self.kill.at;
        if now && self.kill.after {
            self.act.act(cx).await?;
        }
        if now {
            self.kill.killed.notify_one();
            std::future::pending::<()>().await;
        }
        self.act.act(cx).await
    }
}

struct MortalStep {
    step: SharedStep,
    kill: Arc<Kill>,
}

#[async_trait]
impl Step for MortalStep {
    fn id(&self) -> StepId {
        self.step.id()
    }

    fn chapter(&self) -> Chapter {
        self.step.chapter()
    }

    fn title(&self) -> String {
        self.step.title()
    }

    fn risk(&self) -> Risk {
        self.step.risk()
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        self.step.probe().await
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let mut plan = self.step.preview().await?;
        let acts = std::mem::take(&mut plan.acts);
        plan.acts =
            acts.into_iter().map(|act| Box::new(Mortal { act, kill: self.kill.clone() }) as Box<dyn Act>).collect();
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        self.step.gate().await
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        self.step.verify().await
    }
}

/// A run that is killed there; whether it lived that long.
async fn killed(desk: &Desk, kill: &Arc<Kill>) -> bool {
    let (cx, steps) = desk.steps().await;
    let steps: Vec<SharedStep> =
        steps.into_iter().map(|step| Arc::new(MortalStep { step, kill: kill.clone() }) as SharedStep).collect();
    let (events, _unread) = mpsc::unbounded_channel();
    let mut engine = desk.engine(cx.etcd.clone(), &cx.stamp, Choice::Stop, events);
    tokio::select! {
        (outcome, why) = engine.run(&steps, LAST) => {
            assert_eq!(outcome, Outcome::Done, "{why}");
            false
        }
        () = kill.killed.notified() => {
            // Whoever goes on from the same machine sees that the process is gone; here it is the same one.
            drop(engine);
            desk.lapse();
            true
        }
    }
}

async fn one(scenario: &str, at: usize, after: bool, undisturbed: &std::collections::BTreeMap<String, String>) -> bool {
    let what = format!("{scenario}, killed {} act {at}", if after { "after" } else { "before" });
    let desk = Desk::new(scenario);
    let kill = Kill::new(at, after);
    if !killed(&desk, &kill).await {
        return false;
    }
    let ran = desk.grow().await;
    assert_eq!(ran.outcome, Outcome::Done, "{what}: {}", ran.why);
    assert_eq!(differences(undisturbed, &desk.state()), Vec::<String>::new(), "{what}");
    true
}

/// Every act of a growth, `workers` of them side by side.
async fn every_act(scenario: &'static str) {
    let desk = Desk::new(scenario);
    assert_eq!(desk.grow().await.outcome, Outcome::Done);
    let undisturbed = Arc::new(desk.state());
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..2).map(|_| {
        let (undisturbed, next) = (undisturbed.clone(), next.clone());
        tokio::spawn(async move {
            let mut tried = 0;
            loop {
                let n = next.fetch_add(1, Ordering::SeqCst);
                if !one(scenario, n / 2, n % 2 == 1, &undisturbed).await {
                    return tried;
                }
                tried += 1;
            }
        })
    });
    let mut tried = 0;
    for worker in workers.collect::<Vec<_>>() {
        tried += worker.await.unwrap();
    }
    println!("{scenario}: {tried} kills");
    assert!(tried >= 80, "{tried} is fewer than a growth has acts");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes of CPU, and the fault matrix kills at more places: by hand, with --ignored"]
async fn killed_at_every_act_a_growth_with_learners_is_finished_by_the_next_run() {
    every_act("growth").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes of CPU, and the fault matrix kills at more places: by hand, with --ignored"]
async fn killed_at_every_act_a_growth_of_voters_is_finished_by_the_next_run() {
    every_act("growth-3.3").await;
}
