//! Compiled documents as they are stored: which ConfigMap holds what, for whom, made from which resource.

use super::{Name, version};
use deepseek_config::document::{Body, Document, Kind, ObjectId, Target};
use deepseek_config::keys::KeyId;
use deepseek_crds::labels;
use k8s_openapi::api::core::v1::ConfigMap;
use std::collections::{BTreeSet, HashMap};

/// One stored document, reduced to what decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Namespace and name of its ConfigMap.
    pub name: Name,
    /// The resource it was made from.
    pub owner: ObjectId,
    /// Uid of that resource.
    pub uid: String,
    /// The gateway that loads it.
    pub gateway: ObjectId,
    /// SHA-256 of the document; empty when the content does not match it, so that it is written anew.
    pub sha256: String,
    /// Uid of the gateway that its owner reference names.
    pub gateway_uid: Option<String>,
    /// Secret values that it names.
    pub keys: BTreeSet<KeyId>,
    /// Backends it refers to.
    pub backends: BTreeSet<ObjectId>,
    /// Whether it says that an account is out of balance.
    pub parked: bool,
    /// Resource version of the ConfigMap.
    pub version: u64,
}

impl Stored {
    /// Reads a ConfigMap; `None` when it is not one that the operator wrote.
    pub fn read(map: &ConfigMap) -> Option<Self> {
        let meta = &map.metadata;
        let namespace = meta.namespace.clone()?;
        let label = |key: &str| meta.labels.as_ref()?.get(key).cloned();
        let is = |key: &str, value: &str| label(key).is_some_and(|found| found == value);
        if !is(labels::MANAGED_BY, labels::MANAGER) || !is(labels::COMPONENT, labels::COMPONENT_CONFIG) {
            return None;
        }
        let kind = label(labels::OWNER_KIND)?;
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind)?;
        let data = map.data.as_ref();
        let value = |key: &str| data.and_then(|data| data.get(key)).map(String::as_str).unwrap_or_default();
        let document = Document::decode(value(labels::CONFIG_KEY), value(labels::DIGEST_KEY)).ok();
        let (keys, backends) = document.as_ref().map(names).unwrap_or_default();
        let parked =
            matches!(&document, Some(Document { body: Body::Backend(backend), .. }) if backend.parked);
        Some(Self {
            parked,
            name: (namespace.clone(), meta.name.clone()?),
            owner: ObjectId::new(kind, label(labels::OWNER_NAMESPACE)?, label(labels::OWNER_NAME)?),
            uid: label(labels::OWNER_UID)?,
            gateway: ObjectId::new(Kind::Gateway, namespace, label(labels::GATEWAY)?),
            sha256: document.map(|_| value(labels::DIGEST_KEY).to_owned()).unwrap_or_default(),
            gateway_uid: meta.owner_references.iter().flatten().next().map(|owner| owner.uid.clone()),
            keys,
            backends,
            version: version(meta.resource_version.as_deref()),
        })
    }
}

/// Secret values and backends that `document` names.
pub fn names(document: &Document) -> (BTreeSet<KeyId>, BTreeSet<ObjectId>) {
    let (mut keys, mut backends) = (BTreeSet::new(), BTreeSet::new());
    match &document.body {
        Body::Gateway(gateway) => {
            for certificate in gateway.listeners.iter().filter_map(|l| l.certificate.as_ref()) {
                keys.insert(certificate.chain.clone());
                keys.insert(certificate.private_key.clone());
            }
        }
        Body::Backend(backend) => keys.extend(backend.api_keys.iter().chain(&backend.ca).cloned()),
        Body::Consumer(_) => {}
        Body::Route(route) => {
            for backend in &route.backends {
                match &backend.target {
                    Target::Ref(id) => {
                        backends.insert(id.clone());
                    }
                    Target::Inline(backend) => {
                        keys.extend(backend.api_keys.iter().chain(&backend.ca).cloned());
                    }
                }
            }
        }
    }
    (keys, backends)
}

/// Every stored document.
#[derive(Debug, Default)]
pub struct Documents {
    names: HashMap<Name, Stored>,
    owners: HashMap<ObjectId, BTreeSet<Name>>,
    gateways: HashMap<ObjectId, BTreeSet<Name>>,
}

impl Documents {
    /// Notes what is stored. Returns whose resources are concerned, when that was news.
    pub fn put(&mut self, stored: Stored) -> BTreeSet<ObjectId> {
        let mut concerned = BTreeSet::from([stored.owner.clone()]);
        if let Some(old) = self.names.get(&stored.name) {
            if old.version >= stored.version {
                return BTreeSet::new();
            }
            concerned.insert(old.owner.clone());
            let name = stored.name.clone();
            self.remove(&name);
        }
        self.owners.entry(stored.owner.clone()).or_default().insert(stored.name.clone());
        self.gateways.entry(stored.gateway.clone()).or_default().insert(stored.name.clone());
        self.names.insert(stored.name.clone(), stored);
        concerned
    }

    /// Notes that a ConfigMap is gone. Returns what it was.
    pub fn remove(&mut self, name: &Name) -> Option<Stored> {
        let stored = self.names.remove(name)?;
        drop_from(&mut self.owners, &stored.owner, name);
        drop_from(&mut self.gateways, &stored.gateway, name);
        Some(stored)
    }

    /// The document in ConfigMap `name`.
    pub fn get(&self, name: &Name) -> Option<&Stored> {
        self.names.get(name)
    }

    /// Documents made from `owner`.
    pub fn of_owner(&self, owner: &ObjectId) -> impl Iterator<Item = &Stored> {
        self.owners.get(owner).into_iter().flatten().filter_map(|name| self.names.get(name))
    }

    /// Documents for `gateway`.
    pub fn of_gateway(&self, gateway: &ObjectId) -> impl Iterator<Item = &Stored> {
        self.gateways.get(gateway).into_iter().flatten().filter_map(|name| self.names.get(name))
    }

    /// Whether `gateway` has a document of `owner`.
    pub fn has(&self, gateway: &ObjectId, owner: &ObjectId) -> bool {
        self.of_owner(owner).any(|stored| stored.gateway == *gateway && !stored.sha256.is_empty())
    }

    /// Names of all ConfigMaps.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.keys()
    }

    /// Every resource that left a document.
    pub fn owners(&self) -> impl Iterator<Item = &ObjectId> {
        self.owners.keys()
    }
}

fn drop_from(index: &mut HashMap<ObjectId, BTreeSet<Name>>, id: &ObjectId, name: &Name) {
    if let Some(names) = index.get_mut(id) {
        names.remove(name);
        if names.is_empty() {
            index.remove(id);
        }
    }
}
