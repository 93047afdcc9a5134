//! The one place that knows everybody: the command line, the channels and the select loop.

use std::process::ExitCode;

/// Runs the program and returns its exit code (documented in the README).
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
