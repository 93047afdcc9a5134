//! A CA, leaves and TLS servers for tests, all made on the spot.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use time::{Duration, OffsetDateTime};
use tokio::io::DuplexStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{super::BoxStream, ClientIdentity, Roots, SecretBytes};

/// A CA that lives as long as the test.
pub struct TestCa {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A leaf and its key.
#[derive(Clone)]
pub struct TestLeaf {
    pub pem: String,
    pub key: String,
}

/// What a leaf is to say; days are counted from now.
pub struct Ask<'a> {
    pub cn: &'a str,
    pub ips: &'a [&'a str],
    pub days: (i64, i64),
    pub usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self { cn: "Etcd-server", ips: &["10.10.33.37"], days: (-1, 365), usages }
    }
}

fn at(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(days)
}

impl TestCa {
    pub fn new(cn: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (at(-1000), at(1000));
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub fn leaf(&self, ask: &Ask<'_>) -> TestLeaf {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, ask.cn);
        params.subject_alt_names = ask.ips.iter().map(|ip| SanType::IpAddress(ip.parse().unwrap())).collect();
        params.extended_key_usages.clone_from(&ask.usages);
        (params.not_before, params.not_after) = (at(ask.days.0), at(ask.days.1));
        let key = KeyPair::generate().unwrap();
        TestLeaf { pem: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    pub fn roots(&self) -> Roots {
        Roots::from_pem(self.pem.as_bytes()).unwrap()
    }
}

impl TestLeaf {
    pub fn identity(&self) -> ClientIdentity {
        ClientIdentity::from_pem(self.pem.as_bytes(), &SecretBytes::new(self.key.clone().into_bytes())).unwrap()
    }
}

/// A server that serves the leaf and wants a client certificate of that CA, where one is given.
pub fn acceptor(leaf: &TestLeaf, clients: Option<&TestCa>, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
    let provider = Arc::new(default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(leaf.pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The client's end of a connection to that server; `serve` gets the other once the handshake is done.
pub fn dial<F, S>(acceptor: &TlsAcceptor, serve: F) -> BoxStream
where
    F: FnOnce(TlsStream<DuplexStream>) -> S + Send + 'static,
    S: Future<Output = ()> + Send,
{
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let acceptor = acceptor.clone();
    tokio::spawn(async move {
        if let Ok(tls) = acceptor.accept(theirs).await {
            serve(tls).await;
        }
    });
    Box::new(ours)
}
