//! etcd's gRPC services of one process.

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use etcd_client::proto::{
    PbAlarmMember, PbAlarmRequest, PbAlarmResponse, PbClusterService, PbCompactionRequest, PbCompactionResponse,
    PbDefragmentRequest, PbDefragmentResponse, PbDeleteRequest, PbDeleteResponse, PbDowngradeRequest,
    PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse, PbKvService,
    PbMaintenanceService, PbMember, PbMemberAddRequest, PbMemberAddResponse, PbMemberListRequest, PbMemberListResponse,
    PbMemberPromoteRequest, PbMemberPromoteResponse, PbMemberRemoveRequest, PbMemberRemoveResponse,
    PbMemberUpdateRequest, PbMemberUpdateResponse, PbMoveLeaderRequest, PbMoveLeaderResponse, PbPutRequest,
    PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse, PbResponseHeader, PbSnapshotRequest,
    PbSnapshotResponse, PbStatusRequest, PbStatusResponse, PbTxnRequest, PbTxnResponse,
};
use futures::{Stream, stream};
use tonic::{Request, Response, Status};

use super::{
    model::{Cluster, Member, Process},
    rules::{self, Asked},
};
use crate::{
    cluster::HostName,
    practice::{
        tap::Reply,
        world::{Shared, World},
    },
};

/// How long etcd tries before it says that a request timed out: 5 s and two election timeouts.
const REQUEST: Duration = Duration::from_secs(7);
/// Between two looks for a leader.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of a snapshot sent at once (etcd: 32 KiB).
const CHUNK: usize = 32 << 10;
/// `AlarmType::NOSPACE`.
const NOSPACE: i32 = 1;

/// One process's services.
#[derive(Clone)]
pub struct At {
    pub shared: Shared,
    pub host: HostName,
    pub pid: u32,
}

type Answer<T> = Result<Response<T>, Status>;
type Flow<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn unknown<T>(method: &str) -> Answer<T> {
    Err(Status::unimplemented(format!("unknown method {method}; the practice cluster has no more of etcd")))
}

/// What a call knows of where it is.
struct Here<'a> {
    process: &'a Process,
    cluster: &'a Cluster,
    now: Duration,
}

impl Here<'_> {
    fn asked(&self) -> Asked {
        Asked { at: self.process.member, version: self.process.version, now: self.now }
    }

    /// Whether its requests get to a leader with a quorum behind it.
    fn led(&self) -> bool {
        self.cluster.leader_seen_by(self.process.member) != 0
    }

    fn waits_for_leader(&self, to: u64) -> bool {
        let leads = self.cluster.leader == Some(self.process.member);
        !self.process.version.has_learners() && leads && !self.cluster.members.contains_key(&to)
    }

    fn learner(&self) -> bool {
        self.cluster.members.get(&self.process.member).is_some_and(|m| m.learner)
    }

    fn progress(&self) -> f64 {
        self.process.progress(self.cluster, self.now)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a share of a counter")]
    fn so_far(&self, of: i64) -> i64 {
        (of as f64 * self.progress()) as i64
    }

    fn header(&self) -> PbResponseHeader {
        PbResponseHeader {
            cluster_id: self.cluster.id,
            member_id: self.process.member,
            revision: self.so_far(self.cluster.store.revision),
            raft_term: self.cluster.term,
        }
    }
}

fn pb(member: &Member) -> PbMember {
    PbMember {
        id: member.id,
        name: member.name.clone(),
        peer_ur_ls: member.peer_urls.clone(),
        client_ur_ls: member.client_urls.clone(),
        is_learner: member.learner,
    }
}

fn pbs(cluster: &Cluster) -> Vec<PbMember> {
    cluster.members.values().map(pb).collect()
}

