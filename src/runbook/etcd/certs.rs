//! An original's certificates: the same keys, the joiners' addresses added, etcd not restarted.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

use super::{super::gate, version, wanted_sans};
use crate::{
    cluster::{EtcdPair, Node},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            etcd::{MoveLeaderAway, WaitMember, Want},
            issue::{ForKey, IssueCert},
            run::{CopyFile, RunOp},
        },
        plan::CertChange,
    },
    pki::{CertInfo, San, SanDiff},
    remote::{Op, etcd::Version, op::UnitVerb},
    runbook::{Ctx, owner_of, texts},
    survey::Finding,
};

const KIND: &str = "etcd.certs";

/// Over this many days, clients and auditors object (CA/Browser Forum's limit; Apple refuses longer ones).
const LONG_LIFETIME_DAYS: i64 = 825;

pub(super) struct Reissue {
    cx: Arc<Ctx>,
    node: Node,
    /// etcd's process id when the plan was made: it must be the same afterwards.
    pid: Mutex<Option<u32>>,
}

/// One certificate that lacks names.
struct Lacking {
    pair: EtcdPair,
    now: CertInfo,
    wanted: Vec<San>,
}

impl Reissue {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node, pid: Mutex::new(None) }
    }

    async fn lacking(&self) -> Result<Vec<Lacking>, ActError> {
        let mut lacking = Vec::new();
        for pair in EtcdPair::ALL {
            let path = self.cx.cluster.etcd.cert(pair);
            let now = self.cx.cert(&self.node.name, &path).await?;
            let wanted = wanted_sans(&self.cx.cluster, &now.sans);
            if needs(pair, &now, &wanted) {
                lacking.push(Lacking { pair, now, wanted });
            }
        }
        Ok(lacking)
    }

    /// An original that has a certificate for the same key with all the names already: then this one gets the same.
    async fn twin(&self, lacking: &Lacking, path: &Path) -> Result<Option<&Node>, ActError> {
        for other in self.cx.cluster.masters.iter().filter(|m| m.name != self.node.name) {
            let theirs = self.cx.cert(&other.name, path).await?;
            let fits = theirs.key_fingerprint == lacking.now.key_fingerprint
                && theirs.issuer == lacking.now.issuer
                && lacking.wanted.iter().all(|s| theirs.sans.contains(s))
                && theirs.valid_at(jiff::Timestamp::now().as_second());
            if fits {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    async fn replace(&self, lacking: &Lacking) -> Result<(Box<dyn Act>, UndoAct, CertChange), ActError> {
        let path = self.cx.cluster.etcd.cert(lacking.pair);
        let state = self.cx.stat_one(&self.node.name, &path).await?;
        let backup = self.cx.kept(KIND, &path);
        let mut notes = vec![tr!(
            "key kept ({key_type}); subject kept: {subject}",
            key_type = lacking.now.key_type,
            subject = lacking.now.subject
        )];
        let act: Box<dyn Act> = if let Some(twin) = self.twin(lacking, &path).await? {
            let theirs = self.cx.stat_one(&twin.name, &path).await?;
            notes.push(tr!("the same certificate as {name}'s", name = twin.name));
            Box::new(CopyFile {
                from: twin.name.clone(),
                from_path: path.clone(),
                secret: false,
                size: theirs.size,
                to: self.node.name.clone(),
                to_path: path.clone(),
                mode: state.mode,
                owner: owner_of(&state),
                sha256: theirs.sha256.unwrap_or_default(),
                backup: Some(backup.clone()),
            })
        } else {
            notes.push(self.lifetime_note(&lacking.now));
            Box::new(IssueCert {
                ca_host: self.cx.ca_host()?.name.clone(),
                ca: self.cx.cluster.etcd.ca(),
                ca_key: self.cx.cluster.etcd.ca_key(),
                template_host: self.node.name.clone(),
                template: path.clone(),
                host: self.node.name.clone(),
                path: path.clone(),
                mode: state.mode,
                owner: owner_of(&state),
                backup: Some(backup.clone()),
                sans: lacking.wanted.clone(),
                lifetime_days: self.cx.cluster.lifetime_days,
                key: ForKey::Kept,
            })
        };
        let undo = UndoAct::RestoreFile { host: self.node.name.to_string(), path: path.clone(), backup };
        let sans = SanDiff::between(&lacking.now.sans, &lacking.wanted);
        Ok((act, undo, CertChange { host: self.node.name.clone(), path, sans, notes }))
    }

    fn lifetime_note(&self, now: &CertInfo) -> String {
        let kept = (now.not_after - now.not_before) / 86_400;
        let days = self.cx.cluster.lifetime_days.map_or(kept, i64::from);
        let long = if days > LONG_LIFETIME_DAYS {
            trs!("; over 825 days: `certificates: { lifetime_days: … }` shortens it")
        } else {
            ""
        };
        tr!("lifetime {days} days{long}", days = days, long = long)
    }
}

/// A client certificate without names needs none: it is never looked up by address.
fn needs(pair: EtcdPair, now: &CertInfo, wanted: &[San]) -> bool {
    let nameless_client = pair == EtcdPair::Client && now.sans.is_empty();
    !nameless_client && wanted.iter().any(|s| !now.sans.contains(s))
}

/// Whether this etcd re-reads its pairs on each handshake: since 3.2.0, and for certificates with addresses only since
/// 3.2.19 and 3.3.4 (etcd CHANGELOG).
fn rereads(version: Option<Version>, addresses_only: bool) -> bool {
    let Some(version) = version else { return false };
    let since = match (addresses_only, version) {
        (true, Version(3, 3, _)) => Version(3, 3, 4),
        (true, _) => Version(3, 2, 19),
        (false, _) => Version(3, 2, 0),
    };
    version >= since
}

#[async_trait]
impl Step for Reissue {
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
        let lacking = self.lacking().await?;
        if lacking.is_empty() {
            return Ok(Probe::Done(trs!("its certificates have every address").into()));
        }
        let which = lacking.iter().map(|l| l.pair.to_string()).collect::<Vec<_>>().join(", ");
        Ok(Probe::Todo(tr!("{which}: joiners' addresses are missing", which = which)))
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let lacking = self.lacking().await?;
        let etcd = &self.cx.cluster.etcd;
        let (mut acts, mut undo, mut certs) = (Vec::new(), Vec::new(), Vec::new());
        for one in &lacking {
            let (act, back, change) = self.replace(one).await?;
            acts.push(act);
            undo.push(back);
            certs.push(change);
        }
        let addresses_only = lacking.iter().all(|l| l.now.sans.iter().all(|s| matches!(s, San::Ip(_))));
        let restart = !rereads(version(&self.cx), addresses_only);
        let pid = self.cx.unit(&self.node.name, &etcd.unit).await?.main_pid;
        *self.pid.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (!restart).then_some(pid);
        if restart {
            acts.push(Box::new(MoveLeaderAway { host: self.node.name.clone() }));
            acts.push(RunOp::act(&self.node.name, Op::Systemctl { verb: UnitVerb::Restart, unit: etcd.unit.clone() }));
            acts.push(Box::new(WaitMember {
                host: self.node.name.clone(),
                unit: etcd.unit.clone(),
                peer_url: self.cx.cluster.peer_url(&self.node),
                want: Want::HealthyVoter,
                deadline: Duration::from_mins(2),
            }));
        }
        let risk = if restart { Risk::Disruptive } else { Risk::Reversible };
        let mut plan = Plan::new(risk, acts, undo, texts::undo_card(KIND));
        plan.view.certs = certs;
        plan.view.expected = texts::expected(KIND);
        if restart {
            plan.view.down_meanwhile = Some(tr!(
                "etcd on {name} restarts: this version reads its certificates only at start",
                name = self.node.name
            ));
        } else {
            plan.view.notes.push(tr!(
                "etcd on {name} keeps running (process {pid}): it re-reads its pairs on each handshake",
                name = self.node.name,
                pid = pid
            ));
        }
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        gate::quorum(&self.cx, gate::About::Touch(&self.node)).await
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let mut proofs = self.cx.prove_served(&self.node).await?;
        let lacking = self.lacking().await?;
        if let Some(l) = lacking.first() {
            return Err(ActError::NotProven(tr!(
                "{name}: {pair} still lacks names; run again",
                name = self.node.name,
                pair = l.pair
            )));
        }
        let pid = *self.pid.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(before) = pid {
            let now = self.cx.unit(&self.node.name, &self.cx.cluster.etcd.unit).await?.main_pid;
            if now != before {
                return Err(ActError::NotProven(tr!(
                    "{name}: etcd restarted meanwhile (process {before}, now {now}); look at its journal",
                    name = self.node.name,
                    before = before,
                    now = now
                )));
            }
            proofs.push(tr!("etcd is still process {now}", now = now));
        }
        Ok(proofs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_reread_are_left_running() {
        assert!(rereads(Some(Version(3, 4, 23)), true));
        assert!(rereads(Some(Version(3, 3, 25)), true));
        assert!(!rereads(Some(Version(3, 3, 3)), true));
        assert!(rereads(Some(Version(3, 3, 3)), false));
        assert!(!rereads(Some(Version(3, 2, 18)), true));
        assert!(rereads(Some(Version(3, 2, 20)), true));
        assert!(!rereads(Some(Version(3, 1, 9)), false));
        assert!(!rereads(None, false), "a version that is not known is restarted with care");
    }
}
