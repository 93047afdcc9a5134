//! One case: disturbed, repaired, run again, compared.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use banister::{
    engine::{Chapter, confirm::Choice, event::Outcome, undo},
    practice::host::Power,
    remote::lock,
};
use etcd_client::proto::PbRangeRequest;
use tokio::sync::mpsc;

use super::{
    super::harness::{Desk, Looked, differences},
    Stage,
    strike::{Ended, Strike, Striker},
};

/// How long what was repaired is given to be found healthy, by the operator's clock.
const SETTLES: Duration = Duration::from_mins(1);

/// Runs it; how the disturbed run ended, or what is wrong afterwards.
pub async fn case(stage: &Stage, strike: Strike, at: usize) -> Result<Ended, String> {
    let desk = stage.desk();
    let written = keys(&desk, "/seed");
    let striker = Striker::new(&desk.practice, strike, at);
    let ended = disturbed(&desk, stage, strike, at, &striker).await?;
    striker.mend();
    if strike == Strike::NoPlaceForBackup {
        std::fs::remove_file(desk.home.path().join("backups")).map_err(|e| e.to_string())?;
    }
    desk.paper.room.store(usize::MAX, Ordering::SeqCst);
    desk.practice.set_tap(None);
    let up = desk.practice.with(|w| w.hosts.values().all(|h| h.power == Power::Up));
    if !up {
        return Err("the fault was not repaired".into());
    }
    // A run that was killed leaves its lock behind until the lease runs out.
    desk.lapse();
    let looked = settled(&desk).await?;
    // A vote is not taken back by itself: the way back is the join's.
    let back = strike == Strike::KilledAndTakenBack && !undo::begun(&desk.journal()).is_empty();
    let mut wrong = if back {
        taken_back(&desk, stage).await?
    } else {
        let (cx, steps) = desk.steps_for(looked).await;
        let first = if strike.walks_all() { 0 } else { stage.index };
        let steps = &steps[first..=stage.until];
        let ran = desk.run_through(cx.etcd.clone(), steps, &cx.stamp, Choice::Stop, Chapter::Workers).await;
        if ran.outcome != Outcome::Done {
            return Err(format!("the second run: {}", ran.why));
        }
        desk.rest().await;
        differences(&stage.after, &desk.state())
            .into_iter()
            // What is enabled runs after a reboot.
            .filter(|d| strike != Strike::Rebooted || !(d.contains(" unit ") && d.contains(": None → Some(")))
            .collect()
    };
    if strike == Strike::KilledFinishedAndTakenBack && !undo::begun(&desk.journal()).is_empty() {
        wrong.extend(taken_back(&desk, stage).await?);
    }
    wrong.extend(left_over(&desk));
    wrong.extend(striker.lost.lock().unwrap().drain(..));
    if written.is_empty() || written != keys(&desk, "/seed") {
        wrong.push("an acknowledged write is lost".into());
    }
    let (taken, left) = (striker.acknowledged.lock().unwrap().len(), keys(&desk, "/live").len());
    if taken != left {
        wrong.push(format!("{left} of {taken} writes made meanwhile are there"));
    }
    if wrong.is_empty() { Ok(ended) } else { Err(wrong.join("; ")) }
}

/// Takes everything back; what is not as before the step.
async fn taken_back(desk: &Desk, stage: &Stage) -> Result<Vec<String>, String> {
    let ran = desk.take_back().await;
    if ran.outcome != Outcome::Done {
        return Err(format!("the way back: {}", ran.why));
    }
    desk.rest().await;
    let wrong = differences(&stage.before, &desk.state())
        .into_iter()
        // systemd has heard of units that were started.
        .filter(|d| !(d.contains(" unit ") && d.contains(": None → Some(")))
        // What a kubelet made for itself goes with its directory, when chapter 3 is taken back.
        .filter(|d| !(d.contains(":/var/lib/kubelet/") && d.contains(": None → Some(")));
    Ok(wrong.collect())
}

async fn disturbed(
    desk: &Desk,
    stage: &Stage,
    strike: Strike,
    at: usize,
    striker: &Arc<Striker>,
) -> Result<Ended, String> {
    let etcd = desk.etcd().await?;
    let (cx, steps) = desk.steps_for(Looked { observed: stage.observed.clone(), etcd: Ok(etcd) }).await;
    let choice = if strike == Strike::CutAndRetried { Choice::Retry } else { Choice::Stop };
    let (events, _unread) = mpsc::unbounded_channel();
    let mut engine = desk.engine(cx.etcd.clone(), &cx.stamp, choice, events);
    desk.practice.set_tap(Some(striker.clone()));
    if strike == Strike::NoPlaceForBackup {
        std::fs::write(desk.home.path().join("backups"), "a file").map_err(|e| e.to_string())?;
    }
    if strike == Strike::NoRoomForJournal {
        // The engine's own line, the run's, is written already.
        desk.paper.room.store(at, Ordering::SeqCst);
    }
    let step = &steps[stage.index..=stage.index];
    let ended = tokio::select! {
        biased;
        (outcome, _) = engine.run(step, Chapter::Workers) => match outcome {
            Outcome::Done => Ended::Well,
            _ => Ended::Failed,
        },
        () = striker.killed.notified() => Ended::Killed,
    };
    drop(engine);
    if !strike.at_home() && !striker.hit.load(Ordering::SeqCst) {
        return Err("the fault never struck".into());
    }
    Ok(ended)
}

/// A look that nothing blocks any more.
async fn settled(desk: &Desk) -> Result<Looked, String> {
    let began = tokio::time::Instant::now();
    loop {
        let looked = desk.look().await;
        let blocking = looked.observed.blocking();
        if blocking.is_empty() && looked.etcd.is_ok() {
            return Ok(looked);
        }
        if began.elapsed() > SETTLES {
            let said: Vec<_> = blocking.iter().map(|f| format!("{:?} {}", f.host, f.what)).collect();
            return Err(format!("the survey before the second run is blocked: {}", said.join("; ")));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What was written to etcd below a directory, with its revisions.
fn keys(desk: &Desk, below: &str) -> Vec<String> {
    let (key, range_end) = (format!("{below}/").into(), format!("{below}0").into());
    let request = PbRangeRequest { key, range_end, ..PbRangeRequest::default() };
    desk.practice.with(|w| {
        let cluster = w.etcd.clusters.values().max_by_key(|c| c.members.len());
        let kvs = cluster.map(|c| c.store.range(&request).kvs).unwrap_or_default();
        kvs.iter().map(|kv| format!("{:?} {:?} {}", kv.key, kv.value, kv.mod_revision)).collect()
    })
}

/// What nobody asked for: temporary files and directories, a second dated directory, a lock.
fn left_over(desk: &Desk) -> Vec<String> {
    let mut left = Vec::new();
    desk.practice.with(|w| {
        for (name, host) in &w.hosts {
            if host.files.entry(Path::new(lock::PATH)).is_some() {
                left.push(format!("{name}: the lock is left over"));
            }
            for (path, _) in host.files.below(Path::new("/")) {
                let text = path.display().to_string();
                let ours = text.contains(".banister") || text.contains("rehearsal") || text.contains("scratch");
                let partial = path.extension().is_some_and(|e| e == "part" || e == "partial");
                if ours || partial || text.contains("/trial") {
                    left.push(format!("{name}:{text} is left over"));
                }
            }
            let dated = host.files.children(Path::new("/root/backup"));
            if dated.len() > 1 {
                left.push(format!("{name}: {} dated directories", dated.len()));
            }
        }
    });
    left
}
