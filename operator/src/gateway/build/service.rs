//! Where clients reach the pods.

use super::Input;
use deepseek_crds::v1alpha1::{ListenerProtocol, ServiceType};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The Service in front of the pods.
pub fn service(input: &Input<'_>, name: String) -> Service {
    let settings = input.spec.service.clone().unwrap_or_default();
    let ports = input.config.listeners.iter().map(|listener| ServicePort {
        name: Some(listener.name.clone()),
        port: i32::from(listener.port),
        target_port: Some(IntOrString::String(listener.name.clone())),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some(
            match listener.protocol {
                ListenerProtocol::HTTP => "http",
                ListenerProtocol::HTTPS => "https",
            }
            .to_owned(),
        ),
        ..ServicePort::default()
    });
    let mut metadata = input.meta(name);
    metadata.annotations = Some(settings.annotations).filter(|annotations| !annotations.is_empty());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(settings.type_.unwrap_or(ServiceType::ClusterIP).as_str().to_owned()),
            selector: Some(input.selector()),
            ports: Some(ports.collect()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
