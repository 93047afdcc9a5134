//! `banister practice`: the same walk through a cluster that lives in memory.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::mpsc;

use super::{
    BAD_INPUT, Extras, Task,
    cli::{OnFailure, PracticeArgs, ReportArgs},
    headless::{ByFlags, say},
    history, paths,
    screen::Taken,
    session::{Hosts, Session, unheard},
    walk, wizard,
};
use crate::{
    cluster::Cluster,
    engine::{Approve, Chapter, event::Outcome, report::report as report_of},
    practice::{self, Options, Practice, Scenario},
    remote::Nobody,
    runbook,
    ui::Theme,
};

/// How much faster than the clock time passes with `--fast`.
const FAST: u32 = 20;

/// How much faster it passes while nobody looks.
const OUT_OF_SIGHT: u32 = 1000;

/// Builds the scenario and walks it; the exit code is that of a run.
pub(super) async fn run(args: &PracticeArgs, theme: Theme) -> u8 {
    if args.list {
        let scenarios: Vec<_> = Scenario::names().filter_map(|name| Scenario::find(name).ok()).collect();
        let width = scenarios.iter().map(|s| s.name.len()).max().unwrap_or_default();
        say(&scenarios.iter().map(|s| format!("{:width$}  {}", s.name, s.about)).collect::<Vec<_>>());
        return 0;
    }
    let speed = if args.fast { FAST } else { 1 };
    let options = Options { speed, workers: args.workers, seed: args.seed };
    let built = Scenario::find(&args.scenario).and_then(|s| practice::build(&s, options).map(|p| (s, p)));
    let (scenario, practice) = match built {
        Ok(both) => both,
        Err(e) => {
            eprintln!("banister: {e}");
            return BAD_INPUT;
        }
    };
    if args.headless {
        let (name, about) = (&scenario.name, &scenario.about);
        say(&[tr!("[practice] {name}: {about}; every host lives in memory", name = name, about = about)]);
    }
    let cluster = practice.cluster.clone();
    let grow = Task::Grow { through: args.through.map_or(runbook::LAST_CHAPTER, Chapter::from) };
    let hosts = Hosts::Practice(practice.clone());
    let task = if args.undo {
        say(&[tr!("[practice] growing the cluster first, so that there is something to take back")]);
        if let Err(why) = grown(&practice, &hosts, grow, speed).await {
            eprintln!("banister: {}", tr!("the practice cluster could not be grown: {why}", why = why));
            return Outcome::Failed.code();
        }
        Task::TakeBack
    } else {
        grow
    };
    let flags = args.headless.then_some((args.approve, args.on_failure));
    let code = walk(&hosts, task, flags, Extras { record: args.record.clone(), theme }).await;
    tell_report(&cluster, &args.scenario, code == 0 && task != Task::TakeBack);
    code
}

/// A scenario of the program in a terminal that was taken; the exit code.
pub(super) async fn at_screen(name: &str, taken: Taken) -> u8 {
    let practice = match Scenario::find(name).and_then(|s| practice::build(&s, Options::default())) {
        Ok(practice) => practice,
        Err(e) => {
            taken.give_back();
            eprintln!("banister: {e}");
            return BAD_INPUT;
        }
    };
    let cluster = practice.cluster.clone();
    let code = wizard::run(&Hosts::Practice(practice), Task::Grow { through: runbook::LAST_CHAPTER }, taken).await;
    tell_report(&cluster, name, code == 0);
    code
}

/// Leaves the report and says where it lies; where the cluster was `grown`, what takes it back.
fn tell_report(cluster: &Arc<Cluster>, scenario: &str, grown: bool) {
    match leave_report(cluster) {
        Ok(Some(path)) => {
            let mut lines = vec![tr!("[practice] report {path}", path = path.display())];
            if grown {
                let again = format!("banister practice {scenario} --undo");
                lines.push(tr!("[practice] the way back: {command}", command = again));
            }
            say(&lines);
        }
        Ok(None) => {}
        Err(e) => eprintln!("banister: {}", tr!("no report: {why}", why = e)),
    }
}

/// The program's own scenario that a command's FILE names; a file of that name comes first.
pub(super) fn named(file: &Path) -> Option<Scenario> {
    let name = file.to_str().filter(|_| !file.exists())?;
    Scenario::names().any(|known| known == name).then(|| Scenario::find(name).ok()).flatten()
}

/// Prints the report of the latest practice of a scenario.
pub(super) fn report(scenario: &Scenario, args: &ReportArgs) -> u8 {
    match practice::cluster_of(scenario, Options::default()) {
        Ok(cluster) => history::print(&Arc::new(cluster), args).code(),
        Err(e) => {
            eprintln!("banister: {e}");
            BAD_INPUT
        }
    }
}

/// Grows the cluster out of sight, with its journal like any run.
async fn grown(practice: &Practice, hosts: &Hosts, task: Task, speed: u32) -> Result<(), String> {
    practice.with(|w| w.clock.set_speed(OUT_OF_SIGHT));
    let session = Session::new(hosts, Arc::new(Nobody), None);
    let looked = session.look(unheard()).await;
    if let Some(finding) = Session::blocking(&looked, task).first() {
        return Err(format!("{}. {}", finding.what, finding.remedy));
    }
    let etcd = looked.etcd.clone().ok_or_else(|| "etcd".to_owned())?;
    let (cx, steps) = session.steps(&looked, &etcd, task).await?;
    let operator = Arc::new(ByFlags { approve: Approve::All, on_failure: OnFailure::Stop });
    let (events, _unread) = mpsc::unbounded_channel();
    let engine = session.engine(&looked, &cx, operator, events, Arc::new(AtomicBool::new(false)));
    let (outcome, why) = engine.map_err(|e| e.to_string())?.run(&steps, task.through()).await;
    practice.with(|w| w.clock.set_speed(speed));
    if outcome == Outcome::Done { Ok(()) } else { Err(why) }
}

/// Writes the report of this practice beside its journal; `None` when nothing was begun.
fn leave_report(cluster: &Arc<Cluster>) -> Result<Option<PathBuf>, String> {
    let lines = history::latest(cluster)?;
    if lines.is_empty() {
        return Ok(None);
    }
    let report = report_of(&lines, paths::backups(cluster).display().to_string(), runbook::goes_back);
    let path = paths::journals(cluster).join("report.md");
    std::fs::write(&path, report.markdown())
        .map_err(|e| tr!("{path}: {why}; make room", path = path.display(), why = e))?;
    Ok(Some(path))
}
