//! That practice does not drift from the truth: every operation, and every call of etcd's and Kubernetes' APIs that the steps
//! make, on a practice cluster and on a lab in the same state; results and errors have to be the same, to the letter.
//!
//! What differs by nature is taken out first ([`norm::Norm`]), and each of these has its line, with the reason, in
//! `assets/practice/differences.md`. A new operation without a case does not compile, or fails here ([`twin::word`]).

mod containers;
mod etcd;
mod files;
mod hosts;
mod kube;
mod norm;
mod packages;
mod snapshots;
mod trees;
mod twin;
mod units;
mod wire;

use banister::remote::{Op, op::Owner};

use crate::hosts::{Lab, say};
use twin::Twin;

#[test]
fn a_practice_cluster_answers_as_real_hosts_do() {
    let lab = Lab::kubernetes(3, 2, 1);
    compared(async {
        let mut twin = Twin::of(&lab, "growth", true).await;
        say("files");
        files::all(&mut twin).await;
        say("trees");
        trees::all(&mut twin).await;
        say("hosts");
        hosts::all(&mut twin).await;
        say("units");
        units::all(&mut twin).await;
        say("packages");
        packages::all(&mut twin).await;
        say("snapshots");
        snapshots::all(&mut twin).await;
        say("wire");
        wire::all(&mut twin).await;
        say("etcd");
        etcd::all(&mut twin, true).await;
        say("kube");
        kube::all(&mut twin).await;
        say("containers");
        containers::all(&mut twin).await;
        (twin.untried(), twin)
    });
}

/// What depends on etcd's version: its API and its tools.
fn of_etcd(version: &str, scenario: &str, learners: bool) {
    let lab = Lab::up(version);
    compared(async {
        let mut twin = Twin::of(&lab, scenario, false).await;
        twin.op("its etcd", "master01", Op::EtcdVersion { bin: "/usr/local/bin".into() }).await;
        let dir = Op::MakeDir { path: twin::DIR.into(), mode: 0o755, owner: Owner::root() };
        twin.op("a directory", "master01", dir).await;
        say("snapshots");
        snapshots::all(&mut twin).await;
        say("etcd");
        etcd::all(&mut twin, learners).await;
        (Vec::new(), twin)
    });
}

#[test]
fn practice_answers_as_etcd_3_3_does() {
    of_etcd("3.3.25", "growth-3.3", false);
}

#[test]
fn practice_answers_as_etcd_3_5_does() {
    of_etcd("3.5.16", "growth-3.5", true);
}

/// Asks the cases; nothing may differ.
fn compared(cases: impl Future<Output = (Vec<String>, Twin)>) {
    let began = std::time::Instant::now();
    let (mut missing, twin) = tokio::runtime::Runtime::new().expect("a runtime").block_on(cases);
    say(format!("{} cases in {:.0} s", twin.cases, began.elapsed().as_secs_f64()));
    missing.extend_from_slice(twin.differences());
    assert!(missing.is_empty(), "practice is not as the lab is:\n\n{}", missing.join("\n\n"));
}
