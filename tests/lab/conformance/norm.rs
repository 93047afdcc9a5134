//! What is taken out of two answers before they are compared, because it differs by nature.

use std::fmt::Write as _;

/// One kind of thing that differs by nature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The time of a change in `stat`'s lines, and the size of a directory.
    Stat,
    /// The same in the listing of a tree.
    Listing,
    /// Time of day, machine id and free space in the facts of a host.
    Facts,
    /// Process ids and counters of a unit.
    Unit,
    /// Time and process id of a journal's line.
    Journal,
    /// Start and lease of a lock.
    Lock,
    /// The order of lines.
    Order,
    /// Hash, revision and sizes of a database.
    Database,
    /// When a container was started.
    Started,
    /// Process ids and start times of apiservers.
    Processes,
    /// Names and ids that Kubernetes makes up, versions of objects, times.
    Made,
    /// What a program says beside its errors.
    Chatter,
    /// What standard error says at all.
    Quiet,
    /// Ids of members that were added.
    Members,
    /// The time before nginx's words.
    Nginx,
    /// What Go says of JSON that it cannot read, and of a value that it does not take.
    Json,
}

impl Norm {
    const ALL: [Self; 16] = [
        Self::Stat,
        Self::Listing,
        Self::Facts,
        Self::Unit,
        Self::Journal,
        Self::Lock,
        Self::Order,
        Self::Database,
        Self::Started,
        Self::Processes,
        Self::Made,
        Self::Chatter,
        Self::Quiet,
        Self::Members,
        Self::Nginx,
        Self::Json,
    ];

    /// The first cell of its line in `assets/practice/differences.md`.
    const fn line(self) -> &'static str {
        match self {
            Self::Stat | Self::Listing => "times of files, sizes of directories",
            Self::Facts => "time of day, machine ids, free space",
            Self::Unit | Self::Journal | Self::Processes | Self::Started => "process ids, times in journals",
            Self::Lock => "times of a lock",
            Self::Order => "the order in a directory",
            Self::Database => "database files",
            Self::Made => "what Kubernetes makes up",
            Self::Chatter | Self::Quiet => "what tools say beside their errors",
            Self::Members => "ids of new members",
            Self::Nginx => "nginx's words of a configuration that it refuses",
            Self::Json => "Go's words for JSON that it cannot read",
        }
    }

    /// Takes it out of an answer.
    pub fn of(self, text: &str) -> String {
        match self {
            Self::Stat => each(text, stat),
            Self::Listing => each(text, listing),
            Self::Facts => each(text, fact),
            Self::Unit => each(text, |l| value(l, &["MainPID=", "NRestarts="])),
            Self::Journal => each(text, journal),
            Self::Lock => each(text, |l| value(l, &["since=", "ends=", "now="])),
            Self::Order => {
                let mut lines: Vec<_> = text.lines().collect();
                lines.sort_unstable();
                lines.iter().fold(String::new(), |out, l| out + l + "\n")
            }
            Self::Database => numbers(text),
            Self::Started => each(text, |l| value(l, &["started "])),
            Self::Processes => each(text, |l| value(l, &["process "])),
            Self::Made => words(text, made),
            Self::Chatter => {
                let errors = ["rror", "E: ", "cannot", "not found", "invalid", "refused", "exists", "failed"];
                let said = text.lines().filter(|l| !l.starts_with("W: ") && errors.iter().any(|e| l.contains(e)));
                said.fold(String::new(), |out, l| out + l + "\n")
            }
            Self::Quiet => String::new(),
            Self::Nginx => each(text, |l| match l.split_once("[emerg] ") {
                Some((_, words)) => words.split_once("1#1: ").map_or(words, |(_, w)| w).to_owned(),
                None => l.to_owned(),
            }),
            Self::Json => each(text, |l| {
                ["json parse error", "Invalid value:"]
                    .iter()
                    .find_map(|w| Some(l.split_once(w)?.0))
                    .unwrap_or(l)
                    .to_owned()
            }),
            Self::Members => words(text, |w| {
                let hex = w.len() >= 14 && w.len() <= 16 && w.chars().all(|c| c.is_ascii_hexdigit());
                hex.then(|| "(id)".to_owned())
            }),
        }
    }

    /// Whether it is about standard error alone.
    pub const fn of_stderr(self) -> bool {
        matches!(self, Self::Chatter | Self::Quiet | Self::Nginx)
    }
}

fn each(text: &str, line: impl Fn(&str) -> String) -> String {
    text.lines().fold(String::new(), |mut out, l| {
        let _ = writeln!(out, "{}", line(l));
        out
    })
}

/// A value behind one of these keys; 0 and nothing at all are kept apart from the rest.
fn value(line: &str, keys: &[&str]) -> String {
    let key = keys.iter().find(|k| line.starts_with(**k));
    match key {
        Some(key) if !matches!(&line[key.len()..], "0" | "") => format!("{key}(some)"),
        _ => line.to_owned(),
    }
}

