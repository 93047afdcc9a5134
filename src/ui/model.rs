//! Everything the screen shows. Only [`super::update`] changes it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    journal::Journal,
    keys::{self, Context},
    log::Log,
    message::{ConnectState, Now, Secret},
    steps::StepRow,
    theme::Theme,
    training::Training,
    xray::Matrix,
};
use crate::{
    cluster::{Cluster, EtcdPair, HostName, Voters},
    engine::{
        StepId,
        confirm::{ConfirmRequest, Failure},
        event::{Outcome, StepState},
    },
    pki::San,
    remote::etcd::Membership,
    survey::{Finding, HostObserved, Observed},
    watch::{NodesSeen, Port, PortSeen},
};

/// The smallest terminal everything fits in: columns and rows.
pub const SMALLEST: (u16, u16) = (80, 24);

/// How long a question must be on screen, without other keys, before a `y` counts: type-ahead and a key held down from
/// the question before must not answer this one.
pub const GUARD: Duration = Duration::from_millis(300);

/// Data about etcd older than this is marked stale. A look waits three seconds for a frozen member, the others side by side
/// with it, and comes again two seconds later.
pub const STALE: Duration = Duration::from_secs(10);

/// Data about the nodes older than this is marked stale: they are asked for every five seconds.
pub const NODES_STALE: Duration = Duration::from_secs(20);

/// Data about the masters, their certificates and ports older than this is marked stale: they are looked at once a minute.
pub const SLOW_STALE: Duration = Duration::from_secs(150);

/// How many looks at etcd its history keeps: two minutes of them.
pub(super) const BEATS: usize = 60;

/// How long a remark stays in the status line.
const SAID: Duration = Duration::from_secs(6);

/// What the operator reads about a kind of step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepText {
    /// Its title.
    pub title: String,
    /// What it does.
    pub what: String,
    /// Why it is done.
    pub why: String,
    /// What the runbook says, and where it is wrong.
    pub runbook: String,
    /// Until when it can be taken back.
    pub undo_until: String,
    /// What taking it back costs.
    pub undo_cost: String,
}

/// What a model starts from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The cluster file.
    pub cluster: Arc<Cluster>,
    /// Texts by the kind of step ([`StepId::kind`]).
    pub texts: BTreeMap<String, StepText>,
    /// What the terminal can show.
    pub theme: Theme,
    /// The time.
    pub now: Now,
    /// The terminal's size in columns and rows.
    pub size: (u16, u16),
    /// Whether the cluster is a practice one.
    pub practice: bool,
}

/// Which screen there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting to the hosts, then looking at them.
    Connecting,
    /// What the survey found.
    Survey,
    /// The steps.
    Wizard,
    /// A step failed.
    Failed,
    /// It is over.
    Finished,
}

/// A panel of the wizard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Panel {
    /// The step list.
    Steps,
    /// The selected step.
    Step,
    /// etcd's members.
    Etcd,
    /// The log of operations.
    Log,
    /// The journals of the hosts.
    Journal,
    /// The certificates.
    Certs,
    /// The masters side by side.
    Masters,
    /// The cluster's nodes.
    Nodes,
}

impl Panel {
    /// All, in the order of Tab.
    pub const ALL: [Self; 8] =
        [Self::Steps, Self::Step, Self::Etcd, Self::Log, Self::Journal, Self::Certs, Self::Masters, Self::Nodes];

    /// The place it takes where several panels are on screen.
    pub(super) const fn place(self) -> Place {
        match self {
            Self::Steps => Place::List,
            Self::Step | Self::Certs | Self::Masters | Self::Nodes => Place::Upper,
            Self::Etcd => Place::Etcd,
            Self::Log | Self::Journal => Place::Lower,
        }
    }
}

/// A place on the screen; panels of one place take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    List,
    Upper,
    Etcd,
    Lower,
}

/// What of a step is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// What, why, what the runbook says; in a confirm dialog first what it comes to.
    About,
    /// The exact commands.
    Commands,
    /// File diffs and names in certificates.
    Changes,
    /// How to get back.
    Undo,
}

