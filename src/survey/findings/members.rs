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
                trs!("is no member of the cluster").into(),
                trs!("It stands in the file as one of the masters the cluster has; its failure would not be counted, and its address may be wrong.").into(),
                trs!("Correct its address in the cluster file, or move it to `join` if it is to become a member."),
            ));
        }
    }
    alarms(view, etcd, out);
    if etcd.leader().is_none() {
        out.push(block(
            None,
            trs!("the members do not agree on a leader").into(),
            trs!("Without one nothing can be written, and no member can be added.").into(),
            trs!("Wait for the election to end and survey again; if it does not, look at the members' logs and the network between them."),
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
        tr!("without a name ({urls})", urls = urls)
    })
}

fn one(view: &View<'_>, etcd: &Membership, member: &Member, out: &mut Vec<Finding>) {
    let owner = view.owner(member);
    if member.peer_urls.iter().any(|u| u.starts_with("http://")) {
        out.push(block(
            owner,
            tr!("member {member} talks to the others without TLS", member = label(member)),
            trs!("The growth re-issues and proves certificates for the peer port; a member without them could not be joined by ones with them.").into(),
            trs!("Move the cluster's peer URLs to https first (etcd's documentation: \"Migrating from HTTP to HTTPS\")."),
        ));
    }
    match owner.map(|node| (node, node.role)) {
        None => unknown(member, out),
        Some((node, Role::Worker)) => out.push(block(
            Some(node),
            tr!("member {member} runs on a worker of the file", member = label(member)),
            trs!("Its certificates are not looked at and not renewed.").into(),
            trs!("Move this host to `masters` in the cluster file, or remove the member."),
        )),
        Some((node, Role::Original)) => original(view, node, member, out),
        Some((node, Role::Joiner)) => joiner(etcd, node, member, out),
    }
}

fn unknown(member: &Member, out: &mut Vec<Finding>) {
    let (state, remedy) = if member.learner {
        (
            trs!("is a learner"),
            trs!("Promote it or remove it (`etcdctl member promote` / `member remove`), whoever added it"),
        )
    } else if !member.started() {
        (trs!("has never started"), trs!("Start it, or remove it with `etcdctl member remove`"))
    } else {
        (
            trs!("is on no host of the file"),
            trs!("Add its host to `masters` in the cluster file, or remove it if it is gone for good"),
        )
    };
    out.push(block(
        None,
        tr!("member {member} {state}", member = label(member), state = state),
        trs!("It is not part of this growth: its certificates would not get the new addresses, and its failure is not foreseen.").into(),
        tr!("{remedy}; then survey again. Member id {id}.", remedy = remedy, id = format_args!("{:x}", member.id)),
    ));
}

fn original(view: &View<'_>, node: &Node, member: &Member, out: &mut Vec<Finding>) {
    if !member.started() {
        out.push(block(
            Some(node),
            trs!("its member has never started").into(),
            trs!("It counts for quorum and does not vote: the cluster survives one failure less than it seems.").into(),
            trs!("Start etcd there, or remove the member and add it again, before growing."),
        ));
        return;
    }
    if member.learner {
        out.push(block(
            Some(node),
            trs!("its member is a learner").into(),
            trs!("etcd takes one learner at a time, and the file says that this host is a full master.").into(),
            tr!(
                "Promote it with `etcdctl member promote {id}` once it has caught up, or move it to `join`.",
                id = format_args!("{:x}", member.id)
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
                tr!("etcd calls it {name}, which is another host of the file", name = name),
                tr!(
                    "The addresses of {name} and {other} may be swapped in the file.",
                    name = node.name,
                    other = other.name
                ),
                trs!("Compare the cluster file with `etcdctl member list` and correct it."),
            ),
            None => info(
                Some(node),
                tr!("etcd calls it {name}", name = name),
                trs!("Its member name is not the one of the file; `--initial-cluster` is written with etcd's.").into(),
                trs!("Nothing to do; rename the host in the cluster file if that helps to tell them apart."),
            ),
        });
    }
    if !member.peer_urls.contains(&view.cluster.peer_url(node)) {
        out.push(warn(
            Some(node),
            tr!("its peer URL is {url}, by the file it would be {expected}", url = clean::line(&member.peer_urls.join(", ")), expected = view.cluster.peer_url(node)),
            trs!("The other members reach it by that URL, so its certificate has to hold that name.").into(),
            trs!("Correct the address or `etcd.peer_port` in the cluster file if they are wrong; otherwise make sure that the name resolves on the new masters."),
        ));
    }
}

