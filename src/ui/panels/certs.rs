//! The certificates of every master: names, issuer, expiry, key, and whether the port serves what lies on the disk.
//!
//! ```text
//!  master01
//!  ✓ server     3650 days left · by etcd-ca · key fits · 2379 serves it
//!      kept         10.10.33.37  10.10.33.38 …
//!    + added        10.10.33.40
//!    - missing      10.10.33.41
//!  ✗ apiserver  …
//! ```

use std::{fmt::Write as _, time::Duration};

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{aged, old};
use crate::{
    cluster::{EtcdPair, HostName, Node},
    pki::{CertInfo, San},
    remote::clean,
    survey::CertOnDisk,
    ui::{
        draw::{labelled, line, paint, span, title, titled},
        model::{CertKind, Model, Panel, SLOW_STALE},
        theme::Tone,
    },
    watch::{Port, PortSeen, ServedCert},
};

/// Columns of the labels.
const LABEL: usize = 17;

/// Columns of a certificate's name.
const NAME: usize = 13;

/// Days before the end from which on a certificate is worth a mark.
const SOON: i64 = 30;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Certs;
    let right = aged(model, model.masters_shown().oldest(), SLOW_STALE);
    let inner = titled(title(trs!("Certificates"), focused), right, focused, area, buf);
    paint(&lines(model, usize::from(inner.width)), model.scroll.certs, inner, buf);
}

/// The lines of the panel.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if model.masters_shown().hosts.is_empty() {
        return vec![line(trs!(" not looked at yet"), Tone::Dim)];
    }
    let mut judged: Judged = Vec::new();
    for node in model.cluster.all_masters() {
        let Some((host, at)) = model.masters_shown().host(&node.name) else { continue };
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(heading(model, node, *at));
        match &host.seen {
            Err(why) => lines.extend(labelled(" ✗", 3, &clean::line(&why.to_string()), width, Tone::Bad)),
            Ok(seen) => {
                let etcd = seen.etcd.iter().flat_map(|e| &e.certs).map(|(pair, disk)| (CertKind::Etcd(*pair), disk));
                let apiserver = seen.kube.as_ref().and_then(|k| k.apiserver.as_ref());
                let mut all = etcd.chain(apiserver.map(|disk| (CertKind::Apiserver, disk))).peekable();
                if all.peek().is_none() {
                    lines.push(line(trs!(" · none yet"), Tone::Dim));
                }
                for (kind, disk) in all {
                    let (bad, shown) = one(model, node, kind, disk, width);
                    judged.push((&node.name, named(kind).0, bad));
                    lines.extend(shown);
                }
            }
        }
    }
    let mut all = verdict(&judged, width);
    all.append(&mut lines);
    all
}

/// Every certificate seen: whose, which, how bad.
type Judged<'a> = Vec<(&'a HostName, String, Bad)>;

/// How many are wrong, and which: what is below may need scrolling to.
fn verdict(judged: &Judged<'_>, width: usize) -> Vec<Line<'static>> {
    let which = |wanted: Bad| {
        let mut hosts: Vec<String> = Vec::new();
        let mut last = None;
        for (host, name, _) in judged.iter().filter(|(.., bad)| *bad == wanted) {
            match hosts.last_mut() {
                Some(names) if last == Some(host) => {
                    let _ = write!(names, ", {name}");
                }
                _ => hosts.push(format!("{host} {name}")),
            }
            last = Some(host);
        }
        hosts.join(" · ")
    };
    let count = |wanted: Bad| judged.iter().filter(|(.., bad)| *bad == wanted).count();
    let mut lines = Vec::new();
    if count(Bad::Yes) > 0 {
        let words = tr!("one is wrong: {which}" | "{n} are wrong: {which}" % count(Bad::Yes), which = which(Bad::Yes));
        lines.extend(labelled(" ✗", 3, &words, width.saturating_sub(1), Tone::Bad));
    }
    if count(Bad::Look) > 0 {
        let words =
            tr!("one to look at: {which}" | "{n} to look at: {which}" % count(Bad::Look), which = which(Bad::Look));
        lines.extend(labelled(" !", 3, &words, width.saturating_sub(1), Tone::Warn));
    }
    if lines.is_empty() && !judged.is_empty() {
        lines.push(line(trs!(" ✓ all are in order"), Tone::Good));
    }
    lines
}

/// A host's name; with the age of what is shown of it, once that is stale.
fn heading(model: &Model, node: &Node, at: Duration) -> Line<'static> {
    let mut spans = vec![span(" ", Tone::Plain), span(node.name.to_string(), Tone::Heading)];
    spans.extend(old(model, at, SLOW_STALE));
    Line::from(spans)
}

