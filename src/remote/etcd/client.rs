//! Asking etcd and changing its membership, each member through its own host, every call with a deadline.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use etcd_client::{Channel, Client, MemberAddOptions};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

use super::{
    EtcdError, Member, Membership, Version,
    error::{ConnectError, broken, translate},
};
use crate::{
    cluster::HostName,
    remote::{
        BoxStream, SharedRemote, Target,
        tls::{Problem, TlsClient, TlsError},
    },
};

/// Most time a member is given for an answer.
pub const LOOK: Duration = Duration::from_secs(3);
/// Most time for a change: etcd itself gives up after 5 s and two election timeouts.
pub const CHANGE: Duration = Duration::from_secs(10);
/// What etcd puts into a new member's id, beside its addresses: the second (`membership.NewMember`).
const SECOND: Duration = Duration::from_secs(1);

/// How this cluster's etcd is reached.
#[derive(Debug, Clone)]
pub struct EtcdAccess {
    /// The CA, the client certificate, and how strictly served certificates are taken.
    pub tls: TlsClient,
    /// Client port.
    pub client_port: u16,
    /// The masters of now, the ones that are asked for the member list.
    pub originals: Vec<HostName>,
    /// Every host that is or becomes a member, with its address.
    pub addresses: BTreeMap<HostName, IpAddr>,
}

impl EtcdAccess {
    /// The host with that address.
    pub(super) fn host_at(&self, address: IpAddr) -> Option<&HostName> {
        self.addresses.iter().find(|(_, a)| **a == address).map(|(host, _)| host)
    }
}

/// etcd's API. Cheap to share behind an `Arc`; connections are kept, and made anew when they fail.
pub struct EtcdApi {
    remote: SharedRemote,
    pub(super) access: EtcdAccess,
    look: Duration,
    change: Duration,
    clients: Mutex<HashMap<(HostName, Target), Client>>,
    tolerated: Tolerated,
}

impl std::fmt::Debug for EtcdApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdApi").field("access", &self.access).finish_non_exhaustive()
    }
}

/// One of etcd's services, as seen from a host.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub via: HostName,
    pub target: Target,
}

impl EtcdApi {
    /// Nothing is dialled yet.
    pub fn new(remote: SharedRemote, access: EtcdAccess) -> Self {
        let (clients, tolerated) = (Mutex::default(), Tolerated::default());
        Self { remote, access, look: LOOK, change: CHANGE, clients, tolerated }
    }

    /// With other deadlines than [`LOOK`] and [`CHANGE`].
    #[must_use]
    pub fn with_deadlines(mut self, look: Duration, change: Duration) -> Self {
        (self.look, self.change) = (look, change);
        self
    }

