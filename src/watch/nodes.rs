//! The cluster's nodes, asked of the Kubernetes API on a master.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::Value;
use tokio::{sync::mpsc::UnboundedSender, time::timeout};

use crate::{
    cluster::{Cluster, HostName, Node},
    remote::{
        SharedRemote, clean,
        kube::{ApiAt, KubeApi},
    },
};

/// How often the nodes are looked at.
pub const NODES_EVERY: Duration = Duration::from_secs(5);

/// Most time a master is given: to read its kubeconfig, to dial, and to answer.
const PATIENCE: Duration = Duration::from_secs(12);

/// A node, cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// What kubelet last said, or that it says nothing any more.
    pub ready: Ready,
    /// From its labels: `master`, `worker`, …
    pub roles: Vec<String>,
    /// kubelet's version.
    pub version: String,
    /// When it joined, seconds since the epoch, by the clock of an apiserver.
    pub created: Option<i64>,
    /// Cordoned: no new pods.
    pub unschedulable: bool,
    /// Taints, as kubectl prints them.
    pub taints: Vec<String>,
    /// Conditions that are not well besides Ready: which, and why.
    pub troubles: Vec<(String, String)>,
}

/// Whether a node is Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It is.
    Yes,
    /// kubelet says it is not, and why.
    No(String),
    /// kubelet says nothing any more; since when, in the API's words.
    Unknown(String),
}

impl Default for Ready {
    fn default() -> Self {
        Self::Unknown("kubelet has not told its state yet".into())
    }
}

/// The nodes, and whom they were asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesSeen {
    /// The master.
    pub asked: HostName,
    /// All nodes, as the API lists them.
    pub nodes: Vec<NodeSeen>,
}

/// A look at the nodes; or every master that was asked, with what it said.
pub type NodesLook = Result<NodesSeen, Vec<(HostName, String)>>;

