//! One fresh look at etcd: the member list, and each member's own answer.

use std::{net::IpAddr, time::Instant};

use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tonic::transport::Uri;

use super::{Alarm, EtcdApi, EtcdError, Member, MemberStatus, Membership, Version, client::Door};
use crate::{
    cluster::HostName,
    remote::{Target, clean, tls::now},
};

/// The key that is read to see whether a quorum stands behind a member; etcdctl's health check reads the same. It need not
/// exist.
const HEALTH_KEY: &str = "health";

/// A member list, and whether a quorum stands behind the member that gave it.
struct Listed {
    by: HostName,
    cluster_id: u64,
    members: Vec<etcd_client::Member>,
    no_quorum: Option<String>,
}

impl EtcdApi {
    /// Asks every original for the member list at once and takes the first that a quorum stands behind; then each member,
    /// side by side, for its own state.
    ///
    /// Without a quorum the list is what one member remembers; the members asked then carry an error that says so and
    /// none of them counts as healthy.
    pub async fn look(&self) -> Result<Membership, EtcdError> {
        let listed = self.listed().await?;
        let cluster_id = listed.cluster_id;
        let asked = self.door(&listed.by)?;
        let members =
            join_all(listed.members.iter().map(|m| self.member(m, &asked, listed.no_quorum.as_deref()))).await;
        let alarms = self.alarms(&members, &asked, listed.no_quorum.is_none()).await;
        Ok(Membership { cluster_id, asked: listed.by, members, alarms })
    }

    async fn listed(&self) -> Result<Listed, EtcdError> {
        if let Some(identity) = self.access.tls.identity() {
            identity.check_valid_at(now()).map_err(EtcdError::Identity)?;
        }
        let mut asking: FuturesUnordered<_> = self.access.originals.iter().map(|host| self.list(host)).collect();
        let (mut without_quorum, mut tried) = (None, Vec::new());
        while let Some(answer) = asking.next().await {
            match answer {
                Ok(listed) if listed.no_quorum.is_none() => return Ok(listed),
                Ok(listed) => without_quorum = without_quorum.or(Some(listed)),
                Err(e) => tried.push(e),
            }
        }
        without_quorum.ok_or(EtcdError::NobodyAnswered { tried })
    }

    /// Before 3.5 a member lists what it remembers, and the client library asks later ones for no more. A linearizable read
    /// before the list makes it good on every version: the member has then heard from a quorum.
    async fn list(&self, host: &HostName) -> Result<Listed, EtcdError> {
        let (door, wait) = (self.door(host)?, self.patience());
        let read = self.ask(&door, "a read", wait, |mut c| async move { c.get(HEALTH_KEY, None).await }).await;
        let no_quorum = match read {
            Ok(_) => None,
            // Said only after the quorum was heard.
            Err(EtcdError::Refused { why, .. })
                if why.contains("permission denied") || why.contains("user name is empty") =>
            {
                None
            }
            Err(e @ (EtcdError::Refused { .. } | EtcdError::Timeout { .. })) => Some(e.to_string()),
            Err(e) => return Err(e),
        };
        let list = self.ask(&door, "member list", wait, |mut c| async move { c.member_list().await }).await?;
        let cluster_id = list.header().map_or(0, etcd_client::ResponseHeader::cluster_id);
        Ok(Listed { by: host.clone(), cluster_id, members: list.members().to_vec(), no_quorum })
    }

    async fn member(&self, member: &etcd_client::Member, asked: &Door, no_quorum: Option<&str>) -> Member {
        let cleaned = |urls: &[String]| urls.iter().map(|u| clean::line(u)).collect::<Vec<_>>();
        let (peer_urls, client_urls) = (cleaned(member.peer_urls()), cleaned(member.client_urls()));
        let host = peer_urls.iter().filter_map(|u| address_of(u)).find_map(|(ip, _)| self.access.host_at(ip)).cloned();
        let name = clean::line(member.name());
        let status = if name.is_empty() {
            Err(trs!("has never started").to_owned())
        } else {
            match self.door_to(host.as_ref(), &client_urls, asked) {
                Ok(door) => self.status(&door, no_quorum).await.map_err(|e| e.to_string()),
                Err(why) => Err(why),
            }
        };
        Member { id: member.id(), name, peer_urls, client_urls, learner: member.is_learner(), host, status }
    }

