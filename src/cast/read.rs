//! Reading: asciicast v2, written by us or by anybody.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::LARGEST;
use crate::remote::clean;

/// Most bytes of a file that are read: days of a busy screen.
const MOST: u64 = 512 << 20;

/// The longest that a recording may last, in seconds: more is a mistake in the file.
const LONGEST: f64 = 1e7;

/// Why a recording cannot be made or played.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CastError {
    /// It cannot be made.
    #[error("{}", tr!("the recording {path} cannot be made: {why}; name another file", path = path.display(), why = why))]
    Create {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// It cannot be read.
    #[error("{}", tr!("{path}: {why}; name a recording that you may read", path = path.display(), why = why))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// It is no asciicast v2.
    #[error("{}", tr!("{path} line {line}: {why}; banister plays asciicast v2, as --record and asciinema write it", path = path.display(), line = line, why = why))]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// One-based.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Cast {
    /// Columns and rows at the beginning.
    pub size: (u16, u16),
    /// What it is of; cleaned.
    pub title: String,
    /// In order.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Since the beginning.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What can happen; keys, markers and what is unknown are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Text for the emulator.
    Output(String),
    /// Columns and rows.
    Resize(u16, u16),
}

#[derive(Deserialize)]
struct Header {
    version: u64,
    width: u16,
    height: u16,
    #[serde(default)]
    title: String,
}

/// Reads a recording. A torn last line (the recorder went down) is left out.
///
/// # Errors
/// When it cannot be read, is no asciicast v2, or says what cannot be.
pub fn read(path: &Path) -> Result<Cast, CastError> {
    let unreadable = |e: std::io::Error| CastError::Unreadable { path: path.to_owned(), why: e.to_string() };
    let malformed =
        |line: usize, why: String| CastError::Malformed { path: path.to_owned(), line, why: clean::line(&why) };
    let file = File::open(path).map_err(unreadable)?;
    let mut lines = BufReader::new(file.take(MOST)).split(b'\n');
    let first = lines.next().transpose().map_err(unreadable)?.unwrap_or_default();
    let header: Header =
        serde_json::from_slice(&first).map_err(|e| malformed(1, tr!("no header of an asciicast: {e}", e = e)))?;
    if header.version != 2 {
        return Err(malformed(1, tr!("asciicast version {version}", version = header.version)));
    }
    let size = believable(header.width, header.height)
        .ok_or_else(|| malformed(1, format!("a terminal of {}x{}", header.width, header.height)))?;
    let mut cast = Cast { size, title: clean::line(&header.title), events: Vec::new() };
    let mut torn: Option<(usize, String)> = None;
    let mut last = Duration::ZERO;
    for (at, line) in lines.enumerate() {
        let (number, line) = (at + 2, line.map_err(unreadable)?);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some((line, why)) = torn {
            return Err(malformed(line, why));
        }
        let (seconds, kind, text) = match serde_json::from_slice::<(f64, String, String)>(&line) {
            Ok(event) => event,
            Err(e) => {
                torn = Some((number, e.to_string()));
                continue;
            }
        };
        if !(0.0..=LONGEST).contains(&seconds) {
            return Err(malformed(number, tr!("an event at {seconds} s", seconds = seconds)));
        }
        // Time never runs backwards, whatever the file says.
        last = last.max(Duration::from_secs_f64(seconds));
        let what = match kind.as_str() {
            "o" => What::Output(text),
            "r" => {
                let (columns, rows) = text
                    .split_once('x')
                    .and_then(|(c, r)| believable(c.parse().ok()?, r.parse().ok()?))
                    .ok_or_else(|| malformed(number, format!("a terminal of {text}")))?;
                What::Resize(columns, rows)
            }
            _ => continue,
        };
        cast.events.push(Event { at: last, what });
    }
    Ok(cast)
}

fn believable(columns: u16, rows: u16) -> Option<(u16, u16)> {
    ((1..=LARGEST.0).contains(&columns) && (1..=LARGEST.1).contains(&rows)).then_some((columns, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Result<Cast, CastError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.cast");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    const HEAD: &str = "{\"version\": 2, \"width\": 80, \"height\": 24, \"theme\": {}}\n";

    #[test]
    fn what_asciinema_writes_is_read() {
        let text = format!(
            "{HEAD}[0.1, \"o\", \"a\"]\n[0.2, \"i\", \"secret\"]\n[0.3, \"m\", \"\"]\n[0.05, \"r\", \"90x30\"]\n\n"
        );
        let events = reading(&text).unwrap().events;
        let expected = [
            Event { at: Duration::from_millis(100), what: What::Output("a".into()) },
            Event { at: Duration::from_millis(300), what: What::Resize(90, 30) },
        ];
        assert_eq!(events[0], expected[0]);
        assert_eq!(events[1].what, expected[1].what);
        assert!(events[1].at >= events[0].at, "time never runs backwards: {events:?}");
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_a_torn_middle_one_told() {
        assert_eq!(reading(&format!("{HEAD}[0.1, \"o\", \"a\"]\n[0.2, \"o\", \"b")).unwrap().events.len(), 1);
        let why = reading(&format!("{HEAD}[0.1, \"o\n[0.2, \"o\", \"b\"]\n")).unwrap_err().to_string();
        assert!(why.contains("line 2"), "{why}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        let cases = [
            ("", "line 1"),
            ("{}\n", "line 1"),
            ("{\"version\": 3, \"width\": 80, \"height\": 24}\n", "version 3"),
            ("{\"version\": 2, \"width\": 65535, \"height\": 65535}\n", "65535x65535"),
            ("{\"version\": 2, \"width\": 0, \"height\": 24}\n", "0x24"),
        ];
        for (text, says) in cases {
            let why = reading(text).unwrap_err().to_string();
            assert!(why.contains(says) && why.contains("asciicast v2"), "{text}: {why}");
        }
        for (event, says) in
            [("[-1, \"o\", \"\"]", "-1 s"), ("[1e300, \"o\", \"\"]", "s"), ("[1, \"r\", \"9x99999\"]", "9x99999")]
        {
            let why = reading(&format!("{HEAD}{event}\n[2, \"o\", \"\"]\n")).unwrap_err().to_string();
            assert!(why.contains(says) && why.contains("line 2"), "{event}: {why}");
        }
    }
}
