//! The wizard: one loop that turns keys, engine events, looks at etcd and signals into messages, and effects into deeds.

mod asked;

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossterm::event::{Event as TermEvent, KeyEventKind};
use secrecy::SecretString;
use tokio::sync::{
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot, watch as watching,
};

pub(super) use asked::AtScreen;
use asked::{AtWizard, relay_connects};

use super::{
    Task, Training, clipboard,
    drill::Trainee,
    input::Input,
    live::{self, Live},
    screen::Taken,
    session::{Hosts, Looked, Session, unheard},
    two_keys::TwoKeys,
};
use crate::{
    engine::{
        Confirmed, Risk,
        confirm::{Choice, ConfirmRequest, Decision},
        event::{Event, Outcome, StepState},
    },
    remote::{etcd::EtcdApi, lock::Lock},
    runbook::texts,
    survey::{Observed, Severity},
    ui::{Answer, Effect, Model, Msg, Now, Pace, Setup, StepText, terminal::Screen, update, view},
    watch::{self, LogMsg},
};

/// How often the spinner moves on. Where nothing runs, only the clock and ages do, once a second.
const TICK: Duration = Duration::from_millis(250);

/// Runs the wizard in a terminal that was taken, and gives it back; the exit code.
pub(super) async fn run(hosts: &Hosts, task: Task, mut taken: Taken) -> u8 {
    let (to_self, inbox) = mpsc::unbounded_channel();
    let mut wizard = Wizard::new(hosts, task, to_self, &taken);
    wizard.train(hosts, &taken.training);
    let (code, farewell) = wizard.run(&mut taken, inbox).await;
    taken.give_back();
    if let Some(farewell) = farewell {
        // Nobody reads it where the terminal is gone.
        let _ = writeln!(std::io::stdout(), "{farewell}");
    }
    code
}

/// What comes into the loop from the program's own tasks.
pub(super) enum Inner {
    Msg(Msg),
    /// A look at everything is done.
    Looked(Looked),
    /// The engine asks; the answer goes into the sender.
    Confirm(ConfirmRequest, oneshot::Sender<Decision>),
    /// The engine failed; the choice goes into the sender.
    Failed(oneshot::Sender<Choice>),
    /// A host's key is not known.
    HostKey(u64, oneshot::Sender<bool>),
    /// Another run's lock may be taken over; the answer goes into the sender.
    TakeOver(Lock, oneshot::Sender<bool>),
    /// A secret is wanted.
    Secret(u64, oneshot::Sender<Option<SecretString>>),
    /// The run is over.
    Over(Outcome),
}

struct Wizard {
    session: Session,
    task: Task,
    model: Model,
    began: Instant,
    to_self: UnboundedSender<Inner>,
    stop: Arc<AtomicBool>,
    looked: Option<Looked>,
    confirm: Option<(ConfirmRequest, oneshot::Sender<Decision>)>,
    failed: Option<oneshot::Sender<Choice>>,
    take_over: Option<oneshot::Sender<bool>>,
    host_keys: HashMap<u64, oneshot::Sender<bool>>,
    secrets: HashMap<u64, oneshot::Sender<Option<SecretString>>>,
    outcome: Option<Outcome>,
    running: bool,
    watching: bool,
    /// Batches of journal lines, once the hosts are followed.
    logs: Option<mpsc::Receiver<LogMsg>>,
    /// Makes the pollers of masters and ports look at once.
    nudge: watching::Sender<u64>,
    hung_up: bool,
    /// An accident to find, and the cluster it happened in.
    trainee: Option<Trainee>,
    /// Asks whoever sits at the screen.
    asker: Arc<AtScreen>,
    /// The second person, in two-key mode.
    keys: Option<TwoKeys>,
}

