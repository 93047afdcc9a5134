//! Events and plans as plain lines: for headless runs, the transcript and `banister plan`. Stable, greppable, cleaned, no
//! colour, ASCII signs.
//!
//! ```text
//! [ch 2] etcd.join@master04: running
//! [ch 2] etcd.join@master04: act 2/4 master04: start etcd
//! [ch 2] etcd.join@master04: waiting 12/120 s: learner at 61 %
//! [ch 2] etcd.join@master04: proven: 4 voters, all healthy
//! [ch 2] etcd.join@master04: done in 14 s
//! [run] done: 17 steps done
//! ```

use std::{collections::HashMap, sync::Arc, time::Duration};

pub use super::text::rate;
use super::{
    steps::{Diff, Prepared},
    text,
};
use crate::{
    cluster::HostName,
    engine::{
        Chapter, Event, StepId,
        act::ActProgress,
        confirm::{ConfirmRequest, Failure},
        event::{Outcome, StepState},
        plan::{CertChange, PlanView, QuorumChange, Shown},
    },
    pki::San,
    remote::clean,
    survey::{Finding, Observed, Severity},
};

/// What has to be remembered from one event to the next to say a line in full: chapters and the acts' titles.
#[derive(Debug, Clone, Default)]
pub struct Plain {
    chapters: HashMap<StepId, Chapter>,
    plans: HashMap<StepId, Arc<PlanView>>,
}

impl Plain {
    /// The lines of an event; none for what is of no interest in a log. Waiting comes as often as the act says it: the
    /// caller throttles.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Steps(steps) => {
                self.chapters = steps.iter().map(|s| (s.id.clone(), s.chapter)).collect();
                vec![tr!("[run] {steps}", steps = tr!("{n} step" | "{n} steps" % steps.len()))]
            }
            Event::State(id, state) => self.state(id, state),
            Event::Preview(id, plan) => {
                self.plans.insert(id.clone(), Arc::clone(plan));
                Vec::new()
            }
            Event::Asking(request) => {
                self.plans.insert(request.step.clone(), Arc::clone(&request.plan));
                self.asking(request)
            }
            Event::Confirmed(id, by) => self.step(id, &tr!("confirmed by {by}", by = by)),
            Event::ActStarted(id, index) => self.act_started(id, *index),
            Event::ActProgress(id, _, progress) => self.step(id, &progress_words(progress)),
            Event::ActDone(id, index, took) => {
                let of = self.plans.get(id).map_or(0, |p| p.acts.len());
                self.step(
                    id,
                    &tr!("act {number}/{of} done in {took}", number = index + 1, of = of, took = text::duration(*took)),
                )
            }
            Event::Verified(id, proofs) => {
                proofs.iter().flat_map(|p| self.step(id, &tr!("proven: {proof}", proof = p))).collect()
            }
            Event::Failed(failure) => self.failed(failure),
            Event::Note(line) => prefixed("[run]", &tr!("note: {line}", line = line)),
            Event::Refused(findings) => findings.iter().flat_map(|f| finding(trs!("[run] refused:"), f)).collect(),
            Event::Finished(outcome, summary) => {
                let mut lines = prefixed("[run]", &format!("{}: {summary}", outcome_word(*outcome)));
                lines.push(tr!("[run] exit code {code}", code = outcome.code()));
                lines
            }
        }
    }

    /// `[ch 2] etcd.join@master04: TEXT`, a line each.
    fn step(&self, id: &StepId, content: &str) -> Vec<String> {
        let chapter = self.chapters.get(id).copied().or_else(|| chapter_of(id));
        let chapter = chapter.map_or_else(|| "[run]".to_owned(), |c| format!("[ch {}]", c.number()));
        prefixed(&format!("{chapter} {id}:"), content)
    }

    fn state(&self, id: &StepId, state: &StepState) -> Vec<String> {
        let words = match state {
            // The question itself is the next event.
            StepState::Waiting | StepState::Asking => return Vec::new(),
            StepState::Probing => trs!("probing").to_owned(),
            StepState::AlreadyDone(seen) => tr!("already done: {seen}", seen = seen),
            StepState::Running => trs!("running").to_owned(),
            StepState::Verifying => trs!("verifying").to_owned(),
            StepState::Done(took) => tr!("done in {took}", took = text::duration(*took)),
            StepState::Failed(why) => tr!("failed: {why}", why = why),
            StepState::Undone => trs!("undone").to_owned(),
            StepState::Skipped => trs!("skipped, left as it is").to_owned(),
        };
        self.step(id, &words)
    }

    fn asking(&self, request: &ConfirmRequest) -> Vec<String> {
        let acts = tr!("{n} action" | "{n} actions" % request.plan.acts.len());
        let mut lines = self.step(
            &request.step,
            &tr!("asking ({risk}): {title}, {acts}", risk = request.risk, title = request.title, acts = acts),
        );
        if let Some(down) = &request.plan.down_meanwhile {
            lines.extend(self.step(&request.step, &tr!("down meanwhile: {down}", down = down)));
        }
        if let Some(quorum) = request.plan.quorum {
            for line in quorum_lines(quorum) {
                lines.extend(self.step(&request.step, &line));
            }
        }
        lines
    }

    fn act_started(&self, id: &StepId, index: usize) -> Vec<String> {
        let plan = self.plans.get(id);
        let shown = plan.and_then(|p| p.acts.get(index));
        let (of, words) = (plan.map_or(0, |p| p.acts.len()), shown.map_or_else(String::new, act_words));
        self.step(id, &tr!("act {number}/{of} {words}", number = index + 1, of = of, words = words))
    }

    fn failed(&self, failure: &Failure) -> Vec<String> {
        let id = &failure.step;
        let mut lines = self.step(id, &tr!("FAILED at: {doing}", doing = failure.doing));
        lines.extend(self.step(id, &tr!("error: {error}", error = failure.error)));
        lines.extend(self.step(id, &tr!("leaves: {left}", left = failure.left)));
        for line in &failure.output {
            lines.extend(self.step(id, &tr!("output: {line}", line = line)));
        }
        for refusal in &failure.refused {
            lines.extend(finding(&tr!("{id} refused:", id = id), refusal));
        }
        if let Some(undo) = &failure.undo {
            let words = tr!(
                "undo possible: {acts}, until {until}",
                acts = tr!("{n} action" | "{n} actions" % undo.acts.len()),
                until = undo.until
            );
            lines.extend(self.step(id, &words));
        }
        lines
    }
}

