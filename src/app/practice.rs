//! `banister practice`: the same walk through a cluster that lives in memory.

use std::{path::PathBuf, sync::Arc};

use super::{BAD_INPUT, Extras, Task, cli::PracticeArgs, headless::say, history, paths, session::Hosts, walk};
use crate::{
    cluster::Cluster,
    engine::report::report,
    practice::{Options, Scenario, build},
    runbook,
};

/// How much faster than the clock time passes with `--fast`.
const FAST: u32 = 20;

/// Builds the scenario and walks it; the exit code is that of a run.
pub(super) async fn run(args: &PracticeArgs) -> u8 {
    if args.list {
        for name in Scenario::names() {
            let about = Scenario::find(name).map(|s| s.about).unwrap_or_default();
            say(&[format!("{name:12} {about}")]);
        }
        return 0;
    }
    let speed = if args.fast { FAST } else { 1 };
    let options = Options { speed, workers: args.workers, seed: args.seed };
    let built = Scenario::find(&args.scenario).and_then(|s| build(&s, options).map(|p| (s, p)));
    let (scenario, practice) = match built {
        Ok(both) => both,
        Err(e) => {
            eprintln!("banister: {e}");
            return BAD_INPUT;
        }
    };
    if args.headless {
        say(&[tr!(
            "[practice] {name}: {about}; every host lives in memory",
            name = scenario.name,
            about = scenario.about
        )]);
    }
    let cluster = practice.cluster.clone();
    let flags = args.headless.then_some((args.approve, args.on_failure));
    let task = Task::Grow { through: runbook::LAST_CHAPTER };
    let code = walk(&Hosts::Practice(practice), task, flags, Extras { record: args.record.clone() }).await;
    match leave_report(&cluster) {
        Ok(Some(path)) => say(&[tr!("[practice] report {path}", path = path.display())]),
        Ok(None) => {}
        Err(e) => eprintln!("{}", tr!("banister: no report: {e}", e = e)),
    }
    code
}

/// Writes the report of this practice beside its journal; `None` when nothing was begun.
fn leave_report(cluster: &Arc<Cluster>) -> Result<Option<PathBuf>, String> {
    let lines = history::latest(cluster)?;
    if lines.is_empty() {
        return Ok(None);
    }
    let report = report(&lines, paths::backups(cluster).display().to_string());
    let path = paths::journals(cluster).join("report.md");
    std::fs::write(&path, report.markdown())
        .map_err(|e| tr!("{path}: {e}; make room", path = path.display(), e = e))?;
    Ok(Some(path))
}
