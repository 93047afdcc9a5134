//! etcd's own tools: snapshots, and the lone etcd of a rehearsal.

use std::{path::PathBuf, time::Duration};

use banister::{
    cluster::{EtcdPair, HostName},
    engine::act::handshake,
    remote::{Io, Op, Stdin, op::EtcdctlAccess},
};

use super::{
    files::{at, write},
    norm::Norm,
    twin::{Side, Twin, until},
};

const HOST: &str = "master01";
const BIN: &str = "/usr/local/bin";

/// Ports that nothing uses.
const PORTS: (u16, u16) = (23790, 23800);

/// What is wrong with a way to a member.
type Change = Box<dyn Fn(&mut EtcdctlAccess)>;

fn save(side: &Side, change: impl FnOnce(&mut EtcdctlAccess), path: PathBuf) -> Op {
    let etcd = &side.cluster.etcd;
    let mut access = EtcdctlAccess {
        bin: BIN.into(),
        endpoint: format!("https://{}:2379", side.cluster.masters[0].address),
        ca: etcd.ca(),
        cert: etcd.cert(EtcdPair::Client),
        key: etcd.key(EtcdPair::Client),
    };
    change(&mut access);
    Op::SnapshotSave { access, path }
}

pub async fn all(twin: &mut Twin) {
    let file = || at("snap/one.db");
    let good = save(&twin.lab, |_| {}, file());
    twin.op_but("saved", HOST, good.clone(), &[Norm::Quiet]).await;
    twin.op_but("over the old one", HOST, good, &[Norm::Quiet]).await;
    twin.both("master01: mode and owner of a snapshot", |side| async move {
        let told = side.run(HOST, &Op::Stat { paths: vec![at("snap"), file()] }, None, &[Norm::Stat]).await;
        told.lines().map(|l| l.split(' ').take(4).collect::<Vec<_>>().join(" ") + "\n").collect()
    })
    .await;
    let wrong: [(&str, Change); 3] = [
        ("no such CA", Box::new(|a| a.ca = at("none"))),
        ("no such key", Box::new(|a| a.key = at("none"))),
        ("no such tool", Box::new(|a| a.bin = at("none"))),
    ];
    for (case, change) in wrong {
        let op = save(&twin.lab, change, at("snap/wrong.db"));
        twin.op_but(case, HOST, op, &[Norm::Chatter]).await;
    }
    twin.op("nothing is left of these", HOST, Op::ListDir { dir: at("snap") }).await;
    judged(twin).await;
    rehearsed(twin).await;
}

async fn judged(twin: &mut Twin) {
    let status = |path: PathBuf| Op::SnapshotStatus { bin: BIN.into(), path };
    let trial = |path: PathBuf, scratch: PathBuf| Op::SnapshotTrial { bin: BIN.into(), path, scratch };
    let norms = &[Norm::Database, Norm::Chatter];
    twin.op_but("status", HOST, status(at("snap/one.db")), norms).await;
    twin.op_but("restored for trial", HOST, trial(at("snap/one.db"), at("trial")), norms).await;
    twin.op("garbage", HOST, write(at("snap/garbage.db"), "this is no database\n", 0o600, "root", None)).await;
    twin.op_but("status of garbage", HOST, status(at("snap/garbage.db")), norms).await;
    twin.op_but("garbage restored", HOST, trial(at("snap/garbage.db"), at("trial")), norms).await;
    twin.op_but("status of nothing", HOST, status(at("snap/none.db")), norms).await;
    twin.op_but("nothing restored", HOST, trial(at("snap/none.db"), at("trial")), norms).await;
    twin.op_but("where something is", HOST, trial(at("snap/one.db"), at("snap")), norms).await;
    twin.op_but("where it must not", HOST, trial(at("snap/one.db"), "/var".into()), norms).await;
    let nowhere = Op::SnapshotStatus { bin: at("none"), path: at("snap/one.db") };
    twin.op_but("no such tool", HOST, nowhere, norms).await;
    twin.op("no trial is left", HOST, Op::Stat { paths: vec![at("trial")] }).await;
}

fn rehearsal(side: &Side, change: impl FnOnce(&mut PathBuf, &mut String)) -> Op {
    let (etcd, address) = (&side.cluster.etcd, side.cluster.masters[0].address);
    let (mut bin, mut user) = (PathBuf::from(BIN), etcd.user.clone());
    change(&mut bin, &mut user);
    Op::RehearsalEtcd {
        bin,
        user,
        scratch: at("rehearsal"),
        peer_url: format!("https://{address}:{}", PORTS.1),
        client_url: format!("https://{address}:{}", PORTS.0),
        ca: etcd.ca(),
        peer: (etcd.cert(EtcdPair::Peer), etcd.key(EtcdPair::Peer)),
        server: (etcd.cert(EtcdPair::Server), etcd.key(EtcdPair::Server)),
    }
}

async fn rehearsed(twin: &mut Twin) {
    let op = rehearsal(&twin.lab, |_, _| {});
    twin.tried(&op);
    twin.both("master01: a rehearsal", |side| {
        let op = op.clone();
        async move { tokio::time::timeout(Duration::from_secs(40), rehearse(&side, &op)).await.unwrap_or("no end".into()) }
    })
    .await;
    twin.rests("nothing is left of it", HOST, Op::Stat { paths: vec![at("rehearsal")] }, &[], |t| t.contains("absent"))
        .await;
    let nobody = rehearsal(&twin.lab, |_, user| *user = "nobody-here".into());
    twin.op("a rehearsal as nobody", HOST, nobody).await;
    let nothing = rehearsal(&twin.lab, |bin, _| *bin = at("none"));
    twin.op_but("a rehearsal of no etcd", HOST, nothing, &[Norm::Chatter]).await;
    let mut taken = rehearsal(&twin.lab, |_, _| {});
    if let Op::RehearsalEtcd { client_url, .. } = &mut taken {
        *client_url = client_url.replace(&PORTS.0.to_string(), "2379");
    }
    twin.both("master01: a rehearsal on a port that is in use", |side| {
        let op = taken.clone();
        async move {
            // The last line says it; the ones before tell of times and flags.
            let told = side.run(HOST, &op, None, &[]).await;
            format!("{} {}", told.lines().next().unwrap_or_default(), told.contains("address already in use"))
        }
    })
    .await;
}

/// It serves what lies in the host's files, and ends with its channel.
async fn rehearse(side: &Side, op: &Op) -> String {
    // Standard input that stays open.
    let (keep, input) = tokio::io::duplex(16);
    let (host, io) = (HostName::new(HOST), Io { stdin: Stdin::Reader(Box::pin(input)), ..Io::default() });
    let looking = async {
        let node = &side.cluster.masters[0];
        let client = handshake::client(&side.cluster, &side.remote, node, EtcdPair::Client).await.expect("a pair");
        let served = |port| {
            let (client, remote) = (client.clone(), side.remote.clone());
            async move {
                match handshake::served(&remote, &client, node, port).await {
                    Ok(served) => format!("good {} {}", served.good(), served.why_not()),
                    Err(e) => e.to_string(),
                }
            }
        };
        let both = [until(|t| t.starts_with("good"), || served(PORTS.0)).await, served(PORTS.1).await];
        both.join("\n")
    };
    let told = tokio::select! {
        told = looking => told,
        done = side.remote.run(&host, op, io) => format!("it ended: {done:?}"),
    };
    drop(keep);
    told
}
