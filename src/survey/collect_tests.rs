use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::{
    pki::testing::fixture,
    remote::{BoxStream, Output, Target},
    survey::findings::fixture as base,
};

/// Hosts that answer from a table of files; everything asked is kept.
#[derive(Default)]
struct Hosts {
    files: BTreeMap<PathBuf, Vec<u8>>,
    down: Vec<&'static str>,
    asked: Mutex<Vec<(HostName, Op)>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Hosts {
    fn with(files: &[(&str, &str)]) -> Self {
        let read = |(path, name): &(&str, &str)| (PathBuf::from(path), fixture(name));
        Self { files: files.iter().map(read).collect(), ..Self::default() }
    }

    fn answer(&self, op: &Op) -> (u32, Vec<u8>) {
        let file = |path: &Path| self.files.get(path).map_or((44, Vec::new()), |bytes| (0, bytes.clone()));
        match op {
            Op::Facts { space, .. } => {
                let entries: Vec<_> = space.iter().map(|p| format!("entries=4 {}", p.display())).collect();
                let entries = entries.join("\n");
                (0, format!("clock=1700000000.000000000\nuid=0\nhostname=h\n{entries}\nend=1\n").into_bytes())
            }
            Op::ReadFile { path } | Op::ReadSecret { path } => file(path),
            Op::UnitState { .. } => (0, b"LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n".into()),
            Op::EtcdVersion { .. } => (0, b"etcd Version: 3.4.23\nGit SHA: x\n".into()),
            Op::ListTree { dir } => (0, format!("file 600 etcd etcd 9 9 - {}/etcd.conf\n", dir.display()).into_bytes()),
            other => panic!("the survey asked for {other:?}"),
        }
    }
}

#[async_trait]
impl Remote for Hosts {
    async fn run(&self, host: &HostName, op: &Op, _: Io) -> Result<Output, RemoteError> {
        self.asked.lock().unwrap().push((host.clone(), op.clone()));
        if self.down.contains(&host.as_str()) {
            return Err(RemoteError::Unreachable { host: host.clone(), address: "x".into(), why: "no route".into() });
        }
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let (status, stdout) = self.answer(op);
        Ok(Output { status, stdout: stdout.into(), stderr: String::new() })
    }

