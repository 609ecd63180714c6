//! Manifests as users write them, where no API server stands in between (standalone mode, tests): text in, typed objects
//! or precise errors out, one document at a time, so that what is wrong with one does not touch the others.
//!
//! Held against the very definitions that the API server would use ([`schema`]), but for one thing: a field that does not
//! exist is an error instead of being dropped. No message repeats a value that may be a key.

mod place;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod words;

use crate::document::ObjectId;
use crate::world::Resource;
use deepseek_crds::reference_grant::ReferenceGrant;
use std::collections::BTreeMap;
use std::fmt;

pub use read::read;

/// The namespace of a document that names none, as for kubectl.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// One document that was understood.
#[derive(Clone)]
pub enum Manifest {
    /// A custom resource.
    Resource(Resource),
    /// A Secret.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its values.
        data: BTreeMap<String, Vec<u8>>,
    },
    /// A permission to refer across namespaces.
    Grant(Box<ReferenceGrant>),
}

/// One document that was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The resource, where the document says that much.
    pub id: Option<ObjectId>,
    /// The resource or the place in the file, for people.
    pub subject: String,
    /// What is wrong: each problem with field, value and fix, as sentences.
    pub message: String,
}

impl Manifest {
    /// Kind, namespace and name.
    pub fn subject(&self) -> String {
        match self {
            Self::Resource(resource) => resource.id().to_string(),
            Self::Secret { namespace, name, .. } => format!("Secret/{namespace}/{name}"),
            Self::Grant(grant) => {
                let namespace = grant.metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
                format!("ReferenceGrant/{namespace}/{}", grant.metadata.name.as_deref().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject())
    }
}
