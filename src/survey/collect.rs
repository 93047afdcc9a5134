//! Asking every host, side by side. Reads only: the only operations used are those [`Op::read_only`] says yes to.

use std::{path::PathBuf, time::Duration, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use secrecy::zeroize::Zeroize as _;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    CertOnDisk, EtcdOnHost, Facts, HostObserved, HostSeen, Observed, facts,
    findings::findings,
    kubelet::{self, Named},
    parse::{self, ParseError},
};
use crate::{
    cluster::{Cluster, EtcdPair, HostName, Node, Role},
    pki::{self, CertInfo, PrivateKey},
    remote::{Io, Op, Remote, RemoteError, SecretBytes, SharedRemote, etcd::Membership},
};

/// Most hosts looked at at the same time.
pub const SIDE_BY_SIDE: usize = 16;

/// Most time the members are waited for; each call to a member has its own, shorter deadline.
const ETCD_DEADLINE: Duration = Duration::from_mins(1);

/// Status of an operation whose file or program does not exist, see [`Op::ReadFile`].
const NOT_THERE: u32 = 44;

/// Who can tell the member list with each member's own answer.
#[async_trait]
pub trait EtcdLook: Send + Sync {
    /// One fresh look; the error says why nobody answered and ends in what to do.
    async fn look(&self) -> Result<Membership, String>;
}

/// How far a survey is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SurveyProgress {
    /// A host is being asked for something.
    Asking(HostName, &'static str),
    /// A host is done, or why it could not be looked at.
    Host(HostName, Result<(), String>),
    /// etcd's members answered, or why not.
    Etcd(Result<(), String>),
}

/// Looks at every host of the file and at etcd, all side by side, and judges what was seen. Never fails: what cannot be
/// seen is part of the result.
pub async fn survey(
    cluster: &Cluster,
    remote: SharedRemote,
    etcd: &dyn EtcdLook,
    progress: UnboundedSender<SurveyProgress>,
) -> Observed {
    // Made before the stream: a closure inside it that borrows the node would keep the whole future off other threads.
    let looks: Vec<_> =
        cluster.hosts().map(|node| survey_host(cluster, node, remote.as_ref(), Some(&progress))).collect();
    let hosts = stream::iter(looks).buffered(SIDE_BY_SIDE).collect::<Vec<_>>();
    let (hosts, etcd) = tokio::join!(hosts, look_at_etcd(etcd, ETCD_DEADLINE, &progress));
    let findings = findings(cluster, &hosts, &etcd, now());
    Observed { hosts, etcd, findings }
}

/// Seconds since the epoch by the operator's clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

async fn look_at_etcd(
    etcd: &dyn EtcdLook,
    deadline: Duration,
    progress: &UnboundedSender<SurveyProgress>,
) -> Result<Membership, String> {
    let silence =
        || tr!("no answer within {deadline} s; look at etcd's log on the originals", deadline = deadline.as_secs());
    let answer = tokio::time::timeout(deadline, etcd.look()).await.unwrap_or_else(|_| Err(silence()));
    let _ = progress.send(SurveyProgress::Etcd(answer.as_ref().map(|_| ()).map_err(Clone::clone)));
    answer
}

/// Looks at one host: a worker's facts, and on masters and joiners all that lies there of etcd.
pub async fn survey_host(
    cluster: &Cluster,
    node: &Node,
    remote: &dyn Remote,
    progress: Option<&UnboundedSender<SurveyProgress>>,
) -> HostObserved {
    let look = Look { cluster, node, remote, progress };
    let seen = look.host().await;
    look.say(SurveyProgress::Host(node.name.clone(), seen.as_ref().map(|_| ()).map_err(ToString::to_string)));
    HostObserved { name: node.name.clone(), role: node.role, seen }
}

/// The one look at a host that [`survey_host`] asks for first.
pub fn facts_op(cluster: &Cluster, node: &Node) -> Op {
    let layout = &cluster.etcd;
    let space = match node.role {
        Role::Original => vec![cluster.backup_dir.clone(), layout.data.clone()],
        Role::Joiner => vec![layout.data.clone(), layout.bin.clone()],
        Role::Worker => Vec::new(),
    };
    Op::Facts {
        ports: if node.role == Role::Worker { Vec::new() } else { vec![layout.client_port, layout.peer_port] },
        space,
        programs: wanted_programs(cluster, node.role),
    }
}

