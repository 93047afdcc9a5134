//! The schema: from the tree to a [`Cluster`].

use std::path::Path;

use super::{
    Problems, check, cross,
    fields::{Fields, Reader},
    hosts, layout,
    tree::{Kind, Value},
};
use crate::cluster::{Cluster, Role, SshSettings};

/// The keys at the top of the file.
pub(super) const TOP: [&str; 15] = [
    "cluster",
    "domain",
    "ssh",
    "masters",
    "join",
    "workers",
    "layout",
    "firewall",
    "set_hostname",
    "binaries",
    "packages",
    "worker_batch",
    "certificates",
    "lang",
    "two_key",
];

/// Reads the whole file. `None` when a required part could not be read; every reason is in `problems`, and a `Some` is
/// good only while that is empty.
pub(super) fn cluster(root: Value, path: &Path, home: Option<&Path>, problems: &mut Problems) -> Option<Cluster> {
    let mut reader = Reader { problems, home };
    if matches!(root.kind, Kind::Null) {
        reader.problems.add_whole(trs!("the file is empty"), trs!("start from the sample in the README"));
        return None;
    }
    let mut fields = Fields::open(&mut reader, root, "", &TOP)?;
    let join_line = fields.line_of("join");

    let name = fields.required(
        &mut reader,
        "cluster",
        trs!("add a name for it, such as `cluster: prod`"),
        check::cluster_name,
    );
    let domain = fields.checked(&mut reader, "domain", check::domain);
    let ssh = match fields.take_block("ssh") {
        Some(value) => hosts::settings(&mut reader, value, "ssh", false).0,
        None => SshSettings::default(),
    };
    let masters = hosts::list(&mut reader, &mut fields, Role::Original);
    let join = hosts::list(&mut reader, &mut fields, Role::Joiner);
    let workers = hosts::list(&mut reader, &mut fields, Role::Worker);
    let layout_block = fields.take_block("layout");
    let layout = layout::layout(&mut reader, layout_block);
    let firewall = fields.checked(&mut reader, "firewall", check::firewall);
    let set_hostname = fields.checked(&mut reader, "set_hostname", check::boolean);
    let binaries = layout::binaries(&mut reader, &mut fields);
    let packages = fields.checked(&mut reader, "packages", check::packages);
    let worker_batch = fields.checked(&mut reader, "worker_batch", check::worker_batch);
    let certificates_block = fields.take_block("certificates");
    let lifetime = layout::lifetime(&mut reader, certificates_block);

    let lang = fields.checked(&mut reader, "lang", check::lang);
    let two_key = fields.checked(&mut reader, "two_key", check::boolean);

    let all: Vec<_> = masters.iter().chain(&join).chain(&workers).collect();
    cross::duplicates(reader.problems, &all, &ssh);
    cross::long_names(reader.problems, &all, domain.as_ref());
    cross::ports(reader.problems, &layout);
    cross::paths(reader.problems, &layout);
    let notices = cross::notices(&cross::Valid { all: &all, ssh: &ssh, join_line, lifetime: lifetime.as_ref() });

    if masters.is_empty() || join.is_empty() {
        // Reported already. Everything downstream relies on there being one of each.
        return None;
    }
    let nodes = |hosts: Vec<hosts::Host>| hosts.into_iter().map(hosts::Host::into_node).collect::<Option<Vec<_>>>();
    Some(Cluster {
        path: path.to_owned(),
        name: name?.value,
        domain: domain.map(|s| s.value),
        ssh,
        masters: nodes(masters)?,
        join: nodes(join)?,
        workers: nodes(workers)?,
        etcd: layout.etcd,
        kube: layout.kube,
        backup_dir: layout.backup_dir,
        firewall: firewall.map(|s| s.value).unwrap_or_default(),
        binaries,
        packages: packages.map(|s| s.value).unwrap_or_default(),
        worker_batch: worker_batch.map(|s| s.value),
        set_hostname: set_hostname.is_none_or(|s| s.value),
        lifetime_days: lifetime.map(|s| s.value),
        lang: lang.map(|s| s.value),
        two_key: two_key.is_some_and(|s| s.value),
        notices,
    })
}
