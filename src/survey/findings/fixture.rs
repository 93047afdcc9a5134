//! A healthy cluster for tests: mutate one thing, look what is found.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    cluster::{
        BinarySource, Cluster, EtcdLayout, EtcdPair, FirewallChoice, HostName, KubeLayout, Node, PackageChoice, Role,
        SshSettings,
    },
    pki::{CertInfo, San},
    remote::{
        RemoteError,
        etcd::{Member, MemberStatus, Membership},
    },
    survey::{
        CertOnDisk, EtcdOnHost, Facts, FileKind, FileState, Finding, HostObserved, HostSeen, Severity, UnitState,
        collect::facts_op, findings::findings,
    },
};

/// The clock of the fixture, seconds since the epoch.
pub const NOW: i64 = 1_700_000_000;

/// Days of seconds.
pub const DAY: i64 = 86_400;

/// The cluster file of the issue: three masters, two joiners, a worker.
pub fn cluster() -> Cluster {
    let node = |name: &str, last: u8, role| Node {
        name: HostName::new(name),
        address: IpAddr::from([10, 10, 33, last]),
        role,
        comment: None,
        ssh: SshSettings::default(),
    };
    Cluster {
        path: "cluster.yaml".into(),
        name: "prod".into(),
        domain: Some("example.com".into()),
        ssh: SshSettings::default(),
        masters: [(37, "master01"), (38, "master02"), (39, "master03")].map(|(n, h)| node(h, n, Role::Original)).into(),
        join: [(40, "master04"), (41, "master05")].map(|(n, h)| node(h, n, Role::Joiner)).into(),
        workers: vec![node("node01", 51, Role::Worker)],
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
    }
}

/// What a survey saw, all well.
pub struct Base {
    pub cluster: Cluster,
    pub hosts: Vec<HostObserved>,
    pub etcd: Result<Membership, String>,
}

impl Base {
    pub fn healthy() -> Self {
        let cluster = cluster();
        let hosts = cluster
            .hosts()
            .map(|n| HostObserved { name: n.name.clone(), role: n.role, seen: Ok(seen(&cluster, n)) })
            .collect();
        let members = cluster.masters.iter().zip(1..).map(|(n, id)| member(&cluster, n, id)).collect();
        let etcd = Membership { cluster_id: 7, asked: HostName::new("master01"), members, alarms: Vec::new() };
        Self { cluster, hosts, etcd: Ok(etcd) }
    }

    pub fn findings(&self) -> Vec<Finding> {
        findings(&self.cluster, &self.hosts, &self.etcd, NOW)
    }

    /// The one finding of that severity that says so; every finding has to name its reason and what to do.
    pub fn only(&self, severity: Severity, what: &str) -> Finding {
        let all = self.findings();
        for f in &all {
            assert!(!f.what.is_empty() && f.why.len() > 15 && f.remedy.len() > 15, "says too little: {f:#?}");
        }
        let mut hits = all.iter().filter(|f| f.severity == severity && f.what.contains(what));
        let found = hits.next().unwrap_or_else(|| panic!("no {severity:?} with {what:?} in {all:#?}"));
        assert!(hits.next().is_none(), "{what:?} more than once in {all:#?}");
        found.clone()
    }

    /// Nothing louder than a remark.
    pub fn assert_quiet(&self) {
        let loud: Vec<_> = self.findings().into_iter().filter(|f| f.severity > Severity::Info).collect();
        assert!(loud.is_empty(), "{loud:#?}");
    }

    /// Nothing blocks.
    pub fn assert_unblocked(&self) {
        let loud: Vec<_> = self.findings().into_iter().filter(|f| f.severity == Severity::Block).collect();
        assert!(loud.is_empty(), "{loud:#?}");
    }

    pub fn node(&self, name: &str) -> Node {
        self.cluster.node(&HostName::new(name)).unwrap().clone()
    }

    pub fn seen(&mut self, name: &str) -> &mut HostSeen {
        self.hosts.iter_mut().find(|h| h.name.as_str() == name).unwrap().seen.as_mut().unwrap()
    }

    pub fn facts(&mut self, name: &str) -> &mut Facts {
        &mut self.seen(name).facts
    }

    pub fn on(&mut self, name: &str) -> &mut EtcdOnHost {
        self.seen(name).etcd.as_mut().unwrap()
    }

    pub fn down(&mut self, name: &str) {
        let error = RemoteError::Unreachable {
            host: HostName::new(name),
            address: "10.0.0.1:22".into(),
            why: "no route to host".into(),
        };
        self.hosts.iter_mut().find(|h| h.name.as_str() == name).unwrap().seen = Err(error);
    }

    pub fn membership(&mut self) -> &mut Membership {
        self.etcd.as_mut().unwrap()
    }

    pub fn member(&mut self, name: &str) -> &mut Member {
        self.membership().members.iter_mut().find(|m| m.name == name).unwrap()
    }

    pub fn status(&mut self, name: &str) -> &mut MemberStatus {
        self.member(name).status.as_mut().unwrap()
    }

