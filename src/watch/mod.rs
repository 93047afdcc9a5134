//! Pollers for the live panels.
//!
//! Every one of them looks, waits, and looks again in a task of its own, so that a look never overlaps itself; each look
//! has a deadline; and what belongs to one host is looked at by a task of that host, so that a slow one holds nobody up.

mod logs;
mod nodes;
mod served;

pub use logs::{Follow, LogLine, LogMsg, Origin, Source, logs};
pub use nodes::{NODES_EVERY, NodeSeen, NodesLook, NodesSeen, Ready, nodes};
pub use served::{Clients, Port, PortSeen, SERVED_EVERY, ServedCert, served};

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    time::timeout,
};

use crate::remote::etcd::{EtcdApi, Membership};

/// How often etcd is looked at.
pub const ETCD_EVERY: Duration = Duration::from_secs(2);

/// Changes when files or certificates may have changed: whoever waits then looks at once. A nudge that comes during a
/// look counts for the next one.
pub type Nudge = watch::Receiver<u64>;

/// Waits for the next look, or for a nudge; where nobody nudges any more, for the next look.
pub async fn pause(every: Duration, nudge: &mut Nudge) {
    let nudged = async {
        if nudge.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let _ = timeout(every, nudged).await;
}

/// Looks at etcd again and again until nobody listens. Each look has its own deadline inside [`EtcdApi`].
pub async fn etcd(api: Arc<EtcdApi>, out: UnboundedSender<Result<Membership, String>>) {
    let mut beat = tokio::time::interval(ETCD_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let look = api.look().await.map_err(|e| e.to_string());
        if out.send(look).is_err() {
            return;
        }
    }
}
