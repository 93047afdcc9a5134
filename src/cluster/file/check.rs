//! One value at a time: what a name, an address, a path or a port may look like.
//!
//! A check gets the text as written and says why it will not do in words that continue "`key` is `value`, …".

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Component, Path, PathBuf},
};

use super::quoted;
use crate::{
    cluster::{FirewallChoice, HostName, PackageChoice},
    lang::Lang,
};

/// Why a value will not do, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) why: String,
    pub(super) remedy: String,
}

type Checked<T> = Result<T, Wrong>;

fn wrong<T>(why: impl Into<String>, remedy: impl Into<String>) -> Checked<T> {
    Err(Wrong { why: why.into(), remedy: remedy.into() })
}

/// A DNS label is at most 63 octets (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= MAX_LABEL
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A host's short name: a lower-case DNS label.
pub(super) fn host_name(text: &str) -> Checked<HostName> {
    let lower = text.to_ascii_lowercase();
    if is_label(text) {
        return Ok(HostName::new(text));
    }
    if text.parse::<IpAddr>().is_ok() {
        return wrong(trs!("an address and not a name"), trs!("give the host's short name, such as `master04`"));
    }
    if text.contains('.') {
        return wrong(
            trs!("which has dots"),
            trs!("give the short name; what follows the first dot belongs into `domain` at the top of the file"),
        );
    }
    if is_label(&lower) {
        return wrong(
            trs!("which has upper-case letters; Kubernetes node names have none"),
            tr!(
                "write `{lower}`, and rename the host first if it is really called {name}",
                lower = lower,
                name = quoted(text)
            ),
        );
    }
    if text.len() > MAX_LABEL {
        return wrong(tr!("which has {length} characters", length = text.chars().count()), trs!("use at most 63"));
    }
    wrong(
        trs!("which is not a host name"),
        trs!("use lower-case letters, digits and hyphens, with a letter or digit at both ends"),
    )
}

/// A DNS domain, lower case.
pub(super) fn domain(text: &str) -> Checked<String> {
    if text.split('.').all(is_label) && text.len() <= 253 {
        return Ok(text.to_owned());
    }
    let bare = text.trim_matches('.').to_ascii_lowercase();
    if bare.split('.').all(is_label) {
        return wrong(
            trs!("which is not in its plain form"),
            tr!("write `{bare}`: lower case, no dot at the ends", bare = bare),
        );
    }
    wrong(
        trs!("which is not a domain"),
        trs!("write names of letters, digits and hyphens joined by dots, such as `example.com`"),
    )
}

/// The cluster's name; it becomes part of file names.
pub(super) fn cluster_name(text: &str) -> Checked<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() <= MAX_LABEL && text.chars().all(allowed) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    wrong(
        trs!("which cannot be part of a file name"),
        trs!("use at most 63 letters, digits, dots, hyphens and underscores, a letter or digit first"),
    )
}

/// The language of the screens.
pub(super) fn lang(text: &str) -> Checked<Lang> {
    match Lang::from_code(text) {
        Some(lang) => Ok(lang),
        None => wrong(trs!("which is no language of banister"), trs!("write `en` for English or `zh` for Chinese")),
    }
}

/// A remark: any visible text on one line.
pub(super) fn comment(text: &str) -> Checked<String> {
    if text.chars().count() > 200 {
        return wrong(trs!("which is too long"), trs!("keep it below 200 characters"));
    }
    Ok(text.to_owned())
}

/// A bare IP address that a host can have.
pub(super) fn address(text: &str) -> Checked<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return usable(ip);
    }
    let (why, remedy) = not_an_address(text);
    wrong(why, remedy)
}

