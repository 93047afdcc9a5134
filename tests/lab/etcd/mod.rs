//! Chapters 1 and 2 on clusters of etcd alone: every version, and what goes wrong.

mod failures;
mod growth;
