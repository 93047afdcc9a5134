//! Acts on Kubernetes through its API, each shown as the `kubectl` that would do the same.

mod calico;
mod masters;
mod node;
mod tokens;
mod undo;

pub use calico::{Calico, ENTRY, Pods, RollPods, SaveObject, SetEndpoints, SetSecret, stale_pods};
pub use masters::{Chains, Starting, WaitMasters};
pub use node::{MarkNode, Marks};
pub use tokens::{AskTokens, Refusal, Tokens, ask_tokens};
pub use undo::KubeUndo;

use crate::{
    engine::plan::Shown,
    remote::{
        SharedRemote,
        kube::{ApiAt, KubeApi, KubeError},
    },
};

/// Said behind a command, since nothing of it runs on the host.
const THROUGH: &str = "through the API";

/// The API with the credential of one master's kubeconfig.
async fn open(remote: &SharedRemote, at: &ApiAt) -> Result<KubeApi, KubeError> {
    KubeApi::open(remote, at).await
}

/// `kubectl … # on HOST, through the API`, to be copied as it stands.
fn kubectl(at: &ApiAt, arguments: &str) -> String {
    let config = crate::remote::shell::qp(&at.kubeconfig);
    format!("kubectl --kubeconfig={config} {arguments}   # on {}, {THROUGH}", at.host)
}

fn shown(at: &ApiAt, title: String, arguments: &str) -> Shown {
    Shown { host: None, title, commands: kubectl(at, arguments) }
}
