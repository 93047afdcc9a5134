//! Acts on etcd's membership. After any error the member list is read again; nothing is blindly tried twice.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Act, ActCx, ActError,
    wait::{next_look, waiting},
};
use crate::{
    cluster::HostName,
    engine::plan::Shown,
    remote::{
        Io, Op, clean,
        etcd::{EtcdError, Member, Membership},
    },
    survey::parse,
};

/// How long between two looks while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// How long etcd is given to find its voters well connected.
const SETTLES: Duration = Duration::from_secs(30);

/// Adds a member: a learner where every member knows learners, else a voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAdd {
    /// The joiner.
    pub host: HostName,
    /// Its peer URL.
    pub peer_url: String,
    /// As a learner.
    pub learner: bool,
}

#[async_trait]
impl Act for MemberAdd {
    fn shown(&self) -> Shown {
        Shown {
            host: None,
            title: tr!(
                "etcd: add member {host} as a {role} at {peer_url}",
                host = self.host,
                role = if self.learner { "learner" } else { "voter" },
                peer_url = self.peer_url
            ),
            commands: format!(
                "etcdctl member add {} --peer-urls={}{}   # through the API",
                self.host,
                self.peer_url,
                if self.learner { " --learner" } else { "" }
            ),
        }
    }

    fn changes_membership(&self) -> bool {
        true
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let began = Instant::now();
        loop {
            if look(cx).await?.by_peer_url(&self.peer_url).is_some() {
                cx.say(tr!("{peer_url} is a member", peer_url = self.peer_url));
                return Ok(());
            }
            let added = if self.learner {
                cx.etcd.add_learner(&self.peer_url).await
            } else {
                cx.etcd.add_voter(&self.peer_url).await
            };
            match added {
                Ok(_) => return Ok(()),
                // The answer may have been lost after the change: only the list, read again above, knows. And up to
                // 3.5.29 and 3.6.10 etcd wants every voter connected for 5 s, so a join right after another is refused.
                Err(e) if e.outcome_unknown() || settles(&e) => {
                    waiting(cx, &e.to_string(), began, SETTLES)?;
                    next_look(began, LOOK_EVERY).await;
                }
                Err(e) => return Err(ActError::Etcd { host: self.host.clone(), why: e.to_string() }),
            }
        }
    }
}

/// Whether a refusal passes by itself once every voter has been connected for a while; nothing was changed by it.
fn settles(error: &EtcdError) -> bool {
    matches!(error, EtcdError::Refused { why, .. } if why.contains("unhealthy cluster"))
}

/// Makes a learner a voter, once it is in sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPromote {
    /// The learner's host.
    pub host: HostName,
    /// Its peer URL.
    pub peer_url: String,
    /// Most time to wait for it to be in sync.
    pub deadline: Duration,
}

#[async_trait]
impl Act for MemberPromote {
    fn shown(&self) -> Shown {
        Shown {
            host: None,
            title: tr!("etcd: promote learner {host} to voter", host = self.host),
            commands: format!("etcdctl member promote ID-OF-{}   # through the API", self.host),
        }
    }

