//! The runbook's chapters as steps.
pub mod edit;
pub mod texts;
