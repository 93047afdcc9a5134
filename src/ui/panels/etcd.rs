//! etcd's members, live, with the age of what is shown.
//!
//! ```text
//! ─ etcd ───────────────────────────────────── asked master01, 2 s old ─
//!    member     role     health     version  revision    lag   db size  latency
//!  ✓ master01   leader   healthy    3.4.23      81234      0  25.0 MiB   0.8 ms
//!  ✗ master03   voter    no answer  -               -      -         -        -
//! ```

use std::time::Duration;

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    remote::{
        clean,
        etcd::{Member, Membership},
    },
    ui::{
        draw::{labelled, line, paint, span, title, titled},
        model::{Beat, Etcd, Model, Panel, STALE},
        text,
        theme::Tone,
    },
};

/// Revisions behind the newest from which on a member counts as lagging.
const LAGGING: i64 = 1000;

/// Per cent of the leader's log from which on etcd promotes a learner.
const PROMOTABLE: u64 = 90;

/// Columns of a member's last answers, at most.
const ANSWERS: usize = 20;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Etcd;
    let last = model.etcd_shown().last.as_ref();
    let mut right = super::aged(model, last.map(|(_, at)| *at), STALE);
    if let Some((membership, _)) = last {
        right.insert(0, span(tr!("asked {asked}, ", asked = membership.asked), Tone::Dim));
    }
    let inner = titled(title("etcd", focused), right, focused, area, buf);
    paint(&lines(model, usize::from(inner.width)), model.scroll.etcd, inner, buf);
}

/// The lines of the panel.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let etcd = model.etcd_shown();
    if let Some(why) = &etcd.error {
        let label = trs!(" ! the last look failed: ");
        lines.extend(labelled(label, text::width(label), why, width, Tone::Bad));
    }
    let Some((membership, _)) = &etcd.last else {
        if lines.is_empty() {
            lines.push(line(trs!(" not looked at yet"), Tone::Dim));
        }
        return lines;
    };
    let columns = columns(width);
    let head: String = columns.iter().map(|c| c.cell(c.head)).collect();
    lines.push(line(format!("  {head}"), Tone::Dim));
    lines.extend(membership.members.iter().map(|m| member(etcd, membership, m, &columns)));
    lines.extend(membership.members.iter().filter_map(|m| learner(membership, m, width)));
    lines.extend(troubles(membership, width));
    lines.extend(history(etcd, width));
    if !columns.iter().any(|c| matches!(c.what, What::Answers)) {
        lines.extend(answers_line(etcd, membership, width));
    }
    lines
}

/// What is wrong, in words; before the history, since a low panel shows the beginning.
fn troubles(membership: &Membership, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for alarm in &membership.alarms {
        let who = membership
            .members
            .iter()
            .find(|m| m.id == alarm.member)
            .map_or_else(|| format!("{:x}", alarm.member), name);
        lines.push(line(tr!(" ! ALARM {kind} on {who}", kind = clean::line(&alarm.kind), who = who), Tone::Alarm));
    }
    for m in &membership.members {
        if let Some(why) = trouble(m) {
            lines.extend(labelled(&format!(" {}: ", name(m)), text::width(&name(m)) + 3, &why, width, Tone::Warn));
        }
    }
    lines
}

/// The last two minutes in one line: how fast the revision moves, and the slowest answer of a voter.
fn history(etcd: &Etcd, width: usize) -> Option<Line<'static>> {
    let (first, last) = (etcd.history.front()?, etcd.history.back()?);
    let span_of = last.at.saturating_sub(first.at);
    if span_of.is_zero() {
        return None;
    }
    let worst = etcd.history.iter().filter_map(slowest).max().unwrap_or_default();
    let words = [
        tr!("   last {time}: ", time = text::duration(span_of)),
        format!("{}/s ", rate(first, last)),
        trs!(" revisions · slowest ").to_owned(),
        format!(" {}", text::latency(worst)),
    ];
    // Two sparklines beside the words.
    let taken: usize = words.iter().map(|w| text::width(w)).sum();
    let columns = (width.saturating_sub(taken) / 2).clamp(4, 30);
    let beats: Vec<&Beat> = etcd.history.iter().rev().take(columns + 1).rev().collect();
    let rates: Vec<Option<u64>> = beats.windows(2).map(|w| Some(rate(w[0], w[1]))).collect();
    let latencies: Vec<Option<u64>> = beats.iter().skip(1).map(|b| slowest(b).map(micros)).collect();
    let [time, speed, between, latency] = words;
    Some(Line::from(vec![
        span(time, Tone::Dim),
        span(speed, Tone::Plain),
        span(text::sparkline(&rates), Tone::Active),
        span(between, Tone::Dim),
        span(text::sparkline(&latencies), Tone::Active),
        span(latency, Tone::Plain),
    ]))
}

