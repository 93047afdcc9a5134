//! The four bars that are always on screen: header, quorum, status, footer.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use crate::{
    cluster::{Voters, quorum as quorum_of},
    engine::{act::ActProgress, event::StepState},
    lang,
    remote::clean,
    ui::{
        draw::{row, span},
        keys::{self, Action, Binding},
        model::{Model, Phase, Prompt, PromptKind, STALE},
        text,
        theme::{Tone, style},
    },
};

/// ` banister  prod  prod.yaml      chapter 2 etcd, step 4 of 17   PRACTICE   01:23:45 `
pub fn header(model: &Model, area: Rect, buf: &mut Buffer) {
    buf.set_style(area, style(Tone::Selected));
    let file = model.cluster.path.file_name().map(|f| clean::line(&f.to_string_lossy())).unwrap_or_default();
    let mut left = vec![
        span(" banister ", Tone::Strong),
        span(format!(" {} ", clean::line(&model.cluster.name)), Tone::Strong),
        span(format!(" {file}"), Tone::Plain),
    ];
    let mut right = Vec::new();
    right.push(span(format!(" {}  ", place(model)), Tone::Plain));
    if model.held.is_some() {
        right.push(span(trs!(" PAUSED "), Tone::Strong));
        right.push(span("  ", Tone::Plain));
    }
    if model.practice {
        right.push(span(trs!(" PRACTICE "), Tone::Strong));
        right.push(span("  ", Tone::Plain));
    }
    right.push(span(format!("{} ", model.now.clock.strftime("%H:%M:%S")), Tone::Plain));
    // A piece of the file's name tells nothing.
    if left.iter().chain(&right).map(Span::width).sum::<usize>() > usize::from(area.width) {
        left.pop();
    }
    row(&Line::from(left), &Line::from(right), area, buf);
}

/// Where in the run we are.
fn place(model: &Model) -> String {
    match model.phase {
        Phase::Connecting => trs!("connecting").to_owned(),
        Phase::Survey => trs!("survey").to_owned(),
        Phase::Finished => trs!("finished").to_owned(),
        Phase::Wizard | Phase::Failed => {
            let next = || model.steps.iter().position(|r| !super::steps::is_done(&r.state));
            let at = model.current().or_else(next).unwrap_or(model.steps.len().saturating_sub(1));
            let Some(step) = model.steps.get(at) else { return String::new() };
            let chapter = step.info.chapter;
            tr!(
                "chapter {chapter} {word} · step {number} of {of}",
                chapter = chapter.number(),
                word = super::steps::chapter_words(chapter),
                number = at + 1,
                of = model.steps.len()
            )
        }
    }
}

/// ` 3 voters, quorum 2, survives 1 — if one more dies: still up`
pub fn quorum(model: &Model, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let (left, right) = match model.voters() {
        None => {
            let why = model
                .etcd
                .error
                .as_deref()
                .map_or_else(|| trs!("etcd not looked at yet").to_owned(), ToOwned::to_owned);
            (vec![span(tr!(" quorum not known: {why}", why = why), Tone::Dim)], Vec::new())
        }
        Some((voters, age)) => {
            let old = |words: &str| {
                let age = (age >= STALE).then(|| text::duration(age));
                age.map(|age| span(tr!(" {words}{age} old ", words = words, age = age), Tone::Selected))
                    .into_iter()
                    .collect::<Vec<_>>()
            };
            // What happens if one more dies is the last thing to give way.
            let forms = [
                (quorum_spans(voters, voters.sentence()), old(trs!("! STALE, "))),
                (quorum_spans(voters, voters.sentence()), old("! ")),
                (quorum_spans(voters, terse(voters)), old("! ")),
            ];
            let fits = |(left, right): &(Vec<Span<'_>>, Vec<Span<'_>>)| {
                left.iter().chain(right).map(Span::width).sum::<usize>() <= width
            };
            let at = forms.iter().position(fits).unwrap_or(2);
            forms.into_iter().nth(at).unwrap_or_default()
        }
    };
    row(&Line::from(left), &Line::from(right), area, buf);
}

