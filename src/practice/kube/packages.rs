//! Packages as the distribution's package manager has them.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;

use crate::{
    cluster::HostName,
    practice::{
        files::{Entry, Errno, Kind},
        host::Host,
        units,
        world::World,
    },
    remote::op::{Owner, UnitVerb},
};

/// How long it takes to fetch and unpack one.
pub const INSTALL: Duration = Duration::from_secs(3);

/// A package at the one version that there is.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Units that it enables when it is installed, as Debian's packages do.
    pub enable: Vec<String>,
    /// What it brings.
    pub files: Vec<PackageFile>,
}

/// A file of a package.
#[derive(Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Where.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// What it holds.
    pub bytes: Bytes,
}

/// Puts a package's files, as they were put that many seconds ago.
pub fn unpack(host: &mut Host, package: &Package, ago: i64) {
    for file in &package.files {
        let kind = Kind::File(file.bytes.clone());
        host.files.lay(&file.path, Entry { kind, mode: file.mode, owner: Owner::root(), mtime: host.files.now - ago });
    }
}

/// Installs a package: its files, and its units enabled but not started (policy-rc.d says no).
pub fn install(world: &mut World, name: &HostName, wanted: &str) -> Result<(), Errno> {
    let Some(package) = world.kube.repository.iter().find(|p| p.name == wanted).cloned() else { return Ok(()) };
    let Some(host) = world.hosts.get_mut(name) else { return Ok(()) };
    host.files.writable()?;
    let size: u64 = package.files.iter().map(|f| f.bytes.len() as u64).sum();
    if host.files.free < size.max(1) {
        return Err(Errno::NoSpace);
    }
    host.files.free -= size;
    unpack(host, &package, 0);
    units::daemon_reload(host);
    for unit in &package.enable {
        units::systemctl(world, name, UnitVerb::Enable, unit);
    }
    world.kube.installed.entry(name.clone()).or_default().insert(wanted.to_owned(), package);
    Ok(())
}

/// Removes a package: its units stopped and disabled, its files gone.
pub fn remove(world: &mut World, name: &HostName, wanted: &str) -> Result<(), Errno> {
    if let Some(host) = world.hosts.get(name) {
        host.files.writable()?;
    }
    let Some(package) = world.kube.installed.get_mut(name).and_then(|i| i.remove(wanted)) else { return Ok(()) };
    for unit in &package.enable {
        for verb in [UnitVerb::Stop, UnitVerb::Disable] {
            units::systemctl(world, name, verb, unit);
        }
    }
    let Some(host) = world.hosts.get_mut(name) else { return Ok(()) };
    for file in &package.files {
        host.files.remove(&file.path)?;
    }
    units::daemon_reload(host);
    Ok(())
}
