//! What etcd itself says: members, health, alarms, versions.

use super::{View, block, finding, info, warn};
use crate::{
    cluster::{Node, Role, Voters, quorum, tolerated},
    remote::{
        clean,
        etcd::{Member, Membership, Version},
    },
    survey::{Finding, Severity},
};

pub(super) fn check(view: &View<'_>, out: &mut Vec<Finding>) {
    even(view, out);
    let Some(etcd) = view.etcd else { return };
    for member in &etcd.members {
        one(view, etcd, member, out);
    }
    for node in &view.cluster.masters {
        if view.member(node).is_none() {
            out.push(block(
                Some(node),
                "is no member of the cluster".into(),
                "It stands in the file as one of the masters the cluster has; its failure would not be counted, and its address may be wrong.".into(),
                "Correct its address in the cluster file, or move it to `join` if it is to become a member.",
            ));
        }
    }
    alarms(view, etcd, out);
    if etcd.leader().is_none() {
        out.push(block(
            None,
            "the members do not agree on a leader".into(),
            "Without one nothing can be written, and no member can be added.".into(),
            "Wait for the election to end and survey again; if it does not, look at the members' logs and the network between them.",
        ));
    }
    versions(view, etcd, out);
    without_learners(view, etcd, out);
}

/// How a member is called in a message.
fn label(member: &Member) -> String {
    let urls = member.peer_urls.join(", ");
    clean::line(&if member.started() {
        format!("{} ({urls})", member.name)
    } else {
        format!("without a name ({urls})")
    })
}

fn one(view: &View<'_>, etcd: &Membership, member: &Member, out: &mut Vec<Finding>) {
    let owner = view.owner(member);
    if member.peer_urls.iter().any(|u| u.starts_with("http://")) {
        out.push(block(
            owner,
            format!("member {} talks to the others without TLS", label(member)),
            "The growth re-issues and proves certificates for the peer port; a member without them could not be joined by ones with them.".into(),
            "Move the cluster's peer URLs to https first (etcd's documentation: \"Migrating from HTTP to HTTPS\").",
        ));
    }
    match owner.map(|node| (node, node.role)) {
        None => unknown(member, out),
        Some((node, Role::Worker)) => out.push(block(
            Some(node),
            format!("member {} runs on a worker of the file", label(member)),
            "Its certificates are not looked at and not renewed.".into(),
            "Move this host to `masters` in the cluster file, or remove the member.",
        )),
        Some((node, Role::Original)) => original(view, node, member, out),
        Some((node, Role::Joiner)) => joiner(etcd, node, member, out),
    }
}

fn unknown(member: &Member, out: &mut Vec<Finding>) {
    let (state, remedy) = if member.learner {
        ("is a learner", "Promote it or remove it (`etcdctl member promote` / `member remove`), whoever added it")
    } else if !member.started() {
        ("has never started", "Start it, or remove it with `etcdctl member remove`")
    } else {
        (
            "is on no host of the file",
            "Add its host to `masters` in the cluster file, or remove it if it is gone for good",
        )
    };
    out.push(block(
        None,
        format!("member {} {state}", label(member)),
        "It is not part of this growth: its certificates would not get the new addresses, and its failure is not foreseen.".into(),
        format!("{remedy}; then survey again. Member id {:x}.", member.id),
    ));
}

fn original(view: &View<'_>, node: &Node, member: &Member, out: &mut Vec<Finding>) {
    if !member.started() {
        out.push(block(
            Some(node),
            "its member has never started".into(),
            "It counts for quorum and does not vote: the cluster survives one failure less than it seems.".into(),
            "Start etcd there, or remove the member and add it again, before growing.",
        ));
        return;
    }
    if member.learner {
        out.push(block(
            Some(node),
            "its member is a learner".into(),
            "etcd takes one learner at a time, and the file says that this host is a full master.".into(),
            format!(
                "Promote it with `etcdctl member promote {:x}` once it has caught up, or move it to `join`.",
                member.id
            ),
        ));
    }
    unhealthy(node, member, out);
    if member.name != node.name.as_str() {
        let other = view.cluster.hosts().find(|n| n.name.as_str() == member.name);
        let name = clean::line(&member.name);
        out.push(match other {
            Some(other) => warn(
                Some(node),
                format!("etcd calls it {name}, which is another host of the file"),
                format!("The addresses of {} and {} may be swapped in the file.", node.name, other.name),
                "Compare the cluster file with `etcdctl member list` and correct it.",
            ),
            None => info(
                Some(node),
                format!("etcd calls it {name}"),
                "Its member name is not the one of the file; `--initial-cluster` is written with etcd's.".into(),
                "Nothing to do; rename the host in the cluster file if that helps to tell them apart.",
            ),
        });
    }
    if !member.peer_urls.contains(&view.cluster.peer_url(node)) {
        out.push(warn(
            Some(node),
            format!("its peer URL is {}, by the file it would be {}", clean::line(&member.peer_urls.join(", ")), view.cluster.peer_url(node)),
            "The other members reach it by that URL, so its certificate has to hold that name.".into(),
            "Correct the address or `etcd.peer_port` in the cluster file if they are wrong; otherwise make sure that the name resolves on the new masters.",
        ));
    }
}

