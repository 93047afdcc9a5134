//! Trees of files: real tar streams, listings, moves into place.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{Done, complain, deep_enough, refused};
use crate::{
    practice::{
        files::{Entry, Errno, Files, Kind, sha256, size},
        host::Host,
    },
    remote::{
        op::Owner,
        tree::{TreeOp, staging},
    },
};

/// Types in what stat(2) calls the mode.
const FILE: u32 = 0o100_000;
const DIR: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Bytes in which a file is taken for text or not.
const SNIFFED: usize = 32 << 10;

/// Ids of those who are not root; a stream goes by names.
const SOMEBODY: u64 = 990;

pub fn run(host: &mut Host, op: &TreeOp, input: &[u8]) -> Done {
    match op {
        TreeOp::Pack { root, except } => pack(host, root, except),
        TreeOp::Unpack { root } => unpack(host, root, input),
        TreeOp::List { dir, except } => list(host, dir, except),
        TreeOp::Place { root, kept } => place(&mut host.files, root, kept),
        TreeOp::PutBack { root, kept } => put_back(&mut host.files, root, kept),
        TreeOp::Mentions { roots, except, words } => mentions(&host.files, roots, except, words),
    }
}

/// A directory and all below it that is not left out, by the path as `find .` shows it.
fn walk<'a>(files: &'a Files, dir: &Path, except: &[PathBuf]) -> Vec<(PathBuf, &'a Entry)> {
    let Some(real) = files.real(dir) else { return Vec::new() };
    let own = files.followed(dir).map(|e| (PathBuf::from("."), e));
    let below = files.below(dir).filter_map(|(path, entry)| {
        let rest = path.strip_prefix(&real).ok()?;
        let shown = dir.join(rest);
        let out = except.iter().any(|e| shown.starts_with(e)) || rest.to_string_lossy().contains('\n');
        (!out).then(|| (Path::new(".").join(rest), entry))
    });
    own.into_iter().chain(below).collect()
}

fn sibling(root: &Path, what: &str) -> PathBuf {
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    root.with_file_name(format!(".{name}.{what}"))
}

fn absent_mark(kept: &Path) -> PathBuf {
    let mut name = kept.as_os_str().to_owned();
    name.push(".absent");
    name.into()
}

fn pack(host: &Host, root: &Path, except: &[PathBuf]) -> Done {
    if !host.files.is_dir(root) {
        return Done::not_there();
    }
    match packed(&host.files, root, except) {
        Ok(bytes) => Done::out(bytes),
        Err(e) => Done::failed(2, format!("tar: {e}\n")),
    }
}

fn packed(files: &Files, root: &Path, except: &[PathBuf]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (shown, entry) in walk(files, root, except) {
        let mut header = tar::Header::new_gnu();
        let id = |name: &str| if name == "root" { 0 } else { SOMEBODY };
        header.set_mode(entry.mode);
        header.set_uid(id(&entry.owner.user));
        header.set_gid(id(&entry.owner.group));
        header.set_username(&entry.owner.user)?;
        header.set_groupname(&entry.owner.group)?;
        header.set_mtime(u64::try_from(entry.mtime).unwrap_or(0));
        header.set_size(0);
        match &entry.kind {
            Kind::File(bytes) => {
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, &shown, &bytes[..])?;
            }
            Kind::Dir => {
                header.set_entry_type(tar::EntryType::Directory);
                tar.append_data(&mut header, &shown, std::io::empty())?;
            }
            Kind::Link(to) => {
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, &shown, to)?;
            }
        }
    }
    tar.into_inner()
}

fn unpack(host: &mut Host, root: &Path, input: &[u8]) -> Done {
    if !deep_enough(root) {
        return refused(root);
    }
    let stage = staging(root);
    if let Err(e) = host.files.remove(&stage) {
        return complain(&format!("rm: cannot remove '{}'", stage.display()), e);
    }
    let made = root.parent().map_or(Ok(()), |d| host.files.make_dirs(d, 0o755));
    if let Err(e) = made.and_then(|()| host.files.make_dirs(&stage, 0o700)) {
        return complain(&format!("mkdir: cannot create directory '{}'", stage.display()), e);
    }
    match unpacked(&mut host.files, &stage, input) {
        Ok(()) => Done::default(),
        Err(why) => {
            // The shell's trap.
            let _ = host.files.remove(&stage);
            Done::failed(2, format!("{why}\n"))
        }
    }
}

