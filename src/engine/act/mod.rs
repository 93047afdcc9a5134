//! What a plan is made of: acts that show themselves and run themselves, so that what is shown is what runs.

pub mod apiserver;
pub mod etcd;
pub mod handshake;
pub mod issue;
pub mod kube;
pub mod proxy;
pub mod rehearse;
pub mod run;
pub mod snapshot;
pub mod tree;
mod undo;
pub mod wait;

use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use super::plan::Shown;
use crate::{
    cluster::HostName,
    remote::{RemoteError, SharedRemote, etcd::EtcdApi, kube::KubeError, package::Manager},
    survey::Finding,
};

/// Why an act, a probe or a proof failed. Messages end in what to do.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ActError {
    /// A host could not be used.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// etcd refused or did not answer.
    #[error("{}", tr!("etcd on {host}: {why}", host = host, why = why))]
    Etcd {
        /// Which member.
        host: HostName,
        /// Its words, and what to do.
        why: String,
    },
    /// The Kubernetes API refused or did not answer.
    #[error(transparent)]
    Kube(#[from] KubeError),
    /// A file of the operator's machine could not be used.
    #[error("{}: {why}", path.display())]
    Local {
        /// Which file.
        path: PathBuf,
        /// What went wrong and what to do.
        why: String,
    },
    /// Certificate work failed.
    #[error("{what}: {why}")]
    Pki {
        /// Which certificate or key, on which host.
        what: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// Something looked at is not as it has to be.
    #[error("{0}")]
    NotProven(String),
    /// The lock on the cluster is not held (any more).
    #[error("{0}")]
    Lock(String),
    /// It is not safe now.
    #[error("{}", tr!("refused: {what}", what = _0.iter().map(|f| f.what.as_str()).collect::<Vec<_>>().join("; ")))]
    Gate(Vec<Finding>),
}

/// Progress inside an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActProgress {
    /// A line of output or a remark, cleaned.
    Line(String),
    /// So many of so many bytes.
    Bytes {
        /// Done so far.
        done: u64,
        /// In all, where known.
        total: Option<u64>,
    },
    /// Waiting for a condition: what is seen now.
    Waiting {
        /// What is waited for and what is seen.
        what: String,
        /// Seconds so far.
        seconds: u64,
        /// The deadline in seconds.
        deadline: u64,
    },
}

/// What an act may use.
#[derive(Clone)]
pub struct ActCx {
    /// The door to the hosts.
    pub remote: SharedRemote,
    /// etcd's API, through that door.
    pub etcd: Arc<EtcdApi>,
    /// Where progress goes.
    pub progress: UnboundedSender<ActProgress>,
}

impl ActCx {
    /// Sends a remark; nobody listening is no error.
    pub fn say(&self, line: impl Into<String>) {
        let _ = self.progress.send(ActProgress::Line(line.into()));
    }
}

/// One action of a plan.
#[async_trait]
pub trait Act: fmt::Debug + Send + Sync {
    /// How it is shown.
    fn shown(&self) -> Shown;

    /// Does it. Running it again after an unknown outcome must be safe.
    async fn act(&self, cx: &ActCx) -> Result<(), ActError>;

    /// Whether etcd's membership changes: the gate is asked again right before.
    fn changes_membership(&self) -> bool {
        false
    }
}

/// What takes a step back: a smaller vocabulary than [`crate::remote::Op`], without content, so that it can stand in the
/// journal and secrets can't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum UndoAct {
    /// Put a file back from its backup.
    RestoreFile {
        /// Where.
        host: String,
        /// Which file.
        path: PathBuf,
        /// Its backup.
        backup: PathBuf,
    },
    /// Remove files that were made.
    RemoveFiles {
        /// Where.
        host: String,
        /// Which files.
        paths: Vec<PathBuf>,
    },
    /// Remove a directory that was made, with all in it.
    RemoveTree {
        /// Where.
        host: String,
        /// Which directory.
        path: PathBuf,
    },
    /// Remove a directory that was made, if empty.
    RemoveEmptyDir {
        /// Where.
        host: String,
        /// Which directory.
        path: PathBuf,
    },
    /// Put a directory back that was replaced as a whole, or remove it where there was none.
    RestoreTree {
        /// Where.
        host: String,
        /// Which directory.
        path: PathBuf,
        /// Where its old self was kept.
        kept: PathBuf,
    },
    /// Remove packages that were installed.
    RemovePackages {
        /// Where.
        host: String,
        /// By which package manager.
        manager: Manager,
        /// Their names.
        packages: Vec<String>,
    },
    /// The old hostname.
    SetHostname {
        /// Where.
        host: String,
        /// The old name.
        name: String,
    },
    /// Remove a user that was made.
    RemoveUser {
        /// Where.
        host: String,
        /// User name.
        name: String,
    },
    /// Stop (and disable) a unit that was started.
    StopUnit {
        /// Where.
        host: String,
        /// Unit name.
        unit: String,
    },
    /// systemd reads its files again.
    DaemonReload {
        /// Where.
        host: String,
    },
    /// Firewall and SELinux as they were.
    FirewallOn {
        /// Where.
        host: String,
        /// firewalld ran before.
        firewalld: bool,
        /// ufw was active before.
        ufw: bool,
        /// SELinux enforced before.
        selinux: bool,
    },
    /// Close ports that were opened.
    ClosePorts {
        /// Where.
        host: String,
        /// Which ports.
        ports: Vec<u16>,
    },
    /// Remove a member, behind the quorum gate.
    MemberRemove {
        /// A member to ask (never the one removed).
        host: String,
        /// Its name, for the eye.
        name: String,
        /// Its peer URL, which says which one.
        peer_url: String,
    },
    /// What takes a step on Kubernetes back.
    Kube(kube::KubeUndo),
    /// Put an apiserver's manifest back and wait until the process is the old one's like again; nothing to wait for where
    /// the manifest was never changed.
    RestoreManifest {
        /// Where.
        host: String,
        /// The manifest.
        path: PathBuf,
        /// Its backup.
        backup: PathBuf,
        /// The flags it had, with their values.
        flags: Vec<(String, String)>,
        /// The master's address.
        address: IpAddr,
        /// The apiserver's port.
        port: u16,
        /// The cluster's CA certificate there.
        ca: PathBuf,
        /// admin.conf there.
        admin_conf: PathBuf,
    },
    /// Put a proxy's configuration back, and restart its container if that sees another file then.
    RestoreProxy {
        /// Where.
        host: String,
        /// The configuration.
        path: PathBuf,
        /// Its backup.
        backup: PathBuf,
        /// The container.
        container: String,
    },
}
