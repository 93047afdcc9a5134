//! Where to log in and as whom: the cluster file's settings first, then the user's own.
//!
//! The user's own settings come from `ssh -G`, which resolves includes, `Match` blocks and defaults exactly as their ssh
//! does. Where no ssh client is installed the plain defaults hold.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::cluster::{Node, SshSettings};

/// Most time `ssh -G` may take; a `Match exec` of the user's may run a program of its own.
const SSH_G_DEADLINE: Duration = Duration::from_secs(5);

/// The surroundings that decide a login: what a test replaces.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Home directory, for `~` and the default files.
    pub home: PathBuf,
    /// The local login name, the default for the remote one.
    pub user: String,
    /// Socket of the ssh agent.
    pub agent: Option<PathBuf>,
    /// The ssh client as a command, asked for the user's own settings; `None` leaves the defaults.
    pub ssh_client: Option<Vec<OsString>>,
    /// Known-hosts files of the machine.
    pub global_known_hosts: Vec<PathBuf>,
}

impl Environment {
    /// The process's own surroundings.
    pub fn of_process() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        Self {
            home: std::env::home_dir().unwrap_or_else(|| PathBuf::from("/root")),
            user: var("USER").or_else(|| var("LOGNAME")).unwrap_or_else(|| "root".into()),
            agent: var("SSH_AUTH_SOCK").map(PathBuf::from),
            ssh_client: Some(vec!["ssh".into()]),
            global_known_hosts: vec!["/etc/ssh/ssh_known_hosts".into(), "/etc/ssh/ssh_known_hosts2".into()],
        }
    }
}

/// Everything a login needs to know, settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Name or address to dial.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// The cluster file's own key file: tried before all others.
    pub identity: Option<PathBuf>,
    /// The user's key files, tried in this order; those that do not exist are passed over.
    pub identities: Vec<PathBuf>,
    /// Only the named keys, not all that the agent holds.
    pub identities_only: bool,
    /// Socket of the agent.
    pub agent: Option<PathBuf>,
    /// The name host keys are recorded under (`HostKeyAlias`), where it is not [`Self::host`].
    pub alias: Option<String>,
    /// Where host keys are looked up; the first is where an accepted one is added.
    pub known_hosts: Vec<PathBuf>,
    /// Bastions to pass, outermost first, each `[user@]host[:port]`.
    pub jumps: Vec<String>,
    /// Become root by sudo.
    pub sudo: bool,
}

impl Resolved {
    /// `host:port`, brackets around IPv6.
    pub fn address(&self) -> String {
        join_host_port(&self.host, self.port)
    }
}

/// `host:port`, brackets around IPv6.
pub(super) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// One bastion as written: `[user@]host[:port]`, or `ssh://…` as OpenSSH allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jump {
    /// Login name, when given.
    pub user: Option<String>,
    /// Host name, alias or address.
    pub host: String,
    /// Port, when given.
    pub port: Option<u16>,
}

impl Jump {
    /// Parses one hop; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad =
            |why: &str| tr!("`{text}` is not a bastion ({why}); write [user@]host[:port]", text = text, why = why);
        let rest = text.trim().trim_start_matches("ssh://");
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) if !user.is_empty() => (Some(user.to_owned()), rest),
            Some(_) => return Err(bad(trs!("the user name is empty"))),
            None => (None, rest),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or_else(|| bad(trs!("no closing bracket")))?;
                (host, after.strip_prefix(':'))
            }
            // More than one colon: an IPv6 address without a port.
            None if rest.matches(':').count() > 1 => (rest, None),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(p) => Some(p.parse().ok().filter(|p| *p != 0).ok_or_else(|| bad(trs!("the port is not a number")))?),
            None => None,
        };
        if host.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace) {
            return Err(bad(trs!("the host name is missing or malformed")));
        }
        Ok(Self { user, host: host.to_owned(), port })
    }
}

