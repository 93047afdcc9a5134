//! The questions of a guided walk, asked of a whole growth: each step has some, and what is worked out is right.

use std::collections::{BTreeMap, BTreeSet};

use banister::{
    engine::{Chapter, Event, confirm::Choice, event::Outcome},
    runbook::texts::KINDS,
    training::quiz::{Facts, pick},
};

use super::harness::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn every_step_that_asks_has_a_question_and_what_is_worked_out_is_right() {
    let desk = Desk::new("growth");
    let members = desk.members().await;
    let (cx, steps) = desk.steps().await;
    let titles: Vec<String> = steps.iter().map(|s| s.title()).collect();
    let ran = desk.run_through(cx.etcd.clone(), &steps, &cx.stamp, Choice::Stop, Chapter::Workers).await;
    assert_eq!(ran.outcome, Outcome::Done, "{}", ran.why);
    let mut kinds = BTreeSet::new();
    let mut answers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in &ran.events {
        let Event::Asking(request) = event else { continue };
        let at = steps.iter().position(|s| s.id() == request.step).unwrap();
        let facts = Facts {
            cluster: desk.cluster(),
            etcd: Some(&members),
            step: &request.step,
            plan: &request.plan,
            steps: &titles,
            at,
        };
        let mut asked = BTreeMap::new();
        while let Some(posed) = pick(&facts, &asked).filter(|p| !asked.contains_key(&p.id)) {
            kinds.insert(request.step.kind);
            answers.entry(posed.id.clone()).or_default().insert(posed.choices[posed.right].clone());
            asked.insert(posed.id, 1);
        }
    }
    // What only looks asks nobody.
    let silent = ["etcd.rehearse", "kube.token", "proof.final"];
    let expected: BTreeSet<&str> = KINDS.into_iter().filter(|k| !silent.contains(k)).collect();
    let missing: Vec<_> = expected.difference(&kinds).collect();
    assert!(missing.is_empty(), "no question at {missing:?}");
    for (id, right) in [
        ("addresses-servers", "5"),
        ("rollout-servers", "5"),
        ("nginx-servers", "5"),
        ("nginx-restart", "nginx-proxy"),
        ("nginx-hosts", "2"),
        ("kubelet-restart", "nothing"),
        ("cert-added", "10.10.33.40"),
        ("join-margin", "1"),
    ] {
        let given = answers.get(id).unwrap_or_else(|| panic!("{id} was never asked: {:?}", answers.keys()));
        assert!(given.iter().any(|g| g.contains(right)), "{id}: {given:?}");
    }
}
