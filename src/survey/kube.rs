//! Kubernetes as it lies on a master: the manifests kubelet reads, and the files that must be the same on all masters.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde_json::Value;

use super::{
    CertOnDisk, FileKind,
    collect::{Answer, Look, on_disk, secret},
    parse,
};
use crate::{
    cluster::{Cluster, Node},
    pki::{CertInfo, PrivateKey},
    remote::{Op, Remote, RemoteError, clean, op::sha256_hex},
};

/// Most files of the manifests directory that are read; a directory with more is no manifests directory.
const MOST: usize = 32;

/// What must be the same on all masters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shared {
    /// The CA that clients are held against.
    ClusterCa,
    /// What service-account tokens are checked with.
    AccountCheck,
    /// What service-account tokens are signed with.
    AccountSign,
    /// The CA of requests that an aggregating apiserver hands on.
    FrontProxyCa,
    /// The key that new certificates are signed with.
    SigningKey,
    /// How objects are encrypted in etcd.
    Encryption,
}

/// Component, flag, and what its file is.
const FLAGS: [(&str, &str, Shared); 8] = [
    ("kube-apiserver", "client-ca-file", Shared::ClusterCa),
    ("kube-apiserver", "service-account-key-file", Shared::AccountCheck),
    ("kube-controller-manager", "service-account-private-key-file", Shared::AccountSign),
    ("kube-apiserver", "service-account-signing-key-file", Shared::AccountSign),
    ("kube-apiserver", "requestheader-client-ca-file", Shared::FrontProxyCa),
    ("kube-controller-manager", "cluster-signing-key-file", Shared::SigningKey),
    ("kube-apiserver", "encryption-provider-config", Shared::Encryption),
    // Its name before 1.13.
    ("kube-apiserver", "experimental-encryption-provider-config", Shared::Encryption),
];

/// Components a static pod may be, by their program's name.
const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// A static pod as its manifest describes it; everything cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StaticPod {
    /// `kube-apiserver`, …; the container's name where it is none of the components.
    pub component: String,
    /// The image's tag; the whole image where it has none.
    pub version: String,
    /// Flags by name without dashes; one that stands alone has the empty value.
    pub flags: BTreeMap<String, String>,
    /// Files and directories of the host by where the container sees them.
    pub mounts: BTreeMap<PathBuf, PathBuf>,
}

/// Kubernetes on one master.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KubeOnHost {
    /// What kubelet reads in the manifests directory, by file name; or why a file makes no pod.
    pub manifests: BTreeMap<String, Result<StaticPod, String>>,
    /// Fingerprints of what must be the same on all masters: of the public key, or of the whole file where there is none.
    /// Where there is none, why.
    pub shared: BTreeMap<Shared, Result<String, String>>,
    /// What the apiserver is to serve.
    pub apiserver: Option<CertOnDisk>,
}

impl KubeOnHost {
    /// The files that make a component's pod.
    pub fn files_of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = (&'a String, &'a StaticPod)> {
        let pods = self.manifests.iter().filter_map(|(name, pod)| Some((name, pod.as_ref().ok()?)));
        pods.filter(move |(_, pod)| pod.component == component)
    }

    /// A component's pod: of the first file that makes one.
    pub fn pod<'a>(&'a self, component: &'a str) -> Option<&'a StaticPod> {
        self.files_of(component).next().map(|(_, pod)| pod)
    }
}

/// Looks at a master's Kubernetes; `None` where there is none yet.
///
/// # Errors
/// The host is lost. What can't be read is part of the result.
pub async fn survey_kube(
    cluster: &Cluster,
    node: &Node,
    remote: &dyn Remote,
) -> Result<Option<KubeOnHost>, RemoteError> {
    let look = Look { cluster, node, remote, progress: None };
    let dir = &cluster.kube.manifests;
    let Answer::There(names) = look.ask(&Op::ListDir { dir: dir.clone() }).await? else { return Ok(None) };
    let names = String::from_utf8_lossy(&names).into_owned();
    let mut kube = KubeOnHost::default();
    // kubelet reads every file there but those with a dot in front.
    for name in names.lines().filter(|n| !n.is_empty() && !n.starts_with('.')).take(MOST) {
        let pod = match look.ask_file(dir.join(name)).await? {
            Answer::There(text) => pod_of(&String::from_utf8_lossy(&text)),
            Answer::Absent => continue,
            Answer::Refused(why) => Err(clean::line(&why)),
        };
        kube.manifests.insert(clean::line(name), pod);
    }
    if kube.manifests.is_empty() {
        return Ok(None);
    }
    for (component, flag, what) in FLAGS {
        let path = kube.pod(component).and_then(|pod| pod.file(flag));
        if let (Some(path), false) = (path, kube.shared.contains_key(&what)) {
            let print = fingerprint(&look, &path, what).await?;
            kube.shared.insert(what, print);
        }
    }
    kube.apiserver = serving_pair(&look, kube.pod("kube-apiserver")).await?;
    Ok(Some(kube))
}

