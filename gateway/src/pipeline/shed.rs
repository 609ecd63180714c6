//! Load shedding: how many requests a pod serves at once, and how many bytes it holds in memory for them.
//!
//! What is beyond the gateway's `limits` is refused at once, so that what was let in is served well. Both counts are
//! given back on drop. A request is held to the limits that were current when it began.

use super::error::{Code, GatewayError};
use super::in_flight::InFlight;
use super::metrics::Metrics;
use crate::drain::Token;
use crate::snapshot::Settings;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use std::time::{Duration, Instant};

/// When a refused client may try again: requests come and go within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a refusal is logged at most, for each reason.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a request is refused: a closed set, also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `limits.maxInFlight` requests are in flight.
    InFlight,
    /// `limits.maxBufferedBytes` are held in memory.
    BufferedBytes,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::InFlight, Self::BufferedBytes];

    /// As it stands in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::BufferedBytes => "buffered_bytes",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::InFlight => "This gateway has as many requests in flight as it takes. Try again shortly.",
            Self::BufferedBytes => "This gateway has no memory left for this request. Try again shortly.",
        }
    }
}

/// There is no room for so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What is let in. The counts are the gauges that metrics show.
pub struct Shed {
    metrics: Metrics,
    logged: [Mutex<Logged>; Reason::ALL.len()],
}

/// Refusals since the last one that was logged, and when that was.
#[derive(Default)]
struct Logged {
    at: Option<Instant>,
    since: u64,
}

/// A request's place in flight, from its head until its client has all of the answer, is gone or is cut.
pub struct Place {
    _drain: Token,
    _in_flight: InFlight,
}

/// Bytes held in memory for one request.
pub struct Buffered {
    all: Gauge,
    most: u64,
    bytes: u64,
}

impl Shed {
    /// Counts on the gauges of `metrics`.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, logged: Default::default() }
    }

    /// A place for one more request, and what counts the bytes of its body. `drain` counts it as well.
    pub fn enter(&self, settings: &Settings, drain: Token) -> Result<(Place, Buffered), GatewayError> {
        let entered = InFlight::enter_below(&self.metrics.in_flight, signed(settings.max_in_flight));
        let in_flight = entered.ok_or_else(|| self.refused(Reason::InFlight))?;
        let body =
            Buffered { all: self.metrics.buffered.clone(), most: settings.max_buffered_bytes, bytes: 0 };
        Ok((Place { _drain: drain, _in_flight: in_flight }, body))
    }

    /// Counts and logs a refusal; what the client is told.
    pub fn refused(&self, reason: Reason) -> GatewayError {
        self.count(reason);
        GatewayError::new(Code::Overloaded, reason.what()).retry_after(Some(RETRY_AFTER))
    }

    /// Counts and logs what was refused or broken off.
    pub fn count(&self, reason: Reason) {
        self.metrics.shed(reason);
        let mut logged = self.logged[reason as usize].lock();
        logged.since += 1;
        if logged.at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            tracing::warn!(
                reason = reason.as_str(),
                refused = logged.since,
                in_flight = self.metrics.in_flight.get(),
                buffered_bytes = self.metrics.buffered.get(),
                "overloaded, requests refused"
            );
            *logged = Logged { at: Some(Instant::now()), since: 0 };
        }
    }
}

impl Buffered {
    /// Nothing yet, for another part of the same request.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { all: self.all.clone(), most: self.most, bytes: 0 }
    }

    /// Holds `bytes` in all. Where there is no room for more, what was held before stays held.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = bytes as u64;
        if bytes <= self.bytes {
            self.shrink(bytes);
            return Ok(());
        }
        let more = signed(bytes - self.bytes);
        let before = self.all.inc_by(more);
        if before.saturating_add(more) > signed(self.most) {
            self.all.dec_by(more);
            return Err(Full);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Whether there is room to hold for long what could be let go: half of all is for requests to come.
    #[must_use]
    pub fn is_spare(&self) -> bool {
        self.all.get() <= signed(self.most / 2)
    }

    /// Holds nothing any more.
    pub fn give_back(&mut self) {
        self.shrink(0);
    }

    fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.all.dec_by(signed(self.bytes - bytes));
            self.bytes = bytes;
        }
    }
}

/// Gauges count in signed numbers.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Drain;

    fn settings(max_in_flight: u64, max_buffered_bytes: u64) -> Settings {
        Settings { max_in_flight, max_buffered_bytes, ..Settings::default() }
    }

    #[test]
    fn a_place_is_free_again_once_it_is_dropped() {
        let (shed, drain, settings) =
            (Shed::new(Metrics::unregistered()), Drain::default(), settings(2, 100));
        let enter = || shed.enter(&settings, drain.request());
        let (first, second) = (enter(), enter());
        assert!(first.is_ok() && second.is_ok());
        let refused = enter().err().map(|error| (error.code, error.retry_after));
        assert_eq!(refused, Some((Code::Overloaded, Some(RETRY_AFTER))));
        drop(first);
        assert!(enter().is_ok());
        drop(second);
        assert_eq!(shed.metrics.in_flight.get(), 0);
        assert_eq!(drain.requests(), 0);
    }

    #[test]
    fn what_does_not_fit_leaves_what_is_held_as_it_is() {
        let (shed, drain, settings) =
            (Shed::new(Metrics::unregistered()), Drain::default(), settings(9, 100));
        let (place, mut body) = shed.enter(&settings, drain.request()).expect("room");
        let mut answer = body.another();
        assert_eq!(body.hold(50), Ok(()));
        assert!(body.is_spare());
        assert_eq!(body.hold(60), Ok(()));
        assert!(!body.is_spare());
        assert_eq!(answer.hold(50), Err(Full));
        assert_eq!(answer.hold(40), Ok(()));
        assert_eq!(answer.hold(41), Err(Full));
        assert_eq!(shed.metrics.buffered.get(), 100);
        assert_eq!(body.hold(10), Ok(()));
        assert_eq!(answer.hold(90), Ok(()));
        answer.give_back();
        assert_eq!(shed.metrics.buffered.get(), 10);
        drop((place, body, answer));
        assert_eq!(shed.metrics.buffered.get(), 0);
    }
}
