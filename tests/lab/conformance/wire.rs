//! Ports as they are dialled, and TLS as it is spoken there.

use std::{fmt::Write as _, net::IpAddr};

use banister::{
    cluster::{EtcdPair, HostName},
    remote::{
        Op, SecretBytes, Target, run_ok,
        tls::{ClientIdentity, Roots, TlsClient},
    },
};
use rustls::pki_types::ServerName;

use super::twin::{Side, Twin};

/// Whose CA is trusted, and which pair is shown.
#[derive(Clone, Copy)]
struct Who {
    what: &'static str,
    ca: &'static str,
    pair: Option<(&'static str, &'static str)>,
}

const ETCD_CA: &str = "/etc/etcd/ssl/ca.crt";
const KUBE_CA: &str = "/etc/kubernetes/pki/ca.pem";
const ADMIN: (&str, &str) = ("/etc/kubernetes/pki/admin.pem", "/etc/kubernetes/pki/admin-key.pem");
const CLIENT: (&str, &str) = ("/etc/etcd/ssl/client.crt", "/etc/etcd/ssl/client.key");

const WHO: [Who; 6] = [
    Who { what: "etcd's CA and client", ca: ETCD_CA, pair: Some(CLIENT) },
    Who { what: "etcd's CA and nothing", ca: ETCD_CA, pair: None },
    Who { what: "etcd's CA and Kubernetes' administrator", ca: ETCD_CA, pair: Some(ADMIN) },
    Who { what: "Kubernetes' CA and administrator", ca: KUBE_CA, pair: Some(ADMIN) },
    Who { what: "Kubernetes' CA and nothing", ca: KUBE_CA, pair: None },
    Who { what: "Kubernetes' CA and etcd's client", ca: KUBE_CA, pair: Some(CLIENT) },
];

impl Who {
    async fn client(self, side: &Side) -> TlsClient {
        let host = HostName::new("master01");
        let read = async |path: &str| {
            run_ok(&*side.remote, &host, &Op::ReadSecret { path: path.into() }).await.expect(path).stdout.to_vec()
        };
        let client = TlsClient::new(Roots::from_pem(&read(self.ca).await).expect("a CA"));
        let Some((cert, key)) = self.pair else { return client };
        let pair = ClientIdentity::from_pem(&read(cert).await, &SecretBytes::new(read(key).await));
        client.with_identity(pair.expect("a pair"))
    }
}

fn address(side: &Side, host: &str) -> IpAddr {
    side.cluster.node(&HostName::new(host)).expect("a host").address
}

pub async fn all(twin: &mut Twin) {
    dialled(twin).await;
    for port in [2379, 2380, 6443] {
        for who in WHO {
            twin.both(&format!("port {port} with {}", who.what), |side| async move {
                let own = address(&side, "master01");
                probe(&side, who, Target { address: own, port }, own).await
            })
            .await;
        }
    }
    twin.both("a certificate asked for as another's", |side| async move {
        let (own, other) = (address(&side, "master01"), address(&side, "master05"));
        probe(&side, WHO[0], Target { address: own, port: 2379 }, other).await
    })
    .await;
    twin.both("every pair of etcd's, from its own host to another's ports", |side| async move {
        let mut told = String::new();
        for pair in [EtcdPair::Server, EtcdPair::Client, EtcdPair::Peer] {
            for port in [2379, 2380] {
                let (from, to) = (&side.cluster.masters[1], &side.cluster.masters[2]);
                let client = banister::engine::act::handshake::client(&side.cluster, &side.remote, from, pair).await;
                let asked = match client {
                    Ok(client) => banister::engine::act::handshake::ask(&side.remote, &client, from, to, port).await,
                    Err(e) => Err(e.to_string()),
                };
                let _ = writeln!(told, "{pair} {port} {asked:?}");
            }
        }
        told
    })
    .await;
}

async fn dialled(twin: &mut Twin) {
    // The last one is nobody's address.
    let ways = [
        ("master01", "master01", 2379),
        ("master01", "master01", 9),
        ("master01", "master02", 2379),
        ("master01", "master02", 9),
        ("master01", "master04", 2379),
        ("node01", "master01", 6443),
        ("node01", "node01", 6443),
    ];
    for (via, to, port) in ways {
        twin.both(&format!("dial {to}:{port} from {via}"), |side| async move {
            let target = Target { address: address(&side, to), port };
            let dialled = side.remote.dial(&HostName::new(via), target).await;
            dialled.map_or_else(|e| e.to_string(), |_| "open".into())
        })
        .await;
    }
    twin.both("dial 127.0.0.1:2379 on a host without etcd", |side| async move {
        let target = Target { address: IpAddr::from([127, 0, 0, 1]), port: 2379 };
        let dialled = side.remote.dial(&HostName::new("master04"), target).await;
        dialled.map_or_else(|e| e.to_string(), |_| "open".into())
    })
    .await;
}

/// What older Gos say of a caller without a certificate is what they say of a bad one.
const NONE_SHOWN: &str = "certificate required (none was shown)";
const BAD: &str = "bad certificate (Go says so of a wrong CA, an expired certificate or a wrong address alike)";

/// What is served, whether it holds for that name, and what the server makes of the caller.
async fn probe(side: &Side, who: Who, target: Target, name: IpAddr) -> String {
    let client = who.client(side).await;
    let stream = match side.remote.dial(&HostName::new("master01"), target).await {
        Ok(stream) => stream,
        Err(e) => return e.to_string(),
    };
    match client.probe(stream, &ServerName::from(name)).await {
        Ok(served) => {
            // The lab's certificates have more names.
            let problems: Vec<_> = served.problems.iter().filter_map(|p| p.text.split(": its names").next()).collect();
            let told = format!("{problems:#?}\n{:?}\n{:?}\n", served.client, served.failed);
            told.replace(NONE_SHOWN, BAD)
        }
        Err(e) => e.to_string(),
    }
}
