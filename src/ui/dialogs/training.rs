//! The dialogs of training: a question before a step, and the pages of a drill.

use ratatui::text::Line;

use super::Dialog;
use crate::{
    remote::clean,
    ui::{
        draw::{labelled, line, prose, span},
        model::Model,
        text,
        theme::Tone,
        training::{HINT, OpenFile, Page, Predict, Run, WRONG},
    },
};

/// Lines of a file shown at a time.
const FILE_LINES: usize = 14;

/// The question before a step.
pub fn predict(model: &Model, predict: &Predict, width: usize) -> Dialog {
    let width = width.min(84);
    let posed = &predict.posed;
    let title = model.asking.as_ref().map(|a| clean::line(&a.request.title)).unwrap_or_default();
    let mut head = vec![line(title, Tone::Dim), Line::default()];
    head.extend(prose(&posed.ask, 0, width, Tone::Strong));
    head.push(Line::default());
    let mut body = Vec::new();
    for (i, choice) in posed.choices.iter().enumerate() {
        let (sign, tone) = match predict.chosen {
            Some(_) if i == posed.right => ("✓", Tone::Good),
            Some(chosen) if i == chosen => ("✗", Tone::Bad),
            Some(_) => (" ", Tone::Dim),
            None => (" ", Tone::Plain),
        };
        body.extend(numbered(i, sign, choice, width, tone));
    }
    if let Some(chosen) = predict.chosen {
        body.push(Line::default());
        let (words, tone) =
            if chosen == posed.right { (tr!("✓ Right."), Tone::Good) } else { (tr!("✗ Not so."), Tone::Bad) };
        body.push(line(words, tone));
        body.extend(prose(&posed.why, 0, width, Tone::Plain));
    }
    let foot = if predict.chosen.is_some() {
        keys(&[("Enter", tr!("on to the step"))])
    } else {
        let last = posed.choices.len();
        keys(&[(&format!("1-{last}"), tr!("answer")), ("Esc", tr!("skip it"))])
    };
    let score = model.training.walk.as_ref().map_or_else(Line::default, |w| {
        let words = tr!(" right so far: {right} of {answered} ", right = w.right, answered = w.answered);
        line(words, Tone::Dim)
    });
    Dialog {
        title: line(tr!(" What do you expect? "), Tone::Strong),
        right: score,
        tone: Some(Tone::Active),
        head,
        body,
        foot: vec![foot],
        width,
    }
}

/// The page of the drill.
pub fn drill(model: &Model, run: &Run, page: Page, width: usize) -> Dialog {
    let width = width.min(96);
    let title = match page {
        Page::Debrief => tr!(" Debrief: {title} ", title = run.drill.title.get()),
        _ => tr!(" Drill: {title} ", title = run.drill.title.get()),
    };
    let time = text::duration(run.time(model.now.at));
    let points = tr!(" {points} points, {time} ", points = run.points(), time = time);
    let (body, foot) = match page {
        Page::Menu => (menu(run, width), keys(&[("1-5", tr!("do it")), ("Esc", tr!("to the panels; D comes back"))])),
        Page::Name => {
            (name(run, width), keys(&[(&format!("1-{}", run.causes.len()), tr!("that is it")), ("Esc", tr!("back"))]))
        }
        Page::Repair => {
            (repair(run, width), keys(&[(&format!("1-{}", run.repairs.len()), tr!("do it")), ("Esc", tr!("back"))]))
        }
        Page::Files => {
            (files(run, width), keys(&[(&format!("1-{}", run.drill.files.len()), tr!("open")), ("Esc", tr!("back"))]))
        }
        Page::File => {
            (run.file.as_ref().map(|f| file(run, f, width)).unwrap_or_default(), file_keys(run.file.as_ref()))
        }
        Page::Debrief => (debrief(model, run, width), keys(&[("Esc", tr!("on with the growth")), ("q", tr!("leave"))])),
    };
    Dialog {
        title: line(title, Tone::Strong),
        right: line(points, Tone::Dim),
        tone: Some(if page == Page::Debrief && !run.given_up { Tone::Good } else { Tone::Active }),
        body,
        foot: vec![foot],
        width,
        ..Dialog::default()
    }
}

