//! New masters started side by side: nothing is served by them yet, so nothing is at stake between one and the other.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{node, open};
use crate::{
    cluster::HostName,
    engine::{
        act::{
            Act, ActCx, ActError, ActProgress,
            run::{RunOp, run_op},
            wait::{next_look, waiting},
        },
        plan::Shown,
    },
    remote::{
        Io, Op, clean,
        kube::{ApiAt, Door, KubeApi},
        shell,
    },
    survey::{facts, parse},
};

/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A kubelet that systemd had to start that often does not come up by itself.
const TOO_MANY_RESTARTS: u32 = 5;

/// Operations on several hosts: those of one host in order, the hosts side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chains {
    /// What is done, in a few words.
    pub title: String,
    /// A chain a host.
    pub chains: Vec<(HostName, Vec<Op>)>,
}

#[async_trait]
impl Act for Chains {
    fn shown(&self) -> Shown {
        let chain = |(host, ops): &(HostName, Vec<Op>)| {
            let lines: Vec<_> = ops.iter().map(|op| shell::render(op).script).collect();
            tr!("# on {host}:\n{script}", host = host, script = lines.join("\n"))
        };
        let commands = self.chains.iter().map(chain).collect::<Vec<_>>().join("\n");
        Shown { host: None, title: self.title.clone(), commands }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let run = |(host, ops): &(HostName, Vec<Op>)| {
            let acts: Vec<_> = ops.iter().map(|op| RunOp { host: host.clone(), op: op.clone() }).collect();
            async move {
                for act in acts {
                    told(cx, &act).await?;
                }
                Ok::<_, ActError>(())
            }
        };
        // Every chain is run to its end, so that a failure leaves no host in the middle of an operation.
        for ended in futures::future::join_all(self.chains.iter().map(run)).await {
            ended?;
        }
        Ok(())
    }
}

/// Runs an operation with its lines under its host's name: several hosts talk at once.
async fn told(cx: &ActCx, act: &RunOp) -> Result<(), ActError> {
    let (progress, mut arriving) = mpsc::unbounded_channel();
    let own = ActCx { progress, ..cx.clone() };
    let run = async move { run_op(&own, &act.host, &act.op).await };
    let relay = async {
        while let Some(progress) = arriving.recv().await {
            let _ = cx.progress.send(match progress {
                ActProgress::Line(line) => ActProgress::Line(format!("{}: {line}", act.host)),
                other => other,
            });
        }
    };
    tokio::join!(run, relay).0
}

/// A master that comes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starting {
    /// The host.
    pub host: HostName,
    /// Its address.
    pub address: IpAddr,
    /// Its name in Kubernetes.
    pub node: String,
    /// Ports that have to be listened on, with the program that does on the originals.
    pub listeners: Vec<(u16, String)>,
    /// kubelet's unit.
    pub kubelet: String,
}

/// Waits until new masters serve and are Ready nodes; each is cordoned the moment it registers, so that nothing lands on
/// it before it is marked as its peers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitMasters {
    /// Whose kubeconfig opens the API.
    pub at: ApiAt,
    /// The masters.
    pub masters: Vec<Starting>,
    /// Most time for all of them.
    pub deadline: Duration,
}

#[async_trait]
impl Act for WaitMasters {
    fn shown(&self) -> Shown {
        let nodes: Vec<_> = self.masters.iter().map(|m| shell::q(&m.node)).collect();
        let hosts: Vec<_> = self.masters.iter().map(|m| m.host.as_str()).collect();
        super::shown(
            &self.at,
            tr!(
                "wait until {hosts} serve and are Ready nodes, each cordoned as soon as it registers (at most {seconds} s)",
                hosts = hosts.join(", "),
                seconds = self.deadline.as_secs()
            ),
            &tr!("cordon {nodes}", nodes = nodes.join(" ")),
        )
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let started = Instant::now();
        let api = open(&cx.remote, &self.at).await?;
        let mut waited_for: Vec<&Starting> = self.masters.iter().collect();
        loop {
            let looks = futures::future::join_all(waited_for.iter().map(|m| m.look(cx, &api))).await;
            let mut missing = Vec::new();
            let mut left = Vec::new();
            for (master, now) in waited_for.into_iter().zip(looks) {
                match now? {
                    Ok(()) => {
                        cx.say(tr!("{host}: serves, and {node} is Ready", host = master.host, node = master.node));
                    }
                    Err(now) => {
                        missing.push(format!("{}: {now}", master.host));
                        left.push(master);
                    }
                }
            }
            waited_for = left;
            if waited_for.is_empty() {
                return Ok(());
            }
            if let Err(late) = waiting(cx, &missing.join("; "), started, self.deadline) {
                for master in waited_for {
                    master.tell_log(cx).await;
                }
                return Err(late);
            }
            next_look(started, LOOK_EVERY).await;
        }
    }
}

