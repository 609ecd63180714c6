//! Metrics, under the names that controller-runtime's dashboards expect where there is one, else `deepseek_operator_*`.
//! Labels are kinds, results and reasons from closed sets, never the names of objects.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Labels of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reconcile {
    /// `gateway`, `backend`, `consumer`, `route` or `keys`.
    pub controller: &'static str,
    /// `success`, `requeue_after` or `error`.
    pub result: &'static str,
}

/// Label of a controller alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Controller {
    /// See [`Reconcile::controller`].
    pub controller: &'static str,
}

/// Label of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueName {
    /// The queue's name.
    pub name: &'static str,
}

/// Label of a watched kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Watched {
    /// The kind.
    pub kind: &'static str,
}

/// Labels of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Write {
    /// The kind of the object written.
    pub kind: &'static str,
    /// `created`, `updated`, `deleted`, `unchanged`, `conflict` or `error`.
    pub result: &'static str,
}

/// Every metric.
#[derive(Debug)]
pub struct Metrics {
    /// Reconciles by result.
    pub reconciles: Family<Reconcile, Counter>,
    /// Failed reconciles.
    pub reconcile_errors: Family<Controller, Counter>,
    /// How long reconciles take.
    pub reconcile_seconds: Family<Controller, Histogram, fn() -> Histogram>,
    /// Items waiting.
    pub queue_depth: Family<QueueName, Gauge>,
    /// Events that watches delivered.
    pub watch_events: Family<Watched, Counter>,
    /// Failures of watches.
    pub watch_errors: Family<Watched, Counter>,
    /// When a watch last heard from the API server.
    pub watch_last_success: Family<Watched, Gauge<f64, AtomicU64>>,
    /// Objects of the operator's own written.
    pub writes: Family<Write, Counter>,
    /// Status of custom resources written.
    pub status_writes: Family<Write, Counter>,
    /// Events left out because there were too many.
    pub events_dropped: Counter,
    /// Whether this replica writes.
    pub leader: Gauge,
    /// Custom resources known.
    pub resources: Family<Watched, Gauge>,
    /// Failed reads of pods' reports.
    pub report_errors: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Metrics {
    /// The metrics and the registry that prints them.
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            queue_depth: Family::default(),
            watch_events: Family::default(),
            watch_errors: Family::default(),
            watch_last_success: Family::default(),
            writes: Family::default(),
            status_writes: Family::default(),
            events_dropped: Counter::default(),
            leader: Gauge::default(),
            resources: Family::default(),
            report_errors: Counter::default(),
        };
        let mut registry = Registry::default();
        let Self {
            reconciles,
            reconcile_errors,
            reconcile_seconds,
            queue_depth,
            watch_events,
            watch_errors,
            watch_last_success,
            writes,
            status_writes,
            events_dropped,
            leader,
            resources,
            report_errors,
        } = &metrics;
        registry.register("controller_runtime_reconcile", "Reconciles by result", reconciles.clone());
        registry.register(
            "controller_runtime_reconcile_errors",
            "Failed reconciles",
            reconcile_errors.clone(),
        );
        registry.register_with_unit(
            "controller_runtime_reconcile_time",
            "How long reconciles take",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        registry.register("workqueue_depth", "Items waiting to be reconciled", queue_depth.clone());
        let own = registry.sub_registry_with_prefix("deepseek_operator");
        own.register("watch_events", "Events that watches delivered", watch_events.clone());
        own.register("watch_errors", "Failures of watches", watch_errors.clone());
        own.register(
            "watch_last_success_timestamp_seconds",
            "When a watch last heard from the API server",
            watch_last_success.clone(),
        );
        own.register("writes", "Objects of the operator's own written", writes.clone());
        own.register("status_writes", "Status of custom resources written", status_writes.clone());
        own.register("events_dropped", "Events left out because there were too many", events_dropped.clone());
        own.register("leader", "Whether this replica writes", leader.clone());
        own.register("resources", "Custom resources known", resources.clone());
        own.register("report_errors", "Failed reads of gateway pods' reports", report_errors.clone());
        (metrics, registry)
    }

    /// Counts a finished reconcile.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconcile { controller, result }).inc();
        self.reconcile_seconds.get_or_create(&Controller { controller }).observe(took.as_secs_f64());
        if result == "error" {
            self.reconcile_errors.get_or_create(&Controller { controller }).inc();
        }
    }

    /// Counts a write of an object of the operator's own.
    pub fn wrote(&self, kind: &'static str, result: &'static str) {
        self.writes.get_or_create(&Write { kind, result }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_print_under_the_names_dashboards_expect() {
        let (metrics, registry) = Metrics::new();
        metrics.reconciled("route", "error", Duration::from_millis(3));
        metrics.wrote("ConfigMap", "created");
        metrics.leader.set(1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "controller_runtime_reconcile_total{controller=\"route\",result=\"error\"} 1",
            "controller_runtime_reconcile_errors_total{controller=\"route\"} 1",
            "controller_runtime_reconcile_time_seconds_count{controller=\"route\"} 1",
            "deepseek_operator_writes_total{kind=\"ConfigMap\",result=\"created\"} 1",
            "deepseek_operator_leader 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
