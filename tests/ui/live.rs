//! What the live panels see: certificates, masters, journals, healthy and not.

use std::{collections::BTreeMap, time::Duration};

use banister::{
    cluster::EtcdPair,
    pki::{CertInfo, San},
    survey::{CertOnDisk, EtcdOnHost, HostObserved, KubeOnHost, Shared, StaticPod, UnitState},
    ui::{Model, Msg},
    watch::{Follow, LogLine, LogMsg, NodeSeen, NodesSeen, Port, PortSeen, Ready, ServedCert, Source},
};

use super::{START, ch, feed, host, observed};

fn ip(last: u8) -> San {
    San::Ip([10, 10, 33, last].into())
}

fn cert(pair: EtcdPair, names: &[u8], fingerprint: &str) -> CertInfo {
    CertInfo {
        subject: format!("CN=Etcd-{pair}"),
        issuer: "CN=etcd-ca".into(),
        sans: names
            .iter()
            .map(|n| ip(*n))
            .chain([San::Ip([127, 0, 0, 1].into()), San::Dns("localhost".into())])
            .collect(),
        not_before: START - 86_400,
        not_after: START + 3650 * 86_400,
        key_type: "RSA 2048".into(),
        usages: vec!["serverAuth".into(), "clientAuth".into()],
        is_ca: false,
        fingerprint: fingerprint.repeat(8),
        key_fingerprint: "9a02c4d1".repeat(8),
        serial: "17".into(),
    }
}

fn on_disk(pair: EtcdPair, names: &[u8]) -> CertOnDisk {
    CertOnDisk {
        path: format!("/etc/etcd/ssl/{pair}.crt").into(),
        cert: Ok(cert(pair, names, "51c0ffee")),
        key_matches: Some(true),
        issued_by_ca: Some(true),
    }
}

/// etcd on an original.
pub fn etcd(last: u8) -> EtcdOnHost {
    let config = format!(
        "ETCD_OPTS=\"--name=master{:02} \\\n  --listen-peer-urls=https://10.10.33.{last}:2380 \\\n  --metrics=basic \\\n  --quota-backend-bytes=8589934592\"\n",
        last - 36
    );
    let mut ca = on_disk(EtcdPair::Server, &[]);
    ca.cert = Ok(CertInfo { fingerprint: "1f3a9b02".repeat(8), ..cert(EtcdPair::Server, &[], "1f3a9b02") });
    EtcdOnHost {
        version: Some("3.4.23".into()),
        unit: UnitState { active: "active".into(), enabled: "enabled".into(), ..UnitState::default() },
        config: Some(config),
        data_entries: Some(1),
        ca: Some(ca),
        ca_key: (last == 37).then_some(true),
        certs: EtcdPair::ALL.map(|p| (p, on_disk(p, &[37, 38, 39]))).into(),
        ..EtcdOnHost::default()
    }
}

fn pod(component: &str, version: &str, flags: &[(&str, &str)]) -> StaticPod {
    let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    StaticPod { component: component.into(), version: version.into(), flags, ..StaticPod::default() }
}

/// Kubernetes on an original.
fn kube(last: u8) -> KubeOnHost {
    let address = format!("10.10.33.{last}");
    let servers = "https://10.10.33.37:2379,https://10.10.33.38:2379,https://10.10.33.39:2379";
    let apiserver = [
        ("advertise-address", address.as_str()),
        ("apiserver-count", "3"),
        ("etcd-servers", servers),
        ("service-account-key-file", "/etc/kubernetes/pki/sa.pub"),
    ];
    let pods = [
        ("kube-apiserver", pod("kube-apiserver", "v1.20.2", &apiserver)),
        ("kube-controller-manager", pod("kube-controller-manager", "v1.20.2", &[("leader-elect", "true")])),
        ("kube-scheduler", pod("kube-scheduler", "v1.20.2", &[("leader-elect", "true")])),
    ];
    let prints = [
        (Shared::ClusterCa, "b3c4d5e6"),
        (Shared::AccountCheck, "5ac0ffee"),
        (Shared::AccountSign, "5ac0ffee"),
        (Shared::FrontProxyCa, "f00dcafe"),
        (Shared::SigningKey, "b3c4d5e6"),
        (Shared::Encryption, "e4c0de55"),
    ];
    let mut info = cert(EtcdPair::Server, &[37, 38, 39], "a91c0ffe");
    info.subject = "CN=kube-apiserver".into();
    info.issuer = "C=CN, CN=kubernetes".into();
    info.sans.push(San::Dns("kubernetes.default.svc".into()));
    KubeOnHost {
        manifests: pods.into_iter().map(|(name, pod)| (format!("{name}.json"), Ok(pod))).collect(),
        shared: prints.into_iter().map(|(what, print)| (what, Ok(print.repeat(8)))).collect(),
        apiserver: Some(CertOnDisk {
            path: "/etc/kubernetes/pki/apiserver.pem".into(),
            cert: Ok(info),
            key_matches: Some(true),
            issued_by_ca: Some(true),
        }),
    }
}

