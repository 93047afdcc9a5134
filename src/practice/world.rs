//! Everything there is in practice, behind one lock.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    clock::Clock,
    etcd::{self, model::Etcd},
    host::{Host, Power},
    kube::{self, Kube},
    tap::{Change, Reply, Tap},
    units,
};
use crate::{
    cluster::HostName,
    remote::{BoxStream, RemoteError, Target},
};

/// How often somebody who waits for a frozen host looks again, in practice time.
const THAW: Duration = Duration::from_millis(200);

/// Every host and every etcd.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// What time goes by.
    pub clock: Clock,
    /// Hosts by their name in the cluster file.
    pub hosts: BTreeMap<HostName, Host>,
    /// etcd.
    pub etcd: Etcd,
    /// Kubernetes.
    pub kube: Kube,
}

impl World {
    /// Brings everything up to now.
    pub fn settle(&mut self) {
        units::settle(self);
        etcd::model::settle(self);
        kube::settle(self);
    }

    /// Everything as it is now, and the moment: another practice can go on from there ([`super::Practice::of`]).
    pub fn kept(&mut self) -> (Self, Duration) {
        self.settle();
        (self.clone(), self.clock.now())
    }

    /// Time goes on from `now`, and connections are this world's own.
    pub(super) fn wake(&mut self, now: Duration) {
        self.clock = Clock::from(now, self.clock.speed());
        for process in &mut self.etcd.processes {
            process.alive = watch::channel(()).0;
        }
        kube::wake(&mut self.kube);
    }

    /// Switches a host off, or freezes it, or lets it run again: units that are enabled start then.
    pub fn power(&mut self, name: &HostName, power: Power) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let before = std::mem::replace(&mut host.power, power);
        match (before, power) {
            (Power::Up | Power::Hung, Power::Down) => {
                for unit in host.units.values_mut() {
                    (unit.state, unit.pid) = (units::State::Inactive, 0);
                }
                super::ops::lock::forget(host);
                self.etcd.processes.retain(|p| &p.host != name);
                kube::powered_off(self, name);
            }
            (Power::Down, Power::Up) => {
                let wants = host.files.children(std::path::Path::new("/etc/systemd/system/multi-user.target.wants"));
                let named = |p: std::path::PathBuf| p.file_stem().map(|s| s.to_string_lossy().into_owned());
                for unit in wants.into_iter().filter_map(named) {
                    units::start(self, name, &unit, true);
                }
            }
            _ => {}
        }
        self.settle();
    }
}

/// The world, shared by whoever serves or asks.
#[derive(Clone)]
pub struct Shared {
    world: Arc<Mutex<World>>,
    tap: Arc<Mutex<Option<Arc<dyn Tap>>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.world).finish()
    }
}

