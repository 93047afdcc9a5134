//! Who is a member of which cluster, who runs, who leads.
//!
//! What a quorum agreed on is kept once a cluster; what differs between members is how far each has got with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sha1::{Digest as _, Sha1};
use tokio::sync::watch;

use super::{config::Config, links, store::Store, words::Words};
use crate::{
    cluster::{HostName, quorum},
    practice::{
        host::Power,
        units::{self, Exit},
        world::World,
    },
    remote::etcd::Version,
};

/// How long members are without a leader once it is gone (etcd's election timeout is 1 s, and up to twice that).
const ELECTION: Duration = Duration::from_millis(1300);

/// A member as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it has started once.
    pub name: String,
    /// Peer URLs.
    pub peer_urls: Vec<String>,
    /// Client URLs; empty until it has started once.
    pub client_urls: Vec<String>,
    /// Without a vote.
    pub learner: bool,
}

/// An alarm: the member and etcd's number of the kind.
pub type Alarm = (u64, i32);

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its id.
    pub id: u64,
    /// Its token.
    pub token: String,
    /// Its members, by id.
    pub members: BTreeMap<u64, Member>,
    /// Ids that can never come back.
    pub removed: BTreeSet<u64>,
    /// Its keys.
    pub store: Store,
    /// Who leads.
    pub leader: Option<u64>,
    /// Raft's term.
    pub term: u64,
    /// Raft's index.
    pub index: u64,
    /// Alarms that are on.
    pub alarms: BTreeSet<Alarm>,
    /// Which members are connected, the smaller id first.
    pub links: BTreeMap<(u64, u64), links::Link>,
    /// Since when nobody leads.
    pub leaderless: Option<Duration>,
    /// How long a new member takes to fetch the database; `None` never ends.
    pub catch_up: Option<Duration>,
}

impl Cluster {
    /// A cluster whose members have never run.
    pub fn new(token: &str, members: &[(String, String)]) -> Self {
        let mut by_id: BTreeMap<u64, Member> = BTreeMap::new();
        for (name, url) in members {
            let urls: Vec<String> = members.iter().filter(|(n, _)| n == name).map(|(_, u)| u.clone()).collect();
            let id = member_id(&urls, token, None);
            let member = Member {
                id,
                name: String::new(),
                peer_urls: vec![url.clone()],
                client_urls: Vec::new(),
                learner: false,
            };
            by_id.entry(id).or_insert(member).peer_urls = urls;
        }
        Self {
            id: cluster_id(by_id.keys().copied()),
            token: token.to_owned(),
            members: by_id,
            removed: BTreeSet::new(),
            store: Store::default(),
            leader: None,
            term: 1,
            index: members.len() as u64,
            alarms: BTreeSet::new(),
            links: BTreeMap::new(),
            leaderless: None,
            catch_up: Some(Duration::from_secs(3)),
        }
    }

    /// Members with a vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|m| !m.learner)
    }

    /// Whether two members are connected (a member is with itself).
    pub fn linked(&self, a: u64, b: u64) -> bool {
        a == b || self.links.get(&pair(a, b)).is_some_and(|l| l.since.is_some())
    }

    /// Since when they are.
    pub fn linked_since(&self, a: u64, b: u64) -> Option<Duration> {
        self.links.get(&pair(a, b)).and_then(|l| l.since)
    }

    /// The leader as a member sees it; 0 for none.
    pub fn leader_seen_by(&self, member: u64) -> u64 {
        self.leader.filter(|l| self.linked(member, *l)).unwrap_or(0)
    }
}

/// A pair of ids as the links are kept.
pub fn pair(a: u64, b: u64) -> (u64, u64) {
    (a.min(b), a.max(b))
}

/// etcd's id of a member: peer URLs, token and, for one that was added, the second.
pub fn member_id(peer_urls: &[String], token: &str, added: Option<i64>) -> u64 {
    let mut urls = peer_urls.to_vec();
    urls.sort();
    let text = urls.concat() + token + &added.map(|at| at.to_string()).unwrap_or_default();
    first_eight(&Sha1::digest(text))
}