    fn changes_membership(&self) -> bool {
        true
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let started = Instant::now();
        let fail = |why: String| ActError::Etcd { host: self.host.clone(), why };
        loop {
            let seen = look(cx).await?;
            let member = seen
                .by_peer_url(&self.peer_url)
                .ok_or_else(|| fail(trs!("is no member any more; somebody removed it meanwhile").into()))?;
            if !member.learner {
                return Ok(());
            }
            // Before 3.4.24 and 3.5.7 a learner that never started could be promoted, which costs a vote.
            if !member.started() || !member.healthy() {
                return Err(fail(tr!(
                    "the learner does not answer ({why}); look at its journal before promoting it",
                    why = why_unhealthy(member)
                )));
            }
            match cx.etcd.promote(member.id).await {
                Ok(()) => return Ok(()),
                Err(e) if matches!(e, EtcdError::NotInSync { .. }) || e.outcome_unknown() => {
                    waiting(cx, &tr!("learner {host} in sync: {e}", host = self.host, e = e), started, self.deadline)?;
                }
                Err(e) => return Err(fail(e.to_string())),
            }
            next_look(started, LOOK_EVERY).await;
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The member runs under its own name and answers; a learner has caught up with the leader.
    CaughtUp,
    /// The member is a healthy voter.
    HealthyVoter,
}

/// Waits until a member is as wanted; gives up early when its unit keeps failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitMember {
    /// The member's host.
    pub host: HostName,
    /// Its systemd unit.
    pub unit: String,
    /// Its peer URL.
    pub peer_url: String,
    /// What is waited for.
    pub want: Want,
    /// Most time.
    pub deadline: Duration,
}

#[async_trait]
impl Act for WaitMember {
    fn shown(&self) -> Shown {
        let what = match self.want {
            Want::CaughtUp => trs!("runs and has caught up"),
            Want::HealthyVoter => trs!("is a healthy voter"),
        };
        Shown {
            host: Some(self.host.clone()),
            title: tr!(
                "wait until member {host} {what} (at most {seconds} s)",
                host = self.host,
                what = what,
                seconds = self.deadline.as_secs()
            ),
            commands: String::new(),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let started = Instant::now();
        // Where the leader stood when the wait began: a cluster that is written to moves on for ever.
        let mut goal = None;
        loop {
            let now = match look(cx).await {
                Ok(seen) => match self.judge(&seen, &mut goal) {
                    Ok(done) => {
                        cx.say(done);
                        return Ok(());
                    }
                    Err(now) => now,
                },
                Err(e) => e.to_string(),
            };
            self.unit_lives(cx).await?;
            waiting(cx, &format!("{}: {now}", self.host), started, self.deadline)?;
            next_look(started, LOOK_EVERY).await;
        }
    }
}

impl WaitMember {
    /// `Ok` with what was seen once it is as wanted, `Err` with what is missing.
    fn judge(&self, seen: &Membership, goal: &mut Option<i64>) -> Result<String, String> {
        if goal.is_none() {
            *goal = leader_revision(seen);
        }
        let member = seen.by_peer_url(&self.peer_url).ok_or(trs!("not in the member list"))?;
        if !member.started() {
            return Err(trs!("has not joined yet").into());
        }
        let status = member.status.as_ref().map_err(|e| tr!("does not answer yet: {e}", e = e))?;
        if !member.healthy() {
            return Err(why_unhealthy(member));
        }
        if member.name != self.host.as_str() {
            return Err(tr!("joined under another name, {name}", name = member.name));
        }
        let goal = goal.ok_or(trs!("no leader is seen"))?;
        match self.want {
            Want::HealthyVoter if member.learner => Err(trs!("is still a learner").into()),
            _ if status.revision < goal => {
                Err(tr!("revision {revision} of {goal}", revision = status.revision, goal = goal))
            }
            _ => Ok(tr!(
                "{host}: revision {revision}, leader had {goal}, version {version}",
                host = self.host,
                revision = status.revision,
                goal = goal,
                version = status.version
            )),
        }
    }

