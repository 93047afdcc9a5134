//! What goes wrong in the field, on one cluster that is written to all the while: each accident stops the run where it is
//! safe, says why, and the same command goes on once it is mended.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    banister::{Desk, GROW, Ran},
    hosts::{Lab, say, wait_for},
    matrix::strike::signal,
    proofs::{Processes, assert_grown, assert_nothing_left, differences, listing},
    writer::Writer,
};

/// A cluster, and the operator's desk.
struct Scene {
    lab: Lab,
    desk: Desk,
    file: PathBuf,
}

impl Scene {
    fn run(&self, approve: &str) -> Ran {
        self.desk.grow(&self.file, approve)
    }

    /// A run that must end with that code and leave every host as it is.
    fn refused(&self, code: i32) -> Ran {
        let before = listing(&self.lab);
        let ran = self.run("all").with_code(code);
        assert_eq!(differences(&before, &listing(&self.lab)), Vec::<String>::new(), "the run changed something");
        ran
    }

    #[track_caller]
    fn members_are(&self, names: &[&str], learners: usize) {
        let seen = self.lab.members();
        assert_eq!((seen.0.iter().map(String::as_str).collect::<Vec<_>>(), seen.1), (names.to_vec(), learners));
    }
}

const ORIGINALS: [&str; 3] = ["master01", "master02", "master03"];
const FOUR: [&str; 4] = ["master01", "master02", "master03", "master04"];

#[test]
fn accidents_stop_the_run_where_it_is_safe_and_it_goes_on_once_they_are_mended() {
    let lab = Lab::up("3.4.23");
    let file = lab.cluster_file();
    let scene = Scene { lab, desk: Desk::new(), file };
    let before = Processes::of(&scene.lab, &scene.lab.masters);

    unknown_host_key(&scene);
    everything_at_once(&scene);
    // One original was stopped and started in between.
    let started = Processes::of(&scene.lab, &scene.lab.masters);
    assert_ne!(before, started);

    let writer = Writer::start(&scene.lab);
    two_operators(&scene);
    blocked_peer_port(&scene);
    late_rehearsal(&scene);
    failed_start(&scene);
    not_approved(&scene, "reversible", "etcd.promote@master04");
    // A learner that waits for its vote.
    scene.members_are(&FOUR, 1);
    killed_in_a_join(&scene, "master05");
    scene.run("all").with_code(0);
    let written = writer.end();

    assert_eq!(started, Processes::of(&scene.lab, &scene.lab.masters), "etcd was restarted on an original");
    assert_grown(&scene.lab, &written);
    assert_nothing_left(&scene.lab, &scene.desk);
}

/// Without learners a member counts from the moment it is added, so that each accident leaves less room.
#[test]
fn accidents_on_the_voter_path_leave_the_cluster_as_it_was() {
    let lab = Lab::up("3.3.25");
    let file = lab.cluster_file();
    let scene = Scene { lab, desk: Desk::new(), file };
    let before = Processes::of(&scene.lab, &scene.lab.masters);
    let writer = Writer::start(&scene.lab);
    not_approved(&scene, "disruptive", "etcd.join@master04");
    scene.members_are(&ORIGINALS, 0);
    failed_start(&scene);
    killed_in_a_join(&scene, "master04");
    scene.run("all").with_code(0);
    let written = writer.end();
    assert_eq!(before, Processes::of(&scene.lab, &scene.lab.masters), "etcd was restarted on an original");
    assert_grown(&scene.lab, &written);
    assert_nothing_left(&scene.lab, &scene.desk);
}

