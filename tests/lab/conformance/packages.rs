//! The package manager, as far as it goes without a repository: the lab's network is closed.

use banister::remote::{
    Op,
    package::{Manager, Package, PackageOp},
};

use super::{norm::Norm, twin::Twin};

fn install(manager: Manager, name: &str, version: &str) -> Op {
    let packages = vec![Package { name: name.into(), version: version.into() }];
    Op::Package(PackageOp::Install { manager, packages })
}

fn remove(manager: Manager, name: &str) -> Op {
    Op::Package(PackageOp::Remove { manager, packages: vec![name.into()] })
}

pub async fn all(twin: &mut Twin) {
    let look = |programs: &[&str]| {
        Op::Package(PackageOp::Look { programs: programs.iter().map(|p| (*p).to_owned()).collect() })
    };
    for host in ["master01", "node01"] {
        twin.tried(&look(&[]));
        twin.both(&format!("{host}: programs of packages"), |side| async move {
            let told = side.run(host, &look(&["docker", "containerd", "runc", "no-such"]), None, &[]).await;
            // The distribution goes on; names and forms stay.
            let kept = |l: &str| match l.split_once('=') {
                Some(("package", p)) => {
                    format!("package={} {}", p.split(' ').next().unwrap_or_default(), p.contains(' '))
                }
                Some(("version", v)) => format!("version={}", v.split(' ').next().unwrap_or_default()),
                _ => l.to_owned(),
            };
            told.lines().fold(String::new(), |out, l| out + &kept(l) + "\n")
        })
        .await;
        twin.both(&format!("{host}: programs of Kubernetes"), |side| async move {
            let told = side.run(host, &look(&["kubelet", "kubectl"]), None, &[]).await;
            // The lab's are built, not installed.
            told.lines().filter(|l| !l.starts_with("package=")).fold(String::new(), |out, l| out + l + "\n")
        })
        .await;
    }
    for op in [
        install(Manager::Apt, "no-such-package", "1.0"),
        install(Manager::Apt, "docker.io", "0.1"),
        install(Manager::Yum, "docker", "1.0"),
        install(Manager::Dnf, "docker", "1.0"),
        remove(Manager::Apt, "no-such-package"),
        remove(Manager::Yum, "docker"),
    ] {
        let case = format!("{op:?}");
        twin.op_but(&case, "master01", op, &[Norm::Chatter]).await;
    }
    // What is there at that version is not installed again.
    let version = Op::Package(PackageOp::Look { programs: vec!["docker".into()] });
    twin.both("master01: what is there already", |side| {
        let version = version.clone();
        async move {
            let seen = side.run("master01", &version, None, &[]).await;
            let here = seen.lines().find_map(|l| l.strip_prefix("package=docker.io ")).unwrap_or_default().to_owned();
            side.run("master01", &install(Manager::Apt, "docker.io", &here), None, &[Norm::Quiet]).await
        }
    })
    .await;
}
