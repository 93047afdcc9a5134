//! A mapping of the tree, read key by key: unknown and duplicate keys, missing ones, wrong types.

use std::{collections::BTreeMap, path::Path};

use super::{
    Problems,
    check::Wrong,
    is_plain, quoted,
    tree::{Entry, Kind, Value},
};

/// A value with the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// What every room needs while reading: where problems go, and what `~` stands for.
pub(super) struct Reader<'a> {
    pub(super) problems: &'a mut Problems,
    pub(super) home: Option<&'a Path>,
}

/// One mapping whose keys are taken out one after the other.
#[derive(Debug)]
pub(super) struct Fields {
    /// Dotted place in the file, such as `layout.etcd`; empty for the file itself.
    place: String,
    /// Where the mapping begins.
    pub(super) line: usize,
    entries: BTreeMap<String, Spot<Value>>,
}

impl Fields {
    /// A mapping that was left out.
    pub(super) fn absent(place: &str) -> Self {
        Self { place: place.into(), line: 0, entries: BTreeMap::new() }
    }

    /// Opens a mapping, reporting unknown and duplicate keys. `None` when it is no mapping (reported).
    pub(super) fn open(reader: &mut Reader<'_>, value: Value, place: &str, known: &[&str]) -> Option<Self> {
        let line = value.line;
        let entries = match value.kind {
            Kind::Map(entries) => entries,
            Kind::Reported => return None,
            other => {
                let subject = if place.is_empty() { trs!("the file").into() } else { format!("`{place}`") };
                reader.problems.add(
                    line,
                    tr!("{subject} must be a mapping, not {other}", subject = subject, other = kind_word(&other)),
                    tr!("write `key: value` lines; the keys are {known}", known = known.join(", ")),
                );
                return None;
            }
        };
        let mut fields = Self { place: place.into(), line, entries: BTreeMap::new() };
        let (right, unknown): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| known.contains(&e.key.as_str()));
        for entry in right {
            fields.put(reader, entry);
        }
        for entry in unknown {
            fields.put_unknown(reader, entry, known);
        }
        Some(fields)
    }

    fn put(&mut self, reader: &mut Reader<'_>, entry: Entry) {
        if let Some(first) = self.entries.get(&entry.key) {
            let what = tr!(
                "{key} stands here a second time, after line {line}",
                key = self.label(&entry.key),
                line = first.line
            );
            reader.problems.add(entry.line, what, trs!("keep one of the two"));
            return;
        }
        self.entries.insert(entry.key, Spot { line: entry.line, value: entry.value });
    }

    /// Reports an unknown key. One that is plainly meant to be a known key stands for it from here on, so that its value
    /// is looked at too and nobody is told that the known one is missing.
    fn put_unknown(&mut self, reader: &mut Reader<'_>, entry: Entry, known: &[&str]) {
        let Entry { key, line, mut value } = entry;
        if key.is_empty() {
            // Reported while the tree was built.
            return;
        }
        let place = if self.place.is_empty() { String::new() } else { tr!(" in `{place}`", place = self.place) };
        if reader.problems.is_full() {
            // Nobody will read it: not worth a comparison with every known key.
            reader.problems.add(line, tr!("unknown key{place}", place = place), trs!("remove it"));
            return;
        }
        // `password:hunter2` without its space is one long key: what follows the colon stays unsaid.
        let said = if is_secret(&key) { key.split(':').next().unwrap_or_default() } else { &key };
        let (meant, remedy) = unknown_key(&key, known);
        reader.problems.add(line, tr!("unknown key {said}{place}", said = quoted(said), place = place), remedy);
        let Some(meant) = meant else { return };
        if key.contains(':') {
            value.kind = Kind::Reported;
        }
        self.entries.entry(meant.to_owned()).or_insert(Spot { line, value });
    }

    /// `` `layout.etcd.data` ``, as messages name a key.
    pub(super) fn label(&self, key: &str) -> String {
        if self.place.is_empty() { format!("`{key}`") } else { format!("`{}.{key}`", self.place) }
    }

    /// The line a key stands on, if it is there and was not taken yet.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        self.entries.get(key).map(|e| e.line)
    }

    /// Takes a key's value out, whatever it is.
    pub(super) fn take(&mut self, key: &str) -> Option<Spot<Value>> {
        self.entries.remove(key)
    }

    /// Takes a mapping or list out; one left empty counts as left out.
    pub(super) fn take_block(&mut self, key: &str) -> Option<Value> {
        self.take(key).map(|s| s.value).filter(|v| !matches!(v.kind, Kind::Null))
    }

    /// Takes a text out and checks it. `None` when left out or wrong (reported).
    pub(super) fn checked<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &str,
        check: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Spot<T>> {
        let spot = self.text(reader, key)?;
        match check(&spot.value) {
            Ok(value) => Some(Spot { line: spot.line, value }),
            Err(wrong) => {
                let what =
                    tr!("{key} is {value}, {why}", key = self.label(key), value = quoted(&spot.value), why = wrong.why);
                reader.problems.add(spot.line, what, wrong.remedy);
                None
            }
        }
    }

    /// Like [`Self::checked`], and a key left out is reported too.
    pub(super) fn required<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &str,
        add: &str,
        check: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Spot<T>> {
        if !self.entries.contains_key(key) {
            self.report_missing(reader, key, add);
            return None;
        }
        self.checked(reader, key, check)
    }

    /// Reports that a key is missing.
    pub(super) fn report_missing(&self, reader: &mut Reader<'_>, key: &str, add: &str) {
        let what = tr!("{key} is missing", key = self.label(key));
        if self.place.is_empty() {
            reader.problems.add_whole(what, add);
        } else {
            reader.problems.add(self.line, what, add);
        }
    }

    fn text(&mut self, reader: &mut Reader<'_>, key: &str) -> Option<Spot<String>> {
        let label = self.label(key);
        let Spot { line, value } = self.take(key)?;
        match value.kind {
            Kind::Reported => None,
            Kind::Text(text) => {
                let text = text.trim_matches([' ', '\t']).to_owned();
                if text.is_empty() {
                    reader.problems.add(
                        value.line,
                        tr!("{label} is empty", label = label),
                        trs!("give it a value or remove the line"),
                    );
                    return None;
                }
                visible(reader, &label, value.line, &text).then_some(Spot { line: value.line, value: text })
            }
            Kind::Null => {
                reader.problems.add(
                    line,
                    tr!("{label} has no value", label = label),
                    trs!("give it one or remove the line"),
                );
                None
            }
            other => {
                let what = tr!("{label} must be a single value, not {other}", label = label, other = kind_word(&other));
                reader.problems.add(value.line, what, trs!("write `key: value` on one line"));
                None
            }
        }
    }
}

