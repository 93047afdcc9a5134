//! The keys, as one table: what a key does, the help and the footer are all read from it.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Ask, Model, Panel, Phase, Section};

/// Which keys hold: the screen, or the dialog on top of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// The connecting screen.
    Connecting,
    /// The survey's result.
    Survey,
    /// The wizard.
    Wizard,
    /// A failed step.
    Failed,
    /// The end.
    Finished,
    /// A confirm dialog answered by `y`.
    Confirm,
    /// A confirm dialog that wants a name typed.
    ConfirmTyped,
    /// The question before a failed step is taken back.
    Undo,
    /// An unknown host key.
    HostKey,
    /// A secret is typed.
    Secret,
    /// The question before leaving.
    Quit,
    /// The question before leaving while something still runs; wants a word typed.
    QuitHard,
    /// The help.
    Help,
}

impl Context {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Connecting,
        Self::Survey,
        Self::Wizard,
        Self::Failed,
        Self::Finished,
        Self::Confirm,
        Self::ConfirmTyped,
        Self::Undo,
        Self::HostKey,
        Self::Secret,
        Self::Quit,
        Self::QuitHard,
        Self::Help,
    ];

    /// Whether characters are typed here rather than pressed.
    pub const fn types(self) -> bool {
        matches!(self, Self::ConfirmTyped | Self::Secret | Self::QuitHard)
    }

    /// Its heading in the help.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting",
            Self::Survey => "Survey",
            Self::Wizard => "Wizard",
            Self::Failed => "Failed step",
            Self::Finished => "Finished",
            Self::Confirm => "Question before a step",
            Self::ConfirmTyped => "Question before a point of no return",
            Self::Undo => "Question before an undo",
            Self::HostKey => "Unknown host key",
            Self::Secret => "Passphrase, password or code",
            Self::Quit => "Question before leaving",
            Self::QuitHard => "Leaving while something runs",
            Self::Help => "Help",
        }
    }
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table says what each does, in the words the help shows")]
pub enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    NextPanel,
    PreviousPanel,
    Focus(Panel),
    NextSection,
    PreviousSection,
    Show(Section),
    Zoom,
    Fold,
    Copy,
    Along,
    Answer,
    Refuse,
    Yes,
    No,
    Aside,
    Submit,
    Erase,
    EraseAll,
    Retry,
    Undo,
    Stop,
    Look,
    Start,
    LookAgain,
    Help,
    Close,
    Quit,
}

/// A key with its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Which key.
    pub code: KeyCode,
    /// Whether Ctrl is held.
    pub ctrl: bool,
}

const fn ch(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: false }
}

const fn ctrl(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: true }
}

const fn key(code: KeyCode) -> Key {
    Key { code, ctrl: false }
}

impl Key {
    /// Whether an event is this key. Shift is part of the character.
    pub fn matches(self, event: &KeyEvent) -> bool {
        let other = KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META | KeyModifiers::HYPER;
        self.code == event.code
            && self.ctrl == event.modifiers.contains(KeyModifiers::CONTROL)
            && !event.modifiers.intersects(other)
    }

    /// An event of this key, for tests and scripts.
    pub fn event(self) -> KeyEvent {
        KeyEvent::new(self.code, if self.ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE })
    }

    /// Its name in the help.
    pub fn name(self) -> String {
        match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) if self.ctrl => format!("Ctrl-{}", c.to_ascii_uppercase()),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            code => format!("{code}"),
        }
    }
}

/// A line of the table.
#[derive(Debug)]
pub struct Binding {
    /// Any of these keys.
    pub keys: &'static [Key],
    /// Does this.
    pub action: Action,
    /// In these contexts.
    pub contexts: &'static [Context],
    /// In the footer: a word or two, empty for none.
    pub short: &'static str,
    /// In the help.
    pub does: &'static str,
}

use Context as C;

const PAGES: &[Context] =
    &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::ConfirmTyped, C::Undo, C::Help];
const PRESSED: &[Context] =
    &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::Undo, C::Help];