/// A voter's slowest answer in a look; `None` where one gave none.
fn slowest(beat: &Beat) -> Option<Duration> {
    let all: Option<Vec<Duration>> = beat.answers.iter().filter(|a| a.voter).map(|a| a.latency).collect();
    all?.into_iter().max()
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// A member's last answers, as many as fit: how long each took, or that there was none.
fn answers(etcd: &Etcd, id: u64, columns: usize) -> String {
    // By one measure for all members, so that a slow one stands out.
    let most = etcd.history.iter().flat_map(|b| &b.answers).filter_map(|a| a.latency.map(micros)).max().unwrap_or(1);
    let of = |beat: &Beat| beat.answers.iter().find(|a| a.member == id).map(|a| a.latency.map(micros));
    let mut last: Vec<Option<u64>> = etcd.history.iter().rev().map_while(of).take(columns).collect();
    last.reverse();
    text::sparkline_of(&last, most)
}

/// Every member's last answers in one line, where they have no column.
fn answers_line(etcd: &Etcd, membership: &Membership, width: usize) -> Option<Line<'static>> {
    if etcd.history.len() < 2 {
        return None;
    }
    let label = trs!("   answers:");
    let names: usize = membership.members.iter().map(|m| text::width(&name(m)) + 3).sum();
    let columns = width.saturating_sub(text::width(label) + names) / membership.members.len().max(1);
    if columns < 3 {
        return None;
    }
    let mut spans = vec![span(label, Tone::Dim)];
    for member in &membership.members {
        spans.push(span(format!("  {} ", name(member)), Tone::Dim));
        spans.push(span(answers(etcd, member.id, columns.min(ANSWERS)), Tone::Active));
    }
    Some(Line::from(spans))
}

/// How far a learner is; it can be made a voter from nine tenths of the leader's log on.
fn learner(membership: &Membership, member: &Member, width: usize) -> Option<Line<'static>> {
    let status = member.status.as_ref().ok().filter(|_| member.learner)?;
    let leader = membership.leader()?;
    let leader = membership.members.iter().find(|m| m.id == leader)?.status.as_ref().ok()?;
    let percent = text::percent(status.raft_index, leader.raft_index);
    let bar = text::bar(status.raft_index, leader.raft_index, (width / 6).clamp(6, 20));
    let (words, tone) = if percent >= PROMOTABLE {
        (trs!(" of the leader's log, can be made a voter"), Tone::Good)
    } else {
        (trs!(" of the leader's log, catching up"), Tone::Active)
    };
    Some(Line::from(vec![
        span(tr!("   learner {name}: ", name = name(member)), Tone::Dim),
        span(format!("{bar} {percent} %"), tone),
        span(words, Tone::Plain),
    ]))
}

/// Revisions a second between two looks.
fn rate(from: &Beat, to: &Beat) -> u64 {
    let moved = u64::try_from(to.revision.saturating_sub(from.revision)).unwrap_or(0);
    let millis = u64::try_from(to.at.saturating_sub(from.at).as_millis()).unwrap_or(u64::MAX).max(1);
    moved.saturating_mul(1000) / millis
}

/// What is wrong with a member, where more is known than a word.
fn trouble(member: &Member) -> Option<String> {
    match &member.status {
        Err(why) => {
            // The error names the host itself, mostly.
            let host = member.host.as_ref().map(|h| format!("{h}: ")).unwrap_or_default();
            Some(clean::line(why.strip_prefix(&host).unwrap_or(why)))
        }
        Ok(status) if !status.errors.is_empty() => Some(clean::line(&status.errors.join("; "))),
        Ok(_) => None,
    }
}

/// A member's name; one that never started has none, so its host's, in brackets.
fn name(member: &Member) -> String {
    if member.started() {
        return clean::line(&member.name);
    }
    let host = member.host.as_ref().map(ToString::to_string);
    format!(
        "({})",
        host.or_else(|| member.peer_urls.first().map(|u| clean::line(u))).unwrap_or_else(|| trs!("new").into())
    )
}

