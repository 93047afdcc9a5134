//! The Kubernetes API as far as the steps use it: health, nodes, Secrets, configuration, daemon sets, pods, tokens. Whatever
//! is asked goes to the etcd that this very apiserver reaches; one that reaches none says so.

use std::collections::BTreeMap;

use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;

use super::{
    objects::rfc3339,
    process::Loaded,
    resources::{collection, endpoints, lease, node, nodes, object, pod, pods},
    tokens,
};
use crate::{cluster::HostName, practice::world::World};

/// etcd's number of the alarm that stops writes.
const NOSPACE: i32 = 1;

/// Whoever is in it may do anything.
const MASTERS: &str = "system:masters";

/// The checks of `/healthz`, without etcd's.
const CHECKS: [&str; 5] = [
    "poststarthook/start-kube-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/ca-registration",
    "autoregister-completion",
];

/// A request.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// What stands behind the question mark.
    pub query: &'a str,
    /// What was sent with it.
    pub body: &'a [u8],
    /// The caller's certificate, DER.
    pub cert: Option<&'a [u8]>,
    /// The caller's token.
    pub bearer: Option<&'a str>,
}

impl Asked<'_> {
    /// Whether it changes something: whoever looks, or is given a token, leaves everything as it is.
    pub fn changes(&self) -> bool {
        self.method != "GET" && !self.path.trim_end_matches('/').ends_with("/token")
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// What it says.
    pub body: String,
    /// Whether that is JSON.
    pub json: bool,
}

impl Reply {
    pub(super) fn ok(value: &Value) -> Self {
        Self::of(200, value)
    }

    pub(super) fn of(status: u16, value: &Value) -> Self {
        Self { status, body: value.to_string(), json: true }
    }

    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), json: false }
    }

    pub(super) fn no(status: u16, reason: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": status
        });
        Self::of(status, &value)
    }

    pub(super) fn not_found(kind: &str, name: &str) -> Self {
        Self::no(404, "NotFound", format!("{kind} \"{name}\" not found"))
    }

    pub(super) fn conflict(kind: &str, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {kind} \"{name}\": the object has been modified; please apply your changes to the latest version and try again"
        );
        Self::no(409, "Conflict", message)
    }
}

/// Who asks.
struct User {
    name: String,
    master: bool,
    known: bool,
}

/// Who a caller is; `None` for credentials that do not hold.
fn user(api: &Loaded, asked: &Asked<'_>, now: i64) -> Option<User> {
    if let Some(der) = asked.cert {
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now).unwrap_or(0)));
        api.callers.verify_client_cert(&CertificateDer::from(der), &[], at).ok()?;
        let (_, cert) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
        let name = cert.subject().iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default();
        let master = cert.subject().iter_organization().any(|o| o.as_str().is_ok_and(|o| o == MASTERS));
        return Some(User { name: name.to_owned(), master, known: true });
    }
    if let Some(token) = asked.bearer {
        let name = tokens::user(token, &api.sa_keys, &api.issuer, now)?;
        return Some(User { name, master: false, known: true });
    }
    Some(User { name: "system:anonymous".into(), master: false, known: false })
}

