//! Apply: writes the objects of a gateway that differ from what is stored, and removes those the spec turned off.

use super::build::{Child, Input};
use super::drift::in_place;
use crate::cluster::children::{self, ChildKind};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::write::{self, Target};
use deepseek_crds::labels;
use kube::core::DynamicObject;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tracing::info;

/// Makes `children` true. Returns what is in the way of one of them.
pub async fn apply(cx: &Context, input: &Input<'_>, children: Vec<Child>) -> Result<Option<String>> {
    let mut blocked = None;
    for child in children {
        let name = (input.id.namespace.clone(), child.name.clone());
        let stored = cx.cluster.lock().children.get(child.kind, &name).cloned();
        match (&child.object, stored) {
            (Some(object), Some(stored)) if in_place(object, &stored.object, input.uid) => {}
            (Some(object), stored) => {
                blocked = blocked.or(put(cx, input, &child, object, stored.as_ref()).await?);
            }
            (None, Some(stored)) => remove(cx, input, &child, &stored).await?,
            (None, None) => {}
        }
    }
    Ok(blocked)
}

async fn put(
    cx: &Context,
    input: &Input<'_>,
    child: &Child,
    object: &Value,
    stored: Option<&children::Child>,
) -> Result<Option<String>> {
    let (api, target) = access(cx, input, child);
    let found = match stored {
        Some(stored) => Some(stored.object.clone()),
        // Not among ours: it may be somebody else's.
        None => write::read(&api, &target).await?,
    };
    if let Some(found) = &found
        && !is_ours(found, &input.id.name)
    {
        let (kind, namespace) = (target.kind, target.namespace);
        return Ok(Some(format!(
            "{kind} {namespace}/{} exists and does not belong to the operator. Delete or rename it.",
            child.name
        )));
    }
    let replicas = match child.kind {
        ChildKind::Deployment if object.pointer("/spec/replicas").is_none() => {
            hand_over(cx, input, found.as_ref())
        }
        _ => None,
    };
    if let (Some(replicas), Some(_)) = (replicas, &found) {
        own_replicas(cx, &api, &target, replicas).await?;
    }
    let mut written = replace(cx, input, &api, &target, object).await?;
    if let (Some(replicas), None) = (replicas, &found) {
        written = own_replicas(cx, &api, &target, replicas).await?;
    }
    info!(gateway = %input.id, kind = target.kind, "workload object written");
    cx.cluster.lock().children.put(child.kind, written);
    Ok(None)
}

/// Applies `object` and, where somebody else's fields stand in the way (applying merges lists and leaves what others
/// own), sets its fields to exactly what they should be.
async fn replace(
    cx: &Context,
    input: &Input<'_>,
    api: &Api<DynamicObject>,
    target: &Target<'_>,
    object: &Value,
) -> Result<DynamicObject> {
    match write::apply(cx, api, target, "gateway", object).await {
        Ok(written) if in_place(object, &written, input.uid) => Ok(written),
        Ok(_) => write::merge(cx, api, target, "gateway", object).await,
        Err(Error::Write { source: kube::Error::Api(status), .. }) if status.code == 422 => {
            write::merge(cx, api, target, "gateway", object).await
        }
        Err(error) => Err(error),
    }
}

/// The number of pods to leave to the autoscaler, when it does not own them yet. The Deployment applied by us says
/// nothing of `replicas`; a field that nobody owns would fall back to 1, so another manager holds it until then.
fn hand_over(cx: &Context, input: &Input<'_>, found: Option<&DynamicObject>) -> Option<i32> {
    let (min, max) = input.replicas();
    let name = (input.id.namespace.clone(), super::names::workload(&input.id.name));
    let scaled = cx.cluster.lock().children.get(ChildKind::HorizontalPodAutoscaler, &name).is_some();
    if scaled && found.is_some() {
        return None;
    }
    let now = found.and_then(|object| object.data.pointer("/spec/replicas")?.as_i64());
    let now = now.and_then(|replicas| i32::try_from(replicas).ok()).unwrap_or(min);
    Some(now.clamp(min, max))
}

async fn own_replicas(
    cx: &Context,
    api: &Api<DynamicObject>,
    target: &Target<'_>,
    replicas: i32,
) -> Result<DynamicObject> {
    let patch = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": target.name, "namespace": target.namespace},
        "spec": {"replicas": replicas},
    });
    write::apply(cx, api, target, "replicas", &patch).await
}

async fn remove(cx: &Context, input: &Input<'_>, child: &Child, stored: &children::Child) -> Result<()> {
    if !is_ours(&stored.object, &input.id.name) {
        return Ok(());
    }
    let (api, target) = access(cx, input, child);
    write::delete(cx, &api, &target, stored.object.uid()).await?;
    info!(gateway = %input.id, kind = target.kind, "workload object removed");
    let name = (input.id.namespace.clone(), child.name.clone());
    cx.cluster.lock().children.remove(child.kind, &name);
    Ok(())
}

fn access<'a>(cx: &Context, input: &'a Input<'_>, child: &'a Child) -> (Api<DynamicObject>, Target<'a>) {
    let resource = child.kind.api_resource();
    let api = Api::namespaced_with(cx.client.clone(), &input.id.namespace, &resource);
    (api, Target { kind: child.kind.as_str(), namespace: &input.id.namespace, name: &child.name })
}

fn is_ours(object: &DynamicObject, gateway: &str) -> bool {
    write::is_ours(object) && object.labels().get(labels::GATEWAY).is_some_and(|found| found == gateway)
}
