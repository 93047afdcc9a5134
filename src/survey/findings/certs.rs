//! Certificates and keys, compared across masters: fingerprints, not presence.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{View, block, finding, info, names, warn};
use crate::{
    cluster::{EtcdPair, HostName, Node, Role},
    pki::CertInfo,
    survey::{CertOnDisk, EtcdOnHost, FileKind, Finding, Severity},
};

/// A certificate with fewer days left is worth a warning.
const SOON_DAYS: i64 = 30;

pub(super) fn check(view: &View<'_>, out: &mut Vec<Finding>) {
    for (node, seen) in view.masters() {
        let Some(etcd) = &seen.etcd else { continue };
        ca(view, node, etcd, out);
        for pair in EtcdPair::ALL {
            match etcd.certs.get(&pair) {
                Some(on_disk) => leaf(view, node, etcd, on_disk, out),
                None if node.role == Role::Original => out.push(missing(view, node, pair)),
                None => {}
            }
        }
        open_keys(node, etcd, out);
    }
    same_ca(view, out);
    ca_keys(view, out);
    shared_pairs(view, out);
}

fn ca(view: &View<'_>, node: &Node, etcd: &EtcdOnHost, out: &mut Vec<Finding>) {
    let path = view.cluster.etcd.ca();
    let path = path.display();
    match &etcd.ca {
        None if node.role == Role::Original => out.push(block(
            Some(node),
            tr!("{path} is missing", path = path),
            trs!("Nothing can be said about the certificates there, and new ones could not be verified.").into(),
            trs!(
                "Set `etcd.pki` in the cluster file to the directory with ca.crt, server.crt, peer.crt and client.crt."
            ),
        )),
        None => {}
        Some(on_disk) => {
            if let Some(cert) = readable(view, node, on_disk, out) {
                dates(view, node, on_disk, cert, out);
                if !cert.is_ca {
                    out.push(finding(
                        view.where_it_serves(node),
                        Some(node),
                        tr!("{path} is not a CA certificate", path = path),
                        trs!("Certificates issued with it would not be accepted.").into(),
                        trs!("Set `etcd.pki` to the directory that holds etcd's CA as ca.crt."),
                    ));
                }
            }
        }
    }
}

fn missing(view: &View<'_>, node: &Node, pair: EtcdPair) -> Finding {
    block(
        Some(node),
        tr!("{pair} is missing", pair = view.cluster.etcd.cert(pair).display()),
        tr!(
            "The {pair} certificate is re-issued from the one in use: subject, key, usages and lifetime are read from it.",
            pair = pair
        ),
        trs!(
            "Set `etcd.pki` in the cluster file to the directory with ca.crt, server.crt, peer.crt and client.crt, or link the files there under these names."
        ),
    )
}

fn readable<'c>(view: &View<'_>, node: &Node, on_disk: &'c CertOnDisk, out: &mut Vec<Finding>) -> Option<&'c CertInfo> {
    match &on_disk.cert {
        Ok(cert) => Some(cert),
        Err(why) => {
            out.push(finding(
                view.where_it_serves(node),
                Some(node),
                tr!("{path} cannot be read: {why}", path = on_disk.path.display(), why = why),
                trs!("Nothing can be kept of a certificate that cannot be read.").into(),
                tr!(
                    "Look at it with `openssl x509 -text -noout -in {path}`, and put a sound one there.",
                    path = on_disk.path.display()
                ),
            ));
            None
        }
    }
}

fn dates(view: &View<'_>, node: &Node, on_disk: &CertOnDisk, cert: &CertInfo, out: &mut Vec<Finding>) {
    let path = on_disk.path.display();
    let days = cert.days_left(view.now);
    let renew = if cert.is_ca {
        trs!(
            "A CA is renewed with an old-plus-new bundle and two rolling restarts: do that before growing, not together with it."
        )
    } else {
        trs!(
            "Re-issue it from the same CA with the same subject and put it on the host; etcd takes it at the next handshake."
        )
    };
    if cert.not_before > view.now {
        out.push(finding(
            view.where_it_serves(node),
            Some(node),
            tr!("{path} is not valid yet, by {ahead} s", path = path, ahead = cert.not_before - view.now),
            trs!("New connections with it are refused.").into(),
            trs!("Compare the clocks of the hosts and of the machine that issued it; then wait, or issue it again."),
        ));
    } else if !cert.valid_at(view.now) {
        out.push(finding(
            view.where_it_serves(node),
            Some(node),
            tr!("{path} expired {days} days ago", path = path, days = cert.days_past(view.now)),
            trs!("Connections made before it expired may live on; every new one is refused, and a restarted member would stay out.").into(),
            renew,
        ));
    } else if days < SOON_DAYS {
        out.push(warn(
            Some(node),
            tr!("{path} expires in {days} days", path = path, days = days),
            trs!("After that every new connection with it is refused.").into(),
            renew,
        ));
    }
}

