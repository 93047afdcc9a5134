use super::*;
use crate::survey::findings::fixture::{Base, DAY, NOW, cert};

/// The server certificate of a host, to be spoilt.
fn server<'b>(base: &'b mut Base, host: &str) -> &'b mut CertOnDisk {
    base.on(host).certs.get_mut(&EtcdPair::Server).unwrap()
}

fn info_of<'b>(base: &'b mut Base, host: &str) -> &'b mut CertInfo {
    server(base, host).cert.as_mut().unwrap()
}

#[test]
fn a_ca_that_differs_between_masters_blocks_on_the_one_that_differs() {
    let mut base = Base::healthy();
    base.on("master02").ca.as_mut().unwrap().cert.as_mut().unwrap().fingerprint = "f".repeat(64);
    let found = base.only(Severity::Block, "its etcd CA is another one than that of master01, master03");
    assert_eq!(found.host, Some(HostName::new("master02")));
    assert!(found.why.contains("ffffffffffffffff…") && found.remedy.contains("never make a new CA"));
}

#[test]
fn a_ca_left_over_on_a_joiner_only_warns_until_it_is_a_member() {
    let mut base = Base::healthy();
    let mut old = cert("ca", "CN=etcd-ca", true);
    old.cert.as_mut().unwrap().fingerprint = "e".repeat(64);
    base.on("master04").ca = Some(old.clone());
    assert!(base.only(Severity::Warn, "its etcd CA is another one").remedy.contains("left over"));
    base.assert_unblocked();
    let mut base = Base::healthy();
    base.joined("master04");
    base.on("master04").ca = Some(old);
    base.only(Severity::Block, "its etcd CA is another one");
}

#[test]
fn a_certificate_of_another_ca_blocks_even_if_the_name_is_the_same() {
    let mut base = Base::healthy();
    server(&mut base, "master03").issued_by_ca = Some(false);
    let found = base.only(Severity::Block, "server.crt is not signed by the CA beside it");
    assert!(found.remedy.contains("openssl verify"));
    let mut base = Base::healthy();
    server(&mut base, "master03").issued_by_ca = None;
    info_of(&mut base, "master03").issuer = "CN=other-ca".into();
    base.only(Severity::Block, "server.crt is not signed by the CA beside it");
}

#[test]
fn dates_are_judged_to_the_day() {
    let at = |not_before: i64, not_after: i64| {
        let mut base = Base::healthy();
        let info = info_of(&mut base, "master01");
        (info.not_before, info.not_after) = (NOW + not_before, NOW + not_after);
        base
    };
    assert!(at(-DAY, -3 * DAY).only(Severity::Block, "server.crt expired 3 days ago").remedy.contains("Re-issue"));
    assert!(at(90, DAY).only(Severity::Block, "not valid yet, by 90 s").remedy.contains("clocks"));
    at(-DAY, 29 * DAY).only(Severity::Warn, "server.crt expires in 29 days");
    at(-DAY, 30 * DAY).assert_quiet();
}

#[test]
fn an_expired_ca_is_not_advised_to_be_re_issued_on_the_way() {
    let mut base = Base::healthy();
    base.on("master01").ca.as_mut().unwrap().cert.as_mut().unwrap().not_after = NOW - 5 * DAY;
    assert!(base.only(Severity::Block, "ca.crt expired 5 days ago").remedy.contains("two rolling restarts"));
}

#[test]
fn a_key_that_is_not_its_certificates_blocks() {
    let mut base = Base::healthy();
    server(&mut base, "master02").key_matches = Some(false);
    assert!(base.only(Severity::Block, "the key beside /etc/etcd/ssl/server.crt").remedy.contains("belong together"));
    server(&mut base, "master02").key_matches = None;
    base.only(Severity::Warn, "the key beside /etc/etcd/ssl/server.crt is missing");
}