fn menu(run: &Run, width: usize) -> Vec<Line<'static>> {
    let mut lines = prose(run.drill.story.get().trim(), 0, width, Tone::Plain);
    lines.push(Line::default());
    if let Some(said) = &run.said {
        lines.extend(prose(&format!("! {said}"), 0, width, Tone::Strong));
        lines.push(Line::default());
    }
    if run.working {
        lines.push(line(tr!("being done …"), Tone::Active));
    }
    let left = run.drill.hints.len() - run.hints;
    let when = |on: bool| if on { Tone::Plain } else { Tone::Dim };
    let options = [
        (tr!("name the fault"), !run.open()),
        (if run.open() { tr!("repair it") } else { tr!("repair it: once it is named") }, run.open()),
        (tr!("a hint: costs {cost} points, {left} left", cost = HINT, left = left), left > 0),
        (tr!("look into a file, and mend it by hand"), !run.drill.files.is_empty()),
        (tr!("give up: the debrief"), true),
    ];
    for (i, (words, on)) in options.into_iter().enumerate() {
        lines.extend(numbered(i, " ", &words, width, when(on)));
    }
    for (i, hint) in run.drill.hints.iter().take(run.hints).enumerate() {
        lines.push(Line::default());
        let label = tr!("hint {n}", n = i + 1);
        lines.extend(labelled(&label, 8, hint.get().trim(), width, Tone::Plain));
    }
    lines
}

fn name(run: &Run, width: usize) -> Vec<Line<'static>> {
    let ask = tr!("Which of these is it? A wrong one costs {cost} points.", cost = WRONG);
    let mut lines = prose(&ask, 0, width, Tone::Strong);
    lines.push(Line::default());
    for (i, cause) in run.causes.iter().enumerate() {
        let words = run.drill.causes.get(*cause).map(|w| w.get().trim().to_owned()).unwrap_or_default();
        lines.extend(numbered(i, " ", &words, width, Tone::Plain));
    }
    lines
}

fn repair(run: &Run, width: usize) -> Vec<Line<'static>> {
    let ask = tr!("What is to be done? It is done at once. What cures nothing costs {cost} points.", cost = WRONG);
    let mut lines = prose(&ask, 0, width, Tone::Strong);
    lines.push(Line::default());
    for (i, repair) in run.repairs.iter().enumerate() {
        let words = run.drill.repairs.get(*repair).map(|r| r.text.get().trim().to_owned()).unwrap_or_default();
        lines.extend(numbered(i, " ", &words, width, if run.working { Tone::Dim } else { Tone::Plain }));
    }
    if run.working {
        lines.push(Line::default());
        lines.push(line(tr!("being done …"), Tone::Active));
    }
    lines
}

fn files(run: &Run, width: usize) -> Vec<Line<'static>> {
    let mut lines = prose(&tr!("Files worth a look:"), 0, width, Tone::Strong);
    lines.push(Line::default());
    for (i, file) in run.drill.files.iter().enumerate() {
        lines.extend(numbered(i, " ", file, width, Tone::Plain));
    }
    if let Some(dir) = &run.outside {
        lines.push(Line::default());
        let words = tr!(
            "They lie in {dir} too. Change, copy or remove them there in another terminal: what is saved is done to the host at once.",
            dir = dir
        );
        lines.extend(prose(&words, 0, width, Tone::Plain));
    }
    if let Some(said) = &run.said {
        lines.push(Line::default());
        lines.extend(prose(&format!("! {said}"), 0, width, Tone::Strong));
    }
    lines
}

fn file(run: &Run, file: &OpenFile, width: usize) -> Vec<Line<'static>> {
    let name = run.drill.files.get(file.at).cloned().unwrap_or_default();
    let mut lines = vec![line(clean::line(&name), Tone::Heading)];
    let from = file.selected.saturating_sub(FILE_LINES / 2).min(file.lines.len().saturating_sub(FILE_LINES));
    for (i, content) in file.lines.iter().enumerate().skip(from).take(FILE_LINES) {
        let at = format!("{:>3} ", i + 1);
        match &file.typing {
            Some((typed, cursor)) if i == file.selected => lines.push(typed_line(&at, typed, *cursor, width)),
            _ => {
                let tone = if i == file.selected { Tone::Selected } else { Tone::Plain };
                lines.push(Line::from(vec![
                    span(at, Tone::Dim),
                    span(text::fit(content, width.saturating_sub(4)), tone),
                ]));
            }
        }
    }
    let end = if file.line_end {
        trs!("The last line ends with a line end.")
    } else {
        trs!("The last line ends without a line end.")
    };
    lines.push(line(end, Tone::Dim));
    if let Some(said) = &run.said {
        lines.extend(prose(&format!("! {said}"), 0, width, Tone::Strong));
    }
    lines
}

