//! Masters whose control plane is stopped, and what must go on meanwhile.

use std::time::Duration;

use crate::{
    hosts::{Lab, say, wait_for},
    writer::Writer,
};

/// etcd and every static pod, with kubelet first, which would start them again.
const STOP: &str =
    "systemctl stop kubelet etcd && docker ps --quiet --filter name=k8s_ | xargs -r docker stop --time 0";

/// As many masters as five may lose: the API answers through every worker's proxy, etcd takes writes; then they are back.
pub fn two_of_five_down(lab: &Lab, writer: &Writer) {
    let down = [&lab.masters[0], &lab.joiners[0]];
    for host in down {
        lab.on(&host.name, STOP);
    }
    for host in down {
        let left = lab.on(&host.name, "pgrep --count '^(etcd|kube-(apiserver|controller|scheduler))'; true");
        assert_eq!(left, "0\n", "{}: still running", host.name);
    }
    say(format!("the control planes of {} and {} are stopped", down[0].name, down[1].name));
    writer.goes_on(200);
    for worker in &lab.workers {
        // The apiservers that are left turn to the members that are left; then every answer has to be right.
        wait_for(&format!("the API through {}", worker.name), Duration::from_secs(30), || {
            answers(lab, &worker.name, 1)
        });
        answers(lab, &worker.name, 10).unwrap_or_else(|e| panic!("{}: {e}", worker.name));
    }
    writer.goes_on(50);
    for host in down {
        lab.on(&host.name, "systemctl start etcd kubelet");
    }
    say("they were started again");
}

/// Reads what lies in etcd through a worker's proxy, so many times in a row, and writes there once.
fn answers(lab: &Lab, worker: &str, times: usize) -> Result<(), String> {
    let api = "curl --silent --show-error --fail --max-time 5 --output /dev/null \
        --cacert $pki/ca.pem --cert $pki/admin.pem --key $pki/admin-key.pem";
    let maps = "https://127.0.0.1:6443/api/v1/namespaces/kube-system/configmaps";
    let read = format!("for i in $(seq {times}); do {api} {maps}/calico-config || exit 1; done");
    let map = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"generateName":"outage-{worker}-"}}}}"#);
    let write = format!("{api} --header 'Content-Type: application/json' --data '{map}' {maps}");
    let out = lab.try_on(worker, &format!("pki=/etc/kubernetes/pki; {read} && {write}"));
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}
