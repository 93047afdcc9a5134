//! The real program in a pseudo-terminal, read back through a terminal emulator: it starts, follows the size, leaves,
//! panics and is hung up on, and the terminal is afterwards as it was found.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its terminal has failed")]

mod cast;
mod ends;
mod frame;
mod practice;
mod screens;
mod terminal;
mod training;
