//! A drill's files in a directory of the operator's machine: what is done to them there is done to the practice hosts.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::practice::Practice;

/// The files, and the directory they lie in; it goes when this does.
#[derive(Debug)]
pub(super) struct Outside {
    dir: PathBuf,
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    /// `HOST:PATH`.
    name: String,
    /// Here.
    path: PathBuf,
    /// What both sides had when they were last the same; `None` for no file.
    same: Option<String>,
    /// What was here at the last look, and whether that was something else: an editor may be in the middle of it.
    seen: Option<String>,
    begun: bool,
}

impl Outside {
    /// Lays them out, for nobody else to read: keys may be among them.
    ///
    /// # Errors
    /// Where there is no room, or the directory is there already.
    pub fn lay(names: Vec<String>, practice: &Practice) -> io::Result<Self> {
        Self::lay_in(std::env::temp_dir().join(format!("banister-drill-{}", std::process::id())), names, practice)
    }

    fn lay_in(dir: PathBuf, names: Vec<String>, practice: &Practice) -> io::Result<Self> {
        private().create(&dir)?;
        let mut outside = Self { dir, files: Vec::new() };
        for name in names {
            let (host, path) = name.split_once(':').unwrap_or((&name, ""));
            let path = outside.dir.join(host).join(path.trim_start_matches('/'));
            private().recursive(true).create(path.parent().unwrap_or(&outside.dir))?;
            let same = practice.read_text(&name).ok();
            put(&path, same.as_deref())?;
            outside.files.push(File { name, path, same, seen: None, begun: false });
        }
        Ok(outside)
    }

    /// Where they lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Brings both sides together. What came of it, where something was done here since: `Err` with the words of whoever
    /// refused it.
    pub fn look(&mut self, practice: &Practice) -> Option<Result<(), String>> {
        let mut done: Option<Result<(), String>> = None;
        for file in &mut self.files {
            let (here, there) = (fs::read_to_string(&file.path).ok(), practice.read_text(&file.name).ok());
            if here == there {
                (file.same, file.begun) = (here, false);
            } else if here == file.same {
                // Changed on the host. A file that cannot be written here is no reason to stop.
                let _ = put(&file.path, there.as_deref());
                (file.same, file.begun) = (there, false);
            } else if file.begun && file.seen == here {
                // The same twice: whoever writes has finished.
                let did = match &here {
                    Some(text) => practice.write_text(&file.name, text),
                    None => practice.remove_file(&file.name),
                };
                if done.as_ref().is_none_or(Result::is_ok) {
                    done = Some(did);
                }
                (file.same, file.begun) = (here, false);
            } else {
                (file.seen, file.begun) = (here, true);
            }
        }
        done
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn private() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

fn put(path: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else {
        return fs::remove_file(path).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) });
    };
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::practice::{Options, Scenario, build};

    const NAME: &str = "master02:/var/lib/calico/nodename";

    fn laid() -> (tempfile::TempDir, Practice, Outside, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let practice = build(&Scenario::find("growth").unwrap(), Options::default()).unwrap();
        let outside = Outside::lay_in(home.path().join("drill"), vec![NAME.into()], &practice).unwrap();
        let path = outside.dir().join("master02/var/lib/calico/nodename");
        (home, practice, outside, path)
    }

    #[test]
    fn what_is_saved_in_another_terminal_is_done_to_the_host_once_it_is_whole() {
        let (_home, practice, mut outside, path) = laid();
        assert_eq!(outside.look(&practice), None, "nothing was done yet");
        fs::write(&path, "half").unwrap();
        assert_eq!(outside.look(&practice), None, "it may be half written");
        fs::write(&path, "whole\n").unwrap();
        assert_eq!(outside.look(&practice), None);
        assert_eq!(outside.look(&practice), Some(Ok(())));
        assert_eq!(practice.read_text(NAME).unwrap(), "whole\n");
        assert_eq!(outside.look(&practice), None, "done once");
        fs::remove_file(&path).unwrap();
        assert_eq!(outside.look(&practice), None);
        assert_eq!(outside.look(&practice), Some(Ok(())));
        assert!(practice.read_text(NAME).is_err(), "removed on the host, too");
    }

    #[test]
    fn what_is_done_on_the_host_is_seen_here() {
        let (_home, practice, mut outside, path) = laid();
        practice.write_text(NAME, "by the wizard").unwrap();
        assert_eq!(outside.look(&practice), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "by the wizard");
        practice.remove_file(NAME).unwrap();
        assert_eq!(outside.look(&practice), None);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_not_there_yet_can_be_made_here() {
        let (home, practice, ..) = laid();
        let name = "master02:/etc/motd.local";
        let mut outside = Outside::lay_in(home.path().join("another"), vec![name.into()], &practice).unwrap();
        assert_eq!(outside.look(&practice), None);
        fs::write(outside.dir().join("master02/etc/motd.local"), "new\n").unwrap();
        assert_eq!(outside.look(&practice), None);
        assert_eq!(outside.look(&practice), Some(Ok(())));
        assert_eq!(practice.read_text(name).unwrap(), "new\n");
    }

    #[test]
    fn nobody_else_reads_them_and_nothing_is_left() {
        let (home, practice, outside, path) = laid();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(outside.dir()), mode(&path)), (0o700, 0o600));
        let dir = outside.dir().to_owned();
        assert!(Outside::lay_in(dir.clone(), Vec::new(), &practice).is_err(), "a directory of somebody else's is none");
        assert!(dir.exists(), "and is left alone");
        drop(outside);
        assert!(!dir.exists() && home.path().exists());
    }
}