/// The masters a while later: rolled out on the first, or in all kinds of trouble on the others.
pub fn masters(troubled: bool) -> Vec<HostObserved> {
    let mut hosts = observed(false).hosts;
    hosts.truncate(5);
    let certs = |hosts: &mut Vec<HostObserved>, i: usize, change: &dyn Fn(&mut BTreeMap<EtcdPair, CertOnDisk>)| {
        if let Some(etcd) = hosts[i].seen.as_mut().ok().and_then(|s| s.etcd.as_mut()) {
            change(&mut etcd.certs);
        }
    };
    for (host, last) in hosts.iter_mut().zip([37, 38, 39]) {
        if let Ok(seen) = &mut host.seen {
            seen.kube = Some(kube(last));
        }
    }
    certs(&mut hosts, 0, &|c| *c = EtcdPair::ALL.map(|p| (p, on_disk(p, &[37, 38, 39, 40, 41]))).into());
    if troubled {
        certs(&mut hosts, 1, &|c| {
            c.insert(EtcdPair::Server, on_disk(EtcdPair::Server, &[37, 38, 99]));
            if let Some(Ok(peer)) = c.get_mut(&EtcdPair::Peer).map(|p| p.cert.as_mut()) {
                peer.not_after = START - 86_400 * 3;
            }
            if let Some(client) = c.get_mut(&EtcdPair::Client) {
                client.key_matches = Some(false);
            }
        });
        if let Some(etcd) = hosts[2].seen.as_mut().ok().and_then(|s| s.etcd.as_mut()) {
            etcd.version = Some("3.3.10".into());
            etcd.config = etcd.config.as_ref().map(|c| c.replace("8589934592", "2147483648"));
            if let Some(Ok(ca)) = etcd.ca.as_mut().map(|c| c.cert.as_mut()) {
                ca.fingerprint = "77aa01ce".repeat(8);
            }
        }
        if let Ok(seen) = &mut hosts[2].seen {
            seen.facts.clock_offset_ms = -47_300;
            if let Some(kube) = &mut seen.kube {
                kube.shared.insert(Shared::AccountCheck, Ok("0ddba11e".repeat(8)));
                kube.shared.remove(&Shared::Encryption);
                let copy = pod("kube-apiserver", "v1.19.7", &[]);
                kube.manifests.insert("kube-apiserver.json.bak".into(), Ok(copy));
                if let Some(Ok(pod)) = kube.manifests.get_mut("kube-apiserver.json") {
                    pod.flags.insert("etcd-servers".into(), "https://10.10.33.37:2379".into());
                }
            }
        }
    }
    hosts
}

/// What the ports serve.
pub fn ports(troubled: bool) -> Vec<PortSeen> {
    let port = |name: &str, port, number, served| PortSeen { host: host(name), port, number, served };
    let good = |pair| Ok(ServedCert { cert: cert(pair, &[37, 38, 39], "51c0ffee"), trouble: String::new() });
    let mut all = Vec::new();
    for name in ["master01", "master02", "master03"] {
        let mut apiserver = cert(EtcdPair::Server, &[37, 38, 39], "a91c0ffe");
        apiserver.issuer = "C=CN, CN=kubernetes".into();
        let apiserver = Ok(ServedCert { cert: apiserver, trouble: String::new() });
        all.push(port(name, Port::EtcdClient, 2379, good(EtcdPair::Server)));
        all.push(port(name, Port::EtcdPeer, 2380, good(EtcdPair::Peer)));
        all.push(port(name, Port::Apiserver, 6443, apiserver));
    }
    if troubled {
        all[0].served =
            Ok(ServedCert { cert: cert(EtcdPair::Server, &[37, 38, 39], "0ddba11e"), trouble: String::new() });
        all[7].served = Err("master03: no connection to 10.10.33.39:2380: connection refused".into());
    }
    all
}

/// Whose journals are followed.
pub fn sources() -> Vec<Source> {
    let units = |name: &str| ["etcd", "kubelet"].map(|unit| Source::unit(&host(name), unit));
    ["master01", "master02", "master03", "master04"].into_iter().flat_map(units).collect()
}

/// Lines of all journals; each host's in its own order, as they would come.
pub fn lines() -> Vec<LogMsg> {
    let says = |source: usize, i: i64| {
        match (source % 2, i % 5) {
        (0, 0) => "etcd[811]: read-only range request \"key:\\\"/registry/health\\\"\" took too long (112.4ms) to execute, slow".to_owned(),
        (0, 3) => "etcd[811]: rejected connection from \"10.10.33.40:51234\" (error \"remote error: tls: bad certificate\", ServerName \"\")".to_owned(),
        (0, _) => format!("etcd[811]: store.index: compact {}", 81_000 + i),
        (_, 2) => "kubelet[902]: W0314 03:14:58.001 pod_container_deletor.go:77] 容器 \"1f3a\" not found in pod's containers".to_owned(),
        _ => format!("kubelet[902]: I0314 03:14:59.120 kubelet.go:{} SyncLoop (PLEG): \"kube-apiserver\"", 1900 + i),
    }
    };
    let line = |source: usize, i: i64| LogLine {
        at: (START + 20) * 1_000_000 + i * 700_000 + i64::try_from(source).unwrap_or(0) * 91_000,
        text: says(source, i).into(),
    };
    (0..8).map(|s| LogMsg::Lines(s, (0..20).map(|i| line(s, i)).collect())).collect()
}

