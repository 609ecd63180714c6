//! How a custom resource is named in documents: kind, namespace, name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Kinds of custom resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `DeepSeekGateway`
    Gateway,
    /// `DeepSeekBackend`
    Backend,
    /// `DeepSeekConsumer`
    Consumer,
    /// `DeepSeekRoute`
    Route,
}

impl Kind {
    /// Every kind, in the order the gateway joins them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Backend, Self::Consumer, Self::Route];

    /// The name as it stands in `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "DeepSeekGateway",
            Self::Backend => "DeepSeekBackend",
            Self::Consumer => "DeepSeekConsumer",
            Self::Route => "DeepSeekRoute",
        }
    }
}

/// A custom resource: kind, namespace and name; written `DeepSeekRoute/team-a/chat`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectId {
    /// Names a resource.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

impl FromStr for ObjectId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (Some(kind), Some(namespace), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{text:?} is not KIND/NAMESPACE/NAME"));
        };
        let kind = Kind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind)
            .ok_or_else(|| format!("unknown kind {kind:?}"))?;
        Ok(Self::new(kind, namespace, name))
    }
}

impl Serialize for ObjectId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
