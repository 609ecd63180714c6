//! How many pods: by the CPU of the gateway container, quickly up, slowly down.

use super::Input;
use super::deployment::CONTAINER;
use deepseek_config::defaults;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules,
    HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget,
};

/// The autoscaler; none where the number of pods is fixed.
pub fn horizontal_pod_autoscaler(input: &Input<'_>, name: String) -> Option<HorizontalPodAutoscaler> {
    let (min, max) = input.replicas();
    if min >= max {
        return None;
    }
    let target = input.spec.autoscaling.as_ref().and_then(|a| a.target_cpu_utilization_percentage);
    // The container's own use: a sidecar would bend the average of the pod.
    let cpu = MetricSpec {
        type_: "ContainerResource".to_owned(),
        container_resource: Some(ContainerResourceMetricSource {
            name: "cpu".to_owned(),
            container: CONTAINER.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(target.unwrap_or(defaults::TARGET_CPU_PERCENT)),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    Some(HorizontalPodAutoscaler {
        metadata: input.meta(name.clone()),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name,
            },
            min_replicas: Some(min),
            max_replicas: max,
            metrics: Some(vec![cpu]),
            behavior: Some(behavior()),
        }),
        ..HorizontalPodAutoscaler::default()
    })
}

/// Streams are long, so a pod that goes is missed for long: one a minute, and only after ten quiet minutes.
fn behavior() -> HorizontalPodAutoscalerBehavior {
    let policy = |type_: &str, value, period_seconds| HPAScalingPolicy {
        type_: type_.to_owned(),
        value,
        period_seconds,
    };
    HorizontalPodAutoscalerBehavior {
        scale_up: Some(HPAScalingRules {
            stabilization_window_seconds: Some(0),
            select_policy: Some("Max".to_owned()),
            policies: Some(vec![policy("Percent", 100, 15), policy("Pods", 4, 15)]),
            ..HPAScalingRules::default()
        }),
        scale_down: Some(HPAScalingRules {
            stabilization_window_seconds: Some(600),
            select_policy: Some("Min".to_owned()),
            policies: Some(vec![policy("Pods", 1, 60)]),
            ..HPAScalingRules::default()
        }),
    }
}
