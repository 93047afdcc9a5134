//! Two keys: a point of no return wants a second person, and both are on record.

use std::sync::Arc;

use async_trait::async_trait;
use banister::engine::{
    Approve, Chapter, Confirmed, Operator, Risk,
    confirm::{Choice, ConfirmRequest, Decision, Failure},
    event::Outcome,
    journal::Record,
    report::report,
    witness::{Pairing, number},
};
use banister::remote::lock::Lock;
use tokio::sync::mpsc;

use super::harness::Desk;

/// Says yes to everything; the second person's yes is asked for as the screen does, or not.
struct AtScreen {
    second: Option<Pairing>,
}

#[async_trait]
impl Operator for AtScreen {
    async fn confirm(&self, request: ConfirmRequest) -> Decision {
        let Some(confirmed) = Confirmed::by_flag(Approve::All, &request.step, request.risk) else {
            return Decision::Stop;
        };
        match &self.second {
            Some(pairing) if request.risk == Risk::Irreversible => {
                let number = number().unwrap();
                // What the second person's terminal says.
                let code = pairing.code(&request.step.to_string(), &number);
                let there = Pairing::parse(&pairing.line()).unwrap();
                Decision::Go(confirmed.with_second(&there.check(&request.step, &number, &code).unwrap()))
            }
            _ => Decision::Go(confirmed),
        }
    }

    fn two_keys(&self) -> bool {
        true
    }

    async fn failed(&self, _: Failure) -> Choice {
        Choice::Stop
    }

    async fn take_over(&self, _: Lock) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_past_a_point_of_no_return_alone_and_both_names_are_on_record() {
    let desk = Desk::new("growth");
    let (cx, steps) = desk.steps().await;
    let mut engine = desk.engine(cx.etcd.clone(), &cx.stamp, Choice::Stop, mpsc::unbounded_channel().0);
    engine.operator = Arc::new(AtScreen { second: None });
    let (outcome, why) = engine.run(&steps, Chapter::Etcd).await;
    assert_eq!(outcome, Outcome::Stopped, "{why}");
    assert!(why.contains("etcd.promote@master04"), "everything up to there was done: {why}");
    assert_eq!(desk.members().await.voters().total, 3, "nobody was promoted");

    let mut engine = desk.engine(cx.etcd.clone(), &cx.stamp, Choice::Stop, mpsc::unbounded_channel().0);
    engine.operator = Arc::new(AtScreen { second: Some(Pairing::new("wang@laptop").unwrap()) });
    let (outcome, why) = engine.run(&steps, Chapter::Etcd).await;
    assert_eq!(outcome, Outcome::Done, "{why}");
    let lines = desk.journal();
    let by = |kind: &str| {
        let said = lines.iter().find_map(|l| match &l.record {
            Record::Intent { step, confirmed_by, .. } if step.starts_with(kind) => Some(confirmed_by.clone()),
            _ => None,
        });
        said.unwrap_or_else(|| panic!("no {kind}"))
    };
    assert_eq!(by("etcd.promote@master04"), "--approve and wang@laptop (two keys)");
    assert_eq!(by("etcd.join@master05"), "--approve", "what can be taken back wants one person");
    let report = report(&lines, String::new(), |_| true).markdown();
    assert!(report.contains("confirmed by --approve and wang@laptop (two keys)"), "{report}");
}
