//! Keys, passphrases, two factors, sudo, bastions.

use banister::{
    cluster::{HostName, SshSettings},
    remote::{
        Io, Remote, RemoteError, run_ok,
        ssh::{ConnectState, SshRemote},
    },
};
use russh::keys::{key::safe_rng, pkcs8};

use crate::{
    Desk, Person, SOON,
    host::{Host, new_key},
    marked, one_host,
};

#[tokio::test]
async fn a_key_file_logs_in_and_says_so() {
    let (desk, host, _, remote) = one_host(|_| {}).await;
    let facts = remote.connect_all().await.remove(0).1.unwrap();
    assert_eq!(facts.method, format!("key {}", desk.path("key").display()));
    assert_eq!(facts.user, "root");
    assert_eq!(host.seen.logins(), 1);
}

#[tokio::test]
async fn a_passphrase_is_asked_once_for_all_hosts_and_redials() {
    let mut desk = Desk::new();
    let locked = desk.key.encrypt(&mut safe_rng(), "open sesame").unwrap();
    desk.write_key("key", &locked);
    let mut hosts = Vec::new();
    for n in 0..3 {
        let host = Host::start(desk.character()).await;
        desk.add(&format!("m{n}"), &host);
        desk.know(&host);
        hosts.push(host);
    }
    let (remote, person) = desk.remote(Person { secrets: vec![("passphrase", "open sesame")], ..Person::default() });
    assert!(remote.connect_all().await.iter().all(|(_, r)| r.is_ok()));
    hosts[0].wire.cut();
    assert!(remote.connect_all().await.iter().all(|(_, r)| r.is_ok()));
    assert_eq!(person.asked().len(), 1, "{:?}", person.asked());
    assert!(person.asked()[0].contains(&desk.path("key").display().to_string()));
}

#[tokio::test]
async fn no_passphrase_is_asked_for_a_key_the_host_does_not_want() {
    let mut desk = Desk::new();
    desk.write_key("key", &desk.key.encrypt(&mut safe_rng(), "open sesame").unwrap());
    let mut character = desk.character();
    character.keys = vec![new_key().public_key().clone()];
    let host = Host::start(character).await;
    desk.add("m1", &host);
    desk.know(&host);
    let (remote, person) = desk.remote(Person { secrets: vec![("passphrase", "open sesame")], ..Person::default() });
    let e = remote.connect_all().await.remove(0).1.unwrap_err();
    assert!(matches!(e, RemoteError::Auth { .. }), "{e}");
    assert_eq!(person.asked(), [""; 0]);
}

#[tokio::test]
async fn an_encrypted_pkcs8_key_opens_too() {
    let mut desk = Desk::new();
    let der = pkcs8::encode_pkcs8_encrypted(b"sesame", 1000, &desk.key).unwrap();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let body: Vec<_> = base64.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let pem =
        format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n-----END ENCRYPTED PRIVATE KEY-----\n", body.join("\n"));
    std::fs::write(desk.path("key"), pem).unwrap();
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    desk.know(&host);
    let (remote, person) = desk.remote(Person { secrets: vec![("passphrase", "sesame")], ..Person::default() });
    remote.connect_all().await.remove(0).1.unwrap();
    assert_eq!(person.asked().len(), 1);
}

#[tokio::test]
async fn a_refused_login_lists_what_was_tried_and_asks_nobody_for_what_is_not_accepted() {
    let mut desk = Desk::new();
    std::fs::write(desk.path(".ssh/id_ed25519"), "-----BEGIN DSA PRIVATE KEY-----\nx\n").unwrap();
    let mut character = desk.character();
    character.keys = vec![new_key().public_key().clone()];
    let host = Host::start(character).await;
    desk.add("m1", &host);
    desk.know(&host);
    let (remote, person) = desk.remote(Person::default());
    let e = remote.connect_all().await.remove(0).1.unwrap_err().to_string();
    for part in ["login as root refused", "/key: refused", "id_ed25519 is a DSA key", "authorized_keys"] {
        assert!(e.contains(part), "`{part}` is missing in: {e}");
    }
    assert_eq!(person.asked(), [""; 0]);
}

