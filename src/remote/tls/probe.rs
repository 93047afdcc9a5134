//! A handshake for its own sake: who is served, does it hold, and is our certificate taken.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use rustls::{SignatureScheme, client::ResolvesClientCert, pki_types::ServerName, sign::CertifiedKey};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::{BoxStream, TlsClient, TlsError, failure, verify::Judge, verify::Problem};
use crate::pki::CertInfo;

/// How long a TLS 1.3 server is given to object to the client certificate after the handshake.
const SETTLE: Duration = Duration::from_secs(1);

/// What the server made of our certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// It did not ask for one.
    NotAsked,
    /// It asked and is content.
    Accepted,
    /// It asked and refused.
    Refused(String),
    /// It asked and said nothing more; content, as far as can be told.
    Silent,
}

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The served certificate.
    pub cert: CertInfo,
    /// Further certificates served with it.
    pub intermediates: Vec<CertInfo>,
    /// What does not hold of it; empty when it verified.
    pub problems: Vec<Problem>,
    /// What the server made of our certificate.
    pub client: ClientAuth,
    /// Why the handshake did not end well, where that is not about our certificate.
    pub failed: Option<String>,
}

impl Served {
    /// Whether the served certificate holds for the name asked for.
    pub fn verified(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether all is well in both directions.
    pub fn good(&self) -> bool {
        self.verified() && self.failed.is_none() && !matches!(self.client, ClientAuth::Refused(_))
    }

    /// Everything that is wrong, in words; empty when all is well.
    pub fn why_not(&self) -> String {
        let refused = match &self.client {
            ClientAuth::Refused(alert) => {
                Some(tr!("the server refused this client certificate: {alert}", alert = alert))
            }
            _ => None,
        };
        let problems = self.problems.iter().map(|p| p.text.clone());
        problems.chain(refused).chain(self.failed.clone()).collect::<Vec<_>>().join("; ")
    }
}

impl TlsClient {
    /// Completes a handshake and says what was served, whether or not it holds. Shows the client's certificate where it has
    /// one and is asked; sends nothing else.
    ///
    /// An error means that no certificate was seen.
    pub async fn probe(&self, stream: BoxStream, name: &ServerName<'static>) -> Result<Served, TlsError> {
        let judge = Arc::new(Judge::new(self.roots.clone(), None));
        let shown = self.resolver();
        let outcome =
            self.handshake(stream, name, &[], &judge, Arc::clone(&shown) as Arc<dyn ResolvesClientCert>).await;
        let Some(seen) = judge.seen() else {
            let nothing = TlsError::Handshake { why: trs!("no certificate was served").into() };
            return Err(outcome.err().unwrap_or(nothing));
        };
        let mut chain = seen
            .chain
            .iter()
            .map(|der| CertInfo::from_der(der))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| TlsError::Handshake { why: tr!("the served certificate makes no sense: {e}", e = e) })?;
        let (client, failed) = match outcome {
            Ok(_) if !shown.asked() => (ClientAuth::NotAsked, None),
            Ok(mut tls) => (settled(&mut tls).await, None),
            Err(TlsError::Refused { alert }) => (ClientAuth::Refused(alert), None),
            // A server that asked for a certificate and then hangs up has most likely disliked it.
            Err(TlsError::Closed { .. }) if shown.asked() => {
                (ClientAuth::Refused(trs!("it closed the connection").into()), None)
            }
            Err(other) => {
                (if shown.asked() { ClientAuth::Silent } else { ClientAuth::NotAsked }, Some(other.to_string()))
            }
        };
        let cert = chain.remove(0);
        Ok(Served { cert, intermediates: chain, problems: seen.problems, client, failed })
    }
}

/// With TLS 1.3 the server judges our certificate after our handshake has ended: a session ticket or data means yes, an
/// alert or the end means no.
pub(super) async fn settled(tls: &mut TlsStream<BoxStream>) -> ClientAuth {
    if tls.get_ref().1.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
        return ClientAuth::Accepted;
    }
    let mut byte = [0; 1];
    let settled = std::future::poll_fn(|cx| {
        let mut buf = ReadBuf::new(&mut byte);
        match Pin::new(&mut *tls).poll_read(cx, &mut buf) {
            Poll::Ready(read) => Poll::Ready(Some(read.map(|()| buf.filled().len()))),
            Poll::Pending if tls.get_ref().1.tls13_tickets_received() > 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    match tokio::time::timeout(SETTLE, settled).await {
        Ok(Some(Ok(1..)) | None) => ClientAuth::Accepted,
        Ok(Some(Ok(0))) => ClientAuth::Refused(trs!("it closed the connection").into()),
        Ok(Some(Err(e))) => match failure(&e, trs!("the TLS handshake")) {
            TlsError::Refused { alert } => ClientAuth::Refused(alert),
            TlsError::Closed { .. } => ClientAuth::Refused(trs!("it closed the connection").into()),
            other => ClientAuth::Refused(other.to_string()),
        },
        Err(_) => ClientAuth::Silent,
    }
}

/// The certificate to show, and whether it was asked for.
#[derive(Debug)]
pub(super) struct Shown {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl Shown {
    pub fn new(key: Option<Arc<CertifiedKey>>) -> Self {
        Self { key, asked: AtomicBool::new(false) }
    }

    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}
