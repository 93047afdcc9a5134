//! Every file in `snapshots/` is one that a test compares with: what no test names any more is only in the way. `.ci/run`
//! asks insta itself; this one tells at once, by the names in the sources.

use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let deep = entries.flat_map(|p| if p.is_dir() { files(&p, extension) } else { vec![p] });
    deep.filter(|p| p.extension().is_some_and(|e| e == extension)).collect()
}

/// The pieces between the placeholders of a `format!` literal, `{{` left alone.
fn pieces(literal: &str) -> Vec<&str> {
    literal
        .split('{')
        .enumerate()
        .map(|(i, p)| if i == 0 { p } else { p.split_once('}').map_or(p, |(_, p)| p) })
        .collect()
}

/// Whether a literal is a snapshot's name, or a format that may have made it.
fn names(literal: &str, name: &str) -> bool {
    let pieces = pieces(literal);
    let [first, middle @ .., last] = pieces.as_slice() else { return literal == name };
    // A format that is all placeholders would name everything.
    if pieces.iter().map(|p| p.len()).sum::<usize>() < 4 {
        return false;
    }
    let Some(rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    middle.iter().try_fold(rest, |rest, piece| rest.split_once(piece).map(|(_, after)| after)).is_some()
}

fn literals(source: &str) -> impl Iterator<Item = &str> {
    source.split('"').filter(|l| !l.contains('\n') && l.len() < 100)
}

#[test]
fn every_snapshot_is_named_by_a_test() {
    let root = Path::new(ROOT);
    let sources: Vec<_> = ["src", "tests"].iter().flat_map(|d| files(&root.join(d), "rs")).collect();
    let sources: Vec<_> = sources.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let snapshots = files(&root.join("snapshots"), "snap");
    assert!(!snapshots.is_empty(), "no snapshots: they are not where they were");
    let named = |file: &PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap();
        sources.iter().flat_map(|s| literals(s)).any(|l| names(l, name))
    };
    let left: Vec<_> = snapshots.iter().filter(|f| !named(f)).map(|f| f.strip_prefix(root).unwrap()).collect();
    assert!(left.is_empty(), "no test names these snapshots any more; delete them: {left:?}");
}

#[test]
fn a_name_is_matched_whole_or_by_its_format() {
    assert!(names("survey_80", "survey_80"));
    assert!(!names("survey_8", "survey_80"));
    assert!(names("{name}_at_{w}x{h}", "wizard_at_80x24"));
    assert!(!names("{name}_at_{w}x{h}", "wizard_80x24"));
    assert!(!names("{name}_{}", "wizard_80x24"));
}
