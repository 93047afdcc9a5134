//! Acts that are one operation on one host, and acts that move a file.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::mpsc::{self, UnboundedSender},
};

use super::{Act, ActCx, ActError, ActProgress};
use crate::{
    cluster::HostName,
    engine::plan::Shown,
    remote::{
        Io, Op, SecretBytes, SharedRemote, Stdin, Stdout,
        op::{Owner, hex},
        run_ok, shell,
    },
    survey::{FileState, parse},
};

/// One operation on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOp {
    /// Where.
    pub host: HostName,
    /// What.
    pub op: Op,
}

impl RunOp {
    /// A boxed one.
    pub fn act(host: &HostName, op: Op) -> Box<dyn Act> {
        Box::new(Self { host: host.clone(), op })
    }
}

#[async_trait]
impl Act for RunOp {
    fn shown(&self) -> Shown {
        Shown { host: Some(self.host.clone()), title: self.op.summary(), commands: shell::render(&self.op).script }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        run_op(cx, &self.host, &self.op).await
    }
}

/// Runs an operation with its standard error as progress lines; a non-zero status is an error.
pub async fn run_op(cx: &ActCx, host: &HostName, op: &Op) -> Result<(), ActError> {
    let (lines, mut arriving) = mpsc::unbounded_channel();
    let run = cx.remote.run(host, op, Io { lines: Some(lines), ..Io::default() });
    let relay = async {
        while let Some(line) = arriving.recv().await {
            cx.say(line);
        }
    };
    let (output, ()) = tokio::join!(run, relay);
    output?.checked(host, op)?;
    Ok(())
}

/// Reads a private file into memory.
pub async fn read_secret(remote: &SharedRemote, host: &HostName, path: &Path) -> Result<SecretBytes, ActError> {
    let op = Op::ReadSecret { path: path.to_owned() };
    let out = remote.run(host, &op, Io::default()).await?;
    if out.status == shell::NOT_THERE {
        return Err(ActError::NotProven(tr!(
            "{host}: {path} is not there; put it back from a backup",
            host = host,
            path = path.display()
        )));
    }
    Ok(SecretBytes::new(out.checked(host, &op)?.stdout.to_vec()))
}

/// Looks at paths; the answer is in the order asked.
pub async fn stat(remote: &SharedRemote, host: &HostName, paths: Vec<PathBuf>) -> Result<Vec<FileState>, ActError> {
    let wanted = paths.len();
    let out = run_ok(&**remote, host, &Op::Stat { paths }).await?;
    let states = parse::file_states(&out.text()).map_err(|e| ActError::NotProven(format!("{host}: {e}")))?;
    if states.len() == wanted { Ok(states) } else { Err(answered(host, states.len(), wanted)) }
}

/// Looks at one path.
pub async fn stat_one(remote: &SharedRemote, host: &HostName, path: &Path) -> Result<FileState, ActError> {
    stat(remote, host, vec![path.to_owned()]).await?.pop().ok_or_else(|| answered(host, 0, 1))
}

fn answered(host: &HostName, got: usize, wanted: usize) -> ActError {
    ActError::NotProven(tr!(
        "{host}: stat answered {got} of {wanted} paths; look at the host",
        host = host,
        got = got,
        wanted = wanted
    ))
}

/// A file streamed from one host to another through the operator's machine, never onto its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFile {
    /// Source host.
    pub from: HostName,
    /// Source file.
    pub from_path: PathBuf,
    /// Whether it is a private key.
    pub secret: bool,
    /// Its size in bytes, for the progress.
    pub size: u64,
    /// Target host.
    pub to: HostName,
    /// Target file.
    pub to_path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
    /// sha256 of the source, lower-case hex.
    pub sha256: String,
    /// Where the target's old file is kept.
    pub backup: Option<PathBuf>,
}

impl CopyFile {
    fn ops(&self) -> (Op, Op) {
        let path = self.from_path.clone();
        let read = if self.secret { Op::ReadSecret { path } } else { Op::ReadFile { path } };
        let write = Op::ReceiveFile {
            path: self.to_path.clone(),
            mode: self.mode,
            owner: self.owner.clone(),
            sha256: self.sha256.clone(),
            backup: self.backup.clone(),
        };
        (read, write)
    }
}

