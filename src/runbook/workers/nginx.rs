//! Every worker's proxy learns of the new masters: tested by nginx, a few at a time, the first failure stops it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Seen, look_all};
use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            apiserver::{client, healthz, own},
            proxy::{Proxy, ProxyBatch},
        },
        plan::FileDiff,
    },
    remote::op::sha256_hex,
    runbook::{Ctx, apiserver::port_taken, owner_of, texts},
    survey::{Finding, Severity},
};

const KIND: &str = "workers.nginx";

/// Most time for the API to answer through a proxy that was restarted.
const ANSWERS: Duration = Duration::from_secs(30);

pub(super) struct Proxies {
    cx: Arc<Ctx>,
}

impl Proxies {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    /// Every worker, or what keeps the step from touching any.
    async fn look(&self) -> Result<Result<Vec<Seen>, Vec<Finding>>, ActError> {
        let client = client(&self.cx.cluster, &self.cx.remote).await?;
        let (mut seen, mut findings) = (Vec::new(), Vec::new());
        for (node, result) in look_all(&self.cx, &client).await {
            match result {
                Ok(one) => seen.push(one),
                Err(error) => findings.push(cannot(&node, &error)),
            }
        }
        Ok(if findings.is_empty() { Ok(seen) } else { Err(findings) })
    }

    fn batches(&self, todo: &[Seen]) -> Vec<Box<dyn Act>> {
        let all = self.cx.cluster.workers.len();
        let done = all - todo.len();
        let mut acts: Vec<Box<dyn Act>> = Vec::new();
        let mut next = 0;
        for size in sizes(todo.len(), self.cx.cluster.worker_batch.unwrap_or(all.div_ceil(10))) {
            let workers = todo[next..next + size].iter().map(|s| Proxy {
                host: s.node.name.clone(),
                before: s.before.clone(),
                text: (s.before != s.after).then(|| s.after.clone()),
                sha256: sha256_hex(s.after.as_bytes()),
                mode: s.file.mode,
                owner: owner_of(&s.file),
            });
            acts.push(Box::new(ProxyBatch {
                cluster: self.cx.cluster.clone(),
                count: (done + next + 1, all),
                workers: workers.collect(),
                backup: self.cx.kept(KIND, &self.cx.cluster.kube.nginx_conf),
                deadline: ANSWERS,
            }));
            next += size;
        }
        acts
    }

    /// Masters that do not answer yet: nginx passes them over, and it is said.
    async fn silent(&self) -> Result<Vec<String>, ActError> {
        let client = client(&self.cx.cluster, &self.cx.remote).await?;
        let asks =
            self.cx.cluster.join.iter().map(|n| healthz(&self.cx.remote, &client, &n.name, own(&self.cx.cluster, n)));
        let answers = futures::future::join_all(asks).await;
        let silent =
            self.cx.cluster.join.iter().zip(answers).filter(|(_, a)| a.is_err()).map(|(n, _)| n.name.to_string());
        Ok(silent.collect())
    }
}

fn cannot(node: &Node, error: &ActError) -> Finding {
    let unreachable = matches!(error, ActError::Remote(_));
    Finding {
        severity: Severity::Block,
        host: Some(node.name.clone()),
        what: error.to_string(),
        why: if unreachable {
            trs!("a worker that is left out would not know of the new masters, and nobody would notice until the old ones are down").into()
        } else {
            trs!("its proxy cannot be changed safely").into()
        },
        remedy: tr!(
            "mend that, or take {name} out of the cluster file, then run again; no worker was touched",
            name = node.name
        ),
    }
}

/// One first, then so many at a time.
fn sizes(todo: usize, batch: usize) -> Vec<usize> {
    let (mut left, mut sizes) = (todo, Vec::new());
    while left > 0 {
        let size = if sizes.is_empty() { 1 } else { batch.clamp(1, left) };
        sizes.push(size);
        left -= size;
    }
    sizes
}

/// One diff stands for all workers with the same file.
fn diffs(path: &std::path::Path, todo: &[Seen], notes: &mut Vec<String>) -> Vec<FileDiff> {
    let mut alike: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for seen in todo.iter().filter(|s| s.before != s.after) {
        alike.entry(&seen.before).or_default().push(seen);
    }
    let mut groups: Vec<Vec<&Seen>> = alike.into_values().collect();
    groups.sort_by_key(|g| g[0].node.name.clone());
    for group in groups.iter().filter(|g| g.len() > 1) {
        let names = group[1..].iter().map(|s| s.node.name.to_string()).collect::<Vec<_>>().join(", ");
        notes.push(tr!("the same diff as on {name}: {names}", name = group[0].node.name, names = names));
    }
    let diff = |s: &Seen| FileDiff {
        host: s.node.name.clone(),
        path: path.to_owned(),
        before: Some(s.before.clone()),
        after: s.after.clone(),
    };
    groups.iter().map(|g| diff(g[0])).collect()
}

