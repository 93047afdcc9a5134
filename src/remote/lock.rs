//! The lock on a cluster: a file on its masters that says who works on it.
//!
//! It lies below `/run`, which is memory: writing it needs no room on a full disk, and a reboot leaves none behind. Its lease
//! is counted in the host's time since boot, so no clock that is set forward or back makes it run out or last, and the
//! operator's own clock is never asked. Reading, judging and writing happen under `flock`, so two operators never both get it.

use std::{fmt, path::PathBuf, time::Duration};

use super::{
    clean,
    shell::{NOT_THERE, q, qp},
};

/// Where the lock lies.
pub const PATH: &str = "/run/banister.lock";

/// "Somebody else has it": the status that goes with the holder's lock on standard output.
pub const HELD: u32 = 45;

/// Who takes a lock, in words and so that a program on the same machine can find out whether that run still lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The run's own name, like no other's.
    pub run: String,
    /// `user@host`.
    pub who: String,
    /// Process id of the program on its machine.
    pub pid: u32,
    /// Which boot of which machine, which process table and when in it the process began: the process id means something
    /// only where this is known.
    pub machine: String,
}

/// A lock as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Who has it.
    pub holder: Holder,
    /// Since when, by the host's clock (RFC 3339): for the eye.
    pub since: String,
    /// Seconds until the lease runs out; 0 or less once it has.
    pub left: i64,
}

impl Lock {
    /// Whether its lease has run out.
    pub fn stale(&self) -> bool {
        self.left <= 0
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, pid, since) = (&self.holder.who, self.holder.pid, &self.since);
        f.write_str(&if self.stale() {
            tr!(
                "{who} (pid {pid}) since {since}, not heard of for {seconds} s beyond its lease",
                who = who,
                pid = pid,
                since = since,
                seconds = -self.left
            )
        } else {
            tr!(
                "{who} (pid {pid}) since {since}, lease for another {seconds} s unless renewed",
                who = who,
                pid = pid,
                since = since,
                seconds = self.left
            )
        })
    }
}

/// What may be replaced when a lock is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// That run's lock and no other's.
    pub run: String,
    /// Even before its lease has run out: its process is known to be dead.
    pub dead: bool,
}

/// What is done with the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOp {
    /// Takes it where nobody has it, or in another's place. Prints the lock; status [`HELD`] with the other's where it was
    /// not given.
    Take {
        /// Who.
        holder: Holder,
        /// Seconds it holds unless renewed.
        lease: u32,
        /// Whose lock may be replaced.
        over: Option<Over>,
    },
    /// Renews the lease, also where a reboot has taken the lock away. Status [`HELD`] when it is another's by now.
    Renew {
        /// Who.
        holder: Holder,
        /// Seconds it holds from now.
        lease: u32,
    },
    /// Gives it back; nothing is wrong where it is gone or another's.
    Release {
        /// Whose.
        run: String,
    },
    /// Prints it. Status 44 when there is none.
    Look,
}

impl LockOp {
    /// Most time any of them may take.
    pub const DEADLINE: Duration = Duration::from_secs(10);

    /// The exact shell, see [`super::shell`].
    pub fn script(&self) -> String {
        let f = qp(&PathBuf::from(PATH));
        match self {
            Self::Look => format!("f={f}\n[ -e \"$f\" ] || exit {NOT_THERE}\n{SHOW}\nshow"),
            Self::Release { run } => {
                format!("set -u\nf={f}\n{GUARD}\n[ \"$(get run)\" != {} ] || rm -f -- \"$f\"", q(&one_line(run)))
            }
            Self::Take { holder, lease, over } => {
                let (over, dead) = over.as_ref().map_or(("", false), |o| (o.run.as_str(), o.dead));
                let may = format!(
                    "may() {{ [ ! -e \"$f\" ] || [ \"$(get run)\" = {run} ] || {{ [ \"$(get run)\" = {over} ] && {{ {dead} || [ \"$(get ends)\" -le \"$now\" ]; }}; }}; }}",
                    run = q(&one_line(&holder.run)),
                    over = q(&one_line(over)),
                );
                format!("set -u\nf={f}\n{GUARD}\n{SHOW}\n{may}\n{}", write(holder, *lease))
            }
            Self::Renew { holder, lease } => {
                let may = format!("may() {{ [ ! -e \"$f\" ] || [ \"$(get run)\" = {} ]; }}", q(&one_line(&holder.run)));
                format!("set -u\nf={f}\n{GUARD}\n{SHOW}\n{may}\n{}", write(holder, *lease))
            }
        }
    }