const fn bind(
    keys: &'static [Key],
    action: Action,
    contexts: &'static [Context],
    short: &'static str,
    does: &'static str,
) -> Binding {
    Binding { keys, action, contexts, short, does }
}

/// The table. The footer shows what fits, in this order.
pub const TABLE: &[Binding] = &[
    bind(&[ch('y')], Action::Yes, &[C::Confirm], "yes, run it", "Yes: run this step"),
    bind(&[ch('y')], Action::Yes, &[C::Undo], "yes, take it back", "Yes: take the step back as shown"),
    bind(&[ch('y')], Action::Yes, &[C::HostKey], "yes, it is this key", "Yes: this is the host's key; remember it"),
    bind(&[ch('y')], Action::Yes, &[C::Quit], "yes, leave", "Yes: leave; what runs is finished first"),
    bind(
        &[key(KeyCode::Enter)],
        Action::Submit,
        &[C::ConfirmTyped],
        "run it, once typed",
        "Run the step, if the name above was typed",
    ),
    bind(&[key(KeyCode::Enter)], Action::Submit, &[C::Secret], "send", "Send what was typed"),
    bind(
        &[key(KeyCode::Enter)],
        Action::Submit,
        &[C::QuitHard],
        "leave, once typed",
        "Leave now, if the word above was typed",
    ),
    bind(
        &[ch('n')],
        Action::Refuse,
        &[C::Confirm],
        "no, stop here",
        "No: stop the run here; this step changed nothing",
    ),
    bind(&[ch('n'), key(KeyCode::Esc)], Action::No, &[C::Undo, C::HostKey, C::Quit], "no", "No"),
    bind(&[key(KeyCode::Esc)], Action::No, &[C::Secret, C::QuitHard], "cancel", "Give nothing, go back"),
    bind(
        &[key(KeyCode::Esc)],
        Action::Aside,
        &[C::Confirm, C::ConfirmTyped],
        "look around first",
        "Put the question aside and look around; the step waits",
    ),
    bind(&[ch('a')], Action::Answer, &[C::Wizard], "answer", "Open the question again"),
    bind(&[ch('n')], Action::Refuse, &[C::Wizard], "no, stop here", "Answer the question with no: stop the run here"),
    bind(&[ch('r')], Action::Retry, &[C::Failed], "retry", "Look at the cluster again and go on from what is seen"),
    bind(&[ch('u')], Action::Undo, &[C::Failed], "undo this step", "Take this step back, then stop; asks once more"),
    bind(&[ch('s')], Action::Stop, &[C::Failed], "stop here", "Stop here and leave things as they are"),
    bind(&[ch('v')], Action::Look, &[C::Failed, C::Finished], "view the run", "Look at steps, commands, etcd and log"),
    bind(&[ch('b')], Action::Look, &[C::Wizard], "back", "Back to the failed step or the summary"),
    bind(
        &[key(KeyCode::Enter)],
        Action::Start,
        &[C::Survey],
        "go on to the steps",
        "Go on to the steps; nothing is changed before you say yes to a step",
    ),
    bind(
        &[ch('r')],
        Action::LookAgain,
        &[C::Connecting, C::Survey],
        "look again",
        "Connect to what is missing and look at every host again",
    ),
    bind(&[key(KeyCode::Tab)], Action::NextPanel, &[C::Wizard], "panel", "Next panel"),
    bind(&[key(KeyCode::BackTab)], Action::PreviousPanel, &[C::Wizard], "", "Previous panel"),
    bind(&[ch('s')], Action::Focus(Panel::Steps), &[C::Wizard], "", "To the step list"),
    bind(&[ch('d'), key(KeyCode::Enter)], Action::Focus(Panel::Step), &[C::Wizard], "", "To the details of the step"),
    bind(&[ch('e')], Action::Focus(Panel::Etcd), &[C::Wizard], "etcd", "To etcd's members"),
    bind(&[ch('l')], Action::Focus(Panel::Log), &[C::Wizard], "log", "To the log"),
    bind(
        &[key(KeyCode::Right)],
        Action::NextSection,
        &[C::Wizard, C::Confirm, C::ConfirmTyped],
        "",
        "Next page of the step: about, commands, changes, undo",
    ),
    bind(
        &[key(KeyCode::Left)],
        Action::PreviousSection,
        &[C::Wizard, C::Confirm, C::ConfirmTyped],
        "",
        "Previous page of the step",
    ),
    bind(&[key(KeyCode::Tab)], Action::NextSection, &[C::Confirm, C::ConfirmTyped], "next page", "Next page"),
    bind(
        &[ch('1')],
        Action::Show(Section::About),
        &[C::Wizard, C::Confirm],
        "",
        "What the step does, why, and what the runbook says",
    ),
    bind(&[ch('2')], Action::Show(Section::Commands), &[C::Wizard, C::Confirm], "", "The exact commands"),
    bind(
        &[ch('3')],
        Action::Show(Section::Changes),
        &[C::Wizard, C::Confirm],
        "",
        "What changes in files and certificates",
    ),
    bind(
        &[ch('4')],
        Action::Show(Section::Undo),
        &[C::Wizard, C::Confirm],
        "",
        "How to get back, until when, at what cost",
    ),
    bind(&[ch('z')], Action::Zoom, &[C::Wizard], "zoom", "The panel on the whole screen, and back"),
    bind(
        &[ch('x')],
        Action::Fold,
        &[C::Wizard, C::Confirm],
        "",
        "Unfold the unchanged lines of diffs, and fold them again",
    ),
    bind(&[ch('c')], Action::Copy, &[C::Wizard, C::Confirm], "", "Copy the step's commands to the clipboard"),
    bind(&[ch('f')], Action::Along, &[C::Wizard], "", "Follow: select the step that runs, show the end of the log"),
    bind(&[key(KeyCode::Up), ch('k')], Action::Up, PRESSED, "", "Up"),
    bind(&[key(KeyCode::Down), ch('j')], Action::Down, PRESSED, "", "Down"),
    bind(&[key(KeyCode::Up)], Action::Up, &[C::ConfirmTyped], "", "Up"),
    bind(&[key(KeyCode::Down)], Action::Down, &[C::ConfirmTyped], "", "Down"),
    bind(&[key(KeyCode::PageUp)], Action::PageUp, PAGES, "", "A page up"),
    bind(&[key(KeyCode::PageDown)], Action::PageDown, PAGES, "", "A page down"),
    bind(&[key(KeyCode::Home), ch('g')], Action::Top, PRESSED, "", "To the beginning"),
    bind(&[key(KeyCode::End), ch('G')], Action::Bottom, PRESSED, "", "To the end"),
    bind(
        &[key(KeyCode::Backspace)],
        Action::Erase,
        &[C::ConfirmTyped, C::Secret, C::QuitHard],
        "",
        "Erase the last character",
    ),
    bind(&[ctrl('u')], Action::EraseAll, &[C::ConfirmTyped, C::Secret, C::QuitHard], "", "Erase all"),
    bind(
        &[ch('?')],
        Action::Help,
        &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::Undo],
        "help",
        "The keys that hold here",
    ),
    bind(&[ch('?'), key(KeyCode::Esc), ch('q')], Action::Close, &[C::Help], "close", "Close the help"),
    bind(
        &[ch('q'), ctrl('c')],
        Action::Quit,
        &[C::Connecting, C::Survey, C::Wizard, C::Failed, C::Finished, C::Confirm, C::Undo, C::HostKey],
        "leave",
        "Leave; asks while something runs or waits",
    ),
    bind(
        &[ctrl('c')],
        Action::Quit,
        &[C::ConfirmTyped, C::Secret, C::Help],
        "",
        "Leave; asks while something runs or waits",
    ),
    bind(&[ctrl('c')], Action::No, &[C::Quit, C::QuitHard], "", "Don't leave"),
];

