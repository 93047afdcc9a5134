//! The API behind its port, and a static pod's new process: what is waited for is the process, its flags, its health and
//! the certificate that it serves, never an exit code.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use base64::Engine as _;
use rustls::pki_types::ServerName;
use serde_yaml::Value;
use tokio::time::Instant;

use super::{
    Act, ActCx, ActError,
    run::{read_secret, run_op},
    wait::{next_look, waiting},
};
use crate::{
    cluster::{Cluster, HostName, Node},
    engine::plan::Shown,
    pki::San,
    remote::{
        Io, Op, SecretBytes, SharedRemote, Target, clean,
        container::{ContainerOp, Process, apiservers},
        run_ok, shell,
        tls::{ClientIdentity, Get, Roots, Served, TlsClient},
    },
};

/// How long between two looks at a process or an answer.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// How often an answer that takes its time is asked for at most.
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// A TLS client that trusts the cluster's CA and, where the first original's admin.conf can be read, shows its identity:
/// `/healthz` is closed to strangers on some clusters.
pub async fn client(cluster: &Cluster, remote: &SharedRemote) -> Result<TlsClient, ActError> {
    // The cluster file is refused without a master.
    client_of(remote, &cluster.masters[0].name, &cluster.kube.ca(), &cluster.kube.admin_conf).await
}

/// [`client`] with the files of a given host.
pub async fn client_of(
    remote: &SharedRemote,
    host: &HostName,
    ca: &Path,
    admin_conf: &Path,
) -> Result<TlsClient, ActError> {
    let pem = run_ok(&**remote, host, &Op::ReadFile { path: ca.to_owned() }).await?.stdout;
    let roots = Roots::from_pem(&pem)
        .map_err(|e| ActError::Pki { what: format!("{host}:{}", ca.display()), why: e.to_string() })?;
    let client = TlsClient::new(roots).with_deadline(ASK_WITHIN);
    Ok(match identity(remote, host, admin_conf).await {
        Some(identity) => client.with_identity(identity),
        None => client,
    })
}

/// The identity of admin.conf, where there is one that holds.
async fn identity(remote: &SharedRemote, host: &HostName, admin_conf: &Path) -> Option<ClientIdentity> {
    let text = read_secret(remote, host, admin_conf).await.ok()?;
    let config: Value = serde_yaml::from_slice(text.expose()).ok()?;
    let dir = admin_conf.parent().unwrap_or(Path::new("/"));
    let cert = part(remote, host, dir, &config, "client-certificate").await?;
    let key = part(remote, host, dir, &config, "client-key").await?;
    let identity = ClientIdentity::from_pem(cert.expose(), &key).ok()?;
    identity.check_valid_at(jiff::Timestamp::now().as_second()).is_ok().then_some(identity)
}

/// A file of the current context's user: in the text itself, or beside it.
async fn part(remote: &SharedRemote, host: &HostName, dir: &Path, config: &Value, key: &str) -> Option<SecretBytes> {
    let named = |list: &str, name: &Value| {
        config.get(list)?.as_sequence()?.iter().find(|e| e.get("name") == Some(name)).cloned()
    };
    let context = named("contexts", config.get("current-context")?)?;
    let user = named("users", context.get("context")?.get("user")?)?;
    let user = user.get("user")?;
    if let Some(data) = user.get(format!("{key}-data")).and_then(Value::as_str) {
        return base64::engine::general_purpose::STANDARD.decode(data.trim()).ok().map(SecretBytes::new);
    }
    read_secret(remote, host, &dir.join(user.get(key)?.as_str()?)).await.ok()
}

/// Asks `/healthz` at a port dialled on a host. `Err` says what came instead of `ok`.
pub async fn healthz(remote: &SharedRemote, client: &TlsClient, via: &HostName, to: Target) -> Result<(), String> {
    let stream = remote.dial(via, to).await.map_err(|e| e.to_string())?;
    let host = to.to_string();
    let get = Get { server_name: ServerName::from(to.address), host: &host, path: "/healthz", bearer: None };
    match client.https_get(stream, &get).await {
        Ok((200, body)) if body.trim_ascii() == b"ok" => Ok(()),
        Ok((status, body)) => {
            let body = clean::text(&String::from_utf8_lossy(&body));
            let failed: Vec<_> = body.lines().filter(|l| l.starts_with("[-]")).take(3).collect();
            Err(tr!("/healthz answers HTTP {status} {failed}", status = status, failed = failed.join(", "))
                .trim_end()
                .to_owned())
        }
        Err(e) => Err(e.to_string()),
    }
}

/// A node's own apiserver port.
pub fn own(cluster: &Cluster, node: &Node) -> Target {
    Target { address: node.address, port: cluster.kube.api_port }
}

/// The proxy's port on the host that is dialled through.
pub fn loopback(cluster: &Cluster) -> Target {
    Target { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: cluster.kube.api_port }
}

