//! What an operation gives back: status, output, errors; and when it ends.

use std::time::Duration;

use banister::remote::{Io, MAX_CAPTURE, Op, Remote, RemoteError, Target, run_ok};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{SOON, marked, one_host};

#[tokio::test]
async fn output_and_status_come_back_as_they_were() {
    let (_desk, _host, m1, remote) = one_host(|c| {
        c.table = vec![
            ("/t/seven", "printf 'out\\000\\377'; echo err >&2; exit 7".into()),
            ("/t/killed", "kill -9 $$".into()),
        ];
    })
    .await;
    let out = remote.run(&m1, &marked("/t/seven"), Io::default()).await.unwrap();
    assert_eq!((out.status, &out.stdout[..], out.stderr.as_str()), (7, &b"out\0\xff"[..], "err\n"));
    let e = run_ok(&remote, &m1, &marked("/t/seven")).await.unwrap_err();
    assert!(matches!(&e, RemoteError::Failed { status: 7, stderr, .. } if stderr == "err"), "{e}");
    assert_eq!(remote.run(&m1, &marked("/t/killed"), Io::default()).await.unwrap().status, 137);
}

#[tokio::test]
async fn a_busy_sshd_that_refuses_a_channel_is_asked_again() {
    let (_desk, host, m1, remote) = one_host(|c| {
        c.table = vec![("/t/once", "echo once".into())];
        c.full = 5.into();
    })
    .await;
    assert_eq!(run_ok(&remote, &m1, &marked("/t/once")).await.unwrap().text(), "once\n");
    let lines = host.seen.lines.lock().unwrap();
    assert_eq!(lines.iter().filter(|l| l.contains("/t/once")).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn an_sshd_that_goes_on_refusing_channels_is_told_of_with_the_setting_to_look_at() {
    let (_desk, _host, m1, remote) = one_host(|c| c.full = usize::MAX.into()).await;
    let e = run_ok(&remote, &m1, &marked("/t/never")).await.unwrap_err();
    assert!(e.to_string().contains("MaxSessions"), "{e}");
}

#[tokio::test]
async fn output_after_the_exit_status_is_waited_for() {
    let late = "(sleep 1; echo late) & echo early";
    let (_desk, _host, m1, remote) = one_host(|c| c.table = vec![("/t/late", late.into())]).await;
    assert_eq!(run_ok(&remote, &m1, &marked("/t/late")).await.unwrap().text(), "early\nlate\n");
}

#[tokio::test]
async fn standard_input_ends_at_once_where_there_is_none() {
    let (_desk, _host, m1, remote) = one_host(|c| c.table = vec![("/t/cat", "cat; echo end".into())]).await;
    let out = timeout(SOON, run_ok(&remote, &m1, &marked("/t/cat"))).await.unwrap().unwrap();
    assert_eq!(out.text(), "end\n");
}

#[tokio::test]
async fn lines_of_standard_error_come_as_they_are_printed_and_clean() {
    // The script waits on a pipe, so the first lines can only have come while it ran.
    let pipe = tempfile::tempdir().unwrap();
    let go = pipe.path().join("go");
    assert!(std::process::Command::new("mkfifo").arg(&go).status().unwrap().success());
    let script =
        format!("printf 'one\\033]0;owned\\007\\ntwo\\033[2J!\\n' >&2; read -r go < {}; echo three >&2", go.display());
    let (_desk, _host, m1, remote) = one_host(|c| c.table = vec![("/t/lines", script)]).await;
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let io = Io { lines: Some(tx), ..Io::default() };
    let running = tokio::spawn(async move { remote.run(&m1, &marked("/t/lines"), io).await });
    assert_eq!(timeout(SOON, rx.recv()).await.unwrap().unwrap(), "one");
    assert_eq!(timeout(SOON, rx.recv()).await.unwrap().unwrap(), "two!");
    std::fs::write(&go, "go\n").unwrap();
    assert_eq!(timeout(SOON, rx.recv()).await.unwrap().unwrap(), "three");
    assert_eq!(running.await.unwrap().unwrap().stderr, "one\ntwo!\nthree\n");
}

#[tokio::test]
async fn a_flood_of_output_is_an_error_not_a_cut() {
    let (_desk, _host, m1, remote) = one_host(|c| c.table = vec![("/t/flood", "cat /dev/zero".into())]).await;
    let io = Io { deadline: Some(Duration::from_mins(1)), ..Io::default() };
    let e = remote.run(&m1, &marked("/t/flood"), io).await.unwrap_err();
    assert!(e.to_string().contains(&format!("more than {} MiB", MAX_CAPTURE >> 20)), "{e}");
    // And the session is none the worse for it.
    assert_eq!(timeout(SOON, run_ok(&remote, &m1, &marked("/dev/null"))).await.unwrap().unwrap().status, 0);
}

#[tokio::test]
async fn an_operation_has_its_deadline() {
    let (_desk, _host, m1, remote) = one_host(|c| c.table = vec![("/t/hang", "sleep 60".into())]).await;
    let io = Io { deadline: Some(Duration::from_secs(1)), ..Io::default() };
    let e = timeout(SOON, remote.run(&m1, &marked("/t/hang"), io)).await.unwrap().unwrap_err();
    assert!(matches!(e, RemoteError::Timeout { seconds: 1, .. }), "{e}");
}

#[tokio::test]
async fn letting_go_ends_what_runs_on_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let (started, ended) = (dir.path().join("started"), dir.path().join("ended"));
    // As the scripts of following operations do: they end with their standard input.
    let script = format!("touch {}; cat >/dev/null; touch {}", started.display(), ended.display());
    let (_desk, _host, m1, remote) = one_host(|c| c.table = vec![("followed-unit", script)]).await;
    let op = Op::FollowLog { unit: "followed-unit".into(), lines: 0 };
    let following = tokio::spawn(async move { remote.run(&m1, &op, Io::default()).await });
    timeout(SOON, until(|| started.exists())).await.expect("it starts");
    assert!(!ended.exists(), "its standard input stays open while it is followed");
    following.abort();
    timeout(SOON, until(|| ended.exists())).await.expect("it ends with the future that followed it");
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn more_operations_than_channels_wait_their_turn() {
    let (_desk, host, m1, remote) = one_host(|c| c.table = vec![("/t/short", "sleep 0.2; echo done".into())]).await;
    let all = (0..20).map(|_| async { run_ok(&remote, &m1, &marked("/t/short")).await.unwrap().text().into_owned() });
    let all = timeout(SOON, futures::future::join_all(all)).await.unwrap();
    assert!(all.iter().all(|out| out == "done\n"));
    assert_eq!(host.seen.logins(), 1);
}

#[tokio::test]
async fn a_port_is_dialled_from_the_host() {
    let (_desk, _host, m1, remote) = one_host(|_| {}).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = |port| Target { address: "127.0.0.1".parse().unwrap(), port };
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        tcp.read_to_end(&mut got).await.unwrap();
        tcp.write_all(&got).await.unwrap();
    });
    let mut stream = remote.dial(&m1, to(port)).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    timeout(SOON, stream.read_to_end(&mut echoed)).await.unwrap().unwrap();
    assert!(echoed == sent);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let e = remote.dial(&m1, to(closed)).await.err().unwrap();
    assert!(matches!(&e, RemoteError::Dial { .. }) && e.to_string().contains("something listens there"), "{e}");
}

