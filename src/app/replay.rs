//! `banister replay`: a recording on this terminal.

use std::{path::Path, time::Duration};

use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{BAD_INPUT, Extras, cli::ReplayArgs, input::Input, screen::Taken};
use crate::{
    cast::{self, Player},
    ui::terminal::Screen,
};

/// Plays a recording; the exit code.
pub(super) async fn run(args: &ReplayArgs) -> u8 {
    let cast = match cast::read(&args.file) {
        Ok(cast) => cast,
        Err(e) => {
            eprintln!("banister: {e}");
            return BAD_INPUT;
        }
    };
    let idle = args.idle_limit.map(Duration::from_secs_f64);
    let player = Player::new(cast, args.speed, idle);
    let mut taken = match Taken::take(Extras::default(), "", trs!("a recording is played on a terminal; run it at one"))
    {
        Ok(taken) => taken,
        Err(code) => return code,
    };
    let at = play(player, &mut taken, &args.file).await;
    taken.give_back();
    println!("{}", tr!("{file}: {seconds} s played", file = args.file.display(), seconds = at.as_secs()));
    0
}

async fn play(mut player: Player, taken: &mut Taken, file: &Path) -> Duration {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let mut paused = false;
    loop {
        let wait = player.wait();
        draw(&mut taken.screen, &player, colour, paused, file);
        let due = async {
            match wait.filter(|_| !paused) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            input = taken.next() => match input {
                Input::Event(TermEvent::Key(key)) if leaves(&key) => return player.at(),
                Input::Event(TermEvent::Key(KeyEvent {
                    code: KeyCode::Char(' '), kind: KeyEventKind::Press, ..
                })) => paused = !paused,
                Input::Event(_) | Input::Resize(..) | Input::Panicked(_) => {}
                Input::Gone | Input::Terminate => return player.at(),
            },
            () = due => {
                player.step();
                // What is due at once is taken in at once: a frame costs more than a look.
                while player.wait() == Some(Duration::ZERO) {
                    player.step();
                }
            }
        }
    }
}

fn leaves(key: &KeyEvent) -> bool {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && matches!((key.code, ctrl), (KeyCode::Char('q') | KeyCode::Esc, false) | (KeyCode::Char('c'), true))
}

fn draw(screen: &mut Screen, player: &Player, colour: bool, paused: bool, file: &Path) {
    let _ = screen.draw(|frame| {
        let area = frame.area();
        cast::paint(player.screen(), area, colour, frame.buffer_mut());
        let (columns, rows) = player.size();
        let cut = columns > area.width || rows > area.height;
        let words = match (player.wait(), paused, cut) {
            (None, ..) => trs!(" end of the recording: q leaves ").to_owned(),
            (_, true, _) => trs!(" held: Space goes on, q leaves ").to_owned(),
            (.., true) => {
                tr!(" recorded at {columns}x{rows}: enlarge the terminal to see all ", columns = columns, rows = rows)
            }
            _ => return,
        };
        let title = crate::remote::clean::line(&tr!(" replay of {file}{words}", file = file.display(), words = words));
        let width = u16::try_from(title.chars().count()).unwrap_or(u16::MAX).min(area.width);
        if area.height > 0 {
            let style = ratatui::style::Style::new().add_modifier(ratatui::style::Modifier::REVERSED);
            frame.buffer_mut().set_stringn(area.right() - width, area.bottom() - 1, title, usize::from(width), style);
        }
    });
}
