//! A joiner's certificates: the originals' own pair where they share one, else a fresh pair from the same CA.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::wanted_sans;
use crate::{
    cluster::{EtcdPair, Node},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            issue::{ForKey, IssueCert},
            run::{CopyFile, RunOp},
        },
        plan::CertChange,
    },
    pki::{CertInfo, PrivateKey, SanDiff},
    remote::{Op, op::Owner},
    runbook::{Ctx, owner_of, texts},
    survey::{FileKind, FileState},
};

const KIND: &str = "etcd.joiner-certs";

pub(super) struct JoinerCerts {
    cx: Arc<Ctx>,
    node: Node,
}

impl JoinerCerts {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    /// Whether the originals share one key for this pair: with one original there is nobody to share with, and the
    /// runbook's way, one pair for all, holds.
    fn shared(&self, pair: EtcdPair) -> bool {
        let keys: Vec<_> = self
            .cx
            .cluster
            .masters
            .iter()
            .filter_map(|m| self.cx.observed.host(&m.name)?.etcd.as_ref()?.certs.get(&pair)?.cert.as_ref().ok())
            .map(|c| &c.key_fingerprint)
            .collect();
        keys.windows(2).all(|w| w[0] == w[1])
    }

    /// What is wrong with a pair on the joiner, if anything.
    async fn wrong(&self, pair: EtcdPair) -> Result<Option<String>, ActError> {
        let (etcd, host) = (&self.cx.cluster.etcd, &self.node.name);
        let Some(cert) = self.cx.cert_if_any(host, &etcd.cert(pair)).await? else {
            return Ok(Some(tr!("{pair}: no certificate", pair = pair)));
        };
        let ca = self.cx.cert(&self.cx.source().name, &etcd.ca()).await?;
        if cert.issuer != ca.subject {
            return Ok(Some(tr!("{pair}: issued by another CA ({issuer})", pair = pair, issuer = cert.issuer)));
        }
        let original = self.cx.cert(&self.cx.source().name, &etcd.cert(pair)).await?;
        let names = wanted_sans(&self.cx.cluster, &original.sans);
        let nameless = pair == EtcdPair::Client && original.sans.is_empty();
        if !nameless && names.iter().any(|s| !cert.sans.contains(s)) {
            return Ok(Some(tr!("{pair}: names are missing", pair = pair)));
        }
        if !cert.valid_at(jiff::Timestamp::now().as_second()) {
            return Ok(Some(tr!("{pair}: expired or not valid yet", pair = pair)));
        }
        self.wrong_key(pair, &cert).await
    }

    async fn wrong_key(&self, pair: EtcdPair, cert: &CertInfo) -> Result<Option<String>, ActError> {
        let (etcd, host) = (&self.cx.cluster.etcd, &self.node.name);
        let state = self.cx.stat_one(host, &etcd.key(pair)).await?;
        if state.kind == FileKind::Absent {
            return Ok(Some(tr!("{pair}: no key", pair = pair)));
        }
        if state.mode & 0o077 != 0 || state.user != etcd.user {
            return Ok(Some(tr!(
                "{pair}: key is {mode} {user}, not 0600 {wanted}",
                pair = pair,
                mode = format_args!("{:04o}", state.mode),
                user = state.user,
                wanted = etcd.user
            )));
        }
        let key = self.cx.read_secret(host, &etcd.key(pair)).await?;
        let fits = PrivateKey::from_pem(key.expose()).is_ok_and(|k| k.matches(cert));
        Ok((!fits).then(|| tr!("{pair}: key and certificate are not a pair", pair = pair)))
    }

    async fn all_wrong(&self) -> Result<Vec<String>, ActError> {
        let (etcd, host) = (&self.cx.cluster.etcd, &self.node.name);
        let mut wrong = Vec::new();
        let ca = self.cx.cert_if_any(host, &etcd.ca()).await?;
        let theirs = self.cx.cert(&self.cx.source().name, &etcd.ca()).await?;
        match ca {
            None => wrong.push(trs!("ca: no certificate").to_owned()),
            Some(ca) if ca.fingerprint != theirs.fingerprint => {
                wrong.push(trs!("ca: another CA's certificate").to_owned());
            }
            Some(_) => {}
        }
        for pair in EtcdPair::ALL {
            wrong.extend(self.wrong(pair).await?);
        }
        Ok(wrong)
    }

    fn owner(&self) -> Owner {
        Owner::both(&self.cx.cluster.etcd.user)
    }

