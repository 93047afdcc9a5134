//! The table of faults names tests: they exist. The trainer's guide names all drills, as hard as they are.

use std::path::Path;

use banister::training::drill::Drill;

#[test]
fn the_trainers_guide_has_every_drill_with_its_level() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for guide in ["guide.md", "guide.zh.md"] {
        let text = std::fs::read_to_string(root.join("assets/training").join(guide)).unwrap();
        let rows: Vec<(usize, &str)> = text
            .lines()
            .filter_map(|l| l.strip_prefix("| *"))
            .map(|l| (1 + l.chars().take_while(|c| *c == '*').count(), l.split('`').nth(1).unwrap_or_default()))
            .collect();
        let drills = Drill::names().map(|name| (usize::from(Drill::find(name).unwrap().unwrap().level), name));
        assert_eq!(rows, drills.collect::<Vec<_>>(), "{guide}");
    }
}

#[test]
fn every_test_that_the_table_of_faults_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("assets/faults.md")).unwrap();
    let rows: Vec<&str> = table.lines().filter(|l| l.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 15, "{} rows", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 4, "fault, what is seen, what to do, proof: {row}");
        let named: Vec<&str> = cells[3].split('`').filter(|w| w.contains("::")).collect();
        assert!(!named.is_empty(), "nothing proves: {row}");
        for test in named {
            let (file, name) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let at = source.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{file} has no test {name}"));
            let before = source[..at].trim_end().trim_end_matches("async").trim_end();
            let attribute = before.lines().last().unwrap_or_default().trim();
            assert!(attribute.starts_with("#[test]") || attribute.starts_with("#[tokio::test"), "{test} is no test");
        }
    }
}
