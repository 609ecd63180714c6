//! Whether anything goes on on a connection, and since when not.

use crate::pipeline::reply::{BrokenOff, ReplyBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// What goes on on one connection.
pub struct Activity(Mutex<State>);

struct State {
    /// Requests whose answer has not ended.
    open: usize,
    /// Whether there was any.
    asked: bool,
    /// When the last of them ended; before the first, when the connection began.
    since: Instant,
    /// Whether a next request is to be expected unannounced: HTTP/2 has its own way of saying farewell.
    unannounced: bool,
}

/// Counts a request until its answer has ended.
pub struct Open(Arc<Activity>);

/// A body that is counted until it has ended.
pub struct Counted {
    body: ReplyBody,
    _open: Open,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State { open: 0, asked: false, since: Instant::now(), unannounced: true }))
    }
}

impl Activity {
    /// A request came, by HTTP/1 (`one`) or HTTP/2.
    pub fn open(activity: &Arc<Self>, one: bool) -> Open {
        let mut state = activity.0.lock();
        state.open += 1;
        state.asked = true;
        state.unannounced = one;
        drop(state);
        Open(Arc::clone(activity))
    }

    /// Resolves when no request has come within `limit` of the beginning; never once one has come.
    pub async fn never_asked(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
        if self.0.lock().asked {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves once nothing has gone on for `pause`; at once on HTTP/2, where nothing is lost by an end.
    pub async fn quiet(&self, pause: Duration) {
        loop {
            let left = {
                let state = self.0.lock();
                match state.open {
                    _ if !state.unannounced => return,
                    0 => pause.saturating_sub(state.since.elapsed()),
                    _ => pause,
                }
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl Open {
    /// Counts until `body` has ended.
    pub fn counts(self, body: ReplyBody) -> Counted {
        Counted { body, _open: self }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.open -= 1;
        state.since = Instant::now();
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::reply::full;

    const PAUSE: Duration = Duration::from_secs(1);

    async fn until_quiet(activity: &Activity) -> Duration {
        let start = Instant::now();
        activity.quiet(PAUSE).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_it_up_until_a_pause_after_its_end() {
        let activity = Arc::new(Activity::default());
        tokio::time::advance(PAUSE * 5).await;
        assert_eq!(until_quiet(&activity).await, Duration::ZERO, "quiet for long");
        let body = Activity::open(&activity, true).counts(full("answer"));
        let end = async {
            tokio::time::sleep(PAUSE * 3 + PAUSE / 2).await;
            drop(body);
        };
        let (waited, ()) = tokio::join!(until_quiet(&activity), end);
        assert!(waited >= PAUSE * 4 + PAUSE / 2, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn http_2_says_its_farewell_at_once() {
        let activity = Arc::new(Activity::default());
        let _open = Activity::open(&activity, false);
        assert_eq!(until_quiet(&activity).await, Duration::ZERO);
    }
}
