//! The handshake rehearsal: every member and the joiner, both ways on the peer port, before `member add`.
//!
//! On the joiner a lone etcd runs for it, with the real binary, user, certificates and ports but a token and a scratch
//! directory of its own. The connections are dialled through each host's own sshd, so they come from its own address: what
//! a firewall, NAT or a wrong SAN would break later breaks here.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Act, ActCx, ActError, handshake,
    run::stat_one,
    wait::{next_look, waiting},
};
use crate::{
    cluster::{Cluster, EtcdPair, Node},
    engine::plan::Shown,
    remote::{Io, Op, Stdin, shell},
    survey::FileKind,
};

/// Most time for the lone etcd to listen.
const LISTENS: Duration = Duration::from_secs(30);

/// Most time between two looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The lone etcd's directory.
const SCRATCH: &str = "/var/tmp/banister-rehearsal";

/// Tries every handshake that the joiner's membership will need.
#[derive(Debug, Clone)]
pub struct Rehearse {
    /// The cluster file.
    pub cluster: Arc<Cluster>,
    /// The joiner.
    pub joiner: Node,
    /// The members of now.
    pub members: Vec<Node>,
    /// Where the proofs go.
    pub proofs: Arc<Mutex<Vec<String>>>,
}

impl Rehearse {
    fn op(&self) -> Op {
        let etcd = &self.cluster.etcd;
        let pair = |p| (etcd.cert(p), etcd.key(p));
        Op::RehearsalEtcd {
            bin: etcd.bin.clone(),
            user: etcd.user.clone(),
            scratch: SCRATCH.into(),
            peer_url: self.cluster.peer_url(&self.joiner),
            client_url: self.cluster.client_url(&self.joiner),
            ca: etcd.ca(),
            peer: pair(EtcdPair::Peer),
            server: pair(EtcdPair::Server),
        }
    }

    /// Waits for the lone etcd to answer on the joiner itself, then tries every direction.
    async fn try_all(&self, cx: &ActCx) -> Result<Vec<String>, ActError> {
        let etcd = &self.cluster.etcd;
        let began = Instant::now();
        let own = handshake::client(&self.cluster, &cx.remote, &self.joiner, EtcdPair::Peer).await?;
        while let Err(why) = handshake::ask(&cx.remote, &own, &self.joiner, &self.joiner, etcd.peer_port).await {
            let what = tr!("the lone etcd on {name} does not answer itself: {why}", name = self.joiner.name, why = why);
            waiting(cx, &what, began, LISTENS)?;
            next_look(began, LOOK_EVERY).await;
        }
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for member in &self.members {
            let peer = handshake::client(&self.cluster, &cx.remote, member, EtcdPair::Peer).await?;
            let client = handshake::client(&self.cluster, &cx.remote, member, EtcdPair::Client).await?;
            let ways = [
                (member, &self.joiner, etcd.peer_port, &peer),
                (&self.joiner, member, etcd.peer_port, &own),
                (member, &self.joiner, etcd.client_port, &client),
            ];
            for (from, to, port, with) in ways {
                let way = format!("{} → {}:{port}", from.name, to.name);
                match handshake::ask(&cx.remote, with, from, to, port).await {
                    Ok(()) => good.push(tr!("{way} good", way = way)),
                    Err(why) => bad.push(format!("{way}: {why}")),
                }
                cx.say(
                    bad.last().filter(|b| b.starts_with(&way)).cloned().unwrap_or_else(|| tr!("{way} good", way = way)),
                );
            }
        }
        if bad.is_empty() { Ok(good) } else { Err(ActError::NotProven(bad.join("; "))) }
    }
}

