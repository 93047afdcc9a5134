//! What shows only when values are seen side by side: duplicates, contradictions, and remarks worth making.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{
    Problems,
    fields::Spot,
    hosts::{Host, list_key},
    layout::Layout,
};
use crate::cluster::{Notice, Role, SshSettings, quorum, tolerated};

/// Hosts that share a name, an address, or the place where one logs in to them.
pub(super) fn duplicates(problems: &mut Problems, all: &[&Host], ssh: &SshSettings) {
    let mut names: HashMap<&str, &Host> = HashMap::new();
    let mut addresses: HashMap<IpAddr, &Host> = HashMap::new();
    let mut logins: HashMap<Login, &Host> = HashMap::new();
    for host in all.iter().copied() {
        let same_name = host.name.as_ref().and_then(|n| seen(&mut names, n.value.as_str(), host));
        let same_address = host.address.as_ref().and_then(|a| seen(&mut addresses, a.value, host));
        let same_login = login(host, ssh).and_then(|l| seen(&mut logins, l, host));
        match (same_name, same_address) {
            (Some(a), Some(b)) if std::ptr::eq(a, b) => same_host(problems, host, a),
            (None, None) => {
                if let Some(first) = same_login {
                    one_machine(problems, host, first);
                }
            }
            (name, address) => {
                if let Some(first) = name {
                    shared_name(problems, host, first);
                }
                if let Some(first) = address {
                    shared_address(problems, host, first);
                }
            }
        }
    }
}

fn seen<'h, K: std::hash::Hash + Eq>(map: &mut HashMap<K, &'h Host>, key: K, host: &'h Host) -> Option<&'h Host> {
    match map.entry(key) {
        std::collections::hash_map::Entry::Occupied(first) => Some(*first.get()),
        std::collections::hash_map::Entry::Vacant(slot) => {
            slot.insert(host);
            None
        }
    }
}

/// Where SSH ends up: host, port and bastion.
type Login = (String, u16, Option<String>);

fn login(host: &Host, all: &SshSettings) -> Option<Login> {
    let target = match &host.ssh.host {
        Some(name) => name.to_ascii_lowercase(),
        None => host.address.as_ref()?.value.to_string(),
    };
    let port = host.ssh.port.or(all.port).unwrap_or(22);
    Some((target, port, host.ssh.jump.clone().or_else(|| all.jump.clone())))
}

/// The second host has both name and address of the first.
fn same_host(problems: &mut Problems, host: &Host, first: &Host) {
    let (label, line) = (host.label(), first.line);
    let (what, remedy) = match (first.role, host.role) {
        (Role::Original, Role::Joiner) => (
            tr!("{label} is a member already, on line {line} under `masters`", label = label, line = line),
            trs!("remove it from `join`: only hosts without etcd are joined").to_owned(),
        ),
        (Role::Joiner, Role::Worker) => (
            tr!("{label} is to become a master on line {line} and is a worker here", label = label, line = line),
            trs!("remove it from `workers`: a master's own apiserver takes the port of the worker's proxy").to_owned(),
        ),
        _ => (
            tr!(
                "{label} stands here a second time, after line {line} under `{role}`",
                label = label,
                line = line,
                role = list_key(first.role)
            ),
            trs!("remove one of the two").to_owned(),
        ),
    };
    problems.add(host.line, what, remedy);
}

fn shared_name(problems: &mut Problems, host: &Host, first: &Host) {
    let Some(name) = &host.name else { return };
    problems.add(
        name.line,
        tr!(
            "the name `{name}` is taken by the host on line {line} under `{role}`",
            name = name.value,
            line = first.line,
            role = list_key(first.role)
        ),
        trs!("give each host its own name: etcd tells its members apart by it"),
    );
}

