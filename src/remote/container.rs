//! Containers and static pods: docker on a host, the manifests directory, the processes that come of it.

use std::time::Duration;

/// Containers and static pods: docker on a host, the manifests directory, the processes that come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerOp {}

impl ContainerOp {
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
