//! What must be the same on every master: CA, service-account keys, front-proxy CA, encryption at rest.
//!
//! Which files these are is read from the manifests, as each cluster names them its own way; compared are public keys, and
//! whole contents only where there is no key to compare.

use std::path::{Path, PathBuf};

use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

use crate::{
    cluster::{HostName, Node},
    engine::act::ActError,
    pki::{CertInfo, PrivateKey},
    remote::op::sha256_hex,
    runbook::{Ctx, edit::manifest},
    survey::{FileKind, Finding, Severity},
};

/// One file, by the flag that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// What it is, in words.
    pub what: &'static str,
    /// Where it lies, on every master.
    pub path: PathBuf,
    /// Whether the whole content is compared, not its public key.
    pub whole: bool,
}

/// Component, flag, and what the file is.
const FLAGS: [(&str, &str, &str, bool); 9] = [
    ("kube-apiserver", "client-ca-file", mark!("cluster CA"), false),
    ("kube-apiserver", "service-account-key-file", mark!("service-account public key"), false),
    ("kube-apiserver", "service-account-signing-key-file", mark!("service-account signing key"), false),
    ("kube-apiserver", "requestheader-client-ca-file", mark!("front-proxy CA"), false),
    ("kube-apiserver", "encryption-provider-config", mark!("encryption config"), true),
    // Its name before 1.13.
    ("kube-apiserver", "experimental-encryption-provider-config", mark!("encryption config"), true),
    ("kube-controller-manager", "cluster-signing-key-file", mark!("cluster CA key"), false),
    ("kube-controller-manager", "service-account-private-key-file", mark!("service-account private key"), false),
    ("kube-controller-manager", "root-ca-file", mark!("root CA"), false),
];

