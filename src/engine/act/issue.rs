//! Re-issuing a certificate in memory: the CA's key is read from where it is, used, and wiped.

use std::path::PathBuf;

use async_trait::async_trait;

use super::{Act, ActCx, ActError, run::run_op};
use crate::{
    cluster::HostName,
    engine::plan::Shown,
    pki::{CertInfo, PrivateKey, Reissue, San, reissue},
    remote::{Content, Op, SecretBytes, op::Owner, run_ok},
};

/// Whose key the new certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForKey {
    /// The one of the certificate in use: only the certificate changes, so no moment has a pair that does not fit.
    Kept,
    /// A fresh one of the same type, written beside the certificate (0600).
    Fresh {
        /// Where the key goes.
        path: PathBuf,
        /// Where an old key there is kept.
        backup: Option<PathBuf>,
    },
}

/// Re-issues a certificate from its own CA with other SANs, and writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueCert {
    /// Host that has the CA's certificate and key.
    pub ca_host: HostName,
    /// The CA's certificate there.
    pub ca: PathBuf,
    /// The CA's key there.
    pub ca_key: PathBuf,
    /// Host of the certificate in use: everything but SANs and dates is kept from it.
    pub template_host: HostName,
    /// Its file there.
    pub template: PathBuf,
    /// Host the new certificate is for.
    pub host: HostName,
    /// File it is written to.
    pub path: PathBuf,
    /// Permission bits of the certificate.
    pub mode: u32,
    /// Owner of certificate and key.
    pub owner: Owner,
    /// Where the old certificate is kept.
    pub backup: Option<PathBuf>,
    /// All names it is to have.
    pub sans: Vec<San>,
    /// Lifetime in days; `None` keeps the old one's.
    pub lifetime_days: Option<u32>,
    /// Whose key.
    pub key: ForKey,
}

#[async_trait]
impl Act for IssueCert {
    fn shown(&self) -> Shown {
        let names = self.sans.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let key = match &self.key {
            ForKey::Kept => trs!("same key").to_owned(),
            ForKey::Fresh { path, .. } => tr!("fresh key of the same type in {path}", path = path.display()),
        };
        Shown {
            host: Some(self.host.clone()),
            title: tr!("re-issue {path} from the existing CA", path = self.path.display()),
            commands: tr!(
                "# in memory, by banister:\n#   like {template_host}:{template} ({key}; subject, usages{lifetime} kept)\n#   signed with {ca_host}:{ca_key}\n#   names: {names}\n#   checked against the CA and the key, then written {mode} {owner} by rename, the old file kept{backup}",
                template_host = self.template_host,
                template = self.template.display(),
                key = key,
                lifetime = self
                    .lifetime_days
                    .map_or_else(|| trs!(" and lifetime").to_owned(), |d| tr!("; lifetime {days} days", days = d)),
                ca_host = self.ca_host,
                ca_key = self.ca_key.display(),
                names = names,
                mode = format_args!("{:04o}", self.mode),
                owner = self.owner,
                backup = self.backup.as_ref().map(|b| tr!(" as {path}", path = b.display())).unwrap_or_default(),
            ),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let pem = self.read(cx, &self.template_host, &self.template).await?;
        let ca = self.read(cx, &self.ca_host, &self.ca).await?;
        let ca_key = super::run::read_secret(&cx.remote, &self.ca_host, &self.ca_key).await?;
        let ca_key = PrivateKey::from_pem(ca_key.expose()).map_err(|e| self.pki(trs!("CA key"), &e.to_string()))?;
        let template = CertInfo::from_pem(&pem).map_err(|e| self.pki(trs!("certificate in use"), &e.to_string()))?;
        let fresh = match self.key {
            ForKey::Kept => None,
            ForKey::Fresh { .. } => {
                Some(PrivateKey::generate_like(&template).map_err(|e| self.pki(trs!("new key"), &e.to_string()))?)
            }
        };
        let issued = reissue(&Reissue {
            cert: &pem,
            ca: &ca,
            ca_key: &ca_key,
            sans: &self.sans,
            new_key: fresh.as_ref().map(PrivateKey::public_key_der),
            lifetime_days: self.lifetime_days,
            now: jiff::Timestamp::now().as_second(),
        })
        .map_err(|e| self.pki(trs!("new certificate"), &e.to_string()))?;
        drop(ca_key);
        for note in &issued.notes {
            cx.say(note.clone());
        }
        if let (Some(key), ForKey::Fresh { path, backup }) = (&fresh, &self.key) {
            let op = Op::WriteFile {
                path: path.clone(),
                content: Content::Secret(SecretBytes::new(key.to_pem().to_vec())),
                mode: 0o600,
                owner: self.owner.clone(),
                backup: backup.clone(),
            };
            run_op(cx, &self.host, &op).await?;
        }
        let op = Op::WriteFile {
            path: self.path.clone(),
            content: Content::Text(issued.pem),
            mode: self.mode,
            owner: self.owner.clone(),
            backup: self.backup.clone(),
        };
        run_op(cx, &self.host, &op).await
    }
}

impl IssueCert {
    async fn read(&self, cx: &ActCx, host: &HostName, path: &std::path::Path) -> Result<Vec<u8>, ActError> {
        let op = Op::ReadFile { path: path.to_owned() };
        Ok(run_ok(&*cx.remote, host, &op).await?.stdout.to_vec())
    }

    fn pki(&self, what: &str, why: &str) -> ActError {
        ActError::Pki { what: format!("{}:{} ({what})", self.host, self.path.display()), why: why.to_owned() }
    }
}
