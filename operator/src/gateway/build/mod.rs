//! The objects a gateway consists of: pure functions, one kind a file.

mod deployment;
mod hpa;
mod network_policy;
mod pdb;
mod rbac;
mod service;
#[cfg(test)]
mod tests;

use crate::cluster::children::ChildKind;
use crate::reconcile::gateway_owner;
use deepseek_config::defaults;
use deepseek_config::document::{Gateway, ObjectId};
use deepseek_config::keys::sha256_hex;
use deepseek_crds::labels;
use deepseek_crds::v1alpha1::DeepSeekGatewaySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Annotation with the digest of what was applied: a field that was dropped shows by it.
pub const APPLIED: &str = "deepseekroute.io/applied";

/// What a gateway's objects are made from.
pub struct Input<'a> {
    /// The gateway.
    pub id: &'a ObjectId,
    /// Its uid.
    pub uid: &'a str,
    /// Its spec.
    pub spec: &'a DeepSeekGatewaySpec,
    /// Its compiled settings: defaults filled in, durations parsed.
    pub config: &'a Gateway,
    /// Image of gateways that name none.
    pub default_image: &'a str,
    /// Namespace of the operator, which asks pods for reports.
    pub operator_namespace: &'a str,
}

impl Input<'_> {
    /// Fewest and most pods.
    pub fn replicas(&self) -> (i32, i32) {
        defaults::replicas(self.spec.replicas.as_ref())
    }

    /// Labels that select the pods: they never change.
    pub fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from(
            [
                ("app.kubernetes.io/name", "deepseek-gateway"),
                ("app.kubernetes.io/instance", &self.id.name),
                (labels::COMPONENT, labels::COMPONENT_GATEWAY),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        )
    }

    /// Labels of every object.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert("app.kubernetes.io/part-of".to_owned(), "deepseek-gateway".to_owned());
        labels.insert(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned());
        labels.insert(labels::GATEWAY.to_owned(), self.id.name.clone());
        labels
    }

    /// Metadata of the object `name`.
    pub fn meta(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.id.namespace.clone()),
            labels: Some(self.labels()),
            owner_references: Some(vec![gateway_owner(&self.id.name, self.uid)]),
            ..ObjectMeta::default()
        }
    }
}

/// One object that should, or should not, be.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// The object, with its digest; `None` when the spec turned it off.
    pub object: Option<Value>,
}

/// Every object of a gateway, in the order they are written.
pub fn children(input: &Input<'_>) -> serde_json::Result<Vec<Child>> {
    let workload = super::names::workload(&input.id.name);
    ChildKind::ALL
        .into_iter()
        .map(|kind| {
            let name = match kind {
                ChildKind::Service => super::names::service(&input.id.name),
                _ => workload.clone(),
            };
            let object = match kind {
                ChildKind::ServiceAccount => {
                    Some(to_value(kind, &rbac::service_account(input, name.clone())))
                }
                ChildKind::Role => Some(to_value(kind, &rbac::role(input, name.clone()))),
                ChildKind::RoleBinding => Some(to_value(kind, &rbac::role_binding(input, name.clone()))),
                ChildKind::NetworkPolicy => {
                    network_policy::network_policy(input, name.clone()).map(|object| to_value(kind, &object))
                }
                ChildKind::Service => Some(to_value(kind, &service::service(input, name.clone()))),
                ChildKind::PodDisruptionBudget => {
                    pdb::pod_disruption_budget(input, name.clone()).map(|object| to_value(kind, &object))
                }
                ChildKind::Deployment => Some(to_value(kind, &deployment::deployment(input, name.clone()))),
                ChildKind::HorizontalPodAutoscaler => {
                    hpa::horizontal_pod_autoscaler(input, name.clone()).map(|object| to_value(kind, &object))
                }
            };
            Ok(Child { kind, name, object: object.transpose()? })
        })
        .collect()
}

/// The object as it is applied: with its API, without what is left to the API server, and with its digest.
fn to_value(kind: ChildKind, object: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(object)?;
    let digest = sha256_hex(value.to_string().as_bytes());
    let resource = kind.api_resource();
    value["apiVersion"] = Value::from(resource.api_version);
    value["kind"] = Value::from(resource.kind);
    let meta = &mut value["metadata"];
    if meta["annotations"].is_null() {
        meta["annotations"] = Value::Object(serde_json::Map::new());
    }
    meta["annotations"][APPLIED] = Value::from(&digest[..16]);
    Ok(value)
}
