//! Chapter 1: back up, on the originals.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Ctx, texts};
use crate::{
    cluster::{EtcdPair, HostName, Node},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            run::{FetchFile, RunOp},
            snapshot::ProveSnapshot,
        },
    },
    remote::{Op, op::EtcdctlAccess},
    survey::FileKind,
};

const GROWN: &str = mark!("every joiner is a voter already; there is nothing left to back up for");

/// Configuration and certificates of every original into its dated directory.
pub(super) struct Files {
    cx: Arc<Ctx>,
}

impl Files {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    fn dir(&self) -> PathBuf {
        self.cx.cluster.backup_dir.join(&self.cx.stamp)
    }

    fn to(&self) -> PathBuf {
        self.dir().join("files")
    }

    /// Originals that have no complete backup yet.
    async fn missing(&self) -> Result<Vec<HostName>, ActError> {
        let sums = self.to().join("SHA256SUMS");
        let looks = self.cx.cluster.masters.iter().map(|m| self.cx.stat_one(&m.name, &sums));
        let states = futures::future::try_join_all(looks).await?;
        let masters = self.cx.cluster.masters.iter().map(|m| m.name.clone());
        Ok(masters.zip(states).filter(|(_, s)| s.kind != FileKind::File).map(|(host, _)| host).collect())
    }
}

#[async_trait]
impl Step for Files {
    fn id(&self) -> StepId {
        StepId { kind: "backup.files", host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Backup
    }

    fn title(&self) -> String {
        texts::title("backup.files", None)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        if self.cx.all_joined(&self.cx.membership().await?) {
            return Ok(Probe::Done(crate::lang::words(GROWN).into()));
        }
        let missing = self.missing().await?;
        if missing.is_empty() {
            return Ok(Probe::Done(tr!("{to} is complete on every original", to = self.to().display())));
        }
        Ok(Probe::Todo(tr!(
            "{missing} of {of} originals have no backup yet",
            missing = missing.len(),
            of = self.cx.cluster.masters.len()
        )))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let layout = &self.cx.cluster;
        let from = vec![layout.etcd.dir.clone(), layout.etcd.unit_file.clone(), layout.kube.dir.clone()];
        let missing = self.missing().await?;
        let acts: Vec<Box<dyn Act>> = missing
            .iter()
            .map(|h| {
                let (from, except) = (from.clone(), layout.etcd.data.clone());
                RunOp::act(h, Op::BackupTrees { from, except, to: self.to() })
            })
            .collect();
        let undo = missing.iter().map(|h| UndoAct::RemoveTree { host: h.to_string(), path: self.to() }).collect();
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card("backup.files"));
        plan.view.expected = texts::expected("backup.files");
        plan.view.notes.push(tr!(
            "each original keeps it in {to}, readable by root alone: it holds private keys",
            to = self.to().display()
        ));
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let missing = self.missing().await?;
        if let Some(host) = missing.first() {
            return Err(ActError::NotProven(tr!(
                "{host}: {to} is not complete; run again",
                host = host,
                to = self.to().display()
            )));
        }
        let hosts = self.cx.cluster.masters.iter().map(|m| m.name.to_string()).collect::<Vec<_>>().join(", ");
        Ok(vec![tr!("{hosts}: {to} with every checksum of the source", hosts = hosts, to = self.to().display())])
    }
}

/// A snapshot of etcd from one member, proven and fetched.
pub(super) struct Snapshot {
    cx: Arc<Ctx>,
}

impl Snapshot {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    fn path(&self, host: &HostName) -> PathBuf {
        self.cx.cluster.backup_dir.join(&self.cx.stamp).join(format!("etcd-{host}.db"))
    }

    fn local(&self, host: &HostName) -> PathBuf {
        self.cx.local_dir.join(&self.cx.stamp).join(format!("etcd-{host}.db"))
    }

    /// The first original whose snapshot lies on both sides with the same sha256.
    async fn found(&self) -> Option<(HostName, String)> {
        for master in &self.cx.cluster.masters {
            let local = tokio::fs::read(self.local(&master.name)).await.map(|b| crate::remote::op::sha256_hex(&b));
            let Ok(local) = local else { continue };
            let there = self.cx.stat_one(&master.name, &self.path(&master.name)).await;
            if there.is_ok_and(|s| s.sha256.as_deref() == Some(&local)) {
                return Some((master.name.clone(), local));
            }
        }
        None
    }

    /// A healthy original, rather not the leader: a snapshot reads the whole database.
    async fn member(&self) -> Result<(Node, i64), ActError> {
        let seen = self.cx.membership().await?;
        let leader = seen.leader();
        let mut healthy: Vec<_> = seen.members.iter().filter(|m| m.healthy() && !m.learner).collect();
        healthy.sort_by_key(|m| Some(m.id) == leader);
        let revision = healthy.iter().filter_map(|m| m.status.as_ref().ok()).map(|s| s.revision).min().unwrap_or(0);
        let mut named = healthy.iter().filter_map(|m| m.host.as_ref());
        let node = named
            .find_map(|h| self.cx.cluster.masters.iter().find(|m| &m.name == h))
            .ok_or_else(|| ActError::NotProven(trs!("no original is a healthy voter; repair etcd first").into()))?;
        Ok((node.clone(), revision))
    }
}

#[async_trait]
impl Step for Snapshot {
    fn id(&self) -> StepId {
        StepId { kind: "backup.snapshot", host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Backup
    }

    fn title(&self) -> String {
        texts::title("backup.snapshot", None)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        if self.cx.all_joined(&self.cx.membership().await?) {
            return Ok(Probe::Done(crate::lang::words(GROWN).into()));
        }
        Ok(match self.found().await {
            Some((host, sha)) => {
                Probe::Done(tr!("{host} (sha256 {sha}…)", host = self.local(&host).display(), sha = &sha[..12]))
            }
            None => Probe::Todo(trs!("no proven snapshot on this machine yet").into()),
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (node, at_least) = self.member().await?;
        let etcd = &self.cx.cluster.etcd;
        let (host, path) = (node.name.clone(), self.path(&node.name));
        let access = EtcdctlAccess {
            bin: etcd.bin.clone(),
            endpoint: self.cx.cluster.client_url(&node),
            ca: etcd.ca(),
            cert: etcd.cert(EtcdPair::Client),
            key: etcd.key(EtcdPair::Client),
        };
        let mut scratch = path.clone().into_os_string();
        scratch.push(".trial");
        let acts: Vec<Box<dyn Act>> = vec![
            RunOp::act(&host, Op::SnapshotSave { access, path: path.clone() }),
            Box::new(ProveSnapshot {
                host: host.clone(),
                bin: etcd.bin.clone(),
                path: path.clone(),
                scratch: scratch.into(),
                at_least,
            }),
            Box::new(FetchFile { from: host.clone(), path: path.clone(), local: self.local(&host) }),
        ];
        let undo = vec![UndoAct::RemoveFiles { host: host.to_string(), paths: vec![path] }];
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card("backup.snapshot"));
        plan.view.expected = texts::expected("backup.snapshot").max(Duration::from_secs(2));
        plan.view.notes.push(
            trs!("the snapshot holds every Secret of the cluster: keep the fetched file as safe as a key").into(),
        );
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let Some((host, sha)) = self.found().await else {
            return Err(ActError::NotProven(trs!("the fetched snapshot differs from the host's; run again").into()));
        };
        Ok(vec![tr!(
            "{file} is {host}'s snapshot, sha256 {sha}",
            file = self.local(&host).display(),
            host = host,
            sha = sha
        )])
    }
}
