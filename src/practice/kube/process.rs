//! The control plane's processes: containers of static pods, from the moment they are made to their last open request.

use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustls::{ServerConfig, server::danger::ClientCertVerifier};
use serde_json::Value;
use tokio::sync::watch;

use super::{docker, kubelet::flag, server, tokens::Verifier};
use crate::{
    cluster::HostName,
    pki::is_signed_by,
    practice::{
        etcd::links::wrong_name,
        files::Files,
        host::{Host, Power},
        tls,
        world::World,
    },
    remote::op::sha256_hex,
};

/// How long one that was told to end serves its open requests.
const DRAINS: Duration = Duration::from_secs(4);

/// How long an apiserver takes to listen, at least, and how much longer at most; the others.
const STARTS: Duration = Duration::from_secs(3);
const STARTS_OTHERS: Duration = Duration::from_secs(2);

/// How long an apiserver waits for etcd before it gives up.
const GIVES_UP: Duration = Duration::from_secs(20);

/// How often an apiserver that waits for etcd asks again.
const AGAIN: Duration = Duration::from_millis(500);

/// How often an apiserver reads its serving pair again (since 1.17).
const READS_AGAIN: Duration = Duration::from_mins(1);

/// How long kubelet waits before it starts a failed container again, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its container is being made until then.
    Coming(Duration),
    /// It runs since then.
    Running(Duration),
    /// It was told to end: its port is closed, and it is gone by then.
    Ending(Duration),
    /// It failed and is started again then.
    Waiting(Duration),
}

/// A static pod's process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Where.
    pub host: HostName,
    /// The pod's name in its manifest.
    pub pod: String,
    /// The manifest that it was made of.
    pub manifest: Value,
    /// Its command line.
    pub args: Vec<String>,
    /// What it is doing.
    pub phase: Phase,
    /// Its process id; 0 while there is none.
    pub pid: u32,
    /// When it started, clock ticks since the host's boot.
    pub start: u64,
    /// From when on it listens; `None` while something keeps it from it.
    pub listens: Option<Duration>,
    /// What an apiserver has read.
    pub api: Option<Loaded>,
    /// How often it has failed.
    failures: u32,
    /// Dropped with the process.
    alive: Option<watch::Sender<()>>,
}

/// What an apiserver has read of its files.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its port.
    pub port: u16,
    /// The address that it tells the others.
    pub advertised: Option<IpAddr>,
    /// What it serves.
    pub serving: Arc<ServerConfig>,
    /// Who its callers have to be signed by.
    pub callers: Arc<dyn ClientCertVerifier>,
    /// The CA that is.
    pub ca: Bytes,
    /// Keys that service-account tokens are verified with.
    pub sa_keys: Vec<Verifier>,
    /// The key that they are signed with.
    pub sa_signer: Option<Bytes>,
    /// The issuer of tokens.
    pub issuer: String,
    /// What Secrets are sealed with; empty for nothing.
    pub sealing: String,
    /// Whether it has reached etcd and listens.
    pub up: bool,
    /// etcd's endpoints.
    pub etcd: Vec<SocketAddr>,
    etcd_ca: Bytes,
    etcd_cert: Bytes,
    pair: (PathBuf, PathBuf),
    /// The pair as it was read.
    read: (Bytes, Bytes),
    reads: Duration,
    /// Members whose certificates were compared already.
    trust: RefCell<Vec<Trust>>,
}

#[derive(Debug, Clone)]
struct Trust {
    served: Bytes,
    ca: Option<Vec<u8>>,
    address: IpAddr,
    good: bool,
}

impl Process {
    /// A copy's connections are its own.
    pub(super) fn wake(&mut self) {
        self.alive = self.alive.as_ref().map(|_| watch::channel(()).0);
    }

    /// One that is about to be made.
    pub fn new(host: &HostName, pod: &str, manifest: Value, args: Vec<String>, phase: Phase) -> Self {
        Self {
            host: host.clone(),
            pod: pod.to_owned(),
            manifest,
            args,
            phase,
            pid: 0,
            start: 0,
            listens: None,
            api: None,
            failures: 0,
            alive: None,
        }
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        self.args.first().map_or("", |a| a.rsplit('/').next().unwrap_or(a))
    }

    /// Whether it is an apiserver.
    pub fn is_apiserver(&self) -> bool {
        self.program() == "kube-apiserver"
    }