    /// One line for the log.
    pub fn summary(&self) -> String {
        match self {
            Self::Take { over: None, .. } => trs!("take the lock on the cluster"),
            Self::Take { over: Some(_), .. } => trs!("take the lock on the cluster over"),
            Self::Renew { .. } => trs!("renew the lock on the cluster"),
            Self::Release { .. } => trs!("give the lock on the cluster back"),
            Self::Look => trs!("look at the lock on the cluster"),
        }
        .into()
    }

    /// Whether it only looks.
    pub fn read_only(&self) -> bool {
        matches!(self, Self::Look)
    }
}

/// Time since boot, the lock's own fields, and everybody else kept out meanwhile: `flock` on the directory, so that no
/// second file is needed and none is left behind.
const GUARD: &str = r#"umask 077
read -r now _ </proc/uptime; now=${now%%.*}
get() { sed -n "s/^$1=//p" "$f" 2>/dev/null | head -n 1; }
exec 9<"$(dirname -- "$f")"
flock -w 5 9 || { echo "$f: nobody answers for its guard; look what holds it (flock)" >&2; exit 1; }"#;

/// The lock as [`parse`] wants it.
const SHOW: &str = r#"show() { cat -- "$f"; read -r up _ </proc/uptime; echo "now=${up%%.*}"; }"#;

fn write(holder: &Holder, lease: u32) -> String {
    format!(
        "if ! may; then show; exit {HELD}; fi\nsince=$(get since)\n[ \"$(get run)\" = {run} ] || since=$(date -u +%Y-%m-%dT%H:%M:%SZ)\nt=$f.$$\ntrap 'rm -f -- \"$t\"' EXIT\nprintf '%s\\n' run={run} who={who} pid={pid} machine={machine} since=\"$since\" ends=$((now + {lease})) > \"$t\" || exit 1\nmv -f -- \"$t\" \"$f\" || exit 1\nshow",
        run = q(&one_line(&holder.run)),
        who = q(&one_line(&holder.who)),
        pid = holder.pid,
        machine = q(&one_line(&holder.machine)),
    )
}

/// A value of the file: a line of its own, whatever a machine calls itself.
fn one_line(text: &str) -> String {
    clean::line(text).trim().to_owned()
}

/// The text of a lock file.
pub fn text(holder: &Holder, since: &str, ends: u64) -> String {
    let Holder { run, who, pid, machine } = holder;
    let [run, who, machine] = [run, who, machine].map(|t| one_line(t));
    format!("run={run}\nwho={who}\npid={pid}\nmachine={machine}\nsince={since}\nends={ends}\n")
}

