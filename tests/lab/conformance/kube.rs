//! Kubernetes' API: health, nodes, Secrets, configuration, daemon sets, pods, tokens; and what it refuses.

use banister::{
    cluster::HostName,
    remote::{
        Op, SecretBytes, SharedRemote, Target,
        kube::{Door, KubeApi, KubeError, Node},
        run_ok,
        tls::{Method, Roots, TlsClient},
    },
};
use serde_json::{Value, json};

use super::{
    norm::Norm,
    twin::{Side, Twin},
};

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const NODE: &str = "node01.example.com";

fn bytes(value: &Value) -> SecretBytes {
    SecretBytes::new(value.to_string().into_bytes())
}

fn said<T>(answer: Result<T, KubeError>, word: impl FnOnce(T) -> String) -> String {
    let told = match answer {
        Ok(t) => word(t),
        Err(e) => format!("{e} (outcome unknown: {})", e.outcome_unknown()),
    };
    Norm::Json.of(&Norm::Made.of(&told))
}

fn ok<T>(_: T) -> String {
    "ok".into()
}

pub async fn all(twin: &mut Twin) {
    health(twin).await;
    nodes(twin).await;
    objects(twin).await;
    secrets(twin).await;
    calico(twin).await;
    tokens(twin).await;
    refused(twin).await;
    doors(twin).await;
}

/// Status, message and the parts of a body that are asked for.
async fn sent(side: &Side, method: Method, path: &str, body: Option<&str>) -> String {
    let body = body.map(|b| SecretBytes::new(b.as_bytes().to_vec()));
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    match side.kube().send(method, path, body.as_ref().map(|b| (kind, b))).await {
        Ok((status, bytes)) => {
            let text = String::from_utf8_lossy(bytes.expose()).into_owned();
            let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            match (&value["message"], &value["reason"]) {
                (Value::String(message), reason) => {
                    Norm::Json.of(&Norm::Made.of(&format!("{status} {reason} {message}")))
                }
                _ if value.is_string() => format!("{status} {value}"),
                _ => format!("{status} {}", value["kind"]),
            }
        }
        Err(e) => e.to_string(),
    }
}

async fn health(twin: &mut Twin) {
    twin.both("healthz", |side| async move { said(side.kube().healthz().await, ok) }).await;
    twin.both("the version", |side| async move {
        said(side.kube().get("/version").await, |v| {
            ["major", "minor", "gitVersion", "platform"].map(|k| v[k].to_string()).join(" ").replace("linux/amd64", "")
        })
    })
    .await;
    for path in ["/livez", "/readyz", "/api", "/apis", "/api/v1"] {
        twin.both(path, |side| async move { sent(&side, Method::GET, path, None).await }).await;
    }
    twin.both("the apiservers", |side| async move {
        said(side.kube().get("/api/v1/namespaces/default/endpoints/kubernetes").await, |v| {
            let mut ips: Vec<_> =
                v["subsets"][0]["addresses"].as_array().into_iter().flatten().map(|a| a["ip"].to_string()).collect();
            ips.sort();
            format!("{ips:?} {}", v["subsets"][0]["ports"])
        })
    })
    .await;
    for name in ["kube-scheduler", "kube-controller-manager", "no-such"] {
        twin.both(&format!("the lease of {name}"), |side| async move {
            let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}");
            said(side.kube().get(&path).await, |v| {
                let holder = v["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
                let known = holder.split('_').next().unwrap_or_default().starts_with("master0");
                format!("held by a master: {known}, {} s", v["spec"]["leaseDurationSeconds"])
            })
        })
        .await;
    }
}

fn told(node: &Node) -> String {
    let mut node = node.clone();
    node.resource_version = "(version)".into();
    format!("{node:#?}\n")
}

