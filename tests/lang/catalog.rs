//! The Chinese files.

use std::collections::BTreeMap;

/// One entry.
#[derive(Debug)]
pub struct Entry {
    /// The file's name, without `.yaml`.
    pub file: String,
    pub english: String,
    pub chinese: String,
}

/// Every entry of every file. A file that does not parse, or has a key twice, fails the test that asks.
pub fn chinese() -> Vec<Entry> {
    let mut all = Vec::new();
    for (file, text) in banister::lang::CHINESE {
        let entries: BTreeMap<String, String> =
            serde_yaml::from_str(text).unwrap_or_else(|e| panic!("assets/lang/zh/{file}.yaml: {e}"));
        all.extend(entries.into_iter().map(|(english, chinese)| Entry { file: file.into(), english, chinese }));
    }
    all
}

/// The placeholders of a text, sorted, each as often as it stands; `{{` is a brace.
pub fn placeholders(text: &str) -> Vec<String> {
    let text = text.replace("{{", "").replace("}}", "");
    let mut found: Vec<_> =
        text.split('{').skip(1).map(|part| part.split('}').next().unwrap_or_default().to_owned()).collect();
    found.sort();
    found
}

#[test]
fn placeholders_are_found_and_braces_are_not() {
    assert_eq!(placeholders("{host}: {{x}} {a} {host}"), ["a", "host", "host"]);
    assert!(placeholders("plain").is_empty());
}
