//! Faults, as they are made on real hosts: when, what, and how an engineer mends it.

use std::{
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    banister::{Desk, Ran},
    hosts::{Lab, lab_at, say, wait_for},
};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of the wizard.
    Killed,
    /// The host's network is unplugged until the run has ended, or for [`CUT`] if it waits for that host.
    Cut(&'static str),
    /// Every process of the host stands still for so many seconds.
    Frozen(&'static str, u64),
    /// The host reboots.
    Rebooted(&'static str),
    /// That member is stopped until the run has ended.
    Stopped(&'static str),
    /// There is no room below that directory of the host.
    Full(&'static str, &'static str),
    /// Files of the operator's end after so many KiB: the journal has no room.
    NoRoomForJournal(u32),
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The step is about to act.
    Running,
    /// Its action of that number runs.
    Act(usize),
    /// Its action of that number is done.
    Done(usize),
    /// The action with these words in its title runs.
    Titled(&'static str),
}

/// How long a line stays cut where the run outlives it: less than the program waits for a host.
const CUT: Duration = Duration::from_secs(45);

use At::{Act, Done, Running, Titled};
use Fault::{Cut, Frozen, Full, Killed, NoRoomForJournal, Rebooted, Stopped};

impl At {
    /// Whether a line of a run's says that this is the moment.
    fn is(self, step: &str, line: &str) -> bool {
        let Some((_, said)) = line.split_once(&format!(" {step}: ")) else { return false };
        let act = |n: usize| said.starts_with(&format!("act {n}/"));
        match self {
            Running => said == "running",
            Act(n) => act(n) && !said.contains(" done in "),
            Done(n) => act(n) && said.contains(" done in "),
            Titled(words) => said.starts_with("act ") && said.contains(words) && !said.contains(" done in "),
        }
    }
}

/// A script that leaves no room below a directory, with what lies in it.
fn full(dir: &str) -> String {
    let at = "/run/full";
    format!(
        "install -d {at} && mount -t tmpfs -o size=$(($(du -sk {dir} | cut -f 1) + 64))k,mode=$(stat -c %a {dir}) tmpfs {at} && cp -a {dir}/. {at} && \
         (cat /dev/zero >{at}/.filler 2>/dev/null || true) && mount --bind {at} {dir} && umount {at} && rmdir {at}"
    )
}

/// A run that is struck there; whether it was. One that gets past that step is ended: the next ones have something left to
/// strike at. `grow` is the command, up to the risk.
fn struck(lab: &Lab, desk: &Desk, grow: &[&str], step: &str, at: At, fault: Fault) -> (bool, Ran) {
    let arguments = [grow, &["all", "--on-failure", "stop"]].concat();
    let (mut hit, mut thaw) = (false, None);
    let (running, ended) = mpsc::channel::<()>();
    let mut ended = Some(ended);
    let limit = if let NoRoomForJournal(kib) = fault { Some(kib) } else { None };
    let mut reached = false;
    let mut past = |line: &str| {
        let mine = line.contains(&format!(" {step}: "));
        reached |= mine;
        reached && !mine && line.ends_with(": running")
    };
    let ran = desk.until_limited(&arguments, &lab.cluster_file(), limit, |line, run| {
        // What it survived is not to hide what comes next.
        if past(line) {
            return true;
        }
        if hit {
            return false;
        }
        hit = limit.is_none() && at.is(step, line);
        if !hit {
            return false;
        }
        if fault == Killed {
            return true;
        }
        // It waits meanwhile, as it would not have got far in the moment that a real accident takes.
        signal("STOP", run);
        match fault {
            Killed | NoRoomForJournal(_) => {}
            Cut(host) => {
                lab.lab(["cut", host]);
                let (state, ended) = (lab.state().to_owned(), ended.take());
                thaw = Some(thread::spawn(move || {
                    let lasts = ended.map(|e| e.recv_timeout(CUT));
                    if lasts == Some(Err(RecvTimeoutError::Timeout)) {
                        lab_at(&state, &["heal", host]);
                    }
                }));
            }
            Frozen(host, seconds) => {
                lab.lab(["freeze", host]);
                let state = lab.state().to_owned();
                thaw = Some(thread::spawn(move || {
                    thread::sleep(Duration::from_secs(seconds));
                    lab_at(&state, &["thaw", host]);
                }));
            }
            Rebooted(host) => drop(lab.lab(["reboot", host])),
            Stopped(host) => drop(lab.on(host, "systemctl stop etcd")),
            Full(host, dir) => drop(lab.on(host, &full(dir))),
        }
        signal("CONT", run);
        false
    });
    drop(running);
    if let Some(thaw) = thaw {
        thaw.join().expect("thawed");
    }
    // One that got past its step still had room; the snapshot finds its own words for a disk that is full.
    let no_room = limit.is_some() && ran.said.contains("the journal") && ran.said.contains("cannot be written");
    if limit.is_some() && !no_room {
        desk.until(&arguments, &lab.cluster_file(), past);
    }
    (hit || no_room, ran)
}

pub fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(sent.is_ok_and(|s| s.success()), "SIG{name} to {process}");
}

/// Repairs it as an engineer would, and waits until the cluster is well.
fn mend(lab: &Lab, desk: &Desk, fault: Fault) {
    match fault {
        Cut(host) => drop(lab.lab(["heal", host])),
        Stopped(host) => drop(lab.on(host, "systemctl start etcd")),
        // What systemd started with a view of its own meanwhile does not see the old directory again.
        Full(host, dir) => drop(lab.on(host, &format!("umount {dir} && systemctl stop systemd-hostnamed"))),
        Rebooted(host) => wait_for("the host to be up again", Duration::from_mins(1), || {
            let out = lab.try_on(host, "systemctl is-active ssh");
            if out.status.success() { Ok(()) } else { Err(format!("{host} is not up")) }
        }),
        Killed | Frozen(..) | NoRoomForJournal(_) => {}
    }
    // A member that was away first has to find the others again: as an engineer waits for the survey to say so.
    if !matches!(fault, Killed | NoRoomForJournal(_)) {
        wait_for("a survey where nothing blocks", Duration::from_mins(1), || {
            let ran = desk.run(&["survey"], &lab.cluster_file());
            if ran.code == Some(0) { Ok(()) } else { Err(ran.last()) }
        });
    }
}

/// How a run met a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It was struck.
    Struck,
    /// It got past the moment.
    Passed,
    /// There was nothing left to strike at: the step was found done.
    Done,
}

/// Strikes, mends and tells. A run that is refused is run again for so long.
pub fn interrupt(
    lab: &Lab,
    desk: &Desk,
    grow: &[&str],
    (step, at, fault): (&str, At, Fault),
    patience: Duration,
) -> Met {
    say(format!("{step} {at:?}: {fault:?}"));
    let started = Instant::now();
    // "Run again once that is mended", it says, and that is what an engineer does.
    let (hit, ran) = loop {
        let (hit, ran) = struck(lab, desk, grow, step, at, fault);
        if hit || ran.code != Some(4) || started.elapsed() > patience {
            break (hit, ran);
        }
        say(format!("refused: {}", ran.said.lines().rfind(|l| l.contains("refused: ")).unwrap_or_default()));
    };
    let about: Vec<_> = ran.said.lines().filter(|l| l.contains(&format!(" {step}: "))).collect();
    let met = match hit {
        true => Met::Struck,
        false if about.iter().any(|l| l.contains(": already done: ")) => Met::Done,
        false => Met::Passed,
    };
    match met {
        Met::Struck => mend(lab, desk, fault),
        Met::Done => say(format!("{step} {at:?}: done by now")),
        Met::Passed => say(format!("{step} {at:?}: never struck: {about:#?}\n{}", ran.last())),
    }
    if hit && matches!(fault, NoRoomForJournal(_)) {
        assert_eq!(ran.code, Some(1), "without room for its journal it went on:\n{}", ran.last());
    }
    // What came before is mended: nothing of it may stop this run.
    assert!(hit || ran.code != Some(4), "{step} {at:?} {fault:?}: refused\n{}", ran.last());
    // A step that only writes files may survive it.
    assert!(
        !hit || matches!(ran.code, None | Some(0 | 1 | 4)),
        "{step} {at:?} {fault:?}: {:?}\n{}",
        ran.code,
        ran.last()
    );
    met
}
