//! Certificates read: PEM or DER in, plain facts out.

use std::{fmt::Write as _, net::IpAddr};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use x509_parser::{
    asn1_rs::{Any, Oid, Tag},
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    oid_registry as oids,
    prelude::FromDer as _,
    x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name},
};

use super::{CertInfo, PkiError, San};

impl CertInfo {
    /// Reads the first certificate of a PEM file; text before and after it is allowed.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PkiError> {
        let chain = pem_to_der(pem)?;
        Self::from_der(&chain[0])
    }

    /// Reads every certificate of a PEM file, in its order; at least one.
    pub fn chain_from_pem(pem: &[u8]) -> Result<Vec<Self>, PkiError> {
        pem_to_der(pem)?.iter().map(|der| Self::from_der(der)).collect()
    }

    /// Reads one certificate from DER.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let cert = parse(der)?;
        let usages = match cert.extended_key_usage().map_err(bad)? {
            Some(eku) => usage_names(eku.value),
            None => Vec::new(),
        };
        Ok(Self {
            subject: name_text(cert.subject()),
            issuer: name_text(cert.issuer()),
            sans: raw_sans(&cert)?.into_iter().map(|(san, _)| san).collect(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            key_type: key_type(cert.public_key()),
            usages,
            is_ca: cert.basic_constraints().map_err(bad)?.is_some_and(|c| c.value.ca),
            fingerprint: sha256_hex(der),
            key_fingerprint: sha256_hex(cert.public_key().raw),
            serial: hex(cert.raw_serial()),
        })
    }
}

/// Every certificate of a PEM file as DER, in its order; at least one.
pub fn pem_to_der(pem: &[u8]) -> Result<Vec<Vec<u8>>, PkiError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .map(|item| item.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| PkiError::BadCertificate { why: clean(&format!("PEM: {e}")) })?;
    if chain.is_empty() { Err(PkiError::NoCertificate) } else { Ok(chain) }
}

/// Whether the first certificate of `cert` names a certificate of `ca` as its issuer and carries its signature. Both are
/// PEM; says nothing of validity in time. What does not parse is not signed.
pub fn is_signed_by(cert: &[u8], ca: &[u8]) -> bool {
    let (Ok(certs), Ok(cas)) = (pem_to_der(cert), pem_to_der(ca)) else { return false };
    cas.iter().any(|ca| signed_by_der(&certs[0], ca))
}

/// The public key (SPKI DER) of the first certificate of a PEM file, as [`super::Reissue::new_key`] takes it.
pub fn public_key_der(pem: &[u8]) -> Result<Vec<u8>, PkiError> {
    let chain = pem_to_der(pem)?;
    Ok(parse(&chain[0])?.public_key().raw.to_vec())
}

/// [`is_signed_by`] for two DER certificates.
pub(super) fn signed_by_der(cert: &[u8], ca: &[u8]) -> bool {
    let (Ok(cert), Ok(ca)) = (parse(cert), parse(ca)) else { return false };
    cert.issuer().as_raw() == ca.subject().as_raw() && cert.verify_signature(Some(ca.public_key())).is_ok()
}

pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], cert)) => Ok(cert),
        Ok(_) => Err(PkiError::BadCertificate { why: trs!("bytes are left over after its end").into() }),
        Err(e) => Err(bad(e)),
    }
}

pub(super) fn bad(error: impl std::fmt::Display) -> PkiError {
    PkiError::BadCertificate { why: clean(&error.to_string()) }
}

/// The names of a certificate, each with its own DER, so that a kept name is kept to the byte.
pub(super) fn raw_sans(cert: &X509Certificate<'_>) -> Result<Vec<(San, Vec<u8>)>, PkiError> {
    let Some(ext) = cert.get_extension_unique(&oids::OID_X509_EXT_SUBJECT_ALT_NAME).map_err(bad)? else {
        return Ok(Vec::new());
    };
    let (_, sequence) = Any::from_der(ext.value).map_err(bad)?;
    if sequence.tag() != Tag::Sequence {
        return Err(bad(trs!("the subject alternative names are no list")));
    }
    let (mut rest, mut out) = (sequence.data, Vec::new());
    while !rest.is_empty() {
        let (after, _) = Any::from_der(rest).map_err(bad)?;
        let raw = &rest[..rest.len() - after.len()];
        let (_, name) = GeneralName::from_der(raw).map_err(bad)?;
        out.push((san(&name, raw), raw.to_vec()));
        rest = after;
    }
    Ok(out)
}

