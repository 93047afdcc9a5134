//! How things look: tones instead of colours, and the two fallbacks (no colour, no Unicode).
//!
//! Panels draw with full signs and the 16 colours of the terminal's own palette, on its own foreground and background,
//! so light and dark both work. [`Theme::finish`] then takes away what this terminal can't or shouldn't have, and puts
//! colours that suit a known background in the place of the palette's, in one place: nobody else needs to think of it.
//! Colour is never the only sign of anything.

use ratatui::{
    buffer::Buffer,
    style::{Color, Modifier, Style},
};

mod palette;

/// How many colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// None.
    None,
    /// The terminal's own sixteen.
    Sixteen,
    /// The 256 that are the same everywhere, but for the first sixteen.
    Indexed,
    /// All.
    True,
}

impl Colours {
    /// By the word an operator gives.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "16" => Some(Self::Sixteen),
            "256" => Some(Self::Indexed),
            "true" => Some(Self::True),
            _ => None,
        }
    }
}

/// What text stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Nobody has said: the terminal's own palette is trusted to suit it.
    Unknown,
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

impl Background {
    /// By the word an operator gives.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "dark" => Some(Self::Dark),
            "light" => Some(Self::Light),
            _ => None,
        }
    }

    /// From `COLORFGBG`, such as `15;0` or `0;default;15`: rxvt, Konsole and others set it. The last number is the
    /// background's.
    fn of_colorfgbg(value: &str) -> Self {
        match value.rsplit(';').next().and_then(|n| n.parse().ok()) {
            Some(0..=6 | 8) => Self::Dark,
            Some(7 | 9..=15) => Self::Light,
            _ => Self::Unknown,
        }
    }
}

/// Which signs a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// All.
    All,
    /// Those of the Linux console: a font of 256 or 512 glyphs, where what it lacks all looks the same, ✓ like ✗.
    Console,
    /// ASCII.
    Ascii,
}

impl Signs {
    /// What is shown for a sign that is not ASCII.
    fn shown(self, sign: char) -> Option<char> {
        match self {
            Self::All => None,
            // Text is left alone: consoles with a terminal emulator of their own show it.
            Self::Console => stand_in(sign).filter(|_| !CONSOLE.contains(sign)),
            Self::Ascii => Some(stand_in(sign).unwrap_or('?')),
        }
    }
}

/// Signs that the kernel's own font (code page 437) and all of Debian's console fonts have (package console-setup-linux 1.221,
/// files `*-Fixed16.psf.gz`; kbd 2.5.1, `default8x16.psf.gz`).
const CONSOLE: &str = "─│┌┐└┘├┤┬┴┼·▶░█→←↑↓»•";

/// What this terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// How many colours may be used.
    pub colours: Colours,
    /// What they stand on.
    pub background: Background,
    /// The signs it has.
    pub signs: Signs,
}

impl Default for Theme {
    fn default() -> Self {
        Self { colours: Colours::Sixteen, background: Background::Unknown, signs: Signs::All }
    }
}

impl Theme {
    /// From the environment, given as a function so that this stays pure: `BANISTER_COLOURS`, `BANISTER_BACKGROUND`,
    /// `NO_COLOR` (any non-empty value, <https://no-color.org>), `COLORTERM`, `COLORFGBG`, `TERM`, and the locale as POSIX
    /// orders it (`LC_ALL`, `LC_CTYPE`, `LANG`).
    pub fn detect(var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|v| !v.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let told = set("BANISTER_COLOURS").and_then(|w| Colours::parse(&w));
        let background = set("BANISTER_BACKGROUND").and_then(|w| Background::parse(&w));
        Self {
            colours: told.unwrap_or_else(|| if set("NO_COLOR").is_some() { Colours::None } else { of_term(&set) }),
            background: background
                .or_else(|| set("COLORFGBG").map(|v| Background::of_colorfgbg(&v)))
                .unwrap_or(Background::Unknown),
            signs: match set("TERM").as_deref() {
                _ if !locale.contains("utf-8") && !locale.contains("utf8") => Signs::Ascii,
                Some("linux") => Signs::Console,
                _ => Signs::All,
            },
        }
    }

    /// Takes away what the terminal can't show, after everything is drawn.
    pub fn finish(self, buf: &mut Buffer) {
        let recolour = self.colours == Colours::None
            || self.background != Background::Unknown
                && (self.colours != Colours::Sixteen || self.background == Background::Light);
        if !recolour && self.signs == Signs::All {
            return;
        }
        for cell in &mut buf.content {
            if recolour {
                cell.fg = palette::shown(cell.fg, self.colours, self.background);
                cell.bg = palette::shown(cell.bg, self.colours, self.background);
            }
            if self.signs != Signs::All
                && !cell.symbol().is_ascii()
                && let Some(plain) = self.signs.shown(cell.symbol().chars().next().unwrap_or(' '))
            {
                cell.set_char(plain);
            }
        }
    }
}

