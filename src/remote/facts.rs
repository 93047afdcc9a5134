//! [`Op::Facts`](super::Op::Facts) as shell: one look at a host in one round trip.
//!
//! The script prints `key=value` lines; `survey::facts` reads them. Keys may repeat:
//!
//! | key | value | from |
//! |---|---|---|
//! | `clock` | seconds since the epoch, a dot, nanoseconds where `date` knows them | twice: first and last of all |
//! | `uid` | effective user id | `id -u` |
//! | `os` | `PRETTY_NAME`, still quoted | os-release(5) |
//! | `arch` | machine architecture | `uname -m` |
//! | `hostname` | static hostname | `/etc/hostname`, else `hostnamectl --static`, else `uname -n` |
//! | `machine_id` | machine-id(5) | `/etc/machine-id`, else D-Bus's |
//! | `addr` | an address on an interface other than `lo` | `ip -o addr`, else `/proc/net/fib_trie` |
//! | `addr6` | the same, 32 hex digits | `/proc/net/if_inet6`, where there is no `ip` |
//! | `free` | free KiB, a space, the path asked for | `df -Pk` of the nearest directory that exists |
//! | `entries` | number of entries, a space, the path asked for | `ls -A`, where the path is a directory |
//! | `firewalld`, `ufw` | `active`, `inactive`, `absent` | the unit; `ufw.conf` |
//! | `selinux` | `Enforcing`, `Permissive`, `Disabled`, `absent` | selinuxfs, `getenforce` |
//! | `listen` | port, a space, program (may be empty) | `ss -ltnp`, else `/proc/net/tcp` and `tcp6` |
//! | `program` | name asked for, a space, path | `command -v` |
//! | `end` | `1`, always the last line: without it the answer was cut off | |
//!
//! It runs under dash and busybox as well as bash, changes nothing, looks up no names, and gives every tool that talks to
//! a daemon five seconds where `timeout` exists.

use std::{fmt::Write as _, path::PathBuf};

/// What needs no parameter. Runs in a subshell with nothing on standard input, closed by [`TAIL`].
const HEAD: &str = r#"(
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
bn_clock() { printf 'clock=%s\n' "$(date +%s.%N)"; }
bn_have() { command -v "$1" >/dev/null 2>&1; }
if timeout 5 true >/dev/null 2>&1; then bn_soon() { timeout 5 "$@"; }; else bn_soon() { "$@"; }; fi
bn_value() { # KEY FILE: the value of KEY=... in FILE
  while IFS= read -r bn_l || [ -n "$bn_l" ]; do
    case $bn_l in "$1="*) printf '%s\n' "${bn_l#*=}"; return;; esac
  done <"$2"
}
bn_line() { # FILE...: the first line that says something
  for bn_f in "$@"; do
    [ -r "$bn_f" ] || continue
    while read -r bn_l || [ -n "$bn_l" ]; do
      case $bn_l in ''|'#'*) ;; *) printf '%s\n' "$bn_l"; return;; esac
    done <"$bn_f"
  done
}
bn_clock
printf 'uid=%s\n' "$(id -u)"
for bn_f in /etc/os-release /usr/lib/os-release; do
  [ -r "$bn_f" ] && { printf 'os=%s\n' "$(bn_value PRETTY_NAME "$bn_f")"; break; }
done
printf 'arch=%s\n' "$(uname -m)"
bn_h=$(bn_line /etc/hostname)
[ -n "$bn_h" ] || bn_h=$(bn_soon hostnamectl --static 2>/dev/null)
[ -n "$bn_h" ] || bn_h=$(uname -n)
printf 'hostname=%s\n' "$bn_h"
printf 'machine_id=%s\n' "$(bn_line /etc/machine-id /var/lib/dbus/machine-id)"
bn_a=$(ip -o addr show 2>/dev/null)
if [ -n "$bn_a" ]; then
  printf '%s\n' "$bn_a" | while read -r _ bn_if bn_fam bn_ip _; do
    case $bn_if:$bn_fam in lo:*) ;; *:inet|*:inet6) printf 'addr=%s\n' "${bn_ip%%/*}";; esac
  done
