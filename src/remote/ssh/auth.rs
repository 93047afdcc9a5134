//! Logging in: the cluster file's own key first (through the agent or from its file), then the user's keys, then what a
//! person has to answer. Every way tried is written down for the error.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use russh::{
    MethodKind, MethodSet, SendError, Signer,
    client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Interactive},
    keys::{
        Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::UnixStream, sync::Mutex, time::timeout};

use crate::{cluster::HostName, remote::clean};

use super::{ask::Questions, handler::Client, keys::KeyFiles, settings::Resolved};

/// Most time a host may take to answer one step of a login (PAM modules may sleep or look names up).
const STEP: Duration = Duration::from_secs(20);
/// Most time the agent may take to sign: it may ask its owner to confirm or to touch a security key.
const AGENT_SIGNS: Duration = Duration::from_mins(1);
/// Most time the agent may take to list its keys.
const AGENT_LISTS: Duration = Duration::from_secs(5);
/// How many factors (partial successes) a login may have.
const FACTORS: usize = 4;
/// How often a wrong answer may be corrected.
const ANSWERS: usize = 3;

/// What a person answered at one host, by prompt: re-dials need no second prompt.
#[derive(Default)]
pub(super) struct Answers(Mutex<HashMap<String, SecretString>>);

/// Why a login did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// All ways were refused; the reason lists them and ends in the remedy.
    Refused(String),
    /// The host hung up while a person was being asked: worth one more dial, the answers are remembered.
    Impatient,
}

/// The hash of a signature, for the keys that leave a choice.
#[derive(Clone, Copy)]
struct Hash(Option<HashAlg>);

/// What a host takes RSA signatures with.
enum RsaHash {
    Sha2(HashAlg),
    Sha1Only,
}

/// What one factor came to.
enum Factor {
    In(String),
    Partial(String),
    Out,
}

/// A key to offer.
#[derive(Clone)]
struct Candidate {
    label: String,
    public: Option<PublicKey>,
    locked: bool,
    /// `None`: through the agent.
    file: Option<PathBuf>,
}

/// One login on one connection.
pub(super) struct Login<'a> {
    handle: &'a mut Handle<Client>,
    host: &'a HostName,
    to: &'a Resolved,
    keys: &'a KeyFiles,
    questions: &'a Questions,
    answers: &'a Answers,
    tried: Vec<String>,
    /// Keys that are of no more use on this connection: refused, or accepted as one factor.
    spent: Vec<PublicKey>,
    remaining: MethodSet,
    /// What the host takes RSA signatures with, once asked.
    rsa: Option<RsaHash>,
    /// A person is being asked, or was in this exchange: the host may have lost patience meanwhile.
    asked: bool,
    /// Nobody answered, or wrongly: the same as a password need not be asked for.
    unanswered: bool,
}

impl<'a> Login<'a> {
    /// On a connection that has just shaken hands.
    pub fn new(
        handle: &'a mut Handle<Client>,
        host: &'a HostName,
        to: &'a Resolved,
        keys: &'a KeyFiles,
        questions: &'a Questions,
        answers: &'a Answers,
    ) -> Self {
        Self {
            handle,
            host,
            to,
            keys,
            questions,
            answers,
            tried: Vec::new(),
            spent: Vec::new(),
            remaining: MethodSet::empty(),
            rsa: None,
            asked: false,
            unanswered: false,
        }
    }

    /// Logs in; gives back by what, such as `key ~/.ssh/id_ed25519`.
    pub async fn run(mut self) -> Result<String, Stop> {
        let none = self.handle.authenticate_none(self.to.user.clone());
        let none = timeout(STEP, none).await;
        if self.judge(none)?.is_some() {
            return Ok(trs!("nothing (the host asks for no proof)").into());
        }
        let candidates = self.candidates().await;
        let mut factors = Vec::new();
        for _ in 0..FACTORS {
            match self.factor(&candidates).await? {
                Factor::In(how) => {
                    factors.push(how);
                    return Ok(factors.join(" and "));
                }
                Factor::Partial(how) => {
                    self.tried.push(tr!("{how}: accepted, the host wants one more", how = how));
                    factors.push(how);
                }
                Factor::Out => break,
            }
        }
        Err(Stop::Refused(self.why()))
    }

    fn why(&self) -> String {
        let tried = if self.tried.is_empty() { trs!("no key was found to try").into() } else { self.tried.join("; ") };
        let accepts: Vec<&str> = self.remaining.iter().map(Into::into).collect();
        tr!(
            "{tried}; the host accepts {accepts}; check ssh.user and ssh.identity, and that the key is in the host's authorized_keys",
            tried = tried,
            accepts = if accepts.is_empty() { trs!("nothing more").into() } else { accepts.join(", ") }
        )
    }

