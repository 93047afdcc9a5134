//! The cluster's certificates and keys: made anew each time, never of use anywhere else.

use std::{collections::BTreeMap, net::IpAddr};

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::practice::clock::epoch_ms;

/// When everything was issued and how long it lasts, in days: leaves, the apiserver's, CAs.
const ISSUED: i64 = 400;
const LASTS: i64 = 3650;
const APISERVER_LASTS: i64 = 36_135;
const CA_LASTS: i64 = 36_500;

/// The names that every apiserver's certificate has.
const NAMES: [&str; 4] =
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// `emailAddress` (PKCS #9).
const EMAIL: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 1];

/// The service network's first address.
const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(100, 64, 0, 1));

/// Files by the name that they have on a master.
pub type Made = BTreeMap<String, Bytes>;

struct Ca {
    pem: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

fn params(names: &[(DnType, &str)], lasts: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in names {
        let plain = |_| DnValue::from(*value);
        let value = match kind {
            DnType::CountryName => (*value).try_into().map_or_else(plain, DnValue::PrintableString),
            DnType::CustomDnType(_) => (*value).try_into().map_or_else(plain, DnValue::Ia5String),
            _ => DnValue::from(*value),
        };
        params.distinguished_name.push(kind.clone(), value);
    }
    params.not_before = OffsetDateTime::now_utc() - Duration::days(ISSUED);
    params.not_after = params.not_before + Duration::days(lasts);
    params
}

fn authority(cn: &str) -> Result<Ca, rcgen::Error> {
    let mut params = params(&[(DnType::CommonName, cn)], CA_LASTS);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    Ok(Ca { pem: params.self_signed(&key)?.pem(), key: key.serialize_pem(), issuer: Issuer::new(params, key) })
}

fn leaf(
    ca: &Ca,
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(String, String), rcgen::Error> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, &ca.issuer)?.pem(), key.serialize_pem()))
}

/// The certificates of a cluster whose masters have these addresses, as the runbook's are laid out.
pub fn make(masters: &[IpAddr]) -> Result<Made, rcgen::Error> {
    let (ca, front) = (authority("kubernetes-ca")?, authority("kubernetes-front-proxy-ca")?);
    let subject = [
        (DnType::CountryName, "CN"),
        (DnType::StateOrProvinceName, "JiangSu"),
        (DnType::LocalityName, "SuZhou"),
        (DnType::CommonName, "master.example.com"),
        (DnType::CustomDnType(EMAIL.to_vec()), "admin@example.com"),
        (DnType::OrganizationName, "example"),
        (DnType::OrganizationalUnitName, "dev"),
    ];
    let mut apiserver = params(&subject, APISERVER_LASTS);
    for name in NAMES {
        apiserver.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    let addresses = [IpAddr::from([127, 0, 0, 1]), SERVICE].into_iter().chain(masters.iter().copied());
    apiserver.subject_alt_names.extend(addresses.map(SanType::IpAddress));
    let admin = params(&[(DnType::OrganizationName, "system:masters"), (DnType::CommonName, "admin")], LASTS);
    let proxy = params(&[(DnType::CommonName, "front-proxy-client")], LASTS);
    let apiserver = leaf(&ca, apiserver, ExtendedKeyUsagePurpose::ServerAuth)?;
    let admin = leaf(&ca, admin, ExtendedKeyUsagePurpose::ClientAuth)?;
    let proxy = leaf(&front, proxy, ExtendedKeyUsagePurpose::ClientAuth)?;
    let sa = KeyPair::generate()?;
    let files = [
        ("ca.pem", ca.pem),
        ("ca-key.pem", ca.key),
        ("apiserver.pem", apiserver.0),
        ("apiserver-key.pem", apiserver.1),
        ("admin.pem", admin.0),
        ("admin-key.pem", admin.1),
        ("sa.key", sa.serialize_pem()),
        ("sa.pub", sa.public_key_pem()),
        ("front-proxy-ca.pem", front.pem),
        ("front-proxy-client.pem", proxy.0),
        ("front-proxy-client-key.pem", proxy.1),
        ("openssl.conf", openssl_conf(masters)),
        ("encryption-key", crate::remote::op::sha256_hex(format!("{}", epoch_ms()).as_bytes())[..32].to_owned()),
    ];
    Ok(files.into_iter().map(|(name, text)| (name.to_owned(), Bytes::from(text))).collect())
}

/// IP.2 is missing in the runbook's too.
fn openssl_conf(masters: &[IpAddr]) -> String {
    let names = NAMES.iter().enumerate().map(|(n, name)| format!("DNS.{} = {name}\n", n + 1));
    let addresses = masters.iter().enumerate().map(|(n, ip)| format!("IP.{} = {ip}\n", n + 4));
    format!(
        "[req]\nreq_extensions = v3_req\ndistinguished_name = req_distinguished_name\n[req_distinguished_name]\n[ v3_req ]\nbasicConstraints = CA:FALSE\nkeyUsage = nonRepudiation, digitalSignature, keyEncipherment\nsubjectAltName = @alt_names\n[alt_names]\n{}IP.1 = 127.0.0.1\nIP.3 = {SERVICE}\n{}",
        names.collect::<String>(),
        addresses.collect::<String>()
    )
}