/// What a certificate is called, and the port that serves it.
fn named(kind: CertKind) -> (String, Option<Port>) {
    match kind {
        CertKind::Etcd(pair) => {
            let port = match pair {
                EtcdPair::Server => Some(Port::EtcdClient),
                EtcdPair::Peer => Some(Port::EtcdPeer),
                EtcdPair::Client => None,
            };
            (pair.to_string(), port)
        }
        CertKind::Apiserver => ("apiserver".to_owned(), Some(Port::Apiserver)),
    }
}

/// A certificate: how bad it is, and its lines.
fn one(model: &Model, node: &Node, kind: CertKind, disk: &CertOnDisk, width: usize) -> (Bad, Vec<Line<'static>>) {
    let (name, port) = named(kind);
    let info = match &disk.cert {
        Ok(info) => info,
        Err(why) => {
            let words = tr!("cannot be read: {why}", why = clean::line(why));
            return (Bad::Yes, labelled(&format!(" ✗ {name}"), NAME, &words, width, Tone::Bad));
        }
    };
    let port = port.and_then(|p| model.masters_shown().port(&node.name, p));
    let names = Names::new(model, &node.name, kind, &info.sans);
    let mut facts = vec![expiry(model, info), signed(disk, info), key(disk)];
    facts.extend(port.map(|p| served(p, info)));
    let worst = facts.iter().map(|f| f.bad).chain([names.bad()]).max().unwrap_or_default();
    let (sign, tone) = match worst {
        Bad::No => ('✓', Tone::Good),
        Bad::Look => ('!', Tone::Warn),
        Bad::Yes => ('✗', Tone::Bad),
    };
    let words: Vec<&str> = facts.iter().map(|f| f.words.as_str()).collect();
    let mut lines = labelled(&format!(" {sign} {name}"), NAME, &words.join(" · "), width, Tone::Plain);
    if let Some(first) = lines.first_mut() {
        first.spans[0] = Span::styled(first.spans[0].content.clone(), crate::ui::theme::style(tone));
    }
    lines.extend(names.lines(width));
    if model.unfolded {
        let details = [
            (trs!("     subject"), clean::line(&info.subject)),
            (trs!("     issuer"), clean::line(&info.issuer)),
            (trs!("     key"), format!("{} {}", info.key_type, info.usages.join(" "))),
            (trs!("     file"), clean::line(&disk.path.to_string_lossy())),
            ("     sha256", info.fingerprint.clone()),
        ];
        lines.extend(details.into_iter().flat_map(|(l, words)| labelled(l, LABEL, &words, width, Tone::Plain)));
    }
    let why = port.and_then(|p| match &p.served {
        Ok(served) => Some(served.trouble.as_str()).filter(|t| !t.is_empty()),
        Err(why) => Some(why.as_str()),
    });
    lines.extend(why.into_iter().flat_map(|w| labelled(trs!("     port"), LABEL, &clean::line(w), width, Tone::Warn)));
    (worst, lines)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Bad {
    #[default]
    No,
    Look,
    Yes,
}

struct Fact {
    words: String,
    bad: Bad,
}

fn fact(words: impl Into<String>, bad: Bad) -> Fact {
    Fact { words: words.into(), bad }
}

fn expiry(model: &Model, info: &CertInfo) -> Fact {
    match info.days_left(model.now.epoch) {
        days if days < 0 => fact(tr!("EXPIRED {days} days ago", days = info.days_past(model.now.epoch)), Bad::Yes),
        days if info.not_before > model.now.epoch => fact(tr!("NOT YET VALID, {days} days", days = days), Bad::Yes),
        days if days < SOON => fact(tr!("expires in {days} days", days = days), Bad::Look),
        days => fact(tr!("{days} days left", days = days), Bad::No),
    }
}

fn key(disk: &CertOnDisk) -> Fact {
    match disk.key_matches {
        Some(true) => fact(trs!("key fits"), Bad::No),
        Some(false) => fact(trs!("KEY OF ANOTHER CERTIFICATE"), Bad::Yes),
        None => fact(trs!("key not seen"), Bad::Look),
    }
}

fn signed(disk: &CertOnDisk, info: &CertInfo) -> Fact {
    let issuer = common_name(&info.issuer);
    match disk.issued_by_ca {
        Some(true) => fact(tr!("by {issuer}", issuer = issuer), Bad::No),
        Some(false) => fact(tr!("NOT BY THIS HOST'S CA but by a {issuer}", issuer = issuer), Bad::Yes),
        None => fact(tr!("by {issuer}, whose CA was not seen", issuer = issuer), Bad::Look),
    }
}

/// The common name of a subject; all of it where there is none.
fn common_name(subject: &str) -> String {
    let name = subject.split(", ").find_map(|part| part.strip_prefix("CN="));
    clean::line(name.unwrap_or(subject))
}

fn served(port: &PortSeen, disk: &CertInfo) -> Fact {
    let number = port.number;
    match &port.served {
        Err(_) => fact(tr!("{number} does not answer", number = number), Bad::Look),
        Ok(ServedCert { cert, .. }) if cert.fingerprint != disk.fingerprint => {
            fact(tr!("{number} SERVES ANOTHER ONE", number = number), Bad::Yes)
        }
        Ok(ServedCert { trouble, .. }) if !trouble.is_empty() => {
            fact(tr!("{number} serves it, with trouble", number = number), Bad::Look)
        }
        Ok(_) => fact(tr!("{number} serves it", number = number), Bad::No),
    }
}

/// The names of a certificate against those at the start and those the growth needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    kept: Vec<San>,
    added: Vec<San>,
    missing: Vec<San>,
    unexpected: Vec<San>,
}

