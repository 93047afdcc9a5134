//! Calico's Secret, ConfigMap and pods.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{open, shown};
use crate::{
    cluster::{CalicoLayout, HostName},
    engine::{
        act::{
            Act, ActCx, ActError,
            run::{read_secret, run_op, stat_one},
            wait::{next_look, waiting},
        },
        plan::Shown,
    },
    pki::{CertInfo, PrivateKey, is_signed_by},
    remote::{
        Content, Io, Op, SecretBytes, SharedRemote,
        kube::{ApiAt, KubeApi, KubeError, Pod, bytes, changed_at, encoded},
        op::Owner,
        pods::PodsOp,
        shell::{self, qp},
    },
};

/// The variable in which the agent was given its etcd.
const VARIABLE: &str = "ETCD_ENDPOINTS";

/// The ConfigMap's entry for it.
pub const ENTRY: &str = "etcd_endpoints";

/// So often has a pod's container ended by itself before it counts as one that will end again. kubelet starts it again at
/// once and then after ten seconds: what is not there yet when a pod starts has come by then.
const CRASHES: u64 = 2;

/// Most time between two looks for a pod's successor.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How far the clocks of two apiservers may be apart, in seconds; the survey blocks beyond that.
const SKEW: i64 = 30;

/// What calico's objects are called, as far as a journal has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calico {
    /// Their namespace.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The ConfigMap.
    pub configmap: String,
    /// The daemon set.
    pub daemonset: String,
}

impl From<&CalicoLayout> for Calico {
    fn from(layout: &CalicoLayout) -> Self {
        Self {
            namespace: layout.namespace.clone(),
            secret: layout.secret.clone(),
            configmap: layout.configmap.clone(),
            daemonset: layout.daemonset.clone(),
        }
    }
}

impl Calico {
    fn path(&self, kind: &str, name: &str) -> String {
        format!("/api/v1/namespaces/{}/{kind}/{}", encoded(&self.namespace), encoded(name))
    }

    /// Where the API has the Secret.
    pub fn secret_path(&self) -> String {
        self.path("secrets", &self.secret)
    }

    /// Where the API has the ConfigMap.
    pub fn configmap_path(&self) -> String {
        self.path("configmaps", &self.configmap)
    }
}

/// Keeps an object in a file of a master (0600), in the form that `kubectl replace` takes; once, like every backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveObject {
    /// Whom to ask, and where the file is kept.
    pub at: ApiAt,
    /// The object's path in the API.
    pub object: String,
    /// `secret NAME`, for the eye.
    pub what: String,
    /// Its namespace.
    pub namespace: String,
    /// The file.
    pub file: PathBuf,
}

#[async_trait]
impl Act for SaveObject {
    fn shown(&self) -> Shown {
        let arguments = format!("-n {} get {} -o json >{}", self.namespace, self.what, qp(&self.file));
        shown(
            &self.at,
            tr!(
                "save {what} to {file} on {host} (0600)",
                what = self.what,
                file = self.file.display(),
                host = self.at.host
            ),
            &arguments,
        )
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let host = HostName::new(&self.at.host);
        if stat_one(&cx.remote, &host, &self.file).await?.sha256.is_some() {
            cx.say(tr!("{host}: {file} is there already and stays", host = host, file = self.file.display()));
            return Ok(());
        }
        let api = open(&cx.remote, &self.at).await?;
        let Some(raw) = api.raw(&self.object).await? else {
            return Err(ActError::NotProven(tr!("there is no {what}; look with kubectl", what = self.what)));
        };
        let kept = bare(&raw).ok_or_else(|| unreadable(&self.what))?;
        if let Some(dir) = self.file.parent() {
            run_op(cx, &host, &Op::MakeDir { path: dir.to_owned(), mode: 0o700, owner: Owner::root() }).await?;
        }
        let write = Op::WriteFile {
            path: self.file.clone(),
            content: Content::Secret(kept),
            mode: 0o600,
            owner: Owner::root(),
            backup: None,
        };
        run_op(cx, &host, &write).await
    }
}

/// An object without what belongs to this one moment of it.
fn bare(raw: &SecretBytes) -> Option<SecretBytes> {
    let mut object: Value = serde_json::from_slice(raw.expose()).ok()?;
    let meta = object.get_mut("metadata")?.as_object_mut()?;
    for key in ["resourceVersion", "uid", "managedFields", "selfLink", "creationTimestamp", "generation"] {
        meta.remove(key);
    }
    Some(SecretBytes::new(serde_json::to_vec_pretty(&object).ok()?))
}

fn unreadable(what: &str) -> ActError {
    ActError::NotProven(tr!("{what} is not JSON as the API gives it; look with kubectl", what = what))
}

