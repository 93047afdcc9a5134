//! Keys and pasted text.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{engine::select_current, enter, leave, live, refuse, typing};
use crate::{
    engine::confirm::Choice,
    ui::{
        keys::{self, Action, Context},
        message::{Answer, Effect},
        model::{Ask, Model, Panel, Phase, Place, PromptKind, Quit, Section},
        training, view,
    },
};

/// The word that leaves while something still runs.
pub const LEAVE: &str = "leave";

/// A key was pressed.
pub fn key(model: &mut Model, event: &KeyEvent) -> Vec<Effect> {
    let context = keys::context(model);
    let Some(binding) = keys::find(context, event) else {
        return unbound(model, context, event);
    };
    if !keys::available(model, binding.action) {
        return Vec::new();
    }
    // What can't be seen can't be agreed to.
    if model.too_small() && !matches!(binding.action, Action::Quit | Action::No) {
        return Vec::new();
    }
    act(model, context, binding.action, event.kind == KeyEventKind::Repeat)
}

/// A key without a meaning here: a character where text is typed, else a sign that the keys are not meant for this.
fn unbound(model: &mut Model, context: Context, event: &KeyEvent) -> Vec<Effect> {
    if event.kind == KeyEventKind::Release || model.too_small() {
        return Vec::new();
    }
    model.quiet_since = model.now.at;
    let typed = match event.code {
        KeyCode::Char(c) if !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => c,
        _ => return Vec::new(),
    };
    if !context.types() {
        return Vec::new();
    }
    if context == Context::Line {
        training::type_char(model, typed);
        return Vec::new();
    }
    if let Some(Ask::Secret { typed: secret, .. }) = model.asks.front_mut().filter(|_| context == Context::Secret) {
        *secret = secret.with(typed.encode_utf8(&mut [0; 4]));
    } else if let Some(text) = typed_text(model, context) {
        // Host names are short; the bound keeps a cat on the keyboard from filling memory.
        if text.chars().count() < 80 {
            text.push(typed);
            typing::retyped(model);
        }
    }
    Vec::new()
}

/// The text being typed in a context, other than a secret.
fn typed_text(model: &mut Model, context: Context) -> Option<&mut String> {
    match context {
        Context::ConfirmTyped => model.asking.as_mut().map(|a| &mut a.typed),
        Context::QuitHard => model.quit.as_mut().map(|q| &mut q.typed),
        Context::Prompt => model.prompt.as_mut().map(|p| &mut p.typed),
        Context::Palette => model.palette.as_mut().map(|p| &mut p.typed),
        _ => None,
    }
}

/// Text was pasted: good for a secret, never for a yes.
pub fn paste(model: &mut Model, text: &str) -> Vec<Effect> {
    model.quiet_since = model.now.at;
    match keys::context(model) {
        Context::Secret => {
            if let Some(Ask::Secret { typed, .. }) = model.asks.front_mut() {
                let line = text.lines().next().unwrap_or_default();
                *typed = typed.with(line);
            }
        }
        Context::Prompt => {
            if let Some(prompt) = &mut model.prompt {
                let line = crate::remote::clean::line(text.lines().next().unwrap_or_default());
                prompt.typed.extend(line.chars().take(80));
            }
            typing::retyped(model);
        }
        Context::Confirm
        | Context::ConfirmTyped
        | Context::HostKey
        | Context::TakeOver
        | Context::Undo
        | Context::Quit
        | Context::QuitHard => model.say(trs!("pasted text confirms nothing: type it yourself")),
        _ => model.say(trs!("pasted text is not taken here")),
    }
    Vec::new()
}

