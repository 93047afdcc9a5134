//! Bulk streams both ways, and everything else meanwhile.

use std::{
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use banister::remote::{
    Io, Op, Remote, Stdin, Stdout,
    op::{Owner, sha256_hex},
    run_ok,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    time::timeout,
};

use crate::{marked, one_host};

const SIZE: usize = 50 << 20;
const LONG: Duration = Duration::from_mins(2);

fn noise() -> Vec<u8> {
    // A xorshift: incompressible enough, and the same on every run.
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    (0..SIZE / 8).flat_map(|_| next()).collect()
}

fn receive(path: &Path, sha256: &str) -> Op {
    let me = |flag: &str| {
        let out = std::process::Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    Op::ReceiveFile {
        path: path.to_owned(),
        mode: 0o600,
        owner: Owner { user: me("-un"), group: me("-gn") },
        sha256: sha256.into(),
        backup: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_files_arrive_whole_both_ways_and_small_operations_stay_quick() {
    let (desk, host, m1, remote) = one_host(|_| {}).await;
    remote.connect_all().await.remove(0).1.unwrap();
    let (source, target) = (desk.path("source"), desk.path("target"));
    let bytes = noise();
    let sha = sha256_hex(&bytes);
    std::fs::write(&source, &bytes).unwrap();

    let (into, mut out_of) = tokio::io::duplex(64 << 10);
    let read = remote.clone();
    let from = m1.clone();
    let op = marked(source.to_str().unwrap());
    let reading = tokio::spawn(async move {
        let io = Io { stdout: Stdout::Writer(Box::pin(into)), deadline: Some(LONG), ..Io::default() };
        read.run(&from, &op, io).await
    });
    let mut got = Vec::new();
    timeout(LONG, out_of.read_to_end(&mut got)).await.unwrap().unwrap();
    assert_eq!(reading.await.unwrap().unwrap().status, 0);
    assert_eq!(sha256_hex(&got), sha);

    let write = remote.clone();
    let to = m1.clone();
    let op = receive(&target, &sha);
    let writing = tokio::spawn(async move {
        let io =
            Io { stdin: Stdin::Reader(Box::pin(std::io::Cursor::new(bytes))), deadline: Some(LONG), ..Io::default() };
        write.run(&to, &op, io).await
    });
    let mut slowest = Duration::ZERO;
    let mut count = 0;
    while !writing.is_finished() {
        let started = Instant::now();
        run_ok(&remote, &m1, &marked("/dev/null")).await.unwrap();
        slowest = slowest.max(started.elapsed());
        count += 1;
    }
    let output = writing.await.unwrap().unwrap();
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert!(count > 0 && slowest < Duration::from_secs(3), "{count} operations, the slowest took {slowest:?}");
    assert_eq!(sha256_hex(&std::fs::read(&target).unwrap()), sha);
    assert_eq!(host.seen.logins(), 2, "the bulk session is opened once and kept");
}

/// Takes nothing, ever.
struct Stuck;

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_up_nobody_else() {
    let (_desk, _host, m1, remote) = one_host(|c| c.table = vec![("/t/flood", "cat /dev/zero".into())]).await;
    remote.connect_all().await.remove(0).1.unwrap();
    let (stuck, from) = (remote.clone(), m1.clone());
    let stuck = tokio::spawn(async move {
        let io = Io { stdout: Stdout::Writer(Box::pin(Stuck)), deadline: Some(LONG), ..Io::default() };
        stuck.run(&from, &marked("/t/flood"), io).await
    });
    // A second stream of the same host, and small operations, all get through.
    let nothing = marked("/dev/null");
    for _ in 0..5 {
        let io = Io { stdout: Stdout::Writer(Box::pin(tokio::io::sink())), ..Io::default() };
        let streamed = remote.run(&m1, &nothing, io);
        assert_eq!(timeout(crate::SOON, streamed).await.unwrap().unwrap().status, 0);
        timeout(crate::SOON, run_ok(&remote, &m1, &marked("/dev/null"))).await.unwrap().unwrap();
    }
    assert!(!stuck.is_finished());
    stuck.abort();
}

#[tokio::test]
async fn a_source_that_fails_is_not_taken_for_its_end() {
    struct Fails;
    impl tokio::io::AsyncRead for Fails {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Ready(Err(std::io::Error::other("the other host went away")))
        }
    }
    let (desk, _host, m1, remote) = one_host(|_| {}).await;
    let io = Io { stdin: Stdin::Reader(Box::pin(Fails)), ..Io::default() };
    let e = remote.run(&m1, &receive(&desk.path("target"), &sha256_hex(b"whole")), io).await.unwrap_err();
    assert!(e.to_string().contains("the other host went away"), "{e}");
}
