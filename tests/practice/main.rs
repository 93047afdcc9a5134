//! Whole growths on the practice cluster: the program's own steps and engine against hosts that live in memory.

#![cfg(test)]

mod faults;
mod growth;
mod harness;
mod kube_faults;
mod kube_growth;
mod resume;