fn act(model: &mut Model, context: Context, action: Action, repeated: bool) -> Vec<Effect> {
    let scrolls =
        matches!(action, Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::Top | Action::Bottom);
    match (context, action) {
        // Leaving is leaving, wherever one is.
        (_, Action::Quit | Action::Help) => {}
        (Context::File, _) if scrolls => {
            training::select_line(model, action);
            return Vec::new();
        }
        (Context::Predict, _) if !scrolls => {
            training::predict(model, action);
            return Vec::new();
        }
        (Context::Drill | Context::File, _) if !scrolls => return training::act(model, action),
        (Context::Line, _) => return training::line(model, action),
        (_, Action::Drill) => return training::act(model, action),
        _ => {}
    }
    match action {
        Action::Yes => return yes(model, context, repeated),
        Action::No => return no(model, context),
        Action::Refuse => return stop_here(model),
        Action::Submit => return submit(model, context),
        Action::Quit => return quit(model),
        Action::Retry => return choose(model, Choice::Retry),
        Action::Stop => return choose(model, Choice::Stop),
        Action::Skip => return choose(model, Choice::Skip),
        Action::Undo => model.undo_question = true,
        Action::Start => {
            model.starting = true;
            return vec![Effect::Start];
        }
        Action::LookAgain => {
            model.observed = None;
            enter(model, Phase::Connecting);
            for (_, state) in &mut model.hosts {
                if matches!(state, crate::ui::ConnectState::Failed(_)) {
                    *state = crate::ui::ConnectState::Connecting;
                }
            }
            return vec![Effect::LookAgain];
        }
        Action::Copy => return copy(model),
        Action::Aside => aside(model),
        Action::Answer => {
            if let Some(asking) = &mut model.asking {
                asking.hidden = false;
            }
        }
        Action::Erase => erase(model, context, false),
        Action::EraseAll => erase(model, context, true),
        Action::Help => {
            model.help = true;
            model.scroll.help = 0;
        }
        Action::Close => model.help = false,
        Action::Look => look(model),
        Action::Read(panel) => {
            enter(model, Phase::Wizard);
            focus(model, panel);
        }
        Action::Up if context == Context::Palette => typing::choose(model, -1),
        Action::Down if context == Context::Palette => typing::choose(model, 1),
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::Top | Action::Bottom => {
            scroll(model, context, action);
        }
        _ => panels(model, context, action),
    }
    Vec::new()
}

/// What only moves around among panels and pages.
fn panels(model: &mut Model, context: Context, action: Action) {
    match action {
        Action::NextPanel => step_focus(model, 1),
        Action::PreviousPanel => step_focus(model, Panel::ALL.len() - 1),
        Action::Focus(panel) => focus(model, panel),
        // Masters that find no place beside the others.
        Action::NextSection if aside_of(model, context) => {
            model.scroll.masters_from = (model.scroll.masters_from + 1).min(view::furthest_master(model));
        }
        Action::PreviousSection if aside_of(model, context) => {
            // The terminal may have become wider since.
            let from = model.scroll.masters_from.min(view::furthest_master(model));
            model.scroll.masters_from = from.saturating_sub(1);
        }
        Action::NextSection => section(model, context, |i| (i + 1) % Section::ALL.len()),
        Action::PreviousSection => section(model, context, |i| (i + Section::ALL.len() - 1) % Section::ALL.len()),
        Action::Show(wanted) => section(model, context, |_| wanted as usize),
        Action::Zoom => model.zoom = !model.zoom,
        Action::Palette => typing::palette(model),
        Action::Find => typing::find(model),
        Action::Filter => {
            focus(model, Panel::Journal);
            typing::open(model, PromptKind::Filter);
        }
        Action::Older => told(model, |m| m.journal.older_match(false)),
        Action::Newer => told(model, |m| m.journal.newer_match()),
        Action::Pause => live::pause(model),
        Action::Fold => model.unfolded = !model.unfolded,
        Action::Along => {
            model.along = true;
            model.log.follow();
            model.journal.follow();
            select_current(model);
        }
        _ => {}
    }
}

/// Whether left and right move among the masters.
fn aside_of(model: &Model, context: Context) -> bool {
    context == Context::Wizard && model.focus == Panel::Masters
}

/// Goes to a match, or says that there is none.
fn told(model: &mut Model, go: impl Fn(&mut Model) -> bool) {
    if !go(model) {
        model.say(trs!("no other match in this direction"));
    }
}

fn yes(model: &mut Model, context: Context, repeated: bool) -> Vec<Effect> {
    // Leaving takes nothing from the cluster and may be quick; the others decide something.
    if context != Context::Quit && (repeated || !model.settled()) {
        model.quiet_since = model.now.at;
        model.say(trs!("that y came before the question could be read: press it again"));
        return Vec::new();
    }
    match context {
        Context::Confirm => {
            let Some(asking) = model.asking.take() else { return Vec::new() };
            vec![Effect::Answer(Answer::Go { step: asking.request.step, typed: String::new() })]
        }
        Context::Undo => choose(model, Choice::Undo),
        Context::HostKey => match model.asks.pop_front() {
            Some(Ask::HostKey { id, .. }) => vec![Effect::AcceptHostKey { id, yes: true }],
            _ => Vec::new(),
        },
        Context::TakeOver => match model.asks.pop_front() {
            Some(Ask::TakeOver { id, .. }) => vec![Effect::TakeOver { id, yes: true }],
            _ => Vec::new(),
        },
        Context::Quit => leave(model),
        _ => Vec::new(),
    }
}