#[tokio::test]
async fn two_factors_and_the_answer_is_remembered_for_the_redial() {
    let mut desk = Desk::new();
    let mut character = desk.character();
    character.question = Some(("Code: \u{1b}[2J", "123456"));
    let host = Host::start(character).await;
    let name = desk.add("m1", &host);
    desk.know(&host);
    let (remote, person) = desk.remote(Person { secrets: vec![("Code:", "123456")], ..Person::default() });
    let facts = remote.connect_all().await.remove(0).1.unwrap();
    assert!(facts.method.contains("key ") && facts.method.contains("and keyboard-interactive"), "{}", facts.method);
    assert_eq!(person.asked(), ["root@m1: Code:"]);
    host.wire.cut();
    remote.connect(&[name]).await.remove(0).1.unwrap();
    assert_eq!((person.asked().len(), host.seen.logins()), (1, 2));
}

#[tokio::test]
async fn one_unreachable_host_is_reported_with_the_others() {
    let mut desk = Desk::new();
    let up = Host::start(desk.character()).await;
    desk.add("up1", &up);
    // A port that was free a moment ago and that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    desk.add_at("down", closed);
    desk.add("up2", &up);
    desk.know(&up);
    let (remote, _) = desk.remote(Person::default());
    // Spawned, as the wizard does it while the screen stays alive.
    let connecting = tokio::spawn(async move { remote.connect_all().await });
    let all = tokio::time::timeout(SOON, connecting).await.unwrap().unwrap();
    let names: Vec<_> = all.iter().map(|(n, r)| (n.as_str(), r.is_ok())).collect();
    assert_eq!(names, [("up1", true), ("down", false), ("up2", true)]);
    let e = all[1].1.as_ref().unwrap_err();
    assert!(matches!(e, RemoteError::Unreachable { .. }) && e.to_string().contains("connection refused"), "{e}");
}

