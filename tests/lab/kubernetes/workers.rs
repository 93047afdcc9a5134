//! Accidents in chapter 6: the run stops at the worker that has one, which is as it was before, and goes on when it is
//! mended.

use crate::{
    banister::{Desk, GROW_ALL},
    hosts::{Lab, say},
};

/// A worker's nginx.conf, and when its container was started.
fn proxy(lab: &Lab, worker: &str) -> (String, String) {
    let file = lab.on(worker, "cat /opt/nginx/nginx.conf");
    let started = lab.on(worker, "docker inspect --format '{{.State.StartedAt}}' nginx-proxy");
    (file, started)
}

/// From four masters to five, on four workers: one, then two at a time.
pub fn past_bad_ones(lab: &Lab, desk: &Desk) {
    let file = lab.cluster_file_of(4, 1, "worker_batch: 2\n");
    let run = [&GROW_ALL[..], &["all", "--on-failure", "stop"]].concat();
    let newest = format!("{}:6443", lab.joiners[1].address);
    let has = |worker: &str| proxy(lab, worker).0.contains(&newest);

    // In place, as an editor might: the container sees it, nginx has not read it yet.
    lab.on("node03", "echo 'worker_conections 5;' >>/opt/nginx/nginx.conf");
    let before = ["node03", "node04"].map(|w| proxy(lab, w));
    let ran = desk.run(&run, &file).with_code(1).saying("workers.nginx").saying("worker_conections");
    assert!(ran.said.contains("(node02, node03)"), "no two at a time:\n{}", ran.last());
    assert!(has("node01") && has("node02"), "what came before it is done");
    assert_eq!(before, ["node03", "node04"].map(|w| proxy(lab, w)), "touched");
    say("a nginx.conf that nginx refuses stopped the run there");
    lab.on("node03", "sed -i '/^worker_conections/d' /opt/nginx/nginx.conf && docker restart nginx-proxy");

    // A worker that loses its way to every master the moment its proxy is changed.
    let before = ["node03", "node04"].map(|w| proxy(lab, w));
    let cut = "nft 'table inet accident { chain output { type filter hook output priority 0; \
        oifname != lo tcp dport 6443 reject with tcp reset; }; }'";
    let ran = desk.until(&run, &file, |line| {
        if line.contains("workers.nginx: act 1/") && line.contains("(node03)") && !line.contains("done in") {
            lab.on("node03", cut);
        }
        false
    });
    lab.on("node03", "nft delete table inet accident");
    ran.with_code(1).saying("node03: its old configuration is back");
    let after = ["node03", "node04"].map(|w| proxy(lab, w));
    assert_eq!(before[0].0, after[0].0, "node03's nginx.conf is not as it was");
    assert_ne!(before[0].1, after[0].1, "its container was not restarted with it");
    assert_eq!(before[1], after[1], "node04 was touched");
    say("a proxy that does not answer was put back");

    desk.run(&run, &file).with_code(0);
    assert!(has("node03") && has("node04"));
}
