//! `banister` alone: what there is to begin with, then the wizard in the same terminal.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crossterm::event::Event as TermEvent;

use super::{
    Extras, Task, history,
    input::Input,
    paths, practice,
    screen::Taken,
    session::Hosts,
    wizard::{self, now},
};
use crate::{
    cluster::{Cluster, file},
    engine::{
        Chapter,
        event::Outcome,
        journal::{Line, Record},
        undo,
    },
    lang,
    practice::Scenario,
    remote::clean,
    runbook,
    ui::{
        Msg, Theme,
        welcome::{Chosen, Entry, FoundFile, LastRun, Welcome, update, view},
    },
};

/// How often the clock moves on.
const TICK: Duration = Duration::from_secs(1);

/// Most files of a directory that are looked into: it may be any directory.
const MOST: usize = 200;

/// Shows the first screen and does what is chosen there; the exit code. A cluster file's own language is taken, unless
/// one `was_told`.
pub(super) async fn run(theme: Theme, was_told: bool) -> u8 {
    let extras = Extras { theme, ..Extras::default() };
    let mut taken = match Taken::take(
        extras,
        "",
        trs!("the first screen needs a terminal; banister --help says what can be done without one"),
    ) {
        Ok(taken) => taken,
        Err(code) => return code,
    };
    let began = Instant::now();
    let mut welcome = Welcome::new(theme, now(began), taken.size());
    look(&mut welcome).await;
    let mut tick = tokio::time::interval(TICK);
    loop {
        let _ = taken.screen.draw(|frame| view(&welcome, frame));
        let msg = tokio::select! {
            input = taken.next() => match input {
                Input::Event(TermEvent::Key(key)) => Msg::Key(key),
                Input::Event(TermEvent::Paste(text)) => Msg::Paste(text),
                Input::Event(_) => continue,
                Input::Resize(columns, rows) => Msg::Resize(columns, rows),
                Input::Gone | Input::Terminate => Msg::Terminate,
                Input::Panicked(words) => {
                    welcome.say(words);
                    continue;
                }
            },
            _ = tick.tick() => Msg::Tick(now(began)),
        };
        let Some(chosen) = update(&mut welcome, &msg) else { continue };
        match chosen {
            Chosen::Leave => return Outcome::Done.code(),
            Chosen::LookAgain => look(&mut welcome).await,
            Chosen::Practice(name) => {
                welcome.say(tr!("making the hosts of {name}", name = name));
                let _ = taken.screen.draw(|frame| view(&welcome, frame));
                return practice::at_screen(&name, taken).await;
            }
            Chosen::Open(path) | Chosen::TakeBack(path) if file::load(&path).is_err() => {
                look(&mut welcome).await;
                welcome.say(tr!("{file} has changed and has problems now", file = path.display()));
            }
            Chosen::Open(path) => {
                return open(&path, Task::Grow { through: runbook::LAST_CHAPTER }, taken, was_told).await;
            }
            Chosen::TakeBack(path) => return open(&path, Task::TakeBack, taken, was_told).await,
        }
    }
}

async fn open(path: &Path, task: Task, taken: Taken, was_told: bool) -> u8 {
    match file::load(path) {
        Ok(cluster) => {
            if let (false, Some(lang)) = (was_told, cluster.lang) {
                lang::choose(lang);
            }
            wizard::run(&Hosts::Real(Arc::new(cluster)), task, taken).await
        }
        Err(problems) => {
            drop(taken);
            eprintln!("{problems}");
            super::BAD_INPUT
        }
    }
}

