//! Taking the terminal over, and giving it back whatever happens: the only I/O of this room.
//!
//! Giving back happens once, from whichever comes first: [`Guard`]'s drop, [`restore`], or a panic of the thread that
//! entered. A panic of any OTHER thread must not hand the terminal back under a live screen, nor print into it: it is
//! passed to the callback of [`Guard::enter`], so that it becomes a message on the screen.

use std::{
    io::{self, Stdout, Write},
    mem::ManuallyDrop,
    panic::PanicHookInfo,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ThreadId},
};

use crossterm::{
    cursor::{Hide, Show},
    event::{DisableBracketedPaste, EnableBracketedPaste},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use ratatui::{Terminal, backend::CrosstermBackend};

/// The terminal the wizard draws on. Never dropped: ratatui's own drop complains on standard error when the cursor can't
/// be shown, and where the terminal has gone away that complaint is a panic. [`Guard`] shows the cursor.
pub type Screen = ManuallyDrop<Terminal<CrosstermBackend<Out>>>;

/// Where frames go: to the terminal, and a copy of them to whoever records the session.
pub struct Out {
    stdout: Stdout,
    copy: Option<Box<dyn Write>>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stdout.write(bytes)?;
        if let Some(copy) = &mut self.copy {
            // A recording that cannot be written says so itself; the session goes on.
            let _ = copy.write_all(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(copy) = &mut self.copy {
            let _ = copy.flush();
        }
        self.stdout.flush()
    }
}

/// Whether the terminal is ours now.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Holds the terminal; dropping it gives the terminal back.
#[derive(Debug)]
pub struct Guard {
    _only_made_by_enter: (),
}

impl Guard {
    /// Takes the terminal: raw mode, alternate screen, bracketed paste, cursor hidden. To be called on the thread that
    /// draws, after any other panic hook (color-eyre's) is installed.
    ///
    /// `on_task_panic` gets the words of a panic on any other thread while the screen is up; it should send
    /// [`super::Msg::Fatal`]. `copy` gets all that is drawn.
    ///
    /// # Errors
    /// When the terminal refuses; what was changed until then is undone.
    pub fn enter(
        on_task_panic: impl Fn(String) + Send + Sync + 'static,
        copy: Option<Box<dyn Write>>,
    ) -> io::Result<(Self, Screen)> {
        hook(thread::current().id(), on_task_panic);
        ENTERED.store(true, Ordering::SeqCst);
        let guard = Self { _only_made_by_enter: () };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide)?;
        let screen = Terminal::new(CrosstermBackend::new(Out { stdout: io::stdout(), copy }))?;
        Ok((guard, ManuallyDrop::new(screen)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back; does nothing when it isn't ours. Errors are of no use here: the terminal may be gone.
pub fn restore() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Wraps the panic hook there is.
fn hook(drawing: ThreadId, on_task_panic: impl Fn(String) + Send + Sync + 'static) {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().id() == drawing {
            restore();
            previous(info);
        } else if ENTERED.load(Ordering::SeqCst) {
            on_task_panic(words(info));
        } else {
            previous(info);
        }
    }));
}

/// What a panic says, on one line.
fn words(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or(trs!("no message"));
    info.location().map_or_else(|| what.to_owned(), |l| format!("{what} ({}:{})", l.file(), l.line()))
}
