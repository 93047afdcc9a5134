//! Half-done work, whoever left it: by hand, on another jump host, without a journal. The next run recognizes it, goes on, and
//! ends where an undisturbed growth does.

use std::path::Path;

use banister::{
    cluster::HostName,
    engine::{Chapter, confirm::Choice, event::Outcome},
    practice::{Fault, units::systemctl, world::World},
    remote::op::UnitVerb,
};

use super::{
    super::harness::{Desk, differences},
    Stage, in_still_time, walked,
};

/// Makes the half-done state out of the world before a step and the one right after it, and runs.
fn goes_on(scenario: &'static str, step: &str, half: impl FnOnce(&mut World, &World, &Desk)) {
    let stages = walked(scenario);
    let at = stages.iter().position(|s| s.step == step).unwrap_or_else(|| panic!("there is no step {step}"));
    let after: Option<&Stage> = stages.get(at + 1);
    let after = after.unwrap_or(&stages[at]).world.lock().unwrap().clone();
    let end = &stages.last().unwrap().after;
    in_still_time(async {
        let desk = stages[at].desk();
        let before = desk.state();
        desk.practice.with(|w| half(w, &after, &desk));
        assert_ne!(differences(&before, &desk.state()), Vec::<String>::new(), "{step}: nothing is half done");
        let ran = desk.grow_through(Chapter::Workers).await;
        assert_eq!(ran.outcome, Outcome::Done, "{step}: {}", ran.why);
        desk.rest().await;
        assert_eq!(differences(end, &desk.state()), Vec::<String>::new(), "{step}");
    });
}

/// The file as it is in the other world.
fn lay(world: &mut World, from: &World, host: &str, path: &Path) {
    let host = HostName::new(host);
    let entry = from.hosts[&host].files.entry(path).unwrap_or_else(|| panic!("{host}: {}", path.display())).clone();
    world.hosts.get_mut(&host).unwrap().files.lay(path, entry);
}

#[test]
fn a_member_that_was_added_and_not_started() {
    for scenario in ["growth", "growth-3.3"] {
        goes_on(scenario, "etcd.join@master04", |world, _, desk| {
            Fault::MemberAdded { host: "master04".into() }.strike(world, desk.cluster());
        });
    }
}

#[test]
fn a_member_that_runs_and_no_boot_would_start() {
    for scenario in ["growth", "growth-3.3"] {
        goes_on(scenario, "etcd.conf", |world, _, desk| {
            let (unit, host) = (desk.cluster().etcd.unit.clone(), HostName::new("master04"));
            assert_eq!(systemctl(world, &host, UnitVerb::Disable, &unit).0, 0);
        });
    }
}

#[test]
fn a_member_that_runs_is_not_taken_out_because_its_unit_cannot_be_enabled() {
    let stage = walked("growth").iter().find(|s| s.step == "etcd.conf").unwrap();
    in_still_time(async {
        let (desk, host) = (stage.desk(), HostName::new("master04"));
        desk.practice.with(|w| {
            assert_eq!(systemctl(w, &host, UnitVerb::Disable, &desk.cluster().etcd.unit).0, 0);
            Fault::ReadOnly { host: host.to_string() }.strike(w, desk.cluster());
        });
        let before = desk.state();
        let ran = desk.grow_choosing(Choice::Undo).await;
        assert!(ran.failures().iter().any(|f| f.step.to_string() == "etcd.join@master04"), "{}", ran.why);
        assert_eq!(differences(&before, &desk.state()), Vec::<String>::new());
    });
}

#[test]
fn a_learner_that_was_promoted_by_whoever_did_not_hear_of_it() {
    goes_on("growth", "etcd.promote@master04", |world, _, _| {
        let learners = world.etcd.clusters.values_mut().flat_map(|c| c.members.values_mut()).filter(|m| m.learner);
        assert_eq!(learners.map(|m| m.learner = false).count(), 1);
    });
}

#[test]
fn a_certificate_of_etcd_beside_the_old_ones_key() {
    goes_on("growth", "etcd.certs@master02", |world, after, desk| {
        let etcd = &desk.cluster().etcd;
        lay(world, after, "master02", &etcd.cert(banister::cluster::EtcdPair::Client));
    });
}

#[test]
fn an_apiserver_that_was_not_restarted_after_its_certificate_was_replaced() {
    goes_on("growth", "apiserver.rollout@master02", |world, after, desk| {
        lay(world, after, "master02", &desk.cluster().kube.pki.join("apiserver.pem"));
    });
}

#[test]
fn a_manifest_that_was_replaced_while_kubelet_has_not_looked() {
    goes_on("growth", "apiserver.rollout@master02", |world, after, desk| {
        lay(world, after, "master02", &desk.cluster().kube.manifests.join("kube-apiserver.json"));
    });
}

#[test]
fn a_manifest_that_waits_under_its_dot_name() {
    goes_on("growth", "apiserver.rollout@master03", |world, _, desk| {
        let manifest = desk.cluster().kube.manifests.join("kube-apiserver.json");
        let parked = banister::remote::container::parked(&manifest);
        world.hosts.get_mut(&HostName::new("master03")).unwrap().files.rename(&manifest, &parked).unwrap();
    });
}

#[test]
fn a_secret_of_calico_that_was_replaced_while_no_pod_was_rolled() {
    goes_on("growth", "calico.secret", |world, after, desk| {
        let calico = &desk.cluster().kube.calico;
        let path = format!("/api/v1/namespaces/{}/secrets/{}", calico.namespace, calico.secret);
        for (id, store) in &mut world.kube.stores {
            store.objects.insert(path.clone(), after.kube.stores[id].objects[&path].clone());
        }
    });
}

#[test]
fn a_list_of_members_that_calicos_pods_have_not_seen() {
    goes_on("growth", "calico.endpoints", |world, after, desk| {
        let calico = &desk.cluster().kube.calico;
        let path = format!("/api/v1/namespaces/{}/configmaps/{}", calico.namespace, calico.configmap);
        for (id, store) in &mut world.kube.stores {
            store.objects.insert(path.clone(), after.kube.stores[id].objects[&path].clone());
        }
    });
}

#[test]
fn a_proxy_that_was_not_restarted_after_its_file_was_written() {
    goes_on("growth", "workers.nginx", |world, after, desk| {
        let workers: Vec<String> = desk.cluster().workers.iter().map(|w| w.name.to_string()).collect();
        for worker in &workers[..1] {
            lay(world, after, worker, &desk.cluster().kube.nginx_conf);
        }
    });
}
