//! One apiserver at a time: the new certificate and the full list of etcd members together, so that it restarts once.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    super::gate,
    cert::cert_path,
    lacking,
    manifests::{self, Dir},
    workshop,
};
use crate::{
    cluster::{Cluster, Node, url},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            apiserver::{Goal, ParkManifest, WaitApiserver, Wanted, client, healthz, own, processes},
            issue::{ForKey, IssueCert},
            run::{CopyFile, RunOp},
        },
        plan::{CertChange, FileDiff},
    },
    pki::{CertInfo, San, SanDiff},
    remote::{Content, Op, container::ContainerOp, tls::TlsClient},
    runbook::{
        Ctx,
        edit::{EditError, manifest},
        etcd::wanted_sans,
        owner_of, texts,
    },
    survey::{FileState, Finding, Severity},
};

const KIND: &str = "apiserver.rollout";

/// Most time for a new process to be healthy; the kubelet of an old release looks at its files every 20 s only.
const NEW_PROCESS: Duration = Duration::from_mins(5);

/// How long an apiserver whose files are right may get right by itself.
const PATIENCE: Duration = Duration::from_secs(45);

pub(super) struct Rollout {
    cx: Arc<Ctx>,
    node: Node,
}

/// A master as it is and as it will be.
struct Look {
    dir: Dir,
    /// The manifest's new text.
    after: String,
    /// Flags whose new value the process has to have, and the old ones.
    flags: Vec<(String, String)>,
    old_flags: Vec<(String, String)>,
    cert_path: PathBuf,
    cert: CertInfo,
    /// Whether the file on this master is to be replaced.
    stale_cert: bool,
}

impl Rollout {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    async fn look(&self) -> Result<Look, ActError> {
        let dir = manifests::look(&self.cx, &self.node.name).await?;
        let file = &dir.apiserver;
        let told = |e: EditError| ActError::NotProven(format!("{}: {} {e}", self.node.name, file.path.display()));
        let edited = edited(&self.cx.cluster, &file.text).map_err(told)?;
        let cert_path = cert_path(&self.cx, &self.node.name).await?;
        let cert = self.cx.cert(&self.node.name, &cert_path).await?;
        let issued = self.issued().await?;
        let behind_issue = issued.is_some_and(|(issued, _)| {
            let other = issued.key_fingerprint == cert.key_fingerprint && issued.fingerprint != cert.fingerprint;
            other && lacking(&self.cx.cluster, &issued.sans).is_empty()
        });
        let stale_cert = !lacking(&self.cx.cluster, &cert.sans).is_empty() || behind_issue;
        let (flags, old_flags) = (edited.flags, edited.old);
        Ok(Look { after: edited.text, flags, old_flags, cert_path, cert, stale_cert, dir })
    }

    /// The certificate as issued last, and its file.
    async fn issued(&self) -> Result<Option<(CertInfo, FileState)>, ActError> {
        let shop = workshop(&self.cx).await?;
        let Some(cert) = self.cx.cert_if_any(&shop.host, &shop.cert).await? else { return Ok(None) };
        Ok(Some((cert, self.cx.stat_one(&shop.host, &shop.cert).await?)))
    }

    fn goal(&self, look: &Look, not: Option<(u32, u64)>) -> Goal {
        let names = self.cx.cluster.all_masters().map(|n| San::Ip(n.address)).collect();
        let wanted = Wanted { flags: look.flags.clone(), names, not };
        Goal { cluster: self.cx.cluster.clone(), node: self.node.clone(), wanted }
    }

    async fn client(&self) -> Result<TlsClient, ActError> {
        client(&self.cx.cluster, &self.cx.remote).await
    }

    /// The other originals, which serve meanwhile.
    fn others(&self) -> impl Iterator<Item = &Node> {
        self.cx.cluster.masters.iter().filter(|m| m.name != self.node.name)
    }

