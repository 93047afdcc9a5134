//! The bar to beat: the runbook's own commands as a script, in the same lab under the same writer.

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

/// All chapters by the script, on a fresh lab; how long it took by its own clock, and the longest write stall.
pub fn runbook(lab: &Lab) -> (Duration, Duration) {
    lab.lab(["tarball"]);
    let writer = Writer::start(lab);
    let said = lab.lab(["runbook-etcd"]) + &lab.lab(["runbook-kube"]);
    let written = writer.end();
    written.assert_on_each(lab, &lab.all_masters());
    let totals: Vec<u64> =
        said.lines().filter_map(|l| l.strip_prefix("runbook: ")?.split_once("total_ms=")?.1.parse().ok()).collect();
    assert_eq!(totals.len(), 2, "the script's own figures:\n{said}");
    (Duration::from_millis(totals.iter().sum()), written.stall)
}
