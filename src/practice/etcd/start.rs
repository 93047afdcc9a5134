//! How an etcd process starts, or fails to in etcd's own words.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    config::{Config, Pair},
    model::{Cas, Cluster, Process, member_id},
    words::{Words, go_members},
};
use crate::{
    cluster::HostName,
    practice::{
        files::{Entry, Errno, Kind},
        host::{Host, Power},
        tls,
        units::{self, Exit},
        world::World,
    },
    remote::{etcd::Version, op::Owner},
    survey::parse,
};

/// What a data directory remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    cluster: u64,
    member: u64,
}

/// Who runs, with what, where.
pub struct Launch {
    /// The host.
    pub host: HostName,
    /// The unit, or the rehearsal's name.
    pub unit: String,
    /// The user.
    pub user: String,
    /// The program.
    pub program: PathBuf,
    /// The process id.
    pub pid: u32,
}

/// Starts the etcd of a unit.
pub fn unit(world: &mut World, host: &HostName, unit: &str, text: &str, pid: u32) -> Result<(), Exit> {
    let program = units::setting(text, "ExecStart").unwrap_or_default().split_whitespace().next().unwrap_or_default();
    let launch = Launch {
        host: host.clone(),
        unit: unit.to_owned(),
        user: units::setting(text, "User").unwrap_or("root").to_owned(),
        program: program.into(),
        pid,
    };
    let config = world.hosts.get(host).map(|h| Config::of_unit(h, text));
    match config {
        Some(Ok(config)) => process(world, launch, config),
        Some(Err((status, why))) => {
            let words = Words::at(world, host, version(world, &launch));
            Err(Exit::new(status, vec![if status == 2 { why } else { words.fatal(&why) }]))
        }
        None => Ok(()),
    }
}

fn version(world: &World, launch: &Launch) -> Version {
    let text = world.hosts.get(&launch.host).and_then(|h| h.files.text(&launch.program)).unwrap_or_default();
    parse::etcd_version(&text).unwrap_or(Version(3, 4, 0))
}

/// Starts an etcd with those settings.
pub fn process(world: &mut World, launch: Launch, config: Config) -> Result<(), Exit> {
    let version = version(world, &launch);
    let words = Words::at(world, &launch.host, version);
    say(world, &launch, words.starting(version, &config.data.display().to_string()));
    let fatal = |why: String| Exit::new(1, vec![words.fatal(&why)]);
    let cas = {
        let Some(host) = world.hosts.get(&launch.host) else { return Ok(()) };
        listens(world, host, &config).map_err(fatal)?;
        let client = pair(host, &config.client, &launch.user).map_err(fatal)?;
        let peer = pair(host, &config.peer, &launch.user).map_err(fatal)?;
        data(host, &config.data, &launch.user).map_err(fatal)?;
        if let Some(mode) = host.files.followed(&config.data).map(|e| e.mode).filter(|m| *m != 0o700) {
            let line = words.open_directory(&config.data.display().to_string(), mode);
            say(world, &launch, vec![line]);
        }
        Cas { client, peer }
    };
    let (identity, fresh) = match remembered(world, &launch.host, &config.data) {
        Some(identity) => (identity, false),
        None => (bootstrap(world, &launch, &config).map_err(fatal)?, true),
    };
    if world.etcd.clusters.get(&identity.cluster).is_some_and(|c| c.removed.contains(&identity.member)) {
        return Err(Exit::new(0, words.removed()));
    }
    let first = fresh && !config.existing;
    if fresh {
        remember(world, &launch, &config.data, identity).map_err(|e| {
            fatal(format!(
                "cannot write to WAL directory: mkdir {}: {}",
                config.data.join("member").display(),
                e.words().to_lowercase()
            ))
        })?;
    }
    let client =
        config.listen_client.iter().map(|u| format!("{}:{}", u.address, u.port)).collect::<Vec<_>>().join(", ");
    say(world, &launch, words.ready(identity.member, &client));
    let now = world.clock.now();
    world.etcd.processes.push(Process {
        host: launch.host,
        unit: launch.unit,
        pid: launch.pid,
        config,
        version,
        cas,
        cluster: identity.cluster,
        member: identity.member,
        fetching: (fresh && !first).then_some(now),
        joined: false,
        alive: watch::Sender::new(()),
    });
    Ok(())
}

