//! What goes wrong in the field, on one cluster that is written to all the while: each accident stops the run where it is
//! safe, says why, and the same command goes on once it is mended.

use std::{fs, path::PathBuf, time::Duration};

use super::{
    banister::{Desk, Ran},
    hosts::{Lab, say, wait_for},
    proofs::{Processes, assert_grown, assert_nothing_left, differences, listing},
    writer::Writer,
};

/// A cluster under a writer, and what its originals ran at the start.
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
    blocked_peer_port(&scene);
    failed_start(&scene);
    not_approved(&scene);
    killed_in_a_join(&scene);
    let written = writer.end();

    assert_eq!(started, Processes::of(&scene.lab, &scene.lab.masters), "etcd was restarted on an original");
    assert_grown(&scene.lab, &written);
    assert_nothing_left(&scene.lab, &scene.desk);
}

/// Without a person to ask, an unknown key is refused, with its fingerprint, and not written down.
fn unknown_host_key(scene: &Scene) {
    say("an unknown host key");
    let known = scene.lab.state().join("known_hosts");
    let all = fs::read_to_string(&known).expect("known_hosts");
    let address = scene.lab.joiners[0].address.to_string();
    let lines = all.lines().filter(|l| !l.starts_with(&format!("{address} ")));
    let fewer: String = lines.map(|l| format!("{l}\n")).collect();
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
    let ran = scene.run("all").with_code(4);
    for (host, what) in [("master02", "etcd"), ("master04", "/var/lib/etcd"), ("master05", "")] {
        let told = ran.said.lines().any(|l| l.contains("BLOCK") && l.contains(host) && l.contains(what));
        assert!(told, "nothing blocks at {host}:\n{}", ran.said);
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

/// A firewall in front of the joiner's peer port: found by the rehearsal, while nothing is changed in the cluster.
fn blocked_peer_port(scene: &Scene) {
    say("a blocked peer port");
    let rule = "INPUT ! -i lo -p tcp --dport 2380 -j DROP";
    scene.lab.on("master04", &format!("iptables -I {rule}"));
    let ran = scene.run("all").with_code(1).saying("etcd.rehearse@master04");
    for original in ORIGINALS {
        let way = format!("{original} → master04:2380");
        let told = ran.said.lines().any(|l| l.contains("error") && l.contains(&way));
        assert!(told, "not told: {way}\n{}", ran.said);
    }
    scene.members_are(&ORIGINALS, 0);
    scene.lab.on("master04", &format!("iptables -D {rule}"));
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

/// A learner can be taken out at no cost, a vote can't: `--approve reversible` reaches to there.
fn not_approved(scene: &Scene) {
    say("approval that does not reach");
    scene.run("reversible").with_code(3).saying("etcd.promote@master04 is irreversible");
    scene.members_are(&FOUR, 1);
}

/// The power goes in the middle of a join, right after the cluster was changed.
fn killed_in_a_join(scene: &Scene) {
    say("killed in the middle of a join");
    let mut adding = false;
    let killed =
        scene.desk.until(&["run", "--through", "etcd", "--headless", "--approve", "all"], &scene.file, |line| {
            let mine = line.contains("etcd.join@master05: act ");
            adding |= mine && line.contains("add member");
            adding && mine && line.contains(" done in ")
        });
    assert_eq!(killed.code, None, "it was not killed:\n{}", killed.said);
    let (names, learners) = scene.lab.members();
    assert_eq!((names.len(), learners), (5, 1), "master05 is a learner that has not come far: {names:?}");
    scene.run("all").with_code(0);
}
