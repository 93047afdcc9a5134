//! The journals of the hosts' units and the logs of their static pods, followed side by side.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc::Sender,
};

use crate::{
    cluster::HostName,
    remote::{Io, Op, SharedRemote, Stdout, clean, container::ContainerOp, shell::NOT_THERE},
};

/// Old lines asked for at first.
const OLD_LINES: u32 = 200;

/// Most bytes of a line kept: what is longer is no line a person reads.
const LONGEST: usize = 2048;

/// Most bytes of a line read before it is cut: docker wraps what a container says in JSON, escapes and all.
const RAW: usize = 3 * LONGEST;

/// Longest pause before what can't be followed is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A unit's journal.
    Unit,
    /// The containers of a static pod.
    Pod,
}

/// A unit's journal, or a static pod's log, on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which host.
    pub host: HostName,
    /// Which unit, without `.service`; or which component.
    pub unit: String,
    /// Which of both.
    pub origin: Origin,
}

impl Source {
    /// A unit's journal.
    pub fn unit(host: &HostName, unit: &str) -> Self {
        Self { host: host.clone(), unit: unit.to_owned(), origin: Origin::Unit }
    }

    /// A static pod's log.
    pub fn pod(host: &HostName, component: &str) -> Self {
        Self { host: host.clone(), unit: component.to_owned(), origin: Origin::Pod }
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The host's clock, microseconds since the epoch.
    pub at: i64,
    /// Program and message, cleaned.
    pub text: Box<str>,
}

/// How following a source goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// It is followed.
    On,
    /// There is nothing to follow yet: no such container runs.
    Absent,
    /// It can't be followed, and why; tried again by itself.
    Lost(String),
}

/// What comes from a source; its number is its place in the list given to [`logs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogMsg {
    /// Lines, in the order of the log.
    Lines(usize, Vec<LogLine>),
    /// How following it goes now.
    State(usize, Follow),
}

/// Follows every source until nobody listens. The channel is bounded: where lines come faster than they are taken in,
/// the hosts wait. A host's static pods share one channel to it: a stock sshd has few.
pub async fn logs(remote: SharedRemote, sources: Vec<Source>, out: Sender<LogMsg>) {
    let mut all = tokio::task::JoinSet::new();
    let mut pods: BTreeMap<HostName, Vec<(usize, String)>> = BTreeMap::new();
    for (number, source) in sources.into_iter().enumerate() {
        match source.origin {
            Origin::Pod => pods.entry(source.host).or_default().push((number, source.unit)),
            Origin::Unit => {
                let op = Op::FollowLog { unit: source.unit.clone(), lines: OLD_LINES };
                let stream =
                    Stream { remote: remote.clone(), host: source.host, op, into: vec![(number, source.unit)] };
                all.spawn(stream.follow(out.clone()));
            }
        }
    }
    for (host, into) in pods {
        let components = into.iter().map(|(_, name)| name.clone()).collect();
        let op = Op::Container(ContainerOp::Follow { components, lines: OLD_LINES });
        all.spawn(Stream { remote: remote.clone(), host, op, into }.follow(out.clone()));
    }
    while all.join_next().await.is_some() {}
}

/// What one operation brings: the lines of one unit, or of a host's static pods.
struct Stream {
    remote: SharedRemote,
    host: HostName,
    op: Op,
    /// The sources its lines belong to: number and name.
    into: Vec<(usize, String)>,
}

