//! One place to log in to: its settled settings, its sessions, what is known of its shell.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    sync::{Mutex, OnceCell, OwnedSemaphorePermit, Semaphore, mpsc::UnboundedSender},
    time::timeout,
};

use russh::keys::PublicKey;

use crate::{
    cluster::{HostName, Node, SshSettings},
    remote::{Output, RemoteError, Stdin, Stdout, clean},
};

use super::{
    ConnectState,
    ask::Questions,
    auth::Answers,
    connect,
    door::{self, Door, Probed, Rights},
    exec::{self, Fault, Job},
    keys::KeyFiles,
    session::{Lane, NotOpened, Session},
    settings::{self, Environment, Jump, Resolved},
};

/// Bulk streams of one host at one time; each has a session of its own, so that none stalls another.
const BULK: usize = 3;
/// Bastions behind bastions: more than this is a loop in somebody's settings.
const DEEPEST: usize = 8;
/// Most time the harmless first script may take.
const PROBE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// A lock that outlives a panic of its holder: what it guards is always whole.
pub(super) fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What all endpoints share.
pub(super) struct Shared {
    /// The surroundings.
    pub env: Environment,
    /// The cluster file's settings for all hosts, used for bastions too.
    pub all: SshSettings,
    /// The person.
    pub questions: Arc<Questions>,
    /// The key files.
    pub keys: KeyFiles,
    /// Bastions by the chain that leads to them.
    pub bastions: Mutex<HashMap<String, Arc<Endpoint>>>,
    /// What a person said of unknown host keys in this run, by the name they are recorded under.
    pub verdicts: std::sync::Mutex<Vec<(String, PublicKey, bool)>>,
    /// Gets the progress.
    pub progress: Option<UnboundedSender<(HostName, ConnectState)>>,
    /// What was told last of each host: nothing is told twice.
    pub told: std::sync::Mutex<HashMap<HostName, ConnectState>>,
}

impl Shared {
    /// Tells how far a host is.
    pub fn tell(&self, host: &HostName, state: ConnectState) {
        let Some(progress) = &self.progress else { return };
        let before = locked(&self.told).insert(host.clone(), state.clone());
        if before.as_ref() != Some(&state) {
            // Nobody listening is fine.
            let _ = progress.send((host.clone(), state));
        }
    }

    /// What a person said of that key for that name.
    pub fn verdict(&self, name: &str, key: &PublicKey) -> Option<bool> {
        let all = locked(&self.verdicts);
        all.iter().find(|(n, k, _)| n == name && k.key_data() == key.key_data()).map(|(_, _, yes)| *yes)
    }
}

/// Where an endpoint's settings come from.
enum Source {
    Node(Box<Node>, SshSettings),
    Jump(Jump),
}

/// One place to log in to.
pub(super) struct Endpoint {
    /// As the operator calls it.
    pub name: HostName,
    /// What was answered there.
    pub answers: Answers,
    source: Source,
    through: Option<Arc<Endpoint>>,
    depth: usize,
    resolved: OnceCell<Resolved>,
    door: OnceCell<Door>,
    control: Lane,
    bulk_places: Arc<Semaphore>,
    bulk_idle: std::sync::Mutex<Vec<Arc<Session>>>,
    /// A refusal that another try would not change: kept until a person asks for one, so that nobody is asked the same
    /// again by every operation and no sshd sees a stream of failed logins.
    refusal: std::sync::Mutex<Option<RemoteError>>,
}

/// A session to run one job on.
struct Lease {
    session: Arc<Session>,
    /// Its place among the session's channels, or among the bulk sessions.
    _place: Option<OwnedSemaphorePermit>,
}

impl Endpoint {
    /// A node of the cluster file; `own` is what holds for it there.
    pub fn node(node: &Node, own: SshSettings) -> Self {
        Self::new(node.name.clone(), Source::Node(Box::new(node.clone()), own), None, 0)
    }

    fn new(name: HostName, source: Source, through: Option<Arc<Self>>, depth: usize) -> Self {
        Self {
            name,
            answers: Answers::default(),
            source,
            through,
            depth,
            resolved: OnceCell::new(),
            door: OnceCell::new(),
            control: Lane::default(),
            bulk_places: Arc::new(Semaphore::new(BULK)),
            bulk_idle: std::sync::Mutex::default(),
            refusal: std::sync::Mutex::default(),
        }
    }

    /// An error about this host that has no case of its own.
    pub fn unexpected(&self, what: impl Into<String>, why: impl Into<String>) -> RemoteError {
        RemoteError::Unexpected { host: self.name.clone(), what: what.into(), why: why.into() }
    }

