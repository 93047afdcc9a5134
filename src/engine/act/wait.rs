//! Waiting for something that comes by itself: told, with a deadline, and looked at again.

use std::time::Duration;

use tokio::time::Instant;

use super::{ActCx, ActError, ActProgress};

/// The first looks come soon after one another: most of what is waited for is there in a moment.
const SOON: Duration = Duration::from_millis(20);

/// Waits until it is time for the next look at something that has been waited for since then: sooner in the beginning, and
/// never longer than `most`.
pub async fn next_look(since: Instant, most: Duration) {
    tokio::time::sleep((since.elapsed() / 2).max(SOON).min(most)).await;
}

/// Tells what is waited for; an error once the deadline has passed.
pub fn waiting(cx: &ActCx, what: &str, started: Instant, deadline: Duration) -> Result<(), ActError> {
    let seconds = started.elapsed().as_secs();
    let _ = cx.progress.send(ActProgress::Waiting { what: what.to_owned(), seconds, deadline: deadline.as_secs() });
    if started.elapsed() < deadline {
        return Ok(());
    }
    Err(ActError::NotProven(tr!(
        "{what} (waited {seconds} s); look at the journals and run again",
        what = what,
        seconds = seconds
    )))
}
