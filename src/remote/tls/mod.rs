//! TLS over a [`BoxStream`]: who is served there, whether it holds, and small HTTPS requests.
//!
//! Every use of TLS in this program goes through [`TlsClient`], so that ring is the one provider, every wait has a deadline,
//! and a refusal is said in words an engineer can act on, whoever refused whom.

use std::{fmt, io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    client::ResolvesClientCert,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName},
    sign::CertifiedKey,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{BoxStream, SecretBytes};
use crate::pki::{CertInfo, PkiError, PrivateKey, pem_to_der};

mod http;
mod probe;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;

pub use http::{Body, Get, Method, Send};
pub use probe::{ClientAuth, Served};
pub use verify::Problem;

use verify::Judge;

/// Most time for a handshake, and again for a request over it.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Why a TLS connection or request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The client certificate or its key cannot be read.
    #[error("{}", tr!("the client certificate or its key is unusable: it {what}", what = _0))]
    Identity(PkiError),
    /// The client certificate and key are not a pair.
    #[error("{}", tr!("the client key does not belong to the client certificate {subject}; find the pair that is in use", subject = subject))]
    KeyMismatch {
        /// The certificate's subject.
        subject: String,
    },
    /// The CA file cannot be used.
    #[error("{}", tr!("the CA file is unusable: it {what}", what = _0))]
    Roots(PkiError),
    /// The client certificate is not valid now; servers say nothing helpful about it, so it is said before asking.
    #[error(
        "{}", tr!("the client certificate {subject} {when}; re-issue it before going on, a server would just close the connection", subject = subject, when = when))]
    ClientCertNotValid {
        /// Its subject.
        subject: String,
        /// `expired on …` or `is not valid before …`.
        when: String,
    },
    /// The server's certificate does not hold.
    #[error("{}", tr!("the served certificate ({subject}) does not hold: {why}", subject = subject, why = why))]
    Untrusted {
        /// Its subject.
        subject: String,
        /// What is wrong with it, ending in what to do.
        why: String,
    },
    /// The server did not take our certificate.
    #[error(
        "{}", tr!("the server refused this client certificate: {alert}; check that it comes from the CA that the server trusts, is not expired, and allows clientAuth", alert = alert))]
    Refused {
        /// The TLS alert.
        alert: String,
    },
    /// The handshake failed otherwise.
    #[error("{}", tr!("TLS handshake failed: {why}; check that TLS is served on this port", why = why))]
    Handshake {
        /// What went wrong.
        why: String,
    },
    /// The connection ended too early.
    #[error("{}", tr!("the connection was closed during {during}; look at the server's own log for the reason", during = during))]
    Closed {
        /// What was going on.
        during: &'static str,
    },
    /// No end within the deadline.
    #[error(
        "{}", tr!("no end of {during} within {seconds} s; the server accepts connections but does not answer: look at its log and load", during = during, seconds = seconds))]
    Timeout {
        /// What was going on.
        during: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// An HTTP request that makes no sense, or an answer that does not.
    #[error("{}", tr!("HTTP: {why}", why = why))]
    Http {
        /// What is wrong.
        why: String,
    },
}

/// A client certificate with its key, parsed and known to be a pair.
#[derive(Clone)]
pub struct ClientIdentity {
    key: Arc<CertifiedKey>,
    info: CertInfo,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientIdentity({}, serial {})", self.info.subject, self.info.serial)
    }
}

impl ClientIdentity {
    /// Reads the pair: the chain as PEM (leaf first) and the key as PEM.
    pub fn from_pem(chain: &[u8], key: &SecretBytes) -> Result<Self, TlsError> {
        let der = pem_to_der(chain).map_err(TlsError::Identity)?;
        let info = CertInfo::from_der(&der[0]).map_err(TlsError::Identity)?;
        let key = PrivateKey::from_pem(key.expose()).map_err(TlsError::Identity)?;
        if !key.matches(&info) {
            return Err(TlsError::KeyMismatch { subject: info.subject });
        }
        let chain = der.into_iter().map(CertificateDer::from).collect();
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, key.signing_key())), info })
    }

    /// The leaf.
    pub fn info(&self) -> &CertInfo {
        &self.info
    }

    /// An error where it does not hold at `now` (seconds since the epoch).
    pub fn check_valid_at(&self, now: i64) -> Result<(), TlsError> {
        match verify::not_valid_words(&self.info, now) {
            Some(when) => Err(TlsError::ClientCertNotValid { subject: self.info.subject.clone(), when }),
            None => Ok(()),
        }
    }
}

/// The CAs that are trusted.
#[derive(Debug, Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    infos: Arc<Vec<CertInfo>>,
}

impl Roots {
    /// Reads a CA file, PEM; of a bundle, all.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let der = pem_to_der(pem).map_err(TlsError::Roots)?;
        let infos =
            der.iter().map(|d| CertInfo::from_der(d)).collect::<Result<Vec<_>, _>>().map_err(TlsError::Roots)?;
        let mut store = RootCertStore::empty();
        for ca in der {
            let added = store.add(CertificateDer::from(ca));
            added.map_err(|e| TlsError::Roots(PkiError::BadCertificate { why: e.to_string() }))?;
        }
        Ok(Self { store: Arc::new(store), infos: Arc::new(infos) })
    }

    /// The CA certificates.
    pub fn infos(&self) -> &[CertInfo] {
        &self.infos
    }
}

/// How much of a served certificate must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// All of it.
    #[default]
    Strict,
    /// The chain of signatures must hold; dates need not, and a name may stand in the subject alone. For old clusters, and
    /// said aloud: what was tolerated is reported.
    Tolerant,
}

