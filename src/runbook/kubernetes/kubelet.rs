//! kubelet's unit and the variables it reads, with the node's own name. It is not started here.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    copied::{self, Original},
    ground,
    made::Made,
};
use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{Act, ActError, UndoAct, run::RunOp},
    },
    remote::Op,
    runbook::{
        Ctx,
        edit::{etcd_conf, joiner::plain_for_joiner, kubelet_env},
        texts,
    },
    survey::{FileKind, Finding},
};

const KIND: &str = "kube.kubelet";

/// The flag that gives a node its name; without it that is the system's hostname.
const NAME: &str = "hostname-override";

pub(super) struct Kubelet {
    cx: Arc<Ctx>,
    node: Node,
}

struct Look {
    made: Vec<Made>,
    /// Whether systemd knows the unit.
    loaded: bool,
    running: bool,
    /// Where the name comes from, in words.
    named_by: &'static str,
    blocked: Vec<Finding>,
}

impl Kubelet {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    fn told(&self, file: &Original, e: &crate::runbook::edit::EditError) -> ActError {
        ActError::NotProven(format!("{}: {} {e}", self.cx.source().name, file.path.display()))
    }

    async fn look(&self) -> Result<Look, ActError> {
        let (cx, node) = (&self.cx, &self.node);
        let who = copied::who(cx, node);
        let spoken = copied::spoken(cx, node).await?;
        let mut blocked = Vec::new();
        let given = self.given(&spoken.kubelet)?;
        let on_source = match &given {
            Some(name) => name.clone(),
            None => cx.facts(&cx.source().name).await?.hostname,
        };
        if on_source != who.source.1 {
            blocked.push(ground::block(
                node,
                tr!(
                    "{source}'s kubelet calls itself {on_source}, and by the cluster file it is {by_file}",
                    source = who.source.0,
                    on_source = on_source,
                    by_file = who.source.1
                ),
                trs!(
                    "the joiner would be named by another rule than the originals, and certificates are made for names"
                ),
                trs!("set `domain` in the cluster file so that NAME.DOMAIN is what `kubectl get nodes` shows").into(),
            ));
        }
        let own_hostname = cx.facts(&node.name).await?.hostname == who.joiner.1;
        let add_name = given.is_none() && !own_hostname;
        let mut texts: Vec<_> = spoken.kubelet.iter().map(|f| plain_for_joiner(f.text(), &who)).collect();
        if add_name && !texts.iter_mut().any(|t| kubelet_env::append(t, &format!("--{NAME}={}", who.joiner.1))) {
            blocked.push(ground::block(
                node,
                tr!(
                    "the hostname is not {joiner}, and kubelet has no variable that could say so",
                    joiner = who.joiner.1
                ),
                trs!("kubelet would register under the hostname"),
                tr!(
                    "add --{flag} to kubelet's arguments on {source} as well, then run again",
                    flag = NAME,
                    source = who.source.0
                ),
            ));
        }
        let mut made = Vec::new();
        for (file, wanted) in spoken.kubelet.iter().zip(texts) {
            made.push(Made::look(cx, node, &who, file, wanted).await?);
        }
        for file in &made {
            blocked.extend(file.unexplained(&who).into_iter().map(|m| {
                let what = tr!(
                    "{path}:{line} still says {what}: `{excerpt}`",
                    path = file.path.display(),
                    line = m.line,
                    what = m.what,
                    excerpt = m.excerpt
                );
                let remedy = tr!(
                    "change it on {source}, or write {joiner}'s file by hand; then run again",
                    source = who.source.0,
                    joiner = who.joiner.0
                );
                ground::block(node, what, trs!("kubelet would speak for another master"), remedy)
            }));
        }
        for path in &spoken.identities {
            if cx.stat_one(&node.name, path).await?.kind == FileKind::Absent {
                blocked.push(ground::block(
                    node,
                    tr!(
                        "{path} holds {source}'s own identity and is not copied",
                        path = path.display(),
                        source = who.source.0
                    ),
                    trs!("a kubelet with another node's certificate speaks in that node's name"),
                    tr!("make one for system:node:{joiner} and put it there, then run again", joiner = who.joiner.1),
                ));
            }
        }
        Ok(Look {
            made,
            loaded: cx.unit(&node.name, &cx.cluster.kube.kubelet_unit()).await?.load == "loaded",
            running: ground::kubelet_runs(cx, node).await?,
            named_by: if given.is_some() || add_name { "--hostname-override" } else { trs!("its hostname") },
            blocked,
        })
    }

    /// The name that the unit or its variables give the original.
    fn given(&self, files: &[Original]) -> Result<Option<String>, ActError> {
        for file in files {
            if let Some(name) = etcd_conf::flag(file.text(), NAME).map_err(|e| self.told(file, &e))? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

impl Look {
    fn stale(&self) -> Vec<String> {
        let mut stale: Vec<_> = self.made.iter().filter(|m| !m.right()).map(|m| m.path.display().to_string()).collect();
        if !self.loaded {
            stale.push(trs!("systemd does not know the unit").into());
        }
        stale
    }
}

#[async_trait]
impl Step for Kubelet {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: Some(self.node.name.clone()) }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Kubernetes
    }

    fn title(&self) -> String {
        texts::title(KIND, Some(&self.node.name))
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let look = self.look().await?;
        let stale = look.stale();
        let name = self.cx.cluster.node_name(&self.node);
        Ok(match (look.blocked.is_empty(), stale.is_empty(), look.running) {
            (false, ..) => Probe::Blocked(look.blocked),
            (true, true, true) => Probe::Done(tr!("kubelet runs as {name}", name = name)),
            (true, true, false) => Probe::Done(tr!("unit and variables are there, for {name}", name = name)),
            (true, false, true) => Probe::Blocked(ground::quiet(&self.cx, &self.node).await?),
            (true, false, false) => Probe::Todo(tr!("not there or different: {stale}", stale = stale.join(", "))),
        })
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        ground::ready(&self.cx, &self.node, false).await
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let look = self.look().await?;
        let (mut acts, mut undo, mut diffs): (Vec<Box<dyn Act>>, _, _) = (Vec::new(), Vec::new(), Vec::new());
        for made in look.made.iter().filter(|m| !m.right()) {
            let (act, back, diff) = made.write(&self.cx, &self.node, KIND);
            acts.push(act);
            undo.push(back);
            diffs.push(diff);
        }
        acts.push(RunOp::act(&self.node.name, Op::DaemonReload));
        undo.push(UndoAct::DaemonReload { host: self.node.name.to_string() });
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.diffs = diffs;
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.push(tr!(
            "kubelet will call itself {node} by {named_by}; it is not started yet",
            node = self.cx.cluster.node_name(&self.node),
            named_by = look.named_by
        ));
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let look = self.look().await?;
        let stale = look.stale();
        if !stale.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{name}: not right yet: {stale}",
                name = self.node.name,
                stale = stale.join(", ")
            )));
        }
        Ok(vec![
            tr!("kubelet's unit is loaded, {n_files} files are as they have to be", n_files = look.made.len()),
            tr!(
                "its name is {node} by {named_by}",
                node = self.cx.cluster.node_name(&self.node),
                named_by = look.named_by
            ),
            if look.running { trs!("it runs").to_owned() } else { trs!("it does not run yet").to_owned() },
        ])
    }
}
