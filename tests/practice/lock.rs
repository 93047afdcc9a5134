//! One operator at a time.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use banister::{
    cluster::{Cluster, Node},
    engine::{Lease, confirm::Choice, event::Outcome, journal::Record, lock::Claim},
    practice::{
        Practice,
        files::Kind,
        host::Power,
        tap::{Change, Reply, Tap},
    },
    remote::lock::{Holder, PATH, text},
};

use super::{
    harness::{Desk, differences},
    matrix::in_still_time,
};

const FIRST: &str = "master01";

/// Somebody else's lock, with a lease that runs out at that second of the host's.
fn lay(practice: &Practice, ends: u64) {
    let holder = Holder { run: "theirs".into(), who: "li@jump02".into(), pid: 4711, machine: "another".into() };
    practice.with(|w| {
        let host = w.hosts.values_mut().find(|h| h.name.as_str() == FIRST).unwrap();
        let mut entry = host.files.entry(Path::new("/etc/hostname")).unwrap().clone();
        entry.kind = Kind::File(text(&holder, "2026-11-23T17:40:12Z", ends).into());
        host.files.lay(Path::new(PATH), entry);
    });
}

fn lock(desk: &Desk) -> Option<String> {
    desk.host(FIRST, |h| h.files.text(PATH))
}

#[test]
fn a_second_operator_is_told_who_works_there_and_changes_nothing() {
    in_still_time(async {
        let desk = Desk::new("growth");
        lay(&desk.practice, u64::MAX >> 1);
        let before = desk.state();
        let ran = desk.grow().await;
        assert_eq!(ran.outcome, Outcome::Refused);
        for said in ["li@jump02", "pid 4711", "2026-11-23T17:40:12Z", "lease for another", "wait until"] {
            assert!(ran.why.contains(said), "{said} is not in: {}", ran.why);
        }
        assert_eq!(differences(&before, &desk.state()), Vec::<String>::new());
    });
}

#[test]
fn a_lock_whose_lease_has_run_out_is_taken_over_only_with_a_yes() {
    in_still_time(async {
        let desk = Desk::new("growth");
        lay(&desk.practice, 1);
        *desk.take_over.lock().unwrap() = false;
        let ran = desk.grow().await;
        assert_eq!(ran.outcome, Outcome::Refused);
        assert!(ran.why.contains("--take-over"), "{}", ran.why);
        assert!(lock(&desk).unwrap().contains("run=theirs"), "a no leaves it alone");
        *desk.take_over.lock().unwrap() = true;
        assert_eq!(desk.grow().await.outcome, Outcome::Done);
        let holders: Vec<_> = desk
            .journal()
            .into_iter()
            .filter_map(|l| if let Record::Lock { holder, .. } = l.record { Some(holder) } else { None })
            .collect();
        assert_eq!(holders, ["li@jump02"], "it is on record");
        assert_eq!(lock(&desk), None, "given back at the end");
    });
}

/// Gives the lock to somebody else in the middle of an operation, and takes its time until the run can know.
struct Thief {
    practice: Practice,
    at: usize,
    seen: AtomicUsize,
}

#[async_trait]
impl Tap for Thief {
    async fn before(&self, _: &Change) {
        if self.seen.fetch_add(1, Ordering::SeqCst) == self.at {
            lay(&self.practice, u64::MAX >> 1);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }

    async fn after(&self, _: &Change) -> Reply {
        Reply::Given
    }
}

#[test]
fn a_run_whose_lock_was_taken_over_does_nothing_more_not_even_an_undo() {
    in_still_time(async {
        let desk = Desk::new("growth");
        // In the middle of a step of several operations, whichever it is.
        let thief = Arc::new(Thief { practice: desk.practice.clone(), at: 12, seen: AtomicUsize::new(0) });
        desk.practice.set_tap(Some(thief.clone()));
        let ran = desk.grow_choosing(Choice::Undo).await;
        assert_eq!(ran.outcome, Outcome::Failed);
        assert!(ran.why.contains("taken over by another run: li@jump02"), "{}", ran.why);
        assert_eq!(thief.seen.load(Ordering::SeqCst), 13, "the operation that ran was the last one");
        assert!(lock(&desk).unwrap().contains("run=theirs"), "theirs is not given back");
    });
}

#[test]
fn a_lock_that_cannot_be_renewed_stops_the_run_and_a_reboot_takes_none_away() {
    in_still_time(async {
        let desk = Desk::new("growth");
        let first = desk.cluster().masters[0].name.clone();
        let claim = Claim::new(desk.remote(), first.clone(), "ann@jump01", "ours");
        let mut lease = Lease::of([claim]);
        lease.take(|_| async { false }).await.unwrap();
        desk.practice.with(|w| w.power(&first, Power::Down));
        tokio::time::sleep(Duration::from_secs(30)).await;
        lease.still().await.expect("nobody can have taken it yet");
        tokio::time::sleep(Duration::from_secs(30)).await;
        let why = lease.still().await.unwrap_err().to_string();
        assert!(why.contains("could not be renewed in time") && why.contains(FIRST), "{why}");
        desk.practice.with(|w| w.power(&first, Power::Up));
        assert_eq!(lock(&desk), None, "the reboot emptied /run");
        lease.still().await.unwrap();
        assert!(lock(&desk).unwrap().contains("ann@jump01"), "it is there again");
        lease.release().await.unwrap();
        assert_eq!(lock(&desk), None);
    });
}

#[test]
fn a_lock_is_kept_while_the_operator_thinks() {
    in_still_time(async {
        let desk = Desk::new("growth");
        let first = desk.cluster().masters[0].name.clone();
        let mut lease = Lease::of([Claim::new(desk.remote(), first, "ann@jump01", "ours")]);
        lease.take(|_| async { false }).await.unwrap();
        // Somebody else sees it run out; the next renewal puts that right.
        desk.lapse();
        let lapsed = lock(&desk).unwrap();
        tokio::time::sleep(Duration::from_secs(16)).await;
        assert_ne!(lock(&desk).unwrap(), lapsed, "renewed");
        lease.release().await.unwrap();
    });
}

fn lease(desk: &Desk, run: &str) -> Lease {
    let claim = |host: &Node| Claim::new(desk.remote(), host.name.clone(), "ann@jump01", run);
    Lease::of(desk.cluster().by_address().map(claim))
}

/// Two cluster files that name the masters in another order, and a master that is down for one of the runs, and up again.
#[test]
fn two_runs_meet_whatever_the_order_of_their_files_and_whichever_master_is_down() {
    in_still_time(async {
        let desk = Desk::new("growth");
        let first = desk.cluster().masters[0].name.clone();
        let mut turned = (**desk.cluster()).clone();
        turned.masters.reverse();
        let names = |c: &Cluster| c.by_address().map(|n| n.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&turned), names(desk.cluster()));
        desk.practice.with(|w| w.power(&first, Power::Down));
        let mut ours = lease(&desk, "ours");
        ours.take(|_| async { false }).await.expect("the others answer");
        desk.practice.with(|w| w.power(&first, Power::Up));
        let refused = lease(&desk, "theirs").take(|_| async { true }).await.unwrap_err().to_string();
        assert!(refused.contains("ann@jump01") && refused.contains("master02"), "{refused}");
        assert_eq!(lock(&desk), None, "what it took on the way is given back");
        ours.still().await.unwrap();
        ours.release().await.unwrap();
        lease(&desk, "theirs").take(|_| async { false }).await.expect("free again");
    });
}
