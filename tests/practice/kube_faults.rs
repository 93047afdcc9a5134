//! Accidents of Kubernetes by their names: what the engineer sees, and that the next run after the repair finishes the job.

use banister::{
    cluster::HostName,
    engine::{Chapter, event::Outcome},
    practice::Fault,
};

use super::harness::{Desk, Ran};

fn on(host: &str) -> String {
    host.to_owned()
}

fn strike(desk: &Desk, fault: &Fault) {
    desk.practice.with(|w| fault.strike(w, &desk.practice.cluster));
}

fn mend(desk: &Desk, fault: &Fault) {
    desk.practice.with(|w| fault.mend(w, &desk.practice.cluster));
}

fn said(ran: &Ran) -> String {
    let told = ran.failures().into_iter().map(|f| {
        let refused: Vec<_> = f.refused.iter().map(|f| format!("{} | {}", f.what, f.remedy)).collect();
        format!("{}: {}\n{}\n{}", f.step, f.error, refused.join("\n"), f.output.join("\n"))
    });
    told.collect::<Vec<_>>().join("\n")
}

/// Stops at a step with that in its words; after the repair the next run finishes the job.
async fn stops_at(desk: &Desk, faults: &[Fault], step: &str, sees: &[&str]) {
    let ran = desk.grow_through(Chapter::Workers).await;
    assert_ne!(ran.outcome, Outcome::Done, "{faults:?} went unnoticed");
    let failures = ran.failures();
    let last = failures.last().unwrap_or_else(|| panic!("{faults:?}: {}", ran.why));
    assert!(last.step.to_string().starts_with(step), "{faults:?} stopped at {}: {}", last.step, last.error);
    let said = said(&ran);
    for word in sees {
        assert!(said.contains(word), "{faults:?} shows {said:?}, nothing with {word:?}");
    }
    for fault in faults {
        mend(desk, fault);
    }
}

async fn finishes(desk: &Desk) {
    let ran = desk.grow_through(Chapter::Workers).await;
    assert_eq!(ran.outcome, Outcome::Done, "{}\n{}", ran.why, said(&ran));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_with_another_name_stops_chapter_3_and_a_stray_manifest_chapter_4() {
    let desk = Desk::new("growth");
    let name = Fault::KubeletName { host: on("master01"), name: on("somebody.example.com") };
    let stray = Fault::StrayManifest { host: on("master02") };
    strike(&desk, &name);
    strike(&desk, &stray);
    stops_at(&desk, &[name], "kube.", &["calls itself somebody.example.com", "set `domain`"]).await;
    stops_at(&desk, &[stray], "apiserver.rollout@master02", &["kube-apiserver.json.bak does not belong there"]).await;
    finishes(&desk).await;
    desk.practice.with(|w| {
        let nodes: Vec<_> = w.kube.stores.values().next().unwrap().nodes.keys().cloned().collect();
        assert_eq!(nodes.len(), 7, "{nodes:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_differ_stop_chapter_5() {
    let desk = Desk::new("growth");
    let keys = Fault::OtherTokenKeys { host: on("master03") };
    let encryption = Fault::OtherEncryption { host: on("master02") };
    strike(&desk, &keys);
    strike(&desk, &encryption);
    let sees = ["is another one on master03", "encryption config", "is another one on master02"];
    stops_at(&desk, &[keys, encryption], "kube.pki@", &sees).await;
    finishes(&desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_servers_and_a_proxy_behind_its_file_are_put_right_and_a_refused_configuration_stops_chapter_6() {
    let desk = Desk::new("growth");
    let line = Fault::NodenameLine { host: on("master03") };
    let refused = Fault::NginxRefuses { host: on("node02") };
    strike(&desk, &Fault::StaleServers { host: on("master02") });
    strike(&desk, &Fault::ProxyBehind { host: on("node01") });
    strike(&desk, &line);
    strike(&desk, &refused);
    stops_at(&desk, &[line], "calico.pods", &["is not Ready (CrashLoopBackOff)"]).await;
    stops_at(&desk, &[refused], "workers.nginx", &["nginx: [emerg] dlopen()", "test failed"]).await;
    let servers = |host: &str| {
        let seen =
            desk.practice.with(|w| w.kube.containers[&(HostName::new(host), "nginx-proxy".to_owned())].seen.clone());
        String::from_utf8_lossy(&seen).matches("server 10.").count()
    };
    assert_eq!((servers("node01"), servers("node02")), (5, 3), "the one that failed is as it was");
    finishes(&desk).await;
    assert_eq!((servers("node01"), servers("node02")), (5, 5));
    desk.practice.with(|w| {
        for process in w.kube.processes.iter().filter(|p| p.is_apiserver()) {
            let list = process.args.iter().find(|a| a.starts_with("--etcd-servers=")).unwrap();
            assert_eq!(list.split(',').count(), 5, "{}: {list}", process.host);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apiserver_without_its_own_address_stops_chapter_4() {
    let desk = Desk::new("growth");
    let fault = Fault::ApiserverSanMissing { host: on("master02") };
    strike(&desk, &fault);
    stops_at(
        &desk,
        &[fault],
        "apiserver.rollout@master01",
        &["the apiserver on master02 is not healthy", "10.10.33.38"],
    )
    .await;
    finishes(&desk).await;
}
