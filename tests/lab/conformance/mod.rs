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

use crate::hosts::{Lab, say};
use twin::Twin;

#[test]
fn a_practice_cluster_answers_as_real_hosts_do() {
    let lab = Lab::kubernetes(3, 2, 1);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let missing = runtime.block_on(async {
        let mut twin = Twin::of(&lab).await;
        let began = std::time::Instant::now();
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
        etcd::all(&mut twin).await;
        say("kube");
        kube::all(&mut twin).await;
        say("containers");
        containers::all(&mut twin).await;
        say(format!("{} cases in {:.0} s", twin.cases, began.elapsed().as_secs_f64()));
        twin.differences()
    });
    assert!(missing.is_empty(), "practice is not as the lab is:\n\n{}", missing.join("\n\n"));
}