    async fn dial(&self, _: &HostName, _: Target) -> Result<BoxStream, RemoteError> {
        panic!("the survey dials nothing itself")
    }
}

struct Silent;

#[async_trait]
impl EtcdLook for Silent {
    async fn look(&self) -> Result<Membership, String> {
        std::future::pending().await
    }
}

struct Refusing;

#[async_trait]
impl EtcdLook for Refusing {
    async fn look(&self) -> Result<Membership, String> {
        Err("no member answered".into())
    }
}

#[tokio::test]
async fn a_silent_etcd_is_not_waited_for_for_ever() {
    let (to, mut from) = unbounded_channel();
    let error = look_at_etcd(&Silent, Duration::from_millis(10), &to).await.unwrap_err();
    assert!(error.contains("no answer within"), "{error}");
    assert!(matches!(from.try_recv(), Ok(SurveyProgress::Etcd(Err(_)))));
}

const PKI: &[(&str, &str)] = &[
    ("/etc/etcd/ssl/ca.crt", "ca.crt"),
    ("/etc/etcd/ssl/ca.key", "ca.key"),
    ("/etc/etcd/ssl/server.crt", "server.crt"),
    ("/etc/etcd/ssl/server.key", "server.key"),
    ("/etc/etcd/ssl/peer.crt", "peer.crt"),
    ("/etc/etcd/ssl/peer.key", "client.key"),
    ("/etc/etcd/etcd.conf", "client.crt"),
];

async fn etcd_on_master01(hosts: &Hosts) -> EtcdOnHost {
    let cluster = base::cluster();
    survey_host(&cluster, &cluster.masters[0], hosts, None).await.seen.unwrap().etcd.unwrap()
}

#[tokio::test]
async fn what_lies_on_a_master_is_read_and_compared() {
    let etcd = etcd_on_master01(&Hosts::with(PKI)).await;
    assert_eq!(etcd.version.as_deref(), Some("3.4.23"));
    assert_eq!((etcd.unit.active.as_str(), etcd.unit.enabled.as_str()), ("active", "enabled"));
    assert_eq!(etcd.data_entries, Some(4));
    assert_eq!(etcd.ca_key, Some(true));
    assert!(etcd.config.is_some() && etcd.unit_text.is_none());
    assert_eq!(etcd.files[0].path, PathBuf::from("/etc/etcd/etcd.conf"));
    let server = &etcd.certs[&EtcdPair::Server];
    assert_eq!((server.key_matches, server.issued_by_ca), (Some(true), Some(true)));
    assert!(server.cert.as_ref().unwrap().subject.contains("Etcd-server"));
    // The peer's key is the client's: the survey must see it.
    assert_eq!(etcd.certs[&EtcdPair::Peer].key_matches, Some(false));
    assert!(!etcd.certs.contains_key(&EtcdPair::Client));
}

#[tokio::test]
async fn another_ca_of_the_same_name_is_not_taken_for_the_issuer() {
    let mut hosts = Hosts::with(PKI);
    hosts.files.insert("/etc/etcd/ssl/ca.crt".into(), fixture("ca-same-name.crt"));
    let etcd = etcd_on_master01(&hosts).await;
    assert_eq!(etcd.certs[&EtcdPair::Server].issued_by_ca, Some(false));
    assert_eq!(etcd.ca_key, Some(false));
}

#[tokio::test]
async fn an_encrypted_key_and_a_broken_certificate_are_told_apart_from_missing_ones() {
    let mut hosts = Hosts::with(PKI);
    hosts.files.insert("/etc/etcd/ssl/server.key".into(), fixture("encrypted-pkcs8.key"));
    hosts.files.insert("/etc/etcd/ssl/peer.crt".into(), b"not a certificate".to_vec());
    hosts.files.remove(Path::new("/etc/etcd/ssl/ca.key"));
    let etcd = etcd_on_master01(&hosts).await;
    assert_eq!(etcd.certs[&EtcdPair::Server].key_matches, None);
    assert!(etcd.certs[&EtcdPair::Peer].cert.is_err());
    assert_eq!(etcd.ca_key, None);
}

#[tokio::test]
async fn all_hosts_are_asked_side_by_side_and_reported_together() {
    let hosts = Arc::new(Hosts { down: vec!["master02", "node01"], ..Hosts::with(PKI) });
    let (to, mut from) = unbounded_channel();
    let asked = hosts.clone();
    // Spawned, as the wizard does it: the future has to be able to move between threads.
    let looking = tokio::spawn(async move { survey(&base::cluster(), asked, &Refusing, to).await });
    let observed = looking.await.unwrap();

    let names: Vec<_> = observed.hosts.iter().map(|h| h.name.to_string()).collect();
    assert_eq!(names, ["master01", "master02", "master03", "master04", "master05", "node01"]);
    let down: Vec<_> = observed.hosts.iter().filter(|h| h.seen.is_err()).map(|h| h.name.to_string()).collect();
    assert_eq!(down, ["master02", "node01"]);
    assert!(hosts.most.load(Ordering::SeqCst) >= 4, "one after the other");
    assert_eq!(observed.etcd, Err("no member answered".into()));
    assert!(observed.findings.iter().any(|f| f.host.as_ref().is_some_and(|h| h.as_str() == "master02")));

    let mut done = Vec::new();
    while let Ok(progress) = from.try_recv() {
        match progress {
            SurveyProgress::Host(name, result) => done.push((name.to_string(), result.is_ok())),
            SurveyProgress::Etcd(result) => done.push(("etcd".into(), result.is_ok())),
            SurveyProgress::Asking(..) => {}
        }
    }
    done.sort();
    assert_eq!(done.len(), 7, "{done:?}");
    assert!(done.contains(&("master02".into(), false)) && done.contains(&("master04".into(), true)));
}

#[tokio::test]
async fn a_survey_only_reads_and_asks_workers_for_facts_alone() {
    let hosts = Hosts::with(PKI);
    let cluster = base::cluster();
    for node in cluster.hosts() {
        survey_host(&cluster, node, &hosts, None).await;
    }
    let asked = hosts.asked.into_inner().unwrap();
    assert!(asked.iter().all(|(_, op)| op.read_only()), "{asked:?}");
    let workers: Vec<_> = asked.iter().filter(|(h, _)| h.as_str() == "node01").collect();
    assert!(matches!(workers[..], [(_, Op::Facts { .. })]), "{workers:?}");
}

#[tokio::test]
async fn a_host_that_answers_nonsense_is_not_taken_for_seen() {
    struct Cut;
    #[async_trait]
    impl Remote for Cut {
        async fn run(&self, _: &HostName, _: &Op, _: Io) -> Result<Output, RemoteError> {
            Ok(Output { stdout: Bytes::from_static(b"uid=0\n"), ..Output::default() })
        }

        async fn dial(&self, _: &HostName, _: Target) -> Result<BoxStream, RemoteError> {
            panic!("not asked")
        }
    }
    let cluster = base::cluster();
    let error = survey_host(&cluster, &cluster.workers[0], &Cut, None).await.seen.unwrap_err();
    assert!(error.to_string().contains("cut off"), "{error}");
}
