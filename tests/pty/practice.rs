//! The first screen, and a run of a practice cluster that loses its terminal in the middle.

use std::path::Path;

use crate::terminal::{Terminal, banister, closed_port, cluster_file};

/// Stopped by the operator, as the README says.
const STOPPED: u32 = 3;

#[test]
fn without_arguments_it_begins_with_the_files_there_are_and_opens_one() {
    let mut terminal = Terminal::start_in(&banister(), &[], (80, 24), &[], |home| {
        cluster_file(home, closed_port());
        std::fs::create_dir_all(home.join("config/banister")).unwrap();
        std::fs::rename(cluster_file(home, 1), home.join("config/banister/spare.yaml")).unwrap();
        cluster_file(home, closed_port());
    });
    let shown = terminal.sees("Practice");
    assert!(shown.contains("▶ prod.yaml") && shown.contains("config/banister/sp"), "{shown}");
    terminal.press("\r");
    let shown = terminal.sees("BLOCKED");
    assert!(shown.lines().next().is_some_and(|l| l.contains("prod")), "{shown}");
    terminal.press("q");
    assert_eq!(terminal.ends(), 4);
    terminal.assert_restored();
}

#[test]
fn the_first_screen_is_left_with_q_follows_the_size_and_ends_with_its_terminal() {
    let mut terminal = Terminal::start(&banister(), &[], (80, 24), &[]);
    terminal.sees("None found");
    // Practice is offered too.
    terminal.sees("growth");
    terminal.resize((50, 12));
    terminal.sees("50x12, needs 80x24");
    terminal.resize((100, 30));
    terminal.sees("None found");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
    terminal.assert_restored();
    let mut terminal = Terminal::start(&banister(), &[], (80, 24), &[]);
    terminal.sees("None found");
    terminal.hang_up();
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_run_that_loses_its_terminal_finishes_its_action_writes_it_down_and_stops() {
    for signal in ["HUP", "TERM"] {
        let mut terminal = Terminal::start(&banister(), &["practice", "growth"], (80, 24), &[]);
        terminal.sees("Enter goes on to the steps");
        terminal.press("\r");
        // The first step asks; the second one's question shows that the first has run.
        let first = terminal.sees("May this run?");
        yes_until(&mut terminal, |shown| question(shown) != question(&first));
        if signal == "HUP" {
            terminal.hang_up();
        } else {
            terminal.signal(signal);
        }
        assert_eq!(terminal.ends(), STOPPED, "{signal}");
        let records = journal(terminal.home());
        let count = |kind: &str| records.iter().filter(|r| r["record"] == kind).count();
        assert!(count("act-intent") > 0, "{records:#?}");
        assert_eq!(count("act-intent"), count("act-outcome"), "what was begun has an end: {records:#?}");
        let last = records.last().unwrap();
        assert!(last["record"] == "end" && last["code"] == STOPPED, "{signal}: {last}");
        if signal == "TERM" {
            terminal.assert_restored();
        }
    }
}

/// The title of the question on screen.
fn question(shown: &str) -> Option<&str> {
    shown.lines().find(|l| l.contains("May this run?"))
}

/// Says yes to the question on screen until the screen is as wanted. A yes that comes before the question could be read is
/// refused, so it is said again.
fn yes_until(terminal: &mut Terminal, wanted: impl Fn(&str) -> bool) {
    for _ in 0..50 {
        terminal.press("y");
        let shown = terminal.until("an answer to y", |s| {
            let shown = s.contents();
            wanted(&shown) || shown.contains("press it again") || !shown.contains("May this run?")
        });
        if wanted(&shown) {
            return;
        }
        terminal.until("a question that can be answered", |s| {
            let shown = s.contents();
            wanted(&shown) || shown.contains("May this run?") && !shown.contains("press it again")
        });
        if wanted(&terminal.contents()) {
            return;
        }
    }
    panic!("never as wanted; the last screen:\n{}", terminal.contents());
}

/// The records of the one journal below a home directory.
fn journal(home: &Path) -> Vec<serde_json::Value> {
    let clusters = std::fs::read_dir(home.join("state/banister")).unwrap();
    let files: Vec<_> = clusters
        .flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap())
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read_to_string(&files[0]).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
