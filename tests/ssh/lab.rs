//! The same against the lab's real sshd, as root and as a sudo user. Wants a lab that is up; changes nothing outside
//! `/tmp` of its hosts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use banister::{
    cluster::{Cluster, HostName, file},
    remote::{
        Content, Io, Op, Remote, RemoteError, Stdin, Stdout, Target,
        op::{Owner, sha256_hex},
        run_ok,
        ssh::{Environment, SshRemote},
    },
};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{Person, SOON};

fn state() -> PathBuf {
    std::env::var_os("BANISTER_LAB_STATE")
        .map_or_else(|| std::env::home_dir().unwrap().join(".cache/banister-lab/state"), PathBuf::from)
}

fn cluster() -> Cluster {
    file::load(&state().join("cluster.yaml")).expect("the lab is up")
}

fn remote(change: impl FnOnce(&mut Cluster)) -> SshRemote {
    let mut cluster = cluster();
    change(&mut cluster);
    SshRemote::within(&cluster, Arc::new(Person::default()), None, Environment::of_process())
}

fn as_ops(cluster: &mut Cluster) {
    (cluster.ssh.user, cluster.ssh.sudo) = (Some("ops".into()), Some(true));
}

fn m1() -> HostName {
    HostName::new("master01")
}

#[tokio::test]
async fn every_host_is_up_for_root_and_for_ops() {
    for change in [|_: &mut Cluster| {}, as_ops] {
        for (name, result) in timeout(SOON, remote(change).connect_all()).await.unwrap() {
            let facts = result.unwrap_or_else(|e| panic!("{name}: {e}"));
            eprintln!("{name}: {facts:?}");
        }
    }
}

#[tokio::test]
async fn files_go_there_and_come_back_to_the_byte() {
    for (user, change) in [("root", (|_| {}) as fn(&mut Cluster)), ("ops", as_ops)] {
        let remote = remote(change);
        let path = PathBuf::from(format!("/tmp/banister test {user}'s \\ \"file\" !"));
        let text = "line\n\\t 'quoted' \"twice\" $HOME `id` ! é\n\n";
        let op = Op::WriteFile {
            path: path.clone(),
            content: Content::Text(text.into()),
            mode: 0o640,
            owner: Owner::root(),
            backup: None,
        };
        run_ok(&remote, &m1(), &op).await.unwrap();
        let read = run_ok(&remote, &m1(), &Op::ReadFile { path: path.clone() }).await.unwrap();
        assert_eq!(read.text(), text);

        let bytes: Vec<u8> = (0..60u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let sha256 = sha256_hex(&bytes);
        let op = Op::ReceiveFile {
            path: path.clone(),
            mode: 0o600,
            owner: Owner::root(),
            sha256: sha256.clone(),
            backup: None,
        };
        let io = Io { stdin: Stdin::Reader(Box::pin(std::io::Cursor::new(bytes))), ..Io::default() };
        remote.run(&m1(), &op, io).await.unwrap().checked(&m1(), &op).unwrap();
        let (into, mut out_of) = tokio::io::duplex(64 << 10);
        let op = Op::ReadFile { path: path.clone() };
        let io = Io { stdout: Stdout::Writer(Box::pin(into)), deadline: Some(Duration::from_mins(2)), ..Io::default() };
        let mut got = Vec::new();
        let (host, mut fails) = (m1(), false);
        let (output, read) = tokio::join!(remote.run(&host, &op, io), out_of.read_to_end(&mut got));
        fails |= read.is_err();
        assert!(!fails && output.unwrap().status == 0 && sha256_hex(&got) == sha256);
        run_ok(&remote, &m1(), &Op::RemoveFiles { paths: vec![path.clone()] }).await.unwrap();
        assert_eq!(remote.run(&m1(), &Op::ReadFile { path }, Io::default()).await.unwrap().status, 44);
    }
}

#[tokio::test]
async fn following_a_journal_ends_on_the_host_with_its_future() {
    for change in [(|_| {}) as fn(&mut Cluster), as_ops] {
        let remote = remote(change);
        // A unit name of its own, to be recognized among the processes.
        let unit = format!("banister-follow-{}", std::process::id());
        let follow = Op::FollowLog { unit: unit.clone(), lines: 1 };
        let (following, host) = (remote.clone(), m1());
        let following = tokio::spawn(async move { following.run(&host, &follow, Io::default()).await });
        timeout(SOON, until_processes(&remote, &unit, true)).await.expect("it starts");
        following.abort();
        timeout(SOON, until_processes(&remote, &unit, false)).await.expect("it ends");
    }
}

/// Waits until some process on master01 names that unit in its command line, or none does.
async fn until_processes(remote: &SshRemote, unit: &str, there: bool) {
    loop {
        let list = Op::ListDir { dir: "/proc".into() };
        let mut found = false;
        for pid in run_ok(remote, &m1(), &list).await.unwrap().text().lines().filter(|l| l.parse::<u32>().is_ok()) {
            let read = Op::ReadFile { path: format!("/proc/{pid}/cmdline").into() };
            let cmdline = remote.run(&m1(), &read, Io::default()).await.unwrap();
            let text = cmdline.text().into_owned();
            found |= text.starts_with("journalctl") && text.contains(unit);
        }
        if found == there {
            return;
        }
    }
}

#[tokio::test]
async fn ports_are_dialled_and_refusals_come_in_words() {
    let remote = remote(|_| {});
    let to = |port| Target { address: "127.0.0.1".parse().unwrap(), port };
    remote.dial(&m1(), to(2379)).await.unwrap();
    let e = remote.dial(&m1(), to(9)).await.err().unwrap();
    eprintln!("{e}");
    assert!(e.to_string().contains("connection refused"), "{e}");
}

#[tokio::test]
async fn a_real_bastion_leads_to_the_others() {
    let remote = remote(|c| {
        c.ssh.jump = Some(format!("ops@{}", c.masters[0].address));
        c.masters.remove(0);
    });
    for (name, result) in timeout(SOON, remote.connect_all()).await.unwrap() {
        let facts = result.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(facts.via.is_some(), "{facts:?}");
    }
}

#[tokio::test]
async fn the_wrong_key_is_refused_by_a_real_sshd() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let other = crate::host::new_key().to_openssh(russh::keys::ssh_key::LineEnding::LF).unwrap();
    std::fs::write(&key, other.as_bytes()).unwrap();
    let remote = remote(|c| c.ssh.identity = Some(key));
    let e = remote.connect(&[m1()]).await.remove(0).1.unwrap_err();
    eprintln!("{e}");
    assert!(matches!(&e, RemoteError::Auth { why, .. } if why.contains("refused")), "{e}");
}
