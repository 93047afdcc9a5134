//! Trees of files: packed on one host, unpacked on another, compared.
//!
//! Nothing is unpacked where it is to lie: it goes into a sibling directory first ([`staging`]), is compared there, and is
//! then moved into place by a rename, so that a line that breaks leaves nothing half-written.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    clean,
    shell::{NOT_THERE, deep_enough, q, qp, refuse},
};

/// Trees of files: packed on one host, unpacked on another, compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeOp {
    /// A tar stream of a directory and all in it on standard output, owners, modes, links, times and extended attributes
    /// included. Sockets, pipes, devices and other file systems are left out. Status 44 when there is no such directory.
    Pack {
        /// Which directory.
        root: PathBuf,
        /// Absolute paths that are left out, with all below them.
        except: Vec<PathBuf>,
    },
    /// Unpacks such a stream from standard input into the directory's [`staging`] sibling, made anew.
    Unpack {
        /// The directory it is for.
        root: PathBuf,
    },
    /// What a directory holds, as [`parse_listing`] reads it; nothing when there is no such directory.
    List {
        /// Which directory.
        dir: PathBuf,
        /// Absolute paths that are left out, with all below them.
        except: Vec<PathBuf>,
    },
    /// Moves what is staged into place; what was there is kept (once: an older one is never overwritten).
    Place {
        /// The directory.
        root: PathBuf,
        /// Where its old self goes; `KEPT.absent` says that there was none.
        kept: PathBuf,
    },
    /// Takes [`TreeOp::Place`] back. Does nothing where nothing was placed.
    PutBack {
        /// The directory.
        root: PathBuf,
        /// Where its old self was kept.
        kept: PathBuf,
    },
    /// Text files below directories that hold one of the words, one path a line.
    Mentions {
        /// Where to look; those that do not exist are passed over.
        roots: Vec<PathBuf>,
        /// Absolute paths that are left out, with all below them.
        except: Vec<PathBuf>,
        /// What to look for, as it stands.
        words: Vec<String>,
    },
}

/// Where a tree is unpacked before it is moved into place: a sibling, so that moving it is a rename.
pub fn staging(root: &Path) -> PathBuf {
    sibling(root, "banister")
}

fn sibling(root: &Path, what: &str) -> PathBuf {
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    root.with_file_name(format!(".{name}.{what}"))
}

/// Extended attributes where this tar knows them.
const XATTRS: &str = "x=; if tar --xattrs --version >/dev/null 2>&1; then x='--xattrs --xattrs-include=*'; fi";

impl TreeOp {
    /// The exact shell, see [`super::shell`].
    pub fn script(&self) -> String {
        match self {
            Self::Pack { root, except } => pack(root, except),
            Self::Unpack { root } => unpack(root),
            Self::List { dir, except } => list(dir, except),
            Self::Place { root, kept } => place(root, kept),
            Self::PutBack { root, kept } => put_back(root, kept),
            Self::Mentions { roots, except, words } => mentions(roots, except, words),
        }
    }

    /// One line for the log: what it does and to what. Never content.
    pub fn summary(&self) -> String {
        match self {
            Self::Pack { root, .. } => tr!("pack {root}", root = root.display()),
            Self::Unpack { root } => tr!("unpack into {root}", root = staging(root).display()),
            Self::List { dir, .. } => tr!("list {dir} with checksums", dir = dir.display()),
            Self::Place { root, kept } => {
                tr!(
                    "move {root} to {to}, the old one to {kept}",
                    root = staging(root).display(),
                    to = root.display(),
                    kept = kept.display()
                )
            }
            Self::PutBack { root, kept } => {
                tr!("put {root} back from {kept}", root = root.display(), kept = kept.display())
            }
            Self::Mentions { roots, words, .. } => {
                let roots: Vec<_> = roots.iter().map(|r| r.display().to_string()).collect();
                tr!("look for {words} in {roots}", words = words.join(", "), roots = roots.join(", "))
            }
        }
    }

    /// Whether it only looks.
    pub fn read_only(&self) -> bool {
        matches!(self, Self::Pack { .. } | Self::List { .. } | Self::Mentions { .. })
    }

    /// Most time it may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Pack { .. } | Self::Unpack { .. } => 1800,
            Self::List { .. } | Self::Place { .. } | Self::PutBack { .. } => 300,
            Self::Mentions { .. } => 120,
        })
    }
}

