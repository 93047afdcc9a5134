//! One append-only file a run: versioned JSON lines, fsynced before and after each step and act, mode 0600.
//!
//! What can stand in it is closed ([`Record`]): words, numbers and [`UndoAct`]s, which hold no content. So a secret can't
//! get in: [`crate::remote::SecretBytes`] and operations with content have no `Serialize`.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{act::UndoAct, step::Risk};

/// The format's version; readers take this and every older one.
pub const VERSION: u32 = 1;

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

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
    path: PathBuf,
}

impl Journal {
    /// Makes a new journal; its directory is made (0700).
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let fail = |e: std::io::Error| JournalError::Write { path: path.to_owned(), why: e.to_string() };
        if let Some(dir) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
        }
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
        Ok(Self { file: Some(file), path: path.to_owned() })
    }

    /// A journal that keeps nothing, for `plan` and tests.
    pub fn nowhere() -> Self {
        Self { file: None, path: PathBuf::new() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a record and waits until it is on the disk.
    pub fn write(&mut self, record: Record) -> Result<(), JournalError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let fail = |why: String| JournalError::Write { path: self.path.clone(), why };
        let line = Line { v: VERSION, at: jiff::Timestamp::now().to_string(), record };
        let mut text = serde_json::to_string(&line).map_err(|e| fail(e.to_string()))?;
        text.push('\n');
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(|e| fail(e.to_string()))
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
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) if line.v > VERSION => {
                    return Err(fail(
                        number + 1,
                        tr!("written by a newer banister (format {version})", version = line.v),
                    ));
                }
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

    #[test]
    fn the_first_format_still_loads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal/v1.jsonl");
        let lines = Journal::read(&path).unwrap();
        assert!(matches!(&lines[0].record, Record::Run { cluster, .. } if cluster == "prod"));
        assert!(matches!(&lines[1].record, Record::Intent { undo, .. } if undo.len() == 2));
    }
}
