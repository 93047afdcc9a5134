//! etcd's own rules for a change of membership, with its words when it refuses (`api/v3rpc/rpctypes/error.go`,
//! `server.go` and `cluster.go` of 3.3 to 3.5).

use std::time::Duration;

use tonic::Status;

use super::model::{Cluster, Member, member_id};
use crate::{cluster::quorum, remote::etcd::Version};

/// How long every voter must have been connected (etcd's `HealthInterval`).
const HEALTHY_FOR: Duration = Duration::from_secs(5);

/// A learner must have this much of the leader's log.
const READY: f64 = 0.9;

fn precondition(words: &str) -> Status {
    Status::failed_precondition(words)
}

fn not_enough_started() -> Status {
    precondition("etcdserver: re-configuration failed due to not enough started members")
}

fn unhealthy() -> Status {
    Status::unavailable("etcdserver: unhealthy cluster")
}

/// A change as one member is asked for it.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The member that is asked.
    pub at: u64,
    /// Its version.
    pub version: Version,
    /// Practice time.
    pub now: Duration,
}

impl Asked {
    /// Since when the asked member is connected to another, if that is long enough.
    fn long_connected(self, cluster: &Cluster, to: u64) -> bool {
        to == self.at || cluster.linked_since(self.at, to).is_some_and(|since| since + HEALTHY_FOR <= self.now)
    }
}

/// Go's `types.NewURLs`: a scheme that etcd knows, host and port, and no path.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let Some((host, port)) = rest.rsplit_once(':') else { return false };
    let is_host = !host.is_empty() && !host.contains('/') && (host.starts_with('[') || !host.contains(':'));
    matches!(scheme, "http" | "https" | "unix" | "unixs") && is_host && port.parse::<u16>().is_ok()
}

fn started(cluster: &Cluster, except: Option<u64>) -> (usize, usize) {
    let voters: Vec<_> = cluster.voters().filter(|m| Some(m.id) != except).collect();
    (voters.iter().filter(|m| !m.name.is_empty()).count(), voters.len())
}

/// `MemberAdd`. Before 3.4 the wish for a learner is an unknown field and is ignored.
pub fn add(cluster: &mut Cluster, urls: &[String], learner: bool, asked: Asked, second: i64) -> Result<Member, Status> {
    let learner = learner && asked.version.has_learners();
    if urls.is_empty() || !urls.iter().all(|u| is_url(u)) {
        return Err(Status::invalid_argument("etcdserver: given member URLs are invalid"));
    }
    let (running, voters) = started(cluster, None);
    // One member restored from a backup may get its second.
    let lone = running == 1 && voters == 1;
    if !learner && !lone && running < quorum(voters + 1) {
        return Err(not_enough_started());
    }
    if !cluster.voters().all(|m| asked.long_connected(cluster, m.id)) {
        return Err(unhealthy());
    }
    let id = member_id(urls, &cluster.token, Some(second));
    if cluster.removed.contains(&id) {
        return Err(Status::not_found("etcdserver: member not found"));
    }
    if cluster.members.contains_key(&id) {
        return Err(precondition("etcdserver: member ID already exist"));
    }
    if cluster.members.values().any(|m| m.peer_urls.iter().any(|u| urls.contains(u))) {
        return Err(precondition("etcdserver: Peer URLs already exists"));
    }
    if learner && cluster.members.values().any(|m| m.learner) {
        return Err(precondition("etcdserver: too many learner members in cluster"));
    }
    let member = Member { id, name: String::new(), peer_urls: urls.to_vec(), client_urls: Vec::new(), learner };
    cluster.members.insert(id, member.clone());
    cluster.index += 1;
    Ok(member)
}

/// `MemberRemove`.
pub fn remove(cluster: &mut Cluster, id: u64, asked: Asked) -> Result<(), Status> {
    let Some(member) = cluster.members.get(&id) else { return Err(Status::not_found("etcdserver: member not found")) };
    if !member.learner {
        let (running, voters) = started(cluster, Some(id));
        if voters == 0 || running < quorum(voters) {
            return Err(not_enough_started());
        }
        // One that is down takes nothing away when it goes.
        let up = id == asked.at || cluster.linked_since(asked.at, id).is_some();
        let active = cluster.voters().filter(|m| asked.long_connected(cluster, m.id)).count();
        if up && active.saturating_sub(1) < quorum(voters) {
            return Err(unhealthy());
        }
    }
    cluster.members.remove(&id);
    cluster.removed.insert(id);
    cluster.index += 1;
    if cluster.leader == Some(id) {
        cluster.leader = None;
    }
    Ok(())
}

/// `MemberPromote`; `progress` is how much of the leader's log the member has.
pub fn promote(cluster: &mut Cluster, id: u64, progress: f64, asked: Asked) -> Result<(), Status> {
    if !asked.version.has_learners() {
        return Err(Status::unimplemented("unknown method MemberPromote for service etcdserverpb.Cluster"));
    }
    let Some(member) = cluster.members.get(&id) else { return Err(Status::not_found("etcdserver: member not found")) };
    if !member.learner {
        return Err(precondition("etcdserver: can only promote a learner member"));
    }
    if progress < READY {
        return Err(precondition("etcdserver: can only promote a learner member which is in sync with leader"));
    }
    let (running, voters) = started(cluster, None);
    // The learner counts as started.
    if running + 1 < quorum(voters + 1) {
        return Err(not_enough_started());
    }
    if let Some(member) = cluster.members.get_mut(&id) {
        member.learner = false;
    }
    cluster.index += 1;
    Ok(())
}