fn usable(ip: IpAddr) -> Checked<IpAddr> {
    let own = trs!("write the address the other masters reach this host by");
    let why = match ip {
        _ if ip.is_unspecified() => trs!("which means every address and none in particular"),
        _ if ip.is_loopback() => trs!("which every host uses for itself"),
        _ if ip.is_multicast() => trs!("a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => trs!("the broadcast address"),
        IpAddr::V4(v4) if v4.is_link_local() => {
            trs!("a link-local address that a host gives itself when it has no other")
        }
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => trs!("which is reserved and no host's"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            trs!("a link-local address that is not unique without its interface")
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            return wrong(trs!("an IPv4 address in IPv6 clothes"), tr!("write `{ip}`", ip = ip.to_canonical()));
        }
        _ => return Ok(ip),
    };
    wrong(why, own)
}

fn not_an_address(text: &str) -> (&'static str, String) {
    if let Some((head, _)) = text.split_once('/')
        && let Ok(ip) = head.parse::<IpAddr>()
    {
        return (trs!("a network and not an address"), tr!("leave the prefix length off: `{ip}`", ip = ip));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        let ip = socket.ip();
        return (
            trs!("which carries a port"),
            tr!("write `{ip}`; ports belong into `layout.etcd` (etcd) or `ssh.port` (login)", ip = ip),
        );
    }
    if text.contains("://") {
        return (trs!("a URL"), trs!("write the bare IP address, such as `10.10.33.40`").into());
    }
    if let Some(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>().ok().filter(IpAddr::is_ipv6) {
        return (trs!("which stands in brackets"), tr!("write `{ip}`", ip = ip));
    }
    if text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return (
            trs!("which is not an IPv4 address"),
            trs!("write four numbers from 0 to 255 with dots between, without leading zeros").into(),
        );
    }
    if text.contains(':') {
        return (
            trs!("which is not an IPv6 address"),
            trs!("write it in its usual form without brackets or interface").into(),
        );
    }
    if !is_ssh_host(text) {
        return (trs!("which is not an address"), trs!("write one IP address, such as `10.10.33.40`").into());
    }
    (
        trs!("a name and not an address"),
        trs!("write the IP address, as etcd's URLs and certificates do; a name to log in by goes into the host's `ssh.host`")
            .into(),
    )
}

/// A TCP port.
pub(super) fn port(text: &str) -> Checked<u16> {
    match number(text) {
        Some(n) => match u16::try_from(n) {
            Ok(port) if port > 0 => Ok(port),
            _ => wrong(trs!("which is not a port"), trs!("write a number from 1 to 65535")),
        },
        None => wrong(trs!("which is not a number"), trs!("write a port from 1 to 65535, in plain digits")),
    }
}

/// Days a certificate is to be valid.
pub(super) fn lifetime_days(text: &str) -> Checked<u32> {
    match number(text).and_then(|n| u32::try_from(n).ok()) {
        Some(days) if (1..=36_500).contains(&days) => Ok(days),
        _ => wrong(
            trs!("which is not a number of days"),
            trs!(
                "write a whole number from 1 to 36500, or leave it out to keep the lifetime of the certificate in use"
            ),
        ),
    }
}

/// Plain decimal digits. A leading zero is octal to some readers of YAML and decimal to others, so it is refused.
fn number(text: &str) -> Option<u64> {
    let plain = text.chars().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// Yes or no, in any of YAML's spellings.
pub(super) fn boolean(text: &str) -> Checked<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => wrong(trs!("which is neither yes nor no"), trs!("write `true` or `false`")),
    }
}

/// The firewall choice. To a YAML 1.1 editor or formatter a bare `off` is the boolean false, so `false` means it too.
pub(super) fn firewall(text: &str) -> Checked<FirewallChoice> {
    match text.to_ascii_lowercase().as_str() {
        "off" | "false" => Ok(FirewallChoice::Off),
        "open" => Ok(FirewallChoice::Open),
        "keep" => Ok(FirewallChoice::Keep),
        _ => wrong(
            trs!("which is not one of the choices"),
            trs!(
                "write `off` (firewall and SELinux off), `open` (both stay, ports are opened) or `keep` (neither is touched)"
            ),
        ),
    }
}

/// Where docker, kubelet and kubectl come from.
pub(super) fn packages(text: &str) -> Checked<PackageChoice> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(PackageChoice::Auto),
        "repository" => Ok(PackageChoice::Repository),
        "copy" => Ok(PackageChoice::Copy),
        "present" => Ok(PackageChoice::Present),
        _ => wrong(
            trs!("which is not one of the choices"),
            trs!(
                "write `auto`, `repository` (the package manager), `copy` (from an original) or `present` (already there)"
            ),
        ),
    }
}