    /// The settled settings.
    pub async fn resolved(&self, shared: &Shared) -> Result<&Resolved, RemoteError> {
        let settle = async {
            match &self.source {
                Source::Node(node, own) => settings::for_node(&shared.env, node, own).await,
                Source::Jump(jump) => settings::for_jump(&shared.env, jump, &shared.all).await,
            }
        };
        self.resolved.get_or_try_init(|| settle).await.map_err(|why| self.unexpected(trs!("ssh settings"), why))
    }

    /// The bastion this host is reached through, if any.
    pub async fn bastion(&self, shared: &Shared) -> Result<Option<Arc<Self>>, RemoteError> {
        if let Some(through) = &self.through {
            return Ok(Some(through.clone()));
        }
        let jumps = &self.resolved(shared).await?.jumps;
        if !jumps.is_empty() && self.depth >= DEEPEST {
            return Err(self.unexpected(
                trs!("ssh settings"),
                trs!("bastions lead in a circle; mend ProxyJump in your ssh settings"),
            ));
        }
        let mut known = shared.bastions.lock().await;
        let (mut chain, mut through) = (String::new(), None);
        for (hop, text) in jumps.iter().enumerate() {
            let jump = Jump::parse(text).map_err(|why| self.unexpected(trs!("ssh settings"), why))?;
            chain = format!("{chain},{text}");
            let depth = self.depth + 1 + hop;
            let name = HostName::new(&jump.host);
            let endpoint = known
                .entry(chain.clone())
                .or_insert_with(|| Arc::new(Self::new(name, Source::Jump(jump), through.take(), depth)));
            through = Some(endpoint.clone());
        }
        Ok(through)
    }

    /// The control session, dialled if need be.
    pub async fn session(&self, shared: &Shared) -> Result<Arc<Session>, RemoteError> {
        let dial = async {
            let dialled = connect::open(shared, self, true).await;
            match &dialled {
                // A first login counts only when it can act as root.
                Ok(session) if self.door.initialized() => {
                    shared.tell(&self.name, ConnectState::Up(session.facts.clone()));
                }
                Ok(_) => {}
                Err(e) => shared.tell(&self.name, ConnectState::Failed(e.clone())),
            }
            dialled
        };
        if let Some(refusal) = locked(&self.refusal).clone() {
            return Err(refusal);
        }
        self.keep_refusal(self.control.get(dial).await)
    }

    /// Lets a refused login be tried again.
    pub fn forget_refusal(&self) {
        *locked(&self.refusal) = None;
    }

    fn keep_refusal<T>(&self, result: Result<T, RemoteError>) -> Result<T, RemoteError> {
        let kept = |e: &RemoteError| {
            matches!(
                e,
                RemoteError::Auth { .. } | RemoteError::UnknownHostKey { .. } | RemoteError::ChangedHostKey { .. }
            )
        };
        if let Some(e) = result.as_ref().err().filter(|e| kept(e)) {
            *locked(&self.refusal) = Some(e.clone());
        }
        result
    }

    async fn lease(&self, shared: &Shared, bulk: bool) -> Result<Lease, RemoteError> {
        if !bulk {
            let session = self.session(shared).await?;
            let place = session.place().await;
            return Ok(Lease { session, _place: place });
        }
        let place = self.bulk_places.clone().acquire_owned().await.ok();
        // The control session goes first, so that a dead host is dialled once for all and not once per stream.
        self.session(shared).await?;
        let idle = locked(&self.bulk_idle).pop();
        let session = match idle.filter(|s| s.alive()) {
            Some(session) => session,
            None => Arc::new(connect::open(shared, self, false).await?),
        };
        Ok(Lease { session, _place: place })
    }

    /// Runs a job on the control session, or with `bulk` on one of its own. A session found dead before the job began is
    /// dialled again, once.
    pub async fn run(&self, shared: &Shared, what: &str, job: Job, bulk: bool) -> Result<Output, RemoteError> {
        let mut again = true;
        let (lease, channel) = loop {
            let lease = self.lease(shared, bulk).await?;
            match lease.session.open_exec().await {
                Ok(channel) => break (lease, channel),
                Err(NotOpened::Gone) if again => {
                    again = false;
                    lease.session.give_up();
                }
                Err(e) => return Err(self.not_opened(what, &e)),
            }
        };
        let result = exec::run(channel, job).await;
        if bulk && lease.session.alive() {
            locked(&self.bulk_idle).push(lease.session.clone());
        }
        result.map_err(|fault| match fault {
            Fault::Lost => RemoteError::Lost { host: self.name.clone(), what: what.to_owned() },
            Fault::Broken(why) => self.unexpected(what, why),
        })
    }