impl Shared {
    /// Around a world.
    pub fn new(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), tap: Arc::default() }
    }

    /// Who is told of changes from now on.
    pub fn set_tap(&self, tap: Option<Arc<dyn Tap>>) {
        *self.tap.lock().unwrap_or_else(PoisonError::into_inner) = tap;
    }

    fn tap(&self) -> Option<Arc<dyn Tap>> {
        self.tap.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A change is about to be made.
    pub async fn before(&self, host: &HostName, what: &str) {
        if let Some(tap) = self.tap() {
            tap.before(&Change { host: host.clone(), what: what.to_owned() }).await;
        }
    }

    /// A change was made; whether its answer arrives.
    pub async fn after(&self, host: &HostName, what: &str) -> Reply {
        match self.tap() {
            Some(tap) => tap.after(&Change { host: host.clone(), what: what.to_owned() }).await,
            None => Reply::Given,
        }
    }

    /// The world as it is now.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.settle();
        world
    }

    /// What time goes by.
    pub fn clock(&self) -> Clock {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).clock
    }

    /// Waits while a host is frozen.
    pub async fn awake(&self, host: &HostName) {
        let hung = || self.lock().hosts.get(host).is_some_and(|h| h.power == Power::Hung);
        while hung() {
            self.clock().sleep(THAW).await;
        }
    }

    /// A connection from a host to a port, refused as the kernel and the firewalls on the way refuse it.
    pub fn connect(&self, via: &HostName, to: Target) -> Result<BoxStream, RemoteError> {
        let failed = |why: &str| RemoteError::Dial {
            host: via.clone(),
            target: to.to_string(),
            why: format!("{why}; check that something listens there and that no firewall is in between"),
        };
        let (target, who, from) = {
            let mut guard = self.lock();
            let world = &mut *guard;
            let caller = world.hosts.get(via).ok_or_else(|| failed("connect failed"))?;
            let own = to.address.is_loopback() || to.address == caller.address;
            let target = if own { Some(caller) } else { world.hosts.values().find(|h| h.address == to.address) };
            let target = target.filter(|t| t.power != Power::Down).ok_or_else(|| failed("no route to host"))?;
            if target.power == Power::Hung {
                // The kernel of a frozen machine says nothing at all.
                let (ours, theirs) = tokio::io::duplex(64);
                tokio::spawn(hold(self.clone(), target.name.clone(), theirs));
                return Ok(Box::new(ours));
            }
            if !own && !target.lets_in(to.port) {
                return Err(failed("no route to host"));
            }
            let from = if to.address.is_loopback() { to.address } else { caller.address };
            let target = target.name.clone();
            (target.clone(), Listener::on(world, &target, to.port).ok_or_else(|| failed("connection refused"))?, from)
        };
        match who {
            Listener::Etcd { pid, peer } => {
                etcd::server::connect(self, &target, pid, peer, from).ok_or_else(|| failed("connection refused"))
            }
            Listener::Apiserver { pid, alive } => Ok(kube::server::connect(self, &target, pid, alive)),
            // nginx asks the next one where one does not answer, and hangs up where none does.
            Listener::Proxy { servers, alive } => {
                let to = |server: SocketAddr| Target { address: server.ip(), port: server.port() };
                let frozen = |server: &SocketAddr| {
                    let world = self.lock();
                    world.hosts.values().any(|h| h.address == server.ip() && h.power == Power::Hung)
                };
                let mut ways =
                    servers.into_iter().filter(|s| !frozen(s)).filter_map(|s| self.connect(&target, to(s)).ok());
                Ok(match ways.next() {
                    Some(way) => kube::server::while_alive(way, alive),
                    None => Box::new(tokio::io::duplex(1).0),
                })
            }
            Listener::Deaf => Ok(Box::new(tokio::io::duplex(1).0)),
        }
    }
}

/// Who answers on a port.
enum Listener {
    Etcd {
        pid: u32,
        peer: bool,
    },
    Apiserver {
        pid: u32,
        alive: watch::Receiver<()>,
    },
    Proxy {
        servers: Vec<SocketAddr>,
        alive: watch::Receiver<()>,
    },
    /// Listens, and hangs up: nobody asks it anything here.
    Deaf,
}

impl Listener {
    fn on(world: &mut World, host: &HostName, port: u16) -> Option<Self> {
        let now = world.clock.now();
        if let Some((process, peer)) = world.etcd.listener(host, port) {
            return Some(Self::Etcd { pid: process.pid, peer });
        }
        let process = world.kube.processes.iter().find(|p| &p.host == host && p.listens(port, now));
        if let Some(process) = process {
            let alive = process.alive().filter(|_| process.is_apiserver());
            return Some(alive.map_or(Self::Deaf, |alive| Self::Apiserver { pid: process.pid, alive }));
        }
        let mut own =
            world.kube.containers.range_mut((host.clone(), String::new())..).take_while(|((h, _), _)| h == host);
        if let Some((servers, alive)) = own.find_map(|(_, c)| c.servers(port, now)) {
            return Some(Self::Proxy { servers, alive });
        }
        kube::listener(world, host, port).map(|_| Self::Deaf)
    }
}

/// Keeps the far end of a connection to a frozen host until it thaws; then it breaks, as TCP would find out.
async fn hold(shared: Shared, host: HostName, end: tokio::io::DuplexStream) {
    shared.awake(&host).await;
    drop(end);
}
