//! What is seen between start and end.

use crate::terminal::{Terminal, banister, closed_port, cluster_file, walker};

/// The wizard with hosts that cannot be reached, at the survey that says so.
pub fn at_survey(size: (u16, u16), env: &[(&str, &str)]) -> (Terminal, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = cluster_file(dir.path(), closed_port());
    let terminal = Terminal::start(&banister(), &["run", file.to_str().unwrap()], size, env);
    terminal.sees("BLOCKED");
    (terminal, dir)
}

#[test]
fn it_starts_on_the_alternate_screen_and_says_why_it_can_go_no_further() {
    let (terminal, _dir) = at_survey((80, 24), &[]);
    let screen = terminal.contents();
    let first = screen.lines().next().unwrap_or_default();
    assert!(first.contains("banister") && first.contains("prod") && first.contains("survey"), "{screen}");
    assert!(screen.contains("press r to look again; q leaves"), "{screen}");
    terminal.until("alternate screen, paste told apart, no cursor", |s| {
        s.alternate_screen() && s.bracketed_paste() && s.hide_cursor()
    });
}

#[test]
fn a_resize_is_followed_at_once_down_to_where_nothing_fits_and_back() {
    let (mut terminal, _dir) = at_survey((80, 24), &[]);
    for size in [(132, 43), (60, 10), (300, 100), (80, 24)] {
        terminal.resize(size);
        if size == (60, 10) {
            terminal.sees("60x10, needs 80x24");
            continue;
        }
        // The header's reversed bar goes to the last column, the footer stands in the last row.
        let shown = terminal.until("header and footer at the new size", |s| {
            let bar = s.cell(0, size.0 - 1).is_some_and(vt100::Cell::inverse);
            let last = s.rows(0, size.0).nth(usize::from(size.1) - 1).unwrap_or_default();
            bar && last.contains("? help")
        });
        assert!(shown.contains("BLOCKED"), "{size:?}:\n{shown}");
    }
}

#[test]
fn without_colour_no_colour_is_sent() {
    let (terminal, _dir) = at_survey((80, 24), &[("NO_COLOR", "1")]);
    let coloured = |s: &vt100::Screen| has(s, |c| c != vt100::Color::Default);
    terminal.until("a screen without colours", |s| !coloured(s));
    let (terminal, _dir) = at_survey((80, 24), &[]);
    terminal.until("a screen with colours", coloured);
}

#[test]
fn colours_are_those_that_the_terminal_has_and_its_background_bears() {
    let (terminal, _dir) = at_survey((80, 24), &[("COLORTERM", "truecolor"), ("COLORFGBG", "0;15")]);
    let red = vt100::Color::Rgb(0xaf, 0, 0);
    terminal.until("a red for light paper", |s| has(s, |c| c == red));
    let (terminal, _dir) = at_survey((80, 24), &[("COLORFGBG", "15;0")]);
    terminal.until("a red for dark paper, of the 256", |s| has(s, |c| c == vt100::Color::Idx(210)));
    let (terminal, _dir) = at_survey((80, 24), &[("TERM", "linux"), ("BANISTER_BACKGROUND", "dark")]);
    terminal.until("the palette's own red", |s| has(s, |c| c == vt100::Color::Idx(1)));
}

/// Whether any cell has such a colour.
fn has(screen: &vt100::Screen, wanted: impl Fn(vt100::Color) -> bool) -> bool {
    let cells = (0..24).flat_map(|row| (0..80).map(move |col| (row, col)));
    cells.filter_map(|(row, col)| screen.cell(row, col)).any(|c| wanted(c.fgcolor()))
}

#[test]
fn wide_glyphs_leave_every_border_in_its_column() {
    let mut terminal = Terminal::start(&walker(), &["--walk", "connecting-host-key"], (80, 24), &[]);
    terminal.sees("备用机房");
    // Every row of the dialog ends in the same column, in a terminal's own counting.
    terminal.until("one column of borders", |s| {
        let right = |row: u16| (0..80).rev().find(|col| s.cell(row, *col).is_some_and(|c| c.contents() == "│"));
        let columns: Vec<_> = (0..24).filter_map(right).collect();
        columns.len() > 5 && columns.iter().all(|c| *c == columns[0])
    });
    terminal.press("n");
    terminal.press("q");
    terminal.ends();
}

#[test]
fn what_is_copied_reaches_the_terminal() {
    let mut terminal = Terminal::start(&walker(), &["--walk", "wizard-running"], (120, 40), &[]);
    terminal.sees("Join master04");
    terminal.press("c");
    terminal.sees("commands copied");
    leave(&mut terminal);
    // Walking does nothing with wishes but say them in the end.
    assert!(terminal.contents().contains("Copy("), "{}", terminal.contents());
}

#[test]
fn pasted_text_confirms_nothing() {
    let mut terminal = Terminal::start(&walker(), &["--walk", "confirm-irreversible"], (120, 40), &[]);
    terminal.sees("Type master04 and press Enter");
    terminal.press("\u{1b}[200~er04\r\u{1b}[201~");
    terminal.sees("pasted text confirms nothing");
    leave(&mut terminal);
    let said = terminal.contents();
    assert!(said.contains("Answer(Stop") && !said.contains("Answer(Go"), "{said}");
}

/// Leaves although something runs, or seems to: nothing is there to end it.
fn leave(terminal: &mut Terminal) {
    terminal.press("\u{3}");
    terminal.sees("Leave?");
    terminal.press("y");
    terminal.sees("STOPPING");
    terminal.press("q");
    terminal.sees("Leave in the middle of an action?");
    terminal.press("leave\r");
    assert_eq!(terminal.ends(), 0);
    terminal.assert_restored();
}