#[test]
fn missing_and_unreadable_certificates_of_an_original_block() {
    let mut base = Base::healthy();
    base.on("master02").certs.remove(&EtcdPair::Peer);
    assert!(base.only(Severity::Block, "peer.crt is missing").remedy.contains("etcd.pki"));
    let mut base = Base::healthy();
    base.on("master02").ca = None;
    base.only(Severity::Block, "ca.crt is missing");
    let mut base = Base::healthy();
    server(&mut base, "master02").cert = Err("no PEM".into());
    assert!(base.only(Severity::Block, "server.crt cannot be read: no PEM").remedy.contains("openssl x509"));
    let mut base = Base::healthy();
    base.on("master02").ca.as_mut().unwrap().cert.as_mut().unwrap().is_ca = false;
    base.only(Severity::Block, "is not a CA certificate");
}

#[test]
fn what_an_earlier_try_left_on_a_joiner_only_warns() {
    let mut base = Base::healthy();
    let mut old = cert("server", "CN=etcd-server", false);
    old.cert.as_mut().unwrap().not_after = NOW - DAY;
    old.key_matches = Some(false);
    base.on("master04").certs.insert(EtcdPair::Server, old);
    base.only(Severity::Warn, "expired 1 days ago");
    base.only(Severity::Warn, "is not its key");
    base.assert_unblocked();
}

#[test]
fn the_cas_key_has_to_lie_on_an_original_and_on_no_more_than_one() {
    let mut base = Base::healthy();
    base.on("master01").ca_key = None;
    assert!(base.only(Severity::Block, "ca.key is on no original").remedy.contains("0600"));
    // It may be on the original that nobody reached.
    base.down("master03");
    assert!(!base.findings().iter().any(|f| f.what.contains("on no original")));

    let mut base = Base::healthy();
    base.on("master02").ca_key = Some(true);
    base.on("master04").ca_key = Some(true);
    let found = base.only(Severity::Warn, "CA's key lies on master01, master02, master04");
    assert!(found.remedy.contains("remove /etc/etcd/ssl/ca.key"));
}

#[test]
fn a_ca_key_of_another_ca_blocks_unless_the_right_one_is_there_too() {
    let mut base = Base::healthy();
    base.on("master01").ca_key = Some(false);
    assert!(base.only(Severity::Block, "is not the key of the CA").remedy.contains("belongs to ca.crt"));
    base.on("master02").ca_key = Some(true);
    base.only(Severity::Warn, "is not the key of the CA");
    base.assert_unblocked();
}

#[test]
fn keys_that_others_may_read_are_listed_with_their_modes() {
    let mut base = Base::healthy();
    for (file, mode) in base.on("master02").files.iter_mut().zip([0o644, 0o640]) {
        file.mode = mode;
    }
    let found = base.only(Severity::Warn, "private keys that others may read");
    assert!(found.what.contains("server.key (0644), /etc/etcd/ssl/peer.key (0640)"), "{}", found.what);
    assert!(found.remedy.contains("chmod 0600"));
}

#[test]
fn a_certificate_without_names_warns_except_a_clients() {
    let mut base = Base::healthy();
    info_of(&mut base, "master01").sans.clear();
    let client = base.on("master01").certs.get_mut(&EtcdPair::Client).unwrap();
    client.cert.as_mut().unwrap().sans.clear();
    base.only(Severity::Warn, "server.crt has no subject alternative names");
}

#[test]
fn shared_keys_and_keys_of_their_own_are_told_apart() {
    let mut base = Base::healthy();
    base.only(Severity::Info, "server, peer, client: one key for all originals");
    for host in ["master01", "master02", "master03"] {
        info_of(&mut base, host).key_fingerprint = host.into();
    }
    base.only(Severity::Info, "server: a key of its own on each original");
    base.only(Severity::Info, "peer, client: one key");
    info_of(&mut base, "master02").key_fingerprint = "master01".into();
    base.only(Severity::Info, "server: shared by some");
}
