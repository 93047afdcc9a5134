//! The API against a small server in the process: real TLS, real requests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::version::TLS13;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;
use crate::remote::{
    BoxStream, Io, Op, Output, Remote, RemoteError,
    shell::NOT_THERE,
    tls::testing::{Ask, TestCa, TestLeaf, acceptor, dial},
};

/// What a request was.
#[derive(Debug, Clone, Default)]
struct Asked {
    head: String,
    body: String,
    certificate: bool,
}

type Answers = Arc<dyn Fn(&str) -> (u16, String) + std::marker::Send + Sync>;

/// A host with files and an apiserver.
struct Host {
    files: BTreeMap<PathBuf, Vec<u8>>,
    server: TlsAcceptor,
    answers: Answers,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[async_trait]
impl Remote for Host {
    async fn run(&self, _: &HostName, op: &Op, _: Io) -> Result<Output, RemoteError> {
        let Op::ReadSecret { path } = op else { panic!("{op:?} is not a secret read") };
        Ok(match self.files.get(path) {
            Some(bytes) => Output { stdout: bytes.clone().into(), ..Output::default() },
            None => Output { status: NOT_THERE, ..Output::default() },
        })
    }

    async fn dial(&self, via: &HostName, to: Target) -> Result<BoxStream, RemoteError> {
        assert_eq!((via.as_str(), to.to_string().as_str()), ("m1", "10.10.33.37:6443"));
        let (answers, asked) = (self.answers.clone(), self.asked.clone());
        Ok(dial(&self.server, move |tls| serve(tls, answers, asked)))
    }
}

async fn serve(mut tls: TlsStream<DuplexStream>, answers: Answers, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match tls.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    tls.read_exact(&mut body).await.unwrap();
    let certificate = tls.get_ref().1.peer_certificates().is_some();
    let (status, answer) = answers(head.lines().next().unwrap());
    asked.lock().unwrap().push(Asked { head, body: String::from_utf8(body).unwrap(), certificate });
    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    let _ = tls.write_all(text.as_bytes()).await;
    let _ = tls.shutdown().await;
}

struct Lab {
    remote: SharedRemote,
    asked: Arc<Mutex<Vec<Asked>>>,
}

fn embedded(ca: &TestCa, leaf: &TestLeaf) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: https://10.10.33.37:6443\n  name: c\ncontexts:\n- context: {{ cluster: c, user: u }}\n  name: x\ncurrent-context: x\nusers:\n- name: u\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        STANDARD.encode(&ca.pem),
        STANDARD.encode(&leaf.pem),
        STANDARD.encode(&leaf.key)
    )
}

const CONFIG: &str = "/etc/kubernetes/admin.conf";

fn at() -> ApiAt {
    ApiAt { host: "m1".into(), address: "10.10.33.37".parse().unwrap(), port: 6443, kubeconfig: CONFIG.into() }
}

/// An apiserver that asks for a client certificate, and an administrator's kubeconfig.
fn lab(answers: impl Fn(&str) -> (u16, String) + std::marker::Send + Sync + 'static) -> Lab {
    let ca = TestCa::new("kubernetes");
    let leaf = ca.leaf(&Ask::default());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let files = [(CONFIG.into(), embedded(&ca, &leaf).into_bytes())].into();
    let server = acceptor(&leaf, Some(&ca), &TLS13);
    let remote = Arc::new(Host { files, server, answers: Arc::new(answers), asked: asked.clone() });
    Lab { remote, asked }
}

fn status(code: u16, message: &str) -> (u16, String) {
    (code, json!({ "kind": "Status", "message": message, "code": code }).to_string())
}

async fn read(files: &[(&str, &[u8])]) -> Result<Kubeconfig, KubeError> {
    let ca = TestCa::new("kubernetes");
    let remote: SharedRemote = Arc::new(Host {
        files: files.iter().map(|(p, b)| (PathBuf::from(p), b.to_vec())).collect(),
        server: acceptor(&ca.leaf(&Ask::default()), None, &TLS13),
        answers: Arc::new(|_| (200, String::new())),
        asked: Arc::default(),
    });
    let config = Kubeconfig::read(&remote, &HostName::new("m1"), Path::new(CONFIG)).await?;
    config.credential(&remote).await?;
    Ok(config)
}

