//! Documents and keys in, a snapshot out. A document that cannot be joined is refused alone: what was built from its
//! predecessor stays.

use super::{Consumer, Lasting, Route, RouteBackend, RouteState, Settings, Shared, Snapshot};
use crate::pipeline::endpoint::Endpoint;
use crate::pipeline::quota::QuotaState;
use crate::server::certified_key;
use crate::upstream::account::{AccountId, Settings as AccountSettings};
use deepseek_config::document::{self, Body, Document, ObjectId, Target};
use deepseek_config::keys::KeyId;
use deepseek_crds::v1alpha1::Flavor;
use http::{HeaderName, HeaderValue, Uri, header};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What a snapshot is built from.
pub struct BuildInput<'a> {
    /// The snapshot in use.
    pub previous: &'a Snapshot,
    /// Every document, the last good version of each.
    pub documents: &'a BTreeMap<ObjectId, Arc<Document>>,
    /// Looks up a projected key.
    pub keys: &'a dyn Fn(&KeyId) -> Option<&'a [u8]>,
    /// Moves when any projected key changes.
    pub keys_revision: u64,
}

/// A snapshot and what could not become part of it.
pub struct BuildOutput {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Documents that were refused.
    pub refused: Vec<Refusal>,
}

/// A document that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The resource.
    pub id: ObjectId,
    /// Why, for a person.
    pub reason: String,
}

/// Builds a snapshot. Routes whose document, backends and keys are unchanged are taken over as they are.
pub fn build(shared: &Shared, input: &BuildInput<'_>) -> BuildOutput {
    let mut snapshot = Snapshot::default();
    let mut refused = Vec::new();
    for (id, document) in input.documents {
        match &document.body {
            Body::Gateway(gateway) => {
                snapshot.settings = Settings::from(gateway);
                if let Err(reason) = add_certificates(&mut snapshot, input, gateway) {
                    snapshot.certificates.clone_from(&input.previous.certificates);
                    refused.push(Refusal { id: id.clone(), reason });
                }
            }
            Body::Consumer(consumer) => add_consumer(&mut snapshot, id, consumer),
            Body::Backend(_) | Body::Route(_) => {}
        }
    }
    for (id, document) in input.documents {
        let Body::Route(policy) = &document.body else { continue };
        let pods = snapshot.settings.pods;
        let previous = input.previous.routes.get(id);
        let pods_changed = pods != input.previous.settings.pods;
        let route = match reusable(input, document, policy, previous).filter(|_| !pods_changed) {
            Some(route) => route,
            None => match build_route(shared, input, document, policy, previous, pods) {
                Ok(route) => Arc::new(route),
                Err(reason) => {
                    refused.push(Refusal { id: id.clone(), reason });
                    match previous {
                        Some(last_good) => Arc::clone(last_good),
                        None => continue,
                    }
                }
            },
        };
        add_route(&mut snapshot, id, route, &mut refused);
    }
    for (id, gone) in input.previous.routes.iter().filter(|(id, _)| !snapshot.routes.contains_key(*id)) {
        shared.metrics.forget_route(id, &gone.state.metrics);
    }
    let backends = snapshot.routes.values().flat_map(|route| &route.backends);
    shared.cache.resize(snapshot.settings.max_cache_bytes);
    shared.accounts.keep(&backends.map(|backend| backend.account.id()).collect());
    BuildOutput { snapshot, refused }
}

fn add_certificates(
    snapshot: &mut Snapshot,
    input: &BuildInput<'_>,
    gateway: &document::Gateway,
) -> Result<(), String> {
    for listener in &gateway.listeners {
        let Some(certificate) = &listener.certificate else { continue };
        let name = &listener.name;
        let key = |id: &KeyId| {
            (input.keys)(id).ok_or_else(|| format!("listener {name:?} needs key {id}, which has not arrived"))
        };
        let certified = certified_key(key(&certificate.chain)?, key(&certificate.private_key)?)
            .map_err(|e| format!("listener {name:?}: {e}"))?;
        snapshot.certificates.insert(name.clone(), Arc::new(certified));
    }
    Ok(())
}

