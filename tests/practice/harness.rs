//! What the program's own session does, for tests: look, grow, take back.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use banister::{
    cluster::{Cluster, EtcdPair, HostName, Node},
    engine::{
        Approve, Chapter, Confirmed, Engine, Event, Journal, Lease, Operator,
        act::handshake,
        confirm::{Choice, ConfirmRequest, Decision, Failure},
        event::Outcome,
        journal::{Ink, Line, Record},
        lock::Claim,
        step::SharedStep,
        undo,
    },
    pki::CertInfo,
    practice::{
        Options, Practice, Scenario, build,
        files::{Kind, sha256},
        world::World,
    },
    remote::{
        SharedRemote,
        etcd::{EtcdAccess, EtcdApi, Membership},
        lock,
    },
    runbook::{self, Ctx},
    survey::{EtcdLook, Finding, Observed, survey},
};
use base64::Engine as _;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Practice time in tests: seconds pass in milliseconds.
pub const SPEED: u32 = 1000;

/// How far tests of etcd go. The whole growth is for those that say so, and for the fault matrix.
pub const LAST: Chapter = Chapter::Etcd;

/// A practice cluster with an operator's machine beside it.
pub struct Desk {
    pub practice: Practice,
    pub home: TempDir,
    pub paper: Paper,
    /// Whether a stale lock is taken over.
    pub take_over: Mutex<bool>,
    runs: Mutex<usize>,
}

/// The journals of a desk, in memory: what is tested with them is not the disk. With room for so many more lines.
#[derive(Debug, Clone)]
pub struct Paper {
    pub lines: Arc<Mutex<Vec<Line>>>,
    pub room: Arc<AtomicUsize>,
}

impl Ink for Paper {
    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        let left = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |r| r.checked_sub(1));
        left.map_err(|_| std::io::Error::from(std::io::ErrorKind::StorageFull))?;
        self.lines.lock().unwrap().push(serde_json::from_slice(line).unwrap());
        Ok(())
    }
}

/// How a run ended, and what it said.
pub struct Ran {
    pub outcome: Outcome,
    pub why: String,
    pub events: Vec<Event>,
}

impl Ran {
    /// The steps that did something.
    pub fn done(&self) -> Vec<String> {
        let verified = self.events.iter().filter_map(|e| match e {
            Event::Verified(id, _) => Some(id.to_string()),
            _ => None,
        });
        verified.collect()
    }

    /// Every failure that was shown.
    pub fn failures(&self) -> Vec<&Failure> {
        self.events.iter().filter_map(|e| if let Event::Failed(f) = e { Some(f) } else { None }).collect()
    }
}

/// Says yes to everything, and chooses the same each time something fails.
struct Agreeable(Choice, bool);

#[async_trait]
impl Operator for Agreeable {
    async fn confirm(&self, request: ConfirmRequest) -> Decision {
        Confirmed::by_flag(Approve::All, &request.step, request.risk).map_or(Decision::Stop, Decision::Go)
    }

    async fn failed(&self, _: Failure) -> Choice {
        self.0
    }

    async fn take_over(&self, _: lock::Lock) -> bool {
        self.1
    }
}

/// etcd's API, or why there is none.
struct Door(Result<Arc<EtcdApi>, String>);

#[async_trait]
impl EtcdLook for Door {
    async fn look(&self) -> Result<Membership, String> {
        match &self.0 {
            Ok(api) => api.look().await.map_err(|e| e.to_string()),
            Err(why) => Err(why.clone()),
        }
    }
}

/// A fresh look at everything.
pub struct Looked {
    pub observed: Arc<Observed>,
    pub etcd: Result<Arc<EtcdApi>, String>,
}

impl Desk {
    /// A scenario of the program.
    pub fn new(scenario: &str) -> Self {
        Self::of(&Scenario::find(scenario).unwrap(), SPEED)
    }

    pub fn of(scenario: &Scenario, speed: u32) -> Self {
        let practice = build(scenario, Options { speed, ..Options::default() }).unwrap();
        Self::at(practice)
    }

