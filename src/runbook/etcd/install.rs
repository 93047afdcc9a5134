//! A joiner's user, directories, binaries and unit: exactly what the originals have.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    cluster::{BinarySource, Node},
    engine::{
        Chapter, Plan, Probe, Risk, Step, StepId,
        act::{
            Act, ActError, UndoAct,
            run::{CopyFile, RunOp, SendFile},
        },
        plan::FileDiff,
    },
    remote::{
        Content, Op,
        op::{Owner, sha256_hex},
        run_ok,
    },
    runbook::{
        Ctx,
        edit::{EditError, etcd_conf::leftover},
        owner_of, texts,
    },
    survey::{FileKind, FileState, parse},
};

const KIND: &str = "etcd.install";

/// Largest release tarball taken, in bytes.
const MAX_TARBALL: u64 = 512 << 20;

pub(super) struct Install {
    cx: Arc<Ctx>,
    node: Node,
}

/// A binary as it has to be.
struct Wanted {
    path: PathBuf,
    size: u64,
    sha256: String,
    /// Its bytes, when they come from a tarball.
    bytes: Option<Bytes>,
}

/// What the joiner has, beside what it has to have.
struct Look {
    wanted: Vec<Wanted>,
    there: Vec<FileState>,
    unit: String,
    unit_state: FileState,
    unit_now: Option<String>,
    dirs: Vec<(FileState, FileState)>,
}

impl Install {
    pub(super) fn new(cx: Arc<Ctx>, node: Node) -> Self {
        Self { cx, node }
    }

    async fn wanted(&self) -> Result<Vec<Wanted>, ActError> {
        let bin = &self.cx.cluster.etcd.bin;
        let paths = ["etcd", "etcdctl", "etcdutl"].map(|b| bin.join(b)).to_vec();
        match &self.cx.cluster.binaries {
            BinarySource::Original => {
                let states = self.cx.stat(&self.cx.source().name, paths).await?;
                let found = states.into_iter().filter(|s| s.kind != FileKind::Absent);
                Ok(found
                    .filter_map(|s| Some(Wanted { path: s.path, size: s.size, sha256: s.sha256?, bytes: None }))
                    .collect())
            }
            BinarySource::Tarball { path, sha256 } => {
                let (path, sha256) = (path.clone(), sha256.clone());
                let shown = path.clone();
                let read = tokio::task::spawn_blocking(move || unpack(&path, &sha256)).await;
                let files = read.unwrap_or_else(|e| Err(e.to_string()));
                let files = files.map_err(|why| ActError::Local { path: shown, why })?;
                let wanted = |name: String, bytes: Bytes| Wanted {
                    path: bin.join(name),
                    size: bytes.len() as u64,
                    sha256: sha256_hex(&bytes),
                    bytes: Some(bytes),
                };
                Ok(files.into_iter().map(|(name, bytes)| wanted(name, bytes)).collect())
            }
        }
    }

    /// The directories the originals have, as they have them; and the joiner's.
    async fn dirs(&self) -> Result<Vec<(FileState, FileState)>, ActError> {
        let etcd = &self.cx.cluster.etcd;
        let paths = vec![etcd.dir.clone(), etcd.pki.clone(), etcd.data.clone()];
        let source = self.cx.stat(&self.cx.source().name, paths.clone()).await?;
        let mine = self.cx.stat(&self.node.name, paths).await?;
        Ok(source.into_iter().zip(mine).filter(|(s, _)| s.kind == FileKind::Dir).collect())
    }

    async fn look(&self) -> Result<Look, ActError> {
        let (host, unit_file) = (&self.node.name, &self.cx.cluster.etcd.unit_file);
        let wanted = self.wanted().await?;
        if !wanted.iter().any(|w| w.path.ends_with("etcd")) {
            return Err(ActError::NotProven(tr!(
                "{name}: no etcd binary in {bin}; set `layout: {{ etcd: {{ bin: … }} }}`",
                name = self.cx.source().name,
                bin = self.cx.cluster.etcd.bin.display()
            )));
        }
        let unit = self.cx.need_text(&self.cx.source().name, unit_file).await?;
        for needle in [self.cx.source().address.to_string(), self.cx.source().name.to_string()] {
            if let Some((line, text)) = leftover(&unit, &needle, None) {
                let e = EditError::Leftover { line, needle, text };
                return Err(ActError::NotProven(format!("{}: {} {e}", self.cx.source().name, unit_file.display())));
            }
        }
        Ok(Look {
            there: self.cx.stat(host, wanted.iter().map(|w| w.path.clone()).collect()).await?,
            wanted,
            unit_now: self.cx.read_text(host, unit_file).await?,
            unit,
            unit_state: self.cx.stat_one(&self.cx.source().name, unit_file).await?,
            dirs: self.dirs().await?,
        })
    }
}

