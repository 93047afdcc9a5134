//! Kubernetes' accidents by their names: what the engineer sees, what is left, and that the next run finishes the job.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use banister::{
    engine::{
        Chapter, Event, Plan, Probe, Risk, Step, StepId, act::ActError, confirm::Choice, event::Outcome,
        step::SharedStep,
    },
    practice::{Fault, Options, Practice, Scenario, build},
    survey::Finding,
};
use tokio::sync::OnceCell;

use super::harness::{Desk, differences};

static UNDISTURBED: OnceCell<BTreeMap<String, String>> = OnceCell::const_new();

/// What an undisturbed growth comes to, all chapters.
async fn undisturbed() -> &'static BTreeMap<String, String> {
    let grow = || async {
        let desk = Desk::new("growth");
        let ran = desk.grow_through(Chapter::Workers).await;
        assert_eq!(ran.outcome, Outcome::Done, "{}", ran.why);
        desk.rest().await;
        desk.state()
    };
    UNDISTURBED.get_or_init(grow).await
}

async fn finishes(desk: &Desk, fault: &Fault) {
    let mut ran = desk.grow_through(Chapter::Workers).await;
    for _ in 0..50 {
        // What was started again just now has to answer first.
        if ran.outcome == Outcome::Done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ran = desk.grow_through(Chapter::Workers).await;
    }
    assert_eq!(ran.outcome, Outcome::Done, "{fault:?}: {}", ran.why);
    desk.rest().await;
    assert_eq!(differences(undisturbed().await, &desk.state()), Vec::<String>::new(), "{fault:?}");
}

/// A step fails or is refused with those words; once the fault is mended, the next run finishes. Gives the cluster as it
/// was left to `judge`.
async fn fails(fault: Fault, step: &str, sees: &[&str], judge: impl FnOnce(&Desk)) {
    let desk = Desk::new("growth");
    let (cx, steps) = desk.steps().await;
    desk.practice.with(|w| fault.strike(w, &desk.practice.cluster));
    let ran = desk.run_through(cx.etcd.clone(), &steps, &cx.stamp, Choice::Stop, Chapter::Workers).await;
    assert_ne!(ran.outcome, Outcome::Done, "{fault:?} went unnoticed");
    let failures = ran.failures();
    let last = failures.last().unwrap_or_else(|| panic!("{fault:?}: {}", ran.why));
    assert!(last.step.to_string().starts_with(step), "{fault:?} failed at {}: {}", last.step, last.error);
    let said = format!("{}\n{}\n{:?}", last.error, last.output.join("\n"), last.refused);
    for words in sees {
        assert!(said.contains(words), "{fault:?} shows {said}, nothing with {words:?}");
    }
    judge(&desk);
    desk.practice.with(|w| fault.mend(w, &desk.practice.cluster));
    finishes(&desk, &fault).await;
}

/// The growth itself puts it right.
async fn mended_by_the_growth(fault: Fault) {
    let desk = Desk::new("growth");
    let before = desk.state();
    desk.practice.with(|w| fault.strike(w, &desk.practice.cluster));
    assert_ne!(differences(&before, &desk.state()), Vec::<String>::new(), "{fault:?} changes something");
    finishes(&desk, &fault).await;
}

