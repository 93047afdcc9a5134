//! A step: what it does and why, its commands, what changes, how to get back. The confirm dialog shows the same pages.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{bars, steps};
use crate::{
    cluster::{HostName, Voters},
    engine::{
        act::ActProgress,
        event::StepState,
        plan::{CertChange, PlanView, QuorumChange, Shown},
    },
    pki::San,
    remote::clean,
    ui::{
        draw::{heading, labelled, line, paint, prose, span, title, titled},
        model::{Model, Panel, Section},
        steps::{ActState, Diff, Prepared, StepRow},
        text,
        theme::Tone,
    },
};

/// Columns of the labels on the left.
const LABEL: usize = 12;

/// Columns left free at both sides together.
const MARGINS: usize = 2;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Step;
    let name = model.shown().map_or(trs!("Step").to_owned(), |r| clean::line(&r.info.title));
    let inner = titled(title(name, focused), tabs(model.section), focused, area, buf);
    paint(&lines(model, usize::from(inner.width)), model.scroll.step, inner, buf);
}

/// The commands alone, with the act that runs in sight.
pub fn draw_commands(model: &Model, area: Rect, buf: &mut Buffer) {
    let inner =
        titled(title(trs!("Commands"), false), vec![span(trs!("2 opens, c copies"), Tone::Dim)], false, area, buf);
    let Some(row) = model.shown() else { return };
    let lines = commands(model, row, usize::from(inner.width).saturating_sub(MARGINS));
    let lines: Vec<_> = lines.into_iter().map(indented).collect();
    let runs = |l: &Line<'_>| l.spans.get(1).is_some_and(|s| s.content.starts_with('▶'));
    let at = lines.iter().position(runs).unwrap_or(0);
    paint(&lines, at.saturating_sub(3), inner, buf);
}

/// `[1 about] 2 commands 3 changes 4 undo`
pub fn tabs(shown: Section) -> Vec<Span<'static>> {
    let tab = |(i, section): (usize, &Section)| {
        let word = format!("{} {}", i + 1, section.word());
        if *section == shown { span(format!("[{word}]"), Tone::Strong) } else { span(format!(" {word} "), Tone::Dim) }
    };
    Section::ALL.iter().enumerate().map(tab).collect()
}

/// The lines of the selected step's page.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let Some(row) = model.shown() else {
        return vec![line(trs!(" no steps yet"), Tone::Dim)];
    };
    page(model, row, model.section, model.unfolded, width.saturating_sub(MARGINS)).into_iter().map(indented).collect()
}

fn indented(mut line: Line<'static>) -> Line<'static> {
    line.spans.insert(0, span(" ", Tone::Plain));
    line
}

/// One page of a step; `unfolded` shows unchanged lines of diffs too.
pub fn page(model: &Model, row: &StepRow, section: Section, unfolded: bool, width: usize) -> Vec<Line<'static>> {
    let plan = row.plan.as_deref();
    match section {
        Section::About => about(model, row, width),
        Section::Commands => commands(model, row, width),
        Section::Changes => plan.map_or_else(not_yet, |p| changes(p, unfolded, width)),
        Section::Undo => undo(model, row, width),
    }
}

fn not_yet() -> Vec<Line<'static>> {
    vec![line(trs!("known once this step is looked at"), Tone::Dim)]
}

fn about(model: &Model, row: &StepRow, width: usize) -> Vec<Line<'static>> {
    let mut lines = state(model, row, width);
    let view = row.plan.as_ref().map(|p| &p.view);
    if let Some(quorum) = view.and_then(|v| v.quorum) {
        heading(&mut lines, trs!("If one member dies now"));
        lines.extend(quorum_lines(quorum));
    }
    lines.extend(texts(model, row, width, true));
    lines
}

