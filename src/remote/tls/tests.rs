//! Real handshakes over an in-memory pipe.

use std::{net::IpAddr, time::Duration};

use rcgen::ExtendedKeyUsagePurpose;
use rustls::{
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::server::TlsStream;

use super::{
    testing::{Ask, TestCa, acceptor, dial},
    *,
};

fn name() -> ServerName<'static> {
    ServerName::from("10.10.33.37".parse::<IpAddr>().unwrap())
}

/// A server that waits for the client to go.
async fn idle(mut tls: TlsStream<DuplexStream>) {
    let _ = tls.read_to_end(&mut Vec::new()).await;
}

/// A server that answers one request with what it was sent.
async fn echo(mut tls: TlsStream<DuplexStream>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match tls.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.len());
    let _ = tls.write_all(&[head.as_bytes(), &request].concat()).await;
    let _ = tls.shutdown().await;
}

async fn probed(client: &TlsClient, server: &tokio_rustls::TlsAcceptor) -> Served {
    client.probe(dial(server, idle), &name()).await.unwrap()
}

#[tokio::test]
async fn both_sides_content() {
    let ca = TestCa::new("etcd-ca");
    let leaf = ca.leaf(&Ask::default());
    for version in [&TLS12, &TLS13] {
        let server = acceptor(&leaf, Some(&ca), version);
        let seen = probed(&TlsClient::new(ca.roots()).with_identity(leaf.identity()), &server).await;
        assert_eq!(seen.cert, CertInfo::from_pem(leaf.pem.as_bytes()).unwrap());
        assert_eq!(seen.client, ClientAuth::Accepted);
        assert!(seen.good() && seen.why_not().is_empty(), "{seen:?}");
    }
    let open = acceptor(&leaf, None, &TLS13);
    assert_eq!(probed(&TlsClient::new(ca.roots()), &open).await.client, ClientAuth::NotAsked);
}

#[tokio::test]
async fn a_certificate_without_the_new_address_is_shown_with_the_names_it_has() {
    let ca = TestCa::new("etcd-ca");
    let server = acceptor(&ca.leaf(&Ask { ips: &["127.0.0.1", "10.10.33.38"], ..Ask::default() }), None, &TLS13);
    let seen = probed(&TlsClient::new(ca.roots()), &server).await;
    assert!(!seen.verified());
    assert_eq!(
        seen.why_not(),
        "it is not for 10.10.33.37: its names are 127.0.0.1, 10.10.33.38; re-issue it with 10.10.33.37 added"
    );
    for trust in [Trust::Strict, Trust::Tolerant] {
        let client = TlsClient::new(ca.roots()).with_trust(trust);
        let refused = client.connect(dial(&server, idle), &name(), &[]).await.err().unwrap();
        assert!(matches!(&refused, TlsError::Untrusted { why, .. } if why.contains("10.10.33.38")), "{refused}");
    }
}

#[tokio::test]
async fn another_ca_and_a_ca_made_anew_are_told_apart() {
    let (ca, fresh, other) = (TestCa::new("etcd-ca"), TestCa::new("etcd-ca"), TestCa::new("other-ca"));
    let server = acceptor(&ca.leaf(&Ask::default()), None, &TLS13);
    let anew = probed(&TlsClient::new(fresh.roots()), &server).await.why_not();
    assert!(anew.contains("another key than that of the trusted CA of the same name (CN=etcd-ca)"), "{anew}");
    let unknown = probed(&TlsClient::new(other.roots()), &server).await.why_not();
    assert!(unknown.contains("issued by CN=etcd-ca, and trusted is CN=other-ca"), "{unknown}");
    for roots in [fresh.roots(), other.roots()] {
        let client = TlsClient::new(roots).with_trust(Trust::Tolerant);
        assert!(client.connect(dial(&server, idle), &name(), &[]).await.is_err());
    }
}