/// Settles the login of a node of the cluster file; `own` is what holds for it there ([`crate::cluster::Cluster::ssh_for`]).
///
/// The node's address is dialled unless `ssh.host` says otherwise. The user's settings for the node's NAME are used when
/// they lead to that same address (so `Host master01` blocks count), else those for the address.
pub(super) async fn for_node(env: &Environment, node: &Node, own: &SshSettings) -> Result<Resolved, String> {
    let address = node.address.to_string();
    let ask = |host| ask_client(env, host, own.user.as_deref(), own.port);
    let theirs = if let Some(host) = &own.host {
        ask(host).await?
    } else {
        let by_name = ask(node.name.as_str()).await?;
        if by_name.one("hostname") == Some(&address) { by_name } else { ask(&address).await? }
    };
    let dialled = if own.host.is_some() { None } else { Some(address) };
    settle(env, own, &theirs, dialled)
}

/// Settles the login of a bastion: its own settings, with the cluster file's key and known-hosts file for all.
pub(super) async fn for_jump(env: &Environment, jump: &Jump, all: &SshSettings) -> Result<Resolved, String> {
    let own = SshSettings {
        host: Some(jump.host.clone()),
        user: jump.user.clone(),
        port: jump.port,
        identity: all.identity.clone(),
        known_hosts: all.known_hosts.clone(),
        jump: None,
        sudo: None,
    };
    let theirs = ask_client(env, &jump.host, jump.user.as_deref(), jump.port).await?;
    settle(env, &own, &theirs, None)
}

fn settle(env: &Environment, own: &SshSettings, theirs: &Client, dialled: Option<String>) -> Result<Resolved, String> {
    let host = dialled
        .or_else(|| theirs.one("hostname").cloned())
        .or_else(|| own.host.clone())
        .ok_or(trs!("no host name to dial; set ssh.host"))?;
    let user = own.user.clone().or_else(|| theirs.one("user").cloned()).unwrap_or_else(|| env.user.clone());
    let port = own.port.or_else(|| theirs.one("port").and_then(|p| p.parse().ok())).unwrap_or(22);
    let jumps = own.jump.as_deref().or_else(|| theirs.one("proxyjump").map(String::as_str)).unwrap_or("none");
    let proxied = theirs.one("proxycommand").is_some_and(|c| c != "none");
    if proxied && own.jump.is_none() {
        return Err(tr!(
            "your ssh settings reach {host} through a ProxyCommand, which banister does not run; name the bastion as `jump` under ssh in the cluster file",
            host = host
        ));
    }
    let tokens = Tokens { home: &env.home, local: &env.user, host: &host, user: &user, port };
    let mut known_hosts: Vec<PathBuf> = match &own.known_hosts {
        Some(file) => vec![file.clone()],
        None => files(theirs, "userknownhostsfile", &tokens)
            .unwrap_or_else(|| vec![env.home.join(".ssh/known_hosts"), env.home.join(".ssh/known_hosts2")]),
    };
    known_hosts
        .extend(files(theirs, "globalknownhostsfile", &tokens).unwrap_or_else(|| env.global_known_hosts.clone()));
    Ok(Resolved {
        identity: own.identity.clone(),
        identities: theirs.all("identityfile").map_or_else(
            || ["id_rsa", "id_ecdsa", "id_ed25519"].map(|f| env.home.join(".ssh").join(f)).to_vec(),
            |all| all.iter().filter(|f| *f != "none").map(|f| tokens.expand(f)).collect(),
        ),
        identities_only: theirs.one("identitiesonly").is_some_and(|v| v == "yes"),
        agent: agent(env, theirs, &tokens),
        alias: theirs.one("hostkeyalias").filter(|a| *a != "none").cloned(),
        known_hosts,
        jumps: jumps.split(',').map(str::trim).filter(|j| !j.is_empty() && *j != "none").map(str::to_owned).collect(),
        sudo: own.sudo.unwrap_or(false) && user != "root",
        host,
        port,
        user,
    })
}

fn files(theirs: &Client, key: &str, tokens: &Tokens<'_>) -> Option<Vec<PathBuf>> {
    let words = theirs.one(key)?;
    Some(words.split_whitespace().filter(|w| *w != "none").map(|w| tokens.expand(w)).collect())
}

