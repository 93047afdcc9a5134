//! The arrows between the rooms, as `src/lib.rs` draws them, held against every path in the sources: Rust itself allows
//! cycles between modules.

#![cfg(test)]

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Which rooms a room may use, besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("lang", &[]),
    ("cast", &["remote"]),
    ("cluster", &[]),
    ("pki", &[]),
    ("remote", &["cluster", "pki"]),
    ("survey", &["remote", "pki", "cluster"]),
    ("engine", &["survey", "remote", "pki", "cluster"]),
    ("runbook", &["engine", "survey", "remote", "pki", "cluster"]),
    ("watch", &["remote", "pki", "cluster"]),
    ("practice", &["survey", "remote", "pki", "cluster"]),
    ("training", &["practice", "runbook", "engine", "survey", "remote", "pki", "cluster"]),
    ("ui", &["training", "watch", "runbook", "engine", "survey", "remote", "pki", "cluster"]),
    (
        "app",
        &["ui", "training", "cast", "practice", "watch", "runbook", "engine", "survey", "remote", "pki", "cluster"],
    ),
];

/// Rooms that every room may use.
const COMMON: &[&str] = &["lang"];

/// What the screens must not touch: the doing of the other rooms, as opposed to their plain data.
const DOING: &[&str] = &[
    "remote::Remote",
    "remote::SharedRemote",
    "remote::run_ok",
    "remote::shell",
    "remote::ssh",
    "remote::tls",
    "remote::Op",
    "remote::Io",
    "remote::etcd::EtcdApi",
    "remote::etcd::EtcdAccess",
    "survey::collect",
    "engine::Engine",
    "engine::Journal",
    "engine::Operator",
    "engine::Step",
    "engine::SharedStep",
    "engine::step::Step",
    "engine::step::SharedStep",
    "engine::run",
    "engine::act::Act",
    "engine::act::ActCx",
    "engine::act::run",
    "engine::act::etcd",
    "pki::issue",
    "runbook::Ctx",
    "runbook::steps",
];

/// A path from the crate's root, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Use {
    line: usize,
    path: Vec<String>,
}

/// A word or a sign of the source, with its line; comments and what stands in quotes are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    let skip = |from: usize, to: usize| chars[from..to.min(chars.len())].iter().filter(|c| **c == '\n').count();
    while at < chars.len() {
        let rest = &chars[at..];
        let end = match rest {
            ['/', '/', ..] => at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => end_of_comment(&chars, at),
            ['"', ..] => end_of_string(&chars, at),
            ['r' | 'b' | 'c', ..] if raw_hashes(rest).is_some() => end_of_raw(&chars, at),
            ['b' | 'c', '"', ..] => end_of_string(&chars, at + 1),
            ['\'', '\\', ..] => at + 3 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => at + 3,
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let end = at + rest.iter().position(|c| !(c.is_alphanumeric() || *c == '_')).unwrap_or(rest.len());
                tokens.push(Token { line, text: chars[at..end].iter().collect() });
                end
            }
            [':', ':', ..] => {
                tokens.push(Token { line, text: "::".into() });
                at + 2
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    tokens.push(Token { line, text: c.to_string() });
                }
                at + 1
            }
            [] => break,
        };
        line += skip(at, end);
        at = end.max(at + 1);
    }
    tokens
}

