//! What the apiservers have written: nodes and a few other objects; calico's agents have a room of their own.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    agents::{self, AGENT, Agent, NAMESPACE},
    docker,
};
use crate::{
    cluster::HostName,
    practice::{clock::epoch_ms, host::Power, world::World},
    remote::op::sha256_hex,
};

/// How long a node may say nothing before it counts as gone.
const SILENCE: Duration = Duration::from_secs(40);

/// How long after its registration a node is Ready.
const READY: Duration = Duration::from_secs(3);

/// The API's objects in one etcd.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// The version of the last change.
    pub version: u64,
    /// Nodes by name.
    pub nodes: BTreeMap<String, NodeObject>,
    /// Other objects by their path.
    pub objects: BTreeMap<String, Object>,
    /// Calico's agents by node.
    pub agents: BTreeMap<String, Agent>,
    /// Whether an agent is to be made or to end.
    pub(super) busy: bool,
}

/// An object.
#[derive(Debug, Clone)]
pub struct Object {
    /// As the API has it.
    pub value: Value,
    /// When it was last changed, seconds since the epoch.
    pub changed: i64,
    /// What a Secret is sealed with.
    pub sealed: String,
}

/// A node.
#[derive(Debug, Clone)]
pub struct NodeObject {
    /// Its name.
    pub name: String,
    /// Whose kubelet speaks for it.
    pub host: HostName,
    /// Its address.
    pub address: IpAddr,
    /// kubelet's version.
    pub version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Value>,
    /// Cordoned.
    pub unschedulable: bool,
    /// When it was made, seconds since the epoch.
    pub created: i64,
    /// When its kubelet registered it.
    pub registered: Duration,
    /// Since when its kubelet says nothing.
    pub silent_since: Option<Duration>,
    /// The version of its last change.
    pub changed: u64,
}

impl NodeObject {
    /// A node as its kubelet registers it.
    pub fn new(name: &str, host: &HostName, address: IpAddr, version: &str, created: i64) -> Self {
        let labels = [
            ("beta.kubernetes.io/arch", "amd64"),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", "linux"),
        ];
        let version = if version.starts_with('v') { version.to_owned() } else { format!("v{version}") };
        Self {
            name: name.to_owned(),
            host: host.clone(),
            address,
            version,
            labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            taints: Vec::new(),
            unschedulable: false,
            created,
            registered: Duration::ZERO,
            silent_since: None,
            changed: 0,
        }
    }

    /// Cordons it: the node's controller adds the taint that goes with it.
    pub fn cordon(&mut self, now: i64) {
        self.unschedulable = true;
        self.mark_cordon(now);
    }

    fn mark_cordon(&mut self, now: i64) {
        let key = "node.kubernetes.io/unschedulable";
        let has = self.taints.iter().any(|t| t["key"] == key);
        if self.unschedulable && !has {
            self.taints.push(json!({ "key": key, "effect": "NoSchedule", "timeAdded": rfc3339(now) }));
        } else if !self.unschedulable {
            self.taints.retain(|t| t["key"] != key);
        }
    }

    /// Why it is not Ready: the status of the condition, and its message.
    fn trouble(&self, world: &World) -> Option<(&'static str, &'static str)> {
        let now = world.clock.now();
        let silent = ("Unknown", "Kubelet stopped posting node status.");
        if let Some(since) = self.silent_since {
            return (now > since + SILENCE).then_some(silent);
        }
        let host = world.hosts.get(&self.host);
        if host.is_none_or(|h| h.power != Power::Up) || docker::cut_off(world, &self.host) {
            return Some(silent);
        }
        if !docker::active(world, &self.host) {
            return Some(("False", "container runtime is down"));
        }
        let network = |p: &std::path::PathBuf| p.extension().is_some_and(|e| e == "conf" || e == "conflist");
        let dir = std::path::Path::new("/etc/cni/net.d");
        if now < self.registered + READY || !host.is_some_and(|h| h.files.children(dir).iter().any(network)) {
            let message = "runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:docker: network plugin is not ready: cni config uninitialized";
            return Some(("False", message));
        }
        None
    }

    /// As the API gives it.
    pub fn json(&self, world: &World) -> Value {
        let (status, reason, message) = match self.trouble(world) {
            None => ("True", "KubeletReady", "kubelet is posting ready status"),
            Some((status @ "Unknown", message)) => (status, "NodeStatusUnknown", message),
            Some((status, message)) => (status, "KubeletNotReady", message),
        };
        let mut spec = Map::new();
        if !self.taints.is_empty() {
            spec.insert("taints".into(), json!(self.taints));
        }
        if self.unschedulable {
            spec.insert("unschedulable".into(), true.into());
        }
        json!({
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {
                "name": self.name,
                "uid": uid(&[&self.name, &self.created.to_string()]),
                "resourceVersion": self.changed.to_string(),
                "creationTimestamp": rfc3339(self.created),
                "labels": self.labels,
            },
            "spec": spec,
            "status": {
                "addresses": [
                    { "type": "InternalIP", "address": self.address.to_string() },
                    { "type": "Hostname", "address": self.name },
                ],
                "conditions": [{ "type": "Ready", "status": status, "reason": reason, "message": message }],
                "nodeInfo": {
                    "kubeletVersion": self.version,
                    "kubeProxyVersion": self.version,
                    "containerRuntimeVersion": "docker://20.10.24",
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                },
            },
        })
    }

