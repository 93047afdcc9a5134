//! Connections that end or freeze.

use std::time::{Duration, Instant};

use banister::remote::{Io, Remote, RemoteError, Stdout, run_ok};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{SOON, marked, one_host};

/// A script that says when it has started, then waits.
fn started_then_waits(dir: &tempfile::TempDir) -> (std::path::PathBuf, String) {
    let started = dir.path().join("started");
    let script = format!("touch {}; sleep 60", started.display());
    (started, script)
}

async fn until_exists(path: &std::path::Path) {
    let wait = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, wait).await.expect("it starts");
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_is_lost_and_the_next_use_dials_again() {
    let dir = tempfile::tempdir().unwrap();
    let (started, script) = started_then_waits(&dir);
    let (_desk, host, m1, remote) = one_host(|c| c.table = vec![("/t/wait", script)]).await;
    let (running, from) = (remote.clone(), m1.clone());
    let running = tokio::spawn(async move { running.run(&from, &marked("/t/wait"), Io::default()).await });
    until_exists(&started).await;
    host.wire.cut();
    let e = timeout(SOON, running).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(e, RemoteError::Lost { .. }) && e.outcome_unknown(), "{e}");

    // Many at once share the one new login.
    let nothing = marked("/dev/null");
    let again = futures::future::join_all((0..5).map(|_| run_ok(&remote, &m1, &nothing))).await;
    assert!(again.iter().all(Result::is_ok), "{again:?}");
    assert_eq!(host.seen.logins(), 2);
}

#[tokio::test]
async fn output_cut_off_after_its_exit_status_is_no_outcome() {
    let (_desk, host, m1, remote) = one_host(|c| c.table = vec![("/t/half", "(sleep 60) & echo half".into())]).await;
    remote.connect_all().await.remove(0).1.unwrap();
    let (tx, mut first) = tokio::io::duplex(1024);
    let io = Io { stdout: Stdout::Writer(Box::pin(tx)), ..Io::default() };
    let running = tokio::spawn(async move { remote.run(&m1, &marked("/t/half"), io).await });
    let mut half = [0; 5];
    timeout(SOON, first.read_exact(&mut half)).await.unwrap().unwrap();
    host.wire.cut();
    let e = timeout(SOON, running).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(e, RemoteError::Lost { .. }), "{e}");
}

#[tokio::test]
async fn a_frozen_host_is_noticed_within_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let (started, script) = started_then_waits(&dir);
    let (_desk, host, m1, remote) = one_host(|c| c.table = vec![("/t/wait", script)]).await;
    let running = tokio::spawn(async move {
        let result = remote.run(&m1, &marked("/t/wait"), Io::default()).await;
        (result, remote, m1)
    });
    until_exists(&started).await;
    host.wire.freeze();
    let frozen = Instant::now();
    let (result, remote, m1) = timeout(SOON, running).await.unwrap().unwrap();
    assert!(matches!(result, Err(RemoteError::Lost { .. })), "{result:?}");
    assert!(frozen.elapsed() < Duration::from_secs(8), "{:?}", frozen.elapsed());
    // TCP still connects, so it is the handshake's deadline that ends the next try.
    let e = timeout(SOON, run_ok(&remote, &m1, &marked("/dev/null"))).await.unwrap().unwrap_err();
    assert!(matches!(&e, RemoteError::Unreachable { why, .. } if why.contains("handshake")), "{e}");
}

#[tokio::test]
async fn callers_who_wait_for_a_failing_dial_share_its_failure() {
    let (_desk, host, m1, remote) = one_host(|_| {}).await;
    remote.connect_all().await.remove(0).1.unwrap();
    host.wire.freeze();
    host.wire.cut();
    let nothing = marked("/dev/null");
    let all = (0..4).map(|_| run_ok(&remote, &m1, &nothing));
    // One handshake's deadline for all, not one each.
    let all = timeout(SOON, futures::future::join_all(all)).await.expect("one dial for all");
    assert!(all.iter().all(|r| matches!(r, Err(RemoteError::Unreachable { .. }))), "{all:?}");
}
