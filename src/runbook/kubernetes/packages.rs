//! docker, kubelet and kubectl at exactly the originals' versions: already there, by the package manager, or copied.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::{copied::KUBELET, ground};
use crate::{
    cluster::{HostName, Node, PackageChoice},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            run::{CopyFile, RunOp},
        },
        plan::FileDiff,
    },
    remote::{
        Content, Op,
        op::UnitVerb,
        package::{Manager, Package, PackageOp, Program, Programs, parse_programs},
        run_ok,
    },
    runbook::{Ctx, owner_of, texts},
    survey::{FileKind, Finding},
};

const KIND: &str = "kube.packages";

/// What a master runs. Whatever of it the original has, the joiner has to have.
const PROGRAMS: [&str; 6] = ["dockerd", "docker", "containerd", "runc", "kubelet", "kubectl"];

/// What comes with a docker that is copied, besides the programs above.
const HELPERS: [&str; 6] =
    ["containerd-shim", "containerd-shim-runc-v1", "containerd-shim-runc-v2", "ctr", "docker-init", "docker-proxy"];

/// Units of a docker that is copied.
const UNITS: [&str; 3] = ["docker.service", "docker.socket", "containerd.service"];

/// docker's settings, which have to fit kubelet's (the cgroup driver among them).
const DOCKER_CONFIG: &str = "/etc/docker/daemon.json";

pub(super) struct Packages {
    cx: Arc<Ctx>,
    node: Node,
}

/// How a program gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Install(Manager, Package),
    Copy,
    /// It can't, and why; what to do.
    Not(String, String),
}

struct Look {
    theirs: Programs,
    mine: Programs,
    /// Programs that are missing or of another version, and how they get there.
    wrong: Vec<(Program, Way)>,
    /// docker's settings where they are not the original's: theirs, and mine if any.
    settings: Option<(String, Option<String>)>,
    /// Its kubelet runs, or is to run after a reboot, with nothing to run.
    idle: bool,
}

/// Decides how a program gets there.
fn way(
    choice: PackageChoice,
    theirs: &Program,
    mine: Option<&Program>,
    manager: Option<Manager>,
    source: &HostName,
) -> Way {
    let has =
        mine.map_or_else(|| trs!("it is not there").to_owned(), |m| tr!("it is `{version}`", version = m.version));
    let package = theirs.package.clone().map(|(name, version)| Package { name, version });
    let copy = match choice {
        PackageChoice::Present => {
            let remedy =
                tr!("install `{version}` there, or choose another value for `packages`", version = theirs.version);
            return Way::Not(tr!("{name} is to be present, and {has}", name = theirs.name, has = has), remedy);
        }
        PackageChoice::Copy => true,
        PackageChoice::Auto => package.is_none(),
        PackageChoice::Repository => false,
    };
    match (copy, package, manager) {
        (true, ..) => Way::Copy,
        (false, Some(package), Some(manager)) => Way::Install(manager, package),
        (false, None, _) => Way::Not(
            tr!(
                "{name} belongs to no package on {source}, so no version can be asked for",
                name = theirs.name,
                source = source
            ),
            trs!("set `packages: copy`, or install it by hand and set `packages: present`").into(),
        ),
        (false, _, None) => Way::Not(
            trs!("there is none of apt-get, dnf and yum").into(),
            trs!("set `packages: copy`, or install it by hand and set `packages: present`").into(),
        ),
    }
}

impl Packages {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    async fn programs(&self, host: &HostName) -> Result<Programs, ActError> {
        let names = PROGRAMS.iter().chain(&HELPERS).map(|p| (*p).to_owned()).collect();
        let op = Op::Package(PackageOp::Look { programs: names });
        let out = run_ok(&*self.cx.remote, host, &op).await?;
        parse_programs(&out.text())
            .ok_or_else(|| ActError::NotProven(tr!("{host}: the answer was cut off; run again", host = host)))
    }

