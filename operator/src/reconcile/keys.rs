//! The Secret of projected keys of one gateway.
//!
//! It holds what the documents of the gateway name: values that resources need now, and values that last good documents
//! still name although their source has vanished. Nothing else, and nothing longer than that.

use super::Outcome;
use super::build::gateway_owner;
use crate::cluster::{Cluster, Projected};
use crate::context::Context;
use crate::error::Result;
use crate::queue::Work;
use crate::write::{self, Target};
use deepseek_config::document::ObjectId;
use deepseek_crds::labels;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// How often to look whether a foreign Secret of our name is gone.
const FOREIGN: Duration = Duration::from_secs(30);

type Data = BTreeMap<String, Vec<u8>>;

/// Brings the Secret of `gateway` up to date.
pub async fn reconcile(cx: &Context, gateway: &ObjectId) -> Result<Outcome> {
    let Some(uid) = cx.cluster.lock().resources.get(gateway).map(|known| known.uid.clone()) else {
        // Its owner reference takes the Secret along.
        cx.cluster.lock().projected.remove(gateway);
        return Ok(Outcome::Done);
    };
    let name = labels::keys_secret(&gateway.name);
    let target = Target { kind: "Secret", namespace: &gateway.namespace, name: &name };
    let api: Api<Secret> = Api::namespaced(cx.client.clone(), &gateway.namespace);

    let stored = cx.cluster.lock().projected.get(gateway).cloned();
    let stored = match stored {
        Some(stored @ Projected::Stored { .. }) => stored,
        _ => read(write::read(&api, &target).await?, gateway),
    };
    let Projected::Stored { version, data } = &stored else {
        warn!(gateway = %gateway, secret = name, "a Secret of this name exists and is not ours");
        cx.cluster.lock().projected.insert(gateway.clone(), stored);
        return Ok(Outcome::Later(FOREIGN));
    };
    let (want, outcome) = {
        let mut cluster = cx.cluster.lock();
        let outcome = expire(&mut cluster, gateway);
        (want(&cluster, gateway, data), outcome)
    };
    if want == *data && !version.is_empty() {
        cx.cluster.lock().projected.insert(gateway.clone(), stored);
        return Ok(outcome);
    }
    let written = write::apply(cx, &api, &target, "keys", &build(gateway, &uid, &want)).await?;
    info!(gateway = %gateway, keys = want.len(), "projected keys written");
    cx.cluster.lock().projected.insert(gateway.clone(), read(Some(written), gateway));
    // Documents waited for this; the gateway's own is one of them.
    cx.queue.add(Work::Resource(gateway.clone()));
    Ok(outcome)
}

/// Forgets keys that lingered long enough, and says when to look at the rest.
fn expire(cluster: &mut Cluster, gateway: &ObjectId) -> Outcome {
    let now = Instant::now();
    let Some(lingering) = cluster.lingering.get_mut(gateway) else { return Outcome::Done };
    lingering.retain(|_, until| *until > now);
    if let Some(first) = lingering.values().min() {
        return Outcome::Later(first.duration_since(now));
    }
    cluster.lingering.remove(gateway);
    Outcome::Done
}

fn read(secret: Option<Secret>, gateway: &ObjectId) -> Projected {
    let Some(secret) = secret else {
        return Projected::Stored { version: String::new(), data: Data::new() };
    };
    let found = secret.metadata.labels.as_ref().and_then(|l| l.get(labels::GATEWAY));
    if !write::is_ours(&secret) || found != Some(&gateway.name) {
        return Projected::Foreign;
    }
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    Projected::Stored { version: secret.metadata.resource_version.unwrap_or_default(), data }
}

/// What the Secret should hold, given what it holds.
fn want(cluster: &Cluster, gateway: &ObjectId, current: &Data) -> Data {
    let needed = cluster.desired.keys(gateway);
    let mut want: Data =
        needed.into_iter().map(|(id, value)| (id.as_str().to_owned(), value.to_vec())).collect();
    let named = cluster.documents.of_gateway(gateway).flat_map(|stored| &stored.keys);
    let lingering = cluster.lingering.get(gateway).into_iter().flat_map(BTreeMap::keys);
    let named: BTreeSet<_> = named.chain(lingering).collect();
    for key in named {
        if let Some(value) = current.get(key.as_str()) {
            want.entry(key.as_str().to_owned()).or_insert_with(|| value.clone());
        }
    }
    want
}

fn build(gateway: &ObjectId, uid: &str, data: &Data) -> Secret {
    let labels = BTreeMap::from(
        [
            (labels::MANAGED_BY, labels::MANAGER),
            (labels::COMPONENT, labels::COMPONENT_KEYS),
            (labels::GATEWAY, &gateway.name),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    Secret {
        metadata: ObjectMeta {
            name: Some(labels::keys_secret(&gateway.name)),
            namespace: Some(gateway.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![gateway_owner(&gateway.name, uid)]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect()),
        ..Secret::default()
    }
}