#[tokio::test]
async fn an_expired_certificate_passes_only_when_tolerated_and_then_aloud() {
    let ca = TestCa::new("etcd-ca");
    for (days, said) in [((-400, -30), "expired on"), ((5, 30), "compare the clocks")] {
        let server = acceptor(&ca.leaf(&Ask { days, ..Ask::default() }), None, &TLS13);
        let seen = probed(&TlsClient::new(ca.roots()), &server).await;
        assert!(seen.why_not().contains(said), "{seen:?}");
        let strict = TlsClient::new(ca.roots());
        assert!(matches!(strict.connect(dial(&server, idle), &name(), &[]).await, Err(TlsError::Untrusted { .. })));
        let tolerant = strict.with_trust(Trust::Tolerant);
        let (_, tolerated) = tolerant.connect(dial(&server, idle), &name(), &[]).await.unwrap();
        assert_eq!(tolerated, seen.problems);
    }
    // Expired and from elsewhere: the dates do not hide the worse of the two.
    let stranger = TestCa::new("etcd-ca");
    let server = acceptor(&stranger.leaf(&Ask { days: (-400, -30), ..Ask::default() }), None, &TLS13);
    let tolerant = TlsClient::new(ca.roots()).with_trust(Trust::Tolerant);
    assert!(tolerant.connect(dial(&server, idle), &name(), &[]).await.is_err());
    let why = probed(&tolerant, &server).await.why_not();
    assert!(why.contains("expired on") && why.contains("made anew"), "{why}");
}

#[tokio::test]
async fn a_name_in_the_subject_alone_passes_only_when_tolerated() {
    let ca = TestCa::new("etcd-ca");
    let server = acceptor(&ca.leaf(&Ask { cn: "10.10.33.37", ips: &[], ..Ask::default() }), None, &TLS13);
    let strict = TlsClient::new(ca.roots());
    assert!(strict.connect(dial(&server, idle), &name(), &[]).await.is_err());
    let (_, tolerated) = strict.with_trust(Trust::Tolerant).connect(dial(&server, idle), &name(), &[]).await.unwrap();
    assert!(tolerated[0].text.contains("stands in its subject alone"), "{tolerated:?}");
    let nameless = acceptor(&ca.leaf(&Ask { ips: &[], ..Ask::default() }), None, &TLS13);
    let tolerant = TlsClient::new(ca.roots()).with_trust(Trust::Tolerant);
    let refused = tolerant.connect(dial(&nameless, idle), &name(), &[]).await.err().unwrap().to_string();
    assert!(refused.contains("no names at all (subject CN=Etcd-server)"), "{refused}");
}

#[tokio::test]
async fn a_certificate_for_clients_only_is_no_server_certificate() {
    let ca = TestCa::new("etcd-ca");
    let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let server = acceptor(&ca.leaf(&Ask { usages, ..Ask::default() }), None, &TLS13);
    let why = probed(&TlsClient::new(ca.roots()), &server).await.why_not();
    assert!(why.contains("(clientAuth) lack serverAuth"), "{why}");
}

#[tokio::test]
async fn a_refused_client_certificate_is_said_to_be_refused() {
    let (ca, stranger) = (TestCa::new("etcd-ca"), TestCa::new("other-ca"));
    let leaf = ca.leaf(&Ask::default());
    let expired = ca.leaf(&Ask { days: (-400, -30), ..Ask::default() }).identity();
    for version in [&TLS12, &TLS13] {
        let server = acceptor(&leaf, Some(&ca), version);
        let cases = [
            (TlsClient::new(ca.roots()).with_identity(stranger.leaf(&Ask::default()).identity()), "unknown CA"),
            (TlsClient::new(ca.roots()).with_identity(expired.clone()), "certificate expired"),
            (TlsClient::new(ca.roots()), ""),
        ];
        for (client, alert) in cases {
            let seen = probed(&client, &server).await;
            assert!(seen.verified() && !seen.good());
            assert!(matches!(&seen.client, ClientAuth::Refused(a) if a.contains(alert)), "{alert}: {seen:?}");
        }
        // The first read of a request tells it too.
        let client = TlsClient::new(ca.roots()).with_identity(stranger.leaf(&Ask::default()).identity());
        let get = Get { server_name: name(), host: "10.10.33.37", path: "/health", bearer: None };
        let refused = client.https_get(dial(&server, echo), &get).await.unwrap_err();
        assert_eq!(refused, TlsError::Refused { alert: "unknown CA".into() });
    }
}

