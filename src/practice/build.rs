//! A scenario laid out as hosts in memory, with etcd running.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use etcd_client::proto::PbPutRequest;

use super::{
    clock::Clock,
    etcd::{links::Link, model::pair, tools},
    files::{Entry, Kind},
    host::{Firewall, Host},
    kube,
    pki::{Authority, Leaf},
    remote::Practice,
    scenario::{FileSpec, HostDiffers, Layout, RoleLayout, Scenario, ScenarioError},
    units,
    world::World,
};
use crate::{
    cluster::{Cluster, HostName, Node, Role, file},
    remote::op::{Owner, sha256_hex},
};

/// Bytes of a practice binary: enough for a progress bar, little enough for a thousand hosts.
const BINARY: usize = 256 << 10;

/// What may differ from one practice to the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How much faster than the operator's clock time passes; 0 counts as 1.
    pub speed: u32,
    /// So many workers instead of the scenario's.
    pub workers: Option<usize>,
    /// What is chance in a real cluster: process ids, machine ids, how long a joiner takes.
    pub seed: u64,
}

/// Lays a scenario out.
pub fn build(scenario: &Scenario, options: Options) -> Result<Practice, ScenarioError> {
    let cluster = cluster_of(scenario, options)?;
    let layout = Layout::of_program()?;
    let pki = |e: rcgen::Error| ScenarioError::Pki(e.to_string());
    let shared = Shared::new(&cluster, scenario).map_err(pki)?;
    let mut world = World { clock: Clock::new(options.speed), ..World::default() };
    let mut chance = Chance(options.seed);
    for node in cluster.hosts() {
        let differs = scenario.hosts.get(node.name.as_str()).cloned().unwrap_or_default();
        let host = Maker { cluster: &cluster, layout: &layout, shared: &shared, node }.host(&differs, &mut chance);
        world.hosts.insert(node.name.clone(), host);
    }
    if let Some(host) = scenario.hosts.keys().find(|h| !world.hosts.contains_key(&HostName::new(h))) {
        return Err(ScenarioError::NoHost { name: scenario.name.clone(), host: host.clone() });
    }
    let mut kubernetes = kube::layout::Laid::new(&cluster, &|file| shared.pki(file).map(str::to_owned))?;
    for node in cluster.hosts() {
        kubernetes.host(&mut world, &cluster, node);
    }
    for node in cluster.hosts() {
        for unit in role(&layout, node.role).units.clone() {
            units::systemctl(&mut world, &node.name, crate::remote::op::UnitVerb::Enable, &unit);
            units::start(&mut world, &node.name, &unit, true);
        }
    }
    grown_up(&mut world, scenario, chance.below(3000));
    kubernetes.run(&mut world, &cluster);
    for fault in &scenario.faults {
        if let Some(host) = fault.host().filter(|h| !world.hosts.contains_key(h)) {
            return Err(ScenarioError::NoHost { name: scenario.name.clone(), host: host.to_string() });
        }
        fault.strike(&mut world, &cluster);
    }
    Ok(Practice::new(cluster, world))
}

/// The cluster file of a scenario, checked.
pub fn cluster_of(scenario: &Scenario, options: Options) -> Result<Cluster, ScenarioError> {
    let wrong = |why: String| ScenarioError::Cluster { name: scenario.name.clone(), why };
    let mut file = scenario.cluster.clone();
    if let Some(count) = options.workers {
        let worker = |n: usize| {
            let address = format!("10.{}.{}.{}", 11 + n / 62_500, n / 250 % 250, n % 250 + 1);
            serde_yaml::Mapping::from_iter([
                ("name".into(), format!("node{:02}", n + 1).into()),
                ("address".into(), address.into()),
            ])
        };
        file.insert(
            "workers".into(),
            (0..count).map(|n| serde_yaml::Value::from(worker(n))).collect::<Vec<_>>().into(),
        );
    }
    let text = serde_yaml::to_string(&file).map_err(|e| wrong(e.to_string()))?;
    // A scenario of the operator's own is named by its file.
    let ending =
        if Path::new(&scenario.name).extension().is_some_and(|e| e == "yaml" || e == "yml") { "" } else { ".yaml" };
    let path = PathBuf::from(format!("practice/{}{ending}", scenario.name));
    file::parse(&text, &path, None).map_err(|e| wrong(e.to_string()))
}

