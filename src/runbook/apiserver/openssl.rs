//! openssl.conf: the joiners' names under the next free numbers, so that the next certificate has them too.

use std::sync::Arc;

use async_trait::async_trait;

use super::{first_with, lacking, port_taken};
use crate::{
    cluster::HostName,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{ActError, UndoAct, run::RunOp},
        plan::FileDiff,
    },
    remote::{Content, Op},
    runbook::{Ctx, edit::openssl_conf, owner_of, texts},
    survey::Finding,
};

const KIND: &str = "apiserver.openssl";

pub(super) struct OpensslConf {
    cx: Arc<Ctx>,
}

struct Seen {
    host: HostName,
    before: String,
    after: String,
    added: Vec<String>,
}

impl OpensslConf {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    /// The file as it is and as it will be; `None` where no original has one.
    async fn look(&self) -> Result<Option<Seen>, ActError> {
        let path = self.cx.cluster.kube.openssl_conf();
        let Some(node) = first_with(&self.cx, std::slice::from_ref(&path)).await? else { return Ok(None) };
        let before = self.cx.need_text(&node.name, &path).await?;
        let told =
            |e: crate::runbook::edit::EditError| ActError::NotProven(format!("{}: {} {e}", node.name, path.display()));
        let has = openssl_conf::names(&before).map_err(told)?;
        let add = lacking(&self.cx.cluster, &has);
        let after = openssl_conf::with_names(&before, &add).map_err(told)?;
        let added = add.iter().map(ToString::to_string).collect();
        Ok(Some(Seen { host: node.name.clone(), before, after, added }))
    }
}

#[async_trait]
impl Step for OpensslConf {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Certificate
    }

    fn title(&self) -> String {
        texts::title(KIND, None)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let path = self.cx.cluster.kube.openssl_conf();
        Ok(match self.look().await? {
            None => Probe::Done(tr!("no original has {path}: nothing to keep in step", path = path.display())),
            Some(seen) if seen.added.is_empty() => {
                Probe::Done(tr!("{host}:{path} has every address", host = seen.host, path = path.display()))
            }
            Some(seen) => Probe::Todo(tr!(
                "{host}:{path} lacks {added}",
                host = seen.host,
                path = path.display(),
                added = seen.added.join(", ")
            )),
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let path = self.cx.cluster.kube.openssl_conf();
        let Some(seen) = self.look().await? else {
            return Err(ActError::NotProven(tr!("no original has {path} any more; run again", path = path.display())));
        };
        let state = self.cx.stat_one(&seen.host, &path).await?;
        let backup = self.cx.kept(KIND, &path);
        let write = Op::WriteFile {
            path: path.clone(),
            content: Content::Text(seen.after.clone()),
            mode: state.mode,
            owner: owner_of(&state),
            backup: Some(backup.clone()),
        };
        let undo = vec![UndoAct::RestoreFile { host: seen.host.to_string(), path: path.clone(), backup }];
        let mut plan = Plan::new(Risk::Reversible, vec![RunOp::act(&seen.host, write)], undo, texts::undo_card(KIND));
        plan.view.diffs = vec![FileDiff { host: seen.host, path, before: Some(seen.before), after: seen.after }];
        plan.view.expected = texts::expected(KIND);
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        // Nothing here needs the port: it is said now because now is early.
        port_taken(&self.cx).await
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let path = self.cx.cluster.kube.openssl_conf();
        match self.look().await? {
            Some(seen) if seen.added.is_empty() => {
                Ok(vec![tr!("{host}:{path} names every master", host = seen.host, path = path.display())])
            }
            _ => Err(ActError::NotProven(tr!("{path} still lacks names; run again", path = path.display()))),
        }
    }
}
