//! The custom resources: into the compiler's index, and what it touches into the queue.

use super::{Health, Relist, Subject, run};
use crate::cluster::Cluster;
use crate::cluster::resources::{Custom, Known, Status, id};
use crate::context::Context;
use deepseek_config::document::ObjectId;
use kube::Resource as _;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Watches the resources of kind `K`.
pub fn resources<K: Custom>(
    cx: Arc<Context>,
    health: Arc<Health>,
    namespace: Option<String>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let api = super::api::<DeserializeGuard<K>>(&cx.client, namespace.as_deref());
    let subject = Subject { kind: K::KIND.as_str(), namespace, labels: None };
    let mut list = Relist::default();
    let scope = subject.clone();
    run(api, &subject, health, stop, move |event: Event<DeserializeGuard<K>>| {
        let mut cluster = cx.cluster.lock();
        let touched = match event {
            Event::Init => {
                list.begin();
                return;
            }
            Event::InitApply(object) => {
                list.saw(id(K::KIND, object.meta()));
                apply(&mut cluster, object)
            }
            Event::Apply(object) => apply(&mut cluster, object),
            Event::Delete(object) => forget(&mut cluster, &id(K::KIND, object.meta())),
            Event::InitDone => {
                let known = cluster.resources.keys();
                let known = known.filter(|id| id.kind == K::KIND && scope.covers(&id.namespace));
                let gone = list.end(known.cloned().collect::<Vec<_>>());
                gone.iter().flat_map(|id| forget(&mut cluster, id)).collect()
            }
        };
        drop(cluster);
        if !touched.is_empty() {
            cx.secrets_changed.notify_one();
            cx.queue.add_all(touched);
        }
    })
}

/// Takes in what a watch delivered. Returns the resources to reconcile.
pub fn apply<K: Custom>(cluster: &mut Cluster, object: DeserializeGuard<K>) -> BTreeSet<ObjectId> {
    let id = id(K::KIND, object.meta());
    if object.meta().deletion_timestamp.is_some() {
        // Somebody's finalizer may keep the object for long; what it asked for ends when it was deleted.
        return forget(cluster, &id);
    }
    match object.0 {
        Ok(object) => {
            let meta = slim(object.meta());
            let (resource, status) = object.split();
            let mut touched = note(cluster, &id, Known::new(&meta, status));
            touched.extend(cluster.world.apply(resource));
            touched
        }
        Err(InvalidObject { error, metadata }) => {
            warn!(object.ref = %id, error, "a stored resource cannot be read");
            let mut known = Known::new(&metadata, Status::empty(K::KIND));
            known.malformed = Some(error);
            note(cluster, &id, known);
            let mut touched = cluster.world.remove(&id);
            touched.insert(id);
            touched
        }
    }
}

/// Notes identity, version and status. Returns the resource itself when its status is not as it was.
fn note(cluster: &mut Cluster, id: &ObjectId, mut new: Known) -> BTreeSet<ObjectId> {
    let Some(old) = cluster.resources.get_mut(id) else {
        cluster.resources.insert(id.clone(), new);
        return BTreeSet::from([id.clone()]);
    };
    if old.uid == new.uid {
        if old.version >= new.version {
            return BTreeSet::new();
        }
        (new.hold, new.figures_written) = (old.hold, old.figures_written);
    }
    let drifted = old.uid != new.uid || old.status != new.status;
    *old = new;
    if drifted { BTreeSet::from([id.clone()]) } else { BTreeSet::new() }
}

fn forget(cluster: &mut Cluster, id: &ObjectId) -> BTreeSet<ObjectId> {
    let mut touched = cluster.world.remove(id);
    if cluster.resources.remove(id).is_some() {
        touched.insert(id.clone());
    }
    touched
}

/// The metadata that [`Known`] reads.
fn slim(meta: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        uid: meta.uid.clone(),
        generation: meta.generation,
        resource_version: meta.resource_version.clone(),
        ..ObjectMeta::default()
    }
}
