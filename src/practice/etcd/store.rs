//! etcd's keys: one history of revisions, reads of the newest.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use etcd_client::proto::{
    PbCompare, PbCompareTarget, PbDeleteRequest, PbDeleteResponse, PbKeyValue, PbPutRequest, PbPutResponse,
    PbRangeRequest, PbRangeResponse, PbResponseOp, PbTargetUnion, PbTxnOpRequest, PbTxnOpResponse, PbTxnRequest,
    PbTxnRequestOp, PbTxnResponse,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Keys and the revision.
#[derive(Debug, Clone)]
pub struct Store {
    /// The newest revision; an empty store is at 1.
    pub revision: i64,
    keys: BTreeMap<Vec<u8>, PbKeyValue>,
}

impl Default for Store {
    fn default() -> Self {
        Self { revision: 1, keys: BTreeMap::new() }
    }
}

/// What a database file of the practice cluster begins with.
const MAGIC: &str = "banister practice database, not a real etcd's\n";

/// A database as text.
#[derive(Serialize, Deserialize)]
struct Dump {
    revision: i64,
    /// Key, value (base64), created, modified, version.
    keys: Vec<(String, String, i64, i64, i64)>,
}

/// What `snapshot status` tells of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DbStatus {
    /// A checksum of the content.
    pub hash: u32,
    /// The revision.
    pub revision: i64,
    /// Number of keys.
    pub total_key: usize,
    /// Bytes.
    pub total_size: usize,
}

impl Store {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Size of the database in bytes, and how much of it is in use.
    pub fn size(&self) -> (i64, i64) {
        let used: usize = self.keys.values().map(|kv| kv.key.len() + kv.value.len() + 48).sum();
        let used = i64::try_from(used).unwrap_or(i64::MAX) + 20_480;
        ((used / 4096 + 2) * 4096, used)
    }

