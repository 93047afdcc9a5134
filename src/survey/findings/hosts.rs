//! The hosts themselves: reach, root, programs, clock, space, firewall.

use std::path::Path;

use super::{View, block, finding, info, warn};
use crate::{
    cluster::{BinarySource, FirewallChoice, Node, Role},
    lang::{self, Lang},
    remote::{
        RemoteError,
        etcd::{Membership, Version},
    },
    survey::{Facts, Finding, Severity, collect::needed_programs, show::bytes},
};

/// Clocks further apart than this break certificates and leases (kubeadm and k0sctl use the same figure).
const CLOCK_BLOCK_MS: u64 = 30_000;
/// Worth a look: NTP keeps hosts within milliseconds.
const CLOCK_WARN_MS: u64 = 5_000;

const MIB: u64 = 1 << 20;

pub(super) fn check(view: &View<'_>, out: &mut Vec<Finding>) {
    reach(view, out);
    for (node, seen) in view.seen() {
        root(node, &seen.facts, out);
        programs(view, node, &seen.facts, out);
        clock(view, node, &seen.facts, out);
    }
    own_clock(view, out);
    for (node, seen) in view.masters() {
        space(view, node, &seen.facts, seen.etcd.as_ref().and_then(|e| e.version.as_deref()), out);
        firewall(view, node, &seen.facts, out);
    }
    architecture(view, out);
}

/// Blocks for masters and joiners; a worker is not touched before chapter 6.
fn unless_worker(node: &Node) -> Severity {
    if node.role == Role::Worker { Severity::Warn } else { Severity::Block }
}

fn reach(view: &View<'_>, out: &mut Vec<Finding>) {
    for host in view.hosts {
        let (Some(node), Err(error)) = (view.cluster.node(&host.name), &host.seen) else { continue };
        let why = match node.role {
            Role::Original => {
                trs!(
                    "Its certificates and its member cannot be looked at, so nobody knows whether the cluster survives the growth."
                )
            }
            Role::Joiner => trs!("It can be neither prepared nor joined."),
            Role::Worker => {
                trs!("Its proxy cannot be given the new servers in chapter 6; chapters 1 and 2 do not need it.")
            }
        };
        let what = tr!("cannot be looked at: {error}", error = without_advice(error));
        out.push(finding(unless_worker(node), Some(node), what, why.into(), advice(error)));
    }
}

