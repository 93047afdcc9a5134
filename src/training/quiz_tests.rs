//! The questions: both languages alike, and right answers worked out, not written down.

use super::*;
use crate::{
    cluster::{HostName, file},
    engine::plan::{CertChange, FileDiff, QuorumChange, Shown},
    pki::{San, SanDiff},
};

fn cluster() -> Cluster {
    let text = "cluster: c\nmasters:\n  - { name: m1, address: 10.0.0.1 }\n  - { name: m2, address: 10.0.0.2 }\n  - { name: m3, address: 10.0.0.3 }\njoin:\n  - { name: m4, address: 10.0.0.4 }\n";
    file::parse(text, std::path::Path::new("c.yaml"), None).unwrap()
}

fn id(kind: &'static str, host: &str) -> StepId {
    StepId { kind, host: Some(HostName::new(host)) }
}

fn act(title: &str, commands: &str) -> Shown {
    Shown { host: Some(HostName::new("m4")), title: title.into(), commands: commands.into() }
}

fn found(ask: Ask, plan: &PlanView) -> Option<(String, Vec<String>)> {
    let (cluster, step) = (cluster(), id("etcd.join", "m4"));
    let titles = ["a", "b", "c"].map(str::to_owned);
    let facts = Facts { cluster: &cluster, etcd: None, step: &step, plan, steps: &titles, at: 0 };
    Found::of(ask, &["nothing".into(), "other".into()], &facts).map(|f| (f.right, f.wrong))
}

