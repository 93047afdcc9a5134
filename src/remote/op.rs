//! The closed vocabulary of what is done on a host.
//!
//! An operation says what, never how: [`super::shell`] makes the exact POSIX shell of it, the practice cluster changes its
//! model. What the preview shows and what runs render from the same value.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretSlice};

use super::{container::ContainerOp, lock::LockOp, package::PackageOp, pods::PodsOp, tree::TreeOp};

/// Bytes that must never be shown, logged or journaled: no `Display`, a redacted `Debug`, no `Serialize`.
#[derive(Clone)]
pub struct SecretBytes(Arc<SecretSlice<u8>>);

impl SecretBytes {
    /// Takes the bytes over; they are wiped when the last clone goes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(SecretSlice::from(bytes)))
    }

    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.expose().len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", tr!("(secret, {length} bytes)", length = self.len()))
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretBytes {}

/// What a file is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// May be shown, as a diff.
    Text(String),
    /// A private key or a token: only its length is ever shown.
    Secret(SecretBytes),
}

impl Content {
    /// The bytes to write.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(t) => t.as_bytes(),
            Self::Secret(s) => s.expose(),
        }
    }

    /// sha256 of the bytes, lower-case hex.
    pub fn sha256(&self) -> String {
        sha256_hex(self.bytes())
    }
}

/// sha256, lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    // ring's is assembler even in a build for debugging.
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// Owner and group by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// User name.
    pub user: String,
    /// Group name.
    pub group: String,
}

impl Owner {
    /// The same name for both.
    pub fn both(name: &str) -> Self {
        Self { user: name.into(), group: name.into() }
    }

    /// root:root.
    pub fn root() -> Self {
        Self::both("root")
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// What `systemctl` is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitVerb {
    /// Start now.
    Start,
    /// Stop now.
    Stop,
    /// Restart now.
    Restart,
    /// At boot too.
    Enable,
    /// Not at boot.
    Disable,
    /// Forget a failure, so that the start limit does not hold.
    ResetFailed,
}

impl UnitVerb {
    /// systemctl's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::ResetFailed => "reset-failed",
        }
    }
}

/// How etcdctl on the host reaches its own member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdctlAccess {
    /// Directory of `etcdctl`.
    pub bin: PathBuf,
    /// `https://…`, exactly one.
    pub endpoint: String,
    /// CA certificate.
    pub ca: PathBuf,
    /// Client certificate.
    pub cert: PathBuf,
    /// Client key.
    pub key: PathBuf,
}

