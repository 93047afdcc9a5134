//! The client against real gRPC over real TLS, in memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use etcd_client::proto::PbAlarmMember;
use tonic::Status;

use super::{
    testing::{Fake, Net, Port, host, ip, member},
    *,
};
use crate::{
    cluster::Voters,
    remote::{
        RemoteError,
        tls::{TlsClient, TlsError, Trust, testing::Ask, testing::TestCa},
    },
};

/// Short enough for a test, long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(700);

fn api_as(fake: &Arc<Fake>, tls: TlsClient) -> EtcdApi {
    let access = EtcdAccess {
        tls,
        client_port: 2379,
        originals: (1..=3).map(host).collect(),
        addresses: (1..=5).map(|n| (host(n), ip(n))).collect(),
    };
    EtcdApi::new(Arc::new(Net(Arc::clone(fake))), access).with_deadlines(SHORT, SHORT)
}

fn api(fake: &Arc<Fake>) -> EtcdApi {
    api_as(fake, fake.client())
}

fn voters(total: usize, healthy: usize) -> Voters {
    Voters { total, healthy, learners: 0 }
}

fn calls(fake: &Fake) -> Vec<(u64, String)> {
    fake.state().calls.clone()
}

const URL4: &str = "https://10.10.33.40:2380";

#[tokio::test]
async fn three_healthy_members_each_asked_through_its_own_host() {
    let fake = Fake::three("3.4.23");
    let seen = api(&fake).look().await.unwrap();
    assert_eq!((seen.voters(), seen.leader(), seen.cluster_id), (voters(3, 3), Some(1), 0xc1));
    assert_eq!(seen.lowest_version(), Some(Version(3, 4, 23)));
    for (n, member) in (1..).zip(&seen.members) {
        assert_eq!((member.host.clone(), member.name.clone()), (Some(host(n)), host(n).to_string()));
        let status = member.status.as_ref().unwrap();
        assert_eq!(
            (status.revision, status.raft_applied_index, status.db_size, status.db_size_in_use),
            (77, 1000, 4096, 2048)
        );
    }
    assert!(fake.state().dialled.iter().all(|(via, to)| (1..=3).any(|n| (via, to) == (&host(n), &ip(n)))));
}

#[tokio::test]
async fn a_member_that_is_down_is_shown_down_and_holds_up_nobody() {
    let fake = Fake::three("3.4.23");
    fake.state().members[0].port = Port::Down;
    fake.state().leader = 2;
    let seen = api(&fake).look().await.unwrap();
    assert_eq!((seen.voters(), seen.leader()), (voters(3, 2), Some(2)));
    assert_ne!(seen.asked, host(1));
    assert!(seen.members[0].status.as_ref().unwrap_err().contains("connection refused"));
}

#[tokio::test]
async fn a_member_that_accepts_and_says_nothing_is_waited_for_once() {
    let fake = Fake::three("3.4.23");
    fake.state().members[1].port = Port::Silent;
    let started = Instant::now();
    let seen = api(&fake).look().await.unwrap();
    assert!(started.elapsed() < SHORT * 2, "{:?}", started.elapsed());
    assert_eq!(seen.voters(), voters(3, 2));
    assert!(seen.members[1].status.as_ref().unwrap_err().contains("does not answer"), "{:?}", seen.members[1].status);
}

#[tokio::test]
async fn nobody_answering_says_what_became_of_each() {
    let fake = Fake::three("3.4.23");
    for (member, port) in fake.state().members.iter_mut().zip([Port::Down, Port::Silent, Port::Down]) {
        member.port = port;
    }
    let error = api(&fake).look().await.unwrap_err();
    let EtcdError::NobodyAnswered { tried } = &error else { panic!("{error}") };
    assert_eq!(tried.len(), 3);
    assert!(tried.iter().any(|e| matches!(e, EtcdError::Remote(RemoteError::Dial { .. }))), "{error}");
    assert!(tried.iter().any(|e| matches!(e, EtcdError::Tls { why: TlsError::Timeout { .. }, .. })), "{error}");
}

#[tokio::test]
async fn a_certificate_without_its_own_address_is_reported_with_the_names_it_has() {
    let fake = Fake::three("3.4.23");
    let wrong = fake.ca.leaf(&Ask { ips: &["127.0.0.1", "10.10.33.37"], ..Ask::default() });
    fake.state().members[2].leaf = wrong;
    let seen = api(&fake).look().await.unwrap();
    assert_eq!(seen.voters(), voters(3, 2));
    let why = seen.members[2].status.clone().unwrap_err();
    assert!(why.contains("not for 10.10.33.39: its names are 127.0.0.1, 10.10.33.37"), "{why}");
}

#[tokio::test]
async fn an_expired_client_certificate_is_named_as_the_reason() {
    let fake = Fake::three("3.4.23");
    let expired = fake.ca.leaf(&Ask { days: (-400, -2), ..Ask::default() }).identity();
    let error = api_as(&fake, TlsClient::new(fake.ca.roots()).with_identity(expired)).look().await.unwrap_err();
    assert!(error.to_string().contains("the client certificate CN=Etcd-server expired on"), "{error}");
    assert!(!error.outcome_unknown());
}

