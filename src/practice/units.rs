//! systemd as far as the runbook goes: units that start, stop, fail and are started again.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

use super::{host::Host, world::World};
use crate::{cluster::HostName, remote::op::UnitVerb};

/// What a unit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Not running.
    #[default]
    Inactive,
    /// Waiting to be started again, until then.
    Restarting(Duration),
    /// Running.
    Active,
    /// Given up.
    Failed,
}

/// A unit's life.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// What it is doing.
    pub state: State,
    /// Its main process, 0 for none.
    pub pid: u32,
    /// The last process it had.
    pub last_pid: u32,
    /// How often systemd started it again by itself.
    pub restarts: u32,
    /// `success` or `exit-code`.
    pub result: &'static str,
    /// The unit file as systemd read it; `None` until it does.
    pub loaded: Option<String>,
}

impl Unit {
    /// Whether it runs.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }
}

/// How a process ended, or why none came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit status.
    pub status: u32,
    /// What it said.
    pub lines: Vec<String>,
}

impl Exit {
    /// With that status and these last words.
    pub fn new(status: u32, lines: Vec<String>) -> Self {
        Self { status, lines }
    }
}

/// The value of a setting of a unit file.
pub fn setting<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = text.lines().rev().find_map(|l| l.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
    value.map(str::trim).filter(|v| !v.is_empty())
}

/// Where a unit's file lies, if anywhere, and what it says, with what its drop-ins add.
fn file(host: &Host, unit: &str) -> Option<(String, String)> {
    let dirs = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    let (path, mut text) = dirs.iter().find_map(|dir| {
        let path = format!("{dir}/{unit}.service");
        Some((path.clone(), host.files.text(&path)?))
    })?;
    for drop_in in host.files.children(Path::new(&format!("/etc/systemd/system/{unit}.service.d"))) {
        if drop_in.extension().is_some_and(|e| e == "conf")
            && let Some(more) = host.files.text(&drop_in)
        {
            text = format!("{text}\n{more}");
        }
    }
    Some((path, text))
}

fn wanted_link(unit: &str) -> String {
    format!("/etc/systemd/system/multi-user.target.wants/{unit}.service")
}

/// Whether a unit starts with the host.
pub fn enabled(host: &Host, unit: &str) -> bool {
    file(host, unit).is_some() && host.files.entry(Path::new(&wanted_link(unit))).is_some()
}

/// `systemctl show UNIT.service -p …` in systemd's own order, and `is-enabled`.
pub fn show(host: &Host, unit: &str) -> String {
    let state = host.units.get(unit).cloned().unwrap_or_default();
    let file = file(host, unit);
    let load = if file.is_some() || state.loaded.is_some() { "loaded" } else { "not-found" };
    let (active, sub) = match state.state {
        State::Inactive => ("inactive", "dead"),
        State::Restarting(_) => ("activating", "auto-restart"),
        State::Active => ("active", "running"),
        State::Failed => ("failed", "failed"),
    };
    let enabled = match &file {
        None => "",
        Some(_) if host.files.entry(Path::new(&wanted_link(unit))).is_some() => "enabled",
        Some((_, text)) if text.contains("[Install]") => "disabled",
        Some(_) => "static",
    };
    let result = if state.result.is_empty() { "success" } else { state.result };
    format!(
        "MainPID={}\nResult={result}\nNRestarts={}\nLoadState={load}\nActiveState={active}\nSubState={sub}\nUnitFileState={enabled}\n",
        state.pid, state.restarts
    )
}

/// Standard error and exit status of a `systemctl`.
pub type Answer = (u32, String);

fn not_found(verb: UnitVerb, unit: &str) -> Answer {
    let word = verb.word();
    match verb {
        UnitVerb::Stop => (5, format!("Failed to stop {unit}.service: Unit {unit}.service not loaded.\n")),
        UnitVerb::ResetFailed => {
            (1, format!("Failed to reset failed state of unit {unit}.service: Unit {unit}.service not loaded.\n"))
        }
        UnitVerb::Enable | UnitVerb::Disable => {
            (1, format!("Failed to {word} unit: Unit file {unit}.service does not exist.\n"))
        }
        UnitVerb::Start | UnitVerb::Restart => {
            (5, format!("Failed to {word} {unit}.service: Unit {unit}.service not found.\n"))
        }
    }
}

