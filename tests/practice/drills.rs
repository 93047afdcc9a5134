//! Every drill: its fault shows, a wrong repair does not cure it, the right one does, and the growth then ends well.

use std::time::Duration;

use banister::{
    engine::{Chapter, Event, act::ActProgress, confirm::Choice, event::Outcome},
    practice::{Options, Scenario},
    training::drill::{Drill, Sign},
};
use tokio::sync::mpsc;

use super::harness::{Desk, Ran, SPEED};

fn drill(name: &str) -> Drill {
    Drill::find(name).unwrap().unwrap()
}

fn begun(drill: &Drill) -> Desk {
    let practice = drill.build(Options { speed: SPEED, ..Options::default() }).unwrap();
    let mut desk = Desk::of(&Scenario::find(&drill.scenario).unwrap(), SPEED);
    desk.practice = practice;
    desk
}

/// Looks until the drill's fault is no longer seen, for a while.
async fn cleared(drill: &Drill, desk: &Desk, looks: u32) -> bool {
    for _ in 0..looks {
        if drill.cleared(&desk.look().await.observed) == Some(true) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Whether the fault shows, and as what; `None` when it does.
async fn hidden(drill: &Drill, desk: &Desk) -> Option<String> {
    match &drill.sign {
        Sign::Finding { host, says } => {
            let findings = desk.look().await.observed.findings.clone();
            let is_it = |f: &&banister::survey::Finding| {
                f.severity == banister::survey::Severity::Block
                    && f.what.contains(says.as_str())
                    && host.as_ref().is_none_or(|h| f.host.as_ref().is_some_and(|at| at.as_str() == h))
            };
            findings.iter().find(is_it).is_none().then(|| format!("{findings:#?}"))
        }
        Sign::Step { step, says } => {
            let ran = grown(desk).await;
            let shows = ran.failures().last().is_some_and(|f| {
                f.step.to_string().starts_with(step.as_str())
                    && format!("{}\n{}", f.error, f.output.join("\n")).contains(says.as_str())
            });
            (ran.outcome == Outcome::Done || !shows)
                .then(|| format!("{:?} {} {:#?}", ran.outcome, ran.why, ran.failures()))
        }
        Sign::Waits { step } => {
            let (cx, steps) = desk.steps().await;
            let (events, mut arriving) = mpsc::unbounded_channel();
            let mut engine = desk.engine(cx.etcd.clone(), &cx.stamp, Choice::Stop, events);
            let seen = async {
                while let Some(event) = arriving.recv().await {
                    if let Event::ActProgress(id, _, ActProgress::Waiting { what, .. }) = event
                        && id.to_string() == *step
                        && what.contains("revision ")
                    {
                        return true;
                    }
                }
                false
            };
            let hidden = tokio::select! {
                (_, why) = engine.run(&steps, Chapter::Workers) => Some(why),
                seen = seen => (!seen).then(|| "the run ended".to_owned()),
            };
            // The run was cut off: whoever comes next finds a lock whose lease has run out, and takes it over.
            desk.lapse();
            *desk.take_over.lock().unwrap() = true;
            hidden
        }
    }
}

/// A growth, as often as a member that was just repaired needs to be found healthy.
async fn grown(desk: &Desk) -> Ran {
    let mut ran = desk.grow().await;
    for _ in 0..50 {
        if !ran.why.contains("leader") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ran = desk.grow().await;
    }
    ran
}

async fn drilled(name: &str) {
    let drill = drill(name);
    let desk = begun(&drill);
    assert_eq!(hidden(&drill, &desk).await, None, "{name}: the fault does not show");
    // What is cheap to look at is looked at after each wrong deed; the steps are walked once, after all of them.
    for (at, repair) in drill.repairs.iter().enumerate().filter(|(_, r)| !r.right) {
        let _ = drill.repair(at, &desk.practice);
        if matches!(drill.sign, Sign::Finding { .. }) {
            assert!(!cleared(&drill, &desk, 3).await, "{name}: {} cures it", repair.text.en);
        }
    }
    match drill.sign {
        Sign::Finding { .. } => {}
        Sign::Step { .. } => assert_eq!(hidden(&drill, &desk).await, None, "{name}: a wrong repair cures it"),
        // Waiting for nothing takes minutes: the learner is still one, and nobody promotes it.
        Sign::Waits { .. } => assert_eq!(desk.members().await.voters().learners, 1, "{name}"),
    }
    let right = drill.repairs.iter().position(|r| r.right).unwrap();
    assert_eq!(drill.repair(right, &desk.practice), Ok(()), "{name}");
    if matches!(drill.sign, Sign::Finding { .. }) {
        assert!(cleared(&drill, &desk, 100).await, "{name}: {:#?}", desk.blocking().await);
    }
    let ran = grown(&desk).await;
    assert_eq!(ran.outcome, Outcome::Done, "{name}: {}", ran.why);
}

macro_rules! each {
    ($($test:ident $name:literal)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            drilled($name).await;
        })*

        #[test]
        fn every_drill_is_tested() {
            let mut tested = vec![$($name),*];
            tested.sort_unstable();
            let mut all: Vec<_> = Drill::names().collect();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

each! {
    host_down "host-down"
    member_down "member-down"
    clocks_apart "clocks-apart"
    old_data "old-data"
    disk_full "disk-full"
    read_only "read-only"
    san_missing "san-missing"
    expired "expired"
    foreign_ca "foreign-ca"
    no_space "no-space"
    typo_2378 "typo-2378"
    key_owner "key-owner"
    stranger "stranger"
    second_member "second-member"
    unit_fails "unit-fails"
    stuck_learner "stuck-learner"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_mended_by_hand_and_a_restart_cure_the_typo_too() {
    let drill = drill("typo-2378");
    let desk = begun(&drill);
    let file = "master02:/etc/etcd/etcd.conf";
    assert!(drill.files.iter().any(|f| f == file));
    let text = desk.practice.read_text(file).unwrap();
    assert!(text.contains("2378"), "{text}");
    desk.practice.write_text(file, &text.replace("2378", "2380")).unwrap();
    assert!(!cleared(&drill, &desk, 2).await, "etcd reads the file when it starts");
    let restart = drill.repairs.iter().position(|r| r.text.en.contains("as they are now")).unwrap();
    drill.repair(restart, &desk.practice).unwrap();
    assert!(cleared(&drill, &desk, 100).await);
    let mode = desk.host("master02", |h| {
        let entry = h.files.entry("/etc/etcd/etcd.conf".as_ref()).unwrap();
        (entry.mode, entry.owner.user.clone())
    });
    assert_eq!(mode, (0o644, "etcd".to_owned()), "owner and mode stay");
}

#[test]
fn every_file_of_a_drill_is_there() {
    for name in Drill::names() {
        let drill = drill(name);
        let practice = drill.build(Options { speed: SPEED, ..Options::default() }).unwrap();
        for file in &drill.files {
            practice.read_text(file).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
