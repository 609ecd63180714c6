//! Configuration from the API server: one watch of the gateway's ConfigMaps, one of its Secret of keys.
//!
//! The first word to the store is the whole list, once both watches have it: routes never load before their keys.
//! From then on single changes. While the API server is away nothing is said, so what is loaded keeps serving.

use super::keys::{Keys, Secret};
use super::last_good::read;
use super::metrics::ConfigMetrics;
use super::store::{Change, Reading};
use super::worker::Inbox;
use deepseek_config::document::ObjectId;
use deepseek_config::keys::KeyId;
use deepseek_crds::labels;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{ConfigMap, Secret as KubernetesSecret};
use kube::api::Api;
use kube::runtime::utils::StreamBackoff;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::{Client, ResourceExt as _};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::time::Duration;

/// Watches end and begin anew this often: some load balancers drop a connection silent for 240 s.
const WATCH_SECONDS: u32 = 200;

/// ConfigMaps asked for at a time in a list.
const PAGE: u32 = 500;

type Watch<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

/// Watches the configuration of one gateway.
pub struct Cluster {
    config_maps: Watch<ConfigMap>,
    secrets: Watch<KubernetesSecret>,
    inbox: Inbox,
    metrics: ConfigMetrics,
    state: State,
}

/// What both watches have said so far.
#[derive(Default)]
struct State {
    /// Names of the ConfigMaps and what they hold, so that a changed label cannot hide a deletion.
    names: HashMap<String, ObjectId>,
    listing: Option<BTreeMap<ObjectId, Reading>>,
    listing_names: HashMap<String, ObjectId>,
    /// The list, as long as the keys are not there.
    held: Option<BTreeMap<ObjectId, Reading>>,
    /// Whether the Secret's watch has said what there is.
    keys_known: bool,
    keys: Option<Keys>,
    /// Whether the whole list was handed over.
    begun: bool,
}

impl Cluster {
    /// Watches what belongs to gateway `gateway` in `namespace`.
    pub fn new(
        client: &Client,
        namespace: &str,
        gateway: &str,
        inbox: Inbox,
        metrics: ConfigMetrics,
    ) -> Self {
        let selector =
            format!("{}={gateway},{}={}", labels::GATEWAY, labels::COMPONENT, labels::COMPONENT_CONFIG);
        let config_maps = watcher::Config::default().labels(&selector).timeout(WATCH_SECONDS).page_size(PAGE);
        let name = format!("metadata.name={}", labels::keys_secret(gateway));
        let secrets = watcher::Config::default().fields(&name).timeout(WATCH_SECONDS);
        Self {
            config_maps: watch(Api::namespaced(client.clone(), namespace), config_maps),
            secrets: watch(Api::namespaced(client.clone(), namespace), secrets),
            inbox,
            metrics,
            state: State::default(),
        }
    }

    /// Watches for ever.
    pub async fn run(mut self) {
        loop {
            let change = tokio::select! {
                Some(event) = self.config_maps.next() => match event {
                    Ok(event) => self.state.config_map(event),
                    Err(error) => self.broke("configmaps", &error),
                },
                Some(event) = self.secrets.next() => match event {
                    Ok(event) => self.state.secret(event),
                    Err(error) => self.broke("secrets", &error),
                },
                else => return,
            };
            if let Some(change) = change {
                self.inbox.send(change);
            }
        }
    }

    fn broke(&self, resource: &'static str, error: &watcher::Error) -> Option<Change> {
        self.metrics.watch_broke(resource);
        let mut cause: &dyn Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        tracing::warn!(resource, %error, %cause, "watch broke and begins anew; what is loaded keeps serving");
        None
    }
}

fn watch<K>(api: Api<K>, config: watcher::Config) -> Watch<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    // Quicker than client-go's 30 s: one pod watches two small things, and a change should not wait half a minute
    // for the end of an outage.
    let backoff = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times();
    StreamBackoff::new(watcher::watcher(api, config), ExponentialBackoff::from(backoff)).boxed()
}