#[derive(Clone, Copy)]
enum What {
    Name,
    Role,
    Health,
    Version,
    Revision,
    Lag,
    Size,
    Latency,
    Answers,
}

struct Column {
    what: What,
    head: &'static str,
    width: usize,
    right: bool,
}

impl Column {
    fn cell(&self, content: &str) -> String {
        let cell = if self.right { text::pad_left(content, self.width) } else { text::pad(content, self.width) };
        format!(" {cell}")
    }
}

/// As many columns as fit, the least telling left out first.
fn columns(width: usize) -> Vec<Column> {
    let c = |what, head, width, right| Column { what, head, width, right };
    let mut all = vec![
        c(What::Name, trs!("member"), 10, false),
        c(What::Role, trs!("role"), 7, false),
        c(What::Health, trs!("health"), 11, false),
        c(What::Version, trs!("version"), 7, false),
        c(What::Revision, trs!("revision"), 10, true),
        c(What::Lag, trs!("lag"), 6, true),
        c(What::Size, trs!("db size"), 9, true),
        c(What::Latency, trs!("latency"), 8, true),
    ];
    let taken = |all: &[Column]| 2 + all.iter().map(|c| c.width + 1).sum::<usize>();
    while taken(&all) > width && all.len() > 3 {
        // The latency first, then the size; lag and version stay longest.
        let at = all.len() - 1;
        all.remove(at);
    }
    if all.len() == 8 {
        let room = width.saturating_sub(taken(&all) + 2);
        if room > 5 {
            all.push(c(What::Answers, trs!("history"), room.min(ANSWERS), false));
        }
    }
    let spare = width.saturating_sub(taken(&all)).min(14);
    if let Some(first) = all.first_mut() {
        first.width += spare;
    }
    all
}

fn member(etcd: &Etcd, membership: &Membership, member: &Member, columns: &[Column]) -> Line<'static> {
    let (sign, health, tone) = health(member);
    let mut spans = vec![span(format!(" {sign}"), tone)];
    for column in columns {
        let (content, tone) = match column.what {
            What::Answers => (answers(etcd, member.id, column.width), Tone::Active),
            what => cell(membership, member, what, (health, tone)),
        };
        spans.push(span(column.cell(&content), tone));
    }
    Line::from(spans)
}

fn cell(membership: &Membership, member: &Member, what: What, health: (&str, Tone)) -> (String, Tone) {
    let status = member.status.as_ref().ok();
    let newest = membership.members.iter().filter_map(|m| Some(m.status.as_ref().ok()?.revision)).max();
    let plain = |s: Option<String>| (s.unwrap_or_else(|| "-".into()), Tone::Plain);
    match what {
        What::Name => (name(member), Tone::Plain),
        What::Role if member.learner => (trs!("learner").into(), Tone::Warn),
        What::Role if membership.leader() == Some(member.id) => (trs!("leader").into(), Tone::Strong),
        What::Role => (trs!("voter").into(), Tone::Plain),
        What::Health => (health.0.into(), health.1),
        What::Version => plain(status.map(|s| clean::line(&s.version))),
        What::Revision => plain(status.map(|s| s.revision.to_string())),
        What::Lag => match status.zip(newest).map(|(s, newest)| newest - s.revision) {
            Some(lag) => (lag.to_string(), if lag > LAGGING { Tone::Warn } else { Tone::Plain }),
            None => plain(None),
        },
        What::Size => plain(status.map(|s| text::bytes(u64::try_from(s.db_size).unwrap_or(0)))),
        What::Latency => plain(status.map(|s| text::latency(s.latency))),
        What::Answers => plain(None),
    }
}

/// Sign, word and tone of a member's health.
fn health(member: &Member) -> (char, &'static str, Tone) {
    match &member.status {
        _ if !member.started() => ('!', trs!("not started"), Tone::Warn),
        Err(_) => ('✗', trs!("no answer"), Tone::Bad),
        Ok(status) if status.leader == 0 => ('!', trs!("no leader"), Tone::Bad),
        // It votes all the same.
        Ok(status) if !status.errors.is_empty() && member.in_quorum() => ('!', trs!("alarm"), Tone::Bad),
        Ok(status) if !status.errors.is_empty() => ('!', trs!("errors"), Tone::Bad),
        Ok(_) => ('✓', trs!("healthy"), Tone::Good),
    }
}