fn apiservers(desk: &Desk) -> usize {
    desk.practice.with(|w| w.kube.processes.iter().filter(|p| p.is_apiserver() && !p.is_ending()).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubelet_name_wrong() {
    let fault = Fault::KubeletName { host: "master04".into() };
    let sees = ["would register as old-master04 and not as master04.example.com", "hostname-override"];
    fails(fault, "kube.start", &sees, |desk| {
        let nodes = desk.practice.with(|w| w.kube.stores.values().next().unwrap().nodes.len());
        assert_eq!((nodes, apiservers(desk)), (5, 3), "nothing has registered and nothing new runs");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubelet_name_of_an_original_wrong() {
    let desk = Desk::new("growth");
    let fault = Fault::KubeletName { host: "master02".into() };
    desk.practice.with(|w| fault.strike(w, &desk.practice.cluster));
    let findings = desk.look().await.observed.findings.clone();
    let said = |f: &Finding| f.what.contains("kubelet calls itself old-master02, by the cluster file it is master02");
    assert!(findings.iter().any(said), "{findings:#?}");
    desk.practice.with(|w| fault.mend(w, &desk.practice.cluster));
    assert!(!desk.look().await.observed.findings.iter().any(said));
}

#[tokio::test(flavor = "multi_thread")]
async fn stray_file_in_manifests() {
    let fault = Fault::StrayManifest { host: "master02".into() };
    let sees = ["/etc/kubernetes/manifests/kube-apiserver.json.bak does not belong there", "move it out"];
    fails(fault, "apiserver.rollout@master02", &sees, |desk| assert_eq!(apiservers(desk), 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_config_refused() {
    let fault = Fault::NginxRefused { host: "node01".into() };
    let sees = ["nginx: [emerg] unknown directive \"stream\"", "node01"];
    fails(fault, "workers.nginx", &sees, |desk| {
        desk.host("node01", |h| {
            let text = h.files.text("/opt/nginx/nginx.conf").unwrap();
            assert!(!text.contains("10.10.33.40"), "the file in use is the old one: {text}");
            let left: Vec<_> = h.files.children("/opt/nginx".as_ref());
            assert_eq!(left.len(), 1, "{left:?}");
        });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn service_account_keys_differ() {
    let fault = Fault::ServiceAccountKeys { host: "master02".into() };
    let sees = ["service-account signing key (/etc/kubernetes/pki/sa.key) is another one on master02", "two clusters"];
    fails(fault, "kube.pki@master04", &sees, |desk| assert_eq!(apiservers(desk), 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_config_differs() {
    let fault = Fault::EncryptionDiffers { host: "master02".into() };
    let sees = ["encryption config (/etc/kubernetes/encryption.yaml) is another one on master02", "put it on every"];
    fails(fault, "kube.pki@master04", &sees, |desk| assert_eq!(apiservers(desk), 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apiserver_certificate_lacks_an_address() {
    let fault = Fault::ApiserverSanMissing { host: "master02".into() };
    let sees = ["the apiserver on master02 is not healthy", "10.10.33.38"];
    fails(fault, "apiserver.rollout@master01", &sees, |desk| {
        assert_eq!(apiservers(desk), 3);
        desk.host("master01", |h| {
            let manifest = h.files.text("/etc/kubernetes/manifests/kube-apiserver.json").unwrap();
            assert!(!manifest.contains("10.10.33.40"), "the first one was restarted: {manifest}");
        });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_end_in_calicos_nodename() {
    let fault = Fault::NodenameNewline { host: "master02".into() };
    let sees = [
        "master02.example.com: calico-node-",
        "CrashLoopBackOff, its container ended by itself",
        "its last words: calico-node: the name in /var/lib/calico/nodename",
        "mend it, delete the pod, then run again",
    ];
    fails(fault, "calico.pods", &sees, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_growth_itself_puts_right() {
    let on = |host: &str| host.to_owned();
    mended_by_the_growth(Fault::StaleEtcdServers { host: on("master02") }).await;
    mended_by_the_growth(Fault::ProxyNotRestarted { host: on("node01") }).await;
    mended_by_the_growth(Fault::FreshCa { host: on("master04") }).await;
    mended_by_the_growth(Fault::NodenameNewline { host: on("master05") }).await;
}

#[test]
fn every_fault_is_known_by_its_name_in_a_scenario() {
    let hostwise = [
        "host-down",
        "host-hangs",
        "hostile-output",
        "disk-full",
        "read-only",
        "wrong-port",
        "san-missing",
        "foreign-ca",
        "expired-certificate",
        "old-data",
        "unit-fails",
        "member-down",
        "member-added",
        "fresh-ca",
        "service-account-keys",
        "encryption-differs",
        "apiserver-san-missing",
        "kubelet-name",
        "stray-manifest",
        "stale-etcd-servers",
        "nodename-newline",
        "nginx-refused",
        "proxy-not-restarted",
    ];
    let mut faults: Vec<String> = hostwise.iter().map(|f| format!("{{ fault: {f}, host: master02 }}")).collect();
    faults.push("{ fault: ssh-drops, host: master02, after: 3 }".into());
    faults.push("{ fault: slow-host, host: master02, ms: 10 }".into());
    faults.push("{ fault: clock-off, host: master02, seconds: -90 }".into());
    faults.extend(["{ fault: learner-stuck }".into(), "{ fault: no-space }".into()]);
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/practice/growth.yaml")).unwrap();
    for fault in faults {
        let scenario = Scenario::parse("x", &format!("{text}faults: [{fault}]\n")).unwrap_or_else(|e| panic!("{e}"));
        build(&scenario, Options::default()).unwrap_or_else(|e| panic!("{fault}: {e}"));
    }
    let unknown = format!("{text}faults: [{{ fault: host-on-fire, host: master02 }}]\n");
    assert!(Scenario::parse("x", &unknown).unwrap_err().to_string().contains("host-on-fire"));
    let nowhere = Scenario::parse("x", &format!("{text}faults: [{{ fault: host-down, host: master09 }}]\n")).unwrap();
    assert!(build(&nowhere, Options::default()).unwrap_err().to_string().contains("there is no host master09"));
}

/// A step whose worker is away whenever its effect is to be proven, but for the looks after so many.
struct Away {
    step: SharedStep,
    practice: Practice,
    looks: AtomicUsize,
    times: usize,
}

#[async_trait]
impl Step for Away {
    fn id(&self) -> StepId {
        self.step.id()
    }

    fn chapter(&self) -> Chapter {
        self.step.chapter()
    }

    fn title(&self) -> String {
        self.step.title()
    }

    fn risk(&self) -> Risk {
        self.step.risk()
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        self.step.probe().await
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        self.step.preview().await
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        self.step.gate().await
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let down = Fault::HostDown { host: "node01".to_owned() };
        let look = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
        if look <= self.times {
            self.practice.with(|w| down.strike(w, &self.practice.cluster));
        }
        let seen = self.step.verify().await;
        if look == self.times {
            self.practice.with(|w| down.mend(w, &self.practice.cluster));
        }
        seen
    }
}

/// A growth in which node01 is away for the first so many looks at the workers' step: what came of it, and the looks.
async fn away(desk: &Desk, times: usize) -> (super::harness::Ran, usize) {
    let (cx, mut steps) = desk.steps().await;
    let step = steps.iter_mut().find(|s| s.id().kind == "workers.nginx").unwrap();
    let (practice, looks) = (desk.practice.clone(), AtomicUsize::new(0));
    let away = Arc::new(Away { step: step.clone(), practice, looks, times });
    *step = away.clone();
    let ran = desk.run_through(cx.etcd.clone(), &steps, &cx.stamp, Choice::Undo, Chapter::Workers).await;
    (ran, away.looks.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_away_for_a_moment_after_the_work_is_no_reason_to_take_it_back() {
    let desk = Desk::new("growth");
    let (ran, looks) = away(&desk, 1).await;
    assert_eq!(ran.outcome, Outcome::Done, "{}", ran.why);
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    let said =
        |e: &&Event| matches!(e, Event::Note(n) if n.contains("workers.nginx: not proven yet") && n.contains("node01"));
    assert_eq!(ran.events.iter().filter(said).count(), looks - 1, "each is told");
    assert!(looks > 1);
    desk.rest().await;
    assert_eq!(differences(undisturbed().await, &desk.state()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stays_away_after_the_work_fails_it() {
    let desk = Desk::new("growth");
    let (ran, looks) = away(&desk, usize::MAX).await;
    assert_eq!(ran.outcome, Outcome::Failed, "{}", ran.why);
    let failures = ran.failures();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].error.contains("node01"), "{}", failures[0].error);
    assert_eq!(looks, 4, "asked for again, not for ever");
    // Where it is reached its old file is back.
    let serves = |host: &str| desk.host(host, |h| h.files.text(Path::new("/opt/nginx/nginx.conf")).unwrap());
    assert!(!serves("node02").contains(&desk.cluster().join[0].address.to_string()), "{}", ran.why);
    let down = Fault::HostDown { host: "node01".to_owned() };
    desk.practice.with(|w| down.mend(w, &desk.practice.cluster));
    finishes(&desk, &down).await;
}
