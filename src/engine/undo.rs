//! A growth taken back, step by step in reverse, from its journals.
//!
//! An undo is a run like any other: each step that was begun becomes a step whose acts are the undo acts that the journal
//! holds, and the engine walks them with the same previews, confirmations and journal.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    act::{Act, ActCx, ActError, UndoAct},
    journal::{Line, Record},
    plan::{Plan, Shown, UndoCard},
    step::{Chapter, Probe, Risk, SharedStep, Step, StepId},
};
use crate::{
    cluster::{HostName, quorum},
    remote::etcd::{EtcdApi, Member, Membership},
    survey::{Finding, Severity},
};

/// Prefix of an undo's own step names in a journal.
const PREFIX: &str = "undo:";

/// A step that was begun and not taken back since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// `etcd.join@master04`.
    pub step: String,
    /// When it was begun, RFC 3339.
    pub at: String,
    /// Whether it ended well.
    pub done: bool,
    /// What takes it back, in order.
    pub undo: Vec<UndoAct>,
}

/// The steps of a growth that can be taken back, latest first. `lines` are its journals' in the order of time.
///
/// A step that ran twice (a retry, a resumed run) is one step whose acts are the later run's, then the earlier one's:
/// only the earlier one knows how the host was before.
pub fn begun(lines: &[Line]) -> Vec<Begun> {
    let mut steps: Vec<Begun> = Vec::new();
    for line in lines {
        match &line.record {
            Record::Intent { step, undo, .. } if !step.starts_with(PREFIX) && !undo.is_empty() => {
                let old = steps.iter().position(|s| &s.step == step).map(|at| steps.remove(at));
                let undo = merged(undo, &old.map(|o| o.undo).unwrap_or_default());
                steps.push(Begun { step: step.clone(), at: line.at.clone(), done: false, undo });
            }
            Record::Outcome { step, error, .. } => match step.strip_prefix(PREFIX) {
                Some(taken) if error.is_none() => steps.retain(|s| s.step != taken),
                Some(_) => {}
                None => {
                    if let Some(begun) = steps.iter_mut().find(|s| &s.step == step) {
                        begun.done = error.is_none();
                    }
                }
            },
            Record::Undone { step, error: None } => steps.retain(|s| &s.step != step),
            _ => {}
        }
    }
    steps.reverse();
    steps
}

/// The later run's acts, then the earlier one's; what both have stands once, after all that either has before it: a manifest
/// is put back, and with it the apiserver restarted, after the certificate that only the earlier run replaced.
fn merged(later: &[UndoAct], earlier: &[UndoAct]) -> Vec<UndoAct> {
    let (mut acts, mut rest): (Vec<UndoAct>, _) = (Vec::new(), earlier);
    for act in later {
        if let Some(at) = rest.iter().position(|a| a == act) {
            let (before, after) = rest.split_at(at + 1);
            acts.extend_from_slice(before);
            rest = after;
        } else if !acts.contains(act) {
            acts.push(act.clone());
        }
    }
    acts.extend_from_slice(rest);
    acts
}

