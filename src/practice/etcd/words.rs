//! How etcd says things in its journal: plain lines up to 3.4, JSON from 3.5.

use std::net::IpAddr;

use super::model::Cluster;
use crate::{cluster::HostName, practice::world::World, remote::etcd::Version};

/// The way one etcd writes at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    json: bool,
    at: i64,
}

impl Words {
    /// Of an etcd of that version, at that host's time.
    pub fn at(world: &World, host: &HostName, version: Version) -> Self {
        Self {
            json: version >= Version(3, 5, 0),
            at: world.hosts.get(host).map_or(0, super::super::host::Host::epoch_ms),
        }
    }

    fn plain(self, level: char, package: &str, text: &str) -> String {
        let time = jiff::Timestamp::from_millisecond(self.at).unwrap_or_default();
        format!("{} {level} | {package}: {text}", time.strftime("%Y-%m-%d %H:%M:%S.%6f"))
    }

    fn json(self, level: &str, caller: &str, message: &str, fields: &[(&str, String)]) -> String {
        let time = jiff::Timestamp::from_millisecond(self.at).unwrap_or_default();
        let mut line = serde_json::Map::new();
        let ts = time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
        for (key, value) in [("level", level), ("ts", &ts), ("caller", caller), ("msg", message)] {
            line.insert(key.into(), value.into());
        }
        line.extend(fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone().into())));
        serde_json::Value::Object(line).to_string()
    }

    /// The last word of an etcd that cannot start.
    pub fn fatal(self, error: &str) -> String {
        if self.json {
            return self.json("fatal", "etcdmain/etcd.go:204", "discovery failed", &[("error", error.into())]);
        }
        self.plain('C', "etcdmain", error)
    }

    /// The first words.
    pub fn starting(self, version: Version, data: &str) -> Vec<String> {
        if self.json {
            let fields = [("etcd-version", version.to_string()), ("data-dir", data.to_owned())];
            return vec![self.json("info", "embed/etcd.go:308", "starting an etcd server", &fields)];
        }
        vec![
            self.plain('I', "etcdmain", &format!("etcd Version: {version}")),
            self.plain('I', "etcdmain", "setting maximum number of CPUs to 2, total number of available CPUs is 2"),
            self.plain('I', "embed", &format!("data dir = {data}")),
        ]
    }

    /// It serves.
    pub fn ready(self, member: u64, client: &str) -> Vec<String> {
        if self.json {
            return vec![self.json(
                "info",
                "embed/serve.go:188",
                "serving client traffic securely",
                &[("address", client.into())],
            )];
        }
        vec![
            self.plain('I', "etcdserver", &format!("starting member {member:x}")),
            self.plain('I', "embed", &format!("serving client requests on {client}")),
        ]
    }

    /// A directory is more open than etcd likes.
    pub fn open_directory(self, dir: &str, mode: u32) -> String {
        let bits = |shift: u32| {
            let m = mode >> shift & 7;
            [(4, 'r'), (2, 'w'), (1, 'x')].map(|(bit, c)| if m & bit != 0 { c } else { '-' }).iter().collect::<String>()
        };
        let shown = format!("d{}{}{}", bits(6), bits(3), bits(0));
        let text = format!(
            "check file permission: directory {dir:?} exist, but the permission is {shown:?}. The recommended permission is \"-rwx------\" to prevent possible unprivileged access to the data."
        );
        if self.json {
            return self.json("warn", "fileutil/fileutil.go:53", "check file permission", &[("error", text)]);
        }
        self.plain('W', "etcdserver", &text)
    }

    /// It hears that it is no member any more.
    pub fn removed(self) -> Vec<String> {
        if self.json {
            let caller = "etcdserver/server.go:1150";
            return vec![
                self.json(
                    "warn",
                    caller,
                    "server error",
                    &[("error", "the member has been permanently removed from the cluster".into())],
                ),
                self.json("warn", caller, "data-dir used by this member must be removed", &[]),
            ];
        }
        vec![
            self.plain('E', "etcdserver", "the member has been permanently removed from the cluster"),
            self.plain('I', "etcdserver", "the data-dir used by this member must be removed."),
        ]
    }

    /// A peer cannot be reached.
    pub fn unreachable(self, member: u64, why: &str) -> String {
        if self.json {
            let fields = [
                ("round-tripper-name", "ROUND_TRIPPER_RAFT_MESSAGE".into()),
                ("remote-peer-id", format!("{member:x}")),
                ("error", why.into()),
            ];
            return self.json("warn", "rafthttp/probing_status.go:68", "prober detected unhealthy status", &fields);
        }
        self.plain('W', "rafthttp", &format!("health check for peer {member:x} could not connect: {why}"))
    }

    /// A caller was turned away.
    pub fn rejected(self, from: IpAddr, why: &str) -> String {
        let from = format!("{from}:{}", 32_768 + self.at.rem_euclid(28_000));
        if self.json {
            let fields = [("remote-addr", from), ("server-name", String::new()), ("error", why.into())];
            return self.json("warn", "embed/config_logging.go:160", "rejected connection", &fields);
        }
        self.plain('I', "embed", &format!("rejected connection from {from:?} (error {why:?}, ServerName \"\")"))
    }
}

/// A member list as Go prints the structure, in the errors of a start.
pub fn go_members(cluster: &Cluster) -> String {
    let members = cluster.members.values().map(|m| {
        format!(
            "&{{ID:{:x} RaftAttributes:{{PeerURLs:[{}] IsLearner:{}}} Attributes:{{Name:{} ClientURLs:[{}]}}}}",
            m.id,
            m.peer_urls.join(" "),
            m.learner,
            m.name,
            m.client_urls.join(" ")
        )
    });
    format!("{{ClusterID:{:x} Members:[{}] RemovedMemberIDs:[]}}", cluster.id, members.collect::<Vec<_>>().join(" "))
}
