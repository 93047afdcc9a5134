//! The few colours there are, as the terminal can show them and as its background lets them be read.
//!
//! Panels draw with green, yellow, red and cyan of the terminal's own palette. Where nothing is known about the
//! background it stays so: the palette's owner has seen to it. Where it is known, colours that can be read on it take
//! their place: on white, most palettes' yellow and cyan can't.

use ratatui::style::Color;

use super::{Background, Colours};

/// A colour in each of the two richer ways, on a dark and on a light background.
struct Shade {
    dark: (u8, [u8; 3]),
    light: (u8, [u8; 3]),
}

const GREEN: Shade = Shade { dark: (114, [0x87, 0xd7, 0x87]), light: (22, [0x00, 0x5f, 0x00]) };
const YELLOW: Shade = Shade { dark: (221, [0xff, 0xd7, 0x5f]), light: (94, [0x87, 0x4f, 0x00]) };
const RED: Shade = Shade { dark: (210, [0xff, 0x87, 0x87]), light: (124, [0xaf, 0x00, 0x00]) };
const CYAN: Shade = Shade { dark: (80, [0x5f, 0xd7, 0xd7]), light: (24, [0x00, 0x5f, 0x87]) };

/// The colour to send for one that was drawn.
pub fn shown(drawn: Color, colours: Colours, background: Background) -> Color {
    let shade = match (drawn, colours, background) {
        (_, Colours::None, _) => return Color::Reset,
        // The two of the sixteen that can't be read on white.
        (Color::Yellow, Colours::Sixteen, Background::Light) => return Color::Magenta,
        (Color::Cyan, Colours::Sixteen, Background::Light) => return Color::Blue,
        (_, Colours::Sixteen, _) | (_, _, Background::Unknown) => return drawn,
        (Color::Green, ..) => GREEN,
        (Color::Yellow, ..) => YELLOW,
        (Color::Red, ..) => RED,
        (Color::Cyan, ..) => CYAN,
        _ => return drawn,
    };
    let (indexed, [r, g, b]) = if background == Background::Light { shade.light } else { shade.dark };
    if colours == Colours::True { Color::Rgb(r, g, b) } else { Color::Indexed(indexed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of a colour's channel in its brightness (WCAG 2).
    fn linear(channel: u8) -> f64 {
        let c = f64::from(channel) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    }

    fn brightness([r, g, b]: [u8; 3]) -> f64 {
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let (a, b) = (brightness(a), brightness(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// A colour of the 6×6×6 cube, as every terminal has it.
    fn of_the_cube(index: u8) -> [u8; 3] {
        let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
        let n = index - 16;
        [level(n / 36), level(n / 6 % 6), level(n % 6)]
    }

    #[test]
    fn every_colour_can_be_read_on_the_background_it_is_for() {
        // Not quite black and not quite white, as themes have them.
        for (background, paper) in [(Background::Dark, [0x28, 0x28, 0x28]), (Background::Light, [0xf5, 0xf0, 0xe0])] {
            for drawn in [Color::Green, Color::Yellow, Color::Red, Color::Cyan] {
                for colours in [Colours::Indexed, Colours::True] {
                    let ink = match shown(drawn, colours, background) {
                        Color::Rgb(r, g, b) => [r, g, b],
                        Color::Indexed(i) => of_the_cube(i),
                        other => panic!("{drawn} became {other}"),
                    };
                    let contrast = contrast(ink, paper);
                    assert!(contrast >= 4.5, "{drawn} on {background:?} with {colours:?}: {contrast:.1}");
                }
            }
        }
    }

    #[test]
    fn the_four_stay_four() {
        for background in [Background::Unknown, Background::Dark, Background::Light] {
            for colours in [Colours::Sixteen, Colours::Indexed, Colours::True] {
                let all = [Color::Green, Color::Yellow, Color::Red, Color::Cyan].map(|c| shown(c, colours, background));
                for (i, a) in all.iter().enumerate() {
                    assert!(!all[i + 1..].contains(a), "{background:?} {colours:?}: {all:?}");
                }
            }
        }
    }
}
