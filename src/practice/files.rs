//! A host's file system: directories, files and links with owner, mode and time, and the errors of the usual tools.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;

use crate::remote::op::{Owner, sha256_hex};

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File(Bytes),
    /// A directory.
    Dir,
    /// A symbolic link and where it points.
    Link(PathBuf),
}

/// An entry of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// User and group name.
    pub owner: Owner,
    /// Modification time, seconds since the epoch.
    pub mtime: i64,
}

/// Why something could not be done, in the words of the C library (`LC_ALL=C`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// ENOENT.
    NotThere,
    /// EROFS.
    ReadOnly,
    /// ENOSPC.
    NoSpace,
    /// EISDIR.
    IsDir,
    /// ENOTDIR.
    NotDir,
}

impl Errno {
    /// The message of strerror(3).
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotThere => "No such file or directory",
            Self::ReadOnly => "Read-only file system",
            Self::NoSpace => "No space left on device",
            Self::IsDir => "Is a directory",
            Self::NotDir => "Not a directory",
        }
    }
}

/// All files of a host.
#[derive(Debug, Clone)]
pub struct Files {
    entries: BTreeMap<PathBuf, Entry>,
    /// Mounted read-only.
    pub read_only: bool,
    /// Free bytes.
    pub free: u64,
    /// Changes so far, for those who watch a directory.
    pub changes: u64,
    /// The host's time of day, seconds since the epoch, for what is made now.
    pub now: i64,
}

/// Links followed before a loop is assumed (Linux: 40).
const MOST_LINKS: usize = 40;

impl Files {
    /// An empty root with that many bytes free.
    pub fn new(free: u64, now: i64) -> Self {
        let root = Entry { kind: Kind::Dir, mode: 0o755, owner: Owner::root(), mtime: now };
        Self { entries: BTreeMap::from([(PathBuf::from("/"), root)]), read_only: false, free, changes: 0, now }
    }

    /// What lies there, a last link not followed.
    pub fn entry(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(&self.real_parent(path)?)
    }

    /// What lies there, links followed.
    pub fn followed(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(&self.real(path)?)
    }