#[tokio::test]
async fn a_client_certificate_of_another_ca_is_named_as_the_reason() {
    let fake = Fake::three("3.4.23");
    let stranger = TestCa::new("etcd-ca").leaf(&Ask::default()).identity();
    let error = api_as(&fake, TlsClient::new(fake.ca.roots()).with_identity(stranger)).look().await.unwrap_err();
    assert!(error.to_string().contains("the server refused this client certificate"), "{error}");
}

#[tokio::test]
async fn expired_server_certificates_can_be_tolerated_aloud() {
    let fake = Fake::three("3.4.23");
    let expired = fake.ca.leaf(&Ask { ips: &["10.10.33.38"], days: (-400, -2), ..Ask::default() });
    fake.state().members[1].leaf = expired;
    assert_eq!(api(&fake).look().await.unwrap().voters(), voters(3, 2));
    let tolerant = api_as(&fake, fake.client().with_trust(Trust::Tolerant));
    assert_eq!(tolerant.look().await.unwrap().voters(), voters(3, 3));
    let tolerated = tolerant.tolerated();
    assert_eq!(tolerated.keys().collect::<Vec<_>>(), [&host(2)]);
    assert!(tolerated[&host(2)][0].text.contains("expired on"), "{tolerated:?}");
}

#[tokio::test]
async fn without_a_quorum_nobody_counts_as_healthy() {
    let fake = Fake::three("3.4.23");
    fake.state().quorum = false;
    let seen = api(&fake).look().await.unwrap();
    assert_eq!(seen.voters(), voters(3, 0));
    assert!(seen.members[0].status.as_ref().unwrap().errors[0].starts_with("no quorum: "), "{:?}", seen.members[0]);
}

#[tokio::test]
async fn alarms_show_on_old_and_new_versions() {
    for version in ["3.3.25", "3.4.23"] {
        let fake = Fake::three(version);
        fake.state().alarms = vec![PbAlarmMember { member_id: 2, alarm: 1 }];
        let seen = api(&fake).look().await.unwrap();
        assert_eq!(seen.alarms, [Alarm { member: 2, kind: "NOSPACE".into() }], "{version}");
        // Every member tells it, and all of them vote all the same.
        assert_eq!((seen.voters().healthy, seen.leader().is_some()), (3, true), "{version}");
    }
}

#[tokio::test]
async fn what_etcd_says_cannot_move_the_cursor() {
    let fake = Fake::three("3.4.23");
    fake.state().members[0].pb.name = "m\u{1b}[2J1\r\n".into();
    fake.state().refuse = Some(Status::unknown("etcdserver: \u{1b}]0;owned\u{7}unhealthy cluster"));
    let api = api(&fake);
    assert_eq!(api.look().await.unwrap().members[0].name, "m1");
    let error = api.add_voter(URL4).await.unwrap_err().to_string();
    assert!(error.contains("etcdserver: unhealthy cluster; every voter must") && !error.contains('\u{1b}'), "{error}");
}

#[tokio::test]
async fn a_learner_is_added_through_the_leader() {
    let fake = Fake::three("3.4.23");
    fake.state().leader = 3;
    let api = api(&fake);
    assert_eq!(api.add_learner(URL4).await, Ok(4));
    assert_eq!(calls(&fake), [(3, format!("add {URL4} learner=true"))]);
    let seen = api.look().await.unwrap();
    let new = seen.by_peer_url(URL4).unwrap();
    assert!(new.learner && !new.started() && new.host == Some(host(4)));
    assert_eq!(seen.voters(), Voters { total: 3, healthy: 3, learners: 1 });
}

#[tokio::test]
async fn one_old_or_unreachable_member_is_enough_to_ask_for_no_learner() {
    let fake = Fake::three("3.4.23");
    fake.state().members[1].version = "3.3.25";
    let refused = api(&fake).add_learner(URL4).await.unwrap_err();
    assert_eq!(refused, EtcdError::NoLearners { member: "master02".into(), version: Some(Version(3, 3, 25)) });
    assert!(refused.to_string().contains("add a voter instead"), "{refused}");
    fake.state().members[1].port = Port::Down;
    let unknown = api(&fake).add_learner(URL4).await.unwrap_err();
    assert!(
        unknown.to_string().contains("unknown version") && unknown.to_string().contains("bring the member up"),
        "{unknown}"
    );
    assert!(calls(&fake).is_empty() && !refused.outcome_unknown());
    // The voter path is open to old ones.
    fake.state().members[1].port = Port::Up;
    assert_eq!(api(&fake).add_voter(URL4).await, Ok(4));
}

