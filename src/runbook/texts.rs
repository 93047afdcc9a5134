//! What the operator reads about a step, by its kind; the words live in `assets/`, a file a language.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use serde::Deserialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{
    cluster::HostName,
    engine::plan::UndoCard,
    lang::{self, Lang},
};

/// Every kind of step there is a text for, in the order of the runbook.
pub const KINDS: [&str; 26] = [
    "backup.files",
    "backup.snapshot",
    "etcd.host",
    "etcd.install",
    "etcd.certs",
    "etcd.joiner-certs",
    "etcd.rehearse",
    "etcd.join",
    "etcd.promote",
    "etcd.conf",
    "kube.packages",
    "kube.trees",
    "kube.addresses",
    "kube.kubelet",
    "apiserver.openssl",
    "apiserver.cert",
    "apiserver.rollout",
    "kube.pki",
    "calico.secret",
    "calico.endpoints",
    "kube.start",
    "kube.node",
    "kube.token",
    "calico.pods",
    "workers.nginx",
    "proof.final",
];

/// Columns a title may take in the step list.
pub const TITLE_COLUMNS: usize = 34;

/// What stands in a title for the host's name.
const HOST: &str = "{host}";

/// The words about one kind of step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepText {
    /// Short title; `{host}` stands for a host's name. [`title`] fills it in.
    pub title: String,
    /// What will happen.
    pub what: String,
    /// Why it is done, and done this way.
    pub why: String,
    /// What the runbook's text says here, and where it is wrong.
    pub runbook: String,
    /// How to get back.
    pub undo: UndoText,
    /// How long it takes on quiet hosts, in seconds.
    pub expected_seconds: u64,
}

/// The words of an undo card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoText {
    /// Until when the step can be taken back.
    pub until: String,
    /// What taking it back costs.
    pub cost: String,
}

type Catalog = BTreeMap<String, StepText>;

/// A catalog that does not parse is one without texts: a test holds that it does, and a run must not end over words.
static ENGLISH: LazyLock<Catalog> = LazyLock::new(|| read(include_str!("../../assets/steps.en.yaml")));

static CHINESE: LazyLock<Catalog> = LazyLock::new(|| read(include_str!("../../assets/steps.zh.yaml")));

fn read(file: &str) -> Catalog {
    serde_yaml::from_str(file).unwrap_or_default()
}

static NO_TEXT: LazyLock<StepText> = LazyLock::new(StepText::default);

/// The words about a kind of step; empty ones for a kind that has none.
pub fn text(kind: &str) -> &'static StepText {
    let catalog = match lang::current() {
        Lang::English => &ENGLISH,
        Lang::Chinese => &CHINESE,
    };
    catalog.get(kind).or_else(|| ENGLISH.get(kind)).unwrap_or(&NO_TEXT)
}

/// A step's title with its host's name in it, at most [`TITLE_COLUMNS`] wide; a long name is cut with an ellipsis.
pub fn title(kind: &str, host: Option<&HostName>) -> String {
    let template = match text(kind).title.as_str() {
        "" => kind,
        title => title,
    };
    let Some((before, after)) = template.split_once(HOST) else { return cut(template, TITLE_COLUMNS) };
    let room = TITLE_COLUMNS.saturating_sub(before.width() + after.width());
    format!("{before}{}{after}", cut(host.map_or(trs!("a host"), HostName::as_str), room))
}

/// The undo card's words; what would run is filled in by [`crate::engine::Plan::new`].
pub fn undo_card(kind: &str) -> UndoCard {
    let undo = &text(kind).undo;
    UndoCard { acts: Vec::new(), until: undo.until.clone(), cost: undo.cost.clone() }
}

/// About how long a step takes.
pub fn expected(kind: &str) -> Duration {
    Duration::from_secs(text(kind).expected_seconds)
}

fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../assets/steps.en.yaml");

    fn sentences(text: &str) -> usize {
        let ends =
            text.match_indices(['.', '?']).filter(|(i, _)| text[i + 1..].chars().next().is_none_or(|c| c == ' '));
        ends.count()
    }

    #[test]
    fn every_kind_has_its_words_and_no_others_are_there() {
        let catalog: Catalog = serde_yaml::from_str(FILE).unwrap();
        let mut known = KINDS.map(str::to_owned).to_vec();
        known.sort();
        assert_eq!(catalog.keys().cloned().collect::<Vec<_>>(), known);
        assert!(KINDS.iter().all(|k| !text(k).title.is_empty()));
    }

    #[test]
    fn the_words_fit_their_place() {
        for kind in KINDS {
            let step = text(kind);
            assert!(title(kind, Some(&HostName::new("master04"))).width() <= TITLE_COLUMNS, "{kind}");
            assert!((2..=4).contains(&sentences(&step.what)), "{kind}: what has {}", sentences(&step.what));
            assert!((2..=5).contains(&sentences(&step.why)), "{kind}: why has {}", sentences(&step.why));
            for words in [&step.title, &step.what, &step.why, &step.runbook, &step.undo.until, &step.undo.cost] {
                assert!(!words.trim().is_empty() && !words.contains('!') && !words.contains('\n'), "{kind}: {words}");
            }
            assert!((1..=600).contains(&step.expected_seconds), "{kind}");
        }
    }

    #[test]
    fn no_title_cuts_an_ordinary_name() {
        for kind in KINDS {
            let title = title(kind, Some(&HostName::new("master04")));
            assert_eq!(text(kind).title.contains(HOST), title.contains("master04"), "{kind}: {title}");
        }
    }

    #[test]
    fn titles_hold_the_hosts_name_and_never_grow_too_wide() {
        assert_eq!(title("etcd.join", Some(&HostName::new("master04"))), "Join master04 to etcd");
        assert_eq!(title("etcd.conf", None), "List all members in etcd.conf");
        let long = title("etcd.join", Some(&HostName::new("kube-master-frankfurt-rack-07-04")));
        assert_eq!((long.as_str(), long.width()), ("Join kube-master-frankfur… to etcd", TITLE_COLUMNS));
    }

    #[test]
    fn an_unknown_kind_shows_itself() {
        assert_eq!(title("etcd.nothing", None), "etcd.nothing");
        assert_eq!(undo_card("etcd.nothing"), UndoCard::default());
    }
}