impl Stream {
    async fn follow(self, out: Sender<LogMsg>) {
        // The newest line of each source: what comes again when it is followed again is known by its time.
        let mut newest = vec![i64::MIN; self.into.len()];
        let mut pause = Duration::from_secs(1);
        while !out.is_closed() {
            let (theirs, ours) = tokio::io::duplex(64 << 10);
            let io = Io { stdout: Stdout::Writer(Box::pin(theirs)), ..Io::default() };
            let run = self.remote.run(&self.host, &self.op, io);
            let before = newest.clone();
            let (ended, ()) = tokio::join!(run, self.relay(ours, &mut newest, &out));
            let pod = matches!(self.op, Op::Container(_));
            let now = match ended {
                // Another container runs: followed at once.
                Ok(output) if output.status == 0 && pod => None,
                Ok(output) if output.status == NOT_THERE && pod => Some(Follow::Absent),
                Ok(output) if output.status == 0 => Some(Follow::Lost("journalctl ended".to_owned())),
                Ok(output) => {
                    let (what, why) = (if pod { "tail" } else { "journalctl" }, clean::tail(&output.stderr, 2));
                    Some(Follow::Lost(tr!(
                        "{what} ended with status {status}: {why}",
                        what = what,
                        status = output.status,
                        why = why
                    )))
                }
                Err(e) => Some(Follow::Lost(e.to_string())),
            };
            for (number, _) in now.iter().flat_map(|_| &self.into) {
                let Some(state) = now.clone() else { break };
                if out.send(LogMsg::State(*number, state)).await.is_err() {
                    return;
                }
            }
            // What had worked is tried again soon.
            pause = if newest == before { (pause * 2).min(PATIENCE) } else { Duration::from_secs(1) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads lines and hands them on, a batch at a time. Lines older than the newest known were sent before the follow was
    /// begun again.
    async fn relay(&self, mut from: impl AsyncRead + Unpin, newest: &mut [i64], out: &Sender<LogMsg>) {
        let known = newest.to_vec();
        let names = self.into.iter().map(|(_, name)| name.clone()).collect();
        let mut lines = match self.op {
            Op::Container(_) => Lines::pods(names, known.clone()),
            _ => Lines::unit(known.clone()),
        };
        let mut buf = vec![0; 32 << 10];
        let mut followed = vec![false; self.into.len()];
        loop {
            let read = match from.read(&mut buf).await {
                Ok(0) | Err(_) => return,
                Ok(read) => read,
            };
            lines.take(&buf[..read]);
            for (place, (number, _)) in self.into.iter().enumerate() {
                let there = lines.there(place);
                if there != std::mem::replace(&mut followed[place], there)
                    && out.send(LogMsg::State(*number, Follow::On)).await.is_err()
                {
                    return;
                }
                let mut batch = std::mem::take(&mut lines.out[place]);
                batch.retain(|l| l.at > known[place]);
                let Some(last) = batch.last() else { continue };
                newest[place] = newest[place].max(last.at);
                if out.send(LogMsg::Lines(*number, batch)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Cuts bytes into lines, reads their stamps, and puts each where it belongs.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// What came, by place in the list of names.
    out: Vec<Vec<LogLine>>,
    /// The stamp of the line before, for one that has none.
    last: Vec<i64>,
    /// Names of the static pods; `None` for a unit's journal.
    names: Option<Vec<String>>,
    /// Which file belongs to which name.
    files: Vec<(String, usize)>,
    /// Where the lines that come belong.
    current: Option<usize>,
}

/// A line of docker's json-file.
#[derive(Deserialize)]
struct DockerLine {
    log: String,
    time: String,
}

impl Lines {
    fn unit(last: Vec<i64>) -> Self {
        Self { out: vec![Vec::new()], last, current: Some(0), ..Self::default() }
    }

    fn pods(names: Vec<String>, last: Vec<i64>) -> Self {
        Self { out: vec![Vec::new(); names.len()], last, names: Some(names), ..Self::default() }
    }

    /// Whether something is followed for a place.
    fn there(&self, place: usize) -> bool {
        self.names.is_none() || self.files.iter().any(|(_, p)| *p == place)
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.begun.is_empty() {
                self.line(&line[..line.len().min(RAW)]);
            } else {
                self.keep(line);
                let whole = std::mem::take(&mut self.begun);
                self.line(&whole);
            }
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = RAW.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line(&mut self, raw: &[u8]) {
        let raw = String::from_utf8_lossy(raw);
        if self.names.is_some() {
            self.pod_line(&raw);
        // `-- Journal begins at …`, `-- No entries --`, `-- Reboot --`.
        } else if !raw.starts_with("-- ") {
            // The host's name follows; the source says it better.
            let parted = stamp(&raw).map(|(at, rest)| (at, rest.split_once(' ').map_or(rest, |(_, message)| message)));
            self.push(parted.map(|p| p.0), parted.map_or(&raw, |p| p.1));
        }
    }

    /// `file NAME PATH`, what `tail` says between files, or a line of a file in docker's or the CRI's form.
    fn pod_line(&mut self, raw: &str) {
        if let Some((name, path)) = raw.strip_prefix("file ").and_then(|r| r.split_once(' ')) {
            let place = self.names.iter().flatten().position(|n| n == name);
            self.files.extend(place.map(|p| (path.to_owned(), p)));
            // tail says nothing where there is one file only.
            self.current = place;
            return;
        }
        if let Some(path) = raw.strip_prefix("==> ").and_then(|r| r.strip_suffix(" <==")) {
            self.current = self.files.iter().find(|(p, _)| p == path).map(|(_, place)| *place);
            return;
        }
        if let Ok(line) = serde_json::from_str::<DockerLine>(raw) {
            let at = stamp(&format!("{} ", line.time)).map(|(at, _)| at);
            self.push(at, &line.log);
        } else if let Some((at, rest)) = stamp(raw) {
            // The stream and whether the line is whole come first: `stderr F message`.
            let message = rest.splitn(3, ' ').nth(2).unwrap_or(rest);
            self.push(Some(at), message);
        } else if !raw.is_empty() {
            // A line so long that it was cut is no JSON any more.
            let cut = raw.strip_prefix("{\"log\":\"").unwrap_or(raw);
            self.push(None, cut);
        }
    }

    fn push(&mut self, at: Option<i64>, text: &str) {
        let Some(place) = self.current.filter(|p| *p < self.out.len()) else { return };
        let at = at.unwrap_or(self.last[place]);
        self.last[place] = at;
        let text = text.trim_end();
        let cut = &text[..text.floor_char_boundary(LONGEST)];
        self.out[place].push(LogLine { at, text: clean::line(cut).into_boxed_str() });
    }
}

/// The stamp a line begins with, in microseconds since the epoch, and the rest:
/// `2026-03-14T03:15:02.123456+0000 ` (short-iso-precise), without the fraction, with `+00:00` or `Z`, or with more digits.
fn stamp(line: &str) -> Option<(i64, &str)> {
    let (word, rest) = line.split_once(' ')?;
    let bytes = word.as_bytes();
    let number = |from: usize, to: usize| word.get(from..to)?.parse::<i64>().ok();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[10] != b'T' {
        return None;
    }
    let (date, time) =
        ((number(0, 4)?, number(5, 7)?, number(8, 10)?), (number(11, 13)?, number(14, 16)?, number(17, 19)?));
    let (micros, zone) = match word.get(19..)?.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            // As many as there are, up to six.
            let six: String = fraction[..digits].chars().chain(std::iter::repeat('0')).take(6).collect();
            (six.parse::<i64>().ok()?, &fraction[digits..])
        }
        None => (0, word.get(19..)?),
    };
    let seconds = days(date) * 86_400 + time.0 * 3600 + time.1 * 60 + time.2 - zone_seconds(zone)?;
    Some((seconds.checked_mul(1_000_000)?.checked_add(micros)?, rest))
}

/// Seconds that a zone is ahead of UTC: `Z`, `+0000`, `+00:00`.
fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?;
    let (hours, minutes) = (digits.get(..2)?, digits.get(digits.len().checked_sub(2)?..)?);
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
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
        // docker and the CRI, with as many digits as there happen to be.
        assert_eq!(at("2026-03-14T03:15:02.123456789Z m1 etcd[7]: x"), expected);
        assert_eq!(at("2026-03-14T03:15:02.12Z x").map(|a| a.0), Some(1_773_458_102_120_000));
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
            let mut lines = Lines::unit(vec![0]);
            text.as_bytes().chunks(step).for_each(|c| lines.take(c));
            let all = std::mem::take(&mut lines.out[0]);
            assert_eq!(all.len(), 3, "{step}");
            assert_eq!(&*all[0].text, "etcd[7]: ab");
            assert_eq!((&*all[1].text, all[1].at), ("  continued", all[0].at));
            assert!(all[2].text.len() <= LONGEST);
            assert_eq!(all[2].at - all[0].at, 999_999);
        }
    }

    #[test]
    fn the_lines_of_static_pods_find_their_sources_in_dockers_form_and_in_the_cris() {
        let text = "file a /d/1-json.log\nfile b /d/2.log\n==> /d/1-json.log <==\n\
            {\"log\":\"I0314 one\\u001b[2J\\n\",\"stream\":\"stderr\",\"time\":\"2026-03-14T03:15:02.5Z\"}\n\n\
            ==> /d/2.log <==\n2026-03-14T03:15:03.000000001+00:00 stderr F two words\n\n\
            ==> /d/1-json.log <==\n{\"log\":\"W0314 three\\n\",\"stream\":\"stderr\",\"time\":\"2026-03-14T03:15:04Z\"}\n\
            ==> /d/other.log <==\nnobody's\n";
        for step in [1, 13, 100_000] {
            let mut lines = Lines::pods(vec!["a".into(), "b".into(), "c".into()], vec![0; 3]);
            text.as_bytes().chunks(step).for_each(|c| lines.take(c));
            let seen = |i: usize| lines.out[i].iter().map(|l| (l.at / 1000 % 100_000, &*l.text)).collect::<Vec<_>>();
            assert_eq!(seen(0), [(2500, "I0314 one"), (4000, "W0314 three")], "{step}");
            assert_eq!(seen(1), [(3000, "two words")]);
            assert_eq!([0, 1, 2].map(|i| lines.there(i)), [true, true, false]);
        }
        // One file only: tail prints no heading.
        let mut lines = Lines::pods(vec!["a".into(), "b".into()], vec![0; 2]);
        lines.take(b"file b /d/2.log\n2026-03-14T03:15:03Z stderr F x\n");
        assert_eq!((lines.out[0].len(), lines.out[1].len()), (0, 1));
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
        let source = Source::unit(&HostName::new("m1"), "etcd");
        let following = tokio::spawn(logs(Arc::new(Flaky { follows: AtomicUsize::new(0) }), vec![source], out));
        let (mut lines, mut troubles) = (Vec::new(), 0);
        while lines.len() < 4 {
            match arriving.recv().await.unwrap() {
                LogMsg::Lines(0, batch) => lines.extend(batch.into_iter().map(|l| l.text.to_string())),
                LogMsg::State(0, Follow::Lost(why)) => {
                    assert!(why.contains("gone"), "{why}");
                    troubles += 1;
                }
                LogMsg::State(0, Follow::On) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lines, ["etcd[7]: line 0", "etcd[7]: line 1", "etcd[7]: line 2", "etcd[7]: line 3"]);
        assert!(troubles >= 3);
        drop(arriving);
        following.await.unwrap();
    }
}
