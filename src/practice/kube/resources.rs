//! The objects behind the API's paths: nodes, pods, what was made by whom.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    api::{Asked, Moment, Reply, list, parameter, unknown},
    objects::{Store, rfc3339, uid},
};
use crate::practice::world::World;

pub(super) fn nodes(world: &World, id: u64) -> Vec<Value> {
    world.kube.stores.get(&id).into_iter().flat_map(|s| s.nodes.values()).map(|n| n.json(world)).collect()
}

pub(super) fn node(world: &mut World, id: u64, name: &str, asked: &Asked<'_>, at: &Moment) -> Reply {
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
            match changed(&mut value, "nodes", asked) {
                Err(no) => return no,
                Ok(()) if value["metadata"]["resourceVersion"] != before => return Reply::conflict("nodes", name),
                Ok(()) => {}
            }
            if let Some(no) = bad_taint(name, &value) {
                return no;
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

/// A taint with an effect that is none.
fn bad_taint(name: &str, value: &Value) -> Option<Reply> {
    let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let taints = value["spec"]["taints"].as_array().into_iter().flatten().enumerate();
    let wrong = taints.map(|(n, t)| (n, t["effect"].as_str().unwrap_or_default())).find(|(_, e)| !known.contains(e));
    wrong.map(|(n, effect)| {
        let message = format!(
            "Node \"{name}\" is invalid: metadata.taints[{n}].effect: Unsupported value: \"{effect}\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""
        );
        Reply::no(422, "Invalid", message)
    })
}

/// The kind of what lies in a list.
fn singular(kind: &str) -> &str {
    match kind {
        "nodes" => "Node",
        "secrets" => "Secret",
        "configmaps" => "ConfigMap",
        "daemonsets" => "DaemonSet",
        "serviceaccounts" => "ServiceAccount",
        other => other,
    }
}

/// What was sent is no object.
fn unrecognized(kind: &str) -> Reply {
    let kind = singular(kind);
    let message = format!(
        "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error"
    );
    Reply::no(400, "BadRequest", message)
}

/// A value of a Secret that is not base64.
fn bad_value(kind: &str, value: &Value) -> Option<Reply> {
    let values = value["data"].as_object().filter(|_| kind == "secrets").into_iter().flatten();
    let wrong = values.filter_map(|(_, v)| v.as_str()).any(|v| STANDARD.decode(v).is_err());
    wrong.then(|| {
        let message = format!(" \"\" is invalid: patch: Invalid value: {:?}: illegal base64 data", value.to_string());
        Reply::no(422, "Invalid", message)
    })
}

/// What a change makes of an object.
fn changed(value: &mut Value, kind: &str, asked: &Asked<'_>) -> Result<(), Reply> {
    let bad = || {
        if asked.method == "PATCH" {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "Invalid JSON Patch", "code": 500
            });
            return Reply::of(500, &status);
        }
        unrecognized(kind)
    };
    let mut sent: Value = serde_json::from_slice(asked.body).map_err(|_| bad())?;
    if !sent.is_object() {
        return Err(bad());
    }
    // An empty version is none.
    if sent["metadata"]["resourceVersion"] == ""
        && let Some(meta) = sent["metadata"].as_object_mut()
    {
        meta.remove("resourceVersion");
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

/// The pods with these labels, of those that are `wanted` by the name of their node and their own.
pub(super) fn pods(
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

pub(super) fn pod(world: &mut World, id: u64, name: &str, asked: &Asked<'_>) -> Reply {
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
pub(super) fn endpoints(world: &World) -> Reply {
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
pub(super) fn lease(world: &World, name: &str, now: i64) -> Reply {
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

pub(super) fn collection(world: &mut World, id: u64, kind: &str, all: &str, asked: &Asked<'_>, at: &Moment) -> Reply {
    let now = world.clock.now();
    let store = world.kube.stores.entry(id).or_default();
    if asked.method == "POST" {
        let Ok(value) = serde_json::from_slice::<Value>(asked.body) else {
            return unrecognized(kind);
        };
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            let message = format!(
                "{} \"\" is invalid: metadata.name: Required value: name or generateName is required",
                singular(kind)
            );
            return Reply::no(422, "Invalid", message);
        }
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

pub(super) fn object(
    world: &mut World,
    id: u64,
    kind: &str,
    path: &str,
    name: &str,
    asked: &Asked<'_>,
    at: &Moment,
) -> Reply {
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
            match changed(&mut value, kind, asked).and_then(|()| bad_value(kind, &value).map_or(Ok(()), Err)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_is_merged_as_rfc_7386_says() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "l": [1, 2] });
        merge(&mut value, &json!({ "a": { "b": null, "d": { "e": 3 } }, "l": [3] }));
        assert_eq!(value, json!({ "a": { "c": 2, "d": { "e": 3 } }, "l": [3] }));
    }
}
