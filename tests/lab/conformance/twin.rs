//! Two clusters in the same state, asked the same.

use std::{collections::BTreeSet, fmt::Write as _, future::Future, sync::Arc, time::Duration};

use banister::{
    cluster::{Cluster, EtcdPair, HostName, file},
    engine::act::handshake,
    practice::{
        Options, Scenario, build,
        scenario::{FileSpec, HostDiffers},
        world::World,
    },
    remote::{
        Io, Nobody, Op, SharedRemote, Stdin,
        container::ContainerOp,
        etcd::{EtcdAccess, EtcdApi},
        kube::{ApiAt, KubeApi},
        lock::LockOp,
        package::{Manager, Package, PackageOp},
        pods::PodsOp,
        run_ok,
        ssh::{Environment, SshRemote},
        tree::TreeOp,
    },
};

use super::norm::Norm;
use crate::hosts::Lab;

/// Where the cases make their files.
pub const DIR: &str = "/var/tmp/conformance";

/// Most time for something to come to rest: more than a kubelet's minute between two looks at a pod.
const REST: Duration = Duration::from_secs(100);

/// An answer that has not come by then does not come.
const ENDLESS: Duration = Duration::from_mins(2);

/// One of the two.
#[derive(Clone)]
pub struct Side {
    pub cluster: Arc<Cluster>,
    pub remote: SharedRemote,
    pub etcd: Arc<EtcdApi>,
    /// Not on a lab of etcd alone.
    pub kube: Option<KubeApi>,
}

/// Both, and what has been found.
pub struct Twin {
    pub lab: Side,
    pub practice: Side,
    pub cases: usize,
    seen: BTreeSet<&'static str>,
    found: Vec<String>,
}

/// An operation's word, and the list of all: a new operation has to be named here, and then to have a case.
macro_rules! operations {
    ($($pattern:pat => $word:literal,)+) => {
        const OPERATIONS: &[&str] = &[$($word),+];

        /// Which operation it is.
        pub fn word(op: &Op) -> &'static str {
            match op {
                $($pattern => $word,)+
            }
        }
    };
}

operations! {
    Op::Facts { .. } => "facts",
    Op::ReadFile { .. } => "read",
    Op::ReadSecret { .. } => "read secret",
    Op::Stat { .. } => "stat",
    Op::ListTree { .. } => "list tree",
    Op::ListDir { .. } => "list dir",
    Op::UnitState { .. } => "unit state",
    Op::UnitLog { .. } => "unit log",
    Op::FollowLog { .. } => "follow log",
    Op::EtcdVersion { .. } => "etcd version",
    Op::WriteFile { .. } => "write",
    Op::ReceiveFile { .. } => "receive",
    Op::MakeDir { .. } => "make dir",
    Op::RemoveFiles { .. } => "remove files",
    Op::RemoveTree { .. } => "remove tree",
    Op::RemoveEmptyDir { .. } => "remove empty dir",
    Op::SetAside { .. } => "set aside",
    Op::RestoreFile { .. } => "restore",
    Op::BackupTrees { .. } => "backup",
    Op::Systemctl { .. } => "systemctl",
    Op::DaemonReload => "daemon-reload",
    Op::SetHostname { .. } => "hostname",
    Op::AddUser { .. } => "add user",
    Op::RemoveUser { .. } => "remove user",
    Op::FirewallOff => "firewall off",
    Op::FirewallOn { .. } => "firewall on",
    Op::PortsMissing { .. } => "ports missing",
    Op::OpenPorts { .. } => "open ports",
    Op::ClosePorts { .. } => "close ports",
    Op::Tree(TreeOp::Pack { .. }) => "pack",
    Op::Tree(TreeOp::Unpack { .. }) => "unpack",
    Op::Tree(TreeOp::List { .. }) => "list",
    Op::Tree(TreeOp::Place { .. }) => "place",
    Op::Tree(TreeOp::PutBack { .. }) => "put back",
    Op::Tree(TreeOp::Mentions { .. }) => "mentions",
    Op::Package(PackageOp::Look { .. }) => "look for programs",
    Op::Package(PackageOp::Install { .. }) => "install",
    Op::Package(PackageOp::Remove { .. }) => "remove package",
    Op::Container(ContainerOp::Apiservers) => "apiservers",
    Op::Container(ContainerOp::Look { .. }) => "look at a container",
    Op::Container(ContainerOp::NginxTest { .. }) => "nginx -t",
    Op::Container(ContainerOp::Restart { .. }) => "restart a container",
    Op::Container(ContainerOp::Log { .. }) => "container log",
    Op::Container(ContainerOp::Follow { .. }) => "follow containers",
    Op::Container(ContainerOp::Park { .. }) => "park",
    Op::Pods(PodsOp::StopAll) => "stop all pods",
    Op::Pods(PodsOp::Env { .. }) => "environment",
    Op::Lock(LockOp::Take { .. }) => "take the lock",
    Op::Lock(LockOp::Renew { .. }) => "renew the lock",
    Op::Lock(LockOp::Release { .. }) => "release the lock",
    Op::Lock(LockOp::Look) => "look at the lock",
    Op::SnapshotSave { .. } => "snapshot save",
    Op::SnapshotStatus { .. } => "snapshot status",
    Op::SnapshotTrial { .. } => "snapshot trial",
    Op::RehearsalEtcd { .. } => "rehearsal",
}

