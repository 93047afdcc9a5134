//! A growth's report, made of its journals: who, when, what changed where, what can still be taken back.
//!
//! Everything in it comes from the journal, which can hold no secrets; so can't the report.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    journal::{Change, Line, Record},
    undo,
};

/// One run of a growth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Who, as `user@host`.
    pub operator: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// When its last line was written.
    pub ended: String,
    /// How it ended; `None` when the program went down meanwhile.
    pub end: Option<String>,
    /// etcd as the survey saw it.
    pub etcd: String,
    /// The survey's findings.
    pub findings: Vec<String>,
    /// Its steps, in order.
    pub steps: Vec<StepDone>,
    /// Steps that were done already, with what was seen: checks that were right at once are among them.
    pub found: Vec<Found>,
}

/// A step that a run found done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// `etcd.host@master04`.
    pub step: String,
    /// What was seen.
    pub seen: String,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepDone {
    /// `etcd.join@master04`.
    pub step: String,
    /// When it began.
    pub at: String,
    /// Who said yes.
    pub confirmed_by: String,
    /// What ran.
    pub acts: Vec<String>,
    /// What changed in files and certificates.
    pub changes: Vec<Change>,
    /// What proved it.
    pub proofs: Vec<String>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// How long it took; `None` when it never ended.
    pub milliseconds: Option<u64>,
    /// Whether it was taken back after it failed.
    pub undone: bool,
}

/// The report of a growth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The report's own format version.
    pub version: u32,
    /// The cluster's name.
    pub cluster: String,
    /// The dated backup directory on the hosts, below the file's `backup_dir`.
    pub stamp: String,
    /// Where fetched backups lie on the operator's machine.
    pub backups: String,
    /// The runs, oldest first.
    pub runs: Vec<Run>,
    /// Steps that can still be taken back, latest first: what runs for each.
    pub undo: Vec<(String, Vec<String>)>,
}

/// Makes the report of journals' lines in the order of time.
///
/// `goes_back` tells of a step's kind whether an undo takes it back: a backup stays.
pub fn report(lines: &[Line], backups: String, goes_back: impl Fn(&str) -> bool) -> Report {
    let mut report = Report {
        version: 1,
        cluster: String::new(),
        stamp: String::new(),
        backups,
        runs: Vec::new(),
        undo: undo::begun(lines)
            .into_iter()
            .filter(|b| goes_back(b.step.split('@').next().unwrap_or_default()))
            .map(|b| (b.step, b.undo.iter().map(|u| u.shown().line()).collect()))
            .collect(),
    };
    for line in lines {
        if let Record::Run { cluster, operator, stamp, .. } = &line.record {
            (report.cluster, report.stamp) = (cluster.clone(), stamp.clone());
            report.runs.push(Run {
                operator: operator.clone(),
                began: line.at.clone(),
                ended: line.at.clone(),
                end: None,
                etcd: String::new(),
                findings: Vec::new(),
                steps: Vec::new(),
                found: Vec::new(),
            });
        }
        if let Some(run) = report.runs.last_mut() {
            run.ended.clone_from(&line.at);
            add(run, line);
        }
    }
    report
}

fn add(run: &mut Run, line: &Line) {
    let last = |run: &mut Run, step: &str| run.steps.iter().rposition(|s| s.step == step);
    match &line.record {
        Record::Survey { etcd, findings } => (run.etcd, run.findings) = (etcd.clone(), findings.clone()),
        Record::Found { step, seen } => run.found.push(Found { step: step.clone(), seen: seen.clone() }),
        Record::Intent { step, confirmed_by, acts, changes, .. } => run.steps.push(StepDone {
            step: step.clone(),
            at: line.at.clone(),
            confirmed_by: confirmed_by.clone(),
            acts: acts.clone(),
            changes: changes.clone(),
            proofs: Vec::new(),
            error: None,
            milliseconds: None,
            undone: false,
        }),
        Record::Outcome { step, proofs, error, milliseconds } => {
            if let Some(at) = last(run, step) {
                let done = &mut run.steps[at];
                (done.proofs, done.error, done.milliseconds) = (proofs.clone(), error.clone(), Some(*milliseconds));
            }
        }
        Record::Undone { step, error: None } => {
            if let Some(at) = last(run, step) {
                run.steps[at].undone = true;
            }
        }
        Record::End { why, .. } => run.end = Some(why.clone()),
        _ => {}
    }
}

impl Report {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = tr!("# Growth of {cluster}\n\n", cluster = self.cluster);
        let _ = writeln!(
            out,
            "{}",
            tr!(
                "Backups on the hosts: `{stamp}` in the backup directory. On this machine: `{backups}`.",
                stamp = self.stamp,
                backups = self.backups
            )
        );
        for run in &self.runs {
            run.markdown(&mut out);
        }
        out.push_str(trs!("\n## What can still be taken back\n\n"));
        if self.undo.is_empty() {
            out.push_str(trs!("Nothing: every step was taken back, or none was begun.\n"));
        }
        for (step, acts) in &self.undo {
            let _ = writeln!(out, "- {step}");
            for act in acts {
                let _ = writeln!(out, "  - {act}");
            }
        }
        out
    }
}