/// What a port serves now, dialled on a host.
pub async fn served(remote: &SharedRemote, client: &TlsClient, via: &HostName, to: Target) -> Result<Served, String> {
    let stream = remote.dial(via, to).await.map_err(|e| e.to_string())?;
    client.probe(stream, &ServerName::from(to.address)).await.map_err(|e| e.to_string())
}

/// The apiserver processes of a host.
pub async fn processes(remote: &SharedRemote, host: &HostName) -> Result<Vec<Process>, ActError> {
    let out = run_ok(&**remote, host, &Op::Container(ContainerOp::Apiservers)).await?;
    Ok(apiservers(&out.text()))
}

/// What an apiserver has to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Flags and their values, as the manifest says.
    pub flags: Vec<(String, String)>,
    /// Names the served certificate must have.
    pub names: Vec<San>,
    /// A process that must be gone: its id and start.
    pub not: Option<(u32, u64)>,
}

impl Wanted {
    /// A fresh look at process, health and handshake: `Ok` with the proof once all is there, `Err` with what is missing.
    pub async fn seen(
        &self,
        remote: &SharedRemote,
        client: &TlsClient,
        host: &HostName,
        port: Target,
    ) -> Result<Result<String, String>, ActError> {
        let processes = processes(remote, host).await?;
        // One that was told to stop closes its port at once and lingers for its open requests: kubelet starts the new one
        // beside it. Who listens is who answers.
        let Some(process) = processes.iter().find(|p| p.ports.contains(&port.port)) else {
            return Ok(Err(match &processes[..] {
                [] => trs!("no apiserver process; kubelet is to start one").into(),
                [one] => tr!("process {pid} does not listen on {port}", pid = one.pid, port = port.port),
                [..] => tr!(
                    "{processes} processes, none listens on {port} yet",
                    processes = processes.len(),
                    port = port.port
                ),
            }));
        };
        if self.not == Some((process.pid, process.start)) {
            return Ok(Err(tr!("the old process {pid} still serves", pid = process.pid)));
        }
        if let Some((flag, _)) = self.flags.iter().find(|(f, v)| process.flag(f) != Some(v)) {
            return Ok(Err(tr!("process {pid} runs with the old --{flag}", pid = process.pid, flag = flag)));
        }
        if let Err(why) = healthz(remote, client, host, port).await {
            return Ok(Err(tr!("process {pid}: {why}", pid = process.pid, why = why)));
        }
        Ok(match served(remote, client, host, port).await {
            Err(why) => Err(why),
            Ok(seen) if !seen.verified() => Err(seen.why_not()),
            Ok(seen) => match self.names.iter().find(|n| !seen.cert.sans.contains(n)) {
                Some(name) => {
                    Err(tr!("process {pid} still serves a certificate without {name}", pid = process.pid, name = name))
                }
                None => Ok(tr!(
                    "{host}: process {pid} is healthy and serves {sans} names",
                    host = host,
                    pid = process.pid,
                    sans = seen.cert.sans.len()
                )),
            },
        })
    }
}

/// A master's apiserver and what is wanted of it.
#[derive(Debug, Clone)]
pub struct Goal {
    /// The cluster file.
    pub cluster: Arc<Cluster>,
    /// The master.
    pub node: Node,
    /// What is wanted.
    pub wanted: Wanted,
}

impl Goal {
    /// [`Wanted::seen`], with what speaks against looking as a reason.
    pub async fn seen(&self, remote: &SharedRemote, client: &TlsClient) -> Result<String, String> {
        let port = own(&self.cluster, &self.node);
        match self.wanted.seen(remote, client, &self.node.name, port).await {
            Ok(seen) => seen,
            Err(e) => Err(e.to_string()),
        }
    }

    /// Looks until it is reached.
    async fn reached(&self, cx: &ActCx, most: Duration) -> Result<(), ActError> {
        let client = client(&self.cluster, &cx.remote).await?;
        until(cx, &self.node.name, most, || self.seen(&cx.remote, &client)).await
    }
}

/// Looks again and again, saying what has changed, until it is well or the time is over.
async fn until<F, Fut>(cx: &ActCx, host: &HostName, most: Duration, look: F) -> Result<(), ActError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<String, String>>,
{
    let started = Instant::now();
    let mut last = String::new();
    loop {
        let now = match look().await {
            Ok(proof) => {
                cx.say(tr!("{proof} (after {seconds} s)", proof = proof, seconds = started.elapsed().as_secs()));
                return Ok(());
            }
            Err(now) => now,
        };
        if now != last {
            cx.say(format!("{host}: {now}"));
            now.clone_into(&mut last);
        }
        waiting(cx, &format!("{host}: {now}"), started, most)?;
        next_look(started, LOOK_EVERY).await;
    }
}

