//! The status of each kind. Pure.

use super::account;
use super::conditions::conditions;
use super::facts::Facts;
use crate::cluster::resources::Status;
use deepseek_config::document::{Kind, ObjectId};
use deepseek_crds::v1alpha1::{
    BackendState, DeepSeekBackendStatus, DeepSeekConsumerStatus, DeepSeekGatewayStatus, DeepSeekRouteStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The status of `id` that follows `old`.
pub fn status(id: &ObjectId, old: &Status, facts: &Facts, now: &Time) -> Status {
    let conditions = conditions(old.conditions(), facts, now);
    let observed_generation = Some(facts.generation);
    match id.kind {
        Kind::Gateway => Status::Gateway(DeepSeekGatewayStatus {
            observed_generation,
            address: facts.workload.as_ref().map(|workload| workload.address.clone()),
            pods: facts.workload.as_ref().map(|workload| format!("{}/{}", workload.ready, workload.wanted)),
            routes: Some(facts.routes),
            conditions,
        }),
        Kind::Backend => {
            let old = match old {
                Status::Backend(old) => old,
                _ => &DeepSeekBackendStatus::default(),
            };
            Status::Backend(account::status(old, facts, conditions))
        }
        Kind::Consumer => Status::Consumer(DeepSeekConsumerStatus {
            observed_generation,
            gateways: loaded(facts),
            conditions,
        }),
        Kind::Route => {
            let healthy = facts.backends.iter().filter(|b| b.state == BackendState::Healthy).count();
            let all = facts.backends.len();
            Status::Route(DeepSeekRouteStatus {
                observed_generation,
                gateways: loaded(facts),
                healthy_backends: (all > 0).then(|| format!("{healthy}/{all}")),
                backends: facts.backends.clone(),
                traffic: facts.traffic.clone(),
                conditions,
            })
        }
    }
}

/// Pods that loaded this generation / ready pods.
fn loaded(facts: &Facts) -> Option<String> {
    (!facts.gateways.is_empty()).then(|| format!("{}/{}", facts.pods.current, facts.pods.ready))
}