impl Run {
    fn markdown(&self, out: &mut String) {
        let end = self.end.as_deref().unwrap_or(trs!("the program went down before it ended"));
        let (began, ended) = (second(&self.began), second(&self.ended));
        let took = took(&self.began, &self.ended).map(|t| format!(", {t}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "{}",
            tr!(
                "\n## {began} by {operator}\n\nUntil {ended}{took}: {end}.\n",
                began = began,
                operator = self.operator,
                ended = ended,
                took = took,
                end = end
            )
        );
        if !self.etcd.is_empty() {
            let _ = writeln!(out, "{}", tr!("etcd before: {etcd}.\n", etcd = self.etcd));
        }
        for finding in &self.findings {
            let _ = writeln!(out, "- {finding}");
        }
        for step in &self.steps {
            step.markdown(out);
        }
        if !self.found.is_empty() {
            out.push_str(trs!("\n### Found done\n\n"));
        }
        for found in &self.found {
            let _ = writeln!(out, "- {}: {}", found.step, found.seen);
        }
    }
}

/// A time of the journal to the second, which is enough for the eye.
fn second(at: &str) -> String {
    at.parse::<jiff::Timestamp>().map_or_else(|_| at.to_owned(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How long it was from one time of the journal to another.
fn took(began: &str, ended: &str) -> Option<String> {
    let (began, ended): (jiff::Timestamp, jiff::Timestamp) = (began.parse().ok()?, ended.parse().ok()?);
    let seconds = ended.as_second() - began.as_second();
    Some(if seconds < 60 {
        format!("{seconds} s")
    } else {
        tr!("{minutes} min {seconds} s", minutes = seconds / 60, seconds = seconds % 60)
    })
}

impl StepDone {
    fn markdown(&self, out: &mut String) {
        let took = self
            .milliseconds
            .map_or(trs!("never ended").to_owned(), |ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100));
        let at = second(&self.at);
        let _ = writeln!(
            out,
            "{}",
            tr!(
                "\n### {step}\n\n{at}, confirmed by {confirmed_by}, {took}.\n",
                step = self.step,
                at = at,
                confirmed_by = self.confirmed_by,
                took = took
            )
        );
        if let Some(error) = &self.error {
            let back = if self.undone { trs!(" It was taken back.") } else { "" };
            let _ = writeln!(out, "{}", tr!("**Failed:** {error}.{back}\n", error = error, back = back));
        }
        for act in &self.acts {
            let _ = writeln!(out, "- {act}");
        }
        for proof in &self.proofs {
            let _ = writeln!(out, "{}", tr!("- proven: {proof}", proof = proof));
        }
        for change in &self.changes {
            let fence = fence(&change.diff);
            let _ = writeln!(
                out,
                "\n{}:{}\n\n{fence}diff\n{}\n{fence}",
                change.host,
                change.path.display(),
                change.diff.trim_end()
            );
        }
    }
}

/// A code fence longer than any run of backticks in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{act::UndoAct, step::Risk};

    fn lines() -> Vec<Line> {
        let at = |second: u32, record| Line { v: 1, at: format!("2026-11-23T18:00:{second:02}Z"), record };
        let undo = vec![UndoAct::SetHostname { host: "master04".into(), name: "old".into() }];
        vec![
            at(
                0,
                Record::Run {
                    cluster: "prod".into(),
                    file: "c.yaml".into(),
                    operator: "ops@jump".into(),
                    banister: "0.1.0".into(),
                    stamp: "banister-x".into(),
                },
            ),
            at(1, Record::Survey { etcd: "3 voters".into(), findings: vec!["warning: clock".into()] }),
            at(
                2,
                Record::Intent {
                    step: "etcd.host@master04".into(),
                    risk: Risk::Reversible,
                    confirmed_by: "operator".into(),
                    acts: vec!["set hostname".into()],
                    undo,
                    changes: vec![Change {
                        host: "master04".into(),
                        path: "/etc/hosts".into(),
                        diff: "+```x\n".into(),
                    }],
                },
            ),
            at(
                4,
                Record::Outcome {
                    step: "etcd.host@master04".into(),
                    proofs: vec!["hostname master04".into()],
                    error: None,
                    milliseconds: 2345,
                },
            ),
        ]
    }

    #[test]
    fn a_report_says_who_when_what_and_the_way_back() {
        let mut all = lines();
        let found = Record::Found { step: "proof.final".into(), seen: "5 of 5 apiservers healthy".into() };
        all.push(Line { v: 1, at: "2026-11-23T18:01:05.25Z".into(), record: found });
        let text = report(&all, "/home/ops/backups".into(), |_| true).markdown();
        for wanted in [
            "Until 2026-11-23T18:01:05Z, 1 min 5 s",
            "- proof.final: 5 of 5 apiservers healthy",
            "# Growth of prod",
            "by ops@jump",
            "went down before it ended",
            "warning: clock",
            "### etcd.host@master04",
            "confirmed by operator, 2.3 s",
            "- proven: hostname master04",
            "````diff\n+```x\n````",
            "  - master04: set hostname to old",
            "/home/ops/backups",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in:\n{text}");
        }
    }

    #[test]
    fn what_an_undo_leaves_alone_is_not_offered() {
        assert!(report(&lines(), String::new(), |kind| kind != "etcd.host").undo.is_empty());
        assert_eq!(report(&lines(), String::new(), |kind| kind != "backup.files").undo.len(), 1);
    }

    #[test]
    fn a_step_taken_back_is_no_longer_offered() {
        let mut all = lines();
        let undone = Record::Undone { step: "etcd.host@master04".into(), error: None };
        all.push(Line { v: 1, at: "2026-11-23T18:01:00Z".into(), record: undone });
        let report = report(&all, String::new(), |_| true);
        assert!(report.undo.is_empty());
        assert!(report.runs[0].steps[0].undone);
    }
}