else
  bn_ip=
  while read -r bn_w bn_x bn_y; do
    case "$bn_w $bn_x $bn_y" in
      '|-- '*) bn_ip=$bn_x;;
      '/32 host LOCAL') printf 'addr=%s\n' "$bn_ip";;
    esac
  done </proc/net/fib_trie 2>/dev/null
  [ -r /proc/net/if_inet6 ] && while read -r bn_ip _ _ _ _ bn_if; do
    [ "$bn_if" = lo ] || printf 'addr6=%s\n' "$bn_ip"
  done </proc/net/if_inet6
fi
if bn_have firewall-cmd || bn_have firewalld; then
  case $(bn_soon systemctl is-active firewalld 2>/dev/null) in
    active|activating|reloading) echo firewalld=active;;
    *) echo firewalld=inactive;;
  esac
else
  echo firewalld=absent
fi
if ! bn_have ufw; then
  echo ufw=absent
elif [ -r /etc/ufw/ufw.conf ] && [ "$(bn_value ENABLED /etc/ufw/ufw.conf)" = yes ]; then
  echo ufw=active
else
  echo ufw=inactive
fi
case $(bn_line /sys/fs/selinux/enforce) in
  1) echo selinux=Enforcing;;
  0) echo selinux=Permissive;;
  *) if [ -e /etc/selinux/config ]; then echo selinux=Disabled; else echo selinux=absent; fi;;