/// Whether a text holds only what can be seen; reports it otherwise, unless its line was reported while reading.
fn visible(reader: &mut Reader<'_>, label: &str, line: usize, text: &str) -> bool {
    if text.contains(char::REPLACEMENT_CHARACTER) && reader.problems.list.iter().any(|p| p.line == Some(line)) {
        return false;
    }
    let Some(c) = text.chars().find(|c| !is_plain(*c)) else { return true };
    let what = tr!("{label} holds an invisible character, {character}", label = label, character = c.escape_unicode());
    reader.problems.add(line, what, trs!("use visible characters on one line only"));
    false
}

/// What a value is, as a message says it.
pub(super) fn kind_word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Null => trs!("empty"),
        Kind::Text(_) => trs!("a single value"),
        Kind::List(_) => trs!("a list"),
        Kind::Map(_) => trs!("a mapping"),
        Kind::Reported => trs!("something else"),
    }
}

fn is_secret(key: &str) -> bool {
    let head = key.split(':').next().unwrap_or_default().to_ascii_lowercase();
    matches!(head.as_str(), "password" | "passwd" | "passphrase" | "secret" | "token")
}

/// The known key that is meant, if one can be told, and what to do.
fn unknown_key<'k>(key: &str, known: &[&'k str]) -> (Option<&'k str>, String) {
    if is_secret(key) {
        let remedy = trs!("leave it out: secrets do not belong in this file; banister uses the ssh agent or asks");
        return (None, remedy.into());
    }
    if let Some((head, tail)) = key.split_once(':')
        && let Some(meant) = known.iter().find(|k| **k == head)
    {
        return (
            Some(meant),
            tr!("put a space after the colon: {sample}", sample = quoted(&format!("{head}: {tail}"))),
        );
    }
    match nearest(key, known) {
        Some(near) => (Some(near), tr!("did you mean `{near}`?", near = near)),
        None => (None, tr!("remove it; the keys here are {known}", known = known.join(", "))),
    }
}

/// The known word a mistyped one is closest to, if close enough to be meant.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase().replace('-', "_");
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|k| (strsim::osa_distance(&word, k), *k))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
