//! Somebody who is told of every change before it is made and before it is answered: how a test strikes in the middle of one.

use async_trait::async_trait;

use crate::cluster::HostName;

/// One change: an operation that does not only look, or a call of an API that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The host that it is made on, or whose API is asked.
    pub host: HostName,
    /// What it is, in words.
    pub what: String,
}

/// What comes of a change that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is answered.
    Given,
    /// The answer is lost.
    Lost,
}

/// Listens to changes. Both may wait: the change waits with them.
#[async_trait]
pub trait Tap: Send + Sync {
    /// It is about to be made.
    async fn before(&self, change: &Change);

    /// It was made and is about to be answered.
    async fn after(&self, change: &Change) -> Reply;
}
