//! Questions to a person: one at a time, whoever asks.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{sync::Mutex, time::timeout};

use crate::{
    cluster::HostName,
    remote::{Asker, clean},
};

use super::hostkey::Shown;

/// How long a question stays open before it counts as not answered.
const PATIENCE: Duration = Duration::from_mins(10);

/// The [`Asker`], with its questions in a queue so that prompts of several hosts never interleave.
pub(super) struct Questions {
    asker: Arc<dyn Asker>,
    turn: Mutex<()>,
}

impl Questions {
    /// Over that asker.
    pub fn new(asker: Arc<dyn Asker>) -> Self {
        Self { asker, turn: Mutex::default() }
    }

    /// Asks for a secret. The prompt may come from a host and is cleaned here.
    pub async fn secret(&self, prompt: &str) -> Option<SecretString> {
        let _turn = self.turn.lock().await;
        timeout(PATIENCE, self.asker.secret(clean::line(prompt).trim())).await.ok().flatten()
    }

    /// Asks about an unknown host key, unless `settled` has an answer by the time it is this question's turn.
    pub async fn host_key(
        &self,
        host: &HostName,
        address: &str,
        key: &Shown,
        settled: impl FnOnce() -> Option<bool>,
    ) -> bool {
        let _turn = self.turn.lock().await;
        if let Some(answer) = settled() {
            return answer;
        }
        let asked = self.asker.accept_host_key(host, address, &key.key_type, &key.fingerprint);
        timeout(PATIENCE, asked).await.unwrap_or(false)
    }
}
