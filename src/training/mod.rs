//! What a trainer uses: questions before a step ([`quiz`]), accidents to find and repair ([`drill`]).
//!
//! Both are data in `assets/`; the code holds a small closed set of what can be asked about, so that no number, name or
//! command in a question is written down: each is worked out from the cluster and the plan of that moment.

pub mod drill;
pub mod quiz;
