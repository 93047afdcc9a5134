//! One joiner into the cluster: its etcd.conf, member add, start, caught up.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{super::gate, learners};
use crate::{
    cluster::{Node, Voters},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            etcd::{MemberAdd, WaitMember, Want, why_unhealthy},
            run::RunOp,
        },
        plan::{FileDiff, QuorumChange, UndoCard},
    },
    remote::{
        Content, Op,
        etcd::{Member, Membership},
        op::{Owner, UnitVerb},
    },
    runbook::{Ctx, edit::etcd_conf, owner_of, texts},
    survey::Finding,
};

const KIND: &str = "etcd.join";

/// Most time for a joiner to fetch the database and catch up.
const CATCH_UP: Duration = Duration::from_mins(10);

pub(super) struct Join {
    cx: Arc<Ctx>,
    node: Node,
}

impl Join {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    fn peer_url(&self) -> String {
        self.cx.cluster.peer_url(&self.node)
    }

    /// The file the joiner is to have: made from the source's, with the members of this moment.
    async fn conf(&self, seen: &Membership) -> Result<String, ActError> {
        let source = self.cx.source();
        let path = &self.cx.cluster.etcd.config;
        let text = self.cx.need_text(&source.name, path).await?;
        let mut members: Vec<_> = seen.initial_cluster();
        let own = (self.node.name.to_string(), self.peer_url());
        if !members.contains(&own) {
            members.push(own);
        }
        // As the originals' files list them; etcd itself lists by id.
        let masters: Vec<_> = self.cx.cluster.all_masters().map(|n| self.cx.cluster.peer_url(n)).collect();
        members.sort_by_key(|(_, url)| masters.iter().position(|m| m == url).unwrap_or(masters.len()));
        let joiner = (&self.node.name, self.node.address);
        etcd_conf::for_joiner(&text, (&source.name, source.address), joiner, &members)
            .map_err(|e| ActError::NotProven(format!("{}: {} {e}", source.name, path.display())))
    }

    /// Why a boot would not start its etcd; `None` when it does.
    async fn no_boot(&self) -> Result<Option<String>, ActError> {
        let name = &self.cx.cluster.etcd.unit;
        let unit = self.cx.unit(&self.node.name, name).await?;
        Ok((!unit.boots()).then(|| {
            tr!("{name}.service is {state}: a reboot would leave it down", name = name, state = unit.enabled_word())
        }))
    }

    fn undo(&self) -> Vec<UndoAct> {
        let etcd = &self.cx.cluster.etcd;
        let host = self.node.name.to_string();
        vec![
            // First out of the list: a voter that is stopped while still listed costs the margin.
            UndoAct::MemberRemove {
                host: self.cx.source().name.to_string(),
                name: host.clone(),
                peer_url: self.peer_url(),
            },
            UndoAct::StopUnit { host: host.clone(), unit: etcd.unit.clone() },
            UndoAct::RemoveTree { host: host.clone(), path: etcd.data.join("member") },
            UndoAct::RestoreFile { host, path: etcd.config.clone(), backup: self.cx.kept(KIND, &etcd.config) },
        ]
    }

    fn quorum(seen: &Membership, learner: bool, there: bool) -> QuorumChange {
        let before = seen.voters();
        let grown = |healthy: usize| match (learner, there) {
            (_, true) => before,
            (true, false) => Voters { learners: before.learners + 1, ..before },
            (false, false) => Voters { total: before.total + 1, healthy: before.healthy + healthy, ..before },
        };
        QuorumChange { before, during: grown(0), after: grown(1) }
    }
}

