//! russh's callbacks: the host key check, and what the host says on the side.

use std::sync::{Arc, Mutex, PoisonError};

use russh::{
    ChannelId, ChannelOpenFailure, Error,
    client::{DisconnectReason, Handler, Session},
    keys::{PublicKey, PublicKeyOrCertificate},
};
use tokio::sync::Notify;

use crate::remote::clean;

use super::hostkey::{Records, Verdict};

/// What a connection's callbacks noticed, for the errors.
#[derive(Default)]
pub(super) struct Noticed {
    inner: Mutex<Inner>,
    refusal: Notify,
}

#[derive(Default)]
struct Inner {
    key: Option<(PublicKey, Verdict)>,
    goodbye: Option<String>,
    refusals: Vec<(ChannelOpenFailure, String)>,
}

impl Noticed {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The host key presented and what was found about it.
    pub fn key(&self) -> Option<(PublicKey, Verdict)> {
        self.with(|i| i.key.clone())
    }

    /// Why the connection ended, as far as is known.
    pub fn goodbye(&self) -> Option<String> {
        self.with(|i| i.goodbye.clone())
    }

    /// The words that came with a refused channel. russh gives its opener only the code and the words to a callback right
    /// after, so two refusals with the same code at the same moment may swap words.
    pub async fn refusal(&self, code: &ChannelOpenFailure) -> String {
        let take = || self.with(|i| i.refusals.iter().position(|(c, _)| c == code).map(|at| i.refusals.remove(at).1));
        for _ in 0..2 {
            let more = self.refusal.notified();
            if let Some(words) = take() {
                return words;
            }
            let _ = tokio::time::timeout(std::time::Duration::from_millis(100), more).await;
        }
        take().unwrap_or_default()
    }
}

/// The callbacks of one connection.
pub(super) struct Client {
    /// What is on record for this host.
    pub records: Records,
    /// A key a person accepted for this host in this run.
    pub accepted: Vec<PublicKey>,
    /// Where the callbacks write.
    pub noticed: Arc<Noticed>,
}

impl Handler for Client {
    type Error = Error;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Error> {
        // Certificates are never asked for; one that comes all the same vouches for nothing.
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else { return Ok(false) };
        let verdict = match self.records.verdict(key) {
            Verdict::Unknown if self.accepted.iter().any(|a| a.key_data() == key.key_data()) => Verdict::Known,
            verdict => verdict,
        };
        let known = verdict == Verdict::Known;
        self.noticed.with(|i| i.key = Some((key.clone(), verdict)));
        Ok(known)
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.noticed.with(|i| {
            if i.refusals.len() >= 32 {
                i.refusals.remove(0);
            }
            i.refusals.push((reason, clean::line(description)));
        });
        self.noticed.refusal.notify_waiters();
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        let (words, result) = match reason {
            DisconnectReason::ReceivedDisconnect(info) => (clean::line(&info.message), Ok(())),
            DisconnectReason::Error(e) => (e.to_string(), Err(e)),
        };
        self.noticed.with(|i| i.goodbye = Some(words));
        result
    }

    // A client of ours never asked for forwarding: whatever channel a host tries to open is refused (dropping the reply
    // handle refuses it; the defaults accept).
    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: russh::Channel<russh::client::Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: russh::client::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: russh::Channel<russh::client::Msg>,
        _: &str,
        _: russh::client::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: russh::Channel<russh::client::Msg>,
        _: russh::client::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: russh::Channel<russh::client::Msg>,
        _: russh::client::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: russh::Channel<russh::client::Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: russh::client::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: russh::Channel<russh::client::Msg>,
        _: &str,
        _: russh::client::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: russh::Channel<russh::client::Msg>,
        _: &str,
        _: u32,
        _: russh::client::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }
}
