//! Workloads of gateways as they are stored.

use super::{Name, version};
use deepseek_config::document::{Kind, ObjectId};
use deepseek_crds::labels;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::{ApiResource, DynamicObject};
use std::collections::HashMap;

/// Kinds of objects that a gateway consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// Who the pods are.
    ServiceAccount,
    /// What they may read.
    Role,
    /// That they may.
    RoleBinding,
    /// Who may reach them.
    NetworkPolicy,
    /// Where they are reached.
    Service,
    /// How many may leave at once.
    PodDisruptionBudget,
    /// The pods.
    Deployment,
    /// How many.
    HorizontalPodAutoscaler,
}

impl ChildKind {
    /// Every kind, in the order they are written: pods come after what they need.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::NetworkPolicy,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
    ];

    /// Its API.
    pub fn api_resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Role => ApiResource::erase::<Role>(&()),
            Self::RoleBinding => ApiResource::erase::<RoleBinding>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Role => "Role",
            Self::RoleBinding => "RoleBinding",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Service => "Service",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Deployment => "Deployment",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
        }
    }
}

/// One stored object.
#[derive(Clone, Debug)]
pub struct Child {
    /// The gateway its labels name.
    pub gateway: ObjectId,
    /// Its resource version.
    pub version: u64,
    /// The object without bookkeeping.
    pub object: DynamicObject,
}

/// Every stored object that carries our labels.
#[derive(Debug, Default)]
pub struct Children {
    objects: HashMap<(ChildKind, Name), Child>,
}

impl Children {
    /// Notes what is stored. Returns the gateway it concerns, when that was news.
    pub fn put(&mut self, kind: ChildKind, mut object: DynamicObject) -> Option<ObjectId> {
        object.metadata.managed_fields = None;
        let meta = &object.metadata;
        let namespace = meta.namespace.clone()?;
        let gateway = meta.labels.as_ref()?.get(labels::GATEWAY)?;
        let gateway = ObjectId::new(Kind::Gateway, namespace.clone(), gateway);
        let key = (kind, (namespace, meta.name.clone()?));
        let version = version(meta.resource_version.as_deref());
        if self.objects.get(&key).is_some_and(|old| old.version >= version) {
            return None;
        }
        self.objects.insert(key, Child { gateway: gateway.clone(), version, object });
        Some(gateway)
    }

    /// Notes that an object is gone. Returns the gateway it concerns.
    pub fn remove(&mut self, kind: ChildKind, name: &Name) -> Option<ObjectId> {
        self.objects.remove(&(kind, name.clone())).map(|child| child.gateway)
    }

    /// The object of `kind` called `name`.
    pub fn get(&self, kind: ChildKind, name: &Name) -> Option<&Child> {
        self.objects.get(&(kind, name.clone()))
    }

    /// Names of the objects of `kind`.
    pub fn names(&self, kind: ChildKind) -> impl Iterator<Item = &Name> {
        self.objects.keys().filter(move |(k, _)| *k == kind).map(|(_, name)| name)
    }
}
