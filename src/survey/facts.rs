//! Reading what the script of [`crate::remote::facts`] prints.

use std::{
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Facts, parse::ParseError};
use crate::remote::clean;

/// Reads the lines of one [`Op::Facts`](crate::remote::Op::Facts), asked and answered at those times of the operator's
/// clock. Everything is cleaned. An answer without its last line, its clock or its user id is an error.
pub fn parse(stdout: &str, asked_at: SystemTime, answered_at: SystemTime) -> Result<Facts, ParseError> {
    if stdout.lines().next_back().is_none_or(|l| l.trim() != "end=1") {
        return Err(ParseError::CutOff);
    }
    let mut facts = Facts::default();
    let (mut clocks, mut uid) = (Vec::new(), None);
    for raw in stdout.lines() {
        let Some((key, value)) = raw.split_once('=') else { continue };
        let value = clean::line(value.trim_end());
        match key {
            "clock" => clocks.push(clock_ms(&value).ok_or_else(|| ParseError::line(raw, trs!("no time")))?),
            "uid" => uid = value.parse().ok(),
            "os" => facts.os = unquoted(&value),
            "arch" => facts.arch = value,
            "hostname" => facts.hostname = value,
            "machine_id" => facts.machine_id = value,
            "addr" | "addr6" => {
                if let Some(address) = address(&value).filter(|a| !a.is_loopback() && !facts.addresses.contains(a)) {
                    facts.addresses.push(address);
                }
            }
            "free" => {
                if let Some((kib, path)) = counted::<u64>(&value) {
                    facts.free.insert(path, kib.saturating_mul(1024));
                }
            }
            "entries" => {
                if let Some((count, path)) = counted(&value) {
                    facts.entries.insert(path, count);
                }
            }
            "firewalld" => facts.firewalld = value,
            "ufw" => facts.ufw = value,
            "selinux" => facts.selinux = value,
            "listen" => {
                let (port, program) = value.split_once(' ').unwrap_or((&value, ""));
                let port = port.parse().map_err(|_| ParseError::line(raw, trs!("no port")))?;
                let listener = (port, program.to_owned());
                if !facts.listeners.contains(&listener) {
                    facts.listeners.push(listener);
                }
            }
            "program" => {
                if let Some((name, path)) = value.split_once(' ') {
                    facts.programs.insert(name.to_owned(), PathBuf::from(path));
                }
            }
            _ => {}
        }
    }
    facts.uid = uid.ok_or(ParseError::Missing(trs!("the user id")))?;
    facts.clock_offset_ms = offset(&clocks, asked_at, answered_at).ok_or(ParseError::Missing(trs!("the clock")))?;
    Ok(facts)
}

/// The middle of the host's times minus the middle of the operator's. The way there and the way back count the same,
/// so the error is at most half of what the network took.
fn offset(clocks: &[i64], asked_at: SystemTime, answered_at: SystemTime) -> Option<i64> {
    let middle = |ms: &[i64]| {
        let sum: i128 = ms.iter().copied().map(i128::from).sum();
        i64::try_from(sum / i128::try_from(ms.len()).ok().filter(|n| *n > 0)?).ok()
    };
    middle(clocks)?.checked_sub(middle(&[epoch_ms(asked_at), epoch_ms(answered_at)])?)
}

fn epoch_ms(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
}

/// `SECONDS.NANOSECONDS`. Where `date` knows no nanoseconds (busybox prints `%N`), the middle of that second.
fn clock_ms(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos = (fraction.len() == 9).then(|| fraction.parse::<u32>().ok()).flatten();
    seconds.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(nanos.map_or(500, |n| i64::from(n / 1_000_000)))
}

/// os-release values may stand in single or double quotes (os-release(5)).
fn unquoted(value: &str) -> String {
    let inner = |q| value.strip_prefix(q).and_then(|v: &str| v.strip_suffix(q));
    inner('"').or_else(|| inner('\'')).unwrap_or(value).to_owned()
}

