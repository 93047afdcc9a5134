//! Every operation of [`crate::remote::op`] on a host in memory, with the output and status its shell would give.

mod container;
mod files;
mod firewall;
pub mod lock;
mod look;
mod package;
mod people;
mod pods;
mod tree;

use std::{path::Path, time::Duration};

use super::{etcd::tools, kube, units, world::World};
use crate::{
    cluster::HostName,
    remote::{Op, container::ContainerOp, package::PackageOp, shell::NOT_THERE, tree::TreeOp},
};

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// Exit status.
    pub status: u32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Done {
    /// Status 0 with that output.
    pub fn out(text: impl Into<Vec<u8>>) -> Self {
        Self { stdout: text.into(), ..Self::default() }
    }

    /// A status other than 0 with the reason.
    pub fn failed(status: u32, stderr: impl Into<String>) -> Self {
        Self { status, stdout: Vec::new(), stderr: stderr.into() }
    }

    /// What is asked for does not exist.
    pub fn not_there() -> Self {
        Self { status: NOT_THERE, ..Self::default() }
    }

    fn of(answer: units::Answer) -> Self {
        Self { status: answer.0, stdout: Vec::new(), stderr: answer.1 }
    }
}

/// A tool's complaint: `what: why`, status 1.
fn complain(what: &str, why: super::files::Errno) -> Done {
    Done::failed(1, format!("{what}: {}\n", why.words()))
}

/// What the shell says at a line of an operation's script; one of its own comes before them.
pub fn sh(line: u32, what: &str) -> String {
    format!("/bin/sh: {}: {what}\n", line + 1)
}

/// Whether an operation takes a stream on standard input.
pub const fn takes_input(op: &Op) -> bool {
    matches!(op, Op::ReceiveFile { .. } | Op::Tree(TreeOp::Unpack { .. }))
}

/// Runs an operation that is over at once. `input` is what came on standard input, where it [takes any](takes_input).
///
/// The lone etcd of a rehearsal, a followed journal and a snapshot of a member take time and are run elsewhere.
pub fn run(world: &mut World, name: &HostName, op: &Op, input: &[u8]) -> Done {
    let now = world.hosts.get(name).map_or(0, super::host::Host::epoch_ms) / 1000;
    let Some(host) = world.hosts.get_mut(name) else {
        return Done::failed(255, format!("{name}: no such host in this practice cluster\n"));
    };
    host.files.now = now;
    match op {
        Op::Facts { ports, space, programs } => look::facts(world, name, ports, space, programs),
        Op::ReadFile { path } | Op::ReadSecret { path } => look::read(host, path),
        Op::Stat { paths } => look::stat(host, paths),
        Op::ListTree { dir } => look::list_tree(host, dir),
        Op::ListDir { dir } => look::list_dir(host, dir),
        Op::UnitState { unit } => Done::out(units::show(host, unit)),
        Op::UnitLog { unit, lines } => look::journal(host, unit, *lines, false),
        Op::FollowLog { unit, lines } => look::journal(host, unit, *lines, true),
        Op::EtcdVersion { bin } => look::etcd_version(host, bin),
        Op::WriteFile { path, content, mode, owner, backup } => {
            files::write(host, path, content.bytes(), *mode, owner, &content.sha256(), backup.as_deref())
        }
        Op::ReceiveFile { path, mode, owner, sha256, backup } => {
            files::write(host, path, input, *mode, owner, sha256, backup.as_deref())
        }
        Op::MakeDir { path, mode, owner } => files::make_dir(host, path, *mode, owner),
        Op::RemoveFiles { paths } => files::remove(host, paths),
        Op::RemoveTree { path } => files::remove_tree(host, path),
        Op::RemoveEmptyDir { path } => files::remove_empty_dir(host, path),
        Op::SetAside { dir, to } => files::set_aside(host, dir, to),
        Op::RestoreFile { path, backup } => files::restore(host, path, backup),
        Op::BackupTrees { from, except, to } => files::backup(host, from, except, to),
        Op::Systemctl { verb, unit } => Done::of(units::systemctl(world, name, *verb, unit)),
        Op::DaemonReload => {
            units::daemon_reload(host);
            Done::default()
        }
        Op::SetHostname { name } => people::set_hostname(host, name),
        Op::AddUser { name, home } => people::add_user(host, name, home),
        Op::RemoveUser { name } => people::remove_user(host, name),
        Op::FirewallOff => firewall::off(world, name),
        Op::FirewallOn { firewalld, ufw, selinux } => firewall::on(world, name, *firewalld, *ufw, *selinux),
        Op::PortsMissing { ports } => firewall::missing(host, ports),
        Op::OpenPorts { ports } => firewall::set_ports(host, ports, true),
        Op::ClosePorts { ports } => firewall::set_ports(host, ports, false),
        Op::Lock(op) => lock::run(host, op),
        Op::SnapshotStatus { bin, path } => tools::snapshot_status(world, name, bin, path),
        Op::SnapshotTrial { bin, path, scratch } => {
            if deep_enough(scratch) {
                tools::snapshot_trial(world, name, bin, path, scratch)
            } else {
                refused(scratch)
            }
        }
        Op::Tree(op) => tree::run(host, op, input),
        Op::Package(op) => package::run(world, name, op),
        Op::Container(op) => container::run(world, name, op),
        Op::Pods(op) => pods::run(world, name, op),
        Op::SnapshotSave { .. } | Op::RehearsalEtcd { .. } => not_practised(op),
    }
}

/// How long an operation takes before it has an effect, in practice time.
pub fn takes(op: &Op) -> Duration {
    match op {
        Op::Package(PackageOp::Install { packages, .. }) => {
            kube::packages::INSTALL * u32::try_from(packages.len()).unwrap_or(1)
        }
        Op::Container(ContainerOp::Restart { .. }) => kube::docker::RESTART,
        Op::Container(ContainerOp::NginxTest { .. }) => kube::docker::TEST,
        _ => Duration::ZERO,
    }
}

/// What the practice cluster does not know (yet), said so that nobody takes it for a host's fault.
fn not_practised(op: &Op) -> Done {
    Done::failed(127, format!("{}: the practice cluster does not know this operation\n", op.summary()))
}

/// The shell's own rule: two components at least, and no way up.
fn deep_enough(path: &Path) -> bool {
    path.is_absolute()
        && path.components().count() >= 3
        && !path.components().any(|c| matches!(c, std::path::Component::ParentDir))
}

fn refused(path: &Path) -> Done {
    Done::failed(1, format!("refused: {}\n", path.display()))
}
