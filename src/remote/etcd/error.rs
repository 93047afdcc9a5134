//! What goes wrong when talking to etcd: in etcd's own words, with what to do about it.

use std::error::Error as StdError;

use tonic::Code;

use super::Version;
use crate::{
    cluster::HostName,
    remote::{
        RemoteError, clean,
        tls::{TlsError, refusal},
    },
};

/// Why etcd could not be asked, or what it said. After an error of a change whose [`EtcdError::outcome_unknown`] is true,
/// read the member list again: the change may have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// Nobody answered.
    #[error("no member of etcd answered: {}", tried.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))]
    NobodyAnswered {
        /// What each that was asked came to.
        tried: Vec<EtcdError>,
    },
    /// Our own certificate does not hold, so nobody was asked.
    #[error("etcd: {0}")]
    Identity(TlsError),
    /// The host could not be reached, or not the port from it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// No TLS connection.
    #[error("{host}: etcd: {why}")]
    Tls {
        /// Which member's host.
        host: HostName,
        /// What went wrong.
        why: TlsError,
    },
    /// The connection broke while it was asked.
    #[error("{host}: the connection to etcd ended during {what} ({why}); look at the members again before going on")]
    Lost {
        /// Which member's host.
        host: HostName,
        /// What was asked.
        what: &'static str,
        /// What is known of the reason.
        why: String,
    },
    /// No answer in time.
    #[error("{host}: etcd gave no answer to {what} within {seconds} s; look at the members again before going on")]
    Timeout {
        /// Which member's host.
        host: HostName,
        /// What was asked.
        what: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// etcd said no.
    #[error("{host}: {what} refused: {why}; {remedy}")]
    Refused {
        /// Which member's host.
        host: HostName,
        /// What was asked.
        what: &'static str,
        /// Its own words, cleaned.
        why: String,
        /// What to do.
        remedy: &'static str,
        /// Whether it may have happened all the same.
        unknown: bool,
    },
    /// The learner has not caught up with the leader: try again in a moment.
    #[error("{host}: the learner {id:x} is not in sync with the leader yet; wait and promote it again")]
    NotInSync {
        /// Which member's host was asked.
        host: HostName,
        /// The learner.
        id: u64,
    },
    /// A member is too old for learners, or its version is not known.
    #[error("{member} runs etcd {}, and learners need 3.4.0 or later on every member; {}",
        .version.map_or_else(|| "of an unknown version".to_owned(), |v| v.to_string()),
        if .version.is_some() { "add a voter instead" } else { "bring the member up first" })]
    NoLearners {
        /// Its name, or its id where it has none.
        member: String,
        /// Its version, if it answered.
        version: Option<Version>,
    },
    /// An old member ignored that a learner was asked for.
    #[error("member {id:x} was to be a learner and was added as a VOTER; remove it, or start it at once")]
    AddedAsVoter {
        /// The member.
        id: u64,
    },
    /// The member has never started; promoting it would count a voter that is not there.
    #[error("member {id:x} has never started; start it and let it catch up before promoting it")]
    NotStarted {
        /// The member.
        id: u64,
    },
    /// The member list has no such member.
    #[error("there is no member {id:x} in the list; look at the members again")]
    NoSuchMember {
        /// The member.
        id: u64,
    },
    /// The leader cannot be told, or runs where nobody can be asked.
    #[error(
        "{why}, and only the leader can hand over; wait until the members agree on a leader among the hosts of the file"
    )]
    NoLeader {
        /// What is known of it.
        why: String,
    },
    /// The host is not among those with an address.
    #[error("{host} has no etcd address in the cluster file; add it there")]
    UnknownHost {
        /// Which host.
        host: HostName,
    },
    /// The answer lacks what it must have.
    #[error("{host}: etcd's answer to {what} makes no sense: {why}; compare etcd versions")]
    Unexpected {
        /// Which member's host.
        host: HostName,
        /// What was asked.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl EtcdError {
    /// Whether a change may have happened although no good answer came.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Timeout { .. } | Self::Unexpected { .. } => true,
            Self::Refused { unknown, .. } => *unknown,
            // Only what happens before the request is sent: the request went through `Lost`.
            _ => false,
        }
    }
}

