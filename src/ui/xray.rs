//! The masters side by side: what must be the same on all of them, and what a difference would lead to.

mod flags;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use super::text;
use crate::{
    cluster::{Cluster, EtcdPair, HostName},
    lang::{self, Lang},
    remote::clean,
    survey::{CertOnDisk, HostObserved, HostSeen, KubeOnHost, Shared},
    watch::NodeSeen,
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
    /// What is compared, part by part.
    pub parts: Vec<Part>,
}

/// Rows that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// What they are about.
    pub title: &'static str,
    /// The rows.
    pub rows: Vec<Row>,
    /// Flags that are the same on all, and have no row.
    pub alike: usize,
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
    /// is not compared. `nodes` as the API lists them: kubelet's version is known from there.
    pub fn new(cluster: &Cluster, hosts: &[&HostObserved], nodes: &[NodeSeen]) -> Self {
        let masters: Vec<(HostName, Option<&HostSeen>)> = cluster
            .all_masters()
            .filter_map(|n| hosts.iter().find(|h| h.name == n.name))
            .map(|h| (h.name.clone(), h.seen.as_ref().ok()))
            .collect();
        let seen: Vec<Option<&HostSeen>> = masters.iter().map(|(_, seen)| *seen).collect();
        let host = Part {
            title: trs!("host"),
            rows: vec![row("system", &seen, |s| some(&s.facts.os)), clock(&seen)],
            alike: 0,
        };
        let (flag_rows, alike) =
            flags::rows(cluster, &masters, |s| Some(flags::etcd_flags(s.etcd.as_ref()?.config.as_deref()?)));
        let mut rows = etcd(&seen);
        rows.extend(flag_rows);
        let mut parts = vec![host, Part { title: "etcd", rows, alike }];
        if seen.iter().flatten().any(|s| s.kube.is_some()) || !nodes.is_empty() {
            let kubelets = masters.iter().map(|(name, _)| {
                let node = cluster.node_name(cluster.node(name)?);
                nodes.iter().find(|n| n.name == node || n.name == name.as_str()).map(|n| n.version.clone())
            });
            let words = words("kubelet");
            let mut rows = vec![compared(words.label, kubelets.collect(), words.symptom)];
            rows.extend(kubernetes(&seen));
            parts.push(Part { title: "Kubernetes", rows, alike: 0 });
            for (component, title) in COMPONENTS {
                let (rows, alike) =
                    flags::rows(cluster, &masters, |s| Some(s.kube.as_ref()?.pod(component)?.flags.clone()));
                if !rows.is_empty() || alike > 0 {
                    parts.push(Part { title: lang::words(title), rows, alike });
                }
            }
        }
        Self { hosts: masters.into_iter().map(|(name, _)| name).collect(), parts }
    }
}

/// The components, and what their flags stand under.
const COMPONENTS: [(&str, &str); 3] = [
    ("kube-apiserver", mark!("kube-apiserver's flags")),
    ("kube-controller-manager", mark!("kube-controller-manager's flags")),
    ("kube-scheduler", mark!("kube-scheduler's flags")),
];

fn etcd(seen: &[Option<&HostSeen>]) -> Vec<Row> {
    let mut rows = vec![
        row("etcd-version", seen, |s| s.etcd.as_ref()?.version.clone()),
        row("etcd-unit", seen, |s| {
            let unit = &installed(s)?.unit;
            let enabled = if unit.enabled == "enabled" { "" } else { " !enabled" };
            Some(format!("{}{enabled}", unit.active))
        }),
        row("etcd-restarts", seen, |s| Some(installed(s)?.unit.restarts.to_string())),
        row("ca", seen, |s| Some(fingerprint(installed(s)?.ca.as_ref()?, |c| &c.fingerprint))),
        row("ca-key", seen, |s| Some(if installed(s)?.ca_key? { trs!("yes") } else { trs!("unusable") }.to_owned())),
    ];
    for (key, pair) in [("server", EtcdPair::Server), ("peer", EtcdPair::Peer), ("client", EtcdPair::Client)] {
        rows.push(row(key, seen, |s| Some(fingerprint(installed(s)?.certs.get(&pair)?, |c| &c.key_fingerprint))));
    }
    rows.push(row("signed", seen, signed));
    rows.push(row("data", seen, |s| {
        s.etcd.as_ref()?.version.as_ref()?;
        Some(match s.etcd.as_ref()?.data_entries {
            None => trs!("none").to_owned(),
            Some(0) => trs!("empty").to_owned(),
            Some(_) => trs!("in use").to_owned(),
        })
    }));
    rows
}

