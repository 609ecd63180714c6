//! What the operator knows of the cluster: fed by watches and by its own writes, read by reconciles.
//!
//! ```text
//!   custom resources ─▶ world (compiler index) + resources (uid, generation, status)
//!   Secrets (referred to) ─▶ world                    grants ─▶ world
//!   ConfigMaps ─▶ documents      children ─▶ children      Pods, their reports ─▶ pods
//! ```
//!
//! Plain data behind one lock, held for short, never across an await. Whatever changes here tells which resources to
//! reconcile; nothing here does I/O.

pub mod accounts;
pub mod children;
pub mod desired;
pub mod documents;
pub mod pods;
pub mod resources;
pub mod traffic;

use children::Children;
use deepseek_config::document::ObjectId;
use deepseek_config::keys::KeyId;
use deepseek_config::world::World;
use desired::Desired;
use documents::Documents;
use pods::Pods;
use resources::Known;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;
use traffic::Traffic;

/// Name of a namespaced object.
pub type Name = (String, String);

/// What the operator knows of the cluster.
#[derive(Default)]
pub struct Cluster {
    /// The compiler's index.
    pub world: World,
    /// What else is known of each custom resource.
    pub resources: HashMap<ObjectId, Known>,
    /// Compiled documents as they are stored.
    pub documents: Documents,
    /// What each resource last compiled to.
    pub desired: Desired,
    /// Workloads of gateways as they are stored.
    pub children: Children,
    /// Gateway pods and what they say.
    pub pods: Pods,
    /// What routes carry.
    pub traffic: Traffic,
    /// Version of each Secret that was read; `None` when it was not there.
    pub secrets: HashMap<Name, Option<String>>,
    /// Secrets to be read anew.
    pub stale_secrets: BTreeSet<Name>,
    /// The Secret of projected keys of each gateway.
    pub projected: HashMap<ObjectId, Projected>,
    /// Projected keys that no document names any more, and until when they stay: a pod may hear of the key's end before
    /// it hears of the document's.
    pub lingering: HashMap<ObjectId, BTreeMap<KeyId, Instant>>,
}

/// How long a projected key outlives the last document that names it.
const LINGER: Duration = Duration::from_secs(30);

impl Cluster {
    /// Notes that a document for `gateway` was replaced or removed and `keys` are not named by it any more.
    pub fn linger(&mut self, gateway: &ObjectId, keys: impl IntoIterator<Item = KeyId>) {
        let until = Instant::now() + LINGER;
        let lingering = self.lingering.entry(gateway.clone()).or_default();
        keys.into_iter().for_each(|key| {
            lingering.insert(key, until);
        });
    }
}

/// A gateway's Secret of projected keys.
#[derive(Clone)]
pub enum Projected {
    /// An object of that name is there and is not ours.
    Foreign,
    /// As it is stored; empty when there is none.
    Stored {
        /// Its version; empty when there is none.
        version: String,
        /// Its values.
        data: BTreeMap<String, Vec<u8>>,
    },
}

/// A resource version as a number: the API server counts them up.
pub fn version(resource_version: Option<&str>) -> u64 {
    resource_version.and_then(|v| v.parse().ok()).unwrap_or_default()
}
