//! A master's static pod manifests: which one is the apiserver's, and what must not lie beside it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_yaml::Value;

use crate::{
    cluster::HostName,
    engine::act::ActError,
    remote::{Op, container::parked, run_ok},
    runbook::Ctx,
    survey::{Finding, Severity},
};

/// The pod that is looked for.
const POD: &str = "kube-apiserver";

/// An apiserver's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runbook) struct Manifest {
    pub path: PathBuf,
    pub text: String,
    /// It has the dot name of a run that ended in between.
    pub parked: bool,
}

/// A master's directory of manifests.
pub(super) struct Dir {
    pub apiserver: Manifest,
    /// What may start a second pod, or win over the first.
    pub stray: Vec<Finding>,
}

/// The apiserver's manifest of a master.
pub(in crate::runbook) async fn apiserver(cx: &Ctx, host: &HostName) -> Result<Manifest, ActError> {
    look(cx, host).await.map(|d| d.apiserver)
}

/// Looks at the directory: the kubelet reads every file whose name does not begin with a dot.
pub(super) async fn look(cx: &Ctx, host: &HostName) -> Result<Dir, ActError> {
    let dir = &cx.cluster.kube.manifests;
    let listed = run_ok(&*cx.remote, host, &Op::ListTree { dir: dir.clone() }).await?;
    let states = crate::survey::parse::file_states(&listed.text())
        .map_err(|e| ActError::NotProven(tr!("{host}: {e}; look at {dir}", host = host, e = e, dir = dir.display())))?;
    let files = states.into_iter().filter(|s| s.path.parent() == Some(dir) && s.kind != crate::survey::FileKind::Dir);
    let (hidden, read): (Vec<PathBuf>, Vec<PathBuf>) = files.map(|s| s.path).partition(|p| name_of(p).starts_with('.'));
    let texts = futures::future::try_join_all(read.iter().map(|p| cx.need_text(host, p))).await?;
    let texts: BTreeMap<PathBuf, String> = read.into_iter().zip(texts).collect();
    let stray = stray(host, &texts);
    if let Some(path) = chosen(&texts) {
        let text = texts.get(&path).cloned().unwrap_or_default();
        return Ok(Dir { apiserver: Manifest { path, text, parked: false }, stray });
    }
    for there in hidden {
        let Some(path) = unparked(&there) else { continue };
        let text = cx.need_text(host, &there).await?;
        if pod_name(&text).is_some_and(|n| is_apiserver(&n)) {
            return Ok(Dir { apiserver: Manifest { path, text, parked: true }, stray });
        }
    }
    Err(ActError::NotProven(tr!(
        "{host}: no manifest of {pod} in {dir}; put it back from a backup, or fix `layout.kubernetes.manifests`",
        host = host,
        pod = POD,
        dir = dir.display()
    )))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The manifest whose dot name this is.
fn unparked(there: &Path) -> Option<PathBuf> {
    let name = name_of(there);
    let name = name.strip_prefix('.')?.strip_suffix(".banister-parked")?;
    let path = there.with_file_name(name);
    (parked(&path) == there).then_some(path)
}

fn is_apiserver(pod: &str) -> bool {
    pod.contains(POD) || pod == "apiserver"
}

/// Of several the one with the plainest name: the others are stray.
fn chosen(texts: &BTreeMap<PathBuf, String>) -> Option<PathBuf> {
    let ours = texts.iter().filter(|(_, t)| pod_name(t).is_some_and(|n| is_apiserver(&n)));
    ours.map(|(p, _)| p.clone()).min_by_key(|p| (!usual(p), p.file_stem().is_none_or(|s| s != POD), name_of(p).len()))
}

/// A name that a manifest usually has.
fn usual(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["json", "yaml", "yml", "manifest"].iter().any(|u| e == *u))
}

fn stray(host: &HostName, texts: &BTreeMap<PathBuf, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut block = |path: &Path, why: String| {
        findings.push(Finding {
            severity: Severity::Block,
            host: Some(host.clone()),
            what: tr!("{host}: {path} does not belong there", host = host, path = path.display()),
            why,
            remedy: trs!(
                "move it out of the directory (kubelet reads every name without a leading dot), then run again"
            )
            .into(),
        });
    };
    let mut by_pod: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
    for (path, text) in texts {
        if !usual(path) {
            block(
                path,
                trs!("kubelet reads it as a manifest, whatever its name: a copy becomes a second pod that may win")
                    .into(),
            );
        } else if let Some(pod) = pod_name(text) {
            by_pod.entry(pod).or_default().push(path);
        }
    }
    for (pod, paths) in by_pod.into_iter().filter(|(_, paths)| paths.len() > 1) {
        for path in &paths {
            block(
                path,
                tr!("{paths} files define the pod {pod}: which one wins is chance", paths = paths.len(), pod = pod),
            );
        }
    }
    findings
}

/// `metadata.name` of a pod.
fn pod_name(text: &str) -> Option<String> {
    let pod: Value = serde_json::from_str(text).ok().or_else(|| serde_yaml::from_str(text).ok())?;
    Some(pod.get("metadata")?.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
        let pod = |name: &str| format!("{{\n\t\"kind\": \"Pod\",\n\t\"metadata\": {{\"name\": \"{name}\"}} }}");
        all.iter().map(|(f, n)| (PathBuf::from(format!("/m/{f}")), pod(n))).collect()
    }

    #[test]
    fn three_manifests_are_in_order_and_other_pods_are_welcome() {
        let texts = files(&[
            ("kube-apiserver.json", "kube-apiserver"),
            ("kube-scheduler.json", "kube-scheduler"),
            ("haproxy.yaml", "haproxy"),
        ]);
        assert_eq!(stray(&HostName::new("m"), &texts), []);
        assert_eq!(chosen(&texts), Some("/m/kube-apiserver.json".into()));
    }

    #[test]
    fn a_copy_under_any_name_is_stray() {
        let named = |all: &[(&str, &str)]| -> Vec<String> {
            stray(&HostName::new("m"), &files(all)).into_iter().map(|f| f.what).collect()
        };
        let bak = named(&[("kube-apiserver.json", "kube-apiserver"), ("kube-apiserver.json.bak", "kube-apiserver")]);
        assert_eq!(bak, ["m: /m/kube-apiserver.json.bak does not belong there"]);
        let twice = named(&[("kube-apiserver.json", "kube-apiserver"), ("old.yaml", "kube-apiserver")]);
        assert_eq!(twice.len(), 2, "nobody knows which of the two is meant: {twice:?}");
    }

    #[test]
    fn a_parked_manifest_is_known_by_its_name() {
        let path = PathBuf::from("/m/kube-apiserver.json");
        assert_eq!(unparked(&parked(&path)), Some(path));
        assert_eq!(unparked(Path::new("/m/.kube-apiserver.json.swp")), None);
    }
}
