//! When to draw: a key is answered at once, everything else waits for the next frame, so that a flood of lines costs
//! frames, not keys.

use std::time::Duration;

/// Least time between two frames while lines pour in.
pub const FRAME: Duration = Duration::from_millis(25);

/// What has been drawn, and when; in any monotonic time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    drawn: Duration,
    stale: bool,
}

impl Pace {
    /// Drawn just now.
    pub const fn new(now: Duration) -> Self {
        Self { drawn: now, stale: false }
    }

    /// Something changed; whether to draw now. `at_once` for what somebody waits for.
    pub fn changed(&mut self, at_once: bool, now: Duration) -> bool {
        let draw = at_once || now >= self.drawn + FRAME;
        self.stale = !draw;
        draw
    }

    /// A frame was drawn.
    pub const fn drew(&mut self, now: Duration) {
        *self = Self::new(now);
    }

    /// When the next frame is due, where one is.
    pub fn due(&self) -> Option<Duration> {
        self.stale.then_some(self.drawn + FRAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_drawn_at_once_and_lines_wait_for_their_frame() {
        let at = Duration::from_millis;
        let mut pace = Pace::new(at(0));
        assert!(!pace.changed(false, at(5)));
        assert_eq!(pace.due(), Some(at(25)));
        assert!(pace.changed(true, at(6)));
        pace.drew(at(7));
        assert_eq!(pace.due(), None, "nothing is left to draw");
        assert!(!pace.changed(false, at(20)));
        assert_eq!(pace.due(), Some(at(32)));
        assert!(pace.changed(false, at(32)), "the frame is due");
    }
}
