//! Reading the cluster file: schema, positions, every problem at once.
//!
//! The text goes through four rooms, each of which only adds to the list of problems and never stops at the first:
//! `tree` (YAML events with their lines into a small tree), `fields` (known keys, types), `check` (one value at a time:
//! names, addresses, paths), `build` (the schema itself), and `cross` (what only shows when values are seen side by
//! side: duplicates, contradictions, notices). Only a syntax error ends the reading early: behind it nothing is certain.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::Cluster;

mod build;
mod check;
mod cross;
mod fields;
mod hosts;
mod layout;
#[cfg(test)]
mod tests;
mod tree;

/// Largest cluster file that is read, in bytes. A thousand hosts fit well below it.
pub const MAX_BYTES: usize = 1 << 20;

/// Most problems reported of one file: a file that is something else altogether must not scroll the terminal away.
const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong in a cluster file, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One-based line; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong. Values from the file are quoted and hold no control characters.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Everything wrong with a cluster file, in the order of its lines. Displays as `FILE:LINE: what; remedy`, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileErrors {
    /// The file, as it was named.
    pub path: PathBuf,
    /// The problems, sorted by line; those about the whole file come first. Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: String = self.path.to_string_lossy().chars().flat_map(safe_char).collect();
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            match problem.line {
                Some(line) => write!(f, "{path}:{line}: {}; {}", problem.what, problem.remedy)?,
                None => write!(f, "{path}: {}; {}", problem.what, problem.remedy)?,
            }
        }
        Ok(())
    }
}

/// Reads and checks a cluster file. `~` in paths stands for the home directory of whoever runs this.
///
/// # Errors
/// Everything that is wrong with the file, or that it cannot be read.
pub fn load(path: &Path) -> Result<Cluster, FileErrors> {
    let text = read(path).map_err(|p| FileErrors { path: path.to_owned(), problems: vec![p] })?;
    // An empty or relative HOME would make `~` depend on where the program was started.
    let home = std::env::home_dir().filter(|h| h.is_absolute());
    parse(&text, path, home.as_deref())
}

/// Checks the text of a cluster file. `path` only names it in messages; `home` is what `~` stands for.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(text: &str, path: &Path, home: Option<&Path>) -> Result<Cluster, FileErrors> {
    let mut problems = Problems::default();
    let cluster = if text.len() > MAX_BYTES {
        problems.list.push(too_large());
        None
    } else {
        tree::read(text, &mut problems).and_then(|root| build::cluster(root, path, home, &mut problems))
    };
    match cluster {
        Some(cluster) if problems.list.is_empty() => Ok(cluster),
        _ => Err(problems.into_errors(path)),
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, line: usize, what: impl Into<String>, remedy: impl Into<String>) {
        self.list.push(Problem { line: Some(line), what: what.into(), remedy: remedy.into() });
    }

    fn add_whole(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.list.push(Problem { line: None, what: what.into(), remedy: remedy.into() });
    }

    /// Whether more problems would only be counted.
    fn is_full(&self) -> bool {
        self.list.len() >= MAX_PROBLEMS
    }

    fn into_errors(mut self, path: &Path) -> FileErrors {
        self.list.sort_by_key(|p| p.line);
        let more = self.list.len().saturating_sub(MAX_PROBLEMS);
        if more > 0 {
            self.list.truncate(MAX_PROBLEMS);
            let last = self.list.last().and_then(|p| p.line);
            self.list.push(Problem {
                line: last,
                what: tr!("{more} more problems below are not shown", more = more),
                remedy: trs!("mend these first").into(),
            });
        }
        if self.list.is_empty() {
            // Unreachable while every `None` of a room comes with a problem; a lost message must not become a success.
            self.add_whole(trs!("the file could not be understood"), trs!("compare it with the sample in the README"));
        }
        FileErrors { path: path.to_owned(), problems: self.list }
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&error))?;
    if bytes.len() > MAX_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Problem {
            line: Some(before.split(|b| *b == b'\n').count()),
            what: trs!("the file is not UTF-8 text from here on").into(),
            remedy: trs!("save it as UTF-8").into(),
        }
    })
}

fn unreadable(error: &io::Error) -> Problem {
    let (what, remedy) = match error.kind() {
        io::ErrorKind::NotFound => {
            (trs!("there is no such file").into(), trs!("check the path; the README has a cluster file to start from"))
        }
        io::ErrorKind::PermissionDenied => (trs!("the file may not be read").into(), trs!("check its owner and mode")),
        io::ErrorKind::IsADirectory => (trs!("this is a directory").into(), trs!("name the cluster file in it")),
        _ => (tr!("the file cannot be read: {error}", error = error), trs!("check the path and the disk it lies on")),
    };
    Problem { line: None, what, remedy: remedy.into() }
}

fn too_large() -> Problem {
    Problem {
        line: None,
        what: tr!("the file is larger than {size} KiB", size = MAX_BYTES >> 10),
        remedy: trs!("check that this is the cluster file and not something else").into(),
    }
}

/// A value of the file as a message may show it: in backticks, control and direction characters escaped, cut to 60
/// characters. What stands in the file may come from anywhere and must not steer the terminal.
fn quoted(text: &str) -> String {
    let mut out: String = "`".into();
    out.extend(text.chars().take(60).flat_map(safe_char));
    out.push_str(if text.chars().nth(60).is_some() { "…`" } else { "`" });
    out
}

/// Whether a character may stand in a value and be shown as it is.
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

fn safe_char(c: char) -> impl Iterator<Item = char> {
    // A no-break space looks right and is not: shown, it explains the message it stands in.
    let safe = is_plain(c) && (c == ' ' || !c.is_whitespace());
    let escape = (!safe).then(|| c.escape_default());
    escape.into_iter().flatten().chain(safe.then_some(c))
}
