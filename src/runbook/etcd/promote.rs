//! A learner that has caught up gets its vote.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::super::gate;
use crate::{
    cluster::{Node, Voters},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError,
            etcd::{MemberPromote, WaitMember, Want},
        },
        plan::QuorumChange,
    },
    runbook::{Ctx, texts},
    survey::Finding,
};

const KIND: &str = "etcd.promote";

pub(super) struct Promote {
    cx: Arc<Ctx>,
    node: Node,
}

impl Promote {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    fn peer_url(&self) -> String {
        self.cx.cluster.peer_url(&self.node)
    }
}

#[async_trait]
impl Step for Promote {
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
        Risk::Irreversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let seen = self.cx.membership().await?;
        Ok(match seen.by_peer_url(&self.peer_url()) {
            Some(m) if !m.learner && m.started() => Probe::Done(trs!("it votes already").into()),
            Some(_) => Probe::Todo(trs!("a learner, without a vote").into()),
            None => Probe::Todo(trs!("not a member yet").into()),
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let before = self.cx.membership().await?.voters();
        let host = self.node.name.clone();
        let acts: Vec<Box<dyn Act>> = vec![
            Box::new(MemberPromote { host: host.clone(), peer_url: self.peer_url(), deadline: Duration::from_mins(2) }),
            Box::new(WaitMember {
                host: host.clone(),
                unit: self.cx.cluster.etcd.unit.clone(),
                peer_url: self.peer_url(),
                want: Want::HealthyVoter,
                deadline: Duration::from_mins(1),
            }),
        ];
        // A vote can't be taken back by itself: the way back is the join's, which removes the member.
        let mut plan = Plan::new(Risk::Irreversible, acts, Vec::new(), texts::undo_card(KIND));
        let after = Voters {
            total: before.total + 1,
            healthy: before.healthy + 1,
            learners: before.learners.saturating_sub(1),
        };
        plan.view.quorum = Some(QuorumChange { before, during: after, after });
        plan.view.expected = texts::expected(KIND);
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        gate::quorum(&self.cx, gate::About::Grow(&self.node)).await
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let seen = self.cx.membership().await?;
        let votes = seen.by_peer_url(&self.peer_url()).is_some_and(|m| !m.learner && m.healthy());
        if !votes {
            return Err(ActError::NotProven(tr!(
                "{name}: is no healthy voter; look at its journal",
                name = self.node.name
            )));
        }
        Ok(vec![tr!("{name} votes", name = self.node.name), seen.voters().sentence()])
    }
}
