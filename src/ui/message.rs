//! What comes in and what goes out: plain data both ways.
//!
//! A [`Msg`] is something that happened; [`super::update`] turns it into a changed model and a list of [`Effect`]s. An
//! effect is a wish: `app.rs` is the one that does it.

use std::{fmt, sync::Arc, time::Duration};

use crossterm::event::KeyEvent;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    cluster::HostName,
    engine::{Event, StepId, confirm::Choice},
    remote::{etcd::Membership, lock::Lock},
    survey::{HostObserved, Observed},
    watch::{LogMsg, NodesLook, PortSeen, Source},
};

/// The clock as the model knows it. Injected, so that drawing needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the program started: ages, durations and deadlines are counted in it.
    pub at: Duration,
    /// The operator's wall clock, for the eye only.
    pub clock: jiff::civil::DateTime,
    /// The same moment in seconds since the epoch: what certificates are held against.
    pub epoch: i64,
}

impl Now {
    /// The time of day on the operator's clock of a moment in microseconds since the epoch, in microseconds.
    pub(super) fn time_of_day(&self, micros: i64) -> i64 {
        let date = self.clock.date().duration_since(jiff::civil::date(1970, 1, 1)).as_secs();
        let time = self.clock.time().duration_since(jiff::civil::Time::MIN).as_secs();
        // The zone, in whole minutes: the two clocks of one moment may have been read a little apart.
        let zone = (date + time - self.epoch + 30).div_euclid(60) * 60;
        (micros + zone * 1_000_000).rem_euclid(86_400_000_000)
    }
}

/// How far the connection to a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectState {
    /// Being dialled.
    Connecting,
    /// Waits for the operator (host key, passphrase, code).
    Asking,
    /// Logged in.
    Connected,
    /// Could not be used, with reason and remedy.
    Failed(String),
}

/// Something that happened.
///
/// For the confirm dialogs' short guard time to be exact, send a [`Msg::Tick`] right before every [`Msg::Key`]; a regular
/// tick (four a second is enough) keeps clock, ages and spinner alive in between.
#[derive(Debug, Clone, PartialEq)]
pub enum Msg {
    /// A key.
    Key(KeyEvent),
    /// Text pasted (bracketed paste): never confirms anything.
    Paste(String),
    /// The terminal's size in columns and rows.
    Resize(u16, u16),
    /// Time goes on.
    Tick(Now),
    /// The engine said something.
    Engine(Event),
    /// A fresh look at etcd, or why there is none; with the moment it was taken, in [`Now::at`]'s time.
    Etcd(Result<Membership, String>, Duration),
    /// Some of the masters were looked at again; with the moment, in [`Now::at`]'s time.
    Masters(Vec<HostObserved>, Duration),
    /// What some of the ports serve now; with the moment.
    Served(Vec<PortSeen>, Duration),
    /// A fresh look at the nodes, or whom they were asked of in vain; with the moment.
    Nodes(NodesLook, Duration),
    /// These journals will be followed.
    Sources(Vec<Source>),
    /// Something of the journals: lines, or how following goes.
    Journal(LogMsg),
    /// The connection to a host changed.
    Connect(HostName, ConnectState),
    /// The survey is done.
    Survey(Arc<Observed>),
    /// An unknown host key: is it the right one? Answered by [`Effect::AcceptHostKey`] with the same id.
    AskHostKey {
        /// Whose question this is.
        id: u64,
        /// Which host.
        host: HostName,
        /// Where it was dialled.
        address: String,
        /// Such as `ssh-ed25519`.
        key_type: String,
        /// `SHA256:…`.
        fingerprint: String,
    },
    /// A passphrase, password or one-time code is wanted. Answered by [`Effect::Secret`] with the same id.
    AskSecret {
        /// Whose question this is.
        id: u64,
        /// What is asked, as the host or the key file puts it.
        prompt: String,
        /// Whether a second person is asked, not a login.
        second: bool,
    },
    /// What came of a wish about the drill.
    Drill(DrillMsg),
    /// The lock on the cluster is another run's, and its lease has run out: take it over? Answered by [`Effect::TakeOver`]
    /// with the same id.
    AskTakeOver {
        /// Whose question this is.
        id: u64,
        /// The lock as it was found.
        lock: Lock,
    },
    /// SIGHUP or SIGTERM: finish what runs, then leave; nobody is asked.
    Terminate,
    /// A part of the program itself broke (a panicking task): a bug, shown as such.
    Fatal(String),
}

