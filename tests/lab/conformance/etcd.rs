//! etcd's API: the program's own calls, and those below them, with etcd's words for what it refuses.

use std::{fmt::Write as _, net::IpAddr, time::Duration};

use banister::{
    cluster::HostName,
    remote::{
        Op, SharedRemote, Target,
        etcd::{EtcdError, Member, Membership},
        op::UnitVerb,
        tls::TlsClient,
    },
};
use etcd_client::{AlarmAction, AlarmType, Channel, Client, GetOptions, MemberAddOptions, PutOptions};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tonic::transport::{Endpoint, Uri};

use super::{
    norm::Norm,
    twin::{Side, Twin, until},
};

/// Nobody's address, for members that are to stay paper.
const NOBODY: &str = "https://10.255.0.1:2380";

/// `with_learners`: whether this etcd knows them. One that does not takes the word for a voter.
pub async fn all(twin: &mut Twin, with_learners: bool) {
    // Which one leads is chance.
    leads(twin, "master01").await;
    twin.both("members", |side| async move { members(&side).await }).await;
    raw(twin, with_learners).await;
    leaders(twin).await;
    if with_learners {
        learners(twin).await;
    }
    voters(twin, with_learners).await;
    no_space(twin).await;
    member_down(twin, with_learners).await;
    leads(twin, "master01").await;
    twin.both("members in the end", |side| async move { members(&side).await }).await;
}

fn said<T>(answer: Result<T, EtcdError>, word: impl Fn(T) -> String) -> String {
    match answer {
        Ok(t) => word(t),
        Err(e) => format!("{} (outcome unknown: {})", Norm::Members.of(&e.to_string()), e.outcome_unknown()),
    }
}

/// The member list, by name, without what is chance.
async fn members(side: &Side) -> String {
    said(side.etcd.look().await, |m| told(&m))
}

fn told(seen: &Membership) -> String {
    let mut members: Vec<&Member> = seen.members.iter().collect();
    members.sort_by_key(|m| (&m.name, &m.peer_urls));
    let name = |id: u64| seen.members.iter().find(|m| m.id == id).map_or("nobody", |m| m.name.as_str());
    let mut out = format!("cluster {:x} {:?}\n", seen.cluster_id, seen.voters());
    for m in members {
        let id = if m.started() { format!("{:x}", m.id) } else { "(id)".into() };
        let _ = writeln!(
            out,
            "{id} {:?} {:?} {:?} learner={} host={:?}",
            m.name, m.peer_urls, m.client_urls, m.learner, m.host
        );
        match &m.status {
            Ok(s) => {
                let counts = [
                    s.revision > 0,
                    s.raft_term > 0,
                    s.raft_index > 0,
                    s.raft_applied_index > 0,
                    s.db_size > 0,
                    s.db_size_in_use > 0,
                ];
                let _ = writeln!(
                    out,
                    "  {} leader {} {counts:?} {:?}",
                    s.version,
                    name(s.leader),
                    ids_out(&s.errors, seen)
                );
            }
            Err(why) => {
                let _ = writeln!(out, "  {why}");
            }
        }
    }
    for alarm in &seen.alarms {
        let _ = writeln!(out, "alarm {} of {}", alarm.kind, name(alarm.member));
    }
    out
}

/// Errors with members by name.
fn ids_out(errors: &[String], seen: &Membership) -> Vec<String> {
    let named = |e: &String| seen.members.iter().fold(e.clone(), |e, m| e.replace(&m.id.to_string(), &m.name));
    errors.iter().map(named).collect()
}

async fn leads(twin: &mut Twin, host: &'static str) {
    twin.both(&format!("{host} is to lead"), |side| async move {
        let lead = || async {
            let Ok(seen) = side.etcd.look().await else { return String::new() };
            let Some(member) = seen.members.iter().find(|m| m.name == host) else { return String::new() };
            said(side.etcd.move_leader(member.id).await, |()| "done".into())
        };
        until(|t| t == "done", lead).await
    })
    .await;
}

async fn id_of(side: &Side, name: &str, url: &str) -> u64 {
    let seen = side.etcd.look().await;
    let member = seen.ok().and_then(|s| {
        s.members
            .into_iter()
            .find(|m| if name.is_empty() { m.peer_urls.iter().any(|u| u == url) } else { m.name == name })
    });
    member.map_or(1, |m| m.id)
}