/// The sentence, as short as it gets.
fn terse(voters: Voters) -> String {
    let survives = match voters.margin() {
        m if m < 0 => trs!("NO QUORUM").to_owned(),
        m => tr!("survives {margin}", margin = m),
    };
    tr!(
        "{healthy}/{total} voters, quorum {quorum}, {survives}",
        healthy = voters.healthy,
        total = voters.total,
        quorum = quorum_of(voters.total),
        survives = survives
    )
}

fn quorum_spans(voters: Voters, sentence: String) -> Vec<Span<'static>> {
    let tone = quorum_tone(voters);
    let sign = if tone == Tone::Good { "✓" } else { "!" };
    vec![
        span(format!(" {sign} "), tone),
        span(sentence, if voters.margin() < 0 { Tone::Alarm } else { Tone::Plain }),
        span(trs!(" — if one more dies: "), Tone::Plain),
        span(voters.if_one_dies(), tone),
    ]
}

/// How bad a set of voters is.
pub fn quorum_tone(voters: Voters) -> Tone {
    match voters.margin() {
        m if m < 0 => Tone::Alarm,
        0 => Tone::Bad,
        _ if voters.healthy < voters.total => Tone::Warn,
        _ => Tone::Good,
    }
}

/// What goes on now.
pub fn status(model: &Model, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let (left, right) = if let Some(prompt) = &model.prompt {
        typed(prompt, width)
    } else if let Some(said) = model.remark() {
        (vec![span(format!(" {said}"), Tone::Strong)], Vec::new())
    } else if let Some(asking) = model.asking.as_ref() {
        let question = tr!(" ? {title} waits for your answer ", title = asking.request.title);
        let how = if asking.hidden { trs!("  a opens the question") } else { "" };
        (vec![span(question, Tone::Selected), span(how, Tone::Plain)], Vec::new())
    } else if model.failure.is_some() && model.phase == Phase::Wizard {
        (
            vec![
                span(trs!(" ! a failed step waits for your choice "), Tone::Selected),
                span(trs!("  b goes back to it"), Tone::Plain),
            ],
            Vec::new(),
        )
    } else if model.busy() {
        work(model, width)
    } else {
        (Vec::new(), Vec::new())
    };
    row(&Line::from(left), &Line::from(right), area, buf);
}

/// The line that is being typed; its end stays in sight.
fn typed(prompt: &Prompt, width: usize) -> (Vec<Span<'static>>, Vec<Span<'static>>) {
    let (label, hint) = match prompt.kind {
        PromptKind::Step => (trs!(" find a step: "), ""),
        PromptKind::Text => (trs!(" find in the journals: "), ""),
        PromptKind::Filter => (trs!(" show only: "), trs!("  host:NAME unit:NAME words ")),
    };
    let room = width.saturating_sub(text::width(label) + text::width(hint) + 1);
    let mut shown = prompt.typed.as_str();
    while text::width(shown) > room {
        let mut chars = shown.chars();
        chars.next();
        shown = chars.as_str();
    }
    let left = vec![span(label, Tone::Key), span(shown.to_owned(), Tone::Strong), span(" ", Tone::Selected)];
    (left, vec![span(hint, Tone::Dim)])
}