/// `systemctl VERB UNIT.service`.
pub fn systemctl(world: &mut World, name: &HostName, verb: UnitVerb, unit: &str) -> Answer {
    let Some(host) = world.hosts.get_mut(name) else { return not_found(verb, unit) };
    let file = file(host, unit);
    let state = host.units.get(unit).cloned().unwrap_or_default();
    if file.is_none() && state.loaded.is_none() && state.state == State::Inactive {
        return not_found(verb, unit);
    }
    let mut said = String::new();
    if let (Some(old), Some((_, new))) = (&state.loaded, &file)
        && old != new
    {
        said = format!(
            "Warning: The unit file, source configuration file or drop-ins of {unit}.service changed on disk. Run 'systemctl daemon-reload' to reload units.\n"
        );
    }
    match verb {
        UnitVerb::Start if state.is_active() => {}
        UnitVerb::Start => start(world, name, unit, true),
        UnitVerb::Restart => {
            stop(world, name, unit);
            start(world, name, unit, true);
        }
        UnitVerb::Stop => stop(world, name, unit),
        UnitVerb::Enable => {
            let path = file.map(|(path, _)| path).unwrap_or_default();
            let link = wanted_link(unit);
            if host.files.entry(Path::new(&link)).is_none() {
                if let Err(e) = host.files.link(Path::new(&link), Path::new(&path)) {
                    return (1, format!("Failed to enable unit: {}\n", e.words()));
                }
                let _ = writeln!(said, "Created symlink {link} -> {path}.");
            }
        }
        UnitVerb::Disable => {
            let link = wanted_link(unit);
            if host.files.entry(Path::new(&link)).is_some() {
                if let Err(e) = host.files.remove(Path::new(&link)) {
                    return (1, format!("Failed to disable unit: {}\n", e.words()));
                }
                let _ = writeln!(said, "Removed \"{link}\".");
            }
        }
        UnitVerb::ResetFailed => {
            if let Some(unit) = host.units.get_mut(unit) {
                unit.restarts = 0;
                if unit.state == State::Failed {
                    unit.state = State::Inactive;
                    unit.result = "success";
                }
            }
        }
    }
    (0, said)
}

/// `systemctl daemon-reload`: what runs is read anew, what does not when it is started.
pub fn daemon_reload(host: &mut Host) {
    let active = host.units.iter().filter(|(_, u)| u.is_active());
    let mut read: BTreeMap<_, _> = active.map(|(name, _)| (name.clone(), file(host, name).map(|(_, t)| t))).collect();
    for (name, unit) in &mut host.units {
        unit.loaded = read.remove(name).flatten();
    }
}

fn description(text: &str, unit: &str) -> String {
    let words = setting(text, "Description").map_or_else(String::new, |d| format!(" - {d}"));
    format!("{unit}.service{words}")
}

/// Starts a unit's process. `by_hand` forgets earlier restarts.
pub fn start(world: &mut World, name: &HostName, unit: &str, by_hand: bool) {
    let Some(host) = world.hosts.get_mut(name) else { return };
    let on_disk = file(host, unit).map(|(_, text)| text);
    let entry = host.units.entry(unit.to_owned()).or_default();
    let text = entry.loaded.clone().or(on_disk).unwrap_or_default();
    entry.loaded = Some(text.clone());
    if by_hand {
        entry.restarts = 0;
    }
    let pid = host.new_pid();
    if let Some(entry) = host.units.get_mut(unit) {
        (entry.pid, entry.last_pid, entry.state, entry.result) = (pid, pid, State::Active, "success");
    }
    host.log(unit, format!("Started {}.", description(&text, unit)));
    let run = can_exec(host, unit, &text).and_then(|program| {
        if program.ends_with("/etcd") {
            super::etcd::start::unit(world, name, unit, &text, pid)
        } else {
            super::kube::started(world, name, unit, &text, &program)
        }
    });
    if let Err(exit) = run {
        ended(world, name, unit, &exit);
    }
}

/// What systemd itself checks before it runs the program.
fn can_exec(host: &Host, unit: &str, text: &str) -> Result<String, Exit> {
    let step = |status: u32, step: &str, why: String, program: &str| {
        let error = if step == "USER" { "No such process" } else { "No such file or directory" };
        let lines = vec![
            format!("{unit}.service: {why}"),
            format!("{unit}.service: Failed at step {step} spawning {program}: {error}"),
        ];
        Err(Exit::new(status, lines))
    };
    if let Some((_, exit)) = host.broken.as_ref().filter(|(broken, _)| broken == unit) {
        return Err(exit.clone());
    }
    let command = setting(text, "ExecStart").unwrap_or_default().trim_start_matches(['-', '@', '+', '!']);
    let program = command.split_whitespace().next().unwrap_or_default();
    if setting(text, "User").is_some_and(|u| !host.users.contains(u)) {
        let why = "Failed to determine user credentials: No such process".to_owned();
        return step(217, "USER", why, program);
    }
    if let Some(dir) = setting(text, "WorkingDirectory").filter(|d| !d.starts_with('-'))
        && !host.files.is_dir(Path::new(dir))
    {
        let why = "Changing to the requested working directory failed: No such file or directory".to_owned();
        return step(200, "CHDIR", why, program);
    }
    if !host.files.is_program(Path::new(program)) {
        let why = format!("Failed to locate executable {program}: No such file or directory");
        return step(203, "EXEC", why, program);
    }
    Ok(program.to_owned())
}