fn say(world: &mut World, launch: &Launch, lines: Vec<String>) {
    if let Some(host) = world.hosts.get_mut(&launch.host) {
        for line in lines {
            host.log(&launch.unit, line);
        }
    }
}

/// Addresses are the host's own and ports are free.
fn listens(world: &World, host: &Host, config: &Config) -> Result<(), String> {
    for url in config.listen_peer.iter().chain(&config.listen_client) {
        let (address, port) = (url.address, url.port);
        if address != host.address && !address.is_loopback() && !address.is_unspecified() {
            return Err(format!("listen tcp {address}:{port}: bind: cannot assign requested address"));
        }
        if world.etcd.listener(&host.name, port).is_some() {
            return Err(format!("listen tcp {address}:{port}: bind: address already in use"));
        }
    }
    Ok(())
}

/// Whether a user may read a file: every directory on the way, and the file.
fn may_read(host: &Host, path: &Path, user: &str) -> bool {
    let may = |entry: &Entry, bit: u32| {
        user == "root"
            || entry.mode & bit != 0
            || (entry.owner.user == user && entry.mode >> 6 & bit != 0)
            || (entry.owner.group == user && entry.mode >> 3 & bit != 0)
    };
    path.ancestors().skip(1).all(|dir| host.files.followed(dir).is_none_or(|e| may(e, 1)))
        && host.files.followed(path).is_none_or(|e| may(e, 4))
}

fn read(host: &Host, path: &Path, user: &str) -> Result<Bytes, String> {
    if !may_read(host, path, user) {
        return Err(format!("open {}: permission denied", path.display()));
    }
    host.files.read(path).map_err(|e| format!("open {}: {}", path.display(), e.words().to_lowercase()))
}

/// A pair that can be served; the CA's file as it is now.
fn pair(host: &Host, pair: &Pair, user: &str) -> Result<Option<Vec<u8>>, String> {
    if pair.cert.as_os_str().is_empty() != pair.key.as_os_str().is_empty() {
        return Err(format!(
            "KeyFile and CertFile must both be present[key: {}, cert: {}]",
            pair.key.display(),
            pair.cert.display()
        ));
    }
    let ca = pair.ca.as_ref().map(|ca| read(host, ca, user)).transpose()?;
    if !pair.cert.as_os_str().is_empty() {
        let cert = read(host, &pair.cert, user)?;
        let key = read(host, &pair.key, user)?;
        tls::fits(&cert, &key)?;
    }
    Ok(ca.map(|b| b.to_vec()))
}

fn data(host: &Host, dir: &Path, user: &str) -> Result<(), String> {
    let writes = |e: &Entry| user == "root" || (e.owner.user == user && e.mode & 0o200 != 0) || e.mode & 0o002 != 0;
    let (entry, what) = match host.files.followed(dir) {
        Some(entry) if entry.kind == Kind::Dir => (Some(entry), format!("open {}/.touch", dir.display())),
        Some(_) => return Err(format!("cannot access data directory: mkdir {}: not a directory", dir.display())),
        None => (dir.parent().and_then(|p| host.files.followed(p)), format!("mkdir {}", dir.display())),
    };
    if host.files.writable().is_err() {
        return Err(format!("cannot access data directory: {what}: read-only file system"));
    }
    if !entry.is_some_and(writes) {
        return Err(format!("cannot access data directory: {what}: permission denied"));
    }
    if host.files.free == 0 {
        return Err(format!("cannot access data directory: {what}: no space left on device"));
    }
    Ok(())
}

fn wal(data: &Path) -> PathBuf {
    data.join("member/wal/0000000000000000-0000000000000000.wal")
}

fn remembered(world: &World, host: &HostName, data: &Path) -> Option<Identity> {
    let text = world.hosts.get(host)?.files.text(wal(data))?;
    serde_json::from_str(&text).ok()
}

fn remember(world: &mut World, launch: &Launch, data: &Path, identity: Identity) -> Result<(), Errno> {
    let Some(host) = world.hosts.get_mut(&launch.host) else { return Ok(()) };
    let owner = Owner::both(&launch.user);
    for dir in ["member/snap", "member/wal"] {
        host.files.make_dirs(&data.join(dir), 0o700)?;
        host.files.set(&data.join(dir), 0o700, &owner)?;
    }
    host.files.set(&data.join("member"), 0o700, &owner)?;
    let text = serde_json::to_string(&identity).unwrap_or_default();
    host.files.put(&wal(data), text.into(), 0o600, owner.clone())?;
    host.files.put(&data.join("member/snap/db"), Bytes::from_static(b"see the practice cluster"), 0o600, owner)
}