fn shared_address(problems: &mut Problems, host: &Host, first: &Host) {
    let Some(address) = &host.address else { return };
    let (ip, other, line) = (address.value, first.label(), first.line);
    let (what, remedy) = if (first.role, host.role) == (Role::Original, Role::Joiner) {
        (
            tr!(
                "{label} has the address {ip} of {other} (line {line}), which is a member already",
                label = host.label(),
                ip = ip,
                other = other,
                line = line
            ),
            trs!("give the new host's own address"),
        )
    } else {
        (
            tr!(
                "{label} has the address {ip} of {other} (line {line}, `{role}`)",
                label = host.label(),
                ip = ip,
                other = other,
                line = line,
                role = list_key(first.role)
            ),
            trs!("give each host its own address"),
        )
    };
    problems.add(address.line, what, remedy);
}

fn one_machine(problems: &mut Problems, host: &Host, first: &Host) {
    problems.add(
        host.ssh_host_line.unwrap_or(host.line),
        tr!(
            "logging in to {label} would end on the same machine as {other} (line {line})",
            label = host.label(),
            other = first.label(),
            line = first.line
        ),
        trs!("give each host its own `ssh.host` or `ssh.port`"),
    );
}

/// A node registers with `NAME.DOMAIN` as a label value, of which Kubernetes takes at most 63 characters.
pub(super) fn long_names(problems: &mut Problems, all: &[&Host], domain: Option<&Spot<String>>) {
    let Some(domain) = domain else { return };
    for host in all {
        let Some(name) = &host.name else { continue };
        let length = name.value.as_str().len() + 1 + domain.value.len();
        if length > 63 {
            problems.add(
                name.line,
                tr!(
                    "the node name `{name}.{domain}` has {length} characters and Kubernetes takes 63",
                    name = name.value,
                    domain = domain.value,
                    length = length
                ),
                tr!("shorten the name, or the domain on line {line}", line = domain.line),
            );
        }
    }
}

/// Two listeners of one master on one port.
pub(super) fn ports(problems: &mut Problems, layout: &Layout) {
    let listeners = [
        ("layout.etcd.client_port", layout.etcd.client_port),
        ("layout.etcd.peer_port", layout.etcd.peer_port),
        ("layout.kubernetes.api_port", layout.kube.api_port),
    ];
    for (i, (key, port)) in listeners.iter().enumerate() {
        let Some((other, _)) = listeners[..i].iter().find(|(_, p)| p == port) else { continue };
        let line = layout.lines.get(*key).max(layout.lines.get(*other)).copied();
        problems.add(
            line.unwrap_or_default().max(1),
            tr!("`{key}` and `{other}` are both {port}", key = key, other = other, port = port),
            trs!("give each its own port, as the running cluster has them"),
        );
    }
}

/// Paths that would destroy or copy each other.
pub(super) fn paths(problems: &mut Problems, layout: &Layout) {
    let (etcd, kube) = (&layout.etcd, &layout.kube);
    let backup: (&str, &Path) = ("layout.backup_dir", &layout.backup_dir);
    let data: (&str, &Path) = ("layout.etcd.data", &etcd.data);
    let places: [(&str, &PathBuf); 9] = [
        ("layout.etcd.dir", &etcd.dir),
        ("layout.etcd.config", &etcd.config),
        ("layout.etcd.pki", &etcd.pki),
        ("layout.etcd.bin", &etcd.bin),
        ("layout.etcd.unit_file", &etcd.unit_file),
        ("layout.kubernetes.dir", &kube.dir),
        ("layout.kubernetes.manifests", &kube.manifests),
        ("layout.kubernetes.pki", &kube.pki),
        ("layout.kubernetes.issue_dir", &kube.issue_dir),
    ];
    let mut clash = |a: (&str, &Path), b: (&str, &Path), why: &str, remedy: &str| {
        let line = layout.lines.get(a.0).max(layout.lines.get(b.0)).copied();
        let what = format!("`{}` ({}) {why} `{}` ({})", a.0, a.1.display(), b.0, b.1.display());
        problems.add(line.unwrap_or(1), what, remedy);
    };
    if let Some((key, path)) = places.into_iter().find(|(_, path)| path.starts_with(data.1)) {
        let remedy = trs!("keep them apart: the data directory is emptied when a join is taken back");
        clash((key, path.as_path()), data, trs!("lies in"), remedy);
    }
    let saved: [(&str, &Path); 4] =
        [("layout.etcd.dir", &etcd.dir), ("layout.etcd.pki", &etcd.pki), data, ("layout.kubernetes.dir", &kube.dir)];
    if let Some(around) = saved.into_iter().find(|(_, dir)| backup.1.starts_with(dir)) {
        clash(backup, around, trs!("lies in"), trs!("put backups elsewhere: a backup would copy the ones before it"));
    }
    if etcd.config == etcd.unit_file {
        let (a, b): ((&str, &Path), (&str, &Path)) =
            (("layout.etcd.config", &etcd.config), ("layout.etcd.unit_file", &etcd.unit_file));
        clash(a, b, trs!("is the same file as"), trs!("name the environment file and the unit file each"));
    }
}

