//! Calico's agents: the daemon set's controller, and what becomes of its pods.

use std::time::Duration;

use serde_json::{Value, json};

use super::objects::{Store, rfc3339, uid};
use crate::{
    cluster::HostName,
    practice::{clock::epoch_ms, host::Host, world::World},
    remote::op::sha256_hex,
};

/// How long an agent takes to end, and to be Ready.
const AGENT_ENDS: Duration = Duration::from_secs(1);
const AGENT_STARTS: Duration = Duration::from_secs(3);

/// Calico's agents.
pub const AGENT: &str = "calico-node";
pub(super) const NAMESPACE: &str = "kube-system";

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

/// The daemon set's controller, and its pods' ends.
pub(super) fn settle(world: &mut World, id: u64) {
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
