//! What operations that look print, read into plain data. Every text is cleaned: it comes from a host.

use std::path::PathBuf;

use super::{FileKind, FileState, UnitState};
use crate::remote::{clean, etcd::Version};

/// Why an answer of a host could not be read. Ends in what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The last line is missing.
    #[error("{}", tr!("the answer was cut off; ask again, and look for a full disk or a killed process on the host"))]
    CutOff,
    /// A line is not of the promised form.
    #[error("{}", tr!("line {shown} does not make sense: {why}; run the same command by hand on the host and compare", shown = format_args!("{shown:?}"), why = why))]
    Line {
        /// The line, cleaned, at most 120 characters.
        shown: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something that has to be there is not.
    #[error("{}", tr!("the answer says nothing about {what}; check that the host has that tool in its PATH", what = _0))]
    Missing(&'static str),
}

impl ParseError {
    pub(super) fn line(raw: &str, why: &'static str) -> Self {
        Self::Line { shown: clean::line(raw).chars().take(120).collect(), why }
    }
}

/// Reads the lines of [`Op::Stat`](crate::remote::Op::Stat) and [`Op::ListTree`](crate::remote::Op::ListTree):
/// `type mode user group size mtime sha256 path`, `-` where something does not apply, mode in octal, the path to the end
/// of the line.
pub fn file_states(stdout: &str) -> Result<Vec<FileState>, ParseError> {
    stdout.lines().filter(|l| !l.is_empty()).map(file_state).collect()
}

fn file_state(raw: &str) -> Result<FileState, ParseError> {
    let bad = |why| ParseError::line(raw, why);
    let mut fields = raw.splitn(8, ' ');
    let mut next = || fields.next().ok_or(bad(trs!("too few fields")));
    let kind = match next()? {
        "file" => FileKind::File,
        "dir" => FileKind::Dir,
        "link" => FileKind::Link,
        "absent" => FileKind::Absent,
        "other" => FileKind::Other,
        _ => return Err(bad(trs!("unknown file type"))),
    };
    let mode = number(next()?, |s| u32::from_str_radix(s, 8).ok()).ok_or(bad(trs!("mode is not octal")))?;
    let (user, group) = (name(next()?), name(next()?));
    let size = number(next()?, |s| s.parse().ok()).ok_or(bad(trs!("size is not a number")))?;
    // GNU stat may print a fraction.
    let mtime = number(next()?, |s| s.split('.').next()?.parse().ok()).ok_or(bad(trs!("time is not a number")))?;
    let sha256 = match next()? {
        "-" => None,
        sum if sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()) => Some(sum.to_ascii_lowercase()),
        _ => return Err(bad(trs!("checksum is not 64 hex digits"))),
    };
    let path = clean::line(next()?);
    if path.is_empty() {
        return Err(bad(trs!("no path")));
    }
    Ok(FileState { path: PathBuf::from(path), kind, mode, user, group, size, mtime, sha256 })
}

/// `-` is the type's default.
fn number<T: Default>(field: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    if field == "-" { Some(T::default()) } else { read(field) }
}

fn name(field: &str) -> String {
    if field == "-" { String::new() } else { clean::line(field) }
}

/// Reads `systemctl show` as [`Op::UnitState`](crate::remote::Op::UnitState) asks for it. What it does not say stays empty
/// or 0: `NRestarts` came with systemd 235.
pub fn unit_state(stdout: &str) -> UnitState {
    let mut unit = UnitState::default();
    for (key, value) in stdout.lines().filter_map(|l| l.split_once('=')) {
        let value = clean::line(value.trim());
        match key.trim() {
            "LoadState" => unit.load = value,
            "ActiveState" => unit.active = value,
            "SubState" => unit.sub = value,
            // systemd 253 has a word for it.
            "UnitFileState" if value == "not-found" => {}
            "UnitFileState" => unit.enabled = value,
            "MainPID" => unit.main_pid = value.parse().unwrap_or(0),
            "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    unit
}

/// Reads `etcd --version` (`etcd Version: 3.4.23`) as [`Op::EtcdVersion`](crate::remote::Op::EtcdVersion) gives it.
pub fn etcd_version(stdout: &str) -> Option<Version> {
    stdout.lines().find_map(|l| l.split_once("etcd Version:")).and_then(|(_, v)| Version::parse(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn stat_lines_become_file_states() {
        let text = format!(
            "file 600 etcd etcd 1679 1700000000 {SUM} /etc/etcd/ssl/peer.key\n\
             dir 1777 root root 4096 1700000001.25 - /tmp/with a blank\n\
             absent - - - - - - /nope\n"
        );
        let files = file_states(&text).unwrap();
        assert_eq!(
            files[0],
            FileState {
                path: "/etc/etcd/ssl/peer.key".into(),
                kind: FileKind::File,
                mode: 0o600,
                user: "etcd".into(),
                group: "etcd".into(),
                size: 1679,
                mtime: 1_700_000_000,
                sha256: Some(SUM.into()),
            }
        );
        assert_eq!((files[1].kind, files[1].mode, files[1].mtime), (FileKind::Dir, 0o1777, 1_700_000_001));
        assert_eq!(files[1].path, PathBuf::from("/tmp/with a blank"));
        assert_eq!((files[2].kind, files[2].size, files[2].user.as_str()), (FileKind::Absent, 0, ""));
        assert_eq!(file_states("").unwrap(), []);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused_and_shown_harmless() {
        for (line, why) in [
            ("socket 600 a b 1 1 - /x", "unknown file type"),
            ("file 698 a b 1 1 - /x", "octal"),
            ("file 600 a b many 1 - /x", "size"),
            ("file 600 a b 1 later - /x", "time"),
            ("file 600 a b 1 1 abc /x", "checksum"),
            ("file 600 a b 1 1 -", "too few"),
            ("file 600 a b 1 1 - ", "no path"),
        ] {
            let error = file_states(line).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
        let error = file_states("\u{1b}]0;owned\u{7}bad").unwrap_err().to_string();
        assert!(error.contains("\"bad\"") && !error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn systemctl_show_becomes_a_unit_state() {
        let unit = unit_state(
            "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=742\nNRestarts=2\nUnitFileState=enabled\nResult=success\n",
        );
        assert_eq!(
            unit,
            UnitState {
                load: "loaded".into(),
                active: "active".into(),
                sub: "running".into(),
                enabled: "enabled".into(),
                main_pid: 742,
                restarts: 2,
            }
        );
        assert_eq!(unit_state("LoadState=not-found\nMainPID=\n").main_pid, 0);
        assert_eq!(unit_state("LoadState=not-found\nUnitFileState=not-found\n").enabled, "");
    }

    #[test]
    fn the_version_line_is_found_in_etcds_output() {
        let text =
            "etcd Version: 3.4.23\nGit SHA: Not provided (use ./build instead of go build)\nGo Version: go1.19.5\n";
        assert_eq!(etcd_version(text), Some(Version(3, 4, 23)));
        assert_eq!(etcd_version("etcd Version: 3.6.0-rc.1\n"), Some(Version(3, 6, 0)));
        assert_eq!(etcd_version("bash: etcd: command not found"), None);
    }
}
