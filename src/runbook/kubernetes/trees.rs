//! The runbook's trees, copied through this machine; and calico's name for the node.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::{copied, ground};
use crate::{
    cluster::{HostName, Node},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{Act, ActError, UndoAct, run::RunOp, tree::CopyTree},
    },
    remote::{
        Content, Op, run_ok,
        tree::{Listing, TreeOp, parse_listing},
    },
    runbook::{Ctx, owner_of, texts},
    survey::{FileKind, FileState, Finding},
};

const KIND: &str = "kube.trees";
/// The old nodename is kept as if by a step of this name.
const KEPT_NODENAME: &str = "kube.nodename";

/// Free space wanted beyond the trees themselves, in bytes.
const MARGIN: u64 = 64 << 20;

/// Most paths named in a message.
const NAMED: usize = 4;

pub(super) struct Trees {
    cx: Arc<Ctx>,
    node: Node,
}

/// One directory, beside the original's.
struct Tree {
    root: PathBuf,
    source: Listing,
    /// Paths that are not as on the original.
    wrong: Vec<PathBuf>,
}

struct Look {
    trees: Vec<Tree>,
    except: Vec<PathBuf>,
    running: bool,
    /// calico's file on the original, and the joiner's text where it is wrong (`None` when there is none).
    nodename: Option<(FileState, Option<String>)>,
}

impl Tree {
    fn size(&self) -> u64 {
        self.source.values().map(|e| e.size).sum()
    }
}

impl Look {
    fn lacking(&self) -> Vec<String> {
        let wrong = self.trees.iter().filter(|t| !t.wrong.is_empty());
        let mut lacking: Vec<_> = wrong
            .map(|t| {
                let names: Vec<_> = t.wrong.iter().take(NAMED).map(|p| p.display().to_string()).collect();
                match t.wrong.first() {
                    Some(first) if first.as_os_str().is_empty() => t.root.display().to_string(),
                    _ => tr!(
                        "{root} ({wrong} of it: {value})",
                        root = t.root.display(),
                        wrong = t.wrong.len(),
                        value = names.join(", ")
                    ),
                }
            })
            .collect();
        if let Some((state, _)) = &self.nodename {
            lacking.push(state.path.display().to_string());
        }
        lacking
    }
}

impl Trees {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    async fn list(&self, host: &HostName, dir: &Path, except: &[PathBuf]) -> Result<Listing, ActError> {
        let op = Op::Tree(TreeOp::List { dir: dir.to_owned(), except: except.to_vec() });
        let out = run_ok(&*self.cx.remote, host, &op).await?;
        parse_listing(&out.text()).ok_or_else(|| {
            ActError::NotProven(tr!("{host}: {summary} made no sense; run again", host = host, summary = op.summary()))
        })
    }

    async fn look(&self) -> Result<Look, ActError> {
        let except = copied::spoken(&self.cx, &self.node).await?.left_out(&self.cx);
        let running = ground::kubelet_runs(&self.cx, &self.node).await?;
        let mut trees = Vec::new();
        for root in copied::roots(&self.cx) {
            let source = &self.cx.source().name;
            let (source, mine) =
                tokio::try_join!(self.list(source, &root, &except), self.list(&self.node.name, &root, &except))?;
            if !source.is_empty() {
                let wrong = self.wrong(&root, &source, &mine, running);
                trees.push(Tree { root, source, wrong });
            }
        }
        let nodename = self.nodename().await?;
        Ok(Look { trees, except, running, nodename })
    }

    /// What is not as on the original. Once kubelet runs, it and calico write below /var/lib, /etc/cni and /opt/cni
    /// themselves, and only that the directories are there can be asked.
    fn wrong(&self, root: &Path, source: &Listing, mine: &Listing, running: bool) -> Vec<PathBuf> {
        let settings = root.starts_with(&self.cx.cluster.kube.dir) || root.starts_with("/etc/calico");
        if running && !settings {
            return if mine.is_empty() { vec![PathBuf::new()] } else { Vec::new() };
        }
        let differs = |path: &&PathBuf| !mine.get(*path).is_some_and(|m| source[*path].same(m));
        let mut wrong: Vec<_> = source.keys().filter(differs).cloned().collect();
        // Something more among manifests or networks would be taken for one of them.
        if !running && root.starts_with("/etc") {
            wrong.extend(mine.keys().filter(|p| !source.contains_key(*p)).cloned());
        }
        wrong
    }

    /// calico's file where it is wrong; `None` when it is right or the original has none.
    async fn nodename(&self) -> Result<Option<(FileState, Option<String>)>, ActError> {
        let path = Path::new(copied::NODENAME);
        let theirs = self.cx.stat_one(&self.cx.source().name, path).await?;
        if theirs.kind == FileKind::Absent {
            return Ok(None);
        }
        let mine = self.cx.read_text(&self.node.name, path).await?;
        let right = mine.as_deref() == Some(self.cx.cluster.node_name(&self.node).as_str());
        Ok((!right).then_some((theirs, mine)))
    }
}

