//! Three to five without a screen, on the versions of etcd that the Kubernetes tests do not run.

use std::time::Instant;

use crate::{
    banister::Desk,
    bar::Figures,
    hosts::{Lab, say},
    proofs::{Processes, assert_desk_is_tidy, assert_grown, assert_nothing_left},
    writer::Writer,
};

fn grows(etcd: &str) {
    let (lab, desk) = (Lab::up(etcd), Desk::new());
    let before = Processes::of(&lab, &lab.masters);
    let writer = Writer::start(&lab);
    let ran = desk.grow(&lab.cluster_file(), "all").with_code(0);
    let written = writer.end();
    assert_eq!(before, Processes::of(&lab, &lab.masters), "etcd was restarted on an original");
    assert_grown(&lab, &written);
    assert_desk_is_tidy(&desk, &[&ran]);
    assert_nothing_left(&lab, &desk);
    Figures::of(ran.took, &written, Some(Instant::now())).report(&format!("banister, etcd {etcd}"));
    say(format!("etcd {etcd} grew from three to five"));
}

/// No learners: the voter path.
#[test]
fn etcd_3_3_grows_from_three_to_five() {
    grows("3.3.25");
}

#[test]
fn etcd_3_5_grows_from_three_to_five() {
    grows("3.5.16");
}
