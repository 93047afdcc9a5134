//! A batch against hosts of paper: what runs, in which order, and what is put back.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::mpsc;

use super::*;
use crate::remote::{
    BoxStream, Output, Remote, RemoteError, Target,
    etcd::{EtcdAccess, EtcdApi},
    tls::Roots,
};

const CA: &[u8] = include_bytes!("../../../tests/fixtures/pki/ca.crt");
const OLD: &str = "old";

/// Files and what containers see of them; an operation whose summary holds `fails` fails.
#[derive(Default)]
struct Paper {
    fails: &'static str,
    files: Mutex<BTreeMap<HostName, String>>,
    seen: Mutex<BTreeMap<HostName, String>>,
    ran: Mutex<Vec<String>>,
}

fn locked<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Remote for Paper {
    async fn run(&self, host: &HostName, op: &Op, _: Io) -> Result<Output, RemoteError> {
        let file =
            |s: &Mutex<BTreeMap<HostName, String>>| locked(s).get(host).cloned().unwrap_or_else(|| OLD.to_owned());
        let mut out = Output::default();
        if !op.read_only() {
            locked(&self.ran)
                .push(format!("{host}: {}", op.summary().split(' ').take(2).collect::<Vec<_>>().join(" ")));
            if !self.fails.is_empty() && op.summary().contains(self.fails) && file(&self.files) != OLD
                || self.fails == "nginx -t" && op.summary().contains("nginx -t")
            {
                out.status = 1;
                return Ok(out);
            }
        }
        match op {
            Op::ReadFile { path } if path.ends_with("ca.pem") => out.stdout = CA.into(),
            Op::ReadFile { .. } => out.stdout = file(&self.files).into(),
            Op::ReadSecret { .. } => out.status = shell::NOT_THERE,
            Op::WriteFile { content: Content::Text(text), .. } => {
                locked(&self.files).insert(host.clone(), text.clone());
            }
            Op::Container(ContainerOp::Restart { .. }) => {
                locked(&self.seen).insert(host.clone(), file(&self.files));
            }
            Op::Container(ContainerOp::Look { .. }) => {
                let sha = sha256_hex(file(&self.seen).as_bytes());
                out.stdout = format!("state running\nsees {sha} /etc/nginx/nginx.conf\n").into();
            }
            _ => {}
        }
        Ok(out)
    }

    async fn dial(&self, via: &HostName, to: Target) -> Result<BoxStream, RemoteError> {
        Err(RemoteError::Dial { host: via.clone(), target: to.to_string(), why: "paper".into() })
    }
}

fn batch() -> ProxyBatch {
    let text = "cluster: c\nmasters: [{name: m1, address: 10.0.0.1}]\njoin: [{name: m2, address: 10.0.0.2}]\nworkers: [{name: w1, address: 10.0.0.3}]\n";
    let cluster = crate::cluster::file::parse(text, Path::new("c.yaml"), None).unwrap();
    let worker = Proxy {
        host: HostName::new("w1"),
        before: OLD.into(),
        text: Some("new".into()),
        sha256: sha256_hex(b"new"),
        mode: 0o644,
        owner: Owner::root(),
    };
    ProxyBatch {
        cluster: Arc::new(cluster),
        count: (1, 1),
        workers: vec![worker],
        backup: "/b/nginx.conf".into(),
        deadline: Duration::ZERO,
    }
}

async fn run(fails: &'static str) -> (Result<(), ActError>, Arc<Paper>) {
    let paper = Arc::new(Paper { fails, ..Paper::default() });
    let remote: SharedRemote = paper.clone();
    let access = EtcdAccess {
        tls: TlsClient::new(Roots::from_pem(CA).unwrap()),
        client_port: 2379,
        originals: Vec::new(),
        addresses: BTreeMap::new(),
    };
    let etcd = Arc::new(EtcdApi::new(remote.clone(), access));
    let cx = ActCx { remote, etcd, progress: mpsc::unbounded_channel().0 };
    (batch().act(&cx).await, paper)
}

#[tokio::test]
async fn a_file_that_nginx_refuses_is_never_put_in_place() {
    let (result, paper) = run("nginx -t").await;
    assert!(result.is_err());
    assert_eq!(*locked(&paper.ran), ["w1: nginx -t"]);
    assert!(
        locked(&paper.files).is_empty() && locked(&paper.seen).is_empty(),
        "neither file nor container was touched"
    );
}

#[tokio::test]
async fn a_proxy_that_the_api_does_not_answer_through_is_put_back_and_restarted() {
    // The paper dials nowhere: the proxy serves the new file, the API stays silent.
    let (result, paper) = run("").await;
    assert!(result.unwrap_err().to_string().contains("paper"), "the reason is told");
    let ran = locked(&paper.ran).clone();
    let expected = [
        "w1: nginx -t",
        "w1: write /opt/nginx/nginx.conf",
        "w1: docker restart",
        "w1: write /opt/nginx/nginx.conf",
        "w1: docker restart",
    ];
    assert_eq!(ran, expected);
    assert_eq!(locked(&paper.seen).values().collect::<Vec<_>>(), [OLD], "the container reads the old file again");
}

#[tokio::test]
async fn a_restart_that_fails_is_taken_back_without_another_where_the_old_file_is_still_seen() {
    let (result, paper) = run("docker restart").await;
    assert!(result.is_err());
    assert_eq!(locked(&paper.ran).last().map(String::as_str), Some("w1: write /opt/nginx/nginx.conf"));
    assert_eq!(locked(&paper.files).values().collect::<Vec<_>>(), [OLD]);
    assert!(locked(&paper.seen).is_empty(), "no restart took place");
}
