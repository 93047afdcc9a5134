//! Pictures of the screen for the README, made from the same scenes as the snapshots.
//!
//! `cargo run --example screens -- --pictures` writes them anew; a test fails while they are not what is drawn.

use std::{fmt::Write as _, path::PathBuf};

use banister::ui::{
    Theme,
    theme::{Background, Colours, Signs},
    view,
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};
use unicode_width::UnicodeWidthStr as _;

use crate::fixtures::scene;

/// Name, scene and size of each.
const PICTURES: [(&str, &str, (u16, u16)); 3] = [
    ("wizard", "wizard-waiting", (120, 36)),
    ("question", "confirm-irreversible", (100, 30)),
    ("masters", "live-masters-trouble", (120, 36)),
];

/// Size of a cell.
const CELL: (u16, u16) = (8, 17);

/// Around the cells.
const MARGIN: u16 = 12;

const PAPER: &str = "#1c1e26";
const INK: &str = "#d5d8da";

/// Where each lies, and its text.
pub fn pictures() -> Vec<(PathBuf, String)> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/pictures"));
    let theme = Theme { colours: Colours::True, background: Background::Dark, signs: Signs::All };
    let picture = |(name, scene_name, size): (&str, &str, (u16, u16))| {
        let model = scene(scene_name, size, theme);
        let Ok(mut terminal) = Terminal::new(TestBackend::new(size.0, size.1));
        let Ok(_) = terminal.draw(|frame| view(&model, frame));
        (dir.join(format!("{name}.svg")), svg(terminal.backend().buffer()))
    };
    PICTURES.into_iter().map(picture).collect()
}

/// A screen as SVG: a rectangle for what has a background, a text for each run of one style, every one held to its columns
/// whatever font there is.
fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (width, height) = (area.width * CELL.0 + 2 * MARGIN, area.height * CELL.1 + 2 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', monospace\" font-size=\"13\" xml:space=\"preserve\">\n"
    );
    for y in 0..area.height {
        let mut x = 0;
        while x < area.width {
            let look = |x: u16| look(&buffer[(x, y)]);
            let (start, first) = (x, look(x));
            let mut text = String::new();
            while x < area.width && look(x) == first {
                let symbol = buffer[(x, y)].symbol();
                text.push_str(symbol);
                x += u16::try_from(symbol.width().max(1)).unwrap_or(1);
            }
            run(&mut out, (start, y), x - start, &text, &first);
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Ink, paper where it is not the screen's, and the rest.
#[derive(PartialEq)]
struct Look {
    ink: String,
    paper: Option<String>,
    bold: bool,
    dim: bool,
    underlined: bool,
}

fn look(cell: &Cell) -> Look {
    let (mut ink, mut paper) = (colour(cell.fg), colour(cell.bg));
    if cell.modifier.contains(Modifier::REVERSED) {
        (ink, paper) = (paper.or(Some(PAPER.to_owned())), ink.or(Some(INK.to_owned())));
    }
    Look {
        ink: ink.unwrap_or_else(|| INK.to_owned()),
        paper,
        bold: cell.modifier.contains(Modifier::BOLD),
        dim: cell.modifier.contains(Modifier::DIM),
        underlined: cell.modifier.contains(Modifier::UNDERLINED),
    }
}

fn colour(colour: Color) -> Option<String> {
    match colour {
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        _ => None,
    }
}

fn run(out: &mut String, (x, y): (u16, u16), columns: u16, text: &str, look: &Look) {
    let (left, top, wide) = (MARGIN + x * CELL.0, MARGIN + y * CELL.1, columns * CELL.0);
    if let Some(paper) = &look.paper {
        let _ =
            writeln!(out, "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{}\" fill=\"{paper}\"/>", CELL.1);
    }
    // Blanks at the ends take no text; the columns of what is left are counted anew.
    let lead = text.width() - text.trim_start().width();
    let kept = text.trim();
    if kept.is_empty() {
        return;
    }
    let column = |n: usize| u16::try_from(n).unwrap_or(0) * CELL.0;
    let mut more = String::new();
    for (on, attribute) in [
        (look.bold, " font-weight=\"bold\""),
        (look.dim, " opacity=\"0.65\""),
        (look.underlined, " text-decoration=\"underline\""),
    ] {
        if on {
            more.push_str(attribute);
        }
    }
    let escaped = kept.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{more}>{escaped}</text>",
        left + column(lead),
        top + 13,
        column(kept.width()),
        look.ink
    );
}

#[cfg(test)]
mod tests {
    use super::pictures;

    #[test]
    fn the_pictures_of_the_readme_are_what_is_drawn() {
        let readme = include_str!("../../README.md");
        for (path, drawn) in pictures() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                there == drawn,
                "{name} is not what is drawn now: cargo run --example screens -- --pictures, then look at it"
            );
            assert!(readme.contains(&format!("assets/pictures/{name}")), "the README does not show {name}");
        }
    }
}
