//! Three masters to five, and back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use banister::{
    cluster::{EtcdPair, Voters},
    engine::{act::handshake, event::Outcome},
    remote::{Remote as _, Target},
};
use etcd_client::{Channel, Client, proto::PbRangeRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

use super::harness::{Desk, differences};

const FIVE: Voters = Voters { total: 5, healthy: 5, learners: 0 };

/// Writes to the first member until it is told to stop; the keys that were acknowledged.
async fn write_until(desk: Arc<Desk>, stop: Arc<AtomicBool>) -> Vec<String> {
    let first = desk.cluster().masters[0].clone();
    let tls = handshake::client(desk.cluster(), &desk.remote(), &first, EtcdPair::Client).await.unwrap();
    let stream = desk.practice.dial(&first.name, Target { address: first.address, port: 2379 }).await.unwrap();
    let (stream, _) = tls.connect(stream, &ServerName::from(first.address), &[b"h2"]).await.unwrap();
    let mut stream = Some(TokioIo::new(stream));
    let connector = service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| std::io::Error::other("closed")) }
    });
    let channel = Endpoint::from_static("http://etcd").connect_with_connector(connector).await.unwrap();
    let mut client = Client::from_channel(Channel::Tonic(channel), None).await.unwrap();
    let mut written = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let key = format!("/writer/{:06}", written.len());
        client.put(key.clone(), "x", None).await.unwrap();
        written.push(key);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    written
}

async fn grows(scenario: &str, version: &str) {
    let began = Instant::now();
    let desk = Arc::new(Desk::new(scenario));
    let pids = |desk: &Desk| ["master01", "master02", "master03"].map(|m| desk.host(m, |h| h.units["etcd"].pid));
    let before = pids(&desk);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write_until(desk.clone(), stop.clone()));
    let ran = desk.grow().await;
    stop.store(true, Ordering::SeqCst);
    let written = writer.await.unwrap();
    assert_eq!(ran.outcome, Outcome::Done, "{}", ran.why);

    let seen = desk.members().await;
    assert_eq!(seen.voters(), FIVE);
    assert_eq!(seen.lowest_version().unwrap().to_string(), version);
    let mut names: Vec<_> = seen.members.iter().map(|m| m.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["master01", "master02", "master03", "master04", "master05"]);
    assert_eq!(pids(&desk), before, "no original's etcd was restarted");
    assert!(!written.is_empty());
    desk.practice.with(|w| {
        let cluster = w.etcd.clusters.values().next().unwrap();
        for key in &written {
            let request = PbRangeRequest { key: key.clone().into_bytes(), ..PbRangeRequest::default() };
            assert_eq!(cluster.store.range(&request).count, 1, "{key} was acknowledged");
        }
    });
    let list: Vec<_> = (37..=41).zip(1..).map(|(end, n)| format!("master0{n}=https://10.10.33.{end}:2380")).collect();
    for host in ["master01", "master04", "master05"] {
        let text = desk.host(host, |h| h.files.text("/etc/etcd/etcd.conf").unwrap());
        assert!(text.contains(&list.join(",")), "{host} does not list all of them in their order: {text}");
        desk.host(host, |h| assert_eq!(h.files.entry("/etc/etcd/ssl/peer.key".as_ref()).unwrap().mode, 0o600));
    }

    let grown = desk.state();
    let again = desk.grow().await;
    assert_eq!(again.done(), Vec::<String>::new(), "a second run has nothing to do");
    assert!(again.why.starts_with("nothing to do"), "{}", again.why);
    assert_eq!(differences(&grown, &desk.state()), Vec::<String>::new());
    println!("{scenario}: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn three_become_five_with_learners() {
    grows("growth", "3.4.23").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_become_five_without_learners() {
    grows("growth-3.3", "3.3.25").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_become_five_with_json_journals() {
    grows("growth-3.5", "3.5.16").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_back_everything_is_as_it_was() {
    for scenario in ["growth", "growth-3.3"] {
        let desk = Desk::new(scenario);
        let before = desk.state();
        assert_eq!(desk.grow().await.outcome, Outcome::Done);
        let back = desk.take_back().await;
        assert_eq!(back.outcome, Outcome::Done, "{}", back.why);
        assert_eq!(desk.members().await.voters(), Voters { total: 3, healthy: 3, learners: 0 });
        let left: Vec<_> = differences(&before, &desk.state())
            .into_iter()
            // systemd has heard of the joiners' etcd by then.
            .filter(|d| !d.contains("unit etcd: None → Some(\"false\")"))
            .collect();
        assert_eq!(left, Vec::<String>::new(), "{scenario}");
    }
}