/// What an apiserver answers.
pub fn answer(world: &mut World, host: &HostName, pid: u32, asked: &Asked<'_>) -> Reply {
    let process = world.kube.processes.iter().find(|p| &p.host == host && p.pid == pid);
    let (Some(api), Some(machine)) = (process.and_then(|p| p.api.as_ref()), world.hosts.get(host)) else {
        return Reply::text(503, "apiserver is shutting down\n");
    };
    let now = machine.epoch_ms() / 1000;
    let etcd = api.etcd(world, host);
    let Some(user) = user(api, asked, now) else { return Reply::no(401, "Unauthorized", "Unauthorized") };
    let path = asked.path.trim_end_matches('/');
    match path {
        "/healthz" | "/livez" | "/readyz" => return health(path, etcd.is_some(), asked.query.contains("verbose")),
        "/version" => return version(api, &process_version(world, host)),
        _ => {}
    }
    if let Some(no) = forbidden(&user, path, asked) {
        return no;
    }
    match path {
        "/api" => return Reply::ok(&json!({ "kind": "APIVersions", "versions": ["v1"] })),
        "/apis" => return Reply::ok(&json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [] })),
        "/api/v1" => return Reply::ok(&json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [] })),
        _ => {}
    }
    let Some((id, _)) = etcd else {
        return Reply::no(500, "InternalError", "etcdserver: request timed out");
    };
    let cluster = world.etcd.clusters.get_mut(&id);
    if asked.changes()
        && let Some(cluster) = cluster
    {
        if cluster.alarms.iter().any(|(_, kind)| *kind == NOSPACE) {
            return Reply::no(500, "InternalError", "etcdserver: mvcc: database space exceeded");
        }
        cluster.index += 1;
    }
    let Some(api) = world.kube.processes.iter().find(|p| &p.host == host && p.pid == pid).and_then(|p| p.api.as_ref())
    else {
        return Reply::text(503, "apiserver is shutting down\n");
    };
    let parts: Vec<String> = path.split('/').skip(1).map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let ["api", "v1", "namespaces", namespace, "serviceaccounts", account, "token"] = parts[..] {
        return token(world, api, id, namespace, account, asked, now);
    }
    let sealing = api.sealing.clone();
    route(world, id, &parts, asked, &Moment { now, sealing })
}

/// When something is asked, and how Secrets are sealed there.
pub(super) struct Moment {
    pub now: i64,
    pub sealing: String,
}

fn health(path: &str, etcd: bool, verbose: bool) -> Reply {
    if etcd && !verbose {
        return Reply::text(200, "ok");
    }
    let line = |good: bool, name: &str| {
        if good { format!("[+]{name} ok\n") } else { format!("[-]{name} failed: reason withheld\n") }
    };
    let rest = CHECKS.iter().map(|c| line(true, c)).collect::<String>();
    let (word, status) = if etcd { ("passed", 200) } else { ("failed", 500) };
    let name = path.trim_start_matches('/');
    Reply::text(status, format!("[+]ping ok\n[+]log ok\n{}{rest}{name} check {word}\n", line(etcd, "etcd")))
}

fn process_version(world: &World, host: &HostName) -> String {
    world.kube.kubelets.get(host).map_or_else(|| "v1.20.2".to_owned(), |k| k.version.clone())
}

fn version(_: &Loaded, version: &str) -> Reply {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("20"));
    Reply::ok(&json!({
        "major": major, "minor": minor, "gitVersion": version, "gitTreeState": "clean", "platform": "linux/amd64"
    }))
}

/// RBAC as far as it goes here: masters may do anything, whoever is known may look at what there is.
fn forbidden(user: &User, path: &str, asked: &Asked<'_>) -> Option<Reply> {
    let open = user.known && asked.method == "GET" && matches!(path, "/api" | "/apis" | "/api/v1");
    if user.master || open {
        return None;
    }
    let who = &user.name;
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let (group, rest) = match parts[..] {
        ["api", "v1", ref rest @ ..] => ("", rest),
        ["apis", group, _, ref rest @ ..] => (group, rest),
        _ => ("", &[][..]),
    };
    let (place, rest) = match *rest {
        ["namespaces", namespace, ref rest @ ..] if !rest.is_empty() => {
            (format!("in the namespace \"{namespace}\""), rest)
        }
        _ => ("at the cluster scope".to_owned(), rest),
    };
    let verb = match (asked.method, rest.len()) {
        ("GET", 1) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("GET", _) => "get",
        (other, _) => &other.to_lowercase(),
    };
    let message = match *rest {
        [] => format!("forbidden: User \"{who}\" cannot {verb} path \"{path}\""),
        [kind, ref name @ ..] => {
            let name = name.first().map_or_else(String::new, |n| format!(" \"{n}\""));
            format!(
                "{kind}{name} is forbidden: User \"{who}\" cannot {verb} resource \"{kind}\" in API group \"{group}\" {place}"
            )
        }
    };
    Some(Reply::no(403, "Forbidden", message))
}

