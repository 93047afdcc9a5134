//! The walk: probe, preview, gate, confirm, intent, apply, verify, outcome.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, UnboundedSender};

use super::{
    act::{ActCx, ActError, ActProgress, UndoAct},
    confirm::{Choice, ConfirmRequest, Confirmed, Decision, Failure, Operator},
    event::{Event, Outcome, StepInfo, StepState},
    journal::{Change, Journal, JournalError, Record},
    lock::{Had, Lease},
    plan::{Plan, PlanView, Shown, UndoCard},
    step::{Chapter, Probe, Risk, SharedStep, StepId},
};
use crate::{
    pki::San,
    remote::{SharedRemote, clean, etcd::EtcdApi},
    survey::{Finding, Severity},
};

/// How many lines of output a failure shows.
const LAST_LINES: usize = 20;

/// How long after a proof that failed it is asked for again.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Once so much time has gone since the first, no further proof is asked for.
const PROOFS_WITHIN: Duration = Duration::from_secs(30);

/// Walks steps.
pub struct Engine {
    /// The door to the hosts.
    pub remote: SharedRemote,
    /// etcd's API through it.
    pub etcd: Arc<EtcdApi>,
    /// Who decides.
    pub operator: Arc<dyn Operator>,
    /// The one output.
    pub events: UnboundedSender<Event>,
    /// The record.
    pub journal: Journal,
    /// The lock on the cluster: taken before the first step, given back at the end.
    pub lock: Lease,
    /// Set from outside (quit, SIGTERM, SIGHUP): the step that runs is finished, then the run stops.
    pub stop: Arc<AtomicBool>,
}

/// Why a step did not end well.
enum Trouble {
    /// Something failed; `begun` when acts had run.
    Act { doing: String, error: ActError, begun: bool },
    /// The journal cannot be written.
    Journal(JournalError),
}

impl From<JournalError> for Trouble {
    fn from(e: JournalError) -> Self {
        Self::Journal(e)
    }
}

/// How a step ended, when it ended well or was stopped.
enum Ended {
    Well,
    Stopped,
}

impl Engine {
    /// Walks the steps in order, up to and with `through`.
    pub async fn run(&mut self, steps: &[SharedStep], through: Chapter) -> (Outcome, String) {
        let steps: Vec<_> = steps.iter().filter(|s| s.chapter() <= through).cloned().collect();
        self.send(Event::Steps(steps.iter().map(|s| info(&**s)).collect()));
        let mut changed = 0;
        let mut end = self.take_lock().await.err();
        for step in steps.iter().take(if end.is_none() { usize::MAX } else { 0 }) {
            if self.stop.load(Ordering::SeqCst) {
                end = Some((Outcome::Stopped, tr!("stopped before {id}; run again to go on", id = step.id())));
                break;
            }
            match self.walk(step).await {
                Ok(true) => changed += 1,
                Ok(false) => {}
                Err(over) => {
                    end = Some(over);
                    break;
                }
            }
        }
        let (outcome, why) = end.unwrap_or_else(|| {
            let why = if changed == 0 {
                tr!("nothing to do: all {steps} steps were done already", steps = steps.len())
            } else {
                tr!(
                    "done: {changed} of {steps} steps ran, the others were done already",
                    changed = changed,
                    steps = steps.len()
                )
            };
            (Outcome::Done, why)
        });
        if let Err(e) = self.lock.release().await {
            self.send(Event::Note(tr!(
                "the lock on the cluster was not given back ({e}); it ends by itself with its lease",
                e = e
            )));
        }
        // The outcome is known even if its record can't be written; the exit code tells.
        let _ = self.journal.write(Record::End { code: outcome.code(), why: why.clone() });
        self.send(Event::Finished(outcome, why.clone()));
        (outcome, why)
    }

    /// The lock on the cluster, or why this run ends before it began.
    async fn take_lock(&mut self) -> Result<(), (Outcome, String)> {
        let operator = self.operator.clone();
        let may = |lock| {
            let operator = operator.clone();
            async move { operator.take_over(lock).await }
        };
        let had = self.lock.take(may).await;
        let (lock, how) = match had.map_err(|e| (Outcome::Refused, tr!("{e}; nothing was changed", e = e)))? {
            Had::Free => return Ok(()),
            Had::Left(lock) => (lock, trs!("left behind by a run on this machine that is dead")),
            Had::TakenOver(lock) => (lock, trs!("taken over: its lease had run out")),
        };
        let record = Record::Lock { holder: lock.holder.who.clone(), since: lock.since.clone(), how: how.into() };
        self.journal.write(record).map_err(|e| (Outcome::Failed, e.to_string()))?;
        self.send(Event::Note(tr!(
            "the lock of {who} (since {since}) was {how}",
            who = lock.holder.who,
            since = lock.since,
            how = how
        )));
        Ok(())
    }

