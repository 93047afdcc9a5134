//! What a practice cluster looks like, read from YAML.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::faults::Fault;
use crate::lang::Words;

/// The scenarios of the program, by name; the first one is the default.
const BUILT_IN: [(&str, &str); 3] = [
    ("growth", include_str!("../../assets/practice/growth.yaml")),
    ("growth-3.3", include_str!("../../assets/practice/growth-3.3.yaml")),
    ("growth-3.5", include_str!("../../assets/practice/growth-3.5.yaml")),
];

/// What lies on hosts of each role.
const LAYOUT: &str = include_str!("../../assets/practice/layout.yaml");

/// Why there is no practice cluster. Messages end in what to do.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// No such name, and no such file.
    #[error("{}", tr!("there is no scenario {name}; take one of {known}, or a scenario file", name = name, known = known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A file that cannot be read.
    #[error("{}", tr!("{path}: {why}; make it readable, or take a scenario of the program", path = path, why = why))]
    Unreadable {
        /// Which file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// Not a scenario.
    #[error("{}", tr!("{name}: {why}; mend that line", name = name, why = why))]
    Malformed {
        /// Which scenario.
        name: String,
        /// What is wrong, with line and column.
        why: String,
    },
    /// Its cluster file has problems.
    #[error("{}", tr!("{name}: its `cluster` is no good cluster file: {why}", name = name, why = why))]
    Cluster {
        /// Which scenario.
        name: String,
        /// The problems.
        why: String,
    },
    /// A host's name that the cluster does not have.
    #[error("{}", tr!("{name}: there is no host {host}; name one of `cluster`", name = name, host = host))]
    NoHost {
        /// Which scenario.
        name: String,
        /// What it names.
        host: String,
    },
    /// Certificates could not be made.
    #[error("{}", tr!("the practice cluster's certificates could not be made: {what}; this is a bug in banister", what = _0))]
    Pki(String),
}

/// A scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: that of the file.
    #[serde(skip)]
    pub name: String,
    /// What it is for, a line.
    pub about: Words,
    /// etcd's version.
    pub etcd: String,
    /// How many keys etcd has.
    pub keys: u32,
    /// The cluster file.
    pub cluster: serde_yaml::Mapping,
    /// Accidents that have happened already, or will.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What differs on single hosts.
    #[serde(default)]
    pub hosts: BTreeMap<String, HostDiffers>,
}

/// What differs on one host from its role's layout.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostDiffers {
    /// Whether firewalld is there and runs.
    pub firewalld: Option<bool>,
    /// Whether ufw is there and active.
    pub ufw: Option<bool>,
    /// Whether SELinux is there and enforces.
    pub selinux: Option<bool>,
    /// Free space in MiB.
    pub free_mib: Option<u64>,
    /// Its own hostname.
    pub hostname: Option<String>,
    /// Further files.
    #[serde(default)]
    pub files: Vec<FileSpec>,
}

/// What lies on the hosts of each role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Free space in MiB.
    pub free_mib: u64,
    /// Programs in /usr/bin of every host.
    pub tools: Vec<String>,
    /// Files of every host.
    pub every: RoleLayout,
    /// Files of the masters of now.
    pub master: RoleLayout,
    /// Files of the hosts that join.
    pub joiner: RoleLayout,
    /// Files of the workers.
    pub worker: RoleLayout,
}

/// What lies on a host of a role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleLayout {
    /// Users, each with a group of the same name.
    #[serde(default)]
    pub users: Vec<String>,
    /// Files and directories, parents first.
    #[serde(default)]
    pub files: Vec<FileSpec>,
    /// Units that run and are enabled.
    #[serde(default)]
    pub units: Vec<String>,
}

/// A file, or a directory where there is nothing to hold.
///
/// In texts, `{name}`, `{address}`, `{fqdn}`, `{machine_id}`, `{etcd}` and `{initial_cluster}` stand for the host's and the cluster's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Where.
    pub path: PathBuf,
    /// Permission bits, octal.
    pub mode: Option<String>,
    /// User and group.
    pub owner: Option<String>,
    /// What it holds.
    pub text: Option<String>,
    /// A file of etcd's certificates: `ca.crt`, `server.key`, …
    pub pki: Option<String>,
    /// A program of etcd's, of the scenario's version.
    pub program: Option<String>,
}

impl Scenario {
    /// The names of the program's own scenarios, the default first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// One of the program's own, or a file.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, text);
        }
        if !name.contains(['/', '.']) {
            let known = Self::names().collect::<Vec<_>>().join(", ");
            return Err(ScenarioError::Unknown { name: name.to_owned(), known });
        }
        let read = std::fs::read_to_string(name);
        let text = read.map_err(|e| ScenarioError::Unreadable { path: name.to_owned(), why: e.to_string() })?;
        Self::parse(name, &text)
    }

    /// From YAML.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let malformed = |e: serde_yaml::Error| ScenarioError::Malformed { name: name.to_owned(), why: e.to_string() };
        Ok(Self { name: name.to_owned(), ..serde_yaml::from_str(text).map_err(malformed)? })
    }
}

impl Layout {
    /// The program's own.
    pub fn of_program() -> Result<Self, ScenarioError> {
        let malformed = |e: serde_yaml::Error| ScenarioError::Malformed { name: "layout".into(), why: e.to_string() };
        serde_yaml::from_str(LAYOUT).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_program_can_be_read() {
        for name in Scenario::names() {
            let scenario = Scenario::find(name).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scenario.name, name);
        }
        Layout::of_program().unwrap();
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let unknown = Scenario::find("nothing").unwrap_err().to_string();
        assert!(unknown.contains("growth-3.3"), "{unknown}");
        let wrong =
            Scenario::parse("x", "about: a\netcd: 3.4.23\nkeys: 1\ncluster: {}\nfault: []\n").unwrap_err().to_string();
        assert!(wrong.contains("unknown field `fault`") && wrong.contains("line 5"), "{wrong}");
    }
}
