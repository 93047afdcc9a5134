//! etcd's environment file: either `ETCD_OPTS="--flag value \ …"` as in the runbook, or one `ETCD_FLAG=value` a line.
//!
//! Only values are replaced; spacing, comments, continuations and everything else stay as they are.

use std::{net::IpAddr, ops::Range};

use super::EditError;
use crate::cluster::HostName;

/// Flags whose value is a list of URLs with the member's own address.
const OWN_URLS: [&str; 5] = [
    "listen-client-urls",
    "advertise-client-urls",
    "listen-peer-urls",
    "initial-advertise-peer-urls",
    "listen-metrics-urls",
];

/// A flag's value, if it stands in the file.
pub fn flag(text: &str, flag: &str) -> Result<Option<String>, EditError> {
    Ok(find(text, flag)?.map(|range| text[range].to_owned()))
}

/// `--initial-cluster` as pairs of name and peer URL; `None` when the flag is not there.
pub fn initial_cluster(text: &str) -> Result<Option<Vec<(String, String)>>, EditError> {
    Ok(flag(text, "initial-cluster")?.map(|value| {
        value.split(',').filter_map(|pair| pair.split_once('=')).map(|(n, u)| (n.to_owned(), u.to_owned())).collect()
    }))
}

/// The same file with another `--initial-cluster`.
pub fn with_initial_cluster(text: &str, members: &[(String, String)]) -> Result<String, EditError> {
    set(text, "initial-cluster", &join(members))
}

/// A joiner's file, made from an original's: its own name and addresses, the members of this moment, state `existing`.
/// An address or name of the source that is left anywhere else is an error.
pub fn for_joiner(
    text: &str,
    source: (&HostName, IpAddr),
    joiner: (&HostName, IpAddr),
    members: &[(String, String)],
) -> Result<String, EditError> {
    let mut out = set(text, "name", joiner.0.as_str())?;
    for own in OWN_URLS {
        if let Some(value) = flag(&out, own)? {
            let mine = value.split(',').map(|url| with_host(url, source.1, joiner.1)).collect::<Vec<_>>().join(",");
            out = set(&out, own, &mine)?;
        }
    }
    out = set(&out, "initial-cluster", &join(members))?;
    out = match find(&out, "initial-cluster-state")? {
        Some(_) => set(&out, "initial-cluster-state", "existing")?,
        None => insert_after(&out, "initial-cluster", "initial-cluster-state", "existing")?,
    };
    let members_at = find(&out, "initial-cluster")?;
    for needle in [source.1.to_string(), source.0.to_string()] {
        if let Some((line, text)) = leftover(&out, &needle, members_at.as_ref()) {
            return Err(EditError::Leftover { line, needle, text });
        }
    }
    Ok(out)
}

/// The first line that mentions `needle` as a whole word outside of a range.
pub fn leftover(text: &str, needle: &str, except: Option<&Range<usize>>) -> Option<(usize, String)> {
    let word = |c: char| c.is_alphanumeric() || c == '-' || c == '.' || c == ':';
    text.match_indices(needle).find_map(|(at, _)| {
        let whole = !text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '.')
            && !text[at + needle.len()..].chars().next().is_some_and(|c| word(c) && c != ':');
        if !whole || except.is_some_and(|r| r.contains(&at)) {
            return None;
        }
        let number = text[..at].matches('\n').count();
        Some((number + 1, text.lines().nth(number).unwrap_or_default().trim().to_owned()))
    })
}

fn join(members: &[(String, String)]) -> String {
    members.iter().map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

/// A URL with its host replaced where it is `from`.
fn with_host(url: &str, from: IpAddr, to: IpAddr) -> String {
    let shown = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.strip_prefix(&shown(from)) {
        Some(tail) if tail.is_empty() || tail.starts_with(':') || tail.starts_with('/') => {
            format!("{scheme}://{}{tail}", shown(to))
        }
        _ => url.to_owned(),
    }
}

fn set(text: &str, flag: &str, value: &str) -> Result<String, EditError> {
    let range = find(text, flag)?.ok_or_else(|| EditError::Missing(flag.to_owned()))?;
    Ok(format!("{}{value}{}", &text[..range.start], &text[range.end..]))
}

fn insert_after(text: &str, after: &str, flag: &str, value: &str) -> Result<String, EditError> {
    let range = find(text, after)?.ok_or_else(|| EditError::Missing(after.to_owned()))?;
    let line_start = text[..range.start].rfind('\n').map_or(0, |n| n + 1);
    if text[line_start..range.start].contains("--") {
        return Ok(format!("{} --{flag} {value}{}", &text[..range.end], &text[range.end..]));
    }
    let line_end = text[range.end..].find('\n').map_or(text.len(), |n| range.end + n);
    Ok(format!("{}\n{}={value}{}", &text[..line_end], variable(flag), &text[line_end..]))
}

fn variable(flag: &str) -> String {
    format!("ETCD_{}", flag.to_uppercase().replace('-', "_"))
}

/// Where a flag's value stands, in either form; comment lines do not count.
fn find(text: &str, flag: &str) -> Result<Option<Range<usize>>, EditError> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with('#') {
            found.extend(in_line(line, flag).into_iter().map(|r| r.start + start..r.end + start));
        }
        start += line.len();
    }
    if found.len() > 1 {
        let lines = found.iter().map(|r| (text[..r.start].matches('\n').count() + 1).to_string());
        return Err(EditError::Twice { flag: flag.to_owned(), lines: lines.collect::<Vec<_>>().join(", ") });
    }
    Ok(found.pop())
}

