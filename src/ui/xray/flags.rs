//! Flags of the components, compared: those that differ get a row each.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Cell, Row, compared, words};
use crate::{
    cluster::{Cluster, HostName},
    remote::clean,
    survey::HostSeen,
};

/// Flags by name, as the file has them.
pub type Flags = BTreeMap<String, String>;

/// The flags that differ, a row each, and how many don't. A host's own name and address count as the same on every host; a
/// host without any flags is not compared.
pub fn rows(
    cluster: &Cluster,
    masters: &[(HostName, Option<&HostSeen>)],
    of: impl Fn(&HostSeen) -> Option<Flags>,
) -> (Vec<Row>, usize) {
    let general_of = |(name, seen): &(HostName, Option<&HostSeen>)| {
        let node = cluster.node(name)?;
        let own = Own { name: name.as_str(), node: cluster.node_name(node), address: node.address };
        let flags = of((*seen)?)?;
        Some(flags.into_iter().map(|(k, v)| (k.clone(), own.general(&k, &v))).collect())
    };
    let all: Vec<Option<Flags>> = masters.iter().map(general_of).collect();
    let names: BTreeSet<&String> = all.iter().flatten().flat_map(BTreeMap::keys).collect();
    let (mut rows, mut alike) = (Vec::new(), 0);
    for name in names {
        let value = |flags: &Option<Flags>| {
            let text = |v: &String| if v.is_empty() { trs!("on").to_owned() } else { v.clone() };
            flags.as_ref().map(|f| f.get(name).map_or_else(|| trs!("not set").to_owned(), text))
        };
        let row = compared(format!("--{}", clean::line(name)), all.iter().map(value).collect(), words("flag").symptom);
        if row.differs() {
            let cells = row.cells.into_iter().map(|c| Cell { text: clean::line(&c.text), ..c }).collect();
            rows.push(Row { cells, ..row });
        } else {
            alike += 1;
        }
    }
    (rows, alike)
}

/// etcd's flags in either form: `ETCD_OPTS="--flag value \\ …"`, or `ETCD_FLAG=value` a line.
pub fn etcd_flags(config: &str) -> Flags {
    let code: Vec<&str> = config.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
    let code = code.join("\n").replace("\\\n", " ");
    let mut flags = BTreeMap::new();
    for line in code.lines() {
        let words = shell_words::split(line).unwrap_or_else(|_| vec![line.replace(['"', '\''], "")]);
        for (name, value) in words.iter().filter_map(|w| w.strip_prefix("ETCD_")?.split_once('=')) {
            if value.trim_start().starts_with("--") {
                flags.extend(dashed(value));
            } else if name != "IMAGE_TAG" {
                flags.insert(name.to_lowercase().replace('_', "-"), value.to_owned());
            }
        }
    }
    flags
}

/// `--a b --c=d --e` as pairs; a flag without a value is on.
fn dashed(text: &str) -> Vec<(String, String)> {
    let mut flags: Vec<(String, String)> = Vec::new();
    for word in text.split_whitespace() {
        match (word.strip_prefix("--"), flags.last_mut()) {
            (Some(flag), _) => {
                let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                flags.push((name.to_owned(), value.to_owned()));
            }
            (None, Some((_, value))) => word.clone_into(value),
            (None, None) => {}
        }
    }
    flags
}

/// What is a host's own.
struct Own<'a> {
    name: &'a str,
    node: String,
    address: IpAddr,
}

impl Own<'_> {
    /// A value as it would be on any host.
    fn general(&self, flag: &str, value: &str) -> String {
        // The order of a list of endpoints means nothing.
        if matches!(flag, "initial-cluster" | "etcd-servers") {
            let mut members: Vec<&str> = value.split(',').collect();
            members.sort_unstable();
            return members.join(",");
        }
        // Heeded at the very first start only: the originals founded the cluster, the others joined it.
        if flag == "initial-cluster-state" {
            return "ONCE".to_owned();
        }
        if value == self.name || value == self.node {
            return "NAME".to_owned();
        }
        without(value, &self.address.to_string())
    }
}

/// A value with a host's own address taken out, wherever it stands as a whole.
fn without(value: &str, own: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find(own) {
        let (before, after) = (&rest[..at], &rest[at + own.len()..]);
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '.')
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '.');
        out.push_str(before);
        out.push_str(if whole { "ADDRESS" } else { own });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_configuration_give_the_same_flags() {
        let dashed = "# --name x\nETCD_IMAGE_TAG=v3\nETCD_OPTS=\"--name master01 \\\n  --listen-peer-urls=https://10.0.0.1:2380 \\\n  --peer-client-cert-auth \\\n  --metrics basic\"\n";
        let variables = "ETCD_NAME=master01\nETCD_LISTEN_PEER_URLS=\"https://10.0.0.1:2380\"\nETCD_PEER_CLIENT_CERT_AUTH=true\nETCD_METRICS='basic'\n";
        assert_eq!(etcd_flags(dashed), etcd_flags(variables));
        assert_eq!(etcd_flags(dashed)["metrics"], "basic");
        assert_eq!(etcd_flags(dashed).len(), 4);
    }

    #[test]
    fn a_hosts_own_name_and_address_are_no_difference_and_a_longer_address_is_another() {
        let own = Own { name: "m1", node: "m1.example.com".into(), address: "10.0.0.1".parse().unwrap() };
        assert_eq!(own.general("name", "m1"), "NAME");
        assert_eq!(own.general("hostname-override", "m1.example.com"), "NAME");
        assert_eq!(
            own.general("x", "https://10.0.0.1:2379,https://127.0.0.1:2379"),
            "https://ADDRESS:2379,https://127.0.0.1:2379"
        );
        assert_eq!(own.general("x", "https://10.0.0.11:2379"), "https://10.0.0.11:2379");
        assert_eq!(own.general("initial-cluster", "b=2,a=1"), "a=1,b=2");
        let state = |value| own.general("initial-cluster-state", value);
        assert_eq!(state("new"), state("existing"), "who founded the cluster and who joined it");
    }
}
