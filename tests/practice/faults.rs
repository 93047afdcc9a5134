//! Each accident by its name: what the engineer sees, what is left on the hosts, and that the next run after the repair
//! finishes the job.

use std::{collections::BTreeMap, time::Duration};

use banister::{
    engine::{Event, act::ActProgress, confirm::Choice, event::Outcome},
    practice::Fault,
    survey::Severity,
};
use tokio::sync::mpsc;

use super::harness::{Desk, LAST, differences};

fn on(host: &str) -> String {
    host.to_owned()
}

fn strike(desk: &Desk, fault: &Fault) {
    desk.practice.with(|w| fault.strike(w, &desk.practice.cluster));
}

fn mend(desk: &Desk, fault: &Fault) {
    desk.practice.with(|w| fault.mend(w, &desk.practice.cluster));
}

/// What an undisturbed growth comes to.
async fn undisturbed() -> BTreeMap<String, String> {
    let desk = Desk::new("growth");
    let ran = desk.grow().await;
    assert_eq!(ran.outcome, Outcome::Done, "{}", ran.why);
    desk.state()
}

async fn finishes(desk: &Desk, fault: &Fault) {
    mend(desk, fault);
    let mut ran = desk.grow().await;
    for _ in 0..50 {
        // A member that was just repaired has to be found healthy first.
        if !ran.why.contains("leader") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ran = desk.grow().await;
    }
    assert_eq!(ran.outcome, Outcome::Done, "{fault:?}: {}", ran.why);
    assert_eq!(differences(&undisturbed().await, &desk.state()), Vec::<String>::new(), "{fault:?}");
}

/// The survey stops the growth before anything is done.
async fn stops(fault: Fault, sees: &str) {
    let desk = Desk::new("growth");
    strike(&desk, &fault);
    let before = desk.state();
    let blocking = desk.blocking().await;
    let said: Vec<String> = blocking
        .iter()
        .map(|f| format!("{}: {} | {}", f.host.as_ref().map(ToString::to_string).unwrap_or_default(), f.what, f.remedy))
        .collect();
    assert!(said.iter().any(|s| s.contains(sees)), "{fault:?} shows {said:#?}, nothing with {sees:?}");
    assert!(blocking.iter().all(|f| !f.remedy.is_empty()), "{said:#?}");
    assert_eq!(differences(&before, &desk.state()), Vec::<String>::new(), "a look changes nothing");
    finishes(&desk, &fault).await;
}