    async fn look(&self) -> Result<Look, ActError> {
        let source = &self.cx.source().name;
        let (theirs, mine) = tokio::try_join!(self.programs(source), self.programs(&self.node.name))?;
        for needed in ["dockerd", "kubelet"] {
            if theirs.get(needed).is_none_or(|p| p.version.is_empty()) {
                return Err(ActError::NotProven(tr!(
                    "{source}: no {needed} that tells its version; this chapter knows masters whose kubelet drives docker",
                    source = source,
                    needed = needed
                )));
            }
        }
        let choice = self.cx.cluster.packages;
        let wanted = PROGRAMS.iter().filter_map(|name| theirs.get(name));
        let wrong = wanted
            .filter(|t| mine.get(&t.name).is_none_or(|m| m.version != t.version))
            .map(|t| (t.clone(), way(choice, t, mine.get(&t.name), mine.manager, source)))
            .collect();
        let path = Path::new(DOCKER_CONFIG);
        let settings = match self.cx.read_text(source, path).await? {
            Some(text) => {
                let now = self.cx.read_text(&self.node.name, path).await?;
                (now.as_ref() != Some(&text)).then_some((text, now))
            }
            None => None,
        };
        let idle = ground::idle_kubelet(&self.cx, &self.node).await?;
        Ok(Look { theirs, mine, wrong, settings, idle })
    }
}

impl Look {
    fn lacking(&self) -> Vec<String> {
        let wrong = self.wrong.iter().map(|(p, _)| match self.mine.get(&p.name) {
            Some(mine) => tr!(
                "{name} is `{version}`, should be `{wanted}`",
                name = p.name,
                version = mine.version,
                wanted = p.version
            ),
            None => format!("{} (`{}`)", p.name, p.version),
        });
        let settings = self.settings.iter().map(|_| DOCKER_CONFIG.to_owned());
        let idle = self.idle.then(|| trs!("its kubelet starts by itself, with nothing to run").to_owned());
        wrong.chain(settings).chain(idle).collect()
    }

    fn blocked(&self, node: &Node) -> Vec<Finding> {
        let not = self.wrong.iter().filter_map(|(_, way)| match way {
            Way::Not(what, remedy) => Some((what.clone(), remedy.clone())),
            _ => None,
        });
        let why = trs!("a new master has to run exactly what the others run");
        not.collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(what, remedy)| ground::block(node, what, why, remedy))
            .collect()
    }

    /// Packages to install, each once.
    fn packages(&self) -> (Option<Manager>, Vec<Package>) {
        let installs = self.wrong.iter().filter_map(|(_, way)| match way {
            Way::Install(manager, package) => Some((*manager, package.clone())),
            _ => None,
        });
        let installs: BTreeSet<_> = installs.map(|(m, p)| (p, m.word())).collect();
        let manager = self.mine.manager.filter(|_| !installs.is_empty());
        (manager, installs.into_iter().map(|(p, _)| p).collect())
    }

    /// What to copy, links followed, and where it is to lie: the programs, and with a docker what comes with it.
    fn copies(&self) -> Vec<(PathBuf, PathBuf)> {
        let copied: Vec<_> = self.wrong.iter().filter(|(_, way)| *way == Way::Copy).map(|(p, _)| p).collect();
        let both = |p: &Program| (p.real.clone(), p.path.clone());
        let mut paths: Vec<_> = copied.iter().map(|p| both(p)).collect();
        if copied.iter().any(|p| matches!(p.name.as_str(), "dockerd" | "containerd")) {
            let lacks = |name: &&&str| self.mine.get(name).is_none();
            paths.extend(HELPERS.iter().filter(lacks).filter_map(|h| self.theirs.get(h)).map(both));
            let dirs = ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"];
            paths.extend(
                UNITS.iter().flat_map(|u| dirs.iter().map(move |d| Path::new(d).join(u))).map(|p| (p.clone(), p)),
            );
        }
        paths
    }

    fn notes(&self, source: &HostName) -> Vec<String> {
        let how = |(p, way): &(Program, Way)| match way {
            Way::Install(manager, package) => {
                tr!(
                    "{name}: {package} {version} by {manager}",
                    name = p.name,
                    package = package.name,
                    version = package.version,
                    manager = manager.word()
                )
            }
            Way::Copy => {
                tr!("{name}: {path} copied from {source}", name = p.name, path = p.path.display(), source = source)
            }
            Way::Not(why, _) => format!("{}: {why}", p.name),
        };
        let mut notes: Vec<_> = self.wrong.iter().map(how).collect();
        if !notes.is_empty() {
            notes
                .push(trs!("`packages: repository`, `copy` or `present` in the cluster file chooses otherwise").into());
        }
        notes
    }
}

