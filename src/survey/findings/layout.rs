//! etcd as it lies on each host: unit, configuration, programs, data directory, listeners.

use std::path::Path;

use super::{View, block, finding, info, names, warn};
use crate::{
    cluster::{Node, Role},
    remote::etcd::{Member, Membership, Version},
    survey::{EtcdOnHost, Finding, HostSeen, Severity},
};

pub(super) fn check(view: &View<'_>, out: &mut Vec<Finding>) {
    for (node, seen) in view.masters() {
        let Some(etcd) = &seen.etcd else { continue };
        match node.role {
            Role::Original => original(view, node, etcd, out),
            _ => joiner(view, node, seen, etcd, out),
        }
    }
    state_new(view, out);
}

fn original(view: &View<'_>, node: &Node, etcd: &EtcdOnHost, out: &mut Vec<Finding>) {
    unit(view, node, etcd, out);
    config(view, node, etcd, out);
    program(view, node, etcd, out);
    let data = view.cluster.etcd.data.display();
    if etcd.data_entries.unwrap_or(0) == 0 {
        out.push(block(
            Some(node),
            tr!("{data} is empty or missing", data = data),
            trs!("This host's etcd keeps its data elsewhere, so the cluster file's layout is wrong and would be wrong on the new members too.").into(),
            trs!("Set `etcd.data` in the cluster file to the directory that `--data-dir` names on this host."),
        ));
    }
}

fn unit(view: &View<'_>, node: &Node, etcd: &EtcdOnHost, out: &mut Vec<Finding>) {
    let name = &view.cluster.etcd.unit;
    let unit = &etcd.unit;
    if unit.load == "not-found" {
        out.push(block(
            Some(node),
            tr!("there is no {name}.service", name = name),
            trs!("etcd runs under another name there, or not under systemd: it could not be watched or restarted.").into(),
            trs!("Set `etcd.unit` and `etcd.unit_file` in the cluster file to the unit that runs etcd (`systemctl list-units '*etcd*'`)."),
        ));
        return;
    }
    if unit.active != "active" {
        let state = if unit.active.is_empty() { trs!("unknown") } else { &unit.active };
        out.push(block(
            Some(node),
            tr!("{name}.service is {state}", name = name, state = state),
            trs!("A master whose etcd does not run is one failure less that the cluster survives.").into(),
            tr!(
                "Find out why with `journalctl -u {name} -n 50` there, start it, and wait until the member is healthy.",
                name = name
            ),
        ));
    }
    if !unit.boots() {
        out.push(warn(
            Some(node),
            tr!("{name}.service is {state}", name = name, state = unit.enabled_word()),
            trs!("After a reboot this member would stay down.").into(),
            tr!("Run `systemctl enable {name}` there.", name = name),
        ));
    }
    if unit.restarts > 0 {
        out.push(info(
            Some(node),
            tr!("systemd restarted {name}.service {restarts} times by itself", name = name, restarts = unit.restarts),
            trs!("It stopped without being told to at least once since it was last started by hand.").into(),
            tr!("Look for the reason with `journalctl -u {name}` before you grow the cluster.", name = name),
        ));
    }
}

fn config(view: &View<'_>, node: &Node, etcd: &EtcdOnHost, out: &mut Vec<Finding>) {
    let layout = &view.cluster.etcd;
    let file = layout.config.display();
    let Some(all) = options(etcd) else {
        out.push(block(
            Some(node),
            tr!("{file} cannot be read", file = file),
            trs!("The new members' configuration is made from it, and `--initial-cluster` is updated in it.").into(),
            trs!("Set `etcd.config` in the cluster file to the file with etcd's options."),
        ));
        return;
    };
    // A variable of another file cannot be resolved here; an empty data directory is noticed anyway.
    let literal = |d: &String| !d.contains('$');
    if let Some(data) = option(&all, "data-dir").filter(literal).filter(|d| Path::new(d) != layout.data) {
        out.push(warn(
            Some(node),
            tr!("etcd's data directory is {data}, the cluster file says {filed}", data = data, filed = layout.data.display()),
            trs!("The new members would keep their data elsewhere than the old ones, and the checks here look at the wrong directory.").into(),
            tr!("Set `etcd.data: {data}` in the cluster file, if that is where the data is.", data = data),
        ));
    }
    if option(&all, "force-new-cluster").is_some_and(|v| v != "false") {
        out.push(block(
            Some(node),
            trs!("--force-new-cluster is set").into(),
            trs!("At its next restart this member would throw the others out and go on alone.").into(),
            tr!("Remove it from {file} (or the unit) before anything restarts.", file = file),
        ));
    }
    if let Some(list) = option(&all, "initial-cluster") {
        initial_cluster(view, node, &list, out);
    }
    if option(&all, "strict-reconfig-check").is_some_and(|v| v == "false") {
        out.push(warn(
            Some(node),
            trs!("--strict-reconfig-check is off").into(),
            trs!("etcd itself would then accept a member that costs quorum; only this wizard's own gates are left.")
                .into(),
            tr!("Remove it from {file}: it is on by default since etcd 3.1.", file = file),
        ));
    }
}

