//! Build: the ConfigMap of a document. Pure.

use super::validate::Plan;
use crate::cluster::documents::names;
use deepseek_config::document::{Kind, ObjectId};
use deepseek_config::keys::sha256_hex;
use deepseek_crds::labels;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::collections::{BTreeMap, BTreeSet};

/// Longest name of a ConfigMap.
const MAX_NAME: usize = 253;
/// Hexadecimal digits of the hash at the end of each name.
const HASH: usize = 8;

/// A ConfigMap that is not written yet. No `Debug`: it carries secret values.
pub struct Prepared {
    /// The gateway it is for.
    pub gateway: ObjectId,
    /// SHA-256 of its document.
    pub sha256: String,
    /// Secret values the document names.
    pub keys: BTreeMap<String, Vec<u8>>,
    /// Backends it refers to.
    pub backends: BTreeSet<ObjectId>,
    /// The object.
    pub map: ConfigMap,
}

/// Builds the ConfigMaps of `plan`. A gateway that is gone gets none.
pub fn build(plan: &Plan) -> serde_json::Result<Vec<Prepared>> {
    let Some(owner) = &plan.owner else { return Ok(Vec::new()) };
    let mut prepared = Vec::with_capacity(plan.outputs.len());
    for output in &plan.outputs {
        let Some(gateway_uid) = plan.gateways.get(&output.gateway) else { continue };
        let encoded = output.document.encode()?;
        let labels = BTreeMap::from(
            [
                (labels::MANAGED_BY, labels::MANAGER),
                (labels::COMPONENT, labels::COMPONENT_CONFIG),
                (labels::GATEWAY, &output.gateway.name),
                (labels::OWNER_KIND, plan.id.kind.as_str()),
                (labels::OWNER_NAMESPACE, &plan.id.namespace),
                (labels::OWNER_NAME, &plan.id.name),
                (labels::OWNER_UID, &owner.known.uid),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(config_map_name(&output.gateway, &plan.id)),
                namespace: Some(output.gateway.namespace.clone()),
                labels: Some(labels),
                owner_references: Some(vec![gateway_owner(&output.gateway.name, gateway_uid)]),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([
                (labels::CONFIG_KEY.to_owned(), encoded.json),
                (labels::DIGEST_KEY.to_owned(), encoded.sha256.clone()),
            ])),
            ..ConfigMap::default()
        };
        prepared.push(Prepared {
            gateway: output.gateway.clone(),
            sha256: encoded.sha256,
            keys: output.keys.iter().map(|(id, value)| (id.as_str().to_owned(), value.clone())).collect(),
            backends: names(&output.document).1,
            map,
        });
    }
    Ok(prepared)
}

/// Everything of a gateway goes with it, even while the operator is down. `blockOwnerDeletion` is left out: nothing
/// needs the gateway to stay until its children are gone.
pub fn gateway_owner(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "deepseekroute.io/v1alpha1".to_owned(),
        kind: Kind::Gateway.as_str().to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Name of the ConfigMap that holds the document of `id` for `gateway`. The hash tells apart what only looks alike, as
/// namespace `a-b` with name `c` and namespace `a` with name `b-c`.
pub fn config_map_name(gateway: &ObjectId, id: &ObjectId) -> String {
    let short = match id.kind {
        Kind::Gateway => "dsg",
        Kind::Backend => "dsb",
        Kind::Consumer => "dsc",
        Kind::Route => "dsr",
    };
    let hash = sha256_hex(format!("{gateway} {id}").as_bytes());
    let mut readable = format!("{}-{short}-{}-{}", gateway.name, id.namespace, id.name);
    readable.truncate(MAX_NAME - HASH - 1);
    // The API server takes no name with a dot before a hyphen.
    format!("{}-{}", readable.trim_end_matches(['.', '-']), &hash[..HASH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_short_enough_and_never_collide() {
        let gateway = ObjectId::new(Kind::Gateway, "deepseek-system", "default");
        let name = |namespace: &str, name: &str| {
            config_map_name(&gateway, &ObjectId::new(Kind::Route, namespace, name))
        };
        assert!(name("team-a", "chat").starts_with("default-dsr-team-a-chat-"));
        assert_eq!(name("team-a", "chat"), name("team-a", "chat"));
        assert_ne!(name("a-b", "c"), name("a", "b-c"));
        let long = name(&"n".repeat(63), &"x.".repeat(120));
        assert!(long.len() <= MAX_NAME && !long.contains(".-"), "{long}");
    }
}
