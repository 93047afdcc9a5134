//! What a cluster file may say, and what is said about one that is wrong.

use std::path::{Path, PathBuf};

use super::{FileErrors, parse};
use crate::cluster::{BinarySource, Cluster, EtcdLayout, FirewallChoice, KubeLayout, Role};

mod hostile;

/// Issue 2's cluster file, as it stands there.
const SAMPLE: &str = "\
cluster: prod
domain: example.com                       # a node's Kubernetes name is NAME.DOMAIN
ssh: { user: root, port: 22, identity: ~/.ssh/id_ed25519, known_hosts: ~/.ssh/known_hosts }
masters:
  - { name: master01, address: 10.10.33.37 }
  - { name: master02, address: 10.10.33.38 }
  - { name: master03, address: 10.10.33.39 }
join:
  - { name: master04, address: 10.10.33.40 }
  - { name: master05, address: 10.10.33.41 }
workers:
  - { name: node01, address: 10.10.33.51 }
";

/// What every file needs, for tests that add to it.
const SMALL: &str = "\
cluster: prod
masters:
  - { name: a1, address: 10.0.0.1 }
  - { name: a2, address: 10.0.0.2 }
  - { name: a3, address: 10.0.0.3 }
join:
  - { name: a4, address: 10.0.0.4 }
  - { name: a5, address: 10.0.0.5 }
";

fn read(text: &str) -> Result<Cluster, FileErrors> {
    parse(text, Path::new("cluster.yaml"), Some(Path::new("/home/ops")))
}

fn errors(text: &str) -> String {
    read(text).expect_err("the file should have been refused").to_string()
}

/// The only problem of `SMALL` with `more` below it; `more` begins on line 9.
fn refusal(more: &str) -> String {
    errors(&format!("{SMALL}{more}"))
}

fn with(more: &str) -> Cluster {
    read(&format!("{SMALL}{more}")).unwrap()
}

/// One line for each item.
fn lines<T>(items: impl IntoIterator<Item = T>, line: impl Fn(T) -> String) -> String {
    items.into_iter().map(|item| line(item) + "\n").collect::<Vec<_>>().concat()
}

#[test]
fn the_sample_reads_with_the_runbooks_layout() {
    let cluster = read(SAMPLE).unwrap();
    assert_eq!(cluster.name, "prod");
    assert_eq!(cluster.path, Path::new("cluster.yaml"));
    let names: Vec<_> = cluster.hosts().map(|n| (n.role, n.name.as_str(), n.address.to_string())).collect();
    assert_eq!(names.len(), 6);
    assert_eq!(names[0], (Role::Original, "master01", "10.10.33.37".into()));
    assert_eq!(names[4], (Role::Joiner, "master05", "10.10.33.41".into()));
    assert_eq!(names[5], (Role::Worker, "node01", "10.10.33.51".into()));
    assert_eq!(cluster.node_name(&cluster.join[0]), "master04.example.com");
    let ssh = cluster.ssh_for(&cluster.join[0]);
    assert_eq!((ssh.user.as_deref(), ssh.port), (Some("root"), Some(22)));
    assert_eq!(ssh.identity, Some(PathBuf::from("/home/ops/.ssh/id_ed25519")));
    assert_eq!(ssh.known_hosts, Some(PathBuf::from("/home/ops/.ssh/known_hosts")));
    assert_eq!((cluster.etcd, cluster.kube), (EtcdLayout::default(), KubeLayout::default()));
    assert_eq!(cluster.backup_dir, Path::new("/root/backup"));
    assert_eq!(cluster.firewall, FirewallChoice::Off);
    assert_eq!(cluster.binaries, BinarySource::Original);
    assert!(cluster.set_hostname);
    assert_eq!((cluster.lifetime_days, cluster.lang), (None, None));
    assert_eq!(cluster.notices, []);
}

