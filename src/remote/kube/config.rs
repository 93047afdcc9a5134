//! A kubeconfig as it lies on a master, read as a secret.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::KubeError;
use crate::{
    cluster::HostName,
    remote::{
        Io, Op, SecretBytes, SharedRemote, shell,
        tls::{ClientIdentity, Roots, TlsClient},
    },
};

/// A value that stands in the file itself, or in another one beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Here(SecretBytes),
    File(PathBuf),
}

/// What the current context of a kubeconfig says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    host: HostName,
    path: PathBuf,
    /// The server as the file has it.
    pub server: String,
    ca: Option<From>,
    cert: Option<From>,
    key: Option<From>,
    token: Option<From>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "current-context")]
    current: String,
    #[serde(default)]
    clusters: Vec<Named<Cluster>>,
    #[serde(default)]
    users: Vec<Named<User>>,
    #[serde(default)]
    contexts: Vec<Named<Context>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "user", alias = "context")]
    value: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    #[serde(default)]
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

impl Kubeconfig {
    /// Reads one on a host, as a secret.
    pub async fn read(remote: &SharedRemote, host: &HostName, path: &Path) -> Result<Self, KubeError> {
        let text = secret(remote, host, path).await?;
        Self::parse(host, path, &text)
    }

    /// Takes the current context out of the text; without one, the only cluster and user there are.
    pub fn parse(host: &HostName, path: &Path, text: &SecretBytes) -> Result<Self, KubeError> {
        let told = |why: &str| config(host, path, why);
        let file: File = serde_yaml::from_slice(text.expose()).map_err(|e| {
            // serde's own words may quote a key: only the place is told.
            let line = e.location().map(|l| tr!(", line {line}", line = l.line())).unwrap_or_default();
            told(&tr!("not a kubeconfig{line}; compare it with another master's", line = line))
        })?;
        let context = file.contexts.iter().find(|c| c.name == file.current).or_else(|| single(&file.contexts));
        let (cluster, user) = match context {
            Some(c) => (named(&file.clusters, &c.value.cluster), named(&file.users, &c.value.user)),
            None => (single(&file.clusters).map(|c| &c.value), single(&file.users).map(|u| &u.value)),
        };
        let cluster = cluster.ok_or_else(|| told(trs!("its current context names no cluster of the file; mend it")))?;
        let user = user.ok_or_else(|| told(trs!("its current context names no user of the file; mend it")))?;
        let here = |inline: Option<&String>, file: Option<&PathBuf>| -> Result<Option<From>, KubeError> {
            match (inline.filter(|t| !t.is_empty()), file) {
                (Some(text), _) => {
                    let plain = STANDARD.decode(text.split_whitespace().collect::<String>());
                    let plain =
                        plain.map_err(|_| told(trs!("an embedded certificate or key is not base64; mend it")))?;
                    Ok(Some(From::Here(SecretBytes::new(plain))))
                }
                (None, Some(file)) => Ok(Some(From::File(beside(path, file)))),
                (None, None) => Ok(None),
            }
        };
        let token = match (&user.token, &user.token_file) {
            // kubectl takes the file where both are given.
            (_, Some(file)) => Some(From::File(beside(path, file))),
            (Some(token), None) if !token.is_empty() => Some(From::Here(SecretBytes::new(token.clone().into()))),
            _ => None,
        };
        Ok(Self {
            host: host.clone(),
            path: path.to_owned(),
            server: cluster.server.clone(),
            ca: here(cluster.certificate_authority_data.as_ref(), cluster.certificate_authority.as_ref())?,
            cert: here(user.client_certificate_data.as_ref(), user.client_certificate.as_ref())?,
            key: here(user.client_key_data.as_ref(), user.client_key.as_ref())?,
            token,
        })
    }

    /// The TLS client and the token it gives, files read on its host.
    pub async fn credential(&self, remote: &SharedRemote) -> Result<(TlsClient, Option<SecretBytes>), KubeError> {
        let told = |why: String| config(&self.host, &self.path, &why);
        let ca = self.ca.as_ref().ok_or_else(|| {
            told(
                trs!("it names no certificate-authority, and nothing is asked unverified; add the cluster's CA").into(),
            )
        })?;
        let ca = self.load(remote, ca).await?;
        let mut tls = TlsClient::new(Roots::from_pem(ca.expose()).map_err(|e| told(e.to_string()))?);
        let token = match &self.token {
            Some(token) => Some(self.load(remote, token).await?),
            None => None,
        };
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let (cert, key) = (self.load(remote, cert).await?, self.load(remote, key).await?);
                let pair = ClientIdentity::from_pem(cert.expose(), &key).map_err(|e| told(e.to_string()))?;
                tls = tls.with_identity(pair);
            }
            _ if token.is_some() => {}
            _ => {
                let why = trs!(
                    "it holds neither a client certificate with its key nor a token (exec plugins are not run); give the path of one that does as layout.kubernetes.admin_conf"
                );
                return Err(told(why.into()));
            }
        }
        Ok((tls, token))
    }

    async fn load(&self, remote: &SharedRemote, from: &From) -> Result<SecretBytes, KubeError> {
        match from {
            From::Here(bytes) => Ok(bytes.clone()),
            From::File(path) => secret(remote, &self.host, path).await,
        }
    }
}

fn single<T>(list: &[T]) -> Option<&T> {
    if let [only] = list { Some(only) } else { None }
}

fn named<'a, T>(list: &'a [Named<T>], name: &str) -> Option<&'a T> {
    list.iter().find(|n| n.name == name).map(|n| &n.value)
}

/// A relative path counts from the kubeconfig's own directory.
fn beside(config: &Path, file: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("/")).join(file)
}

fn config(host: &HostName, path: &Path, why: &str) -> KubeError {
    KubeError::Config { place: format!("{host}: {}", path.display()), why: why.to_owned() }
}

async fn secret(remote: &SharedRemote, host: &HostName, path: &Path) -> Result<SecretBytes, KubeError> {
    let op = Op::ReadSecret { path: path.to_owned() };
    let out = remote.run(host, &op, Io::default()).await?;
    if out.status == shell::NOT_THERE {
        return Err(config(host, path, trs!("is not there; put it back from a backup or another master")));
    }
    Ok(SecretBytes::new(out.checked(host, &op)?.stdout.to_vec()))
}
