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
    #[error("{}", tr!("no member of etcd answered: {tried}", tried = tried.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")))]
    NobodyAnswered {
        /// What each that was asked came to.
        tried: Vec<EtcdError>,
    },
    /// Our own certificate does not hold, so nobody was asked.
    #[error("{}", tr!("etcd: {what}", what = _0))]
    Identity(TlsError),
    /// The host could not be reached, or not the port from it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// No TLS connection.
    #[error("{}", tr!("{host}: etcd: {why}", host = host, why = why))]
    Tls {
        /// Which member's host.
        host: HostName,
        /// What went wrong.
        why: TlsError,
    },
    /// The connection broke while it was asked.
    #[error("{}", tr!("{host}: the connection to etcd ended during {what} ({why}); look at the members again before going on", host = host, what = what, why = why))]
    Lost {
        /// Which member's host.
        host: HostName,
        /// What was asked.
        what: &'static str,
        /// What is known of the reason.
        why: String,
    },
    /// No answer in time.
    #[error("{}", tr!("{host}: etcd gave no answer to {what} within {seconds} s; look at the members again before going on", host = host, what = what, seconds = seconds))]
    Timeout {
        /// Which member's host.
        host: HostName,
        /// What was asked.
        what: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// etcd said no.
    #[error("{}", tr!("{host}: {what} refused: {why}; {remedy}", host = host, what = what, why = why, remedy = remedy))]
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
    #[error("{}", tr!("{host}: the learner {id} is not in sync with the leader yet; wait and promote it again", host = host, id = format_args!("{id:x}")))]
    NotInSync {
        /// Which member's host was asked.
        host: HostName,
        /// The learner.
        id: u64,
    },
    /// A member is too old for learners, or its version is not known.
    #[error("{}", tr!("{member} runs etcd {version}, and learners need 3.4.0 or later on every member; {remedy}", member = member, version = version.map_or_else(|| trs!("of an unknown version").to_owned(), |v| v.to_string()), remedy = if version.is_some() { trs!("add a voter instead") } else { trs!("bring the member up first") }))]
    NoLearners {
        /// Its name, or its id where it has none.
        member: String,
        /// Its version, if it answered.
        version: Option<Version>,
    },
    /// An old member ignored that a learner was asked for.
    #[error("{}", tr!("member {id} was to be a learner and was added as a VOTER; remove it, or start it at once", id = format_args!("{id:x}")))]
    AddedAsVoter {
        /// The member.
        id: u64,
    },
    /// The member has never started; promoting it would count a voter that is not there.
    #[error("{}", tr!("member {id} has never started; start it and let it catch up before promoting it", id = format_args!("{id:x}")))]
    NotStarted {
        /// The member.
        id: u64,
    },
    /// The member list has no such member.
    #[error("{}", tr!("there is no member {id} in the list; look at the members again", id = format_args!("{id:x}")))]
    NoSuchMember {
        /// The member.
        id: u64,
    },
    /// The leader cannot be told, or runs where nobody can be asked.
    #[error(
        "{}", tr!("{why}, and only the leader can hand over; wait until the members agree on a leader among the hosts of the file", why = why))]
    NoLeader {
        /// What is known of it.
        why: String,
    },
    /// The host is not among those with an address.
    #[error("{}", tr!("{host} has no etcd address in the cluster file; add it there", host = host))]
    UnknownHost {
        /// Which host.
        host: HostName,
    },
    /// The answer lacks what it must have.
    #[error("{}", tr!("{host}: etcd's answer to {what} makes no sense: {why}; compare etcd versions", host = host, what = what, why = why))]
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
    ("not enough started members", mark!("start every member of the list before another is added"), false),
    ("unhealthy cluster", mark!("every voter must have been connected for 5 s: look for the one that is not"), false),
    (
        "Peer URLs already exists",
        mark!("the address is in the member list already: read it again before adding"),
        false,
    ),
    ("member ID already exist", mark!("the member is in the list already: read it again before adding"), false),
    ("too many learner", mark!("promote or remove the learner that is there first"), false),
    ("can only promote a learner", mark!("it is a voter already: read the member list again"), false),
    ("member not found", mark!("read the member list again"), false),
    ("bad leader transferee", mark!("the leader can only go to a started, connected voter"), false),
    ("leader transfer took too long", mark!("the leader may have moved all the same: look at the members"), true),
    ("leader changed", mark!("an election came in between: look at the members, then decide"), true),
    ("not leader", mark!("the leader has moved: look at the members, then ask again"), false),
    ("no leader", mark!("there is no quorum: bring members back first"), true),
    ("request timed out", mark!("it may have happened all the same: look at the members before anything else"), true),
    ("server stopped", mark!("that member is going down: look at the members before anything else"), true),
    ("database space exceeded", mark!("compact, defragment and disarm the alarm first"), false),
    (
        "permission denied",
        mark!("etcd has authentication switched on: use a client certificate whose user may do this"),
        false,
    ),
    (
        "user name is empty",
        mark!("etcd has authentication switched on: use a client certificate whose user may do this"),
        false,
    ),
];

fn refused(host: &HostName, what: &'static str, status: &tonic::Status) -> EtcdError {
    let why = clean::line(status.message());
    let known = WORDS.iter().find(|(words, _, _)| why.contains(words));
    let (remedy, unknown) = match known {
        Some((_, remedy, unknown)) => (crate::lang::words(remedy), *unknown),
        None if status.code() == Code::Unimplemented => (trs!("this version of etcd does not know the request"), false),
        None => (trs!("look at that member's log"), true),
    };
    EtcdError::Refused { host: host.clone(), what, why, remedy, unknown }
}
