//! Who may reach the pods: anybody the listeners, the operator's namespace the admin port. Out they may go anywhere, as
//! backends are anywhere.

use super::Input;
use deepseek_config::report::ADMIN_PORT;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// The policy; none where the spec turns it off.
pub fn network_policy(input: &Input<'_>, name: String) -> Option<NetworkPolicy> {
    let enabled = input.spec.network_policy.as_ref().and_then(|policy| policy.enabled).unwrap_or(true);
    if !enabled {
        return None;
    }
    let port = |port: u16| NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(port))),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    };
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(
                "kubernetes.io/metadata.name".to_owned(),
                input.operator_namespace.to_owned(),
            )])),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    };
    Some(NetworkPolicy {
        metadata: input.meta(name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(input.selector()),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule {
                    ports: Some(input.config.listeners.iter().map(|listener| port(listener.port)).collect()),
                    from: None,
                },
                NetworkPolicyIngressRule { ports: Some(vec![port(ADMIN_PORT)]), from: Some(vec![operator]) },
            ]),
            ..NetworkPolicySpec::default()
        }),
    })
}
