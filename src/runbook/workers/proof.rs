//! The result as a whole, asked once more. What would happen with masters down is told, not tried: a lab may try it.

use std::{collections::BTreeMap, sync::Arc};

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

/// So many workers are named; more than that are counted.
const NAMED: usize = 8;

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
        let looked = look_all(&self.cx, &client).await;
        let all = looked.len();
        let mut good: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (node, result) in looked {
            match result {
                Ok(seen) if seen.done() => {
                    let servers = seen.servers.iter().min().copied().unwrap_or(0);
                    good.entry(servers).or_default().push(node.name.to_string());
                }
                Ok(seen) => {
                    let why = seen.behind.unwrap_or_else(|| trs!("its upstream lacks masters").into());
                    answers.wrong.push(format!("{}: {why}", node.name));
                }
                Err(e) => answers.wrong.push(e.to_string()),
            }
        }
        for (servers, names) in good {
            answers.proofs.extend(through_proxies(&names, all, servers));
        }
        Ok(())
    }
}

/// What is proven of workers of `all` whose proxies know so many masters.
fn through_proxies(names: &[String], all: usize, servers: usize) -> Vec<String> {
    if all > NAMED {
        return vec![tr!(
            "{count} of {all} workers: the API answers through their proxies to {servers} masters",
            count = names.len(),
            all = all,
            servers = servers
        )];
    }
    let one =
        |name| tr!("{name}: the API answers through its proxy to {servers} masters", name = name, servers = servers);
    names.iter().map(one).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_workers_are_named_and_many_are_counted() {
        let names = |n: usize| (1..=n).map(|i| format!("node{i:02}")).collect::<Vec<_>>();
        let few = through_proxies(&names(8), 8, 5);
        assert_eq!((few.len(), &*few[7]), (8, "node08: the API answers through its proxy to 5 masters"));
        let many = through_proxies(&names(900), 1000, 5);
        assert_eq!(many, ["900 of 1000 workers: the API answers through their proxies to 5 masters"]);
    }
}
