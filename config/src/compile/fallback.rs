//! `spec.failover.fallback`: what is answered when every backend is out.

use super::cx::Cx;
use super::route::{self, names};
use crate::document::{self, ObjectId};
use crate::world::Claim;
use deepseek_crds::conditions::Reason;
use deepseek_crds::v1alpha1::{DeepSeekRouteSpec, Fallback};

const PATH: &str = "spec.failover.fallback";
const MAX_CONTENT: usize = 4096;

/// The model that a route falls back on.
pub(crate) fn model(route: &DeepSeekRouteSpec) -> Option<&str> {
    route.failover.as_ref()?.fallback.as_ref()?.model.as_deref()
}

pub(super) fn compile(
    cx: &mut Cx<'_>,
    route: &DeepSeekRouteSpec,
    gateway: Option<&ObjectId>,
) -> Option<document::Fallback> {
    let spec = route.failover.as_ref()?.fallback.as_ref()?;
    let cached = spec.cached.unwrap_or_default();
    if !cached && spec.model.is_none() && spec.static_.is_none() {
        cx.invalid(PATH, "says not what is answered. Set cached: true, model or static.");
    }
    check_model(cx, route, spec, gateway);
    let content = spec.static_.as_ref().map(|answer| answer.content.clone());
    if let Some(content) = &content
        && !(1..=MAX_CONTENT).contains(&content.chars().count())
    {
        cx.invalid(
            format_args!("{PATH}.static.content"),
            format_args!("has {} characters. Use 1 to {MAX_CONTENT}.", content.chars().count()),
        );
    }
    Some(document::Fallback { cached, model: spec.model.clone(), content })
}

fn check_model(cx: &mut Cx<'_>, route: &DeepSeekRouteSpec, spec: &Fallback, gateway: Option<&ObjectId>) {
    let Some(model) = spec.model.as_deref() else { return };
    if let Some(problem) = route::model_problem(model) {
        cx.invalid(format_args!("{PATH}.model"), problem);
    } else if names(route).any(|name| name == model) {
        cx.invalid(
            format_args!("{PATH}.model"),
            format_args!(
                "{model:?} is this route itself, which is out then. Name a model that another route serves."
            ),
        );
    } else if let Some(gateway) = gateway
        && cx.world.holder(gateway, Claim::Model(model.to_owned())).is_none()
    {
        // It would come out on the day that every backend is out.
        cx.unresolved(
            Reason::ModelNotFound,
            format_args!("{PATH}.model"),
            format_args!(
                "no DeepSeekRoute of DeepSeekGateway {}/{} serves {model:?}. Create it, or correct the model.",
                gateway.namespace, gateway.name
            ),
        );
    }
}
