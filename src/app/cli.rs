//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{Extras, Training};
use crate::{
    engine::{Approve, Chapter},
    lang::{self, Lang},
    ui::{Theme, theme::Signs},
};

/// A rail to hold on to: grows a hand-built Kubernetes control plane over SSH without losing the cluster.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
pub(super) struct Cli {
    /// Without one: a first screen with the cluster files and unfinished runs there are, and practice
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub looks: Looks,
    /// Language of the screens; else the cluster file's, else the locale's
    #[arg(long, global = true, value_name = "LANG")]
    pub lang: Option<LangArg>,
}

/// How the wizard looks.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Looks {
    #[arg(
        long,
        global = true,
        value_name = "N",
        help = "How many colours; else BANISTER_COLOURS, NO_COLOR, COLORTERM and TERM say"
    )]
    pub colours: Option<ColoursArg>,
    #[arg(
        long,
        global = true,
        value_name = "WHICH",
        help = "What the terminal's background is; else BANISTER_BACKGROUND and COLORFGBG say"
    )]
    pub background: Option<BackgroundArg>,
}

impl Looks {
    /// What is asked for here, then what the environment says.
    pub fn theme(self) -> Theme {
        let word = |value: Option<clap::builder::PossibleValue>| value.map(|v| v.get_name().to_owned());
        let theme = Theme::detect(|name| {
            let told = match name {
                "BANISTER_COLOURS" => word(self.colours.and_then(|c| c.to_possible_value())),
                "BANISTER_BACKGROUND" => word(self.background.and_then(|b| b.to_possible_value())),
                _ => None,
            };
            told.or_else(|| std::env::var(name).ok())
        });
        // Chinese was asked for or is the locale's: the terminal shows more than ASCII, whatever else the locale says.
        let more = theme.signs == Signs::Ascii && lang::current() == Lang::Chinese;
        Theme { signs: if more { Signs::All } else { theme.signs }, ..theme }
    }
}

/// What `--colours` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColoursArg {
    /// None at all
    None,
    /// The terminal's own sixteen
    #[value(name = "16")]
    Sixteen,
    /// 256
    #[value(name = "256")]
    Indexed,
    /// All
    True,
}

/// What `--background` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum BackgroundArg {
    /// Light text on dark
    Dark,
    /// Dark text on light
    Light,
}

/// What `--lang` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LangArg {
    /// English
    En,
    /// Simplified Chinese
    Zh,
}

