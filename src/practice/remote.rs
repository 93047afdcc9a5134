//! The practice cluster as a [`Remote`].

use std::{fmt::Write as _, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    etcd::tools,
    host::Power,
    ops::{self, Done},
    tap::{Reply, Tap},
    world::{Shared, World},
};
use crate::{
    cluster::{Cluster, HostName},
    remote::{BoxStream, Io, Op, Output, Remote, RemoteError, Stdin, Stdout, Target, clean, container::ContainerOp},
};

/// How often somebody who follows a journal or waits for a host looks, in practice time.
const LOOK: Duration = Duration::from_millis(200);

/// Hosts in memory. Cheap to clone: all clones see the same ones.
#[derive(Debug, Clone)]
pub struct Practice {
    /// The cluster file that goes with them.
    pub cluster: Arc<Cluster>,
    shared: Shared,
}

impl Practice {
    /// Around a world that was built.
    pub(super) fn new(cluster: Cluster, world: World) -> Self {
        Self { cluster: Arc::new(cluster), shared: Shared::new(world) }
    }

    /// A practice cluster of its own in the state that `world` is in, whose time goes on from `now`.
    pub fn of(cluster: Arc<Cluster>, mut world: World, now: Duration) -> Self {
        world.wake(now);
        Self { cluster, shared: Shared::new(world) }
    }

    /// Who is told of every change from now on.
    pub fn set_tap(&self, tap: Option<Arc<dyn Tap>>) {
        self.shared.set_tap(tap);
    }

