//! A session recorded, and played again.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use banister::cast::{Player, read};

use crate::terminal::{Terminal, banister};

/// The screen a recording ends with, taken in by an emulator of the test's own.
fn last_screen(file: &Path) -> String {
    let mut player = Player::new(read(file).unwrap(), 1.0, None);
    while player.step() {}
    player.screen().contents()
}

/// Practices up to the first question with the screen recorded; the recording and the last screen.
fn recorded(dir: &Path) -> (std::path::PathBuf, String) {
    let file = dir.join("practice.cast");
    let args = ["practice", "--fast", "--record", file.to_str().unwrap()];
    let mut terminal = Terminal::start(&banister(), &args, (80, 24), &[]);
    terminal.sees("Enter goes on to the steps");
    terminal.resize((100, 30));
    terminal.until("the new size", |s| s.rows(0, 100).next().is_some_and(|row| row.trim_end().chars().count() > 90));
    terminal.press("\r");
    let asked = terminal.sees("May this run?");
    terminal.press("?");
    terminal.sees("Keys: ");
    terminal.press("\u{3}");
    terminal.sees("Leave?");
    terminal.press("y");
    assert_eq!(terminal.ends(), 3);
    terminal.assert_restored();
    assert!(asked.contains("PRACTICE"));
    (file, terminal.contents())
}

#[test]
fn a_recorded_practice_is_played_again_to_the_same_screen() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = recorded(dir.path());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"r\",\"100x30\""), "the new size is in it");
    assert!(!text.contains("]52;"), "the clipboard is no part of the screen");
    let last = last_screen(&file);
    assert!(last.contains("PRACTICE"), "{last}");

    let args = ["replay", file.to_str().unwrap(), "--speed", "1000", "--idle-limit", "0.01"];
    let mut terminal = Terminal::start(&banister(), &args, (100, 31), &[]);
    let shown = terminal.sees("end of the recording: q leaves");
    // The line below the recorded screen is the player's own.
    assert_eq!(shown.lines().take(30).collect::<Vec<_>>().join("\n").trim_end(), last.trim_end());
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
    terminal.assert_restored();
}

#[test]
fn a_hostile_recording_does_nothing_to_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hostile.cast");
    let events = [
        r#"{"version":2,"width":80,"height":24,"title":"\u001b]0;owned\u0007"}"#,
        r#"[0.0,"o","\u001b[?1049l\u001b[?2004l\u001b[?25h\u001b[?1003h\u001b]0;owned\u0007\u001b]52;c;aGk=\u0007\u001b[5;5Hhello\u202e there"]"#,
    ];
    std::fs::write(&file, events.join("\n")).unwrap();
    let mut terminal = Terminal::start(&banister(), &["replay", file.to_str().unwrap()], (80, 24), &[]);
    terminal.sees("hello there");
    terminal.until("still on our own screen", |s| {
        s.alternate_screen()
            && s.bracketed_paste()
            && s.hide_cursor()
            && s.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    });
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
    terminal.assert_restored();
}

#[test]
fn what_is_no_recording_is_told_with_its_line_and_a_file_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.cast");
    std::fs::write(&file, "not a recording\n").unwrap();
    let mut terminal = Terminal::start(&banister(), &["replay", file.to_str().unwrap()], (80, 24), &[]);
    assert_eq!(terminal.ends(), 2);
    terminal.sees("line 1");
    let args = ["practice", "--record", file.to_str().unwrap()];
    let mut terminal = Terminal::start(&banister(), &args, (80, 24), &[]);
    assert_eq!(terminal.ends(), 2);
    terminal.sees("name another file");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a recording\n");
}
