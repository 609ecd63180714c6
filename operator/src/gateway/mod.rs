//! The workload of a gateway: what runs its pods, reaches them, scales them and bounds them.
//!
//! [`build`] makes the objects (pure, a file each), [`apply`] writes what differs and removes what the spec turned off.
//! A gateway that is refused keeps the workload it has.

mod apply;
pub mod build;
mod drift;
pub mod names;

use crate::context::Context;
use crate::error::Result;
use crate::reconcile::{Have, Plan};
use build::Input;
use deepseek_config::document::Body;
use deepseek_config::world::Resource;
use deepseek_crds::conditions::Reason;
use std::sync::Arc;

/// Brings the workload of `plan`'s gateway up to date. Returns why that must not be, where an object is in the way.
pub async fn reconcile(cx: &Context, plan: &Plan, have: &Have) -> Result<Option<(Reason, String)>> {
    // Pods come after what they load: a gateway that waits for its keys waits with all of it.
    if plan.owner.is_none() || have.waits_for.is_some() || have.blocked.is_some() {
        return Ok(None);
    }
    let Some(Body::Gateway(config)) = plan.outputs.first().map(|output| &output.document.body) else {
        return Ok(None);
    };
    let object = match cx.cluster.lock().world.get(&plan.id) {
        Some(Resource::Gateway(object)) => Arc::clone(object),
        _ => return Ok(None),
    };
    let Some(uid) = plan.gateways.get(&plan.id) else { return Ok(None) };
    let input = Input {
        id: &plan.id,
        uid,
        spec: &object.spec,
        config,
        default_image: &cx.settings.image,
        operator_namespace: &cx.settings.namespace,
    };
    let children = build::children(&input)?;
    let blocked = apply::apply(cx, &input, children).await?;
    Ok(blocked.map(|message| (Reason::Conflicted, message)))
}