#[async_trait]
impl Act for CopyFile {
    fn shown(&self) -> Shown {
        let (read, write) = self.ops();
        Shown {
            host: Some(self.to.clone()),
            title: tr!(
                "copy {from_path} from {source} to {to_path} ({mode} {owner})",
                from_path = self.from_path.display(),
                source = self.from,
                to_path = self.to_path.display(),
                mode = format_args!("{:04o}", self.mode),
                owner = self.owner
            ),
            commands: tr!(
                "# on {source}:\n{script}\n# into, on {to}:\n{into}",
                source = self.from,
                script = shell::render(&read).script,
                to = self.to,
                into = shell::render(&write).script
            ),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let (read, write) = self.ops();
        let (near, far) = tokio::io::duplex(256 << 10);
        let counted = Counted { inner: near, done: 0, total: Some(self.size), progress: cx.progress.clone() };
        let source =
            cx.remote.run(&self.from, &read, Io { stdout: Stdout::Writer(Box::pin(counted)), ..Io::default() });
        let sink = cx.remote.run(&self.to, &write, Io { stdin: Stdin::Reader(Box::pin(far)), ..Io::default() });
        let (source, sink) = tokio::join!(source, sink);
        source?.checked(&self.from, &read)?;
        sink?.checked(&self.to, &write)?;
        Ok(())
    }
}

/// Files streamed between hosts, a few at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFiles {
    /// What they are, in a few words.
    pub title: String,
    /// The files; no two with the same target.
    pub files: Vec<CopyFile>,
}

/// How many files are streamed at a time: each takes a session on both hosts.
const COPIES: usize = 4;