impl Wizard {
    fn new(hosts: &Hosts, task: Task, to_self: UnboundedSender<Inner>, taken: &Taken) -> Self {
        let began = Instant::now();
        let (states, arriving) = mpsc::unbounded_channel();
        let asker = Arc::new(AtScreen::new(to_self.clone()));
        let session = Session::new(hosts, asker.clone(), Some(states));
        tokio::spawn(relay_connects(arriving, to_self.clone()));
        let model = Model::new(Setup {
            cluster: hosts.cluster().clone(),
            texts: step_texts(task),
            theme: taken.theme,
            now: now(began),
            size: taken.size(),
            practice: hosts.practice(),
        });
        Self {
            session,
            task,
            model,
            began,
            to_self,
            stop: Arc::default(),
            looked: None,
            confirm: None,
            failed: None,
            take_over: None,
            host_keys: HashMap::new(),
            secrets: HashMap::new(),
            outcome: None,
            running: false,
            watching: false,
            logs: None,
            nudge: watching::Sender::new(0),
            hung_up: false,
            trainee: None,
            asker,
            keys: None,
        }
    }

    /// What is trained, where something is, and who is the second person.
    fn train(&mut self, hosts: &Hosts, training: &Training) {
        if training.guided {
            self.model = self.model.clone().guided();
        }
        if let (Some(drill), Hosts::Practice(practice)) = (&training.drill, hosts) {
            self.model = self.model.clone().with_drill(drill.clone());
            let trainee = Trainee::new(drill.clone(), practice.clone());
            trainee.open_outside(&self.session, &self.to_self);
            self.trainee = Some(trainee);
        }
        if training.two_key || hosts.cluster().two_key {
            self.keys = Some(TwoKeys::pair(self.asker.clone()));
        }
    }

    async fn run(mut self, taken: &mut Taken, mut inbox: UnboundedReceiver<Inner>) -> (u8, Option<String>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        self.look();
        self.draw(&mut taken.screen);
        let mut pace = Pace::new(self.began.elapsed());
        let mut second = -1;
        loop {
            // In this order: a flood of lines must not starve keys or frames.
            let (leave, at_once) = tokio::select! {
                biased;
                input = taken.next() => (self.input(input), true),
                () = due(pace.due(), self.began) => (false, true),
                _ = tick.tick() => {
                    let time = now(self.began);
                    if !self.model.moves() && time.clock.second() == second {
                        continue;
                    }
                    second = time.clock.second();
                    (self.tell(Msg::Tick(time)), true)
                }
                Some(inner) = inbox.recv() => (self.inner(inner), false),
                Some(lines) = next_lines(&mut self.logs) => (self.tell(Msg::Journal(lines)), false),
            };
            if leave {
                break;
            }
            if pace.changed(at_once, self.began.elapsed()) {
                self.draw(&mut taken.screen);
                pace.drew(self.began.elapsed());
            }
        }
        let code = self.outcome.or(self.model.outcome()).map_or_else(
            // Left before a run ended: blocked by the survey, or stopped by the operator.
            || if self.blocked() { Outcome::Refused.code() } else { Outcome::Stopped.code() },
            Outcome::code,
        );
        (code, self.model.farewell())
    }

    fn blocked(&self) -> bool {
        self.looked.as_ref().is_some_and(|l| !l.observed.blocking().is_empty() || l.etcd.is_none())
    }

    fn draw(&mut self, screen: &mut Screen) {
        if self.hung_up {
            return;
        }
        let model = &self.model;
        // A terminal that went away makes drawing fail; the inputs tell of it.
        let _ = screen.draw(|frame| view(model, frame));
    }

    fn input(&mut self, input: Input) -> bool {
        match input {
            Input::Event(TermEvent::Key(key)) if key.kind != KeyEventKind::Release => {
                // The confirm dialog's guard time is counted in the model's time.
                self.tell(Msg::Tick(now(self.began))) | self.tell(Msg::Key(key))
            }
            Input::Event(TermEvent::Paste(text)) => self.tell(Msg::Paste(text)),
            Input::Event(_) => false,
            Input::Resize(columns, rows) => self.tell(Msg::Resize(columns, rows)),
            // What runs is finished all the same.
            Input::Gone => {
                self.hung_up = true;
                self.tell(Msg::Terminate)
            }
            Input::Terminate => self.tell(Msg::Terminate),
            Input::Panicked(words) => self.tell(Msg::Fatal(words)),
        }
    }

