//! The pollers of the live panels against hosts in memory.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use banister::{
    cluster::{Cluster, EtcdPair, HostName, Node},
    engine::act::handshake,
    pki::CertInfo,
    practice::{Scenario, host::Power},
    remote::{
        Io, Op, Remote as _, SharedRemote,
        op::{Content, Owner, SecretBytes},
        tls::TlsClient,
    },
    watch::{self, Clients, Follow, LogMsg, Port, PortSeen, Source},
};
use tokio::sync::{mpsc, watch as channel};

use super::harness::Desk;

/// Most time anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

struct Pairs(Arc<Cluster>, SharedRemote);

#[async_trait]
impl Clients for Pairs {
    async fn client(&self, node: &Node, pair: EtcdPair) -> Result<TlsClient, String> {
        handshake::client(&self.0, &self.1, node, pair).await.map_err(|e| e.to_string())
    }
}

async fn next<T>(from: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(PATIENCE, from.recv()).await.unwrap().unwrap()
}

/// Waits until a port was looked at, and passes over the others.
async fn port(from: &mut mpsc::UnboundedReceiver<PortSeen>, host: &str, port: Port) -> PortSeen {
    loop {
        let seen = next(from).await;
        if seen.host.as_str() == host && seen.port == port {
            return seen;
        }
    }
}

async fn read(desk: &Desk, host: &str, path: &Path) -> Vec<u8> {
    let op = Op::ReadFile { path: path.to_owned() };
    desk.practice.run(&HostName::new(host), &op, Io::default()).await.unwrap().stdout.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_port_serves_is_seen_anew_after_a_nudge_and_a_frozen_host_holds_up_nobody() {
    // In real time: a host that is frozen says nothing for twenty seconds.
    let desk = Desk::of(&Scenario::find("growth").unwrap(), 1);
    desk.host("master03", |h| h.power = Power::Hung);
    let (nudge, nudged) = channel::channel(0);
    let (to, mut arriving) = mpsc::unbounded_channel();
    let clients = Arc::new(Pairs(desk.cluster().clone(), desk.remote()));
    let looking = tokio::spawn(watch::served(desk.cluster().clone(), desk.remote(), clients, nudged, to));
    let layout = &desk.cluster().etcd;
    let on_disk = async |host: &str| {
        CertInfo::from_pem(&read(&desk, host, &layout.cert(EtcdPair::Server)).await).unwrap().fingerprint
    };
    // All ports of the two others, though the third says nothing.
    let mut seen: BTreeMap<(HostName, Port), PortSeen> = BTreeMap::new();
    while seen.keys().filter(|(h, _)| h.as_str() < "master03").count() < 6 {
        let one = next(&mut arriving).await;
        assert_ne!(one.host.as_str(), "master03", "{one:?}");
        seen.insert((one.host.clone(), one.port), one);
    }
    let first = &seen[&(HostName::new("master01"), Port::EtcdClient)];
    let served = first.served.as_ref().unwrap();
    assert_eq!((served.cert.fingerprint.clone(), served.trouble.as_str()), (on_disk("master01").await, ""));
    let apiserver = seen[&(HostName::new("master02"), Port::Apiserver)].served.as_ref().unwrap();
    assert_eq!(apiserver.trouble, "", "{:?}", apiserver.cert);
    // A colleague puts another master's pair there: the port serves that from now on, to whoever looks.
    let host = HostName::new("master01");
    let cert = String::from_utf8(read(&desk, "master02", &layout.cert(EtcdPair::Server)).await).unwrap();
    let key = SecretBytes::new(read(&desk, "master02", &layout.key(EtcdPair::Server)).await);
    for (path, content) in
        [(layout.cert(EtcdPair::Server), Content::Text(cert)), (layout.key(EtcdPair::Server), Content::Secret(key))]
    {
        let op = Op::WriteFile { path, content, mode: 0o600, owner: Owner::both("etcd"), backup: None };
        assert_eq!(desk.practice.run(&host, &op, Io::default()).await.unwrap().status, 0);
    }
    nudge.send_modify(|n| *n += 1);
    let again = port(&mut arriving, "master01", Port::EtcdClient).await;
    assert_eq!(again.served.unwrap().cert.fingerprint, on_disk("master02").await);
    drop(arriving);
    nudge.send_modify(|n| *n += 1);
    looking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn units_and_static_pods_of_a_host_are_followed_as_they_come_and_go() {
    let desk = Desk::new("growth");
    let host = HostName::new("master04");
    let sources =
        vec![Source::unit(&host, "etcd"), Source::pod(&host, "kube-apiserver"), Source::pod(&host, "kube-scheduler")];
    let (to, mut arriving) = mpsc::channel(4);
    let following = tokio::spawn(watch::logs(desk.remote(), sources, to));
    let mut next = async || tokio::time::timeout(PATIENCE, arriving.recv()).await.unwrap().unwrap();
    // No container runs yet: that is no trouble, and the unit is followed all the same.
    desk.host("master04", |h| h.log("etcd", "began\u{1b}[2J"));
    let (mut absent, mut said) = (0, String::new());
    while absent < 2 || said.is_empty() {
        match next().await {
            LogMsg::State(1 | 2, Follow::Absent) => absent += 1,
            LogMsg::Lines(0, lines) => said += &lines.iter().map(|l| l.text.to_string()).collect::<String>(),
            LogMsg::State(0, Follow::On) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(said.ends_with(": began"), "{said:?}");
    desk.host("master04", |h| h.log("container:kube-apiserver", "I1125 serving"));
    let mut lines = Vec::new();
    while lines.len() < 3 {
        match next().await {
            LogMsg::Lines(number, batch) => {
                for line in batch {
                    lines.push((number, line.text.to_string()));
                    // Another container comes; nothing is lost, and nothing comes twice.
                    match number {
                        1 if lines.len() == 1 => {
                            desk.host("master04", |h| h.log("container:kube-scheduler", "leading"));
                        }
                        2 => desk.host("master04", |h| h.log("container:kube-apiserver", "W1125 later")),
                        _ => {}
                    }
                }
            }
            LogMsg::State(..) => {}
        }
    }
    let expected = [(1, "I1125 serving"), (2, "leading"), (1, "W1125 later")];
    assert_eq!(lines, expected.map(|(n, text)| (n, text.to_owned())));
    drop(arriving);
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_asked_of_another_master_when_the_one_asked_before_is_gone() {
    let desk = Desk::new("growth");
    let (to, mut arriving) = mpsc::unbounded_channel();
    let looking = tokio::spawn(watch::nodes(desk.cluster().clone(), desk.remote(), to));
    let first = next(&mut arriving).await.unwrap();
    let names: Vec<&str> = first.nodes.iter().map(|n| n.name.as_str()).collect();
    for master in &desk.cluster().masters {
        assert!(names.contains(&desk.cluster().node_name(master).as_str()), "{names:?}");
    }
    desk.host(first.asked.as_str(), |h| h.power = Power::Down);
    let second = next(&mut arriving).await.unwrap();
    assert_ne!(second.asked, first.asked);
    // And with all of them gone, each is named with what it said, in the order of the file.
    desk.practice.with(|w| w.hosts.values_mut().for_each(|h| h.power = Power::Down));
    let tried = next(&mut arriving).await.unwrap_err();
    let hosts: Vec<&str> = tried.iter().map(|(host, _)| host.as_str()).collect();
    assert_eq!(hosts, ["master01", "master02", "master03"]);
    assert!(tried.iter().all(|(_, why)| why.contains("no route to host")), "{tried:?}");
    looking.abort();
}
