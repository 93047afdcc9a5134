//! Files that speak of the original, written with the joiner's own address and name; then a search for what is left of it.

use std::{path::PathBuf, sync::Arc};

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
        act::{Act, ActError},
    },
    runbook::{
        Ctx,
        edit::{
            EditError,
            joiner::{Mention, Who, is_environment, mentions, plain_for_joiner, structured_for_joiner},
        },
        texts,
    },
    survey::Finding,
};

const KIND: &str = "kube.addresses";

pub(super) struct Addresses {
    cx: Arc<Ctx>,
    node: Node,
}

struct Look {
    who: Who,
    made: Vec<Made>,
    /// Mentions in other files of the joiner.
    elsewhere: Vec<(PathBuf, Mention)>,
    running: bool,
}

impl Look {
    fn stale(&self) -> impl Iterator<Item = &Made> {
        self.made.iter().filter(|m| !m.right() && !m.by_hand(&self.who))
    }

    fn unexplained(&self) -> Vec<String> {
        let made = self.made.iter().flat_map(|f| f.unexplained(&self.who).into_iter().map(|m| shown(&f.path, m)));
        let others = self.elsewhere.iter().filter(|(_, m)| m.explained.is_none()).map(|(p, m)| shown(p, m));
        made.chain(others).collect()
    }

    fn explained(&self) -> Vec<String> {
        let made = self.made.iter().flat_map(|f| f.mentions.iter().map(|m| (&f.path, m)));
        let all = made.chain(self.elsewhere.iter().map(|(p, m)| (p, m)));
        all.filter_map(|(p, m)| Some(format!("{}:{}: {}, {}", p.display(), m.line, m.what, m.explained?))).collect()
    }
}

fn shown(path: &std::path::Path, mention: &Mention) -> String {
    tr!(
        "{path}:{mention} still says {what}: `{excerpt}`",
        path = path.display(),
        mention = mention.line,
        what = mention.what,
        excerpt = mention.excerpt
    )
}

/// The joiner's text: value by value in JSON and YAML, flags and variables in an environment file. Any other file is taken as
/// it is, and what it says of the original has to be explained.
fn for_joiner(file: &Original, who: &Who) -> Result<String, EditError> {
    match structured_for_joiner(file.text(), who) {
        Err(EditError::Unreadable(_)) if is_environment(file.text()) => Ok(plain_for_joiner(file.text(), who)),
        Err(EditError::Unreadable(_)) => Ok(file.text().to_owned()),
        made => made,
    }
}

impl Addresses {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    async fn look(&self) -> Result<Look, ActError> {
        let who = copied::who(&self.cx, &self.node);
        let running = ground::kubelet_runs(&self.cx, &self.node).await?;
        let spoken = copied::spoken(&self.cx, &self.node).await?;
        // Once kubelet runs, calico's agent writes its own files anew.
        let ours = |path: &PathBuf| !running || path.starts_with(&self.cx.cluster.kube.dir);
        let mut made = Vec::new();
        for file in spoken.named.iter().filter(|f| ours(&f.path)) {
            let wanted = for_joiner(file, &who)
                .map_err(|e| ActError::NotProven(format!("{}: {} {e}", self.cx.source().name, file.path.display())))?;
            made.push(Made::look(&self.cx, &self.node, &who, file, wanted).await?);
        }
        let known: Vec<_> = spoken.named.iter().chain(&spoken.kubelet).map(|f| &f.path).collect();
        let words = vec![who.source.2.to_string(), who.source.0.clone()];
        let mut elsewhere = Vec::new();
        for path in copied::mentioning(&self.cx, &self.node.name, copied::roots(&self.cx), words).await? {
            if known.contains(&&path) || !ours(&path) {
                continue;
            }
            let Some(file) = copied::read(&self.cx, &self.node.name, &path).await? else { continue };
            elsewhere.extend(mentions(file.text(), &who).into_iter().map(|m| (path.clone(), m)));
        }
        Ok(Look { who, made, elsewhere, running })
    }

    fn blocked(&self, look: &Look) -> Vec<Finding> {
        let finding = |what| {
            ground::block(
                &self.node,
                what,
                trs!("it is not known what that is for, and it would break on the day the other master is down"),
                tr!(
                    "change it on {name} if it is wrong there too, or write {joiner}'s file by hand so that it does not say it; then run again",
                    name = self.cx.source().name,
                    joiner = self.node.name
                ),
            )
        };
        look.unexplained().into_iter().map(finding).collect()
    }
}

#[async_trait]
impl Step for Addresses {
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
        let blocked = self.blocked(&look);
        if !blocked.is_empty() {
            return Ok(Probe::Blocked(blocked));
        }
        let stale: Vec<_> = look.stale().map(|m| m.path.display().to_string()).collect();
        if stale.is_empty() {
            let seen =
                tr!("{n_files} files say what {name} has to say", n_files = look.made.len(), name = self.node.name);
            return Ok(Probe::Done(seen));
        }
        if look.running {
            return Ok(Probe::Blocked(ground::quiet(&self.cx, &self.node).await?));
        }
        Ok(Probe::Todo(tr!("to be written: {stale}", stale = stale.join(", "))))
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let mut findings = ground::quiet(&self.cx, &self.node).await?;
        findings.extend(self.blocked(&self.look().await?));
        Ok(findings)
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let look = self.look().await?;
        let (mut acts, mut undo, mut diffs): (Vec<Box<dyn Act>>, _, _) = (Vec::new(), Vec::new(), Vec::new());
        for made in look.stale() {
            let (act, back, diff) = made.write(&self.cx, &self.node, KIND);
            acts.push(act);
            undo.push(back);
            diffs.push(diff);
        }
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.diffs = diffs;
        plan.view.expected = texts::expected(KIND);
        if look.stale().any(Made::absent) {
            let source = &self.cx.source().name;
            plan.view.notes.push(tr!(
                "where {name} has no such file yet, the diff is against {source}'s, which it is made from",
                name = self.node.name,
                source = source
            ));
        }
        let explained = look.explained();
        plan.view.notes.push(tr!(
            "{explained} mentions of {name} stay:",
            explained = explained.len(),
            name = self.cx.source().name
        ));
        plan.view.notes.extend(explained);
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let look = self.look().await?;
        let wrong: Vec<_> = look.stale().map(|m| m.path.display().to_string()).chain(look.unexplained()).collect();
        if !wrong.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{name}: not right yet: {wrong}",
                name = self.node.name,
                wrong = wrong.join("; ")
            )));
        }
        let explained = look.explained();
        Ok(vec![
            tr!("{n_files} files are as they have to be for {name}", n_files = look.made.len(), name = self.node.name),
            tr!(
                "{explained} mentions of {name} are left, all explained",
                explained = explained.len(),
                name = self.cx.source().name
            ),
        ])
    }
}
