//! Whether anything goes on on a connection, since when not, and what goes on for too long.

use crate::pipeline::reply::{BrokenOff, ReplyBody};
use crate::pipeline::shed::Place;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// How long after its deadline an answer may still wait for a client that does not read: one that does has been told by
/// then that time is up.
const GRACE: Duration = Duration::from_secs(10);
/// How long an HTTP/1 connection may be without a request: longer than one that waits for the next head is left alone,
/// so that what is left over are clients that do not even read the last bytes of an answer.
const STUCK: Duration = Duration::from_mins(5);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

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
    /// Answers on their way, and until when they may take.
    answers: HashMap<u64, (Instant, Shared)>,
    /// The number of the next of them.
    next: u64,
}

/// What can be taken away from a client that does not read.
type Shared = Arc<Mutex<Option<Answer>>>;

/// An answer on its way.
struct Answer {
    body: ReplyBody,
    /// What counts its request as in flight.
    place: Option<Place>,
    /// Who waits for the next piece of it.
    waiting: Option<Waker>,
}

/// Counts a request until its answer has ended.
pub struct Open {
    activity: Arc<Activity>,
    answer: Option<u64>,
}

/// A body that is counted until it has ended.
pub struct Counted {
    body: Shared,
    _open: Open,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State {
            open: 0,
            asked: false,
            since: Instant::now(),
            unannounced: true,
            answers: HashMap::new(),
            next: 0,
        }))
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
        Open { activity: Arc::clone(activity), answer: None }
    }

    /// Resolves when no request has come until `limit`; never once one has come.
    pub async fn never_asked(&self, limit: Instant) {
        tokio::time::sleep_until(limit).await;
        if self.0.lock().asked {
            std::future::pending::<()>().await;
        }
    }

    /// Gives up answers that are past their deadline and wait for a client that does not read: their backends and places
    /// are free again. Resolves on HTTP/1, where nothing else can follow, and where nothing has followed for long; an HTTP/2
    /// connection goes on.
    pub async fn overstayed(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            let (late, stuck, one) = {
                let mut state = self.0.lock();
                let late = state.answers.extract_if(|_, (until, _)| now >= *until);
                let late = late.map(|(_, (_, body))| body).collect::<Vec<_>>();
                let stuck = state.asked && state.open == 0 && now >= state.since + STUCK;
                (late, stuck, state.unannounced)
            };
            for body in &late {
                drop(body.lock().take());
            }
            if one && (stuck || !late.is_empty()) {
                return;
            }
        }
    }

    /// Ends the answers on their way, as the process leaves: with the word that they are incomplete, where that has a place.
    pub fn cut(&self) {
        let answers: Vec<_> = self.0.lock().answers.drain().map(|(_, (_, answer))| answer).collect();
        for shared in answers {
            let mut held = shared.lock();
            let Some(Answer { body, place, waiting }) = held.take() else { continue };
            *held = body.cut_short().map(|body| Answer { body, place, waiting: None });
            drop(held);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
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
    /// Counts until `body` has ended, and holds `place` for as long.
    pub fn counts(mut self, body: ReplyBody, place: Option<Place>) -> Counted {
        let until = body.deadline() + GRACE;
        let body = Arc::new(Mutex::new(Some(Answer { body, place, waiting: None })));
        let mut state = self.activity.0.lock();
        let number = state.next;
        state.next += 1;
        state.answers.insert(number, (until, Arc::clone(&body)));
        drop(state);
        self.answer = Some(number);
        Counted { body, _open: self }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.activity.0.lock();
        state.open -= 1;
        state.since = Instant::now();
        if let Some(number) = self.answer {
            state.answers.remove(&number);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // The client is gone, or has all of it: so its backend learns at once.
        drop(self.body.lock().take());
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.body.lock().as_mut() {
            Some(Answer { body, waiting, .. }) => {
                let polled = Pin::new(body).poll_frame(cx);
                if polled.is_pending() && !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    *waiting = Some(cx.waker().clone());
                }
                polled
            }
            None => Poll::Ready(Some(Err(BrokenOff))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.lock().as_ref().is_some_and(|answer| answer.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.lock().as_ref().map(|answer| answer.body.size_hint()).unwrap_or_default()
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
        let body = Activity::open(&activity, true).counts(full("answer"), None);
        let end = async {
            tokio::time::sleep(PAUSE * 3 + PAUSE / 2).await;
            drop(body);
        };
        let (waited, ()) = tokio::join!(until_quiet(&activity), end);
        assert!(waited >= PAUSE * 4 + PAUSE / 2, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_last_bytes_nobody_reads_is_given_up_and_one_with_a_request_is_not() {
        let activity = Arc::new(Activity::default());
        let open = Activity::open(&activity, true);
        let given_up = tokio::time::timeout(STUCK * 3, activity.overstayed()).await;
        assert!(given_up.is_err(), "a body may be on its way");
        drop(open);
        let start = Instant::now();
        activity.overstayed().await;
        assert!(start.elapsed() >= STUCK);
        drop(Activity::open(&activity, false));
        let given_up = tokio::time::timeout(STUCK * 3, activity.overstayed()).await;
        assert!(given_up.is_err(), "HTTP/2 asks for signs of life");
    }

    #[tokio::test(start_paused = true)]
    async fn http_2_says_its_farewell_at_once() {
        let activity = Arc::new(Activity::default());
        let _open = Activity::open(&activity, false);
        assert_eq!(until_quiet(&activity).await, Duration::ZERO);
    }
}
