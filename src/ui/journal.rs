//! The hosts' journals, merged by time: a bounded ring, filtered, searched, followed or scrolled back.

use std::collections::VecDeque;

use crate::{
    cluster::HostName,
    watch::{LogLine, LogMsg, Source},
};

/// Most lines kept; older ones go.
pub const KEPT: usize = 100_000;

/// Most bytes of text kept, for lines that are long.
const BYTES: usize = 24 << 20;

/// A source as the journal knows it.
#[derive(Debug, Clone)]
pub struct SourceState {
    /// Which one.
    pub source: Source,
    /// Whether it is followed; `None` while nobody knows.
    pub state: Option<Result<(), String>>,
    /// The host's clock minus the operator's, microseconds: what the stamps are corrected by.
    pub offset: i64,
}

/// A line kept.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The operator's clock, microseconds since the epoch.
    pub at: i64,
    /// Program and message.
    pub text: Box<str>,
    source: u16,
    /// Whether the filter lets it through.
    shown: bool,
}

/// What is let through: every word must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    hosts: Vec<String>,
    units: Vec<String>,
    words: Vec<String>,
}

impl Filter {
    /// Reads `host:master01 unit:etcd some words`; case does not count.
    pub fn parse(text: &str) -> Self {
        let mut filter = Self::default();
        for word in text.split_whitespace().map(str::to_lowercase) {
            match word.split_once(':') {
                Some(("host", host)) => filter.hosts.push(host.to_owned()),
                Some(("unit", unit)) => filter.units.push(unit.to_owned()),
                _ => filter.words.push(word),
            }
        }
        filter
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn lets(&self, source: &Source, text: &str) -> bool {
        let one_of =
            |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str()));
        one_of(&self.hosts, source.host.as_str())
            && one_of(&self.units, &source.unit)
            && self.words.iter().all(|w| contains(text, w))
    }
}

/// Whether a text has a lower-case word in it, whatever its own case.
pub fn contains(text: &str, word: &str) -> bool {
    if word.is_empty() {
        return true;
    }
    if !word.is_ascii() {
        return text.to_lowercase().contains(word);
    }
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let (first, upper) = (word[0], word[0].to_ascii_uppercase());
    let begins = memchr::memchr2_iter(first, upper, text);
    begins.map(|at| &text[at..]).any(|t| t.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word)))
}

/// The lines, and where the operator looks.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    sources: Vec<SourceState>,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// How many entries the filter lets through.
    shown: usize,
    /// Lines gone at the front, so that a line keeps its number.
    dropped: usize,
    /// Number of the last line in sight; `None` follows the end.
    last: Option<usize>,
    /// The filter as typed, and as read.
    pub filter_text: String,
    filter: Filter,
    /// What is searched for, lower case.
    pub needle: String,
}

impl Journal {
    /// From these sources lines will come, in the order of [`LogMsg`]'s numbers.
    pub fn follow_these(&mut self, sources: Vec<Source>) {
        self.sources = sources.into_iter().map(|source| SourceState { source, state: None, offset: 0 }).collect();
    }

    /// Sets how far a host's clock is ahead of the operator's, in milliseconds; holds for lines that come from now on.
    pub fn clock(&mut self, host: &HostName, ahead_ms: i64) {
        for source in self.sources.iter_mut().filter(|s| &s.source.host == host) {
            source.offset = ahead_ms.saturating_mul(1000);
        }
    }

    /// Takes in what a source sent.
    pub fn take(&mut self, msg: LogMsg) {
        match msg {
            LogMsg::State(number, state) => {
                if let Some(source) = self.sources.get_mut(number) {
                    source.state = Some(state);
                }
            }
            LogMsg::Lines(number, lines) => {
                let (Some(state), Ok(source)) = (self.sources.get_mut(number), u16::try_from(number)) else { return };
                state.state = Some(Ok(()));
                for line in lines {
                    self.push(source, line);
                }
            }
        }
    }

    fn push(&mut self, source: u16, line: LogLine) {
        let Some(state) = self.sources.get(usize::from(source)) else { return };
        let shown = self.filter.lets(&state.source, &line.text);
        let at = line.at.saturating_sub(state.offset);
        while self.entries.len() >= KEPT || (self.bytes + line.text.len() > BYTES && !self.entries.is_empty()) {
            self.drop_oldest();
        }
        self.bytes += line.text.len();
        self.shown += usize::from(shown);
        let entry = Entry { at, text: line.text, source, shown };
        // Hosts answer at different speeds: a line is put where its time says. Nearly always that is the end.
        if self.entries.back().is_none_or(|e| e.at <= at) {
            self.entries.push_back(entry);
        } else {
            let place = self.entries.partition_point(|e| e.at <= at);
            self.entries.insert(place, entry);
            if let Some(last) = self.last.as_mut().filter(|l| place + self.dropped <= **l) {
                *last += 1;
            }
        }
        self.last = self.last.map(|l| l.max(self.dropped));
    }

