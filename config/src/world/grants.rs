//! Which references across namespaces the owners of the targets permit (Gateway API's `ReferenceGrant`).

use deepseek_crds::GROUP;
use deepseek_crds::reference_grant::ReferenceGrant;
use std::collections::{BTreeMap, BTreeSet};

/// Permitted references from a `DeepSeekRoute` to a `DeepSeekBackend`.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Grants {
    /// By (namespace of the route, namespace of the backend).
    pairs: BTreeMap<(String, String), Targets>,
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Targets {
    every: bool,
    names: BTreeSet<String>,
}

impl Grants {
    pub fn new(grants: &[ReferenceGrant]) -> Self {
        let mut pairs: BTreeMap<_, Targets> = BTreeMap::new();
        for grant in grants {
            let Some(to_namespace) = &grant.metadata.namespace else { continue };
            let from = grant.spec.from.iter().filter(|f| f.group == GROUP && f.kind == "DeepSeekRoute");
            for from in from {
                let to = grant.spec.to.iter().filter(|t| t.group == GROUP && t.kind == "DeepSeekBackend");
                for to in to {
                    let targets = pairs.entry((from.namespace.clone(), to_namespace.clone())).or_default();
                    match &to.name {
                        Some(name) if !name.is_empty() => {
                            targets.names.insert(name.clone());
                        }
                        _ => targets.every = true,
                    }
                }
            }
        }
        Self { pairs }
    }

    /// Whether a route in `from` may refer to the backend `namespace/name`.
    pub fn permit(&self, from: &str, namespace: &str, name: &str) -> bool {
        from == namespace
            || self
                .pairs
                .get(&(from.to_owned(), namespace.to_owned()))
                .is_some_and(|targets| targets.every || targets.names.contains(name))
    }
}
