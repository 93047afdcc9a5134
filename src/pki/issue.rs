//! A leaf certificate issued anew from its own CA, with nothing changed but its names and its dates.
//!
//! The new certificate is put together from the old one's own bytes: subject, key and every extension go over as they are
//! (a template that is read and written again loses repeated attributes and what it does not know). Only the serial, the
//! dates, the names and the two key identifiers are new.

use std::collections::BTreeSet;

use rustls::crypto::ring::default_provider;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ParsedExtension, X509Extension},
    oid_registry as oids,
    x509::X509Version,
};
use yasna::{DERWriter, Tag, construct_der, tags};

use super::{
    CertInfo, PkiError, PrivateKey, San, SanDiff,
    key::armored,
    read::{bad, clean, may_sign, name_text, parse, pem_to_der, raw_sans, sha256_hex, signed_by_der},
};

/// Clocks differ: a certificate holds from an hour before it is made.
const BACKDATED: i64 = 3600;
const DAY: i64 = 86_400;
/// The longest lifetime that common clients accept without a word (CA/Browser Forum ballot 193, Apple since 2019).
const LONG_DAYS: i64 = 825;

const AUTHORITY_KEY_ID: &str = "2.5.29.35";
const SUBJECT_KEY_ID: &str = "2.5.29.14";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
/// Signed timestamps: they are about the old certificate only (RFC 6962 section 3.3).
const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.2";
/// Marks a certificate that must not be used at all (RFC 6962 section 3.1).
const PRECERT_POISON: &str = "1.3.6.1.4.1.11129.2.4.3";

/// What to issue.
#[derive(Debug)]
pub struct Reissue<'a> {
    /// The certificate in use, PEM; the first one counts.
    pub cert: &'a [u8],
    /// The CA's certificate, PEM; of several, the one that the key belongs to.
    pub ca: &'a [u8],
    /// The CA's key.
    pub ca_key: &'a PrivateKey,
    /// The names it is to have, in this order; duplicates are dropped. Empty for none.
    pub sans: &'a [San],
    /// Another public key (SPKI DER) instead of the certificate's own.
    pub new_key: Option<&'a [u8]>,
    /// Lifetime in days; `None` keeps that of the certificate in use, to the second.
    pub lifetime_days: Option<u32>,
    /// Now, seconds since the epoch.
    pub now: i64,
}

/// A certificate issued and proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub pem: String,
    /// What it says.
    pub info: CertInfo,
    /// What changed in its names.
    pub diff: SanDiff,
    /// What the operator should know of it, a sentence each.
    pub notes: Vec<String>,
}

/// The old names with further ones appended: order kept, duplicates dropped.
pub fn with_added(old: &[San], add: &[San]) -> Vec<San> {
    let mut seen = BTreeSet::new();
    old.iter().chain(add).filter(|san| seen.insert(*san)).cloned().collect()
}

/// Issues the certificate in use anew from its own CA, with the names given.
///
/// Subject, key, usages, constraints and every other extension are kept to the byte. Before it is returned, the result is
/// read back and held against what was asked for, and its signature against the CA's public key.
pub fn reissue(request: &Reissue<'_>) -> Result<Issued, PkiError> {
    let old_der = pem_to_der(request.cert)?.swap_remove(0);
    let old = parse(&old_der)?;
    let old_info = CertInfo::from_der(&old_der)?;
    let ca_der = ca_of_key(request.ca, request.ca_key)?;
    let ca = parse(&ca_der)?;
    check_ca(&ca, request.now)?;
    check_leaf(&old, &old_der, &ca, &ca_der)?;

    let mut notes = Vec::new();
    let wanted = Wanted {
        sans: with_added(request.sans, &[]),
        key: request.new_key.unwrap_or(old.public_key().raw),
        dates: dates(request, &old_info, &ca, &mut notes)?,
    };
    let diff = SanDiff::between(&old_info.sans, &wanted.sans);
    if !diff.deduplicated.is_empty() {
        let names = diff.deduplicated.iter().map(San::to_string).collect::<Vec<_>>().join(", ");
        notes.push(tr!("listed more than once in the certificate in use, now once: {names}", names = names));
    }
    let extensions = extensions(&old, &ca, &wanted, &mut notes)?;
    let der = signed(&old, &ca, request.ca_key, &wanted, &extensions)?;
    prove(&der, &old, &ca_der, &wanted, &extensions)?;
    let pem = String::from_utf8_lossy(&armored("CERTIFICATE", &der)).into_owned();
    Ok(Issued { pem, info: CertInfo::from_der(&der)?, diff, notes })
}

