//! A drill and a guided walk from the command line to the shell again, and the two terminals of two keys.

use crate::terminal::{Terminal, banister};

/// Presses the digit that stands before words on the screen.
fn choose(terminal: &mut Terminal, words: &str) {
    let screen = terminal.sees(words);
    let line = screen.lines().find(|l| l.contains(words)).unwrap();
    let digit = line.chars().find(char::is_ascii_digit).unwrap();
    terminal.press(&digit.to_string());
}

#[test]
fn a_drill_is_named_repaired_and_debriefed() {
    let mut terminal = Terminal::start(&banister(), &["practice", "typo-2378", "--fast"], (80, 24), &[]);
    terminal.sees("Drill: One digit");
    terminal.press("\u{1b}");
    terminal.sees("held back");
    terminal.press("D");
    choose(&mut terminal, "name the fault");
    choose(&mut terminal, "listens for its peers at 2378");
    terminal.sees("Right, that is the fault");
    choose(&mut terminal, "look into a file");
    choose(&mut terminal, "master02:/etc/etcd/etcd.conf");
    // The practice host's own file.
    terminal.sees("--listen-peer-urls https://10.10.33.38:2378");
    terminal.press("\u{1b}");
    terminal.sees("Files worth a look");
    terminal.press("\u{1b}");
    choose(&mut terminal, "repair it");
    choose(&mut terminal, "Write 2380 into etcd.conf");
    terminal.sees("Cured: 100 points");
    terminal.press("q");
    assert_eq!(terminal.ends(), 3);
    terminal.assert_restored();
    assert!(terminal.contents().contains("Drill typo-2378: cured in"), "{}", terminal.contents());
}

#[test]
fn a_guided_walk_asks_before_the_first_step() {
    let mut terminal = Terminal::start(&banister(), &["practice", "--guided", "--fast"], (80, 24), &[]);
    terminal.sees("Enter goes on to the steps");
    terminal.press("\r");
    terminal.sees("What do you expect?");
    terminal.press("1");
    terminal.until("a verdict", |s| s.contents().contains("Right.") || s.contents().contains("Not so."));
    terminal.press("\r");
    terminal.sees("May this run?");
    terminal.press("\u{3}");
    terminal.sees("Leave?");
    terminal.press("y");
    assert_eq!(terminal.ends(), 3);
    assert!(terminal.contents().contains("of 1 predictions right"), "{}", terminal.contents());
}

#[test]
fn the_second_person_is_paired_by_the_line_of_their_own_terminal() {
    let mut witness = Terminal::start(&banister(), &["witness", "--name", "wang"], (80, 24), &[]);
    let shown = witness.sees("a step and a number");
    let line = shown.lines().map(str::trim).find(|l| l.starts_with("wang ")).unwrap().to_owned();
    let mut terminal = Terminal::start(&banister(), &["practice", "--two-key", "--fast"], (80, 24), &[]);
    terminal.sees("Two keys");
    terminal.press("wang AAAA\r");
    terminal.sees("that is no line of");
    terminal.press(&format!("{line}\r"));
    let survey = terminal.sees("Enter goes on to the steps");
    let letters = line.split(' ').nth(1).unwrap();
    assert!(!survey.contains(letters), "it is never shown here");
    terminal.press("q");
    assert_eq!(terminal.ends(), 3);
    witness.press("etcd.promote@master04 48213\r");
    witness.sees("do you agree?");
    witness.press("yes\r");
    witness.sees("Code: ");
    witness.press("q\r");
    assert_eq!(witness.ends(), 0);
}

#[test]
fn drills_are_listed_with_how_hard_they_are() {
    let mut terminal = Terminal::start(&banister(), &["practice", "--list"], (100, 40), &[]);
    assert_eq!(terminal.ends(), 0);
    terminal.until("stars and names", |s| {
        let text = s.contents();
        let shows = |name: &str, stars: &str| text.lines().any(|l| l.split_whitespace().take(2).eq([name, stars]));
        shows("stuck-learner", "***") && shows("host-down", "*") && text.contains("growth-3.3")
    });
}

#[test]
fn the_list_is_chinese_but_for_its_names() {
    let mut terminal = Terminal::start(&banister(), &["practice", "--list", "--lang", "zh"], (100, 40), &[]);
    assert_eq!(terminal.ends(), 0);
    terminal.until("every line in Chinese", |s| {
        let text = s.contents();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let chinese = |l: &&str| l.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        lines.len() > 20 && lines.iter().all(chinese)
    });
}