/// The operator's answer to a confirm request, as plain data: `app.rs` makes the engine's typed decision of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Go {
        /// The step that was asked about.
        step: StepId,
        /// What was typed; empty where nothing has to be.
        typed: String,
    },
    /// Stop here; nothing was changed by this step.
    Stop {
        /// The step that was asked about.
        step: StepId,
    },
}

/// Something `app.rs` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer the engine's confirm request.
    Answer(Answer),
    /// Answer the engine about the failed step.
    Choose(Choice),
    /// The survey was read: start the engine.
    Start,
    /// Dial again what is not connected and survey again.
    LookAgain,
    /// Let the running action finish, journal it, then stop. [`Effect::Quit`] follows when the engine says it is over.
    StopSoon,
    /// Leave now.
    Quit,
    /// Take the host key, or refuse it.
    AcceptHostKey {
        /// The question's id.
        id: u64,
        /// Whether it is the right key.
        yes: bool,
    },
    /// Take the lock on the cluster over, or leave it.
    TakeOver {
        /// The question's id.
        id: u64,
        /// Whether it is taken.
        yes: bool,
    },
    /// A secret that was asked for; `None` when the operator gave none.
    Secret {
        /// The question's id.
        id: u64,
        /// What was typed.
        secret: Option<Secret>,
    },
    /// Put text into the clipboard (OSC 52).
    Copy(String),
    /// Do something about the drill. Answered by [`Msg::Drill`].
    Drill(DrillWish),
}

/// What a trainee wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrillWish {
    /// One of the drill's repairs, by its place in the data.
    Repair(usize),
    /// One of its files, to look at.
    Open(usize),
    /// One of its files with another text.
    Save {
        /// Which.
        file: usize,
        /// All of it.
        text: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrillMsg {
    /// A file's text, or why there is none.
    File {
        /// Which.
        at: usize,
        /// Its text.
        text: Result<String, String>,
    },
    /// Where the drill's files lie, to be changed in another terminal.
    Outside(String),
    /// A file's text now, after somebody changed it in another terminal.
    Changed {
        /// Which.
        at: usize,
        /// Its text.
        text: String,
    },
    /// A repair was done, or a file saved (`None`), here or in another terminal.
    Done {
        /// Which repair.
        repair: Option<usize>,
        /// The words of whoever refused it.
        refused: Option<String>,
        /// Whether nothing is left of the fault.
        cured: bool,
    },
}

/// A secret as typed: no `Display`, a redacted `Debug`, wiped when dropped.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// For the one place that hands it to the login.
    pub fn into_inner(self) -> SecretString {
        self.0
    }

    /// Length in characters, for the row of dots.
    pub fn len(&self) -> usize {
        self.0.expose_secret().chars().count()
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }

    /// With text added; the old buffer is wiped.
    pub(super) fn with(&self, more: &str) -> Self {
        let old = self.0.expose_secret();
        // Exact capacity: a growing buffer would leave unwiped copies behind.
        let mut text = String::with_capacity(old.len() + more.len());
        text.push_str(old);
        text.push_str(more);
        Self(SecretString::from(text))
    }

    /// Without its last character.
    pub(super) fn shorter(&self) -> Self {
        let old = self.0.expose_secret();
        let end = old.char_indices().next_back().map_or(0, |(i, _)| i);
        Self(SecretString::from(old[..end].to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Secret {}
