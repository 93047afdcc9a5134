//! docker, nginx in a container, and the apiserver's processes.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{Done, complain};
use crate::{
    cluster::HostName,
    practice::{
        files::sha256,
        kube::docker::{self, Container},
        world::World,
    },
    remote::{
        container::{ContainerOp, parked},
        op::sha256_hex,
    },
};

pub fn run(world: &mut World, name: &HostName, op: &ContainerOp) -> Done {
    match op {
        ContainerOp::Apiservers => apiservers(world, name),
        ContainerOp::Look { container, file } => look(world, name, container, file),
        ContainerOp::NginxTest { container, file, content } => nginx_test(world, name, container, file, content),
        ContainerOp::Restart { container } => restart(world, name, container),
        ContainerOp::Log { container, lines } => log(world, name, container, *lines),
        ContainerOp::Park { manifest, back } => park(world, name, manifest, *back),
        // Takes time, and is run elsewhere.
        ContainerOp::Follow { .. } => Done::not_there(),
    }
}

/// Why docker does not answer on a host; `None` where it does.
fn no_docker(world: &World, name: &HostName) -> Option<Done> {
    let host = world.hosts.get(name)?;
    if host.program("docker").is_none() {
        return Some(Done::failed(1, super::sh(1, "docker: not found")));
    }
    let why = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n";
    (!docker::active(world, name)).then(|| Done::failed(1, why))
}

fn find<'a>(world: &'a World, name: &HostName, container: &str) -> Option<&'a Container> {
    world.kube.containers.get(&(name.clone(), container.to_owned()))
}

fn no_such(container: &str) -> String {
    format!("Error response from daemon: No such container: {container}\n")
}

fn apiservers(world: &World, name: &HostName) -> Done {
    let now = world.clock.now();
    let mut out = String::new();
    for process in world.kube.processes.iter().filter(|p| &p.host == name && p.exists() && p.is_apiserver()) {
        let _ = writeln!(out, "process {} {}", process.pid, process.start);
        if let Some(port) = process.port().filter(|port| process.listens(*port, now)) {
            let _ = writeln!(out, "port {port}");
        }
        for arg in &process.args {
            let _ = writeln!(out, "arg {arg}");
        }
    }
    Done::out(out)
}

/// Where a container sees a file of the host.
fn inside(world: &World, name: &HostName, container: &Container, file: &Path) -> Option<PathBuf> {
    let host = world.hosts.get(name)?;
    let real = |p: &Path| host.files.real(p).unwrap_or_else(|| p.to_owned());
    let (from, to) = &container.mount;
    (real(file) == real(from)).then(|| to.clone())
}

fn look(world: &World, name: &HostName, container: &str, file: &Path) -> Done {
    if let Some(no) = no_docker(world, name) {
        // `docker inspect` of nothing prints an empty line.
        return Done { stdout: b"\n".to_vec(), ..no };
    }
    let Some(found) = find(world, name, container) else { return Done::out("\nstate absent\n") };
    let started = jiff::Timestamp::from_millisecond(found.started).unwrap_or_default();
    let mut out = format!("state {}\nstarted {started}\n", found.word());
    if let Some(path) = inside(world, name, found, file) {
        let sum = if found.runs() { sha256_hex(&found.seen) } else { "-".into() };
        let _ = writeln!(out, "sees {sum} {}", path.display());
    }
    Done::out(out)
}

fn nginx_test(world: &World, name: &HostName, container: &str, file: &Path, content: &str) -> Done {
    if let Some(host) = world.hosts.get(name) {
        if host.files.followed(file).is_none() {
            return complain(&format!("cp: cannot stat '{}'", file.display()), crate::practice::files::Errno::NotThere);
        }
        if let Err(e) = host.files.writable() {
            let dir = file.parent().unwrap_or(Path::new("/"));
            let why = format!("mktemp: failed to create file via template '{}/.banister.XXXXXX'", dir.display());
            return complain(&why, e);
        }
        if host.files.free == 0 {
            return Done::failed(1, "cat: write error: No space left on device\n");
        }
    }
    if let Some(no) = no_docker(world, name) {
        return no;
    }
    let Some(found) = find(world, name, container) else {
        return Done::failed(
            1,
            format!("Error: No such object: {container}\ncontainer {container} does not see {}\n", file.display()),
        );
    };
    let Some(path) = inside(world, name, found, file) else {
        return Done::failed(1, format!("container {container} does not see {}\n", file.display()));
    };
    match found.judged(content) {
        Ok(_) => Done {
            stderr: format!(
                "nginx: the configuration file {0} syntax is ok\nnginx: configuration file {0} test is successful\n",
                path.display()
            ),
            ..Done::default()
        },
        Err(why) => Done::failed(1, format!("{why}\nnginx: configuration file {} test failed\n", path.display())),
    }
}

fn restart(world: &mut World, name: &HostName, container: &str) -> Done {
    if let Some(no) = no_docker(world, name) {
        return no;
    }
    if find(world, name, container).is_none() {
        return Done::failed(1, no_such(container));
    }
    docker::restart(world, name, container);
    Done::default()
}

fn log(world: &World, name: &HostName, container: &str, lines: u32) -> Done {
    if let Some(no) = no_docker(world, name) {
        return Done { stdout: no.stderr.into_bytes(), stderr: String::new(), ..no };
    }
    let Some(found) = find(world, name, container) else {
        return Done {
            status: 1,
            stdout: format!("Error: No such container: {container}\n").into(),
            stderr: String::new(),
        };
    };
    let skipped = found.log.len().saturating_sub(lines as usize);
    Done::out(found.log[skipped..].iter().flat_map(|l| [l.as_str(), "\n"]).collect::<String>())
}

fn park(world: &mut World, name: &HostName, manifest: &Path, back: bool) -> Done {
    let Some(host) = world.hosts.get_mut(name) else { return Done::default() };
    let (from, to) = (manifest.to_owned(), parked(manifest));
    let (from, to) = if back { (to, from) } else { (from, to) };
    if host.files.followed(&from).is_some() {
        return match host.files.rename(&from, &to) {
            Ok(()) => Done::default(),
            Err(e) => complain(&format!("mv: cannot move '{}' to '{}'", from.display(), to.display()), e),
        };
    }
    let there = host.files.followed(&to).and_then(sha256).is_some();
    if there { Done::default() } else { Done::failed(1, "") }
}