fn san(name: &GeneralName<'_>, raw: &[u8]) -> San {
    match name {
        GeneralName::DNSName(dns) => San::Dns(clean(&dns.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => match address(bytes) {
            Some(ip) => San::Ip(ip),
            None => San::Other(format!("IP:{}", hex(bytes))),
        },
        GeneralName::RFC822Name(mail) => San::Other(clean(&format!("email:{mail}"))),
        GeneralName::URI(uri) => San::Other(clean(&format!("URI:{uri}"))),
        GeneralName::DirectoryName(name) => San::Other(format!("DirName:{}", name_text(name))),
        GeneralName::RegisteredID(oid) => San::Other(format!("RID:{oid}")),
        _ => San::Other(format!("other:{}", hex(raw))),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// `CN=Etcd-server, O=autogenerated`, in the certificate's order; commas and the like in a value are escaped.
pub(super) fn name_text(name: &X509Name<'_>) -> String {
    let rdns = name.iter_rdn().map(|rdn| rdn.iter().map(attribute_text).collect::<Vec<_>>().join("+"));
    rdns.collect::<Vec<_>>().join(", ")
}

fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let known = [
        (oids::OID_X509_COMMON_NAME, "CN"),
        (oids::OID_X509_ORGANIZATION_NAME, "O"),
        (oids::OID_X509_ORGANIZATIONAL_UNIT, "OU"),
        (oids::OID_X509_COUNTRY_NAME, "C"),
        (oids::OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
        (oids::OID_X509_LOCALITY_NAME, "L"),
        (oids::OID_PKCS9_EMAIL_ADDRESS, "emailAddress"),
        (oids::OID_DOMAIN_COMPONENT, "DC"),
        (oids::OID_X509_SERIALNUMBER, "serialNumber"),
    ];
    let label =
        known.iter().find(|(known, _)| known == oid).map_or_else(|| oid.to_id_string(), |(_, label)| (*label).into());
    format!("{label}={}", value_text(attribute.attr_value()))
}

fn value_text(value: &Any<'_>) -> String {
    let text = match value.tag() {
        Tag::BmpString => {
            let units: Vec<_> = value.data.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        // Latin-1 in practice, whatever T.61 says.
        Tag::T61String => value.data.iter().map(|&b| char::from(b)).collect(),
        _ => String::from_utf8_lossy(value.data).into_owned(),
    };
    let mut out = String::with_capacity(text.len());
    for c in clean(&text).chars() {
        if matches!(c, ',' | '+' | '\\' | ';' | '"') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn key_type(key: &SubjectPublicKeyInfo<'_>) -> String {
    let oid = &key.algorithm.algorithm;
    if *oid == oids::OID_PKCS1_RSAENCRYPTION {
        return match key.parsed() {
            Ok(parsed) => format!("RSA {}", parsed.key_size()),
            Err(_) => "RSA, damaged".into(),
        };
    }
    if *oid == oids::OID_SIG_ED25519 {
        return "Ed25519".into();
    }
    if *oid == oids::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        return match curve {
            Some(c) if c == oids::OID_EC_P256 => "ECDSA P-256".into(),
            Some(c) if c == oids::OID_NIST_EC_P384 => "ECDSA P-384".into(),
            Some(c) if c == oids::OID_NIST_EC_P521 => "ECDSA P-521".into(),
            Some(c) => format!("ECDSA {c}"),
            None => "ECDSA with its own curve".into(),
        };
    }
    oid.to_id_string()
}

fn usage_names(eku: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        (eku.any, "anyExtendedKeyUsage"),
        (eku.server_auth, "serverAuth"),
        (eku.client_auth, "clientAuth"),
        (eku.code_signing, "codeSigning"),
        (eku.email_protection, "emailProtection"),
        (eku.time_stamping, "timeStamping"),
        (eku.ocsp_signing, "OCSPSigning"),
    ];
    let known = named.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned());
    known.chain(eku.other.iter().map(Oid::to_id_string)).collect()
}

/// Whether the certificate's key usage, where it has one, lets it sign certificates.
pub(super) fn may_sign(cert: &X509Certificate<'_>) -> bool {
    let usage = cert.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::KeyUsage(usage) => Some(usage.key_cert_sign()),
        _ => None,
    });
    usage.unwrap_or(true)
}

/// sha256, lower-case hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Whoever made the certificate chose its text: what could move the cursor, reorder or hide becomes a question mark.
pub(super) fn clean(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if hides(c) { '?' } else { c }).collect()
}