    /// The path with every link followed; `None` for a loop. What does not exist stays as it is.
    pub fn real(&self, path: &Path) -> Option<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let parent = self.real_parent(&path)?;
            match self.entries.get(&parent) {
                Some(Entry { kind: Kind::Link(to), .. }) => {
                    path = parent.parent().unwrap_or(Path::new("/")).join(to);
                }
                _ => return Some(parent),
            }
        }
        None
    }

    /// The path with links followed in all but its last part, `.` and `..` taken out.
    fn real_parent(&self, path: &Path) -> Option<PathBuf> {
        let mut real = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = parts(path);
        rest.reverse();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part.as_os_str() == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&part);
            match self.entries.get(&next) {
                Some(Entry { kind: Kind::Link(to), .. }) if !rest.is_empty() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    if to.is_absolute() {
                        real = PathBuf::from("/");
                    }
                    rest.extend(parts(to).into_iter().rev());
                }
                _ => real = next,
            }
        }
        Some(real)
    }

    /// A file's bytes, links followed.
    pub fn read(&self, path: &Path) -> Result<Bytes, Errno> {
        match self.followed(path).map(|e| &e.kind) {
            Some(Kind::File(bytes)) => Ok(bytes.clone()),
            Some(_) => Err(Errno::IsDir),
            None => Err(Errno::NotThere),
        }
    }

    /// A file's text; `None` where there is no file.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        self.read(path.as_ref()).ok().map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    /// Whether a directory lies there, links followed.
    pub fn is_dir(&self, path: &Path) -> bool {
        self.followed(path).is_some_and(|e| e.kind == Kind::Dir)
    }

    /// Whether an executable file lies there.
    pub fn is_program(&self, path: &Path) -> bool {
        self.followed(path).is_some_and(|e| matches!(e.kind, Kind::File(_)) && e.mode & 0o111 != 0)
    }

    /// What lies below a directory, by path; links to directories are not walked into.
    pub fn below<'a>(&'a self, dir: &Path) -> impl Iterator<Item = (&'a PathBuf, &'a Entry)> + use<'a> {
        let dir = self.real(dir).unwrap_or_else(|| dir.to_owned());
        let start = dir.clone();
        self.entries.range(start..).take_while(move |(p, _)| p.starts_with(&dir)).skip(1)
    }

    /// What lies right in a directory.
    pub fn children(&self, dir: &Path) -> Vec<PathBuf> {
        let real = self.real(dir).unwrap_or_else(|| dir.to_owned());
        self.below(dir).map(|(p, _)| p).filter(|p| p.parent() == Some(&real)).cloned().collect()
    }

    /// Whether anything may be changed.
    pub fn writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::ReadOnly) } else { Ok(()) }
    }

    /// Puts a file, in place of what lies there; its directory must exist.
    pub fn put(&mut self, path: &Path, bytes: Bytes, mode: u32, owner: Owner) -> Result<(), Errno> {
        self.writable()?;
        let path = self.real_parent(path).ok_or(Errno::NotThere)?;
        match path.parent().and_then(|d| self.entries.get(d)).map(|e| &e.kind) {
            Some(Kind::Dir) => {}
            Some(_) => return Err(Errno::NotDir),
            None => return Err(Errno::NotThere),
        }
        let size = bytes.len() as u64;
        let freed = match self.entries.get(&path) {
            Some(Entry { kind: Kind::File(old), .. }) => old.len() as u64,
            Some(Entry { kind: Kind::Dir, .. }) => return Err(Errno::IsDir),
            _ => 0,
        };
        // The new file is written beside the old one before it takes its place.
        if self.free < size.max(1) {
            return Err(Errno::NoSpace);
        }
        self.free = self.free - size + freed;
        let entry = Entry { kind: Kind::File(bytes), mode, owner, mtime: self.now };
        self.entries.insert(path, entry);
        self.changes += 1;
        Ok(())
    }

    /// Puts an entry as it is, its directories made root's; for laying a host out.
    pub fn lay(&mut self, path: &Path, entry: Entry) {
        if let Some(dir) = path.parent() {
            self.lay_dirs(dir);
        }
        self.entries.insert(path.to_owned(), entry);
        self.changes += 1;
    }

    fn lay_dirs(&mut self, dir: &Path) {
        if !self.entries.contains_key(dir) {
            if let Some(up) = dir.parent() {
                self.lay_dirs(up);
            }
            let entry = Entry { kind: Kind::Dir, mode: 0o755, owner: Owner::root(), mtime: self.now };
            self.entries.insert(dir.to_owned(), entry);
        }
    }

    /// `mkdir -p` with that mode for what is made.
    pub fn make_dirs(&mut self, dir: &Path, mode: u32) -> Result<(), Errno> {
        let real = self.real(dir).ok_or(Errno::NotThere)?;
        match self.entries.get(&real).map(|e| &e.kind) {
            Some(Kind::Dir) => return Ok(()),
            Some(_) => return Err(Errno::NotDir),
            None => {}
        }
        self.writable()?;
        if let Some(up) = real.parent() {
            self.make_dirs(up, mode)?;
        }
        if self.free == 0 {
            return Err(Errno::NoSpace);
        }
        self.entries.insert(real, Entry { kind: Kind::Dir, mode, owner: Owner::root(), mtime: self.now });
        Ok(())
    }

    /// chmod and chown, links followed.
    pub fn set(&mut self, path: &Path, mode: u32, owner: &Owner) -> Result<(), Errno> {
        let real = self.real(path).ok_or(Errno::NotThere)?;
        if let Some(entry) = self.entries.get(&real)
            && entry.mode == mode
            && entry.owner == *owner
        {
            return Ok(());
        }
        self.writable()?;
        let entry = self.entries.get_mut(&real).ok_or(Errno::NotThere)?;
        (entry.mode, entry.owner) = (mode, owner.clone());
        Ok(())
    }

    /// Makes a symbolic link in place of what lies there.
    pub fn link(&mut self, path: &Path, to: &Path) -> Result<(), Errno> {
        self.writable()?;
        if let Some(dir) = path.parent() {
            self.make_dirs(dir, 0o755)?;
        }
        let entry = Entry { kind: Kind::Link(to.to_owned()), mode: 0o777, owner: Owner::root(), mtime: self.now };
        self.entries.insert(self.real_parent(path).ok_or(Errno::NotThere)?, entry);
        self.changes += 1;
        Ok(())
    }

    /// Removes what lies there and all below it; nothing there is no error.
    pub fn remove(&mut self, path: &Path) -> Result<(), Errno> {
        let Some(real) = self.real_parent(path).filter(|r| self.entries.contains_key(r)) else { return Ok(()) };
        self.writable()?;
        let gone: Vec<_> = self.entries.range(real.clone()..).take_while(|(p, _)| p.starts_with(&real)).collect();
        let freed: u64 = gone.iter().map(|(_, e)| held(e)).sum();
        let gone: Vec<_> = gone.into_iter().map(|(p, _)| p.clone()).collect();
        for path in gone {
            self.entries.remove(&path);
        }
        self.free += freed;
        self.changes += 1;
        Ok(())
    }

    /// `mv`: an entry and all below it under another name, in place of a file that lies there.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Errno> {
        self.writable()?;
        let (from, to) = (self.real_parent(from).ok_or(Errno::NotThere)?, self.real_parent(to).ok_or(Errno::NotThere)?);
        if !self.entries.contains_key(&from) {
            return Err(Errno::NotThere);
        }
        if from == to {
            return Ok(());
        }
        self.remove(&to)?;
        self.changes += 1;
        let moved: Vec<_> =
            self.entries.range(from.clone()..).map(|(p, _)| p.clone()).take_while(|p| p.starts_with(&from)).collect();
        for path in moved {
            if let (Some(entry), Ok(rest)) = (self.entries.remove(&path), path.strip_prefix(&from)) {
                let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                self.entries.insert(target, entry);
            }
        }
        Ok(())
    }

    /// `cp -a`: an entry and all below it, owner, mode and time kept; `except` and all below it is left out.
    pub fn copy(&mut self, from: &Path, to: &Path, except: Option<&Path>) -> Result<(), Errno> {
        self.writable()?;
        let from = self.real_parent(from).ok_or(Errno::NotThere)?;
        let copied: Vec<_> = self
            .entries
            .range(from.clone()..)
            .take_while(|(p, _)| p.starts_with(&from))
            .filter(|(p, _)| except.is_none_or(|e| !p.starts_with(e)))
            .map(|(p, e)| (p.clone(), e.clone()))
            .collect();
        if copied.is_empty() {
            return Err(Errno::NotThere);
        }
        let needed: u64 = copied.iter().map(|(_, e)| held(e)).sum();
        if self.free < needed.max(1) {
            return Err(Errno::NoSpace);
        }
        self.free -= needed;
        self.changes += 1;
        for (path, entry) in copied {
            if let Ok(rest) = path.strip_prefix(&from) {
                let target = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
                self.entries.insert(target, entry);
            }
        }
        Ok(())
    }
}

