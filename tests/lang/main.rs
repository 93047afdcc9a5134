//! Every text the operator reads has its Chinese: the sources and assets are read, and what is missing, differs or is left
//! over is named.

#![cfg(test)]

mod catalog;
mod choice;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use catalog::{chinese, placeholders};
use sources::{Text, texts};

/// Files whose entries do not stand in the sources as `tr!`; who holds them to their English.
const ELSEWHERE: [&str; 1] = ["cli"]; // src/app/cli.rs, against clap's own texts

#[test]
fn the_sources_keep_to_the_rules_of_texts() {
    let (_, wrong) = texts();
    assert!(wrong.is_empty(), "see src/lang/mod.rs:\n{}", wrong.join("\n"));
}

#[test]
fn every_text_has_its_chinese_with_the_same_placeholders() {
    let chinese: BTreeMap<_, _> = chinese().into_iter().map(|e| (e.english.clone(), e)).collect();
    let (texts, _) = texts();
    assert!(!texts.is_empty(), "no text was found: the sources are not where they were");
    let mut wrong = Vec::new();
    for Text { place, key, room } in &texts {
        let Some(entry) = chinese.get(key) else {
            wrong.push(format!("{place}: no Chinese; add to assets/lang/zh/{room}.yaml: {key:?}"));
            continue;
        };
        let (ours, theirs) = (placeholders(key), placeholders(&entry.chinese));
        if ours != theirs {
            wrong.push(format!("{}: {key:?}: the English has {ours:?}, the Chinese {theirs:?}", entry.file));
        }
        if entry.chinese.trim().is_empty() {
            wrong.push(format!("{}: {key:?}: the Chinese is empty", entry.file));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_chinese_is_left_over_or_stands_twice() {
    let (texts, _) = texts();
    let known: BTreeSet<_> = texts.iter().map(|t| t.key.as_str()).collect();
    let (mut seen, mut wrong) = (BTreeMap::new(), Vec::new());
    for entry in chinese().iter().filter(|e| !ELSEWHERE.contains(&e.file.as_str())) {
        if !known.contains(entry.english.as_str()) {
            wrong.push(format!("{}: {:?} stands nowhere in src/ any more; remove it", entry.file, entry.english));
        }
        if let Some(first) = seen.insert(&entry.english, &entry.file) {
            wrong.push(format!("{}: {:?} stands in {first} too; keep one", entry.file, entry.english));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A concept has one word. Practice is 练习, a drill 演练, a rehearsal 预演; to undo is 撤销.
#[test]
fn a_concept_has_one_word_in_chinese() {
    let mut wrong = Vec::new();
    for entry in chinese() {
        let english = entry.english.to_lowercase();
        let words: BTreeSet<&str> = english.split(|c: char| !c.is_alphanumeric()).collect();
        let says = |all: &[&str]| all.iter().any(|w| words.contains(w));
        let (practice, drill) = (says(&["practice", "practise"]), says(&["drill", "drills"]));
        let (lianxi, yanlian) = (entry.chinese.contains("练习"), entry.chinese.contains("演练"));
        // As a command or an option it stays as it is.
        let named = entry.chinese.contains("practice");
        if (practice && !lianxi && !named) || (yanlian && !drill) || (drill && !yanlian && !english.contains("{name}"))
        {
            wrong.push(format!(
                "{}: {:?}: {:?}: practice is 练习, a drill 演练",
                entry.file, entry.english, entry.chinese
            ));
        }
    }
    for path in assets(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for (number, line) in text.lines().enumerate().filter(|(_, l)| l.contains("撤回")) {
            wrong.push(format!("{}:{}: to undo is 撤销, not 撤回: {line}", path.display(), number + 1));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn assets(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { assets(&p) } else { vec![p] }).collect()
}

#[test]
fn every_file_of_chinese_is_built_in() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/lang/zh");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, banister::lang::CHINESE.map(|(name, _)| name.to_owned()), "add it to CHINESE in src/lang/mod.rs");
}