    /// A checksum over everything.
    pub fn hash(&self) -> u32 {
        let sum = Sha256::digest(self.dump());
        u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]])
    }

    /// A snapshot as etcd streams it: the database, and the sha256 of it.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = self.dump();
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    fn dump(&self) -> Vec<u8> {
        let keys = self.keys.values().map(|kv| {
            (STANDARD.encode(&kv.key), STANDARD.encode(&kv.value), kv.create_revision, kv.mod_revision, kv.version)
        });
        let dump = Dump { revision: self.revision, keys: keys.collect() };
        let mut bytes = MAGIC.as_bytes().to_vec();
        bytes.extend(serde_json::to_vec(&dump).unwrap_or_default());
        // Pages, as a real one has.
        bytes.resize(bytes.len().div_ceil(4096) * 4096, b' ');
        bytes
    }

    /// Reads a database; with `summed`, a snapshot whose sha256 must be right.
    pub fn read(bytes: &[u8], summed: bool) -> Result<(Self, DbStatus), String> {
        let whole = bytes.len().checked_sub(32).filter(|n| n % 512 == 0);
        let (db, sum) = match whole {
            Some(at) => (&bytes[..at], Some(&bytes[at..])),
            None => (bytes, None),
        };
        if summed {
            let sum = sum.ok_or("snapshot missing hash but --skip-hash-check=false")?;
            let found = Sha256::digest(db);
            if sum != found.as_slice() {
                return Err(format!("expected sha256 {sum:?}, got {:?}", found.as_slice()));
            }
        }
        let text = db.strip_prefix(MAGIC.as_bytes()).ok_or("invalid database")?;
        let dump: Dump = serde_json::from_slice(text.trim_ascii_end()).map_err(|_| "invalid database")?;
        let mut store = Self { revision: dump.revision, keys: BTreeMap::new() };
        for (key, value, create_revision, mod_revision, version) in dump.keys {
            let (Ok(key), Ok(value)) = (STANDARD.decode(key), STANDARD.decode(value)) else {
                return Err("invalid database".into());
            };
            let kv = PbKeyValue { key: key.clone(), value, create_revision, mod_revision, version, lease: 0 };
            store.keys.insert(key, kv);
        }
        let status =
            DbStatus { hash: store.hash(), revision: store.revision, total_key: store.len(), total_size: db.len() };
        Ok((store, status))
    }

    fn within(&self, key: &[u8], end: &[u8]) -> Vec<&PbKeyValue> {
        match end {
            [] => self.keys.get(key).into_iter().collect(),
            [0] => self.keys.range(key.to_vec()..).map(|(_, kv)| kv).collect(),
            end if end <= key => Vec::new(),
            end => self.keys.range(key.to_vec()..end.to_vec()).map(|(_, kv)| kv).collect(),
        }
    }

    /// Reads keys in their order.
    pub fn range(&self, request: &PbRangeRequest) -> PbRangeResponse {
        let found = self.within(&request.key, &request.range_end);
        let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let most = usize::try_from(request.limit).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
        let more = found.len() > most && !request.count_only;
        let kvs = found.into_iter().take(if request.count_only { 0 } else { most }).cloned().map(|mut kv| {
            if request.keys_only {
                kv.value.clear();
            }
            kv
        });
        PbRangeResponse { header: None, kvs: kvs.collect(), more, count }
    }

    /// Writes a key at a new revision.
    pub fn put(&mut self, request: &PbPutRequest) -> PbPutResponse {
        self.revision += 1;
        self.put_at(request)
    }

    fn put_at(&mut self, request: &PbPutRequest) -> PbPutResponse {
        let old = self.keys.get(&request.key).cloned();
        let kv = PbKeyValue {
            key: request.key.clone(),
            value: request.value.clone(),
            create_revision: old.as_ref().map_or(self.revision, |o| o.create_revision),
            mod_revision: self.revision,
            version: old.as_ref().map_or(0, |o| o.version) + 1,
            lease: request.lease,
        };
        self.keys.insert(request.key.clone(), kv);
        PbPutResponse { header: None, prev_kv: old.filter(|_| request.prev_kv) }
    }

    /// Deletes keys at a new revision, if there are any.
    pub fn delete(&mut self, request: &PbDeleteRequest) -> PbDeleteResponse {
        let gone = self.delete_at(request);
        if gone.deleted > 0 {
            self.revision += 1;
        }
        gone
    }

    fn delete_at(&mut self, request: &PbDeleteRequest) -> PbDeleteResponse {
        let gone: Vec<_> = self.within(&request.key, &request.range_end).into_iter().cloned().collect();
        for kv in &gone {
            self.keys.remove(&kv.key);
        }
        let deleted = i64::try_from(gone.len()).unwrap_or(i64::MAX);
        PbDeleteResponse { header: None, deleted, prev_kvs: if request.prev_kv { gone } else { Vec::new() } }
    }

    /// A transaction: all its writes share one revision.
    pub fn txn(&mut self, request: &PbTxnRequest) -> PbTxnResponse {
        let before = self.revision;
        self.revision += 1;
        let (answer, wrote) = self.txn_at(request);
        if !wrote {
            self.revision = before;
        }
        answer
    }

    fn txn_at(&mut self, request: &PbTxnRequest) -> (PbTxnResponse, bool) {
        let succeeded = request.compare.iter().all(|c| self.holds(c));
        let ops = if succeeded { &request.success } else { &request.failure };
        let mut wrote = false;
        let responses = ops.iter().filter_map(|op| self.op_at(op, &mut wrote)).collect();
        (PbTxnResponse { header: None, succeeded, responses }, wrote)
    }

    fn op_at(&mut self, op: &PbTxnRequestOp, wrote: &mut bool) -> Option<PbResponseOp> {
        let response = match op.request.as_ref()? {
            PbTxnOpRequest::RequestRange(r) => PbTxnOpResponse::ResponseRange(self.range(r)),
            PbTxnOpRequest::RequestPut(r) => {
                *wrote = true;
                PbTxnOpResponse::ResponsePut(self.put_at(r))
            }
            PbTxnOpRequest::RequestDeleteRange(r) => {
                let gone = self.delete_at(r);
                *wrote |= gone.deleted > 0;
                PbTxnOpResponse::ResponseDeleteRange(gone)
            }
            PbTxnOpRequest::RequestTxn(r) => {
                let (inner, inner_wrote) = self.txn_at(r);
                *wrote |= inner_wrote;
                PbTxnOpResponse::ResponseTxn(inner)
            }
        };
        Some(PbResponseOp { response: Some(response) })
    }

    fn holds(&self, compare: &PbCompare) -> bool {
        let Some(union) = &compare.target_union else { return false };
        // A key that is not there compares as 0; by value it compares with nothing.
        let absent = PbKeyValue::default();
        let kv = self.keys.get(&compare.key);
        let value_of_nothing = compare.target == PbCompareTarget::Value as i32 && kv.is_none();
        let kv = kv.unwrap_or(&absent);
        let order = match union {
            PbTargetUnion::Version(v) => kv.version.cmp(v),
            PbTargetUnion::CreateRevision(v) => kv.create_revision.cmp(v),
            PbTargetUnion::ModRevision(v) => kv.mod_revision.cmp(v),
            PbTargetUnion::Value(v) => kv.value.cmp(v),
            PbTargetUnion::Lease(v) => kv.lease.cmp(v),
        };
        !value_of_nothing
            && match compare.result {
                0 => order.is_eq(),
                1 => order.is_gt(),
                2 => order.is_lt(),
                _ => order.is_ne(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &mut Store, key: &str, value: &str) {
        store.put(&PbPutRequest { key: key.into(), value: value.into(), ..PbPutRequest::default() });
    }

    #[test]
    fn keys_come_back_with_their_revisions() {
        let mut store = Store::default();
        put(&mut store, "/a", "1");
        put(&mut store, "/b", "2");
        put(&mut store, "/a", "3");
        let all =
            store.range(&PbRangeRequest { key: b"/".to_vec(), range_end: b"0".to_vec(), ..PbRangeRequest::default() });
        let seen: Vec<_> = all.kvs.iter().map(|kv| (kv.value.clone(), kv.mod_revision, kv.version)).collect();
        assert_eq!(seen, [(b"3".to_vec(), 4, 2), (b"2".to_vec(), 3, 1)]);
        let gone = store.delete(&PbDeleteRequest { key: b"/b".to_vec(), ..PbDeleteRequest::default() });
        assert_eq!((gone.deleted, store.revision, store.len()), (1, 5, 1));
    }

    #[test]
    fn a_snapshot_is_read_back_and_a_broken_one_is_refused() {
        let mut store = Store::default();
        put(&mut store, "/a", "1");
        let mut bytes = store.snapshot();
        assert_eq!(bytes.len() % 512, 32);
        let (back, status) = Store::read(&bytes, true).unwrap();
        assert_eq!((back.revision, back.len(), status.total_key), (2, 1, 1));
        bytes[100] ^= 1;
        assert!(Store::read(&bytes, true).unwrap_err().starts_with("expected sha256 ["));
        assert!(Store::read(&bytes[..4096], true).unwrap_err().contains("missing hash"));
    }
}
