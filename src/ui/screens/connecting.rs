//! Connecting: every host with how far it is, all at once.

use ratatui::text::Line;

use crate::{
    cluster::Role,
    remote::clean,
    ui::{
        draw::{heading, labelled, line, prose, span},
        message::ConnectState,
        model::Model,
        text,
        theme::Tone,
    },
};

/// Columns of host name and of address.
const COLUMNS: (usize, usize) = (14, 17);

/// The page.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), verdict(model), Line::default()];
    for (name, state) in &model.hosts {
        let Some(node) = model.cluster.node(name) else { continue };
        let (sign, word, tone) = words(state);
        let comment = node.comment.as_deref().map(clean::line).unwrap_or_default();
        let role = match node.role {
            Role::Original => trs!("master"),
            Role::Joiner => trs!("to join"),
            Role::Worker => trs!("worker"),
        };
        let fixed = COLUMNS.0 + COLUMNS.1 + 8 + 14 + 6;
        lines.push(Line::from(vec![
            span(format!("{sign} "), tone),
            span(text::pad(name.as_str(), COLUMNS.0), Tone::Strong),
            span(format!(" {}", text::pad(&node.address.to_string(), COLUMNS.1)), Tone::Plain),
            span(format!(" {}", text::pad(role, 8)), Tone::Dim),
            span(format!("{} ", text::pad(word, 14)), tone),
            span(text::fit(&comment, width.saturating_sub(fixed)), Tone::Dim),
        ]));
        if let ConnectState::Failed(why) = state {
            lines.extend(labelled("", 2, why, width, Tone::Bad));
        }
    }
    if !model.cluster.notices.is_empty() {
        heading(&mut lines, trs!("About the cluster file"));
        for notice in &model.cluster.notices {
            let place = notice.line.map(|l| tr!("line {line}: ", line = l)).unwrap_or_default();
            lines.extend(prose(&format!("{place}{}", clean::line(&notice.text)), 0, width, Tone::Warn));
        }
    }
    lines
}

fn words(state: &ConnectState) -> (char, &'static str, Tone) {
    match state {
        ConnectState::Connecting => ('○', trs!("connecting"), Tone::Active),
        ConnectState::Asking => ('?', trs!("asks you"), Tone::Warn),
        ConnectState::Connected => ('✓', trs!("connected"), Tone::Good),
        ConnectState::Failed(_) => ('✗', trs!("FAILED"), Tone::Bad),
    }
}

fn verdict(model: &Model) -> Line<'static> {
    let all = model.hosts.len();
    let count = |wanted: fn(&ConnectState) -> bool| model.hosts.iter().filter(|(_, s)| wanted(s)).count();
    let connected = count(|s| matches!(s, ConnectState::Connected));
    let failed = count(|s| matches!(s, ConnectState::Failed(_)));
    if connected == all {
        return line(
            tr!("{all} of {all} hosts connected, looking at them; nothing is changed", all = all),
            Tone::Strong,
        );
    }
    if connected + failed == all {
        let words = tr!(
            "✗ {failed} cannot be used; r tries again, q leaves. Nothing was changed.",
            failed = tr!("{n} host" | "{n} hosts" % failed)
        );
        return line(words, Tone::Bad);
    }
    line(
        tr!(
            "Connecting to {all}: {connected} connected",
            all = tr!("{n} host" | "{n} hosts" % all),
            connected = connected
        ),
        Tone::Strong,
    )
}
