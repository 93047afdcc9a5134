//! Connections between members: who can reach whom with which certificate.

use std::{net::IpAddr, path::Path, time::Duration};

use super::{
    config::Pair,
    model::{self, Cas, pair},
    words::Words,
};
use crate::{
    cluster::HostName,
    pki::{self, CertInfo, San},
    practice::world::World,
    remote::etcd::Version,
};

/// How long members wait before they try again.
const AGAIN: Duration = Duration::from_secs(1);

/// A connection between two members, or the tries at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Since when it stands.
    pub since: Option<Duration>,
    /// When it is tried again.
    pub again: Duration,
}

/// One end of a connection.
struct End {
    host: HostName,
    unit: String,
    version: Version,
    address: IpAddr,
    peer: Pair,
    cas: Cas,
    at: Option<(IpAddr, u16)>,
    member: u64,
}

/// Makes the connections of a cluster that can be made now, and forgets those whose ends are gone.
pub fn settle(world: &mut World, id: u64) {
    let now = world.clock.now();
    let running = model::running(world, id);
    let Some(cluster) = world.etcd.clusters.get_mut(&id) else { return };
    let known = |m: &u64| cluster.members.contains_key(m);
    let running: Vec<u64> = running.into_iter().filter(known).collect();
    cluster.links.retain(|(a, b), _| running.contains(a) && running.contains(b));
    let due: Vec<(u64, u64)> = running
        .iter()
        .flat_map(|a| running.iter().map(|b| pair(*a, *b)))
        .filter(|(a, b)| a < b)
        .filter(|ab| cluster.links.get(ab).is_none_or(|l| l.since.is_none() && l.again <= now))
        .collect();
    for (a, b) in due {
        let tried = match (end(world, id, a), end(world, id, b)) {
            (Some(from), Some(to)) => reach(world, &from, &to) && reach(world, &to, &from),
            _ => false,
        };
        if let Some(cluster) = world.etcd.clusters.get_mut(&id) {
            cluster.links.insert(pair(a, b), Link { since: tried.then_some(now), again: now + AGAIN });
        }
    }
}

fn end(world: &World, cluster: u64, member: u64) -> Option<End> {
    let process = world.etcd.of_member(cluster, member)?;
    let url = world.etcd.clusters.get(&cluster)?.members.get(&member)?.peer_urls.first()?.clone();
    let (address, port) = url.split_once("://")?.1.rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(End {
        host: process.host.clone(),
        unit: process.unit.clone(),
        version: process.version,
        address: world.hosts.get(&process.host)?.address,
        peer: process.config.peer.clone(),
        cas: process.cas.clone(),
        at: port.parse().ok().map(|port| (address, port)),
        member,
    })
}

/// Whether one member gets through to another, told to both journals where not.
fn reach(world: &mut World, from: &End, to: &End) -> bool {
    let Some(trouble) = trouble(world, from, to) else { return true };
    let (at_from, at_to) = match trouble {
        Trouble::NoWay(why) => (why, None),
        Trouble::Server(why) => (why, Some("remote error: tls: bad certificate".to_owned())),
        Trouble::Client(why) => ("remote error: tls: bad certificate".to_owned(), Some(why)),
    };
    let words = Words::at(world, &from.host, from.version);
    let line = words.unreachable(to.member, &at_from);
    if let Some(host) = world.hosts.get_mut(&from.host) {
        host.log(&from.unit, line);
    }
    if let Some(why) = at_to {
        let words = Words::at(world, &to.host, to.version);
        let line = words.rejected(from.address, &why);
        if let Some(host) = world.hosts.get_mut(&to.host) {
            host.log(&to.unit, line);
        }
    }
    false
}

enum Trouble {
    /// No connection.
    NoWay(String),
    /// The one that dials does not take what is served.
    Server(String),
    /// The one that serves does not take the caller.
    Client(String),
}

