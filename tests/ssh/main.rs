//! The SSH remote against hosts in this process: real russh servers on loopback that run scripts as the current user.

#![cfg(test)]

mod copying;
mod host;
mod hostkeys;
mod keys;
#[cfg(feature = "lab")]
mod lab;
mod logins;
mod losses;
mod running;
mod wire;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use banister::{
    cluster::{
        BinarySource, Cluster, EtcdLayout, FirewallChoice, HostName, KubeLayout, Node, PackageChoice, Role, SshSettings,
    },
    remote::{
        Asker, Op,
        ssh::{Environment, SshRemote},
    },
};
use russh::keys::{PrivateKey, ssh_key::LineEnding};
use secrecy::SecretString;

use host::{Character, Host, new_key};

/// Long enough for a busy machine, short enough for a test that hangs to fail.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A person who answers as told and whose questions are written down.
#[derive(Default)]
pub(crate) struct Person {
    pub(crate) accepts: bool,
    /// Answers to secrets, by what the prompt contains.
    pub(crate) secrets: Vec<(&'static str, &'static str)>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Person {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Asker for Person {
    async fn accept_host_key(&self, host: &HostName, _: &str, key_type: &str, fingerprint: &str) -> bool {
        self.asked.lock().unwrap().push(format!("{host} {key_type} {fingerprint}"));
        self.accepts
    }

    async fn secret(&self, prompt: &str) -> Option<SecretString> {
        self.asked.lock().unwrap().push(prompt.to_owned());
        self.secrets.iter().find(|(part, _)| prompt.contains(part)).map(|(_, secret)| SecretString::from(*secret))
    }
}

/// The operator's machine: a home with a key, and the cluster file.
pub(crate) struct Desk {
    pub(crate) home: tempfile::TempDir,
    pub(crate) cluster: Cluster,
    pub(crate) key: PrivateKey,
    pub(crate) env: Environment,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        let key = new_key();
        let desk = Self {
            cluster: Cluster {
                path: "cluster.yaml".into(),
                name: "test".into(),
                domain: None,
                ssh: SshSettings {
                    user: Some("root".into()),
                    identity: Some(home.path().join("key")),
                    ..SshSettings::default()
                },
                masters: Vec::new(),
                join: Vec::new(),
                workers: Vec::new(),
                etcd: EtcdLayout::default(),
                kube: KubeLayout::default(),
                backup_dir: "/root/backup".into(),
                firewall: FirewallChoice::default(),
                binaries: BinarySource::default(),
                packages: PackageChoice::default(),
                worker_batch: None,
                set_hostname: true,
                lifetime_days: None,
                lang: None,
                two_key: false,
                notices: Vec::new(),
            },
            env: Environment {
                home: home.path().to_owned(),
                user: "root".into(),
                agent: None,
                ssh_client: None,
                global_known_hosts: Vec::new(),
            },
            key,
            home,
        };
        desk.write_key("key", &desk.key);
        desk
    }

    pub(crate) fn write_key(&self, name: &str, key: &PrivateKey) {
        std::fs::write(self.path(name), key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.path(".ssh/known_hosts")
    }

    /// Adds a host to the cluster file.
    pub(crate) fn add(&mut self, name: &str, host: &Host) -> HostName {
        self.add_at(name, host.address().port())
    }

    pub(crate) fn add_at(&mut self, name: &str, port: u16) -> HostName {
        let name = HostName::new(name);
        self.cluster.masters.push(Node {
            name: name.clone(),
            address: "127.0.0.1".parse().unwrap(),
            role: Role::Original,
            comment: None,
            ssh: SshSettings { port: Some(port), ..SshSettings::default() },
        });
        name
    }

    /// Records a host's key.
    pub(crate) fn know(&self, host: &Host) {
        let key = host.key.to_openssh().unwrap();
        self.record(&format!("[127.0.0.1]:{} {key}", host.address().port()));
    }

    pub(crate) fn record(&self, line: &str) {
        let before = std::fs::read_to_string(self.known_hosts()).unwrap_or_default();
        std::fs::write(self.known_hosts(), format!("{before}{line}\n")).unwrap();
    }

    pub(crate) fn character(&self) -> Character {
        Character { keys: vec![self.key.public_key().clone()], ..Character::default() }
    }

    pub(crate) fn remote(&self, person: Person) -> (SshRemote, Arc<Person>) {
        let person = Arc::new(person);
        (SshRemote::within(&self.cluster, person.clone(), None, self.env.clone()), person)
    }
}

/// One known host and a remote that knows it.
pub(crate) async fn one_host(change: impl FnOnce(&mut Character)) -> (Desk, Host, HostName, SshRemote) {
    let mut desk = Desk::new();
    let mut character = desk.character();
    change(&mut character);
    let host = Host::start(character).await;
    let name = desk.add("m1", &host);
    desk.know(&host);
    let (remote, _) = desk.remote(Person::default());
    (desk, host, name, remote)
}

/// An operation that a host's table can recognize, whatever its shell looks like.
pub(crate) fn marked(mark: &str) -> Op {
    Op::ReadFile { path: mark.into() }
}