/// The steps of the undo. `kind` gives a step's kind as the program knows it and its chapter, `title` what it is called on a
/// host; a backup is never taken back: it harms nobody, and it is what everything else is put back from.
pub fn steps(
    begun: &[Begun],
    etcd: &Arc<EtcdApi>,
    kind: impl Fn(&str) -> Option<(&'static str, Chapter)>,
    title: impl Fn(&str, Option<&HostName>) -> String,
) -> Vec<SharedStep> {
    let mut steps: Vec<SharedStep> = Vec::new();
    for one in begun {
        let (word, host) = one.step.split_once('@').map_or((one.step.as_str(), None), |(k, h)| (k, Some(h)));
        match kind(word) {
            Some((_, Chapter::Backup)) | None => {}
            Some((kind, chapter)) => {
                let id = StepId { kind, host: host.map(HostName::new) };
                let title = title(kind, id.host.as_ref());
                steps.push(Arc::new(TakeBack { id, title, chapter, begun: one.clone(), etcd: etcd.clone() }));
            }
        }
    }
    steps
}

/// One step, taken back.
struct TakeBack {
    id: StepId,
    /// Of the step that is taken back.
    title: String,
    chapter: Chapter,
    begun: Begun,
    etcd: Arc<EtcdApi>,
}

#[derive(Debug)]
struct Run(UndoAct);

#[async_trait]
impl Act for Run {
    fn shown(&self) -> Shown {
        self.0.shown()
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        self.0.undo(cx).await
    }

    fn changes_membership(&self) -> bool {
        matches!(self.0, UndoAct::MemberRemove { .. })
    }
}

impl TakeBack {
    fn removes_member(&self) -> bool {
        self.begun.undo.iter().any(|a| matches!(a, UndoAct::MemberRemove { .. }))
    }

    fn files(&self) -> Vec<PathBuf> {
        let paths = self.begun.undo.iter().filter_map(|a| match a {
            UndoAct::RestoreFile { path, .. }
            | UndoAct::RestoreManifest { path, .. }
            | UndoAct::RestoreProxy { path, .. } => Some(path.clone()),
            _ => None,
        });
        paths.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

#[async_trait]
impl Step for TakeBack {
    fn id(&self) -> StepId {
        self.id.clone()
    }

    fn journal_name(&self) -> String {
        format!("{PREFIX}{}", self.begun.step)
    }

    fn chapter(&self) -> Chapter {
        self.chapter
    }

    fn title(&self) -> String {
        tr!("Undo: {title}", title = self.title)
    }

    fn risk(&self) -> Risk {
        if self.removes_member() { Risk::Irreversible } else { Risk::Disruptive }
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let how = if self.begun.done { trs!("was done") } else { trs!("was begun") };
        Ok(Probe::Todo(tr!("it {how} at {at}", how = how, at = self.begun.at)))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let acts = self.begun.undo.iter().map(|a| Box::new(Run(a.clone())) as Box<dyn Act>).collect();
        let card = UndoCard {
            acts: Vec::new(),
            until: trs!("any time: running the growth again does the step again").into(),
            cost: trs!("the time the step takes").into(),
        };
        let mut plan = Plan::new(self.risk(), acts, Vec::new(), card);
        plan.view.expected = Duration::from_secs(10);
        plan.view.notes =
            self.files().iter().map(|p| tr!("{path} is put back as it was", path = p.display())).collect();
        if self.removes_member() {
            plan.view.notes.push(trs!("a voter is removed only while the others keep their quorum without it").into());
        }
        let hosts: BTreeSet<String> = self.begun.undo.iter().map(|a| a.host().to_string()).collect();
        let hosts: Vec<String> = hosts.into_iter().collect();
        plan.view.down_meanwhile = Some(tr!("on {hosts}: what the step started or changed", hosts = hosts.join(", ")));
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let cluster = HostName::new("cluster");
        let seen = self.etcd.look().await.map_err(|e| ActError::Etcd { host: cluster, why: e.to_string() })?;
        let urls = self.begun.undo.iter().filter_map(|a| match a {
            UndoAct::MemberRemove { peer_url, .. } => Some(peer_url.as_str()),
            _ => None,
        });
        let hosts: Vec<HostName> = self.begun.undo.iter().map(UndoAct::host).collect();
        Ok(spare(&seen, &urls.collect::<Vec<_>>(), &hosts).into_iter().collect())
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let cluster = HostName::new("cluster");
        let seen = self.etcd.look().await.map_err(|e| ActError::Etcd { host: cluster, why: e.to_string() })?;
        for act in &self.begun.undo {
            if let UndoAct::MemberRemove { peer_url, name, .. } = act
                && seen.by_peer_url(peer_url).is_some()
            {
                return Err(ActError::NotProven(tr!(
                    "{name} is still a member; look at etcd and run again",
                    name = name
                )));
            }
        }
        Ok(vec![seen.voters().sentence()])
    }
}

/// What speaks against taking a step back now: it removes the members with those peer URLs, and changes something on those
/// hosts. Removing what is broken is always a way out; anything else waits until one more failure can be borne.
fn spare(seen: &Membership, removed: &[&str], hosts: &[HostName]) -> Option<Finding> {
    let gone = |m: &&Member| m.peer_urls.iter().any(|url| removed.contains(&url.as_str()));
    let voters = |m: &&Member| !m.learner;
    let left: Vec<_> = seen.members.iter().filter(voters).filter(|m| !gone(m)).collect();
    let down: Vec<_> = left.iter().filter(|m| !m.healthy()).map(|m| m.name.clone()).collect();
    // What is removed while it does not vote, or is broken itself, takes no margin away.
    let taken = seen.members.iter().filter(gone).any(|m| !m.learner && m.healthy());
    let on = |m: &&&Member| m.host.as_ref().is_some_and(|h| hosts.contains(h));
    let touches = left.iter().filter(on).any(|m| m.healthy());
    let (all, healthy) = (left.len(), left.len() - down.len());
    let enough = if down.is_empty() { healthy >= quorum(all) } else { healthy > quorum(all) };
    if enough || (!taken && !touches) {
        return None;
    }
    Some(Finding {
        severity: Severity::Block,
        host: None,
        what: tr!(
            "{healthy} of the {all} voters that would be left are healthy ({down} is not)",
            healthy = healthy,
            all = all,
            down = down.join(", ")
        ),
        why: tr!("if another one fails while this is taken back, quorum is lost"),
        remedy: tr!("repair {member} first (look at its journal), then run again", member = down.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u32, record: Record) -> Line {
        Line { v: 1, at: format!("2026-11-23T18:00:{at:02}Z"), record }
    }

    fn intent(step: &str, undo: &[&str]) -> Record {
        Record::Intent {
            step: step.into(),
            risk: Risk::Reversible,
            confirmed_by: "operator".into(),
            acts: Vec::new(),
            undo: undo.iter().map(|n| UndoAct::SetHostname { host: "h".into(), name: (*n).into() }).collect(),
            changes: Vec::new(),
        }
    }

    fn outcome(step: &str, error: Option<&str>) -> Record {
        Record::Outcome { step: step.into(), proofs: Vec::new(), error: error.map(Into::into), milliseconds: 1 }
    }

    #[test]
    fn what_was_begun_comes_back_latest_first_and_once() {
        let lines = [
            line(1, intent("etcd.host@a", &["old"])),
            line(2, outcome("etcd.host@a", Some("no"))),
            line(3, intent("etcd.install@a", &["x"])),
            line(4, outcome("etcd.install@a", None)),
            line(5, intent("etcd.host@a", &["half", "old"])),
            line(6, intent("etcd.rehearse@a", &[])),
        ];
        let found = begun(&lines);
        let names = |v: &[Begun]| v.iter().map(|b| (b.step.clone(), b.done, b.undo.len())).collect::<Vec<_>>();
        assert_eq!(names(&found), [("etcd.host@a".to_owned(), false, 2), ("etcd.install@a".to_owned(), true, 1)]);
        assert!(matches!(&found[0].undo[1], UndoAct::SetHostname { name, .. } if name == "old"));
    }

    #[test]
    fn what_two_runs_have_in_common_comes_after_all_that_either_has_before_it() {
        let acts = |names: &str| -> Vec<UndoAct> {
            names.split(' ').map(|n| UndoAct::SetHostname { host: "h".into(), name: n.into() }).collect()
        };
        for (later, earlier, both) in [
            ("manifest", "certificate manifest", "certificate manifest"),
            ("a b c", "a c", "a b c"),
            ("a c", "a b c", "a b c"),
            ("new", "old", "new old"),
            ("new shared", "old shared last", "new old shared last"),
            ("b a", "a b", "a b"),
        ] {
            assert_eq!(merged(&acts(later), &acts(earlier)), acts(both), "{later} after {earlier}");
        }
    }

    #[test]
    fn what_was_taken_back_is_not_taken_back_again() {
        let lines = [
            line(1, intent("etcd.host@a", &["old"])),
            line(2, intent("etcd.install@a", &["x"])),
            line(3, outcome("undo:etcd.install@a", None)),
            line(4, outcome("undo:etcd.host@a", Some("host down"))),
        ];
        assert_eq!(begun(&lines).len(), 1);
        let undone = [line(1, intent("s", &["x"])), line(2, Record::Undone { step: "s".into(), error: None })];
        assert!(begun(&undone).is_empty());
    }
}
