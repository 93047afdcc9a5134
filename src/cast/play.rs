//! Playing: an emulator takes the recording in, and its screen is drawn.

use std::{num::NonZero, time::Duration};

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{Cast, Event, What};
use crate::remote::clean;

/// A recording that is being played.
pub struct Player {
    events: std::vec::IntoIter<Event>,
    next: Option<Event>,
    /// Where in the recording it is.
    at: Duration,
    /// How much faster than it was recorded.
    speed: f64,
    /// The longest wait between two events, before it is made faster.
    idle: Option<Duration>,
    emulator: vt100::Parser,
}

impl Player {
    /// At the beginning. `speed` is above 0; `idle` is the longest wait between two events.
    pub fn new(cast: Cast, speed: f64, idle: Option<Duration>) -> Self {
        let mut events = cast.events.into_iter();
        let next = events.next();
        let emulator = vt100::Parser::new(cells(cast.size.1), cells(cast.size.0), 0);
        Self { events, next, at: Duration::ZERO, speed: speed.max(0.01), idle, emulator }
    }

    /// How long to wait for the next event; `None` at the end.
    pub fn wait(&self) -> Option<Duration> {
        let gap = self.next.as_ref()?.at.saturating_sub(self.at);
        let gap = self.idle.map_or(gap, |idle| gap.min(idle));
        // The speed is at least 0.01 and a recording at most 1e7 seconds long.
        Some(Duration::from_secs_f64((gap.as_secs_f64() / self.speed).min(1e9)))
    }

    /// Takes the next event in; `false` at the end.
    pub fn step(&mut self) -> bool {
        let Some(event) = self.next.take() else { return false };
        self.at = event.at;
        match event.what {
            What::Output(text) => self.emulator.process(text.as_bytes()),
            What::Resize(columns, rows) => self.emulator.screen_mut().set_size(cells(rows), cells(columns)),
        }
        self.next = self.events.next();
        true
    }

    /// Where in the recording it is.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// Columns and rows of the recorded terminal now.
    pub fn size(&self) -> (u16, u16) {
        let (rows, columns) = self.emulator.screen().size();
        (columns.get(), rows.get())
    }

    /// The recorded terminal's screen.
    pub fn screen(&self) -> &vt100::Screen {
        self.emulator.screen()
    }
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap_or(NonZero::<u16>::MIN)
}

/// Draws an emulator's screen from the top left; what does not fit is cut off.
pub fn paint(screen: &vt100::Screen, area: Rect, colour: bool, buf: &mut Buffer) {
    let (rows, columns) = screen.size();
    for row in 0..rows.get().min(area.height) {
        for column in 0..columns.get().min(area.width) {
            let (Some(cell), Some(place)) = (screen.cell(row, column), buf.cell_mut((area.x + column, area.y + row)))
            else {
                continue;
            };
            if cell.is_wide_continuation() {
                continue;
            }
            // A wide glyph in the last column would push what follows out of place.
            let symbol = clean::line(cell.contents());
            let fits = !cell.is_wide() || column + 1 < area.width;
            place.set_symbol(if symbol.is_empty() || !fits { " " } else { &symbol });
            place.set_style(style(cell, colour));
        }
    }
}

fn style(cell: &vt100::Cell, colour: bool) -> Style {
    let of = |c: vt100::Color| match c {
        _ if !colour => Color::Reset,
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(i) => Color::Indexed(i),
        vt100::Color::Rgb(r, g, b) => Color::Rgb(r, g, b),
    };
    let modifiers = [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ];
    let on = modifiers.into_iter().filter(|(on, _)| *on).fold(Modifier::empty(), |all, (_, one)| all | one);
    Style::reset().fg(of(cell.fgcolor())).bg(of(cell.bgcolor())).add_modifier(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(events: &[(u64, What)]) -> Cast {
        let events =
            events.iter().map(|(ms, what)| Event { at: Duration::from_millis(*ms), what: what.clone() }).collect();
        Cast { size: (20, 4), title: String::new(), events }
    }

    fn output(text: &str) -> What {
        What::Output(text.into())
    }

    #[test]
    fn waits_are_cut_and_made_shorter() {
        let mut player =
            Player::new(cast(&[(1000, output("a")), (61_000, output("b"))]), 2.0, Some(Duration::from_secs(3)));
        assert_eq!(player.wait(), Some(Duration::from_millis(500)));
        assert!(player.step());
        assert_eq!(player.wait(), Some(Duration::from_millis(1500)));
        assert!(player.step() && !player.step());
        assert_eq!(player.wait(), None);
        assert_eq!(player.screen().contents(), "ab");
    }

    #[test]
    fn nothing_but_letters_of_a_hostile_file_reaches_the_terminal() {
        let hostile = "\u{1b}]52;c;aGk=\u{7}\u{1b}]0;owned\u{7}\u{1b}P1$r\u{1b}\\\u{1b}[5n\u{1b}[6n\u{1b}[?1003h\u{1b}[2J\u{1b}[1;1Hok\u{202e}x\u{200b}\u{9b}31m";
        let mut player = Player::new(cast(&[(0, output(hostile))]), 1.0, None);
        player.step();
        let mut buf = Buffer::empty(Rect::new(0, 0, 20, 4));
        paint(player.screen(), buf.area, true, &mut buf);
        let all: String = buf.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(all.starts_with("okx"), "{all:?}");
        assert_eq!(clean::line(&all), all);
    }

    #[test]
    fn noise_of_any_kind_and_any_size_is_survived() {
        let mut seed = 7_u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let bits = [
            "\u{1b}[",
            "\u{1b}",
            ";",
            "H",
            "J",
            "r",
            "L",
            "M",
            "P",
            "@",
            "S",
            "T",
            "A",
            "练",
            "\u{301}",
            "x",
            "\r",
            "\n",
            "\u{8}",
            "?",
            "h",
            "l",
            "m",
            "999999999",
            "0",
            "\t",
            "1",
            "c",
            "D",
            "8",
            "7",
        ];
        for _ in 0..400 {
            let mut player = Player::new(cast(&[]), 1.0, None);
            for _ in 0..60 {
                let text: String =
                    (0..next() % 40).map(|_| bits[usize::try_from(next()).unwrap() % bits.len()]).collect();
                player.next = Some(Event { at: Duration::ZERO, what: output(&text) });
                player.step();
                let (columns, rows) = (u16::try_from(next() % 30 + 1).unwrap(), u16::try_from(next() % 9 + 1).unwrap());
                player.next = Some(Event { at: Duration::ZERO, what: What::Resize(columns, rows) });
                player.step();
                let mut buf = Buffer::empty(Rect::new(0, 0, 13, 3));
                paint(player.screen(), buf.area, true, &mut buf);
            }
        }
    }
}