/// Reads what [`LockOp`] prints. What is missing reads as empty and as a lease that has run out: nobody renews such a lock.
pub fn parse(printed: &str) -> Lock {
    let get = |key: &str| {
        let found = printed.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        clean::line(found.unwrap_or_default())
    };
    let number = |key: &str| get(key).parse::<i64>().unwrap_or(0);
    let known = |value: String| if value.is_empty() { "nobody knows".to_owned() } else { value };
    Lock {
        left: number("ends") - number("now"),
        since: known(get("since")),
        holder: Holder {
            run: get("run"),
            who: known(get("who")),
            pid: u32::try_from(number("pid")).unwrap_or(0),
            machine: get("machine"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn holder(run: &str) -> Holder {
        Holder { run: run.into(), who: "ann@jump; rm -rf '$HOME'".into(), pid: 7, machine: "m".into() }
    }

    /// A machine whose `/run` is a directory of the test's.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn run(&self, op: &LockOp) -> (u32, Lock, String) {
            let script = op.script().replace(PATH, &self.0.path().join("banister.lock").display().to_string());
            let out = Command::new("sh").args(["-c", &script]).output().unwrap();
            let printed = String::from_utf8(out.stdout).unwrap();
            let status = u32::try_from(out.status.code().unwrap()).unwrap();
            (status, parse(&printed), String::from_utf8(out.stderr).unwrap())
        }

        fn take(&self, run: &str, lease: u32, over: Option<Over>) -> (u32, Lock, String) {
            self.run(&LockOp::Take { holder: holder(run), lease, over })
        }

        fn names(&self) -> Vec<String> {
            std::fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    #[test]
    fn one_gets_it_and_the_other_is_told_who_has_it() {
        let machine = Machine(tempfile::tempdir().unwrap());
        assert_eq!(machine.run(&LockOp::Look).0, NOT_THERE);
        let (status, lock, said) = machine.take("a", 60, None);
        assert_eq!((status, &*lock.holder.who), (0, "ann@jump; rm -rf '$HOME'"), "{said}");
        assert!((59..=60).contains(&lock.left), "{lock}");
        let (status, seen, _) = machine.take("b", 60, None);
        assert_eq!((status, seen.holder), (HELD, lock.holder.clone()));
        assert_eq!(machine.take("a", 60, None).0, 0, "an answer that was lost is asked for again");
        assert_eq!(machine.run(&LockOp::Renew { holder: holder("b"), lease: 60 }).0, HELD);
        assert_eq!(machine.run(&LockOp::Release { run: "b".into() }).0, 0, "another's is left alone");
        assert_eq!(machine.run(&LockOp::Look).1.holder, lock.holder);
        assert_eq!(machine.run(&LockOp::Release { run: "a".into() }).0, 0);
        assert_eq!(machine.names(), Vec::<String>::new(), "nothing is left behind");
        assert_eq!(machine.run(&LockOp::Renew { holder: holder("a"), lease: 60 }).0, 0, "a reboot took it");
    }

    #[test]
    fn only_what_is_named_is_taken_over_and_only_once_it_is_stale_or_dead() {
        let machine = Machine(tempfile::tempdir().unwrap());
        machine.take("a", 60, None);
        let over = |run: &str, dead| Some(Over { run: run.into(), dead });
        assert_eq!(machine.take("b", 60, over("a", false)).0, HELD, "it is alive");
        assert_eq!(machine.take("b", 60, over("c", true)).0, HELD, "it is not that one's any more");
        assert_eq!(machine.take("b", 60, over("a", true)).0, 0);
        machine.run(&LockOp::Renew { holder: holder("b"), lease: 0 });
        assert_eq!(machine.take("c", 60, None).0, HELD, "stale, and nobody said yes");
        let (status, lock, _) = machine.take("c", 60, over("b", false));
        assert_eq!((status, &*lock.holder.run), (0, "c"));
        assert_eq!(machine.run(&LockOp::Renew { holder: holder("b"), lease: 60 }).0, HELD);
    }

    #[test]
    fn of_many_at_once_exactly_one_gets_it() {
        let machine = Machine(tempfile::tempdir().unwrap());
        let got = std::thread::scope(|s| {
            let tries: Vec<_> = (0..8)
                .map(|n| {
                    s.spawn({
                        let m = &machine;
                        move || m.take(&format!("r{n}"), 60, None).0
                    })
                })
                .collect();
            tries.into_iter().map(|t| t.join().unwrap()).filter(|status| *status == 0).count()
        });
        assert_eq!(got, 1);
    }

    #[test]
    fn half_a_lock_is_nobodys() {
        let lock = parse("run=a\nwho=\u{1b}[2Jann\n");
        assert!(lock.stale());
        assert_eq!(lock.holder.who, "ann");
        assert_eq!(parse(&(text(&holder("a"), "then", 70) + "now=10\n")).left, 60);
    }
}
