//! How things look: tones instead of colours, and the two fallbacks (no colour, no Unicode).
//!
//! Panels draw with full signs and the 16 colours of the terminal's own palette, on its own foreground and background,
//! so light and dark both work. [`Theme::finish`] then takes away what this terminal can't or shouldn't have, in one
//! place: nobody else needs to think of it. Colour is never the only sign of anything.

use ratatui::{
    buffer::Buffer,
    style::{Color, Modifier, Style},
};

/// What this terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours may be used.
    pub colour: bool,
    /// Whether anything beyond ASCII can be shown.
    pub unicode: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self { colour: true, unicode: true }
    }
}

impl Theme {
    /// From the environment, given as a function so that this stays pure: `NO_COLOR` (any non-empty value,
    /// <https://no-color.org>), `TERM`, and the locale as POSIX orders it (`LC_ALL`, `LC_CTYPE`, `LANG`).
    pub fn detect(var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|v| !v.is_empty());
        let dumb = set("TERM").is_some_and(|t| t == "dumb" || t.starts_with("vt1") || t.starts_with("vt2"));
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self {
            colour: set("NO_COLOR").is_none() && !dumb,
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// Takes away what the terminal can't show, after everything is drawn.
    pub fn finish(self, buf: &mut Buffer) {
        if self.colour && self.unicode {
            return;
        }
        for cell in &mut buf.content {
            if !self.colour {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
            if !self.unicode && !cell.symbol().is_ascii() {
                let plain = cell.symbol().chars().next().map_or(' ', ascii);
                cell.set_char(plain);
            }
        }
    }
}

/// The ASCII stand-in of a sign; `?` for text of other scripts.
fn ascii(sign: char) -> char {
    match sign {
        '─' | '━' | '╌' | '—' | '–' | '▂' | '▃' | '▄' => '-',
        '│' | '┃' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '✓' => '+',
        '·' | '░' | '•' => '.',
        '▶' | '▷' | '↪' | '→' | '»' => '>',
        '←' => '<',
        '✗' | '×' => 'x',
        '≠' => '!',
        '▁' => '_',
        '▅' | '▆' | '▇' => '=',
        '◆' | '█' => '#',
        '○' => 'o',
        '↶' => 'u',
        '…' => '~',
        '↑' => '^',
        '↓' => 'v',
        '“' | '”' => '"',
        '‘' | '’' => '\'',
        _ => '?',
    }
}

/// What a piece of text means; [`style`] says how that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    Plain,
    /// Less important.
    Dim,
    /// More important.
    Strong,
    /// A heading inside a panel.
    Heading,
    /// Well, done.
    Good,
    /// Look here.
    Warn,
    /// Wrong, dangerous.
    Bad,
    /// Going on now.
    Active,
    /// A word that must not be overlooked.
    Alarm,
    /// The selected line, the focused panel's title.
    Selected,
    /// A key to press.
    Key,
}

/// The style of a tone.
pub fn style(tone: Tone) -> Style {
    let plain = Style::new();
    match tone {
        Tone::Plain => plain,
        Tone::Dim => plain.add_modifier(Modifier::DIM),
        Tone::Strong | Tone::Key => plain.add_modifier(Modifier::BOLD),
        Tone::Heading => plain.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        Tone::Good => plain.fg(Color::Green),
        // Not bold: many palettes make bold yellow bright, which nobody can read on white.
        Tone::Warn => plain.fg(Color::Yellow),
        Tone::Bad => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Active => plain.fg(Color::Cyan).add_modifier(Modifier::BOLD),
        Tone::Alarm => plain.fg(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED),
        Tone::Selected => plain.add_modifier(Modifier::REVERSED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(vars: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn no_color_and_the_locale_are_heeded() {
        let all = Theme::detect(with(&[("LANG", "de_DE.UTF-8"), ("TERM", "xterm")]));
        assert_eq!(all, Theme { colour: true, unicode: true });
        let none = Theme::detect(with(&[("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("NO_COLOR", "1")]));
        assert_eq!(none, Theme { colour: false, unicode: false });
        // An empty NO_COLOR does not count, says the convention.
        assert!(Theme::detect(with(&[("NO_COLOR", "")])).colour);
    }

    #[test]
    fn without_unicode_nothing_but_ascii_is_left_and_wide_glyphs_keep_their_columns() {
        let mut buf = Buffer::with_lines(["┌✓ 主节点 ▶…─┐"]);
        let width = buf.area.width;
        Theme { colour: true, unicode: false }.finish(&mut buf);
        let text: String = buf.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(text, "++ ? ? ?  >~-+");
        assert_eq!(text.len(), usize::from(width));
    }
}
