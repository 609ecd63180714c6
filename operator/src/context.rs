//! What every task of the operator shares.

use crate::backoff::Backoff;
use crate::cluster::Cluster;
use crate::events::Events;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::queue::WorkQueue;
use kube::Client;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// Settings that reconciles need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace the operator runs in.
    pub namespace: String,
    /// Image of gateways that name none.
    pub image: String,
}

/// What every task shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is known.
    pub cluster: Mutex<Cluster>,
    /// What is to be done.
    pub queue: WorkQueue,
    /// How long failing items are left alone.
    pub backoff: Backoff,
    /// Whether this replica may write.
    pub leadership: Arc<Leadership>,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// What is told to users as it happens.
    pub events: Events,
    /// Settings.
    pub settings: Settings,
    /// A Secret may have to be read.
    pub secrets_changed: Notify,
    /// Pods came, went or moved.
    pub pods_changed: Notify,
}