    pub fn at(practice: Practice) -> Self {
        let paper = Paper { lines: Arc::default(), room: Arc::new(AtomicUsize::new(usize::MAX)) };
        Self { practice, home: tempfile::tempdir().unwrap(), paper, take_over: Mutex::new(true), runs: Mutex::new(0) }
    }

    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.practice.cluster
    }

    pub fn remote(&self) -> SharedRemote {
        Arc::new(self.practice.clone())
    }

    /// etcd through the first original that has a good client pair.
    pub async fn etcd(&self) -> Result<Arc<EtcdApi>, String> {
        let cluster = self.cluster();
        let mut reasons = Vec::new();
        for master in &cluster.masters {
            match handshake::client(cluster, &self.remote(), master, EtcdPair::Client).await {
                Ok(tls) => {
                    let access = EtcdAccess {
                        tls,
                        client_port: cluster.etcd.client_port,
                        originals: cluster.masters.iter().map(|m| m.name.clone()).collect(),
                        addresses: cluster.all_masters().map(|n| (n.name.clone(), n.address)).collect(),
                    };
                    return Ok(Arc::new(EtcdApi::new(self.remote(), access)));
                }
                Err(e) => reasons.push(e.to_string()),
            }
        }
        Err(reasons.join("; "))
    }

    pub async fn look(&self) -> Looked {
        let etcd = self.etcd().await;
        let observed = survey(self.cluster(), self.remote(), &Door(etcd.clone()), mpsc::unbounded_channel().0).await;
        Looked { observed: Arc::new(observed), etcd }
    }

    /// What the survey finds that stops a growth.
    pub async fn blocking(&self) -> Vec<Finding> {
        self.look().await.observed.blocking()
    }

    pub async fn members(&self) -> Membership {
        self.etcd().await.unwrap().look().await.unwrap()
    }

    /// The steps of a growth, and the context they share.
    pub async fn steps(&self) -> (Arc<Ctx>, Vec<SharedStep>) {
        let looked = self.look().await;
        let blocking = looked.observed.blocking();
        assert!(blocking.is_empty(), "{blocking:#?}");
        self.steps_for(looked).await
    }

    /// The same, for what was seen.
    pub async fn steps_for(&self, looked: Looked) -> (Arc<Ctx>, Vec<SharedStep>) {
        let stamp = runbook::stamp::choose(self.cluster(), &self.practice, jiff::Timestamp::now()).await;
        let cx = Arc::new(Ctx {
            cluster: self.cluster().clone(),
            remote: self.remote(),
            etcd: looked.etcd.unwrap(),
            observed: looked.observed,
            stamp,
            local_dir: self.home.path().join("backups"),
        });
        (cx.clone(), runbook::steps(&cx))
    }

    /// A run of those steps with a journal of its own.
    pub async fn run(&self, etcd: Arc<EtcdApi>, steps: &[SharedStep], stamp: &str, choice: Choice) -> Ran {
        self.run_through(etcd, steps, stamp, choice, LAST).await
    }

    /// The same, up to that chapter.
    pub async fn run_through(
        &self,
        etcd: Arc<EtcdApi>,
        steps: &[SharedStep],
        stamp: &str,
        choice: Choice,
        through: Chapter,
    ) -> Ran {
        let (events, mut arriving) = mpsc::unbounded_channel();
        let mut engine = self.engine(etcd, stamp, choice, events);
        let (outcome, why) = engine.run(steps, through).await;
        drop(engine);
        let mut all = Vec::new();
        while let Some(event) = arriving.recv().await {
            all.push(event);
        }
        Ran { outcome, why, events: all }
    }

    pub fn engine(
        &self,
        etcd: Arc<EtcdApi>,
        stamp: &str,
        choice: Choice,
        events: mpsc::UnboundedSender<Event>,
    ) -> Engine {
        let mut runs = self.runs.lock().unwrap();
        *runs += 1;
        let mut journal = Journal::on(Box::new(self.paper.clone()), Path::new("journal"));
        let run = Record::Run {
            cluster: self.cluster().name.clone(),
            file: PathBuf::from("practice"),
            operator: "test".into(),
            banister: "0".into(),
            stamp: stamp.into(),
        };
        // Where there is no room for the first line either, the first step finds out.
        let _ = journal.write(run);
        let stop = Arc::new(AtomicBool::new(false));
        let claim = |host: &Node| Claim::new(self.remote(), host.name.clone(), "test@desk", &format!("run {runs}"));
        let lock = Lease::of(self.cluster().by_address().map(claim));
        Engine {
            remote: self.remote(),
            etcd,
            operator: Arc::new(Agreeable(choice, *self.take_over.lock().unwrap())),
            events,
            journal,
            lock,
            stop,
        }
    }

    /// A whole growth; a step that fails is left as it is.
    pub async fn grow(&self) -> Ran {
        self.grow_choosing(Choice::Stop).await
    }

    pub async fn grow_choosing(&self, choice: Choice) -> Ran {
        let (cx, steps) = self.steps().await;
        self.run(cx.etcd.clone(), &steps, &cx.stamp, choice).await
    }

    /// The lease of whoever has the lock on the cluster runs out.
    pub fn lapse(&self) {
        let path = Path::new(lock::PATH);
        self.practice.with(|w| {
            for host in w.hosts.values_mut() {
                let Some(text) = host.files.text(path) else { continue };
                let mut entry = host.files.entry(path).unwrap().clone();
                entry.kind = Kind::File(lock::text(&lock::parse(&text).holder, "then", 0).into());
                host.files.lay(path, entry);
            }
        });
    }

    /// A growth up to that chapter.
    pub async fn grow_through(&self, through: Chapter) -> Ran {
        let (cx, steps) = self.steps().await;
        self.run_through(cx.etcd.clone(), &steps, &cx.stamp, Choice::Stop, through).await
    }

    /// Every line of every journal so far.
    pub fn journal(&self) -> Vec<Line> {
        self.paper.lines.lock().unwrap().clone()
    }

    /// Takes all growths back.
    pub async fn take_back(&self) -> Ran {
        let begun = undo::begun(&self.journal());
        let etcd = self.etcd().await.unwrap();
        let steps = undo::steps(&begun, &etcd, runbook::kind, runbook::texts::title);
        self.run_through(etcd, &steps, "undo", Choice::Stop, Chapter::Workers).await
    }

    /// Waits until what was started has come up and what was ended is gone: half a minute of practice time.
    pub async fn rest(&self) {
        for _ in 0..6 {
            self.practice.with(|w| w.clock).sleep(Duration::from_secs(5)).await;
            // Each look takes what is due one step further.
            self.practice.with(World::settle);
        }
    }

    /// Everything that can be compared, by host and path.
    pub fn state(&self) -> BTreeMap<String, String> {
        self.practice.with(|w| state(w))
    }

    pub fn host<T>(&self, name: &str, look: impl FnOnce(&mut banister::practice::host::Host) -> T) -> T {
        self.practice.with(|w| look(w.hosts.get_mut(&HostName::new(name)).unwrap()))
    }
}

