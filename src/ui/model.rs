//! Everything the screen shows. Only [`super::update`] changes it.

mod asked;
mod live;
mod parts;

pub(super) use asked::{Ask, Asking, End, Palette, Prompt, PromptKind, Quit};
pub(super) use live::{Answered, Beat, CertKind, Etcd, Held, Masters, Nodes};
pub use parts::{Panel, Phase, Section};
pub(super) use parts::{Place, Scroll};

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    journal::Journal,
    keys::{self, Context},
    log::Log,
    message::{ConnectState, Now},
    steps::StepRow,
    theme::Theme,
    training::Training,
};
use crate::{
    cluster::{Cluster, HostName, Voters},
    engine::{
        StepId,
        confirm::Failure,
        event::{Outcome, StepState},
    },
    pki::San,
    survey::{Finding, Observed},
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

    /// Whether something on the screen moves on faster than the clock: the spinner, or a key that is not to be pressed yet.
    pub fn moves(&self) -> bool {
        self.busy() || !self.settled()
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