/// The apiserver's own certificate, held against its key and the cluster's CA.
async fn serving_pair(look: &Look<'_>, pod: Option<&StaticPod>) -> Result<Option<CertOnDisk>, RemoteError> {
    let file = |flag: &str| pod.and_then(|p| p.file(flag));
    let (Some(cert), Some(key)) = (file("tls-cert-file"), file("tls-private-key-file")) else { return Ok(None) };
    let ca = file("client-ca-file").unwrap_or_else(|| look.cluster.kube.ca());
    let (pem, key, ca) = tokio::try_join!(look.ask_file(cert.clone()), look.key_of(key), look.ask_file(ca))?;
    let ca = match &ca {
        Answer::There(pem) => Some(pem.as_ref()),
        Answer::Absent | Answer::Refused(_) => None,
    };
    Ok(on_disk(cert, &pem, &key, ca))
}

/// What identifies a file. Keys are read only as far as their public half; the encryption's keys are not read at all.
async fn fingerprint(look: &Look<'_>, path: &Path, what: Shared) -> Result<Result<String, String>, RemoteError> {
    if what == Shared::Encryption {
        let answer = look.ask(&Op::Stat { paths: vec![path.to_owned()] }).await?;
        let Answer::There(text) = answer else { return Ok(Err(trs!("not looked at").into())) };
        let states = parse::file_states(&String::from_utf8_lossy(&text)).unwrap_or_default();
        return Ok(match states.into_iter().next() {
            Some(state) if state.kind == FileKind::File => state.sha256.ok_or_else(|| "unreadable".into()),
            _ => Err(trs!("missing").into()),
        });
    }
    Ok(match look.ask(&Op::ReadSecret { path: path.to_owned() }).await? {
        Answer::There(bytes) => public_key(secret(bytes).expose()).ok_or_else(|| "unreadable".into()),
        Answer::Absent => Err(trs!("missing").into()),
        Answer::Refused(_) => Err("unreadable".into()),
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

/// The first container of a manifest that has flags, else the first.
fn pod_of(text: &str) -> Result<StaticPod, String> {
    let manifest: Value = serde_yaml::from_str(text).map_err(|_| trs!("neither JSON nor YAML").to_owned())?;
    let containers = list(&manifest["spec"]["containers"]);
    let flagged = |c: &&&Value| words(c).iter().any(|w| w.starts_with("--"));
    let container =
        containers.iter().find(flagged).or(containers.first()).ok_or_else(|| trs!("no container in it").to_owned())?;
    let words = words(container);
    let image = clean::line(container["image"].as_str().unwrap_or_default());
    // A colon before the last slash is a registry's port.
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag.to_owned());
    Ok(StaticPod {
        component: component(&words).unwrap_or_else(|| clean::line(container["name"].as_str().unwrap_or_default())),
        version: tag.unwrap_or(image),
        flags: flags(&words),
        mounts: mounts(&manifest, container),
    })
}

/// Which of the components a command is; hyperkube's words have no `kube-`.
fn component(words: &[String]) -> Option<String> {
    let is = |word: &str, name: &str| {
        let program = word.rsplit('/').next().unwrap_or(word);
        program == name || name.strip_prefix("kube-") == Some(program)
    };
    let named = |name: &&&str| words.iter().take_while(|w| !w.starts_with("--")).any(|w| is(w, name));
    COMPONENTS.iter().find(named).map(|name| (*name).to_owned())
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

/// Command and arguments; a whole command line for a shell is taken apart.
fn words(container: &Value) -> Vec<String> {
    let items = ["command", "args"].into_iter().flat_map(|key| list(&container[key]));
    let items = items.filter_map(Value::as_str).map(clean::text);
    items
        .flat_map(|item| match shell_words::split(&item) {
            Ok(words) if item.contains(" --") => words,
            _ => vec![item],
        })
        .collect()
}

fn flags(words: &[String]) -> BTreeMap<String, String> {
    let mut flags: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Option<String> = None;
    for word in words {
        match word.strip_prefix("--") {
            Some(flag) => {
                let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                open = (!flag.contains('=')).then(|| name.to_owned());
                flags.insert(name.to_owned(), value.to_owned());
            }
            None => {
                if let Some(name) = open.take() {
                    flags.insert(name, word.clone());
                }
            }
        }
    }
    flags
}

fn mounts(manifest: &Value, container: &Value) -> BTreeMap<PathBuf, PathBuf> {
    let volumes = list(&manifest["spec"]["volumes"]);
    let host = |name: &Value| {
        let volume = volumes.iter().find(|v| &v["name"] == name)?;
        volume["hostPath"]["path"].as_str().map(PathBuf::from)
    };
    let mounts = list(&container["volumeMounts"]);
    mounts.into_iter().filter_map(|m| Some((m["mountPath"].as_str()?.into(), host(&m["name"])?))).collect()
}

impl StaticPod {
    /// Where a flag's file lies on the host.
    fn file(&self, flag: &str) -> Option<PathBuf> {
        let path = Path::new(self.flags.get(flag)?);
        if !path.is_absolute() {
            return None;
        }
        // The longest mount counts: they are in order, a directory before what is below it.
        let inside = self.mounts.iter().rev().find_map(|(seen, host)| Some((host, path.strip_prefix(seen).ok()?)));
        Some(match inside {
            Some((host, below)) if below.as_os_str().is_empty() => host.clone(),
            Some((host, below)) => host.join(below),
            None => path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: apiserver\n    image: registry:5000/kube-apiserver:v1.20.2\n    command:\n    - kube-apiserver\n    - --client-ca-file=/srv/pki/ca.pem\n    - --secure-port\n    - \"6443\"\n    - --profiling\n    volumeMounts:\n    - {name: k, mountPath: /srv}\n    - {name: p, mountPath: /srv/pki}\n  volumes:\n  - {name: k, hostPath: {path: /etc/kubernetes}}\n  - {name: p, hostPath: {path: /opt/pki}}\n";

    #[test]
    fn a_manifest_is_read_as_kubelet_would_and_its_files_are_found_on_the_host() {
        let pod = pod_of(YAML).unwrap();
        assert_eq!((pod.component.as_str(), pod.version.as_str()), ("kube-apiserver", "v1.20.2"));
        assert_eq!(pod.flags["secure-port"], "6443");
        assert_eq!(pod.flags["profiling"], "");
        assert_eq!(pod.file("client-ca-file"), Some("/opt/pki/ca.pem".into()));
        assert_eq!(pod.file("profiling"), None);
        let json = serde_json::to_string(&serde_yaml::from_str::<Value>(YAML).unwrap()).unwrap();
        assert_eq!(pod_of(&json).unwrap(), pod);
    }

    #[test]
    fn a_command_line_for_a_shell_and_hyperkubes_words_are_understood() {
        let pod = |command: &str| {
            pod_of(&format!("spec: {{containers: [{{name: x, image: hyperkube, command: {command}}}]}}")).unwrap()
        };
        let shell = pod(r#"["/bin/sh", "-c", "/usr/local/bin/kube-scheduler --leader-elect=true --v 2"]"#);
        assert_eq!(shell.component, "kube-scheduler");
        assert_eq!(shell.flags["v"], "2");
        assert_eq!(pod(r#"["/hyperkube", "controller-manager", "--v=2"]"#).component, "kube-controller-manager");
        assert_eq!(pod(r#"["nginx"]"#).component, "x");
        assert_eq!(pod(r#"["nginx"]"#).version, "hyperkube");
    }

    #[test]
    fn what_is_no_manifest_is_said_so() {
        assert!(pod_of("{").is_err());
        assert!(pod_of("kind: Pod").is_err());
        assert_eq!(pod_of("\u{1b}[2J: x").unwrap_err(), "neither JSON nor YAML");
    }
}
