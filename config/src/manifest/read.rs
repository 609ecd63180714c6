//! From text to manifests.

use super::place::Place;
use super::{DEFAULT_NAMESPACE, Manifest, Unreadable, schema, words};
use crate::document::{Kind, ObjectId};
use crate::world::Resource;
use deepseek_crds::GROUP;
use deepseek_crds::reference_grant::ReferenceGrant;
use k8s_openapi::ByteString;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads all documents of a file: YAML, of which JSON is a part; `Err` where it is not even that. Lists are taken apart;
/// kinds that are not ours, such as a Deployment, mean nothing here and are passed over.
pub fn read(text: &str) -> Result<Vec<Result<Manifest, Unreadable>>, String> {
    // A snippet of the source in the message could show the values of Secrets.
    let options = serde_saphyr::options! {
        with_snippet: false,
        // Thousands of documents are a large installation, not an attack: these are the user's own files.
        budget: serde_saphyr::budget! { max_documents: 100_000, max_events: 20_000_000, max_nodes: 10_000_000 },
    };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())?;
    let mut read = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        add(document, &format!("document {}", index + 1), &mut read);
    }
    Ok(read)
}

fn add(document: Value, place: &str, read: &mut Vec<Result<Manifest, Unreadable>>) {
    if document.is_null() {
        return;
    }
    let Value::Object(mut document) = document else {
        let message = format!("this is {}, not a Kubernetes manifest.", words::type_of(&document));
        read.push(Err(Unreadable { id: None, subject: place.to_owned(), message }));
        return;
    };
    if text(&document, "apiVersion") == "v1" && text(&document, "kind") == "List" {
        let items = document.remove("items").unwrap_or_default();
        for (index, item) in items.as_array().cloned().unwrap_or_default().into_iter().enumerate() {
            add(item, &format!("{place}, item {}", index + 1), read);
        }
        return;
    }
    let identity = Identity::of(&document);
    match identity.manifest(document) {
        Ok(None) => {}
        Ok(Some(manifest)) => read.push(Ok(manifest)),
        Err(message) => read.push(Err(Unreadable {
            id: identity.id(),
            subject: if identity.name.is_empty() { place.to_owned() } else { identity.to_string() },
            message,
        })),
    }
}

fn text(object: &Map<String, Value>, field: &str) -> String {
    object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What a document says that it is.
struct Identity {
    api: String,
    kind: String,
    namespace: String,
    name: String,
}

impl Identity {
    fn of(document: &Map<String, Value>) -> Self {
        let metadata = document.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        let namespace = Some(text(&metadata, "namespace")).filter(|namespace| !namespace.is_empty());
        Self {
            api: text(document, "apiVersion"),
            kind: text(document, "kind"),
            namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            name: text(&metadata, "name"),
        }
    }

    fn ours(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == self.kind)
    }

    fn id(&self) -> Option<ObjectId> {
        let kind = self.ours().filter(|_| !self.name.is_empty())?;
        Some(ObjectId::new(kind, &self.namespace, &self.name))
    }

    fn manifest(&self, document: Map<String, Value>) -> Result<Option<Manifest>, String> {
        if self.api.is_empty() || self.kind.is_empty() {
            return Err(
                "apiVersion, kind: not both are set, so this is no Kubernetes manifest. Set them.".into()
            );
        }
        let ours = self.ours();
        let is_secret = self.api == "v1" && self.kind == "Secret";
        let is_grant = self.kind == "ReferenceGrant" && self.api.starts_with("gateway.networking.k8s.io/");
        if ours.is_none() && !is_secret && !is_grant {
            let group = self.api.split('/').next().unwrap_or_default();
            return if group == GROUP { Err(self.unknown_kind()) } else { Ok(None) };
        }
        self.check_name()?;
        if is_secret {
            return self.secret(&document).map(Some);
        }
        if is_grant {
            let grant = serde_json::from_value::<ReferenceGrant>(Value::Object(document));
            return grant
                .map(|grant| Some(Manifest::Grant(Box::new(grant))))
                .map_err(|error| format!("{error}."));
        }
        let supported = format!("{GROUP}/v1alpha1");
        if self.api != supported {
            return Err(format!("apiVersion: {:?} is not supported. Use {supported}.", self.api));
        }
        let Some(kind) = ours else { return Ok(None) };
        resource(kind, document).map(|resource| Some(Manifest::Resource(resource)))
    }

    fn unknown_kind(&self) -> String {
        let known = Kind::ALL.map(Kind::as_str);
        let hint = match words::nearest(&self.kind, known) {
            Some(kind) => format!("Did you mean {kind}?"),
            None => format!("Use {}.", words::or(known)),
        };
        format!("kind: there is no {:?} in {GROUP}. {hint}", self.kind)
    }

    fn check_name(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err(format!("metadata.name: is missing. Give this {} a name.", self.kind));
        }
        for (field, value) in [("name", &self.name), ("namespace", &self.namespace)] {
            let parts = if field == "name" { value.split('.').collect() } else { vec![value.as_str()] };
            if value.len() > 253 || !parts.into_iter().all(crate::compile::is_dns_label) {
                return Err(format!(
                    "metadata.{field}: {value:?} is not a {field}. Use lower-case letters, digits and '-', beginning and \
                     ending with a letter or digit."
                ));
            }
        }
        Ok(())
    }

    fn secret(&self, document: &Map<String, Value>) -> Result<Manifest, String> {
        let mut data = BTreeMap::new();
        for field in ["data", "stringData"] {
            let values = match document.get(field) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(values)) => values,
                Some(_) => {
                    return Err(format!("{field}: is not a map. Write each key on a line of its own."));
                }
            };
            for (key, value) in values {
                let Value::String(text) = value else {
                    return Err(format!(
                        "{field}.{key}: is {}, not text. Put it in quotes.",
                        words::type_of(value)
                    ));
                };
                let bytes = if field == "stringData" {
                    text.clone().into_bytes()
                } else {
                    let decoded = serde_json::from_value::<ByteString>(value.clone());
                    decoded
                        .map_err(|_| {
                            format!(
                                "data.{key}: is not base64. Encode it, or write it as it is under \
                                 stringData."
                            )
                        })?
                        .0
                };
                data.insert(key.clone(), bytes);
            }
        }
        Ok(Manifest::Secret { namespace: self.namespace.clone(), name: self.name.clone(), data })
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

fn resource(kind: Kind, mut document: Map<String, Value>) -> Result<Resource, String> {
    // Status is what a cluster said of it; manifests copied from one may still carry it.
    document.remove("status");
    let document = schema::without_nulls(Value::Object(document));
    let problems = schema::problems(kind, &document);
    if !problems.is_empty() {
        return Err(problems.join(" "));
    }
    typed_resource(kind, document)
}

/// The resource that `document` holds, whatever its schema would say of it.
pub(super) fn typed_resource(kind: Kind, document: Value) -> Result<Resource, String> {
    Ok(match kind {
        Kind::Gateway => Resource::Gateway(Arc::new(typed(document)?)),
        Kind::Backend => Resource::Backend(Arc::new(typed(document)?)),
        Kind::Consumer => Resource::Consumer(Arc::new(typed(document)?)),
        Kind::Route => Resource::Route(Arc::new(typed(document)?)),
    })
}

/// What the schema lets through fits the type, but for the metadata, which has no schema of ours.
fn typed<T: DeserializeOwned>(document: Value) -> Result<T, String> {
    let place = Place::root("metadata");
    serde_json::from_value(document).map_err(|_| {
        format!(
            "{place}: a field has the wrong type. Labels and annotations map text to \
             text."
        )
    })
}