/// An address as text, or the 32 hex digits of `/proc/net/if_inet6`.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| {
        let hex = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Some(Ipv6Addr::from_bits(hex).into())
    })
}

fn counted<T: std::str::FromStr>(value: &str) -> Option<(T, PathBuf)> {
    let (number, path) = value.trim_start().split_once(' ')?;
    Some((number.parse().ok()?, PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANSWER: &str = "clock=1700000000.100000000\nuid=0\nos=\"CentOS Linux 7 (Core)\"\narch=x86_64\n\
        hostname=master04\nmachine_id=0123456789abcdef\naddr=10.10.33.40\naddr=10.10.33.40\naddr=127.0.0.1\n\
        addr6=fe80000000000000021122fffe334455\nfirewalld=active\nufw=absent\nselinux=Enforcing\n\
        free=2048 /var/lib/etcd\nentries=3 /var/lib/etcd\nfree= /odd place\nprogram=tar /usr/bin/tar\n\
        listen=2379 etcd\nlisten=2379 etcd\nlisten=2380 \nclock=1700000000.300000000\nend=1\n";

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn read(text: &str) -> Result<Facts, ParseError> {
        parse(text, at(1_699_999_990_000), at(1_699_999_990_400))
    }

    #[test]
    fn every_key_lands_in_its_place() {
        let facts = read(ANSWER).unwrap();
        assert_eq!(facts.os, "CentOS Linux 7 (Core)");
        assert_eq!((facts.arch.as_str(), facts.hostname.as_str(), facts.uid), ("x86_64", "master04", 0));
        let addresses: Vec<String> = facts.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.10.33.40", "fe80::211:22ff:fe33:4455"]);
        assert_eq!(facts.free, [("/var/lib/etcd".into(), 2 << 20)].into());
        assert_eq!(facts.entries, [("/var/lib/etcd".into(), 3)].into());
        assert_eq!(facts.listeners, [(2379, "etcd".into()), (2380, String::new())]);
        assert_eq!(facts.programs, [("tar".into(), "/usr/bin/tar".into())].into());
        assert_eq!((facts.firewalld.as_str(), facts.selinux.as_str()), ("active", "Enforcing"));
    }

    #[test]
    fn the_clock_is_compared_in_the_middle_of_the_round_trip() {
        // The host's middle is …000.200, the operator's …990.200.
        assert_eq!(read(ANSWER).unwrap().clock_offset_ms, 10_000);
        let busybox = ANSWER.replace(".100000000", ".%N").replace(".300000000", ".");
        assert_eq!(read(&busybox).unwrap().clock_offset_ms, 10_300);
    }

    #[test]
    fn a_cut_off_answer_is_never_taken_for_a_whole_one() {
        let cut = ANSWER.strip_suffix("end=1\n").unwrap();
        assert_eq!(read(cut), Err(ParseError::CutOff));
        assert_eq!(read(""), Err(ParseError::CutOff));
        assert_eq!(read(&ANSWER.replace("uid=0", "uid=")), Err(ParseError::Missing("the user id")));
        assert!(read(&ANSWER.replace("clock=1700000000.1", "clock=never.1")).is_err());
    }

    #[test]
    fn escape_sequences_of_a_host_do_not_survive() {
        let facts = read(&ANSWER.replace("master04", "a\u{1b}[2Jb\u{202e}")).unwrap();
        assert_eq!(facts.hostname, "ab");
    }

    #[test]
    fn what_this_machine_answers_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let script = crate::remote::facts::script(&[22], &[dir.path().into()], &["sh".into()]);
        let asked = SystemTime::now();
        let out = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let facts = parse(&String::from_utf8(out.stdout).unwrap(), asked, SystemTime::now()).unwrap();
        assert!(facts.clock_offset_ms.abs() <= 1000, "{}", facts.clock_offset_ms);
        assert!(facts.free[dir.path()] > 0);
        assert_eq!(facts.entries[dir.path()], 0);
        assert!(!facts.arch.is_empty() && !facts.hostname.is_empty());
    }
}
