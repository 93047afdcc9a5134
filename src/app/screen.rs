//! The terminal, taken: where is drawn, what comes in, and how it is given back.

use std::io::IsTerminal as _;

use tokio::sync::mpsc;

use super::{BAD_INPUT, input::Inputs};
use crate::ui::{
    Theme,
    terminal::{Guard, Screen},
};

/// The terminal for as long as this lives. Handed from the first screen to the wizard; never taken twice.
pub(super) struct Taken {
    /// Where is drawn.
    pub screen: Screen,
    /// What comes in.
    pub inputs: Inputs,
    /// What it can show.
    pub theme: Theme,
    /// Gives it back.
    _guard: Guard,
}

impl Taken {
    /// Takes it, on the thread that will draw. Where there is none, says so with what to do `instead`.
    ///
    /// # Errors
    /// The exit code.
    pub fn take(theme: Theme, instead: &str) -> Result<Self, u8> {
        if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            eprintln!("banister: the wizard needs a terminal; {instead}");
            return Err(BAD_INPUT);
        }
        let (panicked, panics) = mpsc::unbounded_channel();
        match Guard::enter(move |words| drop(panicked.send(words))) {
            Ok((guard, screen)) => Ok(Self { screen, inputs: Inputs::start(panics), theme, _guard: guard }),
            Err(e) => {
                eprintln!("banister: the terminal cannot be used: {e}");
                Err(1)
            }
        }
    }

    /// Its size in columns and rows.
    pub fn size(&self) -> (u16, u16) {
        self.screen.size().map_or((80, 24), |s| (s.width, s.height))
    }
}