    /// One step, retried as often as the operator wants. `Ok(true)` when it changed something.
    async fn walk(&mut self, step: &SharedStep) -> Result<bool, (Outcome, String)> {
        let id = step.id();
        loop {
            self.state(&id, StepState::Probing);
            let began = Instant::now();
            let mut undo = Vec::new();
            let mut output = Vec::new();
            let trouble = match self.attempt(step, &mut undo, &mut output, began).await {
                Ok(None) => return Ok(false),
                Ok(Some(Ended::Well)) => return Ok(true),
                Ok(Some(Ended::Stopped)) => {
                    self.state(&id, StepState::Waiting);
                    return Err((
                        Outcome::Stopped,
                        tr!("stopped at {id}; nothing of it was done; run again to go on", id = id),
                    ));
                }
                Err(trouble) => trouble,
            };
            let (doing, error, begun) = match trouble {
                Trouble::Journal(e) => return Err((Outcome::Failed, e.to_string())),
                Trouble::Act { doing, error, begun } => (doing, error, begun),
            };
            self.state(&id, StepState::Failed(error.to_string()));
            let skippable = step.skippable();
            let failure = Failure { skippable, ..failure(&id, doing, &error, begun, &undo, output) };
            self.send(Event::Failed(failure.clone()));
            match self.operator.failed(failure).await {
                Choice::Retry => {}
                // Whoever has the lock now must not find things taken back under their hands.
                Choice::Undo if matches!(error, ActError::Lock(_)) => return Err(Self::left(&id, begun, &error)),
                Choice::Undo if begun && !undo.is_empty() => {
                    let undone = self.take_back(&id, &undo).await;
                    return Err((Outcome::Failed, undone));
                }
                Choice::Skip if skippable => {
                    self.state(&id, StepState::Skipped);
                    self.send(Event::Note(tr!("{id} was skipped; run again to do it later", id = id)));
                    return Ok(false);
                }
                Choice::Undo | Choice::Skip | Choice::Stop => return Err(Self::left(&id, begun, &error)),
            }
        }
    }

    /// A step that failed and is left as it is.
    fn left(id: &StepId, begun: bool, error: &ActError) -> (Outcome, String) {
        let outcome = if matches!(error, ActError::Gate(_)) { Outcome::Refused } else { Outcome::Failed };
        let how = if begun { trs!("was left half done") } else { trs!("changed nothing") };
        (outcome, tr!("{id} {how}: {error}; run again once that is mended", id = id, how = how, error = error))
    }

    /// Probe to outcome, once. `None` when there was nothing to do.
    async fn attempt(
        &mut self,
        step: &SharedStep,
        undo: &mut Vec<UndoAct>,
        output: &mut Vec<String>,
        began: Instant,
    ) -> Result<Option<Ended>, Trouble> {
        let id = step.id();
        let looked = step.probe().await.map_err(|error| before(trs!("looking at the cluster"), error))?;
        match looked {
            Probe::Done(seen) => {
                self.journal.write(Record::Found { step: step.journal_name(), seen: seen.clone() })?;
                self.state(&id, StepState::AlreadyDone(seen));
                return Ok(None);
            }
            Probe::Blocked(findings) => return Err(before(trs!("looking at the cluster"), ActError::Gate(findings))),
            Probe::Todo(_) => {}
        }
        let plan = step.preview().await.map_err(|error| before(trs!("working out what to do"), error))?;
        let view = Arc::new(plan.view.clone());
        self.send(Event::Preview(id.clone(), view.clone()));
        self.gate(step).await.map_err(|error| before(trs!("the gate"), error))?;

        let request = ConfirmRequest {
            step: id.clone(),
            title: step.title(),
            risk: plan.risk,
            type_this: (plan.risk == Risk::Irreversible)
                .then(|| id.host.as_ref().map_or_else(|| id.kind.to_owned(), ToString::to_string)),
            plan: view,
        };
        self.state(&id, StepState::Asking);
        self.send(Event::Asking(request.clone()));
        let confirmed = match self.operator.confirm(request).await {
            Decision::Go(confirmed)
                if plan.risk == Risk::Irreversible && self.operator.two_keys() && confirmed.second().is_none() =>
            {
                let why = tr!(
                    "{step} wants a second person's yes: walk it in the wizard, with --two-key",
                    step = confirmed.step()
                );
                self.send(Event::Note(why));
                return Ok(Some(Ended::Stopped));
            }
            Decision::Go(confirmed) if *confirmed.step() == id => confirmed,
            Decision::Go(_) | Decision::Stop => return Ok(Some(Ended::Stopped)),
        };
        // Minutes may lie between the question and the answer.
        self.gate(step).await.map_err(|error| before(trs!("the gate"), error))?;
        self.apply(step, plan, confirmed, undo, output, began).await?;
        Ok(Some(Ended::Well))
    }

