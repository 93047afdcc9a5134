//! What tells one grown cluster from another.

use std::collections::BTreeMap;

use crate::hosts::Lab;

/// Where a growth of etcd writes, and where one of Kubernetes does as well.
const ETCD: &str = "/etc /root /usr/local/bin /var/lib/etcd /run/banister*";
const KUBERNETES: &str =
    "/opt /usr/bin/kube* /var/lib/calico /var/lib/cni /var/lib/kubelet/config.yaml /var/lib/kubelet/pki";

/// What is no cluster's own: a link into /proc, etcd's log, what kubelet was given by the apiserver, docker's key.
const CHANCE: &str =
    "-path /etc/mtab -o -path '/var/lib/etcd/member/*' -o -path '/var/lib/kubelet/pki/*' -o -path /etc/docker/key.json";

/// Files with settings: the same text on every cluster with these names and addresses, but for the certificates and keys in
/// some, which are made anew for each and are the only words that are so long.
const SETTINGS: &str = r"-regex '.*[.]\(conf\|json\|service\|cfg\|conflist\|ya?ml\)' -o -name nodename -o -name hosts -o -name passwd \
    -o -name group -o -name hostname -o -name 'kube*config' -o -name kubelet";
const SECRET: &str = "*encryption*";

/// The snapshots that masters keep, of whichever member.
pub fn snapshots(lab: &Lab) -> usize {
    let find = "find /root/backup -name 'etcd-*.db' 2>/dev/null; true";
    lab.masters.iter().map(|m| lab.on(&m.name, find).lines().count()).sum()
}

/// Every file with its type, mode and owner, on every host; of settings the content too; units, names, scratch. What is
/// chance is left out: dates, and which member gave the snapshot.
pub fn shape(lab: &Lab, kubernetes: bool) -> BTreeMap<String, String> {
    let (places, units) =
        if kubernetes { (format!("{ETCD} {KUBERNETES}"), "etcd docker kubelet") } else { (ETCD.to_owned(), "etcd") };
    let all = format!(
        "{{ find {places} \\( {CHANCE} \\) -prune -o -printf '%y %p %m %u:%g\\n' 2>/dev/null
            find {places} \\( {CHANCE} \\) -prune -o -type f ! -name '{SECRET}' \\( {SETTINGS} \\) -print 2>/dev/null | while read -r f; do
              echo \"$(sed -E 's#[A-Za-z0-9+/=]{{60,}}#LONG#g' \"$f\" | sha256sum | cut -c 1-64) $f\"
            done
         }} | sed -E 's/banister-[0-9]{{8}}T[0-9]{{6}}Z/banister-DATE/; /etcd-[^ ]*[.]db /d' | sort
         systemctl is-enabled {units} 2>&1; systemctl is-active {units} 2>&1; hostname; ls -A -I 'systemd-private-*' /tmp /var/tmp; true"
    );
    lab.all().iter().map(|h| (h.name.clone(), lab.on(&h.name, &all))).collect()
}
