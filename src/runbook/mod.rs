//! The runbook's chapters as steps.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    cluster::{Cluster, HostName, Node},
    engine::{
        Chapter,
        act::{ActError, handshake},
        step::SharedStep,
    },
    pki::{CertInfo, San},
    remote::{
        Io, Op, SecretBytes, SharedRemote,
        etcd::{EtcdApi, Membership},
        run_ok, shell,
    },
    survey::{Facts, FileKind, FileState, Observed, UnitState, parse},
};

mod apiserver;
mod backup;
pub mod edit;
mod etcd;
mod gate;
mod kubernetes;
pub mod stamp;
mod start;
pub mod texts;
mod workers;

/// What every step works with.
pub struct Ctx {
    /// The cluster file.
    pub cluster: Arc<Cluster>,
    /// The door to the hosts.
    pub remote: SharedRemote,
    /// etcd's API through it.
    pub etcd: Arc<EtcdApi>,
    /// The survey this run began with: for what does not change meanwhile.
    pub observed: Arc<Observed>,
    /// Name of this growth's dated directory below [`Cluster::backup_dir`] and on the operator's machine.
    pub stamp: String,
    /// Where fetched backups go on the operator's machine.
    pub local_dir: PathBuf,
}

/// The steps of a growth, in order, for the chapters that are built.
pub fn steps(cx: &Arc<Ctx>) -> Vec<SharedStep> {
    let mut steps: Vec<SharedStep> =
        vec![Arc::new(backup::Files::new(cx.clone())), Arc::new(backup::Snapshot::new(cx.clone()))];
    for chapter in [etcd::steps, kubernetes::steps, apiserver::steps, start::steps, workers::steps] {
        steps.extend(chapter(cx));
    }
    steps.into_iter().map(|step| gate::Guarded::step(cx, step)).collect()
}

/// The last chapter that [`steps`] covers.
pub const LAST_CHAPTER: Chapter = Chapter::Workers;

/// Whether an undo takes steps of that kind back. A backup stays: it harms nobody, and all else is put back from it.
pub fn goes_back(word: &str) -> bool {
    kind(word).is_some_and(|(_, chapter)| chapter != Chapter::Backup)
}

/// A kind of step as the program knows it, with its chapter, from a journal's word.
pub fn kind(word: &str) -> Option<(&'static str, Chapter)> {
    let kind = texts::KINDS.into_iter().find(|k| *k == word)?;
    let chapter = match kind.split('.').next()? {
        "backup" => Chapter::Backup,
        "etcd" => Chapter::Etcd,
        "apiserver" => Chapter::Certificate,
        "workers" | "proof" => Chapter::Workers,
        "calico" => Chapter::Start,
        _ => match kind {
            "kube.pki" | "kube.start" | "kube.node" | "kube.token" => Chapter::Start,
            _ => Chapter::Kubernetes,
        },
    };
    Some((kind, chapter))
}

impl Ctx {
    /// Reads a file as text; `None` when it does not exist.
    async fn read_text(&self, host: &HostName, path: &Path) -> Result<Option<String>, ActError> {
        let op = Op::ReadFile { path: path.to_owned() };
        let out = self.remote.run(host, &op, Io::default()).await?;
        if out.status == shell::NOT_THERE {
            return Ok(None);
        }
        let out = out.checked(host, &op)?;
        String::from_utf8(out.stdout.to_vec()).map(Some).map_err(|_| {
            ActError::NotProven(tr!(
                "{host}: {path} is not UTF-8 text; look at it by hand",
                host = host,
                path = path.display()
            ))
        })
    }

    /// Reads a file that must exist as text.
    async fn need_text(&self, host: &HostName, path: &Path) -> Result<String, ActError> {
        self.read_text(host, path).await?.ok_or_else(|| missing(host, path))
    }

    /// Reads a private file into memory.
    async fn read_secret(&self, host: &HostName, path: &Path) -> Result<SecretBytes, ActError> {
        crate::engine::act::run::read_secret(&self.remote, host, path).await
    }

    /// Looks at paths; the answer is in the order asked.
    async fn stat(&self, host: &HostName, paths: Vec<PathBuf>) -> Result<Vec<FileState>, ActError> {
        crate::engine::act::run::stat(&self.remote, host, paths).await
    }