impl Starting {
    /// One look: `Ok(Err(…))` says what is still missing, an error that it can't come any more.
    async fn look(&self, cx: &ActCx, api: &KubeApi) -> Result<Result<(), String>, ActError> {
        self.kubelet_lives(cx).await?;
        if let Some(missing) = self.silent(cx).await? {
            return Ok(Err(missing));
        }
        let own = api.at(Door::master(&self.host, self.address, api.door().target.port));
        if let Err(e) = own.healthz().await {
            return Ok(Err(tr!("the apiserver is not healthy yet: {e}", e = e)));
        }
        let node = match own.node(&self.node).await {
            Ok(Some(node)) => node,
            Ok(None) => return Ok(Err(tr!("node {node} is not registered yet", node = self.node))),
            Err(e) => return Ok(Err(e.to_string())),
        };
        if !node.addresses.contains(&self.address.to_string()) {
            return Ok(Err(tr!(
                "node {node} has the address {addresses} and not {address}",
                node = self.node,
                addresses = node.addresses.join(", "),
                address = self.address
            )));
        }
        if node.ready.is_err()
            && !node.unschedulable
            && let Err(e) = node::cordon(&own, &self.node).await
        {
            return Ok(Err(e.to_string()));
        }
        Ok(node.ready.map_err(|why| tr!("node {node} is not Ready: {why}", node = self.node, why = why)))
    }

    /// What of the control plane does not listen yet.
    async fn silent(&self, cx: &ActCx) -> Result<Option<String>, ActError> {
        let ports = self.listeners.iter().map(|(port, _)| *port).collect();
        let op = Op::Facts { ports, space: Vec::new(), programs: Vec::new() };
        let asked = std::time::SystemTime::now();
        let out = cx.remote.run(&self.host, &op, Io::default()).await?.checked(&self.host, &op)?;
        let facts = facts::parse(&out.text(), asked, std::time::SystemTime::now())
            .map_err(|e| ActError::NotProven(format!("{}: {e}", self.host)))?;
        let silent = self.listeners.iter().filter(|(port, _)| !facts.listeners.iter().any(|(p, _)| p == port));
        let words: Vec<_> = silent.map(|(port, program)| format!("{program} ({port})")).collect();
        Ok((!words.is_empty()).then(|| tr!("not listening yet: {words}", words = words.join(", "))))
    }

    async fn kubelet_lives(&self, cx: &ActCx) -> Result<(), ActError> {
        let op = Op::UnitState { unit: self.kubelet.clone() };
        let Ok(out) = cx.remote.run(&self.host, &op, Io::default()).await else { return Ok(()) };
        let state = parse::unit_state(&out.text());
        if state.active != "failed" && state.restarts < TOO_MANY_RESTARTS {
            return Ok(());
        }
        self.tell_log(cx).await;
        Err(ActError::NotProven(tr!(
            "{host}: {kubelet}.service does not stay up ({active}, {restarts} restarts); the output has its last lines",
            host = self.host,
            kubelet = self.kubelet,
            active = state.active,
            restarts = state.restarts
        )))
    }

    async fn tell_log(&self, cx: &ActCx) {
        let op = Op::UnitLog { unit: self.kubelet.clone(), lines: 15 };
        if let Ok(out) = cx.remote.run(&self.host, &op, Io::default()).await {
            for line in clean::text(&out.text()).lines() {
                cx.say(format!("{}: {line}", self.host));
            }
        }
    }
}