fn add_consumer(snapshot: &mut Snapshot, id: &ObjectId, consumer: &document::Consumer) {
    let name = format!("{}/{}", id.namespace, id.name).into();
    let shared = Arc::new(Consumer { name, labels: consumer.labels.clone() });
    for hash in &consumer.api_keys {
        snapshot.consumers.entry(*hash).or_insert_with(|| Arc::clone(&shared));
    }
}

fn add_route(snapshot: &mut Snapshot, id: &ObjectId, route: Arc<Route>, refused: &mut Vec<Refusal>) {
    for name in std::iter::once(&route.policy.model).chain(&route.policy.aliases) {
        // The compiler lets one route alone hold a name; between two documents in flight the first stays.
        if let Some(other) = snapshot.models.get(name) {
            let reason = format!("model {name:?} is still served by {}", other.id);
            refused.push(Refusal { id: id.clone(), reason });
        } else {
            snapshot.models.insert(name.clone(), Arc::clone(&route));
        }
    }
    snapshot.routes.insert(id.clone(), route);
}

fn reusable(
    input: &BuildInput<'_>,
    document: &Arc<Document>,
    policy: &document::Route,
    previous: Option<&Arc<Route>>,
) -> Option<Arc<Route>> {
    let previous = previous?;
    let mut joined = previous.joined.iter();
    let same_backends = policy.backends.iter().filter_map(|b| target_id(&b.target)).all(|id| {
        matches!((joined.next(), input.documents.get(id)), (Some(old), Some(new)) if Arc::ptr_eq(old, new))
    });
    let same = Arc::ptr_eq(&previous.document, document)
        && same_backends
        && previous.keys_revision == input.keys_revision;
    same.then(|| Arc::clone(previous))
}

fn target_id(target: &Target) -> Option<&ObjectId> {
    match target {
        Target::Ref(id) => Some(id),
        Target::Inline(_) => None,
    }
}

fn build_route(
    shared: &Shared,
    input: &BuildInput<'_>,
    document: &Arc<Document>,
    policy: &document::Route,
    previous: Option<&Arc<Route>>,
    pods: u32,
) -> Result<Route, String> {
    let id = &document.id;
    let state = previous.map_or_else(
        || {
            Arc::new(RouteState {
                requests: 0.into(),
                metrics: shared.metrics.route(id),
                lasting: parking_lot::Mutex::default(),
            })
        },
        |route| Arc::clone(&route.state),
    );
    let mut joined = Vec::new();
    let mut backends = Vec::with_capacity(policy.backends.len());
    for backend in &policy.backends {
        let (account_id, account) = match &backend.target {
            Target::Inline(account) => (AccountId::Inline(id.clone(), backend.name.clone()), account),
            Target::Ref(target) => {
                let found = input.documents.get(target);
                let Some((document, Body::Backend(account))) = found.map(|d| (d, &d.body)) else {
                    return Err(format!("backend {:?} needs {target}, which has not arrived", backend.name));
                };
                joined.push(Arc::clone(document));
                (AccountId::Resource(target.clone()), account)
            }
        };
        let account = (account_id, account, pods);
        backends.push(Arc::new(build_backend(shared, input, policy, backend, account, &state)?));
    }
    let names: Vec<_> = policy.backends.iter().map(|b| b.name.as_str()).collect();
    state.lasting.lock().retain(|name, _| names.contains(&name.as_str()));
    Ok(Route {
        id: id.clone(),
        document: Arc::clone(document),
        joined,
        keys_revision: input.keys_revision,
        policy: policy.clone(),
        backends,
        quotas: carry_quotas(policy, previous, pods),
        state,
    })
}

