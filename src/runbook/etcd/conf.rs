//! `--initial-cluster` in every etcd.conf, at the end, without restarts: the flag is ignored once a data directory exists,
//! and is what the next person reads when a member has to be rebuilt.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;

use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{Act, ActError, UndoAct, run::RunOp},
        plan::FileDiff,
    },
    remote::{Content, Op},
    runbook::{Ctx, edit::etcd_conf, owner_of, texts},
};

const KIND: &str = "etcd.conf";

pub(super) struct UpdateConf {
    cx: Arc<Ctx>,
}

/// A file whose list is not the members'.
struct Stale {
    node: Node,
    before: String,
    after: String,
}

impl UpdateConf {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    /// Every master's name and peer URL, originals first.
    fn members(&self) -> Vec<(String, String)> {
        self.cx.cluster.all_masters().map(|n| (n.name.to_string(), self.cx.cluster.peer_url(n))).collect()
    }

    async fn stale(&self) -> Result<Vec<Stale>, ActError> {
        let path = &self.cx.cluster.etcd.config;
        let wanted = self.members();
        let mut stale = Vec::new();
        for node in self.cx.cluster.all_masters() {
            // A joiner that has no file yet gets one when it joins.
            let Some(before) = self.cx.read_text(&node.name, path).await? else { continue };
            let told = |e: crate::runbook::edit::EditError| {
                ActError::NotProven(format!("{}: {} {e}", node.name, path.display()))
            };
            let Some(listed) = etcd_conf::initial_cluster(&before).map_err(told)? else { continue };
            if listed.iter().collect::<BTreeSet<_>>() == wanted.iter().collect::<BTreeSet<_>>() {
                continue;
            }
            let after = etcd_conf::with_initial_cluster(&before, &wanted).map_err(told)?;
            stale.push(Stale { node: node.clone(), before, after });
        }
        Ok(stale)
    }
}

#[async_trait]
impl Step for UpdateConf {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Etcd
    }

    fn title(&self) -> String {
        texts::title(KIND, None)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let stale = self.stale().await?;
        if stale.is_empty() {
            return Ok(Probe::Done(trs!("every etcd.conf lists every member").into()));
        }
        let hosts = stale.iter().map(|s| s.node.name.to_string()).collect::<Vec<_>>().join(", ");
        Ok(Probe::Todo(tr!("--initial-cluster is not complete on {hosts}", hosts = hosts)))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let path = &self.cx.cluster.etcd.config;
        let (mut acts, mut undo, mut diffs): (Vec<Box<dyn Act>>, _, _) = (Vec::new(), Vec::new(), Vec::new());
        for stale in self.stale().await? {
            let host = stale.node.name.clone();
            let state = self.cx.stat_one(&host, path).await?;
            acts.push(RunOp::act(
                &host,
                Op::WriteFile {
                    path: path.clone(),
                    content: Content::Text(stale.after.clone()),
                    mode: state.mode,
                    owner: owner_of(&state),
                    backup: Some(self.cx.kept(KIND, path)),
                },
            ));
            undo.push(UndoAct::RestoreFile {
                host: host.to_string(),
                path: path.clone(),
                backup: self.cx.kept(KIND, path),
            });
            diffs.push(FileDiff { host, path: path.clone(), before: Some(stale.before), after: stale.after });
        }
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.diffs = diffs;
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.push(trs!("no etcd is restarted: the flag is ignored once a data directory exists").into());
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        if let Some(stale) = self.stale().await?.first() {
            return Err(ActError::NotProven(tr!(
                "{name}: still lists other members; run again",
                name = stale.node.name
            )));
        }
        let seen = self.cx.membership().await?;
        let unhealthy: Vec<_> = seen.members.iter().filter(|m| !m.healthy()).map(|m| m.name.clone()).collect();
        if !unhealthy.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{unhealthy} not healthy; look at the journals",
                unhealthy = unhealthy.join(", ")
            )));
        }
        Ok(vec![trs!("every etcd.conf lists every member, and none was restarted").into(), seen.voters().sentence()])
    }
}