    fn copy(&self, path: &Path, state: &FileState, secret: bool) -> Box<dyn Act> {
        let mode = if secret { 0o600 } else { state.mode };
        Box::new(CopyFile {
            from: self.cx.source().name.clone(),
            from_path: path.to_owned(),
            secret,
            size: state.size,
            to: self.node.name.clone(),
            to_path: path.to_owned(),
            mode,
            owner: self.owner(),
            sha256: state.sha256.clone().unwrap_or_default(),
            backup: Some(self.cx.kept(KIND, path)),
        })
    }

    fn restore(&self, path: PathBuf) -> UndoAct {
        let backup = self.cx.kept(KIND, &path);
        UndoAct::RestoreFile { host: self.node.name.to_string(), path, backup }
    }

    async fn pair(&self, pair: EtcdPair, plan: &mut Draft) -> Result<(), ActError> {
        let (etcd, source) = (&self.cx.cluster.etcd, &self.cx.source().name);
        let (cert, key) = (etcd.cert(pair), etcd.key(pair));
        let template = self.cx.cert(source, &cert).await?;
        let mine = self.cx.cert_if_any(&self.node.name, &cert).await?;
        let sans = if template.sans.is_empty() && pair == EtcdPair::Client {
            Vec::new()
        } else {
            wanted_sans(&self.cx.cluster, &template.sans)
        };
        let states = self.cx.stat(source, vec![cert.clone(), key.clone()]).await?;
        let mut notes = vec![format!("{}; {}", template.subject, template.key_type)];
        if self.shared(pair) {
            notes.push(tr!("the pair all originals share, from {source}", source = source));
            plan.acts.push(self.copy(&key, &states[1], true));
            plan.acts.push(self.copy(&cert, &states[0], false));
        } else {
            notes.push(trs!("a fresh key of the same type, signed by the same CA").into());
            plan.acts.push(Box::new(IssueCert {
                ca_host: self.cx.ca_host()?.name.clone(),
                ca: etcd.ca(),
                ca_key: etcd.ca_key(),
                template_host: source.clone(),
                template: cert.clone(),
                host: self.node.name.clone(),
                path: cert.clone(),
                mode: states[0].mode,
                owner: owner_of(&states[0]),
                backup: Some(self.cx.kept(KIND, &cert)),
                sans: sans.clone(),
                lifetime_days: self.cx.cluster.lifetime_days,
                key: ForKey::Fresh { path: key.clone(), backup: Some(self.cx.kept(KIND, &key)) },
            }));
        }
        plan.undo.extend([self.restore(cert.clone()), self.restore(key)]);
        let old = mine.map(|c| c.sans).unwrap_or_default();
        plan.certs.push(CertChange {
            host: self.node.name.clone(),
            path: cert,
            sans: SanDiff::between(&old, &sans),
            notes,
        });
        Ok(())
    }
}

#[derive(Default)]
struct Draft {
    acts: Vec<Box<dyn Act>>,
    undo: Vec<UndoAct>,
    certs: Vec<CertChange>,
}

#[async_trait]
impl Step for JoinerCerts {
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
        let wrong = self.all_wrong().await?;
        Ok(if wrong.is_empty() {
            Probe::Done(trs!("CA and three pairs are in place and fit").into())
        } else {
            Probe::Todo(wrong.join("; "))
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (etcd, source) = (&self.cx.cluster.etcd, &self.cx.source().name);
        let states = self.cx.stat(source, vec![etcd.pki.clone(), etcd.ca()]).await?;
        let make = Op::MakeDir { path: etcd.pki.clone(), mode: states[0].mode, owner: self.owner() };
        let mut draft = Draft { acts: vec![RunOp::act(&self.node.name, make)], ..Draft::default() };
        draft.acts.push(self.copy(&etcd.ca(), &states[1], false));
        draft.undo.push(self.restore(etcd.ca()));
        for pair in EtcdPair::ALL {
            self.pair(pair, &mut draft).await?;
        }
        let mut plan = Plan::new(Risk::Reversible, draft.acts, draft.undo, texts::undo_card(KIND));
        plan.view.certs = draft.certs;
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.push(tr!("{ca_key} is not copied: etcd does not need it", ca_key = etcd.ca_key().display()));
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let wrong = self.all_wrong().await?;
        if !wrong.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{name}: {wrong}; run again",
                name = self.node.name,
                wrong = wrong.join("; ")
            )));
        }
        Ok(vec![tr!(
            "{name}: the CA, and three pairs that fit, keys 0600 {user}",
            name = self.node.name,
            user = self.cx.cluster.etcd.user
        )])
    }
}