fn leaf(view: &View<'_>, node: &Node, etcd: &EtcdOnHost, on_disk: &CertOnDisk, out: &mut Vec<Finding>) {
    let Some(cert) = readable(view, node, on_disk, out) else { return };
    dates(view, node, on_disk, cert, out);
    let path = on_disk.path.display();
    let ca = etcd.ca.as_ref().and_then(|ca| ca.cert.as_ref().ok());
    if on_disk.issued_by_ca == Some(false) || ca.is_some_and(|ca| ca.subject != cert.issuer) {
        out.push(finding(
            view.where_it_serves(node),
            Some(node),
            tr!("{path} is not signed by the CA beside it", path = path),
            trs!("It comes from another CA, perhaps of the same name: whoever checks it against ca.crt refuses it.").into(),
            trs!("Find out which CA signed it (`openssl verify -CAfile ca.crt`), and put certificates of the cluster's own CA there."),
        ));
    }
    if on_disk.key_matches == Some(false) {
        out.push(finding(
            view.where_it_serves(node),
            Some(node),
            tr!("the key beside {path} is not its key", path = path),
            trs!("etcd refuses such a pair at the next handshake or start.").into(),
            trs!(
                "Put back the certificate and the key that belong together; a backup of this directory may hold them."
            ),
        ));
    } else if on_disk.key_matches.is_none() && view.serves(node) {
        out.push(warn(
            Some(node),
            tr!("the key beside {path} is missing or cannot be read", path = path),
            trs!("Whether the pair belongs together cannot be told; a key with a passphrase is of no use to etcd.")
                .into(),
            trs!("Look whether etcd is started with other files, and correct `etcd.pki` in the cluster file."),
        ));
    }
    if cert.sans.is_empty() && !path.to_string().ends_with("client.crt") && view.serves(node) {
        out.push(warn(
            Some(node),
            tr!("{path} has no subject alternative names", path = path),
            trs!("Newer clients (this program's among them) refuse a server that is named by its CN alone.").into(),
            trs!("Nothing to do: re-issuing it in chapter 2 adds the masters' addresses."),
        ));
    }
}

/// Which CA each master trusts; the originals' majority is the cluster's.
fn same_ca(view: &View<'_>, out: &mut Vec<Finding>) {
    let print = |etcd: &EtcdOnHost| Some(etcd.ca.as_ref()?.cert.as_ref().ok()?.fingerprint.clone());
    let of = |role| view.of(role).filter_map(move |(n, s)| Some((n, print(s.etcd.as_ref()?)?)));
    let originals: Vec<(&Node, String)> = of(Role::Original).collect();
    let count = |fingerprint: &String| originals.iter().filter(|(_, f)| f == fingerprint).count();
    // The first of the most frequent ones.
    let Some(most) = originals.iter().map(|(_, f)| count(f)).max() else { return };
    let Some((_, reference)) = originals.iter().find(|(_, f)| count(f) == most) else { return };
    let holders = names(originals.iter().filter(|(_, f)| f == reference).map(|(n, _)| &n.name));
    for (node, fingerprint) in originals.iter().cloned().chain(of(Role::Joiner)) {
        if &fingerprint == reference {
            continue;
        }
        let serves = view.serves(node);
        out.push(finding(
            view.where_it_serves(node),
            Some(node),
            tr!("its etcd CA is another one than that of {holders}", holders = holders),
            tr!("sha256 {fingerprint} here, {reference} there. Members of different CAs refuse each other's new connections.", fingerprint = short(&fingerprint), reference = short(reference)),
            if serves {
                trs!("Find out which CA the certificates in use come from, and put that one on every master before growing; never make a new CA under a running cluster.")
            } else {
                trs!("Nothing to do if it is left over: the step for this host puts the cluster's CA there.")
            },
        ));
    }
}

fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(16).collect::<String>() + "…"
}

/// The CA's key: needed on one original, a risk wherever else it lies.
fn ca_keys(view: &View<'_>, out: &mut Vec<Finding>) {
    let holding: Vec<(&Node, bool)> = view.masters().filter_map(|(n, s)| Some((n, s.etcd.as_ref()?.ca_key?))).collect();
    let originals = || holding.iter().filter(|(n, _)| n.role == Role::Original);
    let path = view.cluster.etcd.ca_key();
    let path = path.display();
    let usable = originals().any(|(_, matches)| *matches);
    // With an original out of sight the key may be there; its being out of sight blocks already.
    let all_seen = view.of(Role::Original).count() == view.cluster.masters.len();
    if originals().next().is_none() && all_seen {
        out.push(block(
            None,
            tr!("{path} is on no original", path = path),
            trs!(
                "New members need certificates that the cluster's CA has signed; nothing can be signed without its key."
            )
            .into(),
            tr!(
                "Copy the CA's key to {path} on one original (mode 0600) for the growth, and take it away afterwards.",
                path = path
            ),
        ));
    }
    for (node, _) in originals().filter(|(_, matches)| !matches) {
        let severity = if usable { Severity::Warn } else { Severity::Block };
        out.push(finding(
            severity,
            Some(node),
            tr!("{path} is not the key of the CA certificate beside it, or cannot be read", path = path),
            trs!("What is signed with it would be refused by every member.").into(),
            trs!("Put the key there that belongs to ca.crt, without a passphrase, or remove it if another original has the right one."),
        ));
    }
    if holding.len() > 1 {
        out.push(warn(
            None,
            tr!("the etcd CA's key lies on {name}", name = names(holding.iter().map(|(n, _)| &n.name))),
            trs!("Whoever reads it on any of them can make certificates for the whole cluster; etcd itself never needs it.")
                .into(),
            tr!("Keep one copy, best off the hosts, and remove {path} from the others after the growth.", path = path),
        ));
    }
}

fn open_keys(node: &Node, etcd: &EtcdOnHost, out: &mut Vec<Finding>) {
    let is_key = |path: &Path| {
        let end = |ext: &str| path.extension().is_some_and(|e| e == ext);
        end("key") || end("pem") && path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-key"))
    };
    let open: Vec<String> = etcd
        .files
        .iter()
        .filter(|f| f.kind == FileKind::File && f.mode & 0o077 != 0 && is_key(&f.path))
        .map(|f| format!("{} ({:04o})", f.path.display(), f.mode))
        .collect();
    if !open.is_empty() {
        out.push(warn(
            Some(node),
            tr!("private keys that others may read: {open}", open = open.join(", ")),
            trs!("Any user of the host, or of the group, can act as this member or as its clients.").into(),
            trs!("Run `chmod 0600` on them; etcd's user has to own the ones that etcd reads."),
        ));
    }
}

/// Whether the originals share their pairs, as the runbook's do.
fn shared_pairs(view: &View<'_>, out: &mut Vec<Finding>) {
    let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pair in EtcdPair::ALL {
        let keys: Vec<(&HostName, &str)> = view
            .of(Role::Original)
            .filter_map(|(n, s)| Some((&n.name, s.etcd.as_ref()?.certs.get(&pair)?.cert.as_ref().ok()?)))
            .map(|(name, cert)| (name, cert.key_fingerprint.as_str()))
            .collect();
        if keys.len() < 2 {
            continue;
        }
        let different = keys.iter().map(|(_, key)| *key).collect::<BTreeSet<_>>().len();
        let kind = match different {
            1 => trs!("one key for all originals"),
            n if n == keys.len() => trs!("a key of its own on each original"),
            _ => trs!("shared by some of the originals and not by others"),
        };
        by_kind.entry(kind).or_default().push(pair.to_string());
    }
    for (kind, pairs) in by_kind {
        out.push(info(
            None,
            format!("{}: {kind}", pairs.join(", ")),
            trs!("New certificates are issued the same way: the keys in use are kept.").into(),
            trs!("Nothing to do; it says whether one stolen key is that of one member or of all."),
        ));
    }
}

#[cfg(test)]
#[path = "certs_tests.rs"]
mod tests;