async fn nodes(twin: &mut Twin) {
    twin.both("nodes", |side| async move { said(side.kube().nodes().await, |all| all.iter().map(told).collect()) })
        .await;
    twin.both("no such node", |side| async move { said(side.kube().node("no-such").await, |n| format!("{n:?}")) })
        .await;
    let patch = |case: &'static str, fields: Value| (case, fields);
    for (case, fields) in [
        patch("a label", json!({ "metadata": { "labels": { "conformance": "yes" } } })),
        patch("cordoned", json!({ "spec": { "unschedulable": true } })),
        patch("a taint", json!({ "spec": { "taints": [{ "key": "conformance", "effect": "NoSchedule" }] } })),
        patch("uncordoned, without taints", json!({ "spec": { "unschedulable": null, "taints": null } })),
        patch("without the label", json!({ "metadata": { "labels": { "conformance": null } } })),
        patch("an effect that is none", json!({ "spec": { "taints": [{ "key": "conformance", "effect": "Never" }] } })),
        patch("an old version", json!({ "metadata": { "resourceVersion": "1", "labels": { "conformance": "no" } } })),
    ] {
        twin.both(&format!("a node: {case}"), |side| {
            let fields = bytes(&fields);
            async move {
                let merged = said(side.kube().merge(&Node::path(NODE), &fields).await, ok);
                // The controller that adds a cordon's taint takes its time.
                let seen =
                    || async { said(side.kube().node(NODE).await, |n| n.as_ref().map(told).unwrap_or_default()) };
                let rest =
                    |t: &str| t.contains("unschedulable: true") == t.contains("node.kubernetes.io/unschedulable");
                format!("{merged}\n{}", super::twin::until(rest, seen).await)
            }
        })
        .await;
    }
    twin.both("a label for no node", |side| async move {
        said(side.kube().merge(&Node::path("no-such"), &bytes(&json!({ "metadata": {} }))).await, ok)
    })
    .await;
    twin.both("no node deleted", |side| async move { said(side.kube().delete(&Node::path("no-such")).await, ok) })
        .await;
    for (case, method, body) in [
        ("a node that is no JSON", Method::PATCH, "nonsense"),
        ("a node put that is no JSON", Method::PUT, "nonsense"),
        ("a node posted to its own path", Method::POST, "{}"),
    ] {
        twin.both(case, |side| {
            let method = method.clone();
            async move { sent(&side, method, &Node::path(NODE), Some(body)).await }
        })
        .await;
    }
}

/// A ConfigMap's life.
async fn objects(twin: &mut Twin) {
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "conformance", "namespace": "kube-system" }, "data": { "a": "1" } });
    let path = format!("{MAPS}/conformance");
    let data = |v: Value| format!("{} {} {}", v["kind"], v["metadata"]["name"], v["data"]);
    twin.both("a ConfigMap made, and once more", |side| {
        let map = bytes(&map);
        async move {
            let made = || async { said(side.kube().post(MAPS, &map).await, ok) };
            format!("{}\n{}", made().await, made().await)
        }
    })
    .await;
    twin.both("found", |side| {
        let path = path.clone();
        async move { said(side.kube().find(&path).await, |v| v.map(data).unwrap_or_default()) }
    })
    .await;
    twin.both("merged", |side| {
        let path = path.clone();
        async move { said(side.kube().merge(&path, &bytes(&json!({ "data": { "a": null, "b": "2" } }))).await, data) }
    })
    .await;
    twin.both("put with an old version", |side| {
        let (path, mut map) = (path.clone(), map.clone());
        map["metadata"]["resourceVersion"] = "1".into();
        async move { said(side.kube().put(&path, &bytes(&map)).await, ok) }
    })
    .await;
    twin.both("put with its version, and with none", |side| {
        let (path, mut map) = (path.clone(), map.clone());
        async move {
            let mut out = String::new();
            for versioned in [true, false] {
                let live = side.kube().get(&path).await.unwrap_or_default();
                map["data"]["c"] = versioned.to_string().into();
                let version = live["metadata"]["resourceVersion"].clone();
                map["metadata"]["resourceVersion"] = if versioned { version } else { Value::Null };
                out += &said(side.kube().put(&path, &bytes(&map)).await, ok);
                out += &said(side.kube().get(&path).await, data);
            }
            out
        }
    })
    .await;
    twin.both("deleted, and once more", |side| {
        let path = path.clone();
        async move {
            let (first, again) = (side.kube().delete(&path).await, side.kube().delete(&path).await);
            format!(
                "{} {} {}",
                said(first, ok),
                said(again, ok),
                said(side.kube().find(&path).await, |v| format!("{v:?}"))
            )
        }
    })
    .await;
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::PATCH] {
        twin.both(&format!("{method} of no ConfigMap"), |side| {
            let (method, path, map) = (method.clone(), format!("{MAPS}/no-such"), map.clone());
            let mut named = map;
            named["metadata"]["name"] = "no-such".into();
            async move {
                let body = (method != Method::GET && method != Method::DELETE).then(|| named.to_string());
                sent(&side, method, &path, body.as_deref()).await
            }
        })
        .await;
    }
}

