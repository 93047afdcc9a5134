//! Calico's etcd: the certificates in its Secret, the members in its ConfigMap, in the file both came from and in the
//! settings of calicoctl and the CNI plugin.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;

use crate::{
    cluster::{EtcdPair, HostName, Node},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            kube::{Calico, ENTRY, KubeUndo, SaveObject, SetEndpoints, SetSecret},
            run::RunOp,
        },
        plan::{CertChange, FileDiff},
    },
    pki::{CertInfo, PrivateKey, SanDiff},
    remote::{
        Content, Op, SecretBytes,
        kube::{ApiAt, KubeApi},
        run_ok,
        tree::TreeOp,
    },
    runbook::{
        Ctx,
        edit::{
            EditError,
            joiner::{self, Who},
            manifest,
        },
        owner_of, texts,
    },
};

const SECRET: &str = "calico.secret";
const ENDPOINTS: &str = "calico.endpoints";

/// Said by every step where there is nothing of it.
pub(super) const NONE: &str = mark!("no calico here that keeps its data in etcd");

/// The Secret's keys, as calico's own manifests have them.
const KEYS: [&str; 3] = ["etcd-ca", "etcd-cert", "etcd-key"];

/// Where calicoctl and the CNI plugin are told of etcd.
const SETTINGS: [&str; 2] = ["/etc/calico", "/etc/cni"];

fn names(cx: &Ctx) -> Calico {
    Calico::from(&cx.cluster.kube.calico)
}

/// Where an object is kept before a step first changes it.
fn kept(cx: &Ctx, step: &str, name: &str) -> PathBuf {
    cx.cluster.backup_dir.join(&cx.stamp).join("replaced").join(step).join(format!("{name}.json"))
}

fn save(cx: &Ctx, at: &ApiAt, step: &str, kind: &str, name: &str, object: String) -> SaveObject {
    SaveObject {
        at: at.clone(),
        object,
        what: format!("{kind} {name}"),
        namespace: names(cx).namespace,
        file: kept(cx, step, name),
    }
}

fn restore(save: &SaveObject) -> UndoAct {
    UndoAct::Kube(KubeUndo::RestoreObject {
        at: save.at.clone(),
        object: save.object.clone(),
        what: save.what.clone(),
        backup: save.file.clone(),
    })
}

/// The Secret's certificates, brought to those in use.
pub(super) struct SecretStep {
    cx: Arc<Ctx>,
}

/// What the Secret holds beside what is in use.
struct Compared {
    /// Keys whose values differ.
    differ: Vec<&'static str>,
    held: [SecretBytes; 3],
    in_use: [SecretBytes; 3],
}

impl SecretStep {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    fn files(&self) -> [PathBuf; 3] {
        let etcd = &self.cx.cluster.etcd;
        [etcd.ca(), etcd.cert(EtcdPair::Client), etcd.key(EtcdPair::Client)]
    }

    /// `None` where there is no such Secret, or it has none of the three.
    async fn compare(&self, api: &KubeApi) -> Result<Option<Compared>, ActError> {
        let Some(secret) = api.secret(&names(&self.cx).secret_path()).await? else { return Ok(None) };
        if KEYS.iter().all(|k| secret.data.get(*k).is_none_or(SecretBytes::is_empty)) {
            return Ok(None);
        }
        let empty = SecretBytes::new(Vec::new());
        let held = KEYS.map(|k| secret.data.get(k).cloned().unwrap_or_else(|| empty.clone()));
        let [ca, cert, key] = self.files();
        let host = &self.cx.source().name;
        let in_use = [
            self.cx.read_secret(host, &ca).await?,
            self.cx.read_secret(host, &cert).await?,
            self.cx.read_secret(host, &key).await?,
        ];
        let differ = (0..KEYS.len()).filter(|i| held[*i] != in_use[*i]).map(|i| KEYS[i]).collect();
        Ok(Some(Compared { differ, held, in_use }))
    }