    fn inner(&mut self, inner: Inner) -> bool {
        match inner {
            Inner::Msg(msg) => {
                // A step has just changed files, certificates or units, perhaps.
                if matches!(msg, Msg::Engine(Event::State(_, StepState::Done(_) | StepState::Failed(_)))) {
                    self.nudge.send_modify(|n| *n += 1);
                }
                return self.tell(msg);
            }
            Inner::Looked(mut looked) => {
                if Session::blocking(&looked, self.task).is_empty() {
                    looked.observed = Arc::new(unblocked(&looked.observed));
                }
                self.looked = Some(looked.clone());
                if let (Some(api), false) = (&looked.etcd, self.watching) {
                    self.watching = true;
                    self.watch(api.clone());
                    self.live();
                }
                return self.tell(Msg::Survey(looked.observed));
            }
            Inner::Confirm(request, reply) => self.confirm = Some((request, reply)),
            Inner::Failed(reply) => self.failed = Some(reply),
            Inner::TakeOver(lock, reply) => {
                self.take_over = Some(reply);
                return self.tell(Msg::AskTakeOver { id: 0, lock });
            }
            Inner::HostKey(id, reply) => {
                self.host_keys.insert(id, reply);
            }
            Inner::Secret(id, reply) => {
                self.secrets.insert(id, reply);
            }
            Inner::Over(outcome) => {
                self.outcome = Some(outcome);
                self.running = false;
            }
        }
        false
    }

    /// Gives the model a message and does what comes of it; `true` to leave.
    fn tell(&mut self, msg: Msg) -> bool {
        let effects = update(&mut self.model, msg);
        effects.into_iter().fold(false, |leave, effect| self.effect(effect) | leave)
    }

    fn effect(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Answer(answer) => self.answer(&answer),
            Effect::Choose(choice) => {
                if let Some(reply) = self.failed.take() {
                    let _ = reply.send(choice);
                }
            }
            Effect::Start => self.start(),
            Effect::LookAgain => self.look(),
            Effect::StopSoon => self.stop.store(true, Ordering::SeqCst),
            Effect::Quit => return true,
            Effect::AcceptHostKey { id, yes } => {
                if let Some(reply) = self.host_keys.remove(&id) {
                    let _ = reply.send(yes);
                }
            }
            Effect::TakeOver { yes, .. } => {
                if let Some(reply) = self.take_over.take() {
                    let _ = reply.send(yes);
                }
            }
            Effect::Secret { id, secret } => {
                if let Some(reply) = self.secrets.remove(&id) {
                    let _ = reply.send(secret.map(crate::ui::Secret::into_inner));
                }
            }
            Effect::Copy(text) => clipboard::copy(&text),
            Effect::Drill(wish) => {
                if let Some(trainee) = &self.trainee {
                    trainee.wish(wish, &self.session, &self.to_self);
                }
            }
        }
        false
    }

    fn answer(&mut self, answer: &Answer) {
        let Some((request, reply)) = self.confirm.take() else { return };
        let two_keys = self.keys.clone().filter(|_| request.risk == Risk::Irreversible);
        if let (Answer::Go { step, typed }, Some(keys)) = (answer, two_keys)
            && *step == request.step
            && let Some(confirmed) = Confirmed::by_operator(&request, typed)
        {
            // The engine waits for both; the question to the second person is a dialog of its own.
            tokio::spawn(async move {
                let decision = match keys.second(&request.step).await {
                    Some(second) => Decision::Go(confirmed.with_second(&second)),
                    None => Decision::Stop,
                };
                let _ = reply.send(decision);
            });
            return;
        }
        let decision = match answer {
            Answer::Go { step, typed } if *step == request.step => {
                Confirmed::by_operator(&request, typed).map_or(Decision::Stop, Decision::Go)
            }
            Answer::Go { .. } | Answer::Stop { .. } => Decision::Stop,
        };
        let _ = reply.send(decision);
    }

    fn look(&self) {
        let (session, to) = (self.session.clone(), self.to_self.clone());
        tokio::spawn(async move {
            let looked = session.look(unheard()).await;
            let _ = to.send(Inner::Looked(looked));
        });
    }

    fn watch(&self, api: Arc<EtcdApi>) {
        let (looks, mut arriving) = mpsc::unbounded_channel();
        tokio::spawn(watch::etcd(api, looks));
        let (to, began) = (self.to_self.clone(), self.began);
        tokio::spawn(async move {
            while let Some(look) = arriving.recv().await {
                if to.send(Inner::Msg(Msg::Etcd(look, began.elapsed()))).is_err() {
                    return;
                }
            }
        });
    }

    /// Follows masters, ports and journals from now on.
    fn live(&mut self) {
        let live = live::start(&self.session.cluster, self.session.remote(), &self.nudge.subscribe(), self.began);
        let Live { mut looks, logs, sources } = live;
        self.tell(Msg::Sources(sources));
        self.logs = Some(logs);
        let to = self.to_self.clone();
        tokio::spawn(async move {
            while let Some(msg) = looks.recv().await {
                if to.send(Inner::Msg(msg)).is_err() {
                    return;
                }
            }
        });
    }

    fn start(&mut self) {
        let Some(Looked { etcd: Some(_), .. }) = self.looked else { return };
        let Some(looked) = self.looked.clone().filter(|_| !self.running) else { return };
        self.running = true;
        let (session, to, stop, task) = (self.session.clone(), self.to_self.clone(), self.stop.clone(), self.task);
        let two_keys = self.keys.is_some();
        tokio::spawn(async move {
            let Some(etcd) = looked.etcd.clone() else { return };
            let (events, mut arriving) = mpsc::unbounded_channel();
            let relay = to.clone();
            let relayed = tokio::spawn(async move {
                while let Some(event) = arriving.recv().await {
                    let _ = relay.send(Inner::Msg(Msg::Engine(event)));
                }
            });
            let outcome =
                match walk(&session, &looked, &etcd, task, AtWizard { to: to.clone(), two_keys }, events.clone(), stop)
                    .await
                {
                    Ok(outcome) => outcome,
                    Err(why) => {
                        let _ = events.send(Event::Finished(Outcome::Failed, why));
                        Outcome::Failed
                    }
                };
            drop(events);
            let _ = to.send(Inner::Over(outcome));
            let _ = relayed.await;
        });
    }
}