fn unpacked(files: &mut Files, stage: &Path, input: &[u8]) -> Result<(), String> {
    let eof = || "tar: Unexpected EOF in archive\ntar: Error is not recoverable: exiting now".to_owned();
    if input.get(257..262) != Some(b"ustar") {
        return Err(
            "tar: This does not look like a tar archive\ntar: Exiting with failure status due to previous errors"
                .into(),
        );
    }
    if !input.ends_with(&[0; 512]) {
        return Err(eof());
    }
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().map_err(|_| eof())? {
        let mut entry = entry.map_err(|_| eof())?;
        let path = entry.path().map_err(|_| eof())?.into_owned();
        let rest: PathBuf = path.components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
        let target = if rest.as_os_str().is_empty() { stage.to_owned() } else { stage.join(rest) };
        let (kind, mode, owner, mtime) = {
            let header = entry.header();
            let name =
                |n: Option<Result<&str, std::str::Utf8Error>>| n.and_then(Result::ok).unwrap_or("root").to_owned();
            let owner =
                Owner { user: name(header.username().transpose()), group: name(header.groupname().transpose()) };
            let mtime = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
            (header.entry_type(), header.mode().unwrap_or(0o644), owner, mtime)
        };
        let kind = match kind {
            tar::EntryType::Directory => Kind::Dir,
            tar::EntryType::Symlink => {
                Kind::Link(entry.link_name().ok().flatten().map(std::borrow::Cow::into_owned).unwrap_or_default())
            }
            _ => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(|_| eof())?;
                Kind::File(bytes.into())
            }
        };
        if let Kind::File(bytes) = &kind {
            let needed = bytes.len() as u64;
            if files.free < needed.max(1) {
                return Err(format!(
                    "tar: {}: Cannot write: {}\ntar: Exiting with failure status due to previous errors",
                    path.display(),
                    Errno::NoSpace.words()
                ));
            }
            files.free -= needed;
        }
        files.lay(&target, Entry { kind, mode, owner, mtime });
    }
    Ok(())
}

fn known<'a>(name: &'a str, list: &BTreeSet<String>) -> &'a str {
    if list.contains(name) { name } else { "UNKNOWN" }
}

fn list(host: &Host, dir: &Path, except: &[PathBuf]) -> Done {
    if !host.files.is_dir(dir) {
        return Done::default();
    }
    let all = walk(&host.files, dir, except);
    let mut out = String::new();
    for (shown, entry) in &all {
        let kind = match entry.kind {
            Kind::File(_) => FILE,
            Kind::Dir => DIR,
            Kind::Link(_) => LINK,
        };
        let (user, group) = (known(&entry.owner.user, &host.users), known(&entry.owner.group, &host.groups));
        let _ = writeln!(
            out,
            "S {:x} {user} {group} {} {} {}",
            kind | entry.mode,
            size(entry),
            entry.mtime,
            shown.display()
        );
    }
    for (shown, entry) in &all {
        if let Some(sum) = sha256(entry) {
            let _ = writeln!(out, "H {sum}  {}", shown.display());
        }
    }
    for (shown, entry) in &all {
        if let Kind::Link(to) = &entry.kind {
            let _ = writeln!(out, "L {}\n{}", shown.display(), to.display());
        }
    }
    Done::out(out)
}

/// What was there is kept, once: an older one is never overwritten.
fn keep(files: &mut Files, old: &Path, kept: &Path) -> Result<(), Errno> {
    if files.followed(kept).is_some() || files.followed(&absent_mark(kept)).is_some() {
        files.remove(old)
    } else {
        files.rename(old, kept)
    }
}

fn place(files: &mut Files, root: &Path, kept: &Path) -> Done {
    if !deep_enough(root) || !deep_enough(kept) {
        return refused(root);
    }
    match placed(files, root, kept) {
        Ok(true) => Done::default(),
        Ok(false) => {
            Done { stderr: format!("nothing is staged at {}\n", staging(root).display()), ..Done::not_there() }
        }
        Err(e) => complain(&format!("mv: cannot move '{}' to '{}'", staging(root).display(), root.display()), e),
    }
}

fn placed(files: &mut Files, root: &Path, kept: &Path) -> Result<bool, Errno> {
    let (stage, old) = (staging(root), sibling(root, "banister-old"));
    if let Some(dir) = kept.parent() {
        files.make_dirs(dir, 0o700)?;
    }
    if !files.is_dir(&stage) {
        return Ok(false);
    }
    if files.followed(&old).is_some() {
        if files.followed(root).is_some() {
            keep(files, &old, kept)?;
        } else {
            files.rename(&old, root)?;
        }
    }
    if files.entry(root).is_some() {
        files.rename(root, &old)?;
        files.rename(&stage, root)?;
        keep(files, &old, kept)?;
    } else {
        if files.followed(kept).is_none() {
            files.put(&absent_mark(kept), bytes::Bytes::new(), 0o600, Owner::root())?;
        }
        files.rename(&stage, root)?;
    }
    Ok(true)
}

fn put_back(files: &mut Files, root: &Path, kept: &Path) -> Done {
    if !deep_enough(root) || !deep_enough(kept) {
        return refused(root);
    }
    match back(files, root, kept) {
        Ok(said) => Done { stderr: said, ..Done::default() },
        Err(e) => complain(&format!("mv: cannot move '{}' to '{}'", kept.display(), root.display()), e),
    }
}