/// What the file says of the members against what etcd says: the runbook's own slip is a peer URL that ends in 2378.
fn initial_cluster(view: &View<'_>, node: &Node, list: &str, out: &mut Vec<Finding>) {
    let Some(seen) = view.etcd else { return };
    let file = view.cluster.etcd.config.display();
    for (name, url) in list.split(',').filter_map(|entry| entry.split_once('=')) {
        let Some(member) = seen.members.iter().find(|m| m.name == name) else { continue };
        if member.peer_urls.iter().any(|known| known == url) {
            continue;
        }
        out.push(warn(
            Some(node),
            tr!("{file} says {name}={url}, etcd says {urls}", file = file, name = name, url = url, urls = member.peer_urls.join(", ")),
            trs!("`--initial-cluster` is ignored while there is data; a member that had to start without would fail, and so would one that was given a copy of this file.").into(),
            trs!("Nothing to do: the growth writes the list as etcd has it. Without a growth, correct it by hand; no restart is needed."),
        ));
    }
}

/// One remark for all: the runbook's originals all have it.
fn state_new(view: &View<'_>, out: &mut Vec<Finding>) {
    let new = |etcd: &EtcdOnHost| option(&options(etcd)?, "initial-cluster-state").filter(|v| v == "new");
    let on: Vec<_> = view
        .of(Role::Original)
        .filter(|(_, s)| s.etcd.as_ref().and_then(new).is_some())
        .map(|(n, _)| &n.name)
        .collect();
    if on.is_empty() {
        return;
    }
    out.push(info(
        None,
        tr!("--initial-cluster-state is new on {on}", on = names(on)),
        trs!("Ignored while there is data; a host that lost its data directory would found a second cluster at its next start.").into(),
        tr!("Set it to existing in {config} when convenient; no restart is needed for that.", config = view.cluster.etcd.config.display()),
    ));
}

/// All text that etcd's options may stand in.
fn options(etcd: &EtcdOnHost) -> Option<String> {
    Some(format!("{}\n{}", etcd.config.as_deref()?, etcd.unit_text.as_deref().unwrap_or_default()))
}

/// The value of `--name=value`, `--name value`, a bare `--name` (empty) or `ETCD_NAME=value`; comment lines do not count.
fn option(text: &str, name: &str) -> Option<String> {
    let variable = format!("ETCD_{}", name.to_uppercase().replace('-', "_"));
    let lines = text.lines().filter(|l| !l.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let separators = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\');
    let mut words = lines.split(separators).filter(|w| !w.is_empty()).peekable();
    let mut found = None;
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix(&variable).and_then(|rest| rest.strip_prefix('=')) {
            // A quoted value is the next word.
            found = Some(if value.is_empty() { words.peek().unwrap_or(&"").to_string() } else { value.into() });
        } else if let Some(rest) = word.strip_prefix("--").and_then(|w| w.strip_prefix(name)) {
            if let Some(value) = rest.strip_prefix('=') {
                found = Some(if value.is_empty() { words.peek().unwrap_or(&"").to_string() } else { value.into() });
            } else if rest.is_empty() {
                found = Some(words.peek().filter(|next| !next.starts_with('-')).unwrap_or(&"").to_string());
            }
        }
    }
    found.map(|v| crate::remote::clean::line(&v))
}

/// The program on disk against the one that runs.
fn program(view: &View<'_>, node: &Node, etcd: &EtcdOnHost, out: &mut Vec<Finding>) {
    let running = view.member(node).and_then(|m| m.status.as_ref().ok()).map(|s| s.version.as_str());
    let (Some(disk), Some(running)) = (etcd.version.as_deref(), running) else { return };
    if Version::parse(disk) == Version::parse(running) {
        return;
    }
    let program = view.cluster.etcd.bin.join("etcd");
    out.push(warn(
        Some(node),
        tr!("{program} is {disk}, the server that runs is {running}", program = program.display(), disk = disk, running = running),
        trs!("Its next restart would change the version, and the new members would be given the file's version.").into(),
        tr!("Put etcd {running} back, or finish that upgrade on all masters first; correct `etcd.bin` if this is not the program that runs.", running = running),
    ));
}

