//! What chapter 3 copies, what it never copies, and which of the original's files speak of the original.

use std::path::{Path, PathBuf};

use crate::{
    cluster::{HostName, Node},
    engine::act::ActError,
    remote::{Op, SecretBytes, run_ok, tree::TreeOp},
    runbook::{
        Ctx,
        edit::joiner::{Who, mentions},
    },
    survey::kubelet,
};

/// The program, and the unit that its package brings.
pub(super) const KUBELET: &str = "kubelet";

/// Where calico keeps the name it knows a node by; a line end in it is an error to calico.
pub(super) const NODENAME: &str = "/var/lib/calico/nodename";

/// The runbook's trees besides Kubernetes' own directory.
const TREES: [&str; 6] = ["/etc/calico", "/etc/cni", "/opt/cni", "/var/lib/calico", "/var/lib/cni", "/var/lib/kubelet"];

/// What belongs to one node alone, is made anew by whoever needs it, and would be wrong on another: kubelet's pods, its own
/// rotated certificates, its sockets, CPU and device state and checkpoints; addresses given to pods.
const NEVER: [&str; 14] = [
    "/var/lib/kubelet/pods",
    "/var/lib/kubelet/pki",
    "/var/lib/kubelet/plugins",
    "/var/lib/kubelet/plugins_registry",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet/pod-resources",
    "/var/lib/kubelet/checkpoints",
    "/var/lib/kubelet/cpu_manager_state",
    "/var/lib/kubelet/memory_manager_state",
    "/var/lib/kubelet/dra_manager_state",
    "/var/lib/cni/networks",
    "/var/lib/cni/results",
    "/var/lib/cni/cache",
    NODENAME,
];

/// A file of the original as it is there.
#[derive(Debug)]
pub(super) struct Original {
    pub path: PathBuf,
    text: SecretBytes,
}

impl Original {
    /// Its text; it was checked when it was read.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.text.expose()).unwrap_or_default()
    }
}

/// The original's files that are not copied as they are.
#[derive(Debug)]
pub(super) struct Spoken {
    /// Those that speak of the original: `addresses` makes the joiner's.
    pub named: Vec<Original>,
    /// kubelet's unit, what is dropped into it, and the environment files it reads: `kubelet` makes the joiner's.
    pub kubelet: Vec<Original>,
    /// Kubeconfigs that hold the original's own identity as a node: nobody can make the joiner's from them.
    pub identities: Vec<PathBuf>,
}

impl Spoken {
    /// What a tree leaves out.
    pub fn left_out(&self, cx: &Ctx) -> Vec<PathBuf> {
        let made = self.named.iter().chain(&self.kubelet).map(|f| f.path.clone());
        never(cx).into_iter().chain(made).chain(self.identities.iter().cloned()).collect()
    }
}

/// The directories, Kubernetes' first.
pub(super) fn roots(cx: &Ctx) -> Vec<PathBuf> {
    let kube = &cx.cluster.kube;
    let mut roots = vec![kube.dir.clone()];
    if !kube.manifests.starts_with(&kube.dir) {
        roots.push(kube.manifests.clone());
    }
    roots.extend(TREES.map(PathBuf::from));
    roots
}

/// What is never copied. Chapter 5 brings the certificates.
pub(super) fn never(cx: &Ctx) -> Vec<PathBuf> {
    NEVER.iter().map(PathBuf::from).chain([cx.cluster.kube.pki.clone()]).collect()
}

/// Whose files become whose.
pub(super) fn who(cx: &Ctx, joiner: &Node) -> Who {
    let named = |n: &Node| (n.name.to_string(), cx.cluster.node_name(n), n.address);
    Who {
        source: named(cx.source()),
        joiner: named(joiner),
        originals: cx.cluster.masters.iter().map(|n| (n.name.to_string(), n.address)).collect(),
        all: cx.cluster.all_masters().map(|n| n.address).collect(),
    }
}

/// Looks on the original for files that speak of it.
pub(super) async fn spoken(cx: &Ctx, joiner: &Node) -> Result<Spoken, ActError> {
    let host = &cx.source().name;
    let who = who(cx, joiner);
    let kubelet = kubelet_files(cx, host).await?;
    let identities = identities(cx, host).await?;
    let words = vec![who.source.2.to_string(), who.source.0.clone()];
    let mut named = Vec::new();
    for path in mentioning(cx, host, roots(cx), words).await? {
        if identities.contains(&path) || kubelet.iter().any(|k| k.path == path) {
            continue;
        }
        let Some(file) = read(cx, host, &path).await? else { continue };
        if !mentions(file.text(), &who).is_empty() {
            named.push(file);
        }
    }
    Ok(Spoken { named, kubelet, identities })
}