esac
bn_space() {
  bn_d=$1
  # Shorter at each turn, so that it ends whatever happens.
  while [ ! -d "${bn_d:-/}" ]; do case $bn_d in */*) bn_d=${bn_d%/*};; *) bn_d=;; esac; done
  bn_d=${bn_d:-/}
  bn_l=$(bn_soon df -Pk "$bn_d" 2>/dev/null | tail -n 1)
  # Available is the last word before the percentage; the device's name may hold blanks.
  bn_l=${bn_l%%%*}; bn_l=${bn_l% *}; bn_l=${bn_l% }
  while [ "$bn_l" != "${bn_l% }" ]; do bn_l=${bn_l% }; done
  printf 'free=%s %s\n' "${bn_l##* }" "$1"
  [ -d "$1" ] && printf 'entries=%s %s\n' "$(bn_soon ls -A "$1" 2>/dev/null | wc -l)" "$1"
}
bn_program() {
  bn_l=$(command -v "$1" 2>/dev/null) && printf 'program=%s %s\n' "$1" "$bn_l"
}
"#;

/// Closes what [`HEAD`] opens; the exit status is that of the last line, so always 0.
const TAIL: &str = "bn_clock\necho end=1\n) </dev/null\n";

/// The script for the given ports, directories and programs (names, or absolute paths).
pub fn script(ports: &[u16], space: &[PathBuf], programs: &[String]) -> String {
    let mut text = HEAD.to_owned();
    for path in space {
        let _ = writeln!(text, "bn_space {}", shell_words::quote(&path.to_string_lossy()));
    }
    for name in programs {
        let _ = writeln!(text, "bn_program {}", shell_words::quote(name));
    }
    text + &listeners(ports) + TAIL
}

/// The part that looks for listeners; nothing when no port is wanted.
fn listeners(ports: &[u16]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let wanted = ports.iter().map(u16::to_string).collect::<Vec<_>>().join("|");
    let hex = ports.iter().fold(String::new(), |mut arms, port| {
        let _ = write!(arms, " {port:04X}) echo 'listen={port} ';;");
        arms
    });
    // In /proc the local address is HEX:PORT and state 0A is LISTEN (kernel, net/tcp_states.h).
    format!(
        r#"if bn_l=$(bn_soon ss -ltnp 2>/dev/null) && [ -n "$bn_l" ]; then
  printf '%s\n' "$bn_l" | while read -r bn_w _ _ bn_ip _ bn_x; do
    [ "$bn_w" = LISTEN ] || continue
    case ${{bn_ip##*:}} in {wanted}) ;; *) continue;; esac
    case $bn_x in *'"'*) bn_x=${{bn_x#*\"}}; bn_x=${{bn_x%%\"*}};; *) bn_x=;; esac
    printf 'listen=%s %s\n' "${{bn_ip##*:}}" "$bn_x"
  done
else
  for bn_f in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$bn_f" ] || continue
    while read -r _ bn_ip _ bn_w _; do
      [ "$bn_w" = 0A ] || continue
      case ${{bn_ip##*:}} in{hex} esac
    done <"$bn_f"
  done
fi
"#
    )
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process::Command};

    use super::*;

    fn run(shell: &[&str], script: &str) -> String {
        let out = Command::new(shell[0]).args(&shell[1..]).arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stderr), "");
        assert!(out.status.success());
        String::from_utf8(out.stdout).unwrap()
    }

    fn values<'a>(out: &'a str, key: &str) -> Vec<&'a str> {
        out.lines().filter_map(|l| l.split_once('=')).filter(|(k, _)| *k == key).map(|(_, v)| v).collect()
    }

    #[test]
    fn every_key_is_answered_on_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one"), "").unwrap();
        let odd = dir.path().join("it's $HOME; a \"dir\"");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = script(
            &[port],
            &[dir.path().into(), odd.clone()],
            &["sh".into(), "no-such-program".into(), "/bin/sh".into()],
        );
        let out = run(&["sh"], &script);
        assert_eq!(out.lines().last(), Some("end=1"), "{out}");
        for key in ["uid", "arch", "hostname", "firewalld", "ufw", "selinux"] {
            assert_eq!(values(&out, key).len(), 1, "{key} in {out}");
        }
        assert_eq!(values(&out, "clock").len(), 2);
        let free = values(&out, "free");
        assert_eq!(free.len(), 2);
        for (line, path) in free.iter().zip([dir.path(), &odd]) {
            let (kib, shown) = line.split_once(' ').unwrap();
            assert!(kib.parse::<u64>().is_ok(), "{line}");
            assert_eq!(shown, path.to_str().unwrap());
        }
        assert_eq!(values(&out, "entries"), [format!("1 {}", dir.path().display())]);
        let programs = values(&out, "program");
        assert_eq!(programs.len(), 2, "{programs:?}");
        assert!(programs[0].starts_with("sh /") && programs[1] == "/bin/sh /bin/sh");
        assert!(values(&out, "listen")[0].starts_with(&format!("{port} ")), "{out}");
    }

    #[test]
    fn a_port_is_found_without_any_tool() {
        // ss "fails": the script then reads /proc/net/tcp.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hidden = listeners(&[port, 1]);
        let out = run(&["sh"], &format!("bn_soon() {{ return 127; }}\n{hidden}"));
        assert_eq!(out, format!("listen={port} \n"));
    }

    #[test]
    fn it_ends_even_where_there_is_not_one_tool() {
        // A loop that waits for a missing tool's answer would hang here.
        let bare = script(&[2379], &["/no/such/dir".into(), "relative".into()], &["tar".into()])
            .replace("PATH=$PATH:", "PATH=/nonexistent; export PATH; : ");
        let out = Command::new("sh").args(["-c", &bare]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(values(&text, "program").is_empty(), "the tools were not hidden: {text}");
        assert_eq!(values(&text, "free"), [" /no/such/dir", " relative"]);
        assert_eq!(text.lines().last(), Some("end=1"));
    }

    #[test]
    fn without_ports_there_is_no_empty_case() {
        let out = run(&["sh"], &script(&[], &[], &[]));
        assert!(values(&out, "listen").is_empty());
        assert_eq!(out.lines().last(), Some("end=1"));
    }
}
