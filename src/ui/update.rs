//! The one writer: a message comes in, the model changes, wishes go out.

mod engine;
mod keyboard;
mod live;
mod typing;

pub use keyboard::LEAVE;
pub(super) use typing::offers;

use super::{
    keys::{self, Context},
    message::{Answer, ConnectState, Effect, Msg},
    model::{Ask, End, Model, Phase},
    training,
};
use crate::{engine::confirm::Choice, remote::clean};

/// Changes the model as a message says and returns what is to be done about it.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let before = question(model);
    let effects = match msg {
        Msg::Key(event) => keyboard::key(model, &event),
        Msg::Paste(text) => keyboard::paste(model, &text),
        Msg::Resize(columns, rows) => {
            model.size = (columns, rows);
            Vec::new()
        }
        Msg::Tick(now) => {
            model.now = now;
            Vec::new()
        }
        Msg::Engine(event) => engine::event(model, event),
        Msg::Etcd(look, at) => {
            live::etcd(&mut model.etcd, look, at);
            Vec::new()
        }
        Msg::Masters(hosts, at) => {
            live::masters(model, hosts, at);
            Vec::new()
        }
        Msg::Served(ports, at) => {
            live::served(&mut model.masters, ports, at);
            Vec::new()
        }
        Msg::Nodes(look, at) => {
            live::nodes(model, look, at);
            Vec::new()
        }
        Msg::Sources(sources) => {
            model.journal.follow_these(sources);
            Vec::new()
        }
        Msg::Journal(msg) => {
            model.journal.take(msg);
            Vec::new()
        }
        Msg::Connect(host, state) => {
            connect(model, &host, state);
            Vec::new()
        }
        Msg::Survey(observed) => {
            if let Ok(membership) = &observed.etcd {
                live::etcd(&mut model.etcd, Ok(membership.clone()), model.now.at);
            }
            let masters = observed.hosts.iter().filter(|h| h.role != crate::cluster::Role::Worker).cloned().collect();
            live::masters(model, masters, model.now.at);
            model.observed = Some(observed);
            if matches!(model.phase, Phase::Connecting | Phase::Survey) {
                enter(model, Phase::Survey);
            }
            Vec::new()
        }
        Msg::AskHostKey { id, host, address, key_type, fingerprint } => {
            let (address, key_type, fingerprint) =
                (clean::line(&address), clean::line(&key_type), clean::line(&fingerprint));
            model.asks.push_back(Ask::HostKey { id, host, address, key_type, fingerprint });
            Vec::new()
        }
        Msg::AskSecret { id, prompt, second } => {
            let prompt = clean::text(&prompt);
            let ask = Ask::Secret { id, prompt, second, typed: super::message::Secret::default() };
            model.asks.push_back(ask);
            Vec::new()
        }
        Msg::Drill(msg) => {
            training::told(model, msg);
            Vec::new()
        }
        Msg::AskTakeOver { id, lock } => {
            model.asks.push_back(Ask::TakeOver { id, lock });
            Vec::new()
        }
        Msg::Terminate => terminate(model),
        Msg::Fatal(what) => fatal(model, &what),
    };
    if question(model) != before {
        model.quiet_since = model.now.at;
        model.scroll.dialog = 0;
    }
    effects
}

/// Which question is on top, so that a new one is told from the one before even in the same kind of dialog.
fn question(model: &Model) -> (Context, Option<u64>, Option<String>) {
    let context = keys::context(model);
    let ask = model.asks.front().map(|a| match a {
        Ask::HostKey { id, .. } | Ask::TakeOver { id, .. } | Ask::Secret { id, .. } => *id,
    });
    (context, ask, model.asking.as_ref().map(|a| a.request.step.to_string()))
}

/// Goes to a screen, at its beginning.
fn enter(model: &mut Model, phase: Phase) {
    model.phase = phase;
    model.scroll.screen = 0;
}

/// No question stays open; what was asked by others is not answered here.
fn close_dialogs(model: &mut Model) {
    model.asking = None;
    model.undo_question = false;
    model.help = false;
    model.quit = None;
    model.prompt = None;
    model.palette = None;
}

fn connect(model: &mut Model, host: &crate::cluster::HostName, state: ConnectState) {
    let state = match state {
        ConnectState::Failed(why) => ConnectState::Failed(clean::line(&why)),
        other => other,
    };
    // A session lost and dialled again in the middle of the run is worth a word.
    if model.phase == Phase::Wizard {
        match &state {
            ConnectState::Connecting => model.say(tr!("{host}: connection lost, dialling again", host = host)),
            ConnectState::Failed(why) => model.say(why.clone()),
            ConnectState::Connected => model.say(tr!("{host}: connected again", host = host)),
            ConnectState::Asking => {}
        }
    }
    if let Some((_, known)) = model.hosts.iter_mut().find(|(name, _)| name == host) {
        *known = state;
    }
}

/// SIGHUP, SIGTERM: every open question is answered with no, what runs is finished, then out.
fn terminate(model: &mut Model) -> Vec<Effect> {
    let mut effects: Vec<Effect> = model.asks.drain(..).map(|a| refuse(&a)).collect();
    effects.extend(leave(model));
    model.say(trs!("asked to end by a signal"));
    effects
}

/// A bug: the engine is stopped at the next safe moment, and the screen says what happened. It stays until it was read.
fn fatal(model: &mut Model, what: &str) -> Vec<Effect> {
    let (was_leaving, effects) = (model.leaving, leave(model));
    model.leaving = was_leaving;
    model.end = Some(End::Fatal(clean::text(what)));
    close_dialogs(model);
    enter(model, Phase::Finished);
    // Where nothing runs there is nothing to stop, and leaving is the reader's business.
    effects.into_iter().filter(|e| *e != Effect::Quit || was_leaving).collect()
}

/// The no to a question of the login.
fn refuse(ask: &Ask) -> Effect {
    match ask {
        Ask::HostKey { id, .. } => Effect::AcceptHostKey { id: *id, yes: false },
        Ask::TakeOver { id, .. } => Effect::TakeOver { id: *id, yes: false },
        Ask::Secret { id, .. } => Effect::Secret { id: *id, secret: None },
    }
}

/// Leaves as gently as the moment needs: at once where nothing can be cut off, else after the engine has stopped.
fn leave(model: &mut Model) -> Vec<Effect> {
    model.quit = None;
    if let Some(asking) = model.asking.take() {
        model.leaving = true;
        model.stopping = true;
        return vec![Effect::Answer(Answer::Stop { step: asking.request.step })];
    }
    if let Some(failure) = model.failure.take() {
        model.last_failure = Some(failure);
        model.leaving = true;
        model.stopping = true;
        model.undo_question = false;
        enter(model, Phase::Wizard);
        return vec![Effect::Choose(Choice::Stop)];
    }
    if model.busy() {
        model.leaving = true;
        model.stopping = true;
        enter(model, Phase::Wizard);
        return vec![Effect::StopSoon];
    }
    vec![Effect::Quit]
}
