//! What the data path counts. Label values come from closed sets, routes and backends; never from a request.

use super::cache::Found;
use super::fallback::Kind;
use super::resume::outcome::Outcome;
use super::shed::Reason;
use deepseek_config::document::ObjectId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

/// All metrics of the data path. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    first_token: Family<RouteLabels, Histogram, fn() -> Histogram>,
    tokens: Family<TokenLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    over_quota: Family<QuotaLabels, Counter>,
    estimated: Family<RouteLabels, Counter>,
    malformed: Family<RouteLabels, Counter>,
    resumes: Family<ResumeLabels, Counter>,
    shed: Family<ShedLabels, Counter>,
    cache: Family<CacheLabels, Counter>,
    saved: Family<TokenLabels, Counter>,
    fallbacks: Family<FallbackLabels, Counter>,
    /// Requests in flight, streams included.
    pub in_flight: Gauge,
    /// Bytes held in memory for requests and their answers.
    pub buffered: Gauge,
    /// Streams in flight.
    pub streams: Gauge,
    /// Open client connections.
    pub connections: Gauge,
}

/// The metrics of one route, looked up once.
#[derive(Clone)]
pub struct RouteMetrics {
    /// `namespace/name`.
    pub label: Arc<str>,
    /// Time to the end of the answer.
    pub duration: Histogram,
    /// Time to the first frame with content of a stream.
    pub first_token: Histogram,
    tokens: [Counter; 3],
    estimated: Counter,
    saved: [Counter; 2],
    /// Frames of streams that were not JSON.
    pub malformed: Counter,
}

/// Kinds of tokens: `input` (cache hits not included), `cached_input`, `output`.
const TOKEN_KINDS: [&str; 3] = ["input", "cached_input", "output"];

