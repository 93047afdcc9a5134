//! The keys, as one table: what a key does, the help, the palette and the footer are all read from it.

mod table;

pub use table::TABLE;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    model::{Ask, Model, Panel, Phase, Section},
    training::Page,
};

/// Which keys hold: the screen, or the dialog on top of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// The first screen: what there is to begin with.
    Welcome,
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
    /// The lock on the cluster is another's, and its lease has run out.
    TakeOver,
    /// A secret is typed.
    Secret,
    /// The question before leaving.
    Quit,
    /// The question before leaving while something still runs; wants a word typed.
    QuitHard,
    /// The help.
    Help,
    /// A line is typed: what to find, or what to let through.
    Prompt,
    /// The command palette.
    Palette,
    /// The question before a step, in a guided walk.
    Predict,
    /// A page of the drill.
    Drill,
    /// A file of a practice host.
    File,
    /// A line of it is typed.
    Line,
}

impl Context {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Welcome,
        Self::Connecting,
        Self::Survey,
        Self::Wizard,
        Self::Failed,
        Self::Finished,
        Self::Confirm,
        Self::ConfirmTyped,
        Self::Undo,
        Self::HostKey,
        Self::TakeOver,
        Self::Secret,
        Self::Quit,
        Self::QuitHard,
        Self::Help,
        Self::Prompt,
        Self::Palette,
        Self::Predict,
        Self::Drill,
        Self::File,
        Self::Line,
    ];

    /// Whether characters are typed here rather than pressed.
    pub const fn types(self) -> bool {
        matches!(self, Self::ConfirmTyped | Self::Secret | Self::QuitHard | Self::Prompt | Self::Palette | Self::Line)
    }

    /// Its heading in the help.
    pub fn title(self) -> &'static str {
        match self {
            Self::Welcome => trs!("Welcome"),
            Self::Connecting => trs!("Connecting"),
            Self::Survey => trs!("Survey"),
            Self::Wizard => trs!("Wizard"),
            Self::Failed => trs!("Failed step"),
            Self::Finished => trs!("Finished"),
            Self::Confirm => trs!("Question before a step"),
            Self::ConfirmTyped => trs!("Question before a point of no return"),
            Self::Undo => trs!("Question before an undo"),
            Self::HostKey => trs!("Unknown host key"),
            Self::TakeOver => trs!("Lock of another run"),
            Self::Secret => trs!("Passphrase, password or code"),
            Self::Quit => trs!("Question before leaving"),
            Self::QuitHard => trs!("Leaving while something runs"),
            Self::Help => trs!("Help"),
            Self::Prompt => trs!("Find, or filter"),
            Self::Palette => trs!("Palette"),
            Self::Predict => trs!("What do you expect?"),
            Self::Drill => trs!("Drill"),
            Self::File => trs!("A file in a drill"),
            Self::Line => trs!("A line of a file"),
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
    Skip,
    Read(Panel),
    Open,
    TakeBack,
    Start,
    LookAgain,
    Find,
    Filter,
    Older,
    Newer,
    Pause,
    Palette,
    Help,
    Close,
    Quit,
    Choose(usize),
    GoOn,
    Drill,
    EditLine,
    DropLine,
    LineEnd,
    Left,
    Right,
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
            KeyCode::Char(' ') => trs!("Space").to_owned(),
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

/// Which keys hold now: the question on top, or the screen.
pub fn context(model: &Model) -> Context {
    if let Some(quit) = &model.quit {
        return if quit.hard { Context::QuitHard } else { Context::Quit };
    }
    match model.asks.front() {
        Some(Ask::HostKey { .. }) => return Context::HostKey,
        Some(Ask::TakeOver { .. }) => return Context::TakeOver,
        Some(Ask::Secret { .. }) => return Context::Secret,
        None => {}
    }
    match (model.help, &model.palette, &model.prompt) {
        (true, ..) => Context::Help,
        (_, Some(_), _) => Context::Palette,
        (_, _, Some(_)) => Context::Prompt,
        _ => below_help(model),
    }
}

/// Which keys hold below the help.
pub fn below_help(model: &Model) -> Context {
    match model.drill_page() {
        Some((run, Page::File)) if run.file.as_ref().is_some_and(|f| f.typing.is_some()) => return Context::Line,
        Some((_, Page::File)) => return Context::File,
        Some(_) => return Context::Drill,
        None => {}
    }
    if model.predicting().is_some() {
        return Context::Predict;
    }
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
        Action::Drill => model.training.drill.is_some(),
        Action::GoOn => model.predicting().is_some_and(|p| p.chosen.is_some()),
        Action::Answer | Action::Refuse => model.asking.is_some(),
        Action::Undo => model.failure.as_ref().is_some_and(|f| f.undo.is_some()),
        Action::Start => model.blocking() == 0 && !model.starting,
        Action::LookAgain => {
            model.phase == Phase::Survey && !model.starting
                || model.phase == Phase::Connecting && settled_with_failures(model)
        }
        Action::Look => {
            model.phase != Phase::Wizard || model.end.is_some() || model.failure.is_some() || model.only_looks()
        }
        Action::Skip => model.failure.as_ref().is_some_and(|f| f.skippable) && model.end.is_none(),
        Action::Older | Action::Newer => model.focus == Panel::Journal && !model.journal.needle.is_empty(),
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
