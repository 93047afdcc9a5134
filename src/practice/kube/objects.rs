//! What the apiservers have written: nodes, a few other objects, calico's agents.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde_json::{Map, Value, json};

use super::docker;
use crate::{
    cluster::HostName,
    practice::{
        clock::epoch_ms,
        host::{Host, Power},
        world::World,
    },
    remote::op::sha256_hex,
};

/// How long a node may say nothing before it counts as gone.
const SILENCE: Duration = Duration::from_secs(40);

/// How long after its registration a node is Ready.
const READY: Duration = Duration::from_secs(3);

/// How long an agent takes to end, and to be Ready.
const AGENT_ENDS: Duration = Duration::from_secs(1);
const AGENT_STARTS: Duration = Duration::from_secs(3);

/// Calico's agents.
pub const AGENT: &str = "calico-node";
const NAMESPACE: &str = "kube-system";

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
    busy: bool,
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

/// An agent of calico.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The pod's name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its host.
    pub host: HostName,
    /// The etcd endpoints that it was started with.
    pub endpoints: String,
    /// When it was made, seconds since the epoch.
    pub created: i64,
    /// Its container.
    pub container: String,
    /// When its container was first to be started, in practice time.
    pub starts: Duration,
    /// From when on it is Ready; `None` where it fails again and again.
    pub ready: Option<Duration>,
    /// When it is gone, once it was deleted.
    pub ends: Option<Duration>,
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

impl Agent {
    /// A pod of the daemon set on a node.
    fn new(node: &str, host: &HostName, endpoints: String, created: i64, ready: Duration, number: u64) -> Self {
        let print = sha256_hex(format!("{node} {created} {number}").as_bytes());
        Self {
            name: format!("{AGENT}-{}", letters(&print)),
            uid: uid(&[node, &created.to_string(), &number.to_string()]),
            host: host.clone(),
            endpoints,
            created,
            container: print,
            starts: ready,
            ready: Some(ready),
            ends: None,
        }
    }

    /// As the API gives it.
    pub fn json(&self, node: &str, world: &World) -> Value {
        let now = world.clock.now();
        let ready = self.ready.is_some_and(|at| at <= now);
        let waiting = self.ready.is_none();
        let mut value = json!({
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid,
                "resourceVersion": "1",
                "creationTimestamp": rfc3339(self.created),
                "labels": { "controller-revision-hash": "6f9c8d5d5b", "k8s-app": AGENT, "pod-template-generation": "1" },
            },
            "spec": { "nodeName": node, "hostNetwork": true, "containers": [{ "name": AGENT }] },
            "status": {
                "phase": if ready || waiting { "Running" } else { "Pending" },
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
                "containerStatuses": [{
                    "name": AGENT,
                    "ready": ready,
                    "restartCount": if waiting { restarts(now.saturating_sub(self.starts)) } else { 0 },
                    "containerID": format!("docker://{}", self.container),
                    "state": if waiting {
                        json!({ "waiting": { "reason": "CrashLoopBackOff" } })
                    } else if ready {
                        json!({ "running": { "startedAt": rfc3339(self.created) } })
                    } else {
                        json!({ "waiting": { "reason": "ContainerCreating" } })
                    },
                }],
            },
        });
        if !ready && !waiting {
            // A container that is not there yet has no id.
            value["status"]["containerStatuses"][0]["containerID"] = "".into();
        }
        if self.ends.is_some() {
            value["metadata"]["deletionTimestamp"] = rfc3339(epoch_ms() / 1000).into();
        }
        value
    }
}

impl Agent {
    /// What its container wrote.
    pub fn log(&self, node: &str) -> String {
        match self.ready {
            Some(_) => format!("Felix is ready on {node}\n"),
            None => {
                format!("Terminating\ncalico-node: the name in /var/lib/calico/nodename is not that of node {node}\n")
            }
        }
    }

    /// kubelet is back and makes a container anew.
    pub fn start(&mut self, ready: Option<Duration>) {
        self.container = sha256_hex(format!("{} again", self.uid).as_bytes());
        self.ready = ready;
    }

    /// Whether its container was taken away.
    pub const fn is_stopped(&self) -> bool {
        self.container.is_empty()
    }

