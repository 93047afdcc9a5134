//! The panels: one file each.

pub mod bars;
pub mod etcd;
pub mod log;
pub mod step;
pub mod steps;
