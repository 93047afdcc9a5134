//! Unknown, changed, revoked and hashed host keys.

use banister::remote::{Nobody, RemoteError, ssh::SshRemote};

use crate::{
    Desk, Person,
    host::{Host, new_key},
};

fn error(
    results: Vec<(banister::cluster::HostName, Result<banister::remote::ssh::Connected, RemoteError>)>,
) -> RemoteError {
    results.into_iter().next().unwrap().1.unwrap_err()
}

#[tokio::test]
async fn an_unknown_key_is_refused_where_nobody_can_be_asked() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    let remote = SshRemote::within(&desk.cluster, std::sync::Arc::new(Nobody), None, desk.env.clone());
    let e = error(remote.connect_all().await);
    assert!(matches!(e, RemoteError::UnknownHostKey { .. }), "{e}");
    assert!(e.to_string().contains("SHA256:"), "{e}");
    assert!(!desk.known_hosts().exists(), "nothing may be recorded without a yes");
    assert_eq!(host.seen.logins(), 0);
}

#[tokio::test]
async fn an_accepted_key_is_recorded_and_never_asked_about_again() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    let (remote, person) = desk.remote(Person { accepts: true, ..Person::default() });
    let facts = remote.connect_all().await.remove(0).1.unwrap();
    assert_eq!(person.asked().len(), 1);
    assert!(person.asked()[0].contains(&facts.host_key));
    let recorded = std::fs::read_to_string(desk.known_hosts()).unwrap();
    assert!(recorded.contains(&format!("[127.0.0.1]:{} ssh-ed25519 ", host.address().port())), "{recorded}");

    let (again, nobody) = desk.remote(Person::default());
    again.connect_all().await.remove(0).1.unwrap();
    assert_eq!(nobody.asked(), [""; 0]);
}

#[tokio::test]
async fn a_key_accepted_into_a_file_that_keeps_nothing_holds_for_this_run() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    let name = desk.add("m1", &host);
    desk.cluster.ssh.known_hosts = Some("/dev/null".into());
    let (remote, person) = desk.remote(Person { accepts: true, ..Person::default() });
    remote.connect_all().await.remove(0).1.unwrap();
    host.wire.cut();
    remote.connect(&[name]).await.remove(0).1.unwrap();
    assert_eq!(person.asked().len(), 1);
}

#[tokio::test]
async fn a_changed_key_is_never_asked_about() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    desk.record("# other hosts come first");
    desk.record(&format!("[127.0.0.1]:{} {}", host.address().port(), new_key().public_key().to_openssh().unwrap()));
    let (remote, person) = desk.remote(Person { accepts: true, ..Person::default() });
    let e = error(remote.connect_all().await);
    assert!(matches!(&e, RemoteError::ChangedHostKey { line: 2, .. }), "{e}");
    assert_eq!(person.asked(), [""; 0]);
    assert_eq!(host.seen.logins(), 0);
}

#[tokio::test]
async fn a_revoked_key_is_refused_though_it_is_recorded_too() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    desk.know(&host);
    desk.record(&format!("@revoked * {}", host.key.to_openssh().unwrap()));
    let (remote, _) = desk.remote(Person { accepts: true, ..Person::default() });
    let e = error(remote.connect_all().await);
    assert!(matches!(&e, RemoteError::ChangedHostKey { line: 2, .. }), "{e}");
}

#[tokio::test]
async fn a_hashed_record_made_by_ssh_keygen_is_found() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    desk.know(&host);
    let hashed = std::process::Command::new("ssh-keygen").arg("-H").arg("-f").arg(desk.known_hosts()).output();
    let Ok(hashed) = hashed else { return eprintln!("skipped: no ssh-keygen here") };
    assert!(hashed.status.success());
    assert!(std::fs::read_to_string(desk.known_hosts()).unwrap().starts_with("|1|"));
    let (remote, _) = desk.remote(Person::default());
    remote.connect_all().await.remove(0).1.unwrap();
}

#[tokio::test]
async fn an_authority_line_is_refused_with_the_reason() {
    let mut desk = Desk::new();
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    desk.record(&format!("@cert-authority * {}", new_key().public_key().to_openssh().unwrap()));
    let (remote, person) = desk.remote(Person { accepts: true, ..Person::default() });
    let e = error(remote.connect_all().await).to_string();
    assert!(e.contains("@cert-authority") && e.contains("add the host's own key"), "{e}");
    assert_eq!(person.asked(), [""; 0]);
}

/// Fails the test when two questions are open at once.
struct OneAtATime(tokio::sync::Mutex<usize>);
#[async_trait::async_trait]
impl banister::remote::Asker for OneAtATime {
    async fn accept_host_key(&self, _: &banister::cluster::HostName, _: &str, _: &str, _: &str) -> bool {
        let mut count = self.0.try_lock().expect("two questions at once");
        *count += 1;
        tokio::task::yield_now().await;
        true
    }
    async fn secret(&self, _: &str) -> Option<secrecy::SecretString> {
        None
    }
}

#[tokio::test]
async fn several_unknown_hosts_are_asked_about_one_at_a_time() {
    let mut desk = Desk::new();
    let mut hosts = Vec::new();
    for n in 0..3 {
        let host = Host::start(desk.character()).await;
        desk.add(&format!("m{n}"), &host);
        hosts.push(host);
    }
    let asker = std::sync::Arc::new(OneAtATime(tokio::sync::Mutex::new(0)));
    let remote = SshRemote::within(&desk.cluster, asker.clone(), None, desk.env.clone());
    assert!(remote.connect_all().await.iter().all(|(_, r)| r.is_ok()));
    assert_eq!(*asker.0.lock().await, 3);
}