/// Where, how risky, how far: a few lines.
fn state(model: &Model, row: &StepRow, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(host) = &row.info.id.host {
        lines.extend(labelled(trs!("host"), LABEL, &host_words(model, host), width, Tone::Plain));
    }
    let view = row.plan.as_ref().map(|p| &p.view);
    let risk = view.map_or(row.info.risk, |v| v.risk);
    let mut words = steps::risk_words(risk).to_owned();
    if let Some(view) = view {
        words.push_str(trs!(", takes about "));
        words.push_str(&text::duration(view.expected));
    }
    lines.extend(labelled(trs!("risk"), LABEL, &words, width, steps::risk_tone(risk)));
    let (_, tone) = steps::sign(&row.state);
    let seen = match &row.state {
        StepState::AlreadyDone(seen) => tr!("was done already: {seen}", seen = seen),
        StepState::Failed(why) => tr!("failed: {why}", why = why),
        StepState::Waiting => trs!("not looked at yet").to_owned(),
        StepState::Done(took) => tr!("done in {took}", took = text::duration(*took)),
        StepState::Running => {
            let about =
                view.map(|v| tr!(" of about {expected}", expected = text::duration(v.expected))).unwrap_or_default();
            format!("{}{about}", steps::state_words(model, row))
        }
        _ => steps::state_words(model, row),
    };
    lines.extend(labelled(trs!("state"), LABEL, &seen, width, tone));
    for proof in &row.proofs {
        lines.extend(labelled(trs!("proven"), LABEL, &format!("✓ {proof}"), width, Tone::Good));
    }
    for note in view.map_or(&[][..], |v| &v.notes) {
        lines.extend(labelled(trs!("note"), LABEL, note, width, Tone::Warn));
    }
    lines
}

/// `master04, 10.10.33.40 (the operator's comment)`
pub fn host_words(model: &Model, host: &HostName) -> String {
    let node = model.cluster.node(host);
    let address = node.map(|n| format!(", {}", n.address)).unwrap_or_default();
    let comment = node.and_then(|n| n.comment.as_deref()).map(|c| format!(" ({})", clean::line(c))).unwrap_or_default();
    format!("{host}{address}{comment}")
}

/// What, where it isn't said yet, why, and what the runbook says.
fn texts(model: &Model, row: &StepRow, width: usize, what: bool) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let Some(texts) = model.texts.get(row.info.id.kind) else { return lines };
    let all =
        [(trs!("What it does"), &texts.what), (trs!("Why"), &texts.why), (trs!("In the runbook"), &texts.runbook)];
    for (title, body) in all.into_iter().skip(usize::from(!what)) {
        if !body.trim().is_empty() {
            lines.push(Line::default());
            lines.push(line(title, Tone::Heading));
            lines.extend(prose(body, 0, width, Tone::Plain));
        }
    }
    lines
}

/// Before, during and after, as a small table.
pub fn quorum_lines(change: QuorumChange) -> Vec<Line<'static>> {
    let row = |when: &str, voters: Voters| {
        let tone = bars::quorum_tone(voters);
        let sign = if tone == Tone::Good { '✓' } else { '!' };
        Line::from(vec![
            span(text::pad(when, LABEL), Tone::Dim),
            span(format!("{sign} {}", text::pad(voters.if_one_dies(), 13)), tone),
            span(format!(" {}", voters.sentence()), Tone::Plain),
        ])
    };
    vec![row(trs!("before"), change.before), row(trs!("meanwhile"), change.during), row(trs!("after"), change.after)]
}

/// The acts with how far they are, each with its exact commands.
fn commands(model: &Model, row: &StepRow, width: usize) -> Vec<Line<'static>> {
    let Some(plan) = row.plan.as_deref() else { return not_yet() };
    if plan.view.acts.is_empty() {
        return vec![line(trs!("nothing runs: this step only looks"), Tone::Dim)];
    }
    let mut lines = Vec::new();
    for (i, shown) in plan.view.acts.iter().enumerate() {
        let state = row.acts.get(i).unwrap_or(&ActState::Waiting);
        lines.extend(act(model, i + 1, shown, state, width));
    }
    lines
}

fn act(model: &Model, number: usize, shown: &Shown, state: &ActState, width: usize) -> Vec<Line<'static>> {
    let (sign, tone, took) = match state {
        ActState::Waiting => ('·', Tone::Strong, String::new()),
        ActState::Running { .. } => ('▶', Tone::Active, String::new()),
        ActState::Done(took) => ('✓', Tone::Good, format!("  ({})", text::duration(*took))),
    };
    let mut lines = Vec::new();
    let words = format!("{number}. {}{}{took}", where_words(shown), shown.title);
    for (i, part) in text::wrap(&words, width.saturating_sub(2)).into_iter().enumerate() {
        let lead = if i == 0 { format!("{sign} ") } else { "  ".to_owned() };
        lines.push(line(format!("{lead}{part}"), tone));
    }
    if let ActState::Running { since, progress } = state {
        let running = model.now.at.saturating_sub(*since);
        let mut spans = vec![span("  ", Tone::Plain)];
        spans.extend(bars::meter(progress.as_ref(), running, width));
        lines.push(Line::from(spans));
        if let Some(ActProgress::Waiting { what, .. }) = progress {
            lines.extend(prose(what, 4, width, Tone::Active));
        }
    }
    let code = text::wrap_code(&shown.commands, width.saturating_sub(4));
    lines.extend(code.into_iter().map(|l| line(format!("    {l}"), Tone::Plain)));
    lines
}