impl Look {
    fn lacking(&self) -> Vec<String> {
        let binaries = self.wanted.iter().zip(&self.there).filter(|(w, t)| t.sha256.as_ref() != Some(&w.sha256));
        let mut lacking: Vec<_> = binaries.map(|(w, _)| w.path.display().to_string()).collect();
        if self.unit_now.as_ref() != Some(&self.unit) {
            lacking.push(trs!("the unit file").into());
        }
        // Owner by name: a joiner may give the user another number.
        let dirs = self.dirs.iter().filter(|(s, m)| (s.kind, s.mode, &s.user) != (m.kind, m.mode, &m.user));
        lacking.extend(dirs.map(|(s, _)| s.path.display().to_string()));
        lacking
    }
}

#[async_trait]
impl Step for Install {
    fn id(&self) -> StepId {
        StepId { kind: KIND, host: Some(self.node.name.clone()) }
    }

    fn chapter(&self) -> Chapter {
        Chapter::Etcd
    }

    fn title(&self) -> String {
        super::title(KIND, &self.node.name)
    }

    fn risk(&self) -> Risk {
        Risk::Reversible
    }

    async fn probe(&self) -> Result<Probe, ActError> {
        let lacking = self.look().await?.lacking();
        Ok(if lacking.is_empty() {
            Probe::Done(trs!("user, directories, binaries and unit are as the originals'").into())
        } else {
            Probe::Todo(tr!("not there or different: {lacking}", lacking = lacking.join(", ")))
        })
    }

    async fn preview(&self) -> Result<Plan, ActError> {
        let look = self.look().await?;
        let etcd = &self.cx.cluster.etcd;
        let (host, name) = (&self.node.name, self.node.name.to_string());
        let mut acts = vec![RunOp::act(host, Op::AddUser { name: etcd.user.clone(), home: etcd.data.clone() })];
        let mut undo = Vec::new();
        for (theirs, mine) in &look.dirs {
            let op = Op::MakeDir { path: theirs.path.clone(), mode: theirs.mode, owner: owner_of(theirs) };
            acts.push(RunOp::act(host, op));
            if mine.kind == FileKind::Absent {
                undo.push(UndoAct::RemoveEmptyDir { host: name.clone(), path: theirs.path.clone() });
            }
        }
        undo.reverse();
        let mut made = Vec::new();
        for (wanted, there) in look.wanted.iter().zip(&look.there) {
            if there.sha256.as_ref() == Some(&wanted.sha256) {
                continue;
            }
            if there.kind == FileKind::Absent {
                made.push(wanted.path.clone());
            } else {
                let (path, backup) = (wanted.path.clone(), self.cx.kept(KIND, &wanted.path));
                undo.push(UndoAct::RestoreFile { host: name.clone(), path, backup });
            }
            acts.push(self.place(wanted));
        }
        let mut diffs = Vec::new();
        if look.unit_now.as_ref() != Some(&look.unit) {
            let (path, backup) = (etcd.unit_file.clone(), self.cx.kept(KIND, &etcd.unit_file));
            acts.push(RunOp::act(
                host,
                Op::WriteFile {
                    path: path.clone(),
                    content: Content::Text(look.unit.clone()),
                    mode: look.unit_state.mode,
                    owner: Owner::root(),
                    backup: Some(backup.clone()),
                },
            ));
            acts.push(RunOp::act(host, Op::DaemonReload));
            diffs.push(FileDiff { host: host.clone(), path: path.clone(), before: look.unit_now, after: look.unit });
            undo.push(UndoAct::RestoreFile { host: name.clone(), path, backup });
            undo.push(UndoAct::DaemonReload { host: name.clone() });
        }
        if !made.is_empty() {
            undo.push(UndoAct::RemoveFiles { host: name.clone(), paths: made });
        }
        if look.dirs.iter().any(|(_, mine)| mine.kind == FileKind::Absent) {
            undo.push(UndoAct::RemoveUser { host: name, name: etcd.user.clone() });
        }
        let mut plan = Plan::new(Risk::Reversible, acts, undo, texts::undo_card(KIND));
        plan.view.diffs = diffs;
        plan.view.expected = texts::expected(KIND);
        Ok(plan)
    }