/// `MoveLeader`, which only the leader can.
pub fn move_leader(cluster: &mut Cluster, to: u64, asked: Asked) -> Result<(), Status> {
    if cluster.leader != Some(asked.at) {
        return Err(precondition("etcdserver: not leader"));
    }
    let can = cluster.members.get(&to).is_some_and(|m| !m.learner) && cluster.linked(asked.at, to);
    if !can {
        return Err(precondition("etcdserver: bad leader transferee"));
    }
    cluster.leader = Some(to);
    cluster.term += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::links::Link, *};
    use crate::practice::etcd::model::pair;

    const NOW: Duration = Duration::from_secs(100);
    const V34: Version = Version(3, 4, 23);

    /// Three started members, connected since a while, the first one leading.
    fn three() -> (Cluster, Vec<u64>) {
        let urls: Vec<_> = (1..=3).map(|n| (format!("m{n}"), format!("https://10.0.0.{n}:2380"))).collect();
        let mut cluster = Cluster::new("t", &urls);
        let ids: Vec<u64> = cluster.members.keys().copied().collect();
        for (n, id) in ids.iter().enumerate() {
            cluster.members.get_mut(id).unwrap().name = format!("m{n}");
            for other in &ids[..n] {
                connect(&mut cluster, *id, *other, 0);
            }
        }
        cluster.leader = Some(ids[0]);
        (cluster, ids)
    }

    fn connect(cluster: &mut Cluster, a: u64, b: u64, since: u64) {
        cluster.links.insert(pair(a, b), Link { since: Some(Duration::from_secs(since)), again: Duration::ZERO });
    }

    fn asked(at: u64, version: Version) -> Asked {
        Asked { at, version, now: NOW }
    }

    fn url(n: u8) -> Vec<String> {
        vec![format!("https://10.0.0.{n}:2380")]
    }

    #[test]
    fn a_second_voter_before_the_first_runs_is_refused() {
        let (mut cluster, ids) = three();
        let at = asked(ids[0], V34);
        add(&mut cluster, &url(4), false, at, 1).unwrap();
        let refused = add(&mut cluster, &url(5), false, at, 2).unwrap_err();
        // The unstarted one was never connected, and of five three would have to run: three do.
        assert_eq!(refused.message(), "etcdserver: unhealthy cluster");
        add_down(&mut cluster, ids[1]);
        let refused = add(&mut cluster, &url(5), false, at, 3).unwrap_err();
        assert_eq!(refused.message(), "etcdserver: re-configuration failed due to not enough started members");
    }

    fn add_down(cluster: &mut Cluster, id: u64) {
        cluster.members.get_mut(&id).unwrap().name.clear();
    }

    #[test]
    fn a_peer_url_has_a_known_scheme_and_a_port() {
        assert!(is_url("https://10.0.0.1:2380") && is_url("http://[::1]:2380"));
        let port = ["nowhere", "http://nowhere", "https://:2380", "https://10.0.0.1:2380/x"];
        for wrong in port.into_iter().chain(["ftp://10.0.0.1:2380", "http://ftp://10.0.0.1:2380"]) {
            assert!(!is_url(wrong), "{wrong}");
        }
    }

    #[test]
    fn one_learner_at_a_time_and_none_before_3_4() {
        let (mut cluster, ids) = three();
        let at = asked(ids[0], V34);
        assert!(add(&mut cluster, &url(4), true, at, 1).unwrap().learner);
        let refused = add(&mut cluster, &url(5), true, at, 2).unwrap_err();
        assert_eq!(refused.message(), "etcdserver: too many learner members in cluster");
        assert_eq!(
            add(&mut cluster, &url(4), true, at, 3).unwrap_err().message(),
            "etcdserver: Peer URLs already exists"
        );
        let (mut old, ids) = three();
        let at = asked(ids[0], Version(3, 3, 25));
        let added = add(&mut old, &url(4), true, at, 1).unwrap();
        assert!(!added.learner, "3.3 adds a voter");
        assert_eq!(promote(&mut old, added.id, 1.0, at).unwrap_err().code(), tonic::Code::Unimplemented);
    }

    #[test]
    fn a_learner_is_promoted_at_nine_tenths() {
        let (mut cluster, ids) = three();
        let at = asked(ids[0], V34);
        let id = add(&mut cluster, &url(4), true, at, 1).unwrap().id;
        assert!(promote(&mut cluster, id, 0.89, at).unwrap_err().message().contains("in sync with leader"));
        promote(&mut cluster, id, 0.9, at).unwrap();
        assert_eq!(
            promote(&mut cluster, id, 1.0, at).unwrap_err().message(),
            "etcdserver: can only promote a learner member"
        );
        assert_eq!(promote(&mut cluster, 7, 1.0, at).unwrap_err().code(), tonic::Code::NotFound);
    }

    #[test]
    fn a_connection_must_have_stood_for_five_seconds() {
        let (mut cluster, ids) = three();
        connect(&mut cluster, ids[0], ids[1], 96);
        assert_eq!(
            add(&mut cluster, &url(4), true, asked(ids[0], V34), 1).unwrap_err().message(),
            "etcdserver: unhealthy cluster"
        );
        connect(&mut cluster, ids[0], ids[1], 95);
        assert!(add(&mut cluster, &url(4), true, asked(ids[0], V34), 1).is_ok());
    }

    #[test]
    fn a_removal_that_would_cost_quorum_is_refused() {
        let (mut cluster, ids) = three();
        cluster.links.retain(|ab, _| ab != &pair(ids[0], ids[2]));
        // One is down: the other two are the quorum, so neither may go, and the one that is down may.
        assert_eq!(
            remove(&mut cluster, ids[1], asked(ids[0], V34)).unwrap_err().message(),
            "etcdserver: unhealthy cluster"
        );
        remove(&mut cluster, ids[2], asked(ids[0], V34)).unwrap();
        assert!(cluster.removed.contains(&ids[2]));
    }
}
