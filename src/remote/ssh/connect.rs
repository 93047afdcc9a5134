//! From nothing to a logged-in session: TCP (or a bastion's tunnel), handshake, host key, login; each with a deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use russh::{
    Error, SshId,
    client::{Config, connect_stream},
    keys::PublicKey,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::remote::{BoxStream, RemoteError};

use super::{
    ConnectState, Connected,
    auth::{Login, Stop},
    endpoint::{Endpoint, Shared, locked},
    handler::{Client, Noticed},
    hostkey::{self, Records, Shown, Verdict},
    session::{NotOpened, Session},
    settings::Resolved,
    stall::Unstalled,
};

/// Most time for a TCP connection.
const TCP: Duration = Duration::from_secs(5);
/// Most time for the handshake that follows.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Silence after which the host is asked for a sign of life; three unanswered ones end the session.
const KEEPALIVE: Duration = Duration::from_secs(1);
const KEEPALIVES: usize = 3;
/// How long a host may take no bytes at all.
const STALL: Duration = Duration::from_secs(8);
/// What may wait unread in a bastion's tunnel: more than all windows of the session inside it.
const TUNNEL: usize = 64 << 20;
/// Dials until a person's answers (host key, passphrase) have all been given.
const DIALS: usize = 4;

/// One dial's end, where it is not an error.
enum Attempt {
    In(Box<Session>),
    /// The key is unknown and nobody has been asked yet.
    Ask(PublicKey),
    /// The host hung up while a person was typing; the answers are remembered.
    Again,
}

/// Connects and logs in. Asks a person about an unknown host key between two dials, so that no host waits with an open
/// connection for it.
///
/// With `told`, progress is told on the way.
pub(super) async fn open(shared: &Shared, to: &Endpoint, told: bool) -> Result<Session, RemoteError> {
    let settings = to.resolved(shared).await?;
    let started = Instant::now();
    for _ in 0..DIALS {
        match attempt(shared, to, settings, started, told).await? {
            Attempt::In(session) => return Ok(*session),
            Attempt::Ask(key) => ask(shared, to, settings, &key).await?,
            Attempt::Again => {}
        }
    }
    Err(RemoteError::Auth {
        host: to.name.clone(),
        user: settings.user.clone(),
        why: trs!("the host hung up while it waited for answers; answer sooner, or load the key with `ssh-add`").into(),
    })
}

/// The name the host's key is recorded under, with its port.
fn recorded(settings: &Resolved) -> (&str, u16) {
    // As ssh does it, an alias stands for host and port.
    settings.alias.as_deref().map_or((&settings.host, settings.port), |alias| (alias, 22))
}

async fn attempt(
    shared: &Shared,
    to: &Endpoint,
    settings: &Resolved,
    started: Instant,
    told: bool,
) -> Result<Attempt, RemoteError> {
    let (name, port) = recorded(settings);
    let records = Records::read(&settings.known_hosts, name, port)
        .map_err(|why| to.unexpected(trs!("checking the host key"), why))?;
    let authority = records.only_authority().cloned();
    let tell = |state| {
        if told {
            shared.tell(&to.name, state);
        }
    };
    let bastion = to.bastion(shared).await?;
    let via = bastion.as_ref().map(|b| b.name.to_string());
    tell(ConnectState::Dialling { address: settings.address(), via: via.clone() });
    let stream = transport(shared, to, settings, bastion.as_deref()).await?;
    let noticed = Arc::new(Noticed::default());
    let mut config = Config {
        client_id: SshId::Standard(concat!("SSH-2.0-banister_", env!("CARGO_PKG_VERSION")).into()),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        ..Config::default()
    };
    config.preferred.key = records.algorithms().into();
    let accepted = {
        let all = locked(&shared.verdicts);
        let name = hostkey::record_name(name, port);
        all.iter().filter(|(n, _, yes)| *yes && *n == name).map(|(_, key, _)| key.clone()).collect()
    };
    let client = Client { records, accepted, noticed: noticed.clone() };
    let shaken = timeout(HANDSHAKE, connect_stream(Arc::new(config), Unstalled::new(stream, STALL), client)).await;
    let mut handle = match (shaken, noticed.key()) {
        (Ok(Ok(handle)), _) => handle,
        (_, Some((key, Verdict::Unknown))) => {
            if let Some(place) = authority {
                let why = tr!(
                    "{file} line {place} vouches for it by @cert-authority, which banister cannot check; add the host's own key ({fingerprint}) there",
                    file = place.file.display(),
                    place = place.line,
                    fingerprint = Shown::of(&key).fingerprint
                );
                return Err(to.unexpected(trs!("checking the host key"), why));
            }
            return Ok(Attempt::Ask(key));
        }
        (_, Some((key, Verdict::Changed(place)))) => {
            return Err(RemoteError::ChangedHostKey {
                host: to.name.clone(),
                fingerprint: Shown::of(&key).fingerprint,
                known_hosts: place.file.display().to_string(),
                line: place.line,
            });
        }
        (Err(_), _) => {
            return Err(unreachable(
                to,
                settings,
                tr!("no SSH handshake within {deadline} s", deadline = HANDSHAKE.as_secs()),
            ));
        }
        (Ok(Err(e)), _) => return Err(unreachable(to, settings, handshake_words(&e))),
    };
    tell(ConnectState::LoggingIn { user: settings.user.clone() });
    let login = Login::new(&mut handle, &to.name, settings, &shared.keys, &shared.questions, &to.answers);
    match login.run().await {
        Ok(method) => {
            let host_key = noticed.key().map(|(key, _)| Shown::of(&key).fingerprint).unwrap_or_default();
            let facts = Connected {
                address: settings.address(),
                user: settings.user.clone(),
                method,
                host_key,
                via,
                took: started.elapsed(),
            };
            Ok(Attempt::In(Box::new(Session::new(handle, noticed, facts))))
        }
        Err(Stop::Impatient) => Ok(Attempt::Again),
        Err(Stop::Refused(why)) => {
            // "Too many authentication failures" says more than a closed connection.
            let why =
                noticed.goodbye().filter(|_| handle.is_closed()).map_or(why.clone(), |bye| format!("{why} ({bye})"));
            Err(RemoteError::Auth { host: to.name.clone(), user: settings.user.clone(), why })
        }
    }
}

