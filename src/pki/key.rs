//! Private keys: read from PEM, compared by their public half, made fresh. Their bytes leave only by [`PrivateKey::to_pem`].

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{AlgorithmIdentifier, PrivateKeyDer, PrivatePkcs8KeyDer, alg_id, pem, pem::PemObject as _},
    sign::SigningKey,
};
use secrecy::{
    ExposeSecret as _, SecretSlice,
    zeroize::{Zeroize as _, Zeroizing},
};
use x509_parser::{asn1_rs::Any, prelude::FromDer as _};

use super::{CertInfo, PkiError, read::sha256_hex};

/// A private key in memory. Its own copies are wiped when it goes; nothing of it shows in `Debug` or an error.
pub struct PrivateKey {
    pem: SecretSlice<u8>,
    signer: Arc<dyn SigningKey>,
    spki: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(public key sha256 {})", self.public_key_fingerprint())
    }
}

impl PrivateKey {
    /// Reads the first key of a PEM file: PKCS#8 (`PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`).
    pub fn from_pem(pem: &[u8]) -> Result<Self, PkiError> {
        // Said before parsing, because what the parsers say of an encrypted key misleads.
        if is_encrypted(pem) {
            return Err(PkiError::EncryptedKey);
        }
        let mut der = PrivateKeyDer::from_pem_slice(pem).map_err(|e| match e {
            pem::Error::NoItemsFound => PkiError::NoKey,
            _ => PkiError::UnsupportedKey,
        })?;
        let signer = any_supported_type(&der).ok().or_else(|| normalized(pem));
        der.zeroize();
        let signer = signer.ok_or(PkiError::UnsupportedKey)?;
        let spki = signer.public_key().ok_or(PkiError::UnsupportedKey)?.to_vec();
        Ok(Self { pem: SecretSlice::from(pem.to_vec()), signer, spki })
    }

    /// Makes a fresh key of the kind and size of the certificate's: RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, Ed25519.
    pub fn generate_like(cert: &CertInfo) -> Result<Self, PkiError> {
        let cannot = || PkiError::CannotGenerate { key_type: cert.key_type.clone() };
        let pkcs8 = |alg| {
            let pair = rcgen::KeyPair::generate_for(alg).map_err(|_| cannot())?;
            let der = Zeroizing::new(pair.serialize_der());
            Ok(armored("PRIVATE KEY", &der))
        };
        let pem = match cert.key_type.as_str() {
            "ECDSA P-256" => pkcs8(&rcgen::PKCS_ECDSA_P256_SHA256)?,
            "ECDSA P-384" => pkcs8(&rcgen::PKCS_ECDSA_P384_SHA384)?,
            "Ed25519" => pkcs8(&rcgen::PKCS_ED25519)?,
            other => {
                let bits = other.strip_prefix("RSA ").and_then(|bits| bits.parse().ok()).ok_or_else(cannot)?;
                // ring signs with no other sizes.
                if !(2048..=4096).contains(&bits) {
                    return Err(cannot());
                }
                fresh_rsa(bits).ok_or_else(cannot)?
            }
        };
        Self::from_pem(&pem)
    }

    /// sha256 of the public key (SPKI DER), lower-case hex: equal to [`CertInfo::key_fingerprint`] of its certificates.
    pub fn public_key_fingerprint(&self) -> String {
        sha256_hex(&self.spki)
    }

    /// The public key as SPKI DER, as [`super::Reissue::new_key`] takes it.
    pub fn public_key_der(&self) -> &[u8] {
        &self.spki
    }

    /// Whether the certificate is for this key.
    pub fn matches(&self, cert: &CertInfo) -> bool {
        self.public_key_fingerprint() == cert.key_fingerprint
    }

    /// The key as PEM: what was read, to the byte; a fresh RSA key as PKCS#1, as openssl and cfssl leave it, any other as
    /// PKCS#8. The copy is wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pem.expose_secret().to_vec())
    }

    /// What rustls signs handshakes with.
    pub(crate) fn signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signer)
    }

    /// How it signs: the scheme and the content of its `AlgorithmIdentifier`; SHA-256, or SHA-384 for P-384.
    pub(super) fn algorithm(&self) -> Result<(SignatureScheme, AlgorithmIdentifier), PkiError> {
        let offered = [
            (SignatureScheme::RSA_PKCS1_SHA256, alg_id::RSA_PKCS1_SHA256),
            (SignatureScheme::ECDSA_NISTP256_SHA256, alg_id::ECDSA_SHA256),
            (SignatureScheme::ECDSA_NISTP384_SHA384, alg_id::ECDSA_SHA384),
            (SignatureScheme::ED25519, alg_id::ED25519),
        ];
        let usable = offered.into_iter().find(|(scheme, _)| self.signer.choose_scheme(&[*scheme]).is_some());
        usable.ok_or(PkiError::UnsupportedKey)
    }

    /// Signs a message by that scheme.
    pub(super) fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let signer = self.signer.choose_scheme(&[scheme]).ok_or(PkiError::UnsupportedKey)?;
        signer.sign(message).map_err(|_| PkiError::Signing { why: trs!("the CA key would not sign") })
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    let has = |needle: &[u8]| pem.windows(needle.len()).any(|w| w == needle);
    has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}

/// ring wants the public half inside an EC key and a named curve; some tools leave them out. russh's reader works both out.
fn normalized(pem: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let key = russh::keys::decode_secret_key(std::str::from_utf8(pem).ok()?, None).ok()?;
    let der = Zeroizing::new(russh::keys::pkcs8::encode_pkcs8(&key).ok()?);
    any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice()))).ok()
}

fn fresh_rsa(bits: usize) -> Option<Zeroizing<Vec<u8>>> {
    use russh::keys::{
        key::safe_rng,
        pkcs8::encode_pkcs8,
        ssh_key::{
            PrivateKey as SshKey,
            private::{KeypairData, RsaKeypair},
        },
    };
    let pair = RsaKeypair::random(&mut safe_rng(), bits).ok()?;
    let der = Zeroizing::new(encode_pkcs8(&SshKey::new(KeypairData::Rsa(pair), "").ok()?).ok()?);
    Some(armored("RSA PRIVATE KEY", pkcs8_content(&der)?))
}

/// What PKCS#8 wraps: version, algorithm, then the key itself in an octet string.
fn pkcs8_content(der: &[u8]) -> Option<&[u8]> {
    let (_, outer) = Any::from_der(der).ok()?;
    let (rest, _version) = Any::from_der(outer.data).ok()?;
    let (rest, _algorithm) = Any::from_der(rest).ok()?;
    Any::from_der(rest).ok().map(|(_, key)| key.data)
}

/// PEM around DER, 64 columns wide.
pub(super) fn armored(label: &str, der: &[u8]) -> Zeroizing<Vec<u8>> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it at once, so that no half-grown copy is left behind unwiped.
    let mut out = Zeroizing::new(Vec::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 64));
    out.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in body.as_bytes().chunks(64) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}
