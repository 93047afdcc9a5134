//! The result as a whole, asked once more. What would happen with masters down is told, not tried: a lab may try it.

use std::sync::Arc;

use async_trait::async_trait;

use super::look_all;
use crate::{
    cluster::tolerated,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            ActError,
            apiserver::{client, healthz, own, served},
            etcd::why_unhealthy,
        },
    },
    pki::San,
    runbook::{Ctx, texts},
};

const KIND: &str = "proof.final";

pub(super) struct Proof {
    cx: Arc<Ctx>,
}

/// What was seen: proofs, and what is not as it has to be.
#[derive(Default)]
struct Answers {
    proofs: Vec<String>,
    wrong: Vec<String>,
}

impl Proof {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    async fn ask(&self) -> Result<Answers, ActError> {
        let mut answers = Answers::default();
        self.etcd(&mut answers).await?;
        self.apiservers(&mut answers).await?;
        self.workers(&mut answers).await?;
        let masters = self.cx.cluster.all_masters().count();
        answers.proofs.push(tr!("so any {margin} of {masters} masters may fail with reads and writes going on; told from the facts above, not tried in the field", margin = tolerated(masters), masters = masters));
        Ok(answers)
    }

    async fn etcd(&self, answers: &mut Answers) -> Result<(), ActError> {
        let seen = self.cx.membership().await?;
        let voters = seen.voters();
        let wanted = self.cx.cluster.all_masters().count();
        answers.proofs.push(tr!("etcd: {now}", now = voters.sentence()));
        if voters.total != wanted || voters.healthy != wanted || voters.learners > 0 {
            answers.wrong.push(tr!(
                "etcd has {now}, not {wanted} healthy voters",
                now = voters.sentence(),
                wanted = wanted
            ));
            let down = seen.members.iter().filter(|m| !m.healthy());
            answers.wrong.extend(down.map(|m| {
                let name = if m.started() { m.name.clone() } else { m.peer_urls.join(", ") };
                tr!("member {name} is not healthy: {why}", name = name, why = why_unhealthy(m))
            }));
        }
        for alarm in &seen.alarms {
            answers.wrong.push(tr!("etcd's alarm {kind} is on", kind = alarm.kind));
        }
        Ok(())
    }

    async fn apiservers(&self, answers: &mut Answers) -> Result<(), ActError> {
        let client = client(&self.cx.cluster, &self.cx.remote).await?;
        let names: Vec<San> = self.cx.cluster.all_masters().map(|n| San::Ip(n.address)).collect();
        let nodes: Vec<_> = self.cx.cluster.all_masters().collect();
        let looks = nodes.iter().map(|n| async {
            let port = own(&self.cx.cluster, n);
            healthz(&self.cx.remote, &client, &n.name, port).await?;
            let seen = served(&self.cx.remote, &client, &n.name, port).await?;
            match names.iter().find(|name| !seen.cert.sans.contains(name)) {
                Some(name) => Err(tr!("serves a certificate without {name}", name = name)),
                None => Ok(()),
            }
        });
        let results = futures::future::join_all(looks).await;
        let healthy = results.iter().filter(|r| r.is_ok()).count();
        answers.proofs.push(tr!(
            "{healthy} of {nodes} apiservers healthy, each with every master's address",
            healthy = healthy,
            nodes = nodes.len()
        ));
        for (node, result) in nodes.iter().zip(results) {
            if let Err(why) = result {
                answers.wrong.push(tr!("the apiserver on {name}: {why}", name = node.name, why = why));
            }
        }
        Ok(())
    }

    async fn workers(&self, answers: &mut Answers) -> Result<(), ActError> {
        if self.cx.cluster.workers.is_empty() {
            answers.proofs.push(trs!("no workers in the cluster file").into());
            return Ok(());
        }
        let client = client(&self.cx.cluster, &self.cx.remote).await?;
        for (node, result) in look_all(&self.cx, &client).await {
            match result {
                Ok(seen) if seen.done() => {
                    let servers = seen.servers.iter().min().copied().unwrap_or(0);
                    answers.proofs.push(tr!(
                        "{name}: the API answers through its proxy to {servers} masters",
                        name = node.name,
                        servers = servers
                    ));
                }
                Ok(seen) => {
                    let why = seen.behind.unwrap_or_else(|| trs!("its upstream lacks masters").into());
                    answers.wrong.push(format!("{}: {why}", node.name));
                }
                Err(e) => answers.wrong.push(e.to_string()),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Step for Proof {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Workers
    }

    fn title(&self) -> String {
        texts::title(KIND, None)
    }

    fn risk(&self) -> Risk {
        Risk::ReadOnly
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        // The look is all there is to do: when it finds everything right, it is done.
        let answers = self.ask().await?;
        Ok(if answers.wrong.is_empty() {
            Probe::Done(answers.proofs.join("; "))
        } else {
            Probe::Todo(answers.wrong.join("; "))
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let answers = self.ask().await?;
        let mut plan = Plan::new(Risk::ReadOnly, Vec::new(), Vec::new(), texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        plan.view.notes = answers.proofs.into_iter().chain(answers.wrong).collect();
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let answers = self.ask().await?;
        if answers.wrong.is_empty() {
            return Ok(answers.proofs);
        }
        Err(ActError::NotProven(tr!("{wrong}; mend that, then run again", wrong = answers.wrong.join("; "))))
    }
}