    /// Takes over what may be changed of its JSON.
    pub fn read(&mut self, value: &Value, now: i64) {
        let labels = value["metadata"]["labels"].as_object().into_iter().flatten();
        self.labels = labels.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
        self.taints = value["spec"]["taints"].as_array().cloned().unwrap_or_default();
        self.unschedulable = value["spec"]["unschedulable"].as_bool().unwrap_or(false);
        self.mark_cordon(now);
    }
}

impl Store {
    /// Puts a node.
    pub fn put_node(&mut self, mut node: NodeObject) {
        self.version += 1;
        node.changed = self.version;
        self.nodes.insert(node.name.clone(), node);
        self.busy = true;
    }

    /// Removes a node, and its pods with it.
    pub fn remove_node(&mut self, name: &str) -> Option<NodeObject> {
        self.version += 1;
        self.agents.remove(name);
        self.nodes.remove(name)
    }

    /// Makes an object in a list; `None` when it is there already or has no name.
    pub fn create(&mut self, list: &str, mut value: Value, now: i64, sealing: &str) -> Option<Value> {
        let path = format!("{list}/{}", value["metadata"]["name"].as_str()?);
        if self.objects.contains_key(&path) {
            return None;
        }
        value["metadata"]["uid"] = uid(&[&path, &now.to_string()]).into();
        value["metadata"]["creationTimestamp"] = rfc3339(now).into();
        Some(self.put(&path, value, now, sealing))
    }

    /// Puts an object; gives it as it is then.
    pub fn put(&mut self, path: &str, mut value: Value, now: i64, sealing: &str) -> Value {
        self.version += 1;
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        value["metadata"]["managedFields"] =
            json!([{ "manager": "kubectl", "operation": "Update", "time": rfc3339(now) }]);
        let object = Object { value: value.clone(), changed: now, sealed: sealing.to_owned() };
        self.objects.insert(path.to_owned(), object);
        value
    }

    pub(super) fn endpoints(&self) -> Option<String> {
        let config = self.objects.get(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/calico-config"))?;
        config.value["data"]["etcd_endpoints"].as_str().map(str::to_owned)
    }

    pub(super) fn has_agents(&self) -> bool {
        self.objects.contains_key(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{AGENT}"))
    }
}

/// Registers nodes and makes agents.
pub fn settle(world: &mut World) {
    if !world.kube.registering.is_empty() {
        register(world);
    }
    let busy: Vec<u64> = world.kube.stores.iter().filter(|(_, s)| s.busy).map(|(id, _)| *id).collect();
    for id in busy {
        agents::settle(world, id);
    }
}

/// Kubelets that have been up for long enough and reach an apiserver.
fn register(world: &mut World) {
    let now = world.clock.now();
    let due: Vec<HostName> = world
        .kube
        .registering
        .iter()
        .filter(|h| world.kube.kubelets.get(*h).is_some_and(|k| now >= k.since + super::kubelet::REGISTERS))
        .cloned()
        .collect();
    for name in due {
        let Some(etcd) = super::kubelet::reached_by(world, &name) else { continue };
        let (Some(host), Some(kubelet)) = (world.hosts.get(&name), world.kube.kubelets.get_mut(&name)) else {
            continue;
        };
        kubelet.registered = true;
        let (node, version, address) = (kubelet.node.clone(), kubelet.version.clone(), host.address);
        world.kube.registering.remove(&name);
        let store = world.kube.stores.entry(etcd).or_default();
        let mut object = store
            .nodes
            .get(&node)
            .cloned()
            .unwrap_or_else(|| NodeObject::new(&node, &name, address, &version, epoch_ms() / 1000));
        // Whoever speaks last under a name has the node.
        (object.host, object.address, object.version) = (name.clone(), address, version);
        (object.registered, object.silent_since) = (now, None);
        store.put_node(object);
    }
}

/// A time as the API writes it.
pub fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// A uid made of something.
pub fn uid(of: &[&str]) -> String {
    let print = sha256_hex(of.join("\n").as_bytes());
    format!("{}-{}-4{}-a{}-{}", &print[..8], &print[8..12], &print[13..16], &print[17..20], &print[20..32])
}
