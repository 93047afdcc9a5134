//! # banister
//!
//! A rail to hold on to while walking up the steps: a terminal wizard that takes an on-call engineer through growing a
//! hand-built Kubernetes control plane over SSH, without losing the cluster.
//!
//! Data flows one way:
//!
//! ```text
//! cluster file ─▶ survey ─▶ runbook (steps) ─▶ engine ─▶ remote (ssh)
//!                                                │ events
//!                                journal ◀───────┼───────▶ ui · plain log · report
//! ```
//!
//! | room | what lives there | may use |
//! |---|---|---|
//! | [`lang`] | the language of what the operator reads; `tr!` | nothing |
//! | [`cast`] | a session's screen as an asciicast file, written and played | remote's cleaning |
//! | [`cluster`] | what the operator wrote, checked | nothing |
//! | [`pki`] | SAN sets, reading certificates, re-issuing a leaf; pure | nothing |
//! | [`remote`] | how a host is reached: operations, the shell they become, SSH, etcd through a tunnel | cluster, pki |
//! | [`survey`] | read-only: every host looked at, into one [`survey::Observed`] | remote, pki, cluster |
//! | [`runbook`] | the chapters as steps; `runbook::edit` are pure edits, text in, text out | engine's plain types, survey, remote, pki, cluster |
//! | [`engine`] | probe, preview, gate, confirm, journal, apply, verify | survey, remote, pki, cluster |
//! | [`watch`] | pollers for the live panels | remote, pki, cluster |
//! | [`practice`] | an in-memory cluster behind the same [`remote::Remote`], faults included | survey's parsers, remote, pki, cluster |
//! | [`training`] | questions before steps, and drills: accidents to find, name and repair | practice, engine's plain types, runbook's kinds, survey, remote, pki, cluster |
//! | [`ui`] | model, message, update, view | the plain data types of the others, never their doing |
//! | [`app`] | the one place that knows everybody | all |
//!
//! Every room may use `lang`, which is left out of the table's last column.
//!
//! `engine` defines the contract of a step ([`engine::Step`]) and `runbook` fills it in, so the arrow between these two
//! points from the runbook to the engine's types: the engine can run any steps and knows none of them.

// First: its macros are used by the rooms below.
#[macro_use]
pub mod lang;

pub mod app;
pub mod cast;
pub mod cluster;
pub mod engine;
pub mod pki;
pub mod practice;
pub mod remote;
pub mod runbook;
pub mod survey;
pub mod training;
pub mod ui;
pub mod watch;