/// Waits for the process that kubelet makes of a changed manifest, healthy and with the certificate that it has to serve.
#[derive(Debug, Clone)]
pub struct WaitApiserver {
    /// What is waited for.
    pub goal: Goal,
    /// Most time.
    pub deadline: Duration,
}

#[async_trait]
impl Act for WaitApiserver {
    fn shown(&self) -> Shown {
        let Goal { cluster, node, wanted } = &self.goal;
        let flags = wanted.flags.iter().map(|(f, v)| format!("#   --{f}={v}")).collect::<Vec<_>>().join("\n");
        Shown {
            host: Some(node.name.clone()),
            title: tr!("wait for a new, healthy apiserver (at most {seconds} s)", seconds = self.deadline.as_secs()),
            commands: tr!(
                "# again and again: whether the process that listens is a new one, with\n{flags}\n# then, dialled on {name} and verified with the cluster's CA: https://{node}/healthz and the served names",
                flags = flags,
                name = node.name,
                node = own(cluster, node)
            ),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let reached = self.goal.reached(cx, self.deadline).await;
        if reached.is_err() {
            tell_kubelet(cx, &self.goal.node.name).await;
        }
        reached
    }
}

/// What kubelet says about the apiserver, for whoever has to find out why it does not come.
async fn tell_kubelet(cx: &ActCx, host: &HostName) {
    let op = Op::UnitLog { unit: "kubelet".into(), lines: 60 };
    let Ok(out) = cx.remote.run(host, &op, Io::default()).await else { return };
    let text = clean::text(&out.text());
    let about: Vec<_> = text.lines().filter(|l| l.contains("apiserver")).collect();
    for line in about.iter().skip(about.len().saturating_sub(12)) {
        cx.say(*line);
    }
}

/// Has kubelet stop a static pod and start it again, unless it gets right by itself: the manifest has a dot name until the
/// process is gone. What is done about a process that is older than its manifest or its certificate; no container is
/// touched by hand.
#[derive(Debug, Clone)]
pub struct ParkManifest {
    /// What is wanted of it.
    pub goal: Goal,
    /// The manifest.
    pub manifest: PathBuf,
    /// How long it may get right by itself: kubelet may be at it, and a certificate is read again by some versions.
    pub patience: Duration,
    /// Most time for the old process to end.
    pub deadline: Duration,
}

impl ParkManifest {
    fn ops(&self) -> [Op; 2] {
        [false, true].map(|back| Op::Container(ContainerOp::Park { manifest: self.manifest.clone(), back }))
    }

    async fn ended(&self, cx: &ActCx) -> Result<(), ActError> {
        let host = &self.goal.node.name;
        until(cx, host, self.deadline, || async {
            match processes(&cx.remote, host).await {
                Ok(left) if left.is_empty() => Ok(tr!("{host}: the old process has ended", host = host)),
                Ok(left) => Err(tr!("process {pid} ends", pid = left[0].pid)),
                Err(e) => Err(e.to_string()),
            }
        })
        .await
    }
}

#[async_trait]
impl Act for ParkManifest {
    fn shown(&self) -> Shown {
        let [away, back] = self.ops();
        Shown {
            host: Some(self.goal.node.name.clone()),
            title: tr!(
                "unless right within {seconds} s: stop and start the apiserver through kubelet",
                seconds = self.patience.as_secs()
            ),
            commands: tr!(
                "{script}\n# wait until no apiserver runs (at most {seconds} s), then in any case\n{then}",
                script = shell::render(&away).script,
                seconds = self.deadline.as_secs(),
                then = shell::render(&back).script
            ),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        if self.goal.reached(cx, self.patience).await.is_ok() {
            return Ok(());
        }
        let host = &self.goal.node.name;
        let [away, back] = self.ops();
        run_op(cx, host, &away).await?;
        let ended = self.ended(cx).await;
        // Whatever came of the wait: a master whose manifest is away has no apiserver after its next start either.
        run_op(cx, host, &back).await?;
        ended
    }
}

/// What an apiserver was before a step changed its manifest, for the way back.
#[derive(Debug, Clone)]
pub(super) struct Before<'a> {
    pub host: HostName,
    pub port: Target,
    pub flags: &'a [(String, String)],
    pub ca: &'a Path,
    pub admin_conf: &'a Path,
}

/// Waits until an apiserver is healthy with the flags it had before.
pub(super) async fn back_to(cx: &ActCx, before: &Before<'_>, most: Duration) -> Result<(), ActError> {
    let client = client_of(&cx.remote, &before.host, before.ca, before.admin_conf).await?;
    let wanted = Wanted { flags: before.flags.to_vec(), ..Wanted::default() };
    let done = until(cx, &before.host, most, || async {
        match wanted.seen(&cx.remote, &client, &before.host, before.port).await {
            Ok(seen) => seen,
            Err(e) => Err(e.to_string()),
        }
    })
    .await;
    if done.is_err() {
        tell_kubelet(cx, &before.host).await;
    }
    done
}