    /// Its container is gone; the pod is not Ready.
    pub fn stop(&mut self) {
        (self.ready, self.container) = (None, String::new());
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

    /// Makes a node's agent, under a name that no other has: the API refuses one that is taken, and another is made.
    pub fn make_agent(
        &mut self,
        node: &str,
        host: &HostName,
        endpoints: &str,
        created: i64,
        ready: Duration,
    ) -> &mut Agent {
        let mut agent;
        loop {
            self.version += 1;
            agent = Agent::new(node, host, endpoints.to_owned(), created, ready, self.version);
            if self.agents.values().all(|a| a.name != agent.name) {
                break;
            }
        }
        self.agents.entry(node.to_owned()).insert_entry(agent).into_mut()
    }

    /// Deletes an agent.
    pub fn end_agent(&mut self, node: &str, now: Duration) {
        if let Some(agent) = self.agents.get_mut(node) {
            agent.ends.get_or_insert(now + AGENT_ENDS);
            self.busy = true;
        }
    }

    /// The daemon set's pods that it should have and has.
    pub fn agents_ready(&self, now: Duration) -> (usize, usize) {
        let ready = self.agents.values().filter(|a| a.ends.is_none() && a.ready.is_some_and(|at| at <= now));
        (self.nodes.len(), ready.count())
    }

    fn endpoints(&self) -> Option<String> {
        let config = self.objects.get(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/calico-config"))?;
        config.value["data"]["etcd_endpoints"].as_str().map(str::to_owned)
    }

    fn has_agents(&self) -> bool {
        self.objects.contains_key(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{AGENT}"))
    }
}

/// Whether calico's agent starts under the name that lies on its host: it takes the file as it stands, a line end and all.
fn takes_name(host: Option<&Host>, node: &str) -> bool {
    host.and_then(|h| h.files.text("/var/lib/calico/nodename")).is_none_or(|n| n == node)
}

/// Agents of a host whose kubelet has been started, and whose containers had been taken away.
pub fn start_agents(world: &mut World, name: &HostName) {
    let now = world.clock.now();
    let host = world.hosts.get(name);
    for store in world.kube.stores.values_mut() {
        for (node, agent) in store.agents.iter_mut().filter(|(_, a)| &a.host == name && a.is_stopped()) {
            agent.start(takes_name(host, node).then_some(now + AGENT_STARTS));
        }
    }
}

/// How often kubelet has started a container again that ends at once: immediately, then after 10 s, 20 s, 40 s, … 5 min.
fn restarts(since: Duration) -> u32 {
    let (mut count, mut at, mut wait) = (0, 1, 10);
    while at <= since.as_secs() {
        count += 1;
        at += wait;
        wait = (wait * 2).min(300);
    }
    count
}

/// Registers nodes and makes agents.
pub fn settle(world: &mut World) {
    if !world.kube.registering.is_empty() {
        register(world);
    }
    let busy: Vec<u64> = world.kube.stores.iter().filter(|(_, s)| s.busy).map(|(id, _)| *id).collect();
    for id in busy {
        agents(world, id);
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

/// The daemon set's controller, and its pods' ends.
fn agents(world: &mut World, id: u64) {
    let now = world.clock.now();
    let runs = world
        .kube
        .processes
        .iter()
        .any(|p| p.program() == "kube-controller-manager" && p.listens(p.port().unwrap_or(0), now));
    let Some(store) = world.kube.stores.get_mut(&id) else { return };
    store.agents.retain(|_, a| a.ends.is_none_or(|at| at > now));
    let missing: Vec<(String, HostName)> = store
        .nodes
        .values()
        .filter(|n| !store.agents.contains_key(&n.name))
        .map(|n| (n.name.clone(), n.host.clone()))
        .collect();
    store.busy = !missing.is_empty() || store.agents.values().any(|a| a.ends.is_some());
    if !runs || !store.has_agents() {
        return;
    }
    let endpoints = store.endpoints().unwrap_or_default();
    for (node, host) in missing {
        let fits = takes_name(world.hosts.get(&host), &node);
        let agent = store.make_agent(&node, &host, &endpoints, epoch_ms() / 1000, now + AGENT_STARTS);
        if !fits {
            agent.ready = None;
        }
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

/// Five letters as a pod's name ends in.
fn letters(print: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    print
        .bytes()
        .take(10)
        .collect::<Vec<_>>()
        .chunks(2)
        .map(|c| char::from(LETTERS[(usize::from(c[0]) * 7 + usize::from(c[1])) % LETTERS.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_agents_have_one_name() {
        let mut store = Store::default();
        for n in 0..5000 {
            let node = format!("node{n}");
            store.make_agent(&node, &HostName::new(&node), "", 1_780_000_000, Duration::ZERO);
        }
        let names: std::collections::BTreeSet<_> = store.agents.values().map(|a| &a.name).collect();
        assert_eq!((store.agents.len(), names.len()), (5000, 5000));
    }
}