fn unreachable(to: &Endpoint, settings: &Resolved, why: String) -> RemoteError {
    RemoteError::Unreachable { host: to.name.clone(), address: settings.address(), why }
}

fn handshake_words(e: &Error) -> String {
    match e {
        Error::NoCommonAlgo { kind, theirs, .. } => {
            tr!(
                "no common {kind} algorithm, it offers only {theirs}",
                kind = format_args!("{kind:?}"),
                theirs = theirs.join(", ")
            )
        }
        Error::Version => trs!("what answers there is no sshd").into(),
        Error::HUP | Error::Disconnect | Error::IO(_) => {
            trs!("the connection was closed before the handshake ended (MaxStartups, hosts.deny or a firewall?)").into()
        }
        other => tr!("handshake failed: {other}", other = other),
    }
}

/// The byte stream to the host.
async fn transport(
    shared: &Shared,
    to: &Endpoint,
    settings: &Resolved,
    bastion: Option<&Endpoint>,
) -> Result<BoxStream, RemoteError> {
    let Some(bastion) = bastion else {
        let stream = tcp(&settings.host, settings.port).await.map_err(|why| unreachable(to, settings, why))?;
        return Ok(Box::new(stream));
    };
    for again in [true, false] {
        // Boxed: a bastion may be behind a bastion.
        let session = Box::pin(bastion.session(shared)).await?;
        match session.open_tunnel(&settings.host, settings.port, TUNNEL).await {
            Ok(tunnel) => return Ok(Box::new(tunnel)),
            Err(NotOpened::Gone) if again => session.give_up(),
            Err(e) => {
                return Err(unreachable(
                    to,
                    settings,
                    tr!("through bastion {name}: {tunnel_words}", name = bastion.name, tunnel_words = tunnel_words(&e)),
                ));
            }
        }
    }
    Err(unreachable(to, settings, tr!("bastion {name} closes its connection at once", name = bastion.name)))
}

/// Why no tunnel opened, in words that end in what to do.
pub(super) fn tunnel_words(e: &NotOpened) -> String {
    use russh::ChannelOpenFailure as Code;
    match e {
        NotOpened::Gone => trs!("the ssh connection was lost; try again").into(),
        NotOpened::Slow => {
            tr!(
                "no answer within {deadline} s; check the address and the firewalls",
                deadline = super::session::OPEN.as_secs()
            )
        }
        NotOpened::Refused(Code::AdministrativelyProhibited, _) => {
            trs!("AllowTcpForwarding is off in sshd_config (or PermitOpen forbids this port); allow it and reload sshd")
                .into()
        }
        NotOpened::Refused(Code::ConnectFailed, words) if words.is_empty() => {
            trs!("the connection failed; check that something listens there").into()
        }
        NotOpened::Refused(Code::ConnectFailed, words) => {
            tr!(
                "{why}; check that something listens there and that no firewall is in between",
                why = words.to_lowercase()
            )
        }
        NotOpened::Refused(code, words) => {
            tr!("sshd refused ({code} {words}); look at its log", code = format_args!("{code:?}"), words = words)
        }
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let connecting = async {
        let mut last = None;
        for address in lookup_host((host, port)).await.map_err(|e| tr!("its name leads nowhere ({e})", e = e))? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => last = Some(e),
            }
        }
        Err(last.map_or_else(|| trs!("its name has no address").to_owned(), |e| words(&e)))
    };
    let stream = timeout(TCP, connecting)
        .await
        .map_err(|_| tr!("no answer within {deadline} s", deadline = TCP.as_secs()))??;
    // Small packets that wait for one another would make every operation feel slow.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn words(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::ConnectionRefused => trs!("connection refused").into(),
        std::io::ErrorKind::HostUnreachable => trs!("no route to the host").into(),
        std::io::ErrorKind::NetworkUnreachable => trs!("no route to its network").into(),
        _ => e.to_string(),
    }
}

/// Asks about an unknown host key and records a yes.
async fn ask(shared: &Shared, to: &Endpoint, settings: &Resolved, key: &PublicKey) -> Result<(), RemoteError> {
    let shown = Shown::of(key);
    let (host, port) = recorded(settings);
    let name = hostkey::record_name(host, port);
    let file = settings.known_hosts.first();
    // Several hosts may share a name and key (one bastion): the first answer is everybody's.
    let settled = || shared.verdict(&name, key);
    let before = settled();
    let yes = if let Some(answer) = before {
        answer
    } else {
        shared.tell(&to.name, ConnectState::HostKey { fingerprint: shown.fingerprint.clone() });
        shared.questions.host_key(&to.name, &settings.address(), &shown, settled).await
    };
    if settled().is_none() {
        if yes && let Some(file) = file {
            hostkey::learn(file, host, port, key).map_err(|why| to.unexpected(trs!("recording the host key"), why))?;
        }
        locked(&shared.verdicts).push((name, key.clone(), yes));
    }
    if yes {
        return Ok(());
    }
    Err(RemoteError::UnknownHostKey {
        host: to.name.clone(),
        fingerprint: shown.fingerprint,
        key_type: shown.key_type,
        known_hosts: file.map_or_else(|| "known_hosts".into(), |f| f.display().to_string()),
    })
}