/// A unit's process ended by itself.
pub fn ended(world: &mut World, name: &HostName, unit: &str, exit: &Exit) {
    let now = world.clock.now();
    world.etcd.gone(name, unit);
    super::kube::stopped(world, name, unit);
    let Some(host) = world.hosts.get_mut(name) else { return };
    for line in &exit.lines {
        host.log(unit, line.clone());
    }
    let text = host.units.get(unit).and_then(|u| u.loaded.clone()).unwrap_or_default();
    if exit.status != 0 {
        host.log(
            unit,
            format!("{unit}.service: Main process exited, code=exited, status={}", status_words(exit.status)),
        );
        host.log(unit, format!("{unit}.service: Failed with result 'exit-code'."));
    } else {
        host.log(unit, format!("{unit}.service: Deactivated successfully."));
    }
    let again = match setting(&text, "Restart").unwrap_or("no") {
        "always" => true,
        "on-failure" => exit.status != 0,
        _ => false,
    };
    let wait = setting(&text, "RestartSec").and_then(|s| s.trim_end_matches('s').parse().ok()).map(Duration::from_secs);
    let Some(entry) = host.units.get_mut(unit) else { return };
    entry.pid = 0;
    entry.result = if exit.status == 0 { "success" } else { "exit-code" };
    entry.state = match (again, exit.status) {
        (true, _) => State::Restarting(now + wait.unwrap_or(Duration::from_millis(100))),
        (false, 0) => State::Inactive,
        (false, _) => State::Failed,
    };
    if entry.state == State::Inactive {
        forget_file(host, unit);
    }
}

fn status_words(status: u32) -> String {
    match status {
        200 => "200/CHDIR".into(),
        203 => "203/EXEC".into(),
        217 => "217/USER".into(),
        226 => "226/NAMESPACE".into(),
        n => format!("{n}/FAILURE"),
    }
}

/// Stops a unit.
pub fn stop(world: &mut World, name: &HostName, unit: &str) {
    world.etcd.stop(name, unit);
    super::kube::stopped(world, name, unit);
    let Some(host) = world.hosts.get_mut(name) else { return };
    let Some(entry) = host.units.get_mut(unit) else { return };
    // What has failed stays so until it is forgotten or started.
    if matches!(entry.state, State::Inactive | State::Failed) {
        return;
    }
    let text = entry.loaded.clone().unwrap_or_default();
    (entry.state, entry.pid, entry.result) = (State::Inactive, 0, "success");
    host.log(unit, format!("Stopping {}...", description(&text, unit)));
    host.log(unit, format!("{unit}.service: Deactivated successfully."));
    host.log(unit, format!("Stopped {}.", description(&text, unit)));
    forget_file(host, unit);
}

/// systemd drops what it has read of a unit that neither runs nor is wanted by anything.
fn forget_file(host: &mut Host, unit: &str) {
    if !enabled(host, unit)
        && let Some(unit) = host.units.get_mut(unit)
    {
        unit.loaded = None;
    }
}

/// Starts again what is due.
pub fn settle(world: &mut World) {
    let now = world.clock.now();
    let mut due = Vec::new();
    for (name, host) in world.hosts.iter().filter(|(_, h)| h.power == super::host::Power::Up) {
        for (unit, state) in &host.units {
            if matches!(state.state, State::Restarting(at) if at <= now) {
                due.push((name.clone(), unit.clone()));
            }
        }
    }
    for (name, unit) in due {
        if let Some(host) = world.hosts.get_mut(&name)
            && let Some(entry) = host.units.get_mut(&unit)
        {
            entry.restarts += 1;
            let line = format!("{unit}.service: Scheduled restart job, restart counter is at {}.", entry.restarts);
            host.log(&unit, line);
        }
        start(world, &name, &unit, false);
    }
}