fn joiner(view: &View<'_>, node: &Node, seen: &HostSeen, etcd: &EtcdOnHost, out: &mut Vec<Finding>) {
    let member = view.member(node);
    listeners(view, node, seen, etcd, member, out);
    old_data(view, node, etcd, member, out);
    let wanted = view.etcd.and_then(Membership::lowest_version);
    if let (Some(disk), Some(wanted)) = (etcd.version.as_deref(), wanted)
        && Version::parse(disk) != Some(wanted)
    {
        out.push(info(
            Some(node),
            tr!("etcd {disk} lies there, the cluster runs {wanted}", disk = disk, wanted = wanted),
            trs!("A member of another version would join with other features than the rest.").into(),
            trs!("Nothing to do: the step for this host puts the cluster's version there."),
        ));
    }
}

/// Who else uses etcd's ports on a host that is to join.
fn listeners(
    view: &View<'_>,
    node: &Node,
    seen: &HostSeen,
    etcd: &EtcdOnHost,
    member: Option<&Member>,
    out: &mut Vec<Finding>,
) {
    let layout = &view.cluster.etcd;
    let unit = &layout.unit;
    // Without an answer of etcd nobody can tell whether it is a member.
    let stranger = view.etcd.is_some() && member.is_none();
    if stranger && etcd.unit.active == "active" {
        out.push(block(
            Some(node),
            trs!("etcd runs there and is no member of this cluster").into(),
            trs!("It is another cluster, or what is left of one: joining would overwrite it, or two clusters would answer under one name.").into(),
            tr!("Find out whose it is. If nobody needs it: `systemctl disable --now {unit}` and move {data} away.", unit = unit, data = layout.data.display()),
        ));
        return;
    }
    for (port, program) in &seen.facts.listeners {
        if ![layout.client_port, layout.peer_port].contains(port) {
            continue;
        }
        let ours = if program.is_empty() { !stranger } else { program == "etcd" && !stranger };
        if !ours {
            let who = if program.is_empty() { trs!("another program") } else { program };
            out.push(block(
                Some(node),
                tr!("port {port} is taken by {who}", port = port, who = who),
                trs!("etcd could not listen there, and its start would fail after the member has been added.").into(),
                tr!("Stop {who} there, or move it to another port (`ss -ltnp` shows its process).", who = who),
            ));
        }
    }
}