#[async_trait]
impl Step for Trees {
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
        let lacking = look.lacking();
        Ok(match (lacking.is_empty(), look.running) {
            (true, false) => Probe::Done(tr!(
                "{trees} trees are as on {name}",
                trees = look.trees.len(),
                name = self.cx.source().name
            )),
            (true, true) => Probe::Done(trs!("the trees are there, and kubelet runs on them").into()),
            (false, false) => Probe::Todo(tr!("not there or different: {lacking}", lacking = lacking.join("; "))),
            (false, true) => Probe::Blocked(ground::quiet(&self.cx, &self.node).await?),
        })
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let mut findings = ground::quiet(&self.cx, &self.node).await?;
        let look = self.look().await?;
        let needed: u64 = look.trees.iter().filter(|t| !t.wrong.is_empty()).map(Tree::size).sum();
        let space: Vec<_> = look.trees.iter().map(|t| t.root.clone()).collect();
        let op = Op::Facts { ports: Vec::new(), space, programs: Vec::new() };
        let asked = std::time::SystemTime::now();
        let out = run_ok(&*self.cx.remote, &self.node.name, &op).await?;
        let facts = crate::survey::facts::parse(&out.text(), asked, std::time::SystemTime::now())
            .map_err(|e| ActError::NotProven(format!("{}: {e}", self.node.name)))?;
        if let Some((dir, free)) = facts.free.iter().min_by_key(|(_, free)| **free)
            && *free < needed + MARGIN
        {
            findings.push(ground::block(
                &self.node,
                tr!(
                    "{free} MiB are free at {dir}, {needed} MiB are to be copied",
                    free = free >> 20,
                    dir = dir.display(),
                    needed = needed >> 20
                ),
                trs!("a full disk stops more than this copy"),
                tr!("make room on {name}", name = self.node.name),
            ));
        }
        Ok(findings)
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let look = self.look().await?;
        let (host, source) = (&self.node.name, &self.cx.source().name);
        let (mut acts, mut undo): (Vec<Box<dyn Act>>, _) = (Vec::new(), Vec::new());
        for tree in look.trees.iter().filter(|t| !t.wrong.is_empty()) {
            let kept = self.cx.kept(KIND, &tree.root);
            undo.push(UndoAct::RestoreTree { host: host.to_string(), path: tree.root.clone(), kept: kept.clone() });
            acts.push(Box::new(CopyTree {
                from: source.clone(),
                to: host.clone(),
                root: tree.root.clone(),
                except: look.except.iter().filter(|p| p.starts_with(&tree.root)).cloned().collect(),
                size: tree.size(),
                entries: tree.source.len(),
                kept,
            }));
        }
        undo.reverse();
        let name = PathBuf::from(copied::NODENAME);
        let replaced = look.trees.iter().any(|t| !t.wrong.is_empty() && name.starts_with(&t.root));
        let theirs = match &look.nodename {
            Some((state, _)) => Some(state.clone()),
            // The tree it lies in is replaced as a whole.
            None if replaced => Some(self.cx.stat_one(source, &name).await?).filter(|s| s.kind != FileKind::Absent),
            None => None,
        };
        if let Some(theirs) = theirs {
            // Whether or not its tree is replaced in this run, and not below what is kept of that: there would be a
            // directory then where there was none.
            let backup = self.cx.kept(KEPT_NODENAME, &name);
            let op = Op::WriteFile {
                path: name.clone(),
                content: Content::Text(self.cx.cluster.node_name(&self.node)),
                mode: theirs.mode,
                owner: owner_of(&theirs),
                backup: Some(backup.clone()),
            };
            acts.push(RunOp::act(host, op));
            // Before its tree is put back, which may have one of its own.
            undo.insert(0, UndoAct::RestoreFile { host: host.to_string(), path: name, backup });
        }
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        plan.view.notes = self.notes(&look);
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let look = self.look().await?;
        let lacking = look.lacking();
        if !lacking.is_empty() {
            let what = lacking.join("; ");
            return Err(ActError::NotProven(tr!(
                "{name}: still not as on the original: {what}",
                name = self.node.name,
                what = what
            )));
        }
        let source = &self.cx.source().name;
        let mut proofs: Vec<_> = look
            .trees
            .iter()
            .map(|t| {
                tr!(
                    "{root}: {entries} entries, owners, modes and sha256 as on {source}",
                    root = t.root.display(),
                    entries = t.source.len(),
                    source = source
                )
            })
            .collect();
        proofs.push(tr!(
            "{copied} says {node}, without a line end",
            copied = copied::NODENAME,
            node = self.cx.cluster.node_name(&self.node)
        ));
        Ok(proofs)
    }
}

impl Trees {
    fn notes(&self, look: &Look) -> Vec<String> {
        let never = copied::never(&self.cx);
        let shown = |paths: Vec<&PathBuf>| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        let made = look.except.iter().filter(|p| !never.contains(p)).collect();
        vec![
            tr!("never copied: {never}", never = shown(never.iter().collect())),
            tr!(
                "they speak of {name} and are written for {joiner} by the next steps: {which}",
                name = self.cx.source().name,
                joiner = self.node.name,
                which = shown(made)
            ),
        ]
    }
}
