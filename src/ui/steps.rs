//! A step as the screen knows it, with its plan made ready to be drawn.

use std::{sync::Arc, time::Duration};

use similar::{ChangeTag, TextDiff};

use crate::{
    engine::{
        act::ActProgress,
        event::{StepInfo, StepState},
        plan::{FileDiff, PlanView, Shown},
    },
    remote::clean,
};

/// Unchanged lines kept around a change when a diff is folded.
const CONTEXT: usize = 3;

/// A step, how far it is, and what it would do.
#[derive(Debug, Clone)]
pub struct StepRow {
    /// Which step.
    pub info: StepInfo,
    /// How far it is.
    pub state: StepState,
    /// Since when, in the model's monotonic time.
    pub since: Duration,
    /// What it would do, once looked at.
    pub plan: Option<Arc<Prepared>>,
    /// How far its acts are.
    pub acts: Vec<ActState>,
    /// What was proven.
    pub proofs: Vec<String>,
}

impl StepRow {
    /// A step nobody has looked at.
    pub fn new(info: StepInfo, now: Duration) -> Self {
        Self { info, state: StepState::Waiting, since: now, plan: None, acts: Vec::new(), proofs: Vec::new() }
    }

    /// Takes a (new) plan over; the acts begin anew.
    pub fn prepare(&mut self, plan: &PlanView) {
        self.acts = vec![ActState::Waiting; plan.acts.len()];
        self.proofs.clear();
        self.plan = Some(Arc::new(Prepared::new(plan)));
    }

    /// The act that runs: its index, how it is shown, since when, and how far.
    pub fn running(&self) -> Option<(usize, Option<&Shown>, Duration, Option<&ActProgress>)> {
        self.acts.iter().enumerate().find_map(|(i, act)| match act {
            ActState::Running { since, progress } => {
                Some((i, self.plan.as_ref().and_then(|p| p.view.acts.get(i)), *since, progress.as_ref()))
            }
            _ => None,
        })
    }
}

/// How far an act is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActState {
    /// Not begun.
    Waiting,
    /// Runs.
    Running {
        /// Since when, in the model's monotonic time.
        since: Duration,
        /// Bytes or waiting, as last heard.
        progress: Option<ActProgress>,
    },
    /// Ended well.
    Done(Duration),
}

/// A plan made ready to be drawn: cleaned, its diffs computed once.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The plan, every text cleaned: files and certificates of the hosts speak in it.
    pub view: PlanView,
    /// The commands as they will run, for the clipboard.
    pub commands: String,
    /// Its file diffs.
    pub diffs: Vec<Diff>,
}

impl Prepared {
    /// Makes a plan ready.
    pub fn new(plan: &PlanView) -> Self {
        Self {
            view: cleaned(plan),
            commands: plan.acts.iter().map(as_text).collect::<Vec<_>>().join("\n"),
            diffs: plan.diffs.iter().map(Diff::new).collect(),
        }
    }
}

/// An act as text that can be pasted into a terminal: where and what as comments, then the commands.
fn as_text(act: &Shown) -> String {
    let host = act.host.as_ref().map_or_else(|| trs!("here").to_owned(), ToString::to_string);
    let commands = if act.commands.is_empty() { trs!("# (no command)") } else { act.commands.trim_end() };
    format!("# {host}: {}\n{commands}\n", act.title)
}

fn cleaned(plan: &PlanView) -> PlanView {
    let mut plan = plan.clone();
    for act in plan.acts.iter_mut().chain(&mut plan.undo.acts) {
        act.title = clean::line(&act.title);
        act.commands = clean::text(&act.commands);
    }
    plan.undo.until = clean::text(&plan.undo.until);
    plan.undo.cost = clean::text(&plan.undo.cost);
    plan.down_meanwhile = plan.down_meanwhile.as_deref().map(clean::text);
    let notes = plan.notes.iter_mut().chain(plan.certs.iter_mut().flat_map(|c| &mut c.notes));
    notes.for_each(|n| *n = clean::line(n));
    plan
}

