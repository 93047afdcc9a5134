//! The Kubernetes API through [`Remote::dial`]: no port open between the jump host and the cluster, no `kubectl` needed.
//!
//! An apiserver is dialled on its own host and must show a certificate of the cluster's CA for its own address. What is
//! asked is small; everything that comes back is hostile until cleaned, and what may hold a secret stays in
//! [`SecretBytes`].

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    SecretBytes, SharedRemote, Target,
    tls::{Body, Get, Method, Send, TlsClient, TlsError},
};
use crate::cluster::HostName;

mod config;
mod error;
mod objects;
#[cfg(test)]
mod tests;

pub use config::Kubeconfig;
pub use error::KubeError;
pub use objects::{DaemonSet, Node, Pod, Secret, Taint};
pub(crate) use objects::{bytes, changed_at, encoded};

/// Most time for a handshake, and again for an answer.
const DEADLINE: Duration = Duration::from_secs(8);

const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// Which apiserver, and whose kubeconfig opens it. Holds no secret, so that it can stand in a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiAt {
    /// The master: it is dialled through, and its kubeconfig is read.
    pub host: String,
    /// Its address, which its certificate must be for.
    pub address: IpAddr,
    /// The apiserver's port.
    pub port: u16,
    /// The kubeconfig on that host.
    pub kubeconfig: PathBuf,
}

/// Where an apiserver is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The host that is dialled through.
    pub via: HostName,
    /// Where to, as seen from there; the certificate must be for this address.
    pub target: Target,
}

impl Door {
    /// A master's own apiserver, at its own address.
    pub fn master(name: &HostName, address: IpAddr, port: u16) -> Self {
        Self { via: name.clone(), target: Target { address, port } }
    }

    /// Whatever a worker's proxy leads to.
    pub fn worker(name: &HostName, port: u16) -> Self {
        Self { via: name.clone(), target: Target { address: IpAddr::from([127, 0, 0, 1]), port } }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.target.address.is_loopback() {
            return write!(f, "{}", tr!("{via}'s proxy", via = self.via));
        }
        write!(f, "{}", self.via)
    }
}

/// The API at one door, with one credential. Cheap to clone.
#[derive(Clone)]
pub struct KubeApi {
    remote: SharedRemote,
    door: Door,
    tls: TlsClient,
    bearer: Option<SecretBytes>,
}

impl fmt::Debug for KubeApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KubeApi({} at {})", self.door.via, self.door.target)
    }
}

impl KubeApi {
    /// Reads the kubeconfig on the master and dials nothing yet.
    pub async fn open(remote: &SharedRemote, at: &ApiAt) -> Result<Self, KubeError> {
        let host = HostName::new(&at.host);
        let config = Kubeconfig::read(remote, &host, &at.kubeconfig).await?;
        let (tls, bearer) = config.credential(remote).await?;
        Ok(Self::new(remote.clone(), Door::master(&host, at.address, at.port), tls, bearer))
    }

    /// With what was read already.
    pub fn new(remote: SharedRemote, door: Door, tls: TlsClient, bearer: Option<SecretBytes>) -> Self {
        Self { remote, door, tls: tls.with_deadline(DEADLINE), bearer }
    }

    /// The same credential at another door.
    #[must_use]
    pub fn at(&self, door: Door) -> Self {
        Self { door, ..self.clone() }
    }

    /// The same door with a token alone: no client certificate is shown.
    #[must_use]
    pub fn with_token(&self, token: SecretBytes) -> Self {
        let tls = TlsClient::new(self.tls.roots().clone()).with_deadline(DEADLINE);
        Self { tls, bearer: Some(token), ..self.clone() }
    }

