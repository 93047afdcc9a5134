//! The one place that knows everybody: the command line, the channels and the select loop.

use std::{process::ExitCode, sync::Arc};

use clap::Parser;

mod cli;
mod headless;
mod paths;
mod plan;
mod session;
mod tty;
mod wizard;

use cli::{Cli, Command};

use crate::cluster::{Cluster, file};

/// Bad input or usage.
const BAD_INPUT: u8 = 2;

/// Runs the program and returns its exit code (documented in the README).
pub fn main() -> ExitCode {
    if let Err(e) = color_eyre::install() {
        eprintln!("banister: {e}");
    }
    // clap exits with 2 on bad usage by itself, which is the documented code.
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("banister: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(dispatch(cli));
    // A host that hangs must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    ExitCode::from(code)
}

async fn dispatch(cli: Cli) -> u8 {
    let file = match &cli.command {
        Command::Run(args) => &args.file,
        Command::Plan { file } | Command::Survey { file } => file,
    };
    let cluster: Arc<Cluster> = match file::load(file) {
        Ok(cluster) => Arc::new(cluster),
        Err(problems) => {
            eprintln!("{problems}");
            return BAD_INPUT;
        }
    };
    match cli.command {
        Command::Run(args) if args.headless => headless::run(cluster, &args).await.code(),
        Command::Run(args) => wizard::run(cluster, &args).await,
        Command::Plan { .. } => plan::plan(cluster).await.code(),
        Command::Survey { .. } => plan::survey(cluster).await.code(),
    }
}