/// Which keys hold now: the question on top, or the screen.
pub fn context(model: &Model) -> Context {
    if let Some(quit) = &model.quit {
        return if quit.hard { Context::QuitHard } else { Context::Quit };
    }
    match model.asks.front() {
        Some(Ask::HostKey { .. }) => return Context::HostKey,
        Some(Ask::Secret { .. }) => return Context::Secret,
        None => {}
    }
    if model.help { Context::Help } else { below_help(model) }
}

/// Which keys hold below the help.
pub fn below_help(model: &Model) -> Context {
    if model.undo_question {
        return Context::Undo;
    }
    match (&model.asking, model.phase) {
        (Some(asking), Phase::Wizard) if !asking.hidden => {
            if asking.request.type_this.is_some() {
                Context::ConfirmTyped
            } else {
                Context::Confirm
            }
        }
        (_, phase) => screen(phase),
    }
}

/// The context of a screen without dialogs.
pub fn screen(phase: Phase) -> Context {
    match phase {
        Phase::Connecting => Context::Connecting,
        Phase::Survey => Context::Survey,
        Phase::Wizard => Context::Wizard,
        Phase::Failed => Context::Failed,
        Phase::Finished => Context::Finished,
    }
}

/// The line of the table an event means in a context.
pub fn find(context: Context, event: &KeyEvent) -> Option<&'static Binding> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    TABLE.iter().find(|b| b.contexts.contains(&context) && b.keys.iter().any(|k| k.matches(event)))
}