#[tokio::test]
async fn promoting_waits_for_start_and_for_sync() {
    let fake = Fake::three("3.4.23");
    let api = api(&fake);
    let id = api.add_learner(URL4).await.unwrap();
    assert_eq!(api.promote(id).await, Err(EtcdError::NotStarted { id }));
    let mut started = member(&fake.ca, 4, "3.4.23");
    started.pb.is_learner = true;
    fake.state().members[3] = started;
    fake.state().not_in_sync.insert(id);
    assert_eq!(api.promote(id).await, Err(EtcdError::NotInSync { host: host(1), id }));
    fake.state().not_in_sync.clear();
    assert_eq!(api.promote(id).await, Ok(()));
    assert_eq!(api.look().await.unwrap().voters(), voters(4, 4));
    let again = api.promote(id).await.unwrap_err();
    assert!(again.to_string().contains("it is a voter already") && !again.outcome_unknown(), "{again}");
    assert_eq!(api.promote(9).await, Err(EtcdError::NoSuchMember { id: 9 }));
}

#[tokio::test]
async fn an_unhealthy_cluster_refuses_in_its_own_words() {
    let fake = Fake::three("3.4.23");
    fake.state().refuse = Some(Status::unavailable("etcdserver: unhealthy cluster"));
    let refused = api(&fake).add_learner(URL4).await.unwrap_err();
    let said =
        "master01: member add refused: etcdserver: unhealthy cluster; every voter must have been connected for 5 s";
    assert!(refused.to_string().starts_with(said), "{refused}");
    assert!(!refused.outcome_unknown());
    fake.state().refuse = Some(Status::unavailable("etcdserver: request timed out, possibly due to connection lost"));
    assert!(api(&fake).add_learner(URL4).await.unwrap_err().outcome_unknown());
}

#[tokio::test]
async fn an_id_that_was_removed_in_this_second_is_free_in_the_next() {
    let fake = Fake::three("3.4.23");
    let removed = || Status::not_found("etcdserver: member not found");
    fake.state().refuse_next = vec![removed()];
    assert_eq!(api(&fake).add_learner(URL4).await, Ok(4));
    assert_eq!(calls(&fake).len(), 2);
    // Asked once more, not for ever.
    let fake = Fake::three("3.4.23");
    fake.state().refuse_next = vec![removed(), removed()];
    let refused = api(&fake).add_learner(URL4).await.unwrap_err();
    assert!(refused.to_string().contains("member not found") && !refused.outcome_unknown(), "{refused}");
}

#[tokio::test]
async fn a_change_without_an_answer_is_unknown_until_looked_at() {
    for dies in [false, true] {
        let fake = Fake::three("3.4.23");
        (fake.state().hang, fake.state().die) = (!dies, dies);
        let api = api(&fake);
        let error = api.add_learner(URL4).await.unwrap_err();
        assert!(error.outcome_unknown(), "{error}");
        assert_eq!(matches!(error, EtcdError::Lost { .. }), dies, "{error:?}");
        assert_eq!(matches!(error, EtcdError::Timeout { .. }), !dies, "{error:?}");
        // Asked once, never again by itself; and the look tells that it did happen.
        assert_eq!(calls(&fake).len(), 1);
        assert!(api.look().await.unwrap().by_peer_url(URL4).is_some());
    }
}

#[tokio::test]
async fn the_leader_is_moved_by_the_leader() {
    let fake = Fake::three("3.4.23");
    fake.state().leader = 2;
    let api = api(&fake);
    assert_eq!(api.move_leader(3).await, Ok(()));
    assert_eq!(calls(&fake), [(2, "move-leader 3".to_owned())]);
    assert_eq!(api.move_leader(3).await, Ok(()));
    assert_eq!(calls(&fake).len(), 1);
    fake.state().members[2].port = Port::Down;
    fake.state().leader = 0;
    assert!(matches!(api.move_leader(1).await, Err(EtcdError::NoLeader { .. })));
}

#[tokio::test]
async fn a_member_is_never_removed_through_itself() {
    let fake = Fake::three("3.4.23");
    assert_eq!(api(&fake).remove(1).await, Ok(()));
    let (asked, what) = calls(&fake).remove(0);
    assert!(asked != 1 && what == "remove 1", "{asked}");
}

#[tokio::test]
async fn connections_are_kept_and_made_again_when_they_end() {
    let fake = Fake::three("3.4.23");
    let api = api(&fake);
    api.look().await.unwrap();
    fake.state().dialled.clear();
    assert_eq!(api.look().await.unwrap().voters(), voters(3, 3));
    assert!(fake.state().dialled.is_empty());
    fake.cut();
    // The end of a connection reaches its client a moment later; what is asked in between may fail, but not for long.
    let mut seen = api.look().await;
    for _ in 0..3 {
        if seen.as_ref().is_ok_and(|s| s.voters() == voters(3, 3)) && fake.state().dialled.len() >= 3 {
            return;
        }
        seen = api.look().await;
    }
    panic!("{seen:?}");
}

#[tokio::test]
async fn a_member_outside_of_the_file_is_asked_from_a_host_inside() {
    let fake = Fake::three("3.4.23");
    let sixth = member(&fake.ca, 6, "3.4.23");
    fake.state().members.push(sixth);
    let seen = api(&fake).look().await.unwrap();
    assert_eq!((seen.members[3].host.clone(), seen.voters()), (None, voters(4, 4)));
    assert!(fake.state().dialled.contains(&(seen.asked, ip(6))));
}