/// A member with an empty data directory: its own list must be the cluster's.
fn bootstrap(world: &mut World, launch: &Launch, config: &Config) -> Result<Identity, String> {
    let own: Vec<String> =
        config.initial_cluster.iter().filter(|(n, _)| *n == config.name).map(|(_, u)| u.clone()).collect();
    if own.is_empty() {
        return Err(format!("couldn't find local name {:?} in the initial cluster configuration", config.name));
    }
    let advertised = config.advertise_peer.iter().map(|u| u.text.clone()).collect::<Vec<_>>();
    if let Some(missing) = own.iter().find(|u| !advertised.contains(u)) {
        return Err(format!(
            "--initial-cluster has {}={missing} but missing from --initial-advertise-peer-urls={}",
            config.name,
            advertised.join(",")
        ));
    }
    if let Some(missing) = advertised.iter().find(|u| !own.contains(u)) {
        return Err(format!(
            "--initial-advertise-peer-urls has {missing} but missing from --initial-cluster={}={}",
            config.name,
            own.join(",")
        ));
    }
    if config.existing { existing(world, launch, config, &own) } else { Ok(new(world, config, &own)) }
}

fn new(world: &mut World, config: &Config, own: &[String]) -> Identity {
    let cluster = Cluster::new(&config.token, &config.initial_cluster);
    let identity = Identity { cluster: cluster.id, member: member_id(own, &config.token, None) };
    world.etcd.clusters.entry(cluster.id).or_insert(cluster);
    identity
}

/// Asks the others of its list for theirs, and compares.
fn existing(world: &World, launch: &Launch, config: &Config, own: &[String]) -> Result<Identity, String> {
    let others: Vec<&String> =
        config.initial_cluster.iter().filter(|(n, _)| *n != config.name).map(|(_, u)| u).collect();
    let cluster = others.iter().find_map(|url| listening(world, launch, config, url));
    let cluster = cluster.and_then(|id| world.etcd.clusters.get(&id)).ok_or(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
    )?;
    let mut listed: Vec<&String> = config.initial_cluster.iter().map(|(_, u)| u).collect();
    listed.sort();
    let mut there: Vec<&String> = cluster.members.values().flat_map(|m| &m.peer_urls).collect();
    there.sort();
    let wrong = |why: String| Err(format!("error validating peerURLs {}: {why}", go_members(cluster)));
    let names: std::collections::BTreeSet<_> = config.initial_cluster.iter().map(|(n, _)| n).collect();
    if names.len() != cluster.members.len() {
        return wrong("member count is unequal".into());
    }
    if let Some((mine, theirs)) = listed.iter().zip(&there).find(|(a, b)| a != b) {
        return wrong(format!(
            "unmatched member while checking PeerURLs ({mine:?}(resolved from {mine:?}) != {theirs:?}(resolved from {theirs:?}))"
        ));
    }
    let me = cluster.members.values().find(|m| m.peer_urls.iter().any(|u| own.contains(u)));
    me.map(|m| Identity { cluster: cluster.id, member: m.id }).ok_or_else(|| "member not found".to_owned())
}

/// The cluster of the member that answers at a peer URL, as seen from this host with its own certificate.
fn listening(world: &World, launch: &Launch, config: &Config, url: &str) -> Option<u64> {
    let (address, port) = url.split_once("://")?.1.rsplit_once(':')?;
    let (address, port): (std::net::IpAddr, u16) = (address.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?);
    let target = world.hosts.values().find(|h| h.address == address && h.power == Power::Up && h.lets_in(port))?;
    let (process, _) = world.etcd.listener(&target.name, port).filter(|(_, peer)| *peer)?;
    let me = world.hosts.get(&launch.host)?;
    let shown = me.files.read(&config.peer.cert).ok()?;
    let taken = process.cas.peer.as_ref().is_none_or(|ca| crate::pki::is_signed_by(&shown, ca));
    let named = super::links::wrong_name(&shown, me.address, true).is_none();
    let served = target.files.read(&process.config.peer.cert).ok()?;
    let own_ca = config.peer.ca.as_ref().and_then(|ca| me.files.read(ca).ok());
    let trusted = own_ca.is_none_or(|ca| crate::pki::is_signed_by(&served, &ca));
    (taken && named && trusted).then_some(process.cluster)
}
