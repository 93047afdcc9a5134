//! The agent, RSA, and hosts that lose patience while a person types.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use banister::{
    cluster::HostName,
    remote::{Asker, ssh::SshRemote},
};
use russh::keys::{
    PrivateKey,
    agent::{client::AgentClient, server},
    decode_secret_key,
    key::safe_rng,
};
use secrecy::SecretString;
use tokio::net::{UnixListener, UnixStream};

use crate::{Desk, Person, host::Host, host::new_key};

#[derive(Clone)]
struct Willing;

impl server::Agent for Willing {
    fn confirm(self, _: Arc<PrivateKey>) -> Box<dyn Future<Output = (Self, bool)> + Send + Unpin> {
        Box::new(futures::future::ready((self, true)))
    }
}

/// An agent that holds these keys.
async fn agent(desk: &mut Desk, keys: &[PrivateKey]) {
    let socket = desk.path("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let incoming = futures::stream::unfold(listener, |listener| async move {
        let stream = listener.accept().await.map(|(stream, _)| stream);
        Some((stream, listener))
    });
    tokio::spawn(server::serve(Box::pin(incoming), Willing));
    for key in keys {
        let mut client = AgentClient::connect(UnixStream::connect(&socket).await.unwrap());
        client.add_identity(key, &[]).await.unwrap();
    }
    desk.env.agent = Some(socket);
}

#[tokio::test]
async fn the_agent_logs_in_several_hosts_at_once() {
    let mut desk = Desk::new();
    desk.cluster.ssh.identity = None;
    let keys = [new_key(), desk.key.clone()];
    agent(&mut desk, &keys).await;
    let mut hosts = Vec::new();
    for n in 0..4 {
        let host = Host::start(desk.character()).await;
        desk.add(&format!("m{n}"), &host);
        desk.know(&host);
        hosts.push(host);
    }
    let (remote, person) = desk.remote(Person::default());
    for (name, result) in remote.connect_all().await {
        let facts = result.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(facts.method.ends_with("(agent)"), "{}", facts.method);
    }
    assert_eq!(person.asked(), [""; 0]);
}

#[tokio::test]
async fn a_locked_key_that_the_agent_holds_needs_no_passphrase() {
    let mut desk = Desk::new();
    desk.write_key("key", &desk.key.encrypt(&mut safe_rng(), "open sesame").unwrap());
    let key = desk.key.clone();
    agent(&mut desk, &[key]).await;
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    desk.know(&host);
    let (remote, person) = desk.remote(Person::default());
    let facts = remote.connect_all().await.remove(0).1.unwrap();
    assert_eq!(facts.method, format!("key {} (agent)", desk.path("key").display()));
    assert_eq!(person.asked(), [""; 0]);
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_mentioned_and_the_file_used() {
    let mut desk = Desk::new();
    desk.env.agent = Some(desk.path("no-agent"));
    let host = Host::start(desk.character()).await;
    desk.add("m1", &host);
    desk.know(&host);
    let (remote, _) = desk.remote(Person::default());
    remote.connect_all().await.remove(0).1.unwrap();
    std::fs::remove_file(desk.path("key")).unwrap();
    let (remote, _) = desk.remote(Person::default());
    let e = remote.connect_all().await.remove(0).1.unwrap_err().to_string();
    assert!(e.contains("agent: ") && e.contains("/key: no such file"), "{e}");
}

#[tokio::test]
async fn rsa_keys_sign_with_sha2() {
    let mut desk = Desk::new();
    let rsa = decode_secret_key(include_str!("../fixtures/ssh/rsa-pkcs1.pem"), None).unwrap();
    desk.write_key("key", &rsa);
    let mut character = desk.character();
    character.keys = vec![rsa.public_key().clone()];
    let host = Host::start(character).await;
    desk.add("m1", &host);
    desk.know(&host);
    let (remote, _) = desk.remote(Person::default());
    remote.connect_all().await.remove(0).1.unwrap();
    assert_eq!(*host.seen.signed_with.lock().unwrap(), ["rsa-sha2-512"]);
}

/// Answers, but not before the host has hung up.
struct Slow {
    host: Arc<Host>,
    answer: &'static str,
    asked: Mutex<usize>,
}

#[async_trait]
impl Asker for Slow {
    async fn accept_host_key(&self, _: &HostName, _: &str, _: &str, _: &str) -> bool {
        false
    }

    async fn secret(&self, _: &str) -> Option<SecretString> {
        *self.asked.lock().unwrap() += 1;
        self.host.wire.cut();
        tokio::task::yield_now().await;
        Some(self.answer.into())
    }
}

#[tokio::test]
async fn a_host_that_hangs_up_while_a_person_types_is_dialled_again_with_the_answer() {
    for (locked, question, answer) in [(true, None, "open sesame"), (false, Some(("Code:", "123456")), "123456")] {
        let mut desk = Desk::new();
        if locked {
            desk.write_key("key", &desk.key.encrypt(&mut safe_rng(), answer).unwrap());
        }
        let mut character = desk.character();
        character.question = question;
        let host = Arc::new(Host::start(character).await);
        desk.add("m1", &host);
        desk.know(&host);
        let slow = Arc::new(Slow { host: host.clone(), answer, asked: Mutex::default() });
        let remote = SshRemote::within(&desk.cluster, slow.clone(), None, desk.env.clone());
        remote.connect_all().await.remove(0).1.unwrap();
        assert_eq!(*slow.asked.lock().unwrap(), 1);
    }
}
