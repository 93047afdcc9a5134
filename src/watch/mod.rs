//! Pollers for the live panels.

mod logs;
mod served;

pub use logs::{LogLine, LogMsg, Source, logs};
pub use served::{Clients, PortSeen, SERVED_EVERY, ServedCert, served};

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc::UnboundedSender;

use crate::remote::etcd::{EtcdApi, Membership};

/// How often etcd is looked at.
pub const ETCD_EVERY: Duration = Duration::from_secs(2);

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
