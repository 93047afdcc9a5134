//! The terminal, taken: where is drawn, what comes in, and how it is given back.

use std::io::{IsTerminal as _, Write};

use tokio::sync::mpsc;

use super::{
    BAD_INPUT, Extras, Training,
    input::{Input, Inputs},
};
use crate::{
    cast::Recorder,
    ui::{
        Theme,
        terminal::{Guard, Screen},
        theme::Colours,
    },
};

/// The terminal for as long as this lives. Handed from the first screen to the wizard; never taken twice.
pub(super) struct Taken {
    /// Where is drawn.
    pub screen: Screen,
    inputs: Inputs,
    /// What it can show.
    pub theme: Theme,
    /// What is trained there.
    pub training: Training,
    recorder: Option<Recorder>,
    /// Gives it back.
    guard: Guard,
}

impl Taken {
    /// Takes it, on the thread that will draw; a recording, where one is asked for, is `called` so. Where there is no
    /// terminal, says what is `otherwise` to be done.
    ///
    /// # Errors
    /// The exit code.
    pub fn take(extras: Extras, called: &str, otherwise: &str) -> Result<Self, u8> {
        if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            eprintln!("banister: {otherwise}");
            return Err(BAD_INPUT);
        }
        let size = crossterm::terminal::size().unwrap_or((80, 24));
        let title = format!("banister {called}");
        let recorder = extras.record.map(|path| Recorder::create(&path, size, &title)).transpose().map_err(|e| {
            eprintln!("banister: {e}");
            BAD_INPUT
        })?;
        // Who asks for colours by name gets them, whatever NO_COLOR says.
        crossterm::style::force_color_output(extras.theme.colours != Colours::None);
        let (panicked, panics) = mpsc::unbounded_channel();
        let copy = recorder.clone().map(|r| Box::new(r) as Box<dyn Write>);
        match Guard::enter(move |words| drop(panicked.send(words)), copy) {
            Ok((guard, screen)) => Ok(Self {
                screen,
                inputs: Inputs::start(panics),
                theme: extras.theme,
                training: extras.training,
                recorder,
                guard,
            }),
            Err(e) => {
                eprintln!("{}", tr!("banister: the terminal cannot be used: {e}", e = e));
                Err(1)
            }
        }
    }

    /// Its size in columns and rows.
    pub fn size(&self) -> (u16, u16) {
        self.screen.size().map_or((80, 24), |s| (s.width, s.height))
    }

    /// What comes in next. A recording is told of a new size.
    pub async fn next(&mut self) -> Input {
        let input = self.inputs.next().await;
        if let (Input::Resize(columns, rows), Some(recorder)) = (&input, &self.recorder) {
            recorder.resized(*columns, *rows);
        }
        input
    }

    /// Gives it back, and ends the recording.
    pub fn give_back(self) {
        drop(self.guard);
        if let Some(Err(why)) = self.recorder.map(|r| r.end(crossterm::terminal::size().map_or(24, |s| s.1))) {
            eprintln!("banister: {why}");
        }
    }
}
