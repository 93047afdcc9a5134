//! kubelet: reads its manifests directory, runs what lies there, registers its node.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::Value;

use super::{
    docker,
    process::{Phase, Process},
};
use crate::{
    cluster::{HostName, Role},
    pki::{is_signed_by, pem_to_der},
    practice::{
        etcd::{config::environment, links::wrong_name},
        files::{Entry, Files, Kind},
        host::{Host, Power},
        units::{self, Exit},
        world::World,
    },
    remote::op::Owner,
};

/// kubelet's own port.
pub const PORT: u16 = 10250;

/// How long a kubelet takes to notice that a manifest has changed.
const NOTICES: Duration = Duration::from_secs(1);

/// How long the container of a new pod takes to be made; a pod that takes another's place waits a little longer.
const MAKES: Duration = Duration::from_secs(1);
const REPLACES: Duration = Duration::from_secs(2);

/// How long a kubelet takes to register its node after its start.
pub const REGISTERS: Duration = Duration::from_secs(2);

/// A kubelet that runs.
#[derive(Debug, Clone)]
pub struct Kubelet {
    /// Its unit.
    pub unit: String,
    /// The name it registers under.
    pub node: String,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// Its version, such as `v1.20.2`.
    pub version: String,
    /// When it was started.
    pub since: Duration,
    /// Whether its node is registered.
    pub registered: bool,
    /// The manifests directory, if it has one.
    manifests: Option<PathBuf>,
    /// The host's files at its last look, and when it looks again.
    seen: Option<u64>,
    looks: Option<Duration>,
    /// What lay in the directory at its last look.
    last: Vec<(PathBuf, Bytes)>,
}

impl Kubelet {
    /// Its pods are gone: it makes them again.
    pub fn looks_anew(&mut self) {
        self.last.clear();
        self.looks = Some(Duration::ZERO);
    }
}

/// A pod of a manifest.
struct Pod {
    manifest: Value,
    args: Vec<String>,
}

/// The command line of a unit, variables of its environment files and all.
fn words(host: &Host, unit: &str) -> Vec<String> {
    let mut env = BTreeMap::new();
    for line in unit.lines().filter_map(|l| l.trim().strip_prefix("EnvironmentFile=")) {
        if let Some(text) = host.files.text(line.trim_start_matches('-')) {
            env.extend(environment(&text));
        }
    }
    let joined = unit.replace("\\\n", " ");
    let command = units::setting(&joined, "ExecStart").unwrap_or_default();
    let mut words = Vec::new();
    for word in command.split_whitespace().skip(1) {
        match word.strip_prefix('$').map(|v| v.trim_matches(['{', '}'])) {
            Some(name) => words.extend(env.get(name).into_iter().flat_map(|v| v.split_whitespace()).map(String::from)),
            None => words.push(word.to_owned()),
        }
    }
    words
}

/// A flag's value, `--flag=value` or `--flag value`; the last one counts.
pub fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().rposition(|a| {
        a.strip_prefix("--")
            .and_then(|a| a.strip_prefix(name))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })?;
    match args[at].split_once('=') {
        Some((_, value)) => Some(value),
        None => args.get(at + 1).map(String::as_str).filter(|v| !v.starts_with("--")),
    }
}

/// A unit's kubelet is started.
pub fn started(world: &mut World, name: &HostName, unit: &str, text: &str) -> Result<(), Exit> {
    let requires = text.lines().any(|l| l.trim().strip_prefix("Requires=").is_some_and(|r| r.contains("docker")));
    if requires && !docker::active(world, name) {
        units::start(world, name, "docker", true);
    }
    let now = world.clock.now();
    let Some(host) = world.hosts.get_mut(name) else { return Ok(()) };
    let args = words(host, text);
    let fatal = |why: String| Err(Exit::new(255, vec![format!("F1125 10:00:00.000000       1 server.go:269] {why}")]));
    let kubeconfig = flag(&args, "kubeconfig").map(PathBuf::from);
    let Some(kubeconfig) = kubeconfig else {
        // Without one a kubelet runs alone and registers nowhere.
        return fatal("failed to run Kubelet: no client provided, cannot use webhook authentication".into());
    };
    if host.files.read(&kubeconfig).is_err() {
        return fatal(format!(
            "failed to run Kubelet: invalid kubeconfig: stat {}: no such file or directory",
            kubeconfig.display()
        ));
    }
    if let Some(config) = flag(&args, "config")
        && host.files.text(config).is_none()
    {
        return fatal(format!(
            "failed to load Kubelet config file {config}, error failed to read kubelet config file \"{config}\", error: open {config}: no such file or directory"
        ));
    }
    let node = flag(&args, "hostname-override").map_or_else(|| host.hostname().to_lowercase(), str::to_owned);
    let version = super::layout::says(&host.files.read("/usr/bin/kubelet".as_ref()).unwrap_or_default());
    let version = version.and_then(|v| v.split_whitespace().last().map(str::to_owned)).unwrap_or_default();
    makes_its_files(&mut host.files);
    host.log(
        unit,
        format!("I1125 10:00:00.000000       1 kubelet_node_status.go:71] Attempting to register node {node}"),
    );
    let manifests = flag(&args, "pod-manifest-path").map(PathBuf::from);
    world.kube.kubelets.insert(
        name.clone(),
        Kubelet {
            unit: unit.to_owned(),
            node,
            kubeconfig,
            version,
            since: now,
            registered: false,
            manifests: manifests.filter(|_| world.hosts.get(name).is_some_and(|h| h.role != Role::Worker)),
            seen: None,
            looks: Some(now),
            last: Vec::new(),
        },
    );
    world.kube.registering.insert(name.clone());
    super::agents::start_agents(world, name);
    Ok(())
}