fn back(files: &mut Files, root: &Path, kept: &Path) -> Result<String, Errno> {
    let (old, absent) = (sibling(root, "banister-old"), absent_mark(kept));
    let mut said = String::new();
    if files.followed(kept).is_some() {
        files.remove(root)?;
        files.rename(kept, root)?;
    } else if files.followed(&absent).is_some() {
        files.remove(root)?;
        files.remove(&absent)?;
    } else if files.followed(&old).is_some() {
        files.remove(root)?;
        files.rename(&old, root)?;
    } else {
        said = format!("{} was never replaced\n", root.display());
    }
    files.remove(&staging(root))?;
    files.remove(&old)?;
    Ok(said)
}

/// `grep -lIF`: text files that hold one of the words.
fn mentions(files: &Files, roots: &[PathBuf], except: &[PathBuf], words: &[String]) -> Done {
    let mut out = String::new();
    for root in roots.iter().filter(|r| files.is_dir(r)) {
        for (shown, entry) in walk(files, root, except) {
            let Kind::File(bytes) = &entry.kind else { continue };
            let binary = bytes[..bytes.len().min(SNIFFED)].contains(&0);
            let says = |w: &String| memchr::memmem::find(bytes, w.as_bytes()).is_some();
            if !binary && words.iter().any(says) {
                let path = root.join(shown.strip_prefix(".").unwrap_or(&shown));
                let _ = writeln!(out, "{}", path.display());
            }
        }
    }
    Done::out(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{HostName, Role},
        remote::tree::parse_listing,
    };

    fn host() -> Host {
        let address = "10.0.0.1".parse().unwrap();
        let mut host = Host::new(HostName::new("m"), address, Role::Original, 1 << 20, 1);
        host.users.insert("etcd".into());
        host.groups.insert("etcd".into());
        let files = &mut host.files;
        files.make_dirs(Path::new("/root"), 0o700).unwrap();
        files.make_dirs(Path::new("/etc/kubernetes/pki"), 0o755).unwrap();
        let put = |files: &mut Files, path: &str, text: &str, mode, owner: &str| {
            files.put(Path::new(path), text.to_owned().into(), mode, Owner::both(owner)).unwrap();
        };
        put(files, "/etc/kubernetes/a.conf", "10.0.0.1 is here", 0o640, "etcd");
        put(files, "/etc/kubernetes/bin", "\0 10.0.0.1", 0o755, "root");
        put(files, "/etc/kubernetes/pki/key", "secret", 0o600, "root");
        files.link(Path::new("/etc/kubernetes/link"), Path::new("a.conf")).unwrap();
        host
    }

    fn root() -> PathBuf {
        "/etc/kubernetes".into()
    }

    #[test]
    fn a_tree_arrives_as_it_was_sent() {
        let (mut from, mut to) = (host(), host());
        let except = vec![PathBuf::from("/etc/kubernetes/pki")];
        let pack = TreeOp::Pack { root: root(), except: except.clone() };
        let stream = run(&mut from, &pack, &[]).stdout;
        assert_eq!(run(&mut to, &TreeOp::Unpack { root: root() }, &stream), Done::default());
        let listed = |host: &mut Host, dir: PathBuf, except: Vec<PathBuf>| {
            let out = run(host, &TreeOp::List { dir, except }, &[]).stdout;
            parse_listing(&String::from_utf8(out).unwrap()).unwrap()
        };
        let theirs = listed(&mut from, root(), except);
        assert_eq!(theirs.len(), 4, "{theirs:?}");
        assert_eq!(theirs, listed(&mut to, staging(&root()), Vec::new()));
        assert_eq!(theirs[Path::new("a.conf")].mode, 0o100_640);
        assert_eq!(theirs[Path::new("link")].target.as_deref(), Some("a.conf"));

        let kept = PathBuf::from("/root/backup/x/etc/kubernetes");
        assert_eq!(run(&mut to, &TreeOp::Place { root: root(), kept: kept.clone() }, &[]), Done::default());
        assert!(to.files.entry(Path::new("/etc/kubernetes/pki")).is_none(), "what was there is not mixed in");
        assert!(to.files.entry(&kept.join("pki/key")).is_some());
        assert_eq!(run(&mut to, &TreeOp::PutBack { root: root(), kept }, &[]), Done::default());
        assert!(to.files.entry(Path::new("/etc/kubernetes/pki/key")).is_some());
    }

    #[test]
    fn half_a_stream_leaves_nothing_behind() {
        let mut host = host();
        let stream = run(&mut host, &TreeOp::Pack { root: root(), except: Vec::new() }, &[]).stdout;
        let done = run(&mut host, &TreeOp::Unpack { root: root() }, &stream[..stream.len() / 2]);
        assert_eq!(done.status, 2, "{done:?}");
        assert!(host.files.entry(&staging(&root())).is_none());
        let place = TreeOp::Place { root: root(), kept: "/root/backup/k".into() };
        assert_eq!(run(&mut host, &place, &[]).status, crate::remote::shell::NOT_THERE);
    }

    #[test]
    fn only_text_is_searched() {
        let mut host = host();
        let op = TreeOp::Mentions {
            roots: vec![root(), "/nowhere".into()],
            except: Vec::new(),
            words: vec!["10.0.0.1".into()],
        };
        assert_eq!(run(&mut host, &op, &[]).stdout, b"/etc/kubernetes/a.conf\n");
    }
}
