//! What a practice server serves: the pair that lies in a host's files, and how it takes whoever calls.

use std::{sync::Arc, time::Duration};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, ring::default_provider},
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::pki::{CertInfo, PrivateKey, pem_to_der};

/// Whether a certificate and a key are a pair, in Go's words where not.
pub fn fits(cert: &[u8], key: &[u8]) -> Result<(), String> {
    let info = CertInfo::from_pem(cert).map_err(|_| "tls: failed to find any PEM data in certificate input")?;
    let key = PrivateKey::from_pem(key).map_err(|_| "tls: failed to find any PEM data in key input")?;
    if key.matches(&info) { Ok(()) } else { Err("tls: private key does not match public key".into()) }
}

/// What a server wants of its callers.
#[derive(Debug, Clone, Copy)]
pub enum Callers<'a> {
    /// Nothing.
    Unasked,
    /// They are asked for a certificate, and whoever answers them judges it.
    Asked,
    /// A certificate of this CA (PEM), which holds at the host's time: the operator's and so many seconds.
    Of(&'a [u8], i64),
}

/// A server's TLS.
pub fn config(cert: &[u8], key: &[u8], callers: Callers<'_>, alpn: &[&[u8]]) -> Result<ServerConfig, String> {
    fits(cert, key)?;
    let chain = pem_to_der(cert).map_err(|e| e.to_string())?.into_iter().map(CertificateDer::from).collect();
    let key = CertifiedKey::new(chain, PrivateKey::from_pem(key).map_err(|e| e.to_string())?.signing_key());
    let provider = Arc::new(default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?;
    let builder = match callers {
        Callers::Unasked => builder.with_no_client_auth(),
        Callers::Asked => builder.with_client_cert_verifier(Arc::new(Judge { algorithms, strict: None })),
        Callers::Of(ca, clock) => {
            let strict = Some((verifier(ca)?, clock));
            builder.with_client_cert_verifier(Arc::new(Judge { algorithms, strict }))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

/// What judges callers' certificates by a CA file.
pub fn verifier(ca: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for der in pem_to_der(ca).map_err(|e| e.to_string())? {
        roots.add(CertificateDer::from(der)).map_err(|e| e.to_string())?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build();
    verifier.map_err(|e| e.to_string())
}

/// Takes any certificate that its caller has the key of, or is strict as Go is: it answers whatever is wrong with a
/// certificate with `bad certificate`, and goes by the host's clock.
#[derive(Debug)]
struct Judge {
    algorithms: WebPkiSupportedAlgorithms,
    strict: Option<(Arc<dyn ClientCertVerifier>, i64)>,
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.as_ref().map_or(&[], |(inner, _)| inner.root_hint_subjects())
    }

    fn client_auth_mandatory(&self) -> bool {
        self.strict.is_some()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some((inner, clock)) = &self.strict else { return Ok(ClientCertVerified::assertion()) };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().saturating_add_signed(*clock)));
        let judged = inner.verify_client_cert(end_entity, intermediates, now);
        judged.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