/// The chapter a step's kind begins with, where the steps were not announced.
fn chapter_of(id: &StepId) -> Option<Chapter> {
    let word = id.kind.split('.').next()?;
    Chapter::ALL.into_iter().find(|c| c.word() == word)
}

/// Cleaned text, each line with the prefix.
fn prefixed(prefix: &str, content: &str) -> Vec<String> {
    let content = clean::text(content);
    content.trim_end().lines().map(|l| format!("{prefix} {}", l.trim_end())).collect()
}

fn progress_words(progress: &ActProgress) -> String {
    match progress {
        ActProgress::Line(line) => format!("| {line}"),
        ActProgress::Bytes { done, total: Some(total) } => {
            tr!(
                "{done} of {total} ({percent} %)",
                done = text::bytes(*done),
                total = text::bytes(*total),
                percent = text::percent(*done, *total)
            )
        }
        ActProgress::Bytes { done, total: None } => text::bytes(*done),
        ActProgress::Waiting { what, seconds, deadline } => {
            tr!("waiting {seconds}/{deadline} s: {what}", seconds = seconds, deadline = deadline, what = what)
        }
    }
}

fn act_words(shown: &Shown) -> String {
    shown.host.as_ref().map_or_else(|| shown.title.clone(), |h| format!("{h}: {}", shown.title))
}

/// The word for an outcome.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => trs!("done"),
        Outcome::Failed => trs!("failed"),
        Outcome::Stopped => trs!("stopped"),
        Outcome::Refused => trs!("refused"),
    }
}

/// A finding, its reason and its remedy.
pub fn finding(prefix: &str, finding: &Finding) -> Vec<String> {
    let word = match finding.severity {
        Severity::Block => trs!("BLOCK"),
        Severity::Warn => trs!("warn"),
        Severity::Info => trs!("info"),
    };
    let host = finding.host.as_ref().map(|h| format!(" {h}:")).unwrap_or_default();
    let mut lines = prefixed(prefix, &format!("{word}{host} {}", finding.what));
    for (label, content) in [(trs!("why"), &finding.why), (trs!("do"), &finding.remedy)] {
        if !content.trim().is_empty() {
            lines.extend(prefixed(prefix, &format!("  {label}: {content}")));
        }
    }
    lines
}