    fn allows(&self, method: MethodKind) -> bool {
        self.remaining.contains(&method)
    }

    /// `Some(true)`: in. `Some(false)`: one factor accepted. `None`: refused. An error: no use going on.
    fn judge<E>(
        &mut self,
        result: Result<Result<AuthResult, E>, tokio::time::error::Elapsed>,
    ) -> Result<Option<bool>, Stop> {
        match result {
            Err(_) => {
                self.tried.push(tr!("no answer within {deadline} s", deadline = STEP.as_secs()));
                Err(Stop::Refused(self.why()))
            }
            Ok(Err(_)) => Err(self.closed()),
            Ok(Ok(AuthResult::Success)) => Ok(Some(true)),
            Ok(Ok(AuthResult::Failure { remaining_methods, partial_success })) => {
                if remaining_methods.is_empty() {
                    return Err(self.closed());
                }
                self.remaining = remaining_methods;
                Ok(partial_success.then_some(false))
            }
        }
    }

    fn closed(&mut self) -> Stop {
        if self.asked {
            return Stop::Impatient;
        }
        self.tried.push(
            trs!("the host closed the connection (too many keys offered? then name the one to use as ssh.identity)")
                .into(),
        );
        Stop::Refused(self.why())
    }

    async fn factor(&mut self, candidates: &[Candidate]) -> Result<Factor, Stop> {
        if self.allows(MethodKind::PublicKey) {
            for candidate in candidates {
                if candidate.public.as_ref().is_some_and(|k| self.spent.iter().any(|s| s.key_data() == k.key_data())) {
                    continue;
                }
                match self.offer(candidate).await? {
                    Factor::Out => {}
                    got => return Ok(got),
                }
            }
        }
        if self.allows(MethodKind::KeyboardInteractive) {
            match self.interactive().await? {
                Factor::Out => {}
                got => return Ok(got),
            }
        }
        if self.allows(MethodKind::Password) && !self.unanswered {
            return self.password().await;
        }
        Ok(Factor::Out)
    }

    // ---- keys ----------------------------------------------------------------------------------------------------

    async fn candidates(&mut self) -> Vec<Candidate> {
        let agent = self.agent_keys().await;
        let held = |key: &Option<PublicKey>| {
            key.as_ref().is_some_and(|k| agent.iter().any(|(a, _)| a.key_data() == k.key_data()))
        };
        let through_agent = |label: &str, key: PublicKey| Candidate {
            label: tr!("key {label} (agent)", label = label),
            public: Some(key),
            locked: false,
            file: None,
        };
        let mut all = Vec::new();
        let mut files = Vec::new();
        let own = self.to.identity.iter().map(|p| (p, true));
        for (path, named) in own.chain(self.to.identities.iter().map(|p| (p, false))) {
            let label = path.display().to_string();
            match self.keys.look(path).await {
                Ok(None) if named => self.tried.push(tr!("key {label}: no such file", label = label)),
                Ok(None) => {}
                Err(why) => self.tried.push(tr!("key {label} {why}", label = label, why = why)),
                Ok(Some(looked)) => {
                    if held(&looked.public) {
                        all.extend(looked.public.clone().map(|k| through_agent(&label, k)));
                    }
                    let file = Candidate {
                        label: tr!("key {label}", label = label),
                        public: looked.public,
                        locked: looked.locked,
                        file: Some(path.clone()),
                    };
                    match (looked.private, named) {
                        (true, true) => all.push(file),
                        (true, false) => files.push(file),
                        (false, _) => {}
                    }
                }
            }
        }
        if !self.to.identities_only {
            all.extend(agent.iter().map(|(key, comment)| through_agent(comment, key.clone())));
        }
        all.extend(files);
        all
    }

    async fn agent_keys(&mut self) -> Vec<(PublicKey, String)> {
        let Some(path) = &self.to.agent else { return Vec::new() };
        let listed = timeout(AGENT_LISTS, async { AgentClient::connect_uds(path).await?.request_identities().await });
        match listed.await {
            Ok(Ok(all)) => all
                .into_iter()
                .filter_map(|identity| match identity {
                    AgentIdentity::PublicKey { key, comment } => Some((key, clean::line(&comment))),
                    AgentIdentity::Certificate { .. } => None,
                })
                .collect(),
            Ok(Err(e)) => {
                self.tried.push(tr!("agent: {e}", e = e));
                Vec::new()
            }
            Err(_) => {
                self.tried.push(tr!("agent: no answer within {deadline} s", deadline = AGENT_LISTS.as_secs()));
                Vec::new()
            }
        }
    }

