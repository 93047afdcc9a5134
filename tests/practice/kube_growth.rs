//! All chapters on Kubernetes in memory, and the way back.

use std::{collections::BTreeMap, path::Path, time::Instant};

use banister::{
    cluster::{HostName, Voters},
    engine::{Chapter, event::Outcome},
    practice::{files::sha256, world::World},
};

use super::harness::{Desk, Ran, differences};

/// What went wrong and where, for a test's message.
fn told(ran: &Ran) -> String {
    let failures: Vec<_> = ran.failures().iter().map(|f| format!("{f:?}")).collect();
    format!("{}\n{}", ran.why, failures.join("\n"))
}

/// Every file of Kubernetes on every host, by its sum.
fn sums(world: &World) -> BTreeMap<String, String> {
    let dirs = ["/etc/kubernetes", "/etc/calico", "/etc/cni", "/opt", "/var/lib/calico"];
    let mut sums = BTreeMap::new();
    for host in world.hosts.values() {
        for (path, entry) in dirs.iter().flat_map(|d| host.files.below(Path::new(d))) {
            sums.extend(sha256(entry).map(|sum| (format!("{}:{}", host.name, path.display()), sum)));
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn five_masters_with_everything_and_back_to_three() {
    let began = Instant::now();
    let desk = Desk::new("growth");
    let before = desk.state();
    let bytes = desk.practice.with(|w| sums(w));
    let ran = desk.grow_through(Chapter::Workers).await;
    assert_eq!(ran.outcome, Outcome::Done, "{}", told(&ran));
    println!("grown after {:?}: {} steps", began.elapsed(), ran.done().len());

    assert_eq!(desk.members().await.voters(), Voters { total: 5, healthy: 5, learners: 0 });
    desk.practice.with(|world| {
        let store = world.kube.stores.values().next().unwrap();
        for name in ["master04", "master05"] {
            let node = &store.nodes[&format!("{name}.example.com")];
            assert!(node.unschedulable && node.labels.contains_key("node-role.kubernetes.io/master"), "{node:?}");
            assert_eq!(node.host, HostName::new(name));
        }
        assert_eq!(store.agents.len(), 7);
        for (node, agent) in &store.agents {
            assert_eq!(agent.endpoints.split(',').count(), 5, "{node}: {}", agent.endpoints);
        }
        let of =
            |program: &str| world.kube.processes.iter().filter(|p| p.program() == program && !p.is_ending()).count();
        assert_eq!(["kube-apiserver", "kube-controller-manager", "kube-scheduler"].map(of), [5, 5, 5]);
        for process in world.kube.processes.iter().filter(|p| p.is_apiserver()) {
            let servers = process.args.iter().find(|a| a.starts_with("--etcd-servers=")).unwrap();
            assert_eq!(servers.split(',').count(), 5, "{}: {servers}", process.host);
        }
        for ((host, _), container) in &world.kube.containers {
            assert_eq!(String::from_utf8_lossy(&container.seen).matches("server 10.").count(), 5, "{host}");
        }
    });
    for host in ["master04", "master05"] {
        let name = desk.host(host, |h| h.files.text("/var/lib/calico/nodename").unwrap());
        assert_eq!(name, format!("{host}.example.com"), "without a line end");
        desk.host(host, |h| assert_eq!(h.files.entry("/etc/kubernetes/pki/sa.key".as_ref()).unwrap().mode, 0o600));
    }

    desk.rest().await;
    let grown = desk.state();
    let again = desk.grow_through(Chapter::Workers).await;
    assert_eq!(again.done(), Vec::<String>::new(), "a second run has nothing to do");
    assert!(again.why.starts_with("nothing to do"), "{}", told(&again));
    assert_eq!(differences(&grown, &desk.state()), Vec::<String>::new());
    println!("and again after {:?}", began.elapsed());

    let back = desk.take_back().await;
    assert_eq!(back.outcome, Outcome::Done, "{}", told(&back));
    println!("and back after {:?}", began.elapsed());
    assert_eq!(desk.members().await.voters(), Voters { total: 3, healthy: 3, learners: 0 });
    desk.rest().await;
    // systemd has heard of the joiners' units by then.
    let heard = |d: &String| d.contains(" unit ") && d.contains("None → Some(\"false\")");
    let left: Vec<_> = differences(&before, &desk.state()).into_iter().filter(|d| !heard(d)).collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(bytes, desk.practice.with(|w| sums(w)), "every file of Kubernetes is as it was, to the byte");
}
