//! The screen, driven by messages and looked at as a whole.

mod fixtures;
mod keys;
mod pictures;
mod plain;
mod questions;
mod screens;
mod welcome;
