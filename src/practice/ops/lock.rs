//! The lock on the cluster, below `/run`: never full, never read-only.

use std::path::Path;

use super::Done;
use crate::{
    practice::{
        files::{Entry, Kind},
        host::Host,
    },
    remote::{
        lock::{HELD, Holder, Lock, LockOp, PATH, parse, text},
        op::Owner,
    },
};

/// Does what [`LockOp`]'s shell does. Leases last by the operator's time, however fast practice goes.
pub fn run(host: &mut Host, op: &LockOp) -> Done {
    let path = Path::new(PATH);
    let now = u64::try_from(crate::practice::clock::epoch_ms() / 1000).unwrap_or(0);
    let shown = |text: &str| format!("{text}now={now}\n");
    let there = host.files.text(path);
    let lock: Option<Lock> = there.as_deref().map(|t| parse(&shown(t)));
    let may = |run: &str| lock.as_ref().is_none_or(|l| l.holder.run == run);
    match op {
        LockOp::Look => there.map_or_else(Done::not_there, |t| Done::out(shown(&t))),
        LockOp::Release { run } => {
            if lock.is_some_and(|l| &l.holder.run == run) {
                forget(host);
            }
            Done::default()
        }
        LockOp::Renew { holder, lease } if may(&holder.run) => write(host, lock.as_ref(), holder, now, *lease),
        LockOp::Take { holder, lease, over } => {
            let given = over
                .as_ref()
                .is_some_and(|o| lock.as_ref().is_some_and(|l| l.holder.run == o.run && (o.dead || l.stale())));
            if given || may(&holder.run) {
                write(host, lock.as_ref(), holder, now, *lease)
            } else {
                held(&there.unwrap_or_default(), now)
            }
        }
        LockOp::Renew { .. } => held(&there.unwrap_or_default(), now),
    }
}

/// A reboot empties `/run`.
pub fn forget(host: &mut Host) {
    // Memory of its own: neither room nor writability of the disk come into it.
    let (read_only, free) = (std::mem::replace(&mut host.files.read_only, false), host.files.free);
    let _ = host.files.remove(Path::new(PATH));
    (host.files.read_only, host.files.free) = (read_only, free);
}

fn held(there: &str, now: u64) -> Done {
    Done { status: HELD, ..Done::out(format!("{there}now={now}\n")) }
}

fn write(host: &mut Host, old: Option<&Lock>, holder: &Holder, now: u64, lease: u32) -> Done {
    let since = old.filter(|l| l.holder.run == holder.run).map_or_else(
        || {
            jiff::Timestamp::from_millisecond(host.epoch_ms())
                .unwrap_or_default()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string()
        },
        |l| l.since.clone(),
    );
    let text = text(holder, &since, now + u64::from(lease));
    let kind = Kind::File(text.clone().into());
    host.files.lay(Path::new(PATH), Entry { kind, mode: 0o600, owner: Owner::root(), mtime: host.files.now });
    Done::out(format!("{text}now={now}\n"))
}