    /// The door.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Sends a request; the status and the body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &SecretBytes)>,
    ) -> Result<(u16, SecretBytes), KubeError> {
        let what = format!("{method} {path}");
        let stream = self.remote.dial(&self.door.via, self.door.target).await?;
        let host = self.door.target.to_string();
        let to = Get {
            server_name: ServerName::from(self.door.target.address),
            host: &host,
            path,
            bearer: self.bearer.as_ref(),
        };
        let body = body.map(|(content_type, bytes)| Body { content_type, bytes });
        let changes = method != Method::GET;
        match self.tls.https_send(stream, &Send { to, method, body }).await {
            Ok((status, bytes)) => Ok((status, SecretBytes::new(bytes.to_vec()))),
            Err(error) => {
                let unknown = changes && matches!(error, TlsError::Closed { .. } | TlsError::Timeout { .. });
                Err(KubeError::Tls { at: self.door.to_string(), what, error: Box::new(error), unknown })
            }
        }
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &SecretBytes)>,
    ) -> Result<SecretBytes, KubeError> {
        let what = format!("{method} {path}");
        let (status, bytes) = self.send(method, path, body).await?;
        if (200..300).contains(&status) {
            return Ok(bytes);
        }
        Err(KubeError::refused(&self.door, &what, status, bytes.expose()))
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, path: &str, bytes: &SecretBytes) -> Result<T, KubeError> {
        // What serde says may quote the text, which may be secret: only the place is told.
        serde_json::from_slice(bytes.expose()).map_err(|e| KubeError::Answer {
            at: self.door.to_string(),
            what: path.to_owned(),
            why: tr!("line {line}, column {column}", line = e.line(), column = e.column()),
        })
    }

    /// Gets a path as JSON.
    pub async fn get(&self, path: &str) -> Result<Value, KubeError> {
        let bytes = self.answer(Method::GET, path, None).await?;
        self.read(path, &bytes)
    }

    /// Gets a path as JSON; `None` when the API knows no such thing.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, KubeError> {
        absent(self.get(path).await)
    }

    /// An object as it came, for keeping; `None` when there is none.
    pub async fn raw(&self, path: &str) -> Result<Option<SecretBytes>, KubeError> {
        absent(self.answer(Method::GET, path, None).await)
    }

    /// Changes some fields of an object (RFC 7386); gives the object as it is then.
    pub async fn merge(&self, path: &str, fields: &SecretBytes) -> Result<Value, KubeError> {
        let bytes = self.answer(Method::PATCH, path, Some((MERGE_PATCH, fields))).await?;
        self.read(path, &bytes)
    }

    /// Replaces an object.
    pub async fn put(&self, path: &str, object: &SecretBytes) -> Result<(), KubeError> {
        self.answer(Method::PUT, path, Some((JSON, object))).await.map(drop)
    }

    /// Makes an object; the answer may be secret.
    pub async fn post(&self, path: &str, object: &SecretBytes) -> Result<SecretBytes, KubeError> {
        self.answer(Method::POST, path, Some((JSON, object))).await
    }

    /// Deletes an object; one that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<(), KubeError> {
        absent(self.answer(Method::DELETE, path, None).await).map(drop)
    }

    /// Whether the apiserver calls itself healthy: `/healthz`, which looks at etcd too.
    pub async fn healthz(&self) -> Result<(), KubeError> {
        let path = "/healthz";
        let (status, bytes) = self.send(Method::GET, path, None).await?;
        if status == 200 && bytes.expose().trim_ascii() == b"ok" {
            return Ok(());
        }
        // Checks that pass are listed too, a line each: only those that fail are of interest.
        let text = String::from_utf8_lossy(bytes.expose());
        let failing: Vec<_> = text.lines().filter(|l| l.starts_with("[-]")).collect();
        let said = if failing.is_empty() { text.into_owned() } else { failing.join("\n") };
        Err(KubeError::refused(&self.door, &format!("GET {path}"), status, said.as_bytes()))
    }

    /// Whether a token is taken, shown over a verified connection and without any other credential. A refusal by RBAC still means that
    /// the token itself was.
    pub async fn takes_token(&self, token: SecretBytes) -> Result<(), KubeError> {
        let path = "/api/v1/";
        let (status, bytes) = self.with_token(token).send(Method::GET, path, None).await?;
        match status {
            200..300 | 403 => Ok(()),
            status => Err(KubeError::refused(
                &self.door,
                &tr!("GET {path} with a token", path = path),
                status,
                bytes.expose(),
            )),
        }
    }
}

fn absent<T>(answer: Result<T, KubeError>) -> Result<Option<T>, KubeError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(KubeError::Refused { status: 404, .. }) => Ok(None),
        Err(e) => Err(e),
    }
}