struct Wanted<'a> {
    sans: Vec<San>,
    key: &'a [u8],
    dates: (i64, i64),
}

/// The certificate of a CA file that the key belongs to; a bundle may hold several.
fn ca_of_key(pem: &[u8], key: &PrivateKey) -> Result<Vec<u8>, PkiError> {
    let mut all = pem_to_der(pem)?;
    for (at, der) in all.iter().enumerate() {
        if sha256_hex(parse(der)?.public_key().raw) == key.public_key_fingerprint() {
            return Ok(all.swap_remove(at));
        }
    }
    Err(PkiError::CaKeyMismatch { subject: name_text(parse(&all[0])?.subject()) })
}

fn check_ca(ca: &X509Certificate<'_>, now: i64) -> Result<(), PkiError> {
    let subject = || name_text(ca.subject());
    let is_ca = ca.basic_constraints().map_err(bad)?.is_some_and(|c| c.value.ca);
    // Before version 3 there was no way to say so; Go accepts such roots.
    if ca.version() == X509Version::V3 && !is_ca {
        return Err(PkiError::NotACa { subject: subject(), why: trs!("its basic constraints do not say CA:TRUE") });
    }
    if !may_sign(ca) {
        return Err(PkiError::NotACa { subject: subject(), why: trs!("its key usage lacks keyCertSign") });
    }
    let validity = ca.validity();
    if !(validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) {
        return Err(PkiError::CaNotValid { subject: subject() });
    }
    Ok(())
}

fn check_leaf(
    old: &X509Certificate<'_>,
    old_der: &[u8],
    ca: &X509Certificate<'_>,
    ca_der: &[u8],
) -> Result<(), PkiError> {
    let subject = name_text(old.subject());
    if !signed_by_der(old_der, ca_der) {
        let (issuer, ca) = (name_text(old.issuer()), name_text(ca.subject()));
        return Err(PkiError::NotFromThisCa { subject, issuer, ca });
    }
    if old.basic_constraints().map_err(bad)?.is_some_and(|c| c.value.ca) {
        return Err(PkiError::NotALeaf { subject });
    }
    if let Some(poison) = old.extensions().iter().find(|e| e.oid.to_id_string() == PRECERT_POISON) {
        return Err(PkiError::CriticalExtension { oid: poison.oid.to_id_string() });
    }
    Ok(())
}

fn dates(
    request: &Reissue<'_>,
    old: &CertInfo,
    ca: &X509Certificate<'_>,
    notes: &mut Vec<String>,
) -> Result<(i64, i64), PkiError> {
    let (ca_from, ca_to) = (ca.validity().not_before.timestamp(), ca.validity().not_after.timestamp());
    let not_before = (request.now - BACKDATED).max(ca_from);
    let lifetime = request.lifetime_days.map_or(old.not_after - old.not_before, |days| i64::from(days) * DAY);
    let mut not_after = not_before.saturating_add(lifetime);
    if not_after > ca_to {
        notes.push(tr!("it ends with its CA on {ca_to}, earlier than its lifetime would allow", ca_to = day(ca_to)));
        not_after = ca_to;
    }
    if not_after <= request.now {
        let why = if request.lifetime_days.is_some() {
            trs!("the lifetime asked for")
        } else {
            trs!("the lifetime of the one in use")
        };
        return Err(PkiError::NoLifetime { why });
    }
    let days = (not_after - not_before) / DAY;
    if days > LONG_DAYS {
        notes.push(tr!(
            "it is valid for {days} days; a stolen key is good for as long: consider `lifetime_days` of {most} or less",
            days = days,
            most = LONG_DAYS
        ));
    }
    Ok((not_before, not_after))
}

fn day(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| seconds.to_string(), |t| t.date().to_string())
}

/// One extension as it goes into the new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Extension {
    /// Content octets of its OID.
    oid: Vec<u8>,
    critical: bool,
    value: Vec<u8>,
}