/// Looks at the nodes again and again until nobody listens. The master that answered last is asked first; where it does
/// not, the other originals are asked side by side, so that a frozen one costs its own time only.
pub async fn nodes(cluster: Arc<Cluster>, remote: SharedRemote, out: UnboundedSender<NodesLook>) {
    let mut beat = tokio::time::interval(NODES_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut doors = Doors { cluster, remote, open: HashMap::new(), last: None };
    loop {
        beat.tick().await;
        let look = doors.look().await;
        if out.send(look).is_err() {
            return;
        }
    }
}

/// The apiservers, and those whose credential was read already.
struct Doors {
    cluster: Arc<Cluster>,
    remote: SharedRemote,
    open: HashMap<HostName, KubeApi>,
    last: Option<HostName>,
}

impl Doors {
    async fn look(&mut self) -> NodesLook {
        let cluster = self.cluster.clone();
        let (first, rest): (Vec<&Node>, Vec<&Node>) =
            cluster.masters.iter().partition(|m| self.last.as_ref() == Some(&m.name));
        let mut tried = Vec::new();
        for round in [first, rest] {
            let mut asking = FuturesUnordered::new();
            for master in round {
                asking.push(ask(&cluster, &self.remote, master, self.open.get(&master.name).cloned()));
            }
            while let Some((name, answer)) = asking.next().await {
                match answer {
                    Ok((api, nodes)) => {
                        drop(asking);
                        self.open = HashMap::from([(name.clone(), api)]);
                        self.last = Some(name.clone());
                        return Ok(NodesSeen { asked: name, nodes });
                    }
                    Err(why) => tried.push((name, why)),
                }
            }
        }
        // A credential that did not work is read afresh: certificates may have been replaced meanwhile.
        self.open.clear();
        self.last = None;
        // In the file's order, not in that of their answers.
        let place = |name: &HostName| cluster.masters.iter().position(|m| &m.name == name);
        tried.sort_by_key(|(name, _)| place(name));
        Err(tried)
    }
}

async fn ask(
    cluster: &Cluster,
    remote: &SharedRemote,
    master: &Node,
    known: Option<KubeApi>,
) -> (HostName, Result<(KubeApi, Vec<NodeSeen>), String>) {
    let at = ApiAt {
        host: master.name.to_string(),
        address: master.address,
        port: cluster.kube.api_port,
        kubeconfig: cluster.kube.admin_conf.clone(),
    };
    let look = async {
        let api = match known {
            Some(api) => api,
            None => KubeApi::open(remote, &at).await.map_err(|e| e.to_string())?,
        };
        let list = api.get("/api/v1/nodes").await.map_err(|e| e.to_string())?;
        let items = list["items"].as_array().ok_or(trs!("answered with something that is no list of nodes"))?;
        Ok((api, items.iter().filter_map(node).collect()))
    };
    let silence =
        || Err(tr!("no answer within {deadline} s; look at kube-apiserver's log there", deadline = PATIENCE.as_secs()));
    (master.name.clone(), timeout(PATIENCE, look).await.unwrap_or_else(|_| silence()))
}

/// Out of the API's JSON; `None` for what has no name.
fn node(value: &Value) -> Option<NodeSeen> {
    let (meta, spec, status) = (&value["metadata"], &value["spec"], &value["status"]);
    let text = |value: &Value| clean::line(value.as_str().unwrap_or_default());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut seen = NodeSeen {
        name: clean::line(meta["name"].as_str()?),
        version: text(&status["nodeInfo"]["kubeletVersion"]),
        created: meta["creationTimestamp"]
            .as_str()
            .and_then(|t| t.parse::<jiff::Timestamp>().ok())
            .map(jiff::Timestamp::as_second),
        unschedulable: spec["unschedulable"].as_bool().unwrap_or(false),
        ..NodeSeen::default()
    };
    for (label, value) in meta["labels"].as_object().into_iter().flatten() {
        let role = label.strip_prefix("node-role.kubernetes.io/").map(str::to_owned);
        let old = || (label == "kubernetes.io/role").then(|| text(value));
        if let Some(role) = role.or_else(old).map(|r| clean::line(&r)).filter(|r| !r.is_empty())
            && !seen.roles.contains(&role)
        {
            seen.roles.push(role);
        }
    }
    seen.roles.sort();
    for taint in list(&spec["taints"]) {
        let value = text(&taint["value"]);
        let sign = if value.is_empty() { "" } else { "=" };
        seen.taints.push(format!("{}{sign}{value}:{}", text(&taint["key"]), text(&taint["effect"])));
    }
    for condition in list(&status["conditions"]) {
        let (kind, state) = (text(&condition["type"]), text(&condition["status"]));
        let why = [text(&condition["reason"]), text(&condition["message"])];
        let why = why.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(": ");
        match (kind.as_str(), state.as_str()) {
            ("Ready", "True") => seen.ready = Ready::Yes,
            ("Ready", "False") => seen.ready = Ready::No(why),
            ("Ready", _) => seen.ready = Ready::Unknown(why),
            // Everything else is a trouble that a node has or has not.
            (_, "False") => {}
            _ => seen.troubles.push((if state == "True" { kind } else { tr!("{kind} unknown", kind = kind) }, why)),
        }
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_read_with_what_is_not_well() {
        let seen = node(&json!({
            "metadata": {
                "name": "m1.example.com",
                "creationTimestamp": "2026-03-14T03:15:00Z",
                "labels": {"node-role.kubernetes.io/master": "", "kubernetes.io/role": "master", "x": "y"}
            },
            "spec": {
                "unschedulable": true,
                "taints": [{"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoExecute"}]
            },
            "status": {
                "nodeInfo": {"kubeletVersion": "v1.20.2"},
                "conditions": [
                    {"type": "MemoryPressure", "status": "False"},
                    {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure", "message": "full\u{1b}[2J"},
                    {"type": "PIDPressure", "status": "Unknown", "reason": "NodeStatusUnknown"},
                    {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
                ]
            }
        }))
        .unwrap();
        assert_eq!(seen.ready, Ready::Unknown("NodeStatusUnknown: Kubelet stopped posting node status.".into()));
        assert_eq!((seen.roles.join(","), seen.created), ("master".into(), Some(1_773_458_100)));
        assert_eq!(seen.taints, ["node-role.kubernetes.io/master:NoSchedule", "a=b:NoExecute"]);
        let troubles: Vec<_> = seen.troubles.iter().map(|(kind, why)| format!("{kind}, {why}")).collect();
        assert_eq!(troubles, ["DiskPressure, KubeletHasDiskPressure: full", "PIDPressure unknown, NodeStatusUnknown"]);
        assert!(seen.unschedulable);
        assert_eq!(node(&json!({"metadata": {"name": "new"}})).unwrap().ready, Ready::default());
        assert_eq!(node(&json!({})), None);
    }
}
