//! What the gateway serves by at one moment: routes joined with their backends, consumers by key, settings.
//!
//! A snapshot never changes; a new configuration makes a new one ([`build`]) that is swapped in as a whole. State that
//! must survive a reload (breakers, counters, quotas) is carried over by id.

mod build;
mod route;

pub use build::{BuildInput, BuildOutput, Refusal, build};
pub use route::{Lasting, Route, RouteBackend, RouteState, UpstreamRequest};

use crate::pipeline::cache::Cache;
use crate::pipeline::metrics::Metrics;
use crate::pipeline::shed::Shed;
use crate::upstream::account::Accounts;
use deepseek_config::defaults;
use deepseek_config::document::{self, ObjectId};
use deepseek_config::keys::ApiKeyHash;
use deepseek_crds::v1alpha1::{AuthMode, LogLevel};
use rustls::sign::CertifiedKey;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What the gateway serves by.
#[derive(Default)]
pub struct Snapshot {
    /// Settings of the gateway itself.
    pub settings: Settings,
    /// Routes by id.
    pub routes: BTreeMap<ObjectId, Arc<Route>>,
    /// Routes by every name a client may ask for.
    pub models: HashMap<String, Arc<Route>>,
    /// Consumers by the hash of each of their keys.
    pub consumers: HashMap<ApiKeyHash, Arc<Consumer>>,
    /// Certificates by listener name.
    pub certificates: HashMap<String, Arc<CertifiedKey>>,
}

/// Settings of the gateway itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How callers show who they are.
    pub auth: AuthMode,
    /// Largest request body in bytes.
    pub max_request_body_bytes: u64,
    /// Requests in flight that are taken.
    pub max_in_flight: u64,
    /// Bytes of requests and answers that are held in memory.
    pub max_buffered_bytes: u64,
    /// How much is logged.
    pub log_level: LogLevel,
    /// Ports that clients connect to.
    pub listeners: Vec<document::Listener>,
    /// How long a leaving pod still takes new connections.
    pub drain_delay: Duration,
    /// How long it then waits for requests to end.
    pub drain_timeout: Duration,
    /// Gateway pods that share each quota.
    pub pods: u32,
    /// The pod that asks for the balances of accounts; absent: every pod does.
    pub balance_poller: Option<String>,
    /// Bytes of kept answers.
    pub max_cache_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth: AuthMode::ApiKey,
            max_request_body_bytes: 32 << 20,
            max_in_flight: 10_000,
            max_buffered_bytes: 256 << 20,
            log_level: LogLevel::Info,
            listeners: Vec::new(),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_mins(10),
            pods: 1,
            balance_poller: None,
            max_cache_bytes: defaults::MAX_CACHE_BYTES,
        }
    }
}

impl From<&document::Gateway> for Settings {
    fn from(gateway: &document::Gateway) -> Self {
        Self {
            auth: gateway.auth,
            max_request_body_bytes: gateway.max_request_body_bytes,
            max_in_flight: gateway.max_in_flight,
            max_buffered_bytes: gateway.max_buffered_bytes,
            log_level: gateway.log_level,
            listeners: gateway.listeners.clone(),
            drain_delay: Duration::from_millis(gateway.drain_delay_ms),
            drain_timeout: Duration::from_millis(gateway.drain_timeout_ms),
            pods: gateway.pods.max(1),
            balance_poller: gateway.balance_poller.clone(),
            max_cache_bytes: gateway.max_cache_bytes,
        }
    }
}

/// A caller.
#[derive(Debug, PartialEq)]
pub struct Consumer {
    /// `namespace/name`, for quotas and logs.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Consumer {
    /// Whether it carries all of `labels`.
    #[must_use]
    pub fn carries(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

/// What lives as long as the process and outlives every snapshot.
pub struct Shared {
    /// Connection pools.
    pub clients: crate::upstream::client::Clients,
    /// Accounts at providers.
    pub accounts: Accounts,
    /// Answers that are kept.
    pub cache: Arc<Cache>,
    /// What is counted.
    pub metrics: Metrics,
    /// What is let in.
    pub shed: Shed,
    /// The caller of a gateway with `auth.mode: None`.
    pub anonymous: Arc<Consumer>,
    /// The zone that this process is in, where that is known.
    pub zone: Option<String>,
}

impl Shared {
    /// With nothing connected and nothing counted yet.
    #[must_use]
    pub fn new(metrics: Metrics, zone: Option<String>) -> Self {
        let anonymous = Arc::new(Consumer { name: "anonymous".into(), labels: BTreeMap::new() });
        Self {
            clients: crate::upstream::client::Clients::default(),
            accounts: Accounts::default(),
            shed: Shed::new(metrics.clone()),
            cache: Arc::default(),
            metrics,
            anonymous,
            zone,
        }
    }
}