/// Puts an object back as [`SaveObject`] kept it. `None` when nothing was kept.
pub(super) async fn restore(
    remote: &SharedRemote,
    at: &ApiAt,
    object: &str,
    file: &std::path::Path,
) -> Result<Option<()>, ActError> {
    let host = HostName::new(&at.host);
    let op = Op::ReadSecret { path: file.to_owned() };
    let out = remote.run(&host, &op, Io::default()).await?;
    if out.status == shell::NOT_THERE {
        return Ok(None);
    }
    let kept = SecretBytes::new(out.checked(&host, &op)?.stdout.to_vec());
    let mut kept: Value = serde_json::from_slice(kept.expose()).map_err(|_| unreadable(&file.display().to_string()))?;
    let api = open(remote, at).await?;
    match api.raw(object).await? {
        None => {
            let list = object.rsplit_once('/').map_or(object, |(list, _)| list);
            api.post(list, &bytes(&kept)).await?;
        }
        Some(live) => {
            let live: Value = serde_json::from_slice(live.expose()).map_err(|_| unreadable(object))?;
            if live["data"] != kept["data"] {
                kept["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
                api.put(object, &bytes(&kept)).await?;
            }
        }
    }
    // What is kept is from before a change: the next one keeps what is there then.
    crate::remote::run_ok(&**remote, &host, &Op::RemoveFiles { paths: vec![file.to_owned()] }).await?;
    Ok(Some(()))
}

/// Puts the etcd CA, client certificate and key that lie on a master into the Secret. What they are is read only when it
/// runs, into memory alone, and proven to be a pair of that CA first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSecret {
    /// Whom to ask.
    pub at: ApiAt,
    /// Calico's names.
    pub calico: Calico,
    /// The master that has the files.
    pub from: HostName,
    /// CA, certificate and key: the Secret's key and the file.
    pub files: [(String, PathBuf); 3],
}

impl SetSecret {
    async fn read(&self, cx: &ActCx) -> Result<[SecretBytes; 3], ActError> {
        let [ca, cert, key] = &self.files;
        let ca = read_secret(&cx.remote, &self.from, &ca.1).await?;
        let cert = read_secret(&cx.remote, &self.from, &cert.1).await?;
        let key = read_secret(&cx.remote, &self.from, &key.1).await?;
        let told =
            |why: &str| ActError::Pki { what: tr!("etcd client pair on {host}", host = self.from), why: why.into() };
        let info = CertInfo::from_pem(cert.expose()).map_err(|e| told(&e.to_string()))?;
        let private = PrivateKey::from_pem(key.expose()).map_err(|e| told(&e.to_string()))?;
        if !private.matches(&info) {
            return Err(told(trs!("certificate and key are not a pair; put the pair back from a backup")));
        }
        if !is_signed_by(cert.expose(), ca.expose()) {
            return Err(told(trs!("the certificate is not signed by the CA beside it; find the pair that is in use")));
        }
        Ok([ca, cert, key])
    }
}

#[async_trait]
impl Act for SetSecret {
    fn shown(&self) -> Shown {
        let files: Vec<_> = self.files.iter().map(|(key, path)| format!("--from-file={key}={}", qp(path))).collect();
        let (namespace, secret) = (&self.calico.namespace, &self.calico.secret);
        shown(
            &self.at,
            tr!(
                "put {host}'s etcd CA, client certificate and key into Secret {secret}",
                host = self.from,
                secret = secret
            ),
            &format!(
                "-n {namespace} create secret generic {secret} {} --dry-run=client -o json | kubectl --kubeconfig={} -n {namespace} replace -f -",
                files.join(" "),
                qp(&self.at.kubeconfig)
            ),
        )
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let values = self.read(cx).await?;
        let api = open(&cx.remote, &self.at).await?;
        let path = self.calico.secret_path();
        let live = api.secret(&path).await?.ok_or_else(|| gone(&self.calico.secret))?;
        let mut data = serde_json::Map::new();
        for ((key, _), value) in self.files.iter().zip(&values) {
            data.insert(key.clone(), STANDARD.encode(value.expose()).into());
        }
        // With its version: somebody else's change meanwhile is a conflict, not an overwrite.
        let fields = json!({ "metadata": { "resourceVersion": live.resource_version }, "data": data });
        api.merge(&path, &bytes(&fields)).await?;
        let now = api.secret(&path).await?.ok_or_else(|| gone(&self.calico.secret))?;
        if self.files.iter().zip(&values).all(|((key, _), value)| now.data.get(key) == Some(value)) {
            return Ok(());
        }
        Err(ActError::NotProven(tr!("Secret {secret} reads back otherwise; run again", secret = self.calico.secret)))
    }
}

