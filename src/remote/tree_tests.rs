//! The scripts are run for real, on directories of this machine.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    process::{Command, Stdio},
};

use super::*;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let from = place.path("from/tree");
        fs::create_dir_all(from.join("sub/[odd] dir")).unwrap();
        fs::write(from.join("sub/[odd] dir/file with blank"), "one").unwrap();
        fs::write(from.join("script"), "two").unwrap();
        fs::set_permissions(from.join("script"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("../else where", from.join("link")).unwrap();
        fs::create_dir_all(from.join("pki")).unwrap();
        fs::write(from.join("pki/key"), "secret").unwrap();
        drop(std::os::unix::net::UnixListener::bind(from.join("s")).unwrap());
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn list(&self, dir: &str, except: Vec<PathBuf>) -> Listing {
        parse_listing(&run(&TreeOp::List { dir: self.path(dir), except })).unwrap()
    }

    fn copy(&self, except: Vec<PathBuf>) {
        let pack = TreeOp::Pack { root: self.path("from/tree"), except };
        let unpack = TreeOp::Unpack { root: self.path("to/tree") };
        let line = format!("({}) | ({})", pack.script(), unpack.script());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    fn place(&self) {
        run(&TreeOp::Place { root: self.path("to/tree"), kept: self.path("kept/tree") });
    }

    fn put_back(&self) {
        run(&TreeOp::PutBack { root: self.path("to/tree"), kept: self.path("kept/tree") });
    }
}

fn run(op: &TreeOp) -> String {
    let out = Command::new("sh").args(["-c", &op.script()]).output().unwrap();
    assert!(out.status.success(), "{}: {}", op.summary(), String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_copy_is_the_tree_itself_without_what_is_left_out() {
    let place = Place::new();
    let except = vec![place.path("from/tree/pki")];
    place.copy(except.clone());
    let (here, there) = (place.list("from/tree", except), place.list("to/.tree.banister", Vec::new()));
    assert_eq!(here, there, "owners, modes, links, times and sums");
    let names: Vec<_> = here.keys().map(|p| p.to_str().unwrap()).collect();
    assert_eq!(names, ["", "link", "script", "sub", "sub/[odd] dir", "sub/[odd] dir/file with blank"]);
    assert_eq!(here[Path::new("link")].target.as_deref(), Some("../else where"));
    assert_eq!(here[Path::new("script")].mode & 0o7777, 0o750);
    assert!(!place.path("to/tree").exists(), "nothing lies there before it was compared");
    place.place();
    assert!(place.path("to/tree/script").exists() && !place.path("to/tree/tree").exists(), "not nested");
}

#[test]
fn one_file_with_a_patterns_characters_can_be_left_out() {
    let place = Place::new();
    let listing = place.list("from/tree", vec![place.path("from/tree/sub/[odd] dir")]);
    assert!(listing.contains_key(Path::new("sub")) && !listing.contains_key(Path::new("sub/[odd] dir")));
    assert!(listing.contains_key(Path::new("pki/key")));
}

#[test]
fn what_was_there_is_kept_once_and_comes_back() {
    let place = Place::new();
    fs::create_dir_all(place.path("to/tree")).unwrap();
    fs::write(place.path("to/tree/old"), "old").unwrap();
    for _ in 0..2 {
        place.copy(Vec::new());
        place.place();
        assert!(!place.path("to/tree/old").exists());
        assert_eq!(
            fs::read_to_string(place.path("kept/tree/old")).unwrap(),
            "old",
            "the second copy keeps the first old one"
        );
    }
    place.put_back();
    assert_eq!(fs::read_dir(place.path("to")).unwrap().count(), 1, "nothing is left beside it");
    assert_eq!(fs::read_to_string(place.path("to/tree/old")).unwrap(), "old");
    place.put_back();
    assert!(place.path("to/tree/old").exists(), "a second time does nothing");
}

#[test]
fn where_nothing_was_nothing_remains() {
    let place = Place::new();
    fs::create_dir_all(place.path("to")).unwrap();
    place.copy(Vec::new());
    place.place();
    place.put_back();
    assert_eq!(fs::read_dir(place.path("to")).unwrap().count(), 0);
}

#[test]
fn a_kill_between_the_two_renames_loses_nothing() {
    let place = Place::new();
    fs::create_dir_all(place.path("to/.tree.banister-old")).unwrap();
    fs::write(place.path("to/.tree.banister-old/old"), "old").unwrap();
    let undone = Place::new();
    fs::create_dir_all(undone.path("to/.tree.banister-old")).unwrap();
    fs::write(undone.path("to/.tree.banister-old/old"), "old").unwrap();
    undone.put_back();
    assert!(undone.path("to/tree/old").exists());
    place.copy(Vec::new());
    place.place();
    assert!(place.path("to/tree/script").exists() && place.path("kept/tree/old").exists());
}

#[test]
fn a_stream_that_breaks_leaves_nothing() {
    let place = Place::new();
    fs::create_dir_all(place.path("to")).unwrap();
    let pack = TreeOp::Pack { root: place.path("from/tree"), except: Vec::new() };
    let whole = Command::new("sh").args(["-c", &pack.script()]).output().unwrap().stdout;
    let unpack = TreeOp::Unpack { root: place.path("to/tree") }.script();
    let mut child =
        Command::new("sh").args(["-c", &unpack]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &whole[..700]).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(fs::read_dir(place.path("to")).unwrap().count(), 0);
}

#[test]
fn mentions_names_text_files_alone() {
    let place = Place::new();
    let root = place.path("from/tree");
    fs::write(root.join("a.conf"), "server 10.0.0.1:6443;\n").unwrap();
    fs::write(root.join("pki/b.conf"), "10.0.0.1\n").unwrap();
    fs::write(root.join("binary"), b"\0\x01 10.0.0.1").unwrap();
    fs::write(root.join("it's"), "on m1\n").unwrap();
    let op = TreeOp::Mentions {
        roots: vec![place.path("none"), root.clone()],
        except: vec![root.join("pki")],
        words: vec!["10.0.0.1".into(), "on m1".into()],
    };
    let mut found: Vec<_> = run(&op).lines().map(PathBuf::from).collect();
    found.sort();
    assert_eq!(found, [root.join("a.conf"), root.join("it's")]);
}

#[test]
fn a_directory_that_is_not_there_is_empty_or_refused() {
    assert_eq!(run(&TreeOp::List { dir: "/no/such/dir".into(), except: Vec::new() }), "");
    let pack = TreeOp::Pack { root: "/no/such/dir".into(), except: Vec::new() }.script();
    assert_eq!(Command::new("sh").args(["-c", &pack]).status().unwrap().code(), Some(44));
    assert!(TreeOp::Unpack { root: "/etc".into() }.script().contains("refused"));
    let meta = fs::metadata("/etc").unwrap();
    assert!(meta.is_dir() && meta.mode() != 0);
}
