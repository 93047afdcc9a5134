//! The parts of the screen: which screen, which panel where, which page of a step, how far each is scrolled.

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
    pub(in crate::ui) const fn place(self) -> Place {
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
pub(in crate::ui) enum Place {
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

/// First line shown, by what scrolls.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::ui) struct Scroll {
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