    /// Through its own host where that is one of ours, else from the host that gave the list.
    fn door_to(&self, host: Option<&HostName>, client_urls: &[String], asked: &Door) -> Result<Door, String> {
        if let Some(host) = host {
            return self.door(host).map_err(|e| e.to_string());
        }
        let known = client_urls.iter().find_map(|url| address_of(url)).filter(|(ip, _)| !ip.is_loopback());
        let (address, port) =
            known.ok_or(trs!("it is on no host of the cluster file and its client URLs name no address"))?;
        Ok(Door { via: asked.via.clone(), target: Target { address, port } })
    }

    async fn status(&self, door: &Door, no_quorum: Option<&str>) -> Result<MemberStatus, EtcdError> {
        let asked = Instant::now();
        let status = self.ask(door, "status", self.patience(), |mut c| async move { c.status().await }).await?;
        let errors = status.errors().iter().map(|e| clean::line(e.trim()));
        let errors = errors.chain(no_quorum.map(|why| tr!("no quorum: {why}", why = why))).collect();
        Ok(MemberStatus {
            version: clean::line(status.version()),
            leader: status.leader(),
            revision: status.header().map_or(0, etcd_client::ResponseHeader::revision),
            raft_term: status.raft_term(),
            raft_index: status.raft_index(),
            raft_applied_index: status.raft_applied_index(),
            db_size: status.db_size(),
            db_size_in_use: status.raft_used_db_size(),
            errors,
            latency: asked.elapsed(),
        })
    }

    /// Since 3.4 a member's status tells the alarms. Asking for them outright goes through the raft log, so that is left for
    /// older ones.
    async fn alarms(&self, members: &[Member], asked: &Door, quorum: bool) -> Vec<Alarm> {
        let statuses = || members.iter().filter_map(|m| m.status.as_ref().ok());
        let old = statuses().any(|s| Version::parse(&s.version).is_none_or(|v| !v.has_learners()));
        let mut alarms: Vec<_> = statuses().flat_map(|s| &s.errors).filter_map(|e| alarm_in(e)).collect();
        if old && quorum {
            let get = (etcd_client::AlarmAction::Get, etcd_client::AlarmType::None);
            let asking = |mut c: etcd_client::Client| async move { c.alarm(get.0, get.1, None).await };
            if let Ok(answer) = self.ask(asked, "alarm list", self.patience(), asking).await {
                alarms
                    .extend(answer.alarms().iter().map(|a| Alarm { member: a.member_id(), kind: kind_of(a.alarm()) }));
            }
        }
        alarms.sort_by(|a, b| (a.member, &a.kind).cmp(&(b.member, &b.kind)));
        alarms.dedup();
        alarms
    }
}

fn kind_of(kind: etcd_client::AlarmType) -> String {
    match kind {
        etcd_client::AlarmType::Nospace => "NOSPACE".into(),
        etcd_client::AlarmType::Corrupt => "CORRUPT".into(),
        etcd_client::AlarmType::None => "NONE".into(),
    }
}

/// `memberID:10501334649042878790 alarm:NOSPACE`, protobuf's text form.
pub(super) fn alarm_in(error: &str) -> Option<Alarm> {
    let field = |name: &str| error.split_whitespace().find_map(|word| word.strip_prefix(name));
    Some(Alarm { member: field("memberID:")?.parse().ok()?, kind: field("alarm:")?.to_owned() })
}

/// Address and port of `https://10.10.33.37:2380`; `None` for a name.
fn address_of(url: &str) -> Option<(IpAddr, u16)> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    Some((host.parse().ok()?, uri.port_u16()?))
}