async fn leaders(twin: &mut Twin) {
    twin.both("the leadership to whoever has it", |side| async move {
        let id = id_of(&side, "master01", "").await;
        said(side.etcd.move_leader(id).await, |()| "done".into())
    })
    .await;
    twin.both("to a member that is not there", |side| async move {
        said(side.etcd.move_leader(12).await, |()| "done".into())
    })
    .await;
    leads(twin, "master03").await;
    twin.both("members under another leader", |side| async move { members(&side).await }).await;
    leads(twin, "master01").await;
}

async fn learners(twin: &mut Twin) {
    let add =
        |url: &'static str| move |side: Side| async move { said(side.etcd.add_learner(url).await, |_| "added".into()) };
    twin.both("a learner at no address", add("nowhere")).await;
    twin.both("a learner at another scheme", add("ftp://10.255.0.1:2380")).await;
    twin.both("a learner", add(NOBODY)).await;
    twin.both("members with a learner", |side| async move { members(&side).await }).await;
    twin.both("the same again", add(NOBODY)).await;
    twin.both("a second one", add("https://10.255.0.2:2380")).await;
    twin.both("promoted before it has started", |side| async move {
        let id = id_of(&side, "", NOBODY).await;
        said(side.etcd.promote(id).await, |()| "promoted".into())
    })
    .await;
    twin.both("the leadership to it", |side| async move {
        let id = id_of(&side, "", NOBODY).await;
        said(side.etcd.move_leader(id).await, |()| "done".into())
    })
    .await;
    twin.both("a voter promoted", |side| async move {
        let id = id_of(&side, "master02", "").await;
        said(side.etcd.promote(id).await, |()| "promoted".into())
    })
    .await;
    twin.both("nobody promoted", |side| async move { said(side.etcd.promote(12).await, |()| "promoted".into()) }).await;
    removed(twin, NOBODY).await;
    twin.both("nobody removed", |side| async move { said(side.etcd.remove(12).await, |()| "removed".into()) }).await;
    twin.both("members without it", |side| async move { members(&side).await }).await;
}

async fn removed(twin: &mut Twin, url: &'static str) {
    twin.both("removed, and once more", |side| async move {
        let id = id_of(&side, "", url).await;
        let remove = || async { said(side.etcd.remove(id).await, |()| "removed".into()) };
        format!("{}\n{}", remove().await, remove().await)
    })
    .await;
}

async fn voters(twin: &mut Twin, with_learners: bool) {
    let add =
        |url: &'static str| move |side: Side| async move { said(side.etcd.add_voter(url).await, |_| "added".into()) };
    twin.both("a voter that a member has", |side| async move {
        let url = format!("https://{}:2380", side.cluster.masters[1].address);
        said(side.etcd.add_voter(&url).await, |_| "added".into())
    })
    .await;
    twin.both("a voter", add(NOBODY)).await;
    twin.both("members with a voter that has not started", |side| async move { members(&side).await }).await;
    twin.both("a second voter before it has", add("https://10.255.0.2:2380")).await;
    if with_learners {
        twin.both("a learner before it has", |side| async move {
            said(side.etcd.add_learner("https://10.255.0.2:2380").await, |_| "added".into())
        })
        .await;
    }
    removed(twin, NOBODY).await;
    twin.both("a voter added, removed and added within a second", |side| async move {
        let mut c = client(&side, "master01").await;
        // No address of before, whose id may be taken by now.
        let url = "https://10.255.0.3:2380";
        let mut out = String::new();
        // A try begins with a second, none of whose ids has been given, and with no member that the try before it could
        // not remove; one that took longer than a second says nothing.
        for _ in 0..TRIES {
            let left = c.member_list().await.expect("members");
            for member in left.members().iter().filter(|m| m.peer_urls().iter().any(|u| u == url)) {
                let _ = c.member_remove(member.id()).await;
            }
            let second = next_second().await;
            let added = c.member_add([url], None).await;
            let id = added.as_ref().ok().and_then(|a| a.member()).map_or(1, etcd_client::Member::id);
            out = status(added, ok) + &status(c.member_remove(id).await, ok);
            let again = c.member_add([url], None).await;
            if let Some(member) = again.as_ref().ok().and_then(|a| a.member()) {
                let _ = c.member_remove(member.id()).await;
            }
            out += &status(again, ok);
            if clock().as_secs() == second {
                return out;
            }
        }
        format!("{TRIES} times not within a second; the last:\n{out}")
    })
    .await;
}

/// How often three changes of the members may fail to fit into a second.
const TRIES: u32 = 12;