fn placeholders(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .match_indices('{')
        .filter_map(|(at, _)| text[at + 1..].split_once('}').map(|(name, _)| name.to_owned()))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn there_are_enough_questions_and_both_languages_ask_the_same() {
    let english: BTreeMap<String, Question> = serde_yaml::from_str(ENGLISH).unwrap();
    let chinese: BTreeMap<String, QuestionWords> = serde_yaml::from_str(CHINESE).unwrap();
    assert!(english.len() >= 25, "{}", english.len());
    assert_eq!(english.keys().collect::<Vec<_>>(), chinese.keys().collect::<Vec<_>>());
    for (id, q) in &english {
        let zh = &chinese[id];
        for (a, b) in [(&q.words.ask, &zh.ask), (&q.words.why, &zh.why)] {
            assert_eq!(placeholders(a), placeholders(b), "{id}");
            assert!(placeholders(a).iter().all(|p| PLACEHOLDERS.contains(&p.as_str())), "{id}: {:?}", placeholders(a));
            assert!(b.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{id}: {b}");
        }
        assert_eq!(q.words.choices.len(), zh.choices.len(), "{id}");
        assert!(crate::runbook::texts::KINDS.contains(&q.step.as_str()), "{id}: no step {}", q.step);
        match q.answer {
            Ask::Fixed => assert!((2..=CHOICES).contains(&q.words.choices.len()), "{id}"),
            Ask::Restarts => assert_eq!(q.words.choices.len(), 1, "{id}: the word for nothing"),
            Ask::JoinsAs => assert!(q.words.choices.len() >= 2, "{id}"),
            _ => assert!(q.words.choices.is_empty(), "{id} is worked out"),
        }
        // Numbers of voters are worked out, so none stands in a question.
        let digits = |t: &str| t.chars().any(|c| c.is_ascii_digit());
        assert!(!digits(&q.words.ask) || q.answer == Ask::Fixed, "{id}: {}", q.words.ask);
    }
}

#[test]
fn margins_and_quorums_follow_the_voters() {
    let voters = |total, healthy| Voters { total, healthy, learners: 0 };
    let change = QuorumChange { before: voters(3, 3), during: voters(4, 3), after: voters(4, 4) };
    let plan = PlanView { quorum: Some(change), ..PlanView::default() };
    assert_eq!(found(Ask::MarginDuring, &plan).unwrap().0, "0");
    assert_eq!(found(Ask::MarginAfter, &plan).unwrap().0, "1");
    assert_eq!(found(Ask::QuorumAfter, &plan).unwrap().0, "3");
    let five = QuorumChange { before: voters(4, 4), during: voters(5, 5), after: voters(5, 5) };
    let plan = PlanView { quorum: Some(five), ..PlanView::default() };
    assert_eq!(found(Ask::MarginAfter, &plan).unwrap().0, "2");
    assert_eq!(found(Ask::VotersAfter, &plan).unwrap().0, "5");
    assert_eq!(found(Ask::QuorumNow, &plan), None, "etcd was not seen");
}

#[test]
fn acts_restarts_and_names_come_from_the_plan() {
    let acts = vec![act("write", "cat > /x"), act("start", "systemctl restart etcd.service"), act("wait", "")];
    let cert = CertChange {
        host: HostName::new("m1"),
        path: "/p".into(),
        sans: SanDiff::between(
            &[San::Ip([10, 0, 0, 1].into()), San::Ip([127, 0, 0, 1].into())],
            &[San::Ip([10, 0, 0, 1].into()), San::Ip([127, 0, 0, 1].into()), San::Ip([10, 0, 0, 4].into())],
        ),
        notes: Vec::new(),
    };
    let plan = PlanView { acts, certs: vec![cert], risk: Risk::Disruptive, ..PlanView::default() };
    assert_eq!(found(Ask::FirstAct, &plan).unwrap().0, "write");
    assert_eq!(found(Ask::NextAct, &plan).unwrap().0, "start");
    assert_eq!(found(Ask::LastAct, &plan).unwrap().0, "wait");
    assert_eq!(found(Ask::NextStep, &plan).unwrap().0, "b");
    assert_eq!(found(Ask::Restarts, &plan).unwrap().0, "etcd");
    assert_eq!(found(Ask::AddedSan, &plan).unwrap().0, San::Ip([10, 0, 0, 4].into()).to_string());
    assert_eq!(found(Ask::Host, &plan).unwrap().0, "m4");
    assert_eq!(found(Ask::PeerUrl, &plan).unwrap().0, "https://10.0.0.4:2380");
    assert!(found(Ask::Risk, &plan).unwrap().0.starts_with("disruptive"));
    let quiet = PlanView { acts: vec![act("look", "cat /x")], ..PlanView::default() };
    assert_eq!(found(Ask::Restarts, &quiet).unwrap().0, "nothing");
    assert_eq!(found(Ask::NextAct, &quiet), None, "one action has none after it");
}

#[test]
fn members_and_masters_are_counted_in_the_files_as_they_will_be() {
    let diff = |before: &str, after: &str| FileDiff {
        host: HostName::new("m4"),
        path: "/f".into(),
        before: Some(before.into()),
        after: after.into(),
    };
    let manifest = |list: &str| format!("[\"--x=1\", \"--etcd-servers={list}\"]");
    let change = diff(&manifest("https://10.0.0.1:2379"), &manifest("https://10.0.0.1:2379,https://10.0.0.2:2379"));
    let other = diff("server = one", "nothing of the kind");
    let plan = PlanView { diffs: vec![other.clone(), change], ..PlanView::default() };
    let (right, wrong) = found(Ask::EtcdServers, &plan).unwrap();
    assert_eq!(right, "2");
    assert!(wrong.contains(&"1".to_owned()), "what it is now tempts most: {wrong:?}");
    let conf =
        |n: usize| format!("upstream u {{\n{}}}\nserver {{ listen 6443; }}\n", "  server 10.0.0.1:6443;\n".repeat(n));
    let plan = PlanView { diffs: vec![diff(&conf(3), &conf(5))], ..PlanView::default() };
    assert_eq!(found(Ask::ProxyServers, &plan).unwrap().0, "5");
    assert_eq!(found(Ask::EtcdServers, &plan), None);
    assert_eq!(found(Ask::ProxyServers, &PlanView { diffs: vec![other], ..PlanView::default() }), None);
    let on = |host: &str| Shown { host: Some(HostName::new(host)), ..Shown::default() };
    let plan = PlanView { acts: vec![on("n1"), on("n2"), on("n1"), act("here", "")], ..PlanView::default() };
    assert_eq!(found(Ask::HostsTouched, &plan).unwrap().0, "3");
}

#[test]
fn every_chapter_has_its_questions() {
    let english: BTreeMap<String, Question> = serde_yaml::from_str(ENGLISH).unwrap();
    // What only looks is not asked about, and so not asked.
    let silent = ["kube.token", "proof.final"];
    for kind in crate::runbook::texts::KINDS.iter().filter(|k| !silent.contains(k)) {
        assert!(english.values().any(|q| q.step == *kind), "no question at {kind}");
    }
}

#[test]
fn a_question_is_asked_once_and_has_its_right_answer_among_few() {
    let (cluster, step) = (cluster(), id("etcd.join", "m4"));
    let voters = |total| Voters { total, healthy: total, learners: 0 };
    let plan = PlanView {
        acts: vec![act("write", ""), act("add", ""), act("start", "systemctl start etcd.service")],
        quorum: Some(QuorumChange { before: voters(3), during: voters(3), after: voters(3) }),
        ..PlanView::default()
    };
    let titles = vec!["Join".to_owned(), "Promote".to_owned()];
    let facts = Facts { cluster: &cluster, etcd: None, step: &step, plan: &plan, steps: &titles, at: 0 };
    let mut asked = BTreeMap::new();
    let mut seen = Vec::new();
    for _ in 0..30 {
        let Some(posed) = pick(&facts, &asked) else { break };
        assert!((2..=CHOICES).contains(&posed.choices.len()) && posed.right < posed.choices.len(), "{posed:?}");
        assert!(!posed.ask.contains('{') && !posed.why.contains('{'), "{posed:?}");
        *asked.entry(posed.id.clone()).or_default() += 1;
        seen.push(posed.id);
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert!(once.len() >= 3, "{once:?}");
    assert_eq!(
        seen[..once.len()].iter().collect::<std::collections::BTreeSet<_>>().len(),
        once.len(),
        "new ones first"
    );
}
