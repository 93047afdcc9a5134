//! The few objects this program looks at: plain facts out of the API's JSON.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{KubeApi, KubeError};
use crate::remote::{SecretBytes, clean};

/// A taint without its time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl std::fmt::Display for Taint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{sign}{}:{}", self.key, self.value, self.effect)
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The version of the object, for a change that must not overtake another.
    pub resource_version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// Cordoned.
    pub unschedulable: bool,
    /// `Ok` when Ready, else kubelet's reason, cleaned.
    pub ready: Result<(), String>,
    /// Its internal addresses.
    pub addresses: Vec<String>,
    /// kubelet's version.
    pub version: String,
}

/// A pod of a daemon set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid: another pod of the same name has another.
    pub uid: String,
    /// The node it is bound to.
    pub node: String,
    /// Whether it is Ready and not on its way out.
    pub ready: bool,
    /// What it is waiting for, cleaned; its phase where it does not say.
    pub state: String,
    /// When it was made, seconds since the epoch by the clock of an apiserver; 0 where that is not said.
    pub created: i64,
    /// How often kubelet started one of its containers again.
    pub restarts: u64,
    /// Container ids by container name, without the runtime's scheme.
    pub containers: BTreeMap<String, String>,
}

/// A Secret: what it holds is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The version of the object.
    pub resource_version: String,
    /// When it was last changed, seconds since the epoch, where the API keeps account.
    pub changed: Option<i64>,
    /// Its values, decoded.
    pub data: BTreeMap<String, SecretBytes>,
}

/// A daemon set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSet {
    /// Its selector, as a query takes it.
    pub selector: String,
    /// Pods it should have.
    pub desired: u64,
    /// Pods that are ready.
    pub ready: u64,
}

impl Node {
    /// Where all nodes are, or one.
    pub fn path(name: &str) -> String {
        format!("/api/v1/nodes/{}", encoded(name))
    }

    /// Out of the API's JSON.
    pub fn read(value: &Value) -> Option<Self> {
        let (meta, spec, status) = (&value["metadata"], &value["spec"], &value["status"]);
        let ready = list(&status["conditions"]).find(|c| c["type"] == "Ready");
        Some(Self {
            name: meta["name"].as_str()?.to_owned(),
            resource_version: text(&meta["resourceVersion"]),
            labels: strings(&meta["labels"]),
            taints: list(&spec["taints"]).filter_map(|t| Taint::deserialize(t).ok()).collect(),
            unschedulable: spec["unschedulable"].as_bool().unwrap_or(false),
            ready: match ready {
                Some(c) if c["status"] == "True" => Ok(()),
                Some(c) => Err(clean::line(c["message"].as_str().unwrap_or(trs!("not Ready")))),
                None => Err(trs!("kubelet has not told its state yet").into()),
            },
            addresses: list(&status["addresses"])
                .filter(|a| a["type"] == "InternalIP")
                .map(|a| clean::line(&text(&a["address"])))
                .collect(),
            version: clean::line(&text(&status["nodeInfo"]["kubeletVersion"])),
        })
    }
}

impl Pod {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let (meta, status) = (&value["metadata"], &value["status"]);
        let leaving = !meta["deletionTimestamp"].is_null();
        let ready = list(&status["conditions"]).any(|c| c["type"] == "Ready" && c["status"] == "True");
        let containers = || list(&status["containerStatuses"]);
        let waiting = containers().find_map(|c| c["state"]["waiting"]["reason"].as_str());
        let id = |c: &Value| {
            let (_, id) = c["containerID"].as_str()?.split_once("://")?;
            // It goes into a command on the host.
            id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-').then(|| (text(&c["name"]), id.to_owned()))
        };
        Some(Self {
            name: meta["name"].as_str()?.to_owned(),
            uid: text(&meta["uid"]),
            node: text(&value["spec"]["nodeName"]),
            ready: ready && !leaving,
            state: clean::line(if leaving {
                "ending"
            } else {
                waiting.or(status["phase"].as_str()).unwrap_or("unknown")
            }),
            created: epoch(&meta["creationTimestamp"]).unwrap_or(0),
            restarts: containers().filter_map(|c| c["restartCount"].as_u64()).max().unwrap_or(0),
            containers: containers().filter_map(id).collect(),
        })
    }
}

impl KubeApi {
    /// Every node.
    pub async fn nodes(&self) -> Result<Vec<Node>, KubeError> {
        Ok(list(&self.get("/api/v1/nodes").await?["items"]).filter_map(Node::read).collect())
    }

    /// One node.
    pub async fn node(&self, name: &str) -> Result<Option<Node>, KubeError> {
        Ok(self.find(&Node::path(name)).await?.as_ref().and_then(Node::read))
    }

    /// A Secret's values; `None` when there is no such Secret.
    pub async fn secret(&self, path: &str) -> Result<Option<Secret>, KubeError> {
        let Some(raw) = self.raw(path).await? else { return Ok(None) };
        self.read::<SecretJson>(path, &raw)?.decoded().map(Some).ok_or_else(|| KubeError::Answer {
            at: self.door.to_string(),
            what: path.to_owned(),
            why: trs!("a value is not base64").into(),
        })
    }