#[async_trait]
impl Step for Join {
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
        if learners(&self.cx) { Risk::Reversible } else { Risk::Irreversible }
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let seen = self.cx.membership().await?;
        Ok(match seen.by_peer_url(&self.peer_url()) {
            None => Probe::Todo(trs!("not a member yet").into()),
            Some(m) if !m.started() => Probe::Todo(trs!("added, but it has not started: going on from there").into()),
            Some(m) if !m.healthy() => Probe::Todo(tr!("a member, but not healthy: {why}", why = why_unhealthy(m))),
            Some(m) => match self.no_boot().await? {
                Some(why) => Probe::Todo(tr!("a member that runs, but {why}", why = why)),
                None => {
                    Probe::Done(if m.learner { trs!("a learner that runs") } else { trs!("a healthy voter") }.into())
                }
            },
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let seen = self.cx.membership().await?;
        let (cluster, host) = (&self.cx.cluster, &self.node.name);
        let etcd = &cluster.etcd;
        let learner = learners(&self.cx);
        let member = seen.by_peer_url(&self.peer_url());
        let there = member.is_some();
        let enable = RunOp::act(host, Op::Systemctl { verb: UnitVerb::Enable, unit: etcd.unit.clone() });
        // What is well is not restarted, nor taken out where enabling it fails: there is nothing to take back.
        if member.is_some_and(Member::healthy) {
            let (until, cost) =
                (trs!("not needed: only a unit is enabled").into(), trs!("no member is touched").into());
            let none = UndoCard { until, cost, acts: Vec::new() };
            let mut plan = Plan::new(Risk::Reversible, vec![enable], Vec::new(), none);
            plan.view.quorum = Some(Self::quorum(&seen, learner, there));
            plan.view.expected = texts::expected(KIND);
            plan.view.notes.push(trs!("the member runs and is well: its unit is enabled, nothing is restarted").into());
            return Ok(plan);
        }
        let conf = self.conf(&seen).await?;
        let now = self.cx.read_text(host, &etcd.config).await?;
        let theirs = self.cx.stat_one(&self.cx.source().name, &etcd.config).await?;
        let mut acts: Vec<Box<dyn Act>> = Vec::new();
        let mut diffs = Vec::new();
        if now.as_ref() != Some(&conf) {
            acts.push(RunOp::act(
                host,
                Op::WriteFile {
                    path: etcd.config.clone(),
                    content: Content::Text(conf.clone()),
                    mode: theirs.mode,
                    owner: owner_of(&theirs),
                    backup: Some(self.cx.kept(KIND, &etcd.config)),
                },
            ));
            diffs.push(FileDiff { host: host.clone(), path: etcd.config.clone(), before: now, after: conf });
        }
        let data = Op::MakeDir { path: etcd.data.clone(), mode: 0o700, owner: Owner::both(&etcd.user) };
        acts.push(RunOp::act(host, data));
        if !there {
            acts.push(Box::new(MemberAdd { host: host.clone(), peer_url: self.peer_url(), learner }));
        }
        // What runs already may run with the old file.
        let active = self.cx.unit(host, &etcd.unit).await?.active;
        let verb = if active == "inactive" { UnitVerb::Start } else { UnitVerb::Restart };
        acts.extend([enable, RunOp::act(host, Op::Systemctl { verb, unit: etcd.unit.clone() })]);
        acts.push(Box::new(WaitMember {
            host: host.clone(),
            unit: etcd.unit.clone(),
            peer_url: self.peer_url(),
            want: if learner { Want::CaughtUp } else { Want::HealthyVoter },
            deadline: CATCH_UP,
        }));
        let mut plan = Plan::new(self.risk(), acts, self.undo(), texts::undo_card(KIND));
        plan.view.diffs = diffs;
        plan.view.quorum = Some(Self::quorum(&seen, learner, there));
        plan.view.expected = texts::expected(KIND);
        if learner {
            plan.view.notes.push(trs!("a learner has no vote: quorum stays as it is while it catches up").into());
        } else {
            plan.view.notes.push(tr!(
                "this etcd has no learners: {host} counts as a voter from the moment it is added, before it runs",
                host = host
            ));
            plan.view.down_meanwhile =
                Some(trs!("nothing, as long as every other member stays up until it has joined").into());
        }
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        gate::quorum(&self.cx, gate::About::Grow(&self.node)).await
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let seen = self.cx.membership().await?;
        let Some(member) = seen.by_peer_url(&self.peer_url()).filter(|m| m.healthy()) else {
            return Err(ActError::NotProven(tr!(
                "{name}: is no healthy member; look at its journal",
                name = self.node.name
            )));
        };
        if let Some(why) = self.no_boot().await? {
            return Err(ActError::NotProven(format!("{}: {why}", self.node.name)));
        }
        let mut proofs = self.cx.prove_served(&self.node).await?;
        proofs.push(tr!(
            "{name} is a {role}",
            name = member.name,
            role = if member.learner { "learner" } else { "voter" }
        ));
        proofs.push(seen.voters().sentence());
        Ok(proofs)
    }
}
