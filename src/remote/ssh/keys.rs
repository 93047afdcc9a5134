//! Private key files: what format they are in, and their passphrases, each asked for once.

use std::{
    collections::HashMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::keys::{Algorithm, PrivateKey, PublicKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::ask::Questions;

/// How often a wrong passphrase may be corrected.
const ATTEMPTS: usize = 3;

/// What a file turned out to be, before any passphrase. No `Debug`: it holds private keys.
enum Form {
    /// Usable as it is.
    Open(Box<PrivateKey>),
    /// Wants a passphrase; the public half where the format shows it.
    Locked(Option<PublicKey>),
    /// Only the public half: the private one is with the agent.
    PublicOnly(PublicKey),
}

const DECLINED: &str = mark!("needs its passphrase, which was not given; load it with `ssh-add`");

/// Why a key file cannot be used, in words that end in the remedy.
type Why = String;

/// Reads the form of a key from its text. Pure, so that every format's error can be held by a test.
fn form(text: &str) -> Result<Form, Why> {
    let head = text.trim_start();
    let has = |needle: &str| head.contains(needle);
    if ["ssh-", "ecdsa-", "sk-"].iter().any(|p| head.starts_with(p)) {
        return PublicKey::from_openssh(head.lines().next().unwrap_or_default().trim())
            .map(Form::PublicOnly)
            .map_err(|e| tr!("is a public key that cannot be read ({e}); name the private key's file", e = e));
    }
    if has("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let key = PrivateKey::from_openssh(head).map_err(|e| tr!("is damaged ({e}); restore it from a copy", e = e))?;
        if matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
            return Err(trs!("lives on a security key; load it into the ssh agent").into());
        }
        return Ok(if key.is_encrypted() {
            Form::Locked(Some(key.public_key().clone()))
        } else {
            Form::Open(Box::new(key))
        });
    }
    if has("-----BEGIN DSA PRIVATE KEY-----") {
        return Err(trs!("is a DSA key, which no current sshd accepts; make one with `ssh-keygen -t ed25519`").into());
    }
    if has("Proc-Type: 4,ENCRYPTED") {
        // The decoder knows one cipher, for RSA alone, and fails misleadingly on the rest.
        let known = has("-----BEGIN RSA PRIVATE KEY-----") && has("DEK-Info: AES-128-CBC,");
        let why = trs!("is encrypted in an old PEM way that is not supported; rewrite it with `ssh-keygen -p -f FILE`");
        return if known { Ok(Form::Locked(None)) } else { Err(why.into()) };
    }
    let ppk = head.starts_with("PuTTY-User-Key-File-");
    if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || (ppk && !has("Encryption: none")) {
        return Ok(Form::Locked(None));
    }
    if !ppk && !has("PRIVATE KEY-----") {
        return Err(trs!("is no private key; name the key's own file").into());
    }
    decode_secret_key(head, None)
        .map(|key| Form::Open(Box::new(key)))
        .map_err(|e| tr!("cannot be read ({e}); rewrite it with `ssh-keygen -p -f FILE`", e = e))
}

/// One file's key, as far as it got.
#[derive(Default)]
enum Slot {
    #[default]
    Unread,
    Ready(Arc<PrivateKey>),
    /// Nobody gave the passphrase.
    Declined,
}

/// All key files of this process, shared by all hosts.
pub(super) struct KeyFiles {
    questions: Arc<Questions>,
    slots: Mutex<HashMap<PathBuf, Arc<Mutex<Slot>>>>,
}

impl KeyFiles {
    /// None read yet.
    pub fn new(questions: Arc<Questions>) -> Self {
        Self { questions, slots: Mutex::default() }
    }

    /// Whether a key is there at all, with its public half where it can be had without a passphrase: from the file or
    /// from the `.pub` beside it. `Ok(None)` for a file that does not exist.
    pub async fn look(&self, path: &Path) -> Result<Option<Looked>, Why> {
        if let Some(key) = self.unlocked(path).await {
            return Ok(Some(Looked { public: Some(key.public_key().clone()), private: true, locked: false }));
        }
        let Some(text) = read(path).await? else { return Ok(None) };
        Ok(Some(match form(&text)? {
            Form::Open(key) => Looked { public: Some(key.public_key().clone()), private: true, locked: false },
            Form::PublicOnly(key) => Looked { public: Some(key), private: false, locked: false },
            Form::Locked(Some(key)) => Looked { public: Some(key), private: true, locked: true },
            Form::Locked(None) => {
                let beside = PathBuf::from(format!("{}.pub", path.display()));
                let public = read(&beside).await.ok().flatten().and_then(|t| PublicKey::from_openssh(t.trim()).ok());
                Looked { public, private: true, locked: true }
            }
        }))
    }

    /// The key, if it has been unlocked already; does not wait for a passphrase being asked.
    async fn unlocked(&self, path: &Path) -> Option<Arc<PrivateKey>> {
        let slot = self.slots.lock().await.get(path)?.clone();
        match slot.try_lock().as_deref() {
            Ok(Slot::Ready(key)) => Some(key.clone()),
            _ => None,
        }
    }

    /// The key itself; asks for its passphrase the first time, whoever else wants it meanwhile waits for the answer.
    pub async fn unlock(&self, path: &Path) -> Result<Arc<PrivateKey>, Why> {
        let slot = self.slots.lock().await.entry(path.to_owned()).or_default().clone();
        let mut slot = slot.lock().await;
        match &*slot {
            Slot::Ready(key) => return Ok(key.clone()),
            Slot::Declined => return Err(crate::lang::words(DECLINED).into()),
            Slot::Unread => {}
        }
        let text = read(path).await?.ok_or(trs!("is gone; name a file that exists"))?;
        let key = match form(&text)? {
            Form::Open(key) => *key,
            Form::PublicOnly(_) => return Err(trs!("is a public key; name the private key's file").into()),
            Form::Locked(_) => {
                let Some(key) = self.ask(path, &text).await? else {
                    *slot = Slot::Declined;
                    return Err(crate::lang::words(DECLINED).into());
                };
                key
            }
        };
        let key = Arc::new(key);
        *slot = Slot::Ready(key.clone());
        Ok(key)
    }

    /// Lets passphrases that were not given be asked for again.
    pub async fn forget_refusals(&self) {
        for slot in self.slots.lock().await.values() {
            if let Ok(mut slot) = slot.try_lock()
                && matches!(*slot, Slot::Declined)
            {
                *slot = Slot::Unread;
            }
        }
    }

    async fn ask(&self, path: &Path, text: &str) -> Result<Option<PrivateKey>, Why> {
        for attempt in 0..ATTEMPTS {
            let again = if attempt == 0 { "" } else { trs!("wrong, once more: ") };
            let Some(given) =
                self.questions.secret(&tr!("{again}passphrase of {path}", again = again, path = path.display())).await
            else {
                return Ok(None);
            };
            if let Some(key) = decrypt(SecretString::from(text), given).await {
                return Ok(Some(key));
            }
        }
        Err(tr!("did not open with any of {attempts} passphrases; load it with `ssh-add`", attempts = ATTEMPTS))
    }
}

/// What [`KeyFiles::look`] saw.
#[derive(Debug)]
pub(super) struct Looked {
    /// The public half, where it can be known.
    pub public: Option<PublicKey>,
    /// Whether the private half is here too.
    pub private: bool,
    /// Whether it still wants its passphrase.
    pub locked: bool,
}

async fn read(path: &Path) -> Result<Option<String>, Why> {
    match tokio::fs::read(path).await {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| trs!("is no private key in text form; rewrite it with `ssh-keygen -p -f FILE`").into()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(tr!("cannot be read ({e}); make it readable", e = e)),
    }
}

/// Off the async threads: the key derivation is slow on purpose.
async fn decrypt(text: SecretString, passphrase: SecretString) -> Option<PrivateKey> {
    tokio::task::spawn_blocking(move || {
        decode_secret_key(text.expose_secret().trim_start(), Some(passphrase.expose_secret())).ok()
    })
    .await
    .ok()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::remote::Asker;

    /// Gives the passphrases in turn, then nobody.
    struct Gives(Vec<&'static str>, AtomicUsize);

    #[async_trait::async_trait]
    impl Asker for Gives {
        async fn accept_host_key(&self, _: &crate::cluster::HostName, _: &str, _: &str, _: &str) -> bool {
            false
        }

        async fn secret(&self, _: &str) -> Option<SecretString> {
            self.0.get(self.1.fetch_add(1, Ordering::SeqCst)).map(|s| SecretString::from(*s))
        }
    }

    fn files(passphrases: &[&'static str]) -> (KeyFiles, Arc<Gives>) {
        let gives = Arc::new(Gives(passphrases.to_vec(), AtomicUsize::new(0)));
        (KeyFiles::new(Arc::new(Questions::new(gives.clone()))), gives)
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ssh").join(name)
    }

    #[tokio::test]
    async fn every_common_format_opens() {
        let (keys, gives) = files(&["fixture"; 9]);
        for (name, algorithm, asks) in [
            ("rsa-pkcs1.pem", "ssh-rsa", 0),
            ("ec-sec1.pem", "ecdsa-sha2-nistp256", 0),
            ("ed25519-pkcs8.pem", "ssh-ed25519", 0),
            ("ecdsa384-openssh", "ecdsa-sha2-nistp384", 0),
            ("ed25519-openssh-locked", "ssh-ed25519", 1),
            ("rsa-pkcs1-aes128.pem", "ssh-rsa", 2),
            ("rsa-pkcs8-encrypted.pem", "ssh-rsa", 3),
        ] {
            let key = keys.unlock(&fixture(name)).await.unwrap_or_else(|why| panic!("{name} {why}"));
            assert_eq!(key.algorithm().as_str(), algorithm, "{name}");
            assert_eq!(gives.1.load(Ordering::SeqCst), asks, "{name}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_says_why_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let (keys, gives) = files(&[]);
        for (path, words) in [
            (fixture("ec-sec1-aes128.pem"), "ssh-keygen -p"),
            (fixture("rsa-pkcs1-aes256.pem"), "ssh-keygen -p"),
            (write("dsa", "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n"), "ed25519"),
            (write("cert", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "is no private key"),
            (
                write("half", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"),
                "damaged",
            ),
            (dir.path().to_owned(), "cannot be read"),
        ] {
            let why = keys.look(&path).await.unwrap_err();
            assert!(why.contains(words), "{}: {why}", path.display());
        }
        assert!(keys.look(&dir.path().join("none")).await.unwrap().is_none());
        assert_eq!(gives.1.load(Ordering::SeqCst), 0, "nobody is asked about a key that cannot be used");
    }

    #[tokio::test]
    async fn the_public_half_is_known_before_any_passphrase() {
        let (keys, gives) = files(&[]);
        let looked = keys.look(&fixture("ed25519-openssh-locked")).await.unwrap().unwrap();
        assert!(looked.locked && looked.private && looked.public.is_some());
        let public = keys.look(&fixture("rsa.pub")).await.unwrap().unwrap();
        assert!(!public.private && public.public.is_some(), "a .pub file names a key of the agent");
        assert_eq!(gives.1.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_wrong_passphrase_is_asked_again_and_a_missing_one_is_not() {
        let path = fixture("ed25519-openssh-locked");
        let (keys, gives) = files(&["wrong", "fixture"]);
        keys.unlock(&path).await.unwrap();
        assert_eq!(gives.1.load(Ordering::SeqCst), 2);

        let (keys, gives) = files(&[]);
        for _ in 0..3 {
            assert!(keys.unlock(&path).await.unwrap_err().contains("ssh-add"));
        }
        assert_eq!(gives.1.load(Ordering::SeqCst), 1, "once for all hosts");
        keys.forget_refusals().await;
        assert!(keys.unlock(&path).await.is_err());
        assert_eq!(gives.1.load(Ordering::SeqCst), 2, "a new try asks anew");
    }
}
