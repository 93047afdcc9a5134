//! The distribution's package manager.

use std::time::Duration;

/// The distribution's package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageOp {}

impl PackageOp {
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