/// etcd's id of a cluster: its first members' ids.
fn cluster_id(members: impl Iterator<Item = u64>) -> u64 {
    let bytes: Vec<u8> = members.flat_map(u64::to_be_bytes).collect();
    first_eight(&Sha1::digest(bytes))
}

fn first_eight(sum: &[u8]) -> u64 {
    sum.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// An etcd that runs.
#[derive(Debug, Clone)]
pub struct Process {
    /// Where.
    pub host: HostName,
    /// As which unit, or the rehearsal's name.
    pub unit: String,
    /// Its process id there.
    pub pid: u32,
    /// Its settings.
    pub config: Config,
    /// Its version.
    pub version: Version,
    /// The CA files as they were when it started; etcd reads them only then.
    pub cas: Cas,
    /// Its cluster.
    pub cluster: u64,
    /// Its id in it.
    pub member: u64,
    /// Since when it fetches the database; `None` once it has it.
    pub fetching: Option<Duration>,
    /// Whether it has heard from the cluster since it started.
    pub joined: bool,
    /// Dropped with the process: whoever listens knows that its connections end.
    pub alive: watch::Sender<()>,
}

/// CA files, PEM.
#[derive(Debug, Clone, Default)]
pub struct Cas {
    /// Of the client port.
    pub client: Option<Vec<u8>>,
    /// Of the peer port.
    pub peer: Option<Vec<u8>>,
}

impl Process {
    /// How much of the database it has: 1 for all of it.
    pub fn progress(&self, cluster: &Cluster, now: Duration) -> f64 {
        match (self.fetching, cluster.catch_up) {
            (Some(_), _) if !self.joined => 0.0,
            (Some(since), Some(takes)) if !takes.is_zero() => {
                (now.saturating_sub(since)).as_secs_f64() / takes.as_secs_f64()
            }
            (None, _) | (Some(_), Some(_)) => 1.0,
            // Stuck for good.
            (Some(_), None) => 0.4,
        }
        .min(1.0)
    }
}

/// Every etcd there is.
#[derive(Debug, Clone, Default)]
pub struct Etcd {
    /// Clusters by id.
    pub clusters: BTreeMap<u64, Cluster>,
    /// What runs.
    pub processes: Vec<Process>,
}

impl Etcd {
    /// The process of a unit.
    pub fn of_unit(&self, host: &HostName, unit: &str) -> Option<&Process> {
        self.processes.iter().find(|p| &p.host == host && p.unit == unit)
    }

    /// The process with that id on a host.
    pub fn process(&self, host: &HostName, pid: u32) -> Option<&Process> {
        self.processes.iter().find(|p| &p.host == host && p.pid == pid)
    }

    /// The process of a member that runs.
    pub fn of_member(&self, cluster: u64, member: u64) -> Option<&Process> {
        self.processes.iter().find(|p| p.cluster == cluster && p.member == member)
    }

    /// The process that listens on a port of a host, and whether it is the peer port.
    pub fn listener(&self, host: &HostName, port: u16) -> Option<(&Process, bool)> {
        let on = |urls: &[super::config::Url]| urls.iter().any(|u| u.port == port);
        self.processes.iter().filter(|p| &p.host == host).find_map(|p| {
            if on(&p.config.listen_client) { Some((p, false)) } else { on(&p.config.listen_peer).then_some((p, true)) }
        })
    }

    /// A process is no more.
    pub fn gone(&mut self, host: &HostName, unit: &str) {
        self.processes.retain(|p| &p.host != host || p.unit != unit);
    }

    /// A process is told to end: a leader hands over first.
    pub fn stop(&mut self, host: &HostName, unit: &str) {
        let Some((cluster, member)) = self.of_unit(host, unit).map(|p| (p.cluster, p.member)) else { return };
        let running: Vec<u64> = self.processes.iter().filter(|p| p.cluster == cluster).map(|p| p.member).collect();
        self.gone(host, unit);
        if let Some(cluster) = self.clusters.get_mut(&cluster)
            && cluster.leader == Some(member)
        {
            let next = cluster
                .voters()
                .map(|m| m.id)
                .find(|id| *id != member && running.contains(id) && cluster.linked(member, *id));
            cluster.leader = next;
            cluster.term += 1;
        }
    }
}

/// Brings everything up to the practice clock: connections, elections, what was removed, what has caught up.
pub fn settle(world: &mut World) {
    let ids: Vec<u64> = world.etcd.clusters.keys().copied().collect();
    for id in ids {
        turn_out_removed(world, id);
        links::settle(world, id);
        elect(world, id);
        catch_up(world, id);
    }
}

/// Members of a cluster whose process runs on a host that answers.
pub fn running(world: &World, cluster: u64) -> Vec<u64> {
    let up = |host: &HostName| world.hosts.get(host).is_some_and(|h| h.power == Power::Up);
    world.etcd.processes.iter().filter(|p| p.cluster == cluster && up(&p.host)).map(|p| p.member).collect()
}

/// A removed member that can hear it from another one ends.
fn turn_out_removed(world: &mut World, id: u64) {
    let Some(cluster) = world.etcd.clusters.get(&id) else { return };
    if cluster.removed.is_empty() || running(world, id).iter().all(|m| cluster.removed.contains(m)) {
        return;
    }
    let out = |p: &&Process| p.cluster == id && cluster.removed.contains(&p.member);
    let gone: Vec<_> =
        world.etcd.processes.iter().filter(out).map(|p| (p.host.clone(), p.unit.clone(), p.version)).collect();
    for (host, unit, version) in gone {
        let words = Words::at(world, &host, version);
        let lines = words.removed();
        units::ended(world, &host, &unit, &Exit::new(0, lines));
    }
}

fn elect(world: &mut World, id: u64) {
    let now = world.clock.now();
    let running = running(world, id);
    let behind: Vec<u64> =
        world.etcd.processes.iter().filter(|p| p.cluster == id && p.fetching.is_some()).map(|p| p.member).collect();
    let Some(cluster) = world.etcd.clusters.get_mut(&id) else { return };
    let needed = quorum(cluster.voters().count());
    let heard = |c: &Cluster, m: u64| c.voters().filter(|v| running.contains(&v.id) && c.linked(m, v.id)).count();
    let leads = |c: &Cluster, m: u64| {
        running.contains(&m) && c.members.get(&m).is_some_and(|x| !x.learner) && heard(c, m) >= needed
    };
    if cluster.leader.is_some_and(|l| leads(cluster, l)) {
        cluster.leaderless = None;
        return;
    }
    cluster.leader = None;
    let since = *cluster.leaderless.get_or_insert(now);
    let able: Vec<u64> = cluster.voters().map(|m| m.id).filter(|m| leads(cluster, *m)).collect();
    let next = able.iter().find(|m| !behind.contains(m)).copied();
    if now >= since + ELECTION
        && let Some(next) = next
    {
        cluster.leader = Some(next);
        cluster.leaderless = None;
        cluster.term += 1;
        cluster.index += 1;
    }
}

/// Members that hear the leader publish their names, and at the end have the whole database.
fn catch_up(world: &mut World, id: u64) {
    let now = world.clock.now();
    let Some(cluster) = world.etcd.clusters.get_mut(&id) else { return };
    if cluster.leader.is_none() {
        return;
    }
    for process in world.etcd.processes.iter_mut().filter(|p| p.cluster == id) {
        if cluster.leader_seen_by(process.member) == 0 {
            continue;
        }
        if !process.joined {
            process.joined = true;
            process.fetching = process.fetching.map(|_| now);
        }
        if process.progress(cluster, now) >= 1.0 {
            process.fetching = None;
        }
        if let Some(member) = cluster.members.get_mut(&process.member)
            && (member.name.is_empty() || member.name != process.config.name)
        {
            member.name.clone_from(&process.config.name);
            member.client_urls = process.config.advertise_client.iter().map(|u| u.text.clone()).collect();
            cluster.index += 1;
        }
    }
}
