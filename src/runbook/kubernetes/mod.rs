//! Chapter 3: Kubernetes on the new masters. Nothing of it is started here: chapter 5 does that.
//!
//! A file that speaks of the original it comes from is never copied as it is: [`trees`] leaves it out, and [`addresses`]
//! (or [`kubelet`], for what the unit reads) writes it with the joiner's own name and address from the first moment. So no
//! kubelet that is started by hand in between could run another master's manifests.

use std::sync::Arc;

use super::Ctx;
use crate::engine::step::SharedStep;

mod addresses;
mod copied;
mod ground;
mod kubelet;
mod made;
mod packages;
mod trees;

/// The chapter's steps for this cluster file.
pub(super) fn steps(cx: &Arc<Ctx>) -> Vec<SharedStep> {
    let mut steps: Vec<SharedStep> = Vec::new();
    for joiner in &cx.cluster.join {
        steps.push(Arc::new(packages::Packages::new(cx.clone(), joiner.clone())));
        steps.push(Arc::new(trees::Trees::new(cx.clone(), joiner.clone())));
        steps.push(Arc::new(addresses::Addresses::new(cx.clone(), joiner.clone())));
        steps.push(Arc::new(kubelet::Kubelet::new(cx.clone(), joiner.clone())));
    }
    steps
}