#[tokio::test]
async fn certificates_beside_the_kubeconfig_are_read_on_its_host() {
    let ca = TestCa::new("kubernetes");
    let leaf = ca.leaf(&Ask::default());
    let text = "clusters: [{name: c, cluster: {server: 'https://10.10.33.37:6443', certificate-authority: pki/ca.pem}}]\nusers: [{name: u, user: {client-certificate: /p/admin.pem, client-key: /p/admin-key.pem}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n";
    let files = [
        (CONFIG, text.as_bytes()),
        ("/etc/kubernetes/pki/ca.pem", ca.pem.as_bytes()),
        ("/p/admin.pem", leaf.pem.as_bytes()),
        ("/p/admin-key.pem", leaf.key.as_bytes()),
    ];
    assert_eq!(read(&files).await.unwrap().server, "https://10.10.33.37:6443");
    let missing = read(&files[..3]).await.unwrap_err().to_string();
    assert!(missing.contains("m1: /p/admin-key.pem: is not there"), "{missing}");
}

#[tokio::test]
async fn a_kubeconfig_that_would_not_verify_anything_is_refused() {
    let text = "clusters: [{name: c, cluster: {server: 'https://x', insecure-skip-tls-verify: true}}]\nusers: [{name: u, user: {token: very-secret}}]\n";
    let refused = read(&[(CONFIG, text.as_bytes())]).await.unwrap_err().to_string();
    assert!(refused.contains("nothing is asked unverified"), "{refused}");
}

#[tokio::test]
async fn no_error_quotes_a_broken_kubeconfig() {
    for text in ["users: [{name: u, user: very-secret}]", "very-secret", "users: {a: 'very-secret", "a: b: very-secret"]
    {
        let refused = read(&[(CONFIG, text.as_bytes())]).await.unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("very-secret"), "{refused}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_apis_own_words_made_harmless() {
    let lab = lab(|_| status(403, "nodes is forbidden: \u{1b}[31mUser \"x\"\ncannot list"));
    let api = KubeApi::open(&lab.remote, &at()).await.unwrap();
    let refused = api.nodes().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the API on m1 answers GET /api/v1/nodes with 403: nodes is forbidden: User \"x\" | cannot list; use the kubeconfig of a cluster administrator"
    );
    assert!(!refused.outcome_unknown() && !refused.is_conflict());
}

#[tokio::test]
async fn what_is_not_there_is_none_and_deleting_it_is_no_error() {
    let lab = lab(|_| status(404, "not found"));
    let api = KubeApi::open(&lab.remote, &at()).await.unwrap();
    assert_eq!(api.node("m4.example.com").await.unwrap(), None);
    assert_eq!(api.secret("/api/v1/namespaces/n/secrets/s").await.unwrap(), None);
    api.delete(&Node::path("m4")).await.unwrap();
    assert_eq!(api.fresh_token("kube-system", "default").await.unwrap(), None);
}

#[tokio::test]
async fn an_apiserver_that_is_not_healthy_says_which_check_fails() {
    let lab = lab(|_| (500, "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\nhealthz check failed\n".into()));
    let api = KubeApi::open(&lab.remote, &at()).await.unwrap();
    let sick = api.healthz().await.unwrap_err().to_string();
    assert!(sick.contains("with 500: [-]etcd failed: reason withheld;"), "{sick}");
}

#[tokio::test]
async fn a_patch_carries_its_kind_and_its_body() {
    let lab = lab(|_| (200, "{}".into()));
    let api = KubeApi::open(&lab.remote, &at()).await.unwrap();
    api.merge("/api/v1/nodes/m4", &bytes(&json!({ "spec": { "unschedulable": true } }))).await.unwrap();
    let asked = lab.asked.lock().unwrap()[0].clone();
    assert!(asked.head.starts_with("PATCH /api/v1/nodes/m4 HTTP/1.1\r\nhost: 10.10.33.37:6443\r\n"), "{}", asked.head);
    assert!(asked.head.contains("content-type: application/merge-patch+json"), "{}", asked.head);
    assert_eq!(asked.body, "{\"spec\":{\"unschedulable\":true}}");
    assert!(asked.certificate);
}