/// `-path … -prune -o` for what is left out, below `at`, which `find` shows as `as_seen`. A pattern's characters are
/// taken as they are. Names with a line break would break the listing, and no tree of the runbook has any.
fn pruned(at: &Path, as_seen: &str, except: &[PathBuf]) -> String {
    let mut out = String::from("-xdev \\( -type s -o -type p -o -type b -o -type c -o -name '*\n*'");
    for path in except.iter().filter_map(|p| p.strip_prefix(at).ok()) {
        let pattern: String = path.to_string_lossy().chars().flat_map(|c| escaped(c).chain([c])).collect();
        let _ = write!(out, " -o -path {}", q(&format!("{as_seen}/{pattern}")));
    }
    out + " \\) -prune -o"
}

fn escaped(c: char) -> std::option::IntoIter<char> {
    matches!(c, '*' | '?' | '[' | ']' | '\\').then_some('\\').into_iter()
}

fn pack(root: &Path, except: &[PathBuf]) -> String {
    // 1 says that a file changed or went while it was read: the comparison that follows finds out whether it matters.
    format!(
        "set -eu\n[ -d {r} ] || exit {NOT_THERE}\ncd {r}\n{XATTRS}\nset -f\nfind . {p} -print0 | tar --null --no-recursion --ignore-failed-read --format=posix $x -cf - -T - || [ $? = 1 ]",
        r = qp(root),
        p = pruned(root, ".", except),
    )
}

fn unpack(root: &Path) -> String {
    if !deep_enough(root) {
        return refuse(root);
    }
    format!(
        "set -eu\numask 022\ns={s}\nrm -rf --one-file-system -- \"$s\"\nmkdir -p -- {d}\nmkdir -m 0700 -- \"$s\"\ntrap 'rm -rf -- \"$s\"' EXIT\n{XATTRS}\nset -f\ntar $x --same-owner -xpf - -C \"$s\"\nsync\ntrap - EXIT",
        s = qp(&staging(root)),
        d = root.parent().map(qp).unwrap_or_default(),
    )
}

fn list(dir: &Path, except: &[PathBuf]) -> String {
    format!(
        "[ -d {d} ] || exit 0\nset -e\ncd {d}\nfind . {p} -exec stat -c 'S %f %U %G %s %Y %n' {{}} +\nfind . {p} -type f -exec sha256sum {{}} + | sed 's/^/H /'\nfind . {p} -type l -exec sh -c 'for l; do printf \"L %s\\n%s\\n\" \"$l\" \"$(readlink -- \"$l\")\"; done' sh {{}} +",
        d = qp(dir),
        p = pruned(dir, ".", except),
    )
}

/// What was there is moved beside first and kept only then: that may go to another file system, which takes time, and
/// meanwhile the new tree already stands. A directory that is a mount point can't be renamed: its content is moved.
fn place(root: &Path, kept: &Path) -> String {
    if !deep_enough(root) || !deep_enough(kept) {
        return refuse(root);
    }
    format!(
        "set -eu\numask 077\nr={r}\ns={s}\no={o}\nk={k}\nmkdir -p -- {kd}\nkeep() {{ if [ -e \"$k\" ] || [ -e \"$k.absent\" ]; then rm -rf --one-file-system -- \"$1\"; else mv -- \"$1\" \"$k\"; fi; }}\n[ -d \"$s\" ] || {{ echo \"nothing is staged at $s\" >&2; exit {NOT_THERE}; }}\nif [ -e \"$o\" ]; then if [ -e \"$r\" ]; then keep \"$o\"; else mv -- \"$o\" \"$r\"; fi; fi\nif mountpoint -q -- \"$r\" 2>/dev/null; then\n  mkdir -m 0700 -- \"$o\"\n  find \"$r\" -mindepth 1 -maxdepth 1 ! -name lost+found -exec mv -t \"$o\" -- {{}} +\n  cp -a -- \"$s/.\" \"$r/\"\n  rm -rf -- \"$s\"\n  keep \"$o\"\nelif [ -e \"$r\" ] || [ -L \"$r\" ]; then\n  mv -T -- \"$r\" \"$o\"\n  mv -T -- \"$s\" \"$r\"\n  keep \"$o\"\nelse\n  [ -e \"$k\" ] || : > \"$k.absent\"\n  mv -T -- \"$s\" \"$r\"\nfi\nsync",
        r = qp(root),
        s = qp(&staging(root)),
        o = qp(&sibling(root, "banister-old")),
        k = qp(kept),
        kd = kept.parent().map(qp).unwrap_or_default(),
    )
}