    /// Whether it is on its way out.
    pub const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_))
    }

    /// Whether the process is there.
    pub const fn exists(&self) -> bool {
        matches!(self.phase, Phase::Running(_) | Phase::Ending(_))
    }

    /// The port it would listen on.
    pub fn port(&self) -> Option<u16> {
        let given =
            |flag_name: &str, usual: u16| flag(&self.args, flag_name).and_then(|v| v.parse().ok()).unwrap_or(usual);
        match self.program() {
            "kube-apiserver" => Some(given("secure-port", 6443)),
            "kube-controller-manager" => Some(given("secure-port", 10257)),
            "kube-scheduler" => Some(given("secure-port", 10259)),
            _ => None,
        }
    }

    /// Whether it listens on a port now.
    pub fn listens(&self, port: u16, now: Duration) -> bool {
        let listens = matches!(self.phase, Phase::Running(_)) && self.listens.is_some_and(|at| at <= now);
        listens && self.port() == Some(port) && self.api.as_ref().is_none_or(|a| a.up)
    }

    /// A channel that ends with it.
    pub fn alive(&self) -> Option<watch::Receiver<()>> {
        self.alive.as_ref().map(watch::Sender::subscribe)
    }

    /// Tells it to end.
    pub fn end(&mut self, now: Duration) {
        self.phase = match self.phase {
            Phase::Running(_) => Phase::Ending(now + DRAINS),
            Phase::Ending(at) => Phase::Ending(at),
            Phase::Coming(_) | Phase::Waiting(_) => Phase::Ending(now),
        };
    }

    fn fails(&mut self, now: Duration) {
        let (first, most) = BACK_OFF;
        self.failures += 1;
        let wait = (first * 2u32.saturating_pow(self.failures - 1)).min(most);
        (self.phase, self.pid, self.listens) = (Phase::Waiting(now + wait), 0, None);
        (self.alive, self.api) = (None, None);
    }
}

/// What seals Secrets, by a config's content: the same content seals alike.
pub fn sealing(config: Option<&[u8]>) -> String {
    config.map(|c| sha256_hex(c)[..16].to_owned()).unwrap_or_default()
}

/// Everything on a host ends at once.
pub fn killed(world: &mut World, host: &HostName) {
    world.kube.processes.retain(|p| &p.host != host);
    if let Some(kubelet) = world.kube.kubelets.get_mut(host) {
        kubelet.looks_anew();
    }
}

/// Brings processes up to now.
pub fn settle(world: &mut World) {
    let now = world.clock.now();
    world.kube.processes.retain(|p| !matches!(p.phase, Phase::Ending(at) if at <= now));
    for at in 0..world.kube.processes.len() {
        let Some(process) = world.kube.processes.get(at) else { break };
        let up = world.hosts.get(&process.host).is_some_and(|h| h.power == Power::Up);
        match process.phase {
            Phase::Coming(due) if due <= now && up => launch(world, at, now),
            Phase::Waiting(due) if due <= now && up && world.kube.kubelets.contains_key(&process.host) => {
                launch(world, at, now);
            }
            Phase::Running(since) if up && process.is_apiserver() => serve(world, at, since, now),
            _ => {}
        }
    }
}

/// Starts whatever is about to be made, as if it had run for long.
pub fn settle_now(world: &mut World) {
    super::kubelet::settle(world);
    for at in 0..world.kube.processes.len() {
        launch(world, at, Duration::ZERO);
        let process = &mut world.kube.processes[at];
        if let Phase::Running(_) = process.phase {
            process.listens = Some(Duration::ZERO);
            process.start = 4000 + at as u64 * 100;
        }
    }
    let now = world.clock.now();
    for api in world.kube.processes.iter_mut().filter_map(|p| p.api.as_mut()) {
        (api.up, api.reads) = (true, now + READS_AGAIN);
    }
}

fn launch(world: &mut World, at: usize, now: Duration) {
    let Some(process) = world.kube.processes.get(at) else { return };
    let name = process.host.clone();
    if !docker::active(world, &name) {
        return;
    }
    let taken = process.is_apiserver()
        && process.port().is_some_and(|port| super::listener(world, &name, port).is_some_and(|p| p == "nginx"));
    let Some(host) = world.hosts.get_mut(&name) else { return };
    let (pid, ticks) = (host.new_pid(), ticks(host));
    let process = &mut world.kube.processes[at];
    let read = if taken {
        let port = process.port().unwrap_or_default();
        Err(format!(
            "failed to create listener: failed to listen on 0.0.0.0:{port}: listen tcp 0.0.0.0:{port}: bind: address already in use"
        ))
    } else if process.is_apiserver() {
        Loaded::read(&host.files, &process.args, now).map(Some)
    } else {
        needed(&host.files, &process.args).map(|()| None)
    };
    match read {
        Ok(loaded) => {
            let wait =
                if loaded.is_some() { STARTS + Duration::from_millis(u64::from(pid % 7) * 300) } else { STARTS_OTHERS };
            (process.pid, process.start, process.phase) = (pid, ticks, Phase::Running(now));
            (process.listens, process.api) = (Some(now + wait), loaded);
            process.alive = Some(watch::channel(()).0);
            let program = process.program().to_owned();
            said(host, &program, 'I', "server.go:189] Version: v1.20.2");
        }
        Err(why) => failed(world, at, now, &why),
    }
}

