//! Where things lie on the hosts, where binaries come from, how long certificates live.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    check::{self, Wrong},
    fields::{Fields, Reader, Spot},
    tree::{Kind, Value},
};
use crate::cluster::{BinarySource, EtcdLayout, KubeLayout};

const LAYOUT: [&str; 3] = ["backup_dir", "etcd", "kubernetes"];
pub(super) const ETCD: [&str; 10] =
    ["unit", "unit_file", "dir", "config", "pki", "data", "bin", "user", "client_port", "peer_port"];
pub(super) const KUBERNETES: [&str; 10] = [
    "dir",
    "manifests",
    "pki",
    "issue_dir",
    "admin_conf",
    "kubelet_unit_file",
    "api_port",
    "nginx_conf",
    "nginx_container",
    "calico",
];
pub(super) const CALICO: [&str; 5] = ["namespace", "secret", "configmap", "daemonset", "manifest"];
pub(super) const BINARIES: [&str; 2] = ["tarball", "sha256"];
const CERTIFICATES: [&str; 1] = ["lifetime_days"];

/// Default of `layout.backup_dir`, the runbook's.
const BACKUP_DIR: &str = "/root/backup";

/// The layout, and the lines of those keys that the file gives.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) etcd: EtcdLayout,
    pub(super) kube: KubeLayout,
    pub(super) backup_dir: PathBuf,
    /// Lines by the key's dotted place, such as `layout.etcd.data`.
    pub(super) lines: BTreeMap<String, usize>,
}

/// Takes values out of one mapping and remembers where they stood.
struct Section<'r, 'a> {
    reader: &'r mut Reader<'a>,
    fields: Fields,
    place: &'static str,
    lines: &'r mut BTreeMap<String, usize>,
}

impl Section<'_, '_> {
    fn given<T>(&mut self, key: &str, check: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        if let Some(line) = self.fields.line_of(key) {
            self.lines.insert(format!("{}.{key}", self.place), line);
        }
        self.fields.checked(self.reader, key, check).map(|s| s.value)
    }

    fn set<T>(&mut self, slot: &mut T, key: &str, check: impl FnOnce(&str) -> Result<T, Wrong>) {
        if let Some(value) = self.given(key, check) {
            *slot = value;
        }
    }
}

fn open(reader: &mut Reader<'_>, value: Option<Value>, place: &str, known: &[&str]) -> Fields {
    value.and_then(|v| Fields::open(reader, v, place, known)).unwrap_or_else(|| Fields::absent(place))
}

/// Reads `layout`; whatever it leaves out is the runbook's.
pub(super) fn layout(reader: &mut Reader<'_>, value: Option<Value>) -> Layout {
    let mut lines = BTreeMap::new();
    let mut fields = open(reader, value, "layout", &LAYOUT);
    let etcd = fields.take_block("etcd");
    let kube = fields.take_block("kubernetes");
    let mut top = Section { reader, fields, place: "layout", lines: &mut lines };
    let mut backup_dir = PathBuf::from(BACKUP_DIR);
    top.set(&mut backup_dir, "backup_dir", check::host_path);
    let etcd = etcd_layout(reader, etcd, &mut lines);
    let kube = kube_layout(reader, kube, &mut lines);
    Layout { etcd, kube, backup_dir, lines }
}

/// What follows from another key (`dir` moves `config` and `pki`, `unit` renames `unit_file`) does so unless given itself.
fn etcd_layout(reader: &mut Reader<'_>, value: Option<Value>, lines: &mut BTreeMap<String, usize>) -> EtcdLayout {
    let fields = open(reader, value, "layout.etcd", &ETCD);
    let mut section = Section { reader, fields, place: "layout.etcd", lines };
    let mut etcd = EtcdLayout::default();
    if let Some(dir) = section.given("dir", check::own_dir) {
        etcd.config = dir.join("etcd.conf");
        etcd.pki = dir.join("ssl");
        etcd.dir = dir;
    }
    if let Some(unit) = section.given("unit", check::unit) {
        etcd.unit_file = PathBuf::from(format!("/etc/systemd/system/{unit}.service"));
        etcd.unit = unit;
    }
    section.set(&mut etcd.unit_file, "unit_file", check::host_path);
    section.set(&mut etcd.config, "config", check::host_path);
    section.set(&mut etcd.pki, "pki", check::own_dir);
    section.set(&mut etcd.data, "data", check::own_dir);
    section.set(&mut etcd.bin, "bin", check::host_path);
    section.set(&mut etcd.user, "user", check::system_user);
    section.set(&mut etcd.client_port, "client_port", check::port);
    section.set(&mut etcd.peer_port, "peer_port", check::port);
    etcd
}

