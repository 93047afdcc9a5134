//! The workers' proxies: a new configuration, tried by nginx itself, in place, served, and proven through the proxy.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Act, ActCx, ActError, ActProgress,
    apiserver::{client, healthz, loopback},
    run::run_op,
    wait::{next_look, waiting},
};
use crate::{
    cluster::{Cluster, HostName},
    engine::plan::Shown,
    remote::{
        Content, Io, Op, SharedRemote, clean,
        container::{ContainerOp, Seen},
        op::{Owner, sha256_hex},
        run_ok, shell,
        tls::TlsClient,
    },
};

/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Most time for a container that was restarted to be back.
const RESTARTS: Duration = Duration::from_secs(30);

/// What is to change on one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The worker.
    pub host: HostName,
    /// Its text as it is now.
    pub before: String,
    /// The whole new text; `None` where the file is right and only its container is behind.
    pub text: Option<String>,
    /// sha256 of the file as it will be, lower-case hex.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
}

/// A few workers at a time. Fails with all of them looked at; one that failed has been put back.
#[derive(Debug, Clone)]
pub struct ProxyBatch {
    /// The cluster file.
    pub cluster: Arc<Cluster>,
    /// Which of how many workers these are, counted from 1: first and all.
    pub count: (usize, usize),
    /// The workers of this batch, changed side by side.
    pub workers: Vec<Proxy>,
    /// Where the old file is kept, the same path on each.
    pub backup: PathBuf,
    /// Most time for the API to answer through a proxy that was restarted.
    pub deadline: Duration,
}

impl ProxyBatch {
    fn ops(&self, worker: &Proxy) -> Vec<Op> {
        let kube = &self.cluster.kube;
        let (container, file) = (kube.nginx_container.clone(), kube.nginx_conf.clone());
        let mut ops = Vec::new();
        if let Some(text) = &worker.text {
            let test =
                ContainerOp::NginxTest { container: container.clone(), file: file.clone(), content: text.clone() };
            ops.push(Op::Container(test));
            ops.push(Op::WriteFile {
                path: file,
                content: Content::Text(text.clone()),
                mode: worker.mode,
                owner: worker.owner.clone(),
                backup: Some(self.backup.clone()),
            });
        }
        ops.push(Op::Container(ContainerOp::Restart { container }));
        ops
    }

    async fn one(&self, cx: &ActCx, client: &TlsClient, worker: &Proxy) -> Result<(), ActError> {
        let mut touched = false;
        let done = async {
            for op in self.ops(worker) {
                touched |= !matches!(op, Op::Container(ContainerOp::NginxTest { .. }));
                run_named(cx, &worker.host, &op).await?;
            }
            self.proven(cx, client, worker).await
        };
        let Err(error) = done.await else { return Ok(()) };
        if touched {
            self.tell_container(cx, &worker.host).await;
            match self.put_back(cx, worker).await {
                Ok(true) => cx.say(tr!("{host}: its old configuration is back", host = worker.host)),
                Ok(false) => {}
                Err(e) => {
                    cx.say(tr!(
                        "{host}: putting its old configuration back failed too: {e}",
                        host = worker.host,
                        e = e
                    ));
                }
            }
        }
        Err(error)
    }

    /// The file as it was right before, which may differ from the growth's backup of it. `false` where it was right already.
    async fn put_back(&self, cx: &ActCx, worker: &Proxy) -> Result<bool, ActError> {
        if worker.text.is_none() {
            return Ok(false);
        }
        let kube = &self.cluster.kube;
        let write = Op::WriteFile {
            path: kube.nginx_conf.clone(),
            content: Content::Text(worker.before.clone()),
            mode: worker.mode,
            owner: worker.owner.clone(),
            backup: None,
        };
        run_named(cx, &worker.host, &write).await?;
        restart_if_stale(cx, &worker.host, &kube.nginx_conf, &kube.nginx_container).await?;
        Ok(true)
    }

    async fn proven(&self, cx: &ActCx, client: &TlsClient, worker: &Proxy) -> Result<(), ActError> {
        let kube = &self.cluster.kube;
        let started = Instant::now();
        loop {
            let now = match behind(&cx.remote, &worker.host, &kube.nginx_conf, &kube.nginx_container, &worker.sha256)
                .await?
            {
                Some(behind) => behind,
                None => match healthz(&cx.remote, client, &worker.host, loopback(&self.cluster)).await {
                    Ok(()) => {
                        cx.say(tr!("{host}: serves the new file, the API answers through it", host = worker.host));
                        return Ok(());
                    }
                    Err(why) => why,
                },
            };
            waiting(cx, &format!("{}: {now}", worker.host), started, self.deadline)?;
            next_look(started, LOOK_EVERY).await;
        }
    }

    async fn tell_container(&self, cx: &ActCx, host: &HostName) {
        let op = Op::Container(ContainerOp::Log { container: self.cluster.kube.nginx_container.clone(), lines: 8 });
        let Ok(out) = cx.remote.run(host, &op, Io::default()).await else { return };
        for line in clean::text(&out.text()).lines() {
            cx.say(format!("{host}: {line}"));
        }
    }
}

