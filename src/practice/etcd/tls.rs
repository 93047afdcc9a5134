//! What etcd serves: the pair that lies in the host's files at that moment, and Go's judgement of who calls.

use std::{net::IpAddr, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::ring::default_provider,
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

/// What one handshake is done with.
pub struct Serving {
    /// Certificate file.
    pub cert: Vec<u8>,
    /// Key file.
    pub key: Vec<u8>,
    /// The CA that callers are checked against; `None` takes anybody.
    pub ca: Option<Vec<u8>>,
    /// The host's time minus the operator's, in seconds.
    pub clock: i64,
}

impl Serving {
    /// rustls's form of it.
    pub fn config(&self) -> Result<ServerConfig, String> {
        fits(&self.cert, &self.key)?;
        let chain = pem_to_der(&self.cert).map_err(|e| e.to_string())?.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKey::from_pem(&self.key).map_err(|e| e.to_string())?;
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let builder = match &self.ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for der in pem_to_der(ca).map_err(|e| e.to_string())? {
                    roots.add(CertificateDer::from(der)).map_err(|e| e.to_string())?;
                }
                let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                let inner = inner.map_err(|e| e.to_string())?;
                builder.with_client_cert_verifier(Arc::new(AsGo { inner, clock: self.clock }))
            }
        };
        let key = CertifiedKey::new(chain, key.signing_key());
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Go answers whatever is wrong with a caller's certificate with `bad certificate`, and goes by the host's clock.
#[derive(Debug)]
struct AsGo {
    inner: Arc<dyn ClientCertVerifier>,
    clock: i64,
}

impl ClientCertVerifier for AsGo {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now =
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs().saturating_add_signed(self.clock)));
        self.inner
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The peer port's further look at a caller: its address must be among its certificate's, where that has names.
pub fn wrong_caller(der: &[u8], from: IpAddr) -> Option<String> {
    let info = CertInfo::from_der(der).ok()?;
    let ips: Vec<_> = info
        .sans
        .iter()
        .filter_map(|s| match s {
            crate::pki::San::Ip(ip) => Some(*ip),
            _ => None,
        })
        .collect();
    if ips.is_empty() || ips.contains(&from) {
        return None;
    }
    let names = ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(format!("x509: certificate is valid for {names}, not {from}"))
}