fn kube_layout(reader: &mut Reader<'_>, value: Option<Value>, lines: &mut BTreeMap<String, usize>) -> KubeLayout {
    let mut fields = open(reader, value, "layout.kubernetes", &KUBERNETES);
    let calico = fields.take_block("calico");
    let mut section = Section { reader, fields, place: "layout.kubernetes", lines };
    let mut kube = KubeLayout::default();
    if let Some(dir) = section.given("dir", check::own_dir) {
        kube.manifests = dir.join("manifests");
        kube.pki = dir.join("pki");
        kube.admin_conf = dir.join("admin.conf");
        kube.calico.manifest = dir.join("addon/calico.yaml");
        kube.dir = dir;
    }
    section.set(&mut kube.manifests, "manifests", check::own_dir);
    section.set(&mut kube.pki, "pki", check::own_dir);
    section.set(&mut kube.issue_dir, "issue_dir", check::own_dir);
    section.set(&mut kube.admin_conf, "admin_conf", check::host_path);
    section.set(&mut kube.kubelet_unit_file, "kubelet_unit_file", check::host_path);
    section.set(&mut kube.api_port, "api_port", check::port);
    section.set(&mut kube.nginx_conf, "nginx_conf", check::host_path);
    section.set(&mut kube.nginx_container, "nginx_container", check::container);
    let fields = open(reader, calico, "layout.kubernetes.calico", &CALICO);
    let mut section = Section { reader, fields, place: "layout.kubernetes.calico", lines };
    section.set(&mut kube.calico.namespace, "namespace", check::object_name);
    section.set(&mut kube.calico.secret, "secret", check::object_name);
    section.set(&mut kube.calico.configmap, "configmap", check::object_name);
    section.set(&mut kube.calico.daemonset, "daemonset", check::object_name);
    section.set(&mut kube.calico.manifest, "manifest", check::host_path);
    kube
}

/// Reads `binaries`: the word `original`, or a tarball with its checksum.
pub(super) fn binaries(reader: &mut Reader<'_>, root: &mut Fields) -> BinarySource {
    let Some(Spot { line, value }) = root.take("binaries") else { return BinarySource::Original };
    match value.kind {
        Kind::Reported => BinarySource::Original,
        Kind::Text(text) if text.eq_ignore_ascii_case("original") => BinarySource::Original,
        Kind::Map(_) => tarball(reader, value).unwrap_or_default(),
        _ => {
            reader.problems.add(
                line,
                trs!("`binaries` is neither `original` nor a tarball"),
                trs!("write `original` (what the cluster runs) or `{ tarball: PATH, sha256: HEX }`"),
            );
            BinarySource::Original
        }
    }
}

fn tarball(reader: &mut Reader<'_>, value: Value) -> Option<BinarySource> {
    let mut fields = Fields::open(reader, value, "binaries", &BINARIES)?;
    let home = reader.home;
    let add_path = trs!("name the release tarball on this machine, or write `binaries: original`");
    let path = fields.required(reader, "tarball", add_path, |text| check::local_path(text, home));
    let add_sum = trs!("add what `sha256sum` says of the tarball: only that very file is then installed");
    let sha256 = fields.required(reader, "sha256", add_sum, check::sha256);
    Some(BinarySource::Tarball { path: path?.value, sha256: sha256?.value })
}

/// Reads `certificates`.
pub(super) fn lifetime(reader: &mut Reader<'_>, value: Option<Value>) -> Option<Spot<u32>> {
    let mut fields = open(reader, value, "certificates", &CERTIFICATES);
    fields.checked(reader, "lifetime_days", check::lifetime_days)
}
