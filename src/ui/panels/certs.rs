//! etcd's certificates on every master: names, issuer, expiry, key, and whether the port serves what lies on the disk.
//!
//! ```text
//!  master01
//!  ✓ server  expires in 3650 days · key ✓ · CA ✓ · 2379 serves it
//!      kept        10.10.33.37  10.10.33.38 …
//!    + added       10.10.33.40
//!    - missing     10.10.33.41
//! ```

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::aged;
use crate::{
    cluster::{EtcdPair, HostName, Node},
    pki::{CertInfo, San},
    remote::clean,
    survey::CertOnDisk,
    ui::{
        draw::{labelled, line, paint, title, titled},
        model::{Model, Panel, SLOW_STALE},
        theme::Tone,
    },
    watch::{PortSeen, ServedCert},
};

/// Columns of the labels.
const LABEL: usize = 17;

/// Days before the end from which on a certificate is worth a mark.
const SOON: i64 = 30;

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let focused = model.focus == Panel::Certs;
    let right = aged(model, model.masters_shown().at, SLOW_STALE);
    let inner = titled(vec![title(trs!("Certificates of etcd"), focused)], right, focused, area, buf);
    paint(&lines(model, usize::from(inner.width)), model.scroll.certs, inner, buf);
}

/// The lines of the panel.
pub fn lines(model: &Model, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if model.masters_shown().hosts.is_empty() {
        return vec![line(trs!(" not looked at yet"), Tone::Dim)];
    }
    for node in model.cluster.all_masters() {
        let Some(host) = model.masters_shown().hosts.iter().find(|h| h.name == node.name) else { continue };
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(line(format!(" {}", node.name), Tone::Heading));
        match &host.seen {
            Err(why) => lines.extend(labelled(" ✗", 3, &clean::line(&why.to_string()), width, Tone::Bad)),
            Ok(seen) => {
                let certs = seen.etcd.as_ref().map(|e| &e.certs);
                if certs.is_none_or(std::collections::BTreeMap::is_empty) {
                    lines.push(line(trs!(" · none yet"), Tone::Dim));
                }
                for (pair, cert) in certs.into_iter().flatten() {
                    lines.extend(one(model, node, *pair, cert, width));
                }
            }
        }
    }
    lines
}

fn one(model: &Model, node: &Node, pair: EtcdPair, disk: &CertOnDisk, width: usize) -> Vec<Line<'static>> {
    let info = match &disk.cert {
        Ok(info) => info,
        Err(why) => {
            return labelled(
                &format!(" ✗ {pair}"),
                10,
                &tr!("cannot be read: {why}", why = clean::line(why)),
                width,
                Tone::Bad,
            );
        }
    };
    let port = model.masters_shown().served.iter().find(|p| p.host == node.name && p.pair == pair);
    let names = Names::new(model, &node.name, pair, &info.sans);
    let mut facts = vec![expiry(model, info), key(disk), signed(disk)];
    facts.extend(port.map(|p| served(p, info)));
    let worst = facts.iter().map(|f| f.bad).chain([names.bad()]).max().unwrap_or_default();
    let (sign, tone) = match worst {
        Bad::No => ('✓', Tone::Good),
        Bad::Look => ('!', Tone::Warn),
        Bad::Yes => ('✗', Tone::Bad),
    };
    let words: Vec<&str> = facts.iter().map(|f| f.words.as_str()).collect();
    let mut lines = labelled(&format!(" {sign} {pair}"), 10, &words.join(" · "), width, Tone::Plain);
    if let Some(first) = lines.first_mut() {
        first.spans[0] = Span::styled(first.spans[0].content.clone(), crate::ui::theme::style(tone));
    }
    lines.extend(names.lines(width));
    if model.unfolded {
        lines.extend(labelled(trs!("     subject"), LABEL, &clean::line(&info.subject), width, Tone::Plain));
        lines.extend(labelled(trs!("     issuer"), LABEL, &clean::line(&info.issuer), width, Tone::Plain));
        lines.extend(labelled(
            trs!("     key"),
            LABEL,
            &format!("{} {}", info.key_type, info.usages.join(" ")),
            width,
            Tone::Plain,
        ));
        lines.extend(labelled("     sha256", LABEL, &info.fingerprint, width, Tone::Plain));
    }
    let trouble = port.and_then(|p| p.served.as_ref().ok()).map(|s| s.trouble.as_str()).filter(|t| !t.is_empty());
    if let Some(why) = trouble.or_else(|| port.and_then(|p| p.served.as_ref().err()).map(String::as_str)) {
        lines.extend(labelled(trs!("     port"), LABEL, &clean::line(why), width, Tone::Warn));
    }
    lines
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
        days if days < 0 => fact(tr!("EXPIRED {days} days ago", days = -days), Bad::Yes),
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

fn signed(disk: &CertOnDisk) -> Fact {
    match disk.issued_by_ca {
        Some(true) => fact(trs!("this CA's"), Bad::No),
        Some(false) => fact(trs!("ANOTHER CA'S"), Bad::Yes),
        None => fact(trs!("CA not seen"), Bad::Look),
    }
}

fn served(port: &PortSeen, disk: &CertInfo) -> Fact {
    let number = port.port;
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
    fn new(model: &Model, host: &HostName, pair: EtcdPair, now: &[San]) -> Self {
        let start = model.names_at_start.get(&(host.clone(), pair)).map_or(now, Vec::as_slice);
        let planned: Vec<San> = model.cluster.all_masters().map(|n| San::Ip(n.address)).collect();
        let mut names = Self::between(start, now, &planned);
        if pair == EtcdPair::Client {
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