    async fn apply(
        &mut self,
        step: &SharedStep,
        plan: Plan,
        confirmed: Confirmed,
        undo: &mut Vec<UndoAct>,
        output: &mut Vec<String>,
        began: Instant,
    ) -> Result<(), Trouble> {
        let id = step.id();
        let name = step.journal_name();
        self.lock.still().await.map_err(|error| before(trs!("the lock on the cluster"), error))?;
        self.journal.write(Record::Intent {
            step: name.clone(),
            risk: plan.risk,
            confirmed_by: confirmed.by_all(),
            acts: plan.view.acts.iter().map(Shown::line).collect(),
            undo: plan.undo.clone(),
            changes: changes(&plan.view),
        })?;
        *undo = plan.undo;
        self.send(Event::Confirmed(id.clone(), confirmed.by()));
        if let Some(second) = confirmed.second() {
            self.send(Event::Note(tr!("{step}: second key turned by {name}", step = id, name = second)));
        }
        self.state(&id, StepState::Running);
        for (index, act) in plan.acts.iter().enumerate() {
            let doing = plan.view.acts.get(index).map(|a| a.title.clone()).unwrap_or_default();
            let after = |error| Trouble::Act { doing: doing.clone(), error, begun: true };
            self.lock.still().await.map_err(after)?;
            if act.changes_membership() {
                self.gate(step).await.map_err(after)?;
            }
            self.journal.write(Record::ActIntent { step: name.clone(), act: index })?;
            self.send(Event::ActStarted(id.clone(), index));
            let act_began = Instant::now();
            let result = self.watched(&id, index, output, |cx| async move { act.act(&cx).await }).await;
            self.journal.write(Record::ActOutcome {
                step: name.clone(),
                act: index,
                error: result.as_ref().err().map(ToString::to_string),
                milliseconds: millis(act_began),
            })?;
            if let Err(error) = result {
                self.outcome(&name, Vec::new(), Some(&error), began)?;
                return Err(after(error));
            }
            self.send(Event::ActDone(id.clone(), index, act_began.elapsed()));
        }
        self.state(&id, StepState::Verifying);
        match self.proofs(step, &id).await {
            Ok(proofs) => {
                self.outcome(&name, proofs.clone(), None, began)?;
                self.send(Event::Verified(id.clone(), proofs));
                self.state(&id, StepState::Done(began.elapsed()));
                Ok(())
            }
            Err(error) => {
                self.outcome(&name, Vec::new(), Some(&error), began)?;
                Err(Trouble::Act { doing: trs!("proving the effect").into(), error, begun: true })
            }
        }
    }

    /// The proofs of a step, asked for again where they do not come at once: a packet that was lost, or a host that was busy
    /// for a moment, is no reason to call done work failed, let alone to take it back.
    async fn proofs(&self, step: &SharedStep, id: &StepId) -> Result<Vec<String>, ActError> {
        let began = Instant::now();
        let mut pauses = AGAIN.iter();
        loop {
            let error = match step.verify().await {
                Ok(proofs) => return Ok(proofs),
                Err(error) => error,
            };
            let Some(pause) = pauses.next().filter(|_| began.elapsed() < PROOFS_WITHIN) else { return Err(error) };
            self.send(Event::Note(tr!(
                "{step}: not proven yet: {why}; looked at again in {seconds} s",
                step = id,
                why = error,
                seconds = pause.as_secs()
            )));
            tokio::time::sleep(*pause).await;
        }
    }

    /// Runs something with its progress relayed as events and its lines kept for a failure.
    async fn watched<F, Fut>(&self, id: &StepId, index: usize, output: &mut Vec<String>, run: F) -> Result<(), ActError>
    where
        F: FnOnce(ActCx) -> Fut,
        Fut: Future<Output = Result<(), ActError>>,
    {
        let (progress, mut arriving) = mpsc::unbounded_channel();
        let cx = ActCx { remote: self.remote.clone(), etcd: self.etcd.clone(), progress };
        let relay = async {
            while let Some(p) = arriving.recv().await {
                if let ActProgress::Line(line) = &p {
                    output.push(line.clone());
                    if output.len() > LAST_LINES {
                        output.remove(0);
                    }
                }
                self.send(Event::ActProgress(id.clone(), index, p));
            }
        };
        tokio::join!(run(cx), relay).0
    }

