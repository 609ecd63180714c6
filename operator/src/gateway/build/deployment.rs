//! The pods.

use super::super::names;
use super::Input;
use deepseek_config::document::Listener;
use deepseek_config::keys::sha256_hex;
use deepseek_config::report::ADMIN_PORT;
use deepseek_crds::v1alpha1::PodSettings;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecurityContext, SleepAction, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// Name of the gateway's container.
pub const CONTAINER: &str = "gateway";
/// Annotation over what a running gateway does not take in: a change of it makes new pods. Everything else is loaded
/// by the pods as they run.
const RESTART: &str = "deepseekroute.io/restart";
/// Where the last good configuration is kept.
const LAST_GOOD: &str = "/var/lib/deepseek-gateway";
/// User and group of the process.
const USER: i64 = 65_532;
/// How long the process is left alone before it is asked to leave. It keeps accepting for `drain.delay` after that;
/// this only lets the pod's removal from the endpoints start first.
const PRE_STOP_SECONDS: i64 = 2;
/// What `terminationGracePeriodSeconds` adds to the drain: the sleep above and a margin.
const GRACE_SECONDS: i64 = 5;
/// How long a process that failed its liveness probe may take to leave.
const HUNG_GRACE_SECONDS: i64 = 10;

/// The Deployment. It says nothing of `replicas` where the autoscaler owns them.
pub fn deployment(input: &Input<'_>, name: String) -> Deployment {
    let (min, max) = input.replicas();
    Deployment {
        metadata: input.meta(name),
        spec: Some(DeploymentSpec {
            replicas: (min >= max).then_some(min),
            revision_history_limit: Some(3),
            selector: LabelSelector { match_labels: Some(input.selector()), ..LabelSelector::default() },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                // A new pod is ready before an old one leaves.
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            template: template(input),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn template(input: &Input<'_>) -> PodTemplateSpec {
    let settings = input.spec.pods.clone().unwrap_or_default();
    let mut labels = settings.labels.clone();
    labels.extend(input.labels());
    let mut annotations = settings.annotations.clone();
    annotations.insert(RESTART.to_owned(), restart_digest(&input.config.listeners));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(input, settings)),
    }
}

/// Digest of the ports: bound once, at the start. Certificates are not part of it, they are renewed in place.
fn restart_digest(listeners: &[Listener]) -> String {
    let ports: Vec<String> =
        listeners.iter().map(|l| format!("{} {} {:?}", l.name, l.port, l.protocol)).collect();
    sha256_hex(ports.join("\n").as_bytes())[..16].to_owned()
}

fn pod(input: &Input<'_>, settings: PodSettings) -> PodSpec {
    let drain_ms = input.config.drain_delay_ms + input.config.drain_timeout_ms;
    let drain = i64::try_from(drain_ms.div_ceil(1000)).unwrap_or(i64::MAX - GRACE_SECONDS);
    PodSpec {
        service_account_name: Some(names::workload(&input.id.name)),
        automount_service_account_token: Some(true),
        termination_grace_period_seconds: Some(drain + GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(input, settings.resources)],
        volumes: Some(vec![Volume {
            name: "last-good".to_owned(),
            // In memory, as it holds keys.
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity("64Mi".to_owned())),
            }),
            ..Volume::default()
        }]),
        topology_spread_constraints: Some(
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map(|key| spread(input, key)).to_vec(),
        ),
        node_selector: Some(settings.node_selector).filter(|selector| !selector.is_empty()),
        tolerations: Some(settings.tolerations).filter(|tolerations| !tolerations.is_empty()),
        image_pull_secrets: Some(settings.image_pull_secrets).filter(|secrets| !secrets.is_empty()),
        priority_class_name: settings.priority_class_name,
        ..PodSpec::default()
    }
}

fn spread(input: &Input<'_>, topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(input.selector()),
            ..LabelSelector::default()
        }),
        // Pods of the old revision, which are leaving, do not count.
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    }
}

fn container(input: &Input<'_>, resources: Option<ResourceRequirements>) -> Container {
    let args = [
        "cluster",
        "--gateway",
        &input.id.name,
        "--namespace",
        &input.id.namespace,
        "--last-good",
        LAST_GOOD,
    ];
    let listeners = input.config.listeners.iter().map(|listener| ContainerPort {
        name: Some(listener.name.clone()),
        container_port: i32::from(listener.port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    });
    let admin = ContainerPort {
        name: Some("admin".to_owned()),
        container_port: i32::from(ADMIN_PORT),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(input.spec.image.clone().unwrap_or_else(|| input.default_image.to_owned())),
        // The image holds no PATH.
        command: Some(vec!["/usr/local/bin/deepseek-gateway".to_owned()]),
        args: Some(args.map(str::to_owned).to_vec()),
        env: Some(vec![
            from_field("POD_NAME", "metadata.name"),
            from_field("POD_NAMESPACE", "metadata.namespace"),
            // Kubernetes 1.35 copies it from the node to its pods; before, and on nodes without zones, it is empty.
            from_field("GATEWAY_ZONE", "metadata.labels['topology.kubernetes.io/zone']"),
        ]),
        ports: Some(listeners.chain([admin]).collect()),
        startup_probe: Some(probe("/startupz", 1, 1, 120)),
        readiness_probe: Some(probe("/readyz", 2, 2, 2)),
        liveness_probe: Some(liveness()),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: PRE_STOP_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        resources: Some(resources.unwrap_or_else(default_resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: "last-good".to_owned(),
            mount_path: LAST_GOOD.to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.to_owned(), api_version: None }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// Only a runtime that hangs fails it; generous, as a restart cuts every stream. What hangs does not drain either:
/// without a grace period of its own the kubelet would wait for as long as the longest stream may take.
fn liveness() -> Probe {
    Probe { termination_grace_period_seconds: Some(HUNG_GRACE_SECONDS), ..probe("/livez", 10, 5, 3) }
}

fn probe(path: &str, period: i32, timeout: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn default_resources() -> ResourceRequirements {
    let amounts = |amounts: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        amounts.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(amounts(&[("cpu", "250m"), ("memory", "64Mi")])),
        limits: Some(amounts(&[("memory", "512Mi")])),
        ..ResourceRequirements::default()
    }
}