#[test]
fn every_key_can_be_given() {
    let cluster = with("\
workers:
  - name: w1
    address: fd00::51
    comment: 机房三 rack 7
    ssh: { host: w1.lan, user: ops, port: 2222, identity: /keys/w, known_hosts: ~/kh, jump: 'me@[fd00::9]:22', sudo: yes }
layout:
  backup_dir: /srv/backup/
  etcd: { unit: etcd3.service, dir: /opt/etcd, data: /opt/etcd/data, bin: /opt/etcd/bin, user: _etcd, client_port: 12379, peer_port: 12380 }
  kubernetes: { dir: /opt/k8s, issue_dir: /opt/pki, kubelet_unit_file: /lib/systemd/system/kubelet.service, api_port: 8443, nginx_conf: /etc/ng.conf, nginx_container: lb }
firewall: open
set_hostname: false
worker_batch: 5
binaries:
  tarball: ~/etcd-v3.4.23-linux-amd64.tar.gz
  sha256: 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef
certificates: { lifetime_days: 365 }
");
    let worker = &cluster.workers[0];
    assert_eq!(worker.comment.as_deref(), Some("机房三 rack 7"));
    let ssh = cluster.ssh_for(worker);
    assert_eq!((ssh.host.as_deref(), ssh.user.as_deref(), ssh.port), (Some("w1.lan"), Some("ops"), Some(2222)));
    assert_eq!((ssh.jump.as_deref(), ssh.sudo), (Some("me@[fd00::9]:22"), Some(true)));
    assert_eq!(ssh.known_hosts, Some(PathBuf::from("/home/ops/kh")));
    let etcd = &cluster.etcd;
    assert_eq!(cluster.backup_dir, Path::new("/srv/backup"));
    assert_eq!(etcd.unit, "etcd3");
    assert_eq!(etcd.unit_file, Path::new("/etc/systemd/system/etcd3.service"));
    assert_eq!(etcd.config, Path::new("/opt/etcd/etcd.conf"));
    assert_eq!(etcd.pki, Path::new("/opt/etcd/ssl"));
    assert_eq!((etcd.client_port, etcd.peer_port), (12379, 12380));
    assert_eq!(cluster.peer_url(&cluster.join[0]), "https://10.0.0.4:12380");
    assert_eq!(cluster.kube.manifests, Path::new("/opt/k8s/manifests"));
    assert_eq!(cluster.kube.admin_conf, Path::new("/opt/k8s/admin.conf"));
    assert_eq!((cluster.kube.api_port, cluster.kube.nginx_container.as_str()), (8443, "lb"));
    assert_eq!((cluster.firewall, cluster.set_hostname), (FirewallChoice::Open, false));
    assert_eq!(cluster.worker_batch, Some(5));
    assert_eq!(cluster.lifetime_days, Some(365));
    let BinarySource::Tarball { path, sha256 } = cluster.binaries else { panic!("no tarball") };
    assert_eq!(path, Path::new("/home/ops/etcd-v3.4.23-linux-amd64.tar.gz"));
    assert!(sha256.starts_with("0123456789abcdef01"));
}

#[test]
fn what_is_given_itself_wins_over_what_follows_from_the_directory() {
    let cluster = with("layout: { etcd: { config: /etc/default/etcd, pki: /etc/ssl/etcd, dir: /opt/etcd } }\n");
    assert_eq!(cluster.etcd.dir, Path::new("/opt/etcd"));
    assert_eq!(cluster.etcd.config, Path::new("/etc/default/etcd"));
    assert_eq!(cluster.etcd.pki, Path::new("/etc/ssl/etcd"));
}

#[test]
fn calicos_objects_may_be_called_otherwise() {
    let calico = |keys: &str| format!("layout: {{ kubernetes: {{ dir: /opt/k8s, calico: {{ {keys} }} }} }}\n");
    let cluster = with(&calico("namespace: calico-system, secret: etcd-certs"));
    let found = cluster.kube.calico;
    assert_eq!((found.namespace.as_str(), found.secret.as_str()), ("calico-system", "etcd-certs"));
    assert_eq!((found.configmap.as_str(), found.daemonset.as_str()), ("calico-config", "calico-node"));
    assert_eq!(found.manifest, Path::new("/opt/k8s/addon/calico.yaml"));
    insta::assert_snapshot!(refusal(&calico("secret: ../x, demonset: a")), @"
    cluster.yaml:9: unknown key `demonset` in `layout.kubernetes.calico`; did you mean `daemonset`?
    cluster.yaml:9: `layout.kubernetes.calico.secret` is `../x`, which is not the name of a Kubernetes object; write it as `kubectl get` shows it
    ");
}

#[test]
fn a_file_full_of_mistakes_is_reported_whole() {
    let report = errors(
        "\
clutser: prod
domain: .Example.com
ssh: { user: root@jump, port: 70000, identity: keys/id, password: hunter2 }
masters:
  - { name: master01, address: 10.10.33.37 }
  - { name: Master02, address: 10.10.33.38/24 }
  - { name: master03, address: master03.example.com }
  - { name: master01, adress: 10.10.33.36 }
join:
  - { name: master04, address: 10.10.33.37 }
  - { name: master05, address: 127.0.0.1 }
  - { name: master06, address:10.10.33.42 }
  - { name: master07, address: 'https://10.10.33.43:2379' }
workers: node01
firewall: maybe
layout:
  etcd: { data: /, dir: etc/etcd, peer_port: 2379 }
binaries: { tarball: /tmp/etcd.tar.gz }
certificates: { lifetime_days: forever }
set_hostname: [yes]
set_hostname: true
",
    );
    insta::assert_snapshot!(report, @"
    cluster.yaml:1: unknown key `clutser`; did you mean `cluster`?
    cluster.yaml:2: `domain` is `.Example.com`, which is not in its plain form; write `example.com`: lower case, no dot at the ends
    cluster.yaml:3: unknown key `password` in `ssh`; leave it out: secrets do not belong in this file; banister uses the ssh agent or asks
    cluster.yaml:3: `ssh.user` is `root@jump`, which names a host too; write the login name `root` alone; `jump` goes into the host's `ssh.host`
    cluster.yaml:3: `ssh.port` is `70000`, which is not a port; write a number from 1 to 65535
    cluster.yaml:3: `ssh.identity` is `keys/id`, which depends on where banister is started; write the path out from `/` or `~/`
    cluster.yaml:6: `masters.name` is `Master02`, which has upper-case letters; Kubernetes node names have none; write `master02`, and rename the host first if it is really called `Master02`
    cluster.yaml:6: `masters.address` is `10.10.33.38/24`, a network and not an address; leave the prefix length off: `10.10.33.38`
    cluster.yaml:7: `masters.address` is `master03.example.com`, a name and not an address; write the IP address, as etcd's URLs and certificates do; a name to log in by goes into the host's `ssh.host`
    cluster.yaml:8: unknown key `adress` in `masters`; did you mean `address`?
    cluster.yaml:8: the name `master01` is taken by the host on line 5 under `masters`; give each host its own name: etcd tells its members apart by it
    cluster.yaml:10: `master04` has the address 10.10.33.37 of `master01` (line 5), which is a member already; give the new host's own address
    cluster.yaml:11: `join.address` is `127.0.0.1`, which every host uses for itself; write the address the other masters reach this host by
    cluster.yaml:12: unknown key `address:10.10.33.42` in `join`; put a space after the colon: `address: 10.10.33.42`
    cluster.yaml:13: `join.address` is `https://10.10.33.43:2379`, a URL; write the bare IP address, such as `10.10.33.40`
    cluster.yaml:14: `workers` must be a list, not a single value; begin each host with `- `, as in `- { name: master01, address: 10.0.0.1 }`
    cluster.yaml:15: `firewall` is `maybe`, which is not one of the choices; write `off` (firewall and SELinux off), `open` (both stay, ports are opened) or `keep` (neither is touched)
    cluster.yaml:17: `layout.etcd.dir` is `etc/etcd`, which is not absolute; write the path out from `/`
    cluster.yaml:17: `layout.etcd.data` is `/`, the root of the file system; name a directory or file of its own below it
    cluster.yaml:17: `layout.etcd.peer_port` and `layout.etcd.client_port` are both 2379; give each its own port, as the running cluster has them
    cluster.yaml:18: `binaries.sha256` is missing; add what `sha256sum` says of the tarball: only that very file is then installed
    cluster.yaml:19: `certificates.lifetime_days` is `forever`, which is not a number of days; write a whole number from 1 to 36500, or leave it out to keep the lifetime of the certificate in use
    cluster.yaml:20: `set_hostname` must be a single value, not a list; write `key: value` on one line
    cluster.yaml:21: `set_hostname` stands here a second time, after line 20; keep one of the two
    ");
}

#[test]
fn syntax_errors_name_the_line_and_what_to_look_for() {
    insta::assert_snapshot!(errors("cluster: prod\nmasters:\n\t- { name: a }\n"), @"cluster.yaml:3: this is not YAML: tabs disallowed within this context (block indentation); indent with spaces: YAML allows no tabs there");
    insta::assert_snapshot!(errors("cluster: prod\nmasters: [ { name: a, address: 10.0.0.1 }\njoin: []\n"), @"cluster.yaml:3: this is not YAML: invalid indentation in flow construct; look for a missing quote, bracket or space after a colon, on this line or just above it");
    insta::assert_snapshot!(errors("cluster: \"prod\nmasters: []\n"), @"cluster.yaml:1: this is not YAML: invalid indentation in quoted scalar; look for a missing quote, bracket or space after a colon, on this line or just above it");
    insta::assert_snapshot!(errors("cluster: prod\n  domain: a.b\n"), @"cluster.yaml:2: this is not YAML: mapping values are not allowed in this context; look for a missing quote, bracket or space after a colon, on this line or just above it");
}

#[test]
fn files_that_are_no_cluster_file_at_all() {
    insta::assert_snapshot!(errors(""), @"cluster.yaml: the file is empty; start from the sample in the README");
    insta::assert_snapshot!(errors("# nothing yet\n"), @"cluster.yaml: the file is empty; start from the sample in the README");
    insta::assert_snapshot!(errors("---\n~\n"), @"cluster.yaml: the file is empty; start from the sample in the README");
    insta::assert_snapshot!(errors("- a\n- b\n"), @"cluster.yaml:1: the file must be a mapping, not a list; write `key: value` lines; the keys are cluster, domain, ssh, masters, join, workers, layout, firewall, set_hostname, binaries, packages, worker_batch, certificates, lang, two_key");
    insta::assert_snapshot!(errors("just text\n"), @"cluster.yaml:1: the file must be a mapping, not a single value; write `key: value` lines; the keys are cluster, domain, ssh, masters, join, workers, layout, firewall, set_hostname, binaries, packages, worker_batch, certificates, lang, two_key");
    insta::assert_snapshot!(errors("---\na: 1\n---\nb: 2\n"), @"cluster.yaml:3: a second document begins here; keep one cluster a file, without `---` in it");
    insta::assert_snapshot!(errors("cluster: prod\nmasters: []\njoin:\n"), @"
    cluster.yaml:2: `masters` has no hosts; list the masters the cluster has now, `- { name: …, address: … }` each
    cluster.yaml:3: `join` has no hosts; list the hosts that are to become masters, `- { name: …, address: … }` each
    ");
    insta::assert_snapshot!(errors("cluster: prod\nmasters: [a1, ~]\njoin: { name: a4, address: 10.0.0.4 }\n"), @"
    cluster.yaml:2: an entry of `masters` has no name and address of its own; write `- { name: …, address: … }`
    cluster.yaml:2: an entry of `masters` has no name and address of its own; write `- { name: …, address: … }`
    cluster.yaml:3: `join` must be a list, not a mapping; begin each host with `- `, as in `- { name: master01, address: 10.0.0.1 }`
    ");
    insta::assert_snapshot!(refusal("domain:\ncluster: ''\n? [a]\n: b\n"), @"
    cluster.yaml:9: `domain` has no value; give it one or remove the line
    cluster.yaml:10: `cluster` stands here a second time, after line 1; keep one of the two
    cluster.yaml:11: a key must be plain text; write `key: value`
    ");
}

#[test]
fn aliases_and_tags_are_refused_where_they_stand() {
    insta::assert_snapshot!(errors("cluster: &c prod\ndomain: *c\nmasters: !list []\njoin: !!str x\n"), @"
    cluster.yaml:2: aliases (`*name`) are not used in a cluster file; write the value out
    cluster.yaml:3: the tag `!list` is not used in a cluster file; leave it out
    cluster.yaml:4: the tag `!!str` is not used in a cluster file; leave it out
    ");
}

#[test]
fn a_joiner_that_is_a_member_has_its_own_words() {
    let file =
        |join: &str| errors(&format!("cluster: p\nmasters:\n- {{name: a, address: 10.0.0.1}}\njoin:\n- {join}\n"));
    insta::assert_snapshot!(file("{name: a, address: 10.0.0.1}"), @"cluster.yaml:5: `a` is a member already, on line 3 under `masters`; remove it from `join`: only hosts without etcd are joined");
    insta::assert_snapshot!(file("{name: b, address: 10.0.0.1}"), @"cluster.yaml:5: `b` has the address 10.0.0.1 of `a` (line 3), which is a member already; give the new host's own address");
    insta::assert_snapshot!(file("{name: a, address: 10.0.0.2}"), @"cluster.yaml:5: the name `a` is taken by the host on line 3 under `masters`; give each host its own name: etcd tells its members apart by it");
}

#[test]
fn duplicates_name_both_lines() {
    insta::assert_snapshot!(refusal("workers:\n- {name: a1, address: 10.0.0.9}\n- {name: w, address: 10.0.0.2}\n- {name: a4, address: 10.0.0.4}\n- {name: x, address: 10.0.0.10}\n- {name: x, address: 10.0.0.10}\n"), @"
    cluster.yaml:10: the name `a1` is taken by the host on line 3 under `masters`; give each host its own name: etcd tells its members apart by it
    cluster.yaml:11: `w` has the address 10.0.0.2 of `a2` (line 4, `masters`); give each host its own address
    cluster.yaml:12: `a4` is to become a master on line 7 and is a worker here; remove it from `workers`: a master's own apiserver takes the port of the worker's proxy
    cluster.yaml:14: `x` stands here a second time, after line 13 under `workers`; remove one of the two
    ");
    insta::assert_snapshot!(refusal("workers:\n- {name: w1, address: 10.0.0.9, ssh: {host: Bast}}\n- {name: w2, address: 10.0.0.8, ssh: {host: bast}}\n- {name: w3, address: 10.0.0.7, ssh: {host: bast, port: 2222}}\n- {name: w4, address: 10.0.0.6, ssh: {host: 10.0.0.1}}\n"), @"
    cluster.yaml:11: logging in to `w2` would end on the same machine as `w1` (line 10); give each host its own `ssh.host` or `ssh.port`
    cluster.yaml:13: logging in to `w4` would end on the same machine as `a1` (line 3); give each host its own `ssh.host` or `ssh.port`
    ");
}

#[test]
fn addresses_that_cannot_be_a_hosts() {
    let bad = [
        "0.0.0.0",
        "'::'",
        "127.0.0.1",
        "'::1'",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "169.254.3.4",
        "fe80::1",
        "240.0.0.1",
        "0.1.2.3",
        "'::ffff:10.0.0.9'",
        "10.0.0.9:2379",
        "'[fd00::9]:2379'",
        "'[fd00::9]'",
        "fd00::9%eth0",
        "10.0.0",
        "10.0.0.256",
        "010.0.0.9",
        "10.0.0.9/24",
        "10.0.0.9 10.0.0.8",
        "10",
        "true",
    ];
    let list = lines(bad.iter().enumerate(), |(i, a)| format!("- {{ name: w{i}, address: {a} }}"));
    insta::assert_snapshot!(refusal(&format!("workers:\n{list}")), @"
    cluster.yaml:10: `workers.address` is `0.0.0.0`, which means every address and none in particular; write the address the other masters reach this host by
    cluster.yaml:11: `workers.address` is `::`, which means every address and none in particular; write the address the other masters reach this host by
    cluster.yaml:12: `workers.address` is `127.0.0.1`, which every host uses for itself; write the address the other masters reach this host by
    cluster.yaml:13: `workers.address` is `::1`, which every host uses for itself; write the address the other masters reach this host by
    cluster.yaml:14: `workers.address` is `224.0.0.1`, a multicast address; write the address the other masters reach this host by
    cluster.yaml:15: `workers.address` is `ff02::1`, a multicast address; write the address the other masters reach this host by
    cluster.yaml:16: `workers.address` is `255.255.255.255`, the broadcast address; write the address the other masters reach this host by
    cluster.yaml:17: `workers.address` is `169.254.3.4`, a link-local address that a host gives itself when it has no other; write the address the other masters reach this host by
    cluster.yaml:18: `workers.address` is `fe80::1`, a link-local address that is not unique without its interface; write the address the other masters reach this host by
    cluster.yaml:19: `workers.address` is `240.0.0.1`, which is reserved and no host's; write the address the other masters reach this host by
    cluster.yaml:20: `workers.address` is `0.1.2.3`, which is reserved and no host's; write the address the other masters reach this host by
    cluster.yaml:21: `workers.address` is `::ffff:10.0.0.9`, an IPv4 address in IPv6 clothes; write `10.0.0.9`
    cluster.yaml:22: `workers.address` is `10.0.0.9:2379`, which carries a port; write `10.0.0.9`; ports belong into `layout.etcd` (etcd) or `ssh.port` (login)
    cluster.yaml:23: `workers.address` is `[fd00::9]:2379`, which carries a port; write `fd00::9`; ports belong into `layout.etcd` (etcd) or `ssh.port` (login)
    cluster.yaml:24: `workers.address` is `[fd00::9]`, which stands in brackets; write `fd00::9`
    cluster.yaml:25: `workers.address` is `fd00::9%eth0`, which is not an IPv6 address; write it in its usual form without brackets or interface
    cluster.yaml:26: `workers.address` is `10.0.0`, which is not an IPv4 address; write four numbers from 0 to 255 with dots between, without leading zeros
    cluster.yaml:27: `workers.address` is `10.0.0.256`, which is not an IPv4 address; write four numbers from 0 to 255 with dots between, without leading zeros
    cluster.yaml:28: `workers.address` is `010.0.0.9`, which is not an IPv4 address; write four numbers from 0 to 255 with dots between, without leading zeros
    cluster.yaml:29: `workers.address` is `10.0.0.9/24`, a network and not an address; leave the prefix length off: `10.0.0.9`
    cluster.yaml:30: `workers.address` is `10.0.0.9 10.0.0.8`, which is not an address; write one IP address, such as `10.10.33.40`
    cluster.yaml:31: `workers.address` is `10`, which is not an IPv4 address; write four numbers from 0 to 255 with dots between, without leading zeros
    cluster.yaml:32: `workers.address` is `true`, a name and not an address; write the IP address, as etcd's URLs and certificates do; a name to log in by goes into the host's `ssh.host`
    ");
}

#[test]
fn names_that_cannot_be_a_hosts() {
    let long = "x".repeat(64);
    let bad = ["master_04", "-a", "a-", "a.b", "A", "10.0.0.77", "'a b'", "é", "'*'", &long];
    let list = lines(bad.iter().enumerate(), |(i, n)| format!("- {{ name: {n}, address: 10.0.1.{i} }}"));
    insta::assert_snapshot!(refusal(&format!("workers:\n{list}")), @"
    cluster.yaml:10: `workers.name` is `master_04`, which is not a host name; use lower-case letters, digits and hyphens, with a letter or digit at both ends
    cluster.yaml:11: `workers.name` is `-a`, which is not a host name; use lower-case letters, digits and hyphens, with a letter or digit at both ends
    cluster.yaml:12: `workers.name` is `a-`, which is not a host name; use lower-case letters, digits and hyphens, with a letter or digit at both ends
    cluster.yaml:13: `workers.name` is `a.b`, which has dots; give the short name; what follows the first dot belongs into `domain` at the top of the file
    cluster.yaml:14: `workers.name` is `A`, which has upper-case letters; Kubernetes node names have none; write `a`, and rename the host first if it is really called `A`
    cluster.yaml:15: `workers.name` is `10.0.0.77`, an address and not a name; give the host's short name, such as `master04`
    cluster.yaml:16: `workers.name` is `a b`, which is not a host name; use lower-case letters, digits and hyphens, with a letter or digit at both ends
    cluster.yaml:17: `workers.name` is `é`, which is not a host name; use lower-case letters, digits and hyphens, with a letter or digit at both ends
    cluster.yaml:18: `workers.name` is `*`, which is not a host name; use lower-case letters, digits and hyphens, with a letter or digit at both ends
    cluster.yaml:19: `workers.name` is `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`, which has 64 characters; use at most 63
    ");
    let ok = with(&format!(
        "workers:\n- {{ name: {}, address: 10.0.1.1 }}\n- {{ name: 007, address: 10.0.1.2 }}\n",
        "x".repeat(63)
    ));
    assert_eq!(ok.workers[1].name.as_str(), "007");
}

#[test]
fn logins_that_make_no_sense() {
    insta::assert_snapshot!(refusal("ssh: { host: bastion, user: -oProxy, port: 022, jump: 'a,b', sudo: maybe, identity: ~root/id }\n"), @"
    cluster.yaml:9: `ssh.host` would send every login to the same machine; move it into the `ssh` of the one host it is for
    cluster.yaml:9: `ssh.user` is `-oProxy`, which is not a login name; use letters, digits, dots, hyphens and underscores, no hyphen first
    cluster.yaml:9: `ssh.port` is `022`, which is not a number; write a port from 1 to 65535, in plain digits
    cluster.yaml:9: `ssh.identity` is `~root/id`, another user's home; write the path out from `/`
    cluster.yaml:9: `ssh.jump` is `a,b`, more than one bastion; name one here; a chain belongs into the ssh configuration (`ProxyJump`)
    cluster.yaml:9: `ssh.sudo` is `maybe`, which is neither yes nor no; write `true` or `false`
    ");
    insta::assert_snapshot!(refusal("ssh: { port: 0, jump: 'host:0', user: 'a b', known_hosts: '~' , identity: {} }\n"), @"
    cluster.yaml:9: `ssh.user` is `a b`, which is not a login name; use letters, digits, dots, hyphens and underscores, no hyphen first
    cluster.yaml:9: `ssh.port` is `0`, which is not a port; write a number from 1 to 65535
    cluster.yaml:9: `ssh.identity` must be a single value, not a mapping; write `key: value` on one line
    cluster.yaml:9: `ssh.jump` is `host:0`, which is not a bastion; write `host`, `user@host` or `user@host:port`, an IPv6 address in brackets
    ");
    insta::assert_snapshot!(refusal("workers:\n- {name: w, address: 10.1.1.1, ssh: {host: 'a@b', jump: none, prot: 22}}\n"), @"
    cluster.yaml:10: unknown key `prot` in `workers.ssh`; did you mean `port`?
    cluster.yaml:10: `workers.ssh.host` is `a@b`, which is not a host; write a host name or an IP address; user and port have keys of their own
    cluster.yaml:10: `workers.ssh.jump` is `none`, which names no bastion; leave `jump` out, or give the jump to those hosts that need it
    ");
    for jump in ["bastion", "ops@bastion.example.com:2222", "10.0.0.9", "'[fd00::9]'", "'x@[fd00::9]:22'"] {
        assert!(with(&format!("ssh: {{ jump: {jump} }}\n")).ssh.jump.is_some(), "{jump}");
    }
}

#[test]
fn paths_and_ports_that_contradict_each_other() {
    insta::assert_snapshot!(refusal("layout:\n  etcd:\n    data: /etc/etcd\n    client_port: 6443\n  backup_dir: /etc/kubernetes/old\n"), @"
    cluster.yaml:11: `layout.etcd.dir` (/etc/etcd) lies in `layout.etcd.data` (/etc/etcd); keep them apart: the data directory is emptied when a join is taken back
    cluster.yaml:12: `layout.kubernetes.api_port` and `layout.etcd.client_port` are both 6443; give each its own port, as the running cluster has them
    cluster.yaml:13: `layout.backup_dir` (/etc/kubernetes/old) lies in `layout.kubernetes.dir` (/etc/kubernetes); put backups elsewhere: a backup would copy the ones before it
    ");
    insta::assert_snapshot!(refusal("layout:\n  etcd:\n    dir: /var/lib/etcd/conf\n    config: /x\n    unit_file: /x\n"), @"
    cluster.yaml:11: `layout.etcd.dir` (/var/lib/etcd/conf) lies in `layout.etcd.data` (/var/lib/etcd); keep them apart: the data directory is emptied when a join is taken back
    cluster.yaml:13: `layout.etcd.config` (/x) is the same file as `layout.etcd.unit_file` (/x); name the environment file and the unit file each
    ");
    insta::assert_snapshot!(refusal("layout: { etcd: { data: /var/lib/, dir: /etc/../root, pki: '/etc/my certs', bin: ~/bin, config: '/etc/$HOME', unit: a/b, user: Etcd } }\n"), @"
    cluster.yaml:9: `layout.etcd.dir` is `/etc/../root`, which goes back with `..`; write the path without it
    cluster.yaml:9: `layout.etcd.unit` is `a/b`, which is not a service's name; write it without a path, such as `etcd`
    cluster.yaml:9: `layout.etcd.config` is `/etc/$HOME`, which holds characters that systemd or etcd.conf would take apart; use letters, digits and `/ . _ - + @ ,`
    cluster.yaml:9: `layout.etcd.pki` is `/etc/my certs`, which holds characters that systemd or etcd.conf would take apart; use letters, digits and `/ . _ - + @ ,`
    cluster.yaml:9: `layout.etcd.data` is `/var/lib/`, a directory that other programs use too; name a directory of its own below it
    cluster.yaml:9: `layout.etcd.bin` is `~/bin`, which depends on who logs in; write the path out from `/`
    cluster.yaml:9: `layout.etcd.user` is `Etcd`, which is not a system user; use at most 32 lower-case letters, digits, hyphens and underscores, no digit first
    ");
    with("layout: { etcd: { dir: /opt/etcd, data: /opt/etcd/data } }\n");
}

#[test]
fn choices_list_what_can_be_chosen() {
    insta::assert_snapshot!(refusal("firewall: on\nbinaries: upstream\nset_hostname: never\nworker_batch: 0\n"), @"
    cluster.yaml:9: `firewall` is `on`, which is not one of the choices; write `off` (firewall and SELinux off), `open` (both stay, ports are opened) or `keep` (neither is touched)
    cluster.yaml:10: `binaries` is neither `original` nor a tarball; write `original` (what the cluster runs) or `{ tarball: PATH, sha256: HEX }`
    cluster.yaml:11: `set_hostname` is `never`, which is neither yes nor no; write `true` or `false`
    cluster.yaml:12: `worker_batch` is `0`, which is not a number of workers; write a number from 1 on, or remove the line: a tenth at a time
    ");
    insta::assert_snapshot!(refusal("binaries: { sha256: 00 }\ncertificates: { lifetime_days: 0 }\n"), @"
    cluster.yaml:9: `binaries.tarball` is missing; name the release tarball on this machine, or write `binaries: original`
    cluster.yaml:9: `binaries.sha256` is `00`, which has 2 digits instead of 64; write what `sha256sum` says of the tarball
    cluster.yaml:10: `certificates.lifetime_days` is `0`, which is not a number of days; write a whole number from 1 to 36500, or leave it out to keep the lifetime of the certificate in use
    ");
    let sha1 = "0".repeat(40);
    insta::assert_snapshot!(refusal(&format!("binaries: {{ tarball: etcd.tgz, sha256: {sha1} }}\n")), @"
    cluster.yaml:9: `binaries.tarball` is `etcd.tgz`, which depends on where banister is started; write the path out from `/` or `~/`
    cluster.yaml:9: `binaries.sha256` is `0000000000000000000000000000000000000000`, which has the length of a sha1; write what `sha256sum` says of the tarball
    ");
    insta::assert_snapshot!(refusal("lang: fr\n"), @"cluster.yaml:9: `lang` is `fr`, which is no language of banister; write `en` for English or `zh` for Chinese");
    assert!(with("two_key: true\n").two_key && !with("").two_key);
    assert_eq!(with("lang: zh\n").lang, Some(crate::lang::Lang::Chinese));
    insta::assert_snapshot!(refusal("certificates: 365\n"), @"cluster.yaml:9: `certificates` must be a mapping, not a single value; write `key: value` lines; the keys are lifetime_days");
}

#[test]
fn off_is_off_even_where_yaml_reads_a_boolean() {
    for (written, meant) in [
        ("off", FirewallChoice::Off),
        ("'off'", FirewallChoice::Off),
        ("OFF", FirewallChoice::Off),
        ("false", FirewallChoice::Off),
        ("keep", FirewallChoice::Keep),
        ("Open", FirewallChoice::Open),
    ] {
        assert_eq!(with(&format!("firewall: {written}\n")).firewall, meant, "{written}");
    }
}

#[test]
fn an_even_result_and_a_thin_start_are_explained_not_refused() {
    let grown = |now: usize, joining: usize| {
        let host = |i: usize| format!("- {{ name: h{i}, address: 10.0.0.{} }}\n", i + 1);
        let masters: String = (0..now).map(host).collect();
        let join: String = (now..now + joining).map(host).collect();
        let cluster = read(&format!("cluster: p\nmasters:\n{masters}join:\n{join}")).unwrap();
        lines(&cluster.notices, |n| format!("{:?} {}", n.line, n.text))
    };
    assert_eq!(grown(3, 2), "");
    assert_eq!(grown(3, 4), "");
    insta::assert_snapshot!(grown(3, 1), @"Some(6) 4 masters: quorum 3, survives 1 failure, the same as 3 (quorum 2). The last one adds load and no safety; join one host more or one fewer where you can.");
    insta::assert_snapshot!(grown(1, 1), @"
    Some(4) 2 masters: quorum 2, survives no failure, the same as 1 (quorum 1). The last one adds load and no safety; join one host more or one fewer where you can.
    Some(4) Growing from 1: with 2 voters quorum is 2, so while there are two, either of them failing stops etcd. From the third voter on 1 may fail.
    ");
    insta::assert_snapshot!(grown(1, 2), @"Some(4) Growing from 1: with 2 voters quorum is 2, so while there are two, either of them failing stops etcd. From the third voter on 1 may fail.");
    insta::assert_snapshot!(grown(5, 4), @"Some(8) 9 masters: quorum 5, survives 4 failures. etcd advises at most 7 voters: each write waits for 5 of them to put it on disk.");
}

#[test]
fn other_remarks() {
    let said = |more: &str| lines(&with(more).notices, |n| format!("{:?} {}", n.line, n.text));
    insta::assert_snapshot!(said("workers:\n- {name: w, address: fd00::1}\n"), @"Some(10) IPv4 and IPv6 addresses are mixed; every host must reach every other in both families, and the handshake rehearsal will show whether they do.");
    insta::assert_snapshot!(said("certificates: { lifetime_days: 36135 }\n"), @"Some(9) Certificates of 36135 days: over 825 some clients refuse them, and a stolen key stays good for as long.");
    insta::assert_snapshot!(said("certificates: { lifetime_days: 7 }\n"), @"Some(9) Certificates of 7 days: renew them in time, etcd cannot be reached with expired ones.");
    insta::assert_snapshot!(said("ssh: { user: ops }\n"), @"None The login is `ops` and `ssh.sudo` is not set; the work on the hosts needs root.");
    assert_eq!(said("ssh: { user: ops, sudo: true }\n"), "");
}

#[test]
fn a_tilde_needs_a_home() {
    let text = format!("{SMALL}ssh: {{ identity: ~/.ssh/id }}\n");
    insta::assert_snapshot!(parse(&text, Path::new("c.yaml"), None).unwrap_err(), @"c.yaml:9: `ssh.identity` is `~/.ssh/id`, and there is no home directory to put for `~`; write the path out from `/`");
}

#[test]
fn node_names_longer_than_kubernetes_takes_are_refused() {
    let text = format!("domain: {}.example.com\n", "d".repeat(55));
    insta::assert_snapshot!(refusal(&text).lines().next().unwrap_or_default(), @"cluster.yaml:3: the node name `a1.ddddddddddddddddddddddddddddddddddddddddddddddddddddddd.example.com` has 70 characters and Kubernetes takes 63; shorten the name, or the domain on line 9");
}

const README: &str = include_str!("../../../README.md");

#[test]
fn the_readmes_sample_is_this_one() {
    let sample = README.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(sample, Some(SAMPLE));
}

#[test]
fn the_readme_names_every_key() {
    let keys = super::build::TOP
        .iter()
        .chain(&super::hosts::HOST)
        .chain(&super::hosts::SSH)
        .map(|key| (*key).to_owned())
        .chain(super::layout::ETCD.iter().map(|key| format!("etcd.{key}")))
        .chain(super::layout::KUBERNETES.iter().filter(|key| **key != "calico").map(|key| format!("kubernetes.{key}")))
        .chain(super::layout::CALICO.iter().map(|key| format!("kubernetes.calico.{key}")))
        .chain(super::layout::BINARIES.iter().map(|key| format!("binaries.{key}")))
        .chain(["backup_dir".to_owned(), "certificates.lifetime_days".to_owned()]);
    let missing: Vec<_> = keys
        .filter(|key| !README.contains(&format!("| `{key}` |")))
        // It has no row of its own: its one key has.
        .filter(|key| key != "certificates")
        .collect();
    assert_eq!(missing, [""; 0]);
}