/// One operation on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    // ---- looking -----------------------------------------------------------------------------------------------
    /// One look at the host: `key=value` lines, see [`super::shell`] for the keys.
    Facts {
        /// Ports whose listeners are wanted.
        ports: Vec<u16>,
        /// Directories whose free space is wanted (the nearest that exists counts).
        space: Vec<PathBuf>,
        /// Programs whose presence and path are wanted.
        programs: Vec<String>,
    },
    /// A file's bytes on standard output. Status 44 when it does not exist.
    ReadFile {
        /// Which file.
        path: PathBuf,
    },
    /// The same, for a file whose content must not be shown or logged.
    ReadSecret {
        /// Which file.
        path: PathBuf,
    },
    /// One line a path: `type mode user group size mtime sha256 path` (`-` for sha256 of anything but a file, type `absent`).
    Stat {
        /// Which paths.
        paths: Vec<PathBuf>,
    },
    /// Every entry below a directory, same lines as [`Op::Stat`]; empty when there is none.
    ListTree {
        /// Which directory.
        dir: PathBuf,
    },
    /// Names of the entries of a directory, one a line; empty when there is none.
    ListDir {
        /// Which directory.
        dir: PathBuf,
    },
    /// `systemctl show`: `ActiveState=…`, `SubState=…`, `MainPID=…`, `NRestarts=…`, `Result=…`, `LoadState=…`, then what
    /// `systemctl is-enabled` says as `UnitFileState=…`.
    UnitState {
        /// Unit name without `.service`.
        unit: String,
    },
    /// The last lines of a unit's journal.
    UnitLog {
        /// Unit name without `.service`.
        unit: String,
        /// How many lines.
        lines: u32,
    },
    /// Follows a unit's journal until the channel closes; lines on standard output as `short-iso-precise`.
    FollowLog {
        /// Unit name without `.service`.
        unit: String,
        /// How many old lines first.
        lines: u32,
    },
    /// `etcd --version` (first lines). Status 44 when the binary does not exist.
    EtcdVersion {
        /// Directory of `etcd`.
        bin: PathBuf,
    },

    // ---- files -------------------------------------------------------------------------------------------------
    /// Writes a file whole: temporary file beside it (a dotfile), owner, mode, fsync, rename.
    WriteFile {
        /// Which file.
        path: PathBuf,
        /// What it holds afterwards.
        content: Content,
        /// Permission bits.
        mode: u32,
        /// Owner.
        owner: Owner,
        /// Where the old file is copied to first (once: an existing backup is kept).
        backup: Option<PathBuf>,
    },
    /// Writes a file from standard input, checked against size and sha256 before the rename.
    ReceiveFile {
        /// Which file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Owner.
        owner: Owner,
        /// Expected sha256, lower-case hex.
        sha256: String,
        /// Where the old file is copied to first.
        backup: Option<PathBuf>,
    },
    /// Makes a directory and its parents; sets mode and owner on the last.
    MakeDir {
        /// Which directory.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Owner.
        owner: Owner,
    },
    /// Removes files that may or may not exist.
    RemoveFiles {
        /// Which files.
        paths: Vec<PathBuf>,
    },
    /// Removes a directory and all in it. Refused by the shell for `/`, a top-level directory and anything not absolute.
    RemoveTree {
        /// Which directory.
        path: PathBuf,
    },
    /// Removes a directory only if it is empty.
    RemoveEmptyDir {
        /// Which directory.
        path: PathBuf,
    },
    /// Moves what lies in a directory into a sibling, so that nothing is lost, and leaves the directory empty.
    SetAside {
        /// Which directory.
        dir: PathBuf,
        /// The sibling that takes its content.
        to: PathBuf,
    },
    /// Puts a file back from its backup (atomically, owner and mode with it); removes the file where the backup says
    /// there was none. Status 44 when there is no backup: the file was never changed.
    RestoreFile {
        /// Which file.
        path: PathBuf,
        /// Its backup, as [`Op::WriteFile`] made it.
        backup: PathBuf,
    },
    /// Copies trees into a dated directory (0700) and writes `SHA256SUMS` there, then checks it.
    BackupTrees {
        /// What to copy; those that do not exist are left out.
        from: Vec<PathBuf>,
        /// A directory below them that is left out: a live database is not copied file by file.
        except: PathBuf,
        /// Where to.
        to: PathBuf,
    },

    // ---- host --------------------------------------------------------------------------------------------------
    /// `systemctl VERB UNIT`.
    Systemctl {
        /// What to do.
        verb: UnitVerb,
        /// Unit name without `.service`.
        unit: String,
    },
    /// `systemctl daemon-reload`.
    DaemonReload,
    /// Sets the static hostname.
    SetHostname {
        /// The new name.
        name: String,
    },
    /// Makes a system user and group with no login, unless they exist.
    AddUser {
        /// User and group name.
        name: String,
        /// Home directory (not created).
        home: PathBuf,
    },
    /// Removes a user and its group, if they exist.
    RemoveUser {
        /// User name.
        name: String,
    },
    /// Stops and disables firewalld, and makes SELinux permissive now and after a reboot; each tolerated when absent or
    /// already so.
    FirewallOff,
    /// Starts and enables firewalld again, and SELinux enforcing again if it was (undo of [`Op::FirewallOff`]).
    FirewallOn {
        /// Whether firewalld ran before.
        firewalld: bool,
        /// Whether ufw was active before.
        ufw: bool,
        /// Whether SELinux enforced before.
        selinux: bool,
    },
    /// Those of the ports that a running firewalld or ufw does not let through yet, one a line.
    PortsMissing {
        /// Which ports.
        ports: Vec<u16>,
    },
    /// Opens TCP ports, now and after a reboot, by whichever of firewalld and ufw is there.
    OpenPorts {
        /// Which ports.
        ports: Vec<u16>,
    },
    /// Closes them again.
    ClosePorts {
        /// Which ports.
        ports: Vec<u16>,
    },

    // ---- vocabularies with a file of their own -------------------------------------------------------------------
    /// Trees of files.
    Tree(TreeOp),
    /// The package manager.
    Package(PackageOp),
    /// Containers and static pods.
    Container(ContainerOp),
    /// The pods of a node.
    Pods(PodsOp),
    /// The lock on the cluster.
    Lock(LockOp),

    // ---- etcd's own tools ---------------------------------------------------------------------------------------
    /// `etcdctl snapshot save` on the member's host, mode 0600.
    SnapshotSave {
        /// How to reach the member.
        access: EtcdctlAccess,
        /// The snapshot file.
        path: PathBuf,
    },
    /// `snapshot status -w json` (etcdutl where there is one): `{"hash":…,"revision":…,"totalKey":…,"totalSize":…}`.
    SnapshotStatus {
        /// Directory of etcdctl / etcdutl.
        bin: PathBuf,
        /// The snapshot file.
        path: PathBuf,
    },
    /// Restores the snapshot into a scratch directory with the cluster's own binary (which checks the appended sha256),
    /// prints the status of the restored database like [`Op::SnapshotStatus`], and removes the scratch directory whatever happens.
    SnapshotTrial {
        /// Directory of etcdctl / etcdutl.
        bin: PathBuf,
        /// The snapshot file.
        path: PathBuf,
        /// The scratch directory; must not exist.
        scratch: PathBuf,
    },
    /// Runs a lone etcd on this host's own ports and certificates, with a scratch data directory and its own token, until
    /// the channel closes: what a handshake is rehearsed against. Its log's last lines come on
    /// standard error when it ends.
    RehearsalEtcd {
        /// Directory of `etcd`.
        bin: PathBuf,
        /// User that runs it.
        user: String,
        /// Scratch data directory; must not exist, is removed afterwards.
        scratch: PathBuf,
        /// `https://ADDRESS:PEER_PORT` to listen on.
        peer_url: String,
        /// `https://ADDRESS:CLIENT_PORT` to listen on.
        client_url: String,
        /// CA certificate.
        ca: PathBuf,
        /// Peer pair: certificate, key.
        peer: (PathBuf, PathBuf),
        /// Server pair: certificate, key.
        server: (PathBuf, PathBuf),
    },
}