#[async_trait]
impl Step for Packages {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: Some(self.node.name.clone()) }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Kubernetes
    }

    fn title(&self) -> String {
        texts::title(KIND, Some(&self.node.name))
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let look = self.look().await?;
        let (lacking, blocked) = (look.lacking(), look.blocked(&self.node));
        if !blocked.is_empty() {
            return Ok(Probe::Blocked(blocked));
        }
        Ok(if lacking.is_empty() {
            let version = look.theirs.get("kubelet").map(|p| p.version.clone()).unwrap_or_default();
            Probe::Done(tr!("docker, kubelet and kubectl are as on the originals ({version})", version = version))
        } else {
            Probe::Todo(tr!("not there or different: {lacking}", lacking = lacking.join(", ")))
        })
    }

    async fn gate(&self) -> Result<Vec<Finding>, ActError> {
        let idle = ground::idle_kubelet(&self.cx, &self.node).await?;
        ground::ready(&self.cx, &self.node, idle).await
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let look = self.look().await?;
        let host = &self.node.name;
        let (mut acts, mut undo, mut diffs): (Vec<Box<dyn Act>>, _, _) = (Vec::new(), Vec::new(), Vec::new());
        let mut notes = look.notes(&self.cx.source().name);
        let installed = |(p, way): &(Program, Way)| p.name == KUBELET && matches!(way, Way::Install(..));
        let brings_kubelet = look.wrong.iter().any(installed);
        if let (Some(manager), packages) = look.packages() {
            let there = |name: &str| look.mine.found.iter().any(|p| p.package.as_ref().is_some_and(|(n, _)| n == name));
            let (old, new): (Vec<_>, Vec<_>) = packages.iter().map(|p| p.name.clone()).partition(|n| there(n));
            if !old.is_empty() {
                notes.push(tr!(
                    "{old} is there in another version, which an undo does not bring back",
                    old = old.join(", ")
                ));
            }
            acts.push(RunOp::act(host, Op::Package(PackageOp::Install { manager, packages })));
            if !new.is_empty() {
                undo.push(UndoAct::RemovePackages { host: host.to_string(), manager, packages: new });
            }
        }
        if look.idle || brings_kubelet {
            let verbs = [UnitVerb::Stop, UnitVerb::Disable];
            acts.extend(verbs.map(|verb| RunOp::act(host, Op::Systemctl { verb, unit: KUBELET.into() })));
            notes.push(
                trs!("a kubelet that its package starts is stopped: after a reboot it would run what has arrived by then; chapter 5 starts it").into(),
            );
        }
        let copies = self.copies(&look).await?;
        for copy in copies {
            let (path, backup) = (copy.to_path.clone(), self.cx.kept(KIND, &copy.to_path));
            undo.push(UndoAct::RestoreFile { host: host.to_string(), path, backup });
            acts.push(Box::new(copy));
        }
        if let Some((text, now)) = look.settings {
            let path = PathBuf::from(DOCKER_CONFIG);
            let (state, backup) = (self.cx.stat_one(&self.cx.source().name, &path).await?, self.cx.kept(KIND, &path));
            let (dir, owner) = (path.parent().unwrap_or(Path::new("/etc/docker")).to_owned(), owner_of(&state));
            let no_dir = self.cx.stat_one(host, &dir).await?.kind == FileKind::Absent;
            if no_dir {
                acts.push(RunOp::act(host, Op::MakeDir { path: dir.clone(), mode: 0o755, owner: owner.clone() }));
            }
            let content = Content::Text(text.clone());
            let op =
                Op::WriteFile { path: path.clone(), content, mode: state.mode, owner, backup: Some(backup.clone()) };
            acts.push(RunOp::act(host, op));
            undo.push(UndoAct::RestoreFile { host: host.to_string(), path: path.clone(), backup });
            undo.extend(no_dir.then(|| UndoAct::RemoveEmptyDir { host: host.to_string(), path: dir }));
            diffs.push(FileDiff { host: host.clone(), path, before: now, after: text });
            notes.push(trs!("docker reads its settings when it is started, in chapter 5").into());
        }
        acts.push(RunOp::act(host, Op::DaemonReload));
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.diffs = diffs;
        plan.view.notes = notes;
        plan.view.expected = texts::expected(KIND);
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let look = self.look().await?;
        let lacking = look.lacking();
        if !lacking.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{name}: still not right: {lacking}",
                name = self.node.name,
                lacking = lacking.join(", ")
            )));
        }
        if ground::kubelet_runs(&self.cx, &self.node).await? {
            return Err(ActError::NotProven(tr!(
                "{name}: kubelet was started by its package; `systemctl disable --now kubelet` on {name}, then run again",
                name = self.node.name
            )));
        }
        let proofs = PROGRAMS.iter().filter_map(|name| look.mine.get(name));
        Ok(proofs.map(|p| tr!("{name}: {version}, as on the originals", name = p.name, version = p.version)).collect())
    }
}

