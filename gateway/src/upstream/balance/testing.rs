//! Routes for tests, built as the gateway builds them.

use crate::pipeline::metrics::Metrics;
use crate::snapshot::{BuildInput, Route, Shared, Snapshot, build};
use deepseek_config::defaults;
use deepseek_config::document::{self, Body, Document, FORMAT, Kind, ObjectId, Target};
use deepseek_crds::v1alpha1::{Affinity, Flavor, MidStream, Strategy, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A backend: name, priority, weight, zone.
pub type Spec = (&'static str, u32, u32, Option<&'static str>);

/// Backends `a`, `b`, `c`, … of the same priority with these weights.
pub fn weighted(weights: &[u32]) -> Vec<Spec> {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    weights.iter().zip(names).map(|(weight, name)| (name, 0, *weight, None)).collect()
}

/// A route over `backends` in a gateway of zone `near`.
pub fn route(backends: &[Spec], strategy: Strategy, affinity: Affinity) -> Arc<Route> {
    reloaded(&Snapshot::default(), backends, strategy, affinity, |_| {}).1
}

/// The same after another one, with its policy changed by `change`.
pub fn reloaded(
    previous: &Snapshot,
    backends: &[Spec],
    strategy: Strategy,
    affinity: Affinity,
    change: impl FnOnce(&mut document::Route),
) -> (Snapshot, Arc<Route>) {
    // Another test of this process may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut policy = policy(backends, document::Balancing { strategy, affinity });
    change(&mut policy);
    let id = ObjectId::new(Kind::Route, "team-a", "chat");
    let body = Body::Route(Box::new(policy));
    let document = Document { format: FORMAT, id: id.clone(), uid: String::new(), generation: 1, body };
    let documents = BTreeMap::from([(id.clone(), Arc::new(document))]);
    let shared = Shared::new(Metrics::unregistered(), Some("near".to_owned()));
    let input = BuildInput { previous, documents: &documents, keys: &|_| None, keys_revision: 0 };
    let output = build(&shared, &input);
    assert_eq!(output.refused, []);
    let route = Arc::clone(&output.snapshot.routes[&id]);
    (output.snapshot, route)
}

fn policy(backends: &[Spec], balancing: document::Balancing) -> document::Route {
    document::Route {
        model: "m".to_owned(),
        aliases: Vec::new(),
        access: None,
        backends: backends.iter().map(backend).collect(),
        quotas: Vec::new(),
        timeouts: document::Timeouts {
            connect_ms: defaults::CONNECT_MS,
            first_token_ms: defaults::FIRST_TOKEN_MS,
            last_first_token_ms: defaults::LAST_FIRST_TOKEN_MS,
            idle_ms: defaults::IDLE_MS,
            byte_idle_ms: defaults::BYTE_IDLE_MS,
            answer_ms: defaults::REQUEST_MS,
            request_ms: defaults::REQUEST_MS,
        },
        failover: document::Failover {
            attempts: defaults::ATTEMPTS,
            retry_on: defaults::RETRY_ON.into(),
            backoff_base_ms: defaults::BACKOFF_BASE_MS,
            backoff_max_ms: defaults::BACKOFF_MAX_MS,
            jitter: defaults::JITTER,
            breaker: document::Breaker {
                error_percent: 50,
                min_requests: 1,
                window_ms: 10_000,
                open_for_ms: 60_000,
                consecutive_timeouts: 3,
                slow_start_ms: 60_000,
            },
            budget_percent: defaults::RETRY_BUDGET_PERCENT,
            hedge_after_ms: None,
            mid_stream: MidStream::Fail,
            fallback: None,
        },
        balancing,
        cache: None,
        keep_alive: document::KeepAlive { interval_ms: defaults::KEEP_ALIVE_MS, blank_padding: false },
    }
}

fn backend((name, priority, weight, zone): &Spec) -> document::RouteBackend {
    let account = document::Backend {
        base_url: "http://127.0.0.1:1".to_owned(),
        flavor: Flavor::DeepSeek,
        api_keys: Vec::new(),
        ca: None,
        zone: zone.map(str::to_owned),
        concurrency: document::Concurrency::default(),
        balance: None,
        user_id: UserId::default(),
        parked: false,
    };
    document::RouteBackend {
        name: (*name).to_owned(),
        target: Target::Inline(account),
        model: None,
        priority: *priority,
        weight: *weight,
    }
}
