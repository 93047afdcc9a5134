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

/// The program's own scenario, with a host so slow that a signal can come in the middle of an action.
fn slow(dir: &Path) {
    let growth = include_str!("../../assets/practice/growth.yaml");
    let faults = "faults:\n  - { fault: slow-host, host: master01, ms: 250 }\n";
    std::fs::write(dir.join("slow.yaml"), format!("{growth}\n{faults}")).unwrap();
}

#[test]
fn a_run_that_loses_its_terminal_finishes_its_action_writes_it_down_and_stops() {
    for signal in ["HUP", "TERM"] {
        let mut terminal = Terminal::start_in(&banister(), &["practice", "./slow.yaml"], (80, 24), &[], slow);
        terminal.sees("Enter goes on to the steps");
        terminal.press("\r");
        terminal.sees("May this run?");
        yes(&mut terminal);
        // In the middle of an action: it has an intent and no outcome.
        let records = terminal.waits_for("an action to begin", |home| {
            let records = journal(home);
            records.last().is_some_and(|r| r["record"] == "act-intent").then_some(records)
        });
        let begun = records.len();
        if signal == "HUP" {
            terminal.hang_up();
        } else {
            terminal.signal(signal);
        }
        assert_eq!(terminal.ends(), STOPPED, "{signal}");
        let records = journal(terminal.home());
        let count = |kind: &str| records.iter().filter(|r| r["record"] == kind).count();
        assert_eq!(records[begun]["record"], "act-outcome", "{records:#?}");
        assert!(records[begun]["error"].is_null(), "it was not cut off: {records:#?}");
        assert_eq!(count("act-intent"), count("act-outcome"), "what was begun has an end: {records:#?}");
        let last = records.last().unwrap();
        assert!(last["record"] == "end" && last["code"] == STOPPED, "{signal}: {last}");
        if signal == "TERM" {
            terminal.assert_restored();
        }
    }
}

/// Says yes to the question on screen. A yes that comes before the question could be read is refused, so it is said again.
fn yes(terminal: &mut Terminal) {
    for _ in 0..20 {
        terminal.press("y");
        let shown = terminal.until("an answer to y", |s| {
            let shown = s.contents();
            shown.contains("press it again") || !shown.contains("May this run?")
        });
        if !shown.contains("May this run?") {
            return;
        }
        terminal.until("a question that can be answered", |s| !s.contents().contains("press it again"));
    }
    panic!("no yes is taken; the last screen:\n{}", terminal.contents());
}

/// The records of the one journal below a home directory; none before there is one.
fn journal(home: &Path) -> Vec<serde_json::Value> {
    let Ok(clusters) = std::fs::read_dir(home.join("state/banister")) else { return Vec::new() };
    let files: Vec<_> = clusters
        .flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap())
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    assert!(files.len() <= 1, "{files:?}");
    let Some(file) = files.first() else { return Vec::new() };
    let text = std::fs::read_to_string(file).unwrap();
    // The last line may be in the middle of being written.
    text.lines().map_while(|l| serde_json::from_str(l).ok()).collect()
}