/// A step fails; what it says, and how the hosts differ from before, is given to `judge`.
async fn fails(fault: Fault, step: &str, sees: &str) -> Vec<String> {
    let desk = Desk::new("growth");
    let before = desk.state();
    let (cx, steps) = desk.steps().await;
    strike(&desk, &fault);
    let ran = desk.run(cx.etcd.clone(), &steps, &cx.stamp, Choice::Stop).await;
    assert_ne!(ran.outcome, Outcome::Done, "{fault:?} went unnoticed");
    let failures = ran.failures();
    let last = failures.last().unwrap_or_else(|| panic!("{fault:?}: {}", ran.why));
    assert!(last.step.to_string().starts_with(step), "{fault:?} failed at {}: {}", last.step, last.error);
    let said = format!("{}\n{}", last.error, last.output.join("\n"));
    assert!(said.contains(sees), "{fault:?} shows {said:?}, nothing with {sees:?}");
    let left = differences(&before, &desk.state());
    assert!(!left.iter().any(|l| l.contains(".banister:") || l.contains(".partial")), "{left:#?}");
    finishes(&desk, &fault).await;
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn host_down() {
    stops(Fault::HostDown { host: on("master04") }, "master04: ").await;
    fails(Fault::HostDown { host: on("master04") }, "etcd.host@master04", "no route to host").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_hangs() {
    let left = fails(Fault::HostHangs { host: on("master05") }, "etcd.host@master05", "did not finish within").await;
    assert!(left.iter().all(|l| !l.starts_with("master05")), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_drops() {
    let lost = "connection lost during";
    for after in [3, 9, 14] {
        fails(Fault::SshDrops { host: on("master04"), after }, "etcd.", lost).await;
    }
    fails(Fault::SshDrops { host: on("master01"), after: 2 }, "backup.files", lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_full() {
    let left = fails(Fault::DiskFull { host: on("master01") }, "backup.files", "No space left on device").await;
    assert!(left.is_empty(), "{left:#?}");
    fails(Fault::DiskFull { host: on("master04") }, "etcd.host@master04", "No space left on device").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only() {
    fails(Fault::ReadOnly { host: on("master04") }, "etcd.host@master04", "Read-only file system").await;
    fails(Fault::ReadOnly { host: on("master02") }, "backup.files", "Read-only file system").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_port() {
    let desk = Desk::new("growth");
    let fault = Fault::WrongPort { host: on("master01") };
    strike(&desk, &fault);
    let findings = desk.look().await.observed.findings.clone();
    let said = findings.iter().find(|f| f.what.contains("2378")).unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(said.severity >= Severity::Warn, "{said:#?}");
    // The members of that moment are what counts, not what the file says; the last step mends the file itself.
    if desk.blocking().await.is_empty() {
        assert_eq!(desk.grow().await.outcome, Outcome::Done);
        let text = desk.host("master01", |h| h.files.text("/etc/etcd/etcd.conf").unwrap());
        assert!(!text.contains("2378"), "{text}");
        assert_eq!(differences(&undisturbed().await, &desk.state()), Vec::<String>::new());
    } else {
        finishes(&desk, &fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn san_missing() {
    stops(Fault::SanMissing { host: on("master02") }, "10.10.33.38").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_ca() {
    stops(Fault::ForeignCa { host: on("master03") }, "master03: ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_certificate() {
    stops(Fault::ExpiredCertificate { host: on("master01") }, "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_off() {
    stops(Fault::ClockOff { host: on("master05"), seconds: -95 }, "master05: ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_data() {
    stops(Fault::OldData { host: on("master04") }, "master04: ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unit_fails() {
    let left = fails(Fault::UnitFails { host: on("master04") }, "etcd.join@master04", "226/NAMESPACE").await;
    assert!(
        left.iter().any(|l| l.starts_with("etcd ") && l.contains("10.10.33.40")),
        "it is a learner, unstarted: {left:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_join_can_be_taken_back_at_once() {
    let desk = Desk::new("growth");
    let (cx, steps) = desk.steps().await;
    strike(&desk, &Fault::UnitFails { host: on("master04") });
    let ran = desk.run(cx.etcd.clone(), &steps, &cx.stamp, Choice::Undo).await;
    assert!(ran.why.contains("was taken back"), "{}", ran.why);
    assert_eq!(desk.members().await.members.len(), 3);
    desk.host("master04", |h| {
        assert!(h.files.text("/etc/etcd/etcd.conf").is_none());
        assert!(h.files.children("/var/lib/etcd".as_ref()).is_empty());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn learner_stuck() {
    let desk = Desk::new("growth");
    let fault = Fault::LearnerStuck;
    let (cx, steps) = desk.steps().await;
    strike(&desk, &fault);
    let (events, mut arriving) = mpsc::unbounded_channel();
    let mut engine = desk.engine(cx.etcd.clone(), &cx.stamp, Choice::Stop, events);
    let seen = async {
        while let Some(event) = arriving.recv().await {
            if let Event::ActProgress(id, _, ActProgress::Waiting { what, .. }) = event
                && id.kind == "etcd.join"
                && what.contains("revision ")
            {
                return what;
            }
        }
        String::new()
    };
    let what = tokio::select! {
        (_, why) = engine.run(&steps, LAST) => panic!("{why}"),
        what = seen => what,
    };
    assert!(what.contains(" of "), "how far it is, and how far it has to be: {what}");
    let voters = desk.members().await.voters();
    assert_eq!(
        (voters.total, voters.healthy, voters.learners),
        (3, 3, 1),
        "a learner that is stuck costs nobody a vote"
    );
    drop(engine);
    desk.lapse();
    finishes(&desk, &fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn member_down() {
    stops(Fault::MemberDown { host: on("master03") }, "master03").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn member_added_and_never_started() {
    let fault = Fault::MemberAdded { host: on("master04") };
    let left = fails(fault, "etcd.certs@", "4 voters (3 healthy), quorum 3, survives 0").await;
    // What comes before is on the joiners alone, and harmless.
    let harmless = |l: &String| ["etcd ", "master04", "master05"].iter().any(|on| l.starts_with(on));
    assert!(left.iter().all(harmless), "nothing but the member and the joiners: {left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_member_added_before_the_first_has_started() {
    let desk = Desk::new("growth-3.3");
    let faults = ["master04", "master05"].map(|host| Fault::MemberAdded { host: on(host) });
    for f in &faults {
        strike(&desk, f);
    }
    let seen = desk.members().await.voters();
    assert_eq!((seen.total, seen.healthy, seen.margin()), (5, 3, 0));
    let before = desk.state();
    let ran = desk.grow().await;
    assert_eq!(ran.outcome, Outcome::Refused, "{}", ran.why);
    assert!(ran.why.contains("5 voters (3 healthy), quorum 3, survives 0"), "{}", ran.why);
    // What comes before is on the joiners alone, and harmless.
    let left = differences(&before, &desk.state());
    assert!(left.iter().all(|l| l.starts_with("master04") || l.starts_with("master05")), "{left:#?}");
    for f in &faults {
        mend(&desk, f);
    }
    assert_eq!(desk.grow().await.outcome, Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_space() {
    stops(Fault::NoSpace, "NOSPACE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_host() {
    let desk = Desk::new("growth");
    let fault = Fault::SlowHost { host: on("master05"), ms: 4000 };
    strike(&desk, &fault);
    assert_eq!(desk.grow().await.outcome, Outcome::Done, "slow is not broken");
    assert_eq!(differences(&undisturbed().await, &desk.state()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_output() {
    let desk = Desk::new("growth");
    for host in ["master01", "master04"] {
        strike(&desk, &Fault::HostileOutput { host: on(host) });
    }
    let looked = desk.look().await;
    let ran = desk.grow().await;
    assert_eq!(ran.outcome, Outcome::Done, "{}", ran.why);
    let shown = format!("{:?} {:?} {:?}", looked.observed.findings, looked.observed.hosts, ran.events);
    assert!(shown.contains("everything is fine"), "what it said is shown");
    let shown: String = ran
        .events
        .iter()
        .filter_map(
            |e| if let Event::ActProgress(_, _, ActProgress::Line(line)) = e { Some(line.as_str()) } else { None },
        )
        .collect();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}') && !shown.contains('\u{202e}'), "{shown:?}");
    assert_eq!(differences(&undisturbed().await, &desk.state()), Vec::<String>::new());
}
