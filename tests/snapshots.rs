//! Every file in `snapshots/` is one that a test compares with: what no test names any more is only in the way. Here the
//! name counts, up to the `@` before a size; `.ci/run` compares with what insta itself has read.

#![cfg(test)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let deep = entries.flat_map(|p| if p.is_dir() { files(&p, extension) } else { vec![p] });
    deep.filter(|p| p.extension().is_some_and(|e| e == extension)).collect()
}

/// Snapshots whose name stands in no source.
fn unnamed<'a>(snapshots: &BTreeSet<&'a str>, sources: &[String]) -> Vec<&'a str> {
    let name = |file: &&str| format!("\"{}\"", file.split('@').next().unwrap_or_default());
    snapshots.iter().filter(|file| !sources.iter().any(|s| s.contains(&name(file)))).copied().collect()
}

#[test]
fn every_snapshot_is_named_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<_> = ["src", "tests", "examples"].iter().flat_map(|d| files(&root.join(d), "rs")).collect();
    let sources: Vec<_> = sources.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let snapshots = files(&root.join("snapshots"), "snap");
    let snapshots: BTreeSet<_> = snapshots.iter().map(|f| f.file_stem().unwrap().to_str().unwrap()).collect();
    assert!(!snapshots.is_empty(), "no snapshots: they are not where they were");
    let left = unnamed(&snapshots, &sources);
    assert!(left.is_empty(), "no test names these snapshots any more; delete them: {left:?}");
}

#[test]
fn a_snapshot_that_no_test_names_is_found() {
    let snapshots = BTreeSet::from(["wizard@80x24", "wizard-old@80x24", "survey"]);
    assert_eq!(unnamed(&snapshots, &["(\"wizard\", a), \"survey\"".to_owned()]), ["wizard-old@80x24"]);
}
