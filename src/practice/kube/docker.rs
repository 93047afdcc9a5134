//! Containers that docker keeps by name: the workers' proxies.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::nginx;
use crate::{
    cluster::HostName,
    practice::{clock::epoch_ms, world::World},
};

/// How long `docker restart` takes, and how long nginx takes to listen after it.
pub const RESTART: Duration = Duration::from_millis(600);
const LISTENS: Duration = Duration::from_millis(150);

/// How long `docker run … nginx -t` takes.
pub const TEST: Duration = Duration::from_millis(700);

/// Most lines of a log that are kept.
const LOG: usize = 100;

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// A file of the host that is mounted by itself, and where the container sees it.
    pub mount: (PathBuf, PathBuf),
    /// What it does.
    pub state: State,
    /// When it was last started, milliseconds since the epoch.
    pub started: i64,
    /// The file as it was when the container was started: a rename over it makes another file, which the mount does not see.
    pub seen: Bytes,
    /// Why its nginx takes no configuration, where its image lacks something: nginx's own words.
    pub refuses: Option<String>,
    /// What it wrote.
    pub log: Vec<String>,
    /// Connections so far: where the next one goes.
    turn: usize,
}

/// What a container does.
#[derive(Debug, Clone, Default)]
pub enum State {
    /// Made and not running.
    #[default]
    Exited,
    /// Running.
    Running {
        /// What nginx loaded.
        conf: nginx::Conf,
        /// From when on it listens.
        listens: Duration,
        /// Dropped with its process.
        alive: watch::Sender<()>,
    },
    /// Started again and again.
    Restarting,
}

impl Container {
    /// A copy's connections are its own.
    pub(super) fn wake(&mut self) {
        if let State::Running { alive, .. } = &mut self.state {
            *alive = watch::channel(()).0;
        }
    }

    /// A worker's proxy that has not been started yet.
    pub fn proxy(conf: &Path, started: i64) -> Self {
        Self {
            mount: (conf.to_owned(), "/etc/nginx/nginx.conf".into()),
            state: State::Exited,
            started,
            seen: Bytes::new(),
            refuses: None,
            log: Vec::new(),
            turn: 0,
        }
    }

    /// docker's word for what it does.
    pub const fn word(&self) -> &'static str {
        match self.state {
            State::Exited => "exited",
            State::Running { .. } => "running",
            State::Restarting => "restarting",
        }
    }

    /// Whether it runs.
    pub const fn runs(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Its servers, the one whose turn it is first, if it listens on that port now; and a channel that ends with it.
    pub fn servers(&mut self, port: u16, now: Duration) -> Option<(Vec<SocketAddr>, watch::Receiver<()>)> {
        let State::Running { conf, listens, alive } = &self.state else { return None };
        if *listens > now || !conf.ports.contains(&port) {
            return None;
        }
        let mut servers = conf.servers.clone();
        if !servers.is_empty() {
            self.turn = (self.turn + 1) % servers.len();
            servers.rotate_left(self.turn);
        }
        Some((servers, alive.subscribe()))
    }

    /// The ports that it listens on now.
    pub fn ports(&self, now: Duration) -> &[u16] {
        match &self.state {
            State::Running { conf, listens, .. } if *listens <= now => &conf.ports,
            _ => &[],
        }
    }

    /// What nginx says of a configuration.
    pub fn judged(&self, text: &str) -> Result<nginx::Conf, String> {
        let file = self.mount.1.display().to_string();
        match &self.refuses {
            Some(why) => Err(format!("nginx: [emerg] {why} in {file}:1")),
            None => nginx::read(text, &file),
        }
    }

    fn say(&mut self, line: String) {
        self.log.push(line);
        let extra = self.log.len().saturating_sub(LOG);
        self.log.drain(..extra);
    }
}

/// Whether a host's docker runs.
pub fn active(world: &World, host: &HostName) -> bool {
    world.hosts.get(host).and_then(|h| h.units.get("docker")).is_some_and(crate::practice::units::Unit::is_active)
}

/// Whether a host's proxy runs and passes on to no master at all: its kubelet is alone then.
pub fn cut_off(world: &World, host: &HostName) -> bool {
    let mut own = world.kube.containers.range((host.clone(), String::new())..).take_while(|((h, _), _)| h == host);
    let Some((_, Container { state: State::Running { conf, .. }, .. })) = own.next() else { return false };
    let serves = |address| {
        let at = |h: &HostName| world.hosts.get(h).is_some_and(|h| h.address == address);
        world.kube.processes.iter().any(|p| p.is_apiserver() && at(&p.host))
    };
    !conf.servers.iter().any(|s| serves(s.ip()))
}

/// Starts a container, or starts it again.
pub fn restart(world: &mut World, host: &HostName, name: &str) {
    let now = world.clock.now();
    let Some(machine) = world.hosts.get(host) else { return };
    let started = epoch_ms() + machine.clock_ms;
    let Some(container) = world.kube.containers.get_mut(&(host.clone(), name.to_owned())) else { return };
    let seen = machine.files.read(&container.mount.0).unwrap_or_default();
    container.started = started;
    container.seen = seen;
    start(container, now + LISTENS);
}

/// nginx reads its configuration again, from the file that the container sees.
pub fn reload(world: &mut World, host: &HostName, name: &str) {
    let now = world.clock.now();
    if let Some(container) = world.kube.containers.get_mut(&(host.clone(), name.to_owned())).filter(|c| c.runs()) {
        start(container, now);
    }
}

fn start(container: &mut Container, listens: Duration) {
    let text = String::from_utf8_lossy(&container.seen).into_owned();
    container.state = match container.judged(&text) {
        Ok(conf) => State::Running { conf, listens, alive: watch::channel(()).0 },
        Err(why) => {
            container.say(why);
            State::Restarting
        }
    };
}

/// docker was started: what it keeps running runs again.
pub fn started(world: &mut World, host: &HostName) {
    let own = world.kube.containers.range((host.clone(), String::new())..).take_while(|((h, _), _)| h == host);
    let names: Vec<_> = own.map(|((_, name), _)| name.clone()).collect();
    for name in names {
        restart(world, host, &name);
    }
}

/// docker was stopped, or its host: nothing runs any more.
pub fn stopped(world: &mut World, host: &HostName) {
    let own = world.kube.containers.range_mut((host.clone(), String::new())..).take_while(|((h, _), _)| h == host);
    for (_, container) in own {
        container.state = State::Exited;
    }
}

/// Whatever is about to listen does so now, and has run for long.
pub fn settle_now(world: &mut World) {
    let ago = epoch_ms() - 30 * 86_400_000;
    for container in world.kube.containers.values_mut() {
        container.started = ago;
        if let State::Running { listens, .. } = &mut container.state {
            *listens = Duration::ZERO;
        }
    }
}
