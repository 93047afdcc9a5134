//! `banister practice`: the same walk through a cluster that lives in memory.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::mpsc;

use super::{
    BAD_INPUT, Extras, Flags, Task, Training,
    cli::{ApproveArg, OnFailure, PracticeArgs, ReportArgs},
    headless::{ByFlags, say},
    history, paths,
    screen::Taken,
    session::{Hosts, Session, unheard},
    walk, wizard,
};
use crate::{
    cluster::Cluster,
    engine::{Chapter, event::Outcome, report::report as report_of},
    practice::{self, Options, Practice, Scenario, ScenarioError},
    remote::Nobody,
    runbook,
    training::drill::Drill,
    ui::Theme,
};

/// How much faster than the clock time passes with `--fast`.
const FAST: u32 = 100;

/// How much faster it passes while nobody looks.
const OUT_OF_SIGHT: u32 = 1000;

/// Builds the scenario and walks it; the exit code is that of a run.
pub(super) async fn run(args: &PracticeArgs, theme: Theme) -> u8 {
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
        let (name, about) = match &drill {
            Some(drill) => (drill.name.clone(), drill.story.get().trim().trim_end_matches(['.', '。']).to_owned()),
            None => (
                args.scenario.clone(),
                Scenario::find(&args.scenario).map(|s| s.about.get().to_owned()).unwrap_or_default(),
            ),
        };
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
    let flags = args.headless.then_some(Flags { approve: args.approve, on_failure: args.on_failure, take_over: false });
    let training = Training { two_key: args.two_key, guided: args.guided, drill: drill.map(Arc::new) };
    let extras = Extras { record: args.record.clone(), theme, training };
    let code = walk(&hosts, task, flags, extras).await;
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
    Ok((None, practice::build(&scenario, options)?))
}

/// Names the scenarios, then the drills by how hard they are.
fn list() {
    let mut lines = vec![tr!("Scenarios:")];
    for name in Scenario::names() {
        let about = Scenario::find(name).map(|s| s.about).unwrap_or_default();
        lines.push(format!("  {name:20} {}", about.get()));
    }
    lines.push(tr!("Drills, * easy to *** hard:"));
    for drill in Drill::names().filter_map(|name| Drill::find(name).ok().flatten()) {
        lines.push(format!("  {:20} {:3} {}", drill.name, "*".repeat(usize::from(drill.level)), drill.title.get()));
    }
    say(&lines);
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
    let flags = Flags { approve: Some(ApproveArg::All), on_failure: OnFailure::Stop, take_over: false };
    let operator = Arc::new(ByFlags { flags, two_keys: false });
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