/// The message without the host's name before it and the advice behind it, which stand in columns of their own.
fn without_advice(error: &RemoteError) -> String {
    let text = error.to_string();
    // A colon and a semicolon, in either language.
    let host = error.host().to_string();
    let after = text.strip_prefix(&host).and_then(|t| t.strip_prefix(": ").or_else(|| t.strip_prefix('：')));
    let text = after.unwrap_or(&text);
    match error {
        RemoteError::Unreachable { .. }
        | RemoteError::UnknownHostKey { .. }
        | RemoteError::ChangedHostKey { .. }
        | RemoteError::Auth { .. } => {
            let first = text.split("; ").next().unwrap_or(text);
            first.split('；').next().unwrap_or(first).to_owned()
        }
        _ => text.to_owned(),
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = match lang::current() {
        _ if text.ends_with(['.', '。']) => "",
        Lang::English => ".",
        Lang::Chinese => "。",
    };
    first + chars.as_str() + stop
}

fn advice(error: &RemoteError) -> String {
    match error {
        RemoteError::Unreachable { .. } => {
            trs!("Bring the host and its sshd up, or correct its address, `ssh.host`, `ssh.port` or `ssh.jump` in the cluster file.").into()
        }
        RemoteError::UnknownHostKey { known_hosts, .. } => tr!("Compare the fingerprint with the host's own (`ssh-keygen -lf` there) and add the key to {known_hosts}, or run banister at a terminal, where it asks.", known_hosts = known_hosts),
        RemoteError::ChangedHostKey { known_hosts, .. } => tr!("Find out whether the host was reinstalled. Only if so, remove its old key from {known_hosts} and add the new one.", known_hosts = known_hosts),
        // It knows best what it tried.
        RemoteError::Auth { why, .. } => match why.split_once("; ").or_else(|| why.split_once('；')) {
            Some((_, advice)) => sentence(advice),
            None => trs!("Log in by hand with the same user and key; then correct `ssh.user` and `ssh.identity` in the cluster file, or load the key into the agent.").into(),
        },
        RemoteError::Lost { .. } | RemoteError::Timeout { .. } => {
            trs!("Run the survey again; if it happens again, look at the host's load, disk and network.").into()
        }
        RemoteError::Failed { .. } | RemoteError::Dial { .. } | RemoteError::Unexpected { .. } => {
            trs!("Log in by hand with the same user and run the same command (`-v` shows it); without root rights set `sudo: true` under `ssh`.").into()
        }
    }
}

fn root(node: &Node, facts: &Facts, out: &mut Vec<Finding>) {
    if facts.uid != 0 {
        out.push(finding(
            unless_worker(node),
            Some(node),
            tr!("operations run as user {uid}, not as root", uid = facts.uid),
            trs!("Keys cannot be read, files not written and units not started.").into(),
            trs!("Log in as root (`ssh: { user: root }`), or set `sudo: true` under `ssh` and let that user run sudo without a password."),
        ));
    }
}

fn programs(view: &View<'_>, node: &Node, facts: &Facts, out: &mut Vec<Finding>) {
    let lacks = |name: &String| !facts.programs.contains_key(name);
    let mut missing = needed_programs(view.cluster, node.role);
    let etcdutl = view.cluster.etcd.bin.join("etcdutl").display().to_string();
    // `etcdctl snapshot status` went away in 3.6.
    if node.role == Role::Original
        && view.etcd.and_then(Membership::lowest_version).is_some_and(|v| v >= Version(3, 6, 0))
    {
        missing.push(etcdutl);
    }
    missing.retain(lacks);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        out.push(block(
            Some(node),
            tr!("programs missing: {missing}", missing = missing),
            trs!("The steps on this host are made of them.").into(),
            tr!(
                "Install {missing} there, or correct `etcd.bin` in the cluster file if etcd's programs lie elsewhere.",
                missing = missing
            ),
        ));
    }
    if node.role != Role::Worker && lacks(&"journalctl".into()) {
        out.push(warn(
            Some(node),
            trs!("journalctl is missing").into(),
            trs!("etcd's log cannot be shown while it starts.").into(),
            trs!("Install it (it belongs to systemd), or watch etcd's log on the host yourself."),
        ));
    }
}

fn clock(view: &View<'_>, node: &Node, facts: &Facts, out: &mut Vec<Finding>) {
    let Some(median) = view.median_offset_ms() else { return };
    let apart = facts.clock_offset_ms.abs_diff(median);
    if apart <= CLOCK_WARN_MS {
        return;
    }
    let severity = if apart > CLOCK_BLOCK_MS { unless_worker(node) } else { Severity::Warn };
    let way = if facts.clock_offset_ms > median { trs!("ahead of") } else { trs!("behind") };
    out.push(finding(
        severity,
        Some(node),
        tr!("clock {apart} s {way} the hosts' median", apart = apart / 1000, way = way),
        trs!("Certificates seem not yet valid or expired to hosts whose clocks differ, and etcd's leases end at the wrong time.").into(),
        trs!("Set the clock and start chronyd, ntpd or systemd-timesyncd there; `chronyc tracking` or `timedatectl` shows the result."),
    ));
}

/// New certificates begin by this machine's clock.
fn own_clock(view: &View<'_>, out: &mut Vec<Finding>) {
    let Some(median) = view.median_offset_ms().filter(|ms| ms.unsigned_abs() > CLOCK_BLOCK_MS) else { return };
    let way = if median > 0 { trs!("behind") } else { trs!("ahead of") };
    out.push(warn(
        None,
        tr!("this machine's clock is {apart} s {way} the hosts'", apart = median.unsigned_abs() / 1000, way = way),
        trs!("Certificates issued here begin by this clock: one that runs ahead makes certificates that the hosts do not accept yet.").into(),
        trs!("Set this machine's clock (`timedatectl`) before issuing certificates."),
    ));
}

