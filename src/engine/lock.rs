//! One operator at a time: the lock on the cluster while a run or an undo goes on.
//!
//! The lock ([`crate::remote::lock`]) is taken before the first step, kept alive by a task of its own, asked for before every
//! act, and given back at the end. A run that cannot be sure of it any more stops before the next act: somebody else may have
//! taken it over. A run that died leaves it behind for as long as its lease at most; on the machine where it died the next run
//! sees that the process is gone and takes it at once.
//!
//! It lies on every original that answers, and is taken in the order of their addresses: two runs meet at the first one that
//! both reach, whatever order their cluster files name the masters in and whichever master is down. While a run goes on, one of
//! them that can be renewed is enough; one that is another's is too many.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{task::JoinHandle, time::Instant};

use super::act::ActError;
use crate::{
    cluster::HostName,
    remote::{
        Io, Op, RemoteError, SharedRemote,
        lock::{HELD, Holder, Lock, LockOp, Over, parse},
    },
};

/// How long a lock holds unless it is renewed, in seconds of the host's time.
pub const LEASE: u32 = 60;

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(15);

/// A lock renewed longer ago than this is renewed before the next act.
const FRESH: Duration = Duration::from_secs(20);

/// With this much of the lease gone and no answer, the lock does not count any more.
const DOUBT: Duration = Duration::from_secs(50);

/// Whose lock, and where.
#[derive(Clone)]
pub struct Claim {
    remote: SharedRemote,
    host: HostName,
    holder: Holder,
}

/// What came of asking for the lock.
enum Asked {
    Mine,
    Theirs(Lock),
}

impl Claim {
    /// A claim of this process, on that host's lock. `who` is `user@host`; `run` a name like no other run's.
    pub fn new(remote: SharedRemote, host: HostName, who: &str, run: &str) -> Self {
        let holder =
            Holder { run: run.to_owned(), who: who.to_owned(), pid: std::process::id(), machine: machine("self") };
        Self { remote, host, holder }
    }

    async fn ask(&self, op: LockOp) -> Result<Asked, RemoteError> {
        let op = Op::Lock(op);
        let out = self.remote.run(&self.host, &op, Io::default()).await?;
        if out.status == HELD {
            return Ok(Asked::Theirs(parse(&out.text())));
        }
        out.checked(&self.host, &op)?;
        Ok(Asked::Mine)
    }

    async fn take(&self, over: Option<Over>) -> Result<Asked, ActError> {
        let op = LockOp::Take { holder: self.holder.clone(), lease: LEASE, over };
        match self.ask(op.clone()).await {
            // Whether it was taken is unknown then: asking again as the same run tells.
            Err(e) if e.outcome_unknown() => Ok(self.ask(op).await?),
            other => Ok(other?),
        }
    }

    async fn renew(&self) -> Result<Asked, RemoteError> {
        self.ask(LockOp::Renew { holder: self.holder.clone(), lease: LEASE }).await
    }
}

/// When the lock was last known to be ours; by both clocks, because one of them stands still while a laptop sleeps.
#[derive(Debug, Clone)]
struct Sure {
    at: Instant,
    wall: SystemTime,
    lost: Option<Lock>,
}

impl Sure {
    fn now() -> Self {
        Self { at: Instant::now(), wall: SystemTime::now(), lost: None }
    }

    fn age(&self) -> Duration {
        // A clock that was set back says nothing: then it is as if long ago.
        self.at.elapsed().max(self.wall.elapsed().unwrap_or(Duration::MAX))
    }
}