fn trouble(world: &World, from: &End, to: &End) -> Option<Trouble> {
    let Some((address, port)) = to.at else { return Some(Trouble::NoWay("no peer URL".into())) };
    let target = world.hosts.get(&to.host)?;
    let no_way = |why: &str| Some(Trouble::NoWay(format!("dial tcp {address}:{port}: {why}")));
    if target.address != address && !address.is_loopback() {
        return no_way("connect: no route to host");
    }
    if !target.lets_in(port) {
        return no_way("connect: no route to host");
    }
    let listens = world.etcd.listener(&to.host, port).is_some_and(|(p, peer)| peer && p.member == to.member);
    if !listens {
        return no_way("connect: connection refused");
    }
    let served = cert(world, &to.host, &to.peer.cert);
    let shown = cert(world, &from.host, &from.peer.cert);
    let clock = |host: &HostName| world.hosts.get(host).map_or(0, |h| h.epoch_ms() / 1000);
    if let Some(why) = refused(served.as_deref(), from.cas.peer.as_deref(), "serverAuth", clock(&from.host)) {
        return Some(Trouble::Server(why));
    }
    if let Some(why) = served.as_deref().and_then(|pem| wrong_name(pem, address, false)) {
        return Some(Trouble::Server(why));
    }
    if to.peer.auth || to.peer.ca.is_some() {
        let why = refused(shown.as_deref(), to.cas.peer.as_deref(), "clientAuth", clock(&to.host))
            .map(|why| format!("tls: failed to verify client's certificate: {why}"));
        let why = why.or_else(|| shown.as_deref().and_then(|pem| wrong_name(pem, from.address, true)));
        return why.map(Trouble::Client);
    }
    None
}

fn cert(world: &World, host: &HostName, path: &Path) -> Option<Vec<u8>> {
    world.hosts.get(host)?.files.read(path).ok().map(|b| b.to_vec())
}

/// Why a certificate does not hold, in Go's words.
fn refused(pem: Option<&[u8]>, ca: Option<&[u8]>, usage: &str, now: i64) -> Option<String> {
    let Some(pem) = pem else { return Some("tls: client didn't provide a certificate".into()) };
    let info = CertInfo::from_pem(pem).ok()?;
    if !info.valid_at(now) {
        return Some(expired(&info, now));
    }
    if !ca.is_some_and(|ca| pki::is_signed_by(pem, ca)) {
        return Some("x509: certificate signed by unknown authority".into());
    }
    let usable = info.usages.is_empty() || info.usages.iter().any(|u| u == usage || u == "any");
    (!usable).then(|| "x509: certificate specifies an incompatible key usage".into())
}

/// Go's words for a certificate that does not hold now.
pub fn expired(info: &CertInfo, now: i64) -> String {
    let day = |t: i64| jiff::Timestamp::from_second(t).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let when = if now > info.not_after { ("after", info.not_after) } else { ("before", info.not_before) };
    format!(
        "x509: certificate has expired or is not yet valid: current time {} is {} {}",
        day(now),
        when.0,
        day(when.1)
    )
}

/// Go's words for a certificate (PEM) that lacks an address. A caller's without any name is let pass.
pub fn wrong_name(pem: &[u8], address: IpAddr, caller: bool) -> Option<String> {
    lacks(&CertInfo::from_pem(pem).ok()?, address, caller)
}

/// The same of a certificate that has been read.
pub fn lacks(info: &CertInfo, address: IpAddr, caller: bool) -> Option<String> {
    let ips: Vec<_> = info.sans.iter().filter_map(|s| if let San::Ip(ip) = s { Some(*ip) } else { None }).collect();
    if ips.contains(&address) || (caller && info.sans.is_empty()) {
        return None;
    }
    let names = ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(if ips.is_empty() {
        format!("x509: cannot validate certificate for {address} because it doesn't contain any IP SANs")
    } else {
        format!("x509: certificate is valid for {names}, not {address}")
    })
}
