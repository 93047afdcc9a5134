//! One append-only file a run: versioned JSON lines, fsynced before and after each step and act, mode 0600.
//!
//! What can stand in it is closed ([`Record`]): words, numbers and [`UndoAct`]s, which hold no content. So a secret can't
//! get in: [`crate::remote::SecretBytes`] and operations with content have no `Serialize`.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{act::UndoAct, step::Risk};

/// The format's version; readers take this and every older one. 2: [`Record::Lock`].
pub const VERSION: u32 = 2;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Format version.
    pub v: u32,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub record: Record,
}

/// A line of any format.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// A run began.
    Run {
        /// The cluster's name.
        cluster: String,
        /// The cluster file.
        file: PathBuf,
        /// Who, as `user@host`.
        operator: String,
        /// The program's version.
        banister: String,
        /// Name of the dated backup directory.
        stamp: String,
    },
    /// What the survey said before the run.
    Survey {
        /// Voters and their state, in words.
        etcd: String,
        /// Findings, a line each, severity first.
        findings: Vec<String>,
    },
    /// The lock on the cluster was another run's and is this one's now.
    Lock {
        /// Whose it was, as `user@host`.
        holder: String,
        /// Since when.
        since: String,
        /// Why it could be had.
        how: String,
    },
    /// A step is about to act: what takes it back, before anything is done.
    Intent {
        /// `etcd.join@master04`.
        step: String,
        /// Its risk.
        risk: Risk,
        /// Who said yes: `operator` or `--approve`.
        confirmed_by: String,
        /// Titles of what will run.
        acts: Vec<String>,
        /// What takes it back.
        undo: Vec<UndoAct>,
        /// What changes in files and certificates.
        #[serde(default)]
        changes: Vec<Change>,
    },
    /// An act is about to run.
    ActIntent {
        /// The step.
        step: String,
        /// Index into its acts.
        act: usize,
    },
    /// An act ended.
    ActOutcome {
        /// The step.
        step: String,
        /// Index into its acts.
        act: usize,
        /// `None` when it went well.
        error: Option<String>,
        /// How long it took.
        milliseconds: u64,
    },
    /// A step ended.
    Outcome {
        /// The step.
        step: String,
        /// Proofs when it went well.
        proofs: Vec<String>,
        /// `None` when it went well.
        error: Option<String>,
        /// How long it took.
        milliseconds: u64,
    },
    /// A step's effect was there already.
    Found {
        /// The step.
        step: String,
        /// What was seen.
        seen: String,
    },
    /// A step was taken back.
    Undone {
        /// The step.
        step: String,
        /// `None` when it went well.
        error: Option<String>,
    },
    /// The run is over.
    End {
        /// The exit code.
        code: u8,
        /// In words.
        why: String,
    },
}

/// A file or certificate that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// On which host.
    pub host: String,
    /// Which file.
    pub path: PathBuf,
    /// Unified diff of a text file; names added and dropped of a certificate.
    pub diff: String,
}

