//! An etcd cluster in memory: real gRPC services behind real TLS, one per member, and a [`Remote`] that dials them.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use etcd_client::proto::{
    PbAlarmMember, PbAlarmRequest, PbAlarmResponse, PbClusterServer, PbClusterService, PbCompactionRequest,
    PbCompactionResponse, PbDefragmentRequest, PbDefragmentResponse, PbDeleteRequest, PbDeleteResponse,
    PbDowngradeRequest, PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse,
    PbKvServer, PbKvService, PbMaintenanceServer, PbMaintenanceService, PbMember, PbMemberAddRequest,
    PbMemberAddResponse, PbMemberListRequest, PbMemberListResponse, PbMemberPromoteRequest, PbMemberPromoteResponse,
    PbMemberRemoveRequest, PbMemberRemoveResponse, PbMemberUpdateRequest, PbMemberUpdateResponse, PbMoveLeaderRequest,
    PbMoveLeaderResponse, PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse,
    PbResponseHeader, PbSnapshotRequest, PbSnapshotResponse, PbStatusRequest, PbStatusResponse, PbTxnRequest,
    PbTxnResponse,
};
use futures::{Stream, StreamExt as _, stream};
use rustls::version::TLS13;
use tokio::{io::DuplexStream, sync::Notify};
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    cluster::HostName,
    remote::{
        BoxStream, Io, Op, Output, Remote, RemoteError, Target,
        tls::{
            TlsClient,
            testing::{Ask, TestCa, TestLeaf, acceptor, dial},
        },
    },
};

/// How a member's port behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Up,
    /// Refuses connections.
    Down,
    /// Accepts, and never says a word.
    Silent,
}

pub struct FakeMember {
    pub pb: PbMember,
    pub version: &'static str,
    pub port: Port,
    pub leaf: TestLeaf,
}

/// The cluster's state; a test changes it as it likes.
pub struct State {
    pub members: Vec<FakeMember>,
    pub leader: u64,
    pub quorum: bool,
    pub alarms: Vec<PbAlarmMember>,
    pub not_in_sync: BTreeSet<u64>,
    /// A change fails with these words.
    pub refuse: Option<Status>,
    /// So do the next ones, once each.
    pub refuse_next: Vec<Status>,
    /// A change happens and is never answered.
    pub hang: bool,
    /// A change happens and the connection ends.
    pub die: bool,
    /// Changes asked for, each with the member that was asked.
    pub calls: Vec<(u64, String)>,
    /// Every connection: from where, to where.
    pub dialled: Vec<(HostName, IpAddr)>,
    silent: Vec<DuplexStream>,
}

/// The cluster and the way to it.
pub struct Fake {
    pub ca: TestCa,
    state: Mutex<State>,
    kill: Notify,
}

pub fn host(n: u64) -> HostName {
    HostName::new(format!("master{n:02}"))
}

pub fn ip(n: u64) -> IpAddr {
    format!("10.10.33.{}", 36 + n).parse().unwrap()
}

fn header() -> PbResponseHeader {
    PbResponseHeader { cluster_id: 0xc1, revision: 77, ..PbResponseHeader::default() }
}