    fn not_opened(&self, what: &str, why: &NotOpened) -> RemoteError {
        match why {
            NotOpened::Gone => RemoteError::Unreachable {
                host: self.name.clone(),
                address: trs!("its ssh session").into(),
                why: trs!("the connection closed as soon as it was used").into(),
            },
            NotOpened::Refused(code, words) => self.unexpected(
                what,
                tr!(
                    "sshd opened no channel ({code} {words}); look at MaxSessions in its sshd_config",
                    code = format_args!("{code:?}"),
                    words = words
                ),
            ),
            NotOpened::Slow => RemoteError::Timeout {
                host: self.name.clone(),
                what: tr!("opening a channel for: {what}", what = what),
                seconds: super::session::OPEN.as_secs(),
            },
        }
    }

    /// How scripts run here; found out at the first use.
    pub async fn door(&self, shared: &Shared) -> Result<&Door, RemoteError> {
        self.keep_refusal(self.door.get_or_try_init(|| self.find_door(shared)).await)
    }

    async fn try_door(&self, shared: &Shared, door: &Door, script: &str) -> Result<Output, RemoteError> {
        let what = trs!("trying the login shell");
        let job = Job {
            command: door.command(script).map_err(|why| self.unexpected(what, why))?,
            first: door.preamble().into_iter().collect(),
            stdin: Stdin::Empty,
            keep_open: false,
            stdout: Stdout::Capture,
            shared_session: true,
            lines: None,
        };
        timeout(PROBE_DEADLINE, self.run(shared, what, job, false)).await.unwrap_or_else(|_| {
            let seconds = PROBE_DEADLINE.as_secs();
            Err(RemoteError::Timeout { host: self.name.clone(), what: what.into(), seconds })
        })
    }

    async fn find_door(&self, shared: &Shared) -> Result<Door, RemoteError> {
        let to = self.resolved(shared).await?;
        let mut door = Door::default();
        let mut output = self.try_door(shared, &door, door::PROBE).await?;
        if door::probed(&output.text()) == Probed::Spoiled {
            door.encoded = true;
            output = self.try_door(shared, &door, door::PROBE).await?;
        }
        let uid = match door::probed(&output.text()) {
            Probed::Clean(uid) => uid,
            Probed::Noisy(noise) => {
                let noise = clean::tail(&clean::text(&noise), 2);
                return Err(self.unexpected(
                    trs!("trying the login shell"),
                    tr!(
                        "it prints `{noise}` before anything runs; make {user}'s start-up files silent for ssh",
                        noise = noise,
                        user = to.user
                    ),
                ));
            }
            Probed::Spoiled => {
                let said = clean::tail(&clean::text(&format!("{}\n{}", output.text(), output.stderr)), 3);
                return Err(self.refused(
                    to,
                    tr!(
                        "the login shell runs no commands (it says `{said}`); give {user} a real shell",
                        said = said,
                        user = to.user
                    ),
                ));
            }
        };
        if to.sudo {
            door.rights = self.sudo(shared, to, door.encoded).await?;
        } else if uid != 0 {
            return Err(self.refused(
                to,
                tr!("logged in, but {user} is not root; set `sudo: true` under ssh in the cluster file, or log in as root", user = to.user),
            ));
        }
        Ok(door)
    }

    async fn sudo(&self, shared: &Shared, to: &Resolved, encoded: bool) -> Result<Rights, RemoteError> {
        let plain = Door { rights: Rights::Sudo, encoded };
        let output = self.try_door(shared, &plain, door::PROBE).await?;
        if door::probed(&output.text()) == Probed::Clean(0) {
            return Ok(Rights::Sudo);
        }
        let mut said = clean::tail(&output.stderr, 2);
        for attempt in 0..door::ATTEMPTS {
            // sudo's own words; where they are translated, asking for a password is the better guess.
            if ["not found", "sudoers", "must have a tty", "not allowed"].iter().any(|w| said.contains(w)) {
                break;
            }
            let again = if attempt == 0 { "" } else { trs!("wrong, once more: ") };
            let prompt =
                tr!("{again}sudo password of {user} on {name}", again = again, user = to.user, name = self.name);
            let Some(password) = shared.questions.secret(&prompt).await else {
                return Err(self.refused(
                    to,
                    tr!("sudo wants a password ({said}) and nobody gave it; allow NOPASSWD, or run banister at a terminal", said = said),
                ));
            };
            let door = Door { rights: Rights::SudoTry(password.clone()), encoded };
            let output = self.try_door(shared, &door, door::PROBE).await?;
            if door::probed(&output.text()) == Probed::Clean(0) {
                return Ok(Rights::SudoPassword(password));
            }
            said = clean::tail(&output.stderr, 2);
        }
        Err(self.refused(
            to,
            tr!(
                "sudo refuses ({said}); let {user} run /bin/sh by sudo without a terminal",
                said = said,
                user = to.user
            ),
        ))
    }

    fn refused(&self, to: &Resolved, why: String) -> RemoteError {
        RemoteError::Auth { host: self.name.clone(), user: to.user.clone(), why }
    }
}
