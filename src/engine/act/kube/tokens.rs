//! Service-account tokens shown to every apiserver: the one request that fails at once where keys or CAs differ.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio::time::Instant;

use super::open;
use crate::{
    cluster::HostName,
    engine::{
        act::{
            Act, ActCx, ActError,
            wait::{next_look, waiting},
        },
        plan::Shown,
    },
    remote::{
        SecretBytes, SharedRemote,
        kube::{ApiAt, Door, KubeError},
    },
};

/// How many requests at a time.
const SIDE_BY_SIDE: usize = 8;

/// Where tokens are looked for: every cluster has this one.
const NAMESPACE: &str = "kube-system";
const ACCOUNT: &str = "default";

/// What came of showing every token to every apiserver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// What was shown, in words: whose token.
    pub shown: Vec<String>,
    /// Apiservers that took all of them.
    pub content: Vec<HostName>,
    /// Who refused which.
    pub refusals: Vec<Refusal>,
    /// Apiservers that could not be asked, and why.
    pub silent: Vec<(HostName, String)>,
}

/// An apiserver that did not take a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose token.
    pub token: String,
    /// Which apiserver.
    pub by: HostName,
    /// Its words.
    pub why: String,
}

impl Tokens {
    /// Whether every apiserver took every token, of which there was one.
    pub fn all_taken(&self) -> bool {
        !self.shown.is_empty() && self.refusals.is_empty() && self.silent.is_empty()
    }

    /// What is wrong, in words; empty when nothing is.
    pub fn why_not(&self) -> String {
        let refused =
            self.refusals.iter().map(|r| tr!("{by} refuses {token}: {why}", by = r.by, token = r.token, why = r.why));
        let silent = self.silent.iter().map(|(host, why)| format!("{host}: {why}"));
        let none = self.shown.is_empty().then(|| {
            tr!(
                "no service-account token can be had in {namespace}; look whether the controller-manager runs",
                namespace = NAMESPACE
            )
        });
        refused.chain(silent).chain(none).collect::<Vec<_>>().join("; ")
    }
}

/// Gets tokens (one from a Secret or two, and a fresh one signed by each master that signs) and shows each to every
/// master, over connections verified against the cluster's CA, with no other credential.
pub async fn ask_tokens(
    remote: &SharedRemote,
    at: &ApiAt,
    masters: &[(HostName, IpAddr)],
) -> Result<Tokens, KubeError> {
    let api = open(remote, at).await?;
    let doors: Vec<_> = masters.iter().map(|(name, address)| Door::master(name, *address, at.port)).collect();
    let mut tokens: Vec<(String, SecretBytes)> = Vec::new();
    for (name, token) in api.stored_tokens(NAMESPACE, 2).await? {
        tokens.push((tr!("the token in Secret {name}", name = name), token));
    }
    let mut result = Tokens::default();
    let fresh = futures::future::join_all(doors.iter().map(|door| {
        let api = api.at(door.clone());
        async move { (door, api.fresh_token(NAMESPACE, ACCOUNT).await) }
    }));
    for (door, fresh) in fresh.await {
        match fresh {
            Ok(Some(token)) => tokens.push((tr!("a token signed by {via}", via = door.via), token)),
            Ok(None) => {}
            Err(e) => result.silent.push((door.via.clone(), e.to_string())),
        }
    }
    result.shown = tokens.iter().map(|(whose, _)| whose.clone()).collect();
    let pairs: Vec<_> = doors
        .iter()
        .flat_map(|door| tokens.iter().cloned().map(|(whose, token)| (door.clone(), whose, token)))
        .collect();
    let answers = stream::iter(pairs).map(|(door, whose, token)| {
        let api = api.at(door.clone());
        async move { (door, whose, api.takes_token(token).await) }
    });
    let answers: Vec<_> = answers.buffered(SIDE_BY_SIDE).collect().await;
    for (door, whose, answer) in answers {
        match answer {
            Ok(()) => {}
            Err(e @ KubeError::Refused { .. }) => {
                result.refusals.push(Refusal { token: whose, by: door.via, why: e.to_string() });
            }
            Err(e) if result.silent.iter().any(|(host, _)| *host == door.via) => drop(e),
            Err(e) => result.silent.push((door.via, e.to_string())),
        }
    }
    let bad =
        |host: &HostName| result.refusals.iter().any(|r| r.by == *host) || result.silent.iter().any(|(h, _)| h == host);
    result.content = masters.iter().map(|(name, _)| name).filter(|name| !bad(name)).cloned().collect();
    Ok(result)
}

/// Asks until every apiserver takes every token: one that has just started needs a moment to know the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskTokens {
    /// Whose kubeconfig opens the API.
    pub at: ApiAt,
    /// The masters.
    pub masters: Vec<(HostName, IpAddr)>,
    /// Most time.
    pub deadline: Duration,
}

#[async_trait]
impl Act for AskTokens {
    fn shown(&self) -> Shown {
        let Some((name, address)) = self.masters.last() else { return Shown::default() };
        let at = std::net::SocketAddr::new(*address, self.at.port);
        let config = crate::remote::shell::qp(&self.at.kubeconfig);
        Shown {
            host: None,
            title: tr!("show service-account tokens to {masters} apiservers", masters = self.masters.len()),
            commands: format!(
                "TOKEN=$(kubectl --kubeconfig={config} -n {NAMESPACE} get secrets --field-selector type=kubernetes.io/service-account-token -o jsonpath='{{.items[0].data.token}}' | base64 -d)   # on {}\ncurl --cacert CA-OF-THE-CLUSTER -H @- https://{at}/api/v1/ <<< \"Authorization: Bearer $TOKEN\"   # {name}, and so on for each; through the API",
                self.at.host
            ),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let started = Instant::now();
        loop {
            let seen = ask_tokens(&cx.remote, &self.at, &self.masters).await?;
            if seen.all_taken() {
                cx.say(tr!(
                    "{shown} tokens, each taken by all {masters} apiservers",
                    shown = seen.shown.len(),
                    masters = seen.content.len()
                ));
                return Ok(());
            }
            waiting(cx, &seen.why_not(), started, self.deadline)?;
            next_look(started, Duration::from_millis(500)).await;
        }
    }
}