    async fn verify(&self) -> Result<Vec<String>, ActError> {
        let lacking = self.look().await?.lacking();
        if !lacking.is_empty() {
            return Err(ActError::NotProven(tr!(
                "{name}: still not right: {lacking}",
                name = self.node.name,
                lacking = lacking.join(", ")
            )));
        }
        let op = Op::EtcdVersion { bin: self.cx.cluster.etcd.bin.clone() };
        let mine = parse::etcd_version(&run_ok(&*self.cx.remote, &self.node.name, &op).await?.text());
        let theirs = super::version(&self.cx);
        if mine.is_none() || mine != theirs {
            return Err(ActError::NotProven(tr!(
                "{name}: etcd is {mine}, the cluster runs {theirs}; give the release of exactly that version",
                name = self.node.name,
                mine = mine.map_or_else(|| trs!("of no known version").into(), |v| v.to_string()),
                theirs = theirs.map_or_else(|| trs!("an unknown one").into(), |v| v.to_string()),
            )));
        }
        Ok(vec![tr!(
            "{name}: etcd {version} runs there, as on the originals",
            name = self.node.name,
            version = mine.map_or_else(String::new, |v| v.to_string())
        )])
    }
}

impl Install {
    fn place(&self, wanted: &Wanted) -> Box<dyn Act> {
        let backup = Some(self.cx.kept(KIND, &wanted.path));
        match (&wanted.bytes, &self.cx.cluster.binaries) {
            (Some(bytes), BinarySource::Tarball { path, .. }) => Box::new(SendFile {
                source: path.display().to_string(),
                bytes: bytes.clone(),
                to: self.node.name.clone(),
                op: Op::ReceiveFile {
                    path: wanted.path.clone(),
                    mode: 0o755,
                    owner: Owner::root(),
                    sha256: wanted.sha256.clone(),
                    backup,
                },
            }),
            _ => Box::new(CopyFile {
                from: self.cx.source().name.clone(),
                from_path: wanted.path.clone(),
                secret: false,
                size: wanted.size,
                to: self.node.name.clone(),
                to_path: wanted.path.clone(),
                mode: 0o755,
                owner: Owner::root(),
                sha256: wanted.sha256.clone(),
                backup,
            }),
        }
    }
}

/// etcd's binaries out of a release tarball whose sha256 is as given.
fn unpack(path: &Path, sha256: &str) -> Result<Vec<(String, Bytes)>, String> {
    let length = std::fs::metadata(path).map_err(|e| tr!("{e}; check `binaries` in the cluster file", e = e))?.len();
    if length > MAX_TARBALL {
        return Err(tr!(
            "{length} bytes is more than a release of etcd has; check `binaries` in the cluster file",
            length = length
        ));
    }
    let packed = std::fs::read(path).map_err(|e| tr!("{e}; check `binaries` in the cluster file", e = e))?;
    let found = sha256_hex(&packed);
    if found != sha256 {
        return Err(tr!(
            "sha256 is {found}, the cluster file says {sha256}; fetch the release again or mend the file",
            found = found,
            sha256 = sha256
        ));
    }
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&packed[..]));
    let broken = |e: std::io::Error| tr!("is no readable release tarball: {e}; fetch it again", e = e);
    let mut files = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.file_name().map(|n| n.to_string_lossy().into_owned());
        let name = name.filter(|n| ["etcd", "etcdctl", "etcdutl"].contains(&n.as_str()));
        if let (Some(name), true) = (name, entry.header().entry_type().is_file()) {
            let mut bytes = Vec::new();
            entry.take(MAX_TARBALL).read_to_end(&mut bytes).map_err(broken)?;
            files.push((name, bytes.into()));
        }
    }
    if files.iter().any(|(name, _)| name == "etcd") {
        Ok(files)
    } else {
        Err(trs!("holds no etcd binary; give a release tarball").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(4);
            header.set_mode(0o755);
            header.set_cksum();
            tar.append_data(&mut header, format!("etcd-v3.4.23-linux-amd64/{name}"), &b"\x7fELF"[..]).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_release_is_taken_only_with_its_own_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.tar.gz");
        let bytes = tarball(&["etcd", "etcdctl", "README.md"]);
        std::fs::write(&path, &bytes).unwrap();
        let files = unpack(&path, &sha256_hex(&bytes)).unwrap();
        assert_eq!(files.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["etcd", "etcdctl"]);
        assert!(unpack(&path, &"0".repeat(64)).unwrap_err().contains("sha256 is"));
        let empty = tarball(&["README.md"]);
        std::fs::write(&path, &empty).unwrap();
        assert!(unpack(&path, &sha256_hex(&empty)).unwrap_err().contains("no etcd binary"));
        assert!(unpack(&dir.path().join("nothing"), "x").is_err());
    }
}
