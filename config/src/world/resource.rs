//! A custom resource of any kind, and what the compiler reads of its metadata.

use crate::document::{Kind, ObjectId};
use crate::manifest::DEFAULT_NAMESPACE;
use deepseek_crds::v1alpha1::{DeepSeekBackend, DeepSeekConsumer, DeepSeekGateway, DeepSeekRoute};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use std::sync::Arc;

/// A custom resource.
#[derive(Clone, Debug)]
pub enum Resource {
    /// `DeepSeekGateway`
    Gateway(Arc<DeepSeekGateway>),
    /// `DeepSeekBackend`
    Backend(Arc<DeepSeekBackend>),
    /// `DeepSeekConsumer`
    Consumer(Arc<DeepSeekConsumer>),
    /// `DeepSeekRoute`
    Route(Arc<DeepSeekRoute>),
}

/// Who is older: creation time, then namespace and name. Resources without a creation time (standalone mode) come
/// first, in the order of their names.
pub(crate) type Age = (Option<Time>, ObjectId);

impl Resource {
    /// Its metadata.
    #[must_use]
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Gateway(object) => &object.metadata,
            Self::Backend(object) => &object.metadata,
            Self::Consumer(object) => &object.metadata,
            Self::Route(object) => &object.metadata,
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Gateway(_) => Kind::Gateway,
            Self::Backend(_) => Kind::Backend,
            Self::Consumer(_) => Kind::Consumer,
            Self::Route(_) => Kind::Route,
        }
    }

    /// Its id. A resource without a namespace is in `default`, as for kubectl.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        let meta = self.meta();
        ObjectId::new(
            self.kind(),
            meta.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            meta.name.clone().unwrap_or_default(),
        )
    }

    pub(crate) fn age(&self) -> Age {
        (self.meta().creation_timestamp.clone(), self.id())
    }

    /// Whether `other` compiles to the same as this one does: status and bookkeeping aside, nothing differs.
    pub(crate) fn means_the_same(&self, other: &Self) -> bool {
        let (a, b) = (self.meta(), other.meta());
        let meta = a.uid == b.uid
            && a.generation == b.generation
            && a.creation_timestamp == b.creation_timestamp
            && a.labels == b.labels;
        meta && match (self, other) {
            (Self::Gateway(a), Self::Gateway(b)) => a.spec == b.spec,
            (Self::Backend(a), Self::Backend(b)) => a.spec == b.spec,
            (Self::Consumer(a), Self::Consumer(b)) => a.spec == b.spec,
            (Self::Route(a), Self::Route(b)) => a.spec == b.spec,
            _ => false,
        }
    }
}
