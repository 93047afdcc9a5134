//! Scenes of a run, each reached by messages alone, as the program itself would.

#[path = "live.rs"]
pub mod live;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use banister::{
    cluster::{
        BinarySource, Cluster, EtcdLayout, FirewallChoice, HostName, KubeLayout, Node, Notice, PackageChoice, Role,
        SshSettings, Voters,
    },
    engine::{
        Chapter, Event, PlanView, Risk, StepId,
        act::ActProgress,
        confirm::{ConfirmRequest, Failure},
        event::{Outcome, StepInfo, StepState},
        plan::{CertChange, FileDiff, QuorumChange, Shown, UndoCard},
    },
    pki::{San, SanDiff},
    remote::{
        RemoteError,
        etcd::{Alarm, Member, MemberStatus, Membership},
    },
    survey::{EtcdOnHost, Facts, Finding, HostObserved, HostSeen, Observed, Severity, UnitState},
    ui::{ConnectState, Model, Msg, Now, Setup, StepText, Theme, update},
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Names of all scenes.
pub const SCENES: &[&str] = &[
    "connecting",
    "connecting-host-key",
    "take-over",
    "connecting-secret",
    "connecting-failed",
    "survey-blocked",
    "survey-warnings",
    "survey-clean",
    "wizard-idle",
    "wizard-running",
    "wizard-waiting",
    "wizard-commands",
    "wizard-diffs",
    "wizard-sans",
    "wizard-undo",
    "wizard-etcd-degraded",
    "wizard-log",
    "wizard-aside",
    "wizard-zoom",
    "wizard-failed",
    "wizard-outcomes",
    "wizard-quorum-lost",
    "confirm-reversible",
    "confirm-disruptive",
    "confirm-irreversible",
    "confirm-paste",
    "confirm-commands",
    "confirm-changes",
    "confirm-undo",
    "confirm-quit",
    "failed",
    "failed-undo",
    "failed-refused",
    "failed-quit",
    "refused",
    "finished",
    "finished-stopped",
    "fatal",
    "failed-skippable",
    "live-certs",
    "live-certs-trouble",
    "live-certs-whole",
    "live-masters",
    "live-masters-trouble",
    "live-masters-whole",
    "live-nodes",
    "live-nodes-trouble",
    "live-nodes-down",
    "live-etcd-learner",
    "live-etcd-whole",
    "live-journal",
    "live-journal-trouble",
    "live-journal-whole",
    "live-journal-filter",
    "live-journal-find",
    "live-find",
    "live-palette",
    "live-paused",
    "help",
    "quit-running",
    "quit-stopping",
];

/// A host's name.
pub fn host(name: &str) -> HostName {
    HostName::new(name)
}

/// A step's id.
pub fn id(kind: &'static str, on: Option<&str>) -> StepId {
    StepId { kind, host: on.map(HostName::new) }
}

/// The step everything happens in.
pub fn join() -> StepId {
    id("etcd.join", Some("master04"))
}

/// 2026-03-14 03:15:00 UTC.
pub const START: i64 = 1_773_458_100;

/// The clock, so many milliseconds after the start.
pub fn now(millis: u64) -> Now {
    let seconds = i8::try_from(millis / 1000 % 60).unwrap_or(0);
    Now {
        at: Duration::from_millis(millis),
        clock: jiff::civil::date(2026, 3, 14).at(3, 15, seconds, 0),
        epoch: START + i64::from(seconds),
    }
}

/// A key without modifiers.
pub fn key(code: KeyCode) -> Msg {
    Msg::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// A character.
pub fn ch(c: char) -> Msg {
    key(KeyCode::Char(c))
}

fn node(name: &str, last: u8, role: Role, comment: Option<&str>) -> Node {
    Node {
        name: host(name),
        address: [10, 10, 33, last].into(),
        role,
        comment: comment.map(str::to_owned),
        ssh: SshSettings::default(),
    }
}

/// The cluster file.
pub fn cluster() -> Cluster {
    Cluster {
        path: "/home/ops/prod.yaml".into(),
        name: "prod".into(),
        domain: Some("example.com".into()),
        ssh: SshSettings::default(),
        masters: vec![
            node("master01", 37, Role::Original, None),
            node("master02", 38, Role::Original, None),
            node("master03", 39, Role::Original, Some("备用机房，三楼左边第二个机柜")),
        ],
        join: vec![node("master04", 40, Role::Joiner, Some("新机器 (R740)")), node("master05", 41, Role::Joiner, None)],
        workers: vec![node("node01", 51, Role::Worker, None)],
        etcd: EtcdLayout::default(),
        kube: KubeLayout::default(),
        backup_dir: "/root/backup".into(),
        firewall: FirewallChoice::Off,
        binaries: BinarySource::Original,
        packages: PackageChoice::default(),
        worker_batch: None,
        set_hostname: true,
        lifetime_days: None,
        lang: None,
        two_key: false,
        notices: vec![Notice {
            line: Some(12),
            text: "node01 is listed as a worker and will not be touched in chapters 1 and 2".into(),
        }],
    }
}

fn texts() -> BTreeMap<String, StepText> {
    let join = StepText {
        title: "Join as a learner".into(),
        what: "Adds the host to etcd as a learner, starts etcd on it, waits until it has caught up, then promotes it to a voter.".into(),
        why: "A learner does not count for quorum, so a wrong certificate or a closed port costs nothing: the cluster keeps its three voters until the new one is known to work.".into(),
        runbook: "The runbook adds both members in one pass and as voters. Between the add and the start, four voters with three running tolerate no failure at all; with a second add, five with three. It also spells the new peer port 2378: the right one is 2380.".into(),
        undo_until: "until the promotion".into(),
        undo_cost: "nothing: a learner has no vote".into(),
    };
    BTreeMap::from([("etcd.join".to_owned(), join)])
}

/// A fresh model of that size.
pub fn fresh(size: (u16, u16), theme: Theme) -> Model {
    Model::new(Setup { cluster: Arc::new(cluster()), texts: texts(), theme, now: now(0), size, practice: false })
}

/// Feeds messages, dropping what they ask for.
pub fn feed(model: &mut Model, msgs: impl IntoIterator<Item = Msg>) {
    for msg in msgs {
        update(model, msg);
    }
}

fn step(kind: &'static str, on: Option<&str>, chapter: Chapter, title: &str, risk: Risk) -> StepInfo {
    StepInfo { id: id(kind, on), chapter, title: title.into(), risk }
}

/// The steps of the run.
pub fn steps() -> Vec<StepInfo> {
    use Chapter::{Backup, Etcd};
    use Risk::{Disruptive, Irreversible, ReadOnly, Reversible};
    vec![
        step("backup.files", None, Backup, "Archive configuration and PKI", Reversible),
        step("backup.snapshot", Some("master01"), Backup, "Take a snapshot from master01", Reversible),
        step("backup.prove", Some("master01"), Backup, "Prove the snapshot by a restore", ReadOnly),
        step("etcd.prepare", Some("master04"), Etcd, "Prepare master04", Reversible),
        step("etcd.binaries", Some("master04"), Etcd, "Copy etcd 3.4.23 to master04", Reversible),
        step("etcd.issue", None, Etcd, "Re-issue the etcd certificates", Reversible),
        step("etcd.rollout", Some("master01"), Etcd, "Roll certificates out to master01", Disruptive),
        step("etcd.rehearse", Some("master04"), Etcd, "Rehearse the handshake, master04", ReadOnly),
        step("etcd.join", Some("master04"), Etcd, "Join master04", Irreversible),
        step("etcd.join", Some("master05"), Etcd, "Join master05", Irreversible),
        step("etcd.conf", None, Etcd, "Update --initial-cluster on all", Reversible),
    ]
}

fn act(on: &str, title: &str, commands: &str) -> Shown {
    Shown { host: Some(host(on)), title: title.into(), commands: commands.into() }
}

fn voters(total: usize, healthy: usize, learners: usize) -> Voters {
    Voters { total, healthy, learners }
}

/// What joining would do.
pub fn join_plan(risk: Risk) -> PlanView {
    let conf = "ETCD_OPTS=\"--name=master04 \\\n  --data-dir=/var/lib/etcd \\\n  --initial-cluster=master01=https://10.10.33.37:2380,master02=https://10.10.33.38:2380,master03=https://10.10.33.39:2380,master04=https://10.10.33.40:2380 \\\n  --initial-cluster-state=existing\"";
    PlanView {
        risk,
        acts: vec![
            act("master01", "Add https://10.10.33.40:2380 as a learner", "etcd API: MemberAdd(peerURLs=[https://10.10.33.40:2380], isLearner=true)"),
            act("master04", "Write /etc/etcd/etcd.conf", &format!("umask 077\ncat > /etc/etcd/.banister.tmp <<'EOF'\n{conf}\nEOF\nchown etcd:etcd /etc/etcd/.banister.tmp\nmv -f /etc/etcd/.banister.tmp /etc/etcd/etcd.conf")),
            act("master04", "Start etcd", "systemctl daemon-reload\nsystemctl enable --now etcd"),
            act("master04", "Wait until the learner has caught up", ""),
            act("master01", "Promote it to a voter", "etcd API: MemberPromote(id of https://10.10.33.40:2380)"),
        ],
        diffs: vec![conf_diff()],
        certs: vec![cert_change()],
        undo: UndoCard {
            acts: vec![
                act("master01", "Remove the member master04", "etcd API: MemberRemove(id of https://10.10.33.40:2380)"),
                act("master04", "Stop etcd", "systemctl disable --now etcd"),
                act("master04", "Clear /var/lib/etcd", "rm -rf -- /var/lib/etcd/member"),
            ],
            until: "any time; after the promotion a removal costs a vote".into(),
            cost: "quorum falls back to 2 of 3".into(),
        },
        down_meanwhile: (risk == Risk::Disruptive).then(|| {
            "etcd on master01 restarts: about 2 s without that member; if it leads, an election of about 1 s stalls every write".to_owned()
        }),
        quorum: Some(QuorumChange { before: voters(3, 3, 0), during: voters(4, 3, 0), after: voters(4, 4, 0) }),
        expected: Duration::from_secs(40),
        notes: vec!["an even number of voters until master05 has joined: four survive no more than three do".into()],
    }
}

fn conf_diff() -> FileDiff {
    let before = (1..=14).map(|i| format!("# line {i} of the file as it is")).collect::<Vec<_>>().join("\n") + "\n";
    let before =
        format!("{before}--name=master04\n--initial-cluster=master01=https://10.10.33.37:2380\n--metrics=basic\n");
    let after = before.replace(":2380\n", ":2380,master04=https://10.10.33.40:2380\n");
    FileDiff { host: host("master04"), path: "/etc/etcd/etcd.conf".into(), before: Some(before), after }
}

fn cert_change() -> CertChange {
    let ip = |last: u8| San::Ip([10, 10, 33, last].into());
    CertChange {
        host: host("master01"),
        path: "/etc/etcd/ssl/peer.crt".into(),
        sans: SanDiff {
            kept: vec![ip(37), ip(38), ip(39), San::Ip([127, 0, 0, 1].into()), San::Dns("localhost".into())],
            added: vec![ip(40), ip(41)],
            dropped: vec![],
            deduplicated: vec![San::Ip([127, 0, 0, 1].into())],
        },
        notes: vec!["subject CN=Etcd-peer and key RSA 2048 kept; valid as long as the one in use, 3650 days".into()],
    }
}

/// The question before joining, at a risk.
pub fn question(risk: Risk) -> ConfirmRequest {
    ConfirmRequest {
        step: join(),
        title: "Join master04".into(),
        risk,
        type_this: (risk == Risk::Irreversible).then(|| "master04".to_owned()),
        plan: Arc::new(join_plan(risk)),
    }
}

/// A member of etcd that answers.
pub fn member(number: u8, revision: i64) -> Member {
    let name = format!("master0{number}");
    Member {
        id: u64::from(number),
        peer_urls: vec![format!("https://10.10.33.{}:2380", 36 + number)],
        client_urls: vec![format!("https://10.10.33.{}:2379", 36 + number)],
        learner: false,
        host: Some(host(&name)),
        name,
        status: Ok(MemberStatus {
            version: "3.4.23".into(),
            leader: 1,
            revision,
            raft_term: 4,
            raft_index: 90_210,
            raft_applied_index: 90_210,
            db_size: 26_214_400,
            db_size_in_use: 20_000_000,
            errors: vec![],
            latency: Duration::from_micros(800 * u64::from(number)),
        }),
    }
}

/// Three healthy members.
pub fn healthy() -> Membership {
    let members = vec![member(1, 81_234), member(2, 81_234), member(3, 81_230)];
    Membership { cluster_id: 7, asked: host("master01"), members, alarms: vec![] }
}

/// One down, one with an alarm, an unstarted learner.
pub fn degraded() -> Membership {
    let mut all = healthy();
    all.members[2].status = Err("no answer within 2 s; check that etcd runs there".into());
    let mut learner = member(4, 0);
    learner.name = String::new();
    learner.learner = true;
    learner.status = Err("connection refused".into());
    all.members.push(learner);
    all.alarms.push(Alarm { member: 2, kind: "NOSPACE".into() });
    all
}

fn finding(severity: Severity, on: Option<&str>, what: &str, why: &str, remedy: &str) -> Finding {
    Finding { severity, host: on.map(HostName::new), what: what.into(), why: why.into(), remedy: remedy.into() }
}

/// What was seen; with something that blocks, or not.
pub fn observed(blocked: bool) -> Observed {
    let seen = |last: u8, offset: i64, etcd: Option<&str>| {
        let unit =
            UnitState { active: if etcd.is_some() { "active" } else { "absent" }.into(), ..UnitState::default() };
        HostSeen {
            facts: Facts { os: "Debian GNU/Linux 12".into(), clock_offset_ms: offset, ..Facts::default() },
            etcd: Some(match etcd {
                Some(_) => live::etcd(last),
                None => EtcdOnHost { unit, ..EtcdOnHost::default() },
            }),
            kube: None,
        }
    };
    let lost = RemoteError::Unreachable {
        host: host("master03"),
        address: "10.10.33.39:22".into(),
        why: "no answer within 10 s".into(),
    };
    let one = |name: &str, role, seen| HostObserved { name: host(name), role, seen };
    let mut findings = vec![finding(
        Severity::Warn,
        Some("master02"),
        "the etcd CA's key lies on this host too",
        "whoever reads it can issue certificates etcd trusts",
        "keep it in one safe place; etcd itself does not need it",
    )];
    if blocked {
        findings.insert(
            0,
            finding(
                Severity::Block,
                Some("master03"),
                "cannot be reached, so its etcd member cannot be looked at",
                "adding a member while another may be down can lose quorum",
                "bring master03 back, or check the address and sshd there",
            ),
        );
        findings.insert(
            1,
            finding(
                Severity::Block,
                Some("master04"),
                "the data directory /var/lib/etcd is not empty",
                "a member that starts with old data is refused by the cluster or answers with another cluster's data",
                "move it away: mv /var/lib/etcd /var/lib/etcd.old",
            ),
        );
    }
    Observed {
        hosts: vec![
            one("master01", Role::Original, Ok(seen(37, 12, Some("3.4.23")))),
            one("master02", Role::Original, Ok(seen(38, -240, Some("3.4.23")))),
            one("master03", Role::Original, if blocked { Err(lost) } else { Ok(seen(39, 30, Some("3.4.23"))) }),
            one("master04", Role::Joiner, Ok(seen(40, 900, None))),
            one("master05", Role::Joiner, Ok(seen(41, 0, None))),
            one("node01", Role::Worker, Ok(HostSeen::default())),
        ],
        etcd: Ok(healthy()),
        findings,
    }
}

/// A join that did not start.
pub fn failure() -> Failure {
    Failure {
        step: join(),
        doing: "Start etcd".into(),
        error: "master04: start of etcd failed with status 1; see the journal below, then retry or undo".into(),
        left: "master04 is an unstarted learner: the three voters are untouched, but no other member can be added until it starts or is removed".into(),
        output: vec![
            "etcd[4711]: listening for peers on https://10.10.33.40:2380".into(),
            "etcd[4711]: open /etc/etcd/ssl/peer.key: permission denied".into(),
            "systemd[1]: etcd.service: Failed with result 'exit-code'.".into(),
        ],
        undo: Some(join_plan(Risk::Irreversible).undo),
        refused: vec![],
        skippable: false,
    }
}

fn connect(name: &str, state: ConnectState) -> Msg {
    Msg::Connect(host(name), state)
}

fn connecting(model: &mut Model) {
    let lost = "master05: cannot be reached at 10.10.33.41:22: no route to host; check that the host is up and that sshd answers there";
    feed(
        model,
        [
            Msg::Tick(now(3_000)),
            connect("master01", ConnectState::Connected),
            connect("master02", ConnectState::Connected),
            connect("master03", ConnectState::Asking),
            connect("master05", ConnectState::Failed(lost.into())),
        ],
    );
}

/// Up to the steps: all connected, surveyed, started; what came before is done.
pub fn started(model: &mut Model) {
    for node in cluster().hosts() {
        feed(model, [Msg::Connect(node.name.clone(), ConnectState::Connected)]);
    }
    feed(
        model,
        [
            Msg::Tick(now(8_000)),
            Msg::Survey(Arc::new(observed(false))),
            key(KeyCode::Enter),
            Msg::Engine(Event::Steps(steps())),
            Msg::Etcd(Ok(healthy()), Duration::from_secs(38)),
            Msg::Tick(now(40_000)),
        ],
    );
    for (i, info) in steps().into_iter().take(8).enumerate() {
        let state = if i < 3 {
            StepState::AlreadyDone("an archive of today with the same checksums".into())
        } else {
            StepState::Done(Duration::from_millis(1300 * i as u64))
        };
        feed(model, [Msg::Engine(Event::State(info.id, state))]);
    }
}

/// At a question.
pub fn asked(model: &mut Model, risk: Risk) {
    started(model);
    feed(
        model,
        [
            Msg::Engine(Event::State(join(), StepState::Probing)),
            Msg::Engine(Event::Preview(join(), Arc::new(join_plan(risk)))),
            Msg::Engine(Event::State(join(), StepState::Asking)),
            Msg::Engine(Event::Asking(question(risk))),
            Msg::Tick(now(41_000)),
        ],
    );
}

/// With an act running.
pub fn running(model: &mut Model) {
    asked(model, Risk::Reversible);
    feed(
        model,
        [
            ch('y'),
            Msg::Engine(Event::Confirmed(join(), "operator")),
            Msg::Engine(Event::State(join(), StepState::Running)),
            Msg::Engine(Event::ActStarted(join(), 0)),
            Msg::Engine(Event::ActProgress(
                join(),
                0,
                ActProgress::Line("member 8e9e05c52164694d added as a learner".into()),
            )),
            Msg::Engine(Event::ActDone(join(), 0, Duration::from_millis(120))),
            Msg::Engine(Event::ActStarted(join(), 1)),
            Msg::Tick(now(44_000)),
            Msg::Engine(Event::ActProgress(join(), 1, ActProgress::Bytes { done: 12 << 20, total: Some(27 << 20) })),
            Msg::Etcd(Ok(healthy()), Duration::from_millis(42_900)),
        ],
    );
}

fn waiting(model: &mut Model) {
    running(model);
    let seen = "the learner to catch up: at revision 60,112 of 81,234".to_owned();
    feed(
        model,
        [
            Msg::Engine(Event::ActDone(join(), 1, Duration::from_secs(3))),
            Msg::Engine(Event::ActStarted(join(), 3)),
            Msg::Tick(now(56_000)),
            Msg::Etcd(Ok(healthy()), Duration::from_secs(55)),
            Msg::Engine(Event::ActProgress(join(), 3, ActProgress::Waiting { what: seen, seconds: 12, deadline: 120 })),
        ],
    );
}

/// At a failed step.
pub fn failed(model: &mut Model) {
    running(model);
    feed(
        model,
        [
            Msg::Engine(Event::State(join(), StepState::Failed("start of etcd failed".into()))),
            Msg::Engine(Event::Failed(failure())),
            Msg::Tick(now(50_000)),
        ],
    );
}

fn finished(model: &mut Model) {
    running(model);
    for info in steps().into_iter().skip(8) {
        feed(model, [Msg::Engine(Event::State(info.id, StepState::Done(Duration::from_secs(14))))]);
    }
    let mut five = healthy();
    five.members.extend([member(4, 81_240), member(5, 81_240)]);
    feed(
        model,
        [
            Msg::Etcd(Ok(five), Duration::from_secs(44)),
            Msg::Engine(Event::Finished(
                Outcome::Done,
                "etcd has five healthy voters; 3 steps were done before, 8 now".into(),
            )),
        ],
    );
}

/// The scene of that name.
pub fn scene(name: &str, size: (u16, u16), theme: Theme) -> Model {
    let mut model = fresh(size, theme);
    let m = &mut model;
    match name.split('-').next().unwrap_or_default() {
        "connecting" => connecting_scene(name, m),
        "survey" => {
            let mut observed = observed(name == "survey-blocked");
            if name == "survey-clean" {
                observed.findings.clear();
            }
            feed(m, [Msg::Tick(now(8_000)), Msg::Survey(Arc::new(observed))]);
        }
        "wizard" => wizard_scene(name, m),
        "confirm" => confirm_scene(name, m),
        "live" => live::scene(name, m),
        "failed" | "refused" | "fatal" | "finished" => end_scene(name, m),
        "take" => {
            started(m);
            let printed = "run=r\nwho=li@jump02\npid=4711\nsince=2026-11-23T17:40:12Z\nends=100\nnow=187\n";
            feed(m, [Msg::AskTakeOver { id: 3, lock: banister::remote::lock::parse(printed) }, Msg::Tick(now(52_000))]);
        }
        "help" => {
            started(m);
            feed(m, [ch('?')]);
        }
        _ => {
            running(m);
            feed(m, [ch('q')]);
            if name == "quit-stopping" {
                feed(m, [ch('y'), Msg::Tick(now(52_000)), ch('q'), ch('l'), ch('e')]);
            }
        }
    }
    model
}

fn connecting_scene(name: &str, m: &mut Model) {
    connecting(m);
    match name {
        "connecting-host-key" => feed(
            m,
            [
                Msg::AskHostKey {
                    id: 1,
                    host: host("master03"),
                    address: "10.10.33.39:22".into(),
                    key_type: "ssh-ed25519".into(),
                    fingerprint: "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGLTu2BMBlIsmfVj5vg".into(),
                },
                Msg::Tick(now(3_600)),
            ],
        ),
        "connecting-secret" => feed(
            m,
            [
                Msg::AskSecret { id: 2, prompt: "Passphrase for /home/ops/.ssh/id_ed25519".into(), second: false },
                ch('s'),
                ch('3'),
                ch('c'),
            ],
        ),
        "connecting-failed" => {
            for name in ["master03", "master04", "node01"] {
                feed(m, [connect(name, ConnectState::Connected)]);
            }
        }
        _ => {}
    }
}

fn wizard_scene(name: &str, m: &mut Model) {
    match name {
        "wizard-idle" => {
            started(m);
            feed(m, [Msg::Engine(Event::State(join(), StepState::Probing))]);
        }
        "wizard-waiting" => waiting(m),
        "wizard-running" => running(m),
        "wizard-commands" => {
            waiting(m);
            feed(m, [ch('2')]);
        }
        "wizard-diffs" | "wizard-sans" => {
            running(m);
            feed(m, [ch('3')]);
            if name == "wizard-diffs" {
                feed(m, [key(KeyCode::End)]);
            }
        }
        "wizard-undo" => {
            running(m);
            feed(m, [ch('4')]);
        }
        "wizard-etcd-degraded" => {
            running(m);
            feed(
                m,
                [
                    Msg::Etcd(Ok(degraded()), Duration::from_secs(44)),
                    Msg::Etcd(Err("master01: etcd did not answer within 5 s".into()), Duration::from_secs(53)),
                    Msg::Tick(now(59_000)),
                    ch('e'),
                ],
            );
        }
        "wizard-log" => {
            waiting(m);
            for i in 0..60 {
                let line = format!(
                    "etcd: 已经复制 {i} 个修订; a line long enough to be wrapped where the screen is narrow, as they are"
                );
                feed(m, [Msg::Engine(Event::ActProgress(join(), 3, ActProgress::Line(line)))]);
            }
            feed(m, [ch('l'), key(KeyCode::PageUp), key(KeyCode::Up)]);
        }
        "wizard-failed" => {
            failed(m);
            feed(m, [ch('v')]);
        }
        "wizard-outcomes" => {
            running(m);
            let states = [
                (7, StepState::Undone),
                (8, StepState::Skipped),
                (9, StepState::Failed("master05: start of etcd failed with status 1".into())),
                (10, StepState::Verifying),
            ];
            feed(m, states.map(|(at, state)| Msg::Engine(Event::State(steps()[at].id.clone(), state))));
            feed(m, [ch('s'), ch('z')]);
        }
        "wizard-quorum-lost" => {
            running(m);
            let mut lost = degraded();
            lost.members[1].status = Err("connection refused".into());
            feed(m, [Msg::Etcd(Ok(lost), Duration::from_secs(44)), ch('e')]);
        }
        "wizard-aside" => {
            asked(m, Risk::Irreversible);
            feed(m, [key(KeyCode::Esc)]);
        }
        _ => {
            waiting(m);
            feed(m, [ch('d'), ch('z')]);
        }
    }
}

fn confirm_scene(name: &str, m: &mut Model) {
    match name {
        "confirm-reversible" => asked(m, Risk::Reversible),
        "confirm-disruptive" => asked(m, Risk::Disruptive),
        "confirm-commands" | "confirm-changes" | "confirm-undo" | "confirm-quit" => {
            asked(m, Risk::Disruptive);
            let pressed = match name {
                "confirm-commands" => '2',
                "confirm-changes" => '3',
                "confirm-undo" => '4',
                _ => 'q',
            };
            feed(m, [ch(pressed)]);
        }
        "confirm-irreversible" => {
            asked(m, Risk::Irreversible);
            for c in "mast".chars() {
                feed(m, [ch(c)]);
            }
        }
        _ => {
            asked(m, Risk::Irreversible);
            feed(m, [Msg::Paste("master04\n".into())]);
        }
    }
}

fn end_scene(name: &str, m: &mut Model) {
    match name {
        "failed" => failed(m),
        "failed-skippable" => {
            failed(m);
            feed(m, [Msg::Engine(Event::Failed(Failure { skippable: true, ..failure() }))]);
        }
        "failed-undo" => {
            failed(m);
            feed(m, [ch('u'), Msg::Tick(now(51_000))]);
        }
        "failed-refused" => {
            failed(m);
            let refused = observed(true).findings.into_iter().take(1).collect();
            feed(m, [Msg::Engine(Event::Failed(Failure { undo: None, output: vec![], refused, ..failure() }))]);
        }
        "failed-quit" => {
            failed(m);
            feed(m, [ch('q')]);
        }
        "refused" => {
            started(m);
            let findings = observed(true).findings;
            feed(
                m,
                [
                    Msg::Engine(Event::Refused(findings)),
                    Msg::Engine(Event::Finished(Outcome::Refused, "two findings block the growth".into())),
                ],
            );
        }
        "finished" => finished(m),
        "finished-stopped" => {
            failed(m);
            feed(m, [ch('s'), Msg::Engine(Event::Finished(Outcome::Failed, "stopped after a failed step".into()))]);
        }
        _ => {
            running(m);
            feed(m, [Msg::Fatal("index out of bounds: the len is 3 but the index is 3 (src/watch/etcd.rs:42)".into())]);
        }
    }
}