impl Names {
    fn new(model: &Model, host: &HostName, kind: CertKind, now: &[San]) -> Self {
        let start = model.names_at_start.get(&(host.clone(), kind)).map_or(now, Vec::as_slice);
        let planned: Vec<San> = model.cluster.all_masters().map(|n| San::Ip(n.address)).collect();
        let mut names = Self::between(start, now, &planned);
        if kind == CertKind::Etcd(EtcdPair::Client) {
            // It needs no name at all: only one that it had can be missing.
            names.missing.retain(|n| start.contains(n));
        }
        names
    }

    fn between(start: &[San], now: &[San], wanted: &[San]) -> Self {
        let mut names = Self::default();
        for san in now {
            let list = if start.contains(san) {
                &mut names.kept
            } else if wanted.contains(san) {
                &mut names.added
            } else {
                &mut names.unexpected
            };
            if !list.contains(san) {
                list.push(san.clone());
            }
        }
        for san in wanted.iter().chain(start) {
            if !now.contains(san) && !names.missing.contains(san) {
                names.missing.push(san.clone());
            }
        }
        names
    }

    fn bad(&self) -> Bad {
        if self.missing.is_empty() && self.unexpected.is_empty() { Bad::No } else { Bad::Look }
    }

    fn lines(&self, width: usize) -> Vec<Line<'static>> {
        let groups = [
            (trs!("     kept"), &self.kept, Tone::Plain),
            (trs!("   + added"), &self.added, Tone::Good),
            (trs!("   - missing"), &self.missing, Tone::Bad),
            (trs!("   ! unexpected"), &self.unexpected, Tone::Warn),
        ];
        let list = |names: &[San]| names.iter().map(|s| clean::line(&s.to_string())).collect::<Vec<_>>().join("  ");
        let full = groups.into_iter().filter(|(_, names, _)| !names.is_empty());
        full.flat_map(|(label, names, tone)| labelled(label, LABEL, &list(names), width, tone)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_called_by_its_common_name() {
        assert_eq!(common_name("C=CN, O=k8s, CN=etcd-ca"), "etcd-ca");
        assert_eq!(common_name("O=k8s"), "O=k8s");
    }

    #[test]
    fn names_are_kept_added_missing_or_unexpected() {
        let ip = |last: u8| San::Ip([10, 0, 0, last].into());
        let start = [ip(1), ip(2), San::Dns("localhost".into())];
        let now = [ip(1), ip(1), San::Dns("localhost".into()), ip(4), ip(99)];
        let names = Names::between(&start, &now, &[ip(1), ip(2), ip(4), ip(5)]);
        assert_eq!(names.kept, [ip(1), San::Dns("localhost".into())]);
        assert_eq!(names.added, [ip(4)]);
        assert_eq!(names.missing, [ip(2), ip(5)], "what was dropped is missing too");
        assert_eq!(names.unexpected, [ip(99)]);
    }
}