/// `master01: `, or where else an act happens.
fn where_words(shown: &Shown) -> String {
    shown.host.as_ref().map_or_else(String::new, |h| format!("{h}: "))
}

/// File diffs and what changes in certificates.
fn changes(plan: &Prepared, unfolded: bool, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for cert in &plan.view.certs {
        separate(&mut lines);
        lines.extend(certificate(cert, width));
    }
    for diff in &plan.diffs {
        separate(&mut lines);
        lines.extend(file(diff, unfolded, width));
    }
    if lines.is_empty() {
        lines.push(line(trs!("no text file and no certificate changes"), Tone::Dim));
    }
    lines
}

fn separate(lines: &mut Vec<Line<'static>>) {
    if !lines.is_empty() {
        lines.push(Line::default());
    }
}

fn file(diff: &Diff, unfolded: bool, width: usize) -> Vec<Line<'static>> {
    let (added, removed) = diff.counts;
    let counts = if diff.new { trs!("  new file").to_owned() } else { format!("  +{added} -{removed}") };
    let name = text::fit(&diff.file, width.saturating_sub(counts.len()));
    let mut lines = vec![Line::from(vec![span(name, Tone::Strong), span(counts, Tone::Dim)])];
    if diff.counts == (0, 0) {
        lines.push(line(trs!("  no line changes"), Tone::Dim));
    }
    for part in diff.folded(unfolded) {
        match part {
            Err(hidden) => {
                lines.push(line(
                    tr!("  … {hidden}, x unfolds", hidden = tr!("{n} unchanged line" | "{n} unchanged lines" % hidden)),
                    Tone::Dim,
                ));
            }
            Ok(l) => {
                let tone = match l.sign {
                    '+' => Tone::Good,
                    '-' => Tone::Bad,
                    _ => Tone::Dim,
                };
                let code = text::wrap_code(&l.text, width.saturating_sub(2));
                let code = if code.is_empty() { vec![String::new()] } else { code };
                lines.extend(code.into_iter().map(|c| line(format!("{} {c}", l.sign), tone)));
            }
        }
    }
    lines
}

/// A certificate's names: kept, added, dropped; and what else is to be said.
fn certificate(cert: &CertChange, width: usize) -> Vec<Line<'static>> {
    let name = clean::line(&format!("{}:{}", cert.host, cert.path.display()));
    let mut lines = vec![line(text::fit(&name, width), Tone::Strong)];
    let sans = &cert.sans;
    let groups = [
        (trs!("+ added"), &sans.added, Tone::Good),
        (trs!("- dropped"), &sans.dropped, Tone::Bad),
        (trs!("  kept"), &sans.kept, Tone::Plain),
        (trs!("  once now"), &sans.deduplicated, Tone::Warn),
    ];
    for (label, names, tone) in groups.into_iter().filter(|(_, names, _)| !names.is_empty()) {
        lines.extend(labelled(label, LABEL, &san_list(names), width, tone));
    }
    if sans.is_same() {
        lines.push(line(trs!("  no name is added or dropped"), Tone::Dim));
    }
    for note in &cert.notes {
        lines.extend(labelled("", 2, note, width, Tone::Dim));
    }
    lines
}

/// Names with spaces between, so that they wrap.
fn san_list(names: &[San]) -> String {
    names.iter().map(|s| clean::line(&s.to_string())).collect::<Vec<_>>().join("  ")
}

/// The undo card; before the step is looked at, what its text says in general.
fn undo(model: &Model, row: &StepRow, width: usize) -> Vec<Line<'static>> {
    let texts = model.texts.get(row.info.id.kind);
    let (until, cost) = match (row.plan.as_deref(), texts) {
        (Some(plan), _) if !plan.view.undo.until.is_empty() || !plan.view.undo.cost.is_empty() => {
            (plan.view.undo.until.clone(), plan.view.undo.cost.clone())
        }
        (_, Some(texts)) => (texts.undo_until.clone(), texts.undo_cost.clone()),
        _ => (String::new(), String::new()),
    };
    let mut lines = labelled(trs!("until"), LABEL, &until, width, Tone::Plain);
    lines.extend(labelled(trs!("cost"), LABEL, &cost, width, Tone::Plain));
    let Some(plan) = row.plan.as_deref() else {
        separate(&mut lines);
        lines.extend(not_yet());
        return lines;
    };
    separate(&mut lines);
    if plan.view.undo.acts.is_empty() {
        lines.push(line(trs!("nothing would run: there is nothing to take back, or no way to"), Tone::Dim));
    } else {
        lines.push(line(trs!("What would run"), Tone::Heading));
        let acts = plan.view.undo.acts.iter().enumerate();
        lines.extend(acts.flat_map(|(i, a)| act(model, i + 1, a, &ActState::Waiting, width)));
    }
    lines
}