/// Ends a process with a reason, and says in kubelet's journal what kubelet would.
fn failed(world: &mut World, at: usize, now: Duration, why: &str) {
    let process = &mut world.kube.processes[at];
    process.fails(now);
    let (pod, program, host) = (process.pod.clone(), process.program().to_owned(), process.host.clone());
    let unit = world.kube.kubelets.get(&host).map_or_else(|| "kubelet".to_owned(), |k| k.unit.clone());
    if let Some(host) = world.hosts.get_mut(&host) {
        let line = format!(
            "E1125 10:00:00.000000       1 pod_workers.go:191] Error syncing pod {pod}_kube-system, skipping: failed to \"StartContainer\" for \"{program}\" with CrashLoopBackOff: \"back-off restarting failed container={program} pod={pod}_kube-system\"; its last line: Error: {why}"
        );
        host.log(&unit, line);
        said(host, &program, 'F', &format!("server.go:210] Error: {why}"));
    }
}

/// What a component writes, as klog does; whoever follows containers reads it.
pub(super) fn said(host: &mut Host, program: &str, letter: char, words: &str) {
    let line = klog(host, letter, words);
    host.log(&format!("container:{program}"), line);
}

/// A line as klog writes it.
pub(super) fn klog(host: &Host, letter: char, words: &str) -> String {
    let now = jiff::Timestamp::from_millisecond(host.epoch_ms()).unwrap_or_default();
    format!("{letter}{}       1 {words}", now.strftime("%m%d %H:%M:%S.%6f"))
}

fn ticks(host: &Host) -> u64 {
    u64::try_from(host.epoch_ms() / 10).unwrap_or(0) % 1_000_000_000
}

/// An apiserver that runs: it listens once etcd answers, and reads its pair again from time to time.
fn serve(world: &mut World, at: usize, since: Duration, now: Duration) {
    let process = &world.kube.processes[at];
    let Some(api) = &process.api else { return };
    if api.up {
        let due = api.reads <= now;
        if due
            && let Some(host) = world.hosts.get(&world.kube.processes[at].host)
            && let Some(api) = world.kube.processes[at].api.as_mut()
        {
            api.reads = now + READS_AGAIN;
            api.read_again(&host.files);
        }
        return;
    }
    if process.listens.is_none_or(|at| at > now) {
        return;
    }
    let reached = api.etcd(world, &process.host).is_some();
    if !reached && now >= since + GIVES_UP {
        return failed(world, at, now, "context deadline exceeded");
    }
    let process = &mut world.kube.processes[at];
    if let Some(api) = process.api.as_mut().filter(|_| reached) {
        api.up = true;
        let (host, port) = (process.host.clone(), process.port().unwrap_or_default());
        if let Some(host) = world.hosts.get_mut(&host) {
            said(host, "kube-apiserver", 'I', &format!("secure_serving.go:197] Serving securely on [::]:{port}"));
        }
    } else {
        // Asked again a little later.
        process.listens = Some(now + AGAIN);
    }
}

/// The files that a component cannot do without.
fn needed(files: &Files, args: &[String]) -> Result<(), String> {
    for name in ["kubeconfig", "service-account-private-key-file", "root-ca-file", "cluster-signing-key-file"] {
        if let Some(path) = flag(args, name) {
            need(files, path)?;
        }
    }
    Ok(())
}

fn need(files: &Files, path: &str) -> Result<Bytes, String> {
    files.read(path.as_ref()).map_err(|e| format!("open {path}: {}", e.words().to_lowercase()))
}