    /// A joiner as a started, healthy voter, with what an earlier run left on it.
    pub fn joined(&mut self, name: &str) -> &mut Member {
        let node = self.node(name);
        let new = member(&self.cluster, &node, 4);
        *self.on(name) = without_ca_key(on_original());
        self.facts(name).listeners = vec![(2379, "etcd".into()), (2380, "etcd".into())];
        self.membership().members.push(new);
        self.member(name)
    }
}

fn seen(cluster: &Cluster, node: &Node) -> HostSeen {
    let etcd = match node.role {
        Role::Original if node.name == cluster.masters[0].name => Some(on_original()),
        Role::Original => Some(without_ca_key(on_original())),
        Role::Joiner => Some(EtcdOnHost {
            unit: UnitState { load: "not-found".into(), active: "inactive".into(), ..UnitState::default() },
            ..EtcdOnHost::default()
        }),
        Role::Worker => None,
    };
    HostSeen { facts: facts(cluster, node), etcd, ..HostSeen::default() }
}

fn facts(cluster: &Cluster, node: &Node) -> Facts {
    let crate::remote::Op::Facts { space, programs, .. } = facts_op(cluster, node) else { unreachable!() };
    let serving = vec![(2379, "etcd".into()), (2380, "etcd".into())];
    Facts {
        os: "Debian GNU/Linux 12 (bookworm)".into(),
        arch: "x86_64".into(),
        clock_offset_ms: 12,
        hostname: node.name.to_string(),
        machine_id: format!("id-of-{}", node.name),
        addresses: vec![node.address],
        free: space.into_iter().map(|p| (p, 20 << 30)).collect(),
        entries: BTreeMap::new(),
        firewalld: "absent".into(),
        ufw: "absent".into(),
        selinux: "absent".into(),
        listeners: if node.role == Role::Original { serving } else { Vec::new() },
        programs: programs.into_iter().map(|p| (p.clone(), format!("/usr/bin/{p}").into())).collect(),
        uid: 0,
    }
}

fn on_original() -> EtcdOnHost {
    EtcdOnHost {
        version: Some("3.4.23".into()),
        unit: UnitState {
            load: "loaded".into(),
            active: "active".into(),
            sub: "running".into(),
            enabled: "enabled".into(),
            main_pid: 742,
            restarts: 0,
        },
        config: Some(
            "ETCD_OPTS=\"--name=m \\\n  --data-dir=/var/lib/etcd \\\n  --initial-cluster-state=existing\"\n".into(),
        ),
        unit_text: Some("[Service]\nExecStart=/usr/local/bin/etcd $ETCD_OPTS\n".into()),
        data_entries: Some(1),
        ca: Some(cert("ca", "CN=etcd-ca", true)),
        ca_key: Some(true),
        certs: EtcdPair::ALL.into_iter().map(|p| (p, cert(&p.to_string(), &format!("CN=etcd-{p}"), false))).collect(),
        files: ["ca", "server", "peer", "client"].iter().map(|n| key_file(n)).collect(),
    }
}

fn without_ca_key(mut etcd: EtcdOnHost) -> EtcdOnHost {
    etcd.ca_key = None;
    etcd.files.retain(|f| !f.path.ends_with("ca.key"));
    etcd
}

/// A private key's file, readable by its owner alone.
fn key_file(name: &str) -> FileState {
    FileState {
        path: format!("/etc/etcd/ssl/{name}.key").into(),
        kind: FileKind::File,
        mode: 0o600,
        user: "etcd".into(),
        group: "etcd".into(),
        size: 1679,
        mtime: NOW - 100 * DAY,
        sha256: Some("0".repeat(64)),
    }
}

/// A certificate that is all right.
pub fn cert(name: &str, subject: &str, is_ca: bool) -> CertOnDisk {
    let sans = if is_ca { Vec::new() } else { [37, 38, 39].map(|n| San::Ip(IpAddr::from([10, 10, 33, n]))).into() };
    CertOnDisk {
        path: format!("/etc/etcd/ssl/{name}.crt").into(),
        cert: Ok(CertInfo {
            subject: subject.into(),
            issuer: "CN=etcd-ca".into(),
            sans,
            not_before: NOW - 365 * DAY,
            not_after: NOW + 3650 * DAY,
            key_type: "RSA 2048".into(),
            usages: vec!["serverAuth".into(), "clientAuth".into()],
            is_ca,
            fingerprint: format!("{name:a<64}"),
            key_fingerprint: format!("{name:b<64}"),
            serial: "01".into(),
        }),
        key_matches: Some(true),
        issued_by_ca: Some(true),
    }
}

/// A healthy voter; the member with id 1 leads.
pub fn member(cluster: &Cluster, node: &Node, id: u64) -> Member {
    Member {
        id,
        name: node.name.to_string(),
        peer_urls: vec![cluster.peer_url(node)],
        client_urls: vec![cluster.client_url(node)],
        learner: false,
        host: Some(node.name.clone()),
        status: Ok(MemberStatus {
            version: "3.4.23".into(),
            leader: 1,
            revision: 4711,
            raft_term: 3,
            raft_index: 5000,
            raft_applied_index: 5000,
            db_size: 25 << 20,
            db_size_in_use: 20 << 20,
            errors: Vec::new(),
            latency: Duration::from_millis(3),
        }),
    }
}