/// What a yes comes to, on one page: what is down meanwhile, quorum, the way back, what runs. Close together, so that all
/// that decides is in sight at 80×24.
pub fn summary(model: &Model, row: &StepRow, plan: &PlanView, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(down) = &plan.down_meanwhile {
        lines.push(line(trs!("Down meanwhile"), Tone::Heading));
        lines.extend(prose(&format!("! {down}"), 0, width, Tone::Warn));
    }
    if let Some(quorum) = plan.quorum {
        lines.push(line(trs!("If one member dies now"), Tone::Heading));
        lines.extend(quorum_lines(quorum));
    }
    let what = model.texts.get(row.info.id.kind).map(|t| t.what.trim()).unwrap_or_default();
    let first = first_sentence(what);
    lines.extend(prose(&first, 0, width, Tone::Strong));
    lines.push(line(trs!("The way back"), Tone::Heading));
    lines.extend(undo_brief(model, row, plan, width));
    for note in &plan.notes {
        lines.extend(labelled(trs!("note"), LABEL, note, width, Tone::Warn));
    }
    let about = tr!("What runs, about {expected}", expected = text::duration(plan.expected));
    lines.push(line(about, Tone::Heading));
    for (i, shown) in plan.acts.iter().enumerate() {
        let words = format!("{}{}", where_words(shown), shown.title);
        lines.extend(labelled(&format!("{:>2}.", i + 1), 4, &words, width, Tone::Plain));
    }
    let changed = change_counts(plan);
    if !changed.is_empty() {
        lines.extend(labelled("", 4, &changed, width, Tone::Dim));
    }
    if let Some(host) = &row.info.id.host {
        lines.extend(labelled(trs!("host"), LABEL, &host_words(model, host), width, Tone::Plain));
    }
    lines.extend(texts(model, row, width, first.len() < what.len()));
    lines
}

/// Up to the first full stop, be it English or Chinese; the rest of it stands further down.
fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = [text.find(". ").map(|at| at + 1), text.find('。').map(|at| at + '。'.len_utf8())];
    let end = end.into_iter().flatten().min().unwrap_or(text.len());
    text[..end].to_owned()
}

fn change_counts(plan: &PlanView) -> String {
    let mut parts = Vec::new();
    if !plan.diffs.is_empty() {
        parts.push(tr!("{diffs} changed", diffs = tr!("{n} file" | "{n} files" % plan.diffs.len())));
    }
    if !plan.certs.is_empty() {
        parts.push(tr!("{certs} re-issued", certs = tr!("{n} certificate" | "{n} certificates" % plan.certs.len())));
    }
    if parts.is_empty() { String::new() } else { tr!("{parts}: page 3 shows how", parts = parts.join(", ")) }
}

fn undo_brief(model: &Model, row: &StepRow, plan: &PlanView, width: usize) -> Vec<Line<'static>> {
    let texts = model.texts.get(row.info.id.kind);
    let or = |own: &str, general: Option<&String>| {
        if own.is_empty() { general.cloned().unwrap_or_default() } else { own.to_owned() }
    };
    let until = or(&plan.undo.until, texts.map(|t| &t.undo_until));
    let cost = or(&plan.undo.cost, texts.map(|t| &t.undo_cost));
    let mut lines = labelled(trs!("until"), LABEL, &until, width, Tone::Plain);
    lines.extend(labelled(trs!("cost"), LABEL, &cost, width, Tone::Plain));
    let runs = match plan.undo.acts.len() {
        0 => trs!("nothing runs to take it back").to_owned(),
        1 => format!("{}{}", where_words(&plan.undo.acts[0]), plan.undo.acts[0].title),
        n => tr!("{acts}: page 4 shows them", acts = tr!("{n} action" | "{n} actions" % n)),
    };
    lines.extend(labelled(trs!("how"), LABEL, &runs, width, Tone::Plain));
    lines
}