fn put_back(root: &Path, kept: &Path) -> String {
    if !deep_enough(root) || !deep_enough(kept) {
        return refuse(root);
    }
    format!(
        "set -eu\numask 077\nr={r}\no={o}\nk={k}\nclear() {{ if mountpoint -q -- \"$r\" 2>/dev/null; then find \"$r\" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf --one-file-system -- {{}} +; else rm -rf --one-file-system -- \"$r\"; fi; }}\nif [ -e \"$k\" ]; then\n  clear\n  if [ -d \"$r\" ]; then cp -a -- \"$k/.\" \"$r/\"; rm -rf -- \"$k\"; else mv -T -- \"$k\" \"$r\"; fi\nelif [ -e \"$k.absent\" ]; then\n  clear\n  rm -f -- \"$k.absent\"\nelif [ -e \"$o\" ]; then\n  if mountpoint -q -- \"$r\" 2>/dev/null; then cp -a -- \"$o/.\" \"$r/\"; else clear; mv -T -- \"$o\" \"$r\"; fi\nelse\n  echo \"$r was never replaced\" >&2\nfi\nrm -rf --one-file-system -- {s} \"$o\"\nsync",
        r = qp(root),
        o = qp(&sibling(root, "banister-old")),
        s = qp(&staging(root)),
        k = qp(kept),
    )
}

fn mentions(roots: &[PathBuf], except: &[PathBuf], words: &[String]) -> String {
    let words = words.iter().fold(String::new(), |out, w| out + " -e " + &q(w));
    let mut script = String::from("set -e\n");
    for root in roots {
        // grep's 1 is "found nothing".
        let _ = writeln!(
            script,
            "[ ! -d {r} ] || find {r} {p} -type f -exec sh -c 'grep -lIF{words_in} -- \"$@\" || [ $? = 1 ]' sh {{}} +",
            r = qp(root),
            p = pruned(root, &root.to_string_lossy(), except),
            words_in = words.replace('\'', "'\\''"),
        );
    }
    script
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Type and permission bits, as stat(2) gives them.
    pub mode: u32,
    /// Owner's name.
    pub user: String,
    /// Group's name.
    pub group: String,
    /// Size in bytes; 0 for anything but a file.
    pub size: u64,
    /// Seconds since the epoch.
    pub mtime: i64,
    /// sha256 of a file, lower-case hex.
    pub sha256: Option<String>,
    /// Where a link points.
    pub target: Option<String>,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Whether both are the same but for their times. A link has no mode of its own.
    pub fn same(&self, other: &Self) -> bool {
        let mode = |e: &Self| if e.target.is_some() { 0 } else { e.mode };
        (mode(self), &self.user, &self.group, &self.sha256, &self.target)
            == (mode(other), &other.user, &other.group, &other.sha256, &other.target)
    }
}

/// What a directory holds, by the path below it; the directory itself is the empty path.
pub type Listing = BTreeMap<PathBuf, Entry>;

/// Reads what [`TreeOp::List`] prints. `None` when it makes no sense, such as an answer that was cut off.
pub fn parse_listing(stdout: &str) -> Option<Listing> {
    let mut listing = Listing::new();
    let below = |shown: &str| -> PathBuf {
        let shown = clean::line(shown);
        Path::new(&shown).strip_prefix(".").map_or_else(|_| PathBuf::from(&shown), Path::to_owned)
    };
    let mut lines = stdout.lines();
    while let Some(line) = lines.next() {
        match line.split_at_checked(2)? {
            ("S ", rest) => {
                let fields: Vec<_> = rest.splitn(6, ' ').collect();
                let [mode, user, group, size, mtime, path] = fields.try_into().ok()?;
                let mode = u32::from_str_radix(mode, 16).ok()?;
                let mut entry = Entry {
                    mode,
                    user: clean::line(user),
                    group: clean::line(group),
                    size: size.parse().ok()?,
                    mtime: mtime.parse().ok()?,
                    sha256: None,
                    target: None,
                };
                entry.size *= u64::from(entry.is_file());
                listing.insert(below(path), entry);
            }
            ("H ", rest) => {
                // A leading backslash says that backslashes in the name are doubled.
                let (rest, odd) = rest.strip_prefix('\\').map_or((rest, false), |r| (r, true));
                let (sum, path) = rest.split_at_checked(66)?;
                let path = if odd { path.replace("\\\\", "\\") } else { path.to_owned() };
                listing.get_mut(&below(&path))?.sha256 = Some(sum.trim_end_matches([' ', '*']).to_owned());
            }
            ("L ", rest) => listing.get_mut(&below(rest))?.target = Some(clean::line(lines.next()?)),
            _ => return None,
        }
    }
    Some(listing)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