impl Op {
    /// Whether it only looks.
    pub fn read_only(&self) -> bool {
        match self {
            Self::Tree(op) => return op.read_only(),
            Self::Package(op) => return op.read_only(),
            Self::Container(op) => return op.read_only(),
            Self::Pods(op) => return op.read_only(),
            Self::Lock(op) => return op.read_only(),
            _ => {}
        }
        matches!(
            self,
            Self::Facts { .. }
                | Self::ReadFile { .. }
                | Self::ReadSecret { .. }
                | Self::Stat { .. }
                | Self::ListTree { .. }
                | Self::ListDir { .. }
                | Self::PortsMissing { .. }
                | Self::UnitState { .. }
                | Self::UnitLog { .. }
                | Self::FollowLog { .. }
                | Self::EtcdVersion { .. }
                | Self::SnapshotStatus { .. }
        )
    }

    /// Most time it may take before the wizard stops waiting.
    pub fn deadline(&self) -> Duration {
        match self {
            Self::Tree(op) => return op.deadline(),
            Self::Package(op) => return op.deadline(),
            Self::Container(op) => return op.deadline(),
            Self::Pods(op) => return op.deadline(),
            Self::Lock(_) => return LockOp::DEADLINE,
            _ => {}
        }
        Duration::from_secs(match self {
            Self::Systemctl { .. } | Self::FirewallOff | Self::OpenPorts { .. } | Self::ClosePorts { .. } => 120,
            Self::BackupTrees { .. }
            | Self::SnapshotSave { .. }
            | Self::SnapshotTrial { .. }
            | Self::ReceiveFile { .. }
            | Self::RehearsalEtcd { .. } => 600,
            Self::FollowLog { .. } => 24 * 3600,
            op if op.read_only() => 20,
            _ => 60,
        })
    }