impl State {
    fn config_map(&mut self, event: Event<ConfigMap>) -> Option<Change> {
        match event {
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                self.listing_names.clear();
                None
            }
            Event::InitApply(config_map) => {
                let (id, reading) = read_config_map(&config_map)?;
                self.listing_names.insert(config_map.name_any(), id.clone());
                self.listing.get_or_insert_default().insert(id, reading);
                None
            }
            Event::InitDone => {
                self.names = std::mem::take(&mut self.listing_names);
                self.held = self.listing.take();
                self.hand_over()
            }
            Event::Apply(config_map) => {
                let (id, reading) = read_config_map(&config_map)?;
                let before = self.names.insert(config_map.name_any(), id.clone());
                if let Some(held) = &mut self.held {
                    if let Some(before) = before.filter(|before| *before != id) {
                        held.remove(&before);
                    }
                    held.insert(id, reading);
                    return None;
                }
                Some(Change::Put(id, reading))
            }
            Event::Delete(config_map) => {
                let id = self.names.remove(&config_map.name_any())?;
                if self.names.values().any(|other| *other == id) {
                    return None; // the resource has moved to a ConfigMap of another name
                }
                if let Some(held) = &mut self.held {
                    held.remove(&id);
                    return None;
                }
                Some(Change::Delete(id))
            }
        }
    }

    fn secret(&mut self, event: Event<KubernetesSecret>) -> Option<Change> {
        match event {
            Event::Init => None,
            Event::InitApply(secret) => {
                self.keys = Some(values(secret));
                None
            }
            Event::InitDone => {
                self.keys_known = true;
                if self.begun { self.keys.take().map(Change::Keys) } else { self.hand_over() }
            }
            Event::Apply(secret) => {
                let keys = values(secret);
                if self.begun {
                    return Some(Change::Keys(keys));
                }
                self.keys = Some(keys);
                None
            }
            Event::Delete(secret) => {
                tracing::warn!(
                    secret = secret.name_any(),
                    "the Secret of keys is gone; the last keys stay in use"
                );
                None
            }
        }
    }

    fn hand_over(&mut self) -> Option<Change> {
        if !self.keys_known {
            return None;
        }
        let objects = self.held.take()?;
        self.begun = true;
        Some(Change::All { objects, keys: self.keys.take() })
    }
}

fn values(secret: KubernetesSecret) -> Keys {
    let data = secret.data.unwrap_or_default();
    data.into_iter().map(|(name, value)| (KeyId::from_data_key(name), Secret::from(value.0))).collect()
}

/// What a ConfigMap says, and of which resource. One whose labels do not even name a resource is passed over.
fn read_config_map(config_map: &ConfigMap) -> Option<(ObjectId, Reading)> {
    let labels = config_map.labels();
    let part = |label| labels.get(label).map_or("", String::as_str);
    let owner = [labels::OWNER_KIND, labels::OWNER_NAMESPACE, labels::OWNER_NAME]
        .map(part)
        .join("/")
        .parse::<ObjectId>();
    let data = config_map.data.as_ref();
    let entry =
        |key: &str| data.and_then(|data| data.get(key)).ok_or_else(|| format!("the ConfigMap has no {key}"));
    let reading = entry(labels::CONFIG_KEY)
        .and_then(|json| entry(labels::DIGEST_KEY).map(|digest| (json, digest)))
        .and_then(|(json, digest)| read(json, digest));
    if let (Ok(id), Err(reason)) = (&owner, &reading) {
        tracing::warn!(%id, reason, "ConfigMap refused, what was loaded before stays");
    }
    match (owner, reading) {
        (Ok(owner), Ok(loaded)) if loaded.document.id != owner => {
            let reason = format!("the ConfigMap's labels say {owner}, its content {}", loaded.document.id);
            Some((owner, Err(reason)))
        }
        (Ok(owner), reading) => Some((owner, reading)),
        (Err(_), Ok(loaded)) => Some((loaded.document.id.clone(), Ok(loaded))),
        (Err(reason), Err(_)) => {
            tracing::warn!(
                config_map = config_map.name_any(),
                reason,
                "ConfigMap names no resource, passed over"
            );
            None
        }
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
