//! What is counted of the configuration.

use super::store::Store;
use deepseek_config::document::Kind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Metrics of the configuration. Cloning shares them.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    objects: Family<ObjectLabels, Gauge>,
    revision: Gauge,
    joins: Histogram,
    /// Reads of files that failed, in standalone mode.
    pub reload_errors: Counter,
    /// Copies on disk that could not be written.
    pub save_errors: Counter,
    /// Watches that broke, by what they watch.
    pub watch_errors: Family<WatchLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    kind: &'static str,
    state: &'static str,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WatchLabels {
    /// `configmaps` or `secrets`.
    pub resource: &'static str,
}

impl Default for ConfigMetrics {
    fn default() -> Self {
        Self {
            objects: Family::default(),
            revision: Gauge::default(),
            joins: Histogram::new(exponential_buckets(0.000_1, 4.0, 9)),
            reload_errors: Counter::default(),
            save_errors: Counter::default(),
            watch_errors: Family::default(),
        }
    }
}

impl ConfigMetrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        let Self { objects, revision, joins, reload_errors, save_errors, watch_errors } = &all;
        registry.register(
            "deepseek_gateway_config_objects",
            "Documents by kind: loaded (a version is in use), refused (the newest version is not)",
            objects.clone(),
        );
        registry.register(
            "deepseek_gateway_config_revision",
            "Revision of the report on GET /status; moves with every change",
            revision.clone(),
        );
        registry.register_with_unit(
            "deepseek_gateway_config_join_duration",
            "Time to join the documents into what is served; the count is the number of reloads",
            Unit::Seconds,
            joins.clone(),
        );
        registry.register(
            "deepseek_gateway_config_reload_errors",
            "Reads of configuration files that found something wrong (standalone mode)",
            reload_errors.clone(),
        );
        registry.register(
            "deepseek_gateway_config_save_errors",
            "Copies of the last good configuration that could not be written (cluster mode)",
            save_errors.clone(),
        );
        registry.register(
            "deepseek_gateway_watch_errors",
            "Watches of the API server that broke and were begun anew",
            watch_errors.clone(),
        );
        all
    }

    /// Counts a join and what `store` holds after it.
    pub fn joined(&self, store: &Store, revision: u64, took: Duration) {
        self.joins.observe(took.as_secs_f64());
        self.revision.set(i64::try_from(revision).unwrap_or(i64::MAX));
        for kind in Kind::ALL {
            let (loaded, refused) = store.counts(kind);
            for (state, count) in [("loaded", loaded), ("refused", refused)] {
                let gauge = self.objects.get_or_create_owned(&ObjectLabels { kind: kind.as_str(), state });
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// Counts a broken watch.
    pub fn watch_broke(&self, resource: &'static str) {
        self.watch_errors.get_or_create_owned(&WatchLabels { resource }).inc();
    }
}
