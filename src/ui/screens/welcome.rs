//! The first screen of `banister` alone.
//!
//! ```text
//!  banister                                          03:15:00
//!
//!  Cluster files
//!   prod.yaml       prod: 3 masters, 2 to join, 3 workers
//!     ! unfinished: 11 steps done …
//!  Practice
//!   growth          …
//!
//!  Enter open  ? help  q leave
//! ```

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::ui::{
    dialogs::{self, Dialog},
    draw::{heading, labelled, line, paint, prose, row, span},
    keys::{self, Context},
    model::SMALLEST,
    panels::bars,
    text,
    theme::{Tone, style},
    view,
    welcome::{Entry, FoundFile, LastRun, Welcome},
};

/// Columns of a file's or scenario's name.
const NAME: usize = 26;

/// Most problems of a file that are listed here; `banister survey FILE` tells all.
const PROBLEMS: usize = 6;

/// The smallest file there can be, for who has none.
const EXAMPLE: &str = "cluster: prod
masters:
  - { name: master01, address: 10.0.0.1 }
  - { name: master02, address: 10.0.0.2 }
  - { name: master03, address: 10.0.0.3 }
join:
  - { name: master04, address: 10.0.0.4 }
  - { name: master05, address: 10.0.0.5 }";

/// Draws it.
pub fn draw(welcome: &Welcome, area: Rect, buf: &mut Buffer) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let words = view::why_too_small(false, area);
        for (y, l) in (area.top()..area.bottom()).zip(&words) {
            row(l, &Line::default(), Rect { y, height: 1, ..area }, buf);
        }
        return;
    }
    let [header, _, body, status, footer] = view::rows(area);
    buf.set_style(header, style(Tone::Selected));
    let left = Line::from(vec![span(" banister ", Tone::Strong), span(env!("CARGO_PKG_VERSION"), Tone::Plain)]);
    let right = line(format!("{} ", welcome.now.clock.strftime("%H:%M:%S")), Tone::Plain);
    row(&left, &right, header, buf);
    let body = super::inner(body);
    let (lines, selected) = lines(welcome, usize::from(body.width));
    // What is selected stays in sight, with what stands below it.
    let height = usize::from(body.height);
    let from = (selected.end + 1).saturating_sub(height).min(selected.start);
    paint(&lines, from, body, buf);
    if let Some(said) = &welcome.said {
        row(&line(format!(" {said}"), Tone::Strong), &Line::default(), status, buf);
    }
    let context = welcome.context();
    let shown = keys::TABLE.iter().filter(|b| b.contexts.contains(&context) && welcome.available(b.action));
    bars::keys_row(shown, footer, buf);
    if welcome.help {
        let whole = Rect { height: area.height - 2, ..area };
        help(welcome, whole).draw(welcome.scroll_help, whole, buf);
    }
}

fn help(welcome: &Welcome, area: Rect) -> Dialog {
    dialogs::help(Context::Welcome, |action| welcome.available(action), dialogs::width(area))
}

/// Lines of the help, and how many of them are visible.
pub fn help_extent(welcome: &Welcome) -> (usize, usize) {
    let whole = Rect::new(0, 0, welcome.size.0, welcome.size.1.saturating_sub(2));
    help(welcome, whole).extent(whole)
}

/// The page, and which of its lines the selected entry takes.
fn lines(welcome: &Welcome, width: usize) -> (Vec<Line<'static>>, std::ops::Range<usize>) {
    let is_file = |e: &Entry| matches!(e, Entry::File(_));
    let any = welcome.entries.iter().any(is_file);
    let hello = trs!("A rail to hold on to while a hand-built Kubernetes control plane grows.");
    let mut lines = prose(hello, 0, width, Tone::Plain);
    if any {
        let safe = trs!("Opening a file looks at the cluster first; nothing is changed before you say yes to a step.");
        lines.extend(prose(safe, 0, width, Tone::Plain));
    }
    let mut selected = 0..0;
    heading(&mut lines, trs!("Cluster files"));
    if !any {
        lines.extend(none(welcome, width));
    }
    let mut practice = false;
    for (i, entry) in welcome.entries.iter().enumerate() {
        if !is_file(entry) && !practice {
            practice = true;
            heading(&mut lines, trs!("Practice: hosts in memory, nothing installed, nothing at stake"));
        }
        let start = lines.len();
        lines.extend(entry_lines(entry, i == welcome.selected, width));
        if i == welcome.selected {
            selected = start..lines.len();
        }
    }
    if any {
        lines.push(Line::default());
        lines.extend(prose(&looked(welcome), 0, width, Tone::Dim));
    }
    (lines, selected)
}

