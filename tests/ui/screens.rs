//! Whole screens, text and style, at three sizes; and every size below without a panic.

use banister::ui::{
    Msg, SMALLEST, Theme,
    theme::{Background, Colours, Signs},
    view,
};
use ratatui::{Terminal, backend::TestBackend, layout::Rect};

use crate::{
    fixtures::{SCENES, scene},
    look::{shown, styles},
};

pub use crate::look::{draw, settings, styled, text};

const ALL: Theme = Theme { colours: Colours::Sixteen, background: Background::Unknown, signs: Signs::All };

#[test]
fn every_scene_at_three_sizes() {
    settings().bind(|| {
        for name in SCENES {
            for size in [(80, 24), (120, 40), (200, 60)] {
                let model = scene(name, size, ALL);
                insta::assert_snapshot!(format!("{name}@{}x{}", size.0, size.1), shown(&model, size));
            }
        }
    });
}

#[test]
fn without_colour_and_unicode_nothing_is_lost_but_looks() {
    let none = Theme { colours: Colours::None, signs: Signs::Ascii, ..ALL };
    settings().bind(|| {
        for name in ["connecting", "wizard-waiting", "confirm-irreversible"] {
            let model = scene(name, (80, 24), none);
            insta::assert_snapshot!(format!("{name}@ascii"), shown(&model, (80, 24)));
        }
    });
    for name in SCENES {
        let buffer = draw(&scene(name, (80, 24), none), (80, 24));
        assert!(text(&buffer).is_ascii(), "{name}");
        assert!(!styles(&buffer).contains("Red"), "{name}");
    }
}

/// Draws a scene at each size, with the resize in between as the terminal would send it.
fn draw_at(name: &str, sizes: impl Iterator<Item = (u16, u16)>) {
    let mut model = scene(name, SMALLEST, ALL);
    let Ok(mut terminal) = Terminal::new(TestBackend::new(SMALLEST.0, SMALLEST.1));
    for (width, height) in sizes {
        crate::fixtures::feed(&mut model, [Msg::Resize(width, height)]);
        let Ok(()) = terminal.resize(Rect::new(0, 0, width, height));
        view(&model, &mut terminal.get_frame());
    }
}

#[test]
fn no_size_makes_any_phase_panic() {
    for name in ["connecting", "survey-blocked", "wizard-running", "confirm-irreversible", "failed", "finished"] {
        draw_at(name, (1..=90).flat_map(|w| (1..=40).map(move |h| (w, h))));
    }
}

#[test]
fn no_size_makes_any_scene_panic() {
    for name in SCENES {
        // Around each size at which the layout changes, and where it leaves nothing over.
        let sizes = [80, 81, 119, 120, 179, 180].into_iter();
        draw_at(name, sizes.flat_map(|w| [24, 25, 33, 34, 37, 38, 50].map(|h| (w, h))));
    }
}

#[test]
fn a_wide_glyph_never_breaks_a_border() {
    // Every column a dialog's border may have, over rows full of wide glyphs.
    for width in 80..=110 {
        let size = (width, 24);
        let buffer = draw(&scene("connecting-host-key", size, ALL), size);
        let lines = text(&buffer);
        let framed: Vec<&str> = lines.lines().filter(|l| l.contains('│')).collect();
        assert!(framed.len() > 5, "{lines}");
        let columns = |l: &str| {
            let at = |i: usize| unicode_width::UnicodeWidthStr::width(&l[..i]);
            (l.find('│').map(at), l.rfind('│').map(at))
        };
        let first = columns(framed[0]);
        assert!(framed.iter().all(|l| columns(l) == first), "at width {width}:\n{lines}");
    }
}

#[test]
fn too_small_says_so_and_what_goes_on() {
    let size = (60, 10);
    let model = scene("wizard-running", size, ALL);
    let shown = text(&draw(&model, size));
    assert!(
        shown.contains("terminal too small") && shown.contains("60x10") && shown.contains("the run goes on"),
        "{shown}"
    );
}

#[test]
fn what_can_not_be_seen_can_not_be_agreed_to_and_the_small_screen_says_so() {
    for (name, says) in [
        ("confirm-reversible", "a step waits for your answer"),
        ("failed", "a step failed: enlarge to choose"),
        ("finished", "the run is over"),
    ] {
        let mut model = scene(name, SMALLEST, ALL);
        crate::fixtures::feed(&mut model, [Msg::Tick(crate::fixtures::now(60_000))]);
        let large = text(&draw(&model, SMALLEST));
        crate::fixtures::feed(&mut model, [Msg::Resize(79, 24)]);
        let small = text(&draw(&model, (79, 24)));
        assert!(small.contains(says) && small.contains("nothing can be confirmed; Ctrl-C leaves"), "{name}: {small}");
        for key in ['y', 'r', 's', 'u', 'i', 'v', '2', '?'] {
            assert_eq!(banister::ui::update(&mut model, crate::fixtures::ch(key)), [], "{name} {key}");
        }
        crate::fixtures::feed(&mut model, [Msg::Resize(SMALLEST.0, SMALLEST.1)]);
        assert_eq!(text(&draw(&model, SMALLEST)), large, "{name}: a key that was not heard changed something");
    }
}

#[test]
fn the_quorum_line_is_on_every_screen_once_etcd_was_seen() {
    for name in SCENES.iter().filter(|n| !n.starts_with("connecting")) {
        let shown = text(&draw(&scene(name, (80, 24), ALL), (80, 24)));
        assert!(shown.lines().nth(1).is_some_and(|l| l.contains("if one more dies: ")), "{name}:\n{shown}");
    }
}

#[test]
fn stale_data_is_marked_in_words() {
    let shown = text(&draw(&scene("wizard-etcd-degraded", (80, 24), ALL), (80, 24)));
    assert!(shown.contains("STALE") && shown.contains("no answer") && shown.contains("NOSPACE"), "{shown}");
    // Where the whole sentence does not fit, what happens if one more dies is the last thing to go.
    assert!(shown.contains("2/3 voters, quorum 2, survives 0 — if one more dies: etcd is DOWN"), "{shown}");
    let wide = text(&draw(&scene("wizard-etcd-degraded", (120, 40), ALL), (120, 40)));
    let sentence = "3 voters (2 healthy), quorum 2, survives 0, 1 learner — if one more dies: etcd is DOWN";
    assert!(wide.contains(sentence), "{wide}");
}
