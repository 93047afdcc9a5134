//! The hosts of the file and how to log in to them.

use std::{net::IpAddr, path::PathBuf};

use super::{
    check,
    fields::{Fields, Reader, Spot, kind_word},
    tree::{Kind, Value},
};
use crate::cluster::{HostName, Node, Role, SshSettings};

pub(super) const HOST: [&str; 4] = ["name", "address", "comment", "ssh"];
pub(super) const SSH: [&str; 7] = ["host", "user", "port", "identity", "known_hosts", "jump", "sudo"];

/// A host as far as it could be read.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) role: Role,
    pub(super) line: usize,
    pub(super) name: Option<Spot<HostName>>,
    pub(super) address: Option<Spot<IpAddr>>,
    comment: Option<String>,
    pub(super) ssh: SshSettings,
    /// Where `ssh.host` stands.
    pub(super) ssh_host_line: Option<usize>,
}

impl Host {
    /// `` `master04` `` or, while it has no valid name, its line.
    pub(super) fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("`{}`", name.value),
            None => tr!("the host on line {line}", line = self.line),
        }
    }

    /// The host once everything about it was right.
    pub(super) fn into_node(self) -> Option<Node> {
        let (name, address) = (self.name?.value, self.address?.value);
        Some(Node { name, address, role: self.role, comment: self.comment, ssh: self.ssh })
    }
}

/// The key a role's hosts stand under.
pub(super) const fn list_key(role: Role) -> &'static str {
    match role {
        Role::Original => "masters",
        Role::Joiner => "join",
        Role::Worker => "workers",
    }
}

/// Reads one of the three lists. Masters and joiners must be there; a list without entries is as good as none.
pub(super) fn list(reader: &mut Reader<'_>, root: &mut Fields, role: Role) -> Vec<Host> {
    let key = list_key(role);
    let needed = match role {
        Role::Original => Some(trs!("list the masters the cluster has now, `- { name: …, address: … }` each")),
        Role::Joiner => Some(trs!("list the hosts that are to become masters, `- { name: …, address: … }` each")),
        Role::Worker => None,
    };
    let Some(Spot { line, value }) = root.take(key) else {
        if let Some(add) = needed {
            root.report_missing(reader, key, add);
        }
        return Vec::new();
    };
    match value.kind {
        Kind::Reported => Vec::new(),
        Kind::List(items) if !items.is_empty() => {
            items.into_iter().filter_map(|item| host(reader, item, role)).collect()
        }
        Kind::List(_) | Kind::Null => {
            if let Some(add) = needed {
                reader.problems.add(line, tr!("`{key}` has no hosts", key = key), add);
            }
            Vec::new()
        }
        other => {
            let what = tr!("`{key}` must be a list, not {other}", key = key, other = kind_word(&other));
            reader.problems.add(
                line,
                what,
                trs!("begin each host with `- `, as in `- { name: master01, address: 10.0.0.1 }`"),
            );
            Vec::new()
        }
    }
}

fn host(reader: &mut Reader<'_>, item: Value, role: Role) -> Option<Host> {
    let key = list_key(role);
    if let Kind::Text(_) | Kind::Null = item.kind {
        let what = tr!("an entry of `{key}` has no name and address of its own", key = key);
        reader.problems.add(item.line, what, trs!("write `- { name: …, address: … }`"));
        return None;
    }
    let mut fields = Fields::open(reader, item, key, &HOST)?;
    let name = fields.required(reader, "name", trs!("add the host's short name"), check::host_name);
    let address = fields.required(reader, "address", trs!("add the host's IP address"), check::address);
    let comment = fields.checked(reader, "comment", check::comment).map(|s| s.value);
    let line = fields.line;
    let (ssh, ssh_host_line) = match fields.take_block("ssh") {
        Some(value) => settings(reader, value, &format!("{key}.ssh"), true),
        None => (SshSettings::default(), None),
    };
    Some(Host { role, line, name, address, comment, ssh, ssh_host_line })
}

/// Reads an `ssh` mapping, and says on which line its `host` stands.
pub(super) fn settings(
    reader: &mut Reader<'_>,
    value: Value,
    place: &str,
    of_one_host: bool,
) -> (SshSettings, Option<usize>) {
    let Some(mut fields) = Fields::open(reader, value, place, &SSH) else {
        return (SshSettings::default(), None);
    };
    let host_line = fields.line_of("host");
    if let (Some(line), false) = (host_line, of_one_host) {
        let what = tr!("{label} would send every login to the same machine", label = fields.label("host"));
        reader.problems.add(line, what, trs!("move it into the `ssh` of the one host it is for"));
        fields.take("host");
    }
    let ssh = SshSettings {
        host: fields.checked(reader, "host", check::ssh_host).map(|s| s.value),
        user: fields.checked(reader, "user", check::login).map(|s| s.value),
        port: fields.checked(reader, "port", check::port).map(|s| s.value),
        identity: local(reader, &mut fields, "identity"),
        known_hosts: local(reader, &mut fields, "known_hosts"),
        jump: fields.checked(reader, "jump", check::jump).map(|s| s.value),
        sudo: fields.checked(reader, "sudo", check::boolean).map(|s| s.value),
    };
    (ssh, host_line)
}

fn local(reader: &mut Reader<'_>, fields: &mut Fields, key: &str) -> Option<PathBuf> {
    let home = reader.home;
    fields.checked(reader, key, |text| check::local_path(text, home)).map(|s| s.value)
}
