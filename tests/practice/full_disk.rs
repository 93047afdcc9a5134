//! The operator's own disk is full where fetched backups go. The limit is the shell's on the length of a file, its signal
//! ignored: writing fails as it does on a full disk, with an error, and no disk has to be filled for it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Enough for the journal up to then, and less than the snapshot.
const KIB: u32 = 24;

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { files_below(&p) } else { vec![p] }).collect()
}

#[test]
fn a_snapshot_that_does_not_fit_on_the_operators_disk_is_told_and_no_half_of_it_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let out = Command::new("bash")
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {KIB}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_banister")])
        .args(["practice", "growth", "--headless", "--approve", "all", "--on-failure", "stop"])
        .env("HOME", home.path())
        .env("XDG_STATE_HOME", home.path().join("state"))
        .env("XDG_DATA_HOME", home.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("backup.snapshot") && said.contains("make room or choose another place"), "{said}");
    assert!(said.contains(".db.partial"), "which file is said: {said}");
    let fetched = files_below(&home.path().join("data"));
    assert!(fetched.is_empty(), "half a snapshot is left: {fetched:?}");
}
