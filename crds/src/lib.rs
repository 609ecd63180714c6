//! Custom resource types of the DeepSeek gateway: the source of truth for its API.
//!
//! One kind a file in [`v1alpha1`]; the vocabulary of status conditions is in [`conditions`], the labels and
//! annotations the operator writes are in [`labels`]. `cargo run -p deepseek-crds --bin crdgen` prints the YAML
//! that is checked in under `crds/yaml/`. Nothing here talks to a cluster.

pub mod conditions;
pub mod labels;
mod reference;
pub mod reference_grant;
mod schema;
pub mod v1alpha1;

pub use reference::reference;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::JsonSchema;

/// API group of every kind.
pub const GROUP: &str = "deepseekroute.io";

/// All custom resource definitions, with the file name each is checked in under.
#[must_use]
pub fn all() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![
        ("deepseekroutes.yaml", definition::<v1alpha1::DeepSeekRoute>()),
        ("deepseekbackends.yaml", definition::<v1alpha1::DeepSeekBackend>()),
        ("deepseekgateways.yaml", definition::<v1alpha1::DeepSeekGateway>()),
        ("deepseekconsumers.yaml", definition::<v1alpha1::DeepSeekConsumer>()),
    ]
}

/// The schema of each kind, as it stands in the definitions.
#[must_use]
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("DeepSeekRoute", schema::structural::<v1alpha1::DeepSeekRoute>()),
        ("DeepSeekBackend", schema::structural::<v1alpha1::DeepSeekBackend>()),
        ("DeepSeekGateway", schema::structural::<v1alpha1::DeepSeekGateway>()),
        ("DeepSeekConsumer", schema::structural::<v1alpha1::DeepSeekConsumer>()),
    ]
}

/// The checked-in YAML of the definition with file name `file`.
pub fn yaml(file: &str) -> Result<String, Box<dyn std::error::Error>> {
    let (_, definition) =
        all().into_iter().find(|(name, _)| *name == file).ok_or_else(|| format!("there is no {file}"))?;
    let mut value = serde_json::to_value(definition)?;
    schema::whole_numbers(&mut value);
    let yaml = serde_saphyr::to_string(&value)?;
    // The serializer indents the empty lines of a block, too.
    Ok(yaml.lines().map(str::trim_end).flat_map(|line| [line, "\n"]).collect())
}

fn definition<K: CustomResourceExt + JsonSchema>() -> CustomResourceDefinition {
    let mut definition = K::crd();
    for version in &mut definition.spec.versions {
        version.schema =
            serde_json::from_value(serde_json::json!({"openAPIV3Schema": schema::structural::<K>()})).ok();
    }
    definition
}
