//! The handshake rehearsed: while a wrong SAN, a firewall or NAT is still free to find.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{Act, ActError, rehearse::Rehearse},
    },
    remote::etcd::Member,
    runbook::{Ctx, texts},
};

const KIND: &str = "etcd.rehearse";

pub(super) struct RehearseStep {
    cx: Arc<Ctx>,
    node: Node,
    proofs: Arc<Mutex<Vec<String>>>,
}

impl RehearseStep {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node, proofs: Arc::default() }
    }
}

#[async_trait]
impl Step for RehearseStep {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: Some(self.node.name.clone()) }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Etcd
    }

    fn title(&self) -> String {
        super::title(KIND, &self.node.name)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let seen = self.cx.membership().await?;
        Ok(match seen.by_peer_url(&self.cx.cluster.peer_url(&self.node)) {
            Some(m) if m.started() => Probe::Done(trs!("it is a member already: every handshake has happened").into()),
            Some(_) if self.cx.unit(&self.node.name, &self.cx.cluster.etcd.unit).await?.active == "active" => {
                Probe::Done(trs!("added already and its etcd runs: the next step watches it join").into())
            }
            _ => Probe::Todo(trs!("not a member yet").into()),
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        // Voters of other hosts than the file's can't be dialled from; the survey has blocked those.
        let seen = self.cx.membership().await?;
        let members: Vec<_> = self
            .cx
            .cluster
            .all_masters()
            .filter(|n| n.name != self.node.name)
            .filter(|n| seen.by_peer_url(&self.cx.cluster.peer_url(n)).is_some_and(Member::started))
            .cloned()
            .collect();
        let act: Box<dyn Act> = Box::new(Rehearse {
            cluster: self.cx.cluster.clone(),
            joiner: self.node.clone(),
            members,
            proofs: self.proofs.clone(),
        });
        let mut plan = Plan::new(Risk::Reversible, vec![act], Vec::new(), texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.push(trs!("a lone etcd of its own token runs on the joiner for a few seconds; it ends with the rehearsal, its scratch directory too").into());
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        Ok(self.proofs.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