/// A survey: the hosts, etcd's members, the findings, the verdict.
pub fn survey(observed: &Observed) -> Vec<String> {
    let mut lines = Vec::new();
    for host in &observed.hosts {
        let words = match &host.seen {
            // The error names its host itself.
            Err(why) => {
                lines.extend(prefixed("[host]", &why.to_string()));
                continue;
            }
            Ok(seen) => {
                let facts = &seen.facts;
                let etcd = seen.etcd.as_ref().map_or_else(String::new, |e| {
                    tr!(
                        ", etcd {version} {active}",
                        version = e.version.as_deref().unwrap_or(trs!("none")),
                        active = e.unit.active
                    )
                });
                tr!(
                    "{os}, clock {clock} ms{etcd}",
                    os = facts.os,
                    clock = format_args!("{:+}", facts.clock_offset_ms),
                    etcd = etcd
                )
            }
        };
        lines.extend(prefixed("[host]", &format!("{}: {words}", host.name)));
    }
    match &observed.etcd {
        Err(why) => lines.extend(prefixed("[etcd]", why)),
        Ok(membership) => {
            for member in &membership.members {
                let name = if member.started() { member.name.as_str() } else { trs!("(not started)") };
                let role = if member.learner { trs!("learner") } else { trs!("voter") };
                let words = match &member.status {
                    Err(why) => tr!("no answer: {why}", why = why),
                    Ok(s) => tr!(
                        "{version}, revision {revision}, {size}",
                        version = s.version,
                        revision = s.revision,
                        size = text::bytes(u64::try_from(s.db_size).unwrap_or(0))
                    ),
                };
                lines.extend(prefixed("[etcd]", &format!("{name}: {role}, {words}")));
            }
            lines.push(tr!(
                "[etcd] {now}; if one more dies: {then}",
                now = membership.voters().sentence(),
                then = membership.voters().if_one_dies()
            ));
        }
    }
    lines.extend(observed.findings.iter().flat_map(|f| finding("[finding]", f)));
    let blocking = observed.blocking().len();
    lines.push(if blocking > 0 {
        tr!("[survey] blocked: {blocking}", blocking = tr!("{n} finding" | "{n} findings" % blocking))
    } else {
        trs!("[survey] nothing blocks").to_owned()
    });
    lines
}

/// One step of `banister plan`: every command and diff, the names in certificates, quorum, the way back.
pub fn plan(id: &StepId, title: &str, plan: &PlanView) -> Vec<String> {
    let ready = Prepared::new(plan);
    let view = &ready.view;
    let mut lines = vec![format!("=== {id}: {} ({})", clean::line(title), view.risk)];
    lines.push(tr!("takes about {expected}", expected = text::duration(view.expected)));
    if let Some(down) = &view.down_meanwhile {
        lines.extend(prefixed(trs!("down meanwhile:"), down));
    }
    lines.extend(view.quorum.map(quorum_lines).unwrap_or_default());
    lines.extend(view.notes.iter().map(|n| tr!("note: {note}", note = n)));
    if view.acts.is_empty() {
        lines.push(trs!("--- nothing would run").to_owned());
    }
    for (i, act) in view.acts.iter().enumerate() {
        lines.extend(act_lines(&format!("--- {}/{}", i + 1, view.acts.len()), act));
    }
    lines.extend(view.certs.iter().flat_map(certificate));
    lines.extend(ready.diffs.iter().flat_map(diff));
    lines.push(trs!("--- the way back").to_owned());
    lines.extend(prefixed(trs!("until:"), &view.undo.until));
    lines.extend(prefixed(trs!("cost:"), &view.undo.cost));
    for (i, act) in view.undo.acts.iter().enumerate() {
        lines.extend(act_lines(&tr!("undo {number}/{of}", number = i + 1, of = view.undo.acts.len()), act));
    }
    lines
}

/// The same line for a step that would not run: done already, or blocked.
pub fn not_planned(id: &StepId, title: &str, why: &str) -> Vec<String> {
    prefixed(&format!("=== {id}: {}:", clean::line(title)), why)
}

fn act_lines(prefix: &str, act: &Shown) -> Vec<String> {
    let mut lines = vec![format!("{prefix} {}", act_words(act))];
    lines.extend(act.commands.trim_end().lines().map(|l| format!("    {l}")));
    lines
}

fn diff(diff: &Diff) -> Vec<String> {
    let new = if diff.new { trs!(" (new file)") } else { "" };
    let mut lines = vec![tr!(
        "--- file {file}{new}: +{added} -{removed}",
        file = diff.file,
        new = new,
        added = diff.counts.0,
        removed = diff.counts.1
    )];
    lines.extend(diff.folded(false).into_iter().map(|part| match part {
        Err(hidden) => format!("    @@ {} @@", tr!("{n} unchanged line" | "{n} unchanged lines" % hidden)),
        Ok(l) => format!("    {}{}", l.sign, l.text).trim_end().to_owned(),
    }));
    lines
}