#[tokio::test]
async fn forwarding_switched_off_is_said_in_words() {
    let (_desk, _host, m1, remote) = one_host(|c| c.forwards = false).await;
    let e = remote.dial(&m1, Target { address: "127.0.0.1".parse().unwrap(), port: 2379 }).await.err().unwrap();
    assert!(e.to_string().contains("AllowTcpForwarding"), "{e}");
}

#[tokio::test]
async fn a_login_shell_that_prints_or_spoils_is_noticed() {
    let (_desk, _host, _, remote) = one_host(|c| c.id = "echo 0").await;
    assert!(remote.connect_all().await.remove(0).1.is_ok());
    // Prints a greeting before whatever it runs.
    let (_desk, _host, _, remote) =
        one_host(|c| c.table = vec![("id -u", format!("echo Hello; {PROBE_ANSWER}"))]).await;
    let e = remote.connect_all().await.remove(0).1.unwrap_err().to_string();
    assert!(e.contains("`Hello`") && e.contains("silent"), "{e}");
    // Eats backslashes, as fish does: the encoded form gets through.
    let (_desk, host, m1, remote) = one_host(|c| c.table = vec![("a\\\\b", "echo spoiled".into())]).await;
    assert!(remote.connect_all().await.remove(0).1.is_ok());
    assert_eq!(run_ok(&remote, &m1, &marked("/dev/null")).await.unwrap().status, 0);
    assert!(host.seen.lines.lock().unwrap().last().unwrap().contains("base64 -d"));
    // Runs nothing at all.
    let (_desk, _host, _, remote) =
        one_host(|c| c.table = vec![("", "echo This account is currently not available.; exit 1".into())]).await;
    let e = remote.connect_all().await.remove(0).1.unwrap_err().to_string();
    assert!(e.contains("not available") && e.contains("real shell"), "{e}");
}

/// What the first harmless script prints where all is well.
const PROBE_ANSWER: &str = "printf '%s\\n' \"it's a\\\\\\\\b!\" c 0";
