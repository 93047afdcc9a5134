//! The screens in Chinese. A binary of its own: the language is the whole process's.

#![cfg(test)]

#[path = "../ui/fixtures.rs"]
mod fixtures;
#[path = "../ui/look.rs"]
mod look;
mod training;
mod words;

use banister::{
    lang::{self, Lang},
    ui::{
        Theme,
        theme::{Background, Colours, Signs},
    },
};
use unicode_width::UnicodeWidthStr as _;

use fixtures::{SCENES, scene};
use look::{draw, settings, shown, text};

const ALL: Theme = Theme { colours: Colours::Sixteen, background: Background::Unknown, signs: Signs::All };

/// The language is chosen before anything is shown, as the program does.
pub fn chinese() {
    lang::choose(Lang::Chinese);
}

#[test]
fn every_scene_at_three_sizes() {
    chinese();
    let mut settings = settings();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/zh"));
    settings.bind(|| {
        for name in SCENES {
            for size in [(80, 24), (120, 40), (200, 60)] {
                let model = scene(name, size, ALL);
                insta::assert_snapshot!(format!("{name}@{}x{}", size.0, size.1), shown(&model, size));
            }
        }
    });
}

#[test]
fn no_glyph_is_cut_in_half() {
    chinese();
    for name in SCENES {
        for size in [(80, 24), (81, 25), (119, 39), (120, 40), (200, 60)] {
            let buffer = draw(&scene(name, size, ALL), size);
            for y in 0..size.1 {
                for x in 0..size.0 {
                    if buffer[(x, y)].symbol().width() < 2 {
                        continue;
                    }
                    // What stands in the column after it must be nothing: else it was drawn over.
                    let after = (x + 1 < size.0).then(|| buffer[(x + 1, y)].symbol());
                    assert_eq!(after.map(str::trim), Some(""), "{name} {size:?} at {x},{y}:\n{}", text(&buffer));
                }
            }
        }
    }
}

#[test]
fn no_border_is_broken() {
    chinese();
    for name in ["connecting-host-key", "confirm-irreversible", "failed-undo", "help", "quit-running", "live-palette"] {
        for width in 80..=110 {
            let size = (width, 24);
            let shown = text(&draw(&scene(name, size, ALL), size));
            let framed: Vec<&str> = shown.lines().filter(|l| l.contains('│')).collect();
            assert!(framed.len() > 3, "{shown}");
            let columns = |l: &&str| {
                let at = |i: usize| l[..i].width();
                (l.find('│').map(at), l.rfind('│').map(at))
            };
            let first = columns(&framed[0]);
            assert!(framed.iter().all(|l| columns(l) == first), "{name} at width {width}:\n{shown}");
        }
    }
}

#[test]
fn help_and_leaving_always_fit_into_the_footer() {
    chinese();
    for name in SCENES
        .iter()
        .filter(|n| !["confirm", "connecting-", "help", "quit", "failed-undo"].iter().any(|p| n.starts_with(p)))
    {
        let shown = text(&draw(&scene(name, (80, 24), ALL), (80, 24)));
        let footer = shown.lines().last().unwrap_or_default();
        if footer.contains('?') {
            assert!(footer.contains("? 帮助"), "{name}:\n{shown}");
        }
        assert!(footer.width() <= 80, "{name}: {footer}");
    }
    let shown = text(&draw(&scene("wizard-idle", (80, 24), ALL), (80, 24)));
    let footer = shown.lines().last().unwrap_or_default();
    assert!(footer.contains("? 帮助") && footer.contains("q 离开"), "{shown}");
}

#[test]
fn the_quorum_line_is_on_every_screen_once_etcd_was_seen() {
    chinese();
    for name in SCENES.iter().filter(|n| !n.starts_with("connecting")) {
        let shown = text(&draw(&scene(name, (80, 24), ALL), (80, 24)));
        assert!(shown.lines().nth(1).is_some_and(|l| l.contains("再失去一个：")), "{name}:\n{shown}");
    }
}