/// Looks for cluster files and their journals. On a thread of its own: a directory may lie on a slow disk.
async fn look(welcome: &mut Welcome) {
    let found = tokio::task::spawn_blocking(|| {
        let dirs = [std::env::current_dir().unwrap_or_default(), paths::config()];
        (find(&dirs, &paths::all_journals()), dirs)
    });
    let Ok((files, dirs)) = found.await else { return };
    let practice = Scenario::names().map(|name| Entry::Practice {
        name: name.to_owned(),
        about: Scenario::find(name).map(|s| s.about.get().to_owned()).unwrap_or_default(),
    });
    let looked_in = dirs.iter().map(|d| clean::line(&d.display().to_string())).collect();
    welcome.found(files.into_iter().map(Entry::File).chain(practice).collect(), looked_in);
}

/// Cluster files in the directories, then those that journals name; unfinished ones first.
fn find(dirs: &[PathBuf], journals: &Path) -> Vec<FoundFile> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let here = std::env::current_dir().unwrap_or_default();
    let candidates = dirs.iter().flat_map(|d| yaml_files(d)).chain(named_by_journals(journals));
    for path in candidates {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if !seen.insert(real) {
            continue;
        }
        let shown = path.strip_prefix(&here).unwrap_or(&path).display().to_string();
        let file = |cluster, run| FoundFile { path: path.clone(), shown: clean::line(&shown), cluster, run };
        match file::load(&path) {
            Ok(cluster) => {
                let run = history::latest(&cluster).ok().and_then(|lines| last_run(&lines));
                found.push(file(Ok(words(&cluster)), run));
            }
            // Any directory has YAML files of other kinds.
            Err(problems) if looks_like_one(&path) => {
                let problem = |p: &file::Problem| {
                    let words = format!("{}; {}", p.what, p.remedy);
                    p.line.map_or_else(
                        || words.clone(),
                        |line| tr!("line {line}: {problem}", line = line, problem = words),
                    )
                };
                found.push(file(Err(problems.problems.iter().map(problem).collect()), None));
            }
            Err(_) => {}
        }
    }
    let finished = |f: &FoundFile| f.run.as_ref().is_none_or(|r| r.complete);
    found.sort_by_key(|f| (f.cluster.is_err(), finished(f)));
    found
}

/// The YAML files of a directory, by name.
fn yaml_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let yaml = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml") && p.is_file();
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(yaml).take(MOST).collect();
    files.sort();
    files
}

/// The cluster files that the journals on this machine name and that are still there.
fn named_by_journals(journals: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(journals) else { return Vec::new() };
    let of = |dir: PathBuf| match history::latest_in(&dir).ok()?.first()?.record.clone() {
        Record::Run { file, .. } => Some(file).filter(|f| f.is_absolute() && f.is_file()),
        _ => None,
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| of(e.ok()?.path())).collect();
    files.sort();
    files
}

/// Whether a file that is no good cluster file was meant to be one.
fn looks_like_one(path: &Path) -> bool {
    let small = std::fs::metadata(path).is_ok_and(|m| m.len() <= file::MAX_BYTES as u64);
    small && std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|l| l.starts_with("masters:")))
}

/// `prod: 3 masters, 2 to join, 3 workers`
fn words(cluster: &Cluster) -> String {
    tr!(
        "{cluster}: {masters} masters, {joiners} to join, workers: {workers}",
        cluster = clean::line(&cluster.name),
        masters = cluster.masters.len(),
        joiners = cluster.join.len(),
        workers = cluster.workers.len()
    )
}

