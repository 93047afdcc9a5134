//! A node made like its peers: labels, taints, cordon.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{kubectl, open};
use crate::{
    engine::{
        act::{
            Act, ActCx, ActError,
            wait::{next_look, waiting},
        },
        plan::Shown,
    },
    remote::{
        kube::{ApiAt, KubeApi, KubeError, Node, Taint, bytes},
        shell::q,
    },
};

/// Most time for a change that others keep overtaking.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a node is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// Cordoned or not; `None` leaves it as it is.
    pub unschedulable: Option<bool>,
}

impl Marks {
    /// What of it a node does not have yet.
    #[must_use]
    pub fn missing(&self, node: &Node) -> Self {
        Self {
            labels: self.labels.iter().filter(|(k, v)| node.labels.get(*k) != Some(v)).map(own).collect(),
            taints: self.taints.iter().filter(|t| !node.taints.contains(t)).cloned().collect(),
            unschedulable: self.unschedulable.filter(|u| *u != node.unschedulable),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.taints.is_empty() && self.unschedulable.is_none()
    }

    /// In a few words.
    pub fn words(&self) -> String {
        let labels = self.labels.iter().map(|(k, v)| format!("label {k}={v}"));
        let taints = self.taints.iter().map(|t| format!("taint {t}"));
        let cordon = self.unschedulable.map(|u| if u { trs!("cordoned") } else { trs!("not cordoned") }.to_owned());
        crate::remote::clean::line(&labels.chain(taints).chain(cordon).collect::<Vec<_>>().join(", "))
    }

    /// The patch that brings it about; other taints are kept, since a merge patch replaces the whole list.
    fn patch(&self, raw: &Value) -> Value {
        let mut patch = json!({ "metadata": { "resourceVersion": raw["metadata"]["resourceVersion"] } });
        if !self.labels.is_empty() {
            patch["metadata"]["labels"] = json!(self.labels);
        }
        if !self.taints.is_empty() {
            let mut taints = raw["spec"]["taints"].as_array().cloned().unwrap_or_default();
            taints.retain(|t| !self.taints.iter().any(|m| t["key"] == m.key && t["effect"] == m.effect));
            taints.extend(self.taints.iter().map(|t| json!(t)));
            patch["spec"]["taints"] = json!(taints);
        }
        if let Some(unschedulable) = self.unschedulable {
            patch["spec"]["unschedulable"] = json!(unschedulable);
        }
        patch
    }
}

fn own((k, v): (&String, &String)) -> (String, String) {
    (k.clone(), v.clone())
}

/// Gives a node its marks; what it has besides is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkNode {
    /// Whom to ask.
    pub at: ApiAt,
    /// The node.
    pub node: String,
    /// What it is to have.
    pub marks: Marks,
}

#[async_trait]
impl Act for MarkNode {
    fn shown(&self) -> Shown {
        let node = q(&self.node);
        let mut lines = Vec::new();
        if !self.marks.labels.is_empty() {
            let labels: Vec<_> = self.marks.labels.iter().map(|(k, v)| q(&format!("{k}={v}"))).collect();
            lines.push(kubectl(&self.at, &format!("label --overwrite node {node} {}", labels.join(" "))));
        }
        if !self.marks.taints.is_empty() {
            let taints: Vec<_> = self.marks.taints.iter().map(|t| q(&t.to_string())).collect();
            lines.push(kubectl(&self.at, &format!("taint --overwrite node {node} {}", taints.join(" "))));
        }
        if let Some(cordon) = self.marks.unschedulable {
            lines.push(kubectl(&self.at, &format!("{} {node}", if cordon { "cordon" } else { "uncordon" })));
        }
        Shown {
            host: None,
            title: tr!("node {node}: {words}", node = self.node, words = self.marks.words()),
            commands: lines.join("\n"),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let api = open(&cx.remote, &self.at).await?;
        change(cx, &api, &self.node, |node, raw| {
            let missing = self.marks.missing(node);
            (!missing.is_empty()).then(|| missing.patch(raw))
        })
        .await?
        .ok_or_else(|| {
            ActError::NotProven(tr!("node {node} is not registered; start its kubelet first", node = self.node))
        })
    }
}

/// Changes a node by what `patch` makes of it, read afresh whenever somebody else was faster. `None` when it is not there.
pub(super) async fn change<F>(cx: &ActCx, api: &KubeApi, name: &str, patch: F) -> Result<Option<()>, ActError>
where
    F: Fn(&Node, &Value) -> Option<Value>,
{
    let started = Instant::now();
    loop {
        let Some(raw) = api.find(&Node::path(name)).await? else { return Ok(None) };
        let Some(patch) = Node::read(&raw).and_then(|node| patch(&node, &raw)) else { return Ok(Some(())) };
        match api.merge(&Node::path(name), &bytes(&patch)).await {
            Ok(_) => return Ok(Some(())),
            Err(e) if e.is_conflict() || e.outcome_unknown() => waiting(cx, &e.to_string(), started, DEADLINE)?,
            Err(e) => return Err(e.into()),
        }
        next_look(started, Duration::from_millis(100)).await;
    }
}

/// Cordons a node, if it is not.
pub(super) async fn cordon(api: &KubeApi, name: &str) -> Result<(), KubeError> {
    api.merge(&Node::path(name), &bytes(&json!({ "spec": { "unschedulable": true } }))).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, effect: &str) -> Taint {
        Taint { key: key.into(), value: String::new(), effect: effect.into() }
    }

    fn node() -> Value {
        json!({
            "metadata": { "name": "m4", "resourceVersion": "7", "labels": { "a": "1" } },
            "spec": { "taints": [{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "t" }] }
        })
    }

    #[test]
    fn only_what_is_missing_is_patched_and_other_taints_are_kept() {
        let master = taint("node-role.kubernetes.io/master", "NoSchedule");
        let marks = Marks {
            labels: [("a".into(), "1".into()), ("role".into(), String::new())].into(),
            taints: vec![master],
            unschedulable: Some(true),
        };
        let raw = node();
        let missing = marks.missing(&Node::read(&raw).unwrap());
        assert_eq!(missing.labels.keys().collect::<Vec<_>>(), ["role"]);
        let patch = missing.patch(&raw);
        assert_eq!(patch["metadata"], json!({ "resourceVersion": "7", "labels": { "role": "" } }));
        assert_eq!(patch["spec"]["taints"].as_array().unwrap().len(), 2);
        assert_eq!(patch["spec"]["taints"][0]["timeAdded"], "t");
        assert_eq!(patch["spec"]["unschedulable"], true);
    }

    #[test]
    fn a_node_that_has_all_of_it_is_left_alone() {
        let marks = Marks { labels: [("a".into(), "1".into())].into(), taints: vec![], unschedulable: Some(false) };
        assert!(marks.missing(&Node::read(&node()).unwrap()).is_empty());
    }
}