    /// The change, without its private part.
    fn change(&self, compared: &Compared) -> CertChange {
        let [held, in_use] = [&compared.held, &compared.in_use].map(|v| CertInfo::from_pem(v[1].expose()).ok());
        let sans = |c: &Option<CertInfo>| c.as_ref().map(|c| c.sans.clone()).unwrap_or_default();
        let mut notes = vec![match (&held, &in_use) {
            (Some(old), Some(new)) => tr!(
                "{subject}: serial {serial} becomes {new}",
                subject = new.subject,
                serial = old.serial,
                new = new.serial
            ),
            (None, Some(new)) => tr!(
                "{subject}, serial {serial}; what is there now is no certificate",
                subject = new.subject,
                serial = new.serial
            ),
            _ => trs!("the certificate in use cannot be read").into(),
        }];
        let print = |v: &SecretBytes| PrivateKey::from_pem(v.expose()).ok().map(|k| k.public_key_fingerprint());
        notes.push(match (print(&compared.held[2]), print(&compared.in_use[2])) {
            (Some(old), Some(new)) if old == new => trs!("the private key stays the same").into(),
            _ => trs!("with another private key (shown nowhere)").into(),
        });
        notes.push(if compared.differ.contains(&KEYS[0]) {
            trs!("the CA file changes").into()
        } else {
            trs!("the CA stays the same").into()
        });
        CertChange {
            host: self.cx.source().name.clone(),
            path: tr!("Secret {secret}: {names}", secret = names(&self.cx).secret, names = KEYS[1]).into(),
            sans: SanDiff::between(&sans(&held), &sans(&in_use)),
            notes,
        }
    }
}

