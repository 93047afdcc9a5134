//! The hosts over SSH, with russh.
//!
//! One control session a host, kept alive and dialled again when lost; bulk streams on sessions of their own, because one
//! unread channel stalls all others of its session. Every wait has a deadline, except for a person's answers, which have a
//! long one.
//!
//! | file | what lives there |
//! |---|---|
//! | `settings` | where to log in and as whom: the cluster file, then `ssh -G` |
//! | `hostkey` | known_hosts, strictly |
//! | `keys`, `auth`, `ask` | key files, the login, questions to a person |
//! | `connect`, `handler`, `stall` | from nothing to a logged-in session |
//! | `session`, `tunnel` | channels, the lane that keeps a session, byte streams |
//! | `door`, `exec` | the line the login shell gets, sudo; running it |
//! | `endpoint` | one place to log in to, with all of the above |

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Semaphore, sync::mpsc::UnboundedSender, time::timeout};

use crate::cluster::{Cluster, HostName};

use super::{Asker, BoxStream, Io, Op, Output, Remote, RemoteError, Stdin, Stdout, Target, shell};

mod ask;
mod auth;
mod connect;
mod door;
mod endpoint;
mod exec;
mod handler;
mod hostkey;
mod keys;
mod session;
mod settings;
mod stall;
mod tunnel;

pub use settings::Environment;

use endpoint::{Endpoint, Shared, locked};
use session::NotOpened;

/// Hosts that are dialled at one time.
const AT_ONCE: usize = 32;
/// What may wait unread in a dialled stream.
const STREAM: usize = 16 << 20;

/// A host that is logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// `address:port` as dialled.
    pub address: String,
    /// Login name.
    pub user: String,
    /// By what the login succeeded, such as `key /home/ann/.ssh/id_ed25519`.
    pub method: String,
    /// The host key's fingerprint, `SHA256:…`.
    pub host_key: String,
    /// The bastion the connection goes through.
    pub via: Option<String>,
    /// How long it took, a person's answers included.
    pub took: Duration,
}

/// How far a connection is; plain data for whoever shows it. Bastions tell theirs too, under their own names; the extra
/// sessions of bulk streams tell nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectState {
    /// The TCP connection is being made.
    Dialling {
        /// `address:port`.
        address: String,
        /// The bastion in between.
        via: Option<String>,
    },
    /// A person is asked about an unknown host key.
    HostKey {
        /// `SHA256:…`.
        fingerprint: String,
    },
    /// The host key is right; keys are being offered.
    LoggingIn {
        /// Login name.
        user: String,
    },
    /// Logged in, and able to act as root.
    Up(Connected),
    /// Not usable for now; the next operation tries again.
    Failed(RemoteError),
}

/// The hosts of a cluster file over SSH. Cheap to clone.
#[derive(Clone)]
pub struct SshRemote {
    shared: Arc<Shared>,
    hosts: Arc<HashMap<HostName, Arc<Endpoint>>>,
    order: Arc<[HostName]>,
}

impl SshRemote {
    /// For the hosts of that file, with the process's own surroundings. Dials nothing yet. `progress`, where given, gets
    /// every step of every connection, re-dials included.
    pub fn new(
        cluster: &Cluster,
        asker: Arc<dyn Asker>,
        progress: Option<UnboundedSender<(HostName, ConnectState)>>,
    ) -> Self {
        Self::within(cluster, asker, progress, Environment::of_process())
    }

    /// The same in given surroundings.
    pub fn within(
        cluster: &Cluster,
        asker: Arc<dyn Asker>,
        progress: Option<UnboundedSender<(HostName, ConnectState)>>,
        env: Environment,
    ) -> Self {
        let questions = Arc::new(ask::Questions::new(asker));
        let shared = Shared {
            env,
            all: cluster.ssh.clone(),
            keys: keys::KeyFiles::new(questions.clone()),
            questions,
            bastions: tokio::sync::Mutex::default(),
            verdicts: std::sync::Mutex::default(),
            progress,
            told: std::sync::Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            hosts: Arc::new(
                cluster
                    .hosts()
                    .map(|node| (node.name.clone(), Arc::new(Endpoint::node(node, cluster.ssh_for(node)))))
                    .collect(),
            ),
            order: cluster.hosts().map(|node| node.name.clone()).collect(),
        }
    }

    /// Logs in to every host at once and finds out whether it can act as root there. Hosts that fail are reported with the
    /// others, in the file's order. What was refused before, by a host or a person, is tried again here and only here.
    pub async fn connect_all(&self) -> Vec<(HostName, Result<Connected, RemoteError>)> {
        let names: Vec<_> = self.order.to_vec();
        self.connect(&names).await
    }

