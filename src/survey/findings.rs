//! What was seen, judged: pure, so that every rule has a test.
//!
//! Everything is reported at once. A joiner that an earlier run of this wizard left half done (member added, not started;
//! still a learner) does not block: the steps recognize it and go on from there. The same on any other host does.

mod certs;
#[cfg(test)]
pub(crate) mod fixture;
mod hosts;
mod identity;
mod layout;
mod members;

use super::{Finding, HostObserved, HostSeen, Severity};
use crate::{
    cluster::{Cluster, HostName, Node, Role},
    remote::etcd::{Member, Membership},
};

/// Judges what was seen, `now` being the operator's clock in seconds since the epoch. Sorted: worst first, then in the
/// file's order of hosts, what concerns all of them before.
pub fn findings(
    cluster: &Cluster,
    hosts: &[HostObserved],
    etcd: &Result<Membership, String>,
    now: i64,
) -> Vec<Finding> {
    let mut view = View { cluster, hosts, etcd: etcd.as_ref().ok(), now };
    // The hosts judge certificates by their own clocks, not by the operator's.
    view.now = now.saturating_add(view.median_offset_ms().unwrap_or(0) / 1000);
    let mut out = Vec::new();
    if let Err(why) = etcd {
        let why = if view.of(Role::Original).next().is_none() { trs!("no original could be looked at.") } else { why };
        out.push(block(
            None,
            trs!("etcd does not answer").into(),
            tr!("Nobody knows whether the cluster has quorum now: {why}", why = why),
            trs!("Look at `systemctl status etcd` and its journal on the originals, and check the addresses, ports and certificate paths in the cluster file."),
        ));
    }
    hosts::check(&view, &mut out);
    identity::check(&view, &mut out);
    layout::check(&view, &mut out);
    certs::check(&view, &mut out);
    members::check(&view, &mut out);
    let position = |f: &Finding| f.host.as_ref().map(|name| cluster.hosts().position(|n| &n.name == name));
    out.sort_by_key(|f| (std::cmp::Reverse(f.severity), position(f)));
    out
}

/// What the rules look at.
#[derive(Clone, Copy)]
struct View<'a> {
    cluster: &'a Cluster,
    hosts: &'a [HostObserved],
    etcd: Option<&'a Membership>,
    /// Seconds since the epoch by the hosts' clocks.
    now: i64,
}

impl<'a> View<'a> {
    /// Hosts that were reached, in the file's order.
    fn seen(self) -> impl Iterator<Item = (&'a Node, &'a HostSeen)> {
        self.cluster.hosts().filter_map(move |node| {
            let host = self.hosts.iter().find(|h| h.name == node.name)?;
            Some((node, host.seen.as_ref().ok()?))
        })
    }

    /// Those of one role.
    fn of(self, role: Role) -> impl Iterator<Item = (&'a Node, &'a HostSeen)> {
        self.seen().filter(move |(node, _)| node.role == role)
    }

    /// Originals and joiners.
    fn masters(self) -> impl Iterator<Item = (&'a Node, &'a HostSeen)> {
        self.seen().filter(|(node, _)| node.role != Role::Worker)
    }

    /// The member on that host, by its address, or by its name where its URLs hold DNS names.
    fn member(self, node: &Node) -> Option<&'a Member> {
        self.etcd?.members.iter().find(|m| self.owner(m).is_some_and(|owner| owner.name == node.name))
    }

    /// The host a member runs on.
    fn owner(self, member: &Member) -> Option<&'a Node> {
        let by_url = |n: &&Node| member.peer_urls.contains(&self.cluster.peer_url(n));
        let named = |n: &&Node| member.host.is_none() && dns_urls(member) && member.name == n.name.as_str();
        self.cluster
            .hosts()
            .find(|n| member.host.as_ref() == Some(&n.name))
            .or_else(|| self.cluster.hosts().find(by_url))
            .or_else(|| self.cluster.hosts().find(named))
    }

    /// Whether etcd counts on that host: an original, or a joiner that has started as a member.
    fn serves(self, node: &Node) -> bool {
        node.role == Role::Original || self.member(node).is_some_and(Member::started)
    }

    /// [`Severity::Block`] where etcd serves, else [`Severity::Warn`]: what lies on a joiner is replaced on the way.
    fn where_it_serves(self, node: &Node) -> Severity {
        if self.serves(node) { Severity::Block } else { Severity::Warn }
    }

    /// The middle of the hosts' clocks against the operator's, milliseconds.
    fn median_offset_ms(self) -> Option<i64> {
        let mut offsets: Vec<i64> = self.seen().map(|(_, seen)| seen.facts.clock_offset_ms).collect();
        offsets.sort_unstable();
        let (low, high) = (offsets.get(offsets.len().checked_sub(1)? / 2)?, offsets.get(offsets.len() / 2)?);
        Some(low.midpoint(*high))
    }
}

/// Whether no peer URL holds a literal address.
fn dns_urls(member: &Member) -> bool {
    let host = |url: &str| url.split("://").nth(1).and_then(|rest| rest.rsplit_once(':')).map(|(h, _)| h.to_owned());
    let literal = |h: String| h.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    !member.peer_urls.iter().filter_map(|u| host(u)).any(literal)
}

fn finding(severity: Severity, host: Option<&Node>, what: String, why: String, remedy: impl Into<String>) -> Finding {
    Finding { severity, host: host.map(|n| n.name.clone()), what, why, remedy: remedy.into() }
}

fn block(host: Option<&Node>, what: String, why: String, remedy: impl Into<String>) -> Finding {
    finding(Severity::Block, host, what, why, remedy)
}

fn warn(host: Option<&Node>, what: String, why: String, remedy: impl Into<String>) -> Finding {
    finding(Severity::Warn, host, what, why, remedy)
}

fn info(host: Option<&Node>, what: String, why: String, remedy: impl Into<String>) -> Finding {
    finding(Severity::Info, host, what, why, remedy)
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a HostName>) -> String {
    nodes.into_iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{fixture::Base, *};

    #[test]
    fn a_healthy_cluster_has_nothing_to_warn_of() {
        let found = Base::healthy().findings();
        let loud: Vec<_> = found.iter().filter(|f| f.severity > Severity::Info).collect();
        assert!(loud.is_empty(), "{loud:#?}");
    }

    #[test]
    fn everything_is_reported_at_once_worst_first_then_in_the_files_order() {
        let mut base = Base::healthy();
        base.down("node01");
        base.down("master05");
        base.down("master02");
        base.etcd = Err("no member answered".into());
        let found = base.findings();
        let order: Vec<_> = found.iter().map(|f| (f.severity, f.host.as_ref().map_or("", HostName::as_str))).collect();
        assert!(order.is_sorted_by_key(|(severity, _)| std::cmp::Reverse(*severity)), "{order:?}");
        let blocked: Vec<_> = order.iter().filter(|(s, _)| *s == Severity::Block).map(|(_, h)| *h).collect();
        assert_eq!(blocked, ["", "master02", "master05"]);
        let warned: Vec<_> = order.iter().filter(|(s, _)| *s == Severity::Warn).map(|(_, h)| *h).collect();
        assert_eq!(warned, ["node01"]);
    }

    #[test]
    fn silence_of_etcd_blocks_with_its_reason() {
        let mut base = Base::healthy();
        base.etcd = Err("10.10.33.37:2379: connection refused".into());
        let found = base.only(Severity::Block, "etcd does not answer");
        assert!(found.why.contains("connection refused") && found.remedy.contains("systemctl status etcd"));
    }
}