fn gone(what: &str) -> ActError {
    ActError::NotProven(tr!("{what} is gone; somebody removed it meanwhile, look with kubectl", what = what))
}

/// Sets the etcd endpoints in the ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetEndpoints {
    /// Whom to ask.
    pub at: ApiAt,
    /// Calico's names.
    pub calico: Calico,
    /// The new list.
    pub endpoints: String,
}

#[async_trait]
impl Act for SetEndpoints {
    fn shown(&self) -> Shown {
        let patch = json!({ "data": { ENTRY: self.endpoints } }).to_string();
        let (namespace, name) = (&self.calico.namespace, &self.calico.configmap);
        shown(
            &self.at,
            format!("ConfigMap {name}: {ENTRY} {}", self.endpoints),
            &format!("-n {namespace} patch configmap {name} --type merge -p {}", shell::q(&patch)),
        )
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let api = open(&cx.remote, &self.at).await?;
        let patch = json!({ "data": { ENTRY: self.endpoints } });
        let now = api.merge(&self.calico.configmap_path(), &bytes(&patch)).await?;
        if now["data"][ENTRY] == self.endpoints.as_str() {
            return Ok(());
        }
        Err(ActError::NotProven(tr!(
            "ConfigMap {configmap} reads back otherwise; run again",
            configmap = self.calico.configmap
        )))
    }
}

/// The agent's pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pods {
    /// Pods that run with other endpoints than the ConfigMap's, or from before the Secret was replaced.
    pub stale: Vec<Pod>,
    /// Pods that have what is there now.
    pub fresh: Vec<Pod>,
    /// Nodes whose pod could not be looked into, because the node is no host of the cluster file.
    pub unseen: Vec<String>,
}

/// Looks at every pod of the daemon set; `None` where there is no such daemon set or no such ConfigMap.
pub async fn stale_pods(
    remote: &SharedRemote,
    api: &KubeApi,
    calico: &Calico,
    hosts: &[(String, HostName)],
) -> Result<Option<Pods>, ActError> {
    let set = api.daemon_set(&calico.namespace, &calico.daemonset).await?;
    let (Some(set), Some(config)) = (set, api.find(&calico.configmap_path()).await?) else { return Ok(None) };
    let Some(wanted) = config["data"][ENTRY].as_str() else { return Ok(None) };
    let secret = api.secret(&calico.secret_path()).await?.and_then(|s| s.changed);
    let changed = secret.max(changed_at(&config));
    let pods = api.pods(&calico.namespace, &set.selector).await?;
    let looks = pods.iter().map(|pod| started_with(remote, calico, hosts, pod));
    let mut seen = Pods::default();
    for (pod, endpoints) in pods.iter().zip(futures::future::join_all(looks).await) {
        let old = |at: Option<i64>| at.is_some_and(|at| pod.created + SKEW < at);
        let endpoints = endpoints?;
        if !hosts.iter().any(|(node, _)| *node == pod.node) {
            seen.unseen.push(pod.node.clone());
        }
        let stale = endpoints.map_or_else(|| old(changed), |own| own != wanted || old(secret));
        if stale { seen.stale.push(pod.clone()) } else { seen.fresh.push(pod.clone()) }
    }
    Ok(Some(seen))
}

/// The endpoints in the environment of a pod's agent; `None` where that can't be seen.
async fn started_with(
    remote: &SharedRemote,
    calico: &Calico,
    hosts: &[(String, HostName)],
    pod: &Pod,
) -> Result<Option<String>, ActError> {
    let Some((_, host)) = hosts.iter().find(|(node, _)| *node == pod.node) else { return Ok(None) };
    let agent = pod.containers.get(&calico.daemonset).or_else(|| pod.containers.values().next());
    let Some(container) = agent else { return Ok(None) };
    let op = Op::Pods(PodsOp::Env { container: container.clone(), variable: VARIABLE.into() });
    let out = remote.run(host, &op, Io::default()).await?;
    if out.status == shell::NOT_THERE {
        return Ok(None);
    }
    Ok(Some(out.checked(host, &op)?.text().trim().to_owned()))
}

/// Replaces the stale pods one at a time: each must be Ready on its node before the next one's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollPods {
    /// Whom to ask.
    pub at: ApiAt,
    /// Calico's names.
    pub calico: Calico,
    /// The hosts behind the nodes.
    pub hosts: Vec<(String, HostName)>,
    /// The pods, for the eye: which are stale is looked up again.
    pub pods: Vec<String>,
    /// Most time for one pod.
    pub deadline: Duration,
}

