//! `ReferenceGrant`s, where Gateway API is installed: looked for again and again, as it may be installed later.

use super::{Health, Subject, run};
use crate::context::Context;
use deepseek_crds::reference_grant::ReferenceGrant;
use kube::core::DynamicObject;
use kube::discovery::{ApiResource, oneshot};
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

const GROUP: &str = "gateway.networking.k8s.io";
const KIND: &str = "ReferenceGrant";
/// How often to look whether the definition came or went.
const LOOK: Duration = Duration::from_secs(30);

/// Name of the first look in [`Health`].
const DISCOVERY: &str = "Gateway API's definitions";

type Grants = BTreeMap<(String, String), ReferenceGrant>;

/// Whether Gateway API's `ReferenceGrant` is installed, and under which version.
pub async fn installed(cx: &Context) -> kube::Result<Option<ApiResource>> {
    let group = match oneshot::group(&cx.client, GROUP).await {
        Ok(group) => group,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(kube::Error::Discovery(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = group.resources_by_stability().into_iter();
    Ok(found.find(|(resource, _)| resource.kind == KIND).map(|(resource, _)| resource))
}

/// Watches grants whenever there is such a kind. Grants of all namespaces count, also where only some are watched:
/// permission comes from the namespace referred to.
pub fn grants(
    cx: Arc<Context>,
    health: Arc<Health>,
    namespaces: Vec<Option<String>>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    // Until the first look, nobody knows what is permitted.
    health.begin(DISCOVERY, KIND);
    look(cx, health, namespaces, stop)
}

async fn look(
    cx: Arc<Context>,
    health: Arc<Health>,
    namespaces: Vec<Option<String>>,
    stop: CancellationToken,
) {
    let mut watch: Option<(ApiResource, CancellationToken)> = None;
    loop {
        match installed(&cx).await {
            Ok(found) => {
                let same = watch.as_ref().map(|(resource, _)| resource) == found.as_ref();
                if !same {
                    if let Some((_, stop)) = watch.take() {
                        info!("ReferenceGrant is not installed any more, or as another version");
                        stop.cancel();
                        set(&cx, &BTreeMap::new());
                    }
                    if let Some(resource) = found {
                        info!(version = resource.version, "ReferenceGrant is installed");
                        let ended = stop.child_token();
                        start(&cx, &health, &resource, &namespaces, &ended);
                        watch = Some((resource, ended));
                    }
                }
                health.end(DISCOVERY);
            }
            Err(error) => debug!(%error, "failed to look for ReferenceGrant"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn start(
    cx: &Arc<Context>,
    health: &Arc<Health>,
    resource: &ApiResource,
    namespaces: &[Option<String>],
    stop: &CancellationToken,
) {
    let all: Arc<parking_lot::Mutex<BTreeMap<Option<String>, Grants>>> = Arc::default();
    for namespace in namespaces {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(cx.client.clone(), namespace, resource),
            None => Api::all_with(cx.client.clone(), resource),
        };
        let subject = Subject { kind: KIND, namespace: namespace.clone(), labels: None };
        let (cx, all, scope) = (Arc::clone(cx), Arc::clone(&all), namespace.clone());
        let mut listing: Option<Grants> = None;
        let watch =
            run(api, &subject, Arc::clone(health), stop.clone(), move |event: Event<DynamicObject>| {
                let mut all = all.lock();
                let here = all.entry(scope.clone()).or_default();
                match event {
                    Event::Init => listing = Some(Grants::new()),
                    Event::InitApply(object) => {
                        if let Some(listing) = &mut listing {
                            take(listing, object);
                        }
                    }
                    Event::Apply(object) => take(here, object),
                    Event::Delete(object) => {
                        here.remove(&key(&object));
                    }
                    Event::InitDone => *here = listing.take().unwrap_or_default(),
                }
                if listing.is_none() {
                    set(&cx, &all);
                }
            });
        tokio::spawn(watch);
    }
}

fn key(object: &DynamicObject) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn take(grants: &mut Grants, object: DynamicObject) {
    let key = key(&object);
    match object.try_parse::<ReferenceGrant>() {
        Ok(grant) => {
            grants.insert(key, grant);
        }
        Err(error) => {
            // What cannot be read permits nothing.
            warn!(namespace = key.0, name = key.1, %error, "a ReferenceGrant cannot be read");
            grants.remove(&key);
        }
    }
}

fn set(cx: &Context, all: &BTreeMap<Option<String>, Grants>) {
    let grants = all.values().flat_map(BTreeMap::values).cloned().collect();
    let touched: BTreeSet<_> = cx.cluster.lock().world.set_grants(grants);
    cx.queue.add_all(touched);
}
