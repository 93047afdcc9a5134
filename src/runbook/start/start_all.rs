//! The new masters, side by side: runtime and kubelet started, then waited for.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{gate, units};
use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            kube::{Chains, KubeUndo, Starting, WaitMasters},
        },
    },
    remote::{
        Op,
        kube::{Door, KubeApi},
        op::UnitVerb,
    },
    runbook::{Ctx, texts},
    survey::Finding,
};

const KIND: &str = "kube.start";

/// Most time for every new master to serve and to be Ready.
const DEADLINE: Duration = Duration::from_mins(5);

pub(super) struct StartMasters {
    cx: Arc<Ctx>,
}

impl StartMasters {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    /// What the originals listen on: the new masters must, too.
    async fn peers(&self) -> Result<Vec<(u16, String)>, ActError> {
        units::listeners(&self.cx, &self.cx.source().name).await
    }

    /// What is still missing of a joiner; `None` when it is up.
    async fn missing(
        &self,
        joiner: &Node,
        api: &KubeApi,
        runtime: &str,
        peers: &[(u16, String)],
    ) -> Result<Option<String>, ActError> {
        for unit in [runtime, &self.cx.cluster.kube.kubelet_unit()] {
            let state = self.cx.unit(&joiner.name, unit).await?;
            if state.active != "active" || !state.boots() {
                return Ok(Some(tr!(
                    "{unit} is {active} and {enabled}",
                    unit = unit,
                    active = word(&state.active),
                    enabled = word(&state.enabled)
                )));
            }
        }
        let own = units::listeners(&self.cx, &joiner.name).await?;
        if let Some((port, program)) = peers.iter().find(|(port, _)| !own.iter().any(|(p, _)| p == port)) {
            return Ok(Some(tr!("{program} does not listen on {port}", program = program, port = port)));
        }
        let door = Door::master(&joiner.name, joiner.address, self.cx.cluster.kube.api_port);
        if let Err(e) = api.at(door.clone()).healthz().await {
            return Ok(Some(e.to_string()));
        }
        let name = self.cx.cluster.node_name(joiner);
        Ok(match api.at(door).node(&name).await? {
            None => Some(tr!("node {name} is not registered", name = name)),
            Some(node) => node.ready.err().map(|why| tr!("node {name} is not Ready: {why}", name = name, why = why)),
        })
    }

    /// The joiners that are not up, and what is missing of each.
    async fn down(&self) -> Result<Vec<(&Node, String)>, ActError> {
        let ((_, api), runtime, peers) = tokio::try_join!(self.cx.kube(), units::runtime(&self.cx), self.peers())?;
        let looks = self.cx.cluster.join.iter().map(|j| self.missing(j, &api, &runtime, &peers));
        let missing = futures::future::try_join_all(looks).await?;
        Ok(self.cx.cluster.join.iter().zip(missing).filter_map(|(j, m)| Some((j, m?))).collect())
    }

    /// Taking a joiner back: kubelet, then what it left running, then the node.
    async fn undo(&self, joiner: &Node, runtime: &str) -> Result<Vec<UndoAct>, ActError> {
        let host = joiner.name.to_string();
        let mut undo = vec![
            UndoAct::StopUnit { host: host.clone(), unit: self.cx.cluster.kube.kubelet_unit() },
            UndoAct::Kube(KubeUndo::StopPods { host: host.clone() }),
        ];
        // One that came with the boot before is left as it was. Whether it runs says nothing: a mere look may wake it
        // through its socket.
        if self.cx.unit(&joiner.name, runtime).await?.enabled != "enabled" {
            undo.push(UndoAct::StopUnit { host, unit: runtime.to_owned() });
        }
        let (at, _) = self.cx.kube().await?;
        undo.push(UndoAct::Kube(KubeUndo::DeleteNode { at, node: self.cx.cluster.node_name(joiner) }));
        Ok(undo)
    }
}

fn word(state: &str) -> &str {
    if state.is_empty() { trs!("not there") } else { state }
}

#[async_trait]
impl Step for StartMasters {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Start
    }

    fn title(&self) -> String {
        texts::title(KIND, None)
    }

    fn risk(&self) -> Risk {
        Risk::Disruptive
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let down = self.down().await?;
        if down.is_empty() {
            let hosts = super::listed(self.cx.cluster.join.iter().map(|j| &j.name));
            return Ok(Probe::Done(tr!("{hosts}: the control plane runs, the node is Ready", hosts = hosts)));
        }
        let words = down.iter().map(|(j, missing)| format!("{}: {missing}", j.name)).collect::<Vec<_>>();
        Ok(Probe::Todo(words.join("; ")))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (at, _) = self.cx.kube().await?;
        let (runtime, kubelet) = (units::runtime(&self.cx).await?, self.cx.cluster.kube.kubelet_unit());
        let listeners = self.peers().await?;
        let down: Vec<&Node> = self.down().await?.into_iter().map(|(j, _)| j).collect();
        let mut ops = vec![Op::DaemonReload];
        for unit in [&runtime, &kubelet] {
            ops.extend([UnitVerb::Enable, UnitVerb::Start].map(|verb| Op::Systemctl { verb, unit: unit.clone() }));
        }
        let mut undo = Vec::new();
        for joiner in &down {
            undo.extend(self.undo(joiner, &runtime).await?);
        }
        let starting = |j: &&Node| Starting {
            host: j.name.clone(),
            address: j.address,
            node: self.cx.cluster.node_name(j),
            listeners: listeners.clone(),
            kubelet: kubelet.clone(),
        };
        let names = super::listed(down.iter().map(|j| &j.name));
        let acts: Vec<Box<dyn Act>> = vec![
            Box::new(Chains {
                title: tr!(
                    "enable and start {runtime} and {kubelet} on {names}",
                    runtime = runtime,
                    kubelet = kubelet,
                    names = names
                ),
                chains: down.iter().map(|j| (j.name.clone(), ops.clone())).collect(),
            }),
            Box::new(WaitMasters { at, masters: down.iter().map(starting).collect(), deadline: DEADLINE }),
        ];
        let mut plan = Plan::new(Risk::Disruptive, acts, undo, texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        plan.view.down_meanwhile = Some(trs!("nothing: no client knows of the new masters yet").into());
        let ports = listeners
            .iter()
            .map(|(port, program)| tr!("{program} on {port}", program = program, port = port))
            .collect::<Vec<_>>();
        plan.view.notes.push(tr!(
            "up means: {ports} as on {name}, /healthz over a verified connection, the node Ready",
            ports = ports.join(", "),
            name = self.cx.source().name
        ));
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let ((_, api), seen) = tokio::try_join!(self.cx.kube(), self.cx.membership())?;
        let down = self.down().await?;
        let looks = down.iter().map(|(j, _)| gate::start(&self.cx, j, &seen, &api));
        Ok(futures::future::try_join_all(looks).await?.concat())
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        if let Some((joiner, missing)) = self.down().await?.first() {
            return Err(ActError::NotProven(tr!(
                "{name}: {missing}; look at its kubelet's log",
                name = joiner.name,
                missing = missing
            )));
        }
        let (_, api) = self.cx.kube().await?;
        let mut proofs = Vec::new();
        for joiner in &self.cx.cluster.join {
            let name = self.cx.cluster.node_name(joiner);
            let version = api.node(&name).await?.map(|n| n.version).unwrap_or_default();
            proofs.push(tr!(
                "{host}: /healthz is ok at {address}, node {name} is Ready ({version})",
                host = joiner.name,
                address = joiner.address,
                name = name,
                version = version
            ));
        }
        Ok(proofs)
    }
}
