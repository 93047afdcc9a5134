//! Prints the scenes of the tests as a terminal would show them, or lets one be walked in.
//!
//! `cargo run --example screens -- 80x24 [SCENE…]` prints; `-- --walk SCENE` takes keys (and does nothing else with
//! them; F12 panics here and F11 on another thread, to see what becomes of the terminal). `NO_COLOR` and the locale are
//! heeded. `-- --pictures` writes the README's pictures anew.

#[path = "../tests/ui/fixtures.rs"]
mod fixtures;
#[path = "../tests/ui/pictures.rs"]
mod pictures;

use std::{
    error::Error,
    fmt::Write as _,
    time::{Duration, Instant},
};

use banister::ui::{Effect, Msg, Now, Theme, terminal::Guard, update, view};
use crossterm::event::{self, Event, KeyCode};
use ratatui::{Terminal, backend::TestBackend};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let theme = Theme::detect(|name| std::env::var(name).ok());
    if args.first().is_some_and(|a| a == "--walk") {
        return walk(args.get(1).map_or("wizard-running", String::as_str), theme);
    }
    if args.first().is_some_and(|a| a == "--pictures") {
        for (path, svg) in pictures::pictures() {
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            std::fs::write(&path, svg)?;
            println!("{}", path.display());
        }
        return Ok(());
    }
    let size = args.first().and_then(|a| a.split_once('x')).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    if size.is_some() {
        args.remove(0);
    }
    let size = size.unwrap_or((80, 24));
    let names: Vec<&str> =
        if args.is_empty() { fixtures::SCENES.to_vec() } else { args.iter().map(String::as_str).collect() };
    for name in names {
        println!("\u{1b}[0m--- {name} {}x{}", size.0, size.1);
        print(&fixtures::scene(name, size, theme), size)?;
    }
    Ok(())
}

/// One frame, a line a row, so that it can be piped and scrolled.
fn print(model: &banister::ui::Model, size: (u16, u16)) -> Result<(), Box<dyn Error>> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1))?;
    terminal.draw(|frame| view(model, frame))?;
    let cells = &terminal.backend().buffer().content;
    for row in cells.chunks(usize::from(size.0)) {
        println!("{}\u{1b}[0m", ansi(row));
    }
    Ok(())
}

/// A row of cells with SGR sequences.
fn ansi(cells: &[ratatui::buffer::Cell]) -> String {
    use ratatui::style::{Color, Modifier};
    let mut out = String::new();
    let mut x = 0;
    while let Some(cell) = cells.get(x) {
        out.push_str("\u{1b}[0m");
        for (flag, code) in
            [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::UNDERLINED, 4), (Modifier::REVERSED, 7)]
        {
            if cell.modifier.contains(flag) {
                let _ = write!(out, "\u{1b}[{code}m");
            }
        }
        let colour = match cell.fg {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Cyan => 36,
            _ => 39,
        };
        let _ = write!(out, "\u{1b}[{colour}m{}", cell.symbol());
        x += unicode_width::UnicodeWidthStr::width(cell.symbol()).max(1);
    }
    out
}

/// A scene to walk in: what would be done is said in the end.
fn walk(name: &str, theme: Theme) -> Result<(), Box<dyn Error>> {
    let mut said: Vec<Effect> = Vec::new();
    let (tell, panics) = std::sync::mpsc::channel();
    let (guard, mut screen) = Guard::enter(move |what| drop(tell.send(what)), None)?;
    let size = crossterm::terminal::size()?;
    let mut model = fixtures::scene(name, size, theme);
    let start = Instant::now();
    loop {
        screen.draw(|frame| view(&model, frame))?;
        let msg = if event::poll(Duration::from_millis(250))? {
            match event::read()? {
                Event::Key(key) if key.code == KeyCode::F(12) => panic!("on the thread that draws"),
                Event::Key(key) if key.code == KeyCode::F(11) => {
                    let _ = std::thread::spawn(|| panic!("on another thread")).join();
                    panics.try_recv().ok().map(Msg::Fatal)
                }
                Event::Key(key) => Some(Msg::Key(key)),
                Event::Paste(text) => Some(Msg::Paste(text)),
                Event::Resize(w, h) => Some(Msg::Resize(w, h)),
                _ => None,
            }
        } else {
            None
        };
        let at = Duration::from_mins(1) + start.elapsed();
        update(
            &mut model,
            Msg::Tick(Now { at, clock: jiff::Zoned::now().datetime(), epoch: jiff::Timestamp::now().as_second() }),
        );
        let effects = msg.map(|m| update(&mut model, m)).unwrap_or_default();
        let over = effects.contains(&Effect::Quit);
        said.extend(effects);
        if over {
            break;
        }
    }
    drop(guard);
    for effect in said {
        println!("{effect:?}");
    }
    Ok(())
}
