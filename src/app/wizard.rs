//! The wizard: one loop that turns keys, engine events, looks at etcd and signals into messages, and effects into deeds.

use std::{
    collections::{BTreeMap, HashMap},
    io::{IsTerminal, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use base64::Engine as _;
use crossterm::event::{Event as TermEvent, EventStream, KeyEventKind};
use futures::StreamExt;
use secrecy::SecretString;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{
        Notify,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
};

use super::{
    Extras, Task,
    live::{self, Live},
    session::{Hosts, Looked, Session, unheard},
};
use crate::{
    cast::{CastError, Recorder},
    cluster::HostName,
    engine::{
        Confirmed, Operator,
        confirm::{Choice, ConfirmRequest, Decision, Failure},
        event::{Event, Outcome, StepState},
    },
    lang::{self, Lang},
    remote::{Asker, etcd::EtcdApi, ssh},
    runbook::texts,
    survey::{Observed, Severity},
    ui::{
        Answer, ConnectState, Effect, Model, Msg, Now, Setup, StepText, Theme,
        terminal::{Guard, Screen},
        update, view,
    },
    watch::{self, LogMsg},
};

/// How often the clock, ages and the spinner move on.
const TICK: Duration = Duration::from_millis(250);

/// Least time between two frames while lines pour in. A key is answered by a frame at once.
const FRAME: Duration = Duration::from_millis(25);

/// Runs the wizard; the exit code.
pub(super) async fn run(hosts: &Hosts, task: Task, extras: Extras) -> u8 {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        eprintln!(
            "{}",
            tr!(
                "banister: the wizard needs a terminal; run it at one, or add --headless --approve reversible|disruptive|all"
            )
        );
        return 2;
    }
    let recorder = match extras.record.as_deref().map(|path| record(path, hosts)).transpose() {
        Ok(recorder) => recorder,
        Err(e) => {
            eprintln!("banister: {e}");
            return 2;
        }
    };
    let (to_self, inbox) = mpsc::unbounded_channel();
    let panics = to_self.clone();
    let entered = Guard::enter(
        move |words| {
            let _ = panics.send(Inner::Msg(Msg::Fatal(words)));
        },
        recorder.clone().map(|r| Box::new(r) as Box<dyn Write>),
    );
    let (guard, screen) = match entered {
        Ok(both) => both,
        Err(e) => {
            eprintln!("{}", tr!("banister: the terminal cannot be used: {e}", e = e));
            return 1;
        }
    };
    let mut wizard = Wizard::new(hosts, task, to_self, &screen);
    wizard.recorder.clone_from(&recorder);
    let (code, farewell) = wizard.run(screen, inbox).await;
    drop(guard);
    if let Some(Err(why)) = recorder.map(|r| r.end(crossterm::terminal::size().map_or(24, |s| s.1))) {
        eprintln!("banister: {why}");
    }
    if let Some(farewell) = farewell {
        // Nobody reads it where the terminal is gone.
        let _ = writeln!(std::io::stdout(), "{farewell}");
    }
    code
}

/// Begins to record the screen.
fn record(path: &Path, hosts: &Hosts) -> Result<Recorder, CastError> {
    let size = crossterm::terminal::size().unwrap_or((80, 24));
    Recorder::create(path, size, &format!("banister {}", hosts.cluster().name))
}

/// What comes into the loop from the program's own tasks.
enum Inner {
    Msg(Msg),
    /// A look at everything is done.
    Looked(Looked),
    /// The engine asks; the answer goes into the sender.
    Confirm(ConfirmRequest, oneshot::Sender<Decision>),
    /// The engine failed; the choice goes into the sender.
    Failed(oneshot::Sender<Choice>),
    /// A host's key is not known.
    HostKey(u64, oneshot::Sender<bool>),
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
    host_keys: HashMap<u64, oneshot::Sender<bool>>,
    secrets: HashMap<u64, oneshot::Sender<Option<SecretString>>>,
    outcome: Option<Outcome>,
    running: bool,
    watching: bool,
    /// Batches of journal lines, once the hosts are followed.
    logs: Option<mpsc::Receiver<LogMsg>>,
    /// Makes the pollers of masters and ports look at once.
    nudge: [Arc<Notify>; 2],
    hung_up: bool,
    /// Takes a copy of the screen.
    recorder: Option<Recorder>,
}

impl Wizard {
    fn new(hosts: &Hosts, task: Task, to_self: UnboundedSender<Inner>, screen: &Screen) -> Self {
        let began = Instant::now();
        let (states, arriving) = mpsc::unbounded_channel();
        let asker = Arc::new(AtScreen { to: to_self.clone(), next: AtomicU64::new(1) });
        let session = Session::new(hosts, asker, Some(states));
        tokio::spawn(relay_connects(arriving, to_self.clone()));
        let size = screen.size().map_or((80, 24), |s| (s.width, s.height));
        let model = Model::new(Setup {
            cluster: hosts.cluster().clone(),
            texts: step_texts(),
            theme: theme(),
            now: now(began),
            size,
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
            host_keys: HashMap::new(),
            secrets: HashMap::new(),
            outcome: None,
            running: false,
            watching: false,
            logs: None,
            nudge: Default::default(),
            hung_up: false,
            recorder: None,
        }
    }

    async fn run(mut self, mut screen: Screen, mut inbox: UnboundedReceiver<Inner>) -> (u8, Option<String>) {
        let mut keys = EventStream::new();
        let mut keys_open = true;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut signals = Signals::new();
        self.look();
        self.draw(&mut screen);
        let (mut drawn, mut stale) = (Instant::now(), false);
        loop {
            let frame_at = drawn + FRAME;
            // In this order: a flood of lines must not starve keys or frames.
            let (leave, at_once) = tokio::select! {
                biased;
                key = keys.next(), if keys_open => match key {
                    Some(Ok(event)) => (self.terminal(event), true),
                    // The terminal is gone: what runs is finished all the same.
                    Some(Err(_)) | None => {
                        keys_open = false;
                        (self.hang_up(), false)
                    }
                },
                hup = signals.any() => (if hup { self.hang_up() } else { self.tell(Msg::Terminate) }, true),
                () = tokio::time::sleep_until(frame_at.into()), if stale => (false, true),
                _ = tick.tick() => (self.tell(Msg::Tick(now(self.began))), true),
                Some(inner) = inbox.recv() => (self.inner(inner), false),
                Some(lines) = next_lines(&mut self.logs) => (self.tell(Msg::Journal(lines)), false),
            };
            if leave {
                break;
            }
            if at_once || frame_at <= Instant::now() {
                self.draw(&mut screen);
                drawn = Instant::now();
                stale = false;
            } else {
                stale = true;
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
        // A terminal that went away makes drawing fail; the signal or the key stream tells of it.
        let _ = screen.draw(|frame| view(model, frame));
    }

    fn hang_up(&mut self) -> bool {
        self.hung_up = true;
        self.tell(Msg::Terminate)
    }

    fn terminal(&mut self, event: TermEvent) -> bool {
        match event {
            TermEvent::Key(key) if key.kind != KeyEventKind::Release => {
                // The confirm dialog's guard time is counted in the model's time.
                self.tell(Msg::Tick(now(self.began))) | self.tell(Msg::Key(key))
            }
            TermEvent::Paste(text) => self.tell(Msg::Paste(text)),
            TermEvent::Resize(columns, rows) => {
                if let Some(recorder) = &self.recorder {
                    recorder.resized(columns, rows);
                }
                self.tell(Msg::Resize(columns, rows))
            }
            _ => false,
        }
    }

    fn inner(&mut self, inner: Inner) -> bool {
        match inner {
            Inner::Msg(msg) => {
                // A step has just changed files, certificates or units, perhaps.
                if matches!(msg, Msg::Engine(Event::State(_, StepState::Done(_) | StepState::Failed(_)))) {
                    self.nudge.iter().for_each(|n| n.notify_one());
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
            Effect::Secret { id, secret } => {
                if let Some(reply) = self.secrets.remove(&id) {
                    let _ = reply.send(secret.map(crate::ui::Secret::into_inner));
                }
            }
            Effect::Copy(text) => copy(&text),
        }
        false
    }

    fn answer(&mut self, answer: &Answer) {
        let Some((request, reply)) = self.confirm.take() else { return };
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
        let live = live::start(&self.session.cluster, self.session.remote(), self.nudge.clone());
        let Live { mut masters, mut served, logs, sources } = live;
        self.tell(Msg::Sources(sources));
        self.logs = Some(logs);
        let (to, began) = (self.to_self.clone(), self.began);
        tokio::spawn(async move {
            loop {
                let msg = tokio::select! {
                    Some(hosts) = masters.recv() => Msg::Masters(hosts, began.elapsed()),
                    Some(ports) = served.recv() => Msg::Served(ports),
                    else => return,
                };
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
        tokio::spawn(async move {
            let Some(etcd) = looked.etcd.clone() else { return };
            let (events, mut arriving) = mpsc::unbounded_channel();
            let relay = to.clone();
            let relayed = tokio::spawn(async move {
                while let Some(event) = arriving.recv().await {
                    let _ = relay.send(Inner::Msg(Msg::Engine(event)));
                }
            });
            let outcome = match walk(&session, &looked, &etcd, task, to.clone(), events.clone(), stop).await {
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
    to: UnboundedSender<Inner>,
    events: UnboundedSender<Event>,
    stop: Arc<AtomicBool>,
) -> Result<Outcome, String> {
    let (cx, steps) = session.steps(looked, etcd, task).await?;
    let operator = Arc::new(AtWizard { to });
    let mut engine = session.engine(looked, &cx, operator, events, stop).map_err(|e| e.to_string())?;
    Ok(engine.run(&steps, task.through()).await.0)
}

/// The next batch of the journals; waits for ever where none are followed.
async fn next_lines(logs: &mut Option<mpsc::Receiver<LogMsg>>) -> Option<LogMsg> {
    match logs {
        Some(logs) => logs.recv().await,
        None => std::future::pending().await,
    }
}

/// The signals that end a session politely.
struct Signals {
    hangup: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    fn new() -> Self {
        Self { hangup: signal(SignalKind::hangup()).ok(), terminate: signal(SignalKind::terminate()).ok() }
    }

    /// Waits for one; `true` when the terminal is gone.
    async fn any(&mut self) -> bool {
        tokio::select! {
            () = next(&mut self.hangup) => true,
            () = next(&mut self.terminate) => false,
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// A person at the screen decides.
struct AtWizard {
    to: UnboundedSender<Inner>,
}

#[async_trait]
impl Operator for AtWizard {
    async fn confirm(&self, request: ConfirmRequest) -> Decision {
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::Confirm(request, reply));
        // A screen that is gone says nothing, and nothing said is no.
        answer.await.unwrap_or(Decision::Stop)
    }

    async fn failed(&self, _: Failure) -> Choice {
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::Failed(reply));
        answer.await.unwrap_or(Choice::Stop)
    }
}

/// A person at the screen is asked while logging in.
struct AtScreen {
    to: UnboundedSender<Inner>,
    next: AtomicU64,
}

#[async_trait]
impl Asker for AtScreen {
    async fn accept_host_key(&self, host: &HostName, address: &str, key_type: &str, fingerprint: &str) -> bool {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::HostKey(id, reply));
        let _ = self.to.send(Inner::Msg(Msg::AskHostKey {
            id,
            host: host.clone(),
            address: address.into(),
            key_type: key_type.into(),
            fingerprint: fingerprint.into(),
        }));
        answer.await.unwrap_or(false)
    }

    async fn secret(&self, prompt: &str) -> Option<SecretString> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::Secret(id, reply));
        let _ = self.to.send(Inner::Msg(Msg::AskSecret { id, prompt: prompt.into() }));
        answer.await.unwrap_or(None)
    }
}

async fn relay_connects(mut arriving: UnboundedReceiver<(HostName, ssh::ConnectState)>, to: UnboundedSender<Inner>) {
    while let Some((host, state)) = arriving.recv().await {
        let state = match state {
            ssh::ConnectState::Dialling { .. } | ssh::ConnectState::LoggingIn { .. } => ConnectState::Connecting,
            ssh::ConnectState::HostKey { .. } => ConnectState::Asking,
            ssh::ConnectState::Up(_) => ConnectState::Connected,
            ssh::ConnectState::Failed(e) => ConnectState::Failed(e.to_string()),
        };
        if to.send(Inner::Msg(Msg::Connect(host, state))).is_err() {
            return;
        }
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

fn now(began: Instant) -> Now {
    let now = jiff::Zoned::now();
    Now { at: began.elapsed(), clock: now.datetime(), epoch: now.timestamp().as_second() }
}

fn step_texts() -> BTreeMap<String, StepText> {
    let of = |kind: &str| {
        let text = texts::text(kind);
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

/// OSC 52: the terminal takes the text into its clipboard, where it allows that.
fn copy(text: &str) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "\x1b]52;c;{encoded}\x07").and_then(|()| out.flush());
}

/// What the terminal can show. Chinese was asked for or is the locale's: then it can show more than ASCII, whatever else
/// the locale says.
fn theme() -> Theme {
    let theme = Theme::detect(|name| std::env::var(name).ok());
    Theme { unicode: theme.unicode || lang::current() == Lang::Chinese, ..theme }
}
