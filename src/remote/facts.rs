//! One look at a host, as shell.
use std::path::PathBuf;

/// (stub)
pub fn script(_ports: &[u16], _space: &[PathBuf], _programs: &[String]) -> String {
    String::new()
}
