//! What the login asks: an unknown host key, a secret; and what the lock on the cluster does.

use ratatui::text::Line;

use super::Dialog;
use crate::{
    cluster::HostName,
    remote::lock::Lock,
    ui::{
        draw::{labelled, line, prose, span},
        message::Secret,
        model::Model,
        panels::step,
        theme::Tone,
    },
};

/// An unknown host key: is it the right one?
pub fn host_key(
    model: &Model,
    host: &HostName,
    address: &str,
    key_type: &str,
    fingerprint: &str,
    width: usize,
) -> Dialog {
    let mut body = prose(
        trs!("This host's key is not on record. Whoever answers with it could be somebody else."),
        0,
        width,
        Tone::Plain,
    );
    body.push(Line::default());
    body.extend(labelled(trs!("host"), 13, &step::host_words(model, host), width, Tone::Plain));
    body.extend(labelled(trs!("dialled"), 13, address, width, Tone::Plain));
    body.extend(labelled(trs!("key type"), 13, key_type, width, Tone::Plain));
    body.extend(labelled(trs!("fingerprint"), 13, fingerprint, width, Tone::Strong));
    body.push(Line::default());
    let compare = trs!(
        "Compare it with what the host itself says (at its console: ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub). Yes writes it to known_hosts."
    );
    body.extend(prose(compare, 0, width, Tone::Plain));
    let waiting = model.asks.len() - 1;
    let more = if waiting > 0 { tr!(" {waiting} more to come ", waiting = waiting) } else { String::new() };
    let mut foot = Vec::new();
    if let Some(said) = model.remark() {
        foot.extend(prose(&format!("! {said}"), 0, width, Tone::Warn));
    }
    foot.push(Line::from(vec![
        span("y", if model.settled() { Tone::Key } else { Tone::Dim }),
        span(trs!(" yes, it is this key   "), Tone::Plain),
        span("n", Tone::Key),
        span(trs!(" no, don't connect"), Tone::Plain),
    ]));
    Dialog {
        title: line(trs!(" Is this the host's key? "), Tone::Strong),
        right: line(more, Tone::Dim),
        tone: Some(Tone::Warn),
        body,
        foot,
        width,
        ..Dialog::default()
    }
}

/// Another run's lock whose lease has run out.
pub fn take_over(model: &Model, lock: &Lock, width: usize) -> Dialog {
    let what = tr!(
        "Another run has the lock on this cluster and has not renewed it in time. It may have died, or its machine sleeps."
    );
    let mut body = prose(&what, 0, width, Tone::Plain);
    body.push(Line::default());
    body.extend(labelled(trs!("who"), 13, &lock.holder.who, width, Tone::Strong));
    body.extend(labelled(trs!("process"), 13, &lock.holder.pid.to_string(), width, Tone::Plain));
    body.extend(labelled(trs!("since"), 13, &lock.since, width, Tone::Plain));
    body.extend(labelled(trs!("lease"), 13, &tr!("ran out {seconds} s ago", seconds = -lock.left), width, Tone::Plain));
    body.push(Line::default());
    let ask = tr!(
        "Ask whoever it is before you say yes. A run that wakes up again finds its lock gone and stops before its next action."
    );
    body.extend(prose(&ask, 0, width, Tone::Plain));
    let mut foot = Vec::new();
    if let Some(said) = model.remark() {
        foot.extend(prose(&format!("! {said}"), 0, width, Tone::Warn));
    }
    foot.push(Line::from(vec![
        span("y", if model.settled() { Tone::Key } else { Tone::Dim }),
        span(trs!(" yes, take it over   "), Tone::Plain),
        span("n", Tone::Key),
        span(trs!(" no, stop here"), Tone::Plain),
    ]));
    Dialog {
        title: line(trs!(" Take the lock over? "), Tone::Strong),
        tone: Some(Tone::Warn),
        body,
        foot,
        width,
        ..Dialog::default()
    }
}

/// A passphrase, password or one-time code.
pub fn secret(prompt: &str, second: bool, typed: &Secret, width: usize) -> Dialog {
    let mut body = prose(prompt, 0, width, Tone::Plain);
    body.push(Line::default());
    body.push(Line::from(vec![
        span("*".repeat(typed.len().min(width.saturating_sub(1))), Tone::Strong),
        span(" ", Tone::Selected),
    ]));
    let foot = Line::from(vec![
        span("Enter", Tone::Key),
        span(trs!(" send   "), Tone::Plain),
        span("Esc", Tone::Key),
        span(trs!(" give none   kept in memory only, never written down"), Tone::Dim),
    ]);
    let title = if second { tr!(" Two keys ") } else { trs!(" Asked while logging in ").to_owned() };
    Dialog { title: line(title, Tone::Strong), body, foot: vec![foot], width, ..Dialog::default() }
}