    /// The same for some hosts, in the order given.
    pub async fn connect(&self, names: &[HostName]) -> Vec<(HostName, Result<Connected, RemoteError>)> {
        self.shared.keys.forget_refusals().await;
        let bastions: Vec<_> = self.shared.bastions.lock().await.values().cloned().collect();
        names.iter().filter_map(|name| self.hosts.get(name)).chain(&bastions).for_each(|e| e.forget_refusal());
        locked(&self.shared.verdicts).retain(|(_, _, yes)| *yes);
        let places = Semaphore::new(AT_ONCE);
        let mut dials: FuturesUnordered<_> = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let places = &places;
                async move {
                    let _place = places.acquire().await;
                    let result = self.connect_one(name).await;
                    let state = result.clone().map_or_else(ConnectState::Failed, ConnectState::Up);
                    self.shared.tell(name, state);
                    (at, name.clone(), result)
                }
            })
            .collect();
        let mut done = Vec::with_capacity(names.len());
        while let Some(one) = dials.next().await {
            done.push(one);
        }
        done.sort_by_key(|(at, ..)| *at);
        done.into_iter().map(|(_, name, result)| (name, result)).collect()
    }

    async fn connect_one(&self, name: &HostName) -> Result<Connected, RemoteError> {
        let endpoint = self.endpoint(name)?;
        let mut session = endpoint.session(&self.shared).await?;
        if !session.answers().await {
            session = endpoint.session(&self.shared).await?;
        }
        endpoint.door(&self.shared).await?;
        Ok(session.facts.clone())
    }

    fn endpoint(&self, name: &HostName) -> Result<Arc<Endpoint>, RemoteError> {
        self.hosts.get(name).cloned().ok_or_else(|| RemoteError::Unexpected {
            host: name.clone(),
            what: trs!("looking it up").into(),
            why: trs!("it is not in the cluster file; add it there").into(),
        })
    }
}

/// Whether an operation runs until its channel closes: its script watches standard input for that.
fn until_closed(op: &Op) -> bool {
    matches!(op, Op::FollowLog { .. } | Op::RehearsalEtcd { .. })
}

/// Ends a task with the future that waits for it.
struct Ends<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Ends<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl Remote for SshRemote {
    async fn run(&self, host: &HostName, op: &Op, io: Io) -> Result<Output, RemoteError> {
        let endpoint = self.endpoint(host)?;
        let door = endpoint.door(&self.shared).await?;
        // Dialling again has deadlines of its own and may wait for a person: the operation's starts after it.
        endpoint.session(&self.shared).await?;
        let rendered = shell::render(op);
        let what = op.summary();
        let stays = until_closed(op);
        let bulk = matches!(io.stdin, Stdin::Reader(_)) || (matches!(io.stdout, Stdout::Writer(_)) && !stays);
        let job = exec::Job {
            command: door.command(&rendered.script).map_err(|why| endpoint.unexpected(&what, why))?,
            first: door.preamble().into_iter().chain(rendered.stdin).collect(),
            stdin: io.stdin,
            keep_open: stays,
            stdout: io.stdout,
            shared_session: !bulk,
            lines: io.lines,
        };
        let deadline = io.deadline.unwrap_or_else(|| op.deadline());
        // A task of its own: its channel is read whether or not the caller polls, and ends when the caller lets go.
        let mut task = Ends(tokio::spawn({
            let (shared, endpoint, what) = (self.shared.clone(), endpoint.clone(), what.clone());
            async move { endpoint.run(&shared, &what, job, bulk).await }
        }));
        match timeout(deadline, &mut task.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(e)) => Err(endpoint.unexpected(what, tr!("the task ended ({e}); this is a bug in banister", e = e))),
            Err(_) => Err(RemoteError::Timeout { host: host.clone(), what, seconds: deadline.as_secs() }),
        }
    }

    async fn dial(&self, via: &HostName, to: Target) -> Result<BoxStream, RemoteError> {
        let endpoint = self.endpoint(via)?;
        let mut again = true;
        loop {
            let session = endpoint.session(&self.shared).await?;
            match session.open_tunnel(&to.address.to_string(), to.port, STREAM).await {
                Ok(tunnel) => return Ok(Box::new(tunnel)),
                Err(NotOpened::Gone) if again => {
                    again = false;
                    session.give_up();
                }
                Err(e) => {
                    let why = connect::tunnel_words(&e);
                    return Err(RemoteError::Dial { host: via.clone(), target: to.to_string(), why });
                }
            }
        }
    }
}