fn agent(env: &Environment, theirs: &Client, tokens: &Tokens<'_>) -> Option<PathBuf> {
    match theirs.one("identityagent").map(String::as_str) {
        Some("none") => None,
        None | Some("SSH_AUTH_SOCK") => env.agent.clone(),
        Some(variable) if variable.starts_with('$') => {
            std::env::var_os(variable.trim_start_matches('$').trim_matches(['{', '}'])).map(PathBuf::from)
        }
        Some(path) => Some(tokens.expand(path)),
    }
}

/// What `ssh -G` printed: every value of every keyword, in order.
#[derive(Debug, Default)]
struct Client(HashMap<String, Vec<String>>);

impl Client {
    fn parse(text: &str) -> Self {
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        for (key, value) in text.lines().filter_map(|l| l.trim().split_once(' ')) {
            all.entry(key.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
        }
        Self(all)
    }

    fn one(&self, key: &str) -> Option<&String> {
        self.0.get(key)?.first()
    }

    fn all(&self, key: &str) -> Option<&[String]> {
        self.0.get(key).map(Vec::as_slice)
    }
}

/// Asks the ssh client. No client installed is no error; a client that refuses its own settings file is.
async fn ask_client(env: &Environment, host: &str, user: Option<&str>, port: Option<u16>) -> Result<Client, String> {
    let Some((program, args)) = env.ssh_client.as_deref().and_then(<[OsString]>::split_first) else {
        return Ok(Client::default());
    };
    let mut command = tokio::process::Command::new(program);
    command.args(args).arg("-G");
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.arg("--").arg(host).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(SSH_G_DEADLINE, command.output()).await {
        Err(_) => {
            return Err(tr!(
                "`ssh -G {host}` did not answer within {deadline} s; check your ssh settings",
                host = host,
                deadline = SSH_G_DEADLINE.as_secs()
            ));
        }
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Client::default()),
        Ok(Err(e)) => return Err(tr!("`ssh -G {host}` could not be run: {e}", host = host, e = e)),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let why = crate::remote::clean::tail(&crate::remote::clean::text(&String::from_utf8_lossy(&output.stderr)), 3);
        return Err(tr!(
            "`ssh -G {host}` failed: {why}; mend your ssh settings, or name host, user and identity in the cluster file",
            host = host,
            why = why
        ));
    }
    Ok(Client::parse(&String::from_utf8_lossy(&output.stdout)))
}

/// The percent tokens of `ssh_config(5)` that `ssh -G` leaves in file names.
struct Tokens<'a> {
    home: &'a Path,
    local: &'a str,
    host: &'a str,
    user: &'a str,
    port: u16,
}

