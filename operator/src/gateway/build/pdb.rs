//! How many pods may leave at once when nodes are emptied.

use super::Input;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// One at a time; none where there is never more than one pod, as that would keep its node from being emptied.
pub fn pod_disruption_budget(input: &Input<'_>, name: String) -> Option<PodDisruptionBudget> {
    let (_, max) = input.replicas();
    (max > 1).then(|| PodDisruptionBudget {
        metadata: input.meta(name),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(input.selector()),
                ..LabelSelector::default()
            }),
            // A pod that is broken anyway must not keep its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