fn token(world: &World, api: &Loaded, id: u64, namespace: &str, account: &str, asked: &Asked<'_>, now: i64) -> Reply {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}");
    if world.kube.stores.get(&id).is_none_or(|s| !s.objects.contains_key(&path)) {
        return Reply::not_found("serviceaccounts", account);
    }
    if asked.method != "POST" {
        return Reply::no(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
    }
    let Some(key) = api.sa_signer.as_ref().filter(|_| !api.issuer.is_empty()) else {
        return Reply::no(404, "NotFound", "the server could not find the requested resource");
    };
    let wanted: Value = serde_json::from_slice(asked.body).unwrap_or_default();
    let seconds = wanted["spec"]["expirationSeconds"].as_i64().unwrap_or(3600).max(600);
    let Some(token) = tokens::fresh(key, &api.issuer, namespace, account, now, seconds) else {
        return Reply::no(500, "InternalError", "Internal error occurred: failed to sign the token");
    };
    let value = json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "spec": { "audiences": [api.issuer], "expirationSeconds": seconds },
        "status": { "token": token, "expirationTimestamp": rfc3339(now + seconds) },
    });
    Reply::of(201, &value)
}

fn route(world: &mut World, id: u64, parts: &[&str], asked: &Asked<'_>, at: &Moment) -> Reply {
    match parts {
        ["api", "v1", "nodes"] => list("NodeList", &nodes(world, id)),
        ["api", "v1", "nodes", name] => node(world, id, name, asked, at),
        ["api", "v1", "pods"] | ["api", "v1", "namespaces", "kube-system", "pods"] => {
            let field = parameter(asked.query, "fieldSelector");
            let on = field.as_deref().and_then(|f| f.strip_prefix("spec.nodeName="));
            list("PodList", &pods(world, id, &selector(asked.query), |node, _| on.is_none_or(|on| on == node)))
        }
        ["api", "v1", "namespaces", "kube-system", "pods", name] => pod(world, id, name, asked),
        ["api", "v1", "namespaces", "kube-system", "pods", name, "log"] => {
            let agents = world.kube.stores.get(&id).into_iter().flat_map(|s| &s.agents);
            let own = agents.into_iter().find(|(_, a)| a.name == *name);
            own.map_or_else(|| Reply::not_found("pods", name), |(node, a)| Reply::text(200, a.log(node)))
        }
        ["api", "v1", "namespaces", "default", "endpoints", "kubernetes"] => endpoints(world),
        ["apis", "coordination.k8s.io", "v1", "namespaces", "kube-system", "leases", name] => {
            lease(world, name, at.now)
        }
        ["api", "v1", "namespaces", _, kind @ ("secrets" | "configmaps" | "serviceaccounts"), rest @ ..]
        | ["apis", "apps", "v1", "namespaces", _, kind @ "daemonsets", rest @ ..] => {
            let all = format!("/{}", parts[..parts.len() - rest.len()].join("/"));
            match rest {
                [] => collection(world, id, kind, &all, asked, at),
                [name] => object(world, id, kind, &format!("{all}/{name}"), name, asked, at),
                _ => unknown(),
            }
        }
        ["api", ..] => unknown(),
        // Whatever serves an API group says so itself, and nobody serves this one.
        ["apis", ..] => Reply::text(404, "404 page not found\n"),
        _ => Reply::of(
            404,
            &json!({ "paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"] }),
        ),
    }
}

pub(super) fn unknown() -> Reply {
    Reply::no(404, "NotFound", "the server could not find the requested resource")
}

pub(super) fn list(kind: &str, items: &[Value]) -> Reply {
    Reply::ok(&json!({ "kind": kind, "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items }))
}

/// `labelSelector=a=b,c=d` of a query.
pub(super) fn selector(query: &str) -> BTreeMap<String, String> {
    let text = parameter(query, "labelSelector").unwrap_or_default();
    text.split(',')
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.trim_start_matches('=').to_owned()))
        .collect()
}

pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('=')).map(decoded)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        assert_eq!(parameter("fieldSelector=type%3Da%2Fb&limit=2", "fieldSelector").as_deref(), Some("type=a/b"));
        assert_eq!(selector("labelSelector=k8s-app%3Dcalico-node")["k8s-app"], "calico-node");
    }
}
