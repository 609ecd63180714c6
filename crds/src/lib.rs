//! Custom resource types of the DeepSeek gateway: the source of truth for its API.
//!
//! One kind a file in [`v1alpha1`]; the vocabulary of status conditions is in [`conditions`], the labels and
//! annotations the operator writes are in [`labels`]. `cargo run -p deepseek-crds --bin crdgen` prints the YAML
//! that is checked in under `crds/yaml/`. Nothing here talks to a cluster.

pub mod conditions;
pub mod labels;
pub mod reference_grant;
pub mod v1alpha1;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// API group of every kind.
pub const GROUP: &str = "deepseekroute.io";

/// All custom resource definitions, with the file name each is checked in under.
#[must_use]
pub fn all() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![
        ("deepseekroutes.yaml", v1alpha1::DeepSeekRoute::crd()),
        ("deepseekbackends.yaml", v1alpha1::DeepSeekBackend::crd()),
        ("deepseekgateways.yaml", v1alpha1::DeepSeekGateway::crd()),
        ("deepseekconsumers.yaml", v1alpha1::DeepSeekConsumer::crd()),
    ]
}

/// The checked-in YAML of the definition with file name `file`.
pub fn yaml(file: &str) -> Result<String, serde_saphyr::ser::Error> {
    let crd = all().into_iter().find(|(name, _)| *name == file).map(|(_, crd)| crd);
    serde_saphyr::to_string(&crd)
}
