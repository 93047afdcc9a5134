//! The screen, driven by messages and looked at as a whole.

mod fixtures;
mod keys;
mod questions;
mod screens;
