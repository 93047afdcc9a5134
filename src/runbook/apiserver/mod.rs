//! Chapter 4: the apiserver's certificate and flags, on every original.

use std::sync::Arc;

use super::Ctx;
use crate::engine::step::SharedStep;

/// The chapter's steps for this cluster file.
pub(super) fn steps(_cx: &Arc<Ctx>) -> Vec<SharedStep> {
    Vec::new()
}