/// Why the journal can't be used. A journal that cannot be written stops the run.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum JournalError {
    /// Not writable.
    #[error("{}", tr!("the journal {path} cannot be written: {why}; make room or set XDG_STATE_HOME to a place that has some, then run again", path = path.display(), why = why))]
    Write {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// Not readable, or not a journal.
    #[error("{}", tr!("the journal {path} line {line} cannot be read: {why}", path = path.display(), line = line, why = why))]
    Read {
        /// Which file.
        path: PathBuf,
        /// One-based line.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// What a journal is written on.
pub trait Ink: fmt::Debug + Send + Sync {
    /// Appends a line and waits until it will outlast a power cut.
    fn append(&mut self, line: &[u8]) -> std::io::Result<()>;
}

impl Ink for File {
    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.write_all(line)?;
        self.sync_data()
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    ink: Option<Box<dyn Ink>>,
    path: PathBuf,
    /// Why a line could not be written: half of it may be there, and nothing may stand behind that.
    broken: Option<JournalError>,
}

impl Journal {
    /// Makes a new journal; its directory is made (0700).
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let fail = |e: std::io::Error| JournalError::Write { path: path.to_owned(), why: e.to_string() };
        if let Some(dir) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
        }
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
        // The name itself has to last, too.
        if let Some(dir) = path.parent() {
            File::open(dir).and_then(|d| d.sync_all()).map_err(fail)?;
        }
        Ok(Self::on(Box::new(file), path))
    }

    /// A journal on something that is open already.
    pub fn on(ink: Box<dyn Ink>, path: &Path) -> Self {
        Self { ink: Some(ink), path: path.to_owned(), broken: None }
    }

    /// A journal that keeps nothing, for `plan` and tests.
    pub fn nowhere() -> Self {
        Self { ink: None, path: PathBuf::new(), broken: None }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a record and waits until it is on the disk.
    pub fn write(&mut self, record: Record) -> Result<(), JournalError> {
        let Some(ink) = &mut self.ink else { return Ok(()) };
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let fail = |why: String| JournalError::Write { path: self.path.clone(), why };
        let line = Line { v: VERSION, at: jiff::Timestamp::now().to_string(), record };
        let mut text = serde_json::to_string(&line).map_err(|e| fail(e.to_string()))?;
        text.push('\n');
        let written = ink.append(text.as_bytes()).map_err(|e| fail(e.to_string()));
        self.broken = written.as_ref().err().cloned();
        written
    }

    /// Reads a journal. A torn last line (the machine went down while writing) is left out; anything else that can't be
    /// read is an error.
    pub fn read(path: &Path) -> Result<Vec<Line>, JournalError> {
        let fail = |line: usize, why: String| JournalError::Read { path: path.to_owned(), line, why };
        let file = File::open(path).map_err(|e| fail(0, e.to_string()))?;
        let mut lines = Vec::new();
        let mut torn: Option<(usize, String)> = None;
        for (number, text) in BufReader::new(file).split(b'\n').enumerate() {
            if let Some((line, why)) = torn {
                return Err(fail(line, why));
            }
            let text = text.map_err(|e| fail(number + 1, e.to_string()))?;
            if text.is_empty() {
                continue;
            }
            // The version first: what a newer program writes may make no sense here.
            if let Ok(Version { v }) = serde_json::from_slice::<Version>(&text)
                && v > VERSION
            {
                return Err(fail(
                    number + 1,
                    tr!("written by a newer banister (format {version}); take that one", version = v),
                ));
            }
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) => lines.push(line),
                Err(e) => torn = Some((number + 1, e.to_string())),
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn end(code: u8) -> Record {
        Record::End { code, why: "over".into() }
    }

    #[test]
    fn what_is_written_is_read_and_only_the_owner_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/run.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        journal.write(end(0)).unwrap();
        journal.write(end(1)).unwrap();
        let read = Journal::read(&path).unwrap();
        assert_eq!(read.iter().map(|l| l.record.clone()).collect::<Vec<_>>(), [end(0), end(1)]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Journal::create(&path).is_err(), "an old journal is never overwritten");
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_a_torn_middle_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        Journal::create(&path).unwrap().write(end(0)).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{}", &whole[..20])).unwrap();
        assert_eq!(Journal::read(&path).unwrap().len(), 1);
        std::fs::write(&path, format!("{}\n{whole}", &whole[..20])).unwrap();
        assert!(Journal::read(&path).unwrap_err().to_string().contains("line 1"));
    }

    /// A record of every kind there is.
    fn every_record() -> Vec<Record> {
        let step = || "etcd.join@master04".to_owned();
        let change = Change { host: "h".into(), path: "/etc/x".into(), diff: "+a\n".into() };
        let all = vec![
            Record::Run {
                cluster: "prod".into(),
                file: "cluster.yaml".into(),
                operator: "ops@jump".into(),
                banister: "0.1.0".into(),
                stamp: "s".into(),
            },
            Record::Survey { etcd: "3 voters".into(), findings: vec!["note: x".into()] },
            Record::Lock { holder: "li@jump".into(), since: "then".into(), how: "taken over".into() },
            Record::Intent {
                step: step(),
                risk: Risk::Disruptive,
                confirmed_by: "operator".into(),
                acts: vec!["a".into()],
                undo: vec![UndoAct::DaemonReload { host: "h".into() }],
                changes: vec![change],
            },
            Record::ActIntent { step: step(), act: 0 },
            Record::ActOutcome { step: step(), act: 0, error: None, milliseconds: 1 },
            Record::Outcome { step: step(), proofs: vec!["p".into()], error: None, milliseconds: 1 },
            Record::Found { step: step(), seen: "s".into() },
            Record::Undone { step: step(), error: None },
            end(0),
        ];
        // A kind that is added has to be added here: it does not compile otherwise.
        for record in &all {
            match record {
                Record::Run { .. }
                | Record::Survey { .. }
                | Record::Lock { .. }
                | Record::Intent { .. }
                | Record::ActIntent { .. }
                | Record::ActOutcome { .. }
                | Record::Outcome { .. }
                | Record::Found { .. }
                | Record::Undone { .. }
                | Record::End { .. } => {}
            }
        }
        all
    }

    #[test]
    fn every_kind_of_record_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        for record in every_record() {
            journal.write(record).unwrap();
        }
        let read: Vec<_> = Journal::read(&path).unwrap().into_iter().map(|l| l.record).collect();
        assert_eq!(read, every_record());
    }

    #[test]
    fn a_disk_that_is_full_is_an_error_and_nothing_is_written_behind_half_a_line() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut journal = Journal::on(Box::new(full), Path::new("/dev/full"));
        let why = journal.write(end(0)).unwrap_err().to_string();
        assert!(why.contains("No space left on device") && why.contains("run again"), "{why}");
        let dir = tempfile::tempdir().unwrap();
        let room_again = File::create(dir.path().join("x")).unwrap();
        journal.ink = Some(Box::new(room_again));
        assert_eq!(journal.write(end(0)).unwrap_err().to_string(), why, "room came too late for this run");
    }

    #[test]
    fn old_formats_still_load() {
        let fixture = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal").join(name);
            Journal::read(&path).unwrap()
        };
        let lines = fixture("v1.jsonl");
        assert!(matches!(&lines[0].record, Record::Run { cluster, .. } if cluster == "prod"));
        assert!(matches!(&lines[1].record, Record::Intent { undo, .. } if undo.len() == 2));
        let lines = fixture("v2.jsonl");
        assert!(matches!(&lines[1].record, Record::Lock { holder, .. } if holder == "li@jump02"));
        assert!(lines.iter().all(|l| l.v == 2) && VERSION == 2, "a new version needs a fixture of its own");
    }

    #[test]
    fn a_journal_of_a_newer_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let newer = r#"{"v":99,"at":"t","record":"end","code":0,"why":""}"#;
        std::fs::write(&path, format!("{newer}\n{newer}\n")).unwrap();
        assert!(Journal::read(&path).unwrap_err().to_string().contains("newer banister (format 99)"));
    }
}