/// Text files on a host that hold one of the words.
pub(super) async fn mentioning(
    cx: &Ctx,
    host: &HostName,
    roots: Vec<PathBuf>,
    words: Vec<String>,
) -> Result<Vec<PathBuf>, ActError> {
    let op = Op::Tree(TreeOp::Mentions { roots, except: never(cx), words });
    let mut paths: Vec<_> = run_ok(&*cx.remote, host, &op).await?.text().lines().map(PathBuf::from).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// A file as text, into memory only: it may hold keys. `None` when it is not there (any more).
pub(super) async fn read(cx: &Ctx, host: &HostName, path: &Path) -> Result<Option<Original>, ActError> {
    let op = Op::ReadSecret { path: path.to_owned() };
    let out = cx.remote.run(host, &op, crate::remote::Io::default()).await?;
    if out.status == crate::remote::shell::NOT_THERE {
        return Ok(None);
    }
    let text = SecretBytes::new(out.checked(host, &op)?.stdout.to_vec());
    if std::str::from_utf8(text.expose()).is_err() {
        let why = tr!("{host}: {path} is not UTF-8 text; look at it by hand", host = host, path = path.display());
        return Err(ActError::NotProven(why));
    }
    Ok(Some(Original { path: path.to_owned(), text }))
}

/// The unit, its drop-ins, and the environment files they name.
async fn kubelet_files(cx: &Ctx, host: &HostName) -> Result<Vec<Original>, ActError> {
    let unit = &cx.cluster.kube.kubelet_unit_file;
    let Some(text) = read(cx, host, unit).await? else {
        return Err(ActError::NotProven(tr!(
            "{host}: {unit} is not there; set `layout: {{ kubernetes: {{ kubelet_unit_file: … }} }}` to what `systemctl show -p FragmentPath kubelet` says",
            host = host,
            unit = unit.display()
        )));
    };
    let mut files = vec![text];
    for path in kubelet::drop_ins(&*cx.remote, host, unit).await? {
        files.extend(read(cx, host, &path).await?);
    }
    let environment: Vec<PathBuf> = files.iter().flat_map(|f| kubelet::environment_files(f.text())).collect();
    for path in environment {
        if !files.iter().any(|f| f.path == path) {
            files.extend(read(cx, host, &path).await?);
        }
    }
    Ok(files)
}

/// Kubeconfigs with a node's own certificate: one that is rotated below kubelet's directory, or one for `system:node:`.
async fn identities(cx: &Ctx, host: &HostName) -> Result<Vec<PathBuf>, ActError> {
    let words = vec!["client-certificate".to_owned()];
    let mut found = Vec::new();
    for path in mentioning(cx, host, vec![cx.cluster.kube.dir.clone(), "/var/lib/kubelet".into()], words).await? {
        let Some(file) = read(cx, host, &path).await? else { continue };
        if is_identity(file.text()) {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_identity(text: &str) -> bool {
    use base64::Engine as _;
    let value = |line: &str, key: &str| {
        let (_, rest) = line.split_once(key)?;
        Some(rest.trim_start_matches(['"', ':', ' ']).trim_end_matches(['"', ',', ' ']).to_owned())
    };
    text.lines().any(|line| {
        if value(line, "client-certificate").is_some_and(|v| v.starts_with("/var/lib/kubelet/pki/")) {
            return true;
        }
        let der = value(line, "client-certificate-data").map(|v| base64::engine::general_purpose::STANDARD.decode(v));
        let Some(Ok(pem)) = der else { return false };
        crate::pki::CertInfo::from_pem(&pem).is_ok_and(|cert| cert.subject.contains("system:node:"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_certificate_is_an_identity_and_a_shared_one_is_not() {
        assert!(is_identity(
            "users:\n- user:\n    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n"
        ));
        assert!(!is_identity("users:\n- user:\n    client-certificate: /etc/kubernetes/pki/admin.pem\n"));
        assert!(!is_identity("users:\n- user:\n    client-certificate-data: bm90aGluZw==\n"));
    }
}
