//! `banister practice`: the same walk through a cluster that lives in memory.

use std::{path::PathBuf, sync::Arc};

use super::{BAD_INPUT, Extras, Task, cli::PracticeArgs, headless::say, history, paths, session::Hosts, walk};
use crate::{
    cluster::Cluster,
    engine::report::report,
    practice::{Options, Practice, Scenario, ScenarioError, build},
    runbook,
    training::drill::Drill,
};

/// How much faster than the clock time passes with `--fast`.
const FAST: u32 = 20;

/// Builds the scenario and walks it; the exit code is that of a run.
pub(super) async fn run(args: &PracticeArgs) -> u8 {
    if args.list {
        list();
        return 0;
    }
    let speed = if args.fast { FAST } else { 1 };
    let options = Options { speed, workers: args.workers, seed: args.seed };
    let (drill, practice) = match laid_out(&args.scenario, options) {
        Ok(both) => both,
        Err(e) => {
            eprintln!("banister: {e}");
            return BAD_INPUT;
        }
    };
    if args.headless {
        let about = match &drill {
            Some(drill) => format!("{}: {}", drill.name, drill.story.get().trim()),
            None => args.scenario.clone(),
        };
        say(&[format!("[practice] {about}; every host lives in memory")]);
    }
    let cluster = practice.cluster.clone();
    let flags = args.headless.then_some((args.approve, args.on_failure));
    let task = Task::Grow { through: runbook::LAST_CHAPTER };
    let extras =
        Extras { record: args.record.clone(), guided: args.guided, two_key: args.two_key, drill: drill.map(Arc::new) };
    let code = walk(&Hosts::Practice(practice), task, flags, extras).await;
    match leave_report(&cluster) {
        Ok(Some(path)) => say(&[format!("[practice] report {}", path.display())]),
        Ok(None) => {}
        Err(e) => eprintln!("banister: no report: {e}"),
    }
    code
}

/// A scenario, or a drill's, laid out.
fn laid_out(name: &str, options: Options) -> Result<(Option<Drill>, Practice), ScenarioError> {
    if let Some(drill) = Drill::find(name)? {
        let practice = drill.build(options)?;
        return Ok((Some(drill), practice));
    }
    let scenario = Scenario::find(name).map_err(|e| match e {
        ScenarioError::Unknown { name, known } => ScenarioError::Unknown {
            name,
            known: format!("{known}, {}", Drill::names().collect::<Vec<_>>().join(", ")),
        },
        other => other,
    })?;
    Ok((None, build(&scenario, options)?))
}

/// Names the scenarios, then the drills by how hard they are.
fn list() {
    let mut lines = vec![tr!("Scenarios:")];
    for name in Scenario::names() {
        let about = Scenario::find(name).map(|s| s.about).unwrap_or_default();
        lines.push(format!("  {name:14} {about}"));
    }
    lines.push(tr!("Drills, * easy to *** hard:"));
    for drill in Drill::names().filter_map(|name| Drill::find(name).ok().flatten()) {
        lines.push(format!("  {:14} {:3} {}", drill.name, "*".repeat(usize::from(drill.level)), drill.title.get()));
    }
    say(&lines);
}

/// Writes the report of this practice beside its journal; `None` when nothing was begun.
fn leave_report(cluster: &Arc<Cluster>) -> Result<Option<PathBuf>, String> {
    let lines = history::latest(cluster)?;
    if lines.is_empty() {
        return Ok(None);
    }
    let report = report(&lines, paths::backups(cluster).display().to_string());
    let path = paths::journals(cluster).join("report.md");
    std::fs::write(&path, report.markdown()).map_err(|e| format!("{}: {e}; make room", path.display()))?;
    Ok(Some(path))
}