impl Packages {
    /// What of the paths the original has and the joiner has not, as copies.
    async fn copies(&self, look: &Look) -> Result<Vec<CopyFile>, ActError> {
        let (source, host) = (&self.cx.source().name, &self.node.name);
        let paths = look.copies();
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let (from, to): (Vec<_>, Vec<_>) = paths.into_iter().unzip();
        let theirs = self.cx.stat(source, from).await?;
        let mine = self.cx.stat(host, to).await?;
        let wanted = theirs.into_iter().zip(mine).filter(|(t, m)| t.sha256.is_some() && t.sha256 != m.sha256);
        Ok(wanted
            .filter_map(|(t, m)| {
                Some(CopyFile {
                    from: source.clone(),
                    from_path: t.path.clone(),
                    secret: false,
                    size: t.size,
                    to: host.clone(),
                    to_path: m.path.clone(),
                    mode: t.mode,
                    owner: owner_of(&t),
                    sha256: t.sha256.clone()?,
                    backup: Some(self.cx.kept(KIND, &m.path)),
                })
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(package: Option<&str>) -> Program {
        Program {
            name: "kubelet".into(),
            path: "/usr/bin/kubelet".into(),
            real: "/opt/kubelet".into(),
            version: "Kubernetes v1.20.2".into(),
            package: package.map(|p| (p.to_owned(), "1.20.2-0".to_owned())),
        }
    }

    #[test]
    fn the_way_follows_the_choice_and_what_the_originals_have() {
        let source = HostName::new("m1");
        let decided = |choice, package, manager| way(choice, &program(package), None, manager, &source);
        let package = || Package { name: "kubelet".into(), version: "1.20.2-0".into() };
        let dnf = Some(Manager::Dnf);
        assert_eq!(decided(PackageChoice::Auto, None, dnf), Way::Copy);
        assert_eq!(decided(PackageChoice::Auto, Some("kubelet"), dnf), Way::Install(Manager::Dnf, package()));
        assert_eq!(decided(PackageChoice::Copy, Some("kubelet"), dnf), Way::Copy);
        for (choice, name, manager) in [
            (PackageChoice::Present, Some("kubelet"), dnf),
            (PackageChoice::Repository, None, dnf),
            (PackageChoice::Auto, Some("kubelet"), None),
        ] {
            assert!(matches!(decided(choice, name, manager), Way::Not(..)), "{choice:?}");
        }
    }
}