fn in_line(line: &str, flag: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let variable = format!("{}=", variable(flag));
    let code = line.trim_start();
    let code = code.strip_prefix("export ").unwrap_or(code);
    if let Some(value) = code.strip_prefix(&variable) {
        found.push(value_at(line, line.len() - value.len()));
    }
    let dashed = format!("--{flag}");
    for (at, _) in line.match_indices(&dashed) {
        let begins =
            line[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || c == '"' || c == '\'' || c == '=');
        let rest = &line[at + dashed.len()..];
        if begins && rest.starts_with(['=', ' ', '\t']) {
            let skip = rest.len() - rest.trim_start_matches(['=', ' ', '\t']).len();
            found.push(value_at(line, at + dashed.len() + skip));
        }
    }
    found
}

fn value_at(line: &str, at: usize) -> Range<usize> {
    let at = if line[at..].starts_with(['"', '\'']) { at + 1 } else { at };
    let length = line[at..].find(|c: char| c.is_whitespace() || c == '"' || c == '\'' || c == '\\');
    at..length.map_or(line.len(), |n| at + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNBOOK: &str = r#"# etcd of master01, --name in a comment does not count
ETCD_IMAGE_TAG=v3.4.23
ETCD_OPTS="--name master01 \
  --listen-client-urls https://10.10.33.37:2379,https://127.0.0.1:2379 \
  --advertise-client-urls=https://10.10.33.37:2379 \
  --listen-peer-urls https://10.10.33.37:2380 \
  --initial-advertise-peer-urls https://10.10.33.37:2380 \
  --initial-cluster master01=https://10.10.33.37:2380,master02=https://10.10.33.38:2380 \
  --initial-cluster-token etcd-k8s-cluster \
  --initial-cluster-state new \
  --data-dir=/var/lib/etcd \
  --metrics basic"
"#;

    fn host(n: &str, ip: &str) -> (HostName, IpAddr) {
        (HostName::new(n), ip.parse().unwrap())
    }

    fn three() -> Vec<(String, String)> {
        [("master01", 37), ("master02", 38), ("master04", 40)]
            .map(|(n, i)| (n.to_owned(), format!("https://10.10.33.{i}:2380")))
            .to_vec()
    }

    fn joined(text: &str) -> Result<String, EditError> {
        let (s, j) = (host("master01", "10.10.33.37"), host("master04", "10.10.33.40"));
        for_joiner(text, (&s.0, s.1), (&j.0, j.1), &three())
    }

    #[test]
    fn a_joiners_file_differs_only_in_name_addresses_members_and_state() {
        let out = joined(&RUNBOOK.replace("# etcd of master01", "# etcd")).unwrap();
        let expected = RUNBOOK
            .replace("# etcd of master01", "# etcd")
            .replace("--name master01", "--name master04")
            .replace("urls https://10.10.33.37", "urls https://10.10.33.40")
            .replace("urls=https://10.10.33.37", "urls=https://10.10.33.40")
            .replace(
                ",master02=https://10.10.33.38:2380",
                ",master02=https://10.10.33.38:2380,master04=https://10.10.33.40:2380",
            )
            .replace("state new", "state existing");
        assert_eq!(out, expected);
    }

    #[test]
    fn an_unexplained_mention_of_the_source_is_refused() {
        assert!(matches!(joined(RUNBOOK), Err(EditError::Leftover { line: 1, .. })));
        let text = RUNBOOK.replace("# etcd of master01", "#").replace("--metrics", "--foo 10.10.33.37 --metrics");
        assert!(matches!(joined(&text), Err(EditError::Leftover { line: 12, .. })));
        let other = RUNBOOK.replace("# etcd of master01", "# 10.10.33.377 master01a");
        assert!(joined(&other).is_ok(), "longer words are other words");
    }

    #[test]
    fn initial_cluster_is_read_and_replaced_alone() {
        let now = initial_cluster(RUNBOOK).unwrap().unwrap();
        assert_eq!(now[1], ("master02".to_owned(), "https://10.10.33.38:2380".to_owned()));
        let out = with_initial_cluster(RUNBOOK, &three()).unwrap();
        assert_eq!(initial_cluster(&out).unwrap().unwrap(), three());
        assert_eq!(with_initial_cluster(&out, &now).unwrap(), RUNBOOK, "nothing else was touched");
    }

    #[test]
    fn one_variable_a_line_works_too() {
        let text = "ETCD_NAME=\"master01\"\nETCD_LISTEN_PEER_URLS=https://10.10.33.37:2380\nETCD_INITIAL_CLUSTER='master01=https://10.10.33.37:2380'\n";
        assert_eq!(
            joined(text).unwrap(),
            "ETCD_NAME=\"master04\"\nETCD_LISTEN_PEER_URLS=https://10.10.33.40:2380\nETCD_INITIAL_CLUSTER='master01=https://10.10.33.37:2380,master02=https://10.10.33.38:2380,master04=https://10.10.33.40:2380'\nETCD_INITIAL_CLUSTER_STATE=existing\n"
        );
    }

    #[test]
    fn a_missing_or_doubled_flag_is_told() {
        assert_eq!(joined("ETCD_OPTS=\"\"").unwrap_err(), EditError::Missing("name".into()));
        assert!(matches!(joined("A=\"--name a\n --name b\""), Err(EditError::Twice { .. })));
    }
}
