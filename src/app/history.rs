//! The journals of a growth: all runs that share one dated directory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{cli::ReportArgs, headless::say, paths};
use crate::{
    cluster::Cluster,
    engine::{
        Journal,
        event::Outcome,
        journal::{Line, Record},
        report::report,
    },
    runbook,
};

/// The lines of the latest growth's journals, in the order of time; empty when there is no journal. A journal that can't
/// be read is an error: what it holds would be missing.
pub(super) fn latest(cluster: &Cluster) -> Result<Vec<Line>, String> {
    latest_in(&paths::journals(cluster))
}

/// The same, for the directory of a cluster's journals.
pub(super) fn latest_in(dir: &Path) -> Result<Vec<Line>, String> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(dir) {
        Ok(entries) => entries.filter_map(|e| e.ok().map(|e| e.path())).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(tr!("{dir}: {e}; make it readable, then run again", dir = dir.display(), e = e)),
    };
    // Named by the time they were begun.
    files.retain(|f| f.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    let mut all: Vec<(String, Vec<Line>)> = Vec::new();
    for file in files {
        let lines = Journal::read(&file).map_err(|e| e.to_string())?;
        if let Some(Line { record: Record::Run { stamp, .. }, .. }) = lines.first() {
            all.push((stamp.clone(), lines));
        }
    }
    let Some(stamp) = all.last().map(|(stamp, _)| stamp.clone()) else { return Ok(Vec::new()) };
    Ok(all.into_iter().filter(|(s, _)| *s == stamp).flat_map(|(_, lines)| lines).collect())
}

/// Prints the report of the latest growth.
pub(super) fn print(cluster: &Arc<Cluster>, args: &ReportArgs) -> Outcome {
    let lines = match latest(cluster) {
        Ok(lines) if lines.is_empty() => {
            say(&[tr!(
                "no run of {name} is on record in {cluster}",
                name = cluster.name,
                cluster = paths::journals(cluster).display()
            )]);
            return Outcome::Failed;
        }
        Ok(lines) => lines,
        Err(e) => {
            eprintln!("banister: {e}");
            return Outcome::Failed;
        }
    };
    let report = report(&lines, paths::backups(cluster).display().to_string(), runbook::goes_back);
    let text = if args.json { serde_json::to_string_pretty(&report).unwrap_or_default() } else { report.markdown() };
    say(&[text.trim_end().to_owned()]);
    Outcome::Done
}