/// Whether an action makes sense now: what doesn't is left out of the footer and does nothing.
pub fn available(model: &Model, action: Action) -> bool {
    match action {
        Action::Answer | Action::Refuse => model.asking.is_some(),
        Action::Undo => model.failure.as_ref().is_some_and(|f| f.undo.is_some()),
        Action::Start => model.blocking() == 0 && !model.starting,
        Action::LookAgain => {
            model.phase == Phase::Survey && !model.starting
                || model.phase == Phase::Connecting && settled_with_failures(model)
        }
        Action::Look => model.phase != Phase::Wizard || model.end.is_some() || model.failure.is_some(),
        Action::Retry | Action::Stop => model.failure.is_some() && model.end.is_none(),
        _ => true,
    }
}

/// Whether every host has answered or failed, and one failed.
fn settled_with_failures(model: &Model) -> bool {
    use super::message::ConnectState as S;
    let open = model.hosts.iter().any(|(_, s)| matches!(s, S::Connecting | S::Asking));
    !open && model.hosts.iter().any(|(_, s)| matches!(s, S::Failed(_)))
}

/// The lines of the table that hold in a context and make sense now.
pub fn bindings(model: &Model, context: Context) -> impl Iterator<Item = &'static Binding> {
    TABLE.iter().filter(move |b| b.contexts.contains(&context) && available(model, b.action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_context() {
        for context in Context::ALL {
            let mut seen: Vec<Key> = Vec::new();
            for binding in TABLE.iter().filter(|b| b.contexts.contains(&context)) {
                for key in binding.keys {
                    assert!(!seen.contains(key), "{} twice in {context:?}", key.name());
                    seen.push(*key);
                }
            }
        }
    }

    #[test]
    fn where_text_is_typed_no_plain_character_is_a_key() {
        for context in Context::ALL.into_iter().filter(|c| c.types()) {
            for binding in TABLE.iter().filter(|b| b.contexts.contains(&context)) {
                let plain = |k: &&Key| matches!(k.code, KeyCode::Char(_)) && !k.ctrl;
                assert_eq!(binding.keys.iter().find(plain), None, "{context:?}");
            }
        }
    }

    #[test]
    fn ctrl_c_is_heard_everywhere_and_enter_never_says_yes() {
        for context in Context::ALL {
            let c = ctrl('c').event();
            assert!(find(context, &c).is_some(), "{context:?}");
            let enter = find(context, &key(KeyCode::Enter).event());
            assert!(enter.is_none_or(|b| !matches!(b.action, Action::Yes)), "{context:?}");
        }
    }
}
