//! What was seen as plain text, for `banister survey` and headless runs: tables, then findings with reason and remedy.
//!
//! No colour. Columns are measured by what a terminal shows (wide glyphs count two); where a table does not fit, its
//! widest column is wrapped.

use std::{fmt::Write as _, path::Path};

use unicode_width::UnicodeWidthStr;

use super::{CertOnDisk, EtcdOnHost, Finding, HostObserved, HostSeen, Observed, Severity};
use crate::{
    cluster::{Cluster, Role},
    lang,
    pki::CertInfo,
    remote::{
        clean,
        etcd::{Member, Membership},
    },
};

/// Width where none is known.
pub const DEFAULT_WIDTH: usize = 80;

/// From this width on, a certificate's names are listed instead of counted, and systems have their full names.
const WIDE: usize = 110;

/// Everything seen, `width` columns wide at most; days count from `now`, seconds since the epoch. The last line is
/// `N blocking, M warnings`.
pub fn show(cluster: &Cluster, observed: &Observed, now: i64, width: usize) -> String {
    let width = width.max(40);
    let mut out = String::new();
    section(&mut out, trs!("Hosts"), &hosts(cluster, observed, width), width);
    section(&mut out, trs!("On the hosts"), &on_the_hosts(observed), width);
    section(&mut out, trs!("Certificates"), &certificates(cluster, observed, now, width), width);
    match &observed.etcd {
        Ok(etcd) => section(&mut out, trs!("Members"), &members(etcd), width),
        Err(why) => {
            let _ = writeln!(
                out,
                "{}",
                tr!(
                    "Members\n{why}\n",
                    why = wrapped(&tr!("no answer: {why}", why = clean::line(why)), "  ", "  ", width)
                )
            );
        }
    }
    out + &show_findings(&observed.findings, width)
}

/// Findings with reason and remedy, and the line that counts them.
pub fn show_findings(findings: &[Finding], width: usize) -> String {
    let mut out = String::new();
    for finding in findings {
        let word = match finding.severity {
            Severity::Block => trs!("BLOCK"),
            Severity::Warn => trs!("WARN "),
            Severity::Info => trs!("info "),
        };
        let place = finding.host.as_ref().map_or(String::new(), |host| format!("{host}: "));
        let what = format!("{place}{}", clean::line(&finding.what));
        let _ = writeln!(out, "{}", wrapped(&what, &format!("{word}  "), "       ", width));
        let _ = writeln!(out, "{}", wrapped(&clean::line(&finding.why), trs!("       why  "), "            ", width));
        let _ =
            writeln!(out, "{}\n", wrapped(&clean::line(&finding.remedy), trs!("       do   "), "            ", width));
    }
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let warnings = count(Severity::Warn);
    let warnings = tr!("{n} warning" | "{n} warnings" % warnings);
    let _ = writeln!(
        out,
        "{}",
        tr!("{blocking} blocking, {warnings}", blocking = count(Severity::Block), warnings = warnings)
    );
    out
}

/// Bytes as a person reads them, rounded down: `331 MiB`.
pub fn bytes(n: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match n {
        0..KIB => format!("{n} B"),
        KIB..MIB => format!("{} KiB", n / KIB),
        MIB..=10_737_418_239 => format!("{} MiB", n / MIB),
        _ => format!("{} GiB", n / GIB),
    }
}

type Rows = Vec<Vec<String>>;

fn head<const N: usize>(columns: [&str; N]) -> Vec<String> {
    columns.map(str::to_owned).into()
}

fn dash() -> String {
    "-".to_owned()
}

fn or_dash(text: &str) -> String {
    let text = clean::line(text);
    if text.is_empty() { dash() } else { text }
}

fn hosts(cluster: &Cluster, observed: &Observed, width: usize) -> Rows {
    let mut rows = vec![head([
        trs!("HOST"),
        trs!("ROLE"),
        trs!("ADDRESS"),
        "SSH",
        trs!("CLOCK"),
        trs!("HOSTNAME"),
        trs!("SYSTEM"),
    ])];
    for host in &observed.hosts {
        let node = cluster.node(&host.name);
        let comment = node.and_then(|n| n.comment.as_deref()).map_or(String::new(), |c| format!(" {}", clean::line(c)));
        let role = match host.role {
            Role::Original => trs!("original"),
            Role::Joiner => trs!("joiner"),
            Role::Worker => trs!("worker"),
        };
        let facts = host.seen.as_ref().ok().map(|seen| &seen.facts);
        rows.push(vec![
            format!("{}{comment}", host.name),
            role.into(),
            node.map_or_else(dash, |n| n.address.to_string()),
            if facts.is_some() { trs!("ok") } else { trs!("NO") }.into(),
            facts.map_or_else(dash, |f| offset(f.clock_offset_ms)),
            facts.map_or_else(dash, |f| or_dash(&f.hostname)),
            facts.map_or_else(dash, |f| or_dash(system(&f.os, width))),
        ]);
    }
    rows
}

