//! Operations that change files.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{Done, complain, deep_enough, refused, sh};
use crate::{
    practice::{
        files::{Errno, Files, Kind},
        host::Host,
    },
    remote::op::{Owner, sha256_hex},
};

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The dotfile beside a target that is written first.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.banister"))
}

fn known(host: &Host, owner: &Owner) -> Option<Done> {
    if !host.users.contains(&owner.user) {
        return Some(Done::failed(1, format!("chown: invalid user: '{owner}'\n")));
    }
    let group = host.groups.contains(&owner.group);
    (!group).then(|| Done::failed(1, format!("chown: invalid group: '{owner}'\n")))
}

/// `mkdir -p` names the part that is in the way, or the first one that it could not make.
pub fn no_dir(files: &Files, dir: &Path, why: Errno) -> Done {
    let (part, words) = if why == Errno::NotDir {
        let part = dir.ancestors().find(|p| files.followed(p).is_some_and(|e| e.kind != Kind::Dir)).unwrap_or(dir);
        (part, if part == dir { "File exists" } else { why.words() })
    } else {
        (dir.ancestors().take_while(|p| files.followed(p).is_none()).last().unwrap_or(dir), why.words())
    };
    Done::failed(1, format!("mkdir: cannot create directory '{}': {words}\n", part.display()))
}

/// Keeps the old file once.
fn keep_old(host: &mut Host, file: &Path, backup: &Path) -> Result<(), Done> {
    let none = suffixed(backup, ".absent");
    if host.files.entry(backup).is_some() || host.files.entry(&none).is_some() {
        return Ok(());
    }
    let dir = backup.parent().unwrap_or(Path::new("/"));
    let made = host.files.make_dirs(dir, 0o700);
    made.map_err(|e| no_dir(&host.files, dir, e))?;
    if host.files.entry(file).is_some() {
        let copied = host.files.copy(file, backup, None);
        copied.map_err(|e| complain(&format!("cp: cannot create regular file '{}'", backup.display()), e))
    } else {
        let put = host.files.put(&none, Bytes::new(), 0o600, Owner::root());
        put.map_err(|e| Done::failed(2, sh(10, &format!("cannot create {}: {}", none.display(), dash(e)))))
    }
}

/// dash has a word of its own for two of them.
fn dash(error: Errno) -> &'static str {
    if matches!(error, Errno::NotThere | Errno::NotDir) { "Directory nonexistent" } else { error.words() }
}

/// The file as a whole or not at all.
pub fn write(
    host: &mut Host,
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: &Owner,
    sha256: &str,
    backup: Option<&Path>,
) -> Done {
    let file = host.files.real(path).unwrap_or_else(|| path.to_owned());
    if let Some(backup) = backup
        && let Err(done) = keep_old(host, &file, backup)
    {
        return done;
    }
    let temporary = beside(&file);
    if let Err(e) = host.files.put(&temporary, Bytes::copy_from_slice(bytes), mode, owner.clone()) {
        return match e {
            Errno::NoSpace => Done::failed(1, format!("cat: write error: {}\n", e.words())),
            e => {
                let line = if backup.is_some() { 14 } else { 7 };
                Done::failed(2, sh(line, &format!("cannot create {}: {}", temporary.display(), dash(e))))
            }
        };
    }
    // From here on the shell's trap removes what is half done.
    let failed = if sha256_hex(bytes) == sha256 {
        known(host, owner)
    } else {
        Some(Done::failed(1, "content did not arrive whole\n"))
    };
    if let Some(done) = failed {
        let _ = host.files.remove(&temporary);
        return done;
    }
    put_over(host, &temporary, &file).err().unwrap_or_default()
}

/// `mv -fT` of what is written beside its target; on failure the shell's trap removes it.
fn put_over(host: &mut Host, temporary: &Path, target: &Path) -> Result<(), Done> {
    let done = if host.files.is_dir(target) {
        Err(Done::failed(1, format!("mv: cannot overwrite directory '{}' with non-directory\n", target.display())))
    } else {
        let moved = host.files.rename(temporary, target);
        moved.map_err(|e| complain(&format!("mv: cannot move '{}' to '{}'", temporary.display(), target.display()), e))
    };
    if done.is_err() {
        let _ = host.files.remove(temporary);
    }
    done
}

pub fn make_dir(host: &mut Host, path: &Path, mode: u32, owner: &Owner) -> Done {
    if let Err(e) = host.files.make_dirs(path, 0o755) {
        return no_dir(&host.files, path, e);
    }
    if let Some(done) = known(host, owner) {
        return done;
    }
    match host.files.set(path, mode, owner) {
        Ok(()) => Done::default(),
        Err(e) => complain(&format!("chown: changing ownership of '{}'", path.display()), e),
    }
}