    async fn offer(&mut self, candidate: &Candidate) -> Result<Factor, Stop> {
        let result = match (&candidate.file, &candidate.public) {
            (None, Some(public)) => self.offer_agents(candidate, public).await?,
            (None, None) => return Ok(Factor::Out),
            (Some(path), public) => {
                if let Some(public) = public
                    && candidate.locked
                    && !self.wanted(public).await?
                {
                    self.refused(candidate);
                    return Ok(Factor::Out);
                }
                // Waiting here may mean waiting for a person: the host may hang up meanwhile.
                self.asked |= candidate.locked;
                let key = match self.keys.unlock(path).await {
                    Ok(key) => key,
                    Err(why) => {
                        self.asked = false;
                        self.tried.push(format!("{} {why}", candidate.label));
                        return Ok(Factor::Out);
                    }
                };
                let Some(Hash(hash)) = self.hash_for(key.public_key()).await? else {
                    self.tried.push(format!("{}: {}", candidate.label, crate::lang::words(SHA1_ONLY)));
                    return Ok(Factor::Out);
                };
                let key = PrivateKeyWithHashAlg::new(key, hash);
                let result = timeout(STEP, self.handle.authenticate_publickey(self.to.user.clone(), key)).await;
                let judged = self.judge(result)?;
                self.asked = false;
                judged
            }
        };
        let Some(done) = result else {
            self.refused(candidate);
            return Ok(Factor::Out);
        };
        self.spent.extend(candidate.public.clone());
        let how = candidate.label.clone();
        Ok(if done { Factor::In(how) } else { Factor::Partial(how) })
    }

    fn refused(&mut self, candidate: &Candidate) {
        self.tried.push(tr!("{label}: refused", label = candidate.label));
        self.spent.extend(candidate.public.clone());
    }

    async fn offer_agents(&mut self, candidate: &Candidate, public: &PublicKey) -> Result<Option<bool>, Stop> {
        let Some(path) = self.to.agent.clone() else { return Ok(None) };
        let Some(Hash(hash)) = self.hash_for(public).await? else {
            self.tried.push(format!("{}: {}", candidate.label, crate::lang::words(SHA1_ONLY)));
            return Ok(None);
        };
        // A connection of its own: an agent answers one session at a time.
        let Ok(Ok(mut agent)) = timeout(AGENT_LISTS, AgentClient::<UnixStream>::connect_uds(&path)).await else {
            self.tried.push(tr!("{label}: the agent does not answer", label = candidate.label));
            return Ok(None);
        };
        if let Some(binding) = self.handle.agent_session_binding() {
            // Only agents with destination constraints care; the others say no and sign all the same.
            let _ = timeout(AGENT_LISTS, agent.bind_session(binding, false)).await;
        }
        let user = self.to.user.clone();
        let signing = self.handle.authenticate_publickey_with(user, public.clone(), hash, &mut agent);
        match timeout(AGENT_SIGNS, signing).await {
            Ok(Err(e)) if !self.handle.is_closed() => {
                self.tried.push(tr!("{label}: the agent did not sign ({e})", label = candidate.label, e = e));
                Ok(None)
            }
            other => self.judge(other),
        }
    }

    /// Whether the host would take that key, asked before a person is asked for its passphrase.
    async fn wanted(&mut self, public: &PublicKey) -> Result<bool, Stop> {
        let Some(Hash(hash)) = self.hash_for(public).await? else { return Ok(false) };
        let mut probe = Probe::default();
        let asked = self.handle.authenticate_publickey_with(self.to.user.clone(), public.clone(), hash, &mut probe);
        let result = timeout(STEP, asked).await;
        if probe.wanted {
            return Ok(true);
        }
        self.judge(result).map(|_| false)
    }

