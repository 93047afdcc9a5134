//! Drawing: a function of the model.
//!
//! ```text
//! ┌ header: cluster, file, chapter and step, PRACTICE, clock ┐
//! │ quorum: always there                                     │
//! │ the screen; a question on top of it                      │
//! │ status: what goes on now                                 │
//! └ footer: keys, from the table                             ┘
//! ```

use ratatui::{Frame, buffer::Buffer, layout::Rect, text::Line};

use super::{
    dialogs,
    draw::{line, paint, row},
    keys::Context,
    model::{Model, Panel, Phase, SMALLEST},
    panels, screens, text,
    theme::Tone,
};

/// Draws the whole screen.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(model, area, buf);
    } else {
        let [header, quorum, body, status, footer] = rows(area);
        panels::bars::header(model, header, buf);
        panels::bars::quorum(model, quorum, buf);
        // What is behind a question to predict would answer it.
        if model.predicting().is_none() {
            screen(model, body, buf);
        }
        panels::bars::status(model, status, buf);
        panels::bars::footer(model, footer, buf);
        if let Some(dialog) = dialogs::top(model, dialogs::width(body)) {
            dialog.draw(dialogs::scroll(model), body, buf);
        }
    }
    model.theme.finish(buf);
}

/// Header, quorum line, body, status line, footer.
pub(super) fn rows(area: Rect) -> [Rect; 5] {
    use ratatui::layout::{Constraint, Layout};
    Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area)
}

fn screen(model: &Model, body: Rect, buf: &mut Buffer) {
    if model.phase == Phase::Wizard {
        return screens::wizard::draw(model, body, buf);
    }
    let inner = screens::inner(body);
    paint(&page(model, usize::from(inner.width)), model.scroll.screen, inner, buf);
}

/// The lines of a screen that is one page of text.
fn page(model: &Model, width: usize) -> Vec<Line<'static>> {
    match model.phase {
        Phase::Connecting => screens::connecting::lines(model, width),
        Phase::Survey => screens::survey::lines(model, width),
        Phase::Failed => screens::failed::lines(model, width),
        Phase::Finished => screens::finished::lines(model, width),
        Phase::Wizard => Vec::new(),
    }
}

/// How many lines there are in what scrolls now, and how many of them are visible; for [`super::update`] to know the end.
pub(super) fn extent(model: &Model) -> (usize, usize) {
    let [_, _, body, _, _] = rows(Rect::new(0, 0, model.size.0, model.size.1));
    match model.context() {
        Context::Wizard => {
            let inner = screens::wizard::panel_area(model, model.focus, body);
            let width = usize::from(inner.width);
            let total = match model.focus {
                Panel::Step => panels::step::lines(model, width).len(),
                Panel::Etcd => panels::etcd::lines(model, width).len(),
                Panel::Certs => panels::certs::lines(model, width).len(),
                Panel::Masters => panels::masters::lines(model, width).len(),
                Panel::Nodes => panels::nodes::lines(model, width).len(),
                Panel::Steps | Panel::Log | Panel::Journal => 0,
            };
            (total, usize::from(inner.height))
        }
        Context::Connecting | Context::Survey | Context::Failed | Context::Finished => {
            let inner = screens::inner(body);
            (page(model, usize::from(inner.width)).len(), usize::from(inner.height))
        }
        _ => dialogs::top(model, dialogs::width(body)).map_or((0, 0), |d| d.extent(body)),
    }
}

/// The first of the masters side by side that is shown when they are scrolled to the right end.
pub(super) fn furthest_master(model: &Model) -> usize {
    let [_, _, body, _, _] = rows(Rect::new(0, 0, model.size.0, model.size.1));
    let inner = screens::wizard::panel_area(model, Panel::Masters, body);
    panels::masters::furthest(model, usize::from(inner.width))
}

/// What is left to say where nothing fits: why, and that the run goes on regardless.
fn too_small(model: &Model, area: Rect, buf: &mut Buffer) {
    let mut lines = why_too_small(model.practice, area);
    let state = match model.phase {
        _ if model.asking.is_some() => trs!("a step waits for your answer"),
        Phase::Failed => trs!("a step failed: enlarge to choose"),
        Phase::Finished => trs!("the run is over"),
        _ if model.busy() => trs!("the run goes on"),
        _ => "",
    };
    if !state.is_empty() {
        lines.push(line(state, Tone::Plain));
    }
    if let Some((voters, _)) = model.voters() {
        lines.push(line(voters.sentence(), Tone::Plain));
    }
    if model.quit.is_some() {
        lines.push(line(trs!("enlarge to leave, n to stay"), Tone::Strong));
    }
    for (y, l) in (area.top()..area.bottom()).zip(&lines) {
        row(l, &Line::default(), Rect { y, height: 1, ..area }, buf);
    }
}

/// Why nothing more is shown, and that nothing can be chosen or confirmed meanwhile.
pub(super) fn why_too_small(practice: bool, area: Rect) -> Vec<Line<'static>> {
    // First, since of the lowest terminal only the first line is left.
    let why = if practice { trs!("PRACTICE: terminal too small") } else { trs!("terminal too small") };
    let size = tr!(
        "{width}x{height}, needs {columns}x{rows}",
        width = area.width,
        height = area.height,
        columns = SMALLEST.0,
        rows = SMALLEST.1
    );
    vec![
        line(text::fit(why, usize::from(area.width)), Tone::Strong),
        line(size, Tone::Plain),
        line(trs!("nothing can be confirmed; Ctrl-C leaves"), Tone::Plain),
    ]
}