/// Bodies of a fake sudo: with and without a password, the options skipped as the real one would.
const SUDO: &str = "while [ \"$1\" != -- ]; do shift; done; shift; exec env SUDO=1 \"$@\"";
const SUDO_PASSWORD: &str = "case \" $* \" in *' -n '*) echo 'sudo: a password is required' >&2; exit 1 ;; esac
read -r password; [ \"$password\" = hunter2 ] || { echo 'sudo: 1 incorrect password attempt' >&2; exit 1; }
while [ \"$1\" != -- ]; do shift; done; shift; exec env SUDO=1 \"$@\"";
const ROOT_BY_SUDO: &str = "if [ -n \"$SUDO\" ]; then echo 0; else echo 1000; fi";

async fn ops_host(desk: &mut Desk, sudo: &'static str) -> Host {
    let mut character = desk.character();
    (character.sudo, character.id) = (sudo, ROOT_BY_SUDO);
    let host = Host::start(character).await;
    desk.add("m1", &host);
    desk.know(&host);
    desk.cluster.ssh.user = Some("ops".into());
    host
}

#[tokio::test]
async fn a_user_who_is_not_root_is_told_about_sudo() {
    let mut desk = Desk::new();
    let _host = ops_host(&mut desk, SUDO).await;
    let (remote, _) = desk.remote(Person::default());
    let e = remote.connect_all().await.remove(0).1.unwrap_err().to_string();
    assert!(e.contains("ops is not root") && e.contains("sudo: true"), "{e}");
}

#[tokio::test]
async fn sudo_without_a_password_asks_nobody() {
    let mut desk = Desk::new();
    let host = ops_host(&mut desk, SUDO).await;
    desk.cluster.ssh.sudo = Some(true);
    let (remote, person) = desk.remote(Person::default());
    remote.connect_all().await.remove(0).1.unwrap();
    std::fs::write(desk.path("file"), "by root").unwrap();
    let op = marked(desk.path("file").to_str().unwrap());
    assert_eq!(run_ok(&remote, &HostName::new("m1"), &op).await.unwrap().text(), "by root");
    assert!(host.seen.lines.lock().unwrap().last().unwrap().starts_with("exec sudo -n -- /bin/sh -c "));
    assert_eq!(person.asked(), [""; 0]);
}

#[tokio::test]
async fn a_sudo_password_is_asked_once_and_stays_out_of_argv_and_content() {
    let mut desk = Desk::new();
    let host = ops_host(&mut desk, SUDO_PASSWORD).await;
    desk.cluster.ssh.sudo = Some(true);
    let (remote, person) = desk.remote(Person { secrets: vec![("sudo password", "hunter2")], ..Person::default() });
    remote.connect_all().await.remove(0).1.unwrap();
    let name = HostName::new("m1");
    let content = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(content.path(), "what lies there\n").unwrap();
    for _ in 0..2 {
        let out = run_ok(&remote, &name, &marked(content.path().to_str().unwrap())).await.unwrap();
        assert_eq!(out.text(), "what lies there\n");
    }
    assert_eq!(person.asked(), ["sudo password of ops on m1"]);
    assert!(!host.seen.lines.lock().unwrap().iter().any(|l| l.contains("hunter2")));
}

#[tokio::test]
async fn a_refusal_stands_until_somebody_connects_again() {
    let mut desk = Desk::new();
    let host = ops_host(&mut desk, SUDO_PASSWORD).await;
    desk.cluster.ssh.sudo = Some(true);
    let (remote, person) = desk.remote(Person { secrets: vec![("sudo password", "wrong")], ..Person::default() });
    let m1 = HostName::new("m1");
    for _ in 0..3 {
        let e = run_ok(&remote, &m1, &marked("/dev/null")).await.unwrap_err().to_string();
        assert!(e.contains("incorrect password"), "{e}");
    }
    assert_eq!(person.asked().len(), 3, "three guesses, not three for each operation");
    assert!(remote.connect(&[m1]).await.remove(0).1.is_err());
    assert_eq!(person.asked().len(), 6);
    assert_eq!(host.seen.logins(), 1);
}

#[tokio::test]
async fn a_bastion_is_checked_the_same_way_and_shared() {
    let mut desk = Desk::new();
    let bastion = Host::start(desk.character()).await;
    let (one, two) = (Host::start(desk.character()).await, Host::start(desk.character()).await);
    let m1 = desk.add("m1", &one);
    desk.add("m2", &two);
    desk.know(&one);
    desk.know(&two);
    desk.cluster.ssh.jump = Some(format!("ann@127.0.0.1:{}", bastion.address().port()));

    let (remote, _) = desk.remote(Person::default());
    let all = remote.connect_all().await;
    assert!(all.iter().all(|(_, r)| matches!(r, Err(RemoteError::UnknownHostKey { .. }))), "{all:?}");
    assert_eq!((one.seen.logins(), bastion.seen.logins()), (0, 0));

    desk.know(&bastion);
    let (remote, _) = desk.remote(Person::default());
    for (_, result) in remote.connect_all().await {
        assert_eq!(result.unwrap().via.as_deref(), Some("127.0.0.1"));
    }
    assert_eq!((one.seen.logins(), two.seen.logins(), bastion.seen.logins()), (1, 1, 1));

    // The bastion goes away and comes back: the next use goes through a new session of it.
    bastion.wire.cut();
    let output = loop {
        // What runs at that moment may be lost; what comes after is not.
        match remote.run(&m1, &marked("/dev/null"), Io::default()).await {
            Err(RemoteError::Lost { .. }) => {}
            other => break other.unwrap(),
        }
    };
    assert_eq!(output.status, 0);
    assert_eq!(bastion.seen.logins(), 2);
}

#[tokio::test]
async fn a_nodes_own_settings_hold_for_it_alone() {
    let mut desk = Desk::new();
    let other = new_key();
    desk.write_key("other", &other);
    let mut character = desk.character();
    character.keys = vec![other.public_key().clone()];
    let (mine, others) = (Host::start(desk.character()).await, Host::start(character).await);
    desk.add("m1", &mine);
    desk.add("m2", &others);
    desk.know(&mine);
    desk.know(&others);
    let port = desk.cluster.masters[1].ssh.port;
    desk.cluster.masters[1].ssh =
        SshSettings { port, identity: Some(desk.path("other")), user: Some("ann".into()), ..SshSettings::default() };
    let (remote, _) = desk.remote(Person::default());
    let all = remote.connect_all().await;
    assert_eq!(all[0].1.as_ref().unwrap().user, "root");
    assert_eq!(all[1].1.as_ref().unwrap().user, "ann");
}

#[tokio::test]
async fn progress_is_told_for_the_first_login_and_for_a_redial() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    let name = desk.add("m1", &host);
    desk.know(&host);
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let person = std::sync::Arc::new(Person::default());
    let remote = SshRemote::within(&desk.cluster, person, Some(tx), desk.env.clone());
    let mut told = || {
        let mut words = Vec::new();
        while let Ok((_, state)) = rx.try_recv() {
            words.push(match state {
                ConnectState::Dialling { .. } => "dialling",
                ConnectState::HostKey { .. } => "host key",
                ConnectState::LoggingIn { .. } => "logging in",
                ConnectState::Up(_) => "up",
                ConnectState::Failed(_) => "failed",
            });
        }
        words
    };
    remote.connect_all().await.remove(0).1.unwrap();
    assert_eq!(told(), ["dialling", "logging in", "up"]);
    host.wire.cut();
    run_ok(&remote, &name, &marked("/dev/null")).await.unwrap();
    assert_eq!(told(), ["dialling", "logging in", "up"]);
}