/// A TLS client: whom it trusts and what it shows of itself.
#[derive(Debug, Clone)]
pub struct TlsClient {
    roots: Roots,
    identity: Option<ClientIdentity>,
    trust: Trust,
    deadline: Duration,
}

impl TlsClient {
    /// A client with no certificate of its own, strict.
    pub fn new(roots: Roots) -> Self {
        Self { roots, identity: None, trust: Trust::Strict, deadline: DEADLINE }
    }

    /// With a client certificate.
    #[must_use]
    pub fn with_identity(mut self, identity: ClientIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// With another measure of trust.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// With another deadline than [`DEADLINE`].
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The certificate it shows.
    pub fn identity(&self) -> Option<&ClientIdentity> {
        self.identity.as_ref()
    }

    /// Whom it trusts.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Connects, verifying as [`Trust`] says; gives the stream and what was tolerated. `alpn` may be empty.
    ///
    /// With TLS 1.3 a refusal of the client certificate shows only at the first read: see [`refusal`].
    pub async fn connect(
        &self,
        stream: BoxStream,
        name: &ServerName<'static>,
        alpn: &[&[u8]],
    ) -> Result<(TlsStream<BoxStream>, Vec<Problem>), TlsError> {
        let (tls, tolerated, _) = self.open(stream, name, alpn).await?;
        Ok((tls, tolerated))
    }

    /// [`Self::connect`], and whether the server asked for a certificate.
    async fn open(
        &self,
        stream: BoxStream,
        name: &ServerName<'static>,
        alpn: &[&[u8]],
    ) -> Result<(TlsStream<BoxStream>, Vec<Problem>, bool), TlsError> {
        if let Some(identity) = &self.identity {
            identity.check_valid_at(now())?;
        }
        let judge = Arc::new(Judge::new(self.roots.clone(), Some(self.trust)));
        let shown = self.resolver();
        let tls = self.handshake(stream, name, alpn, &judge, Arc::clone(&shown) as Arc<dyn ResolvesClientCert>).await;
        let seen = judge.seen();
        match tls {
            Ok(tls) => Ok((tls, seen.map(|s| s.problems).unwrap_or_default(), shown.asked())),
            // The judge's own words are better than what the handshake makes of them.
            Err(_) if seen.as_ref().is_some_and(|s| !s.accepted) => {
                let seen = seen.unwrap_or_default();
                Err(TlsError::Untrusted { subject: seen.subject(), why: seen.why() })
            }
            Err(e) => Err(e),
        }
    }

    fn resolver(&self) -> Arc<probe::Shown> {
        Arc::new(probe::Shown::new(self.identity.as_ref().map(|i| Arc::clone(&i.key))))
    }

    async fn handshake(
        &self,
        stream: BoxStream,
        name: &ServerName<'static>,
        alpn: &[&[u8]],
        judge: &Arc<Judge>,
        shown: Arc<dyn ResolvesClientCert>,
    ) -> Result<TlsStream<BoxStream>, TlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Handshake { why: e.to_string() })?;
        let verifier = Arc::clone(judge);
        let mut config =
            builder.dangerous().with_custom_certificate_verifier(verifier).with_client_cert_resolver(shown);
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream);
        match tokio::time::timeout(self.deadline, connecting).await {
            Ok(Ok(tls)) => Ok(tls),
            Ok(Err(e)) => Err(failure(&e, trs!("the TLS handshake"))),
            Err(_) => Err(self.late(trs!("the TLS handshake"))),
        }
    }

    fn late(&self, during: &'static str) -> TlsError {
        TlsError::Timeout { during, seconds: self.deadline.as_secs() }
    }
}

/// Seconds since the epoch, by this machine's clock.
pub(in crate::remote) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// The TLS alert that ended a connection, where an error holds one: looks through every source.
pub fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::AlertReceived(alert)) = rustls_error(error) {
            return Some(TlsError::Refused { alert: alert_words(*alert) });
        }
        next = error.source();
    }
    None
}

/// An [`io::Error`] hides its inner error from `source()`.
fn rustls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let inside = error.downcast_ref::<io::Error>().and_then(|e| e.get_ref());
    error.downcast_ref().or_else(|| inside.and_then(|e| e.downcast_ref()))
}

fn failure(error: &io::Error, during: &'static str) -> TlsError {
    match rustls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) if is_about_certificates(*alert) => {
            TlsError::Refused { alert: alert_words(*alert) }
        }
        Some(rustls::Error::AlertReceived(alert)) => TlsError::Handshake { why: alert_words(*alert) },
        Some(rustls::Error::InvalidMessage(_)) => TlsError::Handshake { why: trs!("what came back is not TLS").into() },
        Some(other) => TlsError::Handshake { why: other.to_string() },
        None if closes(error) => TlsError::Closed { during },
        None => TlsError::Handshake { why: super::clean::line(&error.to_string()) },
    }
}

fn closes(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn is_about_certificates(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as A;
    matches!(
        alert,
        A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError
            | A::CertificateRequired
    )
}

fn alert_words(alert: rustls::AlertDescription) -> String {
    use rustls::AlertDescription as A;
    match alert {
        A::BadCertificate => {
            trs!("bad certificate (Go says so of a wrong CA, an expired certificate or a wrong address alike)").into()
        }
        A::CertificateExpired => trs!("certificate expired").into(),
        A::UnknownCA => trs!("unknown CA").into(),
        A::CertificateRequired => trs!("certificate required (none was shown)").into(),
        A::UnsupportedCertificate => trs!("unsupported certificate (its usages lack clientAuth)").into(),
        other => format!("{other:?}"),
    }
}
