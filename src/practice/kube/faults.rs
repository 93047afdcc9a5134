//! Accidents of Kubernetes: the files that they change, and what has to be started again for them to take hold.

use std::path::PathBuf;

use super::docker;
use crate::{
    cluster::{Cluster, HostName},
    pki::{CertInfo, PrivateKey, Reissue, San, reissue},
    practice::{
        clock::epoch_ms,
        faults::Fault,
        files::{Entry, Kind},
        host::Host,
        units,
        world::World,
    },
    remote::op::{Owner, UnitVerb},
};

/// Where calico's agent finds its node's name.
const NODENAME: &str = "/var/lib/calico/nodename";

/// What an image without the stream module says.
const NO_STREAM: &str = "dlopen() \"/usr/lib/nginx/modules/ngx_stream_module.so\" failed (/usr/lib/nginx/modules/ngx_stream_module.so: cannot open shared object file: No such file or directory)";

/// The files that an accident changes, as they are afterwards.
pub fn files(fault: &Fault, world: &World, cluster: &Cluster, name: &HostName) -> Vec<(PathBuf, Entry)> {
    let Some(host) = world.hosts.get(name) else { return Vec::new() };
    let kube = &cluster.kube;
    let text = |path: &PathBuf| host.files.text(path).unwrap_or_default();
    let one = |path: PathBuf, text: String| vec![file(host, path, text)];
    let apiserver = kube.manifests.join("kube-apiserver.json");
    match fault {
        Fault::KubeletName { name, .. } => {
            let path = kube.dir.join("kubelet");
            let with_name = |line: &str| match line.split_once("--hostname-override=") {
                Some((before, rest)) => {
                    let after = rest.find([' ', '"']).map_or("", |end| &rest[end..]);
                    format!("{before}--hostname-override={name}{after}\n")
                }
                None => format!("{line}\n"),
            };
            let text = text(&path).lines().map(with_name).collect();
            one(path, text)
        }
        Fault::StrayManifest { .. } => one(kube.manifests.join("kube-apiserver.json.bak"), text(&apiserver)),
        Fault::StaleServers { .. } => {
            let without_last = |line: &str| match line.split_once("--etcd-servers=").map(|_| line.rsplit_once(',')) {
                Some(Some((list, last))) if last.contains("//") => {
                    let after = last.find('"').map_or("", |end| &last[end..]);
                    format!("{list}{after}\n")
                }
                _ => format!("{line}\n"),
            };
            let text = text(&apiserver).lines().map(without_last).collect();
            one(apiserver, text)
        }
        Fault::ApiserverSanMissing { .. } => san_missing(host, cluster).into_iter().collect(),
        Fault::OtherTokenKeys { .. } => match rcgen::KeyPair::generate() {
            Ok(pair) => vec![
                file(host, kube.pki.join("sa.key"), pair.serialize_pem()),
                file(host, kube.pki.join("sa.pub"), pair.public_key_pem()),
            ],
            Err(_) => Vec::new(),
        },
        Fault::OtherEncryption { .. } => {
            let path = kube.dir.join("encryption.yaml");
            let turned = |line: &str| match line.split_once("secret: ") {
                Some((before, key)) => format!("{before}secret: {}\n", key.chars().rev().collect::<String>()),
                None => format!("{line}\n"),
            };
            let text = text(&path).lines().map(turned).collect();
            one(path, text)
        }
        Fault::ProxyBehind { .. } => {
            let text = text(&kube.nginx_conf) + "# written after nginx was started\n";
            one(kube.nginx_conf.clone(), text)
        }
        Fault::NodenameLine { .. } => {
            let path = PathBuf::from(NODENAME);
            let text = text(&path) + "\n";
            one(path, text)
        }
        _ => Vec::new(),
    }
}

fn file(host: &Host, path: PathBuf, text: String) -> (PathBuf, Entry) {
    let old = host.files.entry(&path);
    let (mode, owner) = old.map_or_else(|| (0o644, Owner::root()), |e| (e.mode, e.owner.clone()));
    (path, Entry { kind: Kind::File(text.into()), mode, owner, mtime: host.files.now })
}

/// The apiserver's certificate without the host's own address.
fn san_missing(host: &Host, cluster: &Cluster) -> Option<(PathBuf, Entry)> {
    let pki = &cluster.kube.pki;
    let path = pki.join("apiserver.pem");
    let read = |name: &str| host.files.read(&pki.join(name)).ok();
    let (cert, ca, key) = (read("apiserver.pem")?, read("ca.pem")?, read("ca-key.pem")?);
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
    Some(file(host, path, reissue(&request).ok()?.pem))
}

/// Has the accident, or its repair, take hold where something reads its files only when it starts.
pub fn take_hold(fault: &Fault, world: &mut World, cluster: &Cluster, name: &HostName, struck: bool) {
    let now = world.clock.now();
    match fault {
        Fault::KubeletName { name: wrong, .. } => {
            if let Some(unit) = world.kube.kubelets.get(name).map(|k| k.unit.clone()) {
                units::systemctl(world, name, UnitVerb::Restart, &unit);
            }
            if !struck {
                for store in world.kube.stores.values_mut() {
                    store.remove_node(wrong);
                }
            }
        }
        Fault::ApiserverSanMissing { .. } | Fault::OtherTokenKeys { .. } | Fault::OtherEncryption { .. } => {
            world.kube.processes.retain(|p| &p.host != name || !p.is_apiserver());
            if let Some(kubelet) = world.kube.kubelets.get_mut(name) {
                kubelet.looks_anew();
            }
        }
        Fault::NginxRefuses { .. } => {
            let key = (name.clone(), cluster.kube.nginx_container.clone());
            if let Some(container) = world.kube.containers.get_mut(&key) {
                container.refuses = struck.then(|| NO_STREAM.to_owned());
                if !struck && !container.runs() {
                    docker::restart(world, name, &key.1);
                }
            }
        }
        Fault::NodenameLine { .. } => {
            for agent in world.kube.stores.values_mut().flat_map(|s| s.agents.values_mut()).filter(|a| &a.host == name)
            {
                agent.ready = (!struck).then_some(now);
            }
        }
        _ => {}
    }
}