    /// The certificate for this master: the issued file where it is for the same key, else its own signed anew.
    async fn new_cert(&self, look: &Look) -> Result<(Box<dyn Act>, UndoAct, CertChange), ActError> {
        let state = self.cx.stat_one(&self.node.name, &look.cert_path).await?;
        let (mode, owner) = (state.mode, owner_of(&state));
        let backup = self.cx.kept(KIND, &look.cert_path);
        let shop = workshop(&self.cx).await?;
        let same_key = |(i, _): &(CertInfo, FileState)| i.key_fingerprint == look.cert.key_fingerprint;
        let (act, sans, note): (Box<dyn Act>, _, _) = if let Some((issued, file)) =
            self.issued().await?.filter(same_key)
        {
            // Seen before it is signed, in a plan: shown as it will be, and no file that comes fits an empty checksum.
            let signed = lacking(&self.cx.cluster, &issued.sans).is_empty();
            let copy = CopyFile {
                from: shop.host.clone(),
                from_path: shop.cert.clone(),
                secret: false,
                size: file.size,
                to: self.node.name.clone(),
                to_path: look.cert_path.clone(),
                mode,
                owner,
                sha256: file.sha256.filter(|_| signed).unwrap_or_default(),
                backup: Some(backup.clone()),
            };
            let note = tr!("the one signed before, from {host}:{cert}", host = shop.host, cert = shop.cert.display());
            (Box::new(copy), issued.sans, note)
        } else {
            let sans = wanted_sans(&self.cx.cluster, &look.cert.sans);
            let issue = IssueCert {
                ca_host: shop.host.clone(),
                ca: shop.ca.clone(),
                ca_key: shop.ca_key.clone(),
                template_host: self.node.name.clone(),
                template: look.cert_path.clone(),
                host: self.node.name.clone(),
                path: look.cert_path.clone(),
                mode,
                owner,
                backup: Some(backup.clone()),
                sans: sans.clone(),
                lifetime_days: self.cx.cluster.lifetime_days,
                key: ForKey::Kept,
            };
            (Box::new(issue), sans, trs!("this master has a key of its own: signed for that key").to_owned())
        };
        let (host, path) = (self.node.name.clone(), look.cert_path.clone());
        let undo = UndoAct::RestoreFile { host: host.to_string(), path: path.clone(), backup };
        let change = CertChange { host, path, sans: SanDiff::between(&look.cert.sans, &sans), notes: vec![note] };
        Ok((act, undo, change))
    }

    async fn new_manifest(&self, look: &Look) -> Result<(Box<dyn Act>, UndoAct, FileDiff), ActError> {
        let file = &look.dir.apiserver;
        let there = if file.parked { crate::remote::container::parked(&file.path) } else { file.path.clone() };
        let state = self.cx.stat_one(&self.node.name, &there).await?;
        let (path, backup) = (file.path.clone(), self.cx.kept(KIND, &file.path));
        let write = Op::WriteFile {
            path: path.clone(),
            content: Content::Text(look.after.clone()),
            mode: state.mode,
            owner: owner_of(&state),
            backup: Some(backup.clone()),
        };
        let kube = &self.cx.cluster.kube;
        let undo = UndoAct::RestoreManifest {
            host: self.node.name.to_string(),
            path: path.clone(),
            backup,
            flags: look.old_flags.clone(),
            address: self.node.address,
            port: kube.api_port,
            ca: kube.ca(),
            admin_conf: kube.admin_conf.clone(),
        };
        let diff =
            FileDiff { host: self.node.name.clone(), path, before: Some(file.text.clone()), after: look.after.clone() };
        Ok((RunOp::act(&self.node.name, write), undo, diff))
    }

    fn meanwhile(&self) -> String {
        let others = self.others().map(|n| n.name.to_string()).collect::<Vec<_>>();
        if others.is_empty() {
            return tr!(
                "the API: {name} is the only master. What runs goes on running; nothing is scheduled, changed or watched until its apiserver is back",
                name = self.node.name
            );
        }
        tr!(
            "the apiserver on {name}; the API is served by {others} meanwhile",
            name = self.node.name,
            others = others.join(", ")
        )
    }
}

/// A manifest with every member and the right count.
struct Edited {
    text: String,
    flags: Vec<(String, String)>,
    old: Vec<(String, String)>,
}

fn edited(cluster: &Cluster, text: &str) -> Result<Edited, EditError> {
    let servers = manifest::flag(text, "etcd-servers")?.ok_or_else(|| EditError::Missing("etcd-servers".into()))?;
    let mut changes = vec![("etcd-servers".to_owned(), servers.clone(), all_members(cluster, &servers))];
    if let Some(count) = manifest::flag(text, "apiserver-count")? {
        changes.push(("apiserver-count".to_owned(), count, cluster.all_masters().count().to_string()));
    }
    let mut out = text.to_owned();
    for (flag, old, new) in &changes {
        if old != new {
            out = manifest::set_flag(&out, flag, new)?;
        }
    }
    let old = changes.iter().map(|(f, o, _)| (f.clone(), o.clone())).collect();
    let flags = changes.into_iter().map(|(f, _, n)| (f, n)).collect();
    Ok(Edited { text: out, flags, old })
}

