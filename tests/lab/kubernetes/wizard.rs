//! All chapters in the wizard at 80×24, driven by keys alone.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::workers;
use crate::{
    banister::{BINARY, Desk},
    bar::Figures,
    hosts::{Lab, say, wait_for},
    proofs::{Processes, assert_desk_is_tidy, assert_nothing_left_by},
    terminal::Terminal,
    writer::Writer,
};

/// How long a person takes to read a question: longer than the wizard's guard against a `y` typed too early.
const READS: Duration = Duration::from_millis(900);

/// What the screen wants next.
#[derive(Debug, PartialEq, Eq)]
enum Wants {
    /// `y`.
    Yes(String),
    /// A host's name.
    Typed(String, String),
    /// Nothing for now.
    Patience,
    /// The run is over.
    Over,
}

fn wants(screen: &str) -> Wants {
    let title = screen.lines().find_map(|l| l.split_once("May this run? ")).map(|(_, after)| after);
    let title = title.and_then(|t| t.split(" ─").next()).unwrap_or_default().trim().to_owned();
    let typed = screen.split_once("│ Type ").and_then(|(_, after)| after.split_once(" and press Enter:"));
    if let Some((word, _)) = typed {
        return Wants::Typed(title, word.trim().to_owned());
    }
    if screen.contains("y yes, run it") && !title.is_empty() {
        return Wants::Yes(title);
    }
    assert!(!screen.contains("FAILED") && !screen.contains("BLOCKS"), "it does not go on:\n{screen}");
    if screen.contains("Exit code") { Wants::Over } else { Wants::Patience }
}

/// Answers every question as asked until the run is over; how many were answered by `y` and by a name.
fn answer_all(terminal: &Terminal) -> (usize, usize) {
    let (mut yes, mut names) = (0, 0);
    let mut asked = (Wants::Patience, Instant::now());
    let mut looked = false;
    wait_for("the end of the run", Duration::from_mins(8), || {
        let screen = terminal.screen();
        let now = wants(&screen);
        if now != asked.0 {
            asked = (now, Instant::now());
        }
        if matches!(asked.0, Wants::Yes(_) | Wants::Typed(..)) && asked.1.elapsed() < READS {
            return Err(screen);
        }
        match &asked.0 {
            Wants::Over => return Ok(()),
            Wants::Patience => {}
            Wants::Yes(title) => {
                say(format!("y: {title}"));
                terminal.types("y");
                yes += 1;
                asked.0 = Wants::Patience;
            }
            Wants::Typed(title, word) => {
                if !looked {
                    look_around(terminal, word);
                    looked = true;
                }
                say(format!("{word}: {title}"));
                terminal.types(word);
                terminal.shows(&format!("press Enter: {word}"), Duration::from_secs(5));
                terminal.presses("Enter");
                names += 1;
                asked.0 = Wants::Patience;
            }
        }
        Err(screen)
    });
    (yes, names)
}

/// At a point of no return: the wrong name does nothing, the question can be put aside for a look at etcd's members, and
/// the members that are there are shown.
fn look_around(terminal: &Terminal, word: &str) {
    let soon = Duration::from_secs(10);
    terminal.types("master99");
    terminal.shows("press Enter: master99", soon);
    terminal.presses("Enter");
    terminal.shows("nothing was confirmed", soon);
    terminal.presses("C-u");
    terminal.presses("Escape");
    terminal.shows("a opens the question", soon);
    terminal.types("e");
    wait_for("the members in etcd's panel", soon, || {
        let screen = terminal.screen();
        let there = ["master01", "master02", "master03", word].iter().all(|m| screen.contains(m));
        if there && screen.contains("learner") { Ok(()) } else { Err(screen) }
    });
    terminal.types("a");
    terminal.shows(&format!("Type {word} and press Enter:"), soon);
}

/// From three to four in the wizard, with a warning about that number; from there to five by another run, over accidents.
#[test]
fn the_wizard_grows_it_by_keys_alone_and_another_run_goes_on_past_bad_workers() {
    let (lab, desk) = (Lab::kubernetes(3, 2, 4), Desk::new());
    let before = Processes::of(&lab, &lab.masters);
    let file = lab.cluster_file_of(3, 1, "");
    let writer = Writer::start(&lab);
    let took = by_keys(&desk, &file);
    let written = writer.end();
    lab.check(4);
    assert_eq!(before, Processes::of(&lab, &lab.masters), "etcd was restarted on an original");
    let four: Vec<_> = lab.masters.iter().chain(&lab.joiners[..1]).collect();
    written.assert_on_each(&lab, &four);
    assert_desk_is_tidy(&desk, &[]);
    assert_nothing_left_by(&lab, &desk, || desk.grow_all(&file, "all"));
    Figures::of(took, &written, None).report("the wizard by keys, three to four");

    let writer = Writer::start(&lab);
    workers::past_bad_ones(&lab, &desk);
    let written = writer.end();
    lab.check(5);
    written.assert_on_each(&lab, &lab.all_masters());
}

/// All chapters by keys in a terminal, which is given back as it was; how long that took.
fn by_keys(desk: &Desk, file: &Path) -> Duration {
    let environment = desk.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let terminal = Terminal::open(scratch.path(), &environment);
    let soon = Duration::from_secs(10);
    terminal.types("stty -a >before; echo all-''set\n");
    terminal.shows("all-set\n", soon);
    let modes = terminal.modes();

    let began = Instant::now();
    terminal.types(&format!("clear; {BINARY} run {}; echo code=$?\n", file.display()));
    let survey = terminal.shows("Enter goes on to the steps", Duration::from_mins(1));
    assert!(survey.contains("warning"), "{survey}");
    terminal.shows("4 voters in the end, an even number", soon);
    terminal.presses("Enter");
    let (yes, names) = answer_all(&terminal);
    let took = began.elapsed();
    let end = terminal.screen();
    assert!(end.contains("DONE"), "{end}");
    terminal.types("q");
    terminal.shows("code=0\n", soon);

    terminal.types("clear; stty -a >after; echo all-''set\n");
    terminal.shows("all-set\n", soon);
    let stty = |name: &str| std::fs::read_to_string(scratch.path().join(name)).expect("stty -a");
    assert_eq!(stty("before"), stty("after"), "the terminal's settings");
    assert_eq!(modes, terminal.modes(), "the terminal's modes");
    assert!(yes > 20, "a question for every step: {yes}");
    assert_eq!(names, 1, "a name for the promotion, which has no way back");
    took
}