pub fn remove(host: &mut Host, paths: &[PathBuf]) -> Done {
    let mut done = Done::default();
    for path in paths {
        let why = match host.files.entry(path).map(|e| e.kind == Kind::Dir) {
            Some(true) => Some(Errno::IsDir),
            _ => host.files.remove(path).err(),
        };
        if let Some(e) = why {
            done.status = 1;
            let _ = writeln!(done.stderr, "rm: cannot remove '{}': {}", path.display(), e.words());
        }
    }
    done
}

pub fn remove_tree(host: &mut Host, path: &Path) -> Done {
    if !deep_enough(path) {
        return refused(path);
    }
    match host.files.remove(path) {
        Ok(()) => Done::default(),
        Err(e) => complain(&format!("rm: cannot remove '{}'", path.display()), e),
    }
}

pub fn remove_empty_dir(host: &mut Host, path: &Path) -> Done {
    if !host.files.is_dir(path) || !host.files.children(path).is_empty() {
        return Done::default();
    }
    match host.files.remove(path) {
        Ok(()) => Done::default(),
        Err(e) => complain(&format!("rmdir: failed to remove '{}'", path.display()), e),
    }
}

pub fn set_aside(host: &mut Host, dir: &Path, to: &Path) -> Done {
    if !deep_enough(dir) || !deep_enough(to) {
        return refused(dir);
    }
    if !host.files.is_dir(dir) {
        return Done::default();
    }
    if let Err(e) = host.files.make_dirs(to, 0o700) {
        return no_dir(&host.files, to, e);
    }
    for child in host.files.children(dir) {
        let target = to.join(child.file_name().unwrap_or_default());
        if let Err(e) = host.files.rename(&child, &target) {
            return complain(&format!("mv: cannot move '{}' to '{}'", child.display(), target.display()), e);
        }
    }
    Done::default()
}

pub fn restore(host: &mut Host, path: &Path, backup: &Path) -> Done {
    let none = suffixed(backup, ".absent");
    if host.files.followed(backup).is_some() {
        let temporary = beside(path);
        let cannot = |e| complain(&format!("cp: cannot create regular file '{}'", temporary.display()), e);
        let copied = host.files.copy(backup, &temporary, None).map_err(cannot);
        let put_back = copied.and_then(|()| put_over(host, &temporary, path));
        let kept = put_back.and_then(|()| host.files.rename(backup, &suffixed(backup, ".restored")).map_err(cannot));
        return kept.err().unwrap_or_default();
    }
    if host.files.followed(&none).is_some() {
        return remove(host, &[path.to_owned(), none]);
    }
    Done { stderr: format!("no backup at {}\n", backup.display()), ..Done::not_there() }
}

pub fn backup(host: &mut Host, from: &[PathBuf], except: &Path, to: &Path) -> Done {
    if host.files.followed(&to.join("SHA256SUMS")).is_some() {
        return Done::default();
    }
    let partial = suffixed(to, ".partial");
    match copy_trees(host, from, except, &partial, to) {
        Ok(()) => Done::default(),
        Err(done) => done,
    }
}

fn copy_trees(host: &mut Host, from: &[PathBuf], except: &Path, partial: &Path, to: &Path) -> Result<(), Done> {
    let at = |what: &str, path: &Path| {
        let what = format!("{what} '{}'", path.display());
        move |e| complain(&what, e)
    };
    host.files.remove(partial).map_err(at("rm: cannot remove", partial))?;
    host.files.make_dirs(partial, 0o700).map_err(|e| no_dir(&host.files, partial, e))?;
    let mut sums = String::new();
    for root in from.iter().filter(|p| host.files.followed(p).is_some()).cloned().collect::<Vec<_>>() {
        let below = root.strip_prefix("/").unwrap_or(&root);
        let target = partial.join(below);
        // tar makes the directories on the way without saying what they were.
        if let Some(dir) = target.parent() {
            host.files.make_dirs(dir, 0o700).map_err(at("tar: cannot mkdir", dir))?;
        }
        host.files.copy(&root, &target, Some(except)).map_err(at("tar: cannot write", &target))?;
        let own = host.files.entry(&root).into_iter().map(|e| (&root, e));
        for (path, entry) in own.chain(host.files.below(&root)) {
            if let Kind::File(bytes) = &entry.kind
                && !path.starts_with(except)
            {
                let _ = writeln!(sums, "{}  .{}", sha256_hex(bytes), path.display());
            }
        }
    }
    let file = partial.join("SHA256SUMS");
    host.files.put(&file, sums.into(), 0o600, Owner::root()).map_err(at("sh: cannot create", &file))?;
    if let Some(dir) = to.parent() {
        host.files.make_dirs(dir, 0o700).map_err(|e| no_dir(&host.files, dir, e))?;
    }
    host.files.rename(partial, to).map_err(at("mv: cannot move", partial))
}
