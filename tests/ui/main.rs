//! The screen, driven by messages and looked at as a whole.

mod fixtures;
mod keys;
mod look;
mod panels;
mod pictures;
mod plain;
mod questions;
mod screens;
mod training;
mod welcome;
