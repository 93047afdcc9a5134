//! A practice cluster inside the binary: the same wizard, engine and steps against hosts that live in memory.
//!
//! [`Practice`] is a [`Remote`]: operations change the files, users and units of its hosts ([`ops`]), and a dialled port is a
//! real TLS server that serves what lies in that host's files: etcd's own services in front of a model of membership
//! ([`etcd`]), and an API in front of kubelets, nodes and pods ([`kube`]). A wrong name in a certificate is a true TLS error, a wrong port in etcd.conf a true last line in a journal.
//!
//! What a cluster looks like is data: `assets/practice/*.yaml`, read by [`scenario`] and laid out by [`build`]. Accidents
//! have names and can be switched on there or from a test ([`faults`]); what somebody did and may do is [`deeds`], and whether
//! it helped [`checks`]. What takes time goes by [`clock::Clock`], which can
//! run faster than the operator's.
//!
//! Deliberately different from real hosts: `assets/practice/differences.md`.

pub mod build;
pub mod checks;
pub mod clock;
pub mod deeds;
pub mod etcd;
pub mod faults;
pub mod files;
pub mod host;
pub mod kube;
pub mod ops;
mod pki;
mod remote;
pub mod scenario;
pub mod tap;
pub mod tls;
pub mod units;
pub mod world;

pub use build::{Options, build, cluster_of};
pub use faults::Fault;
pub use remote::Practice;
pub use scenario::{Scenario, ScenarioError};