impl Fake {
    /// Three healthy members of that version, ids 1 to 3, the first one leading.
    pub fn three(version: &'static str) -> Arc<Self> {
        let ca = TestCa::new("etcd-ca");
        let members = (1..=3).map(|n| member(&ca, n, version)).collect();
        let state = State {
            members,
            leader: 1,
            quorum: true,
            alarms: Vec::new(),
            not_in_sync: BTreeSet::new(),
            refuse: None,
            refuse_next: Vec::new(),
            hang: false,
            die: false,
            calls: Vec::new(),
            dialled: Vec::new(),
            silent: Vec::new(),
        };
        Arc::new(Self { ca, state: Mutex::new(state), kill: Notify::new() })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Ends every connection that is open.
    pub fn cut(&self) {
        self.kill.notify_waiters();
    }

    /// A client with a good certificate.
    pub fn client(&self) -> TlsClient {
        let usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = self.ca.leaf(&Ask { cn: "etcd-client", ips: &[], usages, ..Ask::default() });
        TlsClient::new(self.ca.roots()).with_identity(leaf.identity())
    }

    /// What is the same for every change.
    async fn changing(
        &self,
        at: u64,
        what: String,
        change: impl FnOnce(&mut State) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let (hang, die) = {
            let mut state = self.state();
            state.calls.push((at, what));
            if let Some(status) = state.refuse_next.pop().or_else(|| state.refuse.clone()) {
                return Err(status);
            }
            change(&mut state)?;
            (state.hang, state.die)
        };
        if die {
            self.cut();
        }
        if hang || die {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

pub fn member(ca: &TestCa, n: u64, version: &'static str) -> FakeMember {
    let (own, name) = (ip(n), host(n).to_string());
    let pb = PbMember {
        id: n,
        name,
        peer_ur_ls: vec![format!("https://{own}:2380")],
        client_ur_ls: vec![format!("https://{own}:2379")],
        is_learner: false,
    };
    let leaf = ca.leaf(&Ask { ips: &["127.0.0.1", &own.to_string()], ..Ask::default() });
    FakeMember { pb, version, port: Port::Up, leaf }
}

/// The [`Remote`] that reaches the cluster.
pub struct Net(pub Arc<Fake>);

#[async_trait]
impl Remote for Net {
    async fn run(&self, host: &HostName, op: &Op, _: Io) -> Result<Output, RemoteError> {
        Err(RemoteError::Lost { host: host.clone(), what: op.summary() })
    }

    async fn dial(&self, via: &HostName, to: Target) -> Result<BoxStream, RemoteError> {
        let refused =
            || RemoteError::Dial { host: via.clone(), target: to.to_string(), why: "connection refused".into() };
        let mut state = self.0.state();
        state.dialled.push((via.clone(), to.address));
        let id = (1..10).find(|n| ip(*n) == to.address && to.port == 2379).ok_or_else(refused)?;
        let (port, leaf) = match state.members.iter().find(|m| m.pb.id == id) {
            Some(member) => (member.port, member.leaf.clone()),
            None => return Err(refused()),
        };
        match port {
            Port::Down => Err(refused()),
            Port::Silent => {
                let (ours, theirs) = tokio::io::duplex(64 << 10);
                state.silent.push(theirs);
                Ok(Box::new(ours))
            }
            Port::Up => {
                let at = At { fake: Arc::clone(&self.0), id };
                let mut served = dial(&acceptor(&leaf, Some(&self.0.ca), &TLS13), move |tls| async move {
                    let connections = stream::iter([Ok::<_, std::io::Error>(tls)]).chain(stream::pending());
                    let serving = Server::builder()
                        .add_service(PbKvServer::new(at.clone()))
                        .add_service(PbClusterServer::new(at.clone()))
                        .add_service(PbMaintenanceServer::new(at))
                        .serve_with_incoming(connections);
                    let _ = serving.await;
                });
                // A line that can be cut.
                let (ours, mut theirs) = tokio::io::duplex(64 << 10);
                let fake = Arc::clone(&self.0);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut theirs, &mut served) => {}
                        () = fake.kill.notified() => {}
                    }
                });
                Ok(Box::new(ours))
            }
        }
    }
}

/// One member's services.
#[derive(Clone)]
struct At {
    fake: Arc<Fake>,
    id: u64,
}

type Answer<T> = Result<Response<T>, Status>;

fn none<T>() -> Answer<T> {
    Err(Status::unimplemented("unknown method"))
}

#[async_trait]
impl PbClusterService for At {
    async fn member_add(&self, request: Request<PbMemberAddRequest>) -> Answer<PbMemberAddResponse> {
        let request = request.into_inner();
        let what = format!("add {} learner={}", request.peer_ur_ls.join(","), request.is_learner);
        let mut added = PbMember::default();
        let change = |state: &mut State| {
            let n = (1..10).find(|n| request.peer_ur_ls == [format!("https://{}:2380", ip(*n))]).unwrap();
            let mut new = member(&self.fake.ca, n, state.members[0].version);
            // Before 3.4 the wish for a learner is an unknown field, and is ignored.
            new.pb.is_learner = request.is_learner && !new.version.starts_with("3.3");
            new.pb.name.clear();
            new.pb.client_ur_ls.clear();
            new.port = Port::Down;
            added = new.pb.clone();
            state.members.push(new);
            Ok(())
        };
        self.fake.changing(self.id, what, change).await?;
        Ok(Response::new(PbMemberAddResponse { header: Some(header()), member: Some(added), members: Vec::new() }))
    }

    async fn member_remove(&self, request: Request<PbMemberRemoveRequest>) -> Answer<PbMemberRemoveResponse> {
        let id = request.into_inner().id;
        let change = |state: &mut State| {
            state.members.retain(|m| m.pb.id != id);
            Ok(())
        };
        self.fake.changing(self.id, format!("remove {id}"), change).await?;
        Ok(Response::new(PbMemberRemoveResponse::default()))
    }