fn looked(welcome: &Welcome) -> String {
    tr!("Looked in {places}.", places = welcome.looked_in.join(", "))
}

/// No file was found: where it was looked, and what to write.
fn none(welcome: &Welcome, width: usize) -> Vec<Line<'static>> {
    let mut lines = prose(trs!("None found."), 0, width, Tone::Plain);
    lines.extend(prose(&looked(welcome), 0, width, Tone::Plain));
    let words = trs!(
        "Write one there, prod.yaml say, then press r; names and addresses are enough where the layout is the runbook's:"
    );
    lines.extend(prose(words, 0, width, Tone::Plain));
    lines.extend(EXAMPLE.lines().map(|l| line(format!("    {l}"), Tone::Dim)));
    lines
}

fn entry_lines(entry: &Entry, selected: bool, width: usize) -> Vec<Line<'static>> {
    let (name, words, tone) = match entry {
        Entry::File(FoundFile { shown, cluster: Ok(words), .. }) => (shown.clone(), words.clone(), Tone::Plain),
        Entry::File(FoundFile { shown, cluster: Err(problems), .. }) => {
            (shown.clone(), tr!("✗ one problem" | "✗ {n} problems" % problems.len()), Tone::Bad)
        }
        Entry::Practice { name, about } => (name.clone(), about.clone(), Tone::Plain),
    };
    let mark = if selected { "▶ " } else { "  " };
    let row = format!("{mark}{} ", text::pad(&name, NAME));
    let column = text::width(&row);
    let mut lines = Vec::new();
    for (i, words) in text::wrap(&words, width.saturating_sub(column)).into_iter().enumerate() {
        let row = if i == 0 { row.clone() } else { " ".repeat(column) };
        lines.push(if selected {
            line(text::pad(&format!("{row}{words}"), width), Tone::Selected)
        } else {
            Line::from(vec![span(row, Tone::Strong), span(words, tone)])
        });
    }
    if let Entry::File(file) = entry {
        if let Err(problems) = &file.cluster {
            for problem in problems.iter().take(PROBLEMS) {
                lines.extend(prose(problem, 4, width, Tone::Bad));
            }
            if problems.len() > PROBLEMS {
                lines.push(line(
                    format!("    {}", tr!("… and {more} more", more = problems.len() - PROBLEMS)),
                    Tone::Dim,
                ));
            }
        }
        if let Some(run) = &file.run {
            lines.extend(run_lines(run, width));
        }
    }
    lines
}

/// `    ! unfinished: 11 steps done; stopped by the operator, 2026-03-14 03:15, ops@jump`
fn run_lines(run: &LastRun, width: usize) -> Vec<Line<'static>> {
    let (sign, tone, words) = match (&run.end, run.complete) {
        (_, true) => ("✓", Tone::Good, tr!("grown: one step done" | "grown: {n} steps done" % run.done)),
        (Some(end), false) => (
            "!",
            Tone::Warn,
            tr!("unfinished, one step done: {end}" | "unfinished, {n} steps done: {end}" % run.done, end = end),
        ),
        (None, false) => (
            "!",
            Tone::Warn,
            tr!("cut off or still running, one step done" | "cut off or still running, {n} steps done" % run.done),
        ),
    };
    let words = format!("{words}  {}  {}", run.at, run.operator);
    let sign = format!("    {sign}");
    let mut lines = labelled(&sign, text::width(&sign) + 1, &words, width, tone);
    if let Some(first) = lines.first_mut() {
        first.spans[0].style = style(tone);
    }
    lines
}
