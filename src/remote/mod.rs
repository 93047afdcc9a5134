//! How a host is reached. Two verbs: [`Remote::run`] an [`Op`], and [`Remote::dial`] a byte stream.
//!
//! Over SSH the first renders the operation to shell ([`shell`]), the second is a direct-tcpip channel. Whatever speaks
//! TLS (etcd-client, handshake probes, API requests) goes through `dial`, so it needs no open port between the jump host
//! and the cluster. The practice cluster implements the same two verbs in memory.

use std::{fmt, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::UnboundedSender,
};

use crate::cluster::HostName;

pub mod clean;
pub mod container;
pub mod etcd;
pub mod facts;
pub mod kube;
pub mod lock;
pub mod op;
pub mod package;
pub mod pods;
pub mod shell;
pub mod ssh;
pub mod tls;
pub mod tree;

pub use op::{Content, Op, SecretBytes};

/// A two-way byte stream to a port, as [`Remote::dial`] gives it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A boxed [`Stream`].
pub type BoxStream = Box<dyn Stream>;

/// Where to dial, as seen from the host dialled through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// Address; loopback means the host itself.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::net::SocketAddr::new(self.address, self.port))
    }
}

/// What goes into an operation's standard input beyond the operation's own content.
#[derive(Default)]
pub enum Stdin {
    /// Nothing (or, for [`Op::WriteFile`], the operation's content).
    #[default]
    Empty,
    /// A stream, for [`Op::ReceiveFile`] and its like.
    Reader(Pin<Box<dyn AsyncRead + Send>>),
}

/// Where an operation's standard output goes.
#[derive(Default)]
pub enum Stdout {
    /// Into [`Output::stdout`], up to [`MAX_CAPTURE`].
    #[default]
    Capture,
    /// Into a stream; [`Output::stdout`] stays empty.
    Writer(Pin<Box<dyn AsyncWrite + Send>>),
}

/// Most bytes of output kept of one operation; more is an error, never a silent cut.
pub const MAX_CAPTURE: usize = 32 << 20;

/// The plumbing of one call of [`Remote::run`].
#[derive(Default)]
pub struct Io {
    /// Standard input.
    pub stdin: Stdin,
    /// Standard output.
    pub stdout: Stdout,
    /// Gets every line of standard error, cleaned ([`clean::line`]), as it arrives.
    pub lines: Option<UnboundedSender<String>>,
    /// Most time the operation may take; `None` takes the operation's own ([`Op::deadline`]).
    pub deadline: Option<Duration>,
}

/// What an operation gave back. A non-zero exit status is a result, not an error: the caller knows what it means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Exit status; 128 + n for a signal n.
    pub status: u32,
    /// Standard output as it came (hostile until cleaned).
    pub stdout: Bytes,
    /// Standard error, cleaned, last 64 KiB.
    pub stderr: String,
}

impl Output {
    /// Standard output as text, invalid UTF-8 replaced, not cleaned.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// `Ok(self)` when the status is 0, else a [`RemoteError::Failed`] that names the host and the last lines.
    pub fn checked(self, host: &HostName, op: &Op) -> Result<Self, RemoteError> {
        if self.status == 0 {
            return Ok(self);
        }
        Err(RemoteError::Failed {
            host: host.clone(),
            what: op.summary(),
            status: self.status,
            stderr: clean::tail(&self.stderr, 12),
        })
    }
}