impl Section {
    /// All, in order; the keys 1 to 4.
    pub const ALL: [Self; 4] = [Self::About, Self::Commands, Self::Changes, Self::Undo];

    /// Its word in the tab row.
    pub fn word(self) -> &'static str {
        match self {
            Self::About => trs!("about"),
            Self::Commands => trs!("commands"),
            Self::Changes => trs!("changes"),
            Self::Undo => trs!("undo"),
        }
    }
}

/// The live look at etcd.
#[derive(Debug, Clone, Default)]
pub(super) struct Etcd {
    /// The last good look and its moment.
    pub last: Option<(Membership, Duration)>,
    /// Why the look after that failed.
    pub error: Option<String>,
    /// The last looks, oldest first: a small history.
    pub history: VecDeque<Beat>,
}

/// What is kept of a look at etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beat {
    pub at: Duration,
    /// The newest revision.
    pub revision: i64,
    /// How each member answered.
    pub answers: Vec<Answered>,
}

/// A member's answer, for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub member: u64,
    pub voter: bool,
    /// How long it took; `None` when there was none.
    pub latency: Option<Duration>,
}

/// The live look at the masters. Each host and each port is looked at in its own time.
#[derive(Debug, Clone, Default)]
pub(super) struct Masters {
    /// In the order of the file, each with the moment it was looked at.
    pub hosts: Vec<(HostObserved, Duration)>,
    /// The same, compared.
    pub matrix: Matrix,
    /// What the ports serve, and when that was seen.
    pub served: Vec<(PortSeen, Duration)>,
}

impl Masters {
    /// When the oldest of the looks at hosts was taken.
    pub fn oldest(&self) -> Option<Duration> {
        self.hosts.iter().map(|(_, at)| *at).min()
    }

    /// A host, and when it was looked at.
    pub fn host(&self, name: &HostName) -> Option<&(HostObserved, Duration)> {
        self.hosts.iter().find(|(h, _)| &h.name == name)
    }

    /// What a port serves.
    pub fn port(&self, host: &HostName, port: Port) -> Option<&PortSeen> {
        self.served.iter().map(|(p, _)| p).find(|p| &p.host == host && p.port == port)
    }
}

/// The live look at the nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes {
    /// The last good look and its moment.
    pub last: Option<(NodesSeen, Duration)>,
    /// Whom the look after that was asked of in vain, and what they said.
    pub tried: Vec<(HostName, String)>,
}

/// A certificate of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum CertKind {
    Etcd(EtcdPair),
    Apiserver,
}

/// What the live panels show while they are held still.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub etcd: Etcd,
    pub masters: Masters,
    pub nodes: Nodes,
}

/// A line that is being typed.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub kind: PromptKind,
    pub typed: String,
    /// What Esc goes back to: the selected step, or the filter or needle of before.
    pub selected: usize,
    pub before: String,
}

/// What a typed line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PromptKind {
    /// Find a step.
    Step,
    /// Find text in the journals.
    Text,
    /// Filter the journals.
    Filter,
}

/// The command palette.
#[derive(Debug, Clone, Default)]
pub(super) struct Palette {
    pub typed: String,
    pub selected: usize,
}

/// A question of the engine that waits for an answer.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub request: ConfirmRequest,
    /// Put aside to look around first.
    pub hidden: bool,
    /// What was typed so far.
    pub typed: String,
    pub section: Section,
}

/// A question of the login, or of the lock on the cluster.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    HostKey { id: u64, host: HostName, address: String, key_type: String, fingerprint: String },
    TakeOver { id: u64, lock: crate::remote::lock::Lock },
    Secret { id: u64, prompt: String, second: bool, typed: Secret },
}

/// The question before leaving.
#[derive(Debug, Clone, Default)]
pub(super) struct Quit {
    /// Stopping was asked for already and something still runs: leaving now abandons it.
    pub hard: bool,
    pub typed: String,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    Outcome(Outcome, String),
    /// The program itself broke.
    Fatal(String),
}