fn end_of_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// How many `#` a raw string that begins here has.
fn raw_hashes(rest: &[char]) -> Option<usize> {
    let r = rest.iter().take(2).position(|c| *c == 'r')?;
    let hashes = rest[r + 1..].iter().take_while(|c| **c == '#').count();
    (rest.get(r + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn end_of_raw(chars: &[char], from: usize) -> usize {
    let hashes = raw_hashes(&chars[from..]).unwrap_or(0);
    let open = from + chars[from..].iter().position(|c| *c == '"').unwrap_or(0) + 1;
    let closes = |at: usize| chars[at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (open..chars.len()).find(|at| closes(*at)).map_or(chars.len(), |at| at + 1 + hashes)
}

/// Every path of a file that starts at the crate's root, `super::` chains resolved. `module` is the file's own path.
fn uses(source: &str, module: &[String]) -> Vec<Use> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text.as_str());
    let mut found = Vec::new();
    // The modules that are open at this point, and the depth of braces each began at.
    let (mut inner, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while at < tokens.len() {
        match (text(at), text(at + 1), text(at + 2)) {
            ("mod", name, "{") => {
                inner.push((name.to_owned(), depth));
                depth += 1;
                at += 3;
                continue;
            }
            ("{", ..) => depth += 1,
            ("}", ..) => {
                depth -= 1;
                if inner.last().is_some_and(|(_, began)| *began == depth) {
                    inner.pop();
                }
            }
            ("crate", "::", _) => at = tree(&tokens, at + 2, &[], &mut found) - 1,
            ("super", "::", _) => {
                let mut here: Vec<String> = module.iter().chain(inner.iter().map(|(name, _)| name)).cloned().collect();
                while text(at) == "super" && text(at + 1) == "::" {
                    here.pop();
                    at += 2;
                }
                at = tree(&tokens, at, &here, &mut found) - 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads a path or a use tree; returns where it ends.
fn tree(tokens: &[Token], from: usize, before: &[String], found: &mut Vec<Use>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text.as_str());
    let (mut path, mut at) = (before.to_vec(), from);
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while at < tokens.len() && text(at) != "}" {
                    at = if text(at) == "," { at + 1 } else { tree(tokens, at, &path, found) };
                }
                return at + 1;
            }
            "" | "}" | ";" => return at.max(from + 1),
            // `use …::{self, Name as Other}`
            "self" => at += 1,
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
        if text(at) != "::" {
            found.push(Use { line: tokens[from.min(tokens.len() - 1)].line, path });
            return if text(at) == "as" { at + 2 } else { at };
        }
        at += 1;
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    file: PathBuf,
    used: Use,
    why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: crate::{}: {}", self.file.display(), self.used.line, self.used.path.join("::"), self.why)
    }
}

/// The module path of a file below `src/`: `remote/ssh/mod.rs` is `remote::ssh`.
fn module_of(file: &Path) -> Vec<String> {
    let mut path: Vec<_> = file.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// What a file below `src/` uses against the arrows.
fn wrong(file: &Path, source: &str) -> Vec<Wrong> {
    let module = module_of(file);
    let room = module[0].as_str();
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        let used = Use { line: 1, path: Vec::new() };
        return vec![Wrong { file: file.to_owned(), used, why: format!("no arrows are drawn for the room {room}") }];
    };
    let judge = |used: Use| {
        let to = used.path.first().cloned().unwrap_or_default();
        let full = used.path.join("::");
        let why = if to == room || COMMON.contains(&to.as_str()) {
            return None;
        } else if !allowed.contains(&to.as_str()) {
            format!(
                "{room} may use {}, not {to}",
                if allowed.is_empty() { "no room".into() } else { allowed.join(", ") }
            )
        } else if room == "ui" && used.path.get(1).is_some_and(|p| p == "*") {
            "ui takes what it shows by name, so that it can be seen to be plain data".into()
        } else if room == "ui" && DOING.iter().any(|d| full == *d || full.starts_with(&format!("{d}::"))) {
            "ui shows the plain data of the other rooms; what does something belongs to app".into()
        } else {
            return None;
        };
        Some(Wrong { file: file.to_owned(), used, why })
    };
    uses(source, &module).into_iter().filter_map(judge).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

#[test]
fn every_room_uses_only_the_rooms_its_arrows_point_to() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = files(&src);
    all.retain(|f| f.extension().is_some_and(|e| e == "rs") && f.parent() != Some(&src));
    all.sort();
    assert!(all.len() > 50, "the sources are not where they were: {}", src.display());
    let read = |f: &PathBuf| (f.strip_prefix(&src).unwrap().to_owned(), std::fs::read_to_string(f).unwrap());
    let lines: Vec<_> =
        all.iter().map(read).flat_map(|(f, text)| wrong(&f, &text)).map(|w| format!("src/{w}")).collect();
    assert!(lines.is_empty(), "against the arrows of src/lib.rs:\n{}", lines.join("\n"));
}

#[test]
fn every_room_has_its_arrows() {
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for room in lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(ARROWS.iter().any(|(name, _)| *name == room), "no arrows are drawn for {room}");
        assert!(lib.contains(&format!("//! | [`{room}`] |")), "src/lib.rs does not describe {room}");
    }
}

#[test]
fn a_wrong_arrow_is_named_with_file_and_line() {
    let source = "// use crate::ui::Model;\nuse super::Ctx;\nuse crate::{\n    cluster::{self, Node},\n    runbook::{edit, texts as t},\n};\n";
    let told: Vec<_> = wrong(Path::new("engine/act/x.rs"), source).iter().map(ToString::to_string).collect();
    let why = "engine may use survey, remote, pki, cluster, not runbook";
    assert_eq!(
        told,
        [
            format!("engine/act/x.rs:5: crate::runbook::edit: {why}"),
            format!("engine/act/x.rs:5: crate::runbook::texts: {why}")
        ]
    );
}

#[test]
fn paths_in_code_and_ways_round_by_super_count_too() {
    let told = |file: &str, source: &str| wrong(Path::new(file), source).len();
    assert_eq!(told("pki/read.rs", "fn f() -> crate::remote::Op { \"crate::ui::x\"; 'c'; r#\"crate::ui\"# }"), 1);
    assert_eq!(told("pki/read.rs", "use super::super::remote::Op;"), 1);
    assert_eq!(told("pki/read.rs", "use super::super::pki::Op;"), 0);
    assert_eq!(told("pki/mod.rs", "mod tests { use super::*; } use super::remote::Op;"), 1);
    assert_eq!(told("pki/mod.rs", "mod tests { fn f() { if true {} } } mod more { use super::San; }"), 0);
    assert_eq!(told("remote/mod.rs", "pub use crate::{cluster::HostName, pki};"), 0);
}

#[test]
fn the_screens_take_data_and_nothing_that_does() {
    let told = |source: &str| wrong(Path::new("ui/panels/x.rs"), source).len();
    assert_eq!(told("use crate::remote::{clean, etcd::{Member, Membership}};"), 0);
    assert_eq!(told("use crate::remote::{SharedRemote, etcd::EtcdApi, ssh::ConnectState, *};"), 4);
    assert_eq!(told("use crate::app::x;"), 1);
}