/// Files with mode and owner, users, units: what is chance (keys, serial numbers, process ids, ids of members, times) is
/// left out, and so are the dated backups.
fn state(world: &World) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for (name, host) in &world.hosts {
        for (path, entry) in host.files.below(Path::new("/")) {
            if path.starts_with("/root/backup") || path.starts_with("/var/lib/etcd/member") {
                continue;
            }
            let what = match &entry.kind {
                Kind::Dir => "dir".into(),
                Kind::Link(to) => format!("link {}", to.display()),
                Kind::File(bytes) if bytes.starts_with(b"-----BEGIN CERTIFICATE") => {
                    let cert = CertInfo::from_pem(bytes).unwrap();
                    format!("{} by {} for {:?}", cert.subject, cert.issuer, cert.sans)
                }
                Kind::File(bytes) if bytes.starts_with(b"-----BEGIN ") => "key".into(),
                // Members are listed by their ids, and those are chance.
                Kind::File(bytes) if path.ends_with("etcd.conf") => {
                    let text = String::from_utf8_lossy(bytes);
                    let mut words: Vec<_> = text.split([',', ' ']).collect();
                    words.sort_unstable();
                    words.join(" ")
                }
                Kind::File(bytes) if path.starts_with("/etc/kubernetes") => {
                    without_keys(&String::from_utf8_lossy(bytes))
                }
                Kind::File(_) => sha256(entry).unwrap(),
            };
            state.insert(format!("{name}:{}", path.display()), format!("{what} {:o} {}", entry.mode, entry.owner));
        }
        state.insert(format!("{name} users"), format!("{:?} {:?}", host.users, host.groups));
        state.insert(
            format!("{name} walls"),
            format!("{:?} {:?} {:?} {}", host.firewalld, host.ufw, host.selinux, host.firewalld_active()),
        );
        for (unit, seen) in &host.units {
            state.insert(format!("{name} unit {unit}"), format!("{:?}", seen.is_active()));
        }
    }
    for cluster in world.etcd.clusters.values() {
        let members: BTreeMap<_, _> =
            cluster.members.values().map(|m| (&m.peer_urls, (&m.name, &m.client_urls, m.learner))).collect();
        state.insert(format!("etcd {}", cluster.token), format!("{members:?}"));
    }
    state.extend(kubernetes(world));
    state
}