impl Side {
    async fn of(cluster: &Arc<Cluster>, remote: SharedRemote, kube: bool) -> Self {
        let first = &cluster.masters[0];
        let tls = handshake::client(cluster, &remote, first, EtcdPair::Client).await.expect("etcd's client pair");
        let access = EtcdAccess {
            tls,
            client_port: cluster.etcd.client_port,
            originals: cluster.masters.iter().map(|m| m.name.clone()).collect(),
            addresses: cluster.all_masters().map(|n| (n.name.clone(), n.address)).collect(),
        };
        let etcd = Arc::new(EtcdApi::new(remote.clone(), access));
        let at = ApiAt {
            host: first.name.to_string(),
            address: first.address,
            port: cluster.kube.api_port,
            kubeconfig: cluster.kube.dir.join("admin.conf"),
        };
        let kube = if kube { Some(KubeApi::open(&remote, &at).await.expect("the API")) } else { None };
        Self { cluster: cluster.clone(), remote, etcd, kube }
    }

    /// Kubernetes' API; only cases of a lab that has it ask for it.
    pub fn kube(&self) -> &KubeApi {
        self.kube.as_ref().expect("a lab with Kubernetes")
    }

    /// An operation's answer: status, standard output and standard error, or why there is none.
    pub async fn run(&self, host: &str, op: &Op, input: Option<&[u8]>, norms: &[Norm]) -> String {
        let stdin = input.map_or(Stdin::Empty, |i| Stdin::Reader(Box::pin(std::io::Cursor::new(i.to_vec()))));
        let io = Io { stdin, deadline: Some(REST), ..Io::default() };
        let done = self.remote.run(&HostName::new(host), op, io).await;
        match done {
            Err(e) => e.to_string(),
            Ok(out) => {
                let take = |text: &str, stderr: bool| {
                    let own = norms.iter().filter(|n| n.of_stderr() == stderr || (stderr && **n == Norm::Journal));
                    own.fold(text.to_owned(), |t, n| n.of(&t))
                };
                let (out, err) = (take(&out.text(), false), (out.status, take(&out.stderr, true)));
                format!("status {}\n{out}--\n{}", err.0, err.1)
            }
        }
    }
}

impl Twin {
    /// The lab, with Kubernetes or without, and a practice cluster of that scenario with its names, addresses and firewalls.
    pub async fn of(lab: &Lab, scenario: &str, kube: bool) -> Self {
        let real = Arc::new(file::load(&lab.cluster_file()).expect("the lab's cluster file"));
        let ssh = SshRemote::within(&real, Arc::new(Nobody), None, Environment::of_process());
        let text = String::from_utf8(lab.read("cluster.yaml")).expect("text");
        let mut cluster: serde_yaml::Mapping = serde_yaml::from_str(&text).expect("YAML");
        cluster.remove("ssh");
        let mut scenario = Scenario::find(scenario).expect("the scenario");
        scenario.cluster = cluster;
        scenario.hosts.clear();
        for node in real.hosts() {
            let joins = lab.joiners.iter().any(|j| j.name == node.name.as_str());
            let end = node.address.to_string().rsplit('.').next().unwrap_or_default().to_owned();
            // Of Debian's programs practice has those that the steps ask for.
            let tail = FileSpec {
                path: "/usr/bin/tail".into(),
                mode: Some("0755".into()),
                owner: None,
                text: Some("a program\n".into()),
                pki: None,
                program: None,
            };
            let differs = HostDiffers {
                firewalld: Some(joins),
                hostname: joins.then(|| format!("debian-{end}")),
                files: vec![tail],
                ..HostDiffers::default()
            };
            scenario.hosts.insert(node.name.to_string(), differs);
        }
        let practice = build(&scenario, Options::default()).expect("a practice cluster");
        // The lab's bare hosts have docker already.
        for node in &practice.cluster.join {
            let version = |name: &str| {
                let known =
                    |w: &mut World| w.kube.repository.iter().find(|p| p.name == name).map(|p| p.version.clone());
                practice.with(known).unwrap_or_default()
            };
            let packages = ["runc", "containerd", "docker.io"].map(|n| Package { name: n.into(), version: version(n) });
            let op = Op::Package(PackageOp::Install { manager: Manager::Apt, packages: packages.to_vec() });
            run_ok(&practice, &node.name, &op).await.expect("docker");
        }
        let cluster = practice.cluster.clone();
        let (lab, practice) =
            tokio::join!(Side::of(&real, Arc::new(ssh), kube), Side::of(&cluster, Arc::new(practice), kube));
        Self { lab, practice, cases: 0, seen: BTreeSet::new(), found: Vec::new() }
    }