/// How many workers at a time.
pub(super) fn worker_batch(text: &str) -> Checked<usize> {
    match text.parse() {
        Ok(n @ 1..=1000) => Ok(n),
        _ => wrong(
            trs!("which is not a number of workers"),
            trs!("write a number from 1 on, or remove the line: a tenth at a time"),
        ),
    }
}

/// A login name.
pub(super) fn login(text: &str) -> Checked<String> {
    if let Some((user, host)) = text.split_once('@') {
        return wrong(
            trs!("which names a host too"),
            tr!(
                "write the login name {user} alone; {host} goes into the host's `ssh.host`",
                user = quoted(user),
                host = quoted(host)
            ),
        );
    }
    if is_login(text) {
        return Ok(text.to_owned());
    }
    wrong(
        trs!("which is not a login name"),
        trs!("use letters, digits, dots, hyphens and underscores, no hyphen first"),
    )
}

fn is_login(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '\\'))
}

/// A system user that `useradd` would make.
pub(super) fn system_user(text: &str) -> Checked<String> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let rest = |c: char| first(c) || c.is_ascii_digit() || c == '-';
    if text.len() <= 32 && text.starts_with(first) && text.chars().all(rest) {
        return Ok(text.to_owned());
    }
    wrong(
        trs!("which is not a system user"),
        trs!("use at most 32 lower-case letters, digits, hyphens and underscores, no digit first"),
    )
}

/// A host to dial: name, alias of the ssh configuration, or address. A leading hyphen would be an option to ssh.
pub(super) fn ssh_host(text: &str) -> Checked<String> {
    if is_ssh_host(text) {
        return Ok(text.to_owned());
    }
    wrong(trs!("which is not a host"), trs!("write a host name or an IP address; user and port have keys of their own"))
}

fn is_ssh_host(text: &str) -> bool {
    let name = |t: &str| {
        t.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && t.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    text.len() <= 253 && (name(text) || text.parse::<IpAddr>().is_ok())
}

/// A bastion, as `[user@]host[:port]`.
pub(super) fn jump(text: &str) -> Checked<String> {
    if text.contains(',') {
        return wrong(
            trs!("more than one bastion"),
            trs!("name one here; a chain belongs into the ssh configuration (`ProxyJump`)"),
        );
    }
    if text == "none" {
        return wrong(
            trs!("which names no bastion"),
            trs!("leave `jump` out, or give the jump to those hosts that need it"),
        );
    }
    if is_jump(text) {
        return Ok(text.to_owned());
    }
    wrong(
        trs!("which is not a bastion"),
        trs!("write `host`, `user@host` or `user@host:port`, an IPv6 address in brackets"),
    )
}

fn is_jump(text: &str) -> bool {
    let (user, rest) = text.rsplit_once('@').map_or((None, text), |(user, rest)| (Some(user), rest));
    let host_ok = if let Some(v6) = rest.strip_prefix('[') {
        v6.split_once(']').is_some_and(|(ip, tail)| {
            ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())
                && (tail.is_empty() || tail.strip_prefix(':').is_some_and(|p| port(p).is_ok()))
        })
    } else {
        let (host, tail) = rest.split_once(':').map_or((rest, None), |(h, p)| (h, Some(p)));
        is_ssh_host(host) && tail.is_none_or(|p| port(p).is_ok())
    };
    host_ok && user.is_none_or(is_login)
}

/// A systemd unit's name; `.service` may be there and is dropped.
pub(super) fn unit(text: &str) -> Checked<String> {
    let name = text.strip_suffix(".service").unwrap_or(text);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '-' | '@');
    if !name.is_empty() && name.len() <= 200 && !name.starts_with(['-', '.']) && name.chars().all(allowed) {
        return Ok(name.to_owned());
    }
    wrong(trs!("which is not a service's name"), trs!("write it without a path, such as `etcd`"))
}