/// What of Kubernetes can be compared: nodes with their marks, objects, agents, what runs where with which settings, what the
/// proxies see, which packages there are. Ids, times, keys and serial numbers are left out.
pub fn kubernetes(world: &World) -> BTreeMap<String, String> {
    let (mut state, now) = (BTreeMap::new(), world.clock.now());
    for store in world.kube.stores.values() {
        for node in store.nodes.values() {
            let mut taints: Vec<_> = node.taints.iter().map(|t| format!("{}:{}", t["key"], t["effect"])).collect();
            taints.sort();
            let marks = format!("{:?} {taints:?} cordoned {}", node.labels, node.unschedulable);
            state.insert(format!("node {}", node.name), format!("of {} {} {marks}", node.host, node.version));
        }
        for (node, agent) in &store.agents {
            let ready = agent.ends.is_none() && agent.ready.is_some_and(|at| at <= now);
            state.insert(format!("agent on {node}"), format!("{} ready {ready}", agent.endpoints));
        }
        for (path, object) in &store.objects {
            // Nothing but Secrets is sealed.
            let sealed = path.contains("/secrets/") && !object.sealed.is_empty();
            state.insert(format!("object {path}"), format!("{} sealed {sealed}", told(&object.value)));
        }
    }
    for process in &world.kube.processes {
        let up = process.port().is_none_or(|port| process.listens(port, now));
        let serves = process.api.as_ref().and_then(|a| CertInfo::from_pem(a.served()).ok());
        let serves = serves.map(|c| format!("{} by {} for {:?}", c.subject, c.issuer, c.sans));
        let one = format!("{} up {up} {:?} {serves:?}; ", told(&process.manifest), process.args);
        state.entry(format!("pod {} on {}", process.pod, process.host)).or_insert_with(String::new).push_str(&one);
    }
    for (host, kubelet) in &world.kube.kubelets {
        state.insert(format!("kubelet of {host}"), format!("{} registered {}", kubelet.node, kubelet.registered));
    }
    for ((host, name), container) in &world.kube.containers {
        let seen = String::from_utf8_lossy(&container.seen);
        state.insert(format!("container {name} on {host}"), format!("{} {seen}", container.word()));
    }
    for (host, installed) in &world.kube.installed {
        let packages = installed.iter().map(|(name, p)| format!("{name} {}", p.version)).collect::<Vec<_>>().join(", ");
        state.insert(format!("packages of {host}"), packages);
    }
    state
}

/// An object without what is chance, its fields in order.
fn told(value: &serde_json::Value) -> String {
    use serde_json::Value;
    const CHANCE: [&str; 4] = ["uid", "resourceVersion", "creationTimestamp", "managedFields"];
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().filter(|(k, _)| !CHANCE.contains(&k.as_str())).collect();
            let fields: Vec<_> = fields.into_iter().map(|(k, v)| format!("{k}: {}", told(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(all) => format!("[{}]", all.iter().map(told).collect::<Vec<_>>().join(", ")),
        Value::String(text) => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) if bytes.starts_with(b"-----BEGIN CERTIFICATE") => {
                let cert = CertInfo::from_pem(&bytes).unwrap();
                format!("{} by {} for {:?}", cert.subject, cert.issuer, cert.sans)
            }
            Ok(bytes) if bytes.starts_with(b"-----BEGIN ") => "key".into(),
            Ok(bytes) if bytes.starts_with(b"eyJ") => "token".into(),
            _ => format!("{text:?}"),
        },
        other => other.to_string(),
    }
}

/// The text without what is long and base64: certificates and keys in it are chance.
fn without_keys(text: &str) -> String {
    let encoded = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let chance = |word: &str| word.len() >= 40 && word.chars().all(encoded);
    text.split_inclusive([' ', '\n']).map(|w| if chance(w.trim()) { "(chance) " } else { w }).collect()
}

/// What differs, a line each.
pub fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|k| before.get(*k) != after.get(*k))
        .map(|k| format!("{k}: {:?} → {:?}", before.get(k), after.get(k)))
        .collect()
}
