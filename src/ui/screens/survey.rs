//! What the survey found: the verdict first, then the findings with reason and remedy, then the hosts side by side.

use ratatui::text::Line;

use crate::{
    cluster::Role,
    remote::clean,
    survey::{Finding, HostObserved, Observed, Severity},
    ui::{
        draw::{heading, labelled, line, prose, span},
        model::Model,
        text,
        theme::Tone,
    },
};

/// The page.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let Some(observed) = &model.observed else { return vec![line(trs!(" looking"), Tone::Dim)] };
    let mut lines = vec![Line::default()];
    lines.extend(verdict(model, observed, width));
    if model.holds_back() && !observed.findings.is_empty() {
        lines.push(Line::default());
        let words = tr!(
            "A drill: what the survey found is held back. v shows the panels and the journals of the hosts; D opens the drill."
        );
        lines.extend(prose(&words, 0, width, Tone::Strong));
    } else {
        lines.extend(findings(&observed.findings, width));
    }
    heading(&mut lines, trs!("Hosts"));
    lines.push(line(host_row(["", trs!("host"), trs!("role"), trs!("clock"), "etcd", trs!("system")]), Tone::Dim));
    for host in &observed.hosts {
        lines.extend(host_lines(host, width));
    }
    if let Err(why) = &observed.etcd {
        lines.extend(labelled("etcd", 8, &clean::line(why), width, Tone::Bad));
    }
    lines
}

fn verdict(model: &Model, observed: &Observed, width: usize) -> Vec<Line<'static>> {
    let count = |s: Severity| observed.findings.iter().filter(|f| f.severity == s).count();
    let (blocking, warnings) = (count(Severity::Block), count(Severity::Warn));
    if blocking > 0 {
        let what = tr!(
            "✗ BLOCKED: {blocking} would make the growth unsafe. Nothing was changed.",
            blocking = tr!("{n} finding" | "{n} findings" % blocking)
        );
        let mut lines = prose(&what, 0, width, Tone::Bad);
        lines.extend(prose(
            trs!("Do what each remedy says, then press r to look again; q leaves."),
            0,
            width,
            Tone::Plain,
        ));
        return lines;
    }
    let what = match warnings {
        0 => trs!("✓ Nothing stands in the way.").to_owned(),
        n => tr!("✓ Nothing blocks; {warnings} to read first.", warnings = tr!("{n} warning" | "{n} warnings" % n)),
    };
    let mut lines = prose(&what, 0, width, Tone::Good);
    let next = if model.starting {
        trs!("Going on.")
    } else {
        trs!("Enter goes on to the steps; each asks before it changes anything. v shows certificates and masters.")
    };
    lines.extend(prose(next, 0, width, Tone::Plain));
    lines
}

/// Findings, each with its reason and remedy.
pub fn findings(findings: &[Finding], width: usize) -> Vec<Line<'static>> {
    findings.iter().flat_map(|f| finding(f, width)).collect()
}

fn finding(finding: &Finding, width: usize) -> Vec<Line<'static>> {
    let (word, tone) = match finding.severity {
        Severity::Block => (trs!("✗ BLOCKS"), Tone::Bad),
        Severity::Warn => (trs!("! warning"), Tone::Warn),
        Severity::Info => (trs!("· note"), Tone::Dim),
    };
    let host = finding.host.as_ref().map(|h| format!("{h}: ")).unwrap_or_default();
    let mut lines = vec![Line::default()];
    lines.extend(labelled(word, 10, &format!("{host}{}", clean::line(&finding.what)), width, tone));
    for (label, content) in [(trs!("    why"), &finding.why), (trs!("    do"), &finding.remedy)] {
        lines.extend(labelled(label, 10, &clean::text(content), width, Tone::Plain));
    }
    lines
}

fn host_row(cells: [&str; 6]) -> String {
    let [sign, name, role, clock, etcd, system] = cells;
    let (name, role, clock, etcd) = (text::pad(name, 14), text::pad(role, 8), text::pad(clock, 9), text::pad(etcd, 16));
    format!("{} {name} {role} {clock} {etcd} {system}", text::pad(sign, 1))
}

fn host_lines(host: &HostObserved, width: usize) -> Vec<Line<'static>> {
    let role = match host.role {
        Role::Original => trs!("master"),
        Role::Joiner => trs!("to join"),
        Role::Worker => trs!("worker"),
    };
    let name = host.name.as_str();
    match &host.seen {
        Err(why) => {
            let mut lines = vec![line(host_row(["✗", name, role, "", "", trs!("not reached")]), Tone::Bad)];
            lines.extend(labelled("", 2, &clean::line(&why.to_string()), width, Tone::Bad));
            lines
        }
        Ok(seen) => {
            let etcd =
                seen.etcd.as_ref().map_or_else(String::new, |e| match (e.version.as_deref(), e.unit.active.as_str()) {
                    (None, "absent") => trs!("not there").to_owned(),
                    (None, active) => clean::line(&tr!("no binary, {active}", active = active)),
                    (Some(version), "absent") => clean::line(&tr!("{version} no unit", version = version)),
                    (Some(version), active) => clean::line(&format!("{version} {active}")),
                });
            let clock = text::clock_offset(seen.facts.clock_offset_ms);
            let row = host_row(["✓", name, role, &clock, &etcd, &clean::line(&seen.facts.os)]);
            let cut = text::fit(&row, width);
            vec![Line::from(vec![span("✓", Tone::Good), span(cut.trim_start_matches('✓').to_owned(), Tone::Plain)])]
        }
    }
}
