//! The dialogs of training: a question before a step, and the pages of a drill.

use ratatui::text::Line;

use super::Dialog;
use crate::{
    remote::clean,
    training::both,
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
        let (words, tone) = if chosen == posed.right {
            (both!("✓ Right.", "✓ 答对了。"), Tone::Good)
        } else {
            (both!("✗ Not so.", "✗ 不对。"), Tone::Bad)
        };
        body.push(line(words, tone));
        body.extend(prose(&posed.why, 0, width, Tone::Plain));
    }
    let foot = if predict.chosen.is_some() {
        keys(&[("Enter", both!("on to the step", "进入这一步"))])
    } else {
        let last = posed.choices.len();
        keys(&[(&format!("1-{last}"), both!("answer", "作答")), ("Esc", both!("leave it out", "跳过"))])
    };
    let score = model.training.walk.as_ref().map_or_else(Line::default, |w| {
        let words = both!(
            " right so far: {right} of {answered} ",
            " 目前答对：{right} / {answered} ",
            right = w.right,
            answered = w.answered
        );
        line(words, Tone::Dim)
    });
    Dialog {
        title: line(both!(" What do you expect? ", " 你预计会怎样？ "), Tone::Strong),
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
        Page::Debrief => both!(" Debrief: {title} ", " 复盘：{title} ", title = run.drill.title.get()),
        _ => both!(" Drill: {title} ", " 演练：{title} ", title = run.drill.title.get()),
    };
    let time = text::duration(run.time(model.now.at));
    let points = both!(" {points} points, {time} ", " {points} 分，{time} ", points = run.points(), time = time);
    let (body, foot) = match page {
        Page::Menu => (
            menu(run, width),
            keys(&[
                ("1-5", both!("do it", "执行")),
                ("Esc", both!("to the panels; D comes back", "回到面板；按 D 返回此处")),
            ]),
        ),
        Page::Name => (
            name(run, width),
            keys(&[
                (&format!("1-{}", run.causes.len()), both!("that is it", "就是它")),
                ("Esc", both!("back", "返回")),
            ]),
        ),
        Page::Repair => (
            repair(run, width),
            keys(&[(&format!("1-{}", run.repairs.len()), both!("do it", "执行")), ("Esc", both!("back", "返回"))]),
        ),
        Page::Files => (
            files(run, width),
            keys(&[(&format!("1-{}", run.drill.files.len()), both!("open", "打开")), ("Esc", both!("back", "返回"))]),
        ),
        Page::File => {
            (run.file.as_ref().map(|f| file(run, f, width)).unwrap_or_default(), file_keys(run.file.as_ref()))
        }
        Page::Debrief => (
            debrief(model, run, width),
            keys(&[("Esc", both!("on with the growth", "继续扩容")), ("q", both!("leave", "离开"))]),
        ),
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
        lines.push(line(both!("being done …", "正在执行 …"), Tone::Active));
    }
    let left = run.drill.hints.len() - run.hints;
    let when = |on: bool| if on { Tone::Plain } else { Tone::Dim };
    let options = [
        (both!("name the fault", "指出故障"), !run.open()),
        (
            if run.open() {
                both!("repair it", "修复")
            } else {
                both!("repair it: once it is named", "修复：先指出故障")
            },
            run.open(),
        ),
        (
            both!(
                "a hint: costs {cost} points, {left} left",
                "提示：扣 {cost} 分，还剩 {left} 条",
                cost = HINT,
                left = left
            ),
            left > 0,
        ),
        (both!("look into a file, and mend it by hand", "查看文件，并手工修改"), !run.drill.files.is_empty()),
        (both!("give up: the debrief", "放弃：看复盘"), true),
    ];
    for (i, (words, on)) in options.into_iter().enumerate() {
        lines.extend(numbered(i, " ", &words, width, when(on)));
    }
    for (i, hint) in run.drill.hints.iter().take(run.hints).enumerate() {
        lines.push(Line::default());
        let label = both!("hint {n}", "提示 {n}", n = i + 1);
        lines.extend(labelled(&label, 8, hint.get().trim(), width, Tone::Plain));
    }
    lines
}