    async fn member_update(&self, _: Request<PbMemberUpdateRequest>) -> Answer<PbMemberUpdateResponse> {
        none()
    }

    async fn member_list(&self, _: Request<PbMemberListRequest>) -> Answer<PbMemberListResponse> {
        let members = self.fake.state().members.iter().map(|m| m.pb.clone()).collect();
        Ok(Response::new(PbMemberListResponse { header: Some(header()), members }))
    }

    async fn member_promote(&self, request: Request<PbMemberPromoteRequest>) -> Answer<PbMemberPromoteResponse> {
        let id = request.into_inner().id;
        let change = |state: &mut State| {
            if state.not_in_sync.contains(&id) {
                let words = "etcdserver: can only promote a learner member which is in sync with leader";
                return Err(Status::failed_precondition(words));
            }
            let member = state.members.iter_mut().find(|m| m.pb.id == id).unwrap();
            if !member.pb.is_learner {
                return Err(Status::failed_precondition("etcdserver: can only promote a learner member"));
            }
            member.pb.is_learner = false;
            Ok(())
        };
        self.fake.changing(self.id, format!("promote {id}"), change).await?;
        Ok(Response::new(PbMemberPromoteResponse::default()))
    }
}

#[async_trait]
impl PbMaintenanceService for At {
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<PbSnapshotResponse, Status>> + Send>>;

    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Answer<PbAlarmResponse> {
        let alarms = self.fake.state().alarms.clone();
        Ok(Response::new(PbAlarmResponse { header: Some(header()), alarms }))
    }

    async fn status(&self, _: Request<PbStatusRequest>) -> Answer<PbStatusResponse> {
        let state = self.fake.state();
        let member = state.members.iter().find(|m| m.pb.id == self.id).unwrap();
        let tells = !member.version.starts_with("3.3");
        let alarms = state.alarms.iter().filter(|_| tells).map(|a| format!("memberID:{} alarm:NOSPACE ", a.member_id));
        Ok(Response::new(PbStatusResponse {
            header: Some(header()),
            version: member.version.into(),
            db_size: 4096,
            leader: state.leader,
            raft_index: 1000,
            raft_term: 5,
            raft_applied_index: if tells { 1000 } else { 0 },
            errors: alarms.collect(),
            db_size_in_use: if tells { 2048 } else { 0 },
            is_learner: member.pb.is_learner,
            ..PbStatusResponse::default()
        }))
    }

    async fn move_leader(&self, request: Request<PbMoveLeaderRequest>) -> Answer<PbMoveLeaderResponse> {
        let to = request.into_inner().target_id;
        let change = |state: &mut State| {
            if state.leader != self.id {
                return Err(Status::failed_precondition("etcdserver: not leader"));
            }
            state.leader = to;
            Ok(())
        };
        self.fake.changing(self.id, format!("move-leader {to}"), change).await?;
        Ok(Response::new(PbMoveLeaderResponse::default()))
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Answer<PbDefragmentResponse> {
        none()
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Answer<PbHashResponse> {
        none()
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Answer<PbHashKvResponse> {
        none()
    }

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Answer<Self::SnapshotStream> {
        none()
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Answer<PbDowngradeResponse> {
        none()
    }
}

#[async_trait]
impl PbKvService for At {
    type RangeStreamStream = Pin<Box<dyn Stream<Item = Result<PbRangeStreamResponse, Status>> + Send>>;

    async fn range(&self, request: Request<PbRangeRequest>) -> Answer<PbRangeResponse> {
        let quorum = self.fake.state().quorum;
        if !quorum && !request.get_ref().serializable {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(PbRangeResponse { header: Some(header()), ..PbRangeResponse::default() }))
    }

    async fn range_stream(&self, _: Request<PbRangeRequest>) -> Answer<Self::RangeStreamStream> {
        none()
    }

    async fn put(&self, _: Request<PbPutRequest>) -> Answer<PbPutResponse> {
        none()
    }

    async fn delete_range(&self, _: Request<PbDeleteRequest>) -> Answer<PbDeleteResponse> {
        none()
    }

    async fn txn(&self, _: Request<PbTxnRequest>) -> Answer<PbTxnResponse> {
        none()
    }

    async fn compact(&self, _: Request<PbCompactionRequest>) -> Answer<PbCompactionResponse> {
        none()
    }
}