/// The time of day, which the members of a lab share with this process.
fn clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970")
}

/// Waits until a second begins, and says which.
async fn next_second() -> u64 {
    let now = clock();
    let next = Duration::from_secs(now.as_secs() + 1);
    tokio::time::sleep(next.saturating_sub(now)).await;
    clock().as_secs()
}

/// A client of one member, below the program's own.
async fn client(side: &Side, host: &str) -> Client {
    let address = side.cluster.node(&HostName::new(host)).expect("a host").address;
    let node = &side.cluster.masters[0];
    let pair = banister::cluster::EtcdPair::Client;
    let tls = banister::engine::act::handshake::client(&side.cluster, &side.remote, node, pair).await.expect("a pair");
    let (remote, via) = (side.remote.clone(), HostName::new(host));
    let connector = tower::service_fn(move |_: Uri| {
        let (remote, tls, via) = (remote.clone(), tls.clone(), via.clone());
        async move { opened(&remote, &tls, &via, address).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://etcd").connect_with_connector(connector).await.expect("a connection");
    Client::from_channel(Channel::Tonic(channel), None).await.expect("a client")
}

async fn opened(
    remote: &SharedRemote,
    tls: &TlsClient,
    via: &HostName,
    address: IpAddr,
) -> std::io::Result<tokio_rustls::client::TlsStream<banister::remote::BoxStream>> {
    let stream = remote.dial(via, Target { address, port: 2379 }).await.map_err(std::io::Error::other)?;
    let opened = tls.connect(stream, &ServerName::from(address), &[b"h2"]).await.map_err(std::io::Error::other)?;
    Ok(opened.0)
}

fn status<T>(answer: Result<T, etcd_client::Error>, word: impl Fn(T) -> String) -> String {
    match answer {
        Ok(t) => word(t) + "\n",
        Err(etcd_client::Error::GRpcStatus(s)) => format!("{:?} {}\n", s.code(), s.message()),
        Err(e) => format!("{e}\n"),
    }
}

fn ok<T>(_: T) -> String {
    "ok".into()
}

/// Requests as they are, with the codes and words of whoever refuses them.
async fn raw(twin: &mut Twin, with_learners: bool) {
    twin.both("keys", |side| async move {
        let mut c = client(&side, "master01").await;
        let mut out = status(c.get("/conformance", None).await, |r| format!("{} {}", r.count(), r.more()));
        out += &status(c.put("/conformance/a", "one", None).await, ok);
        out += &status(c.put("/conformance/b", "two", None).await, ok);
        let previous = Some(PutOptions::new().with_prev_key());
        out += &status(c.put("/conformance/a", "three", previous).await, |mut r| {
            format!("{:?}", r.take_prev_key().map(|k| k.value_str().map(str::to_owned)))
        });
        let kv = |r: etcd_client::GetResponse| {
            let pairs = r.kvs().iter().map(|k| format!("{:?}={:?} {}", k.key_str(), k.value_str(), k.version()));
            format!("{} {} {:?}", r.count(), r.more(), pairs.collect::<Vec<_>>())
        };
        out += &status(c.get("/conformance/a", None).await, kv);
        let all = || GetOptions::new().with_prefix();
        out += &status(c.get("/conformance/", Some(all())).await, kv);
        out += &status(c.get("/conformance/", Some(all().with_limit(1))).await, kv);
        out += &status(c.get("/conformance/", Some(all().with_count_only())).await, kv);
        out += &status(c.get("/conformance/", Some(all().with_serializable())).await, kv);
        out += &status(c.put("", "nothing", None).await, ok);
        out += &status(c.delete("/conformance/a", None).await, |r| r.deleted().to_string());
        out += &status(c.delete("/conformance/a", None).await, |r| r.deleted().to_string());
        out += &status(c.delete("/conformance/b", None).await, |r| r.deleted().to_string());
        out
    })
    .await;
    twin.both("requests that are refused", |side| async move {
        let mut c = client(&side, "master02").await;
        let own = format!("https://{}:2380", side.cluster.masters[2].address);
        let learner = || Some(MemberAddOptions::new().with_is_learner());
        let mut out = status(c.member_add(["nowhere"], None).await, ok);
        out += &status(c.member_add([own.clone()], None).await, ok);
        if with_learners {
            out += &status(c.member_add(["http://10.255.0.1"], learner()).await, ok);
            out += &status(c.member_add([own], learner()).await, ok);
        }
        out += &status(c.member_remove(12).await, ok);
        out += &status(c.member_promote(12).await, ok);
        let second = id_of(&side, "master02", "").await;
        out += &status(c.member_promote(second).await, ok);
        out += &status(c.move_leader(second).await, ok);
        out += &status(c.move_leader(12).await, ok);
        let mut c = client(&side, "master01").await;
        // One without learners waits for whoever it was told to lead, for as long as it is asked.
        if with_learners {
            out += &status(c.move_leader(12).await, ok);
        }
        out + &status(c.status().await, |s| {
            format!("{} learner {} errors {:?}", s.version(), s.is_learner(), s.errors())
        })
    })
    .await;
}

async fn no_space(twin: &mut Twin) {
    let alarm = |action: AlarmAction, kind: AlarmType| {
        move |side: Side| async move {
            let first = id_of(&side, "master01", "").await;
            let mut options = etcd_client::AlarmOptions::new();
            options.with_member(first);
            let mut c = client(&side, "master01").await;
            status(c.alarm(action, kind, Some(options)).await, |r| {
                let told = r.alarms().iter().map(|a| format!("{:?} own {}", a.alarm(), a.member_id() == first));
                told.collect::<Vec<_>>().join("\n")
            })
        }
    };
    let write = |side: Side| async move {
        let mut c = client(&side, "master02").await;
        let put = status(c.put("/conformance/full", "x", None).await, ok);
        put + &status(c.delete("/conformance/full", None).await, ok)
    };
    twin.both("no alarm is on", alarm(AlarmAction::Get, AlarmType::None)).await;
    twin.both("space is used up", alarm(AlarmAction::Activate, AlarmType::Nospace)).await;
    twin.both("the alarm is on", alarm(AlarmAction::Get, AlarmType::None)).await;
    twin.both("members with an alarm", |side| async move { members(&side).await }).await;
    twin.both("a write without space", write).await;
    if twin.lab.kube.is_some() {
        kubernetes_without_space(twin).await;
    }
    twin.both("the alarm is switched off", alarm(AlarmAction::Deactivate, AlarmType::Nospace)).await;
    twin.both("a write with space", write).await;
    twin.both("members without an alarm", |side| async move { members(&side).await }).await;
}

async fn kubernetes_without_space(twin: &mut Twin) {
    twin.both("Kubernetes without space", |side| async move {
        let path = banister::remote::kube::Node::path("node01.example.com");
        let fields = banister::remote::SecretBytes::new(br#"{"metadata":{"labels":{"conformance":"x"}}}"#.to_vec());
        side.kube().merge(&path, &fields).await.map_or_else(|e| e.to_string(), |_| "taken".into())
    })
    .await;
}

/// A member's etcd is stopped, and started again.
async fn member_down(twin: &mut Twin, with_learners: bool) {
    let add = move |side: Side, learner: bool| async move {
        if learner && with_learners {
            said(side.etcd.add_learner(NOBODY).await, |_| "added".into())
        } else {
            said(side.etcd.add_voter(NOBODY).await, |_| "added".into())
        }
    };
    let unit = |verb| Op::Systemctl { verb, unit: "etcd".into() };
    twin.op("etcd is stopped", "master03", unit(UnitVerb::Stop)).await;
    twin.both(
        "members, one of them down",
        |side| async move { until(|t| !t.contains("ok(3)"), || members(&side)).await },
    )
    .await;
    for (case, learner) in [("a learner", true), ("a voter", false)] {
        twin.both(&format!("{case} while a member is down"), |side| add(side, learner)).await;
    }
    twin.both("the leadership to the one that is down", |side| async move {
        let id = id_of(&side, "master03", "").await;
        said(side.etcd.move_leader(id).await, |()| "done".into())
    })
    .await;
    twin.both("one of the two that are left removed", |side| async move {
        let id = id_of(&side, "master02", "").await;
        said(side.etcd.remove(id).await, |()| "removed".into())
    })
    .await;
    twin.op("etcd is started", "master03", unit(UnitVerb::Start)).await;
    twin.both("it is back", |side| async move {
        let back = || async { side.etcd.look().await.map_or_else(|e| e.to_string(), |m| format!("{:?}", m.voters())) };
        until(|t| t.contains("healthy: 3"), back).await
    })
    .await;
    twin.both("a learner right after that", |side| add(side, true)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    twin.both("a learner once it has been back for a while", |side| add(side, true)).await;
    removed(twin, NOBODY).await;
}
