//! What a session showed, as an asciicast v2 file: written while it happens, read and shown again later.
//!
//! The format is [asciinema's](https://docs.asciinema.org/manual/asciicast/v2/): a line of JSON that says how large the
//! terminal was, then a line an event: seconds since the beginning, `o` for output or `r` for a new size, and the text.
//! Keys are not recorded: what is typed where stars are shown is nowhere in the file.
//!
//! A file that is played may come from anybody. Nothing of it reaches the terminal: an emulator takes it in, and what is
//! on the emulator's screen is drawn, letter by letter, each cleaned.

mod play;
mod read;
mod record;

pub use play::{Player, paint};
pub use read::{Cast, CastError, Event, What, read};
pub use record::Recorder;

/// Columns and rows beyond which a file is not believed.
pub const LARGEST: (u16, u16) = (1000, 500);
