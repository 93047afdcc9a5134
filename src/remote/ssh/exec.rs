//! One command in one channel: standard input in, output out, its exit status; and its end with the channel.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client::Msg};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use crate::remote::{MAX_CAPTURE, Output, SecretBytes, Stdin, Stdout, clean};

use super::session::Closing;

/// Standard error kept for [`Output::stderr`].
const STDERR_KEPT: usize = 64 << 10;
/// A line of standard error longer than this is cut into several.
const LINE: usize = 16 << 10;
/// Unwritten output that may pile up where the writer must not hold up its session.
const QUEUED: usize = 8 << 20;
/// After the exit status, how long the rest of the output may keep waiting: a child left behind may hold it open.
const AFTER_EXIT: Duration = Duration::from_secs(10);
/// One packet's worth of a stream.
const CHUNK: usize = 32 << 10;

/// What to run.
pub(super) struct Job {
    /// The line the login shell gets.
    pub command: String,
    /// What goes into standard input first: a sudo password, the operation's own content.
    pub first: Vec<SecretBytes>,
    /// What follows.
    pub stdin: Stdin,
    /// Standard input stays open until the job ends: its script watches it.
    pub keep_open: bool,
    /// Where output goes.
    pub stdout: Stdout,
    /// The session is shared, so a slow writer must not hold it up.
    pub shared_session: bool,
    /// Gets the cleaned lines of standard error.
    pub lines: Option<mpsc::UnboundedSender<String>>,
}

/// Why a job has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection ended before an exit status came.
    Lost,
    /// Something on this side, or an answer that makes no sense.
    Broken(String),
}

/// Runs it. Dropping the future closes the channel.
pub(super) async fn run(channel: Channel<Msg>, job: Job) -> Result<Output, Fault> {
    let (read, write) = channel.split();
    let write = Arc::new(write);
    let mut closing = Closing::new(write.clone());
    write.exec(true, job.command.into_bytes()).await.map_err(|_| Fault::Lost)?;
    closing.running = true;
    let result = {
        let mut output = pin!(receive(read, job.stdout, job.shared_session, job.lines));
        let mut input = pin!(feed(&write, job.first, job.stdin, job.keep_open));
        tokio::select! {
            done = &mut output => done,
            // Nothing more to send, or the source failed; a channel that takes no more shows in the output.
            fed = &mut input => match fed {
                Ok(()) => output.await,
                Err(fault) => Err(fault),
            },
        }
    };
    closing.running = result.is_err();
    result
}

async fn feed(
    write: &ChannelWriteHalf<Msg>,
    first: Vec<SecretBytes>,
    stdin: Stdin,
    keep_open: bool,
) -> Result<(), Fault> {
    for part in first {
        if write.data_bytes(Bytes::copy_from_slice(part.expose())).await.is_err() {
            return Ok(());
        }
    }
    if let Stdin::Reader(mut reader) = stdin {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            match reader.read_buf(&mut chunk).await {
                Ok(0) => break,
                Ok(_) if write.data_bytes(chunk.freeze()).await.is_err() => return Ok(()),
                Ok(_) => {}
                // The channel closes without an end of file; what was to arrive whole is checked there by its sha256.
                Err(e) => return Err(Fault::Broken(tr!("reading what was to be sent: {e}", e = e))),
            }
        }
    }
    if !keep_open {
        // A failed send means that the channel is gone, which the output tells better.
        let _ = write.eof().await;
    }
    Ok(())
}