    fn drop_oldest(&mut self) {
        if let Some(old) = self.entries.pop_front() {
            self.bytes -= old.text.len();
            self.shown -= usize::from(old.shown);
            self.dropped += 1;
        }
    }

    /// Shows only what a filter lets through.
    pub fn set_filter(&mut self, text: &str) {
        text.clone_into(&mut self.filter_text);
        self.filter = Filter::parse(text);
        self.shown = 0;
        for entry in &mut self.entries {
            entry.shown =
                self.sources.get(usize::from(entry.source)).is_some_and(|s| self.filter.lets(&s.source, &entry.text));
            self.shown += usize::from(entry.shown);
        }
    }

    /// Whether something is held back by the filter.
    pub fn filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Where a line is from.
    pub fn source(&self, entry: &Entry) -> Option<&Source> {
        self.sources.get(usize::from(entry.source)).map(|s| &s.source)
    }

    /// The sources.
    pub fn sources(&self) -> &[SourceState] {
        &self.sources
    }

    /// How many lines the filter lets through, and how many there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.shown, self.entries.len())
    }

    /// Whether the end is followed.
    pub fn follows(&self) -> bool {
        self.last.is_none()
    }

    /// Follows the end again.
    pub fn follow(&mut self) {
        self.last = None;
    }

    /// Stays where it is, whatever comes.
    pub fn stay(&mut self) {
        self.last = self.last.or_else(|| (self.dropped + self.entries.len()).checked_sub(1));
    }

    /// Shown lines from the last one in sight backwards.
    pub fn backwards(&self) -> impl Iterator<Item = &Entry> {
        self.entries.range(..self.end()).rev().filter(|e| e.shown)
    }

    /// Shown lines below the last one in sight.
    pub fn below(&self) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.end()..).filter(|e| e.shown)
    }

    /// Index after the last line in sight.
    fn end(&self) -> usize {
        self.last.map_or(self.entries.len(), |l| (l + 1).saturating_sub(self.dropped).min(self.entries.len()))
    }

    /// Moves by shown lines; reaching the end follows again.
    pub fn scroll(&mut self, by: isize) {
        let steps = by.unsigned_abs();
        if by < 0 {
            let shown = self.entries.range(..self.end()).enumerate().rev().filter(|(_, e)| e.shown);
            // The line in sight itself comes first; the oldest one stays in sight.
            if let Some((i, _)) = shown.take(steps + 1).last() {
                self.last = Some(i + self.dropped);
            }
        } else {
            let end = self.end();
            let mut below = self.entries.range(end..).enumerate().filter(|(_, e)| e.shown);
            match below.nth(steps.saturating_sub(1)) {
                Some((i, _)) if steps > 0 && self.entries.range(end + i + 1..).any(|e| e.shown) => {
                    self.last = Some(end + i + self.dropped);
                }
                _ => self.last = None,
            }
        }
    }

    /// Goes to the oldest line.
    pub fn top(&mut self) {
        if let Some(first) = self.entries.iter().position(|e| e.shown) {
            self.last = Some(first + self.dropped);
        }
    }

    /// Goes to the next older shown line with the needle in it (from the one in sight on, it included when `here`);
    /// whether there is one.
    pub fn older_match(&mut self, here: bool) -> bool {
        let end = if here { self.end() } else { self.end().saturating_sub(1) };
        let found = self.entries.range(..end).rposition(|e| e.shown && contains(&e.text, &self.needle));
        self.go(found)
    }

    /// Goes to the next newer match; whether there is one.
    pub fn newer_match(&mut self) -> bool {
        let end = self.end();
        let found = self.entries.range(end..).position(|e| e.shown && contains(&e.text, &self.needle));
        self.go(found.map(|i| i + end))
    }

    fn go(&mut self, to: Option<usize>) -> bool {
        if let (Some(to), false) = (to, self.needle.is_empty()) {
            self.last = Some(to + self.dropped);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(host: &str, unit: &str) -> Source {
        Source { host: HostName::new(host), unit: unit.into() }
    }

    fn line(at: i64, text: &str) -> LogLine {
        LogLine { at, text: text.into() }
    }

    fn journal() -> Journal {
        let mut journal = Journal::default();
        journal.follow_these(vec![source("master01", "etcd"), source("master02", "kubelet")]);
        journal
    }

    fn all(journal: &Journal) -> Vec<String> {
        let mut lines: Vec<_> = journal.backwards().map(|e| e.text.to_string()).collect();
        lines.reverse();
        lines
    }

    #[test]
    fn lines_of_all_hosts_stand_in_the_order_of_time_by_one_clock() {
        let mut journal = journal();
        journal.clock(&HostName::new("master02"), 10_000);
        journal.take(LogMsg::Lines(0, vec![line(1_000_000, "a"), line(3_000_000, "c"), line(5_000_000, "e")]));
        // Its clock is ten seconds ahead.
        journal.take(LogMsg::Lines(1, vec![line(12_000_000, "b"), line(14_000_000, "d")]));
        assert_eq!(all(&journal), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn what_is_read_stays_in_sight_while_lines_come_before_and_after_it() {
        let mut journal = journal();
        journal.take(LogMsg::Lines(0, (0..20).map(|i| line(i * 10, &format!("{i}"))).collect()));
        journal.scroll(-5);
        let seen = |j: &Journal| j.backwards().next().map(|e| e.text.to_string());
        assert_eq!(seen(&journal).as_deref(), Some("14"));
        journal.take(LogMsg::Lines(1, vec![line(35, "late"), line(500, "new")]));
        assert_eq!(seen(&journal).as_deref(), Some("14"));
        assert!(!journal.follows());
        journal.scroll(3);
        assert_eq!(seen(&journal).as_deref(), Some("17"));
        journal.scroll(100);
        assert!(journal.follows());
        assert_eq!(seen(&journal).as_deref(), Some("new"));
    }

    #[test]
    fn it_is_filtered_by_host_unit_and_words_and_new_lines_too() {
        let mut journal = journal();
        journal.take(LogMsg::Lines(0, vec![line(1, "Elected leader"), line(2, "slow fdatasync")]));
        journal.take(LogMsg::Lines(1, vec![line(3, "leader of pods")]));
        journal.set_filter("LEADER");
        assert_eq!(all(&journal), ["Elected leader", "leader of pods"]);
        journal.set_filter("host:master01 leader");
        assert_eq!(all(&journal), ["Elected leader"]);
        journal.set_filter("unit:kubelet");
        journal.take(LogMsg::Lines(0, vec![line(4, "not this")]));
        journal.take(LogMsg::Lines(1, vec![line(5, "but this")]));
        assert_eq!(all(&journal), ["leader of pods", "but this"]);
        assert_eq!(journal.counts(), (2, 5));
        journal.set_filter("");
        assert_eq!(all(&journal).len(), 5);
    }

    #[test]
    fn scrolling_counts_only_what_is_shown() {
        let mut journal = journal();
        journal.take(LogMsg::Lines(0, (0..100).map(|i| line(i, if i % 10 == 0 { "yes" } else { "no" })).collect()));
        journal.set_filter("yes");
        journal.scroll(-2);
        assert_eq!(journal.backwards().count(), 8);
        journal.scroll(1);
        assert_eq!(journal.backwards().count(), 9);
        journal.top();
        assert_eq!(journal.backwards().count(), 1);
        journal.scroll(-1);
        assert_eq!(journal.backwards().count(), 1);
    }

    #[test]
    fn a_search_goes_from_match_to_match_in_both_directions() {
        let mut journal = journal();
        journal.take(LogMsg::Lines(0, (0..50).map(|i| line(i, if i % 20 == 5 { "Panic!" } else { "-" })).collect()));
        journal.needle = "panic".into();
        assert!(journal.older_match(true));
        let at = |j: &Journal| j.backwards().next().map(|e| e.at);
        assert_eq!(at(&journal), Some(45));
        assert!(journal.older_match(false));
        assert_eq!(at(&journal), Some(25));
        assert!(journal.newer_match());
        assert_eq!(at(&journal), Some(45));
        assert!(!journal.newer_match());
        journal.needle = "nothing".into();
        assert!(!journal.older_match(true));
        assert_eq!(at(&journal), Some(45), "what is not found moves nothing");
    }

    #[test]
    fn it_never_grows_beyond_its_bounds() {
        let mut journal = journal();
        let batch = |from: i64| LogMsg::Lines(0, (from..from + 1000).map(|i| line(i, "x")).collect());
        journal.take(batch(0));
        journal.top();
        (1..120).for_each(|i| journal.take(batch(i * 1000)));
        assert_eq!(journal.counts(), (KEPT, KEPT));
        assert_eq!(journal.backwards().next().map(|e| e.at), Some(20_000), "the oldest line left");
        journal.take(LogMsg::Lines(0, (0..200).map(|_| line(i64::MAX, &"y".repeat(1 << 20))).collect()));
        assert!(journal.counts().1 < 30, "long lines count by their length");
    }
}