#[async_trait]
impl Step for SecretStep {
    fn id(&self) -> StepId {
        StepId { kind: SECRET, host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Start
    }

    fn title(&self) -> String {
        texts::title(SECRET, None)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let (_, api) = self.cx.kube().await?;
        Ok(match self.compare(&api).await? {
            None => Probe::Done(crate::lang::words(NONE).into()),
            Some(c) if c.differ.is_empty() => {
                Probe::Done(trs!("the Secret holds the CA and the client pair in use").into())
            }
            Some(c) => Probe::Todo(tr!("{which} of the Secret is not what is in use", which = super::listed(c.differ))),
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (at, api) = self.cx.kube().await?;
        let calico = names(&self.cx);
        let save = save(&self.cx, &at, SECRET, "secret", &calico.secret, calico.secret_path());
        let hosts = self.cx.node_hosts().into_iter().map(|(node, host)| (node, host.to_string())).collect();
        // This step is the last of calico's to be taken back, so its undo is where pods get what is there then.
        let roll = KubeUndo::RollPods { at: at.clone(), calico: calico.clone(), hosts };
        let undo = vec![restore(&save), UndoAct::Kube(roll)];
        let [ca, cert, key] = self.files();
        let files = [(KEYS[0].into(), ca), (KEYS[1].into(), cert), (KEYS[2].into(), key)];
        let set = SetSecret { at, calico, from: self.cx.source().name.clone(), files };
        let acts: Vec<Box<dyn Act>> = vec![Box::new(save.clone()), Box::new(set)];
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(SECRET));
        if let Some(compared) = self.compare(&api).await? {
            plan.view.certs.push(self.change(&compared));
        }
        plan.view.expected = texts::expected(SECRET);
        plan.view.notes.push(tr!(
            "{file} on {host} holds a private key: it is readable by root alone",
            file = save.file.display(),
            host = save.at.host
        ));
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let (_, api) = self.cx.kube().await?;
        match self.compare(&api).await? {
            Some(c) if c.differ.is_empty() => {
                let sum = Content::Secret(c.in_use[1].clone()).sha256();
                Ok(vec![tr!(
                    "Secret {secret} reads back as {name}'s client pair and CA (certificate sha256 {sum}…)",
                    secret = names(&self.cx).secret,
                    name = self.cx.source().name,
                    sum = &sum[..12]
                )])
            }
            Some(c) => Err(ActError::NotProven(tr!(
                "{which} reads back otherwise; run again",
                which = super::listed(c.differ)
            ))),
            None => Err(ActError::NotProven(trs!("the Secret is gone; somebody removed it meanwhile").into())),
        }
    }
}

/// Every member in the ConfigMap, and in the file on each master that it came from.
pub(super) struct EndpointsStep {
    cx: Arc<Ctx>,
}

impl EndpointsStep {
    pub(super) fn new(cx: Arc<Ctx>) -> Self {
        Self { cx }
    }

    /// The ConfigMap's list; `None` where there is none.
    async fn live(&self, api: &KubeApi) -> Result<Option<String>, ActError> {
        let config = api.find(&names(&self.cx).configmap_path()).await?;
        Ok(config.and_then(|c| c["data"][ENTRY].as_str().map(str::to_owned)))
    }

    /// The list with every member in it.
    fn with_all(&self, list: &str) -> String {
        let members: Vec<_> = self.cx.cluster.all_masters().map(|n| self.cx.cluster.client_url(n)).collect();
        grown(list, &members)
    }

    /// Masters' files with another list: before and after.
    async fn stale_files(&self) -> Result<Vec<StaleFile>, ActError> {
        let mut stale = self.stale_manifests().await?;
        for node in self.cx.cluster.all_masters() {
            stale.extend(self.stale_settings(node).await?);
        }
        Ok(stale)
    }

    /// The settings of calicoctl and of the CNI plugin on one master.
    async fn stale_settings(&self, node: &Node) -> Result<Vec<StaleFile>, ActError> {
        let cluster = &self.cx.cluster;
        let own = (node.name.to_string(), cluster.node_name(node), node.address);
        let who = Who {
            source: own.clone(),
            joiner: own.clone(),
            originals: cluster.masters.iter().map(|n| (n.name.to_string(), n.address)).collect(),
            all: cluster.all_masters().map(|n| n.address).collect(),
        };
        let words = cluster.masters.iter().map(|n| n.address.to_string()).collect();
        let op = Op::Tree(TreeOp::Mentions { roots: SETTINGS.map(PathBuf::from).to_vec(), except: Vec::new(), words });
        let mut stale = Vec::new();
        for path in run_ok(&*self.cx.remote, &node.name, &op).await?.text().lines().map(PathBuf::from) {
            let secret = self.cx.read_secret(&node.name, &path).await?;
            let Ok(text) = std::str::from_utf8(secret.expose()) else { continue };
            let after = match joiner::with_every_member(text, &who, &own) {
                Ok(after) if after != text => after,
                // Neither JSON nor YAML, so no settings of calico's.
                Ok(_) | Err(EditError::Unreadable(_)) => continue,
                Err(e) => return Err(ActError::NotProven(format!("{}: {} {e}", node.name, path.display()))),
            };
            let (before, shown) = (joiner::masked(text), joiner::masked(&after));
            let after = SecretBytes::new(after.into_bytes());
            stale.push(StaleFile { host: node.name.clone(), path, before, shown, after });
        }
        Ok(stale)
    }

    /// The file that Secret and ConfigMap came from, on every master that has it.
    async fn stale_manifests(&self) -> Result<Vec<StaleFile>, ActError> {
        let path = &self.cx.cluster.kube.calico.manifest;
        let mut stale = Vec::new();
        for node in self.cx.cluster.all_masters() {
            if self.cx.stat_one(&node.name, path).await?.kind != crate::survey::FileKind::File {
                continue;
            }
            // The file may hold the Secret, too: neither it nor an error may show that.
            let secret = self.cx.read_secret(&node.name, path).await?;
            let odd = |why: &str| ActError::NotProven(format!("{}: {} {why}", node.name, path.display()));
            let text =
                std::str::from_utf8(secret.expose()).map_err(|_| odd(trs!("is not UTF-8 text; mend it by hand")))?;
            let entry = manifest::config_entry(text, ENTRY)
                .map_err(|_| odd(trs!("cannot be read as YAML; mend it by hand, then run again")))?;
            let Some(list) = entry else { continue };
            let wanted = self.with_all(&list);
            if wanted == list {
                continue;
            }
            let after = manifest::set_config_entry(text, ENTRY, &wanted).map_err(|_| {
                odd(trs!("has etcd_endpoints in a form that cannot be edited in place; change it by hand"))
            })?;
            stale.push(StaleFile {
                host: node.name.clone(),
                path: path.clone(),
                before: shown(text),
                shown: shown(&after),
                after: SecretBytes::new(after.into_bytes()),
            });
        }
        Ok(stale)
    }
}

struct StaleFile {
    host: HostName,
    path: PathBuf,
    before: String,
    shown: String,
    after: SecretBytes,
}

/// The list as it is, with the members it lacks behind it.
fn grown(list: &str, members: &[String]) -> String {
    let has: Vec<_> = list.split(',').map(|e| e.trim().trim_end_matches('/')).collect();
    let missing = members.iter().filter(|m| !has.contains(&m.as_str()));
    let first = Some(list.trim()).filter(|l| !l.is_empty()).map(str::to_owned);
    first.into_iter().chain(missing.cloned()).collect::<Vec<_>>().join(",")
}

/// The file as a diff may show it: whatever looks like an encoded value of a Secret is hidden.
fn shown(text: &str) -> String {
    let hidden = |line: &str| {
        let Some((key, value)) = line.split_once(':') else { return line.to_owned() };
        let value = value.trim().trim_matches(['"', '\'']);
        let encoded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        if value.len() < 40 || !value.chars().all(encoded) {
            return line.to_owned();
        }
        tr!("{key}: (secret, {length} characters)", key = key, length = value.len())
    };
    let bare = |line: &str| {
        let trimmed = line.trim();
        let encoded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        // A value folded over lines, or PEM in clear.
        if trimmed.len() >= 40 && trimmed.chars().all(encoded) {
            trs!("    (secret line)").into()
        } else {
            hidden(line)
        }
    };
    let ending = if text.ends_with('\n') { "\n" } else { "" };
    text.lines().map(bare).collect::<Vec<_>>().join("\n") + ending
}

#[async_trait]
impl Step for EndpointsStep {
    fn id(&self) -> StepId {
        StepId { kind: ENDPOINTS, host: None }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Start
    }

    fn title(&self) -> String {
        texts::title(ENDPOINTS, None)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let (_, api) = self.cx.kube().await?;
        let Some(list) = self.live(&api).await? else { return Ok(Probe::Done(NONE.into())) };
        let mut stale: Vec<_> =
            self.stale_files().await?.iter().map(|f| format!("{}:{}", f.host, f.path.display())).collect();
        if self.with_all(&list) != list {
            stale.insert(0, trs!("the ConfigMap").into());
        }
        Ok(if stale.is_empty() {
            Probe::Done(trs!("every member is listed").into())
        } else {
            Probe::Todo(tr!("members are missing in {stale}", stale = super::listed(stale)))
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let (at, api) = self.cx.kube().await?;
        let calico = names(&self.cx);
        let (mut acts, mut undo, mut diffs): (Vec<Box<dyn Act>>, _, _) = (Vec::new(), Vec::new(), Vec::new());
        let list = self.live(&api).await?.unwrap_or_default();
        let endpoints = self.with_all(&list);
        if endpoints != list {
            let save = save(&self.cx, &at, ENDPOINTS, "configmap", &calico.configmap, calico.configmap_path());
            undo.push(restore(&save));
            acts.push(Box::new(save));
            acts.push(Box::new(SetEndpoints { at, calico: calico.clone(), endpoints: endpoints.clone() }));
            diffs.push(FileDiff {
                host: self.cx.source().name.clone(),
                path: format!("ConfigMap {}/{}: {ENTRY}", calico.namespace, calico.configmap).into(),
                before: Some(list.replace(',', ",\n")),
                after: endpoints.replace(',', ",\n"),
            });
        }
        for file in self.stale_files().await? {
            let path = &file.path;
            let state = self.cx.stat_one(&file.host, path).await?;
            let backup = self.cx.kept(ENDPOINTS, path);
            undo.push(UndoAct::RestoreFile { host: file.host.to_string(), path: path.clone(), backup: backup.clone() });
            let op = Op::WriteFile {
                path: path.clone(),
                content: Content::Secret(file.after),
                mode: state.mode,
                owner: owner_of(&state),
                backup: Some(backup),
            };
            acts.push(RunOp::act(&file.host, op));
            diffs.push(FileDiff { host: file.host, path: file.path, before: Some(file.before), after: file.shown });
        }
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(ENDPOINTS));
        plan.view.diffs = diffs;
        plan.view.expected = texts::expected(ENDPOINTS);
        plan.view
            .notes
            .push(trs!("values of Secrets in these files are hidden in the diff and stay as they are").into());
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        match self.probe().await? {
            Probe::Done(_) => {}
            Probe::Todo(now) => return Err(ActError::NotProven(tr!("{now}; run again", now = now))),
            Probe::Blocked(findings) => return Err(ActError::Gate(findings)),
        }
        let members = self.cx.cluster.all_masters().count();
        Ok(vec![tr!(
            "ConfigMap {configmap} and calico's files on the masters list all {members} members",
            configmap = names(&self.cx).configmap,
            members = members
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_added_behind_what_is_there() {
        let members = ["https://a:2379", "https://b:2379"].map(str::to_owned);
        assert_eq!(grown("https://a:2379", &members), "https://a:2379,https://b:2379");
        assert_eq!(
            grown("https://x:2379, https://b:2379/", &members),
            "https://x:2379, https://b:2379/,https://a:2379"
        );
        assert_eq!(grown("https://a:2379,https://b:2379", &members), "https://a:2379,https://b:2379");
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let key = "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpNSUlFcEFJQkFBS0NBUUVB";
        let text =
            format!("data:\n  etcd-key: {key}\n  etcd_endpoints: \"https://10.0.0.1:2379\"\n  folded: |\n    {key}\n");
        let shown = shown(&text);
        assert!(!shown.contains("LS0tLS1"), "{shown}");
        assert!(shown.contains("etcd-key: (secret, 64 characters)"));
        assert!(shown.contains("  etcd_endpoints: \"https://10.0.0.1:2379\"\n"));
    }
}
