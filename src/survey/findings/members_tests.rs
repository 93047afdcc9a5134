use super::*;
use crate::{
    cluster::HostName,
    remote::etcd::Alarm,
    survey::findings::fixture::{Base, member},
};

#[test]
fn an_original_that_is_not_healthy_blocks_with_what_it_says() {
    let mut base = Base::healthy();
    base.member("master02").status = Err("connection refused".into());
    let found = base.only(Severity::Block, "not healthy: connection refused");
    assert_eq!(found.host, Some(HostName::new("master02")));
    assert!(found.remedy.contains("systemctl status etcd"));

    let mut base = Base::healthy();
    base.status("master02").errors = vec!["etcdserver: no leader\u{1b}[2J".into()];
    assert!(base.only(Severity::Block, "not healthy").what.ends_with("no leader"));
    let mut base = Base::healthy();
    base.status("master02").leader = 0;
    base.only(Severity::Block, "it sees no leader");
}

#[test]
fn an_original_that_never_started_or_is_a_learner_blocks() {
    let mut base = Base::healthy();
    base.member("master02").name.clear();
    assert!(base.only(Severity::Block, "never started").remedy.contains("Start etcd"));
    let mut base = Base::healthy();
    base.member("master02").learner = true;
    assert!(base.only(Severity::Block, "its member is a learner").remedy.contains("member promote 2"));
}

#[test]
fn a_half_done_joiner_of_an_earlier_run_does_not_block() {
    // A learner, started or not.
    for started in [true, false] {
        let mut base = Base::healthy();
        let joined = base.joined("master04");
        joined.learner = true;
        if !started {
            joined.name.clear();
            joined.status = Err("connection refused".into());
            base.on("master04").data_entries = Some(0);
        }
        assert!(base.only(Severity::Info, "is a learner already").remedy.contains("promoting"));
        base.assert_quiet();
    }
    // The voter path, added and not started: 3 of 4 vote and 3 are needed, which is worth a warning.
    let mut base = Base::healthy();
    let joined = base.joined("master04");
    joined.name.clear();
    joined.status = Err("connection refused".into());
    base.on("master04").data_entries = Some(0);
    base.only(Severity::Warn, "was added and has not started");
    base.assert_unblocked();
}

#[test]
fn a_joiner_that_votes_already_is_recognized_unless_it_is_down() {
    let mut base = Base::healthy();
    base.joined("master04");
    base.only(Severity::Info, "is a healthy voter already");
    base.assert_quiet();
    base.member("master04").status = Err("connection refused".into());
    assert_eq!(base.only(Severity::Block, "not healthy").host, Some(HostName::new("master04")));
}

#[test]
fn the_same_half_done_state_on_a_stranger_blocks() {
    let stranger = |change: fn(&mut Member)| {
        let mut base = Base::healthy();
        let mut new = member(&base.cluster, &base.node("master04"), 0xab);
        new.host = None;
        new.name = "other".into();
        new.peer_urls = vec!["https://10.9.9.9:2380".into()];
        change(&mut new);
        base.membership().members.push(new);
        base
    };
    let found = stranger(|m| m.learner = true).only(Severity::Block, "other (https://10.9.9.9:2380) is a learner");
    assert!(found.remedy.contains("member remove") && found.remedy.contains("id ab"), "{}", found.remedy);
    let found = stranger(|m| m.name.clear()).only(Severity::Block, "without a name (https://10.9.9.9:2380) has never");
    assert!(found.remedy.contains("member remove"));
    let found = stranger(|_| {}).only(Severity::Block, "is on no host of the file");
    assert!(found.remedy.contains("`masters`"));
}

#[test]
fn a_joiners_address_that_is_a_member_under_another_name_blocks() {
    let mut base = Base::healthy();
    base.joined("master04").name = "old-node".into();
    let found = base.only(Severity::Block, "already a member's, called old-node");
    assert_eq!(found.host, Some(HostName::new("master04")));
    assert!(found.remedy.contains("correct its address"));
}

#[test]
fn an_original_that_is_no_member_blocks() {
    let mut base = Base::healthy();
    base.membership().members.pop();
    let found = base.only(Severity::Block, "is no member of the cluster");
    assert_eq!(found.host, Some(HostName::new("master03")));
    assert!(found.remedy.contains("`join`"));
}

