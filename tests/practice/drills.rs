//! Every drill: its fault shows, a wrong repair does not cure it, the right one does, and the growth then ends well.

use std::time::Duration;

use banister::{
    cluster::HostName,
    engine::{Chapter, Event, act::ActProgress, confirm::Choice, event::Outcome},
    practice::{Options, Scenario, checks::Check, deeds::Deed},
    survey::{HostObserved, survey_host, survey_kube},
    training::drill::{Drill, Sign},
    ui::xray::Matrix,
    watch::{self, LogMsg, Ready, Source},
};
use tokio::sync::mpsc;

use super::harness::{Desk, Ran, SPEED};

fn drill(name: &str) -> Drill {
    Drill::find(name).unwrap().unwrap()
}

fn begun(drill: &Drill) -> Desk {
    let practice = drill.build(Options { speed: SPEED, ..Options::default() }).unwrap();
    let mut desk = Desk::of(&Scenario::find(&drill.scenario).unwrap(), SPEED);
    desk.practice = practice;
    desk
}

/// Looks until the drill's fault is no longer seen, for a while.
async fn cleared(drill: &Drill, desk: &Desk, looks: u32) -> bool {
    for _ in 0..looks {
        if drill.cleared(&desk.look().await.observed, &desk.practice) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Whether the fault shows, and as what else; `None` when it does.
async fn hidden(drill: &Drill, desk: &Desk) -> Option<String> {
    for sign in std::iter::once(&drill.sign).chain(&drill.also) {
        if let Some(seen) = not_shown(sign, desk).await {
            return Some(format!("{sign:?}: {seen}"));
        }
    }
    None
}

/// Most time for a log to say it, or for a node to be lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// The masters as the panel compares them.
async fn compared(desk: &Desk) -> Matrix {
    let (cluster, remote) = (desk.cluster(), desk.remote());
    let mut hosts: Vec<HostObserved> = Vec::new();
    for node in cluster.all_masters() {
        let mut host = survey_host(cluster, node, &*remote, None).await;
        if let Ok(seen) = &mut host.seen {
            seen.kube = survey_kube(cluster, node, &*remote).await.unwrap();
        }
        hosts.push(host);
    }
    Matrix::new(cluster, &hosts.iter().collect::<Vec<_>>(), &[])
}

async fn not_shown(sign: &Sign, desk: &Desk) -> Option<String> {
    match sign {
        Sign::Compared { row, host } => {
            let matrix = compared(desk).await;
            let column = matrix.hosts.iter().position(|h| h.as_str() == host).unwrap();
            let rows: Vec<_> = matrix.parts.iter().flat_map(|p| &p.rows).filter(|r| r.differs()).collect();
            // The host alone is marked: it is the one to look at.
            let marked = |r: &&&banister::ui::xray::Row| {
                r.label == *row && r.cells.iter().enumerate().all(|(at, cell)| cell.differs == (at == column))
            };
            rows.iter().find(marked).is_none().then(|| format!("{rows:#?}"))
        }
        Sign::Log { host, of, says } => {
            let name = HostName::new(host);
            let pod = of.starts_with("kube-");
            let source = if pod { Source::pod(&name, of) } else { Source::unit(&name, of) };
            let (to, mut arriving) = mpsc::channel(16);
            let following = tokio::spawn(watch::logs(desk.remote(), vec![source], to));
            let mut all = Vec::new();
            let said = async {
                while let Some(msg) = arriving.recv().await {
                    let LogMsg::Lines(_, lines) = msg else { continue };
                    all.extend(lines.into_iter().map(|l| l.text.to_string()));
                    if all.iter().any(|l| l.contains(says.as_str())) {
                        return;
                    }
                }
            };
            let said = tokio::time::timeout(PATIENCE, said).await.is_ok();
            following.abort();
            (!said).then(|| all.join("\n"))
        }
        Sign::Node { host } => {
            let node = desk.cluster().node_name(desk.cluster().node(&HostName::new(host)).unwrap());
            let (to, mut arriving) = mpsc::unbounded_channel();
            let looking = tokio::spawn(watch::nodes(desk.cluster().clone(), desk.remote(), to));
            let look = tokio::time::timeout(PATIENCE, arriving.recv()).await.unwrap().unwrap();
            looking.abort();
            let nodes = look.map(|l| l.nodes).map_err(|e| format!("{e:?}"));
            // It alone is lost: it is the one to look at.
            let lost: Vec<_> =
                nodes.iter().flatten().filter(|n| n.ready != Ready::Yes).map(|n| n.name.as_str()).collect();
            (lost != [node.as_str()]).then(|| format!("{nodes:#?}"))
        }
        Sign::Finding { host, says } => {
            let findings = desk.look().await.observed.findings.clone();
            let is_it = |f: &&banister::survey::Finding| {
                f.severity == banister::survey::Severity::Block
                    && f.what.contains(says.as_str())
                    && host.as_ref().is_none_or(|h| f.host.as_ref().is_some_and(|at| at.as_str() == h))
            };
            findings.iter().find(is_it).is_none().then(|| format!("{findings:#?}"))
        }
        Sign::Step { step, says } => {
            let ran = grown(desk, Chapter::Etcd).await;
            let shows = ran.failures().last().is_some_and(|f| {
                f.step.to_string().starts_with(step.as_str())
                    && format!("{}\n{}", f.error, f.output.join("\n")).contains(says.as_str())
            });
            (ran.outcome == Outcome::Done || !shows)
                .then(|| format!("{:?} {} {:#?}", ran.outcome, ran.why, ran.failures()))
        }
        Sign::Waits { step } => {
            let (cx, steps) = desk.steps().await;
            let (events, mut arriving) = mpsc::unbounded_channel();
            let mut engine = desk.engine(cx.etcd.clone(), &cx.stamp, Choice::Stop, events);
            let seen = async {
                while let Some(event) = arriving.recv().await {
                    if let Event::ActProgress(id, _, ActProgress::Waiting { what, .. }) = event
                        && id.to_string() == *step
                        && what.contains("revision ")
                    {
                        return true;
                    }
                }
                false
            };
            let hidden = tokio::select! {
                (_, why) = engine.run(&steps, Chapter::Workers) => Some(why),
                seen = seen => (!seen).then(|| "the run ended".to_owned()),
            };
            // The run was cut off: whoever comes next finds a lock whose lease has run out, and takes it over.
            desk.lapse();
            *desk.take_over.lock().unwrap() = true;
            hidden
        }
    }
}

/// The last chapter that a drill has to do with.
fn through(drill: &Drill) -> Chapter {
    let kubernetes = matches!(drill.sign, Sign::Compared { .. } | Sign::Log { .. } | Sign::Node { .. });
    if kubernetes { Chapter::Workers } else { Chapter::Etcd }
}

/// A growth, as often as what was just repaired needs to be found healthy.
async fn grown(desk: &Desk, through: Chapter) -> Ran {
    let mut ran = desk.grow_through(through).await;
    for _ in 0..50 {
        if ran.outcome == Outcome::Done || !["leader", "answer", "healthy"].iter().any(|w| ran.why.contains(w)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ran = desk.grow_through(through).await;
    }
    ran
}

async fn drilled(name: &str) {
    let drill = drill(name);
    let desk = begun(&drill);
    assert_eq!(hidden(&drill, &desk).await, None, "{name}: the fault does not show");
    // What is cheap to look at is looked at after each wrong deed; the steps are walked once, after all of them.
    let walked = matches!(drill.sign, Sign::Step { .. } | Sign::Waits { .. });
    for (at, repair) in drill.repairs.iter().enumerate().filter(|(_, r)| !r.right) {
        let _ = drill.repair(at, &desk.practice);
        if !walked {
            // Time for what was restarted to be up again, so that nothing else keeps it from being cured.
            desk.practice.pass(Duration::from_mins(1));
            assert!(!cleared(&drill, &desk, 3).await, "{name}: {} cures it", repair.text.en);
        }
    }
    match drill.sign {
        Sign::Finding { .. } | Sign::Compared { .. } | Sign::Log { .. } | Sign::Node { .. } => {}
        Sign::Step { .. } => assert_eq!(hidden(&drill, &desk).await, None, "{name}: a wrong repair cures it"),
        // Waiting for nothing takes minutes: the learner is still one, and nobody promotes it.
        Sign::Waits { .. } => assert_eq!(desk.members().await.voters().learners, 1, "{name}"),
    }
    let right = drill.repairs.iter().position(|r| r.right).unwrap();
    assert_eq!(drill.repair(right, &desk.practice), Ok(()), "{name}");
    assert!(cleared(&drill, &desk, 100).await, "{name}: {:#?}", desk.blocking().await);
    let ran = grown(&desk, through(&drill)).await;
    assert_eq!(ran.outcome, Outcome::Done, "{name}: {}", ran.why);
}

/// Mended by hand: the files, then what makes whoever has read the old ones read them again.
async fn by_hand(name: &str, files: &[(&str, Option<&str>)], then: &[Deed]) {
    let drill = drill(name);
    let desk = begun(&drill);
    for (file, text) in files {
        assert!(drill.files.iter().any(|f| f == file), "{name}: {file} is not shown");
        match text {
            Some(text) => desk.practice.write_text(file, text).unwrap(),
            None => desk.practice.remove_file(file).unwrap(),
        }
    }
    for deed in then {
        desk.practice.attempt(deed).unwrap();
    }
    assert!(cleared(&drill, &desk, 200).await, "{name} is not cured by hand: {:#?}", desk.blocking().await);
}

fn text(name: &str, file: &str) -> String {
    begun(&drill(name)).practice.read_text(file).unwrap()
}

macro_rules! each {
    ($($test:ident $name:literal)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            drilled($name).await;
        })*

        #[test]
        fn every_drill_is_tested() {
            let mut tested = vec![$($name),*];
            tested.sort_unstable();
            let mut all: Vec<_> = Drill::names().collect();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

each! {
    host_down "host-down"
    member_down "member-down"
    clocks_apart "clocks-apart"
    old_data "old-data"
    disk_full "disk-full"
    read_only "read-only"
    san_missing "san-missing"
    expired "expired"
    foreign_ca "foreign-ca"
    no_space "no-space"
    typo_2378 "typo-2378"
    key_owner "key-owner"
    stranger "stranger"
    second_member "second-member"
    unit_fails "unit-fails"
    stuck_learner "stuck-learner"
    stray_manifest "stray-manifest"
    nodename_newline "nodename-newline"
    proxy_not_restarted "proxy-not-restarted"
    stale_etcd_servers "stale-etcd-servers"
    service_account_keys "service-account-keys"
    fresh_ca "fresh-ca"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_end_taken_out_by_hand_cures_calicos_agent() {
    let file = "master02:/var/lib/calico/nodename";
    assert_eq!(text("nodename-newline", file), "master02.example.com\n");
    let restart = Deed::Agent { host: "master02".into() };
    by_hand("nodename-newline", &[(file, Some("master02.example.com"))], &[restart]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_moved_away_by_hand_gives_the_manifest_its_say() {
    let copy = "master02:/etc/kubernetes/manifests/kube-apiserver.json.bak";
    by_hand("stray-manifest", &[(copy, None)], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_put_right_by_hand_and_the_member_started_cure_the_short_list() {
    let (wrong, good) = (
        "master02:/etc/kubernetes/manifests/kube-apiserver.json",
        "master01:/etc/kubernetes/manifests/kube-apiserver.json",
    );
    let text = text("stale-etcd-servers", good).replace("10.10.33.37\"", "10.10.33.38\"");
    let start = Deed::Etcd { host: "master01".into(), verb: banister::practice::deeds::Verb::Start };
    by_hand("stale-etcd-servers", &[(wrong, Some(&text))], &[start]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_copied_by_hand_and_a_restart_cure_the_refused_tokens() {
    let drill = drill("service-account-keys");
    let desk = begun(&drill);
    for name in ["sa.pub", "sa.key"] {
        let good = desk.practice.read_text(&format!("master01:/etc/kubernetes/pki/{name}")).unwrap();
        desk.practice.write_text(&format!("master02:/etc/kubernetes/pki/{name}"), &good).unwrap();
    }
    desk.practice.pass(Duration::from_mins(1));
    assert!(!cleared(&drill, &desk, 2).await, "what runs has read the other keys");
    desk.practice.attempt(&Deed::StaticPods { host: "master02".into() }).unwrap();
    assert!(cleared(&drill, &desk, 200).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stray_copy_the_old_flags_run() {
    let drill = drill("stray-manifest");
    let desk = begun(&drill);
    let flagged = |host: &str| {
        desk.practice.with(|w| {
            let own = w.kube.processes.iter().filter(|p| p.host.as_str() == host && p.is_apiserver() && !p.is_ending());
            own.map(|p| p.args.iter().any(|a| a == "--max-requests-inflight=800")).collect::<Vec<_>>()
        })
    };
    assert_eq!((flagged("master01"), flagged("master02"), flagged("master03")), (vec![true], vec![false], vec![true]));
    let right = drill.repairs.iter().position(|r| r.right).unwrap();
    drill.repair(right, &desk.practice).unwrap();
    assert!(cleared(&drill, &desk, 200).await);
    assert_eq!(flagged("master02"), [true]);
}

#[test]
fn a_check_of_something_that_is_not_there_does_not_hold() {
    let desk = Desk::new("growth");
    let host = || "master09".to_owned();
    for check in [
        Check::Writable { host: host() },
        Check::UnitStarts { host: host() },
        Check::ManifestsInForce { host: host() },
        Check::AgentReady { host: host() },
        Check::EtcdServers { host: host() },
        Check::ProxyInForce { host: host() },
    ] {
        assert!(!desk.practice.holds(std::slice::from_ref(&check)), "{check:?}");
    }
    // And on an undisturbed cluster all of them hold.
    let (master, worker) = (|| "master02".to_owned(), "node01".to_owned());
    let checks = [
        Check::Writable { host: master() },
        Check::UnitStarts { host: master() },
        Check::CatchesUp,
        Check::AllStarted,
        Check::ManifestsInForce { host: master() },
        Check::AgentReady { host: master() },
        Check::AccountKeysSame,
        Check::ClusterCaSame,
        Check::EtcdServers { host: master() },
        Check::ProxyInForce { host: worker },
    ];
    for check in checks {
        assert!(desk.practice.holds(std::slice::from_ref(&check)), "{check:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_mended_by_hand_and_a_restart_cure_the_typo_too() {
    let drill = drill("typo-2378");
    let desk = begun(&drill);
    let file = "master02:/etc/etcd/etcd.conf";
    assert!(drill.files.iter().any(|f| f == file));
    let text = desk.practice.read_text(file).unwrap();
    assert!(text.contains("2378"), "{text}");
    desk.practice.write_text(file, &text.replace("2378", "2380")).unwrap();
    assert!(!cleared(&drill, &desk, 2).await, "etcd reads the file when it starts");
    let restart = drill.repairs.iter().position(|r| r.text.en.contains("as they are now")).unwrap();
    drill.repair(restart, &desk.practice).unwrap();
    assert!(cleared(&drill, &desk, 100).await);
    let mode = desk.host("master02", |h| {
        let entry = h.files.entry("/etc/etcd/etcd.conf".as_ref()).unwrap();
        (entry.mode, entry.owner.user.clone())
    });
    assert_eq!(mode, (0o644, "etcd".to_owned()), "owner and mode stay");
}

#[test]
fn every_file_of_a_drill_is_there() {
    for name in Drill::names() {
        let drill = drill(name);
        let practice = drill.build(Options { speed: SPEED, ..Options::default() }).unwrap();
        for file in &drill.files {
            practice.read_text(file).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
