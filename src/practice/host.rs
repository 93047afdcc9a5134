//! One host in memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    clock::epoch_ms,
    files::{Entry, Files},
    units::{Exit, Unit},
};
use crate::cluster::{HostName, Role};

/// Most journal lines kept of a unit.
const JOURNAL: usize = 500;

/// Whether a host can be reached at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Power {
    /// It runs.
    #[default]
    Up,
    /// It is off.
    Down,
    /// It is frozen: connections are accepted by nobody and answered by nobody.
    Hung,
}

/// How the line to a host behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The session breaks after that many further operations, once; the last one takes effect and is not answered.
    pub drops_after: Option<u32>,
    /// How much longer everything takes.
    pub slow: Duration,
    /// Whether what it says tries to move the operator's cursor.
    pub hostile: bool,
}

/// firewalld's open ports, now and after a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// Open now.
    pub open: BTreeSet<u16>,
    /// Open after a restart of firewalld, too.
    pub permanent: BTreeSet<u16>,
}

/// A host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name in the cluster file; its own hostname is what its files say.
    pub name: HostName,
    /// Its address.
    pub address: IpAddr,
    /// What it is in this growth.
    pub role: Role,
    /// Its file system.
    pub files: Files,
    /// Users, each with a group of the same name.
    pub users: BTreeSet<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Units that were ever asked for, by name without `.service`.
    pub units: BTreeMap<String, Unit>,
    /// Journals by unit: seconds since the epoch with fraction in microseconds, and the line.
    pub journals: BTreeMap<String, VecDeque<(i64, String)>>,
    /// Lines ever written to a journal, for those who follow one.
    pub written: BTreeMap<String, u64>,
    /// firewalld, where it is installed.
    pub firewalld: Option<Firewall>,
    /// ufw's allowed ports and whether it is active, where it is installed.
    pub ufw: Option<(bool, BTreeSet<u16>)>,
    /// Whether SELinux enforces, where it is built in.
    pub selinux: Option<bool>,
    /// How far its clock is off, in milliseconds.
    pub clock_ms: i64,
    /// Whether it runs.
    pub power: Power,
    /// How the line to it behaves.
    pub line: Line,
    /// A unit that systemd cannot start, and how that ends.
    pub broken: Option<(String, Exit)>,
    /// The bytes that were free before the disk was full.
    pub full: Option<u64>,
    /// Files as they were before a fault changed them.
    pub before: BTreeMap<PathBuf, Option<Entry>>,
    next_pid: u32,
}

impl Host {
    /// A host that runs, with nothing on it.
    pub fn new(name: HostName, address: IpAddr, role: Role, free: u64, first_pid: u32) -> Self {
        let mut files = Files::new(free, epoch_ms() / 1000);
        // Cannot fail on an empty disk; what is kept in memory needs it to be there.
        let _ = files.make_dirs(Path::new("/run"), 0o755);
        Self {
            name,
            address,
            role,
            files,
            users: BTreeSet::from(["root".to_owned()]),
            groups: BTreeSet::from(["root".to_owned()]),
            units: BTreeMap::new(),
            journals: BTreeMap::new(),
            written: BTreeMap::new(),
            firewalld: None,
            ufw: None,
            selinux: None,
            clock_ms: 0,
            power: Power::Up,
            line: Line::default(),
            broken: None,
            full: None,
            before: BTreeMap::new(),
            next_pid: first_pid,
        }
    }

    /// The host's time of day, milliseconds since the epoch.
    pub fn epoch_ms(&self) -> i64 {
        epoch_ms() + self.clock_ms
    }

    /// What `/etc/hostname` says.
    pub fn hostname(&self) -> String {
        let text = self.files.text("/etc/hostname").unwrap_or_default();
        text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or("localhost").to_owned()
    }

    /// A process id nobody has had yet.
    pub fn new_pid(&mut self) -> u32 {
        self.next_pid += 7;
        self.next_pid
    }

    /// Writes a line to a unit's journal.
    pub fn log(&mut self, unit: &str, line: impl Into<String>) {
        let at = self.epoch_ms();
        let journal = self.journals.entry(unit.to_owned()).or_default();
        journal.push_back((at, line.into()));
        if journal.len() > JOURNAL {
            journal.pop_front();
        }
        *self.written.entry(unit.to_owned()).or_default() += 1;
    }

    /// The last lines of a unit's journal, as `journalctl -o short-iso` or `short-iso-precise` shows them.
    pub fn journal(&self, unit: &str, lines: usize, precise: bool) -> Vec<String> {
        let Some(journal) = self.journals.get(unit) else { return Vec::new() };
        let skipped = journal.len().saturating_sub(lines);
        journal.iter().skip(skipped).map(|(at, line)| self.journal_line(unit, *at, line, precise)).collect()
    }

    fn journal_line(&self, unit: &str, at: i64, line: &str, precise: bool) -> String {
        let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
        let time = time.strftime(if precise { "%Y-%m-%dT%H:%M:%S.%6f+0000" } else { "%Y-%m-%dT%H:%M:%S+0000" });
        let pid = self.units.get(unit).map_or(0, |u| u.last_pid);
        // systemd's own words about a unit stand in the unit's journal, too.
        let systemd = [format!("{unit}.service: "), "Started ".into(), "Stopped ".into(), "Stopping ".into()];
        // Of what keeps a program from being run, the process that was to run it tells.
        let before = [
            "Failed to locate executable",
            "Failed at step",
            "Failed to determine user credentials",
            "Changing to the requested",
            "Failed to set up mount namespacing",
        ];
        let child = line.split_once(": ").is_some_and(|(_, l)| before.iter().any(|b| l.starts_with(b)));
        let from = if child {
            format!("({})[{pid}]", self.program_of(unit))
        } else if systemd.iter().any(|s| line.starts_with(s.as_str())) || line.starts_with("Scheduled restart") {
            "systemd[1]".to_owned()
        } else {
            format!("{unit}[{pid}]")
        };
        format!("{time} {} {from}: {line}", self.hostname())
    }

    /// The name of a unit's program, as the kernel cuts it for a process that has not run it yet.
    fn program_of(&self, unit: &str) -> String {
        let loaded = self.units.get(unit).and_then(|u| u.loaded.as_deref()).unwrap_or_default();
        let command = super::units::setting(loaded, "ExecStart").unwrap_or(unit).split_whitespace().next();
        let name = command.and_then(|c| c.rsplit('/').next()).unwrap_or(unit);
        let skipped = name.chars().count().saturating_sub(8);
        name.chars().skip(skipped).collect()
    }

    /// Where `command -v` finds a program: an absolute path itself, a name in the usual directories.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return self.files.is_program(Path::new(name)).then(|| PathBuf::from(name));
        }
        let path = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        path.iter().map(|dir| Path::new(dir).join(name)).find(|p| self.files.is_program(p))
    }

    /// Whether firewalld runs.
    pub fn firewalld_active(&self) -> bool {
        self.firewalld.is_some() && self.units.get("firewalld").is_some_and(Unit::is_active)
    }

    /// Whether another host gets through to a TCP port.
    pub fn lets_in(&self, port: u16) -> bool {
        let firewalld = !self.firewalld_active() || self.firewalld.as_ref().is_some_and(|f| f.open.contains(&port));
        let ufw = self.ufw.as_ref().is_none_or(|(active, allowed)| !active || allowed.contains(&port));
        firewalld && ufw
    }
}
