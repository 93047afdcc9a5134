//! What an etcd process is told: the unit's command line with its environment file, as etcd itself reads them.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use crate::practice::{host::Host, units};

/// Flags that are known and change nothing here.
const OTHERS: [&str; 33] = [
    "auto-compaction-mode",
    "auto-compaction-retention",
    "auth-token",
    "cipher-suites",
    "cors",
    "debug",
    "discovery",
    "discovery-srv",
    "election-timeout",
    "enable-pprof",
    "enable-v2",
    "experimental-initial-corrupt-check",
    "heartbeat-interval",
    "host-whitelist",
    "initial-election-tick-advance",
    "listen-metrics-urls",
    "log-level",
    "log-output",
    "log-outputs",
    "log-package-levels",
    "logger",
    "max-concurrent-streams",
    "max-request-bytes",
    "max-snapshots",
    "max-txn-ops",
    "max-wals",
    "metrics",
    "pre-vote",
    "proxy",
    "quota-backend-bytes",
    "snapshot-count",
    "strict-reconfig-check",
    "wal-dir",
];

/// Flags that are either there or not.
const SWITCHES: [&str; 7] = [
    "client-cert-auth",
    "debug",
    "enable-pprof",
    "peer-client-cert-auth",
    "pre-vote",
    "strict-reconfig-check",
    "enable-v2",
];

/// A pair with the CA it is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pair {
    /// Certificate file.
    pub cert: PathBuf,
    /// Key file.
    pub key: PathBuf,
    /// CA file, where one is given.
    pub ca: Option<PathBuf>,
    /// Whether a client's certificate is asked for.
    pub auth: bool,
}

/// A URL that etcd listens on or tells others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// As written.
    pub text: String,
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
}

/// An etcd's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Member name.
    pub name: String,
    /// Data directory.
    pub data: PathBuf,
    /// Where peers are listened for.
    pub listen_peer: Vec<Url>,
    /// Where clients are listened for.
    pub listen_client: Vec<Url>,
    /// What peers are told.
    pub advertise_peer: Vec<Url>,
    /// What clients are told.
    pub advertise_client: Vec<Url>,
    /// Names and peer URLs.
    pub initial_cluster: Vec<(String, String)>,
    /// The cluster's token.
    pub token: String,
    /// Whether the cluster is there already.
    pub existing: bool,
    /// The client port's pair.
    pub client: Pair,
    /// The peer port's pair.
    pub peer: Pair,
}

/// Why the settings can't be used: exit status and etcd's words.
pub type Wrong = (u32, String);

impl Config {
    /// From a unit's text and the environment file that it names.
    pub fn of_unit(host: &Host, unit: &str) -> Result<Self, Wrong> {
        let mut env = BTreeMap::new();
        for line in unit.lines().filter_map(|l| l.trim().strip_prefix("EnvironmentFile=")) {
            if let Some(text) = host.files.text(line.trim_start_matches('-')) {
                env.extend(environment(&text));
            }
        }
        let command = units::setting(unit, "ExecStart").unwrap_or_default().replace("\\\n", " ");
        let mut words = Vec::new();
        for word in command.split_whitespace().skip(1) {
            match word.strip_prefix('$').map(|v| v.trim_matches(['{', '}'])) {
                Some(name) => {
                    words.extend(env.get(name).into_iter().flat_map(|v| v.split_whitespace()).map(String::from));
                }
                None => words.push(word.to_owned()),
            }
        }
        Self::of_flags(&words, &env)
    }

    /// From flags, and variables for those that are not given.
    pub fn of_flags(words: &[String], env: &BTreeMap<String, String>) -> Result<Self, Wrong> {
        let mut flags = flags(words)?;
        for (name, value) in env {
            if let Some(flag) = name.strip_prefix("ETCD_").map(|n| n.to_lowercase().replace('_', "-"))
                && known(&flag)
            {
                flags.entry(flag).or_insert_with(|| value.clone());
            }
        }
        let get = |flag: &str| flags.get(flag).cloned();
        let on = |flag: &str| get(flag).is_some_and(|v| v != "false");
        let name = get("name").unwrap_or_else(|| "default".into());
        let peer_url = get("initial-advertise-peer-urls").unwrap_or_else(|| "http://localhost:2380".into());
        let initial = get("initial-cluster").unwrap_or_else(|| format!("{name}={peer_url}"));
        let initial_cluster =
            initial.split(',').filter_map(|p| p.trim().split_once('=')).map(|(n, u)| (n.to_owned(), u.to_owned()));
        let state = get("initial-cluster-state").unwrap_or_else(|| "new".into());
        if !["new", "existing"].contains(&state.as_str()) {
            return Err((
                1,
                format!(
                    "error verifying flags, invalid value \"{state}\" for flag -initial-cluster-state: invalid value \"{state}\". See 'etcd --help'."
                ),
            ));
        }
        let pair = |prefix: &str| Pair {
            cert: get(&format!("{prefix}cert-file")).unwrap_or_default().into(),
            key: get(&format!("{prefix}key-file")).unwrap_or_default().into(),
            ca: get(&format!("{prefix}trusted-ca-file")).map(PathBuf::from),
            auth: on(&format!("{prefix}client-cert-auth")),
        };
        let list = |flag: &str, or: &str| urls(flag, &get(flag).unwrap_or_else(|| or.to_owned()));
        Ok(Self {
            listen_peer: list("listen-peer-urls", "http://localhost:2380")?,
            listen_client: list("listen-client-urls", "http://localhost:2379")?,
            advertise_peer: list("initial-advertise-peer-urls", "http://localhost:2380")?,
            advertise_client: list("advertise-client-urls", "http://localhost:2379")?,
            data: get("data-dir").unwrap_or_else(|| format!("{name}.etcd")).into(),
            name,
            initial_cluster: initial_cluster.collect(),
            token: get("initial-cluster-token").unwrap_or_else(|| "etcd-cluster".into()),
            existing: state == "existing",
            client: pair(""),
            peer: pair("peer-"),
        })
    }