impl Tokens<'_> {
    fn expand(&self, text: &str) -> PathBuf {
        let text = text.trim_matches('"');
        let (mut out, mut rest) = match text.strip_prefix("~/") {
            Some(rest) => (format!("{}/", self.home.display()), rest),
            None => (String::new(), text),
        };
        while let Some((before, after)) = rest.split_once('%') {
            out += before;
            let mut chars = after.chars();
            match chars.next() {
                Some('d') => out += &self.home.display().to_string(),
                Some('h' | 'n') => out += self.host,
                Some('r') => out += self.user,
                Some('u') => out += self.local,
                Some('p') => out += &self.port.to_string(),
                Some('%') | None => out.push('%'),
                Some(other) => out.extend(['%', other]),
            }
            rest = chars.as_str();
        }
        (out + rest).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{HostName, Role};

    fn env() -> Environment {
        Environment {
            home: "/home/ann".into(),
            user: "ann".into(),
            agent: Some("/run/agent".into()),
            ssh_client: None,
            global_known_hosts: vec!["/etc/ssh/ssh_known_hosts".into()],
        }
    }

    fn node() -> Node {
        Node {
            name: HostName::new("master01"),
            address: "10.10.33.37".parse().unwrap(),
            role: Role::Original,
            comment: None,
            ssh: SshSettings::default(),
        }
    }

    fn settled(own: &SshSettings, printed: &str, dialled: &str) -> Resolved {
        settle(&env(), own, &Client::parse(printed), Some(dialled.into())).unwrap()
    }

    #[tokio::test]
    async fn without_a_client_the_address_and_the_defaults_hold() {
        let r = for_node(&env(), &node(), &SshSettings::default()).await.unwrap();
        assert_eq!((r.address().as_str(), r.user.as_str()), ("10.10.33.37:22", "ann"));
        assert_eq!(r.known_hosts[0], Path::new("/home/ann/.ssh/known_hosts"));
        assert!(r.identities.contains(&"/home/ann/.ssh/id_ed25519".into()), "{:?}", r.identities);
        assert_eq!(r.agent.as_deref(), Some(Path::new("/run/agent")));
    }

    #[test]
    fn the_clusters_settings_win_over_the_users() {
        let printed = "user bob\nport 2200\nidentityfile ~/.ssh/%r_key\nidentitiesonly yes\nproxyjump gate,inner:2\nuserknownhostsfile ~/kh1 /kh2\nidentityagent none\nhostkeyalias m1\n";
        let r = settled(&SshSettings::default(), printed, "h");
        assert_eq!((r.user.as_str(), r.port), ("bob", 2200));
        assert_eq!(r.identities, [PathBuf::from("/home/ann/.ssh/bob_key")]);
        assert_eq!(r.jumps, ["gate", "inner:2"]);
        assert_eq!(r.known_hosts, ["/home/ann/kh1", "/kh2", "/etc/ssh/ssh_known_hosts"].map(PathBuf::from));
        assert!(r.identities_only && r.agent.is_none() && r.alias.as_deref() == Some("m1"));

        let own = SshSettings {
            user: Some("root".into()),
            port: Some(22),
            identity: Some("/k".into()),
            known_hosts: Some("/own".into()),
            jump: Some("none".into()),
            sudo: Some(true),
            host: None,
        };
        let r = settled(&own, printed, "h");
        assert_eq!((r.user.as_str(), r.port, r.identity), ("root", 22, Some("/k".into())));
        assert_eq!(r.known_hosts[0], Path::new("/own"));
        assert!(r.jumps.is_empty(), "`jump: none` switches the user's proxyjump off");
        assert!(!r.sudo, "root needs no sudo");
    }

    #[test]
    fn a_proxy_command_is_refused_with_the_way_out() {
        let printed = "hostname h\nproxycommand nc -X 5 %h %p\n";
        let why = settle(&env(), &SshSettings::default(), &Client::parse(printed), None).unwrap_err();
        assert!(why.contains("ProxyCommand") && why.contains("`jump`"), "{why}");
    }

    #[tokio::test]
    async fn a_host_block_under_the_nodes_name_counts_when_it_leads_to_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("ssh");
        // Stands in for `ssh -G`: the last argument is the host asked about.
        let body = "for h; do :; done\ncase $h in master01) echo hostname ${MASTER01:-10.10.33.37}; echo user named ;; *) echo hostname $h; echo user other ;; esac\n";
        std::fs::write(&script, body).unwrap();
        let client = |extra: &str| Environment {
            ssh_client: Some(vec!["env".into(), extra.into(), "sh".into(), script.clone().into()]),
            ..env()
        };
        let same = for_node(&client("MASTER01="), &node(), &SshSettings::default()).await.unwrap();
        assert_eq!((same.user.as_str(), same.host.as_str()), ("named", "10.10.33.37"));
        let elsewhere = for_node(&client("MASTER01=192.0.2.9"), &node(), &SshSettings::default()).await.unwrap();
        assert_eq!((elsewhere.user.as_str(), elsewhere.host.as_str()), ("other", "10.10.33.37"));
    }

    #[test]
    fn bastions_are_parsed_as_openssh_writes_them() {
        let parse = |t: &str| Jump::parse(t).map(|j| (j.user, j.host, j.port));
        assert_eq!(parse("gate"), Ok((None, "gate".into(), None)));
        assert_eq!(parse("ann@gate:2222"), Ok((Some("ann".into()), "gate".into(), Some(2222))));
        assert_eq!(parse("[fd00::1]:22"), Ok((None, "fd00::1".into(), Some(22))));
        assert_eq!(parse("fd00::1"), Ok((None, "fd00::1".into(), None)));
        for bad in ["", "@gate", "gate:", "gate:ssh", "-oProxyCommand=x", "a b"] {
            assert!(Jump::parse(bad).is_err(), "{bad:?}");
        }
    }
}