#[async_trait]
impl Act for CopyFiles {
    fn shown(&self) -> Shown {
        let shown: Vec<_> = self.files.iter().map(Act::shown).collect();
        Shown {
            host: shown.first().and_then(|s| s.host.clone()),
            title: tr!("copy {title}", title = self.title),
            commands: shown.into_iter().map(|s| s.commands).collect::<Vec<_>>().join("\n"),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        use futures::StreamExt as _;
        // Single files are small: what is told is how many are there, not their bytes.
        let (quiet, _) = mpsc::unbounded_channel();
        let (done, all) = (std::sync::atomic::AtomicU64::new(0), self.files.len() as u64);
        let done = &done;
        let copies = self.files.iter().map(|file| {
            let own = ActCx { progress: quiet.clone(), ..cx.clone() };
            async move {
                let copied = file.act(&own).await;
                if copied.is_ok() {
                    let so_far = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                    cx.say(tr!(
                        "{so_far} of {all}: {to_path}",
                        so_far = so_far,
                        all = all,
                        to_path = file.to_path.display()
                    ));
                }
                copied
            }
        });
        let copies: Vec<_> = copies.collect();
        // All are run to their end, so that a failure leaves none in the middle.
        futures::stream::iter(copies).buffer_unordered(COPIES).collect::<Vec<_>>().await.into_iter().collect()
    }
}

/// A file of the operator's machine (already in memory and checked) streamed to a host.
#[derive(Debug, Clone)]
pub struct SendFile {
    /// Where it came from, for the eye.
    pub source: String,
    /// Its bytes.
    pub bytes: bytes::Bytes,
    /// Target host.
    pub to: HostName,
    /// How it is written there.
    pub op: Op,
}

#[async_trait]
impl Act for SendFile {
    fn shown(&self) -> Shown {
        Shown {
            host: Some(self.to.clone()),
            title: tr!("{summary} from {source}", summary = self.op.summary(), source = self.source),
            commands: shell::render(&self.op).script,
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let reader = CountedRead {
            inner: std::io::Cursor::new(self.bytes.clone()),
            done: 0,
            total: self.bytes.len() as u64,
            progress: cx.progress.clone(),
        };
        let io = Io { stdin: Stdin::Reader(Box::pin(reader)), ..Io::default() };
        cx.remote.run(&self.to, &self.op, io).await?.checked(&self.to, &self.op)?;
        Ok(())
    }
}

/// A file of a host fetched to the operator's machine: mode 0600, checked against the host's sha256 before it gets its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFile {
    /// Source host.
    pub from: HostName,
    /// Source file.
    pub path: PathBuf,
    /// File on the operator's machine; its directory is made (0700).
    pub local: PathBuf,
}

#[async_trait]
impl Act for FetchFile {
    fn shown(&self) -> Shown {
        let read = Op::ReadFile { path: self.path.clone() };
        Shown {
            host: None,
            title: tr!(
                "fetch {path} from {source} to {local} (0600)",
                path = self.path.display(),
                source = self.from,
                local = self.local.display()
            ),
            commands: tr!("# on {source}:\n{script}", source = self.from, script = shell::render(&read).script),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let state = stat_one(&cx.remote, &self.from, &self.path).await?;
        let (size, Some(sha)) = (state.size, state.sha256) else {
            return Err(ActError::NotProven(tr!(
                "{source}: {path} is not a file",
                source = self.from,
                path = self.path.display()
            )));
        };
        let got = self.receive(cx, size).await;
        let partial = partial(&self.local);
        match got {
            Ok(got) if got == sha => tokio::fs::rename(&partial, &self.local).await.map_err(|e| local(&self.local, &e)),
            Ok(_) => {
                let _ = tokio::fs::remove_file(&partial).await;
                Err(ActError::NotProven(tr!(
                    "{path} did not arrive whole from {source}: its sha256 differs; run again",
                    path = self.path.display(),
                    source = self.from
                )))
            }
            Err(e) => {
                let _ = tokio::fs::remove_file(&partial).await;
                Err(e)
            }
        }
    }
}

impl FetchFile {
    /// Streams into `LOCAL.partial` and returns the sha256 of what came.
    async fn receive(&self, cx: &ActCx, size: u64) -> Result<String, ActError> {
        let dir = self.local.parent().unwrap_or(Path::new("."));
        tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).await.map_err(|e| local(dir, &e))?;
        let partial = partial(&self.local);
        let _ = tokio::fs::remove_file(&partial).await;
        let mut file = tokio::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .await
            .map_err(|e| local(&partial, &e))?;
        let read = Op::ReadFile { path: self.path.clone() };
        let (near, mut far) = tokio::io::duplex(256 << 10);
        let counted = Counted { inner: near, done: 0, total: Some(size), progress: cx.progress.clone() };
        let io = Io { stdout: Stdout::Writer(Box::pin(counted)), ..Io::default() };
        let store = async {
            let mut hash = Sha256::new();
            let mut buffer = vec![0; 64 << 10];
            loop {
                let n = tokio::io::AsyncReadExt::read(&mut far, &mut buffer).await?;
                if n == 0 {
                    break;
                }
                hash.update(&buffer[..n]);
                file.write_all(&buffer[..n]).await?;
            }
            // What could not be written is told by the flush alone.
            file.flush().await?;
            file.sync_all().await?;
            Ok::<_, std::io::Error>(hex(&hash.finalize()))
        };
        let (ran, stored) = tokio::join!(cx.remote.run(&self.from, &read, io), store);
        let stored = stored.map_err(|e| local(&partial, &e))?;
        ran?.checked(&self.from, &read)?;
        Ok(stored)
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn local(path: &Path, error: &std::io::Error) -> ActError {
    ActError::Local {
        path: path.to_owned(),
        why: tr!("{error}; make room or choose another place, then run again", error = error),
    }
}

/// Counts what is written through it.
pub(super) struct Counted<W> {
    pub(super) inner: W,
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    pub(super) progress: UnboundedSender<ActProgress>,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Counted<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.done += written as u64;
        let _ = self.progress.send(ActProgress::Bytes { done: self.done, total: self.total });
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Counts what is read through it.
struct CountedRead<R> {
    inner: R,
    done: u64,
    total: u64,
    progress: UnboundedSender<ActProgress>,
}

impl<R: AsyncRead + Unpin> AsyncRead for CountedRead<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.done += (buf.filled().len() - before) as u64;
        let _ = self.progress.send(ActProgress::Bytes { done: self.done, total: Some(self.total) });
        Poll::Ready(Ok(()))
    }
}
