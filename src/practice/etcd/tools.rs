//! etcd's programs as an operation runs them on a host: the version, snapshots, the lone etcd of a rehearsal.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use etcd_client::{Channel, Client};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

use super::{
    config::Config,
    start::{self, Launch},
    store::Store,
};
use crate::{
    cluster::HostName,
    practice::{
        files::Errno,
        host::Power,
        ops::{Done, sh},
        world::{Shared, World},
    },
    remote::{
        Op, SecretBytes, Target,
        etcd::Version,
        op::{EtcdctlAccess, Owner},
        tls::{ClientIdentity, Roots, TlsClient},
    },
};

/// The name of the rehearsal's etcd among the processes of a host.
const LONE: &str = "banister-rehearsal";

/// How often a process that stays is looked after, in practice time.
const LOOK: Duration = Duration::from_millis(200);

/// etcdctl's status for a file that it cannot read.
const BAD_ARGUMENTS: u32 = 128;

/// Bytes of the sum at the end of a snapshot.
const SUM: usize = 32;

/// What etcdctl ends with for input that is none, and for a file that cannot be read.
const INVALID_INPUT: u32 = 3;
const IO: u32 = 6;

/// What `etcd --version` of a practice binary prints.
pub fn version_of(binary: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&binary[..binary.len().min(400)]).into_owned();
    let at = text.find("etcd Version:")?;
    let lines: Vec<_> = text[at..].lines().take_while(|l| l.contains(": ")).collect();
    Some(lines.join("\n") + "\n")
}

/// A practice binary of that version, `size` bytes long.
pub fn binary(program: &str, version: &str, size: usize) -> Bytes {
    // What Debian's builds were made with.
    let go = match Version::parse(version) {
        Some(v) if !v.has_learners() => "1.15.9",
        Some(v) if v >= Version(3, 5, 0) => "1.24.0",
        _ => "1.19.8",
    };
    let mut bytes = format!(
        "\u{7f}ELF, for practice: {program}\netcd Version: {version}\nGit SHA: Not provided (use ./build instead of go build)\nGo Version: go{go}\nGo OS/Arch: linux/amd64\n\n"
    )
    .into_bytes();
    bytes.resize(bytes.len().max(size), 0);
    bytes.into()
}

/// `etcdctl snapshot save`: a client of its own with the host's own files, over the host's own way to the port.
pub async fn snapshot_save(shared: &Shared, host: &HostName, access: &EtcdctlAccess, path: &Path) -> Done {
    match fetch(shared, host, access).await {
        Err(done) => done,
        Ok(bytes) => {
            let mut world = shared.lock();
            let Some(files) = world.hosts.get_mut(host).map(|h| &mut h.files) else { return Done::default() };
            let made = path.parent().map_or(Ok(()), |d| files.make_dirs(d, 0o700));
            match made.and_then(|()| files.put(path, bytes.into(), 0o600, Owner::root())) {
                Ok(()) => Done { stderr: format!("Snapshot saved at {}\n", path.display()), ..Done::default() },
                Err(e) => Done::failed(
                    1,
                    format!("Error: could not open {}.part ({})\n", path.display(), e.words().to_lowercase()),
                ),
            }
        }
    }
}

