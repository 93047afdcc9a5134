//! The masters side by side: what must be the same on all of them, and what a difference would lead to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::LazyLock,
};

use serde::Deserialize;

use super::text;
use crate::{
    cluster::{Cluster, EtcdPair, HostName},
    lang::{self, Lang},
    remote::clean,
    survey::{CertOnDisk, HostObserved, HostSeen},
};

/// Clocks further than this from the middle one count as different, milliseconds.
const CLOCK_APART: i64 = 1000;

/// Digits of a fingerprint shown: enough to tell two apart.
const DIGITS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    label: String,
    symptom: String,
}

/// A file that does not parse is one without words: a test holds that it does, and a run must not end over words.
static ENGLISH: LazyLock<BTreeMap<String, Words>> =
    LazyLock::new(|| serde_yaml::from_str(include_str!("../../assets/xray.en.yaml")).unwrap_or_default());

static CHINESE: LazyLock<BTreeMap<String, Words>> =
    LazyLock::new(|| serde_yaml::from_str(include_str!("../../assets/xray.zh.yaml")).unwrap_or_default());

fn texts() -> &'static BTreeMap<String, Words> {
    match lang::current() {
        Lang::English => &ENGLISH,
        Lang::Chinese => &CHINESE,
    }
}

/// The masters side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    /// The masters, in the order of the file.
    pub hosts: Vec<HostName>,
    /// What is compared.
    pub rows: Vec<Row>,
    /// Flags of etcd's configuration that are the same on all.
    pub flags_alike: usize,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is compared.
    pub label: String,
    /// A cell a host.
    pub cells: Vec<Cell>,
    /// What a difference leads to; empty where the row isn't compared.
    pub symptom: String,
}

impl Row {
    /// Whether a cell differs.
    pub fn differs(&self) -> bool {
        self.cells.iter().any(|c| c.differs)
    }
}

/// What a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// In a word.
    pub text: String,
    /// Whether most others have something else.
    pub differs: bool,
}

impl Matrix {
    /// Compares the masters among the hosts looked at. What was not reached, and what a host to join does not have yet,
    /// is not compared.
    pub fn new(cluster: &Cluster, hosts: &[HostObserved]) -> Self {
        let masters: Vec<&HostObserved> =
            cluster.all_masters().filter_map(|n| hosts.iter().find(|h| h.name == n.name)).collect();
        let seen: Vec<Option<&HostSeen>> = masters.iter().map(|h| h.seen.as_ref().ok()).collect();
        let mut rows = vec![
            row("system", &seen, |s| some(&s.facts.os)),
            clock(&seen),
            row("etcd-version", &seen, |s| s.etcd.as_ref()?.version.clone()),
            row("etcd-unit", &seen, |s| {
                let unit = &installed(s)?.unit;
                let enabled = if unit.enabled == "enabled" { "" } else { " !enabled" };
                Some(format!("{}{enabled}", unit.active))
            }),
            row("etcd-restarts", &seen, |s| Some(installed(s)?.unit.restarts.to_string())),
            row("ca", &seen, |s| Some(fingerprint(installed(s)?.ca.as_ref()?, |c| &c.fingerprint))),
            row("ca-key", &seen, |s| {
                Some(if installed(s)?.ca_key? { trs!("yes") } else { trs!("unusable") }.to_owned())
            }),
        ];
        for (key, pair) in [("server", EtcdPair::Server), ("peer", EtcdPair::Peer), ("client", EtcdPair::Client)] {
            rows.push(row(key, &seen, |s| Some(fingerprint(installed(s)?.certs.get(&pair)?, |c| &c.key_fingerprint))));
        }
        rows.push(row("signed", &seen, signed));
        rows.push(row("data", &seen, |s| {
            s.etcd.as_ref()?.version.as_ref()?;
            Some(match s.etcd.as_ref()?.data_entries {
                None => trs!("none").to_owned(),
                Some(0) => trs!("empty").to_owned(),
                Some(_) => trs!("in use").to_owned(),
            })
        }));
        let (flags, alike) = flags(cluster, &masters);
        rows.extend(flags);
        Self { hosts: masters.iter().map(|h| h.name.clone()).collect(), rows, flags_alike: alike }
    }

