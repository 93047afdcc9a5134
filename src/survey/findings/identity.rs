//! Who is who: addresses, host names and machine ids.

use std::collections::BTreeMap;

use super::{View, block, finding, names, warn};
use crate::{
    cluster::{Node, Role},
    survey::{Facts, Finding, Severity},
};

pub(super) fn check(view: &View<'_>, out: &mut Vec<Finding>) {
    for (node, seen) in view.masters() {
        address(node, &seen.facts, out);
    }
    kubelets(view, out);
    same_hostname(view, out);
    same_machine(view, out);
}

/// Originals whose kubelet goes by another name than the file gives them.
fn kubelets(view: &View<'_>, out: &mut Vec<Finding>) {
    for (node, seen) in view.of(Role::Original) {
        let expected = view.cluster.node_name(node);
        let Some(name) = seen.kubelet.as_ref().filter(|n| **n != expected) else { continue };
        out.push(warn(
            Some(node),
            tr!("its kubelet calls itself {name}, by the cluster file it is {expected}", name = name, expected = expected),
            trs!("Kubernetes would have it as another node: its marks, its pods and calico's agent belong to the name that it had, and the new masters are named by the file's rule.").into(),
            trs!("If all of them differ, set `domain` in the cluster file so that NAME.DOMAIN is what `kubectl get nodes` shows; if one does, correct `--hostname-override` or the host's name there (look into kubelet's drop-ins, too) and start kubelet again."),
        ));
    }
}

fn address(node: &Node, facts: &Facts, out: &mut Vec<Finding>) {
    if facts.addresses.contains(&node.address) {
        return;
    }
    let address = node.address;
    if facts.addresses.is_empty() {
        out.push(warn(
            Some(node),
            trs!("its addresses could not be told").into(),
            tr!("etcd can only listen on {address} if an interface has it.", address = address),
            tr!("Look with `ip addr` whether {address} is there.", address = address),
        ));
        return;
    }
    let there = facts.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let severity = if node.role == Role::Joiner { Severity::Block } else { Severity::Warn };
    out.push(finding(
        severity,
        Some(node),
        tr!("{address} is on none of its interfaces (there are {there})", address = address, there = there),
        trs!("etcd cannot listen on it, and the peer port checks where a connection comes from against the certificate, so address translation breaks it.").into(),
        tr!("Give the host {address}, or put the address it has into the cluster file (`ssh.host` is where a different address for login goes).", address = address),
    ));
}

/// Hosts by a value that should differ from host to host.
fn shared<'a>(view: &View<'a>, value: impl Fn(&Facts) -> String) -> impl Iterator<Item = (String, Vec<&'a Node>)> {
    let mut by_value: BTreeMap<String, Vec<&'a Node>> = BTreeMap::new();
    for (node, seen) in view.seen() {
        by_value.entry(value(&seen.facts)).or_default().push(node);
    }
    by_value.into_iter().filter(|(value, nodes)| !value.is_empty() && nodes.len() > 1)
}

fn same_hostname(view: &View<'_>, out: &mut Vec<Finding>) {
    for (hostname, nodes) in shared(view, |f| f.hostname.to_ascii_lowercase()) {
        let stay = nodes.iter().filter(|n| n.role != Role::Joiner || !view.cluster.set_hostname).count();
        let what = tr!(
            "hostname {hostname} is that of {name}",
            hostname = hostname,
            name = names(nodes.iter().map(|n| &n.name))
        );
        if stay > 1 {
            out.push(block(
                None,
                what,
                trs!("Two nodes of one name overwrite each other in Kubernetes, and logs cannot be told apart.").into(),
                trs!("Give each host its own name with `hostnamectl set-hostname`; if the addresses in the cluster file lead to the same machine, correct them."),
            ));
        } else {
            out.push(warn(
                None,
                what,
                trs!("The joiners' hosts look like copies; the step that prepares them sets their names.").into(),
                trs!("Nothing to do if they are copies; if the addresses in the cluster file lead to the same machine, correct them."),
            ));
        }
    }
}

fn same_machine(view: &View<'_>, out: &mut Vec<Finding>) {
    for (_, nodes) in shared(view, |f| f.machine_id.clone()) {
        out.push(warn(
            None,
            tr!("{name} have the same machine-id", name = names(nodes.iter().map(|n| &n.name))),
            trs!("They are copies of one machine: DHCP, the journal and some network plugins take them for the same host.").into(),
            trs!("On each copy run `rm /etc/machine-id && systemd-machine-id-setup`, then reboot; if the addresses in the cluster file lead to the same machine, correct them."),
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::survey::findings::fixture::Base;

    #[test]
    fn a_joiners_address_has_to_be_on_an_interface() {
        let mut base = Base::healthy();
        base.facts("master04").addresses = vec![IpAddr::from([192, 168, 1, 4])];
        let found = base.only(Severity::Block, "10.10.33.40 is on none of its interfaces (there are 192.168.1.4)");
        assert!(found.remedy.contains("ssh.host"));
        base.facts("master04").addresses.clear();
        base.only(Severity::Warn, "could not be told");
        let mut base = Base::healthy();
        base.facts("master01").addresses = vec![IpAddr::from([192, 168, 1, 4])];
        base.only(Severity::Warn, "none of its interfaces");
    }

    #[test]
    fn a_kubelet_of_another_name_than_the_files_is_noticed() {
        let mut base = Base::healthy();
        let name = base.cluster.node_name(&base.cluster.masters[1]);
        base.seen("master02").kubelet = Some(name);
        base.assert_quiet();
        base.seen("master02").kubelet = Some("old-master02".into());
        let found = base.only(Severity::Warn, "its kubelet calls itself old-master02");
        assert!(found.remedy.contains("--hostname-override"));
    }

    #[test]
    fn two_hosts_of_one_name_block_unless_the_wizard_renames_one() {
        let mut base = Base::healthy();
        base.facts("master02").hostname = "MASTER01".into();
        let found = base.only(Severity::Block, "hostname master01 is that of master01, master02");
        assert!(found.remedy.contains("hostnamectl"));

        let mut base = Base::healthy();
        for name in ["master04", "master05"] {
            base.facts(name).hostname = "debian".into();
        }
        base.only(Severity::Warn, "hostname debian is that of master04, master05");
        base.assert_unblocked();
        base.cluster.set_hostname = false;
        base.only(Severity::Block, "hostname debian");
    }

    #[test]
    fn copies_of_one_machine_are_noticed_by_their_machine_id() {
        let mut base = Base::healthy();
        base.facts("master05").machine_id = base.facts("master04").machine_id.clone();
        let found = base.only(Severity::Warn, "master04, master05 have the same machine-id");
        assert!(found.remedy.contains("systemd-machine-id-setup"));
        base.assert_unblocked();
    }

    #[test]
    fn unknown_names_and_ids_are_not_taken_for_equal() {
        let mut base = Base::healthy();
        for name in ["master04", "master05"] {
            base.facts(name).machine_id.clear();
            base.facts(name).hostname.clear();
        }
        base.assert_quiet();
    }
}
