//! Pollers for the live panels.