    /// An error once the unit has failed for good or keeps restarting, with the end of its journal.
    async fn unit_lives(&self, cx: &ActCx) -> Result<(), ActError> {
        let op = Op::UnitState { unit: self.unit.clone() };
        let Ok(out) = cx.remote.run(&self.host, &op, Io::default()).await else { return Ok(()) };
        let state = parse::unit_state(&out.text());
        if state.active != "failed" && state.restarts < 3 {
            return Ok(());
        }
        let op = Op::UnitLog { unit: self.unit.clone(), lines: 15 };
        if let Ok(out) = cx.remote.run(&self.host, &op, Io::default()).await {
            for line in clean::text(&out.text()).lines() {
                cx.say(line);
            }
        }
        Err(ActError::NotProven(tr!(
            "{host}: {unit}.service does not stay up ({active}, {restarts} restarts); the output has its last lines",
            host = self.host,
            unit = self.unit,
            active = state.active,
            restarts = state.restarts
        )))
    }
}

/// Moves the leader off a member before that member is touched, so that no election is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveLeaderAway {
    /// The member that must not lead.
    pub host: HostName,
}

#[async_trait]
impl Act for MoveLeaderAway {
    fn shown(&self) -> Shown {
        Shown {
            host: None,
            title: tr!("etcd: move the leader away from {host}, if it leads", host = self.host),
            commands: "etcdctl move-leader ID-OF-A-HEALTHY-VOTER   # through the API".into(),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let seen = look(cx).await?;
        let mine = seen.members.iter().find(|m| m.host.as_ref() == Some(&self.host));
        let Some(mine) = mine.filter(|m| seen.leader() == Some(m.id)) else {
            cx.say(tr!("{host} does not lead", host = self.host));
            return Ok(());
        };
        let to = seen
            .members
            .iter()
            .filter(|m| m.id != mine.id && !m.learner && m.healthy())
            .max_by_key(|m| m.status.as_ref().map_or(0, |s| s.raft_index));
        let Some(to) = to else {
            return Err(ActError::Etcd {
                host: self.host.clone(),
                why: trs!("no other healthy voter can lead; repair one first").into(),
            });
        };
        cx.etcd.move_leader(to.id).await.map_err(|e| ActError::Etcd { host: self.host.clone(), why: e.to_string() })
    }
}

/// Removes the member with that peer URL, if it is one, behind the quorum gate: never when the voters that are left and
/// healthy would be fewer than their quorum.
pub async fn remove_member(cx: &ActCx, peer_url: &str, name: &str, deadline: Duration) -> Result<(), ActError> {
    let started = Instant::now();
    let fail = |why: String| ActError::Etcd { host: HostName::new(name), why };
    loop {
        let seen = match look(cx).await {
            Ok(seen) => seen,
            Err(e) => {
                waiting(cx, &e.to_string(), started, deadline)?;
                next_look(started, LOOK_EVERY).await;
                continue;
            }
        };
        let Some(member) = seen.by_peer_url(peer_url) else { return Ok(()) };
        let left = seen.members.iter().filter(|m| !m.learner && m.id != member.id);
        let healthy = left.clone().filter(|m| m.healthy()).count();
        if !member.learner && healthy < crate::cluster::quorum(left.count()) {
            return Err(fail(trs!("removing it would lose quorum: repair another voter first").into()));
        }
        match cx.etcd.remove(member.id).await {
            Ok(()) => return Ok(()),
            Err(e) if e.outcome_unknown() => waiting(cx, &e.to_string(), started, deadline)?,
            Err(e) => return Err(fail(e.to_string())),
        }
        next_look(started, LOOK_EVERY).await;
    }
}

/// The member list with every member's own answer.
pub async fn look(cx: &ActCx) -> Result<Membership, ActError> {
    cx.etcd.look().await.map_err(|e| ActError::Etcd { host: HostName::new("cluster"), why: e.to_string() })
}

/// The leader's revision, or the highest seen when the leader itself did not answer.
pub fn leader_revision(seen: &Membership) -> Option<i64> {
    let leader = seen.leader()?;
    let of = |m: &Member| m.status.as_ref().ok().map(|s| s.revision);
    seen.members.iter().find(|m| m.id == leader).and_then(of).or_else(|| seen.members.iter().filter_map(of).max())
}

/// Why a member does not count as healthy, in words.
pub fn why_unhealthy(member: &Member) -> String {
    match &member.status {
        Err(e) => e.clone(),
        Ok(s) if s.leader == 0 => trs!("it sees no leader").into(),
        Ok(s) if !s.errors.is_empty() => s.errors.join(", "),
        Ok(_) if !member.started() => trs!("it has not started").into(),
        Ok(_) => trs!("healthy").into(),
    }
}