fn old_data(view: &View<'_>, node: &Node, etcd: &EtcdOnHost, member: Option<&Member>, out: &mut Vec<Finding>) {
    let entries = etcd.data_entries.unwrap_or(0);
    if entries == 0 || member.is_some_and(Member::started) {
        return;
    }
    let data = view.cluster.etcd.data.display();
    let severity = if member.is_some() || view.etcd.is_none() { Severity::Warn } else { Severity::Block };
    let why = if member.is_some() {
        trs!(
            "The member was added and has not started. Data of a failed start can be kept; data of another cluster makes the start fail."
        )
    } else {
        trs!(
            "etcd takes an old data directory for its own: it fails with a member-count mismatch, or is refused as permanently removed."
        )
    };
    out.push(finding(
        severity,
        Some(node),
        tr!("{data} is not empty ({n} entry)" | "{data} is not empty ({n} entries)" % entries, data = data),
        why.into(),
        tr!("Find out whose data it is, then move it away: `mv {data} {data}.old-$(date +%F)`.", data = data),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::{UnitState, findings::fixture::Base};

    #[test]
    fn an_originals_unit_has_to_run_and_to_be_enabled() {
        let mut base = Base::healthy();
        base.on("master02").unit.active = "failed".into();
        assert!(base.only(Severity::Block, "etcd.service is failed").remedy.contains("journalctl -u etcd"));

        let mut base = Base::healthy();
        base.on("master02").unit.enabled = "disabled".into();
        assert!(base.only(Severity::Warn, "etcd.service is disabled").remedy.contains("systemctl enable etcd"));

        let mut base = Base::healthy();
        base.on("master02").unit = UnitState { load: "not-found".into(), ..UnitState::default() };
        assert!(base.only(Severity::Block, "there is no etcd.service").remedy.contains("etcd.unit"));

        let mut base = Base::healthy();
        base.on("master02").unit.restarts = 3;
        base.only(Severity::Info, "restarted etcd.service 3 times");
    }

    #[test]
    fn an_original_without_configuration_or_data_where_the_file_says_blocks() {
        let mut base = Base::healthy();
        base.on("master03").config = None;
        assert!(base.only(Severity::Block, "/etc/etcd/etcd.conf cannot be read").remedy.contains("etcd.config"));
        let mut base = Base::healthy();
        base.on("master03").data_entries = None;
        assert!(base.only(Severity::Block, "/var/lib/etcd is empty or missing").remedy.contains("etcd.data"));
    }

    #[test]
    fn dangerous_options_are_found_in_the_configuration_and_in_the_unit() {
        let set = |options: &str| {
            let mut base = Base::healthy();
            base.on("master01").config = Some(format!("ETCD_OPTS=\"--name=m {options}\"\n"));
            base
        };
        let found = set("--data-dir=/data/etcd --x").only(Severity::Warn, "data directory is /data/etcd");
        assert!(found.remedy.contains("etcd.data: /data/etcd"));
        set("--data-dir=/var/lib/etcd/").assert_quiet();
        set("--data-dir=${DATA}").assert_quiet();
        set("--force-new-cluster").only(Severity::Block, "--force-new-cluster");
        set("--force-new-cluster=false").assert_quiet();
        set("--strict-reconfig-check=false").only(Severity::Warn, "strict-reconfig-check is off");
        set("--initial-cluster master02=https://10.10.33.38:2378,x=https://10.10.33.99:2380")
            .only(Severity::Warn, "says master02=https://10.10.33.38:2378, etcd says https://10.10.33.38:2380");
        set("--initial-cluster master02=https://10.10.33.38:2380").assert_quiet();
        set("--initial-cluster-state new").only(Severity::Info, "initial-cluster-state is new on master01");

        let mut base = Base::healthy();
        base.on("master01").unit_text = Some("[Service]\nExecStart=/usr/bin/etcd --force-new-cluster\n".into());
        base.only(Severity::Block, "--force-new-cluster");
    }

    #[test]
    fn options_are_read_in_every_form_and_comments_are_not() {
        assert_eq!(option("X=\"--data-dir=/a \\\n --name=b\"", "data-dir").as_deref(), Some("/a"));
        assert_eq!(option("--data-dir /a --name=b", "data-dir").as_deref(), Some("/a"));
        assert_eq!(option("--data-dir='/a'", "data-dir").as_deref(), Some("/a"));
        assert_eq!(option("ETCD_DATA_DIR=\"/a\"\n", "data-dir").as_deref(), Some("/a"));
        assert_eq!(option("# --data-dir=/a\n", "data-dir"), None);
        assert_eq!(option("--data-dir-x=/a", "data-dir"), None);
        assert_eq!(option("--force-new-cluster --name=b", "force-new-cluster").as_deref(), Some(""));
    }

    #[test]
    fn a_program_on_disk_that_is_not_the_one_that_runs_is_noticed() {
        let mut base = Base::healthy();
        base.on("master02").version = Some("3.5.16".into());
        let found = base.only(Severity::Warn, "is 3.5.16, the server that runs is 3.4.23");
        assert!(found.remedy.contains("3.4.23 back"));
        let mut base = Base::healthy();
        base.on("master04").version = Some("3.5.16".into());
        base.only(Severity::Info, "etcd 3.5.16 lies there");
        base.assert_unblocked();
    }

    #[test]
    fn old_data_on_a_joiner_that_is_no_member_blocks() {
        let mut base = Base::healthy();
        base.on("master04").data_entries = Some(1);
        let found = base.only(Severity::Block, "/var/lib/etcd is not empty (1 entry)");
        assert!(found.remedy.contains("mv /var/lib/etcd"));
        base.on("master04").data_entries = Some(0);
        base.assert_quiet();
    }

    #[test]
    fn the_data_of_a_joiner_that_has_joined_is_its_own() {
        let mut base = Base::healthy();
        base.joined("master04");
        base.assert_quiet();
        base.member("master04").name = String::new();
        base.only(Severity::Warn, "/var/lib/etcd is not empty");
        base.assert_unblocked();
    }

    #[test]
    fn an_etcd_on_a_joiner_that_is_no_member_blocks() {
        let mut base = Base::healthy();
        base.on("master04").unit = UnitState { load: "loaded".into(), active: "active".into(), ..UnitState::default() };
        base.facts("master04").listeners = vec![(2379, "etcd".into())];
        let found = base.only(Severity::Block, "etcd runs there and is no member");
        assert!(found.remedy.contains("disable --now etcd"));
        assert_eq!(base.findings().iter().filter(|f| f.severity == Severity::Block).count(), 1);
    }

    #[test]
    fn a_port_taken_on_a_joiner_blocks_with_who_has_it() {
        let mut base = Base::healthy();
        base.facts("master04").listeners = vec![(2380, "nginx".into()), (22, "sshd".into())];
        assert!(base.only(Severity::Block, "port 2380 is taken by nginx").remedy.contains("Stop nginx"));
        base.facts("master04").listeners = vec![(2380, String::new())];
        base.only(Severity::Block, "port 2380 is taken by another program");
        let mut base = Base::healthy();
        base.joined("master04");
        base.facts("master04").listeners = vec![(2379, String::new())];
        base.assert_quiet();
    }
}
