//! Calico's pods, rolled so that they run with what Secret and ConfigMap say.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError,
            kube::{Calico, Pods, RollPods, stale_pods},
        },
    },
    remote::kube::Pod,
    runbook::{Ctx, texts},
    survey::{Finding, Severity},
};

const KIND: &str = "calico.pods";

/// Most time for one pod to be Ready again.
const POD: Duration = Duration::from_mins(3);

pub(super) struct PodsStep {
    cx: Arc<Ctx>,
}

impl PodsStep {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    fn calico(&self) -> Calico {
        Calico::from(&self.cx.cluster.kube.calico)
    }

    async fn pods(&self) -> Result<Option<Pods>, ActError> {
        let (_, api) = self.cx.kube().await?;
        stale_pods(&self.cx.remote, &api, &self.calico(), &self.cx.node_hosts()).await
    }
}

/// What could not be looked into, said.
fn unseen(pods: &Pods) -> Option<String> {
    (!pods.unseen.is_empty()).then(|| {
        tr!("{unseen}: no host of the cluster file, judged by age alone", unseen = super::listed(&pods.unseen))
    })
}

#[async_trait]
impl Step for PodsStep {
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
        let Some(pods) = self.pods().await? else {
            return Ok(Probe::Done(crate::lang::words(super::calico::NONE).into()));
        };
        let all = pods.stale.len() + pods.fresh.len();
        if !pods.stale.is_empty() {
            return Ok(Probe::Todo(tr!(
                "{stale} of {all} pods run with what was there before",
                stale = pods.stale.len(),
                all = all
            )));
        }
        let late = pods.fresh.iter().filter(|p| !p.ready).count();
        if late > 0 {
            return Ok(Probe::Todo(tr!("{late} of {all} pods are not Ready yet", late = late, all = all)));
        }
        let remark = unseen(&pods).map(|u| format!(" ({u})")).unwrap_or_default();
        Ok(Probe::Done(tr!(
            "all {fresh} pods run with the endpoints of the ConfigMap{remark}",
            fresh = pods.fresh.len(),
            remark = remark
        )))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (at, api) = self.cx.kube().await?;
        let hosts = self.cx.node_hosts();
        let pods = stale_pods(&self.cx.remote, &api, &self.calico(), &hosts).await?.unwrap_or_default();
        let names: Vec<_> = pods.stale.iter().map(|p| p.name.clone()).collect();
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let act: Box<dyn Act> = Box::new(RollPods { at, calico: self.calico(), hosts, pods: names, deadline: POD });
        let mut plan = Plan::new(Risk::Disruptive, vec![act], Vec::new(), texts::undo_card(KIND));
        plan.view.expected = Duration::from_secs(5) * count;
        plan.view.down_meanwhile =
            Some(trs!("one node's agent at a time: its running pods keep their network, new ones wait for it").into());
        plan.view.notes.extend(unseen(&pods));
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let Some(pods) = self.pods().await? else { return Ok(Vec::new()) };
        // With nothing to roll, the step only waits.
        if pods.stale.is_empty() {
            return Ok(Vec::new());
        }
        // On a node that has just joined, its pod is still being made; a run that was cut off may have left one that ends, or
        // its successor that is about to come up: the step waits for those before it touches another.
        let new: Vec<_> = self.cx.cluster.join.iter().map(|n| self.cx.cluster.node_name(n)).collect();
        let now = jiff::Timestamp::now().as_second();
        let patience = i64::try_from(POD.as_secs()).unwrap_or(i64::MAX);
        let coming = |p: &Pod| p.ending || now.saturating_sub(p.created) < patience;
        let broken = pods.stale.iter().chain(&pods.fresh).filter(|p| !p.ready && !new.contains(&p.node) && !coming(p));
        Ok(broken
            .map(|pod| Finding {
                severity: Severity::Block,
                host: None,
                what: tr!(
                    "{name} on {node} is not Ready ({state})",
                    name = pod.name,
                    node = pod.node,
                    state = pod.state
                ),
                why: trs!("rolling more pods while one is down takes the network of two nodes").into(),
                remedy: tr!(
                    "look at it: kubectl -n {namespace} describe pod {name}",
                    namespace = self.calico().namespace,
                    name = pod.name
                ),
            })
            .collect())
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let (_, api) = self.cx.kube().await?;
        let calico = self.calico();
        let pods = stale_pods(&self.cx.remote, &api, &calico, &self.cx.node_hosts()).await?.unwrap_or_default();
        if let Some(pod) = pods.stale.first() {
            return Err(ActError::NotProven(tr!(
                "{name} on {node} still runs with the old list; run again",
                name = pod.name,
                node = pod.node
            )));
        }
        let set = api.daemon_set(&calico.namespace, &calico.daemonset).await?;
        let (desired, ready) = set.map(|s| (s.desired, s.ready)).unwrap_or_default();
        let here = pods.fresh.iter().filter(|p| p.ready).count() as u64;
        if here < desired {
            return Err(ActError::NotProven(tr!(
                "{here} of {desired} pods are Ready; look with kubectl describe",
                here = here,
                desired = desired
            )));
        }
        let mut proofs = vec![tr!(
            "{here} of {desired} pods are Ready with the endpoints of the ConfigMap (the daemon set counts {ready})",
            here = here,
            desired = desired,
            ready = ready
        )];
        proofs.extend(unseen(&pods));
        Ok(proofs)
    }
}
