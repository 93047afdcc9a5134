//! The other end of a dialled port: TLS with the host's own files, then gRPC or a small HTTP answer.

use std::{net::IpAddr, sync::Arc};

use etcd_client::proto::{PbClusterServer, PbKvServer, PbMaintenanceServer};
use futures::stream;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::Server;

use super::{links::lacks, services::At, words::Words};
use crate::{
    cluster::HostName,
    pki::CertInfo,
    practice::{
        tls::{self, Callers},
        world::Shared,
    },
    remote::BoxStream,
};

/// Bytes on their way in each direction.
const WIRE: usize = 64 << 10;

/// Longest request that is read by hand.
const MOST: usize = 16 << 10;

/// A connection to a process; `peer` is the peer port, `from` the caller's address.
pub fn connect(shared: &Shared, host: &HostName, pid: u32, peer: bool, from: IpAddr) -> Option<BoxStream> {
    let mut alive = shared.lock().etcd.process(host, pid)?.alive.subscribe();
    let (ours, mut near) = tokio::io::duplex(WIRE);
    let (mut far, theirs) = tokio::io::duplex(WIRE);
    let served = Served { shared: shared.clone(), host: host.clone(), pid, peer, from };
    tokio::spawn(served.serve(theirs));
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            // The process is no more: the kernel ends its connections.
            () = ended(&mut alive) => {}
        }
    });
    Some(Box::new(ours))
}

async fn ended(alive: &mut watch::Receiver<()>) {
    while alive.changed().await.is_ok() {}
}

struct Served {
    shared: Shared,
    host: HostName,
    pid: u32,
    peer: bool,
    from: IpAddr,
}

impl Served {
    async fn serve(self, stream: DuplexStream) {
        self.shared.awake(&self.host).await;
        let config = match self.serving() {
            Ok(config) => config,
            Err(why) => return self.reject(&why),
        };
        match TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            Ok(tls) => self.speak(tls).await,
            Err(e) => self.reject(&go_words(&e.to_string())),
        }
    }

    /// The files as they are now; the CA as it was at the start.
    fn serving(&self) -> Result<ServerConfig, String> {
        let world = self.shared.lock();
        let gone = || "use of closed network connection".to_owned();
        let process = world.etcd.process(&self.host, self.pid).ok_or_else(gone)?;
        let host = world.hosts.get(&self.host).ok_or_else(gone)?;
        let (pair, ca) = if self.peer {
            (&process.config.peer, &process.cas.peer)
        } else {
            (&process.config.client, &process.cas.client)
        };
        let read = |path: &std::path::Path| {
            host.files
                .read(path)
                .map(|b| b.to_vec())
                .map_err(|e| format!("open {}: {}", path.display(), e.words().to_lowercase()))
        };
        let ca = ca.as_deref().filter(|_| pair.auth || pair.ca.is_some());
        let callers = ca.map_or(Callers::Unasked, |ca| Callers::Of(ca, host.clock_ms / 1000));
        tls::config(&read(&pair.cert)?, &read(&pair.key)?, callers, &[b"h2", b"http/1.1"])
    }

    /// A line in the process's journal.
    fn reject(&self, why: &str) {
        let mut world = self.shared.lock();
        let Some(process) = world.etcd.process(&self.host, self.pid) else { return };
        let (unit, version) = (process.unit.clone(), process.version);
        let line = Words::at(&world, &self.host, version).rejected(self.from, why);
        if let Some(host) = world.hosts.get_mut(&self.host) {
            host.log(&unit, line);
        }
    }

    async fn speak(self, tls: TlsStream<DuplexStream>) {
        let (_, session) = tls.get_ref();
        let h2 = session.alpn_protocol() == Some(b"h2");
        // The peer port looks further: a caller's address must be among its certificate's, where that has names.
        let caller = session.peer_certificates().and_then(|c| CertInfo::from_der(c.first()?).ok());
        if self.peer
            && let Some(why) = caller.and_then(|c| lacks(&c, self.from, true))
        {
            return self.reject(&format!("tls: {why}"));
        }
        if h2 && !self.peer {
            let at = At { shared: self.shared.clone(), host: self.host.clone(), pid: self.pid };
            // The connection goes on when no further one comes.
            let serving = Server::builder()
                .add_service(PbKvServer::new(at.clone()))
                .add_service(PbClusterServer::new(at.clone()))
                .add_service(PbMaintenanceServer::new(at))
                .serve_with_incoming(stream::iter([Ok::<_, std::io::Error>(tls)]));
            let _ = serving.await;
            return;
        }
        let _ = self.http(tls).await;
    }

    /// One request, one answer.
    async fn http(&self, mut tls: TlsStream<DuplexStream>) -> std::io::Result<()> {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            let n = tls.read(&mut buffer).await?;
            if n == 0 || request.len() > MOST {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..n]);
        }
        self.shared.awake(&self.host).await;
        let text = String::from_utf8_lossy(&request);
        let path = text.split_whitespace().nth(1).unwrap_or("/");
        let (status, body) = self.answer(path);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        tls.write_all(head.as_bytes()).await?;
        tls.write_all(body.as_bytes()).await?;
        tls.shutdown().await
    }

    fn answer(&self, path: &str) -> (&'static str, String) {
        let world = self.shared.lock();
        let not_found = ("404 Not Found", "404 page not found\n".to_owned());
        let Some(process) = world.etcd.process(&self.host, self.pid) else { return not_found };
        let version = process.version;
        match path {
            "/version" => {
                let cluster = format!("{}.{}.0", version.0, version.1);
                ("200 OK", format!("{{\"etcdserver\":\"{version}\",\"etcdcluster\":\"{cluster}\"}}"))
            }
            "/health" if !self.peer => {
                let leads =
                    world.etcd.clusters.get(&process.cluster).is_some_and(|c| c.leader_seen_by(process.member) != 0);
                if leads {
                    ("200 OK", "{\"health\":\"true\"}".into())
                } else {
                    ("503 Service Unavailable", "{\"health\":\"false\"}".into())
                }
            }
            _ => not_found,
        }
    }
}

/// What Go says where rustls says otherwise.
fn go_words(why: &str) -> String {
    if why.contains("received fatal alert") {
        "remote error: tls: bad certificate".into()
    } else if why.contains("BadEncoding") {
        "tls: failed to verify client's certificate: x509: certificate signed by unknown authority".into()
    } else if why.contains("sent no certificates") || why.contains("NoCertificatesPresented") {
        "tls: client didn't provide a certificate".into()
    } else if why.contains("eof") || why.contains("Eof") {
        "EOF".into()
    } else {
        format!("tls: {why}")
    }
}