/// The system's name, where there is little room without the release's nickname in parentheses.
fn system(os: &str, width: usize) -> &str {
    let short = os.split(" (").next().unwrap_or(os);
    if width < WIDE { short } else { os }
}

/// `+12 ms`, `-31.0 s`.
fn offset(ms: i64) -> String {
    if ms.abs() < 1000 {
        return format!("{ms:+} ms");
    }
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}.{} s", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000 / 100)
}

fn reached(observed: &Observed) -> impl Iterator<Item = (&HostObserved, &HostSeen)> {
    observed.hosts.iter().filter_map(|host| Some((host, host.seen.as_ref().ok()?)))
}

fn on_the_hosts(observed: &Observed) -> Rows {
    let mut rows =
        vec![head([trs!("HOST"), trs!("ARCH"), "ETCD", "UNIT", trs!("DATA"), "FIREWALLD", "UFW", "SELINUX"])];
    let unit = |etcd: &EtcdOnHost| match etcd.unit.load.as_str() {
        "not-found" => trs!("none").to_owned(),
        _ => or_dash(format!("{} {}", etcd.unit.active, etcd.unit.enabled).trim()),
    };
    let data = |etcd: &EtcdOnHost| match etcd.data_entries {
        None => trs!("absent").to_owned(),
        Some(0) => trs!("empty").into(),
        Some(n) => tr!("{n} entry" | "{n} entries" % n),
    };
    for (host, seen) in reached(observed) {
        let etcd = seen.etcd.as_ref();
        rows.push(vec![
            host.name.to_string(),
            or_dash(&seen.facts.arch),
            etcd.map_or_else(dash, |e| or_dash(e.version.as_deref().unwrap_or_default())),
            etcd.map_or_else(dash, unit),
            etcd.map_or_else(dash, data),
            or_dash(&seen.facts.firewalld),
            or_dash(&seen.facts.ufw),
            or_dash(&seen.facts.selinux),
        ]);
    }
    if rows.len() == 1 { Rows::new() } else { rows }
}

fn certificates(cluster: &Cluster, observed: &Observed, now: i64, width: usize) -> Rows {
    let mut rows =
        vec![head([trs!("HOST"), trs!("FILE"), trs!("SUBJECT"), trs!("NAMES"), trs!("DAYS"), trs!("KEY"), "CA"])];
    for (host, seen) in reached(observed) {
        let Some(etcd) = &seen.etcd else { continue };
        for on_disk in etcd.ca.iter().chain(etcd.certs.values()) {
            let mut row = vec![host.name.to_string(), short_path(&cluster.etcd.pki, &on_disk.path)];
            row.extend(certificate(on_disk, now, width));
            rows.push(row);
        }
    }
    if rows.len() == 1 { Rows::new() } else { rows }
}

fn certificate(on_disk: &CertOnDisk, now: i64, width: usize) -> [String; 5] {
    let cert = match &on_disk.cert {
        Ok(cert) => cert,
        Err(why) => return [clean::line(why), dash(), dash(), dash(), dash()],
    };
    let key = match on_disk.key_matches {
        Some(true) => trs!("matches"),
        Some(false) => trs!("OTHER"),
        None => "-",
    };
    let issued = match on_disk.issued_by_ca {
        Some(true) if cert.subject == cert.issuer => trs!("self"),
        Some(true) => trs!("signed"),
        Some(false) => trs!("OTHER"),
        None => "-",
    };
    [common_name(cert), sans(cert, width), cert.days_left(now).to_string(), key.into(), issued.into()]
}

fn short_path(dir: &Path, path: &Path) -> String {
    clean::line(&path.strip_prefix(dir).unwrap_or(path).to_string_lossy())
}

/// The CN of the subject, or all of it where there is none.
fn common_name(cert: &CertInfo) -> String {
    let cn = cert.subject.split(", ").find_map(|part| part.strip_prefix("CN="));
    clean::line(cn.unwrap_or(&cert.subject))
}