fn unhealthy(node: &Node, member: &Member, out: &mut Vec<Finding>) {
    let why = match &member.status {
        _ if member.healthy() => return,
        Err(error) => error.clone(),
        Ok(status) if status.errors.is_empty() => "it sees no leader".into(),
        Ok(status) => status.errors.join("; "),
    };
    out.push(block(
        Some(node),
        format!("its member is not healthy: {}", clean::line(&why)),
        "Growing raises the quorum: with a member down already, one more failure would stop the cluster.".into(),
        "Bring it back first: look at `systemctl status etcd` and its journal there, its disk and its network.",
    ));
}

fn joiner(etcd: &Membership, node: &Node, member: &Member, out: &mut Vec<Finding>) {
    if member.started() && member.name != node.name.as_str() {
        out.push(block(
            Some(node),
            format!("its address is already a member's, called {}", clean::line(&member.name)),
            "Either it has joined under another name, or the address belongs to somebody else.".into(),
            format!("Give the host that name in the cluster file, correct its address, or remove the member ({:x}) if it is a left-over.", member.id),
        ));
        return;
    }
    let voters = etcd.voters();
    if member.learner {
        out.push(info(
            Some(node),
            "is a learner already".into(),
            "An earlier run got that far; a learner does not count for quorum.".into(),
            "Nothing to do: the run goes on by starting it where needed, waiting until it has caught up, and promoting it.",
        ));
    } else if !member.started() {
        let severity = if voters.margin() <= 0 { Severity::Warn } else { Severity::Info };
        out.push(finding(
            severity,
            Some(node),
            "was added and has not started".into(),
            format!("An earlier run got that far, and the member counts already: {}.", voters.sentence()),
            format!(
                "Nothing to do: the run goes on by starting it. To go back instead: `etcdctl member remove {:x}`.",
                member.id
            ),
        ));
    } else if member.healthy() {
        out.push(info(
            Some(node),
            "is a healthy voter already".into(),
            "An earlier run, or somebody else, has joined it.".into(),
            "Nothing to do: what is done is recognized and not done again.",
        ));
    } else {
        unhealthy(node, member, out);
    }
}

fn alarms(view: &View<'_>, etcd: &Membership, out: &mut Vec<Finding>) {
    for alarm in &etcd.alarms {
        let member = etcd.members.iter().find(|m| m.id == alarm.member);
        let remedy = match alarm.kind.as_str() {
            "NOSPACE" => {
                "Compact and defragment each member in turn (`etcdctl compact`, `etcdctl defrag`), then `etcdctl alarm disarm`.".to_owned()
            }
            "CORRUPT" => {
                "Do not grow: save the data directory, find the member that differs, and replace it from the healthy ones; then `etcdctl alarm disarm`.".into()
            }
            _ => "Look it up in etcd's documentation, mend the cause, then `etcdctl alarm disarm`.".into(),
        };
        out.push(block(
            member.and_then(|m| view.owner(m)),
            format!("alarm {} is on", clean::line(&alarm.kind)),
            "While it is on, etcd refuses writes or cannot be trusted; a new member would copy that state.".into(),
            remedy,
        ));
    }
}

fn versions(view: &View<'_>, etcd: &Membership, out: &mut Vec<Finding>) {
    let running: Vec<(String, Version)> = etcd
        .members
        .iter()
        .filter(|m| view.owner(m).is_none_or(|n| n.role != Role::Joiner))
        .filter_map(|m| Some((clean::line(&m.name), Version::parse(&m.status.as_ref().ok()?.version)?)))
        .collect();
    let (Some((_, first)), all) = (running.first(), &running) else { return };
    if all.iter().all(|(_, v)| v == first) {
        return;
    }
    let severity =
        if all.iter().all(|(_, v)| (v.0, v.1) == (first.0, first.1)) { Severity::Warn } else { Severity::Block };
    let list = all.iter().map(|(name, v)| format!("{name} {v}")).collect::<Vec<_>>().join(", ");
    out.push(finding(
        severity,
        None,
        format!("the members run different versions: {list}"),
        "The cluster is in the middle of an upgrade; growing it meanwhile adds a second change to the first.".into(),
        "Bring all masters to one version first, one at a time.",
    ));
}

fn without_learners(view: &View<'_>, etcd: &Membership, out: &mut Vec<Finding>) {
    // Nobody is left to join: nothing to be careful about.
    if view.cluster.join.iter().all(|node| view.serves(node)) {
        return;
    }
    let Some(lowest) = etcd.lowest_version().filter(|v| !v.has_learners()) else { return };
    let voters = etcd.voters();
    let meanwhile = Voters { total: voters.total + 1, healthy: voters.healthy, learners: 0 };
    out.push(warn(
        None,
        format!("etcd {lowest} has no learners"),
        format!("Each new member votes from the moment it is added, before it has started. Until then: {}.", meanwhile.sentence()),
        "Nothing to do now: the join is rehearsed first and asks louder. Safer is an upgrade of the cluster to 3.4 before growing.",
    ));
    if lowest < Version(3, 2, 0) {
        out.push(warn(
            None,
            format!("etcd {lowest} reads its certificates only at start"),
            "New certificates take effect only by a restart of each member.".into(),
            "Expect one restart a member, one at a time, or upgrade the cluster to 3.2 or later first.",
        ));
    }
}

fn even(view: &View<'_>, out: &mut Vec<Finding>) {
    let total = view.cluster.all_masters().count();
    if total > 0 && total.is_multiple_of(2) {
        out.push(warn(
            None,
            format!("{total} voters in the end, an even number"),
            format!(
                "Quorum is then {}, and {} may fail: no more than with {} voters.",
                quorum(total),
                tolerated(total),
                total - 1
            ),
            format!("It works; {} voters would survive {}.", total + 1, tolerated(total + 1)),
        ));
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
