//! A directory and all in it streamed from one host to another through the operator's machine, never onto its disk.

use std::path::PathBuf;

use async_trait::async_trait;

use super::{Act, ActCx, ActError, run::Counted};
use crate::{
    cluster::HostName,
    engine::plan::Shown,
    remote::{
        Io, Op, Stdin, Stdout, run_ok, shell,
        tree::{Listing, TreeOp, parse_listing, staging},
    },
};

/// Most differences named in an error.
const NAMED: usize = 5;

/// A directory copied: unpacked beside its place, compared with the source by names, owners, modes, links and sha256, and
/// only then moved into place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTree {
    /// Source host.
    pub from: HostName,
    /// Target host.
    pub to: HostName,
    /// The directory, on both.
    pub root: PathBuf,
    /// Absolute paths that are left out, with all below them.
    pub except: Vec<PathBuf>,
    /// Bytes of its files, for the progress.
    pub size: u64,
    /// How many entries it has, for the eye.
    pub entries: usize,
    /// Where what lies there now is kept.
    pub kept: PathBuf,
}

impl CopyTree {
    fn ops(&self) -> [Op; 5] {
        let (root, except) = (self.root.clone(), self.except.clone());
        [
            TreeOp::Pack { root: root.clone(), except: except.clone() },
            TreeOp::Unpack { root: root.clone() },
            TreeOp::List { dir: root.clone(), except },
            TreeOp::List { dir: staging(&root), except: Vec::new() },
            TreeOp::Place { root, kept: self.kept.clone() },
        ]
        .map(Op::Tree)
    }

    async fn stream(&self, cx: &ActCx, pack: &Op, unpack: &Op) -> Result<(), ActError> {
        let (near, far) = tokio::io::duplex(256 << 10);
        let counted = Counted { inner: near, done: 0, total: Some(self.size), progress: cx.progress.clone() };
        let source = cx.remote.run(&self.from, pack, Io { stdout: Stdout::Writer(Box::pin(counted)), ..Io::default() });
        let sink = cx.remote.run(&self.to, unpack, Io { stdin: Stdin::Reader(Box::pin(far)), ..Io::default() });
        let (source, sink) = tokio::join!(source, sink);
        source?.checked(&self.from, pack)?;
        sink?.checked(&self.to, unpack)?;
        Ok(())
    }
}

#[async_trait]
impl Act for CopyTree {
    fn shown(&self) -> Shown {
        let [pack, unpack, list, list_staged, place] = self.ops();
        let on = |host: &HostName, op: &Op| tr!("on {host}:\n{script}", host = host, script = shell::render(op).script);
        Shown {
            host: Some(self.to.clone()),
            title: tr!(
                "copy {root} from {source} ({entries} entries)",
                root = self.root.display(),
                source = self.from,
                entries = self.entries
            ),
            commands: tr!(
                "# {pack}\n# into, {unpack}\n# both listings have to be the same: {list}\n# and {list_staged}\n# then {place}",
                pack = on(&self.from, &pack),
                unpack = on(&self.to, &unpack),
                list = on(&self.from, &list),
                list_staged = on(&self.to, &list_staged),
                place = on(&self.to, &place)
            ),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let [pack, unpack, list, list_staged, place] = self.ops();
        self.stream(cx, &pack, &unpack).await?;
        let (theirs, mine) = tokio::try_join!(listing(cx, &self.from, &list), listing(cx, &self.to, &list_staged))?;
        let differing = differences(&theirs, &mine);
        if !differing.is_empty() {
            let named: Vec<_> = differing.iter().take(NAMED).map(|p| self.root.join(p).display().to_string()).collect();
            return Err(ActError::NotProven(tr!(
                "{to}: the copy of {root} is not what {source} has, {differ} of {of} entries differ, such as {named}; it was not moved into place. \
                 Files that changed meanwhile are right the next time: run again. An owner that {target} does not know has to be made there first",
                to = self.to,
                root = self.root.display(),
                source = self.from,
                differ = differing.len(),
                of = theirs.len(),
                named = named.join(", "),
                target = self.to
            )));
        }
        run_ok(&*cx.remote, &self.to, &place).await?;
        cx.say(tr!("{n_entries} entries, every checksum as on {source}", n_entries = theirs.len(), source = self.from));
        Ok(())
    }
}

async fn listing(cx: &ActCx, host: &HostName, op: &Op) -> Result<Listing, ActError> {
    let out = run_ok(&*cx.remote, host, op).await?;
    parse_listing(&out.text()).ok_or_else(|| {
        ActError::NotProven(tr!("{host}: {summary} made no sense; run again", host = host, summary = op.summary()))
    })
}

/// Paths that are not the same on both sides. Times count for files alone: a directory's changes with what is made in it.
fn differences(theirs: &Listing, mine: &Listing) -> Vec<PathBuf> {
    let all = theirs.keys().chain(mine.keys().filter(|p| !theirs.contains_key(*p)));
    let same = |path: &PathBuf| match (theirs.get(path), mine.get(path)) {
        (Some(a), Some(b)) => a.same(b) && (!a.is_file() || a.mtime == b.mtime),
        _ => false,
    };
    all.filter(|p| !same(p)).cloned().collect()
}