fn space(view: &View<'_>, node: &Node, facts: &Facts, version: Option<&str>, out: &mut Vec<Finding>) {
    let answered = view.etcd.iter().flat_map(|e| &e.members).filter_map(|m| m.status.as_ref().ok());
    let db = answered.map(|s| u64::try_from(s.db_size).unwrap_or(0)).max().unwrap_or(0);
    let mut needs: Vec<(&Path, u64, &str)> = Vec::new();
    let layout = &view.cluster.etcd;
    match node.role {
        Role::Original => {
            needs.push((
                &view.cluster.backup_dir,
                db.saturating_mul(2) + 64 * MIB,
                trs!("the snapshot and its trial restore"),
            ));
        }
        Role::Joiner => {
            if !view.serves(node) {
                needs.push((
                    &layout.data,
                    db.saturating_mul(3) + 256 * MIB,
                    trs!("the database, its log and a snapshot"),
                ));
            }
            let lowest = view.etcd.and_then(Membership::lowest_version);
            if lowest.is_none() || version.and_then(Version::parse) != lowest {
                needs.push((&layout.bin, 100 * MIB, trs!("etcd's programs")));
            }
        }
        Role::Worker => {}
    }
    for (path, need, what_for) in needs {
        let shown = path.display();
        match facts.free.get(path) {
            Some(free) if *free >= need => {}
            Some(free) => out.push(block(
                Some(node),
                tr!("{free} free for {shown}, {need} needed", free = bytes(*free), shown = shown, need = bytes(need)),
                tr!("{what_for} would not fit; a full disk stops etcd in the middle.", what_for = what_for),
                tr!("Make room in {shown}, or name another directory in the cluster file.", shown = shown),
            )),
            None => out.push(warn(
                Some(node),
                tr!("free space for {shown} could not be told", shown = shown),
                tr!("{what_for} may not fit.", what_for = what_for),
                tr!("Look with `df -h {shown}`: {need} are needed.", shown = shown, need = bytes(need)),
            )),
        }
    }
}

fn firewall(view: &View<'_>, node: &Node, facts: &Facts, out: &mut Vec<Finding>) {
    let mut on = Vec::new();
    let ufw = facts.ufw == "active";
    if facts.firewalld == "active" {
        on.push("firewalld");
    }
    if ufw {
        on.push("ufw");
    }
    if facts.selinux == "Enforcing" {
        on.push(trs!("SELinux (enforcing)"));
    }
    if on.is_empty() {
        return;
    }
    let (client, peer) = (view.cluster.etcd.client_port, view.cluster.etcd.peer_port);
    let on = tr!("{on} on", on = on.join(", "));
    out.push(match (node.role, view.cluster.firewall) {
        (Role::Joiner, FirewallChoice::Keep) => warn(
            Some(node),
            tr!("{on}, and the cluster file says `firewall: keep`", on = on),
            tr!("If ports {client} and {peer} are closed, the rehearsal before the join fails.", client = client, peer = peer),
            tr!("Open TCP {client} and {peer} between all masters there, or set `firewall: open` or `firewall: off`.", client = client, peer = peer),
        ),
        (Role::Joiner, FirewallChoice::Off) if ufw => warn(
            Some(node),
            tr!("{on}, and `firewall: off` leaves ufw as it is", on = on),
            tr!("ufw would go on filtering ports {client} and {peer}.", client = client, peer = peer),
            trs!("Run `ufw disable` there, or set `firewall: open` in the cluster file, which opens the ports in ufw too."),
        ),
        (Role::Joiner, FirewallChoice::Off) => info(
            Some(node),
            on,
            trs!("The runbook's way: the step for this host turns it off.").into(),
            trs!("Nothing to do; set `firewall: open` in the cluster file where policy wants it on."),
        ),
        (Role::Joiner, FirewallChoice::Open) => info(
            Some(node),
            on,
            trs!("It stays on, and the step for this host opens the ports of the control plane.").into(),
            trs!("Nothing to do here; the rehearsal before the join shows whether it is enough."),
        ),
        _ => info(
            Some(node),
            on,
            trs!("It is left as it is; whether it lets the new members in is tried by the rehearsal before the join.").into(),
            tr!("If the rehearsal fails, open TCP {client} and {peer} for the new masters' addresses there.", client = client, peer = peer),
        ),
    });
}

