//! Practice time: like the operator's, or faster.
//!
//! Hosts show the operator's own time of day (plus what their clock is off); only how long things take is made shorter.

use std::time::Duration;

use tokio::time::Instant;

/// The cluster has been up for so long when practice begins: links between members are old, not new.
const UP_BEFORE: Duration = Duration::from_hours(1);

/// The clock that everything which takes time goes by.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    /// What it showed then.
    from: Duration,
    speed: u32,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Clock {
    /// A clock that runs `speed` times as fast as the operator's; 0 counts as 1.
    pub fn new(speed: u32) -> Self {
        Self { began: Instant::now(), from: UP_BEFORE, speed: speed.max(1) }
    }

    /// A clock that goes on from that moment, from now on.
    pub fn from(now: Duration, speed: u32) -> Self {
        Self { from: now, ..Self::new(speed) }
    }

    /// Goes on from here at another speed; 0 counts as 1.
    pub fn set_speed(&mut self, speed: u32) {
        *self = Self { began: Instant::now(), from: self.now(), speed: speed.max(1) };
    }

    /// Practice time since the cluster was made.
    pub fn now(&self) -> Duration {
        self.from + self.began.elapsed() * self.speed
    }

    /// How many times as fast as the operator's clock it runs.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// Waits for so much practice time.
    pub async fn sleep(&self, time: Duration) {
        // The runtime's timer would round it up to a millisecond, for every operation.
        if !time.is_zero() {
            tokio::time::sleep(time / self.speed).await;
        }
    }
}

/// The operator's time of day, in milliseconds since the epoch.
pub(crate) fn epoch_ms() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