/// A lock that is held, and the task that keeps it.
struct Held {
    claim: Claim,
    sure: Arc<Mutex<Sure>>,
    beat: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

impl Held {
    fn new(claim: Claim) -> Self {
        let sure = Arc::new(Mutex::new(Sure::now()));
        let (own, seen) = (claim.clone(), sure.clone());
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEW).await;
                // Without an answer it grows old; whoever wants to act looks at that.
                let asked = Sure::now();
                match own.renew().await {
                    Ok(Asked::Mine) => set(&seen, asked),
                    Ok(Asked::Theirs(lock)) => set(&seen, Sure { lost: Some(lock), ..asked }),
                    Err(_) => {}
                }
            }
        });
        Self { claim, sure, beat }
    }

    fn sure(&self) -> Sure {
        self.sure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Renews it now; whose it is where it is not ours any more.
    async fn renewed(&self) -> Result<Option<Lock>, RemoteError> {
        let asked = Sure::now();
        Ok(match self.claim.renew().await? {
            Asked::Mine => {
                set(&self.sure, asked);
                None
            }
            Asked::Theirs(lock) => {
                set(&self.sure, Sure { lost: Some(lock.clone()), ..asked });
                Some(lock)
            }
        })
    }
}

fn set(sure: &Mutex<Sure>, to: Sure) {
    *sure.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

/// The engine's own end of it: claims, and the locks that are held.
#[derive(Default)]
pub struct Lease {
    claims: Vec<Claim>,
    held: Vec<Held>,
}

/// How the lock was had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Had {
    /// Nobody had it.
    Free,
    /// From a run on this machine that is dead.
    Left(Lock),
    /// From a run that is not heard of any more, as the operator wanted.
    TakenOver(Lock),
}

impl Lease {
    /// No lock at all: for a walk that changes nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// The lock of those claims, a host each.
    pub fn of(claims: impl IntoIterator<Item = Claim>) -> Self {
        Self { claims: claims.into_iter().collect(), held: Vec::new() }
    }

    /// Takes the lock wherever it can be taken. `may` is asked whether one whose lease has run out is taken over, once a holder.
    pub async fn take<F>(&mut self, may: impl Fn(Lock) -> F) -> Result<Had, ActError>
    where
        F: Future<Output = bool>,
    {
        let (mut had, mut granted, mut silent) = (Had::Free, None, None);
        for claim in self.claims.clone() {
            match one(&claim, &may, &mut granted).await {
                Ok(how) => {
                    self.held.push(Held::new(claim));
                    had = if had == Had::Free { how } else { had };
                }
                Err(e @ ActError::Lock(_)) => {
                    // What was taken on the way is nobody's business any more; where that fails, its lease ends it.
                    let _ = self.release().await;
                    return Err(e);
                }
                Err(e) => silent = silent.or(Some(e)),
            }
        }
        match silent {
            Some(e) if self.held.is_empty() => Err(e),
            _ => Ok(had),
        }
    }

    /// Makes sure that the lock is still held, or says why not.
    pub async fn still(&self) -> Result<(), ActError> {
        let sure: Vec<_> = self.held.iter().map(Held::sure).collect();
        if let Some((held, lock)) = self.held.iter().zip(&sure).find_map(|(h, s)| Some((h, s.lost.as_ref()?))) {
            return Err(lost(&held.claim.host, lock));
        }
        if self.held.is_empty() || sure.iter().any(|s| s.age() < FRESH) {
            return Ok(());
        }
        let renewals = futures::future::join_all(self.held.iter().map(Held::renewed)).await;
        let mut silent = None;
        let mut renewed = false;
        for (held, result) in self.held.iter().zip(renewals) {
            match result {
                Ok(None) => renewed = true,
                Ok(Some(lock)) => return Err(lost(&held.claim.host, &lock)),
                Err(e) => silent = silent.or(Some((held, e))),
            }
        }
        match silent {
            // Nobody can have taken it as long as its lease lasts.
            Some((held, e)) if !renewed && sure.iter().all(|s| s.age() >= DOUBT) => Err(ActError::Lock(tr!(
                "the lock on the cluster could not be renewed in time ({e}); nobody knows whether another run began meanwhile: repair the way to {host}, then run again",
                e = e,
                host = held.claim.host
            ))),
            _ => Ok(()),
        }
    }

    /// Gives it back. That it could not be is no failure of the run: its lease ends by itself.
    pub async fn release(&mut self) -> Result<(), ActError> {
        let released = self.held.drain(..).map(|held| async move {
            held.beat.abort();
            let op = LockOp::Release { run: held.claim.holder.run.clone() };
            held.claim.ask(op).await.map(drop)
        });
        let released: Vec<_> = released.collect();
        let results = futures::future::join_all(released).await;
        Ok(results.into_iter().collect::<Result<(), _>>()?)
    }
}