/// What remarks are made from.
pub(super) struct Valid<'a> {
    pub(super) all: &'a [&'a Host],
    pub(super) ssh: &'a SshSettings,
    pub(super) join_line: Option<usize>,
    pub(super) lifetime: Option<&'a Spot<u32>>,
}

/// Remarks about a file that is valid.
pub(super) fn notices(file: &Valid<'_>) -> Vec<Notice> {
    let count = |role| file.all.iter().filter(|h| h.role == role).count();
    let (now, joining) = (count(Role::Original), count(Role::Joiner));
    let mut texts = growth(now, now + joining).into_iter().map(|t| (file.join_line, t)).collect::<Vec<_>>();
    let addresses = || file.all.iter().filter_map(|h| h.address.as_ref());
    if let Some(odd) = addresses().find(|a| a.value.is_ipv6() != addresses().next().is_some_and(|f| f.value.is_ipv6()))
    {
        texts.push((
            Some(odd.line),
            trs!("IPv4 and IPv6 addresses are mixed; every host must reach every other in both families, and the handshake \
             rehearsal will show whether they do.")
                .into(),
        ));
    }
    if let Some(days) = file.lifetime
        && let Some(text) = lifetime(days.value)
    {
        texts.push((Some(days.line), text));
    }
    if let Some(user) = &file.ssh.user
        && user != "root"
        && file.ssh.sudo.is_none()
    {
        let text =
            tr!("The login is `{user}` and `ssh.sudo` is not set; the work on the hosts needs root.", user = user);
        texts.push((None, text));
    }
    texts.into_iter().map(|(line, text)| Notice { line, text }).collect()
}

fn lifetime(days: u32) -> Option<String> {
    match days {
        826.. => Some(tr!(
            "Certificates of {days} days: over 825 some clients refuse them, and a stolen key stays good for as long.",
            days = days
        )),
        0..30 => Some(tr!(
            "Certificates of {days} days: renew them in time, etcd cannot be reached with expired ones.",
            days = days
        )),
        _ => None,
    }
}

/// What the quorum arithmetic says about growing from `now` voters to `then`.
fn growth(now: usize, then: usize) -> Vec<String> {
    let mut texts = Vec::new();
    if now == 0 || then == now {
        return texts;
    }
    let failures = |n: usize| match tolerated(n) {
        0 => trs!("no failure").to_owned(),
        1 => trs!("1 failure").to_owned(),
        t => tr!("{times} failures", times = t),
    };
    if then.is_multiple_of(2) {
        texts.push(tr!("{then} masters: quorum {quorum}, survives {survives}, the same as {fewer} (quorum {same}). The last one adds load and no safety; join \
             one host more or one fewer where you can.", then = then, quorum = quorum(then), survives = failures(then), fewer = then - 1, same = quorum(then - 1)));
    }
    if now <= 2 {
        texts.push(tr!("Growing from {now}: with 2 voters quorum is {quorum}, so while there are two, either of them failing stops etcd. From \
             the third voter on 1 may fail.", now = now, quorum = quorum(2)));
    }
    if then > 7 {
        texts.push(tr!("{then} masters: quorum {quorum}, survives {survives}. etcd advises at most 7 voters: each write waits for {quorum2} of them to put \
             it on disk.", then = then, quorum = quorum(then), survives = failures(then), quorum2 = quorum(then)));
    }
    texts
}
