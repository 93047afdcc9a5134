//! The one place that knows everybody: the command line, the channels and the select loop.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{CommandFactory as _, FromArgMatches as _};

mod cli;
mod clipboard;
mod drill;
mod headless;
mod help;
mod history;
mod input;
mod live;
mod outside;
mod paths;
mod plan;
mod practice;
mod replay;
mod screen;
mod session;
mod tty;
mod two_keys;
mod welcome;
mod witness;
mod wizard;

use cli::{ApproveArg, Cli, Command, OnFailure, PracticeArgs};
use screen::Taken;
use session::Hosts;

use crate::{
    cluster::{Cluster, file},
    engine::Chapter,
    lang, runbook,
    training::drill::Drill,
    ui::Theme,
};

/// Bad input or usage.
const BAD_INPUT: u8 = 2;

/// Runs the program and returns its exit code (documented in the README).
pub fn main() -> ExitCode {
    if let Err(e) = color_eyre::install() {
        eprintln!("banister: {e}");
    }
    // clap exits with 2 on bad usage by itself, which is the documented code.
    lang::choose(help::asked(std::env::args()).unwrap_or_else(|| lang::from_locale(|v| std::env::var(v).ok())));
    let matches = help::in_language(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("{}", tr!("banister: cannot start: {e}", e = e));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(dispatch(cli));
    // A host that hangs must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    ExitCode::from(code)
}

async fn dispatch(cli: Cli) -> u8 {
    let theme = cli.looks.theme();
    let Some(command) = cli.command else { return welcome::run(theme, cli.lang.is_some()).await };
    let file = match &command {
        Command::Practice(args) => return practice::run(args, theme).await,
        Command::Replay(args) => return replay::run(args).await,
        Command::Witness(args) => return witness::run(args),
        Command::Run(args) => &args.file,
        Command::Plan { file, .. } | Command::Survey { file } => file,
        Command::Undo(args) => &args.file,
        Command::Report(args) => &args.file,
    };
    if let Some(scenario) = practice::named(file) {
        match &command {
            Command::Undo(args) => return practice::run(&PracticeArgs::back(scenario.name, args), theme).await,
            Command::Report(args) => return practice::report(&scenario, args),
            _ => {}
        }
    }
    let cluster: Arc<Cluster> = match file::load(file) {
        Ok(cluster) => {
            if let (None, Some(lang)) = (cli.lang, cluster.lang) {
                lang::choose(lang);
            }
            Arc::new(cluster)
        }
        Err(problems) => {
            eprintln!("{problems}");
            return BAD_INPUT;
        }
    };
    match command {
        Command::Run(args) => {
            let task = Task::Grow { through: args.through.map_or(runbook::LAST_CHAPTER, Chapter::from) };
            let flags = Flags { approve: args.approve, on_failure: args.on_failure, take_over: args.take_over };
            walk(&Hosts::Real(cluster), task, args.headless.then_some(flags), args.extras(theme)).await
        }
        Command::Undo(args) => {
            let flags = Flags { approve: args.approve, on_failure: OnFailure::Stop, take_over: args.take_over };
            let extras = Extras { theme, ..Extras::default() };
            walk(&Hosts::Real(cluster), Task::TakeBack, args.headless.then_some(flags), extras).await
        }
        Command::Report(args) => history::print(&cluster, &args).code(),
        Command::Plan { through, .. } => {
            plan::plan(&Hosts::Real(cluster), through.map_or(runbook::LAST_CHAPTER, Chapter::from)).await.code()
        }
        // Answered above: they have no cluster file.
        Command::Practice(_) | Command::Replay(_) | Command::Witness(_) => BAD_INPUT,
        Command::Survey { .. } => plan::survey(&Hosts::Real(cluster)).await.code(),
    }
}

/// What the steps are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Walk the runbook, up to and with a chapter.
    Grow { through: Chapter },
    /// Take the latest growth back.
    TakeBack,
}

/// What a headless run has instead of a person.
#[derive(Debug, Clone, Copy)]
struct Flags {
    approve: Option<ApproveArg>,
    on_failure: OnFailure,
    take_over: bool,
}

/// What a session at the screen has besides its task.
#[derive(Debug, Default)]
struct Extras {
    /// Where the screen is recorded.
    record: Option<PathBuf>,
    /// What the terminal can show.
    theme: Theme,
    /// What is trained, and by how many.
    training: Training,
}

/// What is trained, and whether a second person is there.
#[derive(Debug, Default)]
struct Training {
    /// Whether points of no return want a second person's yes.
    two_key: bool,
    /// Whether questions are asked before the steps.
    guided: bool,
    /// An accident to find.
    drill: Option<Arc<Drill>>,
}

/// Walks steps: with plain lines when there are flags for that, else in the wizard.
async fn walk(hosts: &Hosts, task: Task, flags: Option<Flags>, extras: Extras) -> u8 {
    match flags {
        Some(flags) => headless::run(hosts, task, flags).await.code(),
        None => {
            let otherwise = trs!(
                "the wizard needs a terminal; run it at one, or add --headless --approve reversible|disruptive|all"
            );
            match Taken::take(extras, &hosts.cluster().name, otherwise) {
                Ok(taken) => wizard::run(hosts, task, taken).await,
                Err(code) => code,
            }
        }
    }
}

impl Task {
    /// The last chapter that is walked.
    fn through(self) -> Chapter {
        match self {
            Self::Grow { through } => through,
            Self::TakeBack => Chapter::Workers,
        }
    }
}
