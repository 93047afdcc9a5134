//! How an undo shows and runs itself.
use super::{Act, ActCx, ActError, UndoAct};
use crate::engine::plan::Shown;
use async_trait::async_trait;

impl UndoAct {
    /// How it is shown.
    pub fn shown(&self) -> Shown {
        Shown::default()
    }
}
