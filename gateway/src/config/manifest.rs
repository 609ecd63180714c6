//! Manifests as users write them, read one document at a time: what is wrong with one does not touch the others.
//!
//! Stricter than the API server where it would only warn: a field that does not exist is an error, as a typing mistake
//! would otherwise go unnoticed. Messages never quote the value of a field that may hold a key.

use deepseek_config::document::{Kind, ObjectId};
use deepseek_config::world::Resource;
use deepseek_crds::GROUP;
use deepseek_crds::reference_grant::ReferenceGrant;
use k8s_openapi::api::core::v1::Secret;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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
    /// What is wrong: field, fault, fix.
    pub message: String,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject())
    }
}

impl Manifest {
    /// Kind, namespace and name.
    pub fn subject(&self) -> String {
        let place = |kind, namespace: Option<&str>, name: Option<&str>| {
            format!("{kind}/{}/{}", namespace.unwrap_or(DEFAULT), name.unwrap_or_default())
        };
        match self {
            Self::Resource(resource) => resource.id().to_string(),
            Self::Secret { namespace, name, .. } => place("Secret", Some(namespace), Some(name)),
            Self::Grant(grant) => {
                place("ReferenceGrant", grant.metadata.namespace.as_deref(), grant.metadata.name.as_deref())
            }
        }
    }
}

const DEFAULT: &str = "default";

/// Reads all documents of a file: YAML (of which JSON is a part), or `Err` where it is not even that.
pub fn read(text: &str) -> Result<Vec<Result<Manifest, Unreadable>>, String> {
    // A snippet of the source in the message would show the values of Secrets.
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())?;
    let mut read = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        add(document, &format!("document {}", index + 1), &mut read);
    }
    Ok(read)
}

fn add(document: Value, place: &str, read: &mut Vec<Result<Manifest, Unreadable>>) {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let namespace = Some(text("/metadata/namespace")).filter(|n| !n.is_empty()).unwrap_or(DEFAULT);
    let unreadable = |id: Option<ObjectId>, message: String| {
        let subject = if name.is_empty() { place.to_owned() } else { format!("{kind}/{namespace}/{name}") };
        Err(Unreadable { id, subject, message })
    };
    if document.is_null() {
        return;
    }
    if api.is_empty() || kind.is_empty() {
        read.push(unreadable(None, "apiVersion, kind: missing; this is no Kubernetes manifest".to_owned()));
        return;
    }
    if kind == "List" && api == "v1" {
        let Value::Object(mut list) = document else { return };
        let Some(Value::Array(items)) = list.remove("items") else { return };
        for (index, item) in items.into_iter().enumerate() {
            add(item, &format!("{place}, item {}", index + 1), read);
        }
        return;
    }
    let ours = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    let supported = format!("{GROUP}/v1alpha1");
    let is_secret = (api, kind) == ("v1", "Secret");
    let is_grant = kind == "ReferenceGrant" && api.starts_with("gateway.networking.k8s.io/");
    if ours.is_none() && !is_secret && !is_grant {
        if api.starts_with(GROUP) {
            let known = Kind::ALL.map(Kind::as_str).join(", ");
            read.push(unreadable(None, format!("kind: {kind} does not exist; there are {known}")));
        }
        return; // Deployments and the like: they mean nothing here
    }
    let id = ours.map(|kind| ObjectId::new(kind, namespace, name));
    if name.is_empty() {
        read.push(unreadable(None, format!("metadata.name: missing; give this {kind} a name")));
        return;
    }
    if ours.is_some() && api != supported {
        read.push(unreadable(id, format!("apiVersion: {api} is not supported; write {supported}")));
        return;
    }
    let manifest = match ours {
        Some(Kind::Gateway) => {
            typed(&document).map(|object| Manifest::Resource(Resource::Gateway(Arc::new(object))))
        }
        Some(Kind::Backend) => {
            typed(&document).map(|object| Manifest::Resource(Resource::Backend(Arc::new(object))))
        }
        Some(Kind::Consumer) => {
            typed(&document).map(|object| Manifest::Resource(Resource::Consumer(Arc::new(object))))
        }
        Some(Kind::Route) => {
            typed(&document).map(|object| Manifest::Resource(Resource::Route(Arc::new(object))))
        }
        None if is_grant => serde_json::from_value(document.clone())
            .map(|grant| Manifest::Grant(Box::new(grant)))
            .map_err(|e| e.to_string()),
        None => secret(&document, namespace, name),
    };
    read.push(manifest.or_else(|message| unreadable(id, message)));
}

fn secret(document: &Value, namespace: &str, name: &str) -> Result<Manifest, String> {
    let secret: Secret = serde_json::from_value(document.clone()).map_err(|_| {
        "data, stringData: data holds base64 text and stringData plain text, each a map from key to value"
            .to_owned()
    })?;
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    let plain =
        secret.string_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    Ok(Manifest::Secret {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        data: data.chain(plain).collect(),
    })
}

