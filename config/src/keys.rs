//! Names of projected secret values, and the hash an API key is known by.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use subtle::ConstantTimeEq as _;

/// Longest data key the API server takes.
const MAX_DATA_KEY: usize = 253;

/// Data key, in a gateway's projected Secret, of one key of one Secret a resource refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Names key `key` of Secret `namespace/secret`. `_` stands in neither of the first two, so this is unambiguous.
    #[must_use]
    pub fn new(namespace: &str, secret: &str, key: &str) -> Self {
        let readable = format!("{namespace}_{secret}_{key}");
        if readable.len() <= MAX_DATA_KEY {
            Self(readable)
        } else {
            Self(format!("long_{}", sha256_hex(readable.as_bytes())))
        }
    }

    /// Takes a data key of a projected Secret as it stands there.
    #[must_use]
    pub fn from_data_key(key: String) -> Self {
        Self(key)
    }

    /// The data key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a consumer's API key: all that the gateway knows of it. API keys are random and long (at least 16
/// characters are demanded), so a plain hash cannot be reversed by guessing.
#[derive(Clone, Copy, Eq, PartialOrd, Ord)]
pub struct ApiKeyHash([u8; 32]);

impl PartialEq for ApiKeyHash {
    /// In constant time: how much of a hash is right is nobody's business.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for ApiKeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl ApiKeyHash {
    /// Hashes `key` as a caller sends it.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The raw digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest as 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyHash({}…)", &self.to_hex()[..8])
    }
}

impl Serialize for ApiKeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for ApiKeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text)
            .ok_or_else(|| serde::de::Error::custom("an API key hash is 64 hexadecimal digits"))
    }
}

/// SHA-256 of `bytes` as 64 hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_of_different_secrets_never_collide() {
        assert_eq!(KeyId::new("team-a", "deepseek", "api-key").as_str(), "team-a_deepseek_api-key");
        assert_ne!(KeyId::new("a", "b", "c_d"), KeyId::new("a", "b.c", "d"));
        let long = KeyId::new("ns", &"s".repeat(253), "k");
        assert!(long.as_str().len() <= MAX_DATA_KEY);
    }

    #[test]
    fn an_api_key_hash_survives_hex_and_shows_only_its_beginning() {
        let hash = ApiKeyHash::of(b"sk-0123456789abcdef");
        assert_eq!(ApiKeyHash::from_hex(&hash.to_hex()), Some(hash));
        assert_eq!(ApiKeyHash::from_hex("zz"), None);
        assert_eq!(format!("{hash:?}").len(), "ApiKeyHash(01234567…)".len());
    }
}
