//! The real lab: growth of real clusters on real hosts, by the real binary. Wants root on Debian; without the lab it
//! fails, it never skips. `tests/lab/run` is the one command; its sections are the modules here.

#![cfg(test)]

mod banister;
mod bar;
mod conformance;
mod etcd;
mod hosts;
mod kubernetes;
mod matrix;
mod proofs;
mod reader;
mod terminal;
mod writer;
