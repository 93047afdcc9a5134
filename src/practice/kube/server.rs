//! The other end of a dialled port 6443: TLS with what the apiserver has read, then HTTP; or a worker's proxy, which passes
//! bytes on.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::{io::DuplexStream, sync::watch};
use tokio_rustls::TlsAcceptor;

use super::api::{self, Asked};
use crate::{
    cluster::HostName,
    practice::{
        tls::{self, Callers},
        world::Shared,
    },
    remote::BoxStream,
};

/// Bytes on their way in each direction.
const WIRE: usize = 64 << 10;

/// Longest request that is taken.
const MOST: usize = 3 << 20;

/// What is served: the pair as it was read; a caller's certificate is asked for, and judged only by whoever is asked.
pub fn config(cert: &[u8], key: &[u8]) -> Result<ServerConfig, String> {
    tls::config(cert, key, Callers::Asked, &[b"http/1.1"])
}

/// A connection to the apiserver with that process id.
pub fn connect(shared: &Shared, host: &HostName, pid: u32, alive: watch::Receiver<()>) -> BoxStream {
    let (far, theirs) = tokio::io::duplex(WIRE);
    let served = Served { shared: shared.clone(), host: host.clone(), pid };
    tokio::spawn(served.serve(theirs));
    while_alive(Box::new(far), alive)
}

/// A stream that ends with whoever passes it on.
pub fn while_alive(mut far: BoxStream, mut alive: watch::Receiver<()>) -> BoxStream {
    let (ours, mut near) = tokio::io::duplex(WIRE);
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            () = async { while alive.changed().await.is_ok() {} } => {}
        }
    });
    Box::new(ours)
}

#[derive(Clone)]
struct Served {
    shared: Shared,
    host: HostName,
    pid: u32,
}

impl Served {
    async fn serve(self, stream: DuplexStream) {
        self.shared.awake(&self.host).await;
        let serving = {
            let world = self.shared.lock();
            let own = world.kube.processes.iter().find(|p| p.host == self.host && p.pid == self.pid);
            own.and_then(|p| p.api.as_ref()).map(|a| a.serving.clone())
        };
        let Some(serving) = serving else { return };
        let Ok(tls) = TlsAcceptor::from(serving).accept(stream).await else { return };
        let (_, session) = tls.get_ref();
        let cert = session.peer_certificates().and_then(|c| c.first()).map(|c| Bytes::copy_from_slice(c));
        let service = service_fn(move |request| self.clone().answer(request, cert.clone()));
        // Whoever hangs up has what he came for.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        cert: Option<Bytes>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body =
            Limited::new(body, MOST).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        self.shared.awake(&self.host).await;
        let bearer = head.headers.get("authorization").and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
        let asked = Asked {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            body: &body,
            cert: cert.as_deref(),
            bearer,
        };
        let reply = {
            let mut world = self.shared.lock();
            api::answer(&mut world, &self.host, self.pid, &asked)
        };
        let kind = if reply.json { "application/json" } else { "text/plain; charset=utf-8" };
        let mut response = Response::new(Full::new(Bytes::from(reply.body)));
        *response.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap_or_default();
        response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
        Ok(response)
    }
}