/// The line being typed, its cursor in sight.
fn typed_line(at: &str, typed: &str, cursor: usize, width: usize) -> Line<'static> {
    let room = width.saturating_sub(5).max(1);
    let chars: Vec<char> = typed.chars().collect();
    let mut from = 0;
    while text::width(&chars[from..cursor.min(chars.len())].iter().collect::<String>()) >= room {
        from += 1;
    }
    let before: String = chars[from..cursor.min(chars.len())].iter().collect();
    let under: String = chars.get(cursor).map_or(" ".to_owned(), ToString::to_string);
    let after: String = chars.iter().skip(cursor + 1).collect();
    let left = room.saturating_sub(text::width(&before) + text::width(&under));
    Line::from(vec![
        span(at.to_owned(), Tone::Dim),
        span(before, Tone::Strong),
        span(under, Tone::Selected),
        span(text::fit(&after, left), Tone::Strong),
    ])
}

fn file_keys(file: Option<&OpenFile>) -> Line<'static> {
    if file.is_some_and(|f| f.typing.is_some()) {
        keys(&[("Enter", tr!("save this line")), ("Esc", tr!("leave it as it was"))])
    } else {
        keys(&[
            ("Enter", tr!("change the line")),
            ("d", tr!("delete it")),
            ("n", tr!("line end")),
            ("Esc", tr!("back")),
        ])
    }
}

fn debrief(model: &Model, run: &Run, width: usize) -> Vec<Line<'static>> {
    let (words, tone) = if run.given_up {
        (tr!("! Given up: no points."), Tone::Warn)
    } else {
        (tr!("✓ Cured: {points} points.", points = run.points()), Tone::Good)
    };
    let mut lines = vec![line(words, tone)];
    let counts = tr!(
        "Time {time}; hints {hints}; wrong names {names}; wrong repairs {repairs}.",
        time = text::duration(run.time(model.now.at)),
        hints = run.hints,
        names = run.wrong_names,
        repairs = run.wrong_repairs
    );
    lines.extend(prose(&counts, 0, width, Tone::Plain));
    let fault = run.drill.causes.first().map(|w| w.get().trim().to_owned()).unwrap_or_default();
    let cure = run.drill.repairs.iter().find(|r| r.right).map(|r| r.text.get().trim().to_owned()).unwrap_or_default();
    for (heading, content) in [
        (tr!("The fault"), fault.as_str()),
        (tr!("What happened"), run.drill.debrief.happened.get().trim()),
        (tr!("What cures it"), cure.as_str()),
        (tr!("What would have prevented it"), run.drill.debrief.prevents.get().trim()),
    ] {
        lines.push(Line::default());
        lines.push(line(heading, Tone::Heading));
        lines.extend(prose(content, 0, width, Tone::Plain));
    }
    lines
}

/// `1  words`, wrapped beside its number.
fn numbered(at: usize, sign: &str, words: &str, width: usize, tone: Tone) -> Vec<Line<'static>> {
    let mut lines = labelled("", 5, words, width, tone);
    if let Some(first) = lines.first_mut() {
        first.spans[0] = span(format!("{sign} {}  ", at + 1), if tone == Tone::Dim { Tone::Dim } else { Tone::Key });
    }
    lines
}

/// Keys and what they do, on one line.
fn keys(pairs: &[(&str, String)]) -> Line<'static> {
    let mut spans = Vec::new();
    for (key, does) in pairs {
        spans.push(span((*key).to_owned(), Tone::Key));
        spans.push(span(format!(" {does}   "), Tone::Plain));
    }
    Line::from(spans)
}