/// A container's name, as docker allows it.
pub(super) fn container(text: &str) -> Checked<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.len() <= 200 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    wrong(trs!("which is not a container's name"), trs!("write it as `docker ps` shows it"))
}

/// The name of an object in Kubernetes: a DNS subdomain.
pub(super) fn object_name(text: &str) -> Checked<String> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    wrong(trs!("which is not the name of a Kubernetes object"), trs!("write it as `kubectl get` shows it"))
}

/// An absolute path on the hosts. It ends up in unit files and in `ETCD_OPTS`, which systemd splits at blanks and expands
/// at `$` and `%`, so only characters that mean nothing to either are let through.
pub(super) fn host_path(text: &str) -> Checked<PathBuf> {
    if text.starts_with('~') {
        return wrong(trs!("which depends on who logs in"), trs!("write the path out from `/`"));
    }
    if !text.starts_with('/') {
        return wrong(trs!("which is not absolute"), trs!("write the path out from `/`"));
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | ',')) {
        return wrong(
            trs!("which holds characters that systemd or etcd.conf would take apart"),
            trs!("use letters, digits and `/ . _ - + @ ,`"),
        );
    }
    let path: PathBuf = Path::new(text).components().collect();
    if path.components().any(|c| c == Component::ParentDir) {
        return wrong(trs!("which goes back with `..`"), trs!("write the path without it"));
    }
    if text.len() > 1000 {
        return wrong(trs!("which is too long"), trs!("keep it below 1000 characters"));
    }
    if path.parent().is_none() {
        return wrong(trs!("the root of the file system"), trs!("name a directory or file of its own below it"));
    }
    Ok(path)
}

/// A directory on the hosts that belongs to one program alone: its owner is changed, or it is emptied by an undo.
pub(super) fn own_dir(text: &str) -> Checked<PathBuf> {
    const SHARED: [&str; 30] = [
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/etc/systemd",
        "/etc/systemd/system",
        "/home",
        "/lib",
        "/lib64",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/tmp",
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/local",
        "/usr/local/bin",
        "/usr/sbin",
        "/var",
        "/var/lib",
        "/var/log",
        "/var/run",
        "/var/tmp",
    ];
    let path = host_path(text)?;
    if SHARED.iter().any(|shared| Path::new(shared) == path) {
        return wrong(trs!("a directory that other programs use too"), trs!("name a directory of its own below it"));
    }
    Ok(path)
}

/// A path on the operator's machine, `~` expanded.
pub(super) fn local_path(text: &str, home: Option<&Path>) -> Checked<PathBuf> {
    if text.chars().count() > 1000 {
        return wrong(trs!("which is too long"), trs!("keep it below 1000 characters"));
    }
    let below_home = if text == "~" { Some("") } else { text.strip_prefix("~/") };
    match (below_home, home) {
        (Some(rest), Some(home)) => Ok(home.join(rest.trim_start_matches('/'))),
        (Some(_), None) => {
            wrong(trs!("and there is no home directory to put for `~`"), trs!("write the path out from `/`"))
        }
        (None, _) if text.starts_with('~') => wrong(trs!("another user's home"), trs!("write the path out from `/`")),
        (None, _) if !text.starts_with('/') => {
            wrong(trs!("which depends on where banister is started"), trs!("write the path out from `/` or `~/`"))
        }
        (None, _) => Ok(PathBuf::from(text)),
    }
}

/// A sha256 in hex; upper case is folded.
pub(super) fn sha256(text: &str) -> Checked<String> {
    let hex = text.chars().all(|c| c.is_ascii_hexdigit());
    match text.len() {
        64 if hex => Ok(text.to_ascii_lowercase()),
        40 if hex => wrong(trs!("which has the length of a sha1"), trs!("write what `sha256sum` says of the tarball")),
        128 if hex => {
            wrong(trs!("which has the length of a sha512"), trs!("write what `sha256sum` says of the tarball"))
        }
        n if hex => wrong(
            tr!("which has {length} digits instead of 64", length = n),
            trs!("write what `sha256sum` says of the tarball"),
        ),
        _ => wrong(trs!("which is not a sha256"), trs!("write the 64 hex digits that `sha256sum` says of the tarball")),
    }
}