    /// Every port it listens on.
    pub fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<_> = self.listen_client.iter().chain(&self.listen_peer).map(|u| u.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

fn known(flag: &str) -> bool {
    const MINE: [&str; 18] = [
        "name",
        "data-dir",
        "listen-peer-urls",
        "listen-client-urls",
        "initial-advertise-peer-urls",
        "advertise-client-urls",
        "initial-cluster",
        "initial-cluster-token",
        "initial-cluster-state",
        "cert-file",
        "key-file",
        "trusted-ca-file",
        "client-cert-auth",
        "peer-cert-file",
        "peer-key-file",
        "peer-trusted-ca-file",
        "peer-client-cert-auth",
        "config-file",
    ];
    MINE.contains(&flag) || OTHERS.contains(&flag)
}

/// Go's flag package: `--flag value`, `--flag=value`; a switch never takes the next word.
fn flags(words: &[String]) -> Result<BTreeMap<String, String>, Wrong> {
    let mut flags = BTreeMap::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            return Err((1, format!("'{word}' is not a valid flag")));
        };
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (flag.to_owned(), None),
        };
        if !known(&flag) {
            return Err((2, format!("flag provided but not defined: -{flag}")));
        }
        let value = match value {
            Some(value) => value,
            None if SWITCHES.contains(&flag.as_str()) => "true".into(),
            None => words.next().cloned().ok_or_else(|| (2, format!("flag needs an argument: -{flag}")))?,
        };
        flags.insert(flag, value);
    }
    Ok(flags)
}

/// A comma-separated list; names other than `localhost` are not looked up here.
fn urls(flag: &str, list: &str) -> Result<Vec<Url>, Wrong> {
    let wrong = |why: String| {
        (1, format!("error verifying flags, invalid value \"{list}\" for flag -{flag}: {why}. See 'etcd --help'."))
    };
    list.split(',')
        .map(|text| {
            let rest = text.trim().split_once("://").map(|(_, r)| r);
            let rest = rest.ok_or_else(|| wrong(format!("URL scheme must be http, https, unix, or unixs: {text}")))?;
            let (host, port) = rest
                .trim_end_matches('/')
                .rsplit_once(':')
                .ok_or_else(|| wrong(format!("URL address does not have the form \"host:port\": {text}")))?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let host = if host == "localhost" { "127.0.0.1" } else { host };
            let port =
                port.parse().map_err(|_| wrong(format!("parse \"{text}\": invalid port \":{port}\" after host")))?;
            let address = host.parse().map_err(|_| (1, format!("expected IP in URL for binding ({text})")))?;
            Ok(Url { text: text.trim().to_owned(), address, port })
        })
        .collect()
}

/// An environment file as systemd reads it: quotes, and lines that end in a backslash going on.
pub fn environment(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && *c != '\n') {
            key.push(c);
        }
        if chars.next() != Some('=') {
            // The end of a line that assigns nothing.
            continue;
        }
        if key.trim().starts_with(['#', ';']) {
            while chars.next_if(|c| *c != '\n').is_some() {}
            continue;
        }
        let (mut value, mut quote) = (String::new(), None);
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', Some('"') | None) => match chars.next() {
                    Some('\n') | None => {}
                    Some(other) => value.push(other),
                },
                ('\n', None) => break,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(q)) if c == q => quote = None,
                (c, _) => value.push(c),
            }
        }
        out.insert(key.trim().to_owned(), value.trim_end().to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_systemd_reads_it() {
        let text = "# ETCD=no\nA=1\nETCD_OPTS=\"--name m1 \\\n  --data-dir=/d\n  --metrics basic\"\nB='x y'\n";
        let env = environment(text);
        assert_eq!(env["A"], "1");
        assert_eq!(env["B"], "x y");
        let words: Vec<_> = env["ETCD_OPTS"].split_whitespace().collect();
        assert_eq!(words, ["--name", "m1", "--data-dir=/d", "--metrics", "basic"]);
        assert!(!env.contains_key("# ETCD"));
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let words = |t: &str| t.split_whitespace().map(String::from).collect::<Vec<_>>();
        let env = BTreeMap::from([("ETCD_NAME".to_owned(), "m2".to_owned())]);
        let config =
            Config::of_flags(&words("--client-cert-auth --listen-peer-urls=https://10.0.0.1:2380"), &env).unwrap();
        assert_eq!((config.name.as_str(), config.client.auth, config.peer.auth), ("m2", true, false));
        assert_eq!(config.ports(), [2379, 2380]);
        let wrong = |t: &str| Config::of_flags(&words(t), &BTreeMap::new()).unwrap_err().1;
        assert_eq!(wrong("--nmae x"), "flag provided but not defined: -nmae");
        assert_eq!(wrong("x"), "'x' is not a valid flag");
        assert!(wrong("--initial-cluster-state old").contains("invalid value \"old\""));
        assert!(wrong("--listen-peer-urls 10.0.0.1:2380").contains("URL scheme must be"));
    }
}