/// The running step, its act, and how far that is.
fn work(model: &Model, width: usize) -> (Vec<Span<'static>>, Vec<Span<'static>>) {
    let mut left = vec![span(format!(" {} ", spinner(model)), Tone::Active)];
    if model.stopping {
        left.push(span(trs!(" STOPPING after this action "), Tone::Selected));
        left.push(span(" ", Tone::Plain));
    }
    let step = model.current().and_then(|i| model.steps.get(i));
    let Some(step) = step else {
        left.push(span(if model.starting { trs!("starting") } else { trs!("looking for the next step") }, Tone::Plain));
        return (left, Vec::new());
    };
    let mut right = Vec::new();
    let what = match (&step.state, step.running()) {
        (StepState::Probing, _) => tr!("looking whether there is something to do: {title}", title = step.info.title),
        (StepState::Verifying, _) => tr!("proving: {title}", title = step.info.title),
        (_, Some((_, shown, since, progress))) => {
            let waits_for = match progress {
                Some(ActProgress::Waiting { what, .. }) => Some(what.clone()),
                _ => None,
            };
            // Where a stop was asked for, that is the news, and the bar gives way.
            let progress = progress.filter(|_| !model.stopping);
            right = meter(progress, model.now.at.saturating_sub(since), width);
            let host = shown.and_then(|s| s.host.as_ref()).map(|h| format!("{h}: ")).unwrap_or_default();
            let doing = shown.map_or_else(|| step.info.title.clone(), |s| s.title.clone());
            // What is seen while waiting tells more than the act's title does.
            format!("{host}{}", waits_for.map_or(doing, |what| tr!("waiting: {what}", what = what)))
        }
        _ => step.info.title.clone(),
    };
    let since = model.now.at.saturating_sub(step.since);
    if right.is_empty() {
        right = vec![span(format!("  {} ", text::duration(since)), Tone::Dim)];
    }
    let taken: usize = left.iter().chain(&right).map(Span::width).sum();
    left.push(span(text::fit(&what, width.saturating_sub(taken)), Tone::Plain));
    (left, right)
}

/// Turns with the model's time: a still picture means a dead program.
fn spinner(model: &Model) -> char {
    let turns = model.now.at.as_millis() / 250 % 4;
    ['|', '/', '-', '\\'][usize::try_from(turns).unwrap_or(0)]
}

/// Bytes or waiting, as a bar and in words.
pub fn meter(progress: Option<&ActProgress>, running: std::time::Duration, width: usize) -> Vec<Span<'static>> {
    let columns = (width / 8).clamp(6, 24);
    let words = match progress {
        Some(ActProgress::Bytes { done, total: Some(total) }) => {
            let bar = text::bar(*done, *total, columns);
            let percent = text::percent(*done, *total);
            tr!(
                "  {bar} {percent} %  {done} of {total}{rate} ",
                bar = bar,
                percent = percent,
                done = text::bytes(*done),
                total = text::bytes(*total),
                rate = text::rate(*done, running)
            )
        }
        Some(ActProgress::Bytes { done, total: None }) => {
            format!("  {}{} ", text::bytes(*done), text::rate(*done, running))
        }
        Some(ActProgress::Waiting { seconds, deadline, .. }) => {
            tr!(
                "  {bar} {seconds} of {deadline} s ",
                bar = text::bar(*seconds, *deadline, columns),
                seconds = seconds,
                deadline = deadline
            )
        }
        Some(ActProgress::Line(_)) | None => format!("  {} ", text::duration(running)),
    };
    vec![span(words, Tone::Active)]
}

/// The keys that hold now, as many as fit; help and leaving always do.
pub fn footer(model: &Model, area: Rect, buf: &mut Buffer) {
    keys_row(keys::bindings(model, model.context()), area, buf);
}

/// The keys of these lines of the table, as many as fit; help and leaving always do.
pub fn keys_row(bindings: impl Iterator<Item = &'static Binding>, area: Rect, buf: &mut Buffer) {
    let (last, first): (Vec<&Binding>, Vec<_>) =
        bindings.filter(|b| !b.short.is_empty()).partition(|b| matches!(b.action, Action::Help | Action::Quit));
    let entry = |b: &Binding| Some((b.keys.first()?.name(), lang::words(b.short)));
    let last: Vec<_> = last.into_iter().filter_map(entry).collect();
    let first: Vec<_> = first.into_iter().filter_map(entry).collect();
    let size = |(key, short): &(String, &str)| text::width(key) + text::width(short) + 3;
    let mut room = usize::from(area.width).saturating_sub(last.iter().map(size).sum::<usize>() + 1);
    let fitting = first.into_iter().take_while(|entry| {
        let fits = size(entry) <= room;
        room = room.saturating_sub(size(entry));
        fits
    });
    let mut spans = vec![span(" ", Tone::Plain)];
    for (key, short) in fitting.chain(last) {
        spans.push(span(key, Tone::Key));
        spans.push(span(format!(" {short}  "), Tone::Dim));
    }
    row(&Line::from(spans), &Line::default(), area, buf);
}
