//! Files made for a joiner from an original's: what they have to be, what they are, and the acts from one to the other.

use std::path::PathBuf;

use super::copied::{self, Original};
use crate::{
    cluster::Node,
    engine::{
        act::{Act, ActError, UndoAct, run::RunOp},
        plan::FileDiff,
    },
    remote::{Content, Op, SecretBytes},
    runbook::{
        Ctx,
        edit::joiner::{Mention, Who, masked, mentions},
        owner_of,
    },
    survey::{FileKind, FileState},
};

/// A joiner's file.
#[derive(Debug)]
pub(super) struct Made {
    /// Which file.
    pub path: PathBuf,
    /// The original's text, as it may be shown.
    source_shown: String,
    /// Its mode and owner on the original.
    source: FileState,
    /// What it has to be.
    wanted: SecretBytes,
    /// What it is.
    now: Option<Original>,
    now_state: FileState,
    /// What it would still say of the original.
    pub mentions: Vec<Mention>,
}

impl Made {
    /// Looks at the joiner's file beside what it has to be.
    pub async fn look(
        cx: &Ctx,
        joiner: &Node,
        who: &Who,
        original: &Original,
        wanted: String,
    ) -> Result<Self, ActError> {
        let path = original.path.clone();
        let found = mentions(&wanted, who);
        let now = copied::read(cx, &joiner.name, &path).await?;
        Ok(Self {
            source_shown: masked(original.text()),
            source: cx.stat_one(&cx.source().name, &path).await?,
            now_state: cx.stat_one(&joiner.name, &path).await?,
            mentions: found,
            wanted: SecretBytes::new(wanted.into_bytes()),
            now,
            path,
        })
    }

    fn wanted(&self) -> &str {
        std::str::from_utf8(self.wanted.expose()).unwrap_or_default()
    }

    /// Whether the joiner has it, content, mode and owner.
    pub fn right(&self) -> bool {
        let (theirs, mine) = (&self.source, &self.now_state);
        self.now.as_ref().is_some_and(|now| now.text() == self.wanted())
            && (theirs.mode, &theirs.user, &theirs.group) == (mine.mode, &mine.user, &mine.group)
    }

    /// Mentions of the original that nobody can explain, unless somebody has written the joiner's file by hand so that it
    /// has none.
    pub fn unexplained(&self, who: &Who) -> Vec<&Mention> {
        let by_hand = |now: &Original| mentions(now.text(), who).iter().all(|m| m.explained.is_some());
        if self.now.as_ref().is_some_and(by_hand) {
            return Vec::new();
        }
        self.mentions.iter().filter(|m| m.explained.is_none()).collect()
    }

    /// Whether it was written by hand because it can't be made: then it is left alone.
    pub fn by_hand(&self, who: &Who) -> bool {
        self.mentions.iter().any(|m| m.explained.is_none()) && self.unexplained(who).is_empty()
    }

    /// Writes it: the act, its undo, and the diff. Where the joiner has no such file the diff is against the original's.
    pub fn write(&self, cx: &Ctx, joiner: &Node, kind: &str) -> (Box<dyn Act>, UndoAct, FileDiff) {
        let backup = cx.kept(kind, &self.path);
        let shown = masked(self.wanted());
        let secret = shown != self.wanted() || self.source.mode.is_multiple_of(0o100);
        let content =
            if secret { Content::Secret(self.wanted.clone()) } else { Content::Text(self.wanted().to_owned()) };
        let op = Op::WriteFile {
            path: self.path.clone(),
            content,
            mode: self.source.mode,
            owner: owner_of(&self.source),
            backup: Some(backup.clone()),
        };
        let host = joiner.name.clone();
        let undo = UndoAct::RestoreFile { host: host.to_string(), path: self.path.clone(), backup };
        let before = self.now.as_ref().map_or_else(|| self.source_shown.clone(), |now| masked(now.text()));
        let diff = FileDiff { host, path: self.path.clone(), before: Some(before), after: shown };
        (RunOp::act(&joiner.name, op), undo, diff)
    }

    /// Whether the joiner has no such file yet.
    pub fn absent(&self) -> bool {
        self.now_state.kind == FileKind::Absent
    }
}