fn sans(cert: &CertInfo, width: usize) -> String {
    if cert.sans.is_empty() {
        return dash();
    }
    if width < WIDE {
        return cert.sans.len().to_string();
    }
    clean::line(&cert.sans.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn members(etcd: &Membership) -> Rows {
    let mut rows = vec![head([
        trs!("MEMBER"),
        trs!("ROLE"),
        trs!("HEALTH"),
        trs!("VERSION"),
        "REVISION",
        trs!("DATABASE"),
        trs!("LATENCY"),
    ])];
    let leader = etcd.leader();
    for member in &etcd.members {
        let status = member.status.as_ref().ok();
        let role = match member.learner {
            true => trs!("learner"),
            false if leader == Some(member.id) => trs!("leader"),
            false => trs!("voter"),
        };
        rows.push(vec![
            clean::line(&called(member)),
            role.into(),
            health(member),
            status.map_or_else(dash, |s| or_dash(&s.version)),
            status.map_or_else(dash, |s| s.revision.to_string()),
            status.map_or_else(dash, |s| bytes(u64::try_from(s.db_size).unwrap_or(0))),
            status.map_or_else(dash, |s| format!("{} ms", s.latency.as_millis())),
        ]);
    }
    rows
}

/// Its name; before it has one, its host's, or where it should be.
fn called(member: &Member) -> String {
    match &member.host {
        _ if member.started() => member.name.clone(),
        Some(host) => host.to_string(),
        None => member.peer_urls.join(", "),
    }
}

fn health(member: &Member) -> String {
    if member.healthy() {
        trs!("healthy")
    } else if !member.started() {
        trs!("NOT STARTED")
    } else if member.status.is_err() {
        trs!("NO ANSWER")
    } else {
        trs!("UNHEALTHY")
    }
    .into()
}

/// Breaks at blanks alone: a flag or a path split at a hyphen could not be copied.
fn options<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width).word_separator(lang::separator()).word_splitter(textwrap::WordSplitter::NoHyphenation)
}

fn wrapped(text: &str, first: &str, rest: &str, width: usize) -> String {
    textwrap::wrap(text, options(width).initial_indent(first).subsequent_indent(rest)).join("\n")
}

/// A title and a table; nothing for an empty one.
fn section(out: &mut String, title: &str, rows: &Rows, width: usize) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}");
    let widths = column_widths(rows, width.saturating_sub(2));
    for row in rows {
        for line in row_lines(row, &widths) {
            let _ = writeln!(out, "  {line}");
        }
    }
    out.push('\n');
}

/// What each column needs; the widest gives way until all fit.
fn column_widths(rows: &Rows, width: usize) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|cell| cell.width()).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns).map(widest).collect();
    let gaps = 2 * columns.saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        let Some(widest) = widths.iter_mut().max().filter(|w| **w > 4) else { break };
        *widest -= 1;
    }
    widths
}

/// A row as the lines it takes once its cells are wrapped.
fn row_lines(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| textwrap::wrap(cell, options((*width).max(1))).into_iter().map(Into::into).collect())
        .collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|i| {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let text = cell.get(i).map_or("", String::as_str);
                line += text;
                line += &" ".repeat(width.saturating_sub(text.width()) + 2);
            }
            line.trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::findings::fixture::{Base, DAY, NOW};

    fn observed(base: &Base) -> Observed {
        Observed { hosts: base.hosts.clone(), etcd: base.etcd.clone(), findings: base.findings() }
    }

    /// A cluster with something of everything.
    fn troubled() -> Base {
        let mut base = Base::healthy();
        base.cluster.masters[0].comment = Some("上海机房 一号".into());
        base.down("master03");
        base.facts("master02").clock_offset_ms = -31_000;
        base.facts("master04").firewalld = "active".into();
        base.on("master02").ca.as_mut().unwrap().cert.as_mut().unwrap().not_after = NOW + 12 * DAY;
        base.member("master02").status = Err("connection refused".into());
        let joined = base.joined("master04");
        joined.name.clear();
        joined.learner = true;
        joined.status = Err("connection refused".into());
        base
    }

    macro_rules! assert_shown {
        ($name:expr, $text:expr) => {{
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
            settings.set_prepend_module_to_snapshot(false);
            settings.bind(|| insta::assert_snapshot!($name, $text));
        }};
    }

    #[test]
    fn a_healthy_cluster_as_text() {
        let base = Base::healthy();
        assert_shown!("survey_healthy_80", show(&base.cluster, &observed(&base), NOW, DEFAULT_WIDTH));
    }

    #[test]
    fn a_troubled_cluster_as_text() {
        let base = troubled();
        assert_shown!("survey_troubled_80", show(&base.cluster, &observed(&base), NOW, DEFAULT_WIDTH));
        assert_shown!("survey_troubled_120", show(&base.cluster, &observed(&base), NOW, 120));
    }

    #[test]
    fn no_line_is_wider_than_asked_for() {
        let base = troubled();
        for width in [60, 80, 100, 120, 200] {
            for line in show(&base.cluster, &observed(&base), NOW, width).lines() {
                assert!(line.width() <= width, "{} > {width}: {line}", line.width());
            }
        }
    }

    #[test]
    fn silence_of_etcd_is_shown_in_place_of_the_members() {
        let mut base = Base::healthy();
        base.etcd = Err("\u{1b}[2Jno route".into());
        let text = show(&base.cluster, &observed(&base), NOW, 80);
        assert!(text.contains("Members\n  no answer: no route"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(text.ends_with("1 blocking, 0 warnings\n"), "{text}");
    }

    #[test]
    fn bytes_and_offsets_read_well() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes((331 << 20) - 1), "330 MiB");
        assert_eq!(bytes(40 << 30), "40 GiB");
        assert_eq!((offset(12), offset(-31_040), offset(0)), ("+12 ms".into(), "-31.0 s".into(), "+0 ms".into()));
    }
}
