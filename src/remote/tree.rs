//! Trees of files: packed on one host, unpacked on another, compared.

use std::time::Duration;

/// Trees of files: packed on one host, unpacked on another, compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeOp {}

impl TreeOp {
    /// The exact shell, see [`super::shell`].
    pub fn script(&self) -> String {
        match *self {}
    }

    /// One line for the log: what it does and to what. Never content.
    pub fn summary(&self) -> String {
        match *self {}
    }

    /// Whether it only looks.
    pub fn read_only(&self) -> bool {
        match *self {}
    }

    /// Most time it may take.
    pub fn deadline(&self) -> Duration {
        match *self {}
    }
}
