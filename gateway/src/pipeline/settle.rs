//! Settling: whatever way a call ends, its quotas, metrics and log line are done exactly once, on drop.

use super::dispatch::Trail;
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::fallback;
use super::quota::{Reservation, Unit};
use super::reply::ReplyBody;
use super::shed::Buffered;
use super::tap::Usage;
use crate::snapshot::{Consumer, Route, Shared};
use http::{HeaderValue, Response};
use std::sync::Arc;
use std::time::Instant;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client went away first.
    Cancelled,
    /// The answer reached its end.
    Complete,
    /// The backend's answer broke off.
    Broken,
    /// The gateway answered by itself, with this code.
    Refused(&'static str),
}

/// Who gave the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A backend that was asked for it.
    #[default]
    Backend,
    /// It was kept, and cost these tokens then.
    Cache(Option<Usage>),
    /// A backend that an identical call was sent to.
    Merged,
    /// Something in place of the route's backends.
    Fallback(fallback::Kind),
}

impl Source {
    /// What stood in for the route's backends.
    #[must_use]
    pub fn fallback(self) -> Option<fallback::Kind> {
        match self {
            Self::Fallback(kind) => Some(kind),
            Self::Backend | Self::Cache(_) | Self::Merged => None,
        }
    }

    /// Whether it cost no tokens of a provider.
    fn is_free(self) -> bool {
        !matches!(self, Self::Backend | Self::Fallback(fallback::Kind::Model))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Cache(_) => "cache",
            Self::Merged => "merged",
            Self::Fallback(kind) => kind.as_str(),
        }
    }
}

/// A call under way. Dropping it settles it.
pub struct Settlement {
    /// What outlives snapshots.
    pub shared: Arc<Shared>,
    /// The route that serves it.
    pub route: Arc<Route>,
    /// The caller.
    pub consumer: Arc<Consumer>,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// When its head arrived.
    pub started: Instant,
    /// What was taken from each quota.
    pub reservations: Vec<Reservation>,
    /// Prompt tokens, estimated.
    pub estimated_input: u64,
    /// Status sent to the client.
    pub status: u16,
    /// Attempts made.
    pub attempts: u32,
    /// The backends that it has been to.
    pub trail: Trail,
    /// The backend that answered.
    pub backend: Option<Arc<str>>,
    /// What the backend reported.
    pub usage: Option<Usage>,
    /// Output tokens seen, estimated.
    pub estimated_output: u64,
    /// Its `x-request-id`.
    pub request_id: HeaderValue,
    /// How it ended.
    pub ending: Ending,
    /// Who gave the answer.
    pub source: Source,
    /// What is held of its body.
    pub held: Buffered,
}

impl Settlement {
    /// Ends the call with an error of the gateway's own.
    pub fn refused(mut self, error: GatewayError) -> Response<ReplyBody> {
        self.status = error.code.status().as_u16();
        self.ending = Ending::Refused(error.code.as_str());
        error.respond()
    }

    fn used(&self) -> Option<Usage> {
        if self.source.is_free() {
            return None;
        }
        let seen = Usage { input: self.estimated_input, cached_input: 0, output: self.estimated_output };
        match (self.usage, self.ending) {
            (Some(reported), Ending::Complete) => Some(reported),
            // What was reported before the end can be short of what was sent: Anthropic's opening event counts 1.
            (Some(reported), _) => Some(Usage { output: reported.output.max(seen.output), ..reported }),
            (None, Ending::Refused(_)) => None,
            (None, Ending::Complete) => (self.status < 400).then_some(seen),
            // The provider had the prompt.
            (None, Ending::Broken | Ending::Cancelled) => (self.attempts > 0).then_some(seen),
        }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        let used = self.used();
        for reservation in self.reservations.drain(..) {
            match reservation.unit() {
                Unit::Requests => reservation.keep(),
                Unit::Concurrent => reservation.give_back(),
                Unit::Tokens => reservation.settle(used.map_or(0, |u| u.total())),
            }
        }
        let metrics = &self.route.state.metrics;
        let elapsed = self.started.elapsed();
        metrics.duration.observe(elapsed.as_secs_f64());
        if let Some(used) = used {
            metrics.used(used.input.saturating_sub(used.cached_input), used.cached_input, used.output);
            if self.usage.is_none() {
                metrics.estimated();
            }
        }
        if let Source::Cache(Some(saved)) = self.source {
            metrics.saved(saved.input, saved.output);
        }
        let (code, reason) = match self.ending {
            Ending::Complete => (self.status, ""),
            // 499 is nginx's status for it: no status reached the client.
            Ending::Cancelled => (499, "client_cancelled"),
            Ending::Broken => (self.status, "stream_interrupted"),
            Ending::Refused(reason) => (self.status, reason),
        };
        self.shared.metrics.answered(Some(metrics), self.endpoint.as_str(), code, reason);
        tracing::debug!(
            route = %metrics.label,
            consumer = %self.consumer.name,
            endpoint = self.endpoint.as_str(),
            status = code,
            reason,
            source = self.source.as_str(),
            backend = self.backend.as_deref().unwrap_or(""),
            attempts = self.attempts,
            request_id = self.request_id.to_str().unwrap_or_default(),
            input_tokens = used.map(|u| u.input),
            output_tokens = used.map(|u| u.output),
            duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "request ended"
        );
    }
}
