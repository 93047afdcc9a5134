//! Whole growths on the practice cluster: the program's own steps and engine against hosts that live in memory.

#![cfg(test)]

mod docs;
mod drills;
mod faults;
mod faults_kube;
mod full_disk;
mod growth;
mod harness;
mod kube_growth;
mod lock;
mod matrix;
mod questions;
mod two_keys;
mod watch;