    /// How many rows differ.
    pub fn differing(&self) -> usize {
        self.rows.iter().filter(|r| r.differs()).count()
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// etcd on a host that has it.
fn installed(seen: &HostSeen) -> Option<&crate::survey::EtcdOnHost> {
    seen.etcd.as_ref().filter(|e| e.version.is_some() || e.config.is_some())
}

fn fingerprint(cert: &CertOnDisk, of: impl Fn(&crate::pki::CertInfo) -> &String) -> String {
    match &cert.cert {
        Ok(info) => of(info).chars().take(DIGITS).collect(),
        Err(_) => trs!("unreadable").to_owned(),
    }
}

fn signed(seen: &HostSeen) -> Option<String> {
    let etcd = installed(seen)?;
    let not: Vec<String> =
        etcd.certs.iter().filter(|(_, c)| c.issued_by_ca == Some(false)).map(|(pair, _)| pair.to_string()).collect();
    (!etcd.certs.is_empty())
        .then(|| if not.is_empty() { trs!("all").to_owned() } else { tr!("not {not}", not = not.join(", ")) })
}

fn words(key: &str) -> Words {
    texts().get(key).cloned().unwrap_or_else(|| Words { label: key.to_owned(), symptom: String::new() })
}

fn row(key: &str, seen: &[Option<&HostSeen>], of: impl Fn(&HostSeen) -> Option<String>) -> Row {
    let values: Vec<Option<String>> = seen.iter().map(|s| s.and_then(&of).map(|v| clean::line(&v))).collect();
    let words = words(key);
    compared(words.label, values, words.symptom)
}

/// Marks what is not what most have. A host without a value is not compared.
fn compared(label: String, values: Vec<Option<String>>, symptom: String) -> Row {
    let mut counts: Vec<(&String, usize)> = Vec::new();
    for value in values.iter().flatten() {
        match counts.iter_mut().find(|(v, _)| *v == value) {
            Some((_, n)) => *n += 1,
            None => counts.push((value, 1)),
        }
    }
    // The first of equally many: the first original is what the new members are made from.
    let most = counts.iter().rev().max_by_key(|(_, n)| *n).map(|(v, _)| (*v).clone());
    let cells = values
        .into_iter()
        .map(|value| Cell {
            differs: !symptom.is_empty() && value.is_some() && value != most,
            text: value.unwrap_or_else(|| "-".to_owned()),
        })
        .collect();
    Row { label, cells, symptom }
}

/// Clocks are never equal: what counts is the distance from the middle one.
fn clock(seen: &[Option<&HostSeen>]) -> Row {
    let offsets: Vec<Option<i64>> = seen.iter().map(|s| s.map(|s| s.facts.clock_offset_ms)).collect();
    let mut sorted: Vec<i64> = offsets.iter().flatten().copied().collect();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let words = words("clock");
    let cells = offsets
        .into_iter()
        .map(|offset| Cell {
            text: offset.map_or_else(|| "-".to_owned(), text::clock_offset),
            differs: offset.is_some_and(|o| o.abs_diff(middle) > CLOCK_APART.unsigned_abs()),
        })
        .collect();
    Row { label: words.label, cells, symptom: words.symptom }
}

/// Flags of etcd's configuration that differ, a row each, and how many don't. A host's own name and address count as
/// the same on every host.
fn flags(cluster: &Cluster, masters: &[&HostObserved]) -> (Vec<Row>, usize) {
    let of = |host: &HostObserved| {
        let config = host.seen.as_ref().ok()?.etcd.as_ref()?.config.as_deref()?;
        let address = cluster.node(&host.name)?.address;
        Some(flags_of(config).into_iter().map(|(k, v)| (k.clone(), general(&k, &v, &host.name, address))).collect())
    };
    let all: Vec<Option<BTreeMap<String, String>>> = masters.iter().map(|h| of(h)).collect();
    let names: BTreeSet<&String> = all.iter().flatten().flat_map(BTreeMap::keys).collect();
    let (mut rows, mut alike) = (Vec::new(), 0);
    for name in names {
        let value = |flags: &Option<BTreeMap<String, String>>| {
            flags.as_ref().map(|f| f.get(name).cloned().unwrap_or_else(|| trs!("not set").to_owned()))
        };
        let row = compared(format!("--{}", clean::line(name)), all.iter().map(value).collect(), words("flag").symptom);
        if row.differs() {
            rows.push(Row {
                cells: row.cells.into_iter().map(|c| Cell { text: clean::line(&c.text), ..c }).collect(),
                ..row
            });
        } else {
            alike += 1;
        }
    }
    (rows, alike)
}

/// The flags in either form: `ETCD_OPTS="--flag value \\ …"`, or `ETCD_FLAG=value` a line.
fn flags_of(config: &str) -> BTreeMap<String, String> {
    let code: Vec<&str> = config.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
    let code = code.join("\n").replace("\\\n", " ");
    let mut flags = BTreeMap::new();
    for line in code.lines() {
        let words = shell_words::split(line).unwrap_or_else(|_| vec![line.replace(['"', '\''], "")]);
        for (name, value) in words.iter().filter_map(|w| w.strip_prefix("ETCD_")?.split_once('=')) {
            if value.trim_start().starts_with("--") {
                flags.extend(dashed(value));
            } else if name != "IMAGE_TAG" {
                flags.insert(name.to_lowercase().replace('_', "-"), value.to_owned());
            }
        }
    }
    flags
}

/// `--a b --c=d --e` as pairs; a flag without a value is on.
fn dashed(text: &str) -> Vec<(String, String)> {
    let mut flags: Vec<(String, String)> = Vec::new();
    for word in text.split_whitespace() {
        match (word.strip_prefix("--"), flags.last_mut()) {
            (Some(flag), _) => {
                let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                flags.push((name.to_owned(), value.to_owned()));
            }
            (None, Some((_, value))) => word.clone_into(value),
            (None, None) => {}
        }
    }
    flags
}

/// A value as it would be on any host.
fn general(flag: &str, value: &str, name: &HostName, address: IpAddr) -> String {
    if flag == "initial-cluster" {
        let mut members: Vec<&str> = value.split(',').collect();
        members.sort_unstable();
        return members.join(",");
    }
    if value == name.as_str() {
        return "NAME".to_owned();
    }
    let own = address.to_string();
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find(&own) {
        let (before, after) = (&rest[..at], &rest[at + own.len()..]);
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '.')
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '.');
        out.push_str(before);
        out.push_str(if whole { "ADDRESS" } else { &own });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_words() {
        let files = [include_str!("../../assets/xray.en.yaml"), include_str!("../../assets/xray.zh.yaml")];
        let [english, chinese] = files.map(|f| serde_yaml::from_str::<BTreeMap<String, Words>>(f).unwrap());
        assert_eq!(english.len(), 13);
        assert!(english.keys().eq(chinese.keys()));
        for (k, w) in english.iter().chain(&chinese) {
            assert!(k == "flag" || text::width(&w.label) <= 20 && !w.label.is_empty(), "{k}");
            assert!(k == "ca-key" || w.symptom.ends_with(['.', '"', '。']), "{k}");
        }
    }

    #[test]
    fn both_forms_of_the_configuration_give_the_same_flags() {
        let dashed = "# --name x\nETCD_IMAGE_TAG=v3\nETCD_OPTS=\"--name master01 \\\n  --listen-peer-urls=https://10.0.0.1:2380 \\\n  --peer-client-cert-auth \\\n  --metrics basic\"\n";
        let variables = "ETCD_NAME=master01\nETCD_LISTEN_PEER_URLS=\"https://10.0.0.1:2380\"\nETCD_PEER_CLIENT_CERT_AUTH=true\nETCD_METRICS='basic'\n";
        assert_eq!(flags_of(dashed), flags_of(variables));
        assert_eq!(flags_of(dashed)["metrics"], "basic");
        assert_eq!(flags_of(dashed).len(), 4);
    }

    #[test]
    fn a_hosts_own_name_and_address_are_no_difference_and_a_longer_address_is_another() {
        let (name, address) = (HostName::new("m1"), "10.0.0.1".parse().unwrap());
        assert_eq!(general("name", "m1", &name, address), "NAME");
        assert_eq!(
            general("x", "https://10.0.0.1:2379,https://127.0.0.1:2379", &name, address),
            "https://ADDRESS:2379,https://127.0.0.1:2379"
        );
        assert_eq!(general("x", "https://10.0.0.11:2379", &name, address), "https://10.0.0.11:2379");
        assert_eq!(general("initial-cluster", "b=2,a=1", &name, address), "a=1,b=2");
    }

    #[test]
    fn what_most_have_is_right_and_a_host_without_a_value_is_not_compared() {
        let values = |v: &[Option<&str>]| v.iter().map(|v| v.map(str::to_owned)).collect();
        let marks = |v: &[Option<&str>]| {
            compared("x".into(), values(v), "s".into()).cells.iter().map(|c| c.differs).collect::<Vec<_>>()
        };
        assert_eq!(marks(&[Some("a"), Some("b"), Some("b"), None]), [true, false, false, false]);
        assert_eq!(marks(&[Some("a"), Some("b")]), [false, true], "the first one leads where nobody has more");
        assert_eq!(marks(&[None, None]), [false, false]);
    }
}