#[tokio::test]
async fn an_expired_client_certificate_is_noticed_before_anyone_is_asked() {
    let ca = TestCa::new("etcd-ca");
    let expired = ca.leaf(&Ask { days: (-400, -30), ..Ask::default() }).identity();
    let client = TlsClient::new(ca.roots()).with_identity(expired);
    let (ours, _theirs) = tokio::io::duplex(64);
    let refused = client.connect(Box::new(ours), &name(), &[]).await.err().unwrap();
    assert!(
        matches!(&refused, TlsError::ClientCertNotValid { when, .. } if when.ends_with("30 days ago")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_silent_peer_and_one_without_tls_do_not_hold_anyone_up() {
    let ca = TestCa::new("etcd-ca");
    let client = TlsClient::new(ca.roots()).with_deadline(Duration::from_millis(50));
    let (ours, _theirs) = tokio::io::duplex(64 << 10);
    assert!(matches!(client.probe(Box::new(ours), &name()).await, Err(TlsError::Timeout { .. })));
    let (ours, mut theirs) = tokio::io::duplex(64 << 10);
    theirs.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await.unwrap();
    let plain = client.probe(Box::new(ours), &name()).await.unwrap_err();
    assert_eq!(plain, TlsError::Handshake { why: "what came back is not TLS".into() });
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    drop(theirs);
    assert!(matches!(client.probe(Box::new(ours), &name()).await, Err(TlsError::Closed { .. })));
    // A server that shakes hands and then says nothing.
    let server = acceptor(&ca.leaf(&Ask::default()), None, &TLS13);
    let get = Get { server_name: name(), host: "10.10.33.37", path: "/health", bearer: None };
    assert!(matches!(client.https_get(dial(&server, idle), &get).await, Err(TlsError::Timeout { .. })));
}

#[tokio::test]
async fn a_get_brings_status_and_body_and_the_token_goes_to_none_but_the_right_server() {
    let ca = TestCa::new("kube-ca");
    let server = acceptor(&ca.leaf(&Ask::default()), None, &TLS13);
    let token = SecretBytes::new(b"abc.def\n".to_vec());
    let get = Get { server_name: name(), host: "10.10.33.37:6443", path: "/healthz?verbose", bearer: Some(&token) };
    let (status, body) = TlsClient::new(ca.roots()).https_get(dial(&server, echo), &get).await.unwrap();
    let sent = String::from_utf8_lossy(&body).to_lowercase();
    assert_eq!(status, 200);
    assert!(sent.starts_with("get /healthz?verbose http/1.1\r\n"), "{sent}");
    assert!(
        sent.contains("authorization: bearer abc.def\r\n") && sent.contains("host: 10.10.33.37:6443\r\n"),
        "{sent}"
    );
    let stranger = TestCa::new("other-ca");
    let refused = TlsClient::new(stranger.roots()).https_get(dial(&server, echo), &get).await.unwrap_err();
    assert!(matches!(refused, TlsError::Untrusted { .. }));
    let stray = SecretBytes::new(b"abc\ndef".to_vec());
    let error = TlsClient::new(ca.roots()).https_get(dial(&server, echo), &Get { bearer: Some(&stray), ..get }).await;
    assert!(!format!("{:?}", error.unwrap_err()).contains("abc"));
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused_and_never_shown() {
    let ca = TestCa::new("etcd-ca");
    let (one, two) = (ca.leaf(&Ask::default()), ca.leaf(&Ask::default()));
    let wrong = ClientIdentity::from_pem(one.pem.as_bytes(), &SecretBytes::new(two.key.clone().into_bytes()));
    assert_eq!(wrong.unwrap_err(), TlsError::KeyMismatch { subject: "CN=Etcd-server".into() });
    let shown = format!("{:?}", TlsClient::new(ca.roots()).with_identity(one.identity()));
    assert!(one.key.lines().skip(1).all(|line| !shown.contains(line)), "{shown}");
}
