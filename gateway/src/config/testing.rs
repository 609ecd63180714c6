//! The shortest documents that tests need.

use super::store::Loaded;
use deepseek_config::document::{Backend, Body, Document, FORMAT, Kind, ObjectId};
use deepseek_config::keys::KeyId;
use deepseek_crds::v1alpha1::Flavor;
use std::sync::Arc;

/// Names `DeepSeekBackend/team-a/<name>`.
pub fn id(name: &str) -> ObjectId {
    ObjectId::new(Kind::Backend, "team-a", name)
}

/// The key that [`backend`] refers to.
pub fn key_id() -> KeyId {
    KeyId::new("team-a", "deepseek", "api-key")
}

/// A backend document of some generation, with one key.
pub fn backend(name: &str, generation: i64) -> Loaded {
    let body = Body::Backend(Backend {
        zone: None,
        concurrency: deepseek_config::document::Concurrency::default(),
        balance: None,
        user_id: deepseek_crds::v1alpha1::UserId::default(),
        parked: false,
        base_url: "http://127.0.0.1:1".to_owned(),
        flavor: Flavor::DeepSeek,
        api_keys: vec![key_id()],
        ca: None,
    });
    let document = Document { format: FORMAT, id: id(name), uid: String::new(), generation, body };
    let sha256 = document.encode().unwrap().sha256.into();
    Loaded { document: Arc::new(document), sha256 }
}