/// What the lines of a growth's journals say about it.
fn last_run(lines: &[Line]) -> Option<LastRun> {
    let last = lines.iter().rposition(|l| matches!(l.record, Record::Run { .. }))?;
    let Record::Run { operator, .. } = &lines[last].record else { return None };
    let end = lines[last..].iter().find_map(|l| match &l.record {
        Record::End { code, why } => Some((*code, clean::line(why))),
        _ => None,
    });
    let done: BTreeSet<&str> = lines
        .iter()
        .filter_map(|l| match &l.record {
            Record::Outcome { step, error: None, .. } | Record::Found { step, .. } => Some(step.as_str()),
            _ => None,
        })
        .collect();
    let kind = |step: &str| runbook::kind(step.split('@').next().unwrap_or(step));
    let takes_back = |b: &&undo::Begun| kind(&b.step).is_some_and(|(_, chapter)| chapter != Chapter::Backup);
    let at = lines.last().and_then(|l| l.at.parse::<jiff::Timestamp>().ok());
    Some(LastRun {
        operator: clean::line(operator),
        at: at
            .map(|at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string())
            .unwrap_or_default(),
        complete: end.as_ref().is_some_and(|(code, _)| *code == Outcome::Done.code()),
        end: end.map(|(_, why)| why),
        done: done.len(),
        undoable: undo::begun(lines).iter().filter(takes_back).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "cluster: prod\nmasters:\n  - { name: m1, address: 10.0.0.1 }\n  - { name: m2, address: 10.0.0.2 }\n  - { name: m3, address: 10.0.0.3 }\njoin:\n  - { name: m4, address: 10.0.0.4 }\n  - { name: m5, address: 10.0.0.5 }\n";

    fn dir_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn cluster_files_are_found_and_others_left_alone() {
        let dir = dir_with(&[
            ("prod.yaml", GOOD),
            ("broken.yml", "cluster: x\nmasters:\n  - { name: m1, adress: 10.0.0.1 }\n"),
            ("pod.yaml", "kind: Pod\napiVersion: v1\n"),
            ("notes.txt", GOOD),
        ]);
        let found = find(&[dir.path().to_owned()], Path::new("/nonexistent"));
        let names: Vec<_> = found.iter().map(|f| f.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["prod.yaml", "broken.yml"]);
        assert_eq!(found[0].cluster.as_deref(), Ok("prod: 3 masters, 2 to join, workers: 0"));
        let problems = found[1].cluster.as_ref().unwrap_err();
        assert!(problems.iter().any(|p| p.contains("adress")), "{problems:?}");
    }

    #[test]
    fn a_journal_leads_to_its_file_wherever_that_lies() {
        let (dir, state) = (dir_with(&[("prod.yaml", GOOD)]), tempfile::tempdir().unwrap());
        let file = dir.path().join("prod.yaml");
        let mut journal =
            crate::engine::Journal::create(&state.path().join("prod/20260314T031500.000Z-1.jsonl")).unwrap();
        let run = Record::Run {
            cluster: "prod".into(),
            file: file.clone(),
            operator: "ops@jump".into(),
            banister: "0.1.0".into(),
            stamp: "20260314".into(),
        };
        journal.write(run).unwrap();
        assert_eq!(named_by_journals(state.path()), [file]);
        std::fs::remove_file(dir.path().join("prod.yaml")).unwrap();
        assert!(named_by_journals(state.path()).is_empty());
    }

    #[test]
    fn a_run_without_an_end_is_told_from_one_that_stopped_and_one_that_is_done() {
        let line = |record| Line { v: 1, at: "2026-03-14T03:15:00Z".into(), record };
        let run = || {
            line(Record::Run {
                cluster: "prod".into(),
                file: "/prod.yaml".into(),
                operator: "ops@jump".into(),
                banister: "0.1.0".into(),
                stamp: "x".into(),
            })
        };
        let found = |step: &str| line(Record::Found { step: step.into(), seen: "there".into() });
        let end = |code| line(Record::End { code, why: "why".into() });
        let of = |lines: &[Line]| last_run(lines).unwrap();
        let cut = of(&[run(), found("backup.files"), found("backup.files")]);
        assert_eq!((cut.end, cut.complete, cut.done), (None, false, 1));
        let stopped = of(&[run(), end(3)]);
        assert_eq!((stopped.end.as_deref(), stopped.complete), (Some("why"), false));
        // An old end does not count for the run after it.
        assert_eq!(of(&[run(), end(0), run()]).end, None);
        assert!(of(&[run(), end(3), run(), end(0)]).complete);
        assert_eq!(last_run(&[]), None);
    }
}
