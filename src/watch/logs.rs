//! The journals of the hosts' units, followed side by side.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc::Sender,
};

use crate::{
    cluster::HostName,
    remote::{Io, Op, SharedRemote, Stdout, clean},
};

/// Old lines asked for at first.
const OLD_LINES: u32 = 200;

/// Most bytes of a line kept: what is longer is no line a person reads.
const LONGEST: usize = 2048;

/// Longest pause before a journal that can't be followed is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A unit's journal on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which host.
    pub host: HostName,
    /// Which unit, without `.service`.
    pub unit: String,
}

/// A line of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The host's clock, microseconds since the epoch.
    pub at: i64,
    /// Program and message, cleaned.
    pub text: Box<str>,
}

/// What comes from a source; its number is its place in the list given to [`logs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogMsg {
    /// Lines, in the order of the journal.
    Lines(usize, Vec<LogLine>),
    /// It is followed now, or why not.
    State(usize, Result<(), String>),
}

/// Follows every source until nobody listens. The channel is bounded: where lines come faster than they are taken in,
/// the hosts wait.
pub async fn logs(remote: SharedRemote, sources: Vec<Source>, out: Sender<LogMsg>) {
    let all = sources.into_iter().enumerate().map(|(i, source)| {
        let (remote, out) = (remote.clone(), out.clone());
        tokio::spawn(async move { follow(remote, i, source, out).await })
    });
    let all: Vec<_> = all.collect();
    for one in all {
        let _ = one.await;
    }
}

async fn follow(remote: SharedRemote, number: usize, source: Source, out: Sender<LogMsg>) {
    let mut newest = i64::MIN;
    let mut pause = Duration::from_secs(1);
    while !out.is_closed() {
        let (theirs, ours) = tokio::io::duplex(64 << 10);
        let io = Io { stdout: Stdout::Writer(Box::pin(theirs)), ..Io::default() };
        let op = Op::FollowLog { unit: source.unit.clone(), lines: OLD_LINES };
        let run = remote.run(&source.host, &op, io);
        let before = newest;
        let (ended, ()) = tokio::join!(run, relay(ours, number, &mut newest, &out));
        let why = match ended {
            Ok(output) if output.status == 0 => "journalctl ended".to_owned(),
            Ok(output) => format!("journalctl ended with status {}: {}", output.status, clean::tail(&output.stderr, 2)),
            Err(e) => e.to_string(),
        };
        if out.send(LogMsg::State(number, Err(why))).await.is_err() {
            return;
        }
        // What had worked is tried again soon.
        pause = if newest > before { Duration::from_secs(1) } else { (pause * 2).min(PATIENCE) };
        tokio::time::sleep(pause).await;
    }
}

/// Reads lines and hands them on, a batch at a time. Lines older than the newest known were sent before the follow was
/// begun again.
async fn relay(mut from: impl AsyncRead + Unpin, number: usize, newest: &mut i64, out: &Sender<LogMsg>) {
    let known = *newest;
    let mut lines = Lines { last: known, ..Lines::default() };
    let mut buf = vec![0; 32 << 10];
    let mut followed = false;
    loop {
        let read = match from.read(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        if !std::mem::replace(&mut followed, true) && out.send(LogMsg::State(number, Ok(()))).await.is_err() {
            return;
        }
        let mut batch = lines.take(&buf[..read]);
        batch.retain(|l| l.at > known);
        if let Some(last) = batch.last() {
            *newest = (*newest).max(last.at);
            if out.send(LogMsg::Lines(number, batch)).await.is_err() {
                return;
            }
        }
    }
}

/// Cuts bytes into lines and reads their stamps.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// The stamp of the line before, for one that has none.
    last: i64,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8]) -> Vec<LogLine> {
        let mut out = Vec::new();
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.begun.is_empty() {
                out.extend(self.line(line));
            } else {
                self.keep(line);
                let whole = std::mem::take(&mut self.begun);
                out.extend(self.line(&whole));
            }
        }
        self.keep(bytes);
        out
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line(&mut self, raw: &[u8]) -> Option<LogLine> {
        let raw = String::from_utf8_lossy(&raw[..raw.len().min(LONGEST)]);
        // `-- Journal begins at …`, `-- No entries --`, `-- Reboot --`.
        if raw.starts_with("-- ") {
            return None;
        }
        let text = match stamp(&raw) {
            Some((at, rest)) => {
                self.last = at;
                // The host's name follows; the source says it better.
                rest.split_once(' ').map_or(rest, |(_, message)| message)
            }
            None => &raw,
        };
        Some(LogLine { at: self.last, text: clean::line(text.trim_end()).into_boxed_str() })
    }
}