/// The manifest of a component on a host: its file and text.
pub(super) async fn manifest_of(
    cx: &Ctx,
    host: &HostName,
    component: &str,
) -> Result<Option<(PathBuf, String)>, ActError> {
    for ending in ["json", "yaml", "yml", "manifest"] {
        let path = cx.cluster.kube.manifests.join(format!("{component}.{ending}"));
        if let Some(text) = cx.read_text(host, &path).await? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

/// A flag of a component on a host; `None` where either is not there.
pub(super) async fn flag(cx: &Ctx, host: &HostName, component: &str, name: &str) -> Result<Option<String>, ActError> {
    let Some((path, text)) = manifest_of(cx, host, component).await? else { return Ok(None) };
    manifest::flag(&text, name).map_err(|e| ActError::NotProven(format!("{host}: {} {e}", path.display())))
}

/// The files, as the source's manifests name them.
pub(super) async fn named(cx: &Ctx) -> Result<Vec<Named>, ActError> {
    let host = &cx.source().name;
    let mut texts = Vec::new();
    for component in ["kube-apiserver", "kube-controller-manager"] {
        let found = manifest_of(cx, host, component).await?;
        texts.push((component, found.ok_or_else(|| no_manifest(cx, host, component))?));
    }
    let mut found: Vec<Named> = Vec::new();
    for (component, name, what, whole) in FLAGS {
        let Some((_, (path, text))) = texts.iter().find(|(c, _)| *c == component) else { continue };
        let value = manifest::flag(text, name)
            .map_err(|e| ActError::NotProven(format!("{host}: {} {e}", path.display())))?
            .filter(|v| v.starts_with('/'));
        let Some(path) = value.map(PathBuf::from) else { continue };
        if !found.iter().any(|f| f.path == path) {
            found.push(Named { what: crate::lang::words(what), path, whole });
        }
    }
    Ok(found)
}

fn no_manifest(cx: &Ctx, host: &HostName, component: &str) -> ActError {
    ActError::NotProven(tr!(
        "{host}: {manifests} holds no {component}.json or .yaml; give its directory as layout.kubernetes.manifests",
        host = host,
        manifests = cx.cluster.kube.manifests.display(),
        component = component
    ))
}

/// What identifies a file on a host; `None` where it is not there.
async fn print_of(cx: &Ctx, host: &HostName, file: &Named) -> Result<Option<String>, ActError> {
    let state = cx.stat_one(host, &file.path).await?;
    if state.kind == FileKind::Absent {
        return Ok(None);
    }
    if file.whole {
        return Ok(state.sha256);
    }
    let bytes = cx.read_secret(host, &file.path).await?;
    public_key(bytes.expose()).map(Some).ok_or_else(|| ActError::Pki {
        what: format!("{host}: {} ({})", file.path.display(), file.what),
        why: trs!("it is no certificate and no key that can be read; compare it with the other masters'").into(),
    })
}

/// sha256 of the public key in a certificate, a private key, or a bare public key.
fn public_key(pem: &[u8]) -> Option<String> {
    if let Ok(cert) = CertInfo::from_pem(pem) {
        return Some(cert.key_fingerprint);
    }
    if let Ok(key) = PrivateKey::from_pem(pem) {
        return Some(key.public_key_fingerprint());
    }
    SubjectPublicKeyInfoDer::from_pem_slice(pem).ok().map(|der| sha256_hex(&der))
}

/// How a file stands among masters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agreement {
    /// The same on all.
    Same(String),
    /// Missing on these.
    Missing(Vec<HostName>),
    /// Different on these from the first.
    Differs(Vec<HostName>),
    /// On no master under that path: inside the container it is another.
    Nowhere,
}

/// Compares one file among masters.
async fn compare(cx: &Ctx, masters: &[&Node], file: &Named) -> Result<Agreement, ActError> {
    let prints = futures::future::try_join_all(masters.iter().map(|m| print_of(cx, &m.name, file))).await?;
    let hosts = |wrong: &dyn Fn(&Option<String>) -> bool| -> Vec<HostName> {
        masters.iter().zip(&prints).filter(|(_, p)| wrong(p)).map(|(m, _)| m.name.clone()).collect()
    };
    let Some(first) = prints.iter().flatten().next() else { return Ok(Agreement::Nowhere) };
    let differs = hosts(&|p| p.as_ref().is_some_and(|p| p != first));
    if !differs.is_empty() {
        return Ok(Agreement::Differs(differs));
    }
    let missing = hosts(&|p| p.is_none());
    Ok(if missing.is_empty() { Agreement::Same(first.clone()) } else { Agreement::Missing(missing) })
}

/// Compares every file that has to be the same; the files with how each stands.
pub(super) async fn compare_all(cx: &Ctx, masters: &[&Node]) -> Result<Vec<(Named, Agreement)>, ActError> {
    let files = named(cx).await?;
    let looks = files.iter().map(|f| compare(cx, masters, f));
    let stand = futures::future::try_join_all(looks).await?;
    Ok(files.into_iter().zip(stand).collect())
}

/// What speaks against starting another apiserver beside these.
pub(super) fn findings(compared: &[(Named, Agreement)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, stand) in compared {
        let (hosts, how) = match stand {
            Agreement::Same(_) | Agreement::Nowhere => continue,
            Agreement::Differs(hosts) => (hosts, trs!("is another one")),
            Agreement::Missing(hosts) => (hosts, trs!("is missing")),
        };
        findings.push(Finding {
            severity: Severity::Block,
            host: hosts.first().cloned(),
            what: tr!(
                "{what} ({path}) {how} on {hosts}",
                what = file.what,
                path = file.path.display(),
                how = how,
                hosts = super::listed(hosts)
            ),
            why: trs!(
                "masters with different keys are two clusters on one database: what one signs or encrypts the other \
                  refuses, now here, now there"
            )
            .into(),
            remedy: trs!(
                "find out which is the right one, put it on every master, and restart what reads it; then run again"
            )
            .into(),
        });
    }
    findings
}

/// One line on what is the same.
pub(super) fn proofs(compared: &[(Named, Agreement)], masters: usize) -> Vec<String> {
    let same = |(file, stand): &(Named, Agreement)| match stand {
        Agreement::Same(print) => {
            let kind = if file.whole { trs!("content") } else { trs!("public key") };
            Some(tr!(
                "{what}: the same {kind} {print}… on all {masters} masters",
                what = file.what,
                kind = kind,
                print = print.get(..12)?,
                masters = masters
            ))
        }
        Agreement::Nowhere => Some(tr!(
            "{what}: not compared, {path} is on no master: compare it by hand",
            what = file.what,
            path = file.path.display()
        )),
        Agreement::Missing(_) | Agreement::Differs(_) => None,
    };
    compared.iter().filter_map(same).collect()
}

/// Where a file lies that every master has to have but that is not in the pki directory.
pub(super) fn outside(files: &[Named], pki: &Path) -> Vec<PathBuf> {
    files.iter().map(|f| f.path.clone()).filter(|p| !p.starts_with(pki)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pki").join(name)).unwrap()
    }

    #[test]
    fn a_key_and_its_certificate_have_one_print() {
        let cert = public_key(&fixture("server.crt")).unwrap();
        assert_eq!(public_key(&fixture("server.key")).unwrap(), cert);
        assert_ne!(public_key(&fixture("ca.crt")).unwrap(), cert);
        assert_eq!(public_key(b"nothing"), None);
    }

    #[test]
    fn a_bare_public_key_has_the_print_of_its_private_half() {
        let private = PrivateKey::from_pem(&fixture("apiserver.key")).unwrap();
        let der = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, private.public_key_der());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        assert_eq!(public_key(pem.as_bytes()), Some(private.public_key_fingerprint()));
    }

    #[test]
    fn different_keys_are_named_with_their_hosts() {
        let file = Named { what: "service-account private key", path: "/k/sa.key".into(), whole: false };
        let differs = Agreement::Differs(vec![HostName::new("m2"), HostName::new("m3")]);
        let found = findings(&[(file.clone(), differs), (file, Agreement::Same("0123456789abcdef".into()))]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "service-account private key (/k/sa.key) is another one on m2 and m3");
        assert!(found[0].why.contains("two clusters on one database"));
    }
}
