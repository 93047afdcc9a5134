//! Pure edits: text in, text out, everything else untouched.

pub mod etcd_conf;
pub mod joiner;
pub mod kubeconfig;
pub mod kubelet_env;
pub mod manifest;
pub mod nginx_conf;
pub mod openssl_conf;
mod structured;

/// Why a file can't be edited. The caller adds host and path.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    /// A setting that has to be there is not.
    #[error("{}", tr!("has no --{what}; add it by hand as on the other members, then run again", what = _0))]
    Missing(String),
    /// A setting stands there more than once.
    #[error("{}", tr!("has --{flag} more than once (lines {lines}); leave one, then run again", flag = flag, lines = lines))]
    Twice {
        /// The flag, without dashes.
        flag: String,
        /// The lines.
        lines: String,
    },
    /// It can't be parsed.
    #[error("{}", tr!("is neither JSON nor YAML: {what}; mend it by hand, then run again", what = _0))]
    Unreadable(String),
    /// What is to change was understood, but where it stands in the text can't be told for sure.
    #[error("{}", tr!("has {what} in a form that can't be edited in place; change it by hand, then run again", what = _0))]
    Elusive(String),
    /// An entry that has to be there is not.
    #[error("{}", tr!("has no {what}; add it by hand as on the other masters, then run again", what = _0))]
    MissingEntry(String),
    /// A mention of the source host would be carried over.
    #[error(
        "{}", tr!("line {line} still says {needle}: `{text}`; it is not known what that is for: change it on the source, or copy the file by hand, then run again", line = line, needle = needle, text = text))]
    Leftover {
        /// One-based line.
        line: usize,
        /// What was looked for.
        needle: String,
        /// The line.
        text: String,
    },
    /// Something that can't be edited without guessing.
    #[error("{}", tr!("line {line}: {why}; then run again", line = line, why = why))]
    Unclear {
        /// One-based line.
        line: usize,
        /// What is unclear, and what to do by hand.
        why: String,
    },
}