/// First line shown, by what scrolls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scroll {
    pub step: usize,
    pub etcd: usize,
    pub certs: usize,
    pub masters: usize,
    /// The first of the masters side by side that is shown.
    pub masters_from: usize,
    pub nodes: usize,
    pub screen: usize,
    pub dialog: usize,
    pub help: usize,
}

/// Everything the screen shows.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own; no two make a state together")]
pub struct Model {
    pub(super) cluster: Arc<Cluster>,
    pub(super) texts: BTreeMap<String, StepText>,
    pub(super) theme: Theme,
    pub(super) practice: bool,
    pub(super) now: Now,
    pub(super) size: (u16, u16),
    pub(super) phase: Phase,
    pub(super) hosts: Vec<(HostName, ConnectState)>,
    pub(super) observed: Option<Arc<Observed>>,
    pub(super) starting: bool,
    pub(super) steps: Vec<StepRow>,
    pub(super) selected: usize,
    /// Whether the selection goes along with the step that runs.
    pub(super) along: bool,
    pub(super) focus: Panel,
    /// The panel shown where there is place for one only.
    pub(super) main: Panel,
    /// The panels shown in the upper and in the lower place.
    pub(super) upper: Panel,
    pub(super) lower: Panel,
    pub(super) zoom: bool,
    pub(super) section: Section,
    pub(super) unfolded: bool,
    pub(super) scroll: Scroll,
    pub(super) etcd: Etcd,
    pub(super) masters: Masters,
    pub(super) nodes: Nodes,
    /// Names of each certificate when it was first seen.
    pub(super) names_at_start: BTreeMap<(HostName, CertKind), Vec<San>>,
    pub(super) journal: Journal,
    pub(super) held: Option<Box<Held>>,
    pub(super) log: Log,
    pub(super) asking: Option<Asking>,
    pub(super) asks: VecDeque<Ask>,
    pub(super) quit: Option<Quit>,
    pub(super) undo_question: bool,
    pub(super) help: bool,
    pub(super) prompt: Option<Prompt>,
    pub(super) palette: Option<Palette>,
    /// A failure that waits for the operator's choice.
    pub(super) failure: Option<Failure>,
    /// The failure chosen about last.
    pub(super) last_failure: Option<Failure>,
    pub(super) refused: Vec<Finding>,
    pub(super) end: Option<End>,
    /// The run's end means leaving.
    pub(super) leaving: bool,
    /// A stop after the running action was asked for.
    pub(super) stopping: bool,
    /// Since when the question on top has been there undisturbed.
    pub(super) quiet_since: Duration,
    pub(super) said: Option<(String, Duration)>,
    /// What is trained, if anything.
    pub(super) training: Training,
}

impl Model {
    /// A model that connects to the hosts of a cluster file.
    pub fn new(setup: Setup) -> Self {
        let hosts = setup.cluster.hosts().map(|n| (n.name.clone(), ConnectState::Connecting)).collect();
        Self {
            cluster: setup.cluster,
            texts: setup.texts,
            theme: setup.theme,
            practice: setup.practice,
            now: setup.now,
            size: setup.size,
            phase: Phase::Connecting,
            hosts,
            observed: None,
            starting: false,
            steps: Vec::new(),
            selected: 0,
            along: true,
            focus: Panel::Steps,
            main: Panel::Step,
            upper: Panel::Step,
            lower: Panel::Log,
            zoom: false,
            section: Section::About,
            unfolded: false,
            scroll: Scroll::default(),
            etcd: Etcd::default(),
            masters: Masters::default(),
            nodes: Nodes::default(),
            names_at_start: BTreeMap::new(),
            journal: Journal::default(),
            held: None,
            log: Log::default(),
            asking: None,
            asks: VecDeque::new(),
            quit: None,
            undo_question: false,
            help: false,
            prompt: None,
            palette: None,
            failure: None,
            last_failure: None,
            refused: Vec::new(),
            end: None,
            leaving: false,
            stopping: false,
            quiet_since: setup.now.at,
            said: None,
            training: Training::default(),
        }
    }

