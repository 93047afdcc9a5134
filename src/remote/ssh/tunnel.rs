//! A direct-tcpip channel as a byte stream that never holds up its session.
//!
//! One unread channel stalls all others of its session, so every tunnel is drained by a task of its own into a queue with
//! a limit. A reader that falls too far behind loses its own stream, not everybody's.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use russh::{Channel, ChannelMsg, ChannelReadHalf, client::Msg};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    task::AbortHandle,
};

use super::session::{Closing, Session};

/// The stream.
pub(super) struct Tunnel {
    incoming: mpsc::UnboundedReceiver<Bytes>,
    chunk: Bytes,
    queue: Arc<Queue>,
    outgoing: Pin<Box<dyn AsyncWrite + Send>>,
    drain: AbortHandle,
    _closing: Closing,
    // A bastion's session must live as long as what runs through it.
    _session: Arc<Session>,
}

#[derive(Default)]
struct Queue {
    bytes: AtomicUsize,
    overrun: AtomicBool,
    /// The far side finished by itself, rather than the connection breaking.
    finished: AtomicBool,
}

impl Tunnel {
    /// Of an open channel; `limit` bytes may wait unread.
    pub fn new(channel: Channel<Msg>, limit: usize, session: Arc<Session>) -> Self {
        let (read, write) = channel.split();
        let (sender, incoming) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue::default());
        let drain = tokio::spawn(drain(read, sender, queue.clone(), limit)).abort_handle();
        let outgoing = Box::pin(write.make_writer());
        let closing = Closing::new(Arc::new(write));
        Self { incoming, chunk: Bytes::new(), queue, outgoing, drain, _closing: closing, _session: session }
    }
}

async fn drain(mut read: ChannelReadHalf, sender: mpsc::UnboundedSender<Bytes>, queue: Arc<Queue>, limit: usize) {
    loop {
        match read.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if queue.bytes.fetch_add(data.len(), Ordering::SeqCst) + data.len() > limit {
                    queue.overrun.store(true, Ordering::SeqCst);
                    return;
                }
                if sender.send(data).is_err() {
                    return;
                }
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) => {
                queue.finished.store(true, Ordering::SeqCst);
                return;
            }
            None => return,
            Some(_) => {}
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() {
            match ready!(self.incoming.poll_recv(cx)) {
                Some(chunk) => {
                    self.queue.bytes.fetch_sub(chunk.len(), Ordering::SeqCst);
                    self.chunk = chunk;
                }
                None if self.queue.finished.load(Ordering::SeqCst) => return Poll::Ready(Ok(())),
                None => {
                    let overrun = self.queue.overrun.load(Ordering::SeqCst);
                    let why = if overrun {
                        trs!("read too slowly: too much waits unread")
                    } else {
                        trs!("the ssh connection was lost")
                    };
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, why)));
                }
            }
        }
        let n = buf.remaining().min(self.chunk.len());
        buf.put_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // The channel's writer takes an empty buffer for an error.
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.outgoing.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.as_mut().poll_shutdown(cx)
    }
}
