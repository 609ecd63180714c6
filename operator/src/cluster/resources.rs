//! What is known of each custom resource beside its spec: identity, version, status.

use super::version;
use deepseek_config::document::{Kind, ObjectId};
use deepseek_config::world::Resource;
use deepseek_crds::v1alpha1::{
    DeepSeekBackend, DeepSeekBackendStatus, DeepSeekConsumer, DeepSeekConsumerStatus, DeepSeekGateway,
    DeepSeekGatewayStatus, DeepSeekRoute, DeepSeekRouteStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::time::Instant;

/// What is known of a custom resource beside its spec.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Its resource version.
    pub version: u64,
    /// Its status as it is stored.
    pub status: Status,
    /// Why it cannot be read, when it was stored before its definition demanded what it lacks.
    pub malformed: Option<String>,
    /// Until when a passing state is not worth a write of status: something that changes it is under way.
    pub hold: Option<Instant>,
    /// When only figures in its status changed last: those are not written at every turn.
    pub figures_written: Option<Instant>,
}

impl Known {
    /// From what a watch or a write returned.
    pub fn new(meta: &ObjectMeta, status: Status) -> Self {
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            version: version(meta.resource_version.as_deref()),
            status,
            malformed: None,
            hold: None,
            figures_written: None,
        }
    }
}

/// The status of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Of a `DeepSeekGateway`.
    Gateway(DeepSeekGatewayStatus),
    /// Of a `DeepSeekBackend`.
    Backend(DeepSeekBackendStatus),
    /// Of a `DeepSeekConsumer`.
    Consumer(DeepSeekConsumerStatus),
    /// Of a `DeepSeekRoute`.
    Route(DeepSeekRouteStatus),
}

impl Status {
    /// A status that says nothing yet.
    pub fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Gateway => Self::Gateway(DeepSeekGatewayStatus::default()),
            Kind::Backend => Self::Backend(DeepSeekBackendStatus::default()),
            Kind::Consumer => Self::Consumer(DeepSeekConsumerStatus::default()),
            Kind::Route => Self::Route(DeepSeekRouteStatus::default()),
        }
    }

    /// Its conditions.
    pub fn conditions(&self) -> &[Condition] {
        match self {
            Self::Gateway(status) => &status.conditions,
            Self::Backend(status) => &status.conditions,
            Self::Consumer(status) => &status.conditions,
            Self::Route(status) => &status.conditions,
        }
    }

    /// As JSON, for a patch.
    pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Gateway(status) => serde_json::to_value(status),
            Self::Backend(status) => serde_json::to_value(status),
            Self::Consumer(status) => serde_json::to_value(status),
            Self::Route(status) => serde_json::to_value(status),
        }
    }
}

/// A custom resource of a kind of ours.
pub trait Custom:
    kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
    /// Its kind.
    const KIND: Kind;

    /// Splits it into what the compiler reads and its status.
    fn split(self) -> (Resource, Status);
}

macro_rules! custom {
    ($($type:ident $variant:ident),+) => {$(
        impl Custom for $type {
            const KIND: Kind = Kind::$variant;

            fn split(mut self) -> (Resource, Status) {
                let status = Status::$variant(self.status.take().unwrap_or_default());
                // The index needs no bookkeeping.
                let meta = &mut self.metadata;
                (meta.annotations, meta.managed_fields, meta.owner_references) = (None, None, None);
                meta.resource_version = None;
                (Resource::$variant(Arc::new(self)), status)
            }
        }
    )+};
}

custom!(DeepSeekGateway Gateway, DeepSeekBackend Backend, DeepSeekConsumer Consumer, DeepSeekRoute Route);

/// The id of a custom resource with this metadata.
pub fn id(kind: Kind, meta: &ObjectMeta) -> ObjectId {
    ObjectId::new(kind, meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