/// The stamp a line begins with, in microseconds since the epoch, and the rest:
/// `2026-03-14T03:15:02.123456+0000 ` (short-iso-precise), without the fraction, or with `+00:00`.
fn stamp(line: &str) -> Option<(i64, &str)> {
    let (word, rest) = line.split_once(' ')?;
    let bytes = word.as_bytes();
    let number = |from: usize, to: usize| word.get(from..to)?.parse::<i64>().ok();
    if bytes.len() < 24 || bytes[4] != b'-' || bytes[10] != b'T' {
        return None;
    }
    let (date, time) =
        ((number(0, 4)?, number(5, 7)?, number(8, 10)?), (number(11, 13)?, number(14, 16)?, number(17, 19)?));
    let (micros, zone) = match word.get(19..)?.strip_prefix('.') {
        Some(fraction) => (fraction.get(..6)?.parse::<i64>().ok()?, fraction.get(6..)?),
        None => (0, word.get(19..)?),
    };
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?;
    let (hours, minutes) = (digits.get(..2)?, digits.get(digits.len().checked_sub(2)?..)?);
    let offset = sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60);
    let seconds = days(date) * 86_400 + time.0 * 3600 + time.1 * 60 + time.2 - offset;
    Some((seconds.checked_mul(1_000_000)?.checked_add(micros)?, rest))
}

/// Days since the epoch of a day of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days((year, month, day): (i64, i64, i64)) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use async_trait::async_trait;
    use tokio::{io::AsyncWriteExt as _, sync::mpsc};

    use super::*;
    use crate::remote::{BoxStream, Output, Remote, RemoteError, Target};

    #[test]
    fn stamps_of_old_and_new_systemd_are_read() {
        let at = |text: &str| stamp(text).map(|(at, rest)| (at, rest.to_owned()));
        let expected = Some((1_773_458_102_123_456, "m1 etcd[7]: x".to_owned()));
        assert_eq!(at("2026-03-14T03:15:02.123456+0000 m1 etcd[7]: x"), expected);
        assert_eq!(at("2026-03-14T04:15:02.123456+01:00 m1 etcd[7]: x"), expected);
        assert_eq!(at("2026-03-13T21:45:02.123456-0530 m1 etcd[7]: x"), expected);
        assert_eq!(at("2026-03-14T03:15:02+0000 m1 x").map(|a| a.0), Some(1_773_458_102_000_000));
        assert_eq!(at("1970-01-01T00:00:00+0000 m1 x").map(|a| a.0), Some(0));
        for bad in ["", "x y", "-- Logs begin at Mon", "2026-03-14T03:15 m1 x", "2026-03-14T0a:15:02+0000 m x"] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn lines_are_whole_cleaned_and_bounded_however_they_are_cut() {
        let long = "x".repeat(10_000);
        let text = format!(
            "-- Journal begins at now. --\n2026-03-14T03:15:02.000001+0000 m1 etcd[7]: a\u{1b}[2Jb\n  continued\n\
             2026-03-14T03:15:03.000000+0000 m1 etcd[7]: {long}\n"
        );
        for step in [1, 7, 100_000] {
            let mut lines = Lines::default();
            let all: Vec<LogLine> = text.as_bytes().chunks(step).flat_map(|c| lines.take(c)).collect();
            assert_eq!(all.len(), 3, "{step}");
            assert_eq!(&*all[0].text, "etcd[7]: ab");
            assert_eq!((&*all[1].text, all[1].at), ("  continued", all[0].at));
            assert!(all[2].text.len() <= LONGEST);
            assert_eq!(all[2].at - all[0].at, 999_999);
        }
    }

    /// A host whose journal ends after each line, and begins with the old ones again when followed again.
    struct Flaky {
        follows: AtomicUsize,
    }

    #[async_trait]
    impl Remote for Flaky {
        async fn run(&self, _: &HostName, _: &Op, io: Io) -> Result<Output, RemoteError> {
            let n = self.follows.fetch_add(1, Ordering::SeqCst);
            let Stdout::Writer(mut out) = io.stdout else { return Ok(Output::default()) };
            for i in 0..=n {
                let line = format!("2026-03-14T03:15:{i:02}.000000+0000 m1 etcd[7]: line {i}\n");
                let _ = out.write_all(line.as_bytes()).await;
            }
            Ok(Output { status: 1, stderr: "gone".into(), ..Output::default() })
        }

        async fn dial(&self, _: &HostName, _: Target) -> Result<BoxStream, RemoteError> {
            Ok(Box::new(tokio::io::duplex(1).0))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_ends_is_followed_again_and_no_line_comes_twice() {
        let (out, mut arriving) = mpsc::channel(4);
        let source = Source { host: HostName::new("m1"), unit: "etcd".into() };
        let following = tokio::spawn(logs(Arc::new(Flaky { follows: AtomicUsize::new(0) }), vec![source], out));
        let (mut lines, mut troubles) = (Vec::new(), 0);
        while lines.len() < 4 {
            match arriving.recv().await.unwrap() {
                LogMsg::Lines(0, batch) => lines.extend(batch.into_iter().map(|l| l.text.to_string())),
                LogMsg::State(0, Err(why)) => {
                    assert!(why.contains("gone"), "{why}");
                    troubles += 1;
                }
                LogMsg::State(0, Ok(())) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lines, ["etcd[7]: line 0", "etcd[7]: line 1", "etcd[7]: line 2", "etcd[7]: line 3"]);
        assert!(troubles >= 3);
        drop(arriving);
        following.await.unwrap();
    }
}