fn no(model: &mut Model, context: Context) -> Vec<Effect> {
    match context {
        Context::Undo => model.undo_question = false,
        Context::Quit | Context::QuitHard => model.quit = None,
        Context::Prompt | Context::Palette => typing::cancel(model),
        Context::HostKey | Context::TakeOver | Context::Secret => {
            return model.asks.pop_front().map(|a| refuse(&a)).into_iter().collect();
        }
        _ => {}
    }
    Vec::new()
}

/// No to the step that is asked about.
fn stop_here(model: &mut Model) -> Vec<Effect> {
    let Some(asking) = model.asking.take() else { return Vec::new() };
    vec![Effect::Answer(Answer::Stop { step: asking.request.step })]
}

/// Enter, where something was to be typed. The wrong word never does anything.
fn submit(model: &mut Model, context: Context) -> Vec<Effect> {
    match context {
        Context::Secret => match model.asks.pop_front() {
            Some(Ask::Secret { id, typed, .. }) => vec![Effect::Secret { id, secret: Some(typed) }],
            _ => Vec::new(),
        },
        Context::ConfirmTyped => {
            let Some(asking) = model.asking.take() else { return Vec::new() };
            let wanted = asking.request.type_this.clone().unwrap_or_default();
            // An empty word would make a bare Enter a yes.
            if !wanted.is_empty() && asking.typed == wanted {
                return vec![Effect::Answer(Answer::Go { step: asking.request.step, typed: asking.typed })];
            }
            model.say(if asking.typed.is_empty() {
                tr!("Enter alone confirms nothing: type {wanted} first", wanted = wanted)
            } else {
                tr!("“{typed}” is not {wanted}: nothing was confirmed", typed = asking.typed, wanted = wanted)
            });
            model.asking = Some(asking);
            Vec::new()
        }
        Context::Prompt => {
            typing::submit(model);
            Vec::new()
        }
        Context::Palette => {
            let below = keys::below_help(model);
            let action = typing::chosen(model).filter(|a| keys::available(model, *a));
            action.map(|action| act(model, below, action, false)).unwrap_or_default()
        }
        Context::QuitHard => {
            if model.quit.as_ref().is_some_and(|q| q.typed == LEAVE) {
                model.quit = None;
                return vec![Effect::Quit];
            }
            model.say(tr!("type {word} to leave in the middle of an action", word = LEAVE));
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// Asks where leaving would cut into something, else leaves.
fn quit(model: &mut Model) -> Vec<Effect> {
    model.help = false;
    match model.phase {
        Phase::Finished => vec![Effect::Quit],
        _ if model.end.is_some() => vec![Effect::Quit],
        _ if model.only_looks() => vec![Effect::Quit],
        Phase::Connecting | Phase::Survey if !model.busy() => {
            // Nothing but reading has happened; whoever waits for an answer gets a no.
            model.asks.drain(..).map(|a| refuse(&a)).chain([Effect::Quit]).collect()
        }
        _ => {
            model.quit = Some(Quit { hard: model.stopping, typed: String::new() });
            Vec::new()
        }
    }
}

fn choose(model: &mut Model, choice: Choice) -> Vec<Effect> {
    let Some(failure) = model.failure.take() else { return Vec::new() };
    model.last_failure = Some(failure);
    model.undo_question = false;
    enter(model, Phase::Wizard);
    vec![Effect::Choose(choice)]
}

/// Puts the question aside: it waits, and is never lost from sight (the status line and the step list say so).
fn aside(model: &mut Model) {
    if let Some(asking) = &mut model.asking {
        asking.hidden = true;
        asking.typed.clear();
    }
}

/// Between the failed step or the summary and the run behind it.
fn look(model: &mut Model) {
    let to = match model.phase {
        Phase::Wizard if model.only_looks() => Phase::Survey,
        Phase::Wizard if model.failure.is_some() => Phase::Failed,
        Phase::Wizard => Phase::Finished,
        _ => Phase::Wizard,
    };
    enter(model, to);
}

fn erase(model: &mut Model, context: Context, all: bool) {
    if let Some(Ask::Secret { typed, .. }) = model.asks.front_mut().filter(|_| context == Context::Secret) {
        *typed = if all { super::super::message::Secret::default() } else { typed.shorter() };
    } else if let Some(text) = typed_text(model, context) {
        if all {
            text.clear();
        } else {
            text.pop();
        }
        typing::retyped(model);
    }
}

fn copy(model: &mut Model) -> Vec<Effect> {
    let row = match &model.asking {
        Some(asking) if !asking.hidden => model.row(&asking.request.step),
        _ => model.shown(),
    };
    let commands = row.and_then(|r| r.plan.as_ref()).map(|p| p.commands.clone()).filter(|c| !c.is_empty());
    let Some(commands) = commands else {
        model.say(trs!("this step has no commands to copy yet"));
        return Vec::new();
    };
    model.say(trs!("commands copied, if this terminal takes OSC 52"));
    vec![Effect::Copy(commands)]
}

fn focus(model: &mut Model, panel: Panel) {
    model.focus = panel;
    match panel.place() {
        Place::List => return,
        Place::Upper => model.upper = panel,
        Place::Lower => model.lower = panel,
        Place::Etcd => {}
    }
    model.main = panel;
}

fn step_focus(model: &mut Model, by: usize) {
    let at = Panel::ALL.iter().position(|p| *p == model.focus).unwrap_or(0);
    focus(model, Panel::ALL[(at + by) % Panel::ALL.len()]);
}

fn section(model: &mut Model, context: Context, to: impl Fn(usize) -> usize) {
    let change = |s: Section| Section::ALL[to(s as usize) % Section::ALL.len()];
    if context == Context::Wizard {
        model.section = change(model.section);
        model.scroll.step = 0;
        // Whoever asks for a page of the step wants to read it.
        focus(model, Panel::Step);
    } else if let Some(asking) = &mut model.asking {
        asking.section = change(asking.section);
        model.scroll.dialog = 0;
    }
}

/// Moves in whatever the keys are for now.
fn scroll(model: &mut Model, context: Context, action: Action) {
    if context == Context::Wizard && model.focus == Panel::Steps && !model.steps.is_empty() {
        return select(model, action);
    }
    if context == Context::Wizard && matches!(model.focus, Panel::Log | Panel::Journal) {
        return scroll_lines(model, action);
    }
    let (total, height) = view::extent(model);
    let limit = total.saturating_sub(height);
    let at = match context {
        Context::Help => &mut model.scroll.help,
        Context::Confirm | Context::ConfirmTyped | Context::Undo | Context::Drill => &mut model.scroll.dialog,
        Context::Wizard if model.focus == Panel::Etcd => &mut model.scroll.etcd,
        Context::Wizard if model.focus == Panel::Certs => &mut model.scroll.certs,
        Context::Wizard if model.focus == Panel::Masters => &mut model.scroll.masters,
        Context::Wizard if model.focus == Panel::Nodes => &mut model.scroll.nodes,
        Context::Wizard => &mut model.scroll.step,
        _ => &mut model.scroll.screen,
    };
    let page = height.saturating_sub(1).max(1);
    // What was scrolled to may have become shorter since.
    let from = (*at).min(limit);
    *at = match action {
        Action::Up => from.saturating_sub(1),
        Action::Down => from + 1,
        Action::PageUp => from.saturating_sub(page),
        Action::PageDown => from + page,
        Action::Top => 0,
        _ => limit,
    }
    .min(limit);
}

fn select(model: &mut Model, action: Action) {
    let (last, page) = (model.steps.len() - 1, 8);
    let at = model.selected;
    let to = match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => at + 1,
        Action::PageUp => at.saturating_sub(page),
        Action::PageDown => at + page,
        Action::Top => 0,
        _ => last,
    }
    .min(last);
    if to != at {
        model.selected = to;
        model.scroll.step = 0;
        model.along = model.current() == Some(to);
    }
}

/// The log and the journals: moved by lines, the end is followed.
fn scroll_lines(model: &mut Model, action: Action) {
    let page = isize::try_from(view::extent(model).1.saturating_sub(1).max(1)).unwrap_or(1);
    let journal = model.focus == Panel::Journal;
    let by = match action {
        Action::Up => -1,
        Action::Down => 1,
        Action::PageUp => -page,
        Action::PageDown => page,
        Action::Top if journal => return model.journal.top(),
        Action::Top => return model.log.top(),
        _ if journal => return model.journal.follow(),
        _ => return model.log.follow(),
    };
    if journal {
        model.journal.scroll(by);
    } else {
        model.log.scroll(by);
    }
}
