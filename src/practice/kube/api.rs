//! The Kubernetes API as far as the steps use it: health, nodes, Secrets, configuration, daemon sets, pods, tokens. Whatever
//! is asked goes to the etcd that this very apiserver reaches; one that reaches none says so.

use std::collections::BTreeMap;

use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;

use super::{
    objects::{Store, rfc3339, uid},
    process::Loaded,
    tokens,
};
use crate::{
    cluster::HostName,
    pki::{is_signed_by, pem_to_der},
    practice::{etcd::links::wrong_name, host::Power, world::World},
};

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
    fn ok(value: &Value) -> Self {
        Self::of(200, value)
    }

    fn of(status: u16, value: &Value) -> Self {
        Self { status, body: value.to_string(), json: true }
    }

    fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), json: false }
    }

    fn no(status: u16, reason: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": status
        });
        Self::of(status, &value)
    }

    fn not_found(kind: &str, name: &str) -> Self {
        Self::no(404, "NotFound", format!("{kind} \"{name}\" not found"))
    }

    fn conflict(kind: &str, name: &str) -> Self {
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
    if let Some(no) = forbidden(&user, path, asked.method) {
        return no;
    }
    if let "/api" | "/apis" | "/api/v1" = path {
        return Reply::ok(&json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [] }));
    }
    let Some((id, _)) = etcd else {
        return Reply::no(500, "InternalError", "etcdserver: request timed out");
    };
    let writes = asked.method != "GET" && !path.ends_with("/token");
    let cluster = world.etcd.clusters.get_mut(&id);
    if writes && let Some(cluster) = cluster {
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
struct Moment {
    now: i64,
    sealing: String,
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
fn forbidden(user: &User, path: &str, method: &str) -> Option<Reply> {
    let open = user.known && method == "GET" && matches!(path, "/api" | "/apis" | "/api/v1");
    if user.master || open {
        return None;
    }
    let verb = method.to_lowercase();
    let message = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", user.name);
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
        ["api", "v1", "namespaces", "default", "endpoints", "kubernetes"] => endpoints(world, id),
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
        _ => unknown(),
    }
}

fn unknown() -> Reply {
    Reply::no(404, "NotFound", "the server could not find the requested resource")
}

fn list(kind: &str, items: &[Value]) -> Reply {
    Reply::ok(&json!({ "kind": kind, "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items }))
}

fn nodes(world: &World, id: u64) -> Vec<Value> {
    world.kube.stores.get(&id).into_iter().flat_map(|s| s.nodes.values()).map(|n| n.json(world)).collect()
}

fn node(world: &mut World, id: u64, name: &str, asked: &Asked<'_>, at: &Moment) -> Reply {
    let Some(node) = world.kube.stores.get(&id).and_then(|s| s.nodes.get(name)).cloned() else {
        return Reply::not_found("nodes", name);
    };
    let mut value = node.json(world);
    match asked.method {
        "GET" => Reply::ok(&value),
        "DELETE" => {
            if let Some(store) = world.kube.stores.get_mut(&id) {
                store.remove_node(name);
            }
            Reply::ok(&json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
        }
        "PATCH" | "PUT" => {
            let before = value["metadata"]["resourceVersion"].clone();
            match changed(&mut value, asked) {
                Err(no) => return no,
                Ok(()) if value["metadata"]["resourceVersion"] != before => return Reply::conflict("nodes", name),
                Ok(()) => {}
            }
            let mut node = node;
            node.read(&value, at.now);
            let Some(store) = world.kube.stores.get_mut(&id) else { return unknown() };
            store.put_node(node);
            match world.kube.stores.get(&id).and_then(|s| s.nodes.get(name)) {
                Some(node) => Reply::ok(&node.json(world)),
                None => Reply::not_found("nodes", name),
            }
        }
        _ => Reply::no(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
    }
}

/// What a change makes of an object.
fn changed(value: &mut Value, asked: &Asked<'_>) -> Result<(), Reply> {
    let bad = || {
        Reply::no(400, "BadRequest", "the object provided is unrecognized: couldn't get version/kind; json parse error")
    };
    let sent: Value = serde_json::from_slice(asked.body).map_err(|_| bad())?;
    if !sent.is_object() {
        return Err(bad());
    }
    if asked.method == "PATCH" {
        merge(value, &sent);
    } else {
        let (uid, version) = (value["metadata"]["uid"].clone(), value["metadata"]["resourceVersion"].clone());
        let created = value["metadata"]["creationTimestamp"].clone();
        *value = sent;
        value["metadata"]["uid"] = uid;
        value["metadata"]["creationTimestamp"] = created;
        if value["metadata"]["resourceVersion"].is_null() {
            value["metadata"]["resourceVersion"] = version;
        }
    }
    Ok(())
}

/// RFC 7386.
fn merge(value: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (key, field) in fields {
        if field.is_null() {
            if let Some(object) = value.as_object_mut() {
                object.remove(key);
            }
        } else {
            merge(&mut value[key.as_str()], field);
        }
    }
}

/// `labelSelector=a=b,c=d` of a query.
fn selector(query: &str) -> BTreeMap<String, String> {
    let text = parameter(query, "labelSelector").unwrap_or_default();
    text.split(',')
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.trim_start_matches('=').to_owned()))
        .collect()
}

fn parameter(query: &str, name: &str) -> Option<String> {
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

/// The pods with these labels, of those that are `wanted` by the name of their node and their own.
fn pods(
    world: &World,
    id: u64,
    selector: &BTreeMap<String, String>,
    wanted: impl Fn(&str, &str) -> bool,
) -> Vec<Value> {
    let agents = world.kube.stores.get(&id).into_iter().flat_map(|s| &s.agents);
    let agents = agents.filter(|(node, a)| wanted(node, &a.name)).map(|(node, a)| a.json(node, world));
    let now = world.clock.now();
    let mirrors = world.kube.processes.iter().filter(|p| p.exists() && !p.is_ending()).filter_map(|p| {
        let node = &world.kube.kubelets.get(&p.host)?.node;
        let name = format!("{}-{node}", p.pod);
        if !wanted(node, &name) {
            return None;
        }
        let ready = if p.port().is_none_or(|port| p.listens(port, now)) { "True" } else { "False" };
        let mut value = p.manifest.clone();
        value["metadata"]["uid"] = uid(&[&name, &p.start.to_string()]).into();
        value["metadata"]["name"] = name.into();
        value["spec"]["nodeName"] = node.clone().into();
        value["status"] = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] });
        Some(value)
    });
    let fits = |pod: &Value| selector.iter().all(|(k, v)| pod["metadata"]["labels"][k] == v.as_str());
    agents.chain(mirrors).filter(fits).collect()
}

fn pod(world: &mut World, id: u64, name: &str, asked: &Asked<'_>) -> Reply {
    let found = pods(world, id, &BTreeMap::new(), |_, pod| pod == name).pop();
    let Some(found) = found else { return Reply::not_found("pods", name) };
    if asked.method != "DELETE" {
        return Reply::ok(&found);
    }
    let wanted: Value = serde_json::from_slice(asked.body).unwrap_or_default();
    let uid = &wanted["preconditions"]["uid"];
    if !uid.is_null() && *uid != found["metadata"]["uid"] {
        let message = format!(
            "Operation cannot be fulfilled on Pod \"{name}\": the UID in the precondition ({}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            uid.as_str().unwrap_or_default(),
            found["metadata"]["uid"].as_str().unwrap_or_default()
        );
        return Reply::no(409, "Conflict", message);
    }
    let now = world.clock.now();
    if let (Some(store), Some(node)) = (world.kube.stores.get_mut(&id), found["spec"]["nodeName"].as_str()) {
        store.end_agent(node, now);
    }
    Reply::ok(&found)
}

/// The apiservers that have come up.
fn endpoints(world: &World, _: u64) -> Reply {
    let now = world.clock.now();
    let mut addresses: Vec<String> = world
        .kube
        .processes
        .iter()
        .filter(|p| p.is_apiserver() && p.port().is_some_and(|port| p.listens(port, now)))
        .filter_map(|p| p.api.as_ref()?.advertised.map(|a| a.to_string()))
        .collect();
    addresses.sort();
    let addresses: Vec<_> = addresses.into_iter().map(|ip| json!({ "ip": ip })).collect();
    Reply::ok(&json!({
        "kind": "Endpoints", "apiVersion": "v1", "metadata": { "name": "kubernetes", "namespace": "default" },
        "subsets": [{ "addresses": addresses, "ports": [{ "name": "https", "port": 6443, "protocol": "TCP" }] }]
    }))
}

/// The first of a component's processes leads.
fn lease(world: &World, name: &str, now: i64) -> Reply {
    let own = |p: &&super::process::Process| {
        p.program() == name && p.port().is_some_and(|port| p.listens(port, world.clock.now()))
    };
    let holder =
        world.kube.processes.iter().find(own).and_then(|p| world.kube.kubelets.get(&p.host).map(|k| k.node.clone()));
    match holder {
        Some(holder) => Reply::ok(&json!({
            "kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": { "name": name, "namespace": "kube-system" },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": rfc3339(now) }
        })),
        None => Reply::not_found("leases.coordination.k8s.io", name),
    }
}

/// What is read of an object; an error where another apiserver has sealed it with what this one does not have.
fn opened(store: &Store, kind: &str, path: &str, at: &Moment) -> Result<Option<Value>, Reply> {
    let Some(object) = store.objects.get(path) else { return Ok(None) };
    if kind == "secrets" && !object.sealed.is_empty() && object.sealed != at.sealing {
        let key = path.replace("/api/v1/namespaces/", "").replace("/secrets/", "/");
        let message = format!(
            "Internal error occurred: unable to transform key \"/registry/secrets/{key}\": no matching key was found for the provided AES transformer"
        );
        return Err(Reply::no(500, "InternalError", message));
    }
    Ok(Some(object.value.clone()))
}

fn collection(world: &mut World, id: u64, kind: &str, all: &str, asked: &Asked<'_>, at: &Moment) -> Reply {
    let now = world.clock.now();
    let store = world.kube.stores.entry(id).or_default();
    if asked.method == "POST" {
        let Ok(value) = serde_json::from_slice::<Value>(asked.body) else {
            return Reply::no(400, "BadRequest", "the object provided is unrecognized");
        };
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let sealing = if kind == "secrets" { at.sealing.as_str() } else { "" };
        return match store.create(all, value, at.now, sealing) {
            Some(made) => Reply::of(201, &made),
            None => Reply::no(409, "AlreadyExists", format!("{kind} \"{name}\" already exists")),
        };
    }
    let limit = parameter(asked.query, "limit").and_then(|l| l.parse().ok()).unwrap_or(usize::MAX);
    let of_type = parameter(asked.query, "fieldSelector").and_then(|f| f.strip_prefix("type=").map(str::to_owned));
    let paths: Vec<String> =
        store.objects.keys().filter(|p| p.rsplit_once('/').is_some_and(|(l, _)| l == all)).cloned().collect();
    let mut items = Vec::new();
    for path in paths {
        match opened(store, kind, &path, at) {
            Ok(Some(value)) if of_type.as_ref().is_none_or(|t| value["type"] == t.as_str()) => {
                items.push(with_status(store, kind, value, now));
            }
            Ok(_) => {}
            Err(no) => return no,
        }
    }
    items.truncate(limit);
    list("List", &items)
}

/// A daemon set with what has come of it.
fn with_status(store: &Store, kind: &str, mut value: Value, now: std::time::Duration) -> Value {
    if kind == "daemonsets" {
        let (desired, ready) = store.agents_ready(now);
        value["status"] = json!({
            "desiredNumberScheduled": desired,
            "currentNumberScheduled": store.agents.len(),
            "updatedNumberScheduled": store.agents.len(),
            "numberReady": ready,
            "numberAvailable": ready,
            "numberMisscheduled": 0,
        });
    }
    value
}

fn object(world: &mut World, id: u64, kind: &str, path: &str, name: &str, asked: &Asked<'_>, at: &Moment) -> Reply {
    let now = world.clock.now();
    let store = world.kube.stores.entry(id).or_default();
    let mut value = match opened(store, kind, path, at) {
        Ok(Some(value)) => value,
        Ok(None) => return Reply::not_found(kind, name),
        Err(no) => return no,
    };
    match asked.method {
        "GET" => Reply::ok(&with_status(store, kind, value, now)),
        "DELETE" => {
            store.objects.remove(path);
            Reply::ok(&json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
        }
        "PATCH" | "PUT" => {
            let before = value["metadata"]["resourceVersion"].clone();
            match changed(&mut value, asked) {
                Err(no) => no,
                Ok(()) if value["metadata"]["resourceVersion"] != before => Reply::conflict(kind, name),
                Ok(()) => {
                    let sealing = if kind == "secrets" { at.sealing.as_str() } else { "" };
                    Reply::ok(&store.put(path, value, at.now, sealing))
                }
            }
        }
        _ => Reply::no(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
    }
}

/// The etcd behind the apiserver that a host's kubelet reaches with its kubeconfig; `None` where it reaches none, or is
/// refused.
pub fn reached_by(world: &mut World, name: &HostName) -> Option<u64> {
    let host = world.hosts.get(name)?;
    let kubelet = world.kube.kubelets.get(name)?;
    let text = host.files.read(&kubelet.kubeconfig).ok()?;
    let config: Value = serde_yaml::from_slice(&text).ok()?;
    let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    let at: std::net::SocketAddr = cluster["server"].as_str()?.split_once("://")?.1.parse().ok()?;
    let file = |value: &Value| host.files.read(value.as_str()?.as_ref()).ok();
    let (ca, cert) = (file(&cluster["certificate-authority"])?, file(&user["client-certificate"])?);
    let now = world.clock.now();
    let own = host.address;
    let servers = if at.ip().is_loopback() {
        let proxies: Vec<_> = world.kube.containers.keys().filter(|(h, _)| h == name).cloned().collect();
        let listening = proxies.iter().find_map(|key| world.kube.containers.get_mut(key)?.servers(at.port(), now));
        listening.map_or_else(|| vec![std::net::SocketAddr::new(own, at.port())], |(servers, _)| servers)
    } else {
        vec![at]
    };
    let der = pem_to_der(&cert).ok()?.into_iter().next()?;
    servers.into_iter().find_map(|server| {
        let there = world.hosts.values().find(|h| h.address == server.ip() && h.power == Power::Up)?;
        if there.name != *name && !there.lets_in(server.port()) {
            return None;
        }
        let process = world.kube.processes.iter().find(|p| p.host == there.name && p.listens(server.port(), now))?;
        let api = process.api.as_ref()?;
        let at_time =
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(there.epoch_ms() / 1000).ok()?));
        api.callers.verify_client_cert(&CertificateDer::from(der.clone()), &[], at_time).ok()?;
        let trusted = is_signed_by(api.served(), &ca) && wrong_name(api.served(), at.ip(), false).is_none();
        trusted.then_some(())?;
        api.etcd(world, &there.name).map(|(id, _)| id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_is_merged_as_rfc_7386_says() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "l": [1, 2] });
        merge(&mut value, &json!({ "a": { "b": null, "d": { "e": 3 } }, "l": [3] }));
        assert_eq!(value, json!({ "a": { "c": 2, "d": { "e": 3 } }, "l": [3] }));
    }

    #[test]
    fn queries_are_decoded() {
        assert_eq!(parameter("fieldSelector=type%3Da%2Fb&limit=2", "fieldSelector").as_deref(), Some("type=a/b"));
        assert_eq!(selector("labelSelector=k8s-app%3Dcalico-node")["k8s-app"], "calico-node");
    }
}
