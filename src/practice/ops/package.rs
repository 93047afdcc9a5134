//! The package manager: Debian's, with the packages of the layout in its repository.

use std::{fmt::Write as _, path::Path};

use super::{Done, sh};
use crate::{
    cluster::HostName,
    practice::{files::Kind, host::Host, kube, world::World},
    remote::package::{Manager, Package, PackageOp},
};

pub fn run(world: &mut World, name: &HostName, op: &PackageOp) -> Done {
    match op {
        PackageOp::Look { programs } => look(world, name, programs),
        PackageOp::Install { manager, packages } => install(world, name, *manager, packages),
        PackageOp::Remove { manager, packages } => remove(world, name, *manager, packages),
    }
}

fn has(host: &Host, manager: Manager) -> bool {
    host.program(manager.word()).is_some()
}

fn look(world: &World, name: &HostName, programs: &[String]) -> Done {
    let Some(host) = world.hosts.get(name) else { return Done::default() };
    let mut out = String::new();
    if let Some(manager) = [Manager::Apt, Manager::Dnf, Manager::Yum].into_iter().find(|m| has(host, *m)) {
        let _ = writeln!(out, "manager={}", manager.word());
    }
    for program in programs {
        let Some(path) = host.program(program) else { continue };
        let real = host.files.real(&path).unwrap_or_else(|| path.clone());
        let bytes = host.files.read(&real).unwrap_or_default();
        let _ = writeln!(
            out,
            "program={program} {}\nreal={}\nversion={}\npackage={}",
            path.display(),
            real.display(),
            kube::layout::says(&bytes).unwrap_or_default(),
            owner(world, name, &real).unwrap_or_default()
        );
    }
    Done::out(out + "end=1\n")
}

/// The package that a file belongs to, as dpkg remembers it.
fn owner(world: &World, name: &HostName, path: &Path) -> Option<String> {
    let installed = world.kube.installed.get(name)?;
    let package = installed.values().find(|p| p.files.iter().any(|f| f.path == path))?;
    Some(format!("{} {}", package.name, package.version))
}

fn missing(manager: Manager) -> Done {
    let line = if manager == Manager::Apt { 9 } else { 6 };
    Done::failed(127, sh(line, &format!("{}: not found", manager.word())))
}

fn install(world: &mut World, name: &HostName, manager: Manager, packages: &[Package]) -> Done {
    if world.hosts.get(name).is_none_or(|h| !has(h, manager)) {
        return missing(manager);
    }
    let mut said =
        String::from("Reading package lists...\nBuilding dependency tree...\nReading state information...\n");
    for package in packages {
        let known = world.kube.repository.iter().find(|p| p.name == package.name);
        match known {
            Some(known) if known.version == package.version => {}
            Some(_) => {
                let why = format!("E: Version '{}' for '{}' was not found\n", package.version, package.name);
                return Done::failed(100, said + &why);
            }
            None => return Done::failed(100, said + &format!("E: Unable to locate package {}\n", package.name)),
        }
    }
    let installed = |p: &&Package| {
        let here = world.kube.installed.get(name).and_then(|i| i.get(&p.name));
        // What lies there counts, not what dpkg remembers, once a file of it is gone.
        let whole = here.is_some_and(|h| {
            world.hosts.get(name).is_some_and(|host| {
                h.files.iter().all(|f| host.files.followed(&f.path).is_some_and(|e| matches!(e.kind, Kind::File(_))))
            })
        });
        !whole
    };
    let new: Vec<_> = packages.iter().filter(installed).cloned().collect();
    let names: Vec<_> = new.iter().map(|p| p.name.as_str()).collect();
    let _ = writeln!(said, "The following NEW packages will be installed:\n  {}", names.join(" "));
    let _ = writeln!(said, "0 upgraded, {} newly installed, 0 to remove and 0 not upgraded.", new.len());
    for package in &new {
        if let Err(e) = kube::packages::install(world, name, &package.name) {
            let _ = writeln!(
                said,
                "dpkg: error processing archive {0}_{1}_amd64.deb (--unpack):\n cannot copy extracted data for './usr/bin/{0}': {2}\nE: Sub-process /usr/bin/dpkg returned an error code (1)",
                package.name,
                package.version,
                e.words()
            );
            return Done::failed(100, said);
        }
        let _ = writeln!(said, "Setting up {} ({}) ...", package.name, package.version);
        let starts =
            world.kube.installed.get(name).and_then(|i| i.get(&package.name)).is_some_and(|p| !p.enable.is_empty());
        if starts {
            said += "invoke-rc.d: policy-rc.d denied execution of start.\n";
        }
    }
    Done { stderr: said, ..Done::default() }
}

fn remove(world: &mut World, name: &HostName, manager: Manager, packages: &[String]) -> Done {
    if world.hosts.get(name).is_none_or(|h| !has(h, manager)) {
        return Done::default();
    }
    let mut said = String::new();
    for package in packages {
        let Some(version) = world.kube.installed.get(name).and_then(|i| i.get(package)).map(|p| p.version.clone())
        else {
            continue;
        };
        if let Err(e) = kube::packages::remove(world, name, package) {
            let why = format!("dpkg: error processing package {package} (--remove):\n cannot remove: {}\n", e.words());
            return Done::failed(100, said + &why);
        }
        let _ = writeln!(said, "Removing {package} ({version}) ...");
    }
    Done { stderr: said, ..Done::default() }
}
