//! Proving a snapshot: its own status, and a restore with the cluster's own binary.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::Deserialize;

use super::{Act, ActCx, ActError};
use crate::{
    cluster::HostName,
    engine::plan::Shown,
    remote::{Op, run_ok, shell},
};

/// Restores a snapshot into a scratch directory and compares what came out with what went in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProveSnapshot {
    /// Host that has the snapshot.
    pub host: HostName,
    /// Directory of etcd's tools there.
    pub bin: PathBuf,
    /// The snapshot.
    pub path: PathBuf,
    /// Scratch directory.
    pub scratch: PathBuf,
    /// The store's revision before the snapshot was taken: it can't be older.
    pub at_least: i64,
}

/// `snapshot status -w json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    hash: u64,
    revision: i64,
    total_key: u64,
    total_size: u64,
}

impl ProveSnapshot {
    fn ops(&self) -> [Op; 2] {
        let (bin, path) = (self.bin.clone(), self.path.clone());
        [
            Op::SnapshotStatus { bin: bin.clone(), path: path.clone() },
            Op::SnapshotTrial { bin, path, scratch: self.scratch.clone() },
        ]
    }

    async fn status(&self, cx: &ActCx, op: &Op) -> Result<Status, ActError> {
        let out = run_ok(&*cx.remote, &self.host, op).await?;
        let text = out.text();
        // etcdctl 3.3 may print warnings around it.
        text.lines().find_map(|line| serde_json::from_str(line.trim()).ok()).ok_or_else(|| {
            ActError::NotProven(tr!(
                "{host}: {summary} gave no status; take the snapshot again",
                host = self.host,
                summary = op.summary()
            ))
        })
    }
}

#[async_trait]
impl Act for ProveSnapshot {
    fn shown(&self) -> Shown {
        Shown {
            host: Some(self.host.clone()),
            title: tr!("prove {path}: status, and a restore into a scratch directory", path = self.path.display()),
            commands: self.ops().map(|op| shell::render(&op).script).join("\n\n"),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let [status, trial] = self.ops();
        let taken = self.status(cx, &status).await?;
        cx.say(tr!(
            "snapshot: hash {hash}, revision {revision}, {keys} keys, {size} bytes",
            hash = format_args!("{:08x}", taken.hash),
            revision = taken.revision,
            keys = taken.total_key,
            size = taken.total_size
        ));
        let restored = self.status(cx, &trial).await?;
        cx.say(tr!(
            "restored: revision {revision}, {keys} keys",
            revision = restored.revision,
            keys = restored.total_key
        ));
        let fail = |why: String| {
            Err(ActError::NotProven(tr!("{host}: the snapshot {why}; take it again", host = self.host, why = why)))
        };
        if taken.revision < self.at_least {
            return fail(tr!(
                "is at revision {revision}, older than {at_least} of before it",
                revision = taken.revision,
                at_least = self.at_least
            ));
        }
        if restored.revision != taken.revision {
            return fail(tr!(
                "restores to revision {revision}, not {wanted}",
                revision = restored.revision,
                wanted = taken.revision
            ));
        }
        Ok(())
    }
}