async fn fetch(shared: &Shared, host: &HostName, access: &EtcdctlAccess) -> Result<Vec<u8>, Done> {
    let error = |why: String| Done::failed(1, format!("Error: {why}\n"));
    let (ca, cert, key) = {
        let world = shared.lock();
        let h = world.hosts.get(host).ok_or_else(Done::default)?;
        let ctl = access.bin.join("etcdctl");
        if !h.files.is_program(&ctl) {
            return Err(Done::failed(127, sh(5, &format!("{}: not found", ctl.display()))));
        }
        let read = |p: &Path| {
            let why = |e: Errno| format!("Error: open {}: {}\n", p.display(), e.words().to_lowercase());
            h.files.read(p).map_err(|e| Done::failed(BAD_ARGUMENTS, why(e)))
        };
        (read(&access.ca)?, read(&access.cert)?, read(&access.key)?)
    };
    let late = |_| error("context deadline exceeded".into());
    let tls = Roots::from_pem(&ca).and_then(|roots| {
        Ok(TlsClient::new(roots).with_identity(ClientIdentity::from_pem(&cert, &SecretBytes::new(key.to_vec()))?))
    });
    let tls = tls.map_err(|e| error(e.to_string()))?;
    let uri: Uri = access.endpoint.parse().map_err(|_| error(format!("bad endpoint {}", access.endpoint)))?;
    let address = uri.host().and_then(|h| h.trim_matches(['[', ']']).parse().ok());
    let address = address.ok_or_else(|| error(format!("bad endpoint {}", access.endpoint)))?;
    let target = Target { address, port: uri.port_u16().unwrap_or(2379) };
    let stream = shared.connect(host, target).map_err(|_| error("context deadline exceeded".into()))?;
    let (stream, _) = tls
        .connect(stream, &ServerName::from(address), &[b"h2"])
        .await
        .map_err(|_| error("context deadline exceeded".into()))?;
    let once = Arc::new(std::sync::Mutex::new(Some(stream)));
    let connector = service_fn(move |_: Uri| {
        let stream = once.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        async move { stream.map(TokioIo::new).ok_or_else(|| std::io::Error::other("closed")) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{target}")).map_err(late)?;
    let channel = endpoint.connect_with_connector(connector).await.map_err(late)?;
    let mut client = Client::from_channel(Channel::Tonic(channel), None).await.map_err(|e| error(e.to_string()))?;
    let mut parts = client.snapshot().await.map_err(|e| error(e.to_string()))?;
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await.map_err(|e| error(e.to_string()))? {
        bytes.extend_from_slice(part.blob());
    }
    Ok(bytes)
}

/// The tool that knows `snapshot status`, or the shell's words that there is none.
fn tool(world: &World, host: &HostName, bin: &Path) -> Result<(), Done> {
    let has = |name: &str| world.hosts.get(host).is_some_and(|h| h.files.is_program(&bin.join(name)));
    if has("etcdutl") || has("etcdctl") {
        return Ok(());
    }
    Err(Done::failed(127, sh(5, &format!("{}: not found", bin.join("etcdctl").display()))))
}

/// `snapshot status -w json`.
pub fn snapshot_status(world: &World, host: &HostName, bin: &Path, path: &Path) -> Done {
    match tool(world, host, bin).and_then(|()| database(world, host, bin, path, false)) {
        Ok(json) => Done::out(json),
        Err(done) => done,
    }
}

fn database(world: &World, host: &HostName, bin: &Path, path: &Path, summed: bool) -> Result<String, Done> {
    // A restore of 3.3 tells with its status what went wrong; later ones do not.
    let ctl = world.hosts.get(host).and_then(|h| h.files.read(&bin.join("etcdctl")).ok()).unwrap_or_default();
    let version = version_of(&ctl).and_then(|v| Version::parse(v.split_whitespace().nth(2)?));
    let telling = summed && version.is_some_and(|v| !v.has_learners());
    let failed = |status, why: String| Done::failed(if telling { status } else { 1 }, format!("Error: {why}\n"));
    let error = |why: String| failed(INVALID_INPUT, why);
    let bytes = world.hosts.get(host).map(|h| h.files.read(path));
    let how = if summed { "open" } else { "stat" };
    let bytes = bytes
        .and_then(Result::ok)
        .ok_or_else(|| error(format!("{how} {}: no such file or directory", path.display())))?;
    if summed && bytes.len() < SUM {
        return Err(failed(IO, format!("seek {}: invalid argument", path.display())));
    }
    let (_, status) = Store::read(&bytes, summed).map_err(error)?;
    Ok(serde_json::to_string(&status).unwrap_or_default() + "\n")
}

/// A restore into a scratch directory that is gone afterwards, and the restored database's status.
pub fn snapshot_trial(world: &mut World, host: &HostName, bin: &Path, path: &Path, scratch: &Path) -> Done {
    if let Err(done) = tool(world, host, bin) {
        return done;
    }
    let Some(h) = world.hosts.get(host) else { return Done::default() };
    if h.files.entry(scratch).is_some() {
        return Done::failed(1, format!("{} exists\n", scratch.display()));
    }
    let size = h.files.read(path).map_or(0, |b| b.len() as u64);
    if let Err(e) = h.files.writable() {
        return Done::failed(1, format!("Error: mkdir {}: {}\n", scratch.display(), e.words().to_lowercase()));
    }
    if h.files.free < size {
        return Done::failed(
            1,
            format!("Error: write {}: no space left on device\n", scratch.join("member/snap/db").display()),
        );
    }
    match database(world, host, bin, path, true) {
        Ok(json) => Done {
            stdout: json.into(),
            stderr: format!("restored {} into {}\n", path.display(), scratch.display()),
            ..Done::default()
        },
        Err(done) => done,
    }
}

/// Ends with the future that holds it: the process, its scratch directory and its cluster go.
struct Lone {
    shared: Shared,
    host: HostName,
    scratch: std::path::PathBuf,
}

impl Drop for Lone {
    fn drop(&mut self) {
        let mut world = self.shared.lock();
        let cluster = world.etcd.of_unit(&self.host, LONE).map(|p| p.cluster);
        world.etcd.gone(&self.host, LONE);
        if let Some(id) = cluster {
            world.etcd.clusters.remove(&id);
        }
        if let Some(host) = world.hosts.get_mut(&self.host) {
            let _ = host.files.remove(&self.scratch);
            host.journals.remove(LONE);
        }
    }
}

/// Runs the lone etcd until the caller lets go.
pub async fn rehearsal(shared: &Shared, host: &HostName, op: &Op) -> Done {
    let Op::RehearsalEtcd { scratch, .. } = op else { return Done::default() };
    let lone = Lone { shared: shared.clone(), host: host.clone(), scratch: scratch.clone() };
    let started = begin(&mut shared.lock(), host, op);
    if let Err(done) = started {
        return done;
    }
    let clock = shared.clock();
    loop {
        clock.sleep(LOOK).await;
        let world = shared.lock();
        let lives = world.hosts.get(host).is_some_and(|h| h.power != Power::Down);
        if !lives || world.etcd.of_unit(host, LONE).is_none() {
            break;
        }
    }
    drop(lone);
    Done::failed(143, String::new())
}

fn begin(world: &mut World, name: &HostName, op: &Op) -> Result<(), Done> {
    let Op::RehearsalEtcd { bin, user, scratch, peer_url, client_url, ca, peer, server } = op else { return Ok(()) };
    let Some(host) = world.hosts.get_mut(name) else { return Ok(()) };
    let program = bin.join("etcd");
    if !host.users.contains(user) {
        return Err(Done::failed(1, format!("chown: invalid user: '{user}'\n")));
    }
    let made = host.files.remove(scratch).and_then(|()| host.files.make_dirs(scratch, 0o700));
    if let Err(e) =
        made.and_then(|()| host.files.set(scratch, 0o700, &Owner { user: user.clone(), group: "root".into() }))
    {
        return Err(Done::failed(
            1,
            format!("mkdir: cannot create directory '{}': {}\n", scratch.display(), e.words()),
        ));
    }
    if !host.files.is_program(&program) {
        let why = format!("runuser: failed to execute {}: No such file or directory\n", program.display());
        return Err(Done::failed(1, why));
    }
    let pid = host.new_pid();
    let flags = [
        ("name", LONE.to_owned()),
        ("data-dir", scratch.join("data").display().to_string()),
        ("listen-peer-urls", peer_url.clone()),
        ("initial-advertise-peer-urls", peer_url.clone()),
        ("listen-client-urls", client_url.clone()),
        ("advertise-client-urls", client_url.clone()),
        ("initial-cluster", format!("{LONE}={peer_url}")),
        ("initial-cluster-token", format!("{LONE}-{pid}")),
        ("client-cert-auth", "true".into()),
        ("trusted-ca-file", ca.display().to_string()),
        ("cert-file", server.0.display().to_string()),
        ("key-file", server.1.display().to_string()),
        ("peer-client-cert-auth", "true".into()),
        ("peer-trusted-ca-file", ca.display().to_string()),
        ("peer-cert-file", peer.0.display().to_string()),
        ("peer-key-file", peer.1.display().to_string()),
    ];
    let words: Vec<String> = flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
    let config =
        Config::of_flags(&words, &BTreeMap::new()).map_err(|(status, why)| Done::failed(status, why + "\n"))?;
    let launch = Launch { host: name.clone(), unit: LONE.into(), user: user.clone(), program, pid };
    start::process(world, launch, config).map_err(|exit| {
        let said = world.hosts.get(name).map(|h| h.journals.get(LONE).cloned().unwrap_or_default()).unwrap_or_default();
        let lines: Vec<String> = said.into_iter().map(|(_, l)| l).chain(exit.lines).collect();
        Done::failed(exit.status, lines.join("\n") + "\n")
    })
}
