//! The names in an openssl.conf: `IP.n` and `DNS.n` lines of the section that `subjectAltName` points to, or the list that
//! stands behind `subjectAltName` itself.
//!
//! New names are appended with the next free number in the form of their neighbours; nothing is renumbered.

use std::{collections::BTreeSet, net::IpAddr};

use super::EditError;
use crate::pki::San;

/// The names the file asks for, in its order; commented lines do not count.
pub fn names(text: &str) -> Result<Vec<San>, EditError> {
    Ok(match place(text)? {
        Place::Section(name) => entries(text, &name).into_iter().filter_map(|e| san(&e.kind, e.value)).collect(),
        Place::Inline(line) => inline_names(line.value),
    })
}

/// The same file with the names that it lacks, each under the next free number of its kind.
pub fn with_names(text: &str, wanted: &[San]) -> Result<String, EditError> {
    let has: BTreeSet<San> = names(text)?.into_iter().collect();
    let mut seen = BTreeSet::new();
    let lacking: Vec<&San> = wanted.iter().filter(|s| !has.contains(*s) && seen.insert(*s)).collect();
    let mut out = text.to_owned();
    for san in lacking {
        out = match place(&out)? {
            Place::Section(section) => appended(&out, &section, san)?,
            Place::Inline(line) => {
                let at = line.start + line.value_at + line.value.len();
                format!("{}, {}{}", &out[..at], word(san)?, &out[at..])
            }
        };
    }
    Ok(out)
}

/// Where names stand.
enum Place<'a> {
    /// In the section of that name.
    Section(String),
    /// Behind `subjectAltName =`.
    Inline(Line<'a>),
}

/// One `key = value` line.
#[derive(Debug, Clone)]
struct Line<'a> {
    /// One-based number.
    number: usize,
    /// Where it begins in the file.
    start: usize,
    /// Its text with its line end.
    raw: &'a str,
    section: String,
    key: &'a str,
    value: &'a str,
    /// Where the value begins in the line.
    value_at: usize,
}

/// A numbered name.
#[derive(Debug, Clone)]
struct Entry<'a> {
    line: Line<'a>,
    /// `IP`, `DNS`, …
    kind: String,
    number: Option<u32>,
    value: &'a str,
}

fn place(text: &str) -> Result<Place<'_>, EditError> {
    let lines = lines(text);
    let mut found: Vec<&Line<'_>> = lines.iter().filter(|l| l.key == "subjectAltName").collect();
    found.dedup_by(|a, b| a.value == b.value);
    match found[..] {
        [] => Err(EditError::Unclear {
            line: 1,
            why: trs!("no line says subjectAltName, so it is not known where its names stand; add `subjectAltName = @alt_names` and the section as in the other issuing directories").into(),
        }),
        [one] => match one.value.strip_prefix('@') {
            Some(section) => Ok(Place::Section(section.trim().to_owned())),
            None if one.raw.trim_end().ends_with('\\') || one.value.contains('$') => Err(EditError::Unclear {
                line: one.number,
                why: trs!("subjectAltName goes on over several lines or uses a variable; add the addresses by hand").into(),
            }),
            None => Ok(Place::Inline(one.clone())),
        },
        [_, second, ..] => Err(EditError::Unclear {
            line: second.number,
            why: trs!("subjectAltName stands here a second time with another value; add the addresses to the one that is used").into(),
        }),
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let (mut out, mut start, mut section) = (Vec::new(), 0, "default".to_owned());
    for (index, raw) in text.split_inclusive('\n').enumerate() {
        let code = &raw[..comment_at(raw)];
        let trimmed = code.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
        } else if let Some((key, value)) = code.split_once('=') {
            let value_at = key.len() + 1 + (value.len() - value.trim_start().len());
            let line = Line {
                number: index + 1,
                start,
                raw,
                section: section.clone(),
                key: key.trim(),
                value: value.trim(),
                value_at,
            };
            out.push(line);
        }
        start += raw.len();
    }
    out
}

/// Where a comment or the line's end begins: `#` counts unless it is quoted or escaped (config(5)).
fn comment_at(line: &str) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            '#' if quote.is_none() => return at,
            _ => {}
        }
    }
    line.len()
}

fn entries<'a>(text: &'a str, section: &str) -> Vec<Entry<'a>> {
    let ours = lines(text).into_iter().filter(|l| l.section == section);
    ours.map(|line| {
        let (kind, number) = line.key.split_once('.').map_or((line.key, None), |(k, n)| (k, n.trim().parse().ok()));
        let value = line.value.trim_matches(['"', '\'']);
        Entry { kind: kind.trim().to_owned(), number, value, line }
    })
    .collect()
}

fn san(kind: &str, value: &str) -> Option<San> {
    match kind {
        "IP" => value.parse().ok().map(San::Ip),
        "DNS" => Some(San::Dns(value.to_ascii_lowercase())),
        "email" | "URI" | "RID" | "dirName" | "otherName" => Some(San::Other(format!("{kind}:{value}"))),
        _ => None,
    }
}

fn inline_names(value: &str) -> Vec<San> {
    value.split(',').filter_map(|one| one.trim().split_once(':')).filter_map(|(k, v)| san(k.trim(), v.trim())).collect()
}

fn word(san: &San) -> Result<String, EditError> {
    match san {
        San::Ip(ip) => Ok(format!("IP:{ip}")),
        San::Dns(name) => Ok(format!("DNS:{name}")),
        San::Other(other) => Err(unknown(other)),
    }
}

