//! Keys, and the signals that mean the terminal.
//!
//! Reading has a thread of its own. crossterm reads a terminal that has gone away in a loop without end, and a sequence
//! that is cut off blocks it: neither may happen to the thread that draws. So the thread asks the system first whether
//! there is something to read, and whether there still is a terminal. Of crossterm's two readers it is the level-triggered
//! one (`use-dev-tty`): the other keeps a key back until the next one, when a change of size came in the same moment.

use std::{io, thread, time::Duration};

use crossterm::{event, terminal};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
};

/// How long to wait where there is something to read, but no whole key.
const PART: Duration = Duration::from_millis(10);

/// How long crossterm may look for another event. Not zero: with no time at all it does not even look.
const LOOK: Duration = Duration::from_millis(1);

/// What a terminal does.
#[derive(Debug)]
pub(super) enum Input {
    /// A key, a paste.
    Event(event::Event),
    /// Its size is another now.
    Resize(u16, u16),
    /// It is gone: nobody sees anything any more.
    Gone,
    /// Asked to end, by SIGTERM.
    Terminate,
    /// A task of the program panicked, with these words.
    Panicked(String),
}

/// The terminal's doings, for as long as the program runs: made once, then handed from screen to screen.
#[derive(Debug)]
pub(super) struct Inputs {
    keys: UnboundedReceiver<event::Event>,
    keys_open: bool,
    panics: UnboundedReceiver<String>,
    hangup: Option<Signal>,
    terminate: Option<Signal>,
    resize: Option<Signal>,
}

impl Inputs {
    /// Begins to read. To be called in a runtime, with the terminal taken. `panics` brings the words of panics elsewhere.
    pub fn start(panics: UnboundedReceiver<String>) -> Self {
        let (to, keys) = mpsc::unbounded_channel();
        thread::spawn(move || read(&to));
        Self {
            keys,
            keys_open: true,
            panics,
            hangup: signal(SignalKind::hangup()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
            resize: signal(SignalKind::window_change()).ok(),
        }
    }

    /// Waits for the next one. May be given up and called again: nothing is lost.
    pub async fn next(&mut self) -> Input {
        loop {
            tokio::select! {
                biased;
                () = next(&mut self.hangup) => return Input::Gone,
                () = next(&mut self.terminate) => return Input::Terminate,
                () = next(&mut self.resize) => {
                    if let Ok((columns, rows)) = terminal::size() {
                        return Input::Resize(columns, rows);
                    }
                }
                Some(words) = self.panics.recv() => return Input::Panicked(words),
                key = self.keys.recv(), if self.keys_open => match key {
                    // The signal above says it sooner, with the size as it is now.
                    Some(event::Event::Resize(..)) => {}
                    Some(event) => return Input::Event(event),
                    None => {
                        self.keys_open = false;
                        return Input::Gone;
                    }
                },
            }
        }
    }
}

/// Reads until the terminal is gone or nobody listens.
fn read(to: &UnboundedSender<event::Event>) {
    while readable() {
        let mut any = false;
        // Hardly waits in there: a terminal that goes away meanwhile would not be noticed.
        while event::poll(LOOK).unwrap_or(false) {
            let Ok(event) = event::read() else { break };
            any = true;
            if to.send(event).is_err() {
                return;
            }
        }
        if !any {
            thread::sleep(PART);
        }
    }
}

/// Waits until there is something to read. No, when there is no terminal any more.
fn readable() -> bool {
    let stdin = io::stdin();
    loop {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) => return !fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// The next signal of a kind; never, where it can't be caught.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
