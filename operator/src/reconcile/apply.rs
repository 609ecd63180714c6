//! Apply: writes what differs, then removes what does not belong.
//!
//! A document goes out only when what it needs is there: its secret values in the projected Secret, its backends as
//! documents of their own. So a gateway never loads half a route.

use super::build::Prepared;
use super::validate::Plan;
use crate::cluster::documents::Stored;
use crate::cluster::{Cluster, Projected};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::queue::Work;
use crate::write::{self, Created, Target};
use deepseek_config::document::ObjectId;
use deepseek_config::keys::KeyId;
use deepseek_crds::conditions::Reason;
use deepseek_crds::labels;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use std::collections::BTreeSet;
use tracing::info;

/// What there is after applying.
#[derive(Clone, Debug, Default)]
pub struct Have {
    /// SHA-256 of each document that is in place, by gateway.
    pub documents: Vec<(ObjectId, String)>,
    /// Whether something was written: pods will load it soon.
    pub wrote: bool,
    /// What has to be there first.
    pub waits_for: Option<Work>,
    /// Why something cannot be written at all.
    pub blocked: Option<(Reason, String)>,
}

/// What stands between a document and its gateway.
enum Gate {
    Open,
    InPlace,
    Wait(Work),
    Blocked(String),
}

/// Makes `want` true.
pub async fn apply(cx: &Context, plan: &Plan, want: Vec<Prepared>) -> Result<Have> {
    let mut have = Have::default();
    for prepared in want {
        let gate = gate(&cx.cluster.lock(), plan, &prepared);
        match gate {
            Gate::Wait(on) => {
                have.waits_for = Some(on);
                continue;
            }
            Gate::Blocked(message) => {
                have.blocked = Some((Reason::Conflicted, message));
                continue;
            }
            Gate::InPlace => {}
            Gate::Open => match write_document(cx, plan, &prepared).await? {
                Ok(()) => have.wrote = true,
                Err(message) => {
                    have.blocked = Some((Reason::Conflicted, message));
                    continue;
                }
            },
        }
        have.documents.push((prepared.gateway, prepared.sha256));
    }
    for stored in &plan.remove {
        remove_document(cx, stored).await?;
    }
    Ok(have)
}

fn gate(cluster: &Cluster, plan: &Plan, prepared: &Prepared) -> Gate {
    if !prepared.keys.is_empty() || plan.id == prepared.gateway {
        match cluster.projected.get(&prepared.gateway) {
            Some(Projected::Stored { data, version }) => {
                let projected = prepared.keys.iter().all(|(key, value)| data.get(key) == Some(value));
                if !projected || version.is_empty() {
                    return Gate::Wait(Work::Keys(prepared.gateway.clone()));
                }
            }
            Some(Projected::Foreign) => {
                let secret = labels::keys_secret(&prepared.gateway.name);
                return Gate::Blocked(format!(
                    "Secret {}/{secret} exists and does not belong to the operator. Delete or rename it.",
                    prepared.gateway.namespace
                ));
            }
            None => return Gate::Wait(Work::Keys(prepared.gateway.clone())),
        }
    }
    let missing = prepared.backends.iter().find(|backend| !cluster.documents.has(&prepared.gateway, backend));
    if let Some(backend) = missing {
        return Gate::Wait(Work::Resource(backend.clone()));
    }
    let (Some(owner), Some(name)) = (&plan.owner, &prepared.map.metadata.name) else { return Gate::Open };
    let stored = cluster.documents.get(&(prepared.gateway.namespace.clone(), name.clone()));
    let in_place = stored.is_some_and(|stored| {
        stored.sha256 == prepared.sha256
            && stored.uid == owner.known.uid
            && stored.gateway_uid.as_ref() == plan.gateways.get(&prepared.gateway)
    });
    if in_place { Gate::InPlace } else { Gate::Open }
}

/// Writes one document. The inner error says why that must not be.
async fn write_document(cx: &Context, plan: &Plan, prepared: &Prepared) -> Result<Result<(), String>> {
    let namespace = &prepared.gateway.namespace;
    let name = prepared.map.metadata.name.as_deref().unwrap_or_default();
    let target = Target { kind: "ConfigMap", namespace, name };
    let controller = Work::Resource(plan.id.clone()).controller();
    let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), namespace);
    let known = cx.cluster.lock().documents.get(&(namespace.clone(), name.to_owned())).is_some();
    if !known {
        match write::create(cx, &api, &target, controller, &prepared.map).await? {
            Created::New(map) => {
                put(cx, &map);
                info!(object.ref = %plan.id, gateway = %prepared.gateway, generation = generation(plan), "document created");
                return Ok(Ok(()));
            }
            Created::Taken => {
                let found = write::read(&api, &target).await?;
                let ours = found.as_ref().and_then(Stored::read).is_some_and(|found| found.owner == plan.id);
                if found.is_some() && !ours {
                    return Ok(Err(format!(
                        "ConfigMap {namespace}/{name} exists and does not belong to the operator. Delete or rename it."
                    )));
                }
            }
        }
    }
    let map = write::apply(cx, &api, &target, controller, &prepared.map).await?;
    put(cx, &map);
    info!(object.ref = %plan.id, gateway = %prepared.gateway, generation = generation(plan), "document updated");
    Ok(Ok(()))
}

async fn remove_document(cx: &Context, stored: &Stored) -> Result<()> {
    let (namespace, name) = &stored.name;
    let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), namespace);
    match write::delete(cx, &api, &Target { kind: "ConfigMap", namespace, name }, None).await {
        // The whole namespace may be on its way out.
        Err(Error::Write { source: kube::Error::Api(status), .. })
            if status.code == 403 && status.message.contains("being terminated") => {}
        answer => answer?,
    }
    info!(object.ref = %stored.owner, gateway = %stored.gateway, "document removed");
    let mut cluster = cx.cluster.lock();
    cluster.documents.remove(&stored.name);
    retire(cx, &mut cluster, &stored.gateway, stored.keys.iter().cloned().collect());
    Ok(())
}

/// Notes what was written.
fn put(cx: &Context, map: &ConfigMap) {
    let Some(new) = Stored::read(map) else { return };
    let mut cluster = cx.cluster.lock();
    let old = cluster.documents.get(&new.name).map(|old| old.keys.clone()).unwrap_or_default();
    let gateway = new.gateway.clone();
    let retired = old.difference(&new.keys).cloned().collect();
    cluster.documents.put(new);
    retire(cx, &mut cluster, &gateway, retired);
}

/// Puts the end of projected keys that a document named until now into the queue.
fn retire(cx: &Context, cluster: &mut Cluster, gateway: &ObjectId, keys: BTreeSet<KeyId>) {
    if !keys.is_empty() {
        cluster.linger(gateway, keys);
        cx.queue.add(Work::Keys(gateway.clone()));
    }
}

fn generation(plan: &Plan) -> i64 {
    plan.owner.as_ref().map(|owner| owner.known.generation).unwrap_or_default()
}