fn unknown(other: &str) -> EditError {
    EditError::Unclear {
        line: 1,
        why: tr!("{other} is neither an address nor a DNS name; add it by hand", other = other),
    }
}

/// One more line, after the last of its kind, else after the last of the section.
fn appended(text: &str, section: &str, san: &San) -> Result<String, EditError> {
    let (kind, value) = match san {
        San::Ip(IpAddr::V4(ip)) => ("IP", ip.to_string()),
        San::Ip(IpAddr::V6(ip)) => ("IP", ip.to_string()),
        San::Dns(name) => ("DNS", name.clone()),
        San::Other(other) => return Err(unknown(other)),
    };
    let all = entries(text, section);
    let mut same = all.iter().filter(|e| e.kind == kind);
    let next = same.clone().filter_map(|e| e.number).max().unwrap_or(0) + 1;
    let Some(neighbour) = same.next_back().or(all.last()) else {
        return Err(EditError::Unclear {
            line: lines(text).iter().find(|l| l.key == "subjectAltName").map_or(1, |l| l.number),
            why: tr!(
                "subjectAltName points to the section {section}, which has no names; add the addresses by hand",
                section = section
            ),
        });
    };
    let raw = neighbour.line.raw;
    let eol = if raw.ends_with("\r\n") { "\r\n" } else { "\n" };
    let indent = &raw[..raw.len() - raw.trim_start().len()];
    let key_end = indent.len() + neighbour.line.key.len();
    let equals = &raw[key_end..neighbour.line.value_at];
    let line = format!("{indent}{kind}.{next}{equals}{value}");
    let end = neighbour.line.start + raw.len();
    let before = &text[..end];
    let (glue, tail) = if before.ends_with('\n') { ("", eol) } else { (eol, "") };
    Ok(format!("{before}{glue}{line}{tail}{}", &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNBOOK: &str = "[req]\nreq_extensions = v3_req\n[ v3_req ]\nbasicConstraints = CA:FALSE\nsubjectAltName = @alt_names\n[alt_names]\nDNS.1 = kubernetes\nDNS.2 = kubernetes.default\nIP.1 = 127.0.0.1\n#IP.9 = 10.10.33.41\nIP.3 = 100.64.0.1\nIP.4 = 10.10.33.37 # first\n";

    fn ip(s: &str) -> San {
        San::Ip(s.parse().unwrap())
    }

    fn dns(s: &str) -> San {
        San::Dns(s.into())
    }

    #[test]
    fn addresses_get_the_next_free_numbers_and_nothing_else_changes() {
        let out = with_names(RUNBOOK, &[ip("10.10.33.40"), ip("10.10.33.41"), ip("127.0.0.1")]).unwrap();
        assert_eq!(out, format!("{RUNBOOK}IP.5 = 10.10.33.40\nIP.6 = 10.10.33.41\n"));
        assert_eq!(
            with_names(&out, &[ip("10.10.33.41"), ip("10.10.33.40")]).unwrap(),
            out,
            "a second run adds nothing"
        );
    }

    #[test]
    fn names_go_beside_their_own_kind_in_their_form() {
        let text =
            "subjectAltName=@n\r\n[ n ]\r\n  DNS.1=a\r\n\tIP.07   =   10.0.0.1\r\n\r\n[other]\r\nIP.99 = 9.9.9.9";
        let out = with_names(text, &[ip("10.0.0.2"), dns("b")]).unwrap();
        assert_eq!(
            out,
            "subjectAltName=@n\r\n[ n ]\r\n  DNS.1=a\r\n  DNS.2=b\r\n\tIP.07   =   10.0.0.1\r\n\tIP.8   =   10.0.0.2\r\n\r\n[other]\r\nIP.99 = 9.9.9.9"
        );
    }

    #[test]
    fn a_last_line_without_an_end_and_a_first_address_are_handled() {
        let out = with_names("subjectAltName = @n\n[n]\nDNS.1 = a", &[ip("10.0.0.2"), ip("fd00::2")]).unwrap();
        assert_eq!(out, "subjectAltName = @n\n[n]\nDNS.1 = a\nIP.1 = 10.0.0.2\nIP.2 = fd00::2");
    }

    #[test]
    fn a_list_on_the_line_itself_is_extended() {
        let text = "[ext]\nsubjectAltName = DNS:a, IP:10.0.0.1 # names\n";
        assert_eq!(
            with_names(text, &[ip("10.0.0.1"), ip("10.0.0.2"), dns("b")]).unwrap(),
            "[ext]\nsubjectAltName = DNS:a, IP:10.0.0.1, IP:10.0.0.2, DNS:b # names\n"
        );
        assert_eq!(names(text).unwrap(), [dns("a"), ip("10.0.0.1")]);
    }

    #[test]
    fn what_is_unclear_is_refused_with_its_line() {
        let line = |text: &str| match with_names(text, &[ip("10.0.0.2")]) {
            Err(EditError::Unclear { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line("[a]\nx = y\n"), 1);
        assert_eq!(line("[a]\nsubjectAltName = @b\n[c]\nsubjectAltName = @d\n"), 4);
        assert_eq!(line("[a]\nsubjectAltName = @b\n"), 2);
        assert_eq!(line("[a]\nsubjectAltName = DNS:a,\\\n  DNS:b\n"), 2);
    }
}