async fn receive(
    mut read: ChannelReadHalf,
    stdout: Stdout,
    shared_session: bool,
    lines: Option<mpsc::UnboundedSender<String>>,
) -> Result<Output, Fault> {
    let mut sink = Sink::new(stdout, shared_session);
    let mut stderr = Stderr::new(lines);
    let (mut status, mut whole) = (None, false);
    while !(whole && status.is_some()) {
        let message = match status {
            None => read.wait().await,
            Some(_) => timeout(AFTER_EXIT, read.wait())
                .await
                .map_err(|_| Fault::Broken(crate::lang::words(HELD_OPEN).into()))?,
        };
        match message {
            Some(ChannelMsg::Data { data }) => sink.take(data).await?,
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => stderr.take(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => status = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => status = Some(128 + number(&signal_name)),
            Some(ChannelMsg::Eof) => whole = true,
            Some(ChannelMsg::Failure) => {
                return Err(Fault::Broken(
                    trs!("sshd refused to run a command; look for ForceCommand or a restricted key").into(),
                ));
            }
            // A closed channel without a status, and a status whose output broke off, are both no outcome.
            Some(ChannelMsg::Close) if status.is_some() => break,
            None | Some(ChannelMsg::Close) => return Err(Fault::Lost),
            Some(_) => {}
        }
    }
    let Some(status) = status else { return Err(Fault::Lost) };
    Ok(Output { status, stdout: sink.finish().await?, stderr: stderr.finish() })
}

const HELD_OPEN: &str =
    mark!("it ended, but something it left running holds its output open; look at the host's processes");

/// Where standard output goes.
enum Sink {
    Capture(BytesMut),
    Writer(std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>),
    Queue { chunks: mpsc::UnboundedSender<Bytes>, unread: Arc<AtomicUsize>, writing: JoinHandle<std::io::Result<()>> },
}

impl Sink {
    fn new(stdout: Stdout, shared_session: bool) -> Self {
        match stdout {
            Stdout::Capture => Self::Capture(BytesMut::new()),
            Stdout::Writer(writer) if !shared_session => Self::Writer(writer),
            Stdout::Writer(mut writer) => {
                let (chunks, mut queued) = mpsc::unbounded_channel::<Bytes>();
                let unread = Arc::new(AtomicUsize::new(0));
                let left = unread.clone();
                let writing = tokio::spawn(async move {
                    while let Some(chunk) = queued.recv().await {
                        writer.write_all(&chunk).await?;
                        if left.fetch_sub(chunk.len(), Ordering::SeqCst) == chunk.len() {
                            writer.flush().await?;
                        }
                    }
                    writer.shutdown().await
                });
                Self::Queue { chunks, unread, writing }
            }
        }
    }

    async fn take(&mut self, data: Bytes) -> Result<(), Fault> {
        match self {
            Self::Capture(kept) if kept.len() + data.len() > MAX_CAPTURE => {
                Err(Fault::Broken(tr!("it printed more than {most} MiB", most = MAX_CAPTURE >> 20)))
            }
            Self::Capture(kept) => {
                kept.extend_from_slice(&data);
                Ok(())
            }
            Self::Writer(writer) => writer.write_all(&data).await.map_err(|e| not_written(&e)),
            Self::Queue { chunks, unread, .. } => {
                let unread = unread.fetch_add(data.len(), Ordering::SeqCst) + data.len();
                if unread > QUEUED || chunks.send(data).is_err() {
                    return Err(Fault::Broken(trs!("its output is not being read").into()));
                }
                Ok(())
            }
        }
    }

    async fn finish(self) -> Result<Bytes, Fault> {
        match self {
            Self::Capture(kept) => Ok(kept.freeze()),
            Self::Writer(mut writer) => {
                writer.shutdown().await.map_err(|e| not_written(&e))?;
                Ok(Bytes::new())
            }
            Self::Queue { chunks, writing, .. } => {
                drop(chunks);
                match writing.await {
                    Ok(Err(e)) => Err(not_written(&e)),
                    _ => Ok(Bytes::new()),
                }
            }
        }
    }
}

fn not_written(e: &std::io::Error) -> Fault {
    Fault::Broken(tr!("writing its output: {e}", e = e))
}

/// Standard error: lines as they come, the tail for the outcome.
struct Stderr {
    lines: Option<mpsc::UnboundedSender<String>>,
    partial: Vec<u8>,
    kept: String,
}

impl Stderr {
    fn new(lines: Option<mpsc::UnboundedSender<String>>) -> Self {
        Self { lines, partial: Vec::new(), kept: String::new() }
    }

    fn take(&mut self, mut data: &[u8]) {
        while let Some(end) = data.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            self.partial.extend_from_slice(&data[..end]);
            data = &data[end + 1..];
            self.line();
        }
        for piece in data.chunks(LINE) {
            self.partial.extend_from_slice(piece);
            if self.partial.len() >= LINE {
                self.line();
            }
        }
    }

    fn line(&mut self) {
        let raw = std::mem::take(&mut self.partial);
        // `\r\n` makes an empty second half; blank lines say nothing.
        if raw.is_empty() {
            return;
        }
        let line = clean::line(&String::from_utf8_lossy(&raw));
        self.kept.push_str(&line);
        self.kept.push('\n');
        if self.kept.len() > STDERR_KEPT {
            let from = self.kept.ceil_char_boundary(self.kept.len() - STDERR_KEPT);
            // To the next whole line.
            let cut = self.kept[from..].find('\n').map_or(from, |n| from + n + 1);
            self.kept.drain(..cut);
        }
        if let Some(lines) = &self.lines {
            // Nobody listening any more is no reason to stop.
            let _ = lines.send(line);
        }
    }

    fn finish(mut self) -> String {
        self.line();
        self.kept
    }
}

/// The signal's number on Linux, for `128 + n`.
fn number(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(name) => match name.as_str() {
            "TRAP" => 5,
            "BUS" => 7,
            "USR2" => 12,
            _ => 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_is_cut_into_clean_lines_and_only_the_tail_is_kept() {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let mut stderr = Stderr::new(Some(tx));
        stderr.take(b"one\r\ntw");
        assert_eq!(rx.try_recv().unwrap(), "one");
        assert!(rx.try_recv().is_err(), "an unfinished line waits");
        stderr.take(b"o\x1b[31m!\x1b[0m\n\n");
        assert_eq!(rx.try_recv().unwrap(), "two!");
        for _ in 0..20_000 {
            stderr.take("é filler filler\n".as_bytes());
        }
        stderr.take(b"the end");
        let kept = stderr.finish();
        assert!(
            kept.len() <= STDERR_KEPT && kept.starts_with("é filler") && kept.ends_with("the end\n"),
            "{}",
            kept.len()
        );
    }

    #[test]
    fn a_line_without_end_is_cut_not_hoarded() {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let mut stderr = Stderr::new(Some(tx));
        stderr.take(&vec![b'x'; 3 * LINE + 5]);
        assert_eq!(rx.len(), 3);
        assert_eq!(rx.try_recv().unwrap().len(), LINE);
        assert_eq!(stderr.partial.len(), 5);
    }
}
