//! The apiserver's certificate, signed once in the issuing directory: the same key, the joiners' names added.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;

use super::{Workshop, lacking, manifests, workshop};
use crate::{
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            ActError, UndoAct,
            issue::{ForKey, IssueCert},
        },
        plan::CertChange,
    },
    pki::{CertInfo, SanDiff, with_added},
    runbook::{Ctx, edit::manifest, owner_of, texts},
    survey::{Finding, Severity},
};

const KIND: &str = "apiserver.cert";

/// Over this many days, clients and auditors object (CA/Browser Forum's limit; Apple refuses longer ones).
const LONG_LIFETIME_DAYS: i64 = 825;

pub(super) struct Sign {
    cx: Arc<Ctx>,
}

struct Seen {
    shop: Workshop,
    /// The issued one, where there is one.
    issued: Option<CertInfo>,
    /// The one in use on the first original, and where.
    in_use: CertInfo,
    in_use_path: PathBuf,
}

impl Seen {
    /// Whether what was issued last is for the key in use.
    fn same_key(&self) -> bool {
        self.issued.as_ref().is_none_or(|i| i.key_fingerprint == self.in_use.key_fingerprint)
    }
}

impl Sign {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    async fn look(&self) -> Result<Seen, ActError> {
        let shop = workshop(&self.cx).await?;
        let issued = self.cx.cert_if_any(&shop.host, &shop.cert).await?;
        let source = &self.cx.source().name;
        let in_use_path = cert_path(&self.cx, source).await?;
        let in_use = self.cx.cert(source, &in_use_path).await?;
        Ok(Seen { shop, issued, in_use, in_use_path })
    }

    fn lifetime(&self, in_use: &CertInfo) -> String {
        let kept = (in_use.not_after - in_use.not_before) / 86_400;
        let days = self.cx.cluster.lifetime_days.map_or(kept, i64::from);
        let long = if days > LONG_LIFETIME_DAYS {
            trs!("; over 825 days, a stolen key is good for as long: `certificates: { lifetime_days: … }` shortens it")
        } else {
            ""
        };
        tr!("lifetime {days} days{long}", days = days, long = long)
    }
}

/// The certificate a master's apiserver serves, by its manifest.
pub(super) async fn cert_path(cx: &Ctx, host: &crate::cluster::HostName) -> Result<PathBuf, ActError> {
    let found = manifests::apiserver(cx, host).await?;
    let told =
        |e: crate::runbook::edit::EditError| ActError::NotProven(format!("{host}: {} {e}", found.path.display()));
    match manifest::flag(&found.text, "tls-cert-file").map_err(told)? {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        _ => Ok(cx.cluster.kube.pki.join("apiserver.pem")),
    }
}

#[async_trait]
impl Step for Sign {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Certificate
    }

    fn title(&self) -> String {
        texts::title(KIND, None)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let seen = self.look().await?;
        if !seen.same_key() {
            return Ok(Probe::Blocked(vec![Finding {
                severity: Severity::Block,
                host: Some(seen.shop.host.clone()),
                what: tr!(
                    "{host}:{cert} is for another key than the one in use",
                    host = seen.shop.host,
                    cert = seen.shop.cert.display()
                ),
                why: trs!("a certificate signed for the wrong key stops every apiserver that gets it").into(),
                remedy: tr!(
                    "put the pair in use ({name}:{in_use_path}) there, then run again",
                    name = self.cx.source().name,
                    in_use_path = seen.in_use_path.display()
                ),
            }]));
        }
        let has = seen.issued.as_ref().map(|i| i.sans.clone()).unwrap_or_default();
        let missing = lacking(&self.cx.cluster, &has);
        if seen.issued.is_some() && missing.is_empty() {
            return Ok(Probe::Done(tr!(
                "{host}:{cert} has every address",
                host = seen.shop.host,
                cert = seen.shop.cert.display()
            )));
        }
        let names = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Ok(Probe::Todo(tr!("{cert} lacks {names}", cert = seen.shop.cert.display(), names = names)))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let seen = self.look().await?;
        let source = self.cx.source().name.clone();
        let (path, host) = (seen.shop.cert.clone(), seen.shop.host.clone());
        let old = with_added(&seen.in_use.sans, &seen.issued.as_ref().map(|i| i.sans.clone()).unwrap_or_default());
        let sans = with_added(&old, &lacking(&self.cx.cluster, &old));
        let model = if seen.issued.is_some() { (&host, &path) } else { (&source, &seen.in_use_path) };
        let state = self.cx.stat_one(model.0, model.1).await?;
        let backup = self.cx.kept(KIND, &path);
        let act = IssueCert {
            ca_host: host.clone(),
            ca: seen.shop.ca.clone(),
            ca_key: seen.shop.ca_key.clone(),
            template_host: source.clone(),
            template: seen.in_use_path.clone(),
            host: host.clone(),
            path: path.clone(),
            mode: state.mode,
            owner: owner_of(&state),
            backup: Some(backup.clone()),
            sans: sans.clone(),
            lifetime_days: self.cx.cluster.lifetime_days,
            key: ForKey::Kept,
        };
        let undo = vec![UndoAct::RestoreFile { host: host.to_string(), path: path.clone(), backup }];
        let mut plan = Plan::new(Risk::Reversible, vec![Box::new(act)], undo, texts::undo_card(KIND));
        plan.view.certs = vec![CertChange {
            host,
            path,
            sans: SanDiff::between(&seen.in_use.sans, &sans),
            notes: vec![
                tr!(
                    "key kept ({key_type}); subject kept: {subject}",
                    key_type = seen.in_use.key_type,
                    subject = seen.in_use.subject
                ),
                self.lifetime(&seen.in_use),
                tr!("signed by {host}:{ca_key}", host = seen.shop.host, ca_key = seen.shop.ca_key.display()),
            ],
        }];
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.push(trs!("no apiserver gets it in this step").into());
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let seen = self.look().await?;
        let Some(issued) = seen.issued.as_ref().filter(|i| lacking(&self.cx.cluster, &i.sans).is_empty()) else {
            return Err(ActError::NotProven(tr!(
                "{cert} still lacks names; run again",
                cert = seen.shop.cert.display()
            )));
        };
        if !seen.same_key() {
            return Err(ActError::NotProven(tr!(
                "{cert} is not for the key in use; put it back and run again",
                cert = seen.shop.cert.display()
            )));
        }
        Ok(vec![
            tr!(
                "{host}:{cert} has {sans} names and the key in use",
                host = seen.shop.host,
                cert = seen.shop.cert.display(),
                sans = issued.sans.len()
            ),
            trs!("it was checked against the CA before it was written").into(),
        ])
    }
}