impl Loaded {
    fn read(files: &Files, args: &[String], now: Duration) -> Result<Self, String> {
        let path = |name: &str| flag(args, name).map(str::to_owned).ok_or_else(|| format!("--{name} is required"));
        let file = |name: &str| path(name).and_then(|p| need(files, &p));
        let pair = (PathBuf::from(path("tls-cert-file")?), PathBuf::from(path("tls-private-key-file")?));
        let (cert, key) = (file("tls-cert-file")?, file("tls-private-key-file")?);
        let verifiers = flag(args, "service-account-key-file").into_iter().map(|p| need(files, p));
        let verifiers = verifiers.collect::<Result<Vec<_>, _>>()?;
        let encryption = flag(args, "encryption-provider-config").map(|p| need(files, p)).transpose()?;
        for name in ["requestheader-client-ca-file", "proxy-client-cert-file", "proxy-client-key-file"] {
            flag(args, name).map(|p| need(files, p)).transpose()?;
        }
        let (etcd_cert, etcd_key) = (file("etcd-certfile")?, file("etcd-keyfile")?);
        tls::fits(&etcd_cert, &etcd_key)?;
        let servers = path("etcd-servers")?;
        let ca = file("client-ca-file")?;
        Ok(Self {
            port: flag(args, "secure-port").and_then(|p| p.parse().ok()).unwrap_or(6443),
            advertised: flag(args, "advertise-address").and_then(|a| a.parse().ok()),
            serving: Arc::new(server::config(&cert, &key)?),
            callers: tls::verifier(&ca)?,
            ca,
            sa_keys: verifiers.iter().filter_map(|pem| Verifier::from_pem(pem)).collect(),
            sa_signer: flag(args, "service-account-signing-key-file").map(|p| need(files, p)).transpose()?,
            issuer: flag(args, "service-account-issuer").unwrap_or_default().to_owned(),
            sealing: sealing(encryption.as_deref()),
            etcd: servers
                .split(',')
                .filter_map(|s| s.trim().trim_end_matches('/').split_once("://")?.1.parse().ok())
                .collect(),
            etcd_ca: file("etcd-cafile")?,
            etcd_cert,
            pair,
            read: (cert, key),
            up: false,
            reads: now + READS_AGAIN,
            trust: RefCell::new(Vec::new()),
        })
    }

    /// The certificate that it serves, PEM.
    pub fn served(&self) -> &[u8] {
        &self.read.0
    }

    /// The serving pair, if it has become another one that fits.
    fn read_again(&mut self, files: &Files) {
        let (Ok(cert), Ok(key)) = (files.read(&self.pair.0), files.read(&self.pair.1)) else { return };
        if (&cert, &key) != (&self.read.0, &self.read.1)
            && let Ok(config) = server::config(&cert, &key)
        {
            self.serving = Arc::new(config);
            self.read = (cert, key);
        }
    }

    /// The etcd cluster and member that it reaches, the first that answers and takes it.
    pub fn etcd(&self, world: &World, own: &HostName) -> Option<(u64, u64)> {
        let here = world.hosts.get(own)?;
        self.etcd.iter().find_map(|endpoint| {
            let local = endpoint.ip().is_loopback() || endpoint.ip() == here.address;
            let there = if local { here } else { world.hosts.values().find(|h| h.address == endpoint.ip())? };
            if there.power != Power::Up || !(local || there.lets_in(endpoint.port())) {
                return None;
            }
            let (process, peer) = world.etcd.listener(&there.name, endpoint.port())?;
            let cluster = world.etcd.clusters.get(&process.cluster)?;
            let learner = cluster.members.get(&process.member).is_none_or(|m| m.learner);
            let led = cluster.leader_seen_by(process.member) != 0;
            if peer || learner || !led {
                return None;
            }
            let served = there.files.read(&process.config.client.cert).ok()?;
            let ca = process.cas.client.as_ref();
            self.trusts(&served, ca, endpoint.ip()).then_some((process.cluster, process.member))
        })
    }

    /// Whether both sides take each other's certificates, found out once a pair of them.
    fn trusts(&self, served: &Bytes, ca: Option<&Vec<u8>>, address: IpAddr) -> bool {
        let mut trust = self.trust.borrow_mut();
        let same = |t: &&Trust| {
            t.address == address
                && t.served.as_ptr() == served.as_ptr()
                && t.served.len() == served.len()
                && t.ca.as_ref() == ca
        };
        if let Some(known) = trust.iter().find(same) {
            return known.good;
        }
        let taken = ca.is_none_or(|ca| is_signed_by(&self.etcd_cert, ca));
        let good = taken && is_signed_by(served, &self.etcd_ca) && wrong_name(served, address, false).is_none();
        trust.push(Trust { served: served.clone(), ca: ca.cloned(), address, good });
        good
    }
}
