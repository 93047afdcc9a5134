//! Questions while logging in, on the terminal, without a screen.

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Mutex;

use crate::{
    cluster::HostName,
    remote::{Asker, clean},
};

/// Asks on the controlling terminal, one question at a time.
#[derive(Debug, Default)]
pub(super) struct Tty {
    one: std::sync::Arc<Mutex<()>>,
}

#[async_trait]
impl Asker for Tty {
    async fn accept_host_key(&self, host: &HostName, address: &str, key_type: &str, fingerprint: &str) -> bool {
        let _one = self.one.lock().await;
        let question = tr!(
            "{host} ({address}) shows an unknown {key_type} key:\n  {fingerprint}\nCompare it with the host's own. Is it the right one? Type yes: ",
            host = host,
            address = address,
            key_type = key_type,
            fingerprint = fingerprint
        );
        let answer = tokio::task::spawn_blocking(move || {
            eprint!("{}", clean::text(&question));
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        answer.await.is_ok_and(|line| line.is_ok_and(|l| l.trim() == "yes"))
    }

    async fn secret(&self, prompt: &str) -> Option<SecretString> {
        let _one = self.one.lock().await;
        let prompt = format!("{} ", clean::line(prompt));
        let read = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await.ok()?.ok()?;
        Some(SecretString::from(read))
    }
}