fn unhealthy(node: &Node, member: &Member, out: &mut Vec<Finding>) {
    let why = match &member.status {
        _ if member.healthy() => return,
        Err(error) => error.clone(),
        Ok(status) if status.errors.is_empty() => trs!("it sees no leader").into(),
        Ok(status) => status.errors.join("; "),
    };
    out.push(block(
        Some(node),
        tr!("its member is not healthy: {why}", why = clean::line(&why)),
        trs!("Growing raises the quorum: with a member down already, one more failure would stop the cluster.").into(),
        trs!("Bring it back first: look at `systemctl status etcd` and its journal there, its disk and its network."),
    ));
}

fn joiner(etcd: &Membership, node: &Node, member: &Member, out: &mut Vec<Finding>) {
    if member.started() && member.name != node.name.as_str() {
        out.push(block(
            Some(node),
            tr!("its address is already a member's, called {name}", name = clean::line(&member.name)),
            trs!("Either it has joined under another name, or the address belongs to somebody else.").into(),
            tr!("Give the host that name in the cluster file, correct its address, or remove the member ({id}) if it is a left-over.", id = format_args!("{:x}", member.id)),
        ));
        return;
    }
    let voters = etcd.voters();
    if member.learner {
        out.push(info(
            Some(node),
            trs!("is a learner already").into(),
            trs!("An earlier run got that far; a learner does not count for quorum.").into(),
            trs!("Nothing to do: the run goes on by starting it where needed, waiting until it has caught up, and promoting it."),
        ));
    } else if !member.started() {
        let severity = if voters.margin() <= 0 { Severity::Warn } else { Severity::Info };
        out.push(finding(
            severity,
            Some(node),
            trs!("was added and has not started").into(),
            tr!("An earlier run got that far, and the member counts already: {now}.", now = voters.sentence()),
            tr!(
                "Nothing to do: the run goes on by starting it. To go back instead: `etcdctl member remove {id}`.",
                id = format_args!("{:x}", member.id)
            ),
        ));
    } else if member.healthy() {
        out.push(info(
            Some(node),
            trs!("is a healthy voter already").into(),
            trs!("An earlier run, or somebody else, has joined it.").into(),
            trs!("Nothing to do while that growth is unfinished: what is done is recognized and not done again. If it is a whole master already, list it under `masters` instead of `join`."),
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
                trs!("Compact and defragment each member in turn (`etcdctl compact`, `etcdctl defrag`), then `etcdctl alarm disarm`.").to_owned()
            }
            "CORRUPT" => {
                trs!("Do not grow: save the data directory, find the member that differs, and replace it from the healthy ones; then `etcdctl alarm disarm`.").into()
            }
            _ => trs!("Look it up in etcd's documentation, mend the cause, then `etcdctl alarm disarm`.").into(),
        };
        out.push(block(
            member.and_then(|m| view.owner(m)),
            tr!("alarm {kind} is on", kind = clean::line(&alarm.kind)),
            trs!("While it is on, etcd refuses writes or cannot be trusted; a new member would copy that state.")
                .into(),
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
        tr!("the members run different versions: {list}", list = list),
        trs!("The cluster is in the middle of an upgrade; growing it meanwhile adds a second change to the first.")
            .into(),
        trs!("Bring all masters to one version first, one at a time."),
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
        tr!("etcd {lowest} has no learners", lowest = lowest),
        tr!("Each new member votes from the moment it is added, before it has started. Until then: {now}.", now = meanwhile.sentence()),
        trs!("Nothing to do now: the join is rehearsed first and asks louder. Safer is an upgrade of the cluster to 3.4 before growing."),
    ));
    if lowest < Version(3, 2, 0) {
        out.push(warn(
            None,
            tr!("etcd {lowest} reads its certificates only at start", lowest = lowest),
            trs!("New certificates take effect only by a restart of each member.").into(),
            trs!("Expect one restart a member, one at a time, or upgrade the cluster to 3.2 or later first."),
        ));
    }
}

fn even(view: &View<'_>, out: &mut Vec<Finding>) {
    let total = view.cluster.all_masters().count();
    if total > 0 && total.is_multiple_of(2) {
        out.push(warn(
            None,
            tr!("{total} voters in the end, an even number", total = total),
            tr!(
                "Quorum is then {quorum}, and {margin} may fail: no more than with {odd} voters.",
                quorum = quorum(total),
                margin = tolerated(total),
                odd = total - 1
            ),
            tr!("It works; {total} voters would survive {margin}.", total = total + 1, margin = tolerated(total + 1)),
        ));
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
