//! The cluster's certificates and keys onto a joiner, and the proof that all masters have the same.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;

use super::same;
use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            run::{CopyFile, CopyFiles, RunOp},
        },
    },
    remote::{Op, run_ok},
    runbook::{Ctx, owner_of, texts},
    survey::{FileKind, FileState, parse},
};

const KIND: &str = "kube.pki";

pub(super) struct CopyPki {
    cx: Arc<Ctx>,
    node: Node,
}

/// A file or directory of the source and how it stands on the joiner.
struct Wanted {
    theirs: FileState,
    /// Permission bits it is to have.
    mode: u32,
    /// What is wrong with the joiner's, if anything.
    wrong: Option<String>,
}

/// Whether a file is a private key, by the names cfssl, openssl and kubeadm give and by what its owner thought of it.
fn is_private(state: &FileState) -> bool {
    let name = state.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let by_name = ["key.pem", ".key"].iter().any(|end| name.ends_with(end));
    let others = state.mode & 0o077;
    by_name || (state.kind == FileKind::File && others == 0)
}

/// At least as tight as the source's, and 0600 for a key.
fn wanted_mode(state: &FileState) -> u32 {
    if state.kind == FileKind::File && is_private(state) { state.mode & 0o700 } else { state.mode & 0o7755 }
}

fn wrong(theirs: &FileState, mode: u32, mine: &FileState) -> Option<String> {
    let name = theirs.path.display();
    if mine.kind == FileKind::Absent {
        return Some(tr!("{name} is missing", name = name));
    }
    if mine.kind != theirs.kind {
        return Some(tr!("{name} is another kind of file", name = name));
    }
    if mine.sha256 != theirs.sha256 {
        return Some(tr!("{name} differs", name = name));
    }
    let owner = (&mine.user, &mine.group) != (&theirs.user, &theirs.group);
    (mine.mode & !mode != 0 || owner).then(|| {
        tr!(
            "{name} is {has_mode} {has_user}:{has_group}, not {mode} {owner}:{group}",
            name = name,
            has_mode = format_args!("{:04o}", mine.mode),
            has_user = mine.user,
            has_group = mine.group,
            mode = format_args!("{mode:04o}"),
            owner = theirs.user,
            group = theirs.group
        )
    })
}

impl CopyPki {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    /// Everything in the source's pki directory, and what else all masters must share; links are followed to files.
    async fn wanted(&self) -> Result<Vec<Wanted>, ActError> {
        let (source, pki) = (&self.cx.source().name, &self.cx.cluster.kube.pki);
        let list = run_ok(&*self.cx.remote, source, &Op::ListTree { dir: pki.clone() }).await?;
        let listed = parse::file_states(&list.text()).map_err(|e| ActError::NotProven(format!("{source}: {e}")))?;
        if listed.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{source}: {pki} is empty or missing; give the right directory as layout.kubernetes.pki",
                source = source,
                pki = pki.display()
            )));
        }
        let mut theirs = self.cx.stat(source, vec![pki.clone()]).await?;
        theirs.extend(listed);
        let outside = same::outside(&same::named(&self.cx).await?, pki);
        if !outside.is_empty() {
            let states = self.cx.stat(source, outside).await?;
            theirs.extend(states.into_iter().filter(|s| s.kind == FileKind::File));
        }
        if let Some(odd) = theirs.iter().find(|s| !matches!(s.kind, FileKind::File | FileKind::Dir)) {
            return Err(ActError::NotProven(tr!(
                "{source}: {path} is a link or a special file; put a plain file in its place, then run again",
                source = source,
                path = odd.path.display()
            )));
        }
        let paths: Vec<PathBuf> = theirs.iter().map(|s| s.path.clone()).collect();
        let mine = self.cx.stat(&self.node.name, paths).await?;
        let pairs = theirs.into_iter().zip(mine);
        Ok(pairs
            .map(|(theirs, mine)| {
                let mode = wanted_mode(&theirs);
                Wanted { wrong: wrong(&theirs, mode, &mine), mode, theirs }
            })
            .collect())
    }

    /// Originals and this joiner.
    fn masters(&self) -> Vec<&Node> {
        self.cx.cluster.masters.iter().chain([&self.node]).collect()
    }

    fn copy(&self, wanted: &Wanted) -> CopyFile {
        let path = &wanted.theirs.path;
        CopyFile {
            from: self.cx.source().name.clone(),
            from_path: path.clone(),
            secret: is_private(&wanted.theirs) || !path.starts_with(&self.cx.cluster.kube.pki),
            size: wanted.theirs.size,
            to: self.node.name.clone(),
            to_path: path.clone(),
            mode: wanted.mode,
            owner: owner_of(&wanted.theirs),
            sha256: wanted.theirs.sha256.clone().unwrap_or_default(),
            backup: Some(self.cx.kept(KIND, path)),
        }
    }
}