/// What every kubelet makes for itself below its directory.
fn makes_its_files(files: &mut Files) {
    for (dir, mode) in
        [("pki", 0o755), ("pods", 0o750), ("plugins", 0o750), ("plugins_registry", 0o750), ("device-plugins", 0o750)]
    {
        let path = PathBuf::from("/var/lib/kubelet").join(dir);
        if files.entry(&path).is_none() && files.writable().is_ok() {
            let entry = Entry { kind: Kind::Dir, mode, owner: Owner::root(), mtime: files.now };
            files.lay(&path, entry);
        }
    }
    let state = PathBuf::from("/var/lib/kubelet/cpu_manager_state");
    if files.entry(&state).is_none() && files.writable().is_ok() {
        let text = r#"{"policyName":"none","defaultCpuSet":"","checksum":1353318690}"#;
        let kind = Kind::File(Bytes::from_static(text.as_bytes()));
        files.lay(&state, Entry { kind, mode: 0o600, owner: Owner::root(), mtime: files.now });
    }
}

/// It ended. What it started goes on.
pub fn stopped(world: &mut World, name: &HostName) {
    let now = world.clock.now();
    world.kube.registering.remove(name);
    if let Some(kubelet) = world.kube.kubelets.remove(name) {
        for node in world.kube.stores.values_mut().filter_map(|s| s.nodes.get_mut(&kubelet.node)) {
            if &node.host == name {
                node.silent_since = Some(now);
            }
        }
    }
}

/// Looks at the manifests that have changed.
pub fn settle(world: &mut World) {
    let now = world.clock.now();
    let mut due = Vec::new();
    for (name, kubelet) in world.kube.kubelets.iter_mut().filter(|(_, k)| k.manifests.is_some()) {
        let Some(host) = world.hosts.get(name) else { continue };
        if host.power != Power::Up {
            continue;
        }
        if kubelet.looks.is_none() && kubelet.seen != Some(host.files.changes) {
            kubelet.looks = Some(now + NOTICES);
        }
        if kubelet.looks.is_some_and(|at| at <= now) {
            due.push(name.clone());
        }
    }
    for name in due {
        look(world, &name, now);
    }
}

fn look(world: &mut World, name: &HostName, now: Duration) {
    let (Some(host), Some(kubelet)) = (world.hosts.get_mut(name), world.kube.kubelets.get_mut(name)) else { return };
    (kubelet.seen, kubelet.looks) = (Some(host.files.changes), None);
    let dir = kubelet.manifests.clone().unwrap_or_default();
    let files: Vec<_> = host.files.children(&dir).into_iter().filter(|p| shown(p)).collect();
    let files: Vec<_> = files.into_iter().filter_map(|p| host.files.read(&p).ok().map(|b| (p, b))).collect();
    let same = |a: &(PathBuf, Bytes), b: &(PathBuf, Bytes)| {
        a.0 == b.0 && a.1.as_ptr() == b.1.as_ptr() && a.1.len() == b.1.len()
    };
    let first = kubelet.last.is_empty();
    let unchanged =
        !first && files.len() == kubelet.last.len() && files.iter().zip(&kubelet.last).all(|(a, b)| same(a, b));
    if unchanged {
        return;
    }
    let unit = kubelet.unit.clone();
    let mut wanted: BTreeMap<String, Pod> = BTreeMap::new();
    for (path, bytes) in &files {
        match pod(bytes) {
            // Of several files for one pod the last one read wins.
            Some((name, pod)) => drop(wanted.insert(name, pod)),
            None => host.log(
                &unit,
                format!("E1125 10:00:00.000000       1 file.go:187] Can't process manifest file {:?}: couldn't parse as pod, please check config file", path.display().to_string()),
            ),
        }
    }
    kubelet.last = files;
    let mut going = Vec::new();
    for process in world.kube.processes.iter_mut().filter(|p| &p.host == name && !p.is_ending()) {
        if wanted.get(&process.pod).is_some_and(|w| w.manifest == process.manifest) {
            continue;
        }
        going.push(process.pod.clone());
        process.end(now);
    }
    for (pod, Pod { manifest, args }) in wanted {
        if world.kube.processes.iter().any(|p| &p.host == name && p.pod == pod && !p.is_ending()) {
            continue;
        }
        let wait = if going.contains(&pod) { REPLACES } else { MAKES };
        world.kube.processes.push(Process::new(name, &pod, manifest, args, Phase::Coming(now + wait)));
    }
}

