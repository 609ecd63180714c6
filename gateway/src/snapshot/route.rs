//! A route ready to serve: backends joined in, requests prepared, runtime state attached.

use crate::pipeline::endpoint::Endpoint;
use crate::pipeline::metrics::RouteMetrics;
use crate::pipeline::quota::QuotaState;
use crate::upstream::account::Account;
use crate::upstream::account::keys::Key;
use crate::upstream::balance::{Budget, Load};
use crate::upstream::breaker::Breaker;
use crate::upstream::client::Client;
use deepseek_config::document::{self, Document, ObjectId};
use deepseek_crds::v1alpha1::Flavor;
use http::{HeaderName, Uri};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A route ready to serve.
pub struct Route {
    /// The resource it came from.
    pub id: ObjectId,
    /// The document it was built from.
    pub document: Arc<Document>,
    /// The `DeepSeekBackend` documents joined in.
    pub joined: Vec<Arc<Document>>,
    /// Revision of the key values it was built with.
    pub keys_revision: u64,
    /// Its policy as compiled.
    pub policy: document::Route,
    /// Its backends, in the order of the document.
    pub backends: Vec<Arc<RouteBackend>>,
    /// Its quotas.
    pub quotas: Vec<Arc<QuotaState>>,
    /// What survives a reload.
    pub state: Arc<RouteState>,
}

/// What survives a reload of a route.
pub struct RouteState {
    /// Requests since the process started.
    pub requests: AtomicU64,
    /// Its metrics.
    pub metrics: RouteMetrics,
    /// What is remembered of each backend, by its name.
    pub lasting: Mutex<HashMap<String, Lasting>>,
}

/// What is remembered of a backend over reloads.
#[derive(Clone, Default)]
pub struct Lasting {
    /// Its health.
    pub breaker: Arc<Breaker>,
    /// What it has to do.
    pub load: Arc<Load>,
    /// What may be sent to it again.
    pub budget: Arc<Budget>,
}

/// One backend of a route, ready to be called.
pub struct RouteBackend {
    /// Its name in the route.
    pub name: Arc<str>,
    /// The model name it knows; absent: what the client asked for.
    pub model: Option<Arc<str>>,
    /// The same as a JSON string.
    pub model_json: Option<bytes::Bytes>,
    /// Lower is tried first: priority, then whether it has a weight, then whether it is in another zone.
    pub rank: u64,
    /// Share within its rank.
    pub weight: u32,
    /// Stands for its name where backends are drawn by a key; the same in every pod.
    pub seed: u64,
    /// Kind of server.
    pub flavor: Flavor,
    /// Full URI of each endpoint it has.
    pub uris: HashMap<Endpoint, Uri>,
    /// How its key is sent.
    pub key_header: HeaderName,
    /// Its account.
    pub account: Arc<Account>,
    /// Its connections.
    pub client: Arc<Client>,
    /// Its health.
    pub breaker: Arc<Breaker>,
    /// What it has to do.
    pub load: Arc<Load>,
    /// What may be sent to it again.
    pub budget: Arc<Budget>,
}

/// Where one attempt goes.
pub struct UpstreamRequest {
    /// Full URI.
    pub uri: Uri,
    /// The key, and the header it is sent in.
    pub key: Option<(HeaderName, Arc<Key>)>,
}

impl RouteBackend {
    /// Where an attempt at `endpoint` goes, with the next key in turn; `None` where this server has no such endpoint.
    pub fn request(&self, endpoint: Endpoint) -> Option<UpstreamRequest> {
        let uri = self.uris.get(&endpoint)?.clone();
        let key = self.account.next_key();
        Some(UpstreamRequest { uri, key: key.map(|key| (self.key_header.clone(), key)) })
    }
}

impl Route {
    /// The whole call's deadline.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.policy.timeouts.request_ms)
    }

    /// Between frames with content.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.policy.timeouts.idle_ms)
    }
}