/// Programs that the operations of chapters 1 and 2 ([`crate::remote::shell`]) cannot do without on a host of that role, by
/// name or absolute path.
pub fn needed_programs(cluster: &Cluster, role: Role) -> Vec<String> {
    let mut names: Vec<String> = match role {
        Role::Worker => return Vec::new(),
        Role::Original => ["systemctl", "sha256sum", "stat", "find", "sed", "tar"].map(Into::into).into(),
        Role::Joiner => {
            let base = ["systemctl", "sha256sum", "stat", "find", "sed", "getent", "groupadd", "useradd", "runuser"];
            base.map(Into::into).into()
        }
    };
    if role == Role::Original {
        names.extend(["etcd", "etcdctl"].map(|p| cluster.etcd.bin.join(p).display().to_string()));
    }
    if role == Role::Joiner && cluster.set_hostname {
        names.push("hostnamectl".into());
    }
    names
}

/// The needed ones and those that are only good to have.
fn wanted_programs(cluster: &Cluster, role: Role) -> Vec<String> {
    let mut names = needed_programs(cluster, role);
    if role != Role::Worker {
        names.push("journalctl".into());
    }
    if role == Role::Original {
        names.push(cluster.etcd.bin.join("etcdutl").display().to_string());
    }
    names
}

/// What came of asking for something that need not exist.
pub(super) enum Answer {
    There(Bytes),
    Absent,
    Refused(String),
}

pub(super) struct Look<'a> {
    pub cluster: &'a Cluster,
    pub node: &'a Node,
    pub remote: &'a dyn Remote,
    pub progress: Option<&'a UnboundedSender<SurveyProgress>>,
}

