//! A host: an sshd in this process that runs what it is told as the current user.

use std::{
    collections::HashMap,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use russh::{
    Channel, ChannelId, ChannelMsg, ChannelOpenFailure, MethodKind, MethodSet, Sig,
    keys::{Algorithm, PrivateKey, PublicKey, key::safe_rng},
    server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::wire::Wire;

/// What a host is to be like.
pub(crate) struct Character {
    pub(crate) key: PrivateKey,
    /// Public keys that may log in.
    pub(crate) keys: Vec<PublicKey>,
    /// What is asked after the key (or instead, when there are no keys): prompt and answer.
    pub(crate) question: Option<(&'static str, &'static str)>,
    /// Lines that hold the first run the second instead.
    pub(crate) table: Vec<(&'static str, String)>,
    pub(crate) forwards: bool,
    /// How many session channels are refused, as by an sshd that has not cleared away the ones before.
    pub(crate) full: std::sync::atomic::AtomicUsize,
    /// Body of a fake `sudo`.
    pub(crate) sudo: &'static str,
    /// Body of a fake `id`: tests may not be root.
    pub(crate) id: &'static str,
}

impl Default for Character {
    fn default() -> Self {
        Self {
            key: new_key(),
            keys: Vec::new(),
            question: None,
            table: Vec::new(),
            forwards: true,
            full: 0.into(),
            sudo: "echo no sudo here >&2; exit 1",
            id: "echo 0",
        }
    }
}

pub(crate) fn new_key() -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
}

/// A running host.
pub(crate) struct Host {
    pub(crate) wire: Wire,
    pub(crate) key: PublicKey,
    pub(crate) seen: Arc<Seen>,
    _bin: tempfile::TempDir,
}

/// What happened on a host.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) logins: Mutex<usize>,
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) signed_with: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn logins(&self) -> usize {
        *self.logins.lock().unwrap()
    }
}

struct Shared {
    character: Character,
    seen: Arc<Seen>,
    bin: PathBuf,
}

impl Host {
    pub(crate) async fn start(character: Character) -> Self {
        let bin = tempfile::tempdir().unwrap();
        for (name, body) in [("sudo", character.sudo), ("id", character.id)] {
            let path = bin.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Wire::to(listener.local_addr().unwrap()).await;
        let key = character.key.public_key().clone();
        let config = Arc::new(server::Config {
            keys: vec![character.key.clone()],
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            ..server::Config::default()
        });
        let seen = Arc::new(Seen::default());
        let shared = Arc::new(Shared { character, seen: seen.clone(), bin: bin.path().to_owned() });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handler = Sshd { shared: shared.clone(), channels: HashMap::new(), key_done: false };
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, handler).await {
                        let _ = session.await;
                    }
                });
            }
        });
        Self { wire, key, seen, _bin: bin }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.wire.address
    }
}

struct Sshd {
    shared: Arc<Shared>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    key_done: bool,
}

impl Sshd {
    fn next_factor(&self) -> Auth {
        if self.shared.character.question.is_none() {
            *self.shared.seen.logins.lock().unwrap() += 1;
            return Auth::Accept;
        }
        let methods = MethodSet::from(&[MethodKind::KeyboardInteractive][..]);
        Auth::Reject { proceed_with_methods: Some(methods), partial_success: true }
    }

    fn no(&self) -> Auth {
        // As sshd's AuthenticationMethods publickey,keyboard-interactive: one after the other.
        let first =
            if self.shared.character.keys.is_empty() && self.shared.character.question.is_some() || self.key_done {
                MethodKind::KeyboardInteractive
            } else {
                MethodKind::PublicKey
            };
        Auth::Reject { proceed_with_methods: Some(MethodSet::from(&[first][..])), partial_success: false }
    }

    fn may(&self, key: &PublicKey) -> bool {
        self.shared.character.keys.iter().any(|k| k.key_data() == key.key_data())
    }
}

impl server::Handler for Sshd {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(self.no())
    }

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.may(offer.public_key) { Auth::Accept } else { self.no() })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        if !self.may(key.public_key) {
            return Ok(self.no());
        }
        self.key_done = true;
        self.shared.seen.signed_with.lock().unwrap().push(key.algorithm.as_str().to_owned());
        Ok(self.next_factor())
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some((prompt, answer)) = self.shared.character.question else { return Ok(self.no()) };
        let Some(response) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![(prompt.into(), false)].into(),
            });
        };
        if response.map(|r| r.to_vec()).eq([answer.as_bytes().to_vec()]) {
            *self.shared.seen.logins.lock().unwrap() += 1;
            return Ok(Auth::Accept);
        }
        Ok(self.no())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let full = &self.shared.character.full;
        if full.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if !self.shared.character.forwards {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        }
        let target = (host.to_owned(), u16::try_from(port).unwrap());
        tokio::spawn(async move {
            match TcpStream::connect(target).await {
                Ok(mut tcp) => {
                    reply.accept().await;
                    let _ = tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut tcp).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, line: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let line = String::from_utf8(line.to_vec()).unwrap();
        let character = &self.shared.character;
        let script = character.table.iter().find(|(needle, _)| line.contains(needle)).map(|(_, s)| s.clone());
        self.shared.seen.lines.lock().unwrap().push(line.clone());
        let channel = self.channels.remove(&id).unwrap();
        session.channel_success(id)?;
        let path = format!("{}:{}", self.shared.bin.display(), std::env::var("PATH").unwrap());
        tokio::spawn(execute(channel, script.unwrap_or(line), path, session.handle()));
        Ok(())
    }
}

/// As sshd does it: the line goes to the login shell; a closed channel closes the pipes and kills nothing.
async fn execute(channel: Channel<Msg>, script: String, path: String, session: server::Handle) {
    let id = channel.id();
    let mut child = Command::new("/bin/sh")
        .args(["-c", &script])
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut read, write) = channel.split();
    let (closed, mut gone) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        loop {
            match read.wait().await {
                Some(ChannelMsg::Data { data }) => {
                    if let Some(pipe) = &mut stdin
                        && pipe.write_all(&data).await.is_err()
                    {
                        stdin = None;
                    }
                }
                Some(ChannelMsg::Eof) => stdin = None,
                Some(ChannelMsg::Close) | None => break,
                Some(_) => {}
            }
        }
        drop(stdin);
        let _ = closed.send(true);
    });
    let (mut out, mut err) = (write.make_writer(), write.make_writer_ext(Some(1)));
    let pumps = async { tokio::join!(pump(stdout, &mut out), pump(stderr, &mut err)) };
    let ended = async {
        let status = child.wait().await.unwrap();
        match (status.code(), status.signal()) {
            (Some(code), _) => write.exit_status(code.try_into().unwrap()).await.unwrap_or(()),
            (None, Some(9)) => {
                let _ = session.exit_signal_request(id, Sig::KILL, false, String::new(), String::new()).await;
            }
            other => panic!("the child ended in an untested way: {other:?}"),
        }
    };
    // The status goes out as soon as there is one, the rest of the output after it.
    let both = async { tokio::join!(pumps, ended) };
    tokio::select! {
        _ = both => {}
        _ = gone.wait_for(|closed| *closed) => return,
    }
    let _ = write.eof().await;
    let _ = write.close().await;
}

async fn pump(mut from: impl AsyncReadExt + Unpin, to: &mut (impl AsyncWriteExt + Unpin)) {
    let mut buf = vec![0; 32 << 10];
    while let Ok(n) = from.read(&mut buf).await {
        if n == 0 || to.write_all(&buf[..n]).await.is_err() {
            return;
        }
    }
}