/// The nodes.
pub fn nodes(troubled: bool) -> Vec<NodeSeen> {
    let node = |name: &str, role: &str, days: i64| NodeSeen {
        name: format!("{name}.example.com"),
        ready: Ready::Yes,
        roles: if role.is_empty() { vec![] } else { vec![role.into()] },
        version: "v1.20.2".into(),
        created: Some(START - days * 86_400),
        taints: if role == "master" { vec!["node-role.kubernetes.io/master:NoSchedule".into()] } else { vec![] },
        ..NodeSeen::default()
    };
    let mut all = vec![
        node("master01", "master", 412),
        node("master02", "master", 412),
        node("master03", "master", 12),
        node("node01", "", 3),
    ];
    if troubled {
        all[1].unschedulable = true;
        all[1].troubles = vec![("DiskPressure".into(), "KubeletHasDiskPressure: kubelet has disk pressure".into())];
        all[2].ready = Ready::Unknown("NodeStatusUnknown: Kubelet stopped posting node status.".into());
        all[3].ready = Ready::No("KubeletNotReady: container runtime is down, 容器运行时已停止".into());
    }
    all
}

/// All of it, fed to a model.
pub fn all(model: &mut Model, troubled: bool) {
    feed(
        model,
        [
            Msg::Masters(masters(troubled), Duration::from_secs(43)),
            Msg::Served(ports(troubled), Duration::from_secs(43)),
            Msg::Nodes(Ok(NodesSeen { asked: host("master01"), nodes: nodes(troubled) }), Duration::from_secs(43)),
            Msg::Sources(sources()),
        ],
    );
    feed(model, lines().into_iter().map(Msg::Journal));
    if troubled {
        let why = "master04: connection lost during follow the journal of etcd.service; its outcome is unknown until looked at";
        feed(model, [Msg::Journal(LogMsg::State(6, Follow::Lost(why.into())))]);
    }
}

/// A learner that catches up, the members' answers differing from look to look.
fn learning(i: u64) -> banister::remote::etcd::Membership {
    let mut look = super::healthy();
    let mut learner = super::member(4, 0);
    learner.learner = true;
    look.members.push(learner);
    for (n, member) in look.members.iter_mut().enumerate() {
        if let Ok(status) = &mut member.status {
            status.latency = Duration::from_micros(700 + 900 * ((i + n as u64 * 3) % 5));
            status.raft_index = if n == 3 { 8_000 * i } else { 100_000 };
            status.revision = if n == 3 { 6_500 * i.cast_signed() } else { 81_234 + 120 * i.cast_signed() };
        }
    }
    look
}

/// The scenes of the live panels.
pub fn scene(name: &str, m: &mut Model) {
    super::running(m);
    all(m, name.ends_with("trouble"));
    let keys = match name {
        "live-certs" | "live-certs-trouble" => "t",
        "live-certs-whole" => "tzx",
        "live-masters" | "live-masters-trouble" => "m",
        "live-masters-whole" => "mz",
        "live-nodes" | "live-nodes-trouble" | "live-nodes-down" => "o",
        "live-etcd-learner" => "e",
        "live-etcd-whole" => "ez",
        "live-journal" | "live-journal-trouble" => "h",
        "live-journal-whole" => "hz",
        "live-journal-filter" => "Fhost:master02 unit:etcd too long",
        "live-journal-find" => "h/BAD cert",
        "live-find" => "/master05",
        "live-palette" => ":panel",
        "live-paused" => "ep",
        _ => "",
    };
    feed(m, keys.chars().map(ch));
    if name == "live-nodes-down" {
        let refused = |name: &str, last: u8| {
            (host(name), format!("{name}: no connection to 10.10.33.{last}:6443: connection refused"))
        };
        let tried = vec![refused("master01", 37), refused("master02", 38), refused("master03", 39)];
        feed(m, [Msg::Nodes(Err(tried), Duration::from_secs(70)), Msg::Tick(super::now(70_000))]);
    }
    if matches!(name, "live-etcd-learner" | "live-etcd-whole") {
        for i in 0..12 {
            let look = if (4..6).contains(&i) { super::degraded() } else { learning(i) };
            feed(m, [Msg::Etcd(Ok(look), Duration::from_secs(44 + 2 * i))]);
        }
        feed(m, [Msg::Tick(super::now(67_000))]);
    }
    if name == "live-paused" {
        let later = |s: u64| Duration::from_secs(s);
        feed(m, [Msg::Etcd(Ok(super::degraded()), later(50)), Msg::Tick(super::now(51_000))]);
    }
}
