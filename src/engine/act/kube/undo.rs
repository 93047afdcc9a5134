//! What takes chapter 5 back: names and paths only.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Calico, RollPods, kubectl, node, open, stale_pods};
use crate::{
    cluster::HostName,
    engine::{
        act::{Act as _, ActCx, ActError, run::run_op},
        plan::Shown,
    },
    remote::{
        Op,
        kube::{ApiAt, Node, Taint},
        pods::PodsOp,
        shell::{self, q, qp},
    },
};

/// Most time for one pod when pods are rolled back.
const POD: Duration = Duration::from_mins(3);

/// What takes a step on Kubernetes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kube", rename_all = "kebab-case")]
pub enum KubeUndo {
    /// Stop and remove what kubelet started: a stopped kubelet leaves it running.
    StopPods {
        /// Where.
        host: String,
    },
    /// Remove a node from the cluster.
    DeleteNode {
        /// Whom to ask; never the node itself.
        at: ApiAt,
        /// The node.
        node: String,
    },
    /// Take marks off a node.
    Unmark {
        /// Whom to ask.
        at: ApiAt,
        /// The node.
        node: String,
        /// Labels that were added.
        labels: Vec<String>,
        /// Taints that were added.
        taints: Vec<Taint>,
        /// Cordoned or not before, where that changed.
        cordon: Option<bool>,
    },
    /// Put an object back from the file it was kept in.
    RestoreObject {
        /// Whom to ask, and who has the file.
        at: ApiAt,
        /// Its path in the API.
        object: String,
        /// `secret NAME`, for the eye.
        what: String,
        /// The file.
        backup: PathBuf,
    },
    /// Roll the pods that have other endpoints than the ConfigMap.
    RollPods {
        /// Whom to ask.
        at: ApiAt,
        /// Calico's names.
        calico: Calico,
        /// Node and host, as far as they are in the cluster file.
        hosts: Vec<(String, String)>,
    },
}

impl KubeUndo {
    /// The host it acts on, or whose API is asked.
    pub fn host(&self) -> HostName {
        let (Self::StopPods { host }
        | Self::DeleteNode { at: ApiAt { host, .. }, .. }
        | Self::Unmark { at: ApiAt { host, .. }, .. }
        | Self::RestoreObject { at: ApiAt { host, .. }, .. }
        | Self::RollPods { at: ApiAt { host, .. }, .. }) = self;
        HostName::new(host)
    }

    /// How it is shown.
    pub fn shown(&self) -> Shown {
        match self {
            Self::StopPods { host } => {
                let op = Op::Pods(PodsOp::StopAll);
                Shown { host: Some(HostName::new(host)), title: op.summary(), commands: shell::render(&op).script }
            }
            Self::DeleteNode { at, node } => super::shown(
                at,
                tr!("remove node {node} from the cluster, if it is there", node = node),
                &format!("delete node {} --ignore-not-found", q(node)),
            ),
            Self::Unmark { at, node, labels, taints, cordon } => {
                let name = q(node);
                let labels = labels.iter().map(|l| format!("label node {name} {}", q(&format!("{l}-"))));
                let taints = taints.iter().map(|t| format!("taint node {name} {}-", q(&t.to_string())));
                let cordon = cordon.map(|c| format!("{} {name}", if c { "cordon" } else { "uncordon" }));
                let lines: Vec<_> = labels.chain(taints).chain(cordon).map(|a| kubectl(at, &a)).collect();
                Shown {
                    host: None,
                    title: tr!("node {node}: marks off again", node = node),
                    commands: lines.join("\n"),
                }
            }
            Self::RestoreObject { at, what, backup, .. } => super::shown(
                at,
                tr!(
                    "put {what} back as it was, from {backup} on {host}",
                    what = what,
                    backup = backup.display(),
                    host = at.host
                ),
                &format!("replace -f {}", qp(backup)),
            ),
            Self::RollPods { at, calico, .. } => super::shown(
                at,
                tr!(
                    "roll the pods of {daemonset} that run with other endpoints, one at a time",
                    daemonset = calico.daemonset
                ),
                &format!("-n {} delete pod NAME", calico.namespace),
            ),
        }
    }