/// What is wrong on a joiner, if anything.
pub(super) async fn missing(cx: &Arc<Ctx>, node: &Node) -> Result<Vec<String>, ActError> {
    let wanted = CopyPki::new(cx.clone(), node.clone()).wanted().await?;
    Ok(wanted.into_iter().filter_map(|w| w.wrong).collect())
}

#[async_trait]
impl Step for CopyPki {
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
        let originals: Vec<_> = self.cx.cluster.masters.iter().collect();
        let findings = same::findings(&same::compare_all(&self.cx, &originals).await?);
        if !findings.is_empty() {
            return Ok(Probe::Blocked(findings));
        }
        let wanted = self.wanted().await?;
        let wrong: Vec<_> = wanted.iter().filter_map(|w| w.wrong.clone()).collect();
        Ok(match wrong.as_slice() {
            [] => Probe::Done(tr!("{wanted} files as on {name}", wanted = wanted.len(), name = self.cx.source().name)),
            [one] => Probe::Todo(one.clone()),
            [first, rest @ ..] => Probe::Todo(tr!("{first}, and {rest} more", first = first, rest = rest.len())),
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let host = &self.node.name;
        let wanted: Vec<_> = self.wanted().await?.into_iter().filter(|w| w.wrong.is_some()).collect();
        let (dirs, files): (Vec<_>, Vec<_>) = wanted.iter().partition(|w| w.theirs.kind == FileKind::Dir);
        let mut acts: Vec<Box<dyn Act>> = Vec::new();
        for dir in &dirs {
            let op = Op::MakeDir { path: dir.theirs.path.clone(), mode: dir.mode, owner: owner_of(&dir.theirs) };
            acts.push(RunOp::act(host, op));
        }
        let files: Vec<_> = files.iter().map(|w| self.copy(w)).collect();
        let restore = |f: &CopyFile| UndoAct::RestoreFile {
            host: host.to_string(),
            path: f.to_path.clone(),
            backup: self.cx.kept(KIND, &f.to_path),
        };
        let mut undo: Vec<_> = files.iter().map(restore).collect();
        // The deepest first, and only those that are empty then.
        undo.extend(
            dirs.iter().rev().map(|d| UndoAct::RemoveEmptyDir { host: host.to_string(), path: d.theirs.path.clone() }),
        );
        if !files.is_empty() {
            acts.push(Box::new(CopyFiles {
                title: tr!(
                    "{files} files of {pki} from {name}",
                    files = files.len(),
                    pki = self.cx.cluster.kube.pki.display(),
                    name = self.cx.source().name
                ),
                files,
            }));
        }
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        plan.view
            .notes
            .push(trs!("the CA's key and the service-account key are among them: every master signs with them").into());
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let wanted = self.wanted().await?;
        if let Some(wrong) = wanted.iter().find_map(|w| w.wrong.as_ref()) {
            return Err(ActError::NotProven(tr!("{name}: {wrong}; run again", name = self.node.name, wrong = wrong)));
        }
        let masters = self.masters();
        let compared = same::compare_all(&self.cx, &masters).await?;
        let findings = same::findings(&compared);
        if !findings.is_empty() {
            return Err(ActError::Gate(findings));
        }
        let mut proofs = vec![tr!(
            "{name}: {wanted} files as on {source}",
            name = self.node.name,
            wanted = wanted.len(),
            source = self.cx.source().name
        )];
        proofs.extend(same::proofs(&compared, masters.len()));
        Ok(proofs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, mode: u32) -> FileState {
        FileState {
            path: name.into(),
            kind: FileKind::File,
            mode,
            user: "root".into(),
            group: "root".into(),
            size: 1,
            mtime: 0,
            sha256: Some("a".into()),
        }
    }

    #[test]
    fn keys_come_out_no_wider_than_0600() {
        assert_eq!(wanted_mode(&file("/p/ca-key.pem", 0o644)), 0o600);
        assert_eq!(wanted_mode(&file("/p/sa.key", 0o600)), 0o600);
        assert_eq!(wanted_mode(&file("/p/ca.key", 0o400)), 0o400);
        assert_eq!(wanted_mode(&file("/p/ca.pem", 0o644)), 0o644);
        assert_eq!(wanted_mode(&file("/p/ca.pem", 0o666)), 0o644);
        assert_eq!(wanted_mode(&file("/p/odd", 0o600)), 0o600);
    }

    #[test]
    fn a_tighter_mode_is_right_and_a_wider_one_is_not() {
        let theirs = file("/p/ca-key.pem", 0o600);
        assert_eq!(wrong(&theirs, 0o600, &file("/p/ca-key.pem", 0o400)), None);
        assert!(wrong(&theirs, 0o600, &file("/p/ca-key.pem", 0o640)).unwrap().contains("0640 root:root, not 0600"));
        let other = FileState { sha256: Some("b".into()), ..theirs.clone() };
        assert_eq!(wrong(&theirs, 0o600, &other).unwrap(), "/p/ca-key.pem differs");
    }
}
