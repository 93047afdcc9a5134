//! `banister practice` at a terminal: nothing installed, no root, no network, and PRACTICE in the frame all the time.

use crate::terminal::{Terminal, banister};

/// Stopped by the operator, as the README says.
const STOPPED: u32 = 3;

fn at_practice(size: (u16, u16)) -> Terminal {
    Terminal::start(&banister(), &["practice", "--fast"], size, &[])
}

/// Waits for a text; the frame says PRACTICE then.
fn framed(terminal: &Terminal, text: &str) {
    let shown = terminal.sees(text);
    let first = shown.lines().next().unwrap_or_default();
    assert!(first.contains("PRACTICE"), "the first line says nothing of practice:\n{shown}");
}

#[test]
fn practice_stands_in_the_frame_on_every_screen() {
    for size in [(80, 24), (120, 40)] {
        let mut terminal = at_practice(size);
        framed(&terminal, "Nothing blocks");
        terminal.press("?");
        framed(&terminal, "closes");
        terminal.press("?");
        terminal.press("\r");
        framed(&terminal, "May this run?");
        terminal.press("?");
        framed(&terminal, "closes");
        terminal.press("?");
        // A key that comes with the change of size may find the small screen, where it does nothing.
        terminal.until("help closed", |screen| !screen.contents().contains("closes"));
        terminal.resize((60, 10));
        framed(&terminal, "too small");
        terminal.resize((30, 1));
        framed(&terminal, "PRACTICE: terminal too small");
        terminal.resize(size);
        framed(&terminal, "May this run?");
        terminal.press("n");
        framed(&terminal, "STOPPED");
        terminal.press("q");
        assert_eq!(terminal.ends(), STOPPED);
        terminal.assert_restored();
    }
}
