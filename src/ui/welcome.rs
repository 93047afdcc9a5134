//! What `banister` alone begins with: cluster files that were found, what became of the last run of each, and practice.
//!
//! A model of its own, as there is no cluster yet; drawn by [`view`], changed by [`update`] alone. What is chosen comes
//! out as [`Chosen`], and `app` does it.

use std::path::PathBuf;

use ratatui::Frame;

use super::{
    keys::{self, Action, Context},
    message::{Msg, Now},
    model::SMALLEST,
    screens,
    theme::Theme,
};

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A cluster file.
    File(FoundFile),
    /// A practice cluster.
    Practice {
        /// The scenario's name.
        name: String,
        /// What it is for.
        about: String,
    },
}

/// A cluster file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where.
    pub path: PathBuf,
    /// The same, as it is shown.
    pub shown: String,
    /// What is in it, a line; or what is wrong with it, a line a problem.
    pub cluster: Result<String, Vec<String>>,
    /// Its last run, if one is on record.
    pub run: Option<LastRun>,
}

/// What the journals say about the last growth of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// Who, as `user@host`.
    pub operator: String,
    /// When its last line was written, as it is shown.
    pub at: String,
    /// How it ended, in words; `None` when it has no end: it was cut off, or still runs.
    pub end: Option<String>,
    /// Whether it came to the end of the runbook.
    pub complete: bool,
    /// Steps done.
    pub done: usize,
    /// Steps that can be taken back.
    pub undoable: usize,
}

/// What the screen shows.
#[derive(Debug, Clone)]
pub struct Welcome {
    pub(super) theme: Theme,
    pub(super) now: Now,
    pub(super) size: (u16, u16),
    pub(super) entries: Vec<Entry>,
    pub(super) looked_in: Vec<String>,
    pub(super) selected: usize,
    pub(super) help: bool,
    pub(super) scroll_help: usize,
    pub(super) said: Option<String>,
}

/// What the operator chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// The wizard for a cluster file: looks first, changes nothing by itself.
    Open(PathBuf),
    /// The wizard that takes the last growth back.
    TakeBack(PathBuf),
    /// A practice cluster.
    Practice(String),
    /// Look for files again.
    LookAgain,
    /// Leave.
    Leave,
}

impl Welcome {
    /// With nothing found yet.
    pub fn new(theme: Theme, now: Now, size: (u16, u16)) -> Self {
        Self {
            theme,
            now,
            size,
            entries: Vec::new(),
            looked_in: Vec::new(),
            selected: 0,
            help: false,
            scroll_help: 0,
            said: None,
        }
    }

    /// Takes over what was found, and where it was looked for. The selection stays on what it was on.
    pub fn found(&mut self, entries: Vec<Entry>, looked_in: Vec<String>) {
        let selected = self.entries.get(self.selected).map(name);
        let again = selected.and_then(|name_of| entries.iter().position(|e| name(e) == name_of));
        (self.entries, self.looked_in) = (entries, looked_in);
        self.selected = again.unwrap_or(0);
    }

    /// Says something in the status line.
    pub fn say(&mut self, what: impl Into<String>) {
        self.said = Some(what.into());
    }

    /// Which keys hold now.
    pub fn context(&self) -> Context {
        if self.help { Context::Help } else { Context::Welcome }
    }

    /// Whether an action makes sense now.
    pub fn available(&self, action: Action) -> bool {
        match action {
            Action::TakeBack => matches!(
                self.entries.get(self.selected),
                Some(Entry::File(FoundFile { cluster: Ok(_), run: Some(run), .. })) if run.undoable > 0
            ),
            Action::Open => !self.entries.is_empty(),
            _ => true,
        }
    }
}

fn name(entry: &Entry) -> String {
    match entry {
        Entry::File(file) => file.path.display().to_string(),
        Entry::Practice { name, .. } => name.clone(),
    }
}

/// Changes what is shown as a message says; what was chosen, if something was.
pub fn update(welcome: &mut Welcome, msg: &Msg) -> Option<Chosen> {
    match msg {
        Msg::Resize(columns, rows) => welcome.size = (*columns, *rows),
        Msg::Tick(now) => welcome.now = *now,
        Msg::Paste(_) => welcome.say(trs!("pasted text is not taken here")),
        Msg::Terminate => return Some(Chosen::Leave),
        Msg::Key(event) => {
            welcome.said = None;
            let binding = keys::find(welcome.context(), event).filter(|b| welcome.available(b.action))?;
            // What can't be seen can't be chosen.
            let too_small = welcome.size.0 < SMALLEST.0 || welcome.size.1 < SMALLEST.1;
            if too_small && binding.action != Action::Quit {
                return None;
            }
            return act(welcome, binding.action);
        }
        _ => {}
    }
    None
}

fn act(welcome: &mut Welcome, action: Action) -> Option<Chosen> {
    if welcome.help {
        help(welcome, action);
        return if action == Action::Quit { Some(Chosen::Leave) } else { None };
    }
    let last = welcome.entries.len().saturating_sub(1);
    let at = welcome.selected;
    match action {
        Action::Up => welcome.selected = at.saturating_sub(1),
        Action::Down => welcome.selected = (at + 1).min(last),
        Action::PageUp => welcome.selected = at.saturating_sub(8),
        Action::PageDown => welcome.selected = (at + 8).min(last),
        Action::Top => welcome.selected = 0,
        Action::Bottom => welcome.selected = last,
        Action::Help => (welcome.help, welcome.scroll_help) = (true, 0),
        Action::LookAgain => return Some(Chosen::LookAgain),
        Action::Quit => return Some(Chosen::Leave),
        Action::Open => return open(welcome),
        Action::TakeBack => match welcome.entries.get(at)? {
            Entry::File(file) => return Some(Chosen::TakeBack(file.path.clone())),
            Entry::Practice { .. } => {}
        },
        _ => {}
    }
    None
}

fn open(welcome: &mut Welcome) -> Option<Chosen> {
    match welcome.entries.get(welcome.selected)? {
        Entry::File(FoundFile { cluster: Ok(_), path, .. }) => Some(Chosen::Open(path.clone())),
        Entry::File(FoundFile { shown, .. }) => {
            let words = tr!("{file}: mend what is listed, then press r", file = shown);
            welcome.say(words);
            None
        }
        Entry::Practice { name, .. } => Some(Chosen::Practice(name.clone())),
    }
}

/// Moves in the help, or closes it.
fn help(welcome: &mut Welcome, action: Action) {
    let (total, height) = screens::welcome::help_extent(welcome);
    let limit = total.saturating_sub(height);
    let at = welcome.scroll_help.min(limit);
    welcome.scroll_help = match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => at + 1,
        Action::PageUp => at.saturating_sub(height),
        Action::PageDown => at + height,
        Action::Top => 0,
        Action::Bottom => limit,
        Action::Close => {
            welcome.help = false;
            0
        }
        _ => at,
    }
    .min(limit);
}

/// Draws it.
pub fn view(welcome: &Welcome, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    screens::welcome::draw(welcome, area, buf);
    welcome.theme.finish(buf);
}