impl At {
    /// Looks at the process; an error once it is gone.
    async fn look<T>(&self, look: impl FnOnce(&Here<'_>) -> Result<T, Status> + Send) -> Result<T, Status> {
        self.shared.awake(&self.host).await;
        let world = self.shared.lock();
        look(&self.here(&world)?)
    }

    fn here<'a>(&self, world: &'a World) -> Result<Here<'a>, Status> {
        let stopped = || Status::unavailable("etcdserver: server stopped");
        let process = world.etcd.process(&self.host, self.pid).ok_or_else(stopped)?;
        let cluster = world.etcd.clusters.get(&process.cluster).ok_or_else(stopped)?;
        Ok(Here { process, cluster, now: world.clock.now() })
    }

    /// etcd hands over to a voter whether or not that can be reached, and waits for it to lead for as long as it is asked.
    async fn until_connected(&self, to: u64) -> Result<(), Status> {
        loop {
            let waits = self.look(|here| {
                let (cluster, own) = (here.cluster, here.process.member);
                let voter = cluster.members.get(&to).is_some_and(|m| !m.learner);
                Ok(cluster.leader == Some(own) && to != own && voter && !cluster.linked(own, to))
            });
            if !waits.await? {
                return Ok(());
            }
            self.shared.clock().sleep(LOOK).await;
        }
    }

    /// A change of the membership or of who leads, with whoever listens told.
    async fn change<T>(
        &self,
        what: &str,
        change: impl FnOnce(&mut Cluster, Asked, PbResponseHeader) -> Result<T, Status> + Send,
    ) -> Result<T, Status> {
        self.shared.before(&self.host, what).await;
        let done = self.through_leader(change).await?;
        match self.shared.after(&self.host, what).await {
            Reply::Given => Ok(done),
            Reply::Lost => Err(Status::unavailable("connection closed")),
        }
    }

    /// Waits for a leader as etcd does, then changes the cluster through it.
    async fn through_leader<T>(
        &self,
        change: impl FnOnce(&mut Cluster, Asked, PbResponseHeader) -> Result<T, Status> + Send,
    ) -> Result<T, Status> {
        let clock = self.shared.clock();
        let began = clock.now();
        loop {
            self.shared.awake(&self.host).await;
            {
                let mut world = self.shared.lock();
                let here = self.here(&world)?;
                if here.learner() {
                    return Err(Status::unavailable("etcdserver: rpc not supported for learner"));
                }
                if here.led() {
                    let (asked, header, id) = (here.asked(), here.header(), here.cluster.id);
                    let stopped = || Status::unavailable("etcdserver: server stopped");
                    return change(world.etcd.clusters.get_mut(&id).ok_or_else(stopped)?, asked, header);
                }
            }
            if clock.now() > began + REQUEST {
                return Err(Status::unavailable("etcdserver: request timed out"));
            }
            clock.sleep(LOOK).await;
        }
    }

    /// A write; one that needs room is refused while the database is full. Gives what was done and the header after it.
    async fn write<T>(
        &self,
        needs_room: bool,
        write: impl FnOnce(&mut Cluster) -> T + Send,
    ) -> Result<(T, PbResponseHeader), Status> {
        self.through_leader(|cluster, _, mut header| {
            if needs_room && cluster.alarms.iter().any(|(_, kind)| *kind == NOSPACE) {
                return Err(Status::resource_exhausted("etcdserver: mvcc: database space exceeded"));
            }
            let done = write(cluster);
            cluster.index += 1;
            header.revision = cluster.store.revision;
            Ok((done, header))
        })
        .await
    }
}

#[async_trait]
impl PbClusterService for At {
    async fn member_add(&self, request: Request<PbMemberAddRequest>) -> Answer<PbMemberAddResponse> {
        let request = request.into_inner();
        let second = crate::practice::clock::epoch_ms() / 1000;
        let answer = self
            .change("etcd member add", |cluster, asked, header| {
                let added = rules::add(cluster, &request.peer_ur_ls, request.is_learner, asked, second)?;
                let members = pbs(cluster);
                Ok(PbMemberAddResponse { header: Some(header), member: Some(pb(&added)), members })
            })
            .await;
        answer.map(Response::new)
    }

