//! What lies on the hosts of a cluster that runs Kubernetes, and what is in its API, as if it had run for long.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    docker::Container,
    objects::NodeObject,
    packages::{Package, PackageFile},
    pki::{self, Made},
    process, tokens,
};
use crate::{
    cluster::{Cluster, Node, Role},
    practice::{
        clock::epoch_ms,
        files::{Entry, Kind},
        host::Host,
        scenario::ScenarioError,
        units,
        world::World,
    },
    remote::op::{Owner, UnitVerb},
};

/// What is in `assets/practice/kubernetes.yaml`.
const LAYOUT: &str = include_str!("../../../assets/practice/kubernetes.yaml");

/// Bytes of a practice program: enough to be worth a progress bar, little enough to be copied in no time.
const PROGRAM: usize = 8 << 10;

/// How long ago, in seconds, the cluster was made, and its agents were last rolled.
const MADE: i64 = 400 * 86_400;
const ROLLED: i64 = 30 * 86_400;

/// The account whose token lies in a Secret, and that Secret.
const ACCOUNT: (&str, &str, &str) = ("kube-system", "default", "default-token-5xk7q");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layout {
    version: String,
    packages: Vec<PackageSpec>,
    every: Vec<Spec>,
    node: Part,
    master: Part,
    workshop: Vec<Spec>,
    worker: Part,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    units: Vec<String>,
    #[serde(default)]
    files: Vec<Spec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageSpec {
    name: String,
    version: String,
    #[serde(default)]
    enable: Vec<String>,
    files: Vec<Spec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    path: PathBuf,
    mode: Option<String>,
    text: Option<String>,
    pki: Option<String>,
    says: Option<String>,
}

impl Spec {
    fn mode(&self) -> u32 {
        let usual = if self.says.is_some() || (self.text.is_none() && self.pki.is_none()) { 0o755 } else { 0o644 };
        self.mode.as_ref().and_then(|m| u32::from_str_radix(m, 8).ok()).unwrap_or(usual)
    }
}

/// A practice program that says that of its version.
pub fn program(name: &str, says: &str) -> Bytes {
    let mut bytes = format!("\u{7f}ELF, for practice: {name}\nversion: {says}\n").into_bytes();
    bytes.resize(bytes.len().max(PROGRAM), 0);
    bytes.into()
}

/// What a practice program says of its version.
pub fn says(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    text.lines().nth(1)?.strip_prefix("version: ").map(str::to_owned)
}

/// Lays Kubernetes out on the hosts of a world whose etcd has been laid out already. `etcd` gives a file of etcd's certificates.
pub struct Laid {
    layout: Layout,
    made: Made,
    endpoints: String,
    nginx: String,
    /// Files that are the same on every host, by their path.
    same: HashMap<PathBuf, Bytes>,
}

impl Laid {
    /// The files of a cluster, certificates made anew.
    pub fn new(cluster: &Cluster, etcd: &dyn Fn(&str) -> Option<String>) -> Result<Self, ScenarioError> {
        let malformed =
            |e: serde_yaml::Error| ScenarioError::Malformed { name: "kubernetes".into(), why: e.to_string() };
        let layout: Layout = serde_yaml::from_str(LAYOUT).map_err(malformed)?;
        let addresses: Vec<_> = cluster.masters.iter().map(|m| m.address).collect();
        let mut made = pki::make(&addresses).map_err(|e| ScenarioError::Pki(e.to_string()))?;
        for file in ["ca.crt", "client.crt", "client.key"] {
            made.extend(etcd(file).map(|text| (format!("etcd/{file}"), Bytes::from(text))));
        }
        let endpoints = cluster.masters.iter().map(|m| cluster.client_url(m)).collect::<Vec<_>>().join(",");
        Ok(Self { layout, made, endpoints, nginx: nginx(cluster), same: HashMap::new() })
    }

    /// A host's files and packages.
    pub fn host(&mut self, world: &mut World, cluster: &Cluster, node: &Node) {
        if world.kube.repository.is_empty() {
            world.kube.repository = self.packages();
        }
        let repository = world.kube.repository.clone();
        let Some(host) = world.hosts.get_mut(&node.name) else { return };
        let layout = std::mem::replace(&mut self.layout, Layout::none());
        let first = cluster.masters.first().is_some_and(|m| m.name == node.name);
        let parts: Vec<&Part> = match node.role {
            Role::Original => vec![&layout.node, &layout.master],
            Role::Worker => vec![&layout.node, &layout.worker],
            Role::Joiner => Vec::new(),
        };
        let workshop = layout.workshop.iter().filter(|_| first);
        for spec in layout.every.iter().chain(parts.iter().flat_map(|p| &p.files)).chain(workshop) {
            let kind = self.kind(spec, cluster, node);
            let entry = Entry { kind, mode: spec.mode(), owner: Owner::root(), mtime: host.files.now - MADE };
            host.files.lay(&spec.path, entry);
        }
        let installed = world.kube.installed.entry(node.name.clone()).or_default();
        for name in parts.iter().flat_map(|p| &p.packages) {
            if let Some(package) = repository.iter().find(|p| &p.name == name) {
                super::packages::unpack(host, package, MADE);
                installed.insert(name.clone(), package.clone());
            }
        }
        if node.role == Role::Worker {
            let container = Container::proxy(&cluster.kube.nginx_conf, epoch_ms() - ROLLED * 1000);
            world.kube.containers.insert((node.name.clone(), cluster.kube.nginx_container.clone()), container);
        }
        self.layout = layout;
    }

    fn packages(&self) -> Vec<Arc<Package>> {
        let file = |f: &Spec| PackageFile {
            path: f.path.clone(),
            mode: f.mode(),
            bytes: match (&f.says, &f.text) {
                (Some(says), _) => program(&f.path.file_name().unwrap_or_default().to_string_lossy(), says),
                (None, text) => Bytes::from(text.clone().unwrap_or_default()),
            },
        };
        let package = |p: &PackageSpec| Package {
            name: p.name.clone(),
            version: p.version.clone(),
            enable: p.enable.clone(),
            files: p.files.iter().map(file).collect(),
        };
        self.layout.packages.iter().map(|p| Arc::new(package(p))).collect()
    }

    fn kind(&mut self, spec: &Spec, cluster: &Cluster, node: &Node) -> Kind {
        if let Some(bytes) = self.same.get(&spec.path) {
            return Kind::File(bytes.clone());
        }
        let own = ["{name}", "{fqdn}", "{address}", "{server}"];
        let (bytes, same) = match (&spec.text, &spec.pki, &spec.says) {
            (Some(text), ..) => (self.fill(text, cluster, node).into(), !own.iter().any(|o| text.contains(o))),
            (_, Some(file), _) => (self.made.get(file).cloned().unwrap_or_default(), true),
            (.., Some(says)) => (program(&spec.path.file_name().unwrap_or_default().to_string_lossy(), says), true),
            _ => return Kind::Dir,
        };
        if same {
            self.same.insert(spec.path.clone(), bytes.clone());
        }
        Kind::File(bytes)
    }

    fn fill(&self, text: &str, cluster: &Cluster, node: &Node) -> String {
        let at = if node.role == Role::Worker { "127.0.0.1".to_owned() } else { node.address.to_string() };
        let mut out = text
            .replace("{name}", node.name.as_str())
            .replace("{fqdn}", &cluster.node_name(node))
            .replace("{address}", &node.address.to_string())
            .replace("{server}", &format!("https://{at}:{}", cluster.kube.api_port))
            .replace("{endpoints}", &self.endpoints)
            .replace("{nginx}", &self.nginx);
        while let Some((before, rest)) = out.split_once("{b64 ") {
            let Some((file, after)) = rest.split_once('}') else { break };
            let value = self.made.get(file).map(|b| STANDARD.encode(b)).unwrap_or_default();
            out = format!("{before}{value}{after}");
        }
        out
    }

    /// Starts what runs, as if it had run for long, and fills the API.
    pub fn run(&self, world: &mut World, cluster: &Cluster) {
        for node in cluster.hosts().filter(|n| n.role != Role::Joiner) {
            for unit in &self.layout.node.units {
                units::systemctl(world, &node.name, UnitVerb::Enable, unit);
                units::start(world, &node.name, unit, true);
            }
        }
        super::docker::settle_now(world);
        process::settle_now(world);
        let Some(etcd) = world.etcd.clusters.keys().next().copied() else { return };
        self.objects(world, etcd);
        let now = epoch_ms() / 1000;
        let store = world.kube.stores.entry(etcd).or_default();
        for node in cluster.hosts().filter(|n| n.role != Role::Joiner) {
            let name = cluster.node_name(node);
            let mut object = NodeObject::new(&name, &node.name, node.address, &self.layout.version, now - MADE);
            if node.role == Role::Original {
                object.labels.insert("node-role.kubernetes.io/master".into(), String::new());
                object.cordon(now - MADE);
                object.taints.insert(0, json!({ "key": "node-role.kubernetes.io/master", "effect": "NoSchedule" }));
            } else {
                object.labels.insert("node-role.kubernetes.io/node".into(), String::new());
            }
            store.put_node(object);
            store.make_agent(&name, &node.name, &self.endpoints, now - ROLLED, Duration::ZERO);
        }
        let hosts: Vec<_> = world.kube.kubelets.keys().cloned().collect();
        for host in hosts {
            if let Some(kubelet) = world.kube.kubelets.get_mut(&host) {
                kubelet.registered = true;
            }
        }
        world.kube.registering.clear();
    }

    /// What `kubectl apply` and the controller-manager made long ago.
    fn objects(&self, world: &mut World, etcd: u64) {
        let made = epoch_ms() / 1000 - MADE;
        let sealed = process::sealing(Self::first_encryption(world).as_deref());
        let store = world.kube.stores.entry(etcd).or_default();
        let text = |file: &str| self.made.get(file).map(|b| STANDARD.encode(b)).unwrap_or_default();
        let (namespace, account, secret) = ACCOUNT;
        if let Some(token) = self.made.get("sa.key").and_then(|key| tokens::stored(key, namespace, account, secret)) {
            let data = json!({
                "ca.crt": text("ca.pem"), "namespace": STANDARD.encode(namespace), "token": STANDARD.encode(token)
            });
            let mut value = object("v1", "Secret", namespace, secret, &json!({ "data": data }));
            value["type"] = "kubernetes.io/service-account-token".into();
            value["metadata"]["annotations"] = json!({ "kubernetes.io/service-account.name": account });
            store.create(&format!("/api/v1/namespaces/{namespace}/secrets"), value, made, &sealed);
        }
        for name in [account, "calico-node"] {
            let value = object("v1", "ServiceAccount", namespace, name, &json!({}));
            store.create(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), value, made, &sealed);
        }
        let Some(calico) = self.layout.master.files.iter().find(|f| f.path.ends_with("addon/calico.yaml")) else {
            return;
        };
        let filled = calico.text.as_deref().unwrap_or_default().replace("{endpoints}", &self.endpoints);
        let filled = ["etcd/client.key", "etcd/client.crt", "etcd/ca.crt"]
            .iter()
            .fold(filled, |t, file| t.replace(&format!("{{b64 {file}}}"), &text(file)));
        for document in serde_yaml::Deserializer::from_str(&filled) {
            let Ok(value) = Value::deserialize(document) else { continue };
            let list = match value["kind"].as_str() {
                Some("Secret") => "/api/v1/namespaces/kube-system/secrets",
                Some("ConfigMap") => "/api/v1/namespaces/kube-system/configmaps",
                Some("DaemonSet") => "/apis/apps/v1/namespaces/kube-system/daemonsets",
                _ => continue,
            };
            store.create(list, value, made, &sealed);
        }
    }

    fn first_encryption(world: &World) -> Option<Bytes> {
        let path = Path::new("/etc/kubernetes/encryption.yaml");
        world.hosts.values().find_map(|h: &Host| h.files.read(path).ok())
    }
}