/// What the connector failed with, carried through tonic's error chain.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(super) struct ConnectError(pub EtcdError);

/// Makes sense of the client library's error. It has no `source()` itself, so its parts are walked.
pub(super) fn translate(host: &HostName, what: &'static str, error: &etcd_client::Error) -> EtcdError {
    match error {
        etcd_client::Error::GRpcStatus(status) => match status.source() {
            // A status that the library made of a broken connection; the server's own have no source.
            Some(source) => broken(host, what, source),
            None if is_broken(status) => lost(host, what, status.message()),
            None => refused(host, what, status),
        },
        etcd_client::Error::TransportError(e) => broken(host, what, e),
        other => EtcdError::Unexpected { host: host.clone(), what, why: clean::line(&other.to_string()) },
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}

/// A broken connection, from the innermost reason known. Also what [`tonic::transport::Endpoint`] fails with.
pub(super) fn broken(host: &HostName, what: &'static str, error: &(dyn StdError + 'static)) -> EtcdError {
    if let Some(ConnectError(inner)) = chain(error).find_map(|e| e.downcast_ref()) {
        return inner.clone();
    }
    if let Some(refused) = refusal(error) {
        return lost(host, what, &refused.to_string());
    }
    let innermost = chain(error).last().map(ToString::to_string).unwrap_or_default();
    lost(host, what, &innermost)
}

fn lost(host: &HostName, what: &'static str, why: &str) -> EtcdError {
    EtcdError::Lost { host: host.clone(), what, why: clean::line(why) }
}

fn is_broken(status: &tonic::Status) -> bool {
    let etcds_own = status.message().starts_with("etcdserver:") || status.message().starts_with("auth:");
    !etcds_own && matches!(status.code(), Code::Cancelled | Code::Unavailable | Code::Unknown)
}

/// etcd's words (`api/v3rpc/rpctypes/error.go`), what to do, and whether the change may have happened nevertheless.
const WORDS: [(&str, &str, bool); 17] = [
    ("not enough started members", "start every member of the list before another is added", false),
    ("unhealthy cluster", "every voter must have been connected for 5 s: look for the one that is not", false),
    ("Peer URLs already exists", "the address is in the member list already: read it again before adding", false),
    ("member ID already exist", "the member is in the list already: read it again before adding", false),
    ("too many learner", "promote or remove the learner that is there first", false),
    ("can only promote a learner", "it is a voter already: read the member list again", false),
    ("member not found", "read the member list again", false),
    ("bad leader transferee", "the leader can only go to a started, connected voter", false),
    ("leader transfer took too long", "the leader may have moved all the same: look at the members", true),
    ("leader changed", "an election came in between: look at the members, then decide", true),
    ("not leader", "the leader has moved: look at the members, then ask again", false),
    ("no leader", "there is no quorum: bring members back first", true),
    ("request timed out", "it may have happened all the same: look at the members before anything else", true),
    ("server stopped", "that member is going down: look at the members before anything else", true),
    ("database space exceeded", "compact, defragment and disarm the alarm first", false),
    (
        "permission denied",
        "etcd has authentication switched on: use a client certificate whose user may do this",
        false,
    ),
    (
        "user name is empty",
        "etcd has authentication switched on: use a client certificate whose user may do this",
        false,
    ),
];

fn refused(host: &HostName, what: &'static str, status: &tonic::Status) -> EtcdError {
    let why = clean::line(status.message());
    let known = WORDS.iter().find(|(words, _, _)| why.contains(words));
    let (remedy, unknown) = match known {
        Some((_, remedy, unknown)) => (*remedy, *unknown),
        None if status.code() == Code::Unimplemented => ("this version of etcd does not know the request", false),
        None => ("look at that member's log", true),
    };
    EtcdError::Refused { host: host.clone(), what, why, remedy, unknown }
}