/// A file's diff, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// `HOST:PATH`.
    pub file: String,
    /// Whether the file is new.
    pub new: bool,
    /// Lines added and removed.
    pub counts: (usize, usize),
    /// All lines; folding happens when drawn.
    pub lines: Vec<DiffLine>,
}

/// A line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// `+`, `-` or a space.
    pub sign: char,
    /// The line, cleaned.
    pub text: String,
    /// Whether it is near a change, so that it is shown when folded.
    pub near: bool,
}

impl Diff {
    /// Compares a file's text before and after.
    pub fn new(file: &FileDiff) -> Self {
        let before = file.before.as_deref().unwrap_or_default();
        let diff = TextDiff::from_lines(before, &file.after);
        let mut lines: Vec<DiffLine> = diff
            .iter_all_changes()
            .map(|change| DiffLine {
                sign: match change.tag() {
                    ChangeTag::Equal => ' ',
                    ChangeTag::Insert => '+',
                    ChangeTag::Delete => '-',
                },
                text: clean::line(change.value().trim_end_matches(['\r', '\n'])),
                near: false,
            })
            .collect();
        mark_near(&mut lines);
        let counts = |sign| lines.iter().filter(|l| l.sign == sign).count();
        Self {
            file: clean::line(&format!("{}:{}", file.host, file.path.display())),
            new: file.before.is_none(),
            counts: (counts('+'), counts('-')),
            lines,
        }
    }

    /// The lines to show: all, or only those near a change with the number of lines left out between.
    pub fn folded(&self, unfolded: bool) -> Vec<Result<&DiffLine, usize>> {
        let mut out = Vec::new();
        let mut hidden = 0;
        for line in &self.lines {
            if unfolded || line.near {
                if hidden > 0 {
                    out.push(Err(hidden));
                    hidden = 0;
                }
                out.push(Ok(line));
            } else {
                hidden += 1;
            }
        }
        if hidden > 0 {
            out.push(Err(hidden));
        }
        out
    }
}

/// Marks the lines within [`CONTEXT`] of a change.
fn mark_near(lines: &mut [DiffLine]) {
    let changed: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].sign != ' ').collect();
    for i in changed {
        let end = lines.len().min(i + CONTEXT + 1);
        for line in &mut lines[i.saturating_sub(CONTEXT)..end] {
            line.near = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::HostName;

    #[test]
    fn a_folded_diff_shows_the_change_and_counts_the_rest() {
        let before = (0..20).map(|i| format!("line {i}")).collect::<Vec<_>>().join("\n") + "\n";
        let after = before.replace("line 10\n", "line ten\u{1b}[2J\n");
        let file = FileDiff { host: HostName::new("m1"), path: "/etc/x".into(), before: Some(before), after };
        let diff = Diff::new(&file);
        assert_eq!(diff.counts, (1, 1));
        let text = |unfolded| {
            let lines = diff.folded(unfolded);
            lines.iter().map(|l| l.map_or_else(|n| format!("({n})"), |l| format!("{}{}", l.sign, l.text))).collect()
        };
        let folded: Vec<String> = text(false);
        let expected = [
            "(7)",
            " line 7",
            " line 8",
            " line 9",
            "-line 10",
            "+line ten",
            " line 11",
            " line 12",
            " line 13",
            "(6)",
        ];
        assert_eq!(folded, expected);
        let all: Vec<String> = text(true);
        assert_eq!(all.len(), 21);
    }

    #[test]
    fn the_clipboard_gets_the_commands_unwrapped() {
        let act = Shown { host: Some(HostName::new("m1")), title: "Make it".into(), commands: "mkdir -p /x".into() };
        let plan = PlanView { acts: vec![act], ..PlanView::default() };
        assert_eq!(Prepared::new(&plan).commands, "# m1: Make it\nmkdir -p /x\n");
    }
}
