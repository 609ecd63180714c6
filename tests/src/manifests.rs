//! Manifests as users write them: read from YAML, held against the types, compiled.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use deepseek_config::{
    compile::Verdict,
    document::ObjectId,
    world::{Resource, World},
};
use deepseek_crds::reference_grant::ReferenceGrant;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The documents of a YAML stream, empty ones left out.
pub fn documents(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

/// Manifests that were read, on a cluster with a default gateway.
#[derive(Default)]
pub struct Manifests {
    world: World,
    grants: Vec<ReferenceGrant>,
    /// Told to the world at the end: it keeps only those that somebody refers to.
    secrets: BTreeMap<(String, String), BTreeMap<String, Vec<u8>>>,
}

impl Manifests {
    /// A cluster with the gateway that the chart creates.
    pub fn with_default_gateway() -> anyhow::Result<Self> {
        let mut manifests = Self::default();
        manifests.add(&json!({
            "apiVersion": "deepseekroute.io/v1alpha1", "kind": "DeepSeekGateway",
            "metadata": {"name": "default", "namespace": "deepseek-system"}, "spec": {"default": true}
        }))?;
        Ok(manifests)
    }

    /// Adds a document; a kind or a field that does not exist is an error.
    pub fn add(&mut self, document: &Value) -> anyhow::Result<()> {
        let what = format!("{} {}", document["kind"], document["metadata"]["name"]);
        self.add_any(document).with_context(|| what)
    }

    fn add_any(&mut self, document: &Value) -> anyhow::Result<()> {
        match document["kind"].as_str().unwrap_or_default() {
            "DeepSeekGateway" => self.apply(Resource::Gateway(Arc::new(read(document)?))),
            "DeepSeekBackend" => self.apply(Resource::Backend(Arc::new(read(document)?))),
            "DeepSeekConsumer" => self.apply(Resource::Consumer(Arc::new(read(document)?))),
            "DeepSeekRoute" => self.apply(Resource::Route(Arc::new(read(document)?))),
            "ReferenceGrant" => self.grants.push(read(document)?),
            "Secret" => {
                let secret: Secret = read(document)?;
                let namespace = secret.metadata.namespace.as_deref().unwrap_or("default");
                let text = secret.string_data.unwrap_or_default().into_iter();
                let data = text.map(|(key, value)| (key, value.into_bytes())).collect();
                let name = secret.metadata.name.context("a Secret without a name")?;
                self.set_secret(namespace, &name, data);
            }
            "Namespace" => drop(read::<Namespace>(document)?),
            other => anyhow::bail!("no example needs a {other:?}"),
        }
        Ok(())
    }

    fn apply(&mut self, resource: Resource) {
        self.world.apply(resource);
    }

    /// Adds a Secret.
    pub fn set_secret(&mut self, namespace: &str, name: &str, data: BTreeMap<String, Vec<u8>>) {
        self.secrets.insert((namespace.to_owned(), name.to_owned()), data);
    }

    /// What the compiler says of each resource.
    pub fn verdicts(mut self) -> Vec<(ObjectId, Verdict)> {
        self.world.set_grants(self.grants);
        for ((namespace, name), data) in self.secrets {
            self.world.set_secret(&namespace, &name, Some(data));
        }
        let ids = self.world.ids();
        ids.into_iter().filter_map(|id| Some((id.clone(), self.world.compile(&id)?.verdict))).collect()
    }
}

/// Reads a document and makes sure that nothing in it was passed over.
fn read<T: DeserializeOwned + Serialize>(document: &Value) -> anyhow::Result<T> {
    let object: T = serde_json::from_value(document.clone())?;
    let kept = serde_json::to_value(&object)?;
    let mut lost = Vec::new();
    find_lost(document, &kept, "", &mut lost);
    anyhow::ensure!(lost.is_empty(), "no such field: {}", lost.join(", "));
    Ok(object)
}

fn find_lost(written: &Value, kept: &Value, path: &str, lost: &mut Vec<String>) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match kept.get(key) {
                    Some(kept) => find_lost(value, kept, &path, lost),
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(kept)) => {
            for (i, (written, kept)) in written.iter().zip(kept).enumerate() {
                find_lost(written, kept, &format!("{path}[{i}]"), lost);
            }
        }
        _ => {}
    }
}