    /// Looks at the world, or changes it by hand.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.shared.lock();
        let seen = look(&mut world);
        world.settle();
        seen
    }

    fn unreachable(&self, host: &HostName, why: &str) -> RemoteError {
        let address = self.cluster.node(host).map(|n| format!("{}:22", n.address)).unwrap_or_default();
        RemoteError::Unreachable { host: host.clone(), address, why: why.to_owned() }
    }

    /// The way to a host, as slow as it is; an error where it is off, or frozen for longer than the operation may take.
    async fn door(&self, host: &HostName, op: &Op, deadline: Duration) -> Result<(), RemoteError> {
        let clock = self.shared.clock();
        let began = clock.now();
        loop {
            let power = self.shared.lock().hosts.get(host).map_or(Power::Down, |h| h.power);
            match power {
                Power::Up => return Ok(()),
                Power::Down => return Err(self.unreachable(host, "no route to host")),
                Power::Hung if clock.now() > began + deadline => {
                    let (host, what) = (host.clone(), op.summary());
                    return Err(RemoteError::Timeout { host, what, seconds: deadline.as_secs() });
                }
                Power::Hung => clock.sleep(LOOK).await,
            }
        }
    }

    /// Whether the session breaks with this operation.
    fn breaks(&self, host: &HostName) -> bool {
        let mut world = self.shared.lock();
        let Some(line) = world.hosts.get_mut(host).map(|h| &mut h.line) else { return false };
        match line.drops_after {
            Some(0 | 1) => {
                line.drops_after = None;
                true
            }
            Some(n) => {
                line.drops_after = Some(n - 1);
                false
            }
            None => false,
        }
    }

    async fn done(&self, host: &HostName, op: &Op, io: &mut Io) -> Result<Done, RemoteError> {
        let lost = || RemoteError::Lost { host: host.clone(), what: op.summary() };
        Ok(match op {
            Op::SnapshotSave { access, path } => tools::snapshot_save(&self.shared, host, access, path).await,
            Op::RehearsalEtcd { .. } => tools::rehearsal(&self.shared, host, op).await,
            Op::Container(ContainerOp::Follow { components, lines }) => {
                self.follow_pods(host, components, *lines, io).await.map_err(|_| lost())?
            }
            Op::FollowLog { unit, lines } => self.follow(host, unit, *lines, io).await.map_err(|_| lost())?,
            op if ops::takes_input(op) => {
                let mut input = Vec::new();
                if let Stdin::Reader(reader) = &mut io.stdin {
                    reader.read_to_end(&mut input).await.map_err(|_| lost())?;
                }
                ops::run(&mut self.shared.lock(), host, op, &input)
            }
            op => {
                self.shared.clock().sleep(ops::takes(op)).await;
                ops::run(&mut self.shared.lock(), host, op, &[])
            }
        })
    }

    /// Does it, with whoever listens to changes told; the lock on the cluster is none.
    async fn tapped(&self, host: &HostName, op: &Op, io: &mut Io) -> Result<Done, RemoteError> {
        if op.read_only() || matches!(op, Op::Lock(_)) {
            return self.done(host, op, io).await;
        }
        let what = op.summary();
        self.shared.before(host, &what).await;
        // It may have struck meanwhile.
        self.door(host, op, io.deadline.unwrap_or_else(|| op.deadline())).await?;
        let done = self.done(host, op, io).await?;
        match self.shared.after(host, &what).await {
            Reply::Given => Ok(done),
            Reply::Lost => Err(RemoteError::Lost { host: host.clone(), what }),
        }
    }

    /// Writes journal lines as they come, until nobody reads them.
    async fn follow(&self, host: &HostName, unit: &str, lines: u32, io: &mut Io) -> std::io::Result<Done> {
        let mut shown = None;
        let mut kept = Vec::new();
        loop {
            let text = {
                let world = self.shared.lock();
                let Some(h) = world.hosts.get(host) else { return Ok(Done::default()) };
                if h.power == Power::Down {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
                let written = h.written.get(unit).copied().unwrap_or(0);
                let new = shown.map_or(u64::from(lines), |s| written - s);
                shown = Some(written);
                h.journal(unit, usize::try_from(new).unwrap_or(0), true)
            };
            for line in text {
                match &mut io.stdout {
                    Stdout::Writer(writer) => {
                        writer.write_all(line.as_bytes()).await?;
                        writer.write_all(b"\n").await?;
                        writer.flush().await?;
                    }
                    Stdout::Capture => kept.extend([line.as_bytes(), b"\n"].concat()),
                }
            }
            self.shared.clock().sleep(LOOK).await;
        }
    }

    /// Writes what the containers of static pods say, in the CRI's form and with `tail`'s headings, until nobody reads it
    /// or a container comes that was not there before. What `kube-apiserver` says is the journal `container:kube-apiserver`.
    async fn follow_pods(
        &self,
        host: &HostName,
        components: &[String],
        lines: u32,
        io: &mut Io,
    ) -> std::io::Result<Done> {
        let path = |name: &str| format!("/var/log/pods/{name}.log");
        let mut followed: Vec<(&str, u64)> = Vec::new();
        let mut begun = false;
        loop {
            let (text, there) = {
                let world = self.shared.lock();
                let Some(h) = world.hosts.get(host) else { return Ok(Done::default()) };
                if h.power == Power::Down {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
                let unit = |name: &str| format!("container:{name}");
                let runs: Vec<&str> =
                    components.iter().map(String::as_str).filter(|n| h.journals.contains_key(&unit(n))).collect();
                let mut text = String::new();
                if !begun {
                    followed = runs.iter().map(|n| (*n, 0)).collect();
                    text.extend(runs.iter().map(|n| format!("file {n} {}\n", path(n))));
                }
                for (name, shown) in &mut followed {
                    let Some(journal) = h.journals.get(&unit(name)) else { continue };
                    let written = h.written.get(&unit(name)).copied().unwrap_or(0);
                    let new = if begun { written - *shown } else { u64::from(lines) };
                    *shown = written;
                    let skipped = journal.len().saturating_sub(usize::try_from(new).unwrap_or(usize::MAX));
                    if skipped < journal.len() {
                        let _ = writeln!(text, "==> {} <==", path(name));
                    }
                    for (at, line) in journal.iter().skip(skipped) {
                        let at = jiff::Timestamp::from_millisecond(*at).unwrap_or_default();
                        let at = at.strftime("%Y-%m-%dT%H:%M:%S.%9f+00:00");
                        let _ = writeln!(text, "{at} stderr F {line}");
                    }
                }
                (text, runs.len())
            };
            if there == 0 {
                return Ok(Done::not_there());
            }
            if there != followed.len() {
                return Ok(Done::default());
            }
            begun = true;
            let Stdout::Writer(writer) = &mut io.stdout else { return Ok(Done::out(text)) };
            writer.write_all(text.as_bytes()).await?;
            writer.flush().await?;
            self.shared.clock().sleep(LOOK).await;
        }
    }

    /// What a host with a grudge adds to what it says.
    fn spiteful(&self, host: &HostName, op: &Op, done: &mut Done) {
        let hostile = self.shared.lock().hosts.get(host).is_some_and(|h| h.line.hostile);
        if !hostile {
            return;
        }
        done.stderr += "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}everything is fine\r\n";
        match op {
            Op::Facts { .. } => {
                let text =
                    String::from_utf8_lossy(&done.stdout).replacen("os=", "os=\u{1b}]52;c;aGk=\u{7}\u{1b}[31m", 1);
                done.stdout = text.into_bytes();
            }
            Op::UnitLog { .. } | Op::FollowLog { .. } => {
                done.stdout.extend_from_slice("\u{1b}[1;1H\u{9b}2J# all done\u{7}\n".as_bytes());
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Remote for Practice {
    async fn run(&self, host: &HostName, op: &Op, mut io: Io) -> Result<Output, RemoteError> {
        let deadline = io.deadline.unwrap_or_else(|| op.deadline());
        let slow = self.shared.lock().hosts.get(host).map_or(Duration::ZERO, |h| h.line.slow);
        let work = async {
            self.shared.clock().sleep(slow).await;
            self.door(host, op, deadline).await?;
            let breaks = self.breaks(host);
            let done = self.tapped(host, op, &mut io).await?;
            // The host may have frozen or gone meanwhile, and then nobody hears of it.
            self.door(host, op, deadline).await?;
            if breaks { Err(RemoteError::Lost { host: host.clone(), what: op.summary() }) } else { Ok(done) }
        };
        // By the operator's clock: what is worked out here takes the time it takes, however fast practice time runs.
        let mut done = tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
            let (host, what) = (host.clone(), op.summary());
            Err(RemoteError::Timeout { host, what, seconds: deadline.as_secs() })
        })?;
        self.spiteful(host, op, &mut done);
        let stderr = clean::text(&done.stderr);
        if let Some(lines) = &io.lines {
            for line in stderr.lines() {
                let _ = lines.send(line.to_owned());
            }
        }
        let stdout = match &mut io.stdout {
            Stdout::Capture => Bytes::from(done.stdout),
            Stdout::Writer(writer) => {
                // A reader that is gone has its own reasons.
                let _ = writer.write_all(&done.stdout).await;
                let _ = writer.shutdown().await;
                Bytes::new()
            }
        };
        Ok(Output { status: done.status, stdout, stderr })
    }

    async fn dial(&self, via: &HostName, to: Target) -> Result<BoxStream, RemoteError> {
        let power = self.shared.lock().hosts.get(via).map_or(Power::Down, |h| h.power);
        if power == Power::Down {
            return Err(self.unreachable(via, "no route to host"));
        }
        self.shared.awake(via).await;
        self.shared.connect(via, to)
    }
}
