//! What the live panels say as time goes on and hosts fall silent.

use std::{sync::Arc, time::Duration};

use banister::{
    cluster::{Cluster, Node, Role},
    remote::{RemoteError, etcd::Membership},
    survey::HostObserved,
    ui::{Model, Msg, Setup, Theme},
    watch::{Follow, LogLine, LogMsg, Source},
};
use crossterm::event::KeyCode;

use crate::{
    fixtures::{ch, cluster, degraded, feed, healthy, host, key, live, now, scene},
    screens::{draw, text},
};

fn shown(model: &Model, size: (u16, u16)) -> String {
    text(&draw(model, size))
}

#[test]
fn each_master_has_its_own_age_and_what_is_stale_is_marked_where_it_stands() {
    let size = (120, 60);
    let mut model = scene("live-certs-whole", size, Theme::default());
    let fresh: Vec<HostObserved> = live::masters(false).into_iter().filter(|h| h.name.as_str() != "master02").collect();
    let later = Duration::from_mins(5);
    let mut then = now(44_000);
    then.at = later;
    feed(&mut model, [Msg::Masters(fresh, later), Msg::Tick(then)]);
    let certs = shown(&model, size);
    // A host's own line has its name, and its age where that is stale; the verdict on top goes on after the name.
    let head = |l: &&str, name: &str| l.trim().strip_prefix(name).is_some_and(|l| l.is_empty() || l.contains("STALE"));
    let line =
        |name: &str| certs.lines().find(|l| head(l, name)).unwrap_or_else(|| panic!("{name}: {certs}")).to_owned();
    assert!(line("master02").contains("STALE"), "{certs}");
    assert!(!line("master01").contains("STALE"), "{certs}");
}

#[test]
fn a_master_that_is_lost_is_named_with_the_reason_and_the_others_stay() {
    let size = (120, 40);
    let mut model = scene("live-masters-whole", size, Theme::default());
    let mut lost = live::masters(false).swap_remove(1);
    lost.seen = Err(RemoteError::Timeout { host: lost.name.clone(), what: "a look at the host".into(), seconds: 45 });
    feed(&mut model, [Msg::Masters(vec![lost], Duration::from_secs(44))]);
    let masters = shown(&model, size);
    assert!(masters.contains("master02: a look at the host did not finish within 45 s"), "{masters}");
    let ca = masters.lines().find(|l| l.contains(" etcd CA  ")).unwrap_or_default();
    assert_eq!(ca.matches("1f3a9b02").count(), 2, "{masters}");
}

/// A cluster of seven masters.
fn seven() -> Cluster {
    let mut cluster = cluster();
    for n in [6_u8, 7] {
        let like = cluster.join[0].clone();
        let address = [10, 10, 33, 36 + n].into();
        cluster.join.push(Node { name: host(&format!("master{n:02}")), address, role: Role::Joiner, ..like });
    }
    cluster
}

#[test]
fn seven_masters_are_reached_by_left_and_right_where_they_find_no_place() {
    let size = (80, 24);
    let cluster = Arc::new(seven());
    let texts = std::collections::BTreeMap::default();
    let setup = Setup { cluster: cluster.clone(), texts, theme: Theme::default(), now: now(0), size, practice: false };
    let mut model = Model::new(setup);
    let seen = live::masters(false).swap_remove(0).seen;
    let mut hosts: Vec<HostObserved> = cluster
        .all_masters()
        .map(|n| HostObserved { name: n.name.clone(), role: n.role, seen: seen.clone() })
        .collect();
    // The last one differs, and has no place at first.
    if let Ok(Some(etcd)) = hosts[6].seen.as_mut().map(|s| s.etcd.as_mut()) {
        etcd.version = Some("3.3.10".into());
    }
    let observed = banister::survey::Observed { hosts, etcd: Ok(healthy()), findings: vec![] };
    feed(&mut model, [Msg::Survey(Arc::new(observed)), ch('v'), ch('m'), ch('z')]);
    let left = shown(&model, size);
    assert!(left.contains("7 masters: ← 0 more, 2 more →") && !left.contains("master07"), "{left}");
    assert!(left.lines().any(|l| l.starts_with("≠etcd on disk")), "a difference out of sight is marked: {left}");
    feed(&mut model, (0..9).map(|_| key(KeyCode::Right)));
    let right = shown(&model, size);
    assert!(right.contains("← 2 more, 0 more →") && right.contains("≠ 3.3.10"), "{right}");
    feed(&mut model, [key(KeyCode::Left)]);
    assert!(shown(&model, size).contains("← 1 more, 1 more →"));
}

#[test]
fn the_quorum_line_says_what_is_so_in_every_state() {
    let line = |membership: Membership| {
        let mut model = scene("wizard-running", (120, 40), Theme::default());
        feed(&mut model, [Msg::Etcd(Ok(membership), Duration::from_secs(44))]);
        shown(&model, (120, 40)).lines().nth(1).unwrap_or_default().trim().to_owned()
    };
    assert_eq!(line(healthy()), "✓ 3 voters, quorum 2, survives 1 — if one more dies: still up");
    assert_eq!(
        line(degraded()),
        "! 3 voters (2 healthy), quorum 2, survives 0, 1 learner — if one more dies: etcd is DOWN"
    );
    let mut lost = degraded();
    lost.members[1].status = Err("connection refused".into());
    assert_eq!(line(lost), "! 3 voters (1 healthy), quorum 2, NO QUORUM, 1 learner — if one more dies: already down");
    // Every member tells an alarm as an error of its own; they vote all the same.
    let mut full = healthy();
    for member in &mut full.members {
        if let Ok(status) = &mut member.status {
            status.errors = vec!["memberID:2 alarm:NOSPACE ".into()];
        }
    }
    assert_eq!(line(full), "✓ 3 voters, quorum 2, survives 1 — if one more dies: still up");
    let mut five = healthy();
    for n in [4, 5] {
        five.members.push(crate::fixtures::member(n, 81_234));
    }
    assert_eq!(line(five), "✓ 5 voters, quorum 3, survives 2 — if one more dies: still up");
}

#[test]
fn a_flood_of_lines_is_kept_within_bounds_and_a_containers_line_says_whose_it_is() {
    let size = (120, 40);
    let mut model = scene("live-journal-whole", size, Theme::default());
    feed(&mut model, [Msg::Sources(vec![Source::pod(&host("master01"), "kube-apiserver")])]);
    let line = |n: i64| LogLine {
        at: (crate::fixtures::START + 60) * 1_000_000 + n,
        text: format!("E1125 12:00:00 line {n}").into(),
    };
    for from in 0..120 {
        let batch = (from * 1000..(from + 1) * 1000).map(line).collect();
        feed(&mut model, [Msg::Journal(LogMsg::Lines(0, batch))]);
    }
    let journal = shown(&model, size);
    assert!(journal.contains("apiserver: E1125 12:00:00 line 119999") && journal.contains("100000 lines"), "{journal}");
    // A component that is not there yet is no trouble, one that is lost is.
    feed(&mut model, [Msg::Journal(LogMsg::State(0, Follow::Absent))]);
    assert!(!shown(&model, size).contains(" ! master01"));
    feed(&mut model, [Msg::Journal(LogMsg::State(0, Follow::Lost("master01: gone".into())))]);
    assert!(shown(&model, size).contains(" ! master01 kube-apiserver: gone"));
}
