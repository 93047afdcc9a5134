//! One operator at a time, on real hosts: who works there is said, and a run that was killed keeps nobody out.

use crate::{
    banister::{Desk, GROW},
    hosts::Lab,
    proofs::assert_nothing_left,
};

#[test]
fn a_second_run_is_told_who_works_there_and_goes_on_at_once_when_the_first_is_killed() {
    let (lab, desk, other) = (Lab::up("3.4.23"), Desk::new(), Desk::new());
    let file = lab.cluster_file();
    let mut refused = None;
    desk.until(&[&GROW[..], &["all"]].concat(), &file, |line| {
        if refused.is_some() || !line.ends_with(" etcd.install@master04: running") {
            return false;
        }
        refused = Some(other.grow(&file, "all"));
        true
    });
    let refused = refused.expect("the first run came that far").with_code(4);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let who = format!("@{} (pid ", host.trim());
    let day = "since 20";
    let refused =
        refused.saying("another run works on this cluster").saying(&who).saying(day).saying("lease for another");
    assert!(!refused.said.contains(": running"), "it did something:\n{}", refused.last());
    let next = other.grow(&file, "all").with_code(0);
    next.saying("left behind by a run on this machine that is dead");
    assert_nothing_left(&lab, &desk);
}