fn certificate(cert: &CertChange) -> Vec<String> {
    let sans = &cert.sans;
    let mut lines =
        vec![clean::line(&tr!("--- certificate {host}:{path}", host = cert.host, path = cert.path.display()))];
    let mut group = |word: &str, names: &[San]| {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|s| clean::line(&s.to_string())).collect();
            lines.push(format!("    {word}: {}", names.join(" ")));
        }
    };
    group(trs!("added"), &sans.added);
    group(trs!("dropped"), &sans.dropped);
    group(trs!("kept"), &sans.kept);
    group(trs!("listed once now"), &sans.deduplicated);
    lines.extend(cert.notes.iter().map(|n| format!("    {}", clean::line(n))));
    lines
}

fn quorum_lines(change: QuorumChange) -> Vec<String> {
    let line = |when: &str, v: crate::cluster::Voters| {
        tr!("quorum {when}: {now}; if one dies: {then}", when = when, now = v.sentence(), then = v.if_one_dies())
    };
    vec![line(trs!("before"), change.before), line(trs!("meanwhile"), change.during), line(trs!("after"), change.after)]
}

/// A host's connection, for a headless run.
pub fn connection(host: &HostName, state: &super::ConnectState) -> Vec<String> {
    use super::ConnectState as S;
    let words = match state {
        S::Connecting => trs!("connecting").to_owned(),
        S::Asking => trs!("asking").to_owned(),
        S::Connected => trs!("connected").to_owned(),
        S::Failed(why) => tr!("failed: {why}", why = why),
    };
    prefixed("[host]", &format!("{host}: {words}"))
}

/// How often the same wait is worth a line: a helper for callers that throttle.
pub const WAITING_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn join() -> StepId {
        StepId { kind: "etcd.join", host: Some(HostName::new("master04")) }
    }

    #[test]
    fn lines_are_greppable_and_stable() {
        let mut plain = Plain::default();
        let act = Shown { host: Some(HostName::new("master04")), title: "start etcd".into(), commands: String::new() };
        let view = Arc::new(PlanView { acts: vec![act], ..PlanView::default() });
        assert!(plain.lines(&Event::Preview(join(), view)).is_empty());
        let mut say = |event| plain.lines(&event).join("\n");
        assert_eq!(say(Event::State(join(), StepState::Running)), "[ch 2] etcd.join@master04: running");
        assert_eq!(say(Event::ActStarted(join(), 0)), "[ch 2] etcd.join@master04: act 1/1 master04: start etcd");
        let wait = ActProgress::Waiting { what: "learner at 61 %".into(), seconds: 12, deadline: 120 };
        assert_eq!(
            say(Event::ActProgress(join(), 0, wait)),
            "[ch 2] etcd.join@master04: waiting 12/120 s: learner at 61 %"
        );
        assert_eq!(
            say(Event::Verified(join(), vec!["4 voters".into()])),
            "[ch 2] etcd.join@master04: proven: 4 voters"
        );
        assert_eq!(say(Event::Finished(Outcome::Stopped, "by you".into())), "[run] stopped: by you\n[run] exit code 3");
    }

    #[test]
    fn what_hosts_say_can_neither_move_the_cursor_nor_fake_another_line() {
        let mut plain = Plain::default();
        let line = ActProgress::Line("x\u{1b}[2J\n[run] done: all\ry".into());
        let lines = plain.lines(&Event::ActProgress(join(), 0, line));
        assert!(lines.iter().all(|l| l.starts_with("[ch 2] etcd.join@master04:")), "{lines:?}");
        assert!(!lines.concat().contains('\u{1b}'));
    }

    #[test]
    fn a_failure_says_what_it_leaves_and_the_remedy() {
        let refusal = Finding {
            severity: Severity::Block,
            host: Some(HostName::new("master02")),
            what: "no answer".into(),
            why: "adding now could lose quorum".into(),
            remedy: "start etcd there".into(),
        };
        let failure = Failure {
            step: join(),
            doing: "start etcd".into(),
            error: "it did not start; look at its journal".into(),
            left: "an unstarted learner".into(),
            output: vec!["bind: address in use".into()],
            undo: None,
            refused: vec![refusal],
            skippable: false,
        };
        let text = Plain::default().lines(&Event::Failed(failure)).join("\n");
        for part in [
            "FAILED at: start etcd",
            "look at its journal",
            "leaves: an unstarted learner",
            "output: bind",
            "do: start etcd there",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
}
