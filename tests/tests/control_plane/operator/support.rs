//! A namespace with an operator of its own, and what tests look at in it.

use anyhow::{Context as _, Result, ensure};
use deepseek_config::document::{Document, Kind, ObjectId};
use deepseek_crds::labels;
use deepseek_crds::v1alpha1::{DeepSeekBackend, DeepSeekConsumer, DeepSeekGateway, DeepSeekRoute};
use deepseek_tests::kubernetes::eventually;
use deepseek_tests::operator::{Installation, Operator};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long something may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A namespace that an operator of its own watches.
pub struct Room {
    pub installation: &'static Installation,
    pub namespace: String,
    pub client: Client,
}

/// Any kind of custom resource, as far as tests look at it.
pub trait Custom:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + serde::de::DeserializeOwned
    + Clone
    + std::fmt::Debug
{
    fn conditions(&self) -> &[Condition];
}

macro_rules! custom {
    ($($kind:ident),+) => {$(
        impl Custom for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
            }
        }
    )+};
}

custom!(DeepSeekGateway, DeepSeekBackend, DeepSeekConsumer, DeepSeekRoute);

impl Room {
    /// A namespace nobody watches yet.
    pub async fn new(prefix: &str) -> Self {
        let installation = Installation::shared().await.unwrap();
        let namespace = installation.namespace(prefix).await.unwrap();
        let client = installation.client().await.unwrap();
        Self { installation, namespace, client }
    }

    /// A namespace with an operator.
    pub async fn with_operator(prefix: &str) -> (Self, Operator) {
        let room = Self::new(prefix).await;
        let operator = room.operator().await;
        (room, operator)
    }

    /// An operator that watches this namespace.
    pub async fn operator(&self) -> Operator {
        Operator::start(self.installation, &[&self.namespace]).await.unwrap()
    }

    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies manifests to this namespace.
    pub async fn apply(&self, manifests: &str) {
        let path = std::env::temp_dir().join(format!("{}.yaml", self.namespace));
        std::fs::write(&path, manifests).unwrap();
        let path = path.to_str().unwrap();
        let applied = self.installation.kubectl(&["apply", "-n", &self.namespace, "-f", path]).await.unwrap();
        applied.ok().unwrap();
    }

    /// Deletes `kind/name`.
    pub async fn delete(&self, what: &str) {
        let deleted = self.installation.kubectl(&["delete", "-n", &self.namespace, what]).await.unwrap();
        deleted.ok().unwrap();
    }

    /// The documents for `gateway` that are stored, by the resource they were made from.
    pub async fn documents(&self, gateway: &str) -> Result<BTreeMap<ObjectId, Document>> {
        let selector =
            format!("{}={gateway},{}={}", labels::GATEWAY, labels::COMPONENT, labels::COMPONENT_CONFIG);
        let maps = self.api::<ConfigMap>().list(&ListParams::default().labels(&selector)).await?;
        let mut documents = BTreeMap::new();
        for map in maps {
            let data = map.data.context("a ConfigMap without data")?;
            let (json, digest) = (&data[labels::CONFIG_KEY], &data[labels::DIGEST_KEY]);
            let document = Document::decode(json, digest)?;
            documents.insert(document.id.clone(), document);
        }
        Ok(documents)
    }

    /// Waits until `gateway` has documents of these resources and of no others.
    pub async fn documents_of(&self, gateway: &str, wanted: &[(Kind, &str)]) -> BTreeMap<ObjectId, Document> {
        let wanted: BTreeSet<ObjectId> = wanted.iter().map(|(kind, name)| self.id(*kind, name)).collect();
        eventually(&format!("gateway {gateway} has the documents of {wanted:?}"), SOON, async || {
            let documents = self.documents(gateway).await?;
            ensure!(documents.keys().eq(&wanted), "it has {:?}", documents.keys().collect::<Vec<_>>());
            Ok(documents)
        })
        .await
    }

    /// Name and version of each ConfigMap that the operator wrote.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let ours = format!("{}={}", labels::COMPONENT, labels::COMPONENT_CONFIG);
        let maps = self.api::<ConfigMap>().list(&ListParams::default().labels(&ours)).await.unwrap();
        maps.iter().map(|map| (map.name_any(), map.resource_version().unwrap())).collect()
    }

    /// Changes `kind/name` by a merge patch.
    pub async fn patch(&self, what: &str, patch: &str) {
        let command = ["patch", "-n", &self.namespace, what, "--type=merge", "-p", patch];
        self.installation.kubectl(&command).await.unwrap().ok().unwrap();
    }

    /// The projected keys of `gateway`.
    pub async fn keys(&self, gateway: &str) -> Result<BTreeMap<String, String>> {
        let secret = self.api::<Secret>().get(&labels::keys_secret(gateway)).await?;
        let data = secret.data.unwrap_or_default().into_iter();
        Ok(data.map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect())
    }

    /// A port that nobody listens on now.
    pub fn free_port(&self) -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    pub fn id(&self, kind: Kind, name: &str) -> ObjectId {
        ObjectId::new(kind, &self.namespace, name)
    }

    /// Waits until condition `type_` of `name` is `status` for `reason`, of the current generation, and returns it.
    pub async fn condition<K: Custom>(
        &self,
        name: &str,
        type_: &str,
        status: &str,
        reason: &str,
    ) -> Condition {
        let api = self.api::<K>();
        let what = format!("{type_} of {name} is {status}, {reason}");
        eventually(&what, SOON, async || {
            let object = api.get(name).await?;
            let conditions = object.conditions();
            let found = conditions.iter().find(|c| c.type_ == type_).cloned();
            let found = found.with_context(|| format!("no condition {type_} in {conditions:?}"))?;
            ensure!(found.status == status && found.reason == reason, "{conditions:#?}");
            ensure!(found.observed_generation == object.meta().generation, "{conditions:#?}");
            Ok(found)
        })
        .await
    }
}

/// A gateway that is the default, with one pod at least.
pub const GATEWAY: &str = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: gw}
spec: {default: true, replicas: {min: 1, max: 3}}
---
";

/// A Secret with one key.
pub fn secret(name: &str, value: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{key: {value}}}
---
"
    )
}

/// A route with one backend of its own, opened by `secret`.
pub fn route(name: &str, model: &str, secret: &str) -> String {
    format!(
        "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: {name}}}
spec:
  model: {model}
  backends:
  - {{name: official, baseUrl: https://api.deepseek.com, apiKey: {{secretRef: {{name: {secret}, key: key}}}}}}
---
"
    )
}
