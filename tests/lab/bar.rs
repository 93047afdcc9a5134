//! The bar to beat: the runbook's own commands as a script, in the same lab under the same writer.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::{
    hosts::{Lab, say},
    writer::{Writer, Written},
};

/// What a growth took, and how long its writer waited at most.
pub struct Figures {
    total: Duration,
    /// From the first chapter to the last.
    stall: Duration,
    /// While etcd was grown: later, five control planes come up on the few cores of one machine.
    while_etcd: Option<Duration>,
}

impl Figures {
    pub fn of(total: Duration, written: &Written, etcd_grown: Option<Instant>) -> Self {
        let while_etcd = etcd_grown.map(|then| written.stall_until(then));
        Self { total, stall: written.stall, while_etcd }
    }

    /// A line of the table that `tests/lab/run` prints at the end.
    pub fn report(&self, who: &str) {
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let (total, etcd) = (self.total.as_secs_f64(), self.while_etcd.map_or_else(|| "-".into(), ms));
        let line = format!("{who:<32} {total:>7.1} s {etcd:>16} {:>16}", ms(self.stall));
        say(format!("total, longest write stall while etcd grew and in all: {line}"));
        if let Some(path) = std::env::var_os("BANISTER_LAB_REPORT") {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the report");
            writeln!(file, "{line}").expect("the report");
        }
    }
}

/// All chapters by the script, on a fresh lab, by its own clock.
pub fn runbook(lab: &Lab) -> Figures {
    lab.lab(["tarball"]);
    let writer = Writer::start(lab);
    let mut said = lab.lab(["runbook-etcd"]);
    let etcd_grown = Instant::now();
    said += &lab.lab(["runbook-kube"]);
    let written = writer.end();
    written.assert_on_each(lab, &lab.all_masters());
    let totals: Vec<u64> =
        said.lines().filter_map(|l| l.strip_prefix("runbook: ")?.split_once("total_ms=")?.1.parse().ok()).collect();
    assert_eq!(totals.len(), 2, "the script's own figures:\n{said}");
    Figures::of(Duration::from_millis(totals.iter().sum()), &written, Some(etcd_grown))
}