    /// Which screen there is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How the run ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.end {
            Some(End::Outcome(outcome, _)) => Some(outcome),
            _ => None,
        }
    }

    /// One line for the shell after the terminal was given back: how it ended.
    pub fn farewell(&self) -> Option<String> {
        let lines = [super::training::farewell(self), super::screens::finished::farewell(self)];
        let said: Vec<String> = lines.into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join("\n"))
    }

    /// Which keys hold now.
    pub fn context(&self) -> Context {
        keys::context(self)
    }

    /// Whether the engine is at work, so that leaving would cut into something.
    pub fn busy(&self) -> bool {
        let started = self.starting || !self.steps.is_empty();
        started && self.end.is_none() && self.asking.is_none() && self.failure.is_none()
    }

    /// Whether the panels are looked at from the survey, before anything was started.
    pub(super) fn only_looks(&self) -> bool {
        self.phase == Phase::Wizard && self.steps.is_empty() && !self.starting && self.end.is_none()
    }

    /// etcd as the panel shows it: held still, or live.
    pub(super) fn etcd_shown(&self) -> &Etcd {
        self.held.as_ref().map_or(&self.etcd, |h| &h.etcd)
    }

    /// The masters as the panels show them: held still, or live.
    pub(super) fn masters_shown(&self) -> &Masters {
        self.held.as_ref().map_or(&self.masters, |h| &h.masters)
    }

    /// The nodes as the panel shows them: held still, or live.
    pub(super) fn nodes_shown(&self) -> &Nodes {
        self.held.as_ref().map_or(&self.nodes, |h| &h.nodes)
    }

    /// Whether the terminal is too small to show what is asked.
    pub fn too_small(&self) -> bool {
        self.size.0 < SMALLEST.0 || self.size.1 < SMALLEST.1
    }

    /// Voters as last seen, and how old that is.
    pub fn voters(&self) -> Option<(Voters, Duration)> {
        let (membership, at) = self.etcd.last.as_ref()?;
        Some((membership.voters(), self.now.at.saturating_sub(*at)))
    }

    /// A remark for the status line, while it is fresh.
    pub(super) fn remark(&self) -> Option<&str> {
        let (text, at) = self.said.as_ref()?;
        (self.now.at.saturating_sub(*at) < SAID).then_some(text.as_str())
    }

    /// Says something in the status line.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.said = Some((text.into(), self.now.at));
    }

    /// Whether the question on top has been there long enough to be answered by `y`.
    pub(super) fn settled(&self) -> bool {
        self.now.at.saturating_sub(self.quiet_since) >= GUARD
    }

    /// The row of a step.
    pub(super) fn row(&self, id: &StepId) -> Option<&StepRow> {
        self.steps.iter().find(|r| &r.info.id == id)
    }

    /// The row of a step, to change it.
    pub(super) fn row_mut(&mut self, id: &StepId) -> Option<&mut StepRow> {
        self.steps.iter_mut().find(|r| &r.info.id == id)
    }

    /// The step at work, or asked about, or failed last.
    pub(super) fn current(&self) -> Option<usize> {
        let active = |r: &StepRow| {
            matches!(r.state, StepState::Probing | StepState::Asking | StepState::Running | StepState::Verifying)
        };
        self.steps.iter().position(active).or_else(|| {
            let failed = &self.failure.as_ref().or(self.last_failure.as_ref())?.step;
            self.steps.iter().position(|r| &r.info.id == failed)
        })
    }

    /// The step shown in the step panel.
    pub(super) fn shown(&self) -> Option<&StepRow> {
        self.steps.get(self.selected)
    }

    /// The title of a step by its id.
    pub(super) fn title(&self, id: &StepId) -> String {
        self.row(id).map_or_else(|| id.to_string(), |r| r.info.title.clone())
    }

    /// Findings that stop the growth, from the survey.
    pub(super) fn blocking(&self) -> usize {
        self.observed.as_ref().map_or(0, |o| o.blocking().len())
    }
}