/// The names of a path; a leading `/` and any `.` are left out.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    named.map(|c| PathBuf::from(c.as_os_str())).collect()
}

/// What `stat` calls the size; a directory's is a block.
pub fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File(bytes) => bytes.len() as u64,
        Kind::Dir => 4096,
        Kind::Link(to) => to.as_os_str().len() as u64,
    }
}

/// The space it takes.
fn held(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File(bytes) => bytes.len() as u64,
        Kind::Dir | Kind::Link(_) => 0,
    }
}

/// sha256 of a regular file.
pub fn sha256(entry: &Entry) -> Option<String> {
    match &entry.kind {
        Kind::File(bytes) => Some(sha256_hex(bytes)),
        Kind::Dir | Kind::Link(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let mut files = Files::new(1000, 5);
        files.make_dirs(Path::new("/etc/a"), 0o755).unwrap();
        files
    }

    fn put(files: &mut Files, path: &str, text: &str) -> Result<(), Errno> {
        files.put(Path::new(path), Bytes::copy_from_slice(text.as_bytes()), 0o644, Owner::root())
    }

    #[test]
    fn links_are_followed_where_the_tools_follow_them() {
        let mut files = files();
        put(&mut files, "/etc/a/f", "one").unwrap();
        files.link(Path::new("/var/l"), Path::new("../etc/a")).unwrap();
        files.link(Path::new("/var/m"), Path::new("m")).unwrap();
        assert_eq!(files.text("/var/l/f").as_deref(), Some("one"));
        assert_eq!(files.real(Path::new("/var/l")), Some(PathBuf::from("/etc/a")));
        assert!(matches!(files.entry(Path::new("/var/l")).map(|e| &e.kind), Some(Kind::Link(_))));
        assert_eq!(files.real(Path::new("/var/m")), None, "a loop");
    }

    #[test]
    fn space_is_taken_and_given_back() {
        let mut files = files();
        assert_eq!(put(&mut files, "/etc/a/big", &"x".repeat(1001)), Err(Errno::NoSpace));
        put(&mut files, "/etc/a/big", &"x".repeat(900)).unwrap();
        assert_eq!(files.copy(Path::new("/etc/a"), Path::new("/etc/b"), None), Err(Errno::NoSpace));
        files.remove(Path::new("/etc/a/big")).unwrap();
        assert_eq!(files.free, 1000);
        files.read_only = true;
        assert_eq!(put(&mut files, "/etc/a/x", "x"), Err(Errno::ReadOnly));
        assert_eq!(put(&mut files, "/nowhere/x", "x"), Err(Errno::ReadOnly));
    }

    #[test]
    fn a_moved_tree_keeps_what_is_below_and_replaces_a_file() {
        let mut files = files();
        put(&mut files, "/etc/a/f", "one").unwrap();
        files.rename(Path::new("/etc/a"), Path::new("/etc/c")).unwrap();
        assert_eq!(files.text("/etc/c/f").as_deref(), Some("one"));
        assert!(files.entry(Path::new("/etc/a")).is_none());
        assert_eq!(put(&mut files, "/nowhere/x", "x"), Err(Errno::NotThere));
    }
}