    /// An operation, compared to the letter.
    pub async fn op(&mut self, case: &str, host: &str, op: Op) {
        self.op_but(case, host, op, &[]).await;
    }

    /// An operation, compared but for that.
    pub async fn op_but(&mut self, case: &str, host: &str, op: Op, norms: &[Norm]) {
        self.fed(case, host, op, None, norms).await;
    }

    /// An operation with that on its standard input.
    pub async fn fed(&mut self, case: &str, host: &str, op: Op, input: Option<&[u8]>, norms: &[Norm]) {
        self.seen.insert(word(&op));
        let case = format!("{host}: {case} [{}]", word(&op));
        let ask = |side: Side| {
            let (op, norms, host) = (op.clone(), norms.to_owned(), host.to_owned());
            let input = input.map(<[u8]>::to_vec);
            async move { side.run(&host, &op, input.as_deref(), &norms).await }
        };
        self.both(&case, ask).await;
    }

    /// An operation that looks, asked again until both have come to rest.
    pub async fn rests(&mut self, case: &str, host: &str, op: Op, norms: &[Norm], rest: fn(&str) -> bool) {
        self.seen.insert(word(&op));
        let case = format!("{host}: {case} [{}]", word(&op));
        let ask = |side: Side| {
            let (op, norms, host) = (op.clone(), norms.to_owned(), host.to_owned());
            async move { until(rest, || side.run(&host, &op, None, &norms)).await }
        };
        self.both(&case, ask).await;
    }

    /// Anything else, asked of both at once.
    pub async fn both<F, A>(&mut self, case: &str, ask: F)
    where
        F: Fn(Side) -> A,
        A: Future<Output = String>,
    {
        let asked = |side: &Side| {
            let answer = Box::pin(tokio::time::timeout(ENDLESS, ask(side.clone())));
            async { answer.await.unwrap_or_else(|_| "no end".into()) }
        };
        let (lab, practice) = tokio::join!(asked(&self.lab), asked(&self.practice));
        self.compare(case, &lab, &practice);
    }

    /// Two answers that were got otherwise.
    pub fn compare(&mut self, case: &str, lab: &str, practice: &str) {
        self.cases += 1;
        if lab == practice {
            return;
        }
        let mut text = format!("{case}\n");
        for change in similar::TextDiff::from_lines(lab, practice).iter_all_changes() {
            let sign = match change.tag() {
                similar::ChangeTag::Delete => "  lab      |",
                similar::ChangeTag::Insert => "  practice |",
                similar::ChangeTag::Equal => "           |",
            };
            let _ = writeln!(text, "{sign}{}", change.value().trim_end_matches('\n'));
        }
        eprintln!("{text}");
        self.found.push(text);
    }

    /// That an operation was tried where it is not by [`Self::op`].
    pub fn tried(&mut self, op: &Op) {
        self.seen.insert(word(op));
    }

    /// Everything that differs.
    pub fn differences(&self) -> &[String] {
        &self.found
    }

    /// Every operation that nobody has tried.
    pub fn untried(&self) -> Vec<String> {
        let untried = OPERATIONS.iter().filter(|o| !self.seen.contains(*o));
        untried.map(|o| format!("the operation {o:?} has no case: write one in tests/lab/conformance")).collect()
    }
}

/// Asks until it has come to rest, or for as long as that may take; the last answer.
pub async fn until<A: Future<Output = String>>(rest: impl Fn(&str) -> bool, ask: impl Fn() -> A) -> String {
    let began = std::time::Instant::now();
    loop {
        let answer = ask().await;
        if rest(&answer) || began.elapsed() > REST {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