fn role(layout: &Layout, role: Role) -> &RoleLayout {
    match role {
        Role::Original => &layout.master,
        Role::Joiner => &layout.joiner,
        Role::Worker => &layout.worker,
    }
}

/// What the masters share.
struct Shared {
    ca: Authority,
    pairs: [(&'static str, Leaf); 3],
    initial_cluster: String,
    etcd: String,
    programs: Vec<(String, Bytes)>,
}

impl Shared {
    fn new(cluster: &Cluster, scenario: &Scenario) -> Result<Self, rcgen::Error> {
        let ca = Authority::new("Etcd-ca")?;
        let mut addresses: Vec<IpAddr> = cluster.masters.iter().map(|m| m.address).collect();
        addresses.push(IpAddr::from([127, 0, 0, 1]));
        let pairs = [
            ("server", ca.leaf("Etcd-server", &addresses, true)?),
            ("peer", ca.leaf("Etcd-server", &addresses, true)?),
            ("client", ca.leaf("Etcd-server", &addresses, false)?),
        ];
        let members = cluster.masters.iter().map(|m| format!("{}={}", m.name, cluster.peer_url(m)));
        let programs = ["etcd", "etcdctl", "etcdutl"];
        let programs = programs.map(|p| (p.to_owned(), tools::binary(p, &scenario.etcd, BINARY))).to_vec();
        let etcd = scenario.etcd.clone();
        Ok(Self { ca, pairs, initial_cluster: members.collect::<Vec<_>>().join(","), etcd, programs })
    }

    fn pki(&self, file: &str) -> Option<&str> {
        let (stem, end) = file.rsplit_once('.')?;

        match stem {
            "ca" if end == "key" => Some(&self.ca.key),
            "ca" => Some(&self.ca.pem),
            _ => {
                let (_, leaf) = self.pairs.iter().find(|(name, _)| *name == stem)?;
                Some(if end == "key" { &leaf.key } else { &leaf.pem })
            }
        }
    }
}

/// One host in the making.
struct Maker<'a> {
    cluster: &'a Cluster,
    layout: &'a Layout,
    shared: &'a Shared,
    node: &'a Node,
}

impl Maker<'_> {
    fn host(&self, differs: &HostDiffers, chance: &mut Chance) -> Host {
        let node = self.node;
        let free = differs.free_mib.unwrap_or(self.layout.free_mib) << 20;
        let first_pid = u32::try_from(400 + chance.below(2000)).unwrap_or(400);
        let mut host = Host::new(node.name.clone(), node.address, node.role, free, first_pid);
        let machine_id = sha256_hex(format!("{}{}", node.name, chance.next()).as_bytes());
        let layouts = [&self.layout.every, role(self.layout, node.role)];
        for layout in layouts {
            for user in &layout.users {
                host.users.insert(user.clone());
                host.groups.insert(user.clone());
            }
            for file in &layout.files {
                self.lay(&mut host, file, &machine_id[..32]);
            }
        }
        for tool in &self.layout.tools {
            lay(&mut host, &Path::new("/usr/bin").join(tool), Bytes::from_static(b"a program"), 0o755, "root");
        }
        if let Some(hostname) = &differs.hostname {
            lay(&mut host, Path::new("/etc/hostname"), format!("{hostname}\n").into(), 0o644, "root");
        }
        for file in &differs.files {
            self.lay(&mut host, file, &machine_id[..32]);
        }
        walls(&mut host, differs);
        host
    }

    fn lay(&self, host: &mut Host, spec: &FileSpec, machine_id: &str) {
        let mode = |default| spec.mode.as_ref().and_then(|m| u32::from_str_radix(m, 8).ok()).unwrap_or(default);
        let owner = spec.owner.as_deref().unwrap_or("root");
        let program = spec.program.as_ref().and_then(|p| self.shared.programs.iter().find(|(name, _)| name == p));
        let bytes = match (&spec.text, &spec.pki, program) {
            (Some(text), ..) => Some(Bytes::from(self.fill(text, machine_id))),
            (_, Some(file), _) => self.shared.pki(file).map(|t| Bytes::copy_from_slice(t.as_bytes())),
            (.., Some((_, bytes))) => Some(bytes.clone()),
            _ => None,
        };
        // etcdutl came with 3.5.
        if spec.program.as_deref() == Some("etcdutl") && self.shared.etcd.as_str() < "3.5" {
            return;
        }
        match bytes {
            Some(bytes) => lay(host, &spec.path, bytes, mode(if program.is_some() { 0o755 } else { 0o644 }), owner),
            None => {
                let entry =
                    Entry { kind: Kind::Dir, mode: mode(0o755), owner: Owner::both(owner), mtime: host.files.now };
                host.files.lay(&spec.path, entry);
            }
        }
    }

