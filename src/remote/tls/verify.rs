//! Looks at a served certificate, keeps it, and says in words what does not hold.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{Roots, Trust};
use crate::pki::{CertInfo, San};

/// Something that does not hold of a served certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What, and what to do, in a sentence.
    pub text: String,
    /// Whether [`Trust::Tolerant`] would let it pass.
    pub tolerable: bool,
}

impl Problem {
    fn hard(text: impl Into<String>) -> Self {
        Self { text: text.into(), tolerable: false }
    }

    fn soft(text: impl Into<String>) -> Self {
        Self { text: text.into(), tolerable: true }
    }
}

/// What was served and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub chain: Vec<Vec<u8>>,
    pub problems: Vec<Problem>,
    pub accepted: bool,
}

impl Seen {
    pub fn subject(&self) -> String {
        let leaf = self.chain.first().and_then(|der| CertInfo::from_der(der).ok());
        leaf.map_or_else(|| "unreadable".into(), |c| c.subject)
    }

    pub fn why(&self) -> String {
        self.problems.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join("; ")
    }
}

/// A verifier that keeps what it saw. Handshake signatures are always checked: whoever serves a certificate has its key.
#[derive(Debug)]
pub(super) struct Judge {
    roots: Roots,
    /// `None` only looks and lets everything pass: for a probe, over which nothing is ever sent.
    trust: Option<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<Seen>>,
}

impl Judge {
    pub fn new(roots: Roots, trust: Option<Trust>) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self { roots, trust, algorithms, seen: Mutex::new(None) }
    }

    /// What was served, once it was.
    pub fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn problems(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>, now: UnixTime) -> Vec<Problem> {
        let Ok(info) = CertInfo::from_der(&chain[0]) else {
            return vec![Problem::hard(trs!("it cannot be read as a certificate; issue it anew"))];
        };
        let cert = match ParsedCertificate::try_from(&chain[0]) {
            Ok(cert) => cert,
            Err(e) => return vec![Problem::hard(tr!("{e}; issue it anew", e = e))],
        };
        let at = |time| {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&cert, &self.roots.store, &chain[1..], time, algorithms)
        };
        let mut problems = Vec::new();
        match at(now) {
            Ok(()) => {}
            Err(e) if is_about_dates(&e) => {
                problems.push(Problem::soft(self.chain_words(&e, &info, now)));
                // Wrong dates end the verifier's look: what else there is shows only at a time when the dates were right.
                if let Err(e) = at(self.when_issued(chain)) {
                    problems.push(Problem::hard(self.chain_words(&e, &info, now)));
                }
            }
            Err(e) => problems.push(Problem::hard(self.chain_words(&e, &info, now))),
        }
        if verify_server_name(&cert, name).is_err() {
            problems.push(name_problem(&info, name));
        }
        problems
    }

    /// A moment at which every certificate of the chain and its CA were valid, if there ever was one.
    fn when_issued(&self, chain: &[CertificateDer<'_>]) -> UnixTime {
        let served = chain.iter().filter_map(|der| CertInfo::from_der(der).ok()).collect::<Vec<_>>();
        let issuers = self.roots.infos().iter().filter(|ca| served.iter().any(|c| c.issuer == ca.subject));
        let latest = served.iter().chain(issuers).map(|c| c.not_before).max().unwrap_or(0);
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(latest).unwrap_or(0)))
    }

    fn chain_words(&self, error: &Error, info: &CertInfo, now: UnixTime) -> String {
        let Error::InvalidCertificate(why) = error else { return super::super::clean::line(&error.to_string()) };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if is_about_dates(error) {
            return match not_valid_words(info, now) {
                Some(when) if info.not_before > now => tr!("it {when}; compare the clocks of the hosts", when = when),
                Some(when) => tr!("it {when}; re-issue it", when = when),
                None => {
                    let ca = self.roots.infos().iter().find_map(|ca| Some((ca, not_valid_words(ca, now)?)));
                    let (ca, when) =
                        ca.map_or(("", trs!("is not valid now").into()), |(ca, when)| (ca.subject.as_str(), when));
                    tr!("its CA {ca} {when}; the CA's own renewal comes first", ca = ca, when = when)
                }
            };
        }
        let trusted = || self.roots.infos().iter().map(|c| c.subject.as_str()).collect::<Vec<_>>().join(" and ");
        let namesake = self.roots.infos().iter().any(|ca| ca.subject == info.issuer);
        match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature if namesake => tr!(
                "it was signed by another key than that of the trusted CA of the same name ({issuer}); a CA was made anew somewhere: find the one in use",
                issuer = info.issuer
            ),
            CertificateError::UnknownIssuer => {
                tr!(
                    "it was issued by {issuer}, and trusted is {trusted}; use the CA that issued it",
                    issuer = info.issuer,
                    trusted = trusted()
                )
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => tr!(
                "its extended key usages ({usages}) lack serverAuth; re-issue it with the right profile",
                usages = if info.usages.is_empty() { "none".into() } else { info.usages.join(", ") }
            ),
            other => tr!("{other}; re-issue it", other = super::super::clean::line(&other.to_string())),
        }
    }
}

fn is_about_dates(error: &Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
    )
}

/// `expired on 2021-01-01, 3 days ago` or `is not valid before …`; `None` where it holds.
pub(super) fn not_valid_words(info: &CertInfo, now: i64) -> Option<String> {
    let day =
        |t: i64| time::OffsetDateTime::from_unix_timestamp(t).map_or_else(|_| t.to_string(), |t| t.date().to_string());
    if now > info.not_after {
        return Some(tr!(
            "expired on {not_after}, {days} days ago",
            not_after = day(info.not_after),
            days = (now - info.not_after) / 86_400
        ));
    }
    (now < info.not_before).then(|| tr!("is not valid before {not_before}", not_before = day(info.not_before)))
}

fn name_problem(info: &CertInfo, name: &ServerName<'_>) -> Problem {
    let wanted = name.to_str();
    if info.sans.is_empty() {
        let common = info.subject.split(", ").find_map(|part| part.strip_prefix("CN="));
        if common.is_some_and(|cn| cn.eq_ignore_ascii_case(&wanted)) {
            return Problem::soft(tr!(
                "{wanted} stands in its subject alone, not among its names; re-issue it with names",
                wanted = wanted
            ));
        }
        return Problem::hard(tr!(
            "it is not for {wanted}: it has no names at all (subject {subject}); re-issue it with names",
            wanted = wanted,
            subject = info.subject
        ));
    }
    let names = info.sans.iter().map(San::to_string).collect::<Vec<_>>().join(", ");
    Problem::hard(tr!(
        "it is not for {wanted}: its names are {names}; re-issue it with {wanted} added",
        wanted = wanted,
        names = names
    ))
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity.clone()).chain(intermediates.iter().cloned()).collect();
        let problems = self.problems(&chain, server_name, now);
        let accepted = match self.trust {
            None => true,
            Some(Trust::Tolerant) => problems.iter().all(|p| p.tolerable),
            Some(Trust::Strict) => problems.is_empty(),
        };
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { chain, problems, accepted });
        if accepted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