async fn secrets(twin: &mut Twin) {
    let path = format!("{SECRETS}/conformance");
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": { "name": "conformance" }, "data": { "k": "b25l" } });
    let shows = |s: Option<banister::remote::kube::Secret>| {
        s.map_or_else(
            || "none".into(),
            |s| {
                let values: Vec<_> = s.data.iter().map(|(k, v)| format!("{k}={:?}", v.expose())).collect();
                format!("{values:?} accounted {}", s.changed.is_some())
            },
        )
    };
    twin.both("a Secret's life", |side| {
        let (path, secret) = (path.clone(), bytes(&secret));
        async move {
            let mut out = said(side.kube().secret(&path).await, shows) + "\n";
            out += &(said(side.kube().post(SECRETS, &secret).await, ok) + "\n");
            out += &(said(side.kube().post(SECRETS, &secret).await, ok) + "\n");
            out += &(said(side.kube().secret(&path).await, shows) + "\n");
            let version =
                side.kube().secret(&path).await.ok().flatten().map(|s| s.resource_version).unwrap_or_default();
            let change = |version: &str, value: &str| {
                bytes(&json!({ "metadata": { "resourceVersion": version }, "data": { "k": value } }))
            };
            out += &(said(side.kube().merge(&path, &change(&version, "dHdv")).await, ok) + "\n");
            out += &(said(side.kube().merge(&path, &change(&version, "bm8=")).await, ok) + "\n");
            out += &(said(side.kube().merge(&path, &change("", "not base64!")).await, ok) + "\n");
            out += &(said(side.kube().secret(&path).await, shows) + "\n");
            out + &said(side.kube().delete(&path).await, ok)
        }
    })
    .await;
    twin.both("calico's Secret", |side| async move {
        let secret = side.kube().secret(&format!("{SECRETS}/calico-etcd-secrets")).await;
        said(secret, |s| format!("{:?}", s.map(|s| s.data.into_keys().collect::<Vec<_>>())))
    })
    .await;
}

async fn calico(twin: &mut Twin) {
    twin.both("the daemon set", |side| async move {
        said(side.kube().daemon_set("kube-system", "calico-node").await, |d| format!("{d:?}"))
    })
    .await;
    twin.both("no daemon set", |side| async move {
        said(side.kube().daemon_set("kube-system", "no-such").await, |d| format!("{d:?}"))
    })
    .await;
    let pod = |p: &banister::remote::kube::Pod| {
        format!(
            "{} {} ready {} {} restarts {} {:?}\n",
            p.name,
            p.node,
            p.ready,
            p.state,
            p.restarts,
            p.containers.keys()
        )
    };
    twin.both("its pods", |side| async move {
        said(side.kube().pods("kube-system", "k8s-app=calico-node").await, |mut all| {
            all.sort_by(|a, b| a.node.cmp(&b.node));
            all.iter().map(pod).collect()
        })
    })
    .await;
    twin.both("its pods on a node, and on none", |side| async move {
        let mut out = String::new();
        for node in [NODE, "no-such"] {
            out += &said(side.kube().pods_on("kube-system", "k8s-app=calico-node", node).await, |all| {
                all.iter().map(pod).collect()
            });
        }
        out
    })
    .await;
    // A kubelet tells the API of its static pods in its own time.
    twin.both("pods of components", |side| async move {
        let told = || async {
            said(side.kube().pods("kube-system", "tier=control-plane").await, |mut all| {
                all.sort_by(|a, b| a.name.cmp(&b.name));
                let told = all.iter().map(|p| format!("{} {} ready {} {}", p.name, p.node, p.ready, p.state));
                told.collect::<Vec<_>>().join("\n")
            })
        };
        let rest = |t: &str| t.lines().count() == 9 && t.lines().all(|l| l.ends_with(" ready true Running"));
        super::twin::until(rest, told).await
    })
    .await;
    twin.both("the log of no pod", |side| async move {
        said(side.kube().pod_log("kube-system", "no-such", 5).await, |l| l)
    })
    .await;
    twin.both("another pod of the same name is left alone", |side| async move {
        let pods = side.kube().pods_on("kube-system", "k8s-app=calico-node", NODE).await.unwrap_or_default();
        let Some(pod) = pods.first() else { return "no pod".into() };
        let wrong = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": "12" } });
        let path = format!("/api/v1/namespaces/kube-system/pods/{}", pod.name);
        sent(&side, Method::DELETE, &path, Some(&wrong.to_string())).await
    })
    .await;
    twin.both("a pod that is replaced", |side| async move {
        let on = || side.kube().pods_on("kube-system", "k8s-app=calico-node", NODE);
        let old = on().await.unwrap_or_default();
        let Some(old) = old.first() else { return "no pod".into() };
        let deleted = said(side.kube().delete_pod("kube-system", old).await, ok);
        let again = said(side.kube().delete_pod("kube-system", old).await, ok);
        let fresh = || async {
            let now = on().await.unwrap_or_default();
            let told = now.iter().map(|p| format!("{} new {} ready {}", now.len(), p.uid != old.uid, p.ready));
            told.collect::<Vec<_>>().join("\n")
        };
        format!("{deleted} {again} {}", super::twin::until(|t| t == "1 new true ready true", fresh).await)
    })
    .await;
}