/// The list as it is, with the members that it lacks. One that names its own host's etcd alone stays so.
fn all_members(cluster: &Cluster, servers: &str) -> String {
    let listed: Vec<&str> = servers.split(',').map(|s| s.trim_end_matches('/')).collect();
    let own_only = |s: &&str| s.contains("//127.0.0.1:") || s.contains("//[::1]:") || s.contains("//localhost:");
    if listed.iter().all(own_only) {
        return servers.to_owned();
    }
    let port = cluster.etcd.client_port;
    let spelled = |n: &Node| {
        [url(n.address, port), format!("https://{}:{port}", n.name), format!("https://{}:{port}", cluster.node_name(n))]
    };
    let has = |n: &Node| spelled(n).iter().any(|s| listed.contains(&s.as_str()));
    let form = cluster.masters.iter().find_map(|m| spelled(m).iter().position(|s| listed.contains(&s.as_str())));
    let missing = cluster.all_masters().filter(|n| !has(n)).map(|n| spelled(n)[form.unwrap_or(0)].clone());
    std::iter::once(servers.to_owned()).chain(missing).collect::<Vec<_>>().join(",")
}

#[async_trait]
impl Step for Rollout {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: Some(self.node.name.clone()) }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Certificate
    }

    fn title(&self) -> String {
        texts::title(KIND, Some(&self.node.name))
    }

    fn risk(&self) -> Risk {
        Risk::Disruptive
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let look = self.look().await?;
        if !look.dir.stray.is_empty() {
            return Ok(Probe::Blocked(look.dir.stray));
        }
        if look.stale_cert || look.dir.apiserver.parked || look.after != look.dir.apiserver.text {
            let missing =
                lacking(&self.cx.cluster, &look.cert.sans).iter().map(ToString::to_string).collect::<Vec<_>>();
            let names = if missing.is_empty() {
                trs!("as issued").into()
            } else {
                tr!("without {missing}", missing = missing.join(", "))
            };
            let members = look.old_flags[0].1.split(',').count();
            return Ok(Probe::Todo(tr!(
                "certificate {names}; manifest with {members} etcd servers",
                names = names,
                members = members
            )));
        }
        Ok(match self.goal(&look, None).seen(&self.cx.remote, &self.client().await?).await {
            Ok(proof) => Probe::Done(proof),
            Err(missing) => Probe::Todo(tr!("its files are right, the apiserver is not: {missing}", missing = missing)),
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let look = self.look().await?;
        let (mut acts, mut undo, mut certs, mut diffs): (Vec<Box<dyn Act>>, Vec<_>, Vec<_>, Vec<_>) =
            Default::default();
        let file = &look.dir.apiserver;
        if file.parked {
            let back = ContainerOp::Park { manifest: file.path.clone(), back: true };
            acts.push(RunOp::act(&self.node.name, Op::Container(back)));
        }
        if look.stale_cert {
            let (act, back, change) = self.new_cert(&look).await?;
            acts.push(act);
            undo.push(back);
            certs.push(change);
        }
        // Two may run at this moment, after a change that is not over: the one that serves is to be replaced.
        let port = self.cx.cluster.kube.api_port;
        let running = processes(&self.cx.remote, &self.node.name).await?;
        let old = running.iter().find(|p| p.ports.contains(&port)).map(|p| (p.pid, p.start));
        let changed = look.after != file.text;
        if changed {
            let (act, back, diff) = self.new_manifest(&look).await?;
            acts.push(act);
            undo.push(back);
            diffs.push(diff);
        } else if !file.parked {
            let (goal, manifest) = (self.goal(&look, None), file.path.clone());
            acts.push(Box::new(ParkManifest { goal, manifest, patience: PATIENCE, deadline: NEW_PROCESS }));
        }
        let goal = self.goal(&look, old.filter(|_| changed));
        acts.push(Box::new(WaitApiserver { goal, deadline: NEW_PROCESS }));
        let mut plan = Plan::new(Risk::Disruptive, acts, undo, texts::undo_card(KIND));
        (plan.view.certs, plan.view.diffs) = (certs, diffs);
        plan.view.down_meanwhile = Some(self.meanwhile());
        plan.view.expected = texts::expected(KIND);
        plan.view.notes.push(trs!("kubelet starts the new apiserver; the old one closes its port at once and serves its open requests to their end").into());
        if look.flags[0].1 == look.old_flags[0].1 && look.old_flags[0].1.split(',').count() == 1 {
            plan.view.notes.push(tr!(
                "--etcd-servers stays {flags}: this apiserver uses its own host's member alone",
                flags = look.flags[0].1
            ));
        }
        Ok(plan)
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let mut findings = gate::quorum(&self.cx, gate::About::Touch(&self.node)).await?;
        let seen = self.cx.membership().await?;
        let mut block = |node: &Node, what: String, why: &str, remedy: String| {
            findings.push(Finding {
                severity: Severity::Block,
                host: Some(node.name.clone()),
                what,
                why: why.into(),
                remedy,
            });
        };
        for joiner in &self.cx.cluster.join {
            if !seen.by_peer_url(&self.cx.cluster.peer_url(joiner)).is_some_and(|m| m.started() && !m.learner) {
                block(
                    joiner,
                    tr!("{name} is no voter of etcd yet", name = joiner.name),
                    trs!("an apiserver that is told of a member which does not answer waits for it"),
                    tr!("let {name} join etcd first (chapter 2)", name = joiner.name),
                );
            }
        }
        let client = self.client().await?;
        let asked = self.others().map(|n| healthz(&self.cx.remote, &client, &n.name, own(&self.cx.cluster, n)));
        for (node, answer) in self.others().zip(futures::future::join_all(asked).await) {
            if let Err(why) = answer {
                block(
                    node,
                    tr!("the apiserver on {name} is not healthy: {why}", name = node.name, why = why),
                    trs!("two apiservers would be down at the same time"),
                    tr!(
                        "repair {name} first (kubelet's journal, the container's log), then come back",
                        name = node.name
                    ),
                );
            }
        }
        Ok(findings)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let look = self.look().await?;
        if look.stale_cert || look.after != look.dir.apiserver.text || look.dir.apiserver.parked {
            return Err(ActError::NotProven(tr!(
                "{name}: its files are not as written; run again",
                name = self.node.name
            )));
        }
        if let Some(stray) = look.dir.stray.first() {
            return Err(ActError::NotProven(format!("{}; {}", stray.what, stray.remedy)));
        }
        let proof = self.goal(&look, None).seen(&self.cx.remote, &self.client().await?).await.map_err(|why| {
            ActError::NotProven(tr!("{name}: {why}; look at kubelet's journal", name = self.node.name, why = why))
        })?;
        let members = look.flags[0].1.split(',').count();
        Ok(vec![
            proof,
            tr!(
                "{name}: it runs with {members} etcd servers, /healthz is ok",
                name = self.node.name,
                members = members
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        let text = "cluster: c\ndomain: x.y\nmasters: [{name: m1, address: 10.0.0.1}, {name: m2, address: 10.0.0.2}]\njoin: [{name: m3, address: 10.0.0.3}]\n";
        crate::cluster::file::parse(text, std::path::Path::new("c.yaml"), None).unwrap()
    }

    #[test]
    fn members_are_added_in_the_form_of_those_that_are_listed() {
        let grown = |s: &str| all_members(&cluster(), s);
        let (a, b, c) = ("https://10.0.0.1:2379", "https://10.0.0.2:2379", "https://10.0.0.3:2379");
        assert_eq!(grown(&format!("{b},{a}")), format!("{b},{a},{c}"), "the order stays");
        assert_eq!(grown(&format!("{a},{b},{c}")), format!("{a},{b},{c}"));
        assert_eq!(grown(a), format!("{a},{b},{c}"), "an original that was forgotten is added too");
        assert_eq!(grown("https://m1:2379,https://m2:2379"), "https://m1:2379,https://m2:2379,https://m3:2379");
        assert_eq!(grown("https://127.0.0.1:2379"), "https://127.0.0.1:2379");
    }

    #[test]
    fn the_count_of_apiservers_follows_where_it_is_used() {
        let text = r#"{"spec":{"containers":[{"command":["kube-apiserver","--apiserver-count=2","--etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379"]}]}}"#;
        let out = edited(&cluster(), text).unwrap();
        assert!(out.text.contains("--apiserver-count=3") && out.text.contains("https://10.0.0.3:2379\""));
        assert_eq!(out.old[1], ("apiserver-count".into(), "2".into()));
        let again = edited(&cluster(), &out.text).unwrap();
        assert_eq!(again.text, out.text);
        assert!(matches!(edited(&cluster(), &text.replace("--etcd-servers", "--x")), Err(EditError::Missing(_))));
    }
}
