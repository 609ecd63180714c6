//! How the process leaves: first no longer ready, then no longer listening, then done or cut.
//!
//! ```text
//! Serving ──signal──▶ Leaving ──delay──▶ Closing ──idle or timeout──▶ Cut
//!                     /readyz 503        listeners closed,           connections
//!                     still accepting,   GOAWAY, quiet               dropped
//!                     Connection: close  connections end
//! ```
//! Listeners hold a clone: they accept until [`Drain::closing`], count what they carry with [`Drain::connection`] and
//! [`Drain::request`], and on [`Drain::cut`] end everything within [`LAST_WORDS`]. A second signal goes to `Cut` at once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long clients of answers that are cut may take to read that they are.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long connections may still flush the end of an answer to a slow client once no request is in flight. Idle ones
/// are closed within a second; one amid a handshake, or half a request, must not hold up the exit for the whole timeout.
const FLUSH: Duration = Duration::from_secs(30);

/// Where the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not on its way out.
    Serving,
    /// Not ready, but still accepting, until load balancers have noticed.
    Leaving,
    /// No longer accepting; requests in flight end.
    Closing,
    /// Nothing goes on.
    Cut,
}

/// How long each phase may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Of [`Phase::Leaving`].
    pub delay: Duration,
    /// Of [`Phase::Closing`].
    pub timeout: Duration,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every request ended by itself.
    Idle,
    /// This many requests were cut.
    Cut(usize),
}

/// Shared by everything that carries requests. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    phase: Arc<AtomicU8>,
    closing: CancellationToken,
    cut: CancellationToken,
    requests: TaskTracker,
    connections: TaskTracker,
}

/// Counts something as in flight until it is dropped.
#[derive(Debug)]
#[must_use = "it counts only while it is held"]
pub struct Token(#[expect(dead_code, reason = "held for its drop")] TaskTrackerToken);

impl Drain {
    /// Where the process is now. A relaxed load: fit for every request.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Serving,
            1 => Phase::Leaving,
            2 => Phase::Closing,
            _ => Phase::Cut,
        }
    }

    /// Whether a response should say `Connection: close`.
    pub fn is_closing(&self) -> bool {
        self.phase() >= Phase::Closing
    }

    /// Resolves when listeners stop accepting and connections close as soon as they are idle.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        self.closing.clone().cancelled_owned()
    }

    /// Resolves when whatever is left is to end.
    pub fn cut(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cut.clone().cancelled_owned()
    }

    /// The same for one who waits no longer than this is borrowed.
    pub fn is_cut(&self) -> impl Future<Output = ()> + Send + '_ {
        self.cut.cancelled()
    }

    /// Counts a connection until the token is dropped.
    pub fn connection(&self) -> Token {
        Token(self.connections.token())
    }

    /// Counts a request until the token is dropped, which is when its response body has ended.
    pub fn request(&self) -> Token {
        Token(self.requests.token())
    }

    /// Requests in flight, streams included.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// From now on the process is not ready. [`Self::run`] does the rest.
    pub fn begin(&self) {
        self.enter(Phase::Leaving);
    }

    /// Walks through the phases and returns when the process may exit. `hurry` resolves when it must exit at once.
    pub async fn run(&self, pace: Pace, hurry: impl Future<Output = ()>) -> Outcome {
        let orderly = async {
            self.begin();
            tokio::time::sleep(pace.delay).await;
            self.enter(Phase::Closing);
            let idle = async {
                self.requests.close();
                self.connections.close();
                loop {
                    self.requests.wait().await;
                    let ended = tokio::time::timeout(FLUSH, self.connections.wait()).await.is_ok();
                    // A kept connection may have brought one more request in the meantime.
                    if ended || self.requests.is_empty() {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(pace.timeout, idle).await;
        };
        tokio::select! {
            () = orderly => (),
            () = hurry => (),
        }
        let left = self.requests();
        self.enter(Phase::Cut);
        if left == 0 {
            return Outcome::Idle;
        }
        self.connections.close();
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
        Outcome::Cut(left)
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        if phase >= Phase::Closing {
            self.closing.cancel();
        }
        if phase >= Phase::Cut {
            self.cut.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    const PACE: Pace = Pace { delay: Duration::from_secs(5), timeout: Duration::from_mins(1) };

    async fn reach(drain: &Drain, phase: Phase) {
        while drain.phase() < phase {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_process_leaves_after_the_delay() {
        let drain = Drain::default();
        let start = tokio::time::Instant::now();
        assert_eq!(drain.run(PACE, pending()).await, Outcome::Idle);
        assert_eq!(start.elapsed(), PACE.delay);
        assert_eq!(drain.phase(), Phase::Cut);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_are_waited_for() {
        let drain = Drain::default();
        let request = drain.request();
        let leaving = tokio::spawn({
            let drain = drain.clone();
            async move { drain.run(PACE, pending()).await }
        });
        drain.closing().await;
        assert_eq!((drain.phase(), drain.requests()), (Phase::Closing, 1));
        drop(request);
        assert_eq!(leaving.await.unwrap(), Outcome::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlasts_the_timeout_is_cut_and_counted() {
        let drain = Drain::default();
        let _request = drain.request();
        let start = tokio::time::Instant::now();
        assert_eq!(drain.run(PACE, pending()).await, Outcome::Cut(1));
        assert_eq!(start.elapsed(), PACE.delay + PACE.timeout);
        drain.cut().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_cuts_at_once() {
        let drain = Drain::default();
        let _request = drain.request();
        let hurry = CancellationToken::new();
        let start = tokio::time::Instant::now();
        let leaving = tokio::spawn({
            let (drain, hurry) = (drain.clone(), hurry.clone());
            async move { drain.run(PACE, hurry.cancelled()).await }
        });
        reach(&drain, Phase::Leaving).await;
        hurry.cancel();
        assert_eq!(leaving.await.unwrap(), Outcome::Cut(1));
        assert!(start.elapsed() < PACE.delay);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_holds_the_exit_up_only_so_long() {
        let drain = Drain::default();
        let _connection = drain.connection();
        let start = tokio::time::Instant::now();
        assert_eq!(drain.run(PACE, pending()).await, Outcome::Idle);
        assert_eq!(start.elapsed(), PACE.delay + FLUSH);
    }
}
