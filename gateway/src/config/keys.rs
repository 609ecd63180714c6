//! Secret values the documents refer to by [`KeyId`]: never printed, wiped from memory when the last holder lets go.

use deepseek_config::keys::KeyId;
use secrecy::{ExposeSecret as _, SecretSlice};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One secret value. `Debug` shows nothing of it; cloning shares it.
#[derive(Clone, Debug)]
pub struct Secret(Arc<SecretSlice<u8>>);

impl Secret {
    /// The value itself. Not for logs, errors or documents.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl From<Vec<u8>> for Secret {
    fn from(value: Vec<u8>) -> Self {
        Self(Arc::new(value.into()))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.expose() == other.expose()
    }
}

impl Eq for Secret {}

/// Every secret value by its id.
pub type Keys = BTreeMap<KeyId, Secret>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_the_value() {
        let secret = Secret::from(b"sk-very-secret".to_vec());
        let keys = Keys::from([(KeyId::new("team-a", "deepseek", "api-key"), secret.clone())]);
        let shown = format!("{secret:?} {keys:?}");
        assert!(!shown.contains("very-secret"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", b"sk-very-secret")), "{shown}");
        assert_eq!(secret.expose(), b"sk-very-secret");
    }
}
