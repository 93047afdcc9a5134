//! A joiner's firewall, SELinux and hostname.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    cluster::{FirewallChoice, Node},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{Act, ActError, UndoAct, run::RunOp},
    },
    remote::{Op, run_ok},
    runbook::{Ctx, texts},
    survey::Facts,
};

const KIND: &str = "etcd.host";

pub(super) struct PrepareHost {
    cx: Arc<Ctx>,
    node: Node,
}

/// What is left to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    firewall_off: bool,
    ports: Vec<u16>,
    hostname: bool,
}

impl PrepareHost {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    async fn look(&self) -> Result<(Facts, Left), ActError> {
        let facts = self.cx.facts(&self.node.name).await?;
        let cluster = &self.cx.cluster;
        let mut left =
            Left { hostname: cluster.set_hostname && facts.hostname != self.node.name.as_str(), ..Left::default() };
        match cluster.firewall {
            FirewallChoice::Off => {
                left.firewall_off =
                    facts.firewalld == "active" || facts.ufw == "active" || facts.selinux == "Enforcing";
            }
            FirewallChoice::Open => {
                // etcd's two, the apiserver's and the kubelet's.
                let ports = vec![cluster.etcd.client_port, cluster.etcd.peer_port, cluster.kube.api_port, 10250];
                let out = run_ok(&*self.cx.remote, &self.node.name, &Op::PortsMissing { ports }).await?;
                left.ports = out.text().lines().filter_map(|l| l.trim().parse().ok()).collect();
            }
            FirewallChoice::Keep => {}
        }
        Ok((facts, left))
    }
}

#[async_trait]
impl Step for PrepareHost {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: Some(self.node.name.clone()) }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Etcd
    }

    fn title(&self) -> String {
        super::title(KIND, &self.node.name)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let (facts, left) = self.look().await?;
        if left == Left::default() {
            let seen = tr!(
                "hostname {hostname}, firewalld {firewalld}, ufw {ufw}, SELinux {selinux}",
                hostname = facts.hostname,
                firewalld = facts.firewalld,
                ufw = facts.ufw,
                selinux = facts.selinux
            );
            return Ok(Probe::Done(seen));
        }
        Ok(Probe::Todo(trs!("firewall, SELinux or hostname are not as chosen").into()))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (facts, left) = self.look().await?;
        let (host, name) = (&self.node.name, self.node.name.to_string());
        let mut acts: Vec<Box<dyn Act>> = Vec::new();
        let mut undo = Vec::new();
        if left.firewall_off {
            acts.push(RunOp::act(host, Op::FirewallOff));
            undo.push(UndoAct::FirewallOn {
                host: name.clone(),
                firewalld: facts.firewalld == "active",
                ufw: facts.ufw == "active",
                selinux: facts.selinux == "Enforcing",
            });
        }
        if !left.ports.is_empty() {
            acts.push(RunOp::act(host, Op::OpenPorts { ports: left.ports.clone() }));
            undo.push(UndoAct::ClosePorts { host: name.clone(), ports: left.ports });
        }
        if left.hostname {
            acts.push(RunOp::act(host, Op::SetHostname { name: name.clone() }));
            if !facts.hostname.is_empty() {
                undo.push(UndoAct::SetHostname { host: name, name: facts.hostname });
            }
        }
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        if self.cx.cluster.firewall == FirewallChoice::Off && left.firewall_off {
            plan.view.notes.push(
                trs!("`firewall: open` in the cluster file keeps the firewall and opens the ports instead").into(),
            );
        }
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let (facts, left) = self.look().await?;
        if left != Left::default() {
            return Err(ActError::NotProven(tr!(
                "{name}: still hostname {hostname}, firewalld {firewalld}, ufw {ufw}, SELinux {selinux}; look at why on the host",
                name = self.node.name,
                hostname = facts.hostname,
                firewalld = facts.firewalld,
                ufw = facts.ufw,
                selinux = facts.selinux
            )));
        }
        Ok(vec![tr!(
            "hostname {hostname}, firewalld {firewalld}, ufw {ufw}, SELinux {selinux}",
            hostname = facts.hostname,
            firewalld = facts.firewalld,
            ufw = facts.ufw,
            selinux = facts.selinux
        )])
    }
}