/// A quota that still counts the same thing keeps its count, whatever its limit is now.
fn carry_quotas(policy: &document::Route, previous: Option<&Arc<Route>>, pods: u32) -> Vec<Arc<QuotaState>> {
    let mut old: Vec<_> = previous.map(|route| route.quotas.clone()).unwrap_or_default();
    let carry = |spec: &document::Quota| {
        let at = old.iter().position(|state| state.counts_the_same_as(spec));
        let counters = at.map(|at| old.swap_remove(at));
        Arc::new(QuotaState::new(spec.clone(), pods, counters.as_deref()))
    };
    policy.quotas.iter().map(carry).collect()
}

fn build_backend(
    shared: &Shared,
    input: &BuildInput<'_>,
    policy: &document::Route,
    backend: &document::RouteBackend,
    (account_id, account, pods): (AccountId, &document::Backend, u32),
    state: &RouteState,
) -> Result<RouteBackend, String> {
    let name = &backend.name;
    let key = |id: &KeyId| {
        (input.keys)(id).ok_or_else(|| format!("backend {name:?} needs key {id}, which has not arrived"))
    };
    let (key_header, prefix) = match account.flavor {
        Flavor::Azure => (HeaderName::from_static("api-key"), ""),
        _ => (header::AUTHORIZATION, "Bearer "),
    };
    let mut keys = Vec::with_capacity(account.api_keys.len());
    for id in &account.api_keys {
        let mut value = HeaderValue::from_bytes(&[prefix.as_bytes(), key(id)?].concat())
            .map_err(|_| format!("backend {name:?}: key {id} holds characters that no header can carry"))?;
        value.set_sensitive(true);
        keys.push(value);
    }
    let ca = account.ca.as_ref().map(key).transpose()?;
    let connect = Duration::from_millis(policy.timeouts.connect_ms);
    let client = shared.clients.get(ca, connect).map_err(|e| format!("backend {name:?}: {e}"))?;
    let base: Uri = account
        .base_url
        .parse()
        .map_err(|e| format!("backend {name:?}: base URL {}: {e}", account.base_url))?;
    let uris = uris(account.flavor, &base).map_err(|e| format!("backend {name:?}: {e}"))?;
    let settings = AccountSettings {
        document: account.clone(),
        pods,
        base,
        key_header: key_header.clone(),
        client: Arc::clone(&client),
    };
    let Lasting { breaker, load, budget } = state.lasting.lock().entry(name.clone()).or_default().clone();
    breaker.configure(&policy.failover.breaker);
    Ok(RouteBackend {
        name: name.as_str().into(),
        model: backend.model.as_deref().map(Arc::from),
        model_json: backend.model.as_ref().map(|m| serde_json::Value::from(m.as_str()).to_string().into()),
        rank: rank(backend, account.zone.as_deref(), shared.zone.as_deref()),
        weight: backend.weight,
        seed: seed(name),
        flavor: account.flavor,
        uris,
        key_header,
        account: shared.accounts.configure(account_id, settings, keys),
        client,
        breaker,
        load,
        budget,
    })
}

/// Priority, then whether it has a weight, then whether it is known to be elsewhere than `here`.
fn rank(backend: &document::RouteBackend, zone: Option<&str>, here: Option<&str>) -> u64 {
    let elsewhere = here.is_some() && zone.is_some() && zone != here;
    u64::from(backend.priority) << 2 | u64::from(backend.weight == 0) << 1 | u64::from(elsewhere)
}

/// The first bytes of the name's SHA-256.
fn seed(name: &str) -> u64 {
    let digest = Sha256::digest(name);
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

fn uris(flavor: Flavor, base: &Uri) -> Result<HashMap<Endpoint, Uri>, String> {
    let (Some(scheme), Some(authority)) = (base.scheme_str(), base.authority()) else {
        return Err(format!("base URL {base} has no scheme or host"));
    };
    let path = base.path().trim_end_matches('/');
    let mut uris = HashMap::new();
    for endpoint in Endpoint::UPSTREAM {
        if let Some(path) = endpoint.upstream_path(flavor, path) {
            let uri = Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query(path);
            uris.insert(endpoint, uri.build().map_err(|e| e.to_string())?);
        }
    }
    Ok(uris)
}