/// Takes one host's. `granted` is the run that the operator has said may be taken over.
async fn one<F>(claim: &Claim, may: &impl Fn(Lock) -> F, granted: &mut Option<String>) -> Result<Had, ActError>
where
    F: Future<Output = bool>,
{
    let Asked::Theirs(lock) = claim.take(None).await? else { return Ok(Had::Free) };
    let dead = is_dead(&lock.holder);
    let run = lock.holder.run.clone();
    let known = granted.as_ref() == Some(&run);
    if !dead && (!lock.stale() || !(known || may(lock.clone()).await)) {
        return Err(refused(&claim.host, &lock));
    }
    *granted = Some(run.clone());
    match claim.take(Some(Over { run, dead })).await? {
        Asked::Theirs(now) => Err(refused(&claim.host, &now)),
        Asked::Mine if dead => Ok(Had::Left(lock)),
        Asked::Mine => Ok(Had::TakenOver(lock)),
    }
}

fn refused(host: &HostName, lock: &Lock) -> ActError {
    ActError::Lock(if lock.stale() {
        tr!(
            "another run works on this cluster: {lock} (lock on {host}); its lease has run out: make sure that nobody works on the cluster any more, then take it over (the wizard asks; --take-over says yes beforehand)",
            lock = lock,
            host = host
        )
    } else {
        tr!(
            "another run works on this cluster: {lock} (lock on {host}); wait until that run is over, or ask whoever it is; a lock that is not renewed any more can be taken over once its lease has run out",
            lock = lock,
            host = host
        )
    })
}

fn lost(host: &HostName, lock: &Lock) -> ActError {
    ActError::Lock(tr!(
        "the lock on the cluster was taken over by another run: {lock} (lock on {host}); nothing more is done here: talk to them before anybody goes on",
        lock = lock,
        host = host
    ))
}

/// Which boot, which process table, and when in it a process began; empty parts where the system does not say.
fn machine(pid: &str) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let table = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let began = stat(pid).map(|(_, began)| began).unwrap_or_default();
    format!("{} {} {began}", boot.trim(), table.display())
}

/// State and start time of a process of this machine.
fn stat(pid: &str) -> Option<(char, String)> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let rest = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, (*fields.get(19)?).to_owned()))
}

/// Whether that run is known to be dead: it ran on this machine since its last boot, and its process is gone.
fn is_dead(holder: &Holder) -> bool {
    let parts = |m: &str| -> Option<[String; 3]> {
        let parts: Vec<String> = m.split(' ').map(ToOwned::to_owned).collect();
        parts.try_into().ok().filter(|p: &[String; 3]| p.iter().all(|part| !part.is_empty()))
    };
    let (Some([boot, table, _]), Some([their_boot, their_table, began])) =
        (parts(&machine("self")), parts(&holder.machine))
    else {
        return false;
    };
    if boot != their_boot || table != their_table || holder.pid == 0 {
        return false;
    }
    stat(&holder.pid.to_string()).is_none_or(|(state, now)| matches!(state, 'Z' | 'X') || now != began)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, machine: String) -> Holder {
        Holder { run: "r".into(), who: "a@b".into(), pid, machine }
    }

    #[test]
    fn only_a_process_of_this_machine_is_known_to_be_dead() {
        let own = machine("self");
        assert_eq!(own.split(' ').count(), 3, "{own}");
        assert!(!is_dead(&holder(std::process::id(), own.clone())), "it lives");
        let mut other = std::process::Command::new("true").spawn().unwrap();
        let (pid, seen) = (other.id(), machine(&other.id().to_string()));
        other.wait().unwrap();
        assert!(is_dead(&holder(pid, seen.clone())), "{seen}");
        assert!(!is_dead(&holder(pid, seen.replacen(|c: char| c.is_ascii_hexdigit(), "x", 1))), "another boot");
        assert!(!is_dead(&holder(pid, String::new())));
        let later = format!("{own}0");
        assert!(is_dead(&holder(std::process::id(), later)), "the number is another process's by now");
    }
}