impl Extension {
    fn of(ext: &X509Extension<'_>, value: Vec<u8>) -> Self {
        Self { oid: ext.oid.as_bytes().to_vec(), critical: ext.critical, value }
    }
}

/// The old extensions in their order: names and key identifiers made new, signed timestamps dropped, all others as they
/// are. What the old one lacked comes last.
fn extensions(
    old: &X509Certificate<'_>,
    ca: &X509Certificate<'_>,
    wanted: &Wanted<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Extension>, PkiError> {
    let mut names = san_value(&wanted.sans, &raw_sans(old)?)?;
    let mut own_id = Some(subject_key_id(old, wanted.key)?);
    let mut ca_id = authority_key_id(ca);
    let mut out = Vec::new();
    for ext in old.extensions() {
        match ext.oid.to_id_string().as_str() {
            SUBJECT_ALT_NAME => out.extend(names.take().map(|v| Extension::of(ext, v))),
            SUBJECT_KEY_ID => out.extend(own_id.take().map(|v| Extension::of(ext, v))),
            AUTHORITY_KEY_ID => out.extend(ca_id.take().map(|v| Extension::of(ext, v))),
            SCT_LIST => {
                notes.push(trs!("its signed certificate timestamps are dropped: they were about the old one").into());
            }
            _ => out.push(Extension::of(ext, ext.value.to_vec())),
        }
    }
    let lacking = [
        (oids::OID_X509_EXT_SUBJECT_ALT_NAME, names),
        (oids::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, own_id),
        (oids::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, ca_id),
    ];
    for (oid, value) in lacking {
        out.extend(value.map(|value| Extension { oid: oid.as_bytes().to_vec(), critical: false, value }));
    }
    Ok(out)
}

/// The list of names as DER; `None` for no names. A name that the old certificate has keeps its bytes.
fn san_value(wanted: &[San], old: &[(San, Vec<u8>)]) -> Result<Option<Vec<u8>>, PkiError> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let names = wanted
        .iter()
        .map(|san| match old.iter().find(|(known, _)| known == san) {
            Some((_, raw)) => Ok(raw.clone()),
            None => encoded_san(san),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Some(construct_der(|w| w.write_sequence(|w| names.iter().for_each(|n| w.next().write_der(n))))))
}

fn encoded_san(san: &San) -> Result<Vec<u8>, PkiError> {
    let tagged = |tag, bytes: &[u8]| {
        construct_der(|w| w.write_tagged_implicit(Tag::context(tag), |w: DERWriter<'_>| w.write_bytes(bytes)))
    };
    match san {
        San::Ip(std::net::IpAddr::V4(ip)) => Ok(tagged(7, &ip.octets())),
        San::Ip(std::net::IpAddr::V6(ip)) => Ok(tagged(7, &ip.octets())),
        San::Dns(name) if is_dns_name(name) => Ok(tagged(2, name.as_bytes())),
        _ => Err(PkiError::BadSan { san: clean(&san.to_string()) }),
    }
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63; a star may be the first label.
fn is_dns_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253 && rest.split('.').all(label)
}

/// Kept where the key is kept; else the leftmost 160 bits of the key's sha256 (RFC 7093 section 2, method 1).
fn subject_key_id(old: &X509Certificate<'_>, key: &[u8]) -> Result<Vec<u8>, PkiError> {
    if key == old.public_key().raw
        && let Some(ext) = old.get_extension_unique(&oids::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER).map_err(bad)?
    {
        return Ok(ext.value.to_vec());
    }
    let (_, spki) = <x509_parser::x509::SubjectPublicKeyInfo<'_> as x509_parser::prelude::FromDer<_>>::from_der(key)
        .map_err(|_| PkiError::UnsupportedKey)?;
    let digest = Sha256::digest(&spki.subject_public_key.data);
    Ok(construct_der(|w| w.write_bytes(&digest[..20])))
}

/// The CA's own key identifier; a CA without one is found by its name alone.
fn authority_key_id(ca: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let id = ca.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })?;
    let key_id = |w: DERWriter<'_>| w.write_tagged_implicit(Tag::context(0), |w| w.write_bytes(id));
    Some(construct_der(|w| w.write_sequence(|w| key_id(w.next()))))
}

/// The certificate as DER (RFC 5280 section 4.1).
fn signed(
    old: &X509Certificate<'_>,
    ca: &X509Certificate<'_>,
    ca_key: &PrivateKey,
    wanted: &Wanted<'_>,
    extensions: &[Extension],
) -> Result<Vec<u8>, PkiError> {
    let (scheme, algorithm) = ca_key.algorithm()?;
    let algorithm = algorithm_der(algorithm.as_ref())?;
    let serial = fresh_serial()?;
    let (from, to) = (encoded_time(wanted.dates.0)?, encoded_time(wanted.dates.1)?);
    let tbs = construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_tagged(Tag::context(0), |w| w.write_u8(2));
            w.next().write_bigint_bytes(&serial, true);
            w.next().write_der(&algorithm);
            w.next().write_der(ca.subject().as_raw());
            w.next().write_sequence(|w| {
                w.next().write_der(&from);
                w.next().write_der(&to);
            });
            w.next().write_der(old.subject().as_raw());
            w.next().write_der(wanted.key);
            w.next().write_tagged(Tag::context(3), |w| {
                w.write_sequence(|w| extensions.iter().for_each(|e| write_extension(w.next(), e)));
            });
        });
    });
    let signature = ca_key.sign(scheme, &tbs)?;
    Ok(construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_der(&tbs);
            w.next().write_der(&algorithm);
            w.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

/// An `AlgorithmIdentifier` from its content.
fn algorithm_der(content: &[u8]) -> Result<Vec<u8>, PkiError> {
    let short = u8::try_from(content.len()).ok().filter(|len| *len < 0x80);
    let length = short.ok_or(PkiError::Signing { why: trs!("the signature algorithm's name is too long") })?;
    Ok([&[0x30, length], content].concat())
}

fn write_extension(w: DERWriter<'_>, ext: &Extension) {
    w.write_sequence(|w| {
        w.next().write_tagged_implicit(tags::TAG_OID, |w: DERWriter<'_>| w.write_bytes(&ext.oid));
        if ext.critical {
            w.next().write_bool(true);
        }
        w.next().write_bytes(&ext.value);
    });
}

/// 127 random bits: positive, and never a repeat of one that this CA gave before.
fn fresh_serial() -> Result<[u8; 16], PkiError> {
    let mut serial = [0; 16];
    let random = default_provider().secure_random;
    random.fill(&mut serial).map_err(|_| PkiError::Signing { why: trs!("no random numbers to be had") })?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// `UTCTime` through 2049, `GeneralizedTime` after (RFC 5280 section 4.1.2.5).
fn encoded_time(seconds: i64) -> Result<Vec<u8>, PkiError> {
    let t = OffsetDateTime::from_unix_timestamp(seconds)
        .map_err(|_| PkiError::NoLifetime { why: trs!("its end is beyond all calendars") })?;
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second());
    let (tag, text) = match t.year() {
        year @ 1950..2050 => (tags::TAG_UTCTIME, format!("{:02}{rest}", year % 100)),
        year => (tags::TAG_GENERALIZEDTIME, format!("{year:04}{rest}")),
    };
    Ok(construct_der(|w| w.write_tagged_implicit(tag, |w: DERWriter<'_>| w.write_bytes(text.as_bytes()))))
}

/// Reads the finished certificate back and holds it against what was asked for.
fn prove(
    der: &[u8],
    old: &X509Certificate<'_>,
    ca_der: &[u8],
    wanted: &Wanted<'_>,
    extensions: &[Extension],
) -> Result<(), PkiError> {
    let new = parse(der)?;
    let info = CertInfo::from_der(der)?;
    let carried: Vec<_> = new.extensions().iter().map(|e| Extension::of(e, e.value.to_vec())).collect();
    let checks = [
        (signed_by_der(der, ca_der), trs!("its signature or its issuer is not the CA's")),
        (new.subject().as_raw() == old.subject().as_raw(), trs!("its subject differs from the one in use")),
        (new.public_key().raw == wanted.key, trs!("its public key is another")),
        (info.sans == wanted.sans, trs!("its names are not those asked for")),
        ((info.not_before, info.not_after) == wanted.dates, trs!("its dates are not those asked for")),
        (carried == extensions, trs!("its extensions are not those of the one in use")),
        (new.raw_serial() != old.raw_serial(), trs!("its serial number is that of the one in use")),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(PkiError::Unproven { what }),
        None => Ok(()),
    }
}