fn kubernetes(seen: &[Option<&HostSeen>]) -> Vec<Row> {
    let version = |component: &'static str| move |s: &HostSeen| Some(s.kube.as_ref()?.pod(component)?.version.clone());
    let mut rows = vec![
        row("apiserver", seen, version("kube-apiserver")),
        row("controller-manager", seen, version("kube-controller-manager")),
        row("scheduler", seen, version("kube-scheduler")),
    ];
    let shared = [
        ("kube-ca", Shared::ClusterCa),
        ("account-check", Shared::AccountCheck),
        ("account-sign", Shared::AccountSign),
        ("front-proxy", Shared::FrontProxyCa),
        ("signing-key", Shared::SigningKey),
        ("encryption", Shared::Encryption),
    ];
    rows.extend(shared.map(|(key, what)| {
        row(key, seen, |s| {
            Some(match s.kube.as_ref()?.shared.get(&what) {
                None => trs!("not set").to_owned(),
                Some(Ok(print)) => print.chars().take(DIGITS).collect(),
                Some(Err(why)) => why.clone(),
            })
        })
    }));
    rows.push(row("manifests", seen, |s| Some(tr!("{n} file" | "{n} files" % s.kube.as_ref()?.manifests.len()))));
    rows.extend(manifest_files(seen));
    rows.extend(COMPONENTS.iter().filter_map(|(component, _)| twice(component, seen)));
    rows
}

/// Files that kubelet reads on some masters only, a row each; and those that make no pod.
fn manifest_files(seen: &[Option<&HostSeen>]) -> Vec<Row> {
    let kubes: Vec<Option<&KubeOnHost>> = seen.iter().map(|s| s.as_ref()?.kube.as_ref()).collect();
    let names: BTreeSet<&String> = kubes.iter().flatten().flat_map(|k| k.manifests.keys()).collect();
    let words = words("manifest-file");
    let row = |name: &String| {
        let there = |k: &KubeOnHost| match k.manifests.get(name) {
            Some(Ok(_)) => trs!("there").to_owned(),
            Some(Err(why)) => why.clone(),
            None => trs!("none").to_owned(),
        };
        let values = kubes.iter().map(|k| k.map(there)).collect();
        compared(name.clone(), values, words.symptom.clone())
    };
    names.into_iter().map(row).filter(Row::differs).collect()
}

/// Two files that make the same pod: wrong wherever it is, on all masters too.
fn twice(component: &str, seen: &[Option<&HostSeen>]) -> Option<Row> {
    let files = |s: &HostSeen| Some(s.kube.as_ref()?.files_of(component).count());
    let counts: Vec<Option<usize>> = seen.iter().map(|s| s.and_then(files)).collect();
    counts.iter().flatten().any(|n| *n > 1).then(|| {
        let words = words("manifest-twice");
        let cell = |n: Option<usize>| Cell {
            text: n.map_or_else(|| "-".to_owned(), |n| tr!("{n} file" | "{n} files" % n)),
            differs: n.is_some_and(|n| n > 1),
        };
        let label = format!("{} {}", words.label, component.trim_start_matches("kube-"));
        Row { label, cells: counts.into_iter().map(cell).collect(), symptom: words.symptom }
    })
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

/// A row; none where no host has anything.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_words() {
        let files = [include_str!("../../assets/xray.en.yaml"), include_str!("../../assets/xray.zh.yaml")];
        let [english, chinese] = files.map(|f| serde_yaml::from_str::<BTreeMap<String, Words>>(f).unwrap());
        assert_eq!(english.len(), 26);
        assert!(english.keys().eq(chinese.keys()));
        for (k, w) in english.iter().chain(&chinese) {
            let unnamed = ["flag", "manifest-file"].contains(&k.as_str());
            assert!(unnamed || text::width(&w.label) <= 21 && !w.label.is_empty(), "{k}");
            assert!(k == "ca-key" || w.symptom.ends_with(['.', '"', '。']), "{k}");
        }
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

    fn with(manifests: &[&str]) -> HostSeen {
        let pod = crate::survey::StaticPod { component: "kube-apiserver".into(), ..Default::default() };
        let files = manifests.iter().map(|name| ((*name).to_owned(), Ok(pod.clone())));
        HostSeen {
            kube: Some(KubeOnHost { manifests: files.collect(), ..KubeOnHost::default() }),
            ..HostSeen::default()
        }
    }

    #[test]
    fn a_copy_left_among_the_manifests_is_marked_though_every_master_has_it() {
        let (one, two) = (with(&["a.json"]), with(&["a.json", "a.json.bak"]));
        let row = twice("kube-apiserver", &[Some(&two), Some(&two)]).unwrap();
        assert!(row.cells.iter().all(|c| c.differs), "{row:?}");
        assert!(row.symptom.contains("second pod"), "{row:?}");
        assert_eq!(twice("kube-apiserver", &[Some(&one), None]), None);
        let files = manifest_files(&[Some(&one), Some(&one), Some(&two), None]);
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].label, "a.json.bak");
        assert_eq!(files[0].cells.iter().map(|c| c.differs).collect::<Vec<_>>(), [false, false, true, false]);
    }
}
