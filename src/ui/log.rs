//! The log of operations: cleaned lines, bounded, followed or scrolled back.

use std::collections::VecDeque;

use jiff::civil::Time;

use crate::{cluster::HostName, remote::clean};

/// Most lines kept; older ones go.
pub const KEPT: usize = 10_000;

/// What a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A step or an act begins or ends.
    Step,
    /// Output, or a remark of the act that runs.
    Output,
    /// Something was proven.
    Proof,
    /// Something failed.
    Error,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The operator's clock when it came.
    pub at: Time,
    /// Where it is from, where on one host.
    pub host: Option<HostName>,
    /// What it is.
    pub kind: Kind,
    /// The line, cleaned.
    pub text: String,
}

/// The lines, and where the operator looks.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    /// Lines gone at the front, so that a line keeps its number.
    dropped: usize,
    /// Number of the last line shown; `None` follows the end.
    last: Option<usize>,
}

impl Log {
    /// Adds text, a line each; cleaned here, whoever sent it.
    pub fn push(&mut self, at: Time, host: Option<&HostName>, kind: Kind, text: &str) {
        for line in clean::text(text).lines() {
            if self.entries.len() == KEPT {
                self.entries.pop_front();
                self.dropped += 1;
            }
            self.entries.push_back(Entry { at, host: host.cloned(), kind, text: line.to_owned() });
        }
        // What was looked at may be gone by now: stay at the oldest line there is.
        self.last = self.last.map(|l| l.max(self.dropped));
    }

    /// Moves by lines; reaching the end follows again.
    pub fn scroll(&mut self, by: isize) {
        let Some(end) = self.end() else { return };
        let to = self.last.unwrap_or(end).saturating_add_signed(by);
        self.last = (to < end).then_some(to.max(self.dropped));
    }

    /// Goes to the oldest line.
    pub fn top(&mut self) {
        self.last = self.end().map(|_| self.dropped);
    }

    /// Follows the end again.
    pub fn follow(&mut self) {
        self.last = None;
    }

    /// Whether the end is followed.
    pub fn follows(&self) -> bool {
        self.last.is_none()
    }

    /// Lines newer than what is shown.
    pub fn newer(&self) -> usize {
        match (self.last, self.end()) {
            (Some(last), Some(end)) => end - last,
            _ => 0,
        }
    }

    /// The shown lines from the last one backwards.
    pub fn backwards(&self) -> impl Iterator<Item = &Entry> {
        let shown = self.entries.len() - self.newer();
        self.entries.range(..shown).rev()
    }

    /// The lines from the oldest on, for a view scrolled to the top.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many lines are kept.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Number of the newest line.
    fn end(&self) -> Option<usize> {
        (self.dropped + self.entries.len()).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(lines: usize) -> Log {
        let mut log = Log::default();
        for i in 0..lines {
            log.push(Time::MIN, None, Kind::Output, &format!("line {i}"));
        }
        log
    }

    fn last_shown(log: &Log) -> String {
        log.backwards().next().map(|e| e.text.clone()).unwrap_or_default()
    }

    #[test]
    fn it_follows_until_scrolled_back_and_again_at_the_end() {
        let mut log = filled(100);
        assert_eq!(last_shown(&log), "line 99");
        log.scroll(-10);
        log.push(Time::MIN, None, Kind::Output, "new");
        assert_eq!(last_shown(&log), "line 89", "new lines don't move what is read");
        assert_eq!(log.newer(), 11);
        log.scroll(500);
        assert!(log.follows());
        assert_eq!(last_shown(&log), "new");
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let mut log = filled(KEPT);
        log.top();
        assert_eq!(last_shown(&log), "line 0");
        for _ in 0..50 {
            log.push(Time::MIN, None, Kind::Output, "more");
        }
        assert_eq!(log.count(), KEPT);
        assert_eq!(last_shown(&log), "line 50", "the oldest line left");
    }

    #[test]
    fn what_hosts_send_is_cleaned() {
        let mut log = Log::default();
        log.push(Time::MIN, None, Kind::Output, "a\u{1b}[2Jb\r\nc\u{202e}d");
        let lines: Vec<_> = log.entries().map(|e| e.text.as_str()).collect();
        assert_eq!(lines, ["ab", "cd"]);
    }
}
