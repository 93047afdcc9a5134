//! The hosts' journals, merged by time: a bounded ring, filtered, searched, followed or scrolled back.

use std::collections::VecDeque;

use crate::{
    cluster::HostName,
    watch::{Follow, LogLine, LogMsg, Source},
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
    /// How following it goes; `None` while nobody knows.
    pub state: Option<Follow>,
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
///
/// A line keeps its number while older ones go; where one arrives late, those after it move up. What the filter lets
/// through is kept as a list of numbers, so that drawing, scrolling and counting cost what is in sight, not what is kept.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    sources: Vec<SourceState>,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Numbers of the lines the filter lets through, ascending.
    shown: VecDeque<usize>,
    /// Lines gone at the front: the number of the first one kept.
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
                state.state = Some(Follow::On);
                let offset = state.offset;
                let entry = |l: LogLine| Entry { at: l.at.saturating_sub(offset), text: l.text, source };
                let mut batch: Vec<Entry> = lines.into_iter().map(entry).collect();
                // A source is nearly always in order, and then this costs nothing.
                batch.sort_by_key(|e| e.at);
                self.merge(batch);
                self.bound();
            }
        }
    }

    /// Puts a batch, in order, where its times say. Nearly always that is the end; hosts answer at different speeds, so
    /// what is newer than the batch's first line is taken off and merged again, once a batch.
    fn merge(&mut self, batch: Vec<Entry>) {
        let Some(first) = batch.first().map(|e| e.at) else { return };
        let place = match self.entries.back() {
            Some(back) if back.at > first => self.entries.partition_point(|e| e.at <= first),
            _ => self.entries.len(),
        };
        let mut late = self.entries.split_off(place);
        let from = place + self.dropped;
        let begin = self.shown.partition_point(|n| *n < from);
        let mut was_shown = self.shown.split_off(begin);
        // What was in sight moves up with its line.
        let sight = self.last.filter(|l| *l >= from);
        let mut number = from;
        for entry in batch {
            while late.front().is_some_and(|l| l.at <= entry.at) {
                self.put_back(&mut late, &mut was_shown, &mut number, sight);
            }
            let shown = self.lets(&entry);
            self.bytes += entry.text.len();
            self.append(entry, shown);
        }
        while !late.is_empty() {
            self.put_back(&mut late, &mut was_shown, &mut number, sight);
        }
    }

    /// The next of the lines taken off, at the end again; `number` is the one it had.
    fn put_back(
        &mut self,
        late: &mut VecDeque<Entry>,
        was_shown: &mut VecDeque<usize>,
        number: &mut usize,
        sight: Option<usize>,
    ) {
        let Some(entry) = late.pop_front() else { return };
        let shown = was_shown.front() == Some(number);
        if shown {
            was_shown.pop_front();
        }
        if sight == Some(*number) {
            self.last = Some(self.dropped + self.entries.len());
        }
        *number += 1;
        self.append(entry, shown);
    }

    fn append(&mut self, entry: Entry, shown: bool) {
        if shown {
            self.shown.push_back(self.dropped + self.entries.len());
        }
        self.entries.push_back(entry);
    }

    /// Lets the oldest lines go until what is kept is within the bounds.
    fn bound(&mut self) {
        while self.entries.len() > KEPT || (self.bytes > BYTES && self.entries.len() > 1) {
            let Some(old) = self.entries.pop_front() else { break };
            self.bytes -= old.text.len();
            if self.shown.front() == Some(&self.dropped) {
                self.shown.pop_front();
            }
            self.dropped += 1;
        }
        // What was looked at may be gone by now: stay at the oldest line there is.
        self.last = self.last.map(|l| l.max(self.dropped));
    }

    fn lets(&self, entry: &Entry) -> bool {
        self.source(entry).is_some_and(|s| self.filter.lets(s, &entry.text))
    }

    /// Shows only what a filter lets through.
    pub fn set_filter(&mut self, text: &str) {
        text.clone_into(&mut self.filter_text);
        self.filter = Filter::parse(text);
        let numbered = self.entries.iter().enumerate();
        self.shown = numbered.filter(|(_, e)| self.lets(e)).map(|(i, _)| i + self.dropped).collect();
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
        (self.shown.len(), self.entries.len())
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

    /// The line of that number.
    fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries.get(number.checked_sub(self.dropped)?)
    }

    /// Shown lines from the last one in sight backwards.
    pub fn backwards(&self) -> impl Iterator<Item = &Entry> {
        self.shown.range(..self.end()).rev().filter_map(|n| self.entry(*n))
    }

    /// Shown lines below the last one in sight.
    pub fn below(&self) -> impl Iterator<Item = &Entry> {
        self.shown.range(self.end()..).filter_map(|n| self.entry(*n))
    }

    /// How many shown lines are below the last one in sight.
    pub fn newer(&self) -> usize {
        self.shown.len() - self.end()
    }

    /// How many of the shown lines are in sight or above.
    fn end(&self) -> usize {
        self.last.map_or(self.shown.len(), |last| self.shown.partition_point(|n| *n <= last))
    }

    /// Moves by shown lines; reaching the end follows again.
    pub fn scroll(&mut self, by: isize) {
        let Some(newest) = self.shown.len().checked_sub(1) else { return };
        // The oldest one stays in sight.
        let to = self.end().saturating_sub(1).saturating_add_signed(by);
        self.last = if to >= newest && by > 0 { None } else { self.shown.get(to.min(newest)).copied() };
    }

    /// Goes to the oldest line.
    pub fn top(&mut self) {
        self.last = self.shown.front().copied().or(self.last);
    }

    /// Goes to the next older shown line with the needle in it (from the one in sight on, it included when `here`);
    /// whether there is one.
    pub fn older_match(&mut self, here: bool) -> bool {
        let end = if here { self.end() } else { self.end().saturating_sub(1) };
        let found = self.shown.range(..end).rev().find(|n| self.matches(**n)).copied();
        self.go(found)
    }

    /// Goes to the next newer match; whether there is one.
    pub fn newer_match(&mut self) -> bool {
        let found = self.shown.range(self.end()..).find(|n| self.matches(**n)).copied();
        self.go(found)
    }

    fn matches(&self, number: usize) -> bool {
        self.entry(number).is_some_and(|e| contains(&e.text, &self.needle))
    }

    fn go(&mut self, to: Option<usize>) -> bool {
        if let (Some(to), false) = (to, self.needle.is_empty()) {
            self.last = Some(to);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(host: &str, unit: &str) -> Source {
        Source::unit(&HostName::new(host), unit)
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
        assert_eq!(journal.newer(), 6);
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
    fn batches_of_many_hosts_come_out_as_if_they_had_been_sorted_and_the_filter_holds_for_each() {
        let mut journal = journal();
        journal.set_filter("host:master02");
        // Three batches a source, each overlapping the other's, with lines of one moment in both.
        let times = |from: i64| (0..40).map(move |i| from + i * 3);
        let mut expected: Vec<i64> = Vec::new();
        for from in [0, 50, 20, 100, 60, 130] {
            let source = usize::from(from % 20 == 0);
            journal.take(LogMsg::Lines(source, times(from).map(|at| line(at, &at.to_string())).collect()));
            expected.extend(times(from).filter(|_| source == 1));
            expected.sort_unstable();
            let seen: Vec<i64> = journal.backwards().map(|e| e.at).collect();
            assert!(seen.iter().rev().eq(&expected), "{from}: {seen:?}");
        }
        journal.set_filter("");
        assert_eq!(journal.counts(), (240, 240));
        assert!(journal.backwards().map(|e| e.at).is_sorted_by(|a, b| a >= b));
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
