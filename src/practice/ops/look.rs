//! Operations that look.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::Done;
use crate::{
    cluster::HostName,
    practice::{
        clock::epoch_ms,
        etcd::tools,
        files::{Entry, Errno, Kind, sha256, size},
        host::Host,
        kube,
        world::World,
    },
};

/// `cat`, status 44 when there is nothing.
pub fn read(host: &Host, path: &Path) -> Done {
    match host.files.read(path) {
        Ok(bytes) => Done::out(bytes.to_vec()),
        Err(Errno::NotThere) => Done::not_there(),
        Err(e) => super::complain(&format!("cat: {}", path.display()), e),
    }
}

/// A line of `stat` with the sum, as the shell's `st` prints it.
fn stat_line(host: &Host, path: &Path) -> String {
    let Some(entry) = host.files.entry(path) else { return format!("absent - - - - - - {}\n", path.display()) };
    let kind = match &entry.kind {
        Kind::File(_) => "file",
        Kind::Dir => "dir",
        Kind::Link(_) => "link",
    };
    let Entry { mode, owner, mtime, .. } = entry;
    let known = |name: &str, list: &std::collections::BTreeSet<String>| {
        if list.contains(name) { name.to_owned() } else { "UNKNOWN".into() }
    };
    let (user, group) = (known(&owner.user, &host.users), known(&owner.group, &host.groups));
    let sum = sha256(entry).unwrap_or_else(|| "-".into());
    format!("{kind} {mode:o} {user} {group} {} {mtime} {sum} {}\n", size(entry), path.display())
}

pub fn stat(host: &Host, paths: &[PathBuf]) -> Done {
    Done::out(paths.iter().map(|p| stat_line(host, p)).collect::<String>())
}

/// Sorted as `sort` does in the C locale: by bytes.
pub fn list_tree(host: &Host, dir: &Path) -> Done {
    if !host.files.is_dir(dir) {
        return Done::default();
    }
    // find names what it walks by the directory it was given.
    let real = host.files.real(dir).unwrap_or_else(|| dir.to_owned());
    let mut paths: Vec<PathBuf> =
        host.files.below(dir).filter_map(|(p, _)| p.strip_prefix(&real).ok()).map(|p| dir.join(p)).collect();
    paths.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Done::out(paths.iter().map(|p| stat_line(host, p)).collect::<String>())
}

pub fn list_dir(host: &Host, dir: &Path) -> Done {
    let mut names: Vec<_> = if host.files.is_dir(dir) { host.files.children(dir) } else { Vec::new() };
    names.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    let names = names.iter().filter_map(|p| p.file_name());
    Done::out(names.flat_map(|n| [n.to_string_lossy().into_owned(), "\n".into()]).collect::<String>())
}

/// `journalctl`; without any line it says so, with status 0.
pub fn journal(host: &Host, unit: &str, lines: u32, precise: bool) -> Done {
    let lines = host.journal(unit, lines as usize, precise);
    if lines.is_empty() && !precise {
        return Done::out("-- No entries --\n");
    }
    Done::out(lines.into_iter().map(|l| l + "\n").collect::<String>())
}

pub fn etcd_version(host: &Host, bin: &Path) -> Done {
    let program = bin.join("etcd");
    if !host.files.is_program(&program) {
        return Done::not_there();
    }
    match host.files.read(&program).ok().and_then(|b| tools::version_of(&b)) {
        Some(text) => Done::out(text),
        None => Done::failed(126, super::sh(2, &format!("{}: Exec format error", program.display()))),
    }
}

/// The keys of [`crate::remote::facts`].
pub fn facts(world: &World, name: &HostName, ports: &[u16], space: &[PathBuf], programs: &[String]) -> Done {
    let Some(host) = world.hosts.get(name) else { return Done::default() };
    let clock = || {
        let ms = epoch_ms() + host.clock_ms;
        format!("clock={}.{:03}000000\n", ms.div_euclid(1000), ms.rem_euclid(1000))
    };
    let mut out = clock();
    let value = |path: &str, key: &str| {
        let text = host.files.text(path)?;
        text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    };
    let mut say = |key: &str, value: &str| {
        let _ = writeln!(out, "{key}={value}");
    };
    say("uid", "0");
    if let Some(os) = value("/etc/os-release", "PRETTY_NAME") {
        say("os", &os);
    }
    say("arch", "x86_64");
    say("hostname", &host.hostname());
    say("machine_id", host.files.text("/etc/machine-id").unwrap_or_default().trim());
    say("addr", &host.address.to_string());
    let on = |active: bool| if active { "active" } else { "inactive" };
    say("firewalld", if host.firewalld.is_none() { "absent" } else { on(host.firewalld_active()) });
    say("ufw", host.ufw.as_ref().map_or("absent", |(active, _)| on(*active)));
    let selinux = |enforcing: bool| if enforcing { "Enforcing" } else { "Permissive" };
    say("selinux", host.selinux.map_or("absent", selinux));
    for path in space {
        say("free", &format!("{} {}", host.files.free / 1024, path.display()));
        if host.files.is_dir(path) {
            say("entries", &format!("{} {}", host.files.children(path).len(), path.display()));
        }
    }
    for program in programs {
        if let Some(path) = host.program(program) {
            say("program", &format!("{program} {}", path.display()));
        }
    }
    for port in ports {
        // One line a listener: etcd has its own for each address.
        let own = world.etcd.processes.iter().filter(|p| &p.host == name);
        let urls = own.flat_map(|p| p.config.listen_client.iter().chain(&p.config.listen_peer));
        let etcds = urls.filter(|u| u.port == *port).count();
        for _ in 0..etcds {
            say("listen", &format!("{port} etcd"));
        }
        if etcds > 0 {
            continue;
        }
        if let Some(program) = kube::listener(world, name, *port) {
            say("listen", &format!("{port} {program}"));
        }
    }
    out += &clock();
    out += "end=1\n";
    Done::out(out)
}