/// How many colours a terminal of that name has.
fn of_term(set: &impl Fn(&str) -> Option<String>) -> Colours {
    let term = set("TERM").unwrap_or_default();
    if term == "dumb" || term.starts_with("vt1") || term.starts_with("vt2") {
        return Colours::None;
    }
    // GNU screen hands COLORTERM on from the terminal around it and can't do what that says. tmux can.
    let screen = term.starts_with("screen") && set("TMUX").is_none();
    let truecolour = set("COLORTERM").is_some_and(|c| c == "truecolor" || c == "24bit") || term.ends_with("-direct");
    if truecolour && !screen {
        Colours::True
    } else if term.contains("256color") {
        Colours::Indexed
    } else {
        Colours::Sixteen
    }
}

/// The ASCII stand-in of a sign; none for text of other scripts.
fn stand_in(sign: char) -> Option<char> {
    Some(match sign {
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
        _ => return None,
    })
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
        assert_eq!(all, Theme::default());
        let none =
            Theme::detect(with(&[("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("NO_COLOR", "1"), ("COLORTERM", "truecolor")]));
        assert_eq!((none.colours, none.signs), (Colours::None, Signs::Ascii));
        // An empty NO_COLOR does not count, says the convention.
        assert_eq!(Theme::detect(with(&[("NO_COLOR", "")])).colours, Colours::Sixteen);
    }

    #[test]
    fn colours_are_those_the_terminal_has() {
        let of = |vars: &[(&str, &str)]| Theme::detect(with(vars)).colours;
        assert_eq!(of(&[("TERM", "xterm-256color")]), Colours::Indexed);
        assert_eq!(of(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Colours::True);
        assert_eq!(of(&[("TERM", "linux")]), Colours::Sixteen);
        assert_eq!(of(&[("TERM", "vt100"), ("COLORTERM", "truecolor")]), Colours::None);
        // GNU screen inside a terminal that could, tmux inside the same.
        assert_eq!(of(&[("TERM", "screen"), ("COLORTERM", "truecolor")]), Colours::Sixteen);
        assert_eq!(of(&[("TERM", "screen.xterm-256color"), ("COLORTERM", "truecolor")]), Colours::Indexed);
        assert_eq!(of(&[("TERM", "screen"), ("TMUX", "/tmp/t,1,0"), ("COLORTERM", "truecolor")]), Colours::True);
        // Who says what they want gets it.
        assert_eq!(of(&[("NO_COLOR", "1"), ("BANISTER_COLOURS", "256")]), Colours::Indexed);
    }

    #[test]
    fn the_background_is_what_the_terminal_or_the_operator_says() {
        let of = |vars: &[(&str, &str)]| Theme::detect(with(vars)).background;
        assert_eq!(of(&[]), Background::Unknown);
        assert_eq!(of(&[("COLORFGBG", "15;0")]), Background::Dark);
        assert_eq!(of(&[("COLORFGBG", "0;default;15")]), Background::Light);
        assert_eq!(of(&[("COLORFGBG", "default;default")]), Background::Unknown);
        assert_eq!(of(&[("COLORFGBG", "15;0"), ("BANISTER_BACKGROUND", "light")]), Background::Light);
    }

    #[test]
    fn without_unicode_nothing_but_ascii_is_left_and_wide_glyphs_keep_their_columns() {
        let mut buf = Buffer::with_lines(["┌✓ 主节点 ▶…─┐"]);
        let width = buf.area.width;
        Theme { signs: Signs::Ascii, ..Theme::default() }.finish(&mut buf);
        let text: String = buf.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(text, "++ ? ? ?  >~-+");
        assert_eq!(text.len(), usize::from(width));
    }

    #[test]
    fn on_the_linux_console_done_and_failed_do_not_look_the_same() {
        let console = Theme::detect(with(&[("LANG", "de_DE.UTF-8"), ("TERM", "linux")]));
        assert_eq!(console.signs, Signs::Console);
        assert_eq!(Theme::detect(with(&[("LANG", "C"), ("TERM", "linux")])).signs, Signs::Ascii);
        let mut buf = Buffer::with_lines(["┌✓✗ ▶…─┐ Müller 主"]);
        console.finish(&mut buf);
        let text: String = buf.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert_eq!(text, "┌+x ▶~─┐ Müller 主 ");
    }
}
