//! A new master's node, made like its peers' nodes.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            kube::{KubeUndo, MarkNode, Marks},
        },
    },
    remote::kube::{self, KubeApi, Taint},
    runbook::{Ctx, texts},
};

const KIND: &str = "kube.node";

/// Labels that kubelet and the cloud give each node for itself.
const OWN_LABELS: [&str; 6] = [
    "kubernetes.io/",
    "beta.kubernetes.io/",
    "node.kubernetes.io/",
    "topology.kubernetes.io/",
    "failure-domain.beta.kubernetes.io/",
    "projectcalico.org/",
];

pub(super) struct MarkStep {
    cx: Arc<Ctx>,
    node: Node,
}

/// What the originals have in common, and a remark where they differ.
fn shared(peers: &[kube::Node]) -> (Marks, Option<String>) {
    let Some((first, rest)) = peers.split_first() else { return (Marks::default(), None) };
    let own = |key: &str| OWN_LABELS.iter().any(|prefix| key.starts_with(prefix));
    let on_all = |k: &String, v: &String| rest.iter().all(|p| p.labels.get(k) == Some(v));
    let labels: BTreeMap<_, _> =
        first.labels.iter().filter(|(k, v)| !own(k) && on_all(k, v)).map(|(k, v)| (k.clone(), v.clone())).collect();
    // node.kubernetes.io/… is what the cluster makes of a node's state, a cordon among it.
    let lasting = |t: &&Taint| !t.key.starts_with("node.kubernetes.io/");
    let taints = first.taints.iter().filter(lasting).filter(|t| rest.iter().all(|p| p.taints.contains(t))).cloned();
    let alike = rest.iter().all(|p| p.unschedulable == first.unschedulable);
    let remark =
        (!alike).then(|| trs!("some originals are cordoned and some are not: the cordon is left as it is").to_owned());
    let marks = Marks { labels, taints: taints.collect(), unschedulable: alike.then_some(first.unschedulable) };
    (marks, remark)
}

impl MarkStep {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    fn name(&self) -> String {
        self.cx.cluster.node_name(&self.node)
    }

    async fn peers(&self, api: &KubeApi) -> Result<(Marks, Option<String>), ActError> {
        let nodes = api.nodes().await?;
        let mut peers = Vec::new();
        for master in &self.cx.cluster.masters {
            let name = self.cx.cluster.node_name(master);
            let found = nodes.iter().find(|n| n.name == name);
            peers.push(found.cloned().ok_or_else(|| {
                ActError::NotProven(tr!(
                    "{host}: there is no node {name}; check `domain` in the cluster file against `kubectl get nodes`",
                    host = master.name,
                    name = name
                ))
            })?);
        }
        Ok(shared(&peers))
    }
}

#[async_trait]
impl Step for MarkStep {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: Some(self.node.name.clone()) }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Start
    }

    fn title(&self) -> String {
        texts::title(KIND, Some(&self.node.name))
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let (_, api) = self.cx.kube().await?;
        let (marks, _) = self.peers(&api).await?;
        let Some(node) = api.node(&self.name()).await? else {
            return Ok(Probe::Todo(tr!("{name} is not registered yet", name = self.name())));
        };
        let missing = marks.missing(&node);
        Ok(if missing.is_empty() {
            Probe::Done(tr!("marked as its peers are: {words}", words = marks.words()))
        } else {
            Probe::Todo(tr!("to be given: {words}", words = missing.words()))
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (at, api) = self.cx.kube().await?;
        let (marks, remark) = self.peers(&api).await?;
        let (marks, cordoned) = match api.node(&self.name()).await? {
            Some(node) => (marks.missing(&node), Some(node.unschedulable)),
            None => (marks, None),
        };
        let undo = KubeUndo::Unmark {
            at: at.clone(),
            node: self.name(),
            labels: marks.labels.keys().cloned().collect(),
            taints: marks.taints.clone(),
            cordon: marks.unschedulable.and(cordoned),
        };
        let act: Box<dyn Act> = Box::new(MarkNode { at, node: self.name(), marks });
        let mut plan = Plan::new(Risk::Reversible, vec![act], vec![UndoAct::Kube(undo)], texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.extend(remark);
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let (_, api) = self.cx.kube().await?;
        let (marks, _) = self.peers(&api).await?;
        let node = api.node(&self.name()).await?;
        match node.map(|n| marks.missing(&n)) {
            Some(missing) if missing.is_empty() => Ok(vec![format!("{}: {}", self.name(), marks.words())]),
            Some(missing) => Err(ActError::NotProven(tr!(
                "{name} lacks {words}; run again",
                name = self.name(),
                words = missing.words()
            ))),
            None => Err(ActError::NotProven(tr!("{name} is gone; look at its kubelet", name = self.name()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(labels: &[(&str, &str)], taints: &[&str], unschedulable: bool) -> kube::Node {
        let taint = |key: &&str| Taint { key: (*key).into(), value: String::new(), effect: "NoSchedule".into() };
        kube::Node {
            name: "n".into(),
            resource_version: "1".into(),
            labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            taints: taints.iter().map(taint).collect(),
            unschedulable,
            ready: Ok(()),
            addresses: vec![],
            version: String::new(),
        }
    }

    #[test]
    fn only_what_all_originals_share_is_given() {
        let role = "node-role.kubernetes.io/master";
        let one = peer(
            &[(role, ""), ("kubernetes.io/hostname", "m1"), ("rack", "a"), ("kubernetes.io/os", "linux")],
            &[role, "node.kubernetes.io/unschedulable"],
            true,
        );
        let two = peer(&[(role, ""), ("rack", "b")], &[role], true);
        let (marks, remark) = shared(&[one.clone(), two]);
        assert_eq!(marks.labels, [(role.to_owned(), String::new())].into());
        assert_eq!(marks.taints.iter().map(|t| t.key.as_str()).collect::<Vec<_>>(), [role]);
        assert_eq!((marks.unschedulable, remark), (Some(true), None));
        let (mixed, remark) = shared(&[one, peer(&[], &[], false)]);
        assert!(mixed.labels.is_empty() && mixed.unschedulable.is_none() && remark.is_some());
    }
}