    fn fill(&self, text: &str, machine_id: &str) -> String {
        text.replace("{name}", self.node.name.as_str())
            .replace("{address}", &self.node.address.to_string())
            .replace("{fqdn}", &self.cluster.node_name(self.node))
            .replace("{machine_id}", machine_id)
            .replace("{etcd}", &self.shared.etcd)
            .replace("{initial_cluster}", &self.shared.initial_cluster)
    }
}

fn lay(host: &mut Host, path: &Path, bytes: Bytes, mode: u32, owner: &str) {
    let entry = Entry { kind: Kind::File(bytes), mode, owner: Owner::both(owner), mtime: host.files.now };
    host.files.lay(path, entry);
}

/// Firewalls and SELinux, with the files and programs that say they are there.
fn walls(host: &mut Host, differs: &HostDiffers) {
    if let Some(active) = differs.firewalld {
        host.firewalld = Some(Firewall { open: [22].into(), permanent: [22].into() });
        let unit = "[Unit]\nDescription=firewalld - dynamic firewall daemon\n\n[Service]\nExecStart=/usr/sbin/firewalld --nofork --nopid\n\n[Install]\nWantedBy=multi-user.target\n";
        lay(host, Path::new("/usr/sbin/firewalld"), Bytes::from_static(b"a program"), 0o755, "root");
        lay(host, Path::new("/usr/bin/firewall-cmd"), Bytes::from_static(b"a program"), 0o755, "root");
        lay(host, Path::new("/usr/lib/systemd/system/firewalld.service"), unit.into(), 0o644, "root");
        if active {
            let link = Path::new("/etc/systemd/system/multi-user.target.wants/firewalld.service");
            let _ = host.files.link(link, Path::new("/usr/lib/systemd/system/firewalld.service"));
            let pid = host.new_pid();
            let unit = units::Unit {
                state: units::State::Active,
                pid,
                last_pid: pid,
                result: "success",
                ..Default::default()
            };
            host.units.insert("firewalld".into(), unit);
        }
    }
    host.ufw = differs.ufw.map(|active| (active, [22].into()));
    host.selinux = differs.selinux;
    if let Some(enforcing) = differs.selinux {
        let word = if enforcing { "enforcing" } else { "permissive" };
        let text =
            format!("# This file controls the state of SELinux on the system.\nSELINUX={word}\nSELINUXTYPE=targeted\n");
        lay(host, Path::new("/etc/selinux/config"), text.into(), 0o644, "root");
    }
}

/// The cluster has run for long: members are connected, one leads, and there is data.
fn grown_up(world: &mut World, scenario: &Scenario, takes: u64) {
    for cluster in world.etcd.clusters.values_mut() {
        cluster.leaderless = Some(Duration::ZERO);
        cluster.catch_up = Some(Duration::from_millis(2000 + takes));
    }
    world.settle();
    for cluster in world.etcd.clusters.values_mut() {
        let ids: Vec<u64> = cluster.members.keys().copied().collect();
        for (n, a) in ids.iter().enumerate() {
            for b in &ids[..n] {
                let link = Link { since: Some(Duration::ZERO), again: Duration::ZERO };
                cluster.links.entry(pair(*a, *b)).and_modify(|l| {
                    if l.since.is_some() {
                        *l = link;
                    }
                });
            }
        }
        cluster.term = 7;
        for n in 0..scenario.keys {
            let (key, value) = (format!("/seed/{n:04}"), format!("value {n} of practice, {}", "x".repeat(64)));
            cluster.store.put(&PbPutRequest { key: key.into(), value: value.into(), ..PbPutRequest::default() });
            cluster.index += 1;
        }
    }
    world.settle();
}

/// Chance that comes out the same for the same seed (splitmix64).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
