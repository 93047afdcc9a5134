//! The quorum gate: on fresh data, before anything that touches etcd.

use std::sync::Arc;

use async_trait::async_trait;

use super::Ctx;
use crate::{
    cluster::Node,
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{ActError, etcd::why_unhealthy},
        step::SharedStep,
    },
    remote::etcd::{Member, Membership},
    survey::{Finding, Severity},
};

/// What is about to happen to etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// Something is changed on a host, or in the cluster, while etcd has to stand the failure of a voter.
    Change,
    /// A member is touched and might fail from it.
    Touch(&'a Node),
    /// A member is added (and started) or promoted; this joiner's own half-done state is no obstacle.
    Grow(&'a Node),
}

/// Looks at etcd now and says what speaks against it.
pub(super) async fn quorum(cx: &Ctx, about: About<'_>) -> Result<Vec<Finding>, ActError> {
    let seen = cx.membership().await?;
    let joining: Vec<String> = cx.cluster.join.iter().map(|n| cx.cluster.peer_url(n)).collect();
    Ok(judge(&seen, about, &joining, |n| cx.cluster.peer_url(n)))
}

fn judge(seen: &Membership, about: About<'_>, joining: &[String], peer_url: impl Fn(&Node) -> String) -> Vec<Finding> {
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
        About::Change | About::Touch(_) => None,
        About::Grow(joiner) => Some(peer_url(joiner)),
    };
    let others = seen.members.iter().filter(|m| own.as_ref().is_none_or(|url| !m.peer_urls.contains(url)));
    for member in others {
        let name = if member.started() { member.name.clone() } else { member.peer_urls.join(", ") };
        match about {
            About::Grow(_) if !member.healthy() => block(
                tr!("member {name} is not healthy: {why}", name = name, why = why_unhealthy(member)),
                trs!("growing while a member is down leaves etcd one failure from losing quorum"),
                if member.started() {
                    tr!(
                        "repair {name} (look at its journal), or remove it if it is gone for good, then run again",
                        name = name
                    )
                } else {
                    tr!("{first}, then run again", first = mend(member))
                },
            ),
            About::Grow(_) if member.learner => block(
                tr!("{name} is still a learner", name = name),
                trs!("members join one at a time: the next one waits until the one before it votes"),
                tr!("let {name} be promoted first, or remove it", name = name),
            ),
            _ => {}
        }
    }
    if !matches!(about, About::Grow(_)) {
        // With one or two voters there is no margin to keep: refusing would make growing them impossible.
        let spare = voters.margin() >= 1 || (voters.total <= 2 && voters.healthy == voters.total);
        // A joiner that was added and does not run yet is this growth's own half-done work: what mends it is going on, and
        // nothing but that.
        let own_work = || {
            let down = seen.members.iter().filter(|m| !m.learner && !m.healthy());
            let own = |m: &&Member| m.peer_urls.iter().any(|url| joining.contains(url));
            matches!(about, About::Change)
                && voters.margin() >= 0
                && down.clone().count() > 0
                && down.clone().all(|m| own(&m))
        };
        if !spare && !own_work() {
            block(
                tr!("etcd has no voter to spare: {now}", now = voters.sentence()),
                match about {
                    About::Touch(_) => trs!("if the member that is touched now fails, quorum is lost"),
                    _ => trs!("if another voter fails while this is done, quorum is lost"),
                },
                match about {
                    About::Touch(node) => {
                        tr!("{first}, then come back to {host}", first = mend_all(seen), host = node.name)
                    }
                    _ => tr!("{first}, then run again", first = mend_all(seen)),
                },
            );
        }
    }
    findings
}

/// What helps a member that is not healthy.
fn mend(member: &Member) -> String {
    if member.started() {
        return tr!("repair {name} first (look at its journal)", name = member.name);
    }
    tr!(
        "start the member at {urls}, which was added and never started, or remove it (`etcdctl member remove {id}`)",
        urls = member.peer_urls.join(", "),
        id = format_args!("{:x}", member.id)
    )
}

/// What helps the voters that are not healthy.
fn mend_all(seen: &Membership) -> String {
    let down: Vec<_> = seen.members.iter().filter(|m| !m.learner && !m.healthy()).map(mend).collect();
    if down.is_empty() { trs!("repair the unhealthy member first").into() } else { down.join("; ") }
}

/// Every step that changes something, behind the quorum gate: whatever a step's own gate looks at, nothing is changed while
/// etcd has no voter to spare. Steps that make etcd grow have a gate of their own for that, which knows the joiner's half-done
/// state.
pub(super) struct Guarded {
    cx: Arc<Ctx>,
    step: SharedStep,
}

/// Steps whose own gate is stricter about etcd than the common one, and knows what they are about.
const OWN: [&str; 3] = ["etcd.join", "etcd.promote", "etcd.certs"];

impl Guarded {
    pub(super) fn step(cx: &Arc<Ctx>, step: SharedStep) -> SharedStep {
        if step.risk() == Risk::ReadOnly || OWN.contains(&step.id().kind) {
            return step;
        }
        Arc::new(Self { cx: cx.clone(), step })
    }
}

#[async_trait]
impl Step for Guarded {
    fn id(&self) -> StepId {
        self.step.id()
    }

    fn journal_name(&self) -> String {
        self.step.journal_name()
    }

    fn chapter(&self) -> Chapter {
        self.step.chapter()
    }

    fn title(&self) -> String {
        self.step.title()
    }

    fn risk(&self) -> Risk {
        self.step.risk()
    }

    fn skippable(&self) -> bool {
        self.step.skippable()
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        self.step.probe().await
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        self.step.preview().await
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        self.step.verify().await
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let mut findings = quorum(&self.cx, About::Change).await?;
        findings.extend(self.step.gate().await?.into_iter().filter(|f| !findings.contains(f)).collect::<Vec<_>>());
        Ok(findings)
    }
}
