//! Questions that come from tasks and are answered at the screen: the engine's, and those of the login.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender},
    oneshot,
};

use super::Inner;
use crate::{
    cluster::HostName,
    engine::{
        Operator,
        confirm::{Choice, ConfirmRequest, Decision, Failure},
    },
    remote::{Asker, lock::Lock, ssh},
    ui::{ConnectState, Msg},
};

/// A person at the screen decides.
pub(super) struct AtWizard {
    pub to: UnboundedSender<Inner>,
    /// Whether points of no return want a second person.
    pub two_keys: bool,
}

#[async_trait]
impl Operator for AtWizard {
    async fn confirm(&self, request: ConfirmRequest) -> Decision {
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::Confirm(request, reply));
        // A screen that is gone says nothing, and nothing said is no.
        answer.await.unwrap_or(Decision::Stop)
    }

    fn two_keys(&self) -> bool {
        self.two_keys
    }

    async fn failed(&self, _: Failure) -> Choice {
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::Failed(reply));
        answer.await.unwrap_or(Choice::Stop)
    }

    async fn take_over(&self, lock: Lock) -> bool {
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::TakeOver(lock, reply));
        answer.await.unwrap_or(false)
    }
}

/// A person at the screen is asked while logging in.
pub(in crate::app) struct AtScreen {
    to: UnboundedSender<Inner>,
    next: AtomicU64,
}

impl AtScreen {
    /// Asks through the loop.
    pub fn new(to: UnboundedSender<Inner>) -> Self {
        Self { to, next: AtomicU64::new(1) }
    }

    /// Asks for something that is not shown while it is typed: a login, or a second person.
    pub async fn ask(&self, prompt: String, second: bool) -> Option<SecretString> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::Secret(id, reply));
        let _ = self.to.send(Inner::Msg(Msg::AskSecret { id, prompt, second }));
        answer.await.unwrap_or(None)
    }
}

#[async_trait]
impl Asker for AtScreen {
    async fn accept_host_key(&self, host: &HostName, address: &str, key_type: &str, fingerprint: &str) -> bool {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let _ = self.to.send(Inner::HostKey(id, reply));
        let _ = self.to.send(Inner::Msg(Msg::AskHostKey {
            id,
            host: host.clone(),
            address: address.into(),
            key_type: key_type.into(),
            fingerprint: fingerprint.into(),
        }));
        answer.await.unwrap_or(false)
    }

    async fn secret(&self, prompt: &str) -> Option<SecretString> {
        self.ask(prompt.to_owned(), false).await
    }
}

/// How the connections go, as messages for the screen.
pub(super) async fn relay_connects(
    mut arriving: UnboundedReceiver<(HostName, ssh::ConnectState)>,
    to: UnboundedSender<Inner>,
) {
    while let Some((host, state)) = arriving.recv().await {
        let state = match state {
            ssh::ConnectState::Dialling { .. } | ssh::ConnectState::LoggingIn { .. } => ConnectState::Connecting,
            ssh::ConnectState::HostKey { .. } => ConnectState::Asking,
            ssh::ConnectState::Up(_) => ConnectState::Connected,
            ssh::ConnectState::Failed(e) => ConnectState::Failed(e.to_string()),
        };
        if to.send(Inner::Msg(Msg::Connect(host, state))).is_err() {
            return;
        }
    }
}
