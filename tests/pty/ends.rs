//! Every way it can end, and the terminal as it was found after each.

use std::net::TcpListener;

use crate::{
    screens::at_survey,
    terminal::{Terminal, banister, closed_port, cluster_file, walker},
};

/// Refused by a gate, as the README says.
const REFUSED: u32 = 4;

#[test]
fn q_leaves_with_the_documented_code_and_what_was_on_the_screen_before() {
    let dir = tempfile::tempdir().unwrap();
    let file = cluster_file(dir.path(), closed_port());
    let script = format!("echo before; {} run {}; echo after $?", banister().display(), file.display());
    let mut terminal = Terminal::start("/bin/sh".as_ref(), &["-c", &script], (80, 24), &[]);
    let shown = terminal.sees("BLOCKED");
    assert!(!shown.contains("before"), "the shell's own screen is out of sight meanwhile:\n{shown}");
    terminal.press("q");
    let shown = terminal.sees("after 4");
    assert!(shown.starts_with("before\n"), "{shown}");
    assert!(!shown.contains("BLOCKED"), "{shown}");
    terminal.ends();
    terminal.assert_restored();
}

#[test]
fn ctrl_c_is_a_key_like_another() {
    let (mut terminal, _dir) = at_survey((80, 24), &[]);
    terminal.press("\u{3}");
    assert_eq!(terminal.ends(), REFUSED);
    terminal.assert_restored();
}

#[test]
fn sigterm_and_sighup_end_it_and_give_the_terminal_back() {
    for signal in ["TERM", "HUP"] {
        let (mut terminal, _dir) = at_survey((80, 24), &[]);
        terminal.signal(signal);
        assert_eq!(terminal.ends(), REFUSED, "{signal}");
        terminal.assert_restored();
    }
}

#[test]
fn a_signal_while_a_host_does_not_answer_waits_for_no_host() {
    // Takes connections and says nothing.
    let silent = TcpListener::bind("0.0.0.0:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = cluster_file(dir.path(), silent.local_addr().unwrap().port());
    let mut terminal = Terminal::start(&banister(), &["run", file.to_str().unwrap()], (80, 24), &[]);
    terminal.sees("Connecting to 5 hosts");
    let began = std::time::Instant::now();
    terminal.signal("TERM");
    terminal.ends();
    assert!(began.elapsed() < std::time::Duration::from_secs(9), "it waited for the hosts: {:?}", began.elapsed());
    terminal.assert_restored();
}

#[test]
fn a_dropped_terminal_ends_it() {
    let (mut terminal, _dir) = at_survey((80, 24), &[]);
    terminal.hang_up();
    assert_eq!(terminal.ends(), REFUSED);
}

#[test]
fn a_panic_while_drawing_is_told_on_the_terminal_as_it_was_before() {
    let mut terminal = Terminal::start(&walker(), &["--walk", "wizard-running"], (80, 24), &[]);
    terminal.sees("Join master04");
    terminal.press("\u{1b}[24~");
    assert_eq!(terminal.ends(), 101);
    terminal.assert_restored();
    let shown = terminal.contents();
    assert!(shown.contains("on the thread that draws") && !shown.contains("Join master04"), "{shown}");
}

#[test]
fn a_panic_elsewhere_becomes_a_screen_that_stays_until_it_was_read() {
    let mut terminal = Terminal::start(&walker(), &["--walk", "wizard-running"], (80, 24), &[]);
    terminal.sees("Join master04");
    terminal.press("\u{1b}[23~");
    let shown = terminal.sees("banister itself broke");
    assert!(shown.contains("on another thread"), "{shown}");
    terminal.until("still the alternate screen", vt100::Screen::alternate_screen);
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
    terminal.assert_restored();
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let dir = tempfile::tempdir().unwrap();
    let file = cluster_file(dir.path(), closed_port());
    let out = std::process::Command::new(banister()).arg("run").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2));
    assert!(said.contains("--headless"), "{said}");
    assert!(out.stdout.is_empty());
}
