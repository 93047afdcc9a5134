//! Small HTTPS requests: a health answer, a version, a call of the Kubernetes API.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
pub use hyper::Method;
use hyper::{
    Request,
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;

use super::{BoxStream, ClientAuth, TlsClient, TlsError, probe::settled, refusal};
use crate::remote::{SecretBytes, clean};

/// Most bytes of an answer.
const MAX_BODY: usize = 8 << 20;

/// What to get.
#[derive(Debug, Clone)]
pub struct Get<'a> {
    /// The name the server's certificate must be for.
    pub server_name: ServerName<'static>,
    /// The `Host` header, such as `10.10.33.40:6443`.
    pub host: &'a str,
    /// Path and query, such as `/healthz`.
    pub path: &'a str,
    /// A bearer token, sent only to a server whose certificate holds.
    pub bearer: Option<&'a SecretBytes>,
}

/// What is sent with a request. The bytes may be secret: they are never shown.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Such as `application/merge-patch+json`.
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: &'a SecretBytes,
}

/// A request of any method, answered in JSON where the server can.
#[derive(Debug, Clone)]
pub struct Send<'a> {
    /// Where to, and with which token.
    pub to: Get<'a>,
    /// `GET`, `PUT`, `PATCH`, `POST` or `DELETE`.
    pub method: Method,
    /// What is sent with it.
    pub body: Option<Body<'a>>,
}

impl TlsClient {
    /// Gets a path; the status and the body, at most 8 MiB, hostile until cleaned.
    pub async fn https_get(&self, stream: BoxStream, get: &Get<'_>) -> Result<(u16, Bytes), TlsError> {
        self.https_send(stream, &Send { to: get.clone(), method: Method::GET, body: None }).await
    }

    /// Sends a request; the status and the body, at most 8 MiB, hostile until cleaned. After an error other than a
    /// refusal the outcome of a changing method is unknown.
    pub async fn https_send(&self, stream: BoxStream, send: &Send<'_>) -> Result<(u16, Bytes), TlsError> {
        let request = request(send)?;
        let (mut tls, _, asked) = self.open(stream, &send.to.server_name, &[b"http/1.1"]).await?;
        // A refusal that crosses our request on the wire would be lost: the write fails first. So it is waited for.
        if asked && let ClientAuth::Refused(alert) = settled(&mut tls).await {
            return Err(TlsError::Refused { alert });
        }
        match tokio::time::timeout(self.deadline, exchange(TokioIo::new(tls), request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late(trs!("the HTTPS request"))),
        }
    }
}

fn request(send: &Send<'_>) -> Result<Request<Full<Bytes>>, TlsError> {
    let bad = |what: &str| TlsError::Http {
        why: tr!("{what} cannot be put into a request; check it for stray characters", what = what),
    };
    let content = send.body.map(|b| Bytes::copy_from_slice(b.bytes.expose())).unwrap_or_default();
    let mut request = Request::builder()
        .method(send.method.clone())
        .uri(send.to.path)
        .header(HOST, send.to.host)
        .header(CONNECTION, "close")
        .header(ACCEPT, "application/json, */*")
        .header(USER_AGENT, concat!("banister/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(content))
        .map_err(|_| bad(trs!("the path or the host")))?;
    if let Some(body) = send.body {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
    }
    if let Some(token) = send.to.bearer {
        let line = [b"Bearer ", token.expose().trim_ascii()].concat();
        let mut value = HeaderValue::from_bytes(&line).map_err(|_| bad("the token"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

async fn exchange<I>(io: I, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), TlsError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let (mut sender, connection) = http1::handshake(io).await.map_err(|e| failure(&e))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| failure(&e))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|e| failure(&*e))?;
        Ok((status, body.to_bytes()))
    };
    // The connection moves only while it is polled; it may end first, with the answer already on its way.
    let (answer, driven) = tokio::join!(answer, connection);
    match (answer, driven) {
        (Err(_), Err(e)) if refusal(&e).is_some() => Err(failure(&e)),
        (answer, _) => answer,
    }
}

fn failure(error: &(dyn std::error::Error + 'static)) -> TlsError {
    if let Some(refused) = refusal(error) {
        return refused;
    }
    match error.downcast_ref::<hyper::Error>() {
        Some(e) if e.is_incomplete_message() || e.is_canceled() || e.is_closed() => {
            TlsError::Closed { during: trs!("the HTTPS request") }
        }
        _ => {
            let why = std::iter::successors(Some(error), |e| e.source()).map(|e| clean::line(&e.to_string()));
            TlsError::Http { why: why.collect::<Vec<_>>().join(": ") }
        }
    }
}