    /// A daemon set; `None` when there is none.
    pub async fn daemon_set(&self, namespace: &str, name: &str) -> Result<Option<DaemonSet>, KubeError> {
        let path = format!("/apis/apps/v1/namespaces/{}/daemonsets/{}", encoded(namespace), encoded(name));
        Ok(self.find(&path).await?.map(|v| DaemonSet {
            selector: strings(&v["spec"]["selector"]["matchLabels"])
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect::<Vec<_>>()
                .join(","),
            desired: v["status"]["desiredNumberScheduled"].as_u64().unwrap_or(0),
            ready: v["status"]["numberReady"].as_u64().unwrap_or(0),
        }))
    }

    /// The pods with these labels.
    pub async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>, KubeError> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector={}", encoded(namespace), encoded(selector));
        Ok(list(&self.get(&path).await?["items"]).filter_map(Pod::read).collect())
    }

    /// Those of them on a node: of a thousand pods a few.
    pub async fn pods_on(&self, namespace: &str, selector: &str, node: &str) -> Result<Vec<Pod>, KubeError> {
        let (namespace, selector) = (encoded(namespace), encoded(selector));
        let on = encoded(&format!("spec.nodeName={node}"));
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}&fieldSelector={on}");
        Ok(list(&self.get(&path).await?["items"]).filter_map(Pod::read).collect())
    }

    /// The last lines a pod wrote, its last container's where that has ended; empty when it is gone.
    pub async fn pod_log(&self, namespace: &str, pod: &str, lines: u32) -> Result<String, KubeError> {
        let (namespace, pod) = (encoded(namespace), encoded(pod));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?tailLines={lines}");
        let said = self.raw(&path).await?.unwrap_or_else(|| SecretBytes::new(Vec::new()));
        Ok(clean::text(&String::from_utf8_lossy(said.expose())))
    }

    /// Deletes a pod, if it is still that very one.
    pub async fn delete_pod(&self, namespace: &str, pod: &Pod) -> Result<(), KubeError> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", encoded(namespace), encoded(&pod.name));
        let only = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": pod.uid } });
        match self.answer(super::Method::DELETE, &path, Some((super::JSON, &bytes(&only)))).await {
            Ok(_) | Err(KubeError::Refused { status: 404 | 409, .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Service-account tokens that lie in Secrets, at most `limit`; none on clusters that make none (since 1.24).
    pub async fn stored_tokens(&self, namespace: &str, limit: usize) -> Result<Vec<(String, SecretBytes)>, KubeError> {
        let path = format!(
            "/api/v1/namespaces/{}/secrets?fieldSelector=type%3Dkubernetes.io%2Fservice-account-token&limit={limit}",
            encoded(namespace)
        );
        let raw = self.answer(super::Method::GET, &path, None).await?;
        let found: SecretList = self.read(&path, &raw)?;
        let token = |mut s: SecretJson| {
            let token = s.data.as_mut()?.remove("token")?;
            Some((clean::line(&s.metadata.name), SecretBytes::new(STANDARD.decode(token).ok()?)))
        };
        Ok(found.items.into_iter().filter_map(token).take(limit).collect())
    }

    /// A fresh token for a service account, signed by this very apiserver and good for ten minutes (the shortest there
    /// is); `None` where it does not issue tokens (before 1.20 only when told to).
    pub async fn fresh_token(&self, namespace: &str, account: &str) -> Result<Option<SecretBytes>, KubeError> {
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", encoded(namespace), encoded(account));
        let ask = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 600 }
        });
        let raw = match self.post(&path, &bytes(&ask)).await {
            Ok(raw) => raw,
            Err(KubeError::Refused { status: 404 | 405, .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let answer: TokenRequest = self.read(&path, &raw)?;
        Ok(Some(SecretBytes::new(answer.status.token.into_bytes())))
    }
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "resourceVersion")]
    resource_version: String,
    #[serde(default, rename = "managedFields")]
    managed_fields: Vec<Managed>,
}

#[derive(Deserialize)]
struct Managed {
    #[serde(default)]
    time: Value,
}

#[derive(Deserialize)]
struct SecretJson {
    metadata: Meta,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

impl SecretJson {
    fn decoded(self) -> Option<Secret> {
        let decode = |(key, value): (String, String)| Some((key, SecretBytes::new(STANDARD.decode(value).ok()?)));
        let data = self.data.unwrap_or_default().into_iter().map(decode).collect::<Option<_>>()?;
        let changed = self.metadata.managed_fields.iter().filter_map(|m| epoch(&m.time)).max();
        Some(Secret { resource_version: self.metadata.resource_version, changed, data })
    }
}

#[derive(Deserialize)]
struct SecretList {
    items: Vec<SecretJson>,
}

#[derive(Deserialize)]
struct TokenRequest {
    status: TokenStatus,
}

#[derive(Deserialize)]
struct TokenStatus {
    token: String,
}

/// Seconds since the epoch of an RFC 3339 text.
fn epoch(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// When an object was last changed, where the API keeps account (since 1.18).
pub(crate) fn changed_at(object: &Value) -> Option<i64> {
    list(&object["metadata"]["managedFields"]).filter_map(|f| epoch(&f["time"])).max()
}

/// A JSON value as a body.
pub(crate) fn bytes(value: &Value) -> SecretBytes {
    SecretBytes::new(value.to_string().into_bytes())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
}

/// A piece of a path or query, percent-encoded where it is not plain (RFC 3986, 2.3).
pub(crate) fn encoded(piece: &str) -> String {
    piece.bytes().fold(String::with_capacity(piece.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}