impl Layout {
    fn none() -> Self {
        Self {
            version: String::new(),
            packages: Vec::new(),
            every: Vec::new(),
            node: Part::default(),
            master: Part::default(),
            workshop: Vec::new(),
            worker: Part::default(),
        }
    }
}

/// An object as the API has it, `more` beside its metadata.
fn object(version: &str, kind: &str, namespace: &str, name: &str, more: &Value) -> Value {
    let mut value =
        json!({ "kind": kind, "apiVersion": version, "metadata": { "name": name, "namespace": namespace } });
    for (key, part) in more.as_object().into_iter().flatten() {
        value[key] = part.clone();
    }
    value
}

/// The runbook's proxy, with its uneven indentation.
fn nginx(cluster: &Cluster) -> String {
    let mut text = String::from(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nerror_log stderr notice;\n\nworker_processes auto;\nevents {\n  multi_accept on;\n  use epoll;\n  worker_connections 1024;\n}\n\nstream {\n    upstream kube_apiserver {\n        least_conn;\n",
    );
    let port = cluster.kube.api_port;
    let mut indent = "                        ";
    for master in &cluster.masters {
        let _ = writeln!(text, "{indent}server {}:{port};", master.address);
        indent = "                ";
    }
    let _ = write!(
        text,
        "            }}\n\n    server {{\n        listen        0.0.0.0:{port};\n        proxy_pass    kube_apiserver;\n        proxy_timeout 10m;\n        proxy_connect_timeout 1s;\n    }}\n}}\n"
    );
    text
}

/// By name, for those who look.
pub type Installed = BTreeMap<String, Arc<Package>>;
