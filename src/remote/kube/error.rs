//! Why the API could not be used, in its own words and ending in what to do.

use serde::Deserialize;

use super::Door;
use crate::remote::{RemoteError, clean, tls::TlsError};

/// Why the API could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeError {
    /// The host could not be reached or its port not dialled.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// No TLS, or no answer over it.
    #[error("{}", tr!("the API on {at}: {what}: {error}", at = at, what = what, error = error))]
    Tls {
        /// Which apiserver.
        at: String,
        /// What was asked.
        what: String,
        /// What went wrong, and what to do.
        error: Box<TlsError>,
        /// Whether a change may have been made although no answer came.
        unknown: bool,
    },
    /// The apiserver said no.
    #[error("{}", tr!("the API on {at} answers {what} with {status}: {message}; {remedy}", at = at, what = what, status = status, message = message, remedy = remedy))]
    Refused {
        /// Which apiserver.
        at: String,
        /// What was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its own words, cleaned.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An answer that makes no sense.
    #[error("{}", tr!("the API on {at}: the answer to {what} makes no sense ({why}); ask the same with kubectl and compare", at = at, what = what, why = why))]
    Answer {
        /// Which apiserver.
        at: String,
        /// What was asked.
        what: String,
        /// Where it went wrong; never its content.
        why: String,
    },
    /// The kubeconfig cannot be used.
    #[error("{place}: {why}")]
    Config {
        /// Host and file.
        place: String,
        /// What is wrong and what to do.
        why: String,
    },
}

/// The API's way of saying no (`meta/v1 Status`).
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

/// Longest message kept; a field error may list a whole object.
const LONGEST: usize = 400;

impl KubeError {
    pub(super) fn refused(door: &Door, what: &str, status: u16, body: &[u8]) -> Self {
        let said = match serde_json::from_slice::<Status>(body) {
            Ok(status) if !status.message.is_empty() => status.message,
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        let cleaned = clean::tail(&clean::text(&said), 6);
        let message = match cleaned.chars().take(LONGEST).collect::<String>() {
            m if m.is_empty() => trs!("no words").into(),
            m => m,
        };
        Self::Refused { at: door.to_string(), what: clean::line(what), status, message, remedy: remedy(status) }
    }

    /// Whether the change may have been made although no answer came.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Tls { unknown, .. } => *unknown,
            Self::Remote(e) => e.outcome_unknown(),
            _ => false,
        }
    }

    /// Whether somebody changed the object between our look and our change.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Whether the credential itself was not taken.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }
}

fn remedy(status: u16) -> &'static str {
    match status {
        401 => trs!("the credential is not taken there: compare the CA and the service-account keys of the masters"),
        403 => trs!("use the kubeconfig of a cluster administrator"),
        404 => trs!("check the name in the cluster file"),
        409 => trs!("somebody else changed it meanwhile: run again"),
        400 | 415 | 422 => trs!("compare the object with the originals' by kubectl"),
        _ => trs!("look at the apiserver's log and at etcd, then run again"),
    }
}
