//! One logged-in connection, the channels on it, and the lane that keeps one such connection per host.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use russh::{
    Channel, ChannelOpenFailure, ChannelWriteHalf, Error, Sig,
    client::{Handle, Msg},
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::remote::RemoteError;

use super::{
    handler::{Client, Noticed},
    tunnel::Tunnel,
};

/// Channels that run something at one time: a stock sshd allows ten (`MaxSessions`), of which two stay free.
const EXECS: usize = 8;
/// Most time a host may take to open a channel.
pub(super) const OPEN: Duration = Duration::from_secs(5);
/// Most time a host is given to clear away channels that have ended.
const FREES: Duration = Duration::from_secs(5);
/// How long between two tries meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A logged-in connection.
pub(super) struct Session {
    handle: Handle<Client>,
    noticed: Arc<Noticed>,
    execs: Arc<Semaphore>,
    dead: AtomicBool,
    /// What the caller is told about it.
    pub facts: super::Connected,
}

/// Why no channel opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// The connection is gone: a new one may do better.
    Gone,
    /// The host said no; its code and words.
    Refused(ChannelOpenFailure, String),
    /// No answer within [`OPEN`].
    Slow,
}

impl Session {
    /// Of a handle that has logged in.
    pub fn new(handle: Handle<Client>, noticed: Arc<Noticed>, facts: super::Connected) -> Self {
        Self { handle, noticed, execs: Arc::new(Semaphore::new(EXECS)), dead: AtomicBool::new(false), facts }
    }

    /// Whether the connection is still up, as far as is known.
    pub fn alive(&self) -> bool {
        !self.handle.is_closed() && !self.dead.load(Ordering::SeqCst)
    }

    /// Gives it up: it was found dead before its end was noticed.
    pub fn give_up(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Whether the host answers on it right now; one that does not is given up.
    pub async fn answers(&self) -> bool {
        if timeout(OPEN, self.handle.send_ping()).await.is_err() {
            self.give_up();
        }
        self.alive()
    }

    /// Waits for one of the [`EXECS`] places.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.execs.clone().acquire_owned().await.ok()
    }

    /// Opens a channel to run something in.
    ///
    /// A busy sshd counts what has ended until it has cleared it away, and refuses one too many meanwhile. Nothing was begun
    /// by that, so it is asked again, for at most [`FREES`].
    pub async fn open_exec(&self) -> Result<Channel<Msg>, NotOpened> {
        let began = Instant::now();
        loop {
            match self.opened(timeout(OPEN, self.handle.channel_open_session()).await).await {
                Err(NotOpened::Refused(ChannelOpenFailure::ConnectFailed, _)) if began.elapsed() < FREES => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                other => return other,
            }
        }
    }

    /// Opens a byte stream from the host to somewhere; `limit` bytes may wait unread.
    pub async fn open_tunnel(self: &Arc<Self>, host: &str, port: u16, limit: usize) -> Result<Tunnel, NotOpened> {
        let opening = self.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0);
        let channel = self.opened(timeout(OPEN, opening).await).await?;
        Ok(Tunnel::new(channel, limit, self.clone()))
    }

    async fn opened<E>(&self, result: Result<Result<Channel<Msg>, Error>, E>) -> Result<Channel<Msg>, NotOpened> {
        match result {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(Error::ChannelOpenFailure(code))) => {
                let words = self.noticed.refusal(&code).await;
                Err(NotOpened::Refused(code, words))
            }
            Ok(Err(_)) => Err(NotOpened::Gone),
            Err(_) if !self.alive() => Err(NotOpened::Gone),
            Err(_) => Err(NotOpened::Slow),
        }
    }
}

/// Closes a channel when dropped, so that what runs on the other side notices.
pub(super) struct Closing {
    write: Option<Arc<ChannelWriteHalf<Msg>>>,
    /// Whether something runs there that should be told to stop first.
    pub running: bool,
}

impl Closing {
    /// Watches over that channel.
    pub fn new(write: Arc<ChannelWriteHalf<Msg>>) -> Self {
        Self { write: Some(write), running: false }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let (Some(write), Ok(runtime)) = (self.write.take(), tokio::runtime::Handle::try_current()) else { return };
        let running = self.running;
        runtime.spawn(async move {
            // sshd passes signals on for users other than root; for root, scripts watch their standard input.
            if running {
                let _ = write.signal(Sig::TERM).await;
            }
            let _ = write.close().await;
        });
    }
}

/// Keeps one session to a host: lost ones are dialled again on the next use, by one caller for all who wait.
#[derive(Default)]
pub(super) struct Lane {
    state: Mutex<LaneState>,
    failures: AtomicU64,
}

#[derive(Default)]
struct LaneState {
    session: Option<Arc<Session>>,
    failure: Option<RemoteError>,
}

impl Lane {
    /// The session, dialled by `open` if there is none alive.
    pub async fn get<F>(&self, open: F) -> Result<Arc<Session>, RemoteError>
    where
        F: Future<Output = Result<Session, RemoteError>>,
    {
        let failures = self.failures.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        if let Some(session) = state.session.as_ref().filter(|s| s.alive()) {
            return Ok(session.clone());
        }
        // Somebody's dial failed while this caller waited for it: that was this caller's dial too.
        if let Some(failure) = state.failure.as_ref().filter(|_| self.failures.load(Ordering::SeqCst) != failures) {
            return Err(failure.clone());
        }
        state.session = None;
        match open.await {
            Ok(session) => Ok(state.session.insert(Arc::new(session)).clone()),
            Err(e) => {
                state.failure = Some(e.clone());
                self.failures.fetch_add(1, Ordering::SeqCst);
                Err(e)
            }
        }
    }
}