#[async_trait]
impl Act for Rehearse {
    fn shown(&self) -> Shown {
        let mut ways = String::new();
        for m in &self.members {
            use std::fmt::Write as _;
            let j = &self.joiner;
            let (peer, client) = (self.cluster.etcd.peer_port, self.cluster.etcd.client_port);
            let _ = write!(
                ways,
                "{}",
                tr!(
                    "\n# GET https://{address}:{peer}/version from {name}, with its peer pair\n# GET https://{from_host}:{peer}/version from {member}, with its peer pair\n# GET https://{from_client}:{client}/version from {member_client}, with its client pair",
                    address = j.address,
                    peer = peer,
                    name = m.name,
                    from_host = m.address,
                    member = j.name,
                    from_client = j.address,
                    client = client,
                    member_client = m.name
                )
            );
        }
        Shown {
            host: Some(self.joiner.name.clone()),
            title: tr!(
                "rehearse the handshakes between {name} and {members} members",
                name = self.joiner.name,
                members = self.members.len()
            ),
            commands: format!("{}{ways}", shell::render(&self.op()).script),
        }
    }

    async fn act(&self, cx: &ActCx) -> Result<(), ActError> {
        let tried = match self.lone(cx).await? {
            Ok(tried) => tried,
            // A command that an earlier run sent into a line that was cut may arrive only now, since the kernel sends it again
            // until the host is back: two of them on the same ports and directory. That one ends with its run's connection.
            Err(ended) => {
                cx.say(ended.to_string());
                self.gone(cx).await?;
                self.lone(cx).await??
            }
        };
        *self.proofs.lock().unwrap_or_else(PoisonError::into_inner) = tried?;
        self.gone(cx).await
    }
}

/// What the tries gave.
type Tried = Result<Vec<String>, ActError>;

impl Rehearse {
    /// Runs the lone etcd for as long as the tries take; or says why it ended by itself.
    async fn lone(&self, cx: &ActCx) -> Result<Result<Tried, ActError>, ActError> {
        let op = self.op();
        let (lines, mut arriving) = tokio::sync::mpsc::unbounded_channel();
        // Ends with its channel: when the tries are over, the future is dropped.
        let lone =
            cx.remote.run(&self.joiner.name, &op, Io { stdin: Stdin::Empty, lines: Some(lines), ..Io::default() });
        tokio::select! {
            tried = self.try_all(cx) => Ok(Ok(tried)),
            ended = lone => {
                let mut last = Vec::new();
                while let Ok(line) = arriving.try_recv() {
                    cx.say(line.clone());
                    last.push(line);
                }
                let status = ended?.status;
                Ok(Err(ActError::NotProven(tr!(
                    "{name}: the lone etcd ended with status {status}: {why}",
                    name = self.joiner.name,
                    status = status,
                    why = last.last().map_or(trs!("no word of why; look at its binary and certificates"), String::as_str)
                ))))
            }
        }
    }

    /// Waits until the lone etcd has given the ports back, which the real one is about to want, and until its directory is gone:
    /// what comes next may be a reboot.
    async fn gone(&self, cx: &ActCx) -> Result<(), ActError> {
        let began = Instant::now();
        let ports = vec![self.cluster.etcd.peer_port, self.cluster.etcd.client_port];
        let op = Op::Facts { ports, space: Vec::new(), programs: Vec::new() };
        loop {
            let asked = std::time::SystemTime::now();
            let out = crate::remote::run_ok(&*cx.remote, &self.joiner.name, &op).await?;
            let facts = crate::survey::facts::parse(&out.text(), asked, std::time::SystemTime::now());
            let name = &self.joiner.name;
            let what = if facts.is_ok_and(|f| f.listeners.is_empty()) {
                if stat_one(&cx.remote, name, Path::new(SCRATCH)).await?.kind == FileKind::Absent {
                    return Ok(());
                }
                tr!("{path} on {name} is not removed yet", path = SCRATCH, name = name)
            } else {
                tr!("the lone etcd on {name} still holds its ports", name = name)
            };
            waiting(cx, &what, began, LISTENS)?;
            next_look(began, LOOK_EVERY).await;
        }
    }
}
