//! The bar to beat: the runbook's own commands as a script, in the same lab under the same writer. Reported, not asserted.

use std::{io::Write, time::Duration};

use super::{
    hosts::{Lab, say},
    writer::Writer,
};

/// A line of the table that `tests/lab/run` prints at the end.
pub fn report(who: &str, total: Duration, stall: Duration) {
    let line = format!("{who:<32} {:>7.1} s {:>9} ms", total.as_secs_f64(), stall.as_millis());
    say(format!("total and longest write stall: {line}"));
    if let Some(path) = std::env::var_os("BANISTER_LAB_REPORT") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the report");
        writeln!(file, "{line}").expect("the report");
    }
}

#[test]
fn the_runbook_as_a_script_grows_it_too() {
    let lab = Lab::up("3.4.23");
    lab.lab(["tarball"]);
    let writer = Writer::start(&lab);
    let said = lab.lab(["runbook-etcd"]);
    let written = writer.end();
    lab.lab(["check-etcd", "5"]);
    written.assert_on_each(&lab, &lab.all_masters());
    let total = said.lines().find_map(|l| l.strip_prefix("runbook: etcd total_ms=")).expect("the script's own figure");
    report("runbook's script, etcd 3.4.23", Duration::from_millis(total.parse().expect("a number")), written.stall);
}