    /// Does it. What was never done is left alone and said.
    pub async fn undo(&self, cx: &ActCx) -> Result<(), ActError> {
        match self {
            Self::StopPods { host } => run_op(cx, &HostName::new(host), &Op::Pods(PodsOp::StopAll)).await,
            Self::DeleteNode { at, node } => Ok(open(&cx.remote, at).await?.delete(&Node::path(node)).await?),
            Self::Unmark { at, node, labels, taints, cordon } => {
                let api = open(&cx.remote, at).await?;
                let unmarked =
                    node::change(cx, &api, node, |now, raw| unmark(now, raw, labels, taints, *cordon)).await?;
                if unmarked.is_none() {
                    cx.say(tr!("node {node} is not registered", node = node));
                }
                Ok(())
            }
            Self::RestoreObject { at, object, what, backup } => {
                if super::calico::restore(&cx.remote, at, object, backup).await?.is_none() {
                    cx.say(tr!("{what} was never changed", what = what));
                }
                Ok(())
            }
            Self::RollPods { at, calico, hosts } => {
                let hosts: Vec<_> = hosts.iter().map(|(node, host)| (node.clone(), HostName::new(host))).collect();
                let api = open(&cx.remote, at).await?;
                let stale = stale_pods(&cx.remote, &api, calico, &hosts).await?.unwrap_or_default().stale;
                let pods = stale.into_iter().map(|p| p.name).collect();
                RollPods { at: at.clone(), calico: calico.clone(), hosts, pods, deadline: POD }.act(cx).await
            }
        }
    }
}

/// The patch that takes marks off; `None` when none of them is there.
fn unmark(
    now: &Node,
    raw: &serde_json::Value,
    labels: &[String],
    taints: &[Taint],
    cordon: Option<bool>,
) -> Option<serde_json::Value> {
    use serde_json::{Value, json};
    let labels: serde_json::Map<_, _> =
        labels.iter().filter(|l| now.labels.contains_key(*l)).map(|l| (l.clone(), Value::Null)).collect();
    let mut kept = raw["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let before = kept.len();
    kept.retain(|t| !taints.iter().any(|m| t["key"] == m.key && t["effect"] == m.effect));
    let cordon = cordon.filter(|c| *c != now.unschedulable);
    if labels.is_empty() && kept.len() == before && cordon.is_none() {
        return None;
    }
    let mut patch = json!({ "metadata": { "resourceVersion": raw["metadata"]["resourceVersion"] } });
    if !labels.is_empty() {
        patch["metadata"]["labels"] = Value::Object(labels);
    }
    if kept.len() != before {
        patch["spec"]["taints"] = json!(kept);
    }
    if let Some(cordon) = cordon {
        patch["spec"]["unschedulable"] = json!(cordon);
    }
    Some(patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::act::UndoAct;

    #[test]
    fn an_undo_survives_the_journal() {
        let at = ApiAt {
            host: "m1".into(),
            address: "10.0.0.1".parse().unwrap(),
            port: 6443,
            kubeconfig: "/etc/kubernetes/admin.conf".into(),
        };
        let undo = UndoAct::Kube(KubeUndo::DeleteNode { at, node: "m4.example.com".into() });
        let text = serde_json::to_string(&undo).unwrap();
        assert_eq!(serde_json::from_str::<UndoAct>(&text).unwrap(), undo);
        assert_eq!(undo.host(), HostName::new("m1"));
    }

    #[test]
    fn only_marks_that_are_there_are_taken_off() {
        let raw = json!({
            "metadata": { "name": "m4", "resourceVersion": "7", "labels": { "mine": "", "theirs": "" } },
            "spec": { "unschedulable": true, "taints": [{ "key": "a", "effect": "NoSchedule" }] }
        });
        let now = Node::read(&raw).unwrap();
        let patch = unmark(&now, &raw, &["mine".into(), "gone".into()], &[], Some(true)).unwrap();
        assert_eq!(patch, json!({ "metadata": { "resourceVersion": "7", "labels": { "mine": null } } }));
        assert_eq!(unmark(&now, &raw, &["gone".into()], &[], None), None);
    }
}