#[async_trait]
impl Step for Proxies {
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
        Risk::Disruptive
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        if self.cx.cluster.workers.is_empty() {
            return Ok(Probe::Done(trs!("the cluster file names no worker").into()));
        }
        let seen = match self.look().await? {
            Ok(seen) => seen,
            Err(findings) => return Ok(Probe::Blocked(findings)),
        };
        let todo: Vec<_> = seen.iter().filter(|s| !s.done()).collect();
        let Some(first) = todo.first() else {
            return Ok(Probe::Done(tr!("all {seen} workers serve every master", seen = seen.len())));
        };
        let why = match &first.behind {
            Some(behind) if first.before == first.after => behind.clone(),
            _ => trs!("its upstream lacks new masters").into(),
        };
        Ok(Probe::Todo(tr!(
            "{todo} of {seen} workers are left; {name}: {why}",
            todo = todo.len(),
            seen = seen.len(),
            name = first.node.name,
            why = why
        )))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let seen = self.look().await?.map_err(ActError::Gate)?;
        let todo: Vec<Seen> = seen.into_iter().filter(|s| !s.done()).collect();
        let path = self.cx.cluster.kube.nginx_conf.clone();
        let undo = todo.iter().filter(|s| s.before != s.after).map(|s| UndoAct::RestoreProxy {
            host: s.node.name.to_string(),
            path: path.clone(),
            backup: self.cx.kept(KIND, &path),
            container: self.cx.cluster.kube.nginx_container.clone(),
        });
        let mut plan = Plan::new(Risk::Disruptive, self.batches(&todo), undo.collect(), texts::undo_card(KIND));
        plan.view.diffs = diffs(&path, &todo, &mut plan.view.notes);
        plan.view.expected = texts::expected(KIND);
        plan.view.down_meanwhile = Some(tr!(
            "each worker's way to the API, for a second or two when its {nginx_container} restarts; pods go on running",
            nginx_container = self.cx.cluster.kube.nginx_container
        ));
        let silent = self.silent().await?;
        if !silent.is_empty() {
            plan.view.notes.push(tr!(
                "{silent} not answering on {api_port} yet: nginx tries the next one",
                silent = silent.join(", "),
                api_port = self.cx.cluster.kube.api_port
            ));
        }
        for finding in port_taken(&self.cx).await? {
            plan.view.notes.push(format!("{}: {}; {}", finding.what, finding.why, finding.remedy));
        }
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let client = client(&self.cx.cluster, &self.cx.remote).await?;
        let masters = self.cx.cluster.masters.iter();
        let asks = masters.map(|n| healthz(&self.cx.remote, &client, &n.name, own(&self.cx.cluster, n)));
        let answers = futures::future::join_all(asks).await;
        if answers.iter().any(Result::is_ok) {
            return Ok(Vec::new());
        }
        let why = answers.into_iter().find_map(Result::err).unwrap_or_default();
        Ok(vec![Finding {
            severity: Severity::Block,
            host: None,
            what: tr!("no apiserver of the originals is healthy: {why}", why = why),
            why: trs!("nothing could be proven through a proxy").into(),
            remedy: trs!("repair the apiservers first, then run again").into(),
        }])
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let seen = self.look().await?.map_err(ActError::Gate)?;
        if let Some(left) = seen.iter().find(|s| !s.done()) {
            let why = left.behind.clone().unwrap_or_else(|| trs!("its upstream lacks new masters").into());
            return Err(ActError::NotProven(tr!("{name}: {why}; run again", name = left.node.name, why = why)));
        }
        Ok(vec![
            tr!("{seen} of {seen} workers: the container sees the new file", seen = seen.len()),
            tr!(
                "{seen} of {seen} workers: /healthz answers through the own proxy, verified with the cluster's CA",
                seen = seen.len()
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_goes_first_and_so_many_at_a_time_after_it() {
        assert_eq!(sizes(2, 1), [1, 1]);
        assert_eq!(sizes(25, 3), [1, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(sizes(5, 10), [1, 4], "a second run goes on, the first one again alone");
        assert!(sizes(0, 9).is_empty());
    }
}
