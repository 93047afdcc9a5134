//! A client that writes to the originals every 10 ms, straight over TLS, failing over between them, and remembers every
//! write that was acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use etcd_client::{Certificate, Client, ConnectOptions, GetOptions, Identity, TlsOptions};

use super::hosts::{Host, Lab, say, wait_for};

const PREFIX: &str = "/writer/";
const EVERY: Duration = Duration::from_millis(10);

/// Writes that are read at once: less than the 4 MiB that an answer may have.
const PAGE: i64 = 20_000;

/// More than the time between two writes.
const PAUSE: Duration = Duration::from_millis(20);

/// As long as a careful client waits before it turns to the next member.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes until it is stopped.
pub struct Writer {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<Written>,
}

/// What was acknowledged, and the longest time without an acknowledgement.
pub struct Written {
    pub acknowledged: BTreeMap<String, String>,
    pub stall: Duration,
    /// Every time of more than [`PAUSE`] without one, and when it was over.
    pub stalls: Vec<(Duration, Instant)>,
    pub failed: usize,
}

/// A client of one member alone: etcd-client does not fail over by itself.
async fn connect(lab: &Keys, host: &Host) -> Result<Client, etcd_client::Error> {
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(&lab.ca))
        .identity(Identity::from_pem(&lab.cert, &lab.key));
    let options =
        ConnectOptions::new().with_tls(tls).with_connect_timeout(PATIENCE).with_timeout(Duration::from_secs(5));
    Client::connect([format!("https://{}:2379", host.address)], Some(options)).await
}

/// The lab's client pair.
#[derive(Clone)]
struct Keys {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Keys {
    fn of(lab: &Lab) -> Self {
        Self { ca: lab.read("etcd/ca.crt"), cert: lab.read("etcd/client.crt"), key: lab.read("etcd/client.key") }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl Writer {
    /// Starts writing; returns once the first writes are acknowledged.
    pub fn start(lab: &Lab) -> Self {
        Self::every(lab, EVERY)
    }

    /// One that writes so often.
    pub fn every(lab: &Lab, pause: Duration) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (keys, hosts) = (Keys::of(lab), lab.masters.clone());
        let (stopped, counted) = (stop.clone(), count.clone());
        let thread = std::thread::spawn(move || runtime().block_on(write(keys, hosts, pause, &stopped, &counted)));
        let writer = Self { stop, count, thread };
        writer.goes_on(50);
        writer
    }

    /// Waits until that many more writes are acknowledged.
    pub fn goes_on(&self, more: usize) {
        let goal = self.count.load(Ordering::SeqCst) + more;
        wait_for("the writer", Duration::from_secs(30), || match self.count.load(Ordering::SeqCst) {
            count if count >= goal => Ok(()),
            count => Err(format!("{count} of {goal} writes acknowledged")),
        });
    }

    /// Some more writes, then the end.
    pub fn end(self) -> Written {
        self.goes_on(50);
        self.stop.store(true, Ordering::SeqCst);
        let written = self.thread.join().expect("the writer");
        say(format!(
            "{} writes acknowledged, {} tried again, the longest stall {} ms",
            written.acknowledged.len(),
            written.failed,
            written.stall.as_millis(),
        ));
        written
    }
}

async fn write(keys: Keys, hosts: Vec<Host>, every: Duration, stop: &AtomicBool, count: &AtomicUsize) -> Written {
    let mut written = Written { acknowledged: BTreeMap::new(), stall: Duration::ZERO, stalls: Vec::new(), failed: 0 };
    let mut clients: Vec<Option<Client>> = hosts.iter().map(|_| None).collect();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut at, mut last) = (0, Instant::now());
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        ticks.tick().await;
        let (key, value) = (format!("{PREFIX}{number:08}"), format!("value {number}"));
        // The same write is tried until it is acknowledged, by one member or the next.
        loop {
            let put = tokio::time::timeout(PATIENCE, put(&keys, &hosts[at], &mut clients[at], &key, &value)).await;
            if matches!(put, Ok(Ok(()))) {
                break;
            }
            written.failed += 1;
            clients[at] = None;
            at = (at + 1) % hosts.len();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if number > 0 {
            let silent = last.elapsed();
            written.stall = written.stall.max(silent);
            if silent > PAUSE {
                written.stalls.push((silent, Instant::now()));
            }
        }
        last = Instant::now();
        written.acknowledged.insert(key, value);
        count.fetch_add(1, Ordering::SeqCst);
    }
    written
}

async fn put(
    keys: &Keys,
    host: &Host,
    client: &mut Option<Client>,
    key: &str,
    value: &str,
) -> Result<(), etcd_client::Error> {
    if client.is_none() {
        *client = Some(connect(keys, host).await?);
    }
    let Some(open) = client else { return Ok(()) };
    open.put(key, value, None).await.map(|_| ())
}

impl Written {
    /// The longest stall that was over by then.
    pub fn stall_until(&self, then: Instant) -> Duration {
        self.stalls.iter().filter(|(_, at)| *at <= then).map(|(long, _)| *long).max().unwrap_or_default()
    }

    /// Every acknowledged write is readable on every one of these members, from its own store.
    pub fn assert_on_each(&self, lab: &Lab, members: &[&Host]) {
        let keys = Keys::of(lab);
        for host in members {
            let found = runtime().block_on(stored(&keys, host)).unwrap_or_else(|e| panic!("{}: {e}", host.name));
            let lost: Vec<_> = self.acknowledged.iter().filter(|(k, v)| found.get(*k) != Some(v)).collect();
            assert!(
                lost.is_empty(),
                "{}: {} of {} acknowledged writes are lost, the first is {:?}",
                host.name,
                lost.len(),
                self.acknowledged.len(),
                lost[0]
            );
        }
    }
}

/// What a member has in its own store, once it has caught up with what is committed now.
async fn stored(keys: &Keys, host: &Host) -> Result<BTreeMap<String, String>, etcd_client::Error> {
    let mut client = connect(keys, host).await?;
    client.get("/", None).await?;
    // In pages: hours of writes are more than one answer holds.
    let end = format!("{PREFIX}\u{7f}");
    let (mut stored, mut from) = (BTreeMap::new(), PREFIX.to_owned());
    loop {
        let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_serializable();
        let got = client.get(from.clone(), Some(options)).await?;
        for kv in got.kvs() {
            stored.insert(kv.key_str()?.to_owned(), kv.value_str()?.to_owned());
        }
        match got.kvs().last() {
            Some(last) if got.more() => from = format!("{}\0", last.key_str()?),
            _ => return Ok(stored),
        }
    }
}
