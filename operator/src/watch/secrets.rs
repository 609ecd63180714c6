//! Secrets: their metadata is watched, and only those that a resource refers to are read.
//!
//! A cluster has many Secrets that are none of the operator's business; neither their values nor their names are kept.

use super::{Health, Relist, Subject, api, run};
use crate::cluster::{Cluster, Name, Projected};
use crate::context::Context;
use crate::queue::Work;
use deepseek_config::document::{Kind, ObjectId};
use deepseek_crds::labels;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Secrets read at the same time.
const READS: usize = 16;
/// How long a read may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before Secrets that could not be read are tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Watches the metadata of Secrets.
pub fn secrets(
    cx: Arc<Context>,
    health: Arc<Health>,
    namespace: Option<String>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let api = api::<PartialObjectMeta<Secret>>(&cx.client, namespace.as_deref());
    let subject = Subject { kind: "Secret", namespace, labels: None };
    let mut list: Relist<Name> = Relist::default();
    let scope = subject.clone();
    run(api, &subject, health, stop, move |event: Event<PartialObjectMeta<Secret>>| {
        let mut cluster = cx.cluster.lock();
        match event {
            Event::Init => list.begin(),
            Event::InitApply(secret) | Event::Apply(secret) => {
                let name = (secret.namespace().unwrap_or_default(), secret.name_any());
                if cluster.secrets.contains_key(&name) {
                    list.saw(name.clone());
                }
                seen(&cx, &mut cluster, name, &secret);
            }
            Event::Delete(secret) => {
                let name = (secret.namespace().unwrap_or_default(), secret.name_any());
                projected_changed(&cx, &mut cluster, &name, None);
                gone(&cx, &mut cluster, &name);
            }
            Event::InitDone => {
                let known =
                    cluster.secrets.iter().filter(|(_, version)| version.is_some()).map(|(name, _)| name);
                let known = known.filter(|(namespace, _)| scope.covers(namespace));
                for name in list.end(known.cloned().collect::<Vec<_>>()) {
                    gone(&cx, &mut cluster, &name);
                }
                // What became of the projected keys while nobody watched is found out by looking.
                for (gateway, _) in std::mem::take(&mut cluster.projected) {
                    cx.queue.add(Work::Keys(gateway));
                }
            }
        }
    })
}

fn seen(cx: &Context, cluster: &mut Cluster, name: Name, secret: &PartialObjectMeta<Secret>) {
    let version = secret.resource_version();
    projected_changed(cx, cluster, &name, version.as_deref());
    if !cluster.world.wants_secret(&name.0, &name.1) {
        cluster.secrets.remove(&name);
    } else if cluster.secrets.get(&name) != Some(&version) {
        // To be read anew, also when a read is under way; what was read before stays in force until then.
        cluster.stale_secrets.insert(name);
        cx.secrets_changed.notify_one();
    }
}

fn gone(cx: &Context, cluster: &mut Cluster, name: &Name) {
    cluster.stale_secrets.remove(name);
    if cluster.world.wants_secret(&name.0, &name.1) {
        cluster.secrets.insert(name.clone(), None);
        let touched = cluster.world.set_secret(&name.0, &name.1, None);
        cx.queue.add_all(touched);
    } else {
        cluster.secrets.remove(name);
    }
}

/// A Secret of projected keys that somebody else changed or deleted is looked at anew.
fn projected_changed(cx: &Context, cluster: &mut Cluster, name: &Name, new: Option<&str>) {
    let gateways = cluster.projected.keys();
    let mut concerned = gateways
        .filter(|gateway| gateway.namespace == name.0 && labels::keys_secret(&gateway.name) == name.1);
    let Some(gateway) = concerned.next().cloned() else { return };
    let ours = match (cluster.projected.get(&gateway), new) {
        (Some(Projected::Stored { version, .. }), Some(new)) => {
            crate::cluster::version(Some(version)) >= crate::cluster::version(Some(new))
        }
        (Some(Projected::Stored { version, .. }), None) => version.is_empty(),
        _ => false,
    };
    if !ours {
        cluster.projected.remove(&gateway);
        cx.queue.add(Work::Keys(ObjectId::new(Kind::Gateway, &gateway.namespace, &gateway.name)));
    }
}

/// Reads Secrets that are referred to, whenever there are new ones.
pub async fn read(cx: Arc<Context>, stop: CancellationToken) {
    loop {
        let failed = read_all(&cx).await;
        let wake = async {
            if failed {
                tokio::time::sleep(RETRY).await;
            } else {
                cx.secrets_changed.notified().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake => {}
        }
    }
}

/// Reads what is unread or was changed. Returns whether any could not be read.
pub async fn read_all(cx: &Context) -> bool {
    let wanted = {
        let mut cluster = cx.cluster.lock();
        let mut wanted = std::mem::take(&mut cluster.stale_secrets);
        wanted.extend(cluster.world.unread_secrets());
        wanted
    };
    let results = stream::iter(wanted).map(|name| read_one(cx, name)).buffer_unordered(READS);
    results.fold(false, |failed, ok| async move { failed || !ok }).await
}

async fn read_one(cx: &Context, name: Name) -> bool {
    let api: Api<Secret> = Api::namespaced(cx.client.clone(), &name.0);
    let answer = match tokio::time::timeout(TIMEOUT, api.get_opt(&name.1)).await {
        Ok(Ok(secret)) => secret,
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            warn!(
                namespace = name.0,
                secret = name.1,
                "not permitted to read a Secret that a resource refers to"
            );
            None
        }
        Ok(Err(error)) => {
            warn!(namespace = name.0, secret = name.1, %error, "failed to read a Secret, trying again");
            cx.cluster.lock().stale_secrets.insert(name);
            return false;
        }
        Err(_) => {
            warn!(namespace = name.0, secret = name.1, "reading a Secret took too long, trying again");
            cx.cluster.lock().stale_secrets.insert(name);
            return false;
        }
    };
    let version = answer.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
    let data = answer.map(|secret| {
        let data = secret.data.unwrap_or_default();
        data.into_iter().map(|(key, value)| (key, value.0)).collect::<BTreeMap<_, _>>()
    });
    let mut cluster = cx.cluster.lock();
    let touched = cluster.world.set_secret(&name.0, &name.1, data);
    cluster.secrets.insert(name, version);
    drop(cluster);
    cx.queue.add_all(touched);
    true
}
