//! One watch: its own backoff, its own health, and a sink for what it sees.
//!
//! Each kind has a watch of its own, so one that fails (a missing permission, a missing definition) pauses no other.
//! Sinks reduce every object to what the operator needs and keep that in [`crate::cluster::Cluster`]: nothing is
//! cached twice and `managedFields` never at all.

mod children;
mod documents;
mod grants;
mod health;
mod pods;
mod resources;
mod secrets;

pub use children::children;
pub use documents::documents;
pub use grants::grants;
pub use health::Health;
pub use pods::pods;
pub use resources::resources;
pub use secrets::{read as read_secrets, read_all as read_wanted_secrets, secrets};

use futures::{StreamExt as _, stream::BoxStream};
use kube::core::NamespaceResourceScope;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Load balancers in front of API servers cut silent connections after as little as 240 s: end watches before that.
const TIMEOUT_SECONDS: u32 = 200;
/// Objects a page of a first list. Pages are freed one by one, so this bounds the memory a list takes.
const PAGE: u32 = 250;

/// What a watch is about.
#[derive(Clone)]
pub struct Subject {
    /// Its kind, for metrics.
    pub kind: &'static str,
    /// Its namespace; `None` is all.
    pub namespace: Option<String>,
    /// Only objects with these labels.
    pub labels: Option<String>,
}

impl Subject {
    fn name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} in {namespace}", self.kind),
            None => self.kind.to_owned(),
        }
    }

    /// Whether an object in `namespace` is in the watch's scope.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|scope| scope == namespace)
    }
}

/// Feeds `sink` with what happens to `subject`, until `stop`. The watch counts as begun when this returns.
pub fn run<K, F>(
    api: Api<K>,
    subject: &Subject,
    health: Arc<Health>,
    stop: CancellationToken,
    sink: F,
) -> impl Future<Output = ()> + Send + use<K, F>
where
    F: FnMut(Event<K>) + Send,
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let name = subject.name();
    health.begin(&name, subject.kind);
    let mut config = watcher::Config::default().timeout(TIMEOUT_SECONDS).page_size(PAGE);
    if let Some(labels) = &subject.labels {
        config = config.labels(labels);
    }
    let stream = watch(api, config).backoff(Pauses::default()).boxed();
    follow(stream, name, health, stop, sink)
}

async fn follow<K: Resource>(
    mut stream: BoxStream<'static, watcher::Result<Event<K>>>,
    name: String,
    health: Arc<Health>,
    stop: CancellationToken,
    mut sink: impl FnMut(Event<K>) + Send,
) {
    loop {
        let item = tokio::select! {
            () = stop.cancelled() => break,
            item = stream.next() => item,
        };
        match item {
            Some(Ok(mut event)) => {
                if let Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) = &mut event {
                    object.meta_mut().managed_fields = None;
                }
                let synced = matches!(event, Event::InitDone);
                sink(event);
                health.heard(&name, synced);
            }
            Some(Err(error)) => {
                // One broken connection is everyday: shout only when it stays broken.
                if health.failed(&name) > 2 {
                    warn!(watch = name, %error, "watch fails, trying again");
                } else {
                    debug!(watch = name, %error, "watch failed, trying again");
                }
            }
            None => break,
        }
    }
    health.end(&name);
}

/// Pauses between attempts to watch: they double from a fifth of a second to five, with jitter.
#[derive(Default)]
struct Pauses(u32);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let doubled = Duration::from_millis(200) * (1 << self.0.min(5));
        self.0 += 1;
        Some(doubled.min(Duration::from_secs(5)).mul_f64(rand::random_range(0.5..1.0)))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// Finds what disappeared while nobody watched: ids that a new list no longer has.
#[derive(Debug)]
pub struct Relist<Id> {
    seen: Option<HashSet<Id>>,
}

impl<Id> Default for Relist<Id> {
    fn default() -> Self {
        Self { seen: None }
    }
}

impl<Id: Hash + Eq> Relist<Id> {
    /// A list begins.
    pub fn begin(&mut self) {
        self.seen = Some(HashSet::new());
    }

    /// The list has `id`.
    pub fn saw(&mut self, id: Id) {
        if let Some(seen) = &mut self.seen {
            seen.insert(id);
        }
    }

    /// The list is complete: of `known`, those it does not have.
    pub fn end(&mut self, known: impl IntoIterator<Item = Id>) -> Vec<Id> {
        let seen = self.seen.take().unwrap_or_default();
        known.into_iter().filter(|id| !seen.contains(id)).collect()
    }
}

/// The API of `K` in one namespace or in all.
pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