fn architecture(view: &View<'_>, out: &mut Vec<Finding>) {
    let Some((first, original)) = view.of(Role::Original).next().filter(|(_, s)| !s.facts.arch.is_empty()) else {
        return;
    };
    for (node, seen) in view.of(Role::Joiner) {
        let (theirs, own) = (&original.facts.arch, &seen.facts.arch);
        if own == theirs || own.is_empty() {
            continue;
        }
        let what =
            tr!("architecture is {own}, that of {name} is {theirs}", own = own, name = first.name, theirs = theirs);
        out.push(match view.cluster.binaries {
            BinarySource::Original => block(
                Some(node),
                what,
                trs!("etcd's programs streamed from an original would not start.").into(),
                tr!("Name a release tarball for {own} in the cluster file (`binaries`), or use a host of the same architecture.", own = own),
            ),
            BinarySource::Tarball { .. } => warn(
                Some(node),
                what,
                trs!("The release tarball named in the cluster file has to be for this architecture.").into(),
                tr!("Make sure that the tarball is the one for {own}.", own = own),
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::HostName,
        survey::findings::fixture::{Base, NOW},
    };

    #[test]
    fn an_unreachable_master_or_joiner_blocks_and_a_worker_warns() {
        for (name, severity) in
            [("master02", Severity::Block), ("master05", Severity::Block), ("node01", Severity::Warn)]
        {
            let mut base = Base::healthy();
            base.down(name);
            let found = base.only(severity, "cannot be looked at: cannot be reached at 10.0.0.1:22: no route to host");
            assert_eq!(found.host, Some(HostName::new(name)));
            assert!(found.remedy.contains("sshd"));
            assert!(!found.what.contains("check that"), "the advice stands in its own column: {}", found.what);
        }
    }

    #[test]
    fn a_changed_host_key_is_never_advised_away() {
        let mut base = Base::healthy();
        base.hosts[0].seen = Err(RemoteError::ChangedHostKey {
            host: HostName::new("master01"),
            fingerprint: "SHA256:x".into(),
            known_hosts: "/root/.ssh/known_hosts".into(),
            line: 3,
        });
        let found = base.only(Severity::Block, "the host key has CHANGED");
        assert!(found.remedy.starts_with("Find out whether") && found.remedy.contains("/root/.ssh/known_hosts"));
    }

    #[test]
    fn a_refused_login_passes_on_its_own_advice() {
        let mut base = Base::healthy();
        let refused =
            |why: &str| RemoteError::Auth { host: HostName::new("master01"), user: "ops".into(), why: why.into() };
        base.hosts[0].seen = Err(refused("not root; set `sudo: true` under ssh, or log in as root"));
        let found = base.only(Severity::Block, "login as ops refused: not root");
        assert!(!found.what.contains("sudo"), "{}", found.what);
        assert_eq!(found.remedy, "Set `sudo: true` under ssh, or log in as root.");
        base.hosts[0].seen = Err(refused("no key was accepted"));
        assert!(base.only(Severity::Block, "no key was accepted").remedy.contains("ssh.identity"));
    }

    #[test]
    fn a_user_who_is_not_root_gets_the_sudo_hint() {
        let mut base = Base::healthy();
        base.facts("master04").uid = 1000;
        let found = base.only(Severity::Block, "user 1000");
        assert!(found.remedy.contains("sudo: true"));
        let mut base = Base::healthy();
        base.facts("node01").uid = 1000;
        base.only(Severity::Warn, "user 1000");
    }

    #[test]
    fn missing_programs_are_named_in_one_finding() {
        let mut base = Base::healthy();
        for program in ["useradd", "sha256sum"] {
            base.facts("master04").programs.remove(program).unwrap();
        }
        let found = base.only(Severity::Block, "programs missing");
        assert!(found.what.contains("sha256sum, useradd") && found.remedy.contains("sha256sum, useradd"), "{found:?}");

        let mut base = Base::healthy();
        base.facts("master02").programs.remove("/usr/local/bin/etcdctl").unwrap();
        assert!(base.only(Severity::Block, "programs missing").remedy.contains("etcd.bin"));

        let mut base = Base::healthy();
        base.facts("master02").programs.remove("journalctl").unwrap();
        base.only(Severity::Warn, "journalctl");
    }

    #[test]
    fn etcdutl_is_needed_from_3_6_on() {
        let mut base = Base::healthy();
        base.facts("master01").programs.remove("/usr/local/bin/etcdutl").unwrap();
        base.assert_quiet();
        for member in ["master01", "master02", "master03"] {
            base.status(member).version = "3.6.1".into();
        }
        assert!(base.only(Severity::Block, "programs missing").what.contains("etcdutl"));
    }

    #[test]
    fn clocks_are_judged_against_the_hosts_median() {
        for (offset, severity) in [(30_900, Severity::Block), (-31_000, Severity::Block), (6_000, Severity::Warn)] {
            let mut base = Base::healthy();
            base.facts("master03").clock_offset_ms = offset;
            let found = base.only(severity, "the hosts' median");
            assert!(found.what.contains(if offset > 0 { "ahead" } else { "behind" }));
            assert!(found.remedy.contains("chronyd"));
        }
        let mut base = Base::healthy();
        base.facts("master03").clock_offset_ms = 4_000;
        base.assert_quiet();
        base.facts("node01").clock_offset_ms = 60_000;
        base.only(Severity::Warn, "the hosts' median");
    }

    #[test]
    fn when_all_hosts_agree_it_is_this_machines_clock_that_is_wrong() {
        let mut base = Base::healthy();
        for name in ["master01", "master02", "master03", "master04", "master05", "node01"] {
            base.facts(name).clock_offset_ms = 120_000;
        }
        assert!(base.only(Severity::Warn, "this machine's clock is 120 s behind").remedy.contains("timedatectl"));
        base.assert_unblocked();
    }

    #[test]
    fn too_little_space_blocks_with_what_is_needed() {
        // The database is 25 MiB: 2 × 25 + 64 = 114 MiB for the backup, 3 × 25 + 256 = 331 MiB for the data.
        for (host, path, need) in [
            ("master01", "/root/backup", 114 * MIB),
            ("master04", "/var/lib/etcd", 331 * MIB),
            ("master04", "/usr/local/bin", 100 * MIB),
        ] {
            let mut base = Base::healthy();
            base.facts(host).free.insert(path.into(), need);
            base.assert_quiet();
            base.facts(host).free.insert(path.into(), need - 1);
            let found = base.only(Severity::Block, &format!("free for {path}"));
            assert!(found.what.contains(&format!("{} MiB needed", need / MIB)), "{}", found.what);
            assert!(found.remedy.contains(path));
            base.facts(host).free.clear();
            assert!(base.findings().iter().any(|f| f.what.contains("could not be told") && f.remedy.contains("df -h")));
        }
    }

    #[test]
    fn a_joiner_that_holds_the_database_already_needs_no_more_room() {
        let mut base = Base::healthy();
        base.joined("master04");
        base.facts("master04").free = [("/var/lib/etcd".into(), 1), ("/usr/local/bin".into(), 1)].into();
        base.assert_unblocked();
    }

    #[test]
    fn a_firewall_warns_only_where_nothing_will_be_done_about_it() {
        let mut base = Base::healthy();
        base.facts("master04").firewalld = "active".into();
        base.facts("master04").selinux = "Enforcing".into();
        base.assert_quiet();
        base.cluster.firewall = FirewallChoice::Open;
        base.assert_quiet();
        base.cluster.firewall = FirewallChoice::Keep;
        let found = base.only(Severity::Warn, "firewalld, SELinux (enforcing) on");
        assert!(found.remedy.contains("2379 and 2380") && found.remedy.contains("firewall: open"));
    }

    #[test]
    fn ufw_is_not_turned_off_by_firewall_off() {
        let mut base = Base::healthy();
        base.facts("master05").ufw = "active".into();
        assert!(base.only(Severity::Warn, "leaves ufw").remedy.contains("ufw disable"));
    }

    #[test]
    fn another_architecture_blocks_when_binaries_come_from_an_original() {
        let mut base = Base::healthy();
        base.facts("master05").arch = "aarch64".into();
        assert!(base.only(Severity::Block, "architecture is aarch64").remedy.contains("tarball for aarch64"));
        base.cluster.binaries = BinarySource::Tarball { path: "/tmp/etcd.tar.gz".into(), sha256: "0".repeat(64) };
        base.only(Severity::Warn, "architecture is aarch64");
        base.assert_unblocked();
    }

    #[test]
    fn certificates_are_judged_by_the_hosts_clocks() {
        // This machine is a year ahead: the hosts know that nothing has expired.
        let base = Base::healthy();
        let year = 365 * 86_400;
        let mut hosts = base.hosts.clone();
        for host in &mut hosts {
            host.seen.as_mut().unwrap().facts.clock_offset_ms = -11 * year * 1000;
        }
        let found = super::super::findings(&base.cluster, &hosts, &base.etcd, NOW + 11 * year);
        assert!(!found.iter().any(|f| f.severity == Severity::Block), "{found:#?}");
    }
}