#[async_trait]
impl Act for RollPods {
    fn shown(&self) -> Shown {
        let calico = &self.calico;
        let lines: Vec<_> = self
            .pods
            .iter()
            .map(|pod| super::kubectl(&self.at, &format!("-n {} delete pod {}", calico.namespace, shell::q(pod))))
            .collect();
        Shown {
            host: None,
            title: tr!(
                "roll {pods} pods of {daemonset}, one at a time, each Ready again before the next (at most {seconds} s each)",
                pods = self.pods.len(),
                daemonset = calico.daemonset,
                seconds = self.deadline.as_secs()
            ),
            commands: lines.join("\n"),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let api = open(&cx.remote, &self.at).await?;
        let Some(pods) = self.all_ready(cx, &api).await? else { return Ok(()) };
        let set = api.daemon_set(&self.calico.namespace, &self.calico.daemonset).await?;
        let selector = set.ok_or_else(|| gone(&self.calico.daemonset))?.selector;
        for pod in &pods.stale {
            api.delete_pod(&self.calico.namespace, pod).await?;
            self.replaced(cx, &api, &selector, pod).await?;
        }
        Ok(())
    }
}

impl RollPods {
    /// Waits until every pod is Ready, since one on a node that has just joined takes its time; the pods.
    async fn all_ready(&self, cx: &ActCx, api: &KubeApi) -> Result<Option<Pods>, ActError> {
        let started = Instant::now();
        let mut before: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let Some(pods) = stale_pods(&cx.remote, api, &self.calico, &self.hosts).await? else { return Ok(None) };
            let Some(late) = pods.stale.iter().chain(&pods.fresh).find(|p| !p.ready) else { return Ok(Some(pods)) };
            // It may have ended often before, for reasons that are gone.
            let before = *before.entry(late.uid.clone()).or_insert(late.restarts);
            if crashes(late, before) {
                return Err(self.why_it_ends(api, late).await);
            }
            let now = tr!("{node}: {name} is {state}", node = late.node, name = late.name, state = late.state);
            waiting(cx, &now, started, self.deadline)?;
            next_look(started, Duration::from_millis(500)).await;
        }
    }

    /// What is told of a pod that ends again and again: waiting makes no difference to it.
    async fn why_it_ends(&self, api: &KubeApi, pod: &Pod) -> ActError {
        let namespace = &self.calico.namespace;
        // The apiserver asks the node's kubelet, which may not answer: then the command says it.
        let log = api.pod_log(namespace, &pod.name, 20).await.unwrap_or_default();
        let said = log
            .lines()
            .rfind(|l| !l.trim().is_empty())
            .map_or_else(String::new, |line| tr!("; its last words: {line}", line = line.trim()));
        ActError::NotProven(tr!(
            "{node}: {name} is {state}, its container ended by itself {restarts} times{said}; find out why with kubectl -n {namespace} logs {name}, mend it, delete the pod, then run again",
            node = pod.node,
            name = pod.name,
            state = pod.state,
            restarts = pod.restarts,
            said = said,
            namespace = namespace
        ))
    }

    async fn replaced(&self, cx: &ActCx, api: &KubeApi, selector: &str, old: &Pod) -> Result<(), ActError> {
        let started = Instant::now();
        loop {
            let now = match api.pods_on(&self.calico.namespace, selector, &old.node).await {
                Ok(here) => match here.iter().find(|p| p.uid != old.uid) {
                    Some(new) if new.ready && here.len() == 1 => {
                        cx.say(tr!("{node}: {name} is Ready", node = new.node, name = new.name));
                        return Ok(());
                    }
                    Some(new) if crashes(new, 0) => return Err(self.why_it_ends(api, new).await),
                    Some(new) => tr!("{node}: {name} is {state}", node = new.node, name = new.name, state = new.state),
                    None => tr!("{node}: no new pod yet", node = old.node),
                },
                Err(e @ KubeError::Refused { .. }) => return Err(e.into()),
                Err(e) => e.to_string(),
            };
            waiting(cx, &now, started, self.deadline)?;
            next_look(started, LOOK_EVERY).await;
        }
    }
}

/// Whether a pod's container ends again and again, so often at least since it had ended `before` times.
fn crashes(pod: &Pod, before: u64) -> bool {
    pod.state == "CrashLoopBackOff" && pod.restarts >= before + CRASHES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_can_be_replaced_later() {
        let raw = json!({
            "apiVersion": "v1", "kind": "Secret", "data": { "etcd-key": "aGk=" },
            "metadata": { "name": "s", "resourceVersion": "9", "uid": "u", "managedFields": [], "labels": { "a": "b" } }
        });
        let kept: Value = serde_json::from_slice(bare(&bytes(&raw)).unwrap().expose()).unwrap();
        assert_eq!(kept["metadata"], json!({ "name": "s", "labels": { "a": "b" } }));
        assert_eq!(kept["data"], raw["data"]);
    }
}