/// Reads a custom resource and makes sure that nothing in it was passed over.
fn typed<T: DeserializeOwned + Serialize>(document: &Value) -> Result<T, String> {
    let object: T = serde_path_to_error::deserialize(document).map_err(|error| {
        let path = error.path().to_string();
        format!("{path}: {}", without_value(&error.into_inner().to_string()))
    })?;
    let kept = serde_json::to_value(&object).map_err(|error| error.to_string())?;
    let mut lost = Vec::new();
    find_lost(document, &kept, "", &mut lost);
    if lost.is_empty() {
        return Ok(object);
    }
    let all: Vec<_> = lost
        .iter()
        .map(|field| format!("{field}: no such field; check its spelling and indentation"))
        .collect();
    Err(all.join("; "))
}

/// serde quotes a string found in the wrong place; there it may be a key.
fn without_value(message: &str) -> String {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}string{}", &message[..start], &message[end + 1..])
        }
        _ => message.to_owned(),
    }
}

fn find_lost(written: &Value, kept: &Value, path: &str, lost: &mut Vec<String>) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            for (key, value) in written {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match kept.get(key) {
                    Some(kept) => find_lost(value, kept, &path, lost),
                    None if is_empty(value) => {}
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(kept)) => {
            for (index, (written, kept)) in written.iter().zip(kept).enumerate() {
                find_lost(written, kept, &format!("{path}[{index}]"), lost);
            }
        }
        _ => {}
    }
}

/// An empty value is left out when written back, whether its field exists or not.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Manifest, Unreadable> {
        let mut all = read(text).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    const ROUTE: &str = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: chat, namespace: team-a}
spec:
  model: deepseek-v4-pro
  backends:
  - {name: official, baseUrl: http://127.0.0.1:1, apiKey: {secretRef: {name: deepseek, key: api-key}}}
";

    #[test]
    fn documents_of_a_file_are_read_one_by_one() {
        let text = format!("# nothing\n---\n{ROUTE}\n---\nkind: DeepSeekRoute\n---\n{ROUTE}");
        let read = read(&text).unwrap();
        let subjects: Vec<_> = read
            .iter()
            .map(|one| one.as_ref().map_or_else(|wrong| wrong.subject.clone(), Manifest::subject))
            .collect();
        assert_eq!(subjects, ["DeepSeekRoute/team-a/chat", "document 2", "DeepSeekRoute/team-a/chat"]);
    }

    #[test]
    fn json_and_lists_are_read_and_foreign_kinds_passed_over() {
        let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "deepseek"},
             "data": {"a": "c2stMQ=="}, "stringData": {"b": "sk-2"}}]}"#;
        let Ok(Manifest::Secret { namespace, name, data }) = one(text) else { panic!("a Secret") };
        assert_eq!((namespace.as_str(), name.as_str()), ("default", "deepseek"));
        assert_eq!((data["a"].as_slice(), data["b"].as_slice()), (&b"sk-1"[..], &b"sk-2"[..]));
    }

    #[test]
    fn an_unknown_field_is_named() {
        let wrong =
            one(&ROUTE.replace("model:", "aliases: []\n  failvoer: {attempts: 2}\n  model:")).unwrap_err();
        assert_eq!(wrong.message, "spec.failvoer: no such field; check its spelling and indentation");
        assert_eq!(wrong.id, Some(ObjectId::new(Kind::Route, "team-a", "chat")));
    }

    #[test]
    fn a_key_in_the_wrong_place_is_not_repeated() {
        let text = ROUTE.replace("{secretRef: {name: deepseek, key: api-key}}", "sk-very-secret");
        let wrong = one(&text).unwrap_err();
        assert!(wrong.message.starts_with("spec.backends[0].apiKey: "), "{}", wrong.message);
        assert!(!wrong.message.contains("very-secret"), "{}", wrong.message);
        let secret = "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {k: sk-very-secret!}}";
        assert!(!one(secret).unwrap_err().message.contains("very-secret"));
    }

    #[test]
    fn what_is_no_yaml_is_refused_without_showing_the_source() {
        let wrong = read("a: [sk-very-secret\nb: }").unwrap_err();
        assert!(!wrong.contains("very-secret"), "{wrong}");
    }

    #[test]
    fn wrong_kinds_versions_and_names_say_what_to_write() {
        let kind = one(&ROUTE.replace("kind: DeepSeekRoute", "kind: DeepseekRoute")).unwrap_err();
        assert!(kind.message.contains("DeepSeekRoute"), "{}", kind.message);
        let version = one(&ROUTE.replace("v1alpha1", "v1")).unwrap_err();
        assert!(version.message.contains("write deepseekroute.io/v1alpha1"), "{}", version.message);
        let name = one(&ROUTE.replace("name: chat, ", "")).unwrap_err();
        assert!(name.message.contains("metadata.name"), "{}", name.message);
    }
}