    /// What was tolerated of the members' certificates, by host; empty when they hold or trust is strict.
    pub fn tolerated(&self) -> BTreeMap<HostName, Vec<Problem>> {
        self.tolerated.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a learner; its id. Refused before anything is sent unless every member is known to run 3.4.0 or later: older
    /// ones silently add a voter.
    pub async fn add_learner(&self, peer_url: &str) -> Result<u64, EtcdError> {
        let seen = self.look().await?;
        for member in &seen.members {
            let version = member.status.as_ref().ok().and_then(|s| Version::parse(&s.version));
            if !version.is_some_and(Version::has_learners) {
                let member = if member.started() { member.name.clone() } else { format!("member {:x}", member.id) };
                return Err(EtcdError::NoLearners { member, version });
            }
        }
        match self.add(&seen, peer_url, Some(MemberAddOptions::new().with_is_learner())).await? {
            (id, true) => Ok(id),
            (id, false) => Err(EtcdError::AddedAsVoter { id }),
        }
    }

    /// Adds a voter at once; its id. From then on it counts for quorum, started or not.
    pub async fn add_voter(&self, peer_url: &str) -> Result<u64, EtcdError> {
        let seen = self.look().await?;
        self.add(&seen, peer_url, None).await.map(|(id, _)| id)
    }

    /// The new member's id, and whether it is a learner.
    async fn add(
        &self,
        seen: &Membership,
        peer_url: &str,
        options: Option<MemberAddOptions>,
    ) -> Result<(u64, bool), EtcdError> {
        let (what, urls) = ("member add", [peer_url.to_owned()]);
        let door = self.door_of_leader(seen)?;
        let ask = || {
            let (urls, options) = (urls.clone(), options.clone());
            self.ask(&door, what, self.change, |mut c| async move { c.member_add(urls, options).await })
        };
        let answer = match ask().await {
            // The addresses were added and removed within this second: their id is that of a removed member.
            Err(EtcdError::Refused { why, .. }) if why.contains("member not found") => {
                tokio::time::sleep(SECOND).await;
                ask().await?
            }
            other => other?,
        };
        let member = answer.member().map(|m| (m.id(), m.is_learner()));
        member.ok_or_else(|| EtcdError::Unexpected { host: door.via, what, why: trs!("it names no member").into() })
    }

    /// Makes a learner a voter. [`EtcdError::NotInSync`] means: not yet, ask again.
    ///
    /// A learner that has never started is refused here, because etcd before 3.4.24 and 3.5.7 would promote it.
    pub async fn promote(&self, id: u64) -> Result<(), EtcdError> {
        let seen = self.look().await?;
        let member = seen.members.iter().find(|m| m.id == id).ok_or(EtcdError::NoSuchMember { id })?;
        if !member.started() {
            return Err(EtcdError::NotStarted { id });
        }
        let door = self.door_of_leader(&seen)?;
        match self.ask(&door, "member promote", self.change, |mut c| async move { c.member_promote(id).await }).await {
            Ok(_) => Ok(()),
            Err(EtcdError::Refused { host, why, .. }) if why.contains("in sync with leader") => {
                Err(EtcdError::NotInSync { host, id })
            }
            Err(e) => Err(e),
        }
    }

    /// Removes a member for good: its data directory cannot be used again.
    pub async fn remove(&self, id: u64) -> Result<(), EtcdError> {
        let seen = self.look().await?;
        // Not through the member itself: it would go before it can answer.
        let others = seen.members.iter().filter(|m| m.id != id);
        let door =
            match others.clone().find(|m| Some(m.id) == seen.leader()).or_else(|| others.clone().find(|m| m.healthy()))
            {
                Some(member) => self.door_of(member).unwrap_or(self.door(&seen.asked)?),
                None => self.door(&seen.asked)?,
            };
        self.ask(&door, "member remove", self.change, |mut c| async move { c.member_remove(id).await })
            .await
            .map(|_| ())
    }

    /// Hands the leadership to a voter; asked of the leader, who alone can. Done at once where it leads already.
    pub async fn move_leader(&self, to: u64) -> Result<(), EtcdError> {
        let seen = self.look().await?;
        let leader = seen.leader().filter(|id| *id != 0);
        let leader =
            leader.ok_or_else(|| EtcdError::NoLeader { why: trs!("the members agree on no leader").into() })?;
        if leader == to {
            return Ok(());
        }
        let door = seen.members.iter().find(|m| m.id == leader).and_then(|m| self.door_of(m));
        let door = door.ok_or_else(|| EtcdError::NoLeader {
            why: tr!("the leader {leader} is on no known host", leader = format_args!("{leader:x}")),
        })?;
        self.ask(&door, "move-leader", self.change, |mut c| async move { c.move_leader(to).await }).await.map(|_| ())
    }

    /// The leader's own port where it is known, else that of whoever gave the list: changes pass through the leader anyway.
    fn door_of_leader(&self, seen: &Membership) -> Result<Door, EtcdError> {
        let leader = seen.leader().and_then(|id| seen.members.iter().find(|m| m.id == id));
        leader.and_then(|m| self.door_of(m)).map_or_else(|| self.door(&seen.asked), Ok)
    }

    fn door_of(&self, member: &Member) -> Option<Door> {
        member.host.as_ref().and_then(|host| self.door(host).ok())
    }

    /// A host's own etcd, dialled from that host.
    pub(super) fn door(&self, host: &HostName) -> Result<Door, EtcdError> {
        match self.access.addresses.get(host) {
            Some(address) => {
                Ok(Door { via: host.clone(), target: Target { address: *address, port: self.access.client_port } })
            }
            None => Err(EtcdError::UnknownHost { host: host.clone() }),
        }
    }

    /// Most time for one answer of a member.
    pub(super) fn patience(&self) -> Duration {
        self.look
    }

    /// One call, with its deadline. The connection is dropped when it fails, so that the next call makes it anew.
    pub(super) async fn ask<T, F>(
        &self,
        door: &Door,
        what: &'static str,
        deadline: Duration,
        call: impl FnOnce(Client) -> F + Send,
    ) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        // Connecting has a deadline of its own: nothing has been asked yet, so nothing can have happened.
        let client = self.client(door).await?;
        let host = &door.via;
        let answer = match tokio::time::timeout(deadline, call(client)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(e)) => translate(host, what, &e),
            Err(_) => EtcdError::Timeout { host: host.clone(), what, seconds: deadline.as_secs() },
        };
        if !matches!(answer, EtcdError::Refused { .. }) {
            self.forget(door);
        }
        match answer {
            EtcdError::Lost { host, what, why } => {
                let why = self.reason(door).await.unwrap_or(why);
                Err(EtcdError::Lost { host, what, why })
            }
            other => Err(other),
        }
    }

    /// With TLS 1.3 a server that dislikes our certificate just hangs up on HTTP/2: a handshake of its own tells why.
    async fn reason(&self, door: &Door) -> Option<String> {
        let probe = async {
            let stream = self.remote.dial(&door.via, door.target).await.ok()?;
            let served = self.access.tls.probe(stream, &ServerName::from(door.target.address)).await.ok()?;
            (!served.good()).then(|| served.why_not())
        };
        tokio::time::timeout(self.look, probe).await.ok().flatten()
    }

    fn forget(&self, door: &Door) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&(door.via.clone(), door.target));
    }

    async fn client(&self, door: &Door) -> Result<Client, EtcdError> {
        let key = (door.via.clone(), door.target);
        if let Some(client) = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(client.clone());
        }
        let what = trs!("the connection");
        let client = match tokio::time::timeout(self.look, self.connect(door)).await {
            Ok(client) => client?,
            Err(_) => {
                return Err(EtcdError::Tls {
                    host: door.via.clone(),
                    why: TlsError::Timeout { during: what, seconds: self.look.as_secs() },
                });
            }
        };
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(key, client.clone());
        Ok(client)
    }

    async fn connect(&self, door: &Door) -> Result<Client, EtcdError> {
        let (host, what) = (&door.via, trs!("the connection"));
        let way = Way {
            remote: Arc::clone(&self.remote),
            tls: self.access.tls.clone(),
            door: door.clone(),
            tolerated: Arc::clone(&self.tolerated),
        };
        // Called again by the channel when the connection is gone.
        let connector = service_fn(move |_: Uri| {
            let way = way.clone();
            async move { way.walk().await.map(TokioIo::new).map_err(ConnectError) }
        });
        // `http`, or tonic would bring its own TLS; the stream is TLS already.
        let endpoint = Endpoint::from_shared(format!("http://{}", door.target));
        let endpoint = endpoint.map_err(|e| broken(host, what, &e))?;
        let channel = endpoint.connect_with_connector(connector).await.map_err(|e| broken(host, what, &e))?;
        let client = Client::from_channel(Channel::Tonic(channel), None).await;
        client.map_err(|e| translate(host, what, &e))
    }
}

type Tolerated = Arc<Mutex<BTreeMap<HostName, Vec<Problem>>>>;

/// How a connection is made, as often as it takes.
#[derive(Clone)]
struct Way {
    remote: SharedRemote,
    tls: TlsClient,
    door: Door,
    tolerated: Tolerated,
}

impl Way {
    async fn walk(&self) -> Result<TlsStream<BoxStream>, EtcdError> {
        let Door { via, target } = &self.door;
        let stream = self.remote.dial(via, *target).await?;
        let name = ServerName::from(target.address);
        let opened = self.tls.connect(stream, &name, &[b"h2"]).await;
        let (stream, problems) = opened.map_err(|why| EtcdError::Tls { host: via.clone(), why })?;
        let mut tolerated = self.tolerated.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.is_empty() {
            tolerated.remove(via);
        } else {
            tolerated.insert(via.clone(), problems);
        }
        drop(tolerated);
        Ok(stream)
    }
}
