//! What a host says of itself, its name, users, walls and the lock on the cluster.

use banister::remote::{
    Op,
    lock::{Holder, LockOp, Over},
};

use super::{
    files::{at, make_dir, write},
    norm::Norm,
    twin::{Twin, word},
};

const STAT: &[Norm] = &[Norm::Stat];

pub async fn all(twin: &mut Twin) {
    facts(twin).await;
    names_and_users(twin).await;
    walls(twin).await;
    lock(twin).await;
}

async fn facts(twin: &mut Twin) {
    let programs = ["systemctl", "tar", "etcd", "/usr/local/bin/etcdctl", "kubelet", "docker", "no-such", "/no/such"];
    let op = || Op::Facts {
        ports: vec![9, 2379, 2380, 6443, 10250, 10257, 10259],
        space: vec!["/var/lib/etcd".into(), "/root/backup/x".into(), at("t"), at("t/in")],
        programs: programs.iter().map(|p| (*p).to_owned()).collect(),
    };
    // How many files etcd keeps is its own affair, and the order of the ports is the kernel's.
    let but_etcds = |told: String| {
        told.lines()
            .filter(|l| !l.contains("entries=") || !l.contains("/etcd"))
            .fold(String::new(), |out, l| out + l + "\n")
    };
    for host in ["master01", "master04", "node01"] {
        twin.tried(&op());
        twin.both(&format!("{host}: facts"), |side| async move {
            but_etcds(side.run(host, &op(), None, &[Norm::Facts, Norm::Order]).await)
        })
        .await;
    }
    let bin = |dir: &str| Op::EtcdVersion { bin: dir.into() };
    twin.op("its etcd", "master01", bin("/usr/local/bin")).await;
    twin.op("no etcd", "master01", bin("/usr/local/sbin")).await;
    twin.op("no etcd yet", "master04", bin("/usr/local/bin")).await;
    twin.op("not a program", "master01", write(at("bin/etcd"), "x", 0o644, "root", None)).await;
    twin.op("a directory for it", "master01", make_dir(at("bin"), 0o755, "root")).await;
    twin.op("not a program, written", "master01", write(at("bin/etcd"), "x", 0o644, "root", None)).await;
    twin.op("not a program", "master01", bin(at("bin").to_str().unwrap_or_default())).await;
}

async fn names_and_users(twin: &mut Twin) {
    let host = "master05";
    let name = |name: &str| Op::SetHostname { name: name.into() };
    let read = || Op::ReadFile { path: "/etc/hostname".into() };
    twin.op("its name", host, read()).await;
    twin.op("another name", host, name("another.example.com")).await;
    twin.op("its name", host, read()).await;
    twin.op("an impossible name", host, name("not a name!")).await;
    twin.op("the first one again", host, name("debian-41")).await;
    twin.op("its name", host, read()).await;

    let (add, remove) = (
        || Op::AddUser { name: "conformance".into(), home: "/var/lib/conformance".into() },
        || Op::RemoveUser { name: "conformance".into() },
    );
    twin.op("a scratch directory", host, make_dir(at(""), 0o755, "root")).await;
    twin.op("for a user to come", host, write(at("mine"), "x", 0o600, "conformance", None)).await;
    twin.op("a user", host, add()).await;
    twin.op("again", host, add()).await;
    twin.op("the user's file", host, write(at("mine"), "x", 0o600, "conformance", None)).await;
    twin.op_but("is the user's", host, Op::Stat { paths: vec![at("mine"), "/var/lib/conformance".into()] }, STAT).await;
    twin.op("gone", host, remove()).await;
    twin.op("again", host, remove()).await;
    twin.op("the file is nobody's", host, Op::RemoveTree { path: at("") }).await;
}

async fn walls(twin: &mut Twin) {
    let ports = || vec![22, 2379, 6443];
    let (missing, open, close) = (
        || Op::PortsMissing { ports: ports() },
        || Op::OpenPorts { ports: vec![2379, 6443] },
        || Op::ClosePorts { ports: vec![2379, 6443] },
    );
    let state = || Op::UnitState { unit: "firewalld".into() };
    let on = |firewalld| Op::FirewallOn { firewalld, ufw: false, selinux: false };
    // firewalld's own default zone lets ssh in as a service, not as a port.
    let but_ssh = |op: Op| {
        move |side: super::twin::Side| {
            let op = op.clone();
            async move {
                let told = side.run("master04", &op, None, &[]).await;
                told.lines().filter(|l| *l != "22").fold(String::new(), |out, l| out + l + "\n")
            }
        }
    };
    twin.tried(&missing());
    twin.both("master04: closed ports", but_ssh(missing())).await;
    twin.op("opened", "master04", open()).await;
    twin.op("again", "master04", open()).await;
    twin.both("master04: closed ports", but_ssh(missing())).await;
    twin.op("closed", "master04", close()).await;
    twin.op("again", "master04", close()).await;
    twin.both("master04: closed ports", but_ssh(missing())).await;
    twin.op_but("its unit", "master04", state(), &[Norm::Unit]).await;
    twin.op("off", "master04", Op::FirewallOff).await;
    twin.op("again", "master04", Op::FirewallOff).await;
    twin.op_but("its unit", "master04", state(), &[Norm::Unit]).await;
    twin.op("nothing is closed", "master04", missing()).await;
    twin.op("on again", "master04", on(true)).await;
    twin.op_but("its unit", "master04", state(), &[Norm::Unit]).await;
    twin.both("master04: closed ports", but_ssh(missing())).await;
    for op in [missing(), open(), close(), Op::FirewallOff, on(false)] {
        twin.op(&format!("{} where there is no wall", word(&op)), "master01", op).await;
    }
}

async fn lock(twin: &mut Twin) {
    let holder = |run: &str| Holder { run: run.into(), who: "ann@jump".into(), pid: 7, machine: "m".into() };
    let take = |run: &str, over: Option<Over>| Op::Lock(LockOp::Take { holder: holder(run), lease: 600, over });
    let renew = |run: &str, lease| Op::Lock(LockOp::Renew { holder: holder(run), lease });
    let release = |run: &str| Op::Lock(LockOp::Release { run: run.into() });
    let over = |run: &str, dead| Some(Over { run: run.into(), dead });
    let look = || Op::Lock(LockOp::Look);
    let cases = [
        ("nobody has it", look()),
        ("taken", take("a", None)),
        ("and seen", look()),
        ("taken again by the same", take("a", None)),
        ("another's", take("b", None)),
        ("another's, renewed", renew("b", 600)),
        ("alive", take("b", over("a", false))),
        ("not that one's", take("b", over("c", true))),
        ("dead", take("b", over("a", true))),
        ("another's, given back", release("a")),
        ("its lease runs out", renew("b", 0)),
        ("stale", take("c", None)),
        ("taken over", take("c", over("b", false))),
        ("too late", renew("b", 600)),
        ("given back", release("c")),
        ("nobody has it", look()),
        ("renewed where it is gone", renew("c", 600)),
        ("given back", release("c")),
        ("given back twice", release("c")),
    ];
    for (case, op) in cases {
        twin.op_but(case, "master01", op, &[Norm::Lock]).await;
    }
    twin.op("nothing is left", "master01", Op::Stat { paths: vec!["/run/banister.lock".into()] }).await;
}