#[async_trait]
impl Act for ProxyBatch {
    fn shown(&self) -> Shown {
        let names = self.workers.iter().map(|w| w.host.to_string()).collect::<Vec<_>>().join(", ");
        let (first, all) = self.count;
        let range = match self.workers.len() {
            1 => first.to_string(),
            n => tr!("{first} to {last}", first = first, last = first + n - 1),
        };
        // They differ in nothing that is shown but the checksum of a file.
        let commands = self.workers.first().map(|w| {
            let scripts = self.ops(w).iter().map(|op| shell::render(op).script).collect::<Vec<_>>().join("\n\n");
            tr!("# on each, side by side; shown for {host}\n{scripts}\n\n# then what the container sees, and https://{cluster}/healthz dialled on the worker, verified with the cluster's CA;\n# if any of it fails, that worker's old file is put back and its proxy restarted", host = w.host, scripts = scripts, cluster = loopback(&self.cluster))
        });
        Shown {
            host: (self.workers.len() == 1).then(|| self.workers[0].host.clone()),
            title: tr!(
                "worker {range} of {all}: test, replace, restart, prove ({names})",
                range = range,
                all = all,
                names = names
            ),
            commands: commands.unwrap_or_default(),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let client = client(&self.cluster, &cx.remote).await?;
        let all = self.workers.iter().map(|w| self.one(cx, &client, w));
        let results = futures::future::join_all(all).await;
        let done = self.count.0 - 1 + results.iter().filter(|r| r.is_ok()).count();
        cx.say(tr!("{done} of {of} workers done", done = done, of = self.count.1));
        let (mut failed, mut first) = (Vec::new(), None);
        for (worker, result) in self.workers.iter().zip(results) {
            if let Err(e) = result {
                failed.push(worker.host.to_string());
                first.get_or_insert(e);
            }
        }
        match (first, failed.len()) {
            (None, _) => Ok(()),
            (Some(e), 1) => Err(e),
            (Some(e), _) => {
                Err(ActError::NotProven(tr!("{failed} failed; the first: {e}", failed = failed.join(", "), e = e)))
            }
        }
    }
}

/// Runs an operation with its lines under the host's name: others of the batch talk at the same time.
async fn run_named(cx: &ActCx, host: &HostName, op: &Op) -> Result<(), ActError> {
    let (progress, mut arriving) = tokio::sync::mpsc::unbounded_channel();
    let own = ActCx { progress, ..cx.clone() };
    let run = async move { run_op(&own, host, op).await };
    let relay = async {
        while let Some(one) = arriving.recv().await {
            let named = match one {
                ActProgress::Line(line) => ActProgress::Line(format!("{host}: {line}")),
                other => other,
            };
            // Nobody listening is no error.
            let _ = cx.progress.send(named);
        }
    };
    tokio::join!(run, relay).0
}

/// Why a container does not serve a file as it is on the host; `None` when it does.
pub async fn behind(
    remote: &SharedRemote,
    host: &HostName,
    file: &Path,
    container: &str,
    sha256: &str,
) -> Result<Option<String>, ActError> {
    let seen = look(remote, host, file, container).await?;
    Ok(match (seen.state.as_str(), &seen.inside, &seen.sha256) {
        ("running", None, _) => Some(tr!(
            "container {container} does not have {file} mounted",
            container = container,
            file = file.display()
        )),
        ("running", Some(_), Some(inside)) if inside == sha256 => None,
        ("running", Some(inside), _) => {
            Some(tr!("container {container} still sees another {inside}", container = container, inside = inside))
        }
        (state, ..) => Some(tr!("container {container} is {state}", container = container, state = state)),
    })
}

/// Looks at a container and what it sees of a file.
pub async fn look(remote: &SharedRemote, host: &HostName, file: &Path, container: &str) -> Result<Seen, ActError> {
    let op = Op::Container(ContainerOp::Look { container: container.to_owned(), file: file.to_owned() });
    Ok(Seen::parse(&run_ok(&**remote, host, &op).await?.text()))
}

/// Restarts a container that does not see the file as it is now.
pub(super) async fn restart_if_stale(
    cx: &ActCx,
    host: &HostName,
    file: &Path,
    container: &str,
) -> Result<(), ActError> {
    let op = Op::ReadFile { path: file.to_owned() };
    let sha = sha256_hex(&run_ok(&*cx.remote, host, &op).await?.stdout);
    if behind(&cx.remote, host, file, container, &sha).await?.is_none() {
        return Ok(());
    }
    run_op(cx, host, &Op::Container(ContainerOp::Restart { container: container.to_owned() })).await?;
    let started = Instant::now();
    while let Some(now) = behind(&cx.remote, host, file, container, &sha).await? {
        waiting(cx, &format!("{host}: {now}"), started, RESTARTS)?;
        next_look(started, LOOK_EVERY).await;
    }
    Ok(())
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
