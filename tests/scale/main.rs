//! How fast a growth is in practice, and how much room a large cluster takes. A program of its own, so that nothing else of
//! the tests runs meanwhile.

#![cfg(test)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use banister::engine::{Chapter, event::Outcome};
use harness::Desk;

#[expect(dead_code, reason = "shared with the tests of practice, which use all of it")]
#[path = "../practice/harness.rs"]
mod harness;

/// One at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What the issue asks for.
const GROWTH: Duration = Duration::from_secs(5);
const ROOM_KB: u64 = 300_000;

#[test]
fn three_masters_become_five_in_under_five_seconds() {
    let _alone = ALONE.lock();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for scenario in ["growth-3.3", "growth", "growth-3.5"] {
        let (began, worked) = (Instant::now(), cpu());
        let (ran, voters) = runtime.block_on(async {
            let desk = Desk::new(scenario);
            (desk.grow_through(Chapter::Workers).await, desk.members().await.voters())
        });
        let took = began.elapsed();
        assert_eq!(ran.outcome, Outcome::Done, "{}", ran.why);
        assert_eq!((voters.total, voters.healthy), (5, 5));
        let worked = cpu().saturating_sub(worked);
        println!("{scenario}: {} steps in {took:?}, of that {worked:?} of CPU", ran.done().len());
        // What it needs itself is judged, not what else the machine does meanwhile.
        assert!(worked < GROWTH, "{scenario} took {took:?}, {worked:?} of CPU");
    }
}

/// The CPU time that this process has had so far, in Linux's ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory a process has had so far, in kB; `None` once it is gone.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_growth_with_a_thousand_workers_fits_into_300_mb() {
    let _alone = ALONE.lock();
    let home = tempfile::tempdir().unwrap();
    let args = ["practice", "--headless", "--fast", "--approve", "all", "--workers", "1000"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_banister"))
        .args(args)
        .env("XDG_STATE_HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (pid, mut most, mut last) = (child.id(), 0, Vec::new());
    let began = Instant::now();
    let (mut pods, mut workers) = (0, 0);
    // It never shrinks, and the last line comes right before the end.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        most = peak(pid).unwrap_or(0).max(most);
        pods += usize::from(line.contains("calico.pods: ") && line.ends_with(" is Ready"));
        workers += usize::from(line.ends_with("1000 of 1000 workers done"));
        // What went wrong, without the thousand lines of what is taken back for it.
        if !line.starts_with("[run] note: undo: ") && !line.ends_with(" is Ready") {
            last.push(line.chars().take(300).collect::<String>());
        }
    }
    let last = last[last.len().saturating_sub(60)..].join("\n");
    assert!(child.wait().unwrap().success(), "{last}");
    assert_eq!((pods, workers), (1003, 1), "all chapters");
    println!("1000 workers: {most} kB at most, {:?}", began.elapsed());
    assert!(most > 10_000, "{most} kB cannot be all of it");
    assert!(most < ROOM_KB, "{most} kB");
}