async fn tokens(twin: &mut Twin) {
    twin.both("tokens that lie in Secrets", |side| async move {
        said(side.kube().stored_tokens("kube-system", 2).await, |t| {
            t.iter()
                .map(|(name, token)| {
                    format!("{} {}\n", name.contains("-token-"), token.expose().split(|b| *b == b'.').count())
                })
                .take(1)
                .collect()
        })
    })
    .await;
    twin.both("a fresh token, taken everywhere", |side| async move {
        let token = match side.kube().fresh_token("kube-system", "default").await {
            Ok(Some(token)) => token,
            Ok(None) => return "none".into(),
            Err(e) => return e.to_string(),
        };
        let mut out = String::new();
        for master in &side.cluster.masters {
            let door = Door::master(&master.name, master.address, side.cluster.kube.api_port);
            out += &said(side.kube().at(door).takes_token(token.clone()).await, ok);
        }
        let with = side.kube().with_token(token);
        for path in ["/api/v1/nodes", "/api/v1/namespaces/kube-system/secrets", "/healthz", "/api/v1", "/version"] {
            let told = sent(&Side { kube: Some(with.clone()), ..side.clone() }, Method::GET, path, None).await;
            out = out + path + ": " + &told + "\n";
        }
        out
    })
    .await;
    twin.both("no account's token", |side| async move {
        said(side.kube().fresh_token("kube-system", "no-such").await, |t| t.is_some().to_string())
    })
    .await;
    for token in ["nonsense", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA", ""] {
        twin.both(&format!("a token that is none: {token:?}"), |side| async move {
            said(side.kube().takes_token(SecretBytes::new(token.as_bytes().to_vec())).await, ok)
        })
        .await;
    }
}

async fn refused(twin: &mut Twin) {
    for path in ["/api/v1/nothings", "/apis/no.such.group/v1/x", "/nothing", "/api/v1/namespaces/no-such/secrets/x"] {
        twin.both(&format!("GET {path}"), |side| async move { sent(&side, Method::GET, path, None).await }).await;
    }
    twin.both(
        "a Secret that is no JSON",
        |side| async move { sent(&side, Method::POST, SECRETS, Some("nonsense")).await },
    )
    .await;
    twin.both("a Secret without a name", |side| async move {
        sent(&side, Method::POST, SECRETS, Some(r#"{"apiVersion":"v1","kind":"Secret","metadata":{}}"#)).await
    })
    .await;
    for path in ["/healthz", "/version", "/api/v1", "/api/v1/nodes", "/nothing"] {
        twin.both(&format!("nobody asks for {path}"), |side| async move {
            let nobody = KubeApi::new(
                side.remote.clone(),
                side.kube().door().clone(),
                roots(&side, "/etc/kubernetes/pki/ca.pem").await,
                None,
            );
            sent(&Side { kube: Some(nobody), ..side }, Method::GET, path, None).await
        })
        .await;
    }
}

async fn roots(side: &Side, path: &str) -> TlsClient {
    let remote: &SharedRemote = &side.remote;
    let ca = run_ok(&**remote, &HostName::new("master01"), &Op::ReadFile { path: path.into() }).await.expect(path);
    TlsClient::new(Roots::from_pem(&ca.stdout).expect("a CA"))
}

async fn doors(twin: &mut Twin) {
    twin.both("through a worker's proxy", |side| async move {
        let door = Door::worker(&HostName::new("node01"), side.cluster.kube.api_port);
        said(side.kube().at(door).healthz().await, ok)
    })
    .await;
    let at = |side: &Side, host: &str, port| {
        let node = side.cluster.node(&HostName::new(host)).expect("a host");
        Door { via: node.name.clone(), target: Target { address: node.address, port } }
    };
    for (host, port) in [("master01", 9), ("master04", 6443), ("master01", 2379)] {
        twin.both(&format!("the API at {host}:{port}"), |side| async move {
            said(side.kube().at(at(&side, host, port)).healthz().await, ok)
        })
        .await;
    }
    twin.both("under another CA", |side| async move {
        let tls = roots(&side, "/etc/etcd/ssl/ca.crt").await;
        said(KubeApi::new(side.remote.clone(), side.kube().door().clone(), tls, None).healthz().await, ok)
    })
    .await;
}