/// Walks the task's steps, the person at the screen deciding.
async fn walk(
    session: &Session,
    looked: &Looked,
    etcd: &Arc<EtcdApi>,
    task: Task,
    operator: AtWizard,
    events: UnboundedSender<Event>,
    stop: Arc<AtomicBool>,
) -> Result<Outcome, String> {
    let (cx, steps) = session.steps(looked, etcd, task).await?;
    let operator = Arc::new(operator);
    let mut engine = session.engine(looked, &cx, operator, events, stop).map_err(|e| e.to_string())?;
    Ok(engine.run(&steps, task.through()).await.0)
}

/// Waits for the next frame's time; for ever where none is due.
async fn due(at: Option<Duration>, began: Instant) {
    match at {
        Some(at) => tokio::time::sleep_until((began + at).into()).await,
        None => std::future::pending().await,
    }
}

/// The next batch of the journals; waits for ever where none are followed.
async fn next_lines(logs: &mut Option<mpsc::Receiver<LogMsg>>) -> Option<LogMsg> {
    match logs {
        Some(logs) => logs.recv().await,
        None => std::future::pending().await,
    }
}

/// What stops growing does not stop taking back: shown all the same, as warnings.
fn unblocked(observed: &Observed) -> Observed {
    let mut observed = observed.clone();
    for finding in &mut observed.findings {
        finding.severity = finding.severity.min(Severity::Warn);
    }
    observed
}

/// The time, for a screen that began then.
pub(super) fn now(began: Instant) -> Now {
    let now = jiff::Zoned::now();
    Now { at: began.elapsed(), clock: now.datetime(), epoch: now.timestamp().as_second() }
}

fn step_texts(task: Task) -> BTreeMap<String, StepText> {
    let of = |kind: &str| {
        let text = texts::text(kind);
        if matches!(task, Task::TakeBack) {
            // Why it was done and what the runbook says of it is nothing to read on the way back.
            let what = tr!("What this step did is taken back. It had done this: {what}", what = text.what);
            return StepText { title: text.title.clone(), what, ..StepText::default() };
        }
        StepText {
            title: text.title.clone(),
            what: text.what.clone(),
            why: text.why.clone(),
            runbook: text.runbook.clone(),
            undo_until: text.undo.until.clone(),
            undo_cost: text.undo.cost.clone(),
        }
    };
    texts::KINDS.iter().map(|kind| ((*kind).to_owned(), of(kind))).collect()
}