#[tokio::test]
async fn a_token_is_shown_alone_and_never_told() {
    let ca = TestCa::new("kubernetes");
    let leaf = ca.leaf(&Ask::default());
    let (asked, code) = (Arc::new(Mutex::new(Vec::<Asked>::new())), Arc::new(Mutex::new(200)));
    let given = code.clone();
    let remote: SharedRemote = Arc::new(Host {
        files: [(CONFIG.into(), embedded(&ca, &leaf).into_bytes())].into(),
        server: acceptor(&leaf, None, &TLS13),
        answers: Arc::new(move |_| status(*given.lock().unwrap(), "Unauthorized")),
        asked: asked.clone(),
    });
    let api = KubeApi::open(&remote, &at()).await.unwrap();
    let token = || SecretBytes::new(b"very-secret\n".to_vec());
    for accepted in [200, 403] {
        *code.lock().unwrap() = accepted;
        api.takes_token(token()).await.unwrap();
    }
    *code.lock().unwrap() = 401;
    let refused = api.takes_token(token()).await.unwrap_err();
    assert!(refused.is_unauthorized() && !format!("{refused} {refused:?}").contains("very-secret"));
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|a| a.head.contains("authorization: Bearer very-secret\r\n") && !a.certificate));
    assert!(!format!("{:?}", api.with_token(token())).contains("very-secret"));
}

#[tokio::test]
async fn a_secret_comes_decoded_and_a_bad_one_is_not_quoted() {
    let lab = lab(|line| {
        let value = if line.contains("/good ") { STANDARD.encode("very-secret") } else { "very-secret!".into() };
        (200, json!({ "metadata": { "resourceVersion": "5" }, "data": { "k": value } }).to_string())
    });
    let api = KubeApi::open(&lab.remote, &at()).await.unwrap();
    let good = api.secret("/api/v1/namespaces/n/secrets/good").await.unwrap().unwrap();
    assert_eq!((good.resource_version.as_str(), good.data["k"].expose()), ("5", b"very-secret".as_slice()));
    assert!(!format!("{good:?}").contains("very-secret"));
    let bad = api.secret("/api/v1/namespaces/n/secrets/bad").await.unwrap_err();
    assert!(!format!("{bad} {bad:?}").contains("very-secret"), "{bad}");
}

#[test]
fn a_node_and_a_pod_are_read_out_of_the_apis_json() {
    let node = Node::read(&json!({
        "metadata": { "name": "m1.example.com", "resourceVersion": "3", "labels": { "a": "b" } },
        "spec": { "unschedulable": true, "taints": [{ "key": "k", "effect": "NoSchedule" }] },
        "status": {
            "conditions": [{ "type": "Ready", "status": "False", "message": "cni \u{1b}[2Jnot ready" }],
            "addresses": [{ "type": "Hostname", "address": "x" }, { "type": "InternalIP", "address": "10.0.0.1" }],
            "nodeInfo": { "kubeletVersion": "v1.20.2" }
        }
    }))
    .unwrap();
    assert_eq!((node.ready, node.addresses), (Err("cni not ready".into()), vec!["10.0.0.1".to_owned()]));
    assert!(node.unschedulable && node.taints[0].to_string() == "k:NoSchedule");
    let pod = |deleted: Value| {
        json!({
            "metadata": { "name": "p", "uid": "u", "deletionTimestamp": deleted },
            "spec": { "nodeName": "n" },
            "status": {
                "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [
                    { "name": "a", "containerID": "docker://0123ab" }, { "name": "b", "containerID": "docker://$(rm)" }
                ]
            }
        })
    };
    let running = Pod::read(&pod(Value::Null)).unwrap();
    assert!(running.ready);
    assert_eq!(running.containers, [("a".to_owned(), "0123ab".to_owned())].into(), "nothing odd gets near a shell");
    assert!(!Pod::read(&pod(json!("2026-11-23T18:00:00Z"))).unwrap().ready);
}