    /// One line for the log: what it does and to what. Never content.
    pub fn summary(&self) -> String {
        match self {
            Self::Facts { .. } => trs!("look at the host").into(),
            Self::ReadFile { path } => tr!("read {path}", path = path.display()),
            Self::ReadSecret { path } => tr!("read {path} (into memory only)", path = path.display()),
            Self::Stat { paths } => tr!("stat {paths}", paths = list(paths)),
            Self::ListDir { dir } => tr!("names in {dir}", dir = dir.display()),
            Self::ListTree { dir } => tr!("list {dir}", dir = dir.display()),
            Self::UnitState { unit } => tr!("state of {unit}.service", unit = unit),
            Self::UnitLog { unit, lines } => tr!("last {lines} lines of {unit}.service", lines = lines, unit = unit),
            Self::FollowLog { unit, .. } => tr!("follow the journal of {unit}.service", unit = unit),
            Self::EtcdVersion { bin } => tr!("version of {bin}/etcd", bin = bin.display()),
            Self::WriteFile { path, mode, owner, .. } => tr!(
                "write {path} ({mode} {owner})",
                path = path.display(),
                mode = format_args!("{mode:04o}"),
                owner = owner
            ),
            Self::ReceiveFile { path, mode, owner, .. } => tr!(
                "receive {path} ({mode} {owner})",
                path = path.display(),
                mode = format_args!("{mode:04o}"),
                owner = owner
            ),
            Self::MakeDir { path, mode, owner } => tr!(
                "make directory {path} ({mode} {owner})",
                path = path.display(),
                mode = format_args!("{mode:04o}"),
                owner = owner
            ),
            Self::RemoveFiles { paths } => tr!("remove {paths}", paths = list(paths)),
            Self::RemoveTree { path } => tr!("remove {path} and all in it", path = path.display()),
            Self::RemoveEmptyDir { path } => tr!("remove {path} if empty", path = path.display()),
            Self::SetAside { dir, to } => {
                tr!("move what lies in {dir} to {to}", dir = dir.display(), to = to.display())
            }
            Self::RestoreFile { path, backup } => {
                tr!("put {path} back from {backup}", path = path.display(), backup = backup.display())
            }
            Self::BackupTrees { from, to, .. } => {
                tr!("copy {list} to {to} with checksums", list = list(from), to = to.display())
            }
            Self::Systemctl { verb, unit } => format!("systemctl {} {unit}.service", verb.word()),
            Self::DaemonReload => "systemctl daemon-reload".into(),
            Self::SetHostname { name } => tr!("set hostname to {name}", name = name),
            Self::AddUser { name, .. } => tr!("make system user {name}", name = name),
            Self::RemoveUser { name } => tr!("remove user {name}", name = name),
            Self::FirewallOff => trs!("firewalld and SELinux off").into(),
            Self::FirewallOn { .. } => trs!("firewalld and SELinux as they were").into(),
            Self::PortsMissing { ports } => tr!("which of TCP ports {ports} are closed", ports = join(ports)),
            Self::OpenPorts { ports } => tr!("open TCP ports {ports}", ports = join(ports)),
            Self::ClosePorts { ports } => tr!("close TCP ports {ports}", ports = join(ports)),
            Self::SnapshotSave { path, .. } => format!("etcdctl snapshot save {}", path.display()),
            Self::SnapshotStatus { path, .. } => tr!("snapshot status {path}", path = path.display()),
            Self::SnapshotTrial { path, .. } => tr!("restore {path} into a scratch directory", path = path.display()),
            Self::Tree(op) => op.summary(),
            Self::Package(op) => op.summary(),
            Self::Container(op) => op.summary(),
            Self::Pods(op) => op.summary(),
            Self::Lock(op) => op.summary(),
            Self::RehearsalEtcd { peer_url, .. } => tr!("lone rehearsal etcd on {peer_url}", peer_url = peer_url),
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn join(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}