fn name(run: &Run, width: usize) -> Vec<Line<'static>> {
    let ask = both!(
        "Which of these is it? A wrong one costs {cost} points.",
        "是下面哪一个？选错扣 {cost} 分。",
        cost = WRONG
    );
    let mut lines = prose(&ask, 0, width, Tone::Strong);
    lines.push(Line::default());
    for (i, cause) in run.causes.iter().enumerate() {
        let words = run.drill.causes.get(*cause).map(|w| w.get().trim().to_owned()).unwrap_or_default();
        lines.extend(numbered(i, " ", &words, width, Tone::Plain));
    }
    lines
}

fn repair(run: &Run, width: usize) -> Vec<Line<'static>> {
    let ask = both!(
        "What is to be done? It is done at once. What cures nothing costs {cost} points.",
        "该怎么做？选中即执行。没有治好故障的操作扣 {cost} 分。",
        cost = WRONG
    );
    let mut lines = prose(&ask, 0, width, Tone::Strong);
    lines.push(Line::default());
    for (i, repair) in run.repairs.iter().enumerate() {
        let words = run.drill.repairs.get(*repair).map(|r| r.text.get().trim().to_owned()).unwrap_or_default();
        lines.extend(numbered(i, " ", &words, width, if run.working { Tone::Dim } else { Tone::Plain }));
    }
    if run.working {
        lines.push(Line::default());
        lines.push(line(both!("being done …", "正在执行 …"), Tone::Active));
    }
    lines
}

fn files(run: &Run, width: usize) -> Vec<Line<'static>> {
    let mut lines = prose(&both!("Files worth a look:", "值得查看的文件："), 0, width, Tone::Strong);
    lines.push(Line::default());
    for (i, file) in run.drill.files.iter().enumerate() {
        lines.extend(numbered(i, " ", file, width, Tone::Plain));
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
    lines.push(Line::default());
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
        keys(&[("Enter", both!("save this line", "保存此行")), ("Esc", both!("leave it as it was", "不改"))])
    } else {
        keys(&[
            ("Enter", both!("change the line", "修改此行")),
            ("d", both!("delete it", "删除此行")),
            ("Esc", both!("back", "返回")),
        ])
    }
}

fn debrief(model: &Model, run: &Run, width: usize) -> Vec<Line<'static>> {
    let (words, tone) = if run.given_up {
        (both!("! Given up: no points.", "! 已放弃：不得分。"), Tone::Warn)
    } else {
        (both!("✓ Cured: {points} points.", "✓ 已修复：得 {points} 分。", points = run.points()), Tone::Good)
    };
    let mut lines = vec![line(words, tone)];
    let counts = both!(
        "Time {time}; hints {hints}; wrong names {names}; wrong repairs {repairs}.",
        "用时 {time}；提示 {hints} 次；指错 {names} 次；修错 {repairs} 次。",
        time = text::duration(run.time(model.now.at)),
        hints = run.hints,
        names = run.wrong_names,
        repairs = run.wrong_repairs
    );
    lines.extend(prose(&counts, 0, width, Tone::Plain));
    let fault = run.drill.causes.first().map(|w| w.get().trim().to_owned()).unwrap_or_default();
    let cure = run.drill.repairs.iter().find(|r| r.right).map(|r| r.text.get().trim().to_owned()).unwrap_or_default();
    for (heading, content) in [
        (both!("The fault", "故障"), fault.as_str()),
        (both!("What happened", "事情经过"), run.drill.debrief.happened.get().trim()),
        (both!("What cures it", "如何修复"), cure.as_str()),
        (both!("What would have prevented it", "怎样可以避免"), run.drill.debrief.prevents.get().trim()),
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
