//! The quorum gate: on fresh data, before anything that touches etcd.

use super::Ctx;
use crate::{
    cluster::Node,
    engine::act::{ActError, etcd::why_unhealthy},
    remote::etcd::Membership,
    survey::{Finding, Severity},
};

/// What is about to happen to etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// A member is touched and might fail from it.
    Touch(&'a Node),
    /// A member is added (and started) or promoted; this joiner's own half-done state is no obstacle.
    Grow(&'a Node),
}

/// Looks at etcd now and says what speaks against it.
pub(super) async fn quorum(cx: &Ctx, about: About<'_>) -> Result<Vec<Finding>, ActError> {
    let seen = cx.membership().await?;
    Ok(judge(&seen, about, |n| cx.cluster.peer_url(n)))
}

fn judge(seen: &Membership, about: About<'_>, peer_url: impl Fn(&Node) -> String) -> Vec<Finding> {
    let voters = seen.voters();
    let mut findings = Vec::new();
    let mut block = |what: String, why: &str, remedy: String| {
        findings.push(Finding { severity: Severity::Block, host: None, what, why: why.to_owned(), remedy });
    };
    for alarm in &seen.alarms {
        block(
            tr!("alarm {kind} is on", kind = alarm.kind),
            trs!("etcd refuses writes or distrusts its data while an alarm is on"),
            trs!("find its cause, repair it, then `etcdctl alarm disarm`").into(),
        );
    }
    if seen.leader().is_none() {
        block(
            trs!("the members do not agree on a leader").into(),
            trs!("without a leader nothing can be written and no member can be added"),
            trs!("wait for an election to end, or repair the network between the members").into(),
        );
    }
    let own = match about {
        About::Touch(_) => None,
        About::Grow(joiner) => Some(peer_url(joiner)),
    };
    let others = seen.members.iter().filter(|m| own.as_ref().is_none_or(|url| !m.peer_urls.contains(url)));
    for member in others {
        let name = if member.started() { member.name.clone() } else { member.peer_urls.join(", ") };
        match about {
            About::Grow(_) if !member.healthy() => block(
                tr!("member {name} is not healthy: {why}", name = name, why = why_unhealthy(member)),
                trs!("growing while a member is down leaves etcd one failure from losing quorum"),
                tr!(
                    "repair {name} (look at its journal), or remove it if it is gone for good, then run again",
                    name = name
                ),
            ),
            About::Grow(_) if member.learner => block(
                tr!("{name} is still a learner", name = name),
                trs!("members join one at a time: the next one waits until the one before it votes"),
                tr!("let {name} be promoted first, or remove it", name = name),
            ),
            _ => {}
        }
    }
    if let About::Touch(node) = about {
        // With one or two voters there is no margin to keep: refusing would make growing them impossible.
        let spare = voters.margin() >= 1 || (voters.total <= 2 && voters.healthy == voters.total);
        if !spare {
            block(
                tr!("etcd has no voter to spare: {now}", now = voters.sentence()),
                trs!("if the member that is touched now fails, quorum is lost"),
                tr!("repair the unhealthy member first, then come back to {name}", name = node.name),
            );
        }
    }
    findings
}