/// `kind mode user group size mtime sha256 path`.
fn stat(line: &str) -> String {
    let fields: Vec<_> = line.splitn(8, ' ').collect();
    match fields[..] {
        [kind, mode, user, group, size, _, sum, path] if kind != "absent" => {
            let size = if kind == "dir" { "(size)" } else { size };
            format!("{kind} {mode} {user} {group} {size} (time) {sum} {path}")
        }
        _ => line.to_owned(),
    }
}

/// `S mode user group size mtime path`, beside others.
fn listing(line: &str) -> String {
    let fields: Vec<_> = line.splitn(7, ' ').collect();
    match fields[..] {
        ["S", mode, user, group, size, _, path] => {
            let size = if mode.starts_with('4') { "(size)" } else { size };
            format!("S {mode} {user} {group} {size} (time) {path}")
        }
        _ => line.to_owned(),
    }
}

fn fact(line: &str) -> String {
    match line.split_once('=') {
        Some((key @ ("clock" | "machine_id"), _)) => format!("{key}=(some)"),
        Some(("free", rest)) => format!("free=(KiB){}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        _ => line.to_owned(),
    }
}

/// `2026-11-25T22:08:38+00:00 host unit[12]: …`.
fn journal(line: &str) -> String {
    let Some((time, rest)) = line.split_once(' ').filter(|(t, _)| t.starts_with("20") && t.contains('T')) else {
        return line.to_owned();
    };
    let precise = if time.contains('.') { ".(part)" } else { "" };
    let zone = time.rfind('+').map_or("", |at| &time[at..]);
    let rest = match (rest.find('['), rest.find("]: ")) {
        (Some(from), Some(to)) if from < to => format!("{}[(pid)]{}", &rest[..from], &rest[to + 1..]),
        _ => rest.to_owned(),
    };
    format!("(time){precise}{zone} {rest}")
}

/// Every number is one.
fn numbers(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !inside {
            out.push('#');
        }
        inside = c.is_ascii_digit();
    }
    out
}

/// Word by word; what stands between words stays.
fn words(text: &str, word: impl Fn(&str) -> Option<String>) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if part(first) {
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let (own, after) = rest.split_at(end);
            let bare = own.trim_end_matches(['.', ':']);
            match word(bare) {
                Some(other) => out = out + &other + &own[bare.len()..],
                None => out += own,
            }
            rest = after;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// Times, uids, and the last part of a pod's name.
fn made(word: &str) -> Option<String> {
    let parts: Vec<_> = word.split('-').collect();
    let hex = |t: &&str| t.chars().all(|c| c.is_ascii_hexdigit());
    if word.starts_with("20") && word.contains('T') && word.ends_with('Z') {
        return Some("(time)".into());
    }
    if parts.len() == 5 && parts.iter().all(hex) && word.len() == 36 {
        return Some("(uid)".into());
    }
    let random = |t: &str| t.len() == 5 && t.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase());
    match word.rsplit_once('-') {
        Some((name @ ("calico-node" | "default-token"), end)) if random(end) => Some(format!("{name}-(some)")),
        _ => None,
    }
}

#[test]
fn whatever_is_taken_out_has_its_line_with_a_reason() {
    let text = include_str!("../../../assets/practice/differences.md");
    for norm in Norm::ALL {
        let line = text.lines().find(|l| l.starts_with(&format!("| {} |", norm.line())));
        let line = line.unwrap_or_else(|| panic!("{norm:?}: differences.md has no line `{}`", norm.line()));
        let reason = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        assert!(!reason.is_empty(), "no reason: {line}");
    }
}

#[test]
fn only_what_differs_by_nature_is_taken_out() {
    let told = Norm::Stat
        .of("file 644 root root 3 1700000000 abc /a\ndir 755 root root 4096 17 - /d\nabsent - - - - - - /x\n");
    assert_eq!(
        told,
        "file 644 root root 3 (time) abc /a\ndir 755 root root (size) (time) - /d\nabsent - - - - - - /x\n"
    );
    assert_eq!(Norm::Unit.of("MainPID=0\nMainPID=17\nNRestarts=0\nResult=success\n").lines().next(), Some("MainPID=0"));
    let line = "2026-11-25T22:08:38.123456+0000 master01 systemd[1]: Started [x]: y.\n";
    assert_eq!(Norm::Journal.of(line), "(time).(part)+0000 master01 systemd[(pid)]: Started [x]: y.\n");
    assert_eq!(Norm::Facts.of("free=123 /a 4\nclock=1.5\nuid=0\n"), "free=(KiB) /a 4\nclock=(some)\nuid=0\n");
    let pod = "calico-node-8x7qz of 0a1b2c3d-0000-4000-a000-0123456789ab since 2026-01-01T00:00:00Z.";
    assert_eq!(Norm::Made.of(pod), "calico-node-(some) of (uid) since (time).");
    assert_eq!(Norm::Members.of("member 8e9e05c52164694d: no\nmember 12: no"), "member (id): no\nmember 12: no");
    assert_eq!(Norm::Database.of("{\"hash\":12,\"a\":3}"), "{\"hash\":#,\"a\":#}");
}