impl From<LangArg> for Lang {
    fn from(arg: LangArg) -> Self {
        match arg {
            LangArg::En => Self::English,
            LangArg::Zh => Self::Chinese,
        }
    }
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 a step failed, 2 bad input or usage, 3 stopped by the operator, 4 refused by a gate.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Grow a cluster that lives in memory: the same wizard and steps, nothing installed, nothing at stake
    Practice(PracticeArgs),
    /// Walk the runbook: the wizard, or plain progress lines with --headless
    Run(RunArgs),
    /// Show every operation, diff and undo; change nothing
    Plan {
        /// The cluster file
        file: PathBuf,
        /// Stop after this chapter
        #[arg(long, value_name = "CHAPTER")]
        through: Option<ChapterArg>,
    },
    /// Look at every host and at etcd; change nothing
    Survey {
        /// The cluster file
        file: PathBuf,
    },
    /// Take the latest growth back, step by step in reverse
    Undo(UndoArgs),
    /// Be the second key: codes for points of no return, in two-key mode
    Witness(WitnessArgs),
    /// Play a recording of a session on this terminal
    Replay(ReplayArgs),
    /// Say who did what when on which host, and what can still be taken back
    Report(ReportArgs),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct PracticeArgs {
    /// The scenario or drill: one of --list, or a scenario file
    #[arg(default_value = "growth")]
    pub scenario: String,
    /// Name the scenarios and drills and leave
    #[arg(long)]
    pub list: bool,
    /// Ask what will happen before each step, and say why that is so
    #[arg(long, conflicts_with = "headless")]
    pub guided: bool,
    /// Points of no return want a second person's yes, by a code of their `banister witness`
    #[arg(long, conflicts_with = "headless")]
    pub two_key: bool,
    /// Plain progress lines instead of the wizard; needs no terminal
    #[arg(long)]
    pub headless: bool,
    /// Say yes beforehand to steps up to this risk (with --headless)
    #[arg(long, value_name = "RISK", requires = "headless")]
    pub approve: Option<ApproveArg>,
    /// What to do about a step that fails half way (with --headless)
    #[arg(long, value_name = "WHAT", requires = "headless", default_value = "undo")]
    pub on_failure: OnFailure,
    /// Record the screen into this new file (asciicast v2; keys are not recorded)
    #[arg(long, value_name = "FILE", conflicts_with = "headless")]
    pub record: Option<PathBuf>,
    /// Practise the way back: the cluster has grown already, and that is taken back
    #[arg(long, conflicts_with = "through")]
    pub undo: bool,
    /// Stop after this chapter
    #[arg(long, value_name = "CHAPTER")]
    pub through: Option<ChapterArg>,
    /// Let time pass faster than the clock
    #[arg(long)]
    pub fast: bool,
    /// So many workers instead of the scenario's
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Another number, other chance: process ids, how long a joiner takes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl PracticeArgs {
    /// The way back of a scenario, as `undo SCENARIO` asks for it.
    pub(super) fn back(scenario: String, args: &UndoArgs) -> Self {
        Self {
            scenario,
            list: false,
            guided: false,
            two_key: false,
            headless: args.headless,
            approve: args.approve,
            on_failure: OnFailure::Stop,
            record: None,
            undo: true,
            through: None,
            fast: false,
            workers: None,
            seed: 0,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// The cluster file, or a scenario of `practice --list`
    pub file: PathBuf,
    /// Plain progress lines instead of the wizard; needs no terminal
    #[arg(long)]
    pub headless: bool,
    /// Say yes beforehand to steps up to this risk (with --headless)
    #[arg(long, value_name = "RISK", requires = "headless")]
    pub approve: Option<ApproveArg>,
    /// Take the lock on the cluster over from a run whose lease has run out (with --headless; the wizard asks)
    #[arg(long, requires = "headless")]
    pub take_over: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The cluster file, or a scenario of `practice --list`
    pub file: PathBuf,
    /// As JSON instead of Markdown
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The cluster file
    pub file: PathBuf,
    /// Stop after this chapter
    #[arg(long, value_name = "CHAPTER")]
    pub through: Option<ChapterArg>,
    /// Plain progress lines instead of the wizard; needs no terminal
    #[arg(long)]
    pub headless: bool,
    /// Say yes beforehand to steps up to this risk (with --headless)
    #[arg(long, value_name = "RISK", requires = "headless")]
    pub approve: Option<ApproveArg>,
    /// What to do about a step that fails half way (with --headless)
    #[arg(long, value_name = "WHAT", requires = "headless", default_value = "undo")]
    pub on_failure: OnFailure,
    /// Take the lock on the cluster over from a run whose lease has run out (with --headless; the wizard asks)
    #[arg(long, requires = "headless")]
    pub take_over: bool,
    /// Record the screen into this new file (asciicast v2; keys are not recorded)
    #[arg(long, value_name = "FILE", conflicts_with = "headless")]
    pub record: Option<PathBuf>,
    /// Points of no return want a second person's yes, by a code of their `banister witness`
    #[arg(long, conflicts_with = "headless")]
    pub two_key: bool,
}

impl RunArgs {
    /// What the session at the screen has besides.
    pub(super) fn extras(&self, theme: Theme) -> Extras {
        let training = Training { two_key: self.two_key, ..Training::default() };
        Extras { record: self.record.clone(), theme, training }
    }
}

#[derive(Debug, Args)]
pub(super) struct WitnessArgs {
    /// Your name, as the report will have it; user@host if left out
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The recording: asciicast v2
    pub file: PathBuf,
    /// So many times as fast
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive)]
    pub speed: f64,
    /// Wait at most so many seconds where nothing happened
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub idle_limit: Option<f64>,
}

/// A number above 0 that makes sense as a factor or as seconds.
fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number, such as 2 or 0.5".to_owned())?;
    if (0.01..=100_000.0).contains(&number) { Ok(number) } else { Err("between 0.01 and 100000".into()) }
}

/// What `--on-failure` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnFailure {
    /// Take that step back, then stop
    Undo,
    /// Stop and leave it as it is
    Stop,
}

/// What `--approve` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ApproveArg {
    /// What can be taken back at no cost
    Reversible,
    /// What restarts something, too
    Disruptive,
    /// Everything, points of no return included
    All,
}

impl From<ApproveArg> for Approve {
    fn from(arg: ApproveArg) -> Self {
        match arg {
            ApproveArg::Reversible => Self::Reversible,
            ApproveArg::Disruptive => Self::Disruptive,
            ApproveArg::All => Self::All,
        }
    }
}

/// What `--through` takes: a chapter's word or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ChapterArg {
    /// 1: back up, on the originals
    #[value(alias = "1")]
    Backup,
    /// 2: etcd on the new nodes
    #[value(alias = "2")]
    Etcd,
    /// 3: Kubernetes on the new nodes
    #[value(alias = "3")]
    Kubernetes,
    /// 4: the apiserver's certificate
    #[value(alias = "4")]
    Certificate,
    /// 5: start the new masters
    #[value(alias = "5")]
    Start,
    /// 6: every worker's proxy
    #[value(alias = "6")]
    Workers,
}

impl From<ChapterArg> for Chapter {
    fn from(arg: ChapterArg) -> Self {
        match arg {
            ChapterArg::Backup => Self::Backup,
            ChapterArg::Etcd => Self::Etcd,
            ChapterArg::Kubernetes => Self::Kubernetes,
            ChapterArg::Certificate => Self::Certificate,
            ChapterArg::Start => Self::Start,
            ChapterArg::Workers => Self::Workers,
        }
    }
}