/// The pods that a manifests directory makes, a file each: the pod's name and its manifest.
pub fn pods(host: &Host, dir: &Path) -> Vec<(String, Value)> {
    let files = host.files.children(dir).into_iter();
    let read = files.filter(|p| shown(p)).filter_map(|p| pod(&host.files.read(&p).ok()?));
    read.map(|(name, pod)| (name, pod.manifest)).collect()
}

/// Whether kubelet reads a file of that name.
fn shown(path: &Path) -> bool {
    path.file_name().is_some_and(|n| !n.to_string_lossy().starts_with('.'))
}

/// A manifest's pod: its name, and the command of its first container.
fn pod(bytes: &[u8]) -> Option<(String, Pod)> {
    let manifest: Value = serde_json::from_slice(bytes).ok().or_else(|| serde_yaml::from_slice(bytes).ok())?;
    let name = manifest["metadata"]["name"].as_str()?.to_owned();
    let container = manifest["spec"]["containers"].get(0)?;
    let words =
        |key: &str| container[key].as_array().into_iter().flatten().filter_map(|w| w.as_str().map(str::to_owned));
    let args = words("command").chain(words("args")).collect();
    Some((name, Pod { manifest, args }))
}

/// The etcd behind the apiserver that a host's kubelet reaches with its kubeconfig; `None` where it reaches none, or is
/// refused.
pub fn reached_by(world: &mut World, name: &HostName) -> Option<u64> {
    let host = world.hosts.get(name)?;
    let kubelet = world.kube.kubelets.get(name)?;
    let text = host.files.read(&kubelet.kubeconfig).ok()?;
    let config: Value = serde_yaml::from_slice(&text).ok()?;
    let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    let at: std::net::SocketAddr = cluster["server"].as_str()?.split_once("://")?.1.parse().ok()?;
    let file = |value: &Value| host.files.read(value.as_str()?.as_ref()).ok();
    let (ca, cert) = (file(&cluster["certificate-authority"])?, file(&user["client-certificate"])?);
    let now = world.clock.now();
    let own = host.address;
    let servers = if at.ip().is_loopback() {
        let proxies: Vec<_> = world.kube.containers.keys().filter(|(h, _)| h == name).cloned().collect();
        let listening = proxies.iter().find_map(|key| world.kube.containers.get_mut(key)?.servers(at.port(), now));
        listening.map_or_else(|| vec![std::net::SocketAddr::new(own, at.port())], |(servers, _)| servers)
    } else {
        vec![at]
    };
    let der = pem_to_der(&cert).ok()?.into_iter().next()?;
    servers.into_iter().find_map(|server| {
        let there = world.hosts.values().find(|h| h.address == server.ip() && h.power == Power::Up)?;
        if there.name != *name && !there.lets_in(server.port()) {
            return None;
        }
        let process = world.kube.processes.iter().find(|p| p.host == there.name && p.listens(server.port(), now))?;
        let api = process.api.as_ref()?;
        let at_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(there.epoch_ms() / 1000).ok()?));
        api.callers.verify_client_cert(&CertificateDer::from(der.clone()), &[], at_time).ok()?;
        let trusted = is_signed_by(api.served(), &ca) && wrong_name(api.served(), at.ip(), false).is_none();
        trusted.then_some(())?;
        api.etcd(world, &there.name).map(|(id, _)| id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_read_from_json_with_tabs_and_from_yaml() {
        let json =
            "{\n\t\"metadata\": {\"name\": \"a\"}, \"spec\": {\"containers\": [{\"command\": [\"x\", \"--y=1\"]}]}}";
        let yaml = "metadata: {name: a}\nspec:\n  containers:\n  - command: [x]\n    args: [--y=1]\n";
        for text in [json, yaml] {
            let (name, pod) = pod(text.as_bytes()).unwrap();
            assert_eq!((name.as_str(), flag(&pod.args, "y")), ("a", Some("1")), "{text}");
        }
        assert!(pod(b"nothing").is_none());
    }
}
