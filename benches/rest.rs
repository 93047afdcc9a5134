//! What the program costs while nobody does anything, and after an hour of logs. Goals: under 1 % of a core, under 60 MB.
//!
//! Figures of a running program rather than of a function, so they are read from the system, not from criterion.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set up its terminal has failed")]

#[path = "../tests/ui/fixtures.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod fixtures;
#[path = "../tests/pty/terminal.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod terminal;

use std::{fs, time::Duration};

use banister::{
    ui::{Msg, Theme, update},
    watch::{LogLine, LogMsg},
};
use terminal::{Terminal, banister};

/// How long the idle program is looked at.
const WATCHED: Duration = Duration::from_secs(30);

/// Lines of all hosts together in an hour: a thousand a second.
const LINES: usize = 3_600_000;

fn main() {
    // As `cargo bench` passes it on; anything else is a name to pick.
    let picked = |name: &str| std::env::args().skip(1).filter(|a| !a.starts_with('-')).all(|a| name.contains(&a));
    if picked("idle") {
        idle();
    }
    if picked("memory") {
        memory();
    }
}

/// The wizard with a practice cluster, all its pollers at work, at a question nobody answers.
fn idle() {
    let mut terminal = Terminal::start(&banister(), &["practice", "growth"], (200, 60), &[]);
    terminal.sees("Enter goes on to the steps");
    terminal.press("\r");
    terminal.sees("May this run?");
    let (pid, before) = (terminal.pid(), ticks(terminal.pid()));
    std::thread::sleep(WATCHED);
    let used = ticks(pid) - before;
    // A tick is a hundredth of a second on every Linux there is.
    let percent = f64::from(u32::try_from(used).unwrap()) / WATCHED.as_secs_f64();
    println!("idle at a question: {percent:.2} % of a core over {WATCHED:?}, {} resident", resident(pid));
}

/// Clock ticks a process has used.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Memory a process has in use, as the system says it.
fn resident(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.trim_start_matches("VmRSS:").trim().to_owned()
}

/// An hour of lines through the model: what is kept is bounded.
fn memory() {
    let mut model = fixtures::scene("live-journal", (200, 60), Theme::default());
    let me = std::process::id();
    let before = resident(me);
    let batch = 100;
    for from in (0..LINES).step_by(batch) {
        let line = |i: usize| {
            LogLine {
            at: i64::try_from(i).unwrap() * 1000,
            text: format!("kubelet[902]: I0314 03:14:59.120 kubelet.go:1900 SyncLoop (PLEG): \"kube-apiserver-master01\", event {i} of an hour").into(),
        }
        };
        let lines = (from..from + batch).map(line).collect();
        update(&mut model, Msg::Journal(LogMsg::Lines(from / batch % 8, lines)));
    }
    println!("after an hour of logs ({LINES} lines): {} resident, {before} before", resident(me));
}
