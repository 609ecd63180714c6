//! `DeepSeekGateway`: what its pods need to know; the workload itself is the operator's.

use super::cx::Cx;
use super::{labels, limits, listener};
use crate::defaults;
use crate::document::{Body, Gateway, ObjectId};
use crate::world::SecretKey;
use deepseek_crds::conditions::Reason;
use deepseek_crds::v1alpha1::{DeepSeekGateway, DeepSeekGatewaySpec, PodSettings};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of Secrets it uses.
pub(crate) fn secrets(id: &ObjectId, spec: &DeepSeekGatewaySpec) -> BTreeSet<SecretKey> {
    let names = spec.listeners.iter().filter_map(|l| l.tls.as_ref()).map(|tls| &tls.secret_ref.name);
    let keys = names.flat_map(|name| listener::KEYS.map(|key| (name, key)));
    keys.map(|(name, key)| SecretKey { secret: (id.namespace.clone(), name.clone()), key: key.to_owned() })
        .collect()
}

pub(super) fn compile(cx: &mut Cx<'_>, object: &DeepSeekGateway) -> Body {
    let spec = &object.spec;
    check_replicas(cx, spec);
    check_pods(cx, spec);
    let limits = limits::compile(cx, spec.limits.as_ref());
    let drain = spec.drain.as_ref();
    let drain_delay = cx.duration_or_zero("spec.drain.delay", drain.and_then(|d| d.delay.as_ref()));
    let drain_timeout = cx.duration_or_zero("spec.drain.timeout", drain.and_then(|d| d.timeout.as_ref()));
    let gateway = Gateway {
        listeners: listener::compile(cx, &spec.listeners),
        auth: spec.auth.as_ref().map(|auth| auth.mode).unwrap_or_default(),
        max_request_body_bytes: limits.max_request_body_bytes,
        log_level: spec.log_level.unwrap_or_default(),
        drain_delay_ms: drain_delay.unwrap_or(defaults::DRAIN_DELAY_MS),
        drain_timeout_ms: drain_timeout.unwrap_or(defaults::DRAIN_TIMEOUT_MS),
        pods: cx.world.pods(cx.id),
        balance_poller: cx.world.balance_poller(cx.id).map(str::to_owned),
        max_in_flight: limits.max_in_flight,
        max_buffered_bytes: limits.max_buffered_bytes,
        max_cache_bytes: limits.max_cache_bytes,
    };
    if spec.default == Some(true)
        && let Some(default) = cx.world.default_gateway()
        && default != cx.id
    {
        // Refusing it would freeze a gateway that serves well for a mark that takes nothing from anybody.
        cx.remark(
            Reason::Conflicted,
            format!(
                "The spec is valid, but spec.default has no effect: the older DeepSeekGateway {}/{} \
                 is the default. Remove the mark from one of them.",
                default.namespace, default.name
            ),
        );
    }
    Body::Gateway(gateway)
}

fn check_replicas(cx: &mut Cx<'_>, spec: &DeepSeekGatewaySpec) {
    let replicas = spec.replicas.as_ref();
    let (min, max) = defaults::replicas(replicas);
    cx.small("spec.replicas.min", replicas.and_then(|r| r.min), 1..=1000, 1);
    cx.small("spec.replicas.max", replicas.and_then(|r| r.max), 1..=1000, 1);
    if min > max {
        cx.invalid("spec.replicas.min", format_args!("{min} is above max: {max}. Lower min, or raise max."));
    }
    let target = spec.autoscaling.as_ref().and_then(|a| a.target_cpu_utilization_percentage);
    cx.small("spec.autoscaling.targetCPUUtilizationPercentage", target, 1..=100, 1);
}

/// Labels and annotations that the API server would refuse with the whole Deployment or Service.
fn check_pods(cx: &mut Cx<'_>, spec: &DeepSeekGatewaySpec) {
    let empty = PodSettings::default();
    let pods = spec.pods.as_ref().unwrap_or(&empty);
    check_map(cx, "spec.pods.labels", &pods.labels, true);
    check_map(cx, "spec.pods.nodeSelector", &pods.node_selector, true);
    check_map(cx, "spec.pods.annotations", &pods.annotations, false);
    if let Some(service) = &spec.service {
        check_map(cx, "spec.service.annotations", &service.annotations, false);
    }
}

fn check_map(cx: &mut Cx<'_>, path: &str, map: &BTreeMap<String, String>, values: bool) {
    for (key, value) in map {
        let value_problem = || if values { labels::value_problem(value) } else { None };
        if let Some(problem) = labels::key_problem(key).or_else(value_problem) {
            cx.invalid(path, format_args!("{key:?} cannot be used: {problem}. Correct it."));
        }
    }
}