/// Kinds of tokens that are saved; whether the provider's cache would have held some of them nobody knows.
const SAVED_KINDS: [&str; 2] = ["input", "output"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    endpoint: &'static str,
    code: u16,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    route: Arc<str>,
    token_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    route: Arc<str>,
    backend: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResumeLabels {
    route: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    route: Arc<str>,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    route: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuotaLabels {
    route: Arc<str>,
    unit: &'static str,
    mode: &'static str,
}

fn seconds_to_minutes() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
    ])
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::new();
        metrics.show_calls(registry);
        metrics.show_answers(registry);
        metrics.show_pod(registry);
        metrics
    }

    fn new() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(seconds_to_minutes),
            first_token: Family::new_with_constructor(seconds_to_minutes),
            tokens: Family::default(),
            attempts: Family::default(),
            over_quota: Family::default(),
            estimated: Family::default(),
            malformed: Family::default(),
            resumes: Family::default(),
            shed: Family::default(),
            cache: Family::default(),
            saved: Family::default(),
            fallbacks: Family::default(),
            in_flight: Gauge::default(),
            buffered: Gauge::default(),
            streams: Gauge::default(),
            connections: Gauge::default(),
        }
    }

    fn show_calls(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests answered, by route, endpoint, status and error code",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from the request's head to the end of the answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "deepseek_gateway_time_to_first_token",
            "Time from the request's head to the first frame with content of a stream",
            Unit::Seconds,
            self.first_token.clone(),
        );
        registry.register("deepseek_gateway_tokens", "Tokens that backends reported", self.tokens.clone());
        registry.register(
            "deepseek_gateway_upstream_attempts",
            "Attempts at backends, by outcome",
            self.attempts.clone(),
        );
        registry.register(
            "deepseek_gateway_over_quota",
            "Requests over a quota: refused (Enforce) or let through (Shadow)",
            self.over_quota.clone(),
        );
    }

    fn show_answers(&self, registry: &mut Registry) {
        registry.register(
            "deepseek_gateway_usage_estimated",
            "Answers whose tokens had to be estimated, as the backend reported none",
            self.estimated.clone(),
        );
        registry.register(
            "deepseek_gateway_malformed_frames",
            "Frames of streams that were not JSON; they are passed on as they are",
            self.malformed.clone(),
        );
        registry.register(
            "deepseek_gateway_stream_resumes",
            "Streams that broke where the route resumes them, by what became of them",
            self.resumes.clone(),
        );
        registry.register(
            "deepseek_gateway_cache_requests",
            "Calls of routes that keep answers: given a kept one (hit), merged with one in flight, or neither (miss)",
            self.cache.clone(),
        );
        registry.register(
            "deepseek_gateway_cache_saved_tokens",
            "Tokens that kept answers cost when a backend gave them, counted each time they are given again",
            self.saved.clone(),
        );
        registry.register(
            "deepseek_gateway_fallbacks",
            "Degraded answers, given as every backend of the route was out",
            self.fallbacks.clone(),
        );
    }

    fn show_pod(&self, registry: &mut Registry) {
        registry.register(
            "deepseek_gateway_requests_in_flight",
            "Requests in flight, streams included",
            self.in_flight.clone(),
        );
        registry.register(
            "deepseek_gateway_shed",
            "Requests refused and answers broken off because the gateway is overloaded, by what it lacked",
            self.shed.clone(),
        );
        registry.register_with_unit(
            "deepseek_gateway_buffered",
            "Memory held for the bodies of requests and for answers on their way",
            Unit::Bytes,
            self.buffered.clone(),
        );
        registry.register("deepseek_gateway_streams_in_flight", "Streams in flight", self.streams.clone());
        registry.register(
            "deepseek_gateway_connections",
            "Open client connections",
            self.connections.clone(),
        );
        // A counter that has not counted yet is shown all the same: alerts need its zero.
        for reason in Reason::ALL {
            drop(self.shed.get_or_create(&ShedLabels { reason: reason.as_str() }));
        }
    }

    /// Metrics that no registry shows, for tests.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::register(&mut Registry::default())
    }

    /// The metrics of one route.
    pub fn route(&self, id: &ObjectId) -> RouteMetrics {
        let label: Arc<str> = format!("{}/{}", id.namespace, id.name).into();
        let route = RouteLabels { route: Arc::clone(&label) };
        let token = |token_type| {
            let labels = TokenLabels { route: Arc::clone(&label), token_type };
            self.tokens.get_or_create(&labels).clone()
        };
        RouteMetrics {
            duration: self.duration.get_or_create(&route).clone(),
            first_token: self.first_token.get_or_create(&route).clone(),
            tokens: TOKEN_KINDS.map(token),
            estimated: self.estimated.get_or_create(&route).clone(),
            malformed: self.malformed.get_or_create(&route).clone(),
            saved: SAVED_KINDS.map(|token_type| {
                let labels = TokenLabels { route: Arc::clone(&label), token_type };
                self.saved.get_or_create(&labels).clone()
            }),
            label,
        }
    }

    /// Drops the series of a route that is gone.
    pub fn forget_route(&self, _id: &ObjectId, route: &RouteMetrics) {
        let labels = RouteLabels { route: Arc::clone(&route.label) };
        self.duration.remove(&labels);
        self.first_token.remove(&labels);
        self.estimated.remove(&labels);
        self.malformed.remove(&labels);
        for outcome in Outcome::ALL {
            self.resumes.remove(&ResumeLabels { route: Arc::clone(&route.label), outcome: outcome.as_str() });
        }
        for found in Found::ALL {
            self.cache.remove(&CacheLabels { route: Arc::clone(&route.label), result: found.as_str() });
        }
        for kind in Kind::ALL {
            self.fallbacks.remove(&FallbackLabels { route: Arc::clone(&route.label), kind: kind.as_str() });
        }
        for token_type in SAVED_KINDS {
            self.saved.remove(&TokenLabels { route: Arc::clone(&route.label), token_type });
        }
        for token_type in TOKEN_KINDS {
            self.tokens.remove(&TokenLabels { route: Arc::clone(&route.label), token_type });
        }
    }

    /// Counts an answered request. `reason` is the gateway's error code, or empty.
    pub fn answered(
        &self,
        route: Option<&RouteMetrics>,
        endpoint: &'static str,
        code: u16,
        reason: &'static str,
    ) {
        let route = route.map_or_else(|| Arc::from(""), |r| Arc::clone(&r.label));
        self.requests.get_or_create(&RequestLabels { route, endpoint, code, reason }).inc();
    }

    /// Counts an attempt.
    pub fn attempted(&self, route: &RouteMetrics, backend: &Arc<str>, outcome: &'static str) {
        let labels = AttemptLabels { route: Arc::clone(&route.label), backend: Arc::clone(backend), outcome };
        self.attempts.get_or_create(&labels).inc();
    }

    /// Counts a stream that broke where the route resumes them.
    pub fn resumed(&self, route: &RouteMetrics, outcome: Outcome) {
        let labels = ResumeLabels { route: Arc::clone(&route.label), outcome: outcome.as_str() };
        self.resumes.get_or_create(&labels).inc();
    }

    /// Counts what was refused or broken off for want of room.
    pub fn shed(&self, reason: Reason) {
        self.shed.get_or_create(&ShedLabels { reason: reason.as_str() }).inc();
    }

    /// Counts a call of a route that keeps answers.
    pub fn looked_up(&self, route: &RouteMetrics, found: Found) {
        let labels = CacheLabels { route: Arc::clone(&route.label), result: found.as_str() };
        self.cache.get_or_create(&labels).inc();
    }

    /// Counts a degraded answer.
    pub fn fell_back(&self, route: &RouteMetrics, kind: Kind) {
        let labels = FallbackLabels { route: Arc::clone(&route.label), kind: kind.as_str() };
        self.fallbacks.get_or_create(&labels).inc();
    }

    /// Counts a request over a quota.
    pub fn over_quota(&self, route: &RouteMetrics, unit: &'static str, enforced: bool) {
        let mode = if enforced { "Enforce" } else { "Shadow" };
        self.over_quota.get_or_create(&QuotaLabels { route: Arc::clone(&route.label), unit, mode }).inc();
    }
}

impl RouteMetrics {
    /// Counts the tokens of one answer.
    pub fn used(&self, input: u64, cached_input: u64, output: u64) {
        for (counter, amount) in self.tokens.iter().zip([input, cached_input, output]) {
            counter.inc_by(amount);
        }
    }

    /// Counts the tokens that a kept answer would have cost again.
    pub fn saved(&self, input: u64, output: u64) {
        for (counter, amount) in self.saved.iter().zip([input, output]) {
            counter.inc_by(amount);
        }
    }

    /// Counts an answer whose tokens had to be estimated.
    pub fn estimated(&self) {
        self.estimated.inc();
    }
}