    async fn member_remove(&self, request: Request<PbMemberRemoveRequest>) -> Answer<PbMemberRemoveResponse> {
        let id = request.into_inner().id;
        let answer = self
            .change("etcd member remove", |cluster, asked, header| {
                rules::remove(cluster, id, asked)?;
                Ok(PbMemberRemoveResponse { header: Some(header), members: pbs(cluster) })
            })
            .await;
        answer.map(Response::new)
    }

    async fn member_update(&self, _: Request<PbMemberUpdateRequest>) -> Answer<PbMemberUpdateResponse> {
        unknown("MemberUpdate")
    }

    async fn member_list(&self, _: Request<PbMemberListRequest>) -> Answer<PbMemberListResponse> {
        let answer = self.look(|here| {
            if here.learner() {
                return Err(Status::unavailable("etcdserver: rpc not supported for learner"));
            }
            Ok(PbMemberListResponse { header: Some(here.header()), members: pbs(here.cluster) })
        });
        answer.await.map(Response::new)
    }

    async fn member_promote(&self, request: Request<PbMemberPromoteRequest>) -> Answer<PbMemberPromoteResponse> {
        let id = request.into_inner().id;
        let progress = {
            let world = self.shared.lock();
            let cluster = self.here(&world)?.cluster;
            let process = world.etcd.of_member(cluster.id, id);
            process.map_or(0.0, |p| p.progress(cluster, world.clock.now()))
        };
        let answer = self
            .change("etcd member promote", |cluster, asked, header| {
                rules::promote(cluster, id, progress, asked)?;
                Ok(PbMemberPromoteResponse { header: Some(header), members: pbs(cluster) })
            })
            .await;
        answer.map(Response::new)
    }
}

#[async_trait]
impl PbMaintenanceService for At {
    type SnapshotStream = Flow<PbSnapshotResponse>;

    async fn alarm(&self, request: Request<PbAlarmRequest>) -> Answer<PbAlarmResponse> {
        let request = request.into_inner();
        let answer = self
            .through_leader(|cluster, _, header| {
                let alarm = (request.member_id, request.alarm);
                // Told is what was switched; who only asks is told those of that kind, 0 being every one.
                let told: Vec<_> = match request.action {
                    1 => {
                        cluster.alarms.insert(alarm);
                        vec![alarm]
                    }
                    2 => cluster.alarms.take(&alarm).into_iter().collect(),
                    _ => cluster
                        .alarms
                        .iter()
                        .filter(|(_, k)| request.alarm == 0 || request.alarm == *k)
                        .copied()
                        .collect(),
                };
                let alarms = told.into_iter().map(|(member_id, alarm)| PbAlarmMember { member_id, alarm }).collect();
                Ok(PbAlarmResponse { header: Some(header), alarms })
            })
            .await;
        answer.map(Response::new)
    }

