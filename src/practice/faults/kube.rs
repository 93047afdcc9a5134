//! What Kubernetes' accidents change on a host.

use std::path::{Path, PathBuf};

use super::Fault;
use crate::{
    cluster::{Cluster, HostName, Node},
    pki::{CertInfo, PrivateKey, Reissue, San, reissue},
    practice::{
        clock::epoch_ms,
        files::{Entry, Kind},
        host::Host,
        kube::process::Process,
        pki::Authority,
        world::World,
    },
    remote::op::Owner,
};

/// Where calico's agent reads the node's name.
const NODENAME: &str = "/var/lib/calico/nodename";

/// The drop-in of another life, and the variables it brings.
const DROP_IN: &str = "/etc/systemd/system/kubelet.service.d/10-name.conf";
const OLD_NAME: &str = "/etc/systemd/system/kubelet.service.d/name";

/// What nginx says of an image without the stream module.
const REFUSES: &str = "unknown directive \"stream\"";

impl Fault {
    /// The unit that has to be started again for the fault to be there, or to be gone.
    pub(super) fn unit(&self) -> Option<&'static str> {
        matches!(self, Self::KubeletName { .. }).then_some("kubelet")
    }

    /// The files of Kubernetes that it changes, as they are afterwards.
    pub(super) fn kube_files(&self, world: &World, cluster: &Cluster, name: &HostName) -> Vec<(PathBuf, Entry)> {
        let Some(host) = world.hosts.get(name) else { return Vec::new() };
        let kube = &cluster.kube;
        match self {
            Self::KubeletName { .. } => {
                // The originals' arguments, with the name that the host had before.
                let args = world.hosts.values().find_map(|h| kubelet_args(&h.files.text(kube.dir.join("kubelet"))?));
                let args = args.unwrap_or_default();
                let wrong = format!("KUBELET_ARGS=\"{args} --hostname-override=old-{name}\"\n");
                let drop_in = format!("[Service]\nEnvironmentFile=-{OLD_NAME}\n");
                vec![made(host, OLD_NAME, wrong, 0o644), made(host, DROP_IN, drop_in, 0o644)]
            }
            Self::StrayManifest { .. } => {
                let manifest = kube.manifests.join("kube-apiserver.json");
                let Some(text) = host.files.text(&manifest) else { return Vec::new() };
                vec![made(host, kube.manifests.join("kube-apiserver.json.bak"), text, 0o644)]
            }
            Self::NodenameNewline { .. } => {
                let text = host
                    .files
                    .text(NODENAME)
                    .unwrap_or_else(|| cluster.node(name).map(|n| cluster.node_name(n)).unwrap_or_default());
                vec![made(host, NODENAME, text.trim_end().to_owned() + "\n", 0o644)]
            }
            Self::StaleEtcdServers { .. } => {
                let manifest = kube.manifests.join("kube-apiserver.json");
                let text = host.files.text(&manifest).and_then(|t| one_server(&t));
                text.map(|t| made(host, manifest, t, 0o644)).into_iter().collect()
            }
            Self::ServiceAccountKeys { .. } => {
                let Ok(other) = rcgen::KeyPair::generate() else { return Vec::new() };
                vec![
                    made(host, kube.pki.join("sa.key"), other.serialize_pem(), 0o600),
                    made(host, kube.pki.join("sa.pub"), other.public_key_pem(), 0o644),
                ]
            }
            Self::EncryptionDiffers { .. } => {
                let path = kube.dir.join("encryption.yaml");
                let text = host.files.text(&path).map(|t| other_key(&t));
                text.map(|t| made(host, path, t, 0o600)).into_iter().collect()
            }
            Self::ApiserverSanMissing { .. } => san_missing(host, &kube.pki).into_iter().collect(),
            Self::FreshCa { .. } => {
                let Ok(other) = Authority::new("kubernetes") else { return Vec::new() };
                let key = kube.pki.join("ca-key.pem");
                vec![made(host, kube.ca(), other.pem, 0o644), made(host, key, other.key, 0o600)]
            }
            Self::ProxyNotRestarted { .. } => {
                let text = host.files.text(&kube.nginx_conf).map(|t| with_joiners(&t, cluster));
                text.map(|t| made(host, &kube.nginx_conf, t, 0o644)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Ends what goes on from what it read at its start, as an engineer does after a change.
    pub(super) fn ends(&self, world: &mut World, name: &HostName) {
        let now = world.clock.now();
        match self {
            Self::ServiceAccountKeys { .. } => {
                for process in world.kube.processes.iter_mut().filter(|p| &p.host == name && !p.is_ending()) {
                    process.end(now);
                }
                if let Some(kubelet) = world.kube.kubelets.get_mut(name) {
                    kubelet.looks_anew();
                }
            }
            Self::EncryptionDiffers { .. } | Self::ApiserverSanMissing { .. } => {
                let own = |p: &&mut Process| &p.host == name && p.is_apiserver() && !p.is_ending();
                for process in world.kube.processes.iter_mut().filter(own) {
                    process.end(now);
                }
                if let Some(kubelet) = world.kube.kubelets.get_mut(name) {
                    kubelet.looks_anew();
                }
            }
            Self::NodenameNewline { .. } => {
                for store in world.kube.stores.values_mut() {
                    let failing = store.agents.iter().filter(|(_, a)| &a.host == name && a.ready.is_none());
                    for node in failing.map(|(node, _)| node.clone()).collect::<Vec<_>>() {
                        store.end_agent(&node, now);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a worker's nginx takes its configuration.
    pub(super) fn refuse(&self, world: &mut World, cluster: &Cluster, name: &HostName, refuse: bool) {
        if matches!(self, Self::NginxRefused { .. })
            && let Some(container) =
                world.kube.containers.get_mut(&(name.clone(), cluster.kube.nginx_container.clone()))
        {
            container.refuses = refuse.then(|| REFUSES.to_owned());
        }
    }
}

/// A file with that text; mode and owner of the old one, if there is one.
fn made(host: &Host, path: impl AsRef<Path>, text: String, mode: u32) -> (PathBuf, Entry) {
    let path = path.as_ref();
    let old = host.files.entry(path);
    let owner = old.map_or_else(Owner::root, |e| e.owner.clone());
    let (mode, kind) = (old.map_or(mode, |e| e.mode), Kind::File(text.into()));
    (path.to_owned(), Entry { kind, mode, owner, mtime: host.files.now })
}

/// The encryption config with another key.
fn other_key(text: &str) -> String {
    let turned = |line: &str| match line.split_once("secret: ") {
        Some((before, key)) => format!("{before}secret: {}\n", key.chars().rev().collect::<String>()),
        None => format!("{line}\n"),
    };
    text.lines().map(turned).collect()
}

/// The apiserver's certificate without the host's own address.
fn san_missing(host: &Host, pki: &Path) -> Option<(PathBuf, Entry)> {
    let path = pki.join("apiserver.pem");
    let read = |name: &str| host.files.read(&pki.join(name)).ok();
    let (cert, ca, key) = (host.files.read(&path).ok()?, read("ca.pem")?, read("ca-key.pem")?);
    let info = CertInfo::from_pem(&cert).ok()?;
    let sans: Vec<San> = info.sans.into_iter().filter(|s| *s != San::Ip(host.address)).collect();
    let request = Reissue {
        cert: &cert,
        ca: &ca,
        ca_key: &PrivateKey::from_pem(&key).ok()?,
        sans: &sans,
        new_key: None,
        lifetime_days: None,
        now: epoch_ms() / 1000,
    };
    Some(made(host, path, reissue(&request).ok()?.pem, 0o644))
}

/// kubelet's arguments without its name.
fn kubelet_args(text: &str) -> Option<String> {
    let line = text.lines().find_map(|l| l.strip_prefix("KUBELET_ARGS="))?;
    let words = line.trim_matches('"').split_whitespace().filter(|w| !w.starts_with("--hostname-override"));
    Some(words.collect::<Vec<_>>().join(" "))
}

/// The manifest with the first of etcd's servers alone.
fn one_server(text: &str) -> Option<String> {
    let at = text.find("--etcd-servers=")? + "--etcd-servers=".len();
    let end = at + text[at..].find(['"', '\'', ' ', '\n'])?;
    let first = text[at..end].split(',').next()?;
    Some(format!("{}{first}{}", &text[..at], &text[end..]))
}

/// nginx.conf with the joiners beside the last of the masters.
fn with_joiners(text: &str, cluster: &Cluster) -> String {
    let Some(last) = cluster.masters.last().map(|m| m.address.to_string()) else { return text.to_owned() };
    let mut new = String::new();
    for line in text.split_inclusive('\n') {
        new += line;
        if line.contains("server ") && line.contains(&format!("{last}:")) {
            let joined = |j: &Node| line.replace(&last, &j.address.to_string());
            new.extend(cluster.join.iter().map(joined));
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_servers_the_first_is_left() {
        let text = "\"--etcd-servers=https://a:2379,https://b:2379\",\n\"--x\"";
        assert_eq!(one_server(text).as_deref(), Some("\"--etcd-servers=https://a:2379\",\n\"--x\""));
        assert_eq!(one_server("nothing"), None);
    }

    #[test]
    fn the_key_alone_becomes_another() {
        let text = "kind: EncryptionConfig\n    - name: key1\n      secret: YWJj\n";
        assert_eq!(other_key(text), "kind: EncryptionConfig\n    - name: key1\n      secret: jJWY\n");
    }

    #[test]
    fn the_name_is_taken_out_of_kubelets_arguments() {
        let text = "A=1\nKUBELET_ARGS=\"--kubeconfig=/k --hostname-override=m --x\"\n";
        assert_eq!(kubelet_args(text).as_deref(), Some("--kubeconfig=/k --x"));
    }
}