/// Without a person to ask, an unknown key is refused, with its fingerprint, and not written down.
fn unknown_host_key(scene: &Scene) {
    say("an unknown host key");
    let known = scene.lab.state().join("known_hosts");
    let all = fs::read_to_string(&known).expect("known_hosts");
    let address = scene.lab.joiners[0].address.to_string();
    let fewer: String = all.split_inclusive('\n').filter(|l| !l.starts_with(&format!("{address} "))).collect();
    fs::write(&known, &fewer).expect("known_hosts");
    let fingerprint = scene.lab.on("master04", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2");
    let ran = scene.refused(4);
    let kept = fs::read_to_string(&known).expect("known_hosts");
    fs::write(&known, all).expect("known_hosts");
    let ran = ran.saying("master04").saying(fingerprint.trim());
    assert!(!ran.said.contains("PRIVATE"), "{}", ran.said);
    assert_eq!(kept, fewer, "the key was written down without being asked");
}

/// A stopped member, an old data directory and an unreachable joiner: told together, in one run.
fn everything_at_once(scene: &Scene) {
    say("a stopped member, an old data directory, an unreachable joiner");
    let lab = &scene.lab;
    lab.on("master02", "systemctl stop etcd");
    lab.on("master04", "mkdir -p /var/lib/etcd/member/wal && touch /var/lib/etcd/member/wal/0.wal");
    lab.lab(["cut", "master05"]);
    let ran = scene.refused(4);
    for (host, what) in [("master02", "etcd"), ("master04", "/var/lib/etcd"), ("master05", "")] {
        let told = ran.said.lines().any(|l| l.contains("BLOCK") && l.contains(host) && l.contains(what));
        assert!(told, "nothing blocks at {host}:\n{}", ran.last());
    }
    lab.lab(["heal", "master05"]);
    lab.on("master04", "rm -r /var/lib/etcd");
    lab.on("master02", "systemctl start etcd");
    wait_for("three healthy members", Duration::from_secs(30), || {
        let out = lab.try_on(
            "master01",
            "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/etcd/ssl/ca.crt \
            --cert /etc/etcd/ssl/client.crt --key /etc/etcd/ssl/client.key endpoint health --cluster",
        );
        if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
    });
    scene.members_are(&ORIGINALS, 0);
}

/// While one works the other is told who, where and since when, and changes nothing. Then the first is killed: on the same
/// machine the next run goes on at once.
fn two_operators(scene: &Scene) {
    say("two operators at once");
    let (other, mut seen) = (Desk::new(), None);
    let killed = scene.desk.until(&[&GROW[..], &["all"]].concat(), &scene.file, |line| {
        if seen.is_none() && line.ends_with(" etcd.install@master04: running") {
            seen = Some(other.grow(&scene.file, "all"));
        }
        seen.is_some()
    });
    assert_eq!(killed.code, None, "it was not killed:\n{}", killed.last());
    let second = seen.expect("a second run").with_code(4);
    let told = second.said.lines().find(|l| l.contains("another run works on this cluster")).unwrap_or_default();
    let whole = ["@", " (pid ", " since 20", "lease for another ", "lock on master01"].iter().all(|w| told.contains(w));
    assert!(whole && !second.said.contains(": running"), "{}", second.last());
    let next = scene.desk.until(&[&GROW[..], &["all"]].concat(), &scene.file, |line| line.ends_with(": running"));
    assert!(!next.said.contains("another run works"), "{}", next.last());
}

/// A firewall in front of the joiner's peer port: found by the rehearsal, while nothing is changed in the cluster.
fn blocked_peer_port(scene: &Scene) {
    say("a blocked peer port");
    // A table of its own: firewalld, when it is switched off, takes other people's iptables rules with it.
    scene.lab.on(
        "master04",
        "nft 'table inet accident { chain input { type filter hook input priority 0; iifname != lo tcp dport 2380 drop; }; }'",
    );
    let ran = scene.run("all").with_code(1).saying("etcd.rehearse@master04");
    for original in ORIGINALS {
        let way = format!("{original} → master04:2380");
        let told = ran.said.lines().any(|l| l.contains("error") && l.contains(&way));
        assert!(told, "not told: {way}\n{}", ran.last());
    }
    scene.members_are(&ORIGINALS, 0);
    scene.lab.on("master04", "nft delete table inet accident");
}

/// What an earlier run sent into a cut line arrives while the rehearsal begins, and has the joiner's port for a while.
fn late_rehearsal(scene: &Scene) {
    say("another rehearsal that comes late");
    let mut held = false;
    let ran = scene.desk.until_limited(&[&GROW[..], &["all"]].concat(), &scene.file, None, |line, run| {
        // Some steps before, and for longer than those take.
        if !held && line.ends_with("etcd.certs@master03: probing") {
            held = true;
            signal("STOP", run);
            scene.lab.on(
                "master04",
                "systemd-run --quiet --collect timeout 8 systemd-socket-activate --accept -l 2380 /bin/true && \
                 until ss -Hltn 'sport = 2380' | grep -q .; do sleep 0.05; done",
            );
            signal("CONT", run);
        }
        line.ends_with("etcd.join@master04: running")
    });
    assert!(held && ran.code.is_none(), "it did not get past the rehearsal:\n{}", ran.last());
    assert!(ran.said.contains("the lone etcd ended with status"), "its port was free:\n{}", ran.last());
}

/// etcd does not start on the joiner: the member is taken out again, and its data directory is cleared.
fn failed_start(scene: &Scene) {
    say("a failed start");
    let lab = &scene.lab;
    let dir = "/etc/systemd/system/etcd.service.d";
    let broken = "[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestartSec=1\\n";
    lab.on("master04", &format!("mkdir -p {dir} && printf '{broken}' >{dir}/broken.conf && systemctl daemon-reload"));
    scene.run("all").with_code(1).saying("etcd.join@master04").saying("taken back");
    scene.members_are(&ORIGINALS, 0);
    let left = lab.on("master04", "find /var/lib/etcd -mindepth 1; systemctl is-active etcd; true");
    assert_eq!(left, "inactive\n", "left behind on master04");
    lab.on("master04", &format!("rm -r {dir} && systemctl daemon-reload"));
}

/// What can't be taken back wants more than this approval: the run stops right before it.
fn not_approved(scene: &Scene, approve: &str, at: &str) {
    say("approval that does not reach");
    scene.run(approve).with_code(3).saying(&format!("{at} is irreversible"));
}

/// The power goes in the middle of a join, right after the cluster was changed.
fn killed_in_a_join(scene: &Scene, joiner: &str) {
    say("killed in the middle of a join");
    let (step, mut adding) = (format!("etcd.join@{joiner}: act "), false);
    let before = scene.lab.members().0.len();
    let killed = scene.desk.until(&[&GROW[..], &["all"]].concat(), &scene.file, |line| {
        let mine = line.contains(&step);
        adding |= mine && line.contains("add member");
        adding && mine && line.contains(" done in ")
    });
    assert_eq!(killed.code, None, "it was not killed:\n{}", killed.last());
    let (names, _) = scene.lab.members();
    let more = names.len() - before;
    assert!(more > 0 && !killed.said.contains(&format!("etcd.join@{joiner}: done")), "{names:?}\n{}", killed.last());
}
