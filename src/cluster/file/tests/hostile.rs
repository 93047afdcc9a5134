//! Files that are broken, far too large, or out to harm.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{SAMPLE, SMALL, errors, lines, read, refusal};
use crate::cluster::file::{MAX_BYTES, is_plain, load};

#[test]
fn what_steers_a_terminal_is_never_echoed() {
    let nasty = [
        "domain: \"a\\e[31mb\"\n".to_owned(),
        "domain: a\u{1b}]0;owned\u{7}\n".to_owned(),
        "\"k\\u202ey\": 1\n".to_owned(),
        "workers:\n- {name: w, address: 10.9.9.9, comment: \"x\\r\\ny\"}\n".to_owned(),
        "domain: a\u{0}\nfirewall: maybe\n".to_owned(),
        "ssh: { user: \"\\x9b2J\" }\n".to_owned(),
        "ssh: { password:hunter2 }\n".to_owned(),
        "domain: a\u{a0}b\n".to_owned(),
    ];
    let mut report = String::new();
    for more in &nasty {
        let said = refusal(more);
        assert!(said.chars().all(|c| c == '\n' || is_plain(c)), "{said:?}");
        assert!(!said.contains("hunter2"), "{said}");
        report += &said;
        report.push('\n');
    }
    insta::assert_snapshot!(report, @r"
    cluster.yaml:9: `domain` holds an invisible character, \u{1b}; use visible characters on one line only
    cluster.yaml:9: the line holds an invisible character, \u{1b}; type the line again by hand; it was probably pasted
    cluster.yaml:9: unknown key `k\u{202e}y`; remove it; the keys here are cluster, domain, ssh, masters, join, workers, layout, firewall, set_hostname, binaries, packages, worker_batch, certificates, lang, two_key
    cluster.yaml:10: `workers.comment` holds an invisible character, \u{d}; use visible characters on one line only
    cluster.yaml:9: the line holds an invisible character, \u{0}; type the line again by hand; it was probably pasted
    cluster.yaml:10: `firewall` is `maybe`, which is not one of the choices; write `off` (firewall and SELinux off), `open` (both stay, ports are opened) or `keep` (neither is touched)
    cluster.yaml:9: `ssh.user` holds an invisible character, \u{9b}; use visible characters on one line only
    cluster.yaml:9: unknown key `password` in `ssh`; leave it out: secrets do not belong in this file; banister uses the ssh agent or asks
    cluster.yaml:9: `domain` is `a\u{a0}b`, which is not a domain; write names of letters, digits and hyphens joined by dots, such as `example.com`
    ");
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let said = |path: &Path| load(path).unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR");
    insta::assert_snapshot!(said(&dir.path().join("none.yaml")), @"DIR/none.yaml: there is no such file; check the path; the README has a cluster file to start from");
    insta::assert_snapshot!(said(dir.path()), @"DIR: this is a directory; name the cluster file in it");
    let path = dir.path().join("c.yaml");
    std::fs::write(&path, b"cluster: prod\ndomain: \xff\n").unwrap();
    insta::assert_snapshot!(said(&path), @"DIR/c.yaml:2: the file is not UTF-8 text from here on; save it as UTF-8");
    std::fs::write(&path, "#".repeat(MAX_BYTES + 1)).unwrap();
    insta::assert_snapshot!(said(&path), @"DIR/c.yaml: the file is larger than 1024 KiB; check that this is the cluster file and not something else");
    std::fs::write(&path, format!("\u{feff}{}", SMALL.replace('\n', "\r\n"))).unwrap();
    assert_eq!(load(&path).unwrap().masters.len(), 3, "a byte order mark and CRLF do no harm");
}

#[test]
fn a_report_is_bounded() {
    let said = read(&"\u{1}\n".repeat(5000)).unwrap_err();
    assert_eq!(said.problems.len(), 101);
    assert!(said.to_string().ends_with("more problems below are not shown; mend these first"), "{said}");
}

/// Bombs: nesting, aliases, endless flow, and a text of the largest size with nothing but hosts.
#[test]
fn hostile_files_end_soon() {
    let hosts = lines(0..20_000, |i| format!("- {{ name: h{i}, address: 10.{}.{}.1 }}", i / 250, i % 250));
    let bombs = [
        "[".repeat(MAX_BYTES - 1),
        "- ".repeat(MAX_BYTES / 2),
        "{a: ".repeat(MAX_BYTES / 4),
        "? ".repeat(MAX_BYTES / 2),
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n".to_owned(),
        format!("cluster: p\nmasters:\n{hosts}"),
        "a: b\n".repeat(MAX_BYTES / 5),
        "\"".repeat(MAX_BYTES - 1),
        "a ".repeat(MAX_BYTES / 2),
        format!("cluster: {}\n", "x".repeat(MAX_BYTES - 20)),
    ];
    for bomb in bombs {
        let started = Instant::now();
        let said = errors(&bomb);
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}… took {:?}", &bomb[..20], started.elapsed());
        assert!(said.len() < 40_000, "{} bytes of report", said.len());
    }
}

/// A small generator (xorshift), so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap_or(0)
    }
}

/// Whatever is cut, doubled or put in: never a panic, and a refusal always says why, without control characters.
#[test]
fn mangled_files_never_panic() {
    const BITS: [&str; 24] = [
        ":", " ", "\n", "- ", "{", "}", "[", "]", "\"", "'", "#", "&a", "*a", "!", "|", ">", "\t", "? ", "---\n",
        "\u{0}", "é", "~", "%", ",",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..3000 {
        let mut chars: Vec<char> = SAMPLE.chars().collect();
        for _ in 0..=random.below(6) {
            let at = random.below(chars.len());
            let to = (at + random.below(40)).min(chars.len());
            match random.below(4) {
                0 => drop(chars.drain(at..to)),
                1 => chars.truncate(at.max(1)),
                2 => drop(chars.splice(at..at, chars[at..to].to_vec())),
                _ => drop(chars.splice(at..at, BITS[random.below(BITS.len())].chars())),
            }
            if chars.is_empty() {
                break;
            }
        }
        let text: String = chars.into_iter().collect();
        let lines = text.lines().count().max(1);
        if let Err(refused) = read(&text) {
            assert!(!refused.problems.is_empty(), "round {round}: {text}");
            let said = refused.to_string();
            assert!(said.chars().all(|c| c == '\n' || is_plain(c)), "round {round}: {said:?}");
            for problem in refused.problems {
                assert!(
                    problem.line.is_none_or(|l| (1..=lines + 1).contains(&l)),
                    "round {round}: {problem:?}\n{text}"
                );
            }
        }
    }
}
