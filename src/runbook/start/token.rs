//! A service-account token, good at every apiserver.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    cluster::HostName,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError,
            kube::{AskTokens, Tokens, ask_tokens},
        },
    },
    runbook::{Ctx, texts},
    survey::{Finding, Severity},
};

const KIND: &str = "kube.token";

/// How long an apiserver that has just started may take to know the accounts.
const DEADLINE: Duration = Duration::from_mins(1);

pub(super) struct TokenStep {
    cx: Arc<Ctx>,
}

impl TokenStep {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    fn masters(&self) -> Vec<(HostName, IpAddr)> {
        self.cx.cluster.all_masters().map(|n| (n.name.clone(), n.address)).collect()
    }

    async fn ask(&self) -> Result<Tokens, ActError> {
        let (at, _) = self.cx.kube().await?;
        Ok(ask_tokens(&self.cx.remote, &at, &self.masters()).await?)
    }
}

fn said(seen: &Tokens) -> String {
    let (tokens, masters) = (seen.shown.len(), seen.content.len());
    tr!(
        "{tokens} tokens ({shown}), each taken by all {masters} apiservers",
        tokens = tokens,
        shown = seen.shown.join(", "),
        masters = masters
    )
}

/// What tokens that are refused mean.
fn finding(seen: &Tokens) -> Finding {
    let mut by: Vec<_> = seen.refusals.iter().map(|r| r.by.clone()).collect();
    by.dedup();
    Finding {
        severity: Severity::Block,
        host: by.first().cloned(),
        what: seen.why_not(),
        why: trs!(
            "the masters do not sign and check with the same service-account keys (or CA): two clusters on one \
              database, and clients that get 401 now and then"
        )
        .into(),
        remedy: tr!(
            "compare the service-account keys on {by} with the other masters', put the right ones there and restart its \
             apiserver and controller-manager",
            by = super::listed(by)
        ),
    }
}

#[async_trait]
impl Step for TokenStep {
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
        Risk::ReadOnly
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let seen = self.ask().await?;
        Ok(if seen.all_taken() { Probe::Done(said(&seen)) } else { Probe::Todo(seen.why_not()) })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (at, _) = self.cx.kube().await?;
        let act: Box<dyn Act> = Box::new(AskTokens { at, masters: self.masters(), deadline: DEADLINE });
        let mut plan = Plan::new(Risk::ReadOnly, vec![act], Vec::new(), texts::undo_card(KIND));
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.push(
            trs!("fresh tokens are good for ten minutes and leave nothing behind; each is shown to masters of the file alone")
                .into(),
        );
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let seen = self.ask().await?;
        if seen.all_taken() {
            return Ok(vec![said(&seen)]);
        }
        if seen.refusals.is_empty() {
            return Err(ActError::NotProven(tr!("{why_not}; run again", why_not = seen.why_not())));
        }
        Err(ActError::Gate(vec![finding(&seen)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::act::kube::Refusal;

    #[test]
    fn a_refused_token_is_called_what_it_is() {
        let refusal =
            Refusal { token: "a token signed by master01".into(), by: HostName::new("master04"), why: "401".into() };
        let seen =
            Tokens { shown: vec!["a token signed by master01".into()], refusals: vec![refusal], ..Tokens::default() };
        let finding = finding(&seen);
        assert!(!seen.all_taken());
        assert!(finding.why.contains("two clusters on one database") && finding.remedy.contains("on master04"));
    }

    #[test]
    fn no_token_at_all_proves_nothing() {
        assert!(!Tokens::default().all_taken());
        assert!(Tokens::default().why_not().contains("controller-manager"));
    }
}