impl Look<'_> {
    fn say(&self, progress: SurveyProgress) {
        if let Some(to) = self.progress {
            let _ = to.send(progress);
        }
    }

    fn asking(&self, what: &'static str) {
        self.say(SurveyProgress::Asking(self.node.name.clone(), what));
    }

    async fn host(&self) -> Result<HostSeen, RemoteError> {
        self.asking(trs!("the host itself"));
        let facts = self.facts().await?;
        let etcd = match self.node.role {
            Role::Worker => None,
            Role::Original | Role::Joiner => Some(self.etcd(&facts).await?),
        };
        let kubelet = match self.node.role {
            Role::Original => self.kubelet(&facts).await?,
            Role::Joiner | Role::Worker => None,
        };
        Ok(HostSeen { facts, etcd, kube: None, kubelet })
    }

    /// The name that kubelet registers under; `None` where there is none, or its files cannot be read.
    async fn kubelet(&self, facts: &Facts) -> Result<Option<String>, RemoteError> {
        let unit = &self.cluster.kube.kubelet_unit_file;
        match kubelet::named(self.remote, &self.node.name, unit).await {
            Ok(Named::Flag(name)) => Ok(Some(name)),
            // kubelet takes it in lower case.
            Ok(Named::Hostname) => Ok(Some(facts.hostname.to_lowercase())),
            Ok(Named::NoUnit) | Err(RemoteError::Failed { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn facts(&self) -> Result<Facts, RemoteError> {
        let op = facts_op(self.cluster, self.node);
        let asked_at = SystemTime::now();
        let out = self.remote.run(&self.node.name, &op, Io::default()).await?.checked(&self.node.name, &op)?;
        facts::parse(&out.text(), asked_at, SystemTime::now()).map_err(|e| self.unexpected(&op, &e))
    }

    fn unexpected(&self, op: &Op, error: &ParseError) -> RemoteError {
        RemoteError::Unexpected { host: self.node.name.clone(), what: op.summary(), why: error.to_string() }
    }

    /// A lost connection ends the look at this host; a command that fails is an answer.
    pub(super) async fn ask(&self, op: &Op) -> Result<Answer, RemoteError> {
        let out = self.remote.run(&self.node.name, op, Io::default()).await?;
        Ok(match out.status {
            0 => Answer::There(out.stdout),
            NOT_THERE => Answer::Absent,
            status => Answer::Refused(tr!(
                "status {status}: {stderr}",
                status = status,
                stderr = crate::remote::clean::tail(&out.stderr, 3)
            )),
        })
    }

    /// The text of an operation that worked, as it came.
    async fn text(&self, op: Op) -> Result<Option<String>, RemoteError> {
        Ok(match self.ask(&op).await? {
            Answer::There(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Answer::Absent | Answer::Refused(_) => None,
        })
    }

    async fn etcd(&self, facts: &Facts) -> Result<EtcdOnHost, RemoteError> {
        self.asking(trs!("etcd's unit, configuration and certificates"));
        let layout = &self.cluster.etcd;
        let (version, unit, config, unit_text, files, ca) = tokio::try_join!(
            self.text(Op::EtcdVersion { bin: layout.bin.clone() }),
            self.text(Op::UnitState { unit: layout.unit.clone() }),
            self.text(Op::ReadFile { path: layout.config.clone() }),
            self.text(Op::ReadFile { path: layout.unit_file.clone() }),
            self.files(),
            self.ask_file(layout.ca()),
        )?;
        let ca_pem = match &ca {
            Answer::There(pem) => Some(pem.as_ref()),
            Answer::Absent | Answer::Refused(_) => None,
        };
        let [server, peer, client] = EtcdPair::ALL.map(|pair| self.pair(pair, ca_pem));
        let (ca_key, server, peer, client) = tokio::try_join!(self.key_of(layout.ca_key()), server, peer, client)?;
        let ca = on_disk(layout.ca(), &ca, &ca_key, ca_pem);
        Ok(EtcdOnHost {
            version: version.and_then(|text| parse::etcd_version(&text)).map(|v| v.to_string()),
            unit: unit.map(|text| parse::unit_state(&text)).unwrap_or_default(),
            config,
            unit_text,
            data_entries: facts.entries.get(&layout.data).copied(),
            ca_key: match ca_key {
                Key::Absent => None,
                Key::Unreadable | Key::Of(_) => Some(ca.as_ref().is_some_and(|ca| ca.key_matches == Some(true))),
            },
            ca,
            certs: EtcdPair::ALL.into_iter().zip([server, peer, client]).filter_map(|(p, c)| Some((p, c?))).collect(),
            files,
        })
    }

    pub(super) async fn ask_file(&self, path: PathBuf) -> Result<Answer, RemoteError> {
        self.ask(&Op::ReadFile { path }).await
    }

    /// Everything below the configuration directory, and below the certificates' where that lies elsewhere.
    async fn files(&self) -> Result<Vec<super::FileState>, RemoteError> {
        let layout = &self.cluster.etcd;
        let mut dirs = vec![&layout.dir];
        if !layout.pki.starts_with(&layout.dir) {
            dirs.push(&layout.pki);
        }
        let mut files = Vec::new();
        for dir in dirs {
            let op = Op::ListTree { dir: dir.clone() };
            if let Answer::There(bytes) = self.ask(&op).await? {
                let text = String::from_utf8_lossy(&bytes);
                files.extend(parse::file_states(&text).map_err(|e| self.unexpected(&op, &e))?);
            }
        }
        Ok(files)
    }

    async fn pair(&self, pair: EtcdPair, ca_pem: Option<&[u8]>) -> Result<Option<CertOnDisk>, RemoteError> {
        let layout = &self.cluster.etcd;
        let path = layout.cert(pair);
        let (cert, key) = tokio::try_join!(self.ask_file(path.clone()), self.key_of(layout.key(pair)))?;
        Ok(on_disk(path, &cert, &key, ca_pem))
    }

    /// Reads a private key only as far as its public half, and wipes what was read.
    pub(super) async fn key_of(&self, path: PathBuf) -> Result<Key, RemoteError> {
        Ok(match self.ask(&Op::ReadSecret { path }).await? {
            Answer::Absent => Key::Absent,
            Answer::Refused(_) => Key::Unreadable,
            Answer::There(bytes) => {
                let pem = secret(bytes);
                PrivateKey::from_pem(pem.expose()).map_or(Key::Unreadable, |key| Key::Of(key.public_key_fingerprint()))
            }
        })
    }
}

/// What lies where a private key belongs.
pub(super) enum Key {
    Absent,
    /// Encrypted, of an unknown kind, or not to be read.
    Unreadable,
    /// sha256 of its public half.
    Of(String),
}

/// Moves the bytes where they are wiped, and wipes the buffer they came in where nobody else holds it.
pub(super) fn secret(bytes: Bytes) -> SecretBytes {
    let kept = SecretBytes::new(bytes.to_vec());
    if let Ok(mut buffer) = bytes.try_into_mut() {
        buffer.as_mut().zeroize();
    }
    kept
}

pub(super) fn on_disk(path: PathBuf, pem: &Answer, key: &Key, ca_pem: Option<&[u8]>) -> Option<CertOnDisk> {
    let (cert, issued_by_ca) = match pem {
        Answer::Absent => return None,
        Answer::Refused(why) => (Err(why.clone()), None),
        Answer::There(pem) => match CertInfo::from_pem(pem) {
            Ok(cert) => {
                (Ok(cert), ca_pem.filter(|ca| CertInfo::from_pem(ca).is_ok()).map(|ca| pki::is_signed_by(pem, ca)))
            }
            Err(error) => (Err(error.to_string()), None),
        },
    };
    let key_matches = match (&cert, key) {
        (Ok(cert), Key::Of(fingerprint)) => Some(&cert.key_fingerprint == fingerprint),
        _ => None,
    };
    Some(CertOnDisk { path, cert, key_matches, issued_by_ca })
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