    /// The hash to sign with; `None` where the host takes only SHA-1.
    async fn hash_for(&mut self, key: &PublicKey) -> Result<Option<Hash>, Stop> {
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return Ok(Some(Hash(None)));
        }
        if self.rsa.is_none() {
            self.rsa = Some(match timeout(STEP, self.handle.best_supported_rsa_hash()).await {
                Ok(Ok(Some(Some(best)))) => RsaHash::Sha2(best),
                Ok(Ok(Some(None))) => RsaHash::Sha1Only,
                // It does not say: SHA-2 is what every sshd since 7.2 takes.
                Ok(Ok(None)) => RsaHash::Sha2(HashAlg::Sha256),
                _ => return Err(self.closed()),
            });
        }
        Ok(match self.rsa {
            Some(RsaHash::Sha2(hash)) => Some(Hash(Some(hash))),
            _ => None,
        })
    }

    // ---- what a person answers -------------------------------------------------------------------------------------

    async fn interactive(&mut self) -> Result<Factor, Stop> {
        let mut remembered = !self.answers.0.lock().await.is_empty();
        for _ in 0..ANSWERS + usize::from(remembered) {
            let (answered, result) = self.conversation(remembered).await?;
            remembered = false;
            self.asked = false;
            if let Some(done) = result {
                let how = "keyboard-interactive".to_owned();
                return Ok(if done { Factor::In(how) } else { Factor::Partial(how) });
            }
            if !answered {
                self.tried.push(trs!("keyboard-interactive: nobody answered").into());
                self.unanswered = true;
                return Ok(Factor::Out);
            }
            if !self.allows(MethodKind::KeyboardInteractive) {
                break;
            }
        }
        self.wrong(trs!("keyboard-interactive: the answers were wrong")).await
    }

    /// One exchange of prompts and answers. Gives back whether every prompt got an answer.
    async fn conversation(&mut self, remembered: bool) -> Result<(bool, Option<bool>), Stop> {
        let mut answered = true;
        let start = self.handle.authenticate_keyboard_interactive_start(self.to.user.clone(), None::<String>);
        let mut reply = timeout(STEP, start).await;
        for _ in 0..MAX_EXCHANGES {
            let (prompts, instructions) = match reply {
                Ok(Ok(Interactive::InfoRequest { prompts, instructions, .. })) => (prompts, instructions),
                other => return Ok((answered, self.judge(other.map(|r| r.map(into_auth_result)))?)),
            };
            // A request without prompts is answered with none; nobody answering still has to send something.
            let mut answers = Vec::with_capacity(prompts.len());
            for prompt in prompts {
                let answer = if answered { self.answer(&prompt.prompt, &instructions, remembered).await } else { None };
                answered &= answer.is_some();
                answers.push(answer.as_ref().map(|a| a.expose_secret().to_owned()).unwrap_or_default());
            }
            reply = timeout(STEP, self.handle.authenticate_keyboard_interactive_respond(answers)).await;
        }
        Ok((answered, None))
    }

    /// An answer given before, or a person's; remembered at once, since the host may hang up before it hears it.
    async fn answer(&mut self, prompt: &str, instructions: &str, replay: bool) -> Option<SecretString> {
        if replay && let Some(known) = self.answers.0.lock().await.get(prompt).cloned() {
            return Some(known);
        }
        self.asked = true;
        let text = format!("{}@{}: {instructions} {prompt}", self.to.user, self.host);
        let given = self.questions.secret(&text.split_whitespace().collect::<Vec<_>>().join(" ")).await?;
        self.answers.0.lock().await.insert(prompt.to_owned(), given.clone());
        Some(given)
    }

    async fn password(&mut self) -> Result<Factor, Stop> {
        let mut remembered = self.answers.0.lock().await.contains_key(PASSWORD);
        for _ in 0..ANSWERS + usize::from(remembered) {
            let Some(password) = self.answer(PASSWORD, "", std::mem::take(&mut remembered)).await else {
                self.tried.push(trs!("password: nobody answered").into());
                self.unanswered = true;
                return Ok(Factor::Out);
            };
            let user = self.to.user.clone();
            let result = timeout(STEP, self.handle.authenticate_password(user, password.expose_secret())).await;
            let judged = self.judge(result)?;
            self.asked = false;
            if let Some(done) = judged {
                let how = "password".to_owned();
                return Ok(if done { Factor::In(how) } else { Factor::Partial(how) });
            }
            if !self.allows(MethodKind::Password) {
                break;
            }
        }
        self.wrong(trs!("password: wrong")).await
    }

    async fn wrong(&mut self, how: &str) -> Result<Factor, Stop> {
        self.answers.0.lock().await.clear();
        self.tried.push(how.into());
        self.unanswered = true;
        Ok(Factor::Out)
    }
}

/// Most requests a host may make in one keyboard-interactive exchange.
const MAX_EXCHANGES: usize = 16;
const PASSWORD: &str = "password:";
const SHA1_ONLY: &str = mark!("the host takes RSA signatures with SHA-1 only; use an ed25519 key");

fn into_auth_result(reply: Interactive) -> AuthResult {
    match reply {
        Interactive::Success => AuthResult::Success,
        Interactive::Failure { remaining_methods, partial_success } => {
            AuthResult::Failure { remaining_methods, partial_success }
        }
        Interactive::InfoRequest { .. } => {
            AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false }
        }
    }
}

/// A signer that never signs: it learns whether the host would have wanted the signature.
#[derive(Default)]
struct Probe {
    wanted: bool,
}

/// [`Probe`]'s way of not signing.
#[derive(Debug, thiserror::Error)]
enum NotSigned {
    #[error("only asked")]
    Asked,
    #[error(transparent)]
    Send(#[from] SendError),
}

impl Signer for Probe {
    type Error = NotSigned;

    async fn auth_sign(&mut self, _: &AgentIdentity, _: Option<HashAlg>, _: Vec<u8>) -> Result<Vec<u8>, NotSigned> {
        self.wanted = true;
        Err(NotSigned::Asked)
    }
}