/// Why a host could not be used. Each message ends in what to do.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum RemoteError {
    /// No TCP connection or no SSH answer in time.
    #[error("{}", tr!("{host}: cannot be reached at {address}: {why}; check that the host is up and that sshd answers there", host = host, address = address, why = why))]
    Unreachable {
        /// Which host.
        host: HostName,
        /// Where it was tried.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// The host's key is not known and nobody accepted it.
    #[error(
        "{}", tr!("{host}: unknown host key {fingerprint} ({key_type}); compare it with the host's own and add it to {known_hosts}, or run banister at a terminal to be asked", host = host, fingerprint = fingerprint, key_type = key_type, known_hosts = known_hosts))]
    UnknownHostKey {
        /// Which host.
        host: HostName,
        /// `SHA256:…`.
        fingerprint: String,
        /// Such as `ssh-ed25519`.
        key_type: String,
        /// The file it was looked for in.
        known_hosts: String,
    },
    /// The host's key differs from the one on record, or is revoked.
    #[error(
        "{}", tr!("{host}: the host key has CHANGED: {known_hosts} line {line} says otherwise than {fingerprint}; the host was reinstalled, or somebody is in between: find out which before removing the line", host = host, known_hosts = known_hosts, line = line, fingerprint = fingerprint))]
    ChangedHostKey {
        /// Which host.
        host: HostName,
        /// `SHA256:…` as now presented.
        fingerprint: String,
        /// The file that holds the other key.
        known_hosts: String,
        /// One-based line, 0 when not known.
        line: usize,
    },
    /// No way to log in was accepted.
    #[error("{}", tr!("{host}: login as {user} refused: {why}", host = host, user = user, why = why))]
    Auth {
        /// Which host.
        host: HostName,
        /// Login name.
        user: String,
        /// What was tried and what to do.
        why: String,
    },
    /// The session ended while something ran: its outcome is unknown.
    #[error("{}", tr!("{host}: connection lost during {what}; its outcome is unknown until looked at", host = host, what = what))]
    Lost {
        /// Which host.
        host: HostName,
        /// What ran.
        what: String,
    },
    /// Not done within its deadline.
    #[error("{}", tr!("{host}: {what} did not finish within {seconds} s", host = host, what = what, seconds = seconds))]
    Timeout {
        /// Which host.
        host: HostName,
        /// What ran.
        what: String,
        /// The deadline.
        seconds: u64,
    },
    /// The operation ran and failed.
    #[error("{}", tr!("{host}: {what} failed with status {status}: {stderr}", host = host, what = what, status = status, stderr = stderr))]
    Failed {
        /// Which host.
        host: HostName,
        /// What ran.
        what: String,
        /// Exit status.
        status: u32,
        /// Last lines of standard error, cleaned.
        stderr: String,
    },
    /// A port could not be dialled.
    #[error("{}", tr!("{host}: no connection to {target}: {why}", host = host, target = target, why = why))]
    Dial {
        /// The host dialled through.
        host: HostName,
        /// Where to.
        target: String,
        /// What went wrong.
        why: String,
    },
    /// The host answered something that makes no sense.
    #[error("{host}: {what}: {why}")]
    Unexpected {
        /// Which host.
        host: HostName,
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        why: String,
    },
}

impl RemoteError {
    /// The host it is about.
    pub fn host(&self) -> &HostName {
        match self {
            Self::Unreachable { host, .. }
            | Self::UnknownHostKey { host, .. }
            | Self::ChangedHostKey { host, .. }
            | Self::Auth { host, .. }
            | Self::Lost { host, .. }
            | Self::Timeout { host, .. }
            | Self::Failed { host, .. }
            | Self::Dial { host, .. }
            | Self::Unexpected { host, .. } => host,
        }
    }

    /// Whether the operation may have taken effect although no answer came.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Timeout { .. })
    }
}

/// The door to the hosts.
#[async_trait]
pub trait Remote: Send + Sync + 'static {
    /// Runs one operation on a host. Every call has a deadline.
    async fn run(&self, host: &HostName, op: &Op, io: Io) -> Result<Output, RemoteError>;

    /// Opens a byte stream from a host to a port, so that the connection comes from that host's address.
    async fn dial(&self, via: &HostName, to: Target) -> Result<BoxStream, RemoteError>;
}

/// A shared [`Remote`].
pub type SharedRemote = Arc<dyn Remote>;

/// Runs an operation with nothing attached and fails on a non-zero status.
pub async fn run_ok(remote: &dyn Remote, host: &HostName, op: &Op) -> Result<Output, RemoteError> {
    remote.run(host, op, Io::default()).await?.checked(host, op)
}

/// What has to be asked of a person while logging in.
#[async_trait]
pub trait Asker: Send + Sync + 'static {
    /// An unknown host key: is it the right one? Asked once; yes adds it to `known_hosts`.
    async fn accept_host_key(&self, host: &HostName, address: &str, key_type: &str, fingerprint: &str) -> bool;

    /// A secret: a passphrase, a password, a one-time code. `None` when nobody answers.
    async fn secret(&self, prompt: &str) -> Option<secrecy::SecretString>;
}

/// Nobody is there to ask: unknown keys are refused, secrets not given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

#[async_trait]
impl Asker for Nobody {
    async fn accept_host_key(&self, _: &HostName, _: &str, _: &str, _: &str) -> bool {
        false
    }

    async fn secret(&self, _: &str) -> Option<secrecy::SecretString> {
        None
    }
}