    async fn status(&self, _: Request<PbStatusRequest>) -> Answer<PbStatusResponse> {
        let answer = self.look(|here| {
            let (db_size, in_use) = here.cluster.store.size();
            // 3.3 knows neither of these.
            let tells = here.process.version.has_learners();
            let index = here.so_far(i64::try_from(here.cluster.index).unwrap_or(i64::MAX)).unsigned_abs();
            let mut errors = Vec::new();
            if tells {
                if !here.led() {
                    errors.push("etcdserver: no leader".to_owned());
                }
                let kind = |k: i32| if k == NOSPACE { "NOSPACE" } else { "CORRUPT" };
                errors.extend(here.cluster.alarms.iter().map(|(m, k)| format!("memberID:{m} alarm:{} ", kind(*k))));
            }
            Ok(PbStatusResponse {
                header: Some(here.header()),
                version: here.process.version.to_string(),
                db_size: here.so_far(db_size),
                leader: here.cluster.leader_seen_by(here.process.member),
                raft_index: index,
                raft_term: here.cluster.term,
                raft_applied_index: if tells { index } else { 0 },
                errors,
                db_size_in_use: if tells { here.so_far(in_use) } else { 0 },
                is_learner: here.learner(),
                ..PbStatusResponse::default()
            })
        });
        answer.await.map(Response::new)
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Answer<PbDefragmentResponse> {
        self.look(|here| Ok(PbDefragmentResponse { header: Some(here.header()) })).await.map(Response::new)
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Answer<PbHashResponse> {
        let answer = self.look(|h| Ok(PbHashResponse { header: Some(h.header()), hash: h.cluster.store.hash() }));
        answer.await.map(Response::new)
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Answer<PbHashKvResponse> {
        let answer = self.look(|h| {
            let revision = h.cluster.store.revision;
            Ok(PbHashKvResponse {
                header: Some(h.header()),
                hash: h.cluster.store.hash(),
                compact_revision: -1,
                hash_revision: revision,
            })
        });
        answer.await.map(Response::new)
    }

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Answer<Self::SnapshotStream> {
        let (header, bytes) = self.look(|h| Ok((h.header(), h.cluster.store.snapshot()))).await?;
        let total = bytes.len();
        let parts: Vec<_> = bytes
            .chunks(CHUNK)
            .scan(0, |sent, part| {
                *sent += part.len();
                Some(Ok(PbSnapshotResponse {
                    header: Some(header),
                    remaining_bytes: (total - *sent) as u64,
                    blob: part.to_vec(),
                    ..PbSnapshotResponse::default()
                }))
            })
            .collect();
        Ok(Response::new(Box::pin(stream::iter(parts))))
    }

    async fn move_leader(&self, request: Request<PbMoveLeaderRequest>) -> Answer<PbMoveLeaderResponse> {
        let to = request.into_inner().target_id;
        self.until_connected(to).await?;
        // 3.3 waits for whoever it was told to lead, be it a member or not.
        while self.look(|here| Ok(here.waits_for_leader(to))).await? {
            self.shared.clock().sleep(LOOK).await;
        }
        let answer = self.change("etcd move-leader", |cluster, asked, header| {
            rules::move_leader(cluster, to, asked)?;
            Ok(PbMoveLeaderResponse { header: Some(header) })
        });
        answer.await.map(Response::new)
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Answer<PbDowngradeResponse> {
        unknown("Downgrade")
    }
}

#[async_trait]
impl PbKvService for At {
    type RangeStreamStream = Flow<PbRangeStreamResponse>;

    async fn range(&self, request: Request<PbRangeRequest>) -> Answer<PbRangeResponse> {
        let request = request.into_inner();
        if request.serializable {
            let answer = self
                .look(|here| Ok(PbRangeResponse { header: Some(here.header()), ..here.cluster.store.range(&request) }));
            return answer.await.map(Response::new);
        }
        let answer = self.through_leader(|cluster, _, header| {
            Ok(PbRangeResponse { header: Some(header), ..cluster.store.range(&request) })
        });
        answer.await.map(Response::new)
    }

    async fn range_stream(&self, _: Request<PbRangeRequest>) -> Answer<Self::RangeStreamStream> {
        unknown("RangeStream")
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Answer<PbPutResponse> {
        let request = request.into_inner();
        if request.key.is_empty() {
            return Err(Status::invalid_argument("etcdserver: key is not provided"));
        }
        let (done, header) = self.write(true, |c| c.store.put(&request)).await?;
        Ok(Response::new(PbPutResponse { header: Some(header), ..done }))
    }

    async fn delete_range(&self, request: Request<PbDeleteRequest>) -> Answer<PbDeleteResponse> {
        let request = request.into_inner();
        let (done, header) = self.write(false, |c| c.store.delete(&request)).await?;
        Ok(Response::new(PbDeleteResponse { header: Some(header), ..done }))
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Answer<PbTxnResponse> {
        let request = request.into_inner();
        let (done, header) = self.write(true, |c| c.store.txn(&request)).await?;
        Ok(Response::new(PbTxnResponse { header: Some(header), ..done }))
    }

    async fn compact(&self, _: Request<PbCompactionRequest>) -> Answer<PbCompactionResponse> {
        let ((), header) = self.write(false, |_| ()).await?;
        Ok(Response::new(PbCompactionResponse { header: Some(header) }))
    }
}
