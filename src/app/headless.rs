//! A run without a screen: plain progress lines, decisions by flags; the same engine.

use std::{
    collections::HashMap,
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    Flags, Task,
    cli::OnFailure,
    session::{Hosts, Looked, Session, unheard},
    tty::Tty,
};
use crate::{
    cluster::HostName,
    engine::{
        Approve, Confirmed, Event, Operator, StepId,
        act::ActProgress,
        confirm::{Choice, ConfirmRequest, Decision, Failure},
        event::Outcome,
    },
    remote::{Asker, Nobody, lock::Lock, ssh::ConnectState},
    ui::plain::{self, Plain},
};

/// How often a wait or a transfer says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Walks the runbook with plain lines on standard output.
pub(super) async fn run(hosts: &Hosts, task: Task, flags: Flags) -> Outcome {
    let (session, looked) = look(hosts).await;
    say(&plain::survey(&looked.observed));
    let blocking = Session::blocking(&looked, task);
    let Some(etcd) = looked.etcd.clone().filter(|_| blocking.is_empty()) else {
        say(&[tr!("[run] refused: {count} blocking; nothing was changed", count = text_count(blocking.len()))]);
        return Outcome::Refused;
    };
    let (cx, steps) = match session.steps(&looked, &etcd, task).await {
        Ok(both) => both,
        Err(e) => {
            say(&[tr!("[run] failed: {e}", e = e)]);
            return Outcome::Failed;
        }
    };
    let (events, arriving) = mpsc::unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let operator = Arc::new(ByFlags { flags, two_keys: hosts.cluster().two_key });
    let mut engine = match session.engine(&looked, &cx, operator, events, stop.clone()) {
        Ok(engine) => engine,
        Err(e) => {
            say(&[tr!("[run] failed: {e}", e = e)]);
            return Outcome::Failed;
        }
    };
    say(&[tr!("[run] journal {path}", path = engine.journal.path().display())]);
    let printer = tokio::spawn(print(arriving));
    let signals = tokio::spawn(stop_on_signal(stop));
    let (outcome, _) = engine.run(&steps, task.through()).await;
    signals.abort();
    drop(engine);
    let _ = printer.await;
    outcome
}

/// Connects and surveys, saying how that goes.
pub(super) async fn look(hosts: &Hosts) -> (Session, Looked) {
    for notice in &hosts.cluster().notices {
        say(&[format!("[file] {}", notice.text)]);
    }
    let (states, mut arriving) = mpsc::unbounded_channel::<(HostName, ConnectState)>();
    let asker: Arc<dyn Asker> =
        if std::io::stdin().is_terminal() { Arc::new(Tty::default()) } else { Arc::new(Nobody) };
    let session = Session::new(hosts, asker, Some(states));
    let relay = tokio::spawn(async move {
        while let Some((host, state)) = arriving.recv().await {
            say(&connect_lines(&host, &state));
        }
    });
    let looked = session.look(unheard()).await;
    // Later re-dials are told too, as long as the program lives: the relay is left running.
    drop(relay);
    (session, looked)
}

fn connect_lines(host: &HostName, state: &ConnectState) -> Vec<String> {
    match state {
        // There are many of them, and nothing to log in to.
        ConnectState::Up(up) if up.method == "practice" => Vec::new(),
        ConnectState::Up(up) => {
            vec![tr!("[ssh] {host}: logged in in {took} ms", host = host, took = up.took.as_millis())]
        }
        ConnectState::Failed(e) => vec![format!("[ssh] {e}")],
        ConnectState::HostKey { fingerprint } => {
            vec![tr!("[ssh] {host}: unknown host key {fingerprint}", host = host, fingerprint = fingerprint)]
        }
        ConnectState::Dialling { .. } | ConnectState::LoggingIn { .. } => Vec::new(),
    }
}

fn text_count(n: usize) -> String {
    if n == 1 { trs!("1 finding").into() } else { tr!("{n} findings", n = n) }
}

/// The flags decide.
pub(super) struct ByFlags {
    pub flags: Flags,
    /// Flags are one person.
    pub two_keys: bool,
}

#[async_trait]
impl Operator for ByFlags {
    async fn confirm(&self, request: ConfirmRequest) -> Decision {
        match Confirmed::by_flag(self.flags.approve.map_or(Approve::Nothing, Into::into), &request.step, request.risk) {
            Some(confirmed) => Decision::Go(confirmed),
            None => {
                let need = if request.risk == crate::engine::Risk::Irreversible {
                    "all".into()
                } else {
                    request.risk.to_string()
                };
                say(&[tr!(
                    "[run] {step} is {risk}: it wants --approve {need}, or the wizard",
                    step = request.step,
                    risk = request.risk,
                    need = need
                )]);
                Decision::Stop
            }
        }
    }

    fn two_keys(&self) -> bool {
        self.two_keys
    }

    async fn failed(&self, failure: Failure) -> Choice {
        match (self.flags.on_failure, failure.undo) {
            (OnFailure::Undo, Some(_)) => Choice::Undo,
            _ => Choice::Stop,
        }
    }

    async fn take_over(&self, _: Lock) -> bool {
        self.flags.take_over
    }
}

/// Prints events as they come; waits and transfers are throttled.
async fn print(mut events: mpsc::UnboundedReceiver<Event>) {
    let mut plain = Plain::default();
    let mut last: HashMap<(StepId, usize), Instant> = HashMap::new();
    let mut act_began = Instant::now();
    while let Some(event) = events.recv().await {
        if matches!(event, Event::ActStarted(..)) {
            act_began = Instant::now();
        }
        if let Event::ActProgress(id, act, ActProgress::Waiting { .. } | ActProgress::Bytes { .. }) = &event {
            let key = (id.clone(), *act);
            if last.get(&key).is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
                continue;
            }
            // The first one is of no interest either: most acts are over within the time.
            if last.insert(key, Instant::now()).is_none() {
                continue;
            }
        }
        let mut lines = plain.lines(&event);
        if let (Event::ActProgress(.., ActProgress::Bytes { done, .. }), Some(line)) = (&event, lines.last_mut()) {
            line.push_str(&plain::rate(*done, act_began.elapsed()));
        }
        say(&lines);
    }
}

/// SIGTERM, SIGHUP and Ctrl-C: the step that runs is finished, then the run stops.
async fn stop_on_signal(stop: Arc<AtomicBool>) {
    let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    loop {
        let any = futures::future::select_all(signals.iter_mut().map(|s| Box::pin(s.recv())));
        any.await;
        stop.store(true, Ordering::SeqCst);
        say(&[trs!("[run] stopping once the step that runs is finished").to_owned()]);
    }
}

/// Prints lines; a reader that is gone is no reason to leave a step half done.
pub(super) fn say(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}