    /// Takes a step back; returns how that went, in words.
    async fn take_back(&mut self, id: &StepId, undo: &[UndoAct]) -> String {
        let mut failed = Vec::new();
        let mut output = Vec::new();
        for (index, act) in undo.iter().enumerate() {
            self.send(Event::Note(tr!("undo: {what}", what = act.shown().line())));
            if let Err(e) = self.watched(id, index, &mut output, |cx| async move { act.undo(&cx).await }).await {
                failed.push(e.to_string());
            }
        }
        let error = (!failed.is_empty()).then(|| failed.join("; "));
        let record = Record::Undone { step: id.to_string(), error: error.clone() };
        if let Err(e) = self.journal.write(record) {
            failed.push(e.to_string());
        }
        match error {
            None => {
                self.state(id, StepState::Undone);
                tr!("{id} failed and was taken back; the cluster is as it was before it", id = id)
            }
            Some(error) => tr!("{id} failed, and taking it back failed too: {error}", id = id, error = error),
        }
    }

    async fn gate(&self, step: &SharedStep) -> Result<(), ActError> {
        let findings = step.gate().await?;
        let blocking: Vec<Finding> = findings.iter().filter(|f| f.severity == Severity::Block).cloned().collect();
        if blocking.is_empty() {
            return Ok(());
        }
        self.send(Event::Refused(blocking.clone()));
        Err(ActError::Gate(blocking))
    }

    fn outcome(
        &mut self,
        step: &str,
        proofs: Vec<String>,
        error: Option<&ActError>,
        began: Instant,
    ) -> Result<(), JournalError> {
        self.journal.write(Record::Outcome {
            step: step.to_owned(),
            proofs,
            error: error.map(ToString::to_string),
            milliseconds: millis(began),
        })
    }

    fn state(&self, id: &StepId, state: StepState) {
        self.send(Event::State(id.clone(), state));
    }

    fn send(&self, event: Event) {
        // A screen that is gone must not stop the run half way.
        let _ = self.events.send(event);
    }
}

/// What changes, for the report: file diffs and names in certificates. Plans hold text files alone, never keys.
fn changes(view: &PlanView) -> Vec<Change> {
    let files = view.diffs.iter().map(|d| Change {
        host: d.host.to_string(),
        path: d.path.clone(),
        diff: unified(d.before.as_deref().unwrap_or_default(), &d.after),
    });
    let names = |sign: char, sans: &[San]| {
        sans.iter().flat_map(|s| [sign.to_string(), s.to_string(), "\n".into()]).collect::<String>()
    };
    let certs = view.certs.iter().map(|c| Change {
        host: c.host.to_string(),
        path: c.path.clone(),
        diff: names('+', &c.sans.added) + &names('-', &c.sans.dropped),
    });
    files.chain(certs).collect()
}

fn unified(before: &str, after: &str) -> String {
    let diff = similar::TextDiff::from_lines(before, after);
    clean::text(&diff.unified_diff().context_radius(1).to_string())
}

fn before(doing: &str, error: ActError) -> Trouble {
    Trouble::Act { doing: doing.to_owned(), error, begun: false }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn info(step: &dyn super::Step) -> StepInfo {
    StepInfo { id: step.id(), chapter: step.chapter(), title: step.title(), risk: step.risk() }
}

fn failure(
    id: &StepId,
    doing: String,
    error: &ActError,
    begun: bool,
    undo: &[UndoAct],
    output: Vec<String>,
) -> Failure {
    let left = if !begun {
        trs!("Nothing of this step was done.").to_owned()
    } else if matches!(error, ActError::Remote(e) if e.outcome_unknown()) {
        trs!("The step is half done and the last action's outcome is unknown; a retry looks first.").to_owned()
    } else {
        trs!("The step is half done; a retry looks first and goes on from what it finds.").to_owned()
    };
    Failure {
        step: id.clone(),
        doing,
        error: error.to_string(),
        left,
        output,
        undo: (begun && !undo.is_empty()).then(|| UndoCard {
            acts: undo.iter().map(UndoAct::shown).collect(),
            until: trs!("now").into(),
            cost: String::new(),
        }),
        refused: match error {
            ActError::Gate(findings) => findings.clone(),
            _ => Vec::new(),
        },
        skippable: false,
    }
}