#[test]
fn a_member_by_dns_name_is_found_by_its_name() {
    let mut base = Base::healthy();
    let m = base.member("master03");
    m.host = None;
    m.peer_urls = vec!["https://master03.example.com:2380".into()];
    base.only(Severity::Warn, "its peer URL is https://master03.example.com:2380");
    base.assert_unblocked();
    // The same name at another address is somebody else.
    base.member("master03").peer_urls = vec!["https://10.9.9.9:2380".into()];
    base.only(Severity::Block, "is on no host of the file");
    base.only(Severity::Block, "is no member of the cluster");
}

#[test]
fn swapped_and_other_names_are_told_apart() {
    let mut base = Base::healthy();
    base.member("master02").name = "etcd-2".into();
    base.only(Severity::Info, "etcd calls it etcd-2");
    base.assert_quiet();
    let mut base = Base::healthy();
    base.member("master02").name = "node01".into();
    assert!(base.only(Severity::Warn, "another host of the file").why.contains("swapped"));
}

#[test]
fn a_member_without_tls_or_on_a_worker_blocks() {
    let mut base = Base::healthy();
    base.member("master01").peer_urls = vec!["http://10.10.33.37:2380".into()];
    assert!(base.only(Severity::Block, "without TLS").remedy.contains("https"));
    let mut base = Base::healthy();
    let worker = member(&base.cluster, &base.node("node01"), 9);
    base.membership().members.push(worker);
    assert!(base.only(Severity::Block, "on a worker").remedy.contains("`masters`"));
}

#[test]
fn every_alarm_blocks_with_its_own_remedy() {
    for (kind, remedy) in [("NOSPACE", "defrag"), ("CORRUPT", "Do not grow"), ("NEW", "documentation")] {
        let mut base = Base::healthy();
        base.membership().alarms.push(Alarm { member: 2, kind: kind.into() });
        let found = base.only(Severity::Block, &format!("alarm {kind} is on"));
        assert_eq!(found.host, Some(HostName::new("master02")));
        assert!(found.remedy.contains(remedy) && found.remedy.contains("alarm disarm"));
    }
}

#[test]
fn members_that_do_not_agree_on_a_leader_block() {
    let mut base = Base::healthy();
    base.status("master03").leader = 2;
    assert!(base.only(Severity::Block, "do not agree on a leader").remedy.contains("election"));
}

#[test]
fn versions_that_differ_warn_by_patch_and_block_by_minor() {
    let mut base = Base::healthy();
    base.status("master03").version = "3.4.24".into();
    base.on("master03").version = Some("3.4.24".into());
    let found = base.only(Severity::Warn, "different versions: master01 3.4.23, master02 3.4.23, master03 3.4.24");
    assert!(found.remedy.contains("one version"));
    base.status("master03").version = "3.5.1".into();
    base.on("master03").version = Some("3.5.1".into());
    base.only(Severity::Block, "different versions");
}

#[test]
fn without_learners_the_voter_path_is_said_aloud() {
    let mut base = Base::healthy();
    for name in ["master01", "master02", "master03"] {
        base.status(name).version = "3.3.25".into();
        base.on(name).version = Some("3.3.25".into());
    }
    let found = base.only(Severity::Warn, "etcd 3.3.25 has no learners");
    assert!(found.why.contains("4 voters (3 healthy), quorum 3, survives 0"), "{}", found.why);
    base.assert_unblocked();
    for name in ["master01", "master02", "master03"] {
        base.status(name).version = "3.1.9".into();
        base.on(name).version = Some("3.1.9".into());
    }
    base.only(Severity::Warn, "certificates only at start");
}

#[test]
fn when_all_have_joined_there_is_nothing_left_to_say_but_so() {
    let mut base = Base::healthy();
    base.joined("master04");
    base.joined("master05");
    for name in ["master01", "master02", "master03", "master04", "master05"] {
        base.status(name).version = "3.3.25".into();
        base.on(name).version = Some("3.3.25".into());
    }
    base.assert_quiet();
}

#[test]
fn an_even_result_is_explained() {
    let mut base = Base::healthy();
    base.cluster.join.pop();
    base.hosts.retain(|h| h.name.as_str() != "master05");
    let found = base.only(Severity::Warn, "4 voters in the end");
    assert!(found.why.contains("Quorum is then 3, and 1 may fail"), "{}", found.why);
    base.assert_unblocked();
}
