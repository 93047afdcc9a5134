//! The real lab: growth of real etcd clusters on real hosts, by the real binary. Wants root on Debian; without the lab
//! it fails, it never skips. `tests/lab/run` is the one command.

#![cfg(test)]

mod banister;
mod bar;
mod failures;
mod growth;
mod hosts;
mod keys;
mod matrix;
mod proofs;
mod terminal;
mod writer;