    /// Looks at one path.
    async fn stat_one(&self, host: &HostName, path: &Path) -> Result<FileState, ActError> {
        crate::engine::act::run::stat_one(&self.remote, host, path).await
    }

    /// Reads a certificate.
    async fn cert(&self, host: &HostName, path: &Path) -> Result<CertInfo, ActError> {
        let text = self.need_text(host, path).await?;
        CertInfo::from_pem(text.as_bytes())
            .map_err(|e| ActError::Pki { what: format!("{host}:{}", path.display()), why: e.to_string() })
    }

    /// A certificate that may not be there yet.
    async fn cert_if_any(&self, host: &HostName, path: &Path) -> Result<Option<CertInfo>, ActError> {
        match self.stat_one(host, path).await?.kind {
            FileKind::Absent => Ok(None),
            _ => self.cert(host, path).await.map(Some),
        }
    }

    async fn unit(&self, host: &HostName, unit: &str) -> Result<UnitState, ActError> {
        let op = Op::UnitState { unit: unit.to_owned() };
        Ok(parse::unit_state(&run_ok(&*self.remote, host, &op).await?.text()))
    }

    /// A fresh look at a host.
    async fn facts(&self, host: &HostName) -> Result<Facts, ActError> {
        let asked = std::time::SystemTime::now();
        let op = Op::Facts { ports: Vec::new(), space: Vec::new(), programs: Vec::new() };
        let out = run_ok(&*self.remote, host, &op).await?;
        crate::survey::facts::parse(&out.text(), asked, std::time::SystemTime::now())
            .map_err(|e| ActError::NotProven(format!("{host}: {e}")))
    }

    /// Proves with fresh handshakes that a member serves all the names that it has to have.
    async fn prove_served(&self, node: &Node) -> Result<Vec<String>, ActError> {
        let names: Vec<_> = self.cluster.all_masters().map(|n| San::Ip(n.address)).collect();
        handshake::prove_ports(&self.cluster, &self.remote, node, &names).await
    }

    /// A fresh look at etcd.
    async fn membership(&self) -> Result<Membership, ActError> {
        self.etcd.look().await.map_err(|e| ActError::Etcd { host: HostName::new("cluster"), why: e.to_string() })
    }

    /// Where a file's old version is kept before a step of this growth first replaces it.
    fn kept(&self, step: &str, path: &Path) -> PathBuf {
        let below = path.strip_prefix("/").unwrap_or(path);
        self.cluster.backup_dir.join(&self.stamp).join("replaced").join(step).join(below)
    }

    /// The original that has the CA's key; the survey has proven that the key fits.
    fn ca_host(&self) -> Result<&Node, ActError> {
        let has = |n: &&Node| {
            self.observed.host(&n.name).and_then(|h| h.etcd.as_ref()).is_some_and(|e| e.ca_key == Some(true))
        };
        self.cluster.masters.iter().find(has).ok_or_else(|| ActError::Pki {
            what: trs!("etcd CA key").into(),
            why: tr!(
                "{ca_key} is on no original; put it back on one of them to sign with",
                ca_key = self.cluster.etcd.ca_key().display()
            ),
        })
    }

    /// The original that things are copied from: the first of the file.
    fn source(&self) -> &Node {
        // The cluster file is refused without a master.
        &self.cluster.masters[0]
    }

    /// Whether every joiner is a started voter already.
    fn all_joined(&self, seen: &Membership) -> bool {
        self.cluster
            .join
            .iter()
            .all(|j| seen.by_peer_url(&self.cluster.peer_url(j)).is_some_and(|m| m.started() && !m.learner))
    }
}

fn missing(host: &HostName, path: &Path) -> ActError {
    ActError::NotProven(tr!(
        "{host}: {path} is not there; put it back from a backup, or fix the path in the cluster file",
        host = host,
        path = path.display()
    ))
}

/// The permission bits and owner of a file as an [`Op`] wants them.
fn owner_of(state: &FileState) -> crate::remote::op::Owner {
    crate::remote::op::Owner { user: state.user.clone(), group: state.group.clone() }
}
