//! The cluster's nodes as Kubernetes sees them, with the age of what is shown.
//!
//! ```text
//! ─ Nodes ──────────────────────────────────── asked master01, 2 s old ─
//!    node                    status     roles    version    age    
//!  ✓ master01.example.com    Ready      master   v1.20.2    412 d
//!  ! node01.example.com      Ready      -        v1.20.2    3 h    cordoned
//!  ✗ node02.example.com      NOT READY  -        v1.20.2    412 d
//!      KubeletNotReady: container runtime is down
//! ```

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::aged;
use crate::{
    ui::{
        draw::{labelled, line, paint, span, title, titled},
        model::{Model, NODES_STALE, Panel},
        text,
        theme::Tone,
    },
    watch::{NodeSeen, Ready},
};

/// Columns of status, roles, version and age.
const STATUS: usize = 10;
const ROLES: usize = 10;
const VERSION: usize = 10;
const AGE: usize = 8;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Nodes;
    let last = model.nodes_shown().last.as_ref();
    let mut right = aged(model, last.map(|(_, at)| *at), NODES_STALE);
    if let Some((seen, _)) = last {
        right.insert(0, span(tr!("asked {host}, ", host = seen.asked), Tone::Dim));
    }
    let inner = titled(title(trs!("Nodes"), focused), right, focused, area, buf);
    paint(&lines(model, usize::from(inner.width)), model.scroll.nodes, inner, buf);
}

/// The lines of the panel.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let shown = model.nodes_shown();
    let mut lines = Vec::new();
    for (host, why) in &shown.tried {
        // The error names the host itself, mostly.
        let label = tr!(" ✗ asked {host}: ", host = host);
        let why = why.strip_prefix(&format!("{host}: ")).unwrap_or(why);
        lines.extend(labelled(&label, text::width(&label), why, width, Tone::Bad));
    }
    let Some((seen, _)) = &shown.last else {
        if lines.is_empty() {
            lines.push(line(trs!(" not looked at yet"), Tone::Dim));
        }
        return lines;
    };
    if !shown.tried.is_empty() {
        lines.push(line(trs!(" what the API said before that:"), Tone::Dim));
    }
    let name = name_width(model, seen.nodes.iter().map(|n| n.name.as_str()), width);
    let head = [
        (trs!("node"), name),
        (trs!("status"), STATUS),
        (trs!("roles"), ROLES),
        (trs!("version"), VERSION),
        (trs!("age"), AGE),
    ];
    let head: String =
        head.into_iter().flat_map(|(word, columns)| [text::pad(word, columns), " ".to_owned()]).collect();
    lines.push(line(format!("   {head}"), Tone::Dim));
    for node in &seen.nodes {
        lines.extend(one(model, node, name, width));
    }
    // Masters of the file that Kubernetes does not know.
    for host in model.cluster.all_masters() {
        let known = model.cluster.node_name(host);
        if !seen.nodes.iter().any(|n| n.name == known || n.name == host.name.as_str()) {
            lines.push(line(format!(" · {} {}", text::pad(&known, name), trs!("not a node yet")), Tone::Dim));
        }
    }
    lines
}

/// Columns of the names: as many as they need, where there is room for them.
fn name_width<'a>(model: &Model, names: impl Iterator<Item = &'a str>, width: usize) -> usize {
    let masters = model.cluster.all_masters().map(|n| text::width(&model.cluster.node_name(n)));
    let needed = names.map(text::width).chain(masters).max().unwrap_or(0);
    let room = width.saturating_sub(STATUS + ROLES + VERSION + AGE + 8);
    needed.clamp(8, room.max(8))
}

fn one(model: &Model, node: &NodeSeen, name: usize, width: usize) -> Vec<Line<'static>> {
    let (sign, status, tone) = match &node.ready {
        Ready::Yes if node.troubles.is_empty() && !node.unschedulable => ('✓', "Ready", Tone::Good),
        Ready::Yes => ('!', "Ready", Tone::Warn),
        Ready::No(_) => ('✗', trs!("NOT READY"), Tone::Bad),
        Ready::Unknown(_) => ('✗', trs!("UNKNOWN"), Tone::Bad),
    };
    let roles = if node.roles.is_empty() { "-".to_owned() } else { node.roles.join(",") };
    let mut spans = vec![
        span(format!(" {sign} "), tone),
        span(format!("{} ", text::pad(&node.name, name)), Tone::Plain),
        span(format!("{} ", text::pad(status, STATUS)), tone),
        span(format!("{} ", text::pad(&roles, ROLES)), Tone::Plain),
        span(format!("{} ", text::pad(&node.version, VERSION)), Tone::Plain),
        span(text::pad(&age(node.created, model.now.epoch), AGE), Tone::Plain),
    ];
    if node.unschedulable {
        spans.push(span(format!(" {}", trs!("cordoned")), Tone::Warn));
    }
    let mut lines = vec![Line::from(spans)];
    let why = match &node.ready {
        Ready::Yes => None,
        Ready::No(why) | Ready::Unknown(why) => Some(why.as_str()),
    };
    lines.extend(why.into_iter().flat_map(|why| labelled("", 5, why, width, Tone::Warn)));
    for (kind, why) in &node.troubles {
        lines.extend(labelled("", 5, &format!("{kind}: {why}"), width, Tone::Warn));
    }
    if model.unfolded && !node.taints.is_empty() {
        lines.extend(labelled(trs!("     taints"), 13, &node.taints.join("  "), width, Tone::Dim));
    }
    lines
}

/// How long ago, as kubectl says it, in one unit.
fn age(created: Option<i64>, now: i64) -> String {
    let Some(seconds) = created.map(|at| now.saturating_sub(at).max(0)) else { return "-".to_owned() };
    match seconds {
        0..120 => tr!("{n} s", n = seconds),
        120..7_200 => tr!("{n} min", n = seconds / 60),
        7_200..172_800 => tr!("{n} h", n = seconds / 3600),
        _ => tr!("{n} d", n = seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit_and_a_clock_that_is_behind_makes_none_negative() {
        let at = |ago: i64| age(Some(1_000_000 - ago), 1_000_000);
        assert_eq!([-5, 90, 600, 90_000, 900_000].map(at), ["0 s", "90 s", "10 min", "25 h", "10 d"]);
        assert_eq!(age(None, 0), "-");
    }
}
