//! How an undo shows and runs itself.

use std::{path::Path, time::Duration};

use super::{
    ActCx, ActError, UndoAct,
    apiserver::{Before, back_to},
    etcd::remove_member,
    proxy::restart_if_stale,
    run::run_op,
};
use crate::{
    cluster::HostName,
    engine::plan::Shown,
    remote::{Io, Op, Target, container::ContainerOp, op::UnitVerb, package::PackageOp, shell, tree::TreeOp},
};

/// How long kubelet is given to bring an apiserver back.
const APISERVER_BACK: Duration = Duration::from_mins(5);

impl UndoAct {
    /// The host it acts on.
    pub fn host(&self) -> HostName {
        let host = match self {
            Self::Kube(undo) => return undo.host(),
            Self::RestoreFile { host, .. }
            | Self::RemoveFiles { host, .. }
            | Self::RemoveTree { host, .. }
            | Self::RemoveEmptyDir { host, .. }
            | Self::RestoreTree { host, .. }
            | Self::RemovePackages { host, .. }
            | Self::RestoreManifest { host, .. }
            | Self::RestoreProxy { host, .. }
            | Self::SetHostname { host, .. }
            | Self::RemoveUser { host, .. }
            | Self::StopUnit { host, .. }
            | Self::DaemonReload { host }
            | Self::FirewallOn { host, .. }
            | Self::ClosePorts { host, .. }
            | Self::MemberRemove { host, .. } => host,
        };
        HostName::new(host)
    }

    /// The operations it is, in order; none for what goes through an API.
    fn ops(&self) -> Vec<Op> {
        match self {
            Self::RestoreFile { path, backup, .. }
            | Self::RestoreManifest { path, backup, .. }
            | Self::RestoreProxy { path, backup, .. } => {
                vec![Op::RestoreFile { path: path.clone(), backup: backup.clone() }]
            }
            Self::RemoveFiles { paths, .. } => vec![Op::RemoveFiles { paths: paths.clone() }],
            Self::RemoveTree { path, .. } => vec![Op::RemoveTree { path: path.clone() }],
            Self::RemoveEmptyDir { path, .. } => vec![Op::RemoveEmptyDir { path: path.clone() }],
            Self::RestoreTree { path, kept, .. } => {
                vec![Op::Tree(TreeOp::PutBack { root: path.clone(), kept: kept.clone() })]
            }
            Self::RemovePackages { manager, packages, .. } => {
                vec![Op::Package(PackageOp::Remove { manager: *manager, packages: packages.clone() })]
            }
            Self::SetHostname { name, .. } => vec![Op::SetHostname { name: name.clone() }],
            Self::RemoveUser { name, .. } => vec![Op::RemoveUser { name: name.clone() }],
            Self::StopUnit { unit, .. } => [UnitVerb::Stop, UnitVerb::Disable, UnitVerb::ResetFailed]
                .map(|verb| Op::Systemctl { verb, unit: unit.clone() })
                .to_vec(),
            Self::DaemonReload { .. } => vec![Op::DaemonReload],
            Self::FirewallOn { firewalld, ufw, selinux, .. } => {
                vec![Op::FirewallOn { firewalld: *firewalld, ufw: *ufw, selinux: *selinux }]
            }
            Self::ClosePorts { ports, .. } => vec![Op::ClosePorts { ports: ports.clone() }],
            Self::MemberRemove { .. } | Self::Kube(_) => Vec::new(),
        }
    }

    /// How it is shown.
    pub fn shown(&self) -> Shown {
        if let Self::Kube(undo) = self {
            return undo.shown();
        }
        if let Self::MemberRemove { host, name, peer_url } = self {
            return Shown {
                host: None,
                title: tr!("etcd: remove member {name} ({peer_url}), if it is one", name = name, peer_url = peer_url),
                commands: format!("etcdctl member remove ID-OF-{name}   # asked of {host}, through the API"),
            };
        }
        let mut ops = self.ops();
        let then = match self {
            Self::RestoreManifest { .. } => trs!(", wait for the apiserver that kubelet makes of it"),
            Self::RestoreProxy { container, .. } => {
                ops.push(Op::Container(ContainerOp::Restart { container: container.clone() }));
                trs!(" if it was changed")
            }
            _ => "",
        };
        Shown {
            host: Some(self.host()),
            title: ops.iter().map(Op::summary).collect::<Vec<_>>().join(", ") + then,
            commands: ops.iter().map(|op| shell::render(op).script).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Does it. What was never done is left alone and said.
    pub async fn undo(&self, cx: &ActCx) -> Result<(), ActError> {
        match self {
            Self::Kube(undo) => undo.undo(cx).await,
            Self::MemberRemove { peer_url, name, .. } => {
                remove_member(cx, peer_url, name, Duration::from_secs(30)).await
            }
            Self::RestoreFile { path, .. } => self.restored(cx, path).await.map(|_| ()),
            Self::RestoreManifest { path, flags, address, port, ca, admin_conf, .. } => {
                if !self.restored(cx, path).await? {
                    return Ok(());
                }
                let port = Target { address: *address, port: *port };
                let before = Before { host: self.host(), port, flags, ca, admin_conf };
                back_to(cx, &before, APISERVER_BACK).await
            }
            Self::RestoreProxy { path, container, .. } => {
                // An undo that ended between the two has left the container behind.
                self.restored(cx, path).await?;
                restart_if_stale(cx, &self.host(), path, container).await
            }
            // A unit that was never made cannot be disabled: that is no failure of the undo.
            Self::StopUnit { .. } => {
                for op in self.ops() {
                    cx.remote.run(&self.host(), &op, Io::default()).await?;
                }
                Ok(())
            }
            _ => {
                for op in self.ops() {
                    run_op(cx, &self.host(), &op).await?;
                }
                Ok(())
            }
        }
    }

    /// Puts the file back; `false` where it was never changed.
    async fn restored(&self, cx: &ActCx, path: &Path) -> Result<bool, ActError> {
        for op in self.ops() {
            let out = cx.remote.run(&self.host(), &op, Io::default()).await?;
            if out.status == shell::NOT_THERE {
                cx.say(tr!("{host}: {path} was never changed", host = self.host(), path = path.display()));
                return Ok(false);
            }
            out.checked(&self.host(), &op)?;
        }
        Ok(true)
    }
}
