//! Values of Secrets: looked up, checked, and projected under a [`KeyId`].

use super::cx::Cx;
use crate::document::ObjectId;
use crate::keys::KeyId;
use crate::world::{Absent, SecretKey, World};
use deepseek_crds::conditions::Reason;
use deepseek_crds::v1alpha1::SecretKeyRef;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt::Display;

/// Shortest API key of a consumer: a shorter one could be guessed.
const MIN_CONSUMER_KEY: usize = 16;

/// The Secret key that `reference` in `id` names.
pub(super) fn secret_key(id: &ObjectId, reference: &SecretKeyRef) -> SecretKey {
    SecretKey { secret: (id.namespace.clone(), reference.name.clone()), key: reference.key.clone() }
}

/// What a value is for.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    ProviderKey,
    ConsumerKey,
    Certificates,
    PrivateKey,
}

impl<'a> Cx<'a> {
    /// Looks up and checks a value, and projects it into the gateway's Secret.
    pub fn project(&mut self, path: impl Display, reference: &SecretKeyRef, use_: Use) -> Option<KeyId> {
        let value = self.value(path, reference, use_)?;
        let id = KeyId::new(&self.id.namespace, &reference.name, &reference.key);
        self.keys.insert(id.clone(), value.to_owned());
        Some(id)
    }

    /// Looks up and checks a value.
    pub fn value(&mut self, path: impl Display, reference: &SecretKeyRef, use_: Use) -> Option<&'a [u8]> {
        let (namespace, SecretKeyRef { name, key }) = (&self.id.namespace, reference);
        let found = self.world.secret(namespace, name, key);
        let problem = match found {
            Ok(value) => match checked(value, use_) {
                Ok(value) => return Some(value),
                Err(problem) => {
                    (Reason::InvalidSecret, format!("key {key:?} of Secret {namespace}/{name} {problem}"))
                }
            },
            Err(Absent::Secret) => (
                Reason::SecretNotFound,
                format!("Secret {namespace}/{name} does not exist. Create it, or correct the name."),
            ),
            Err(Absent::Key) => (
                Reason::SecretNotFound,
                format!(
                    "Secret {namespace}/{name} has no key {:?}. Add it, or correct the name of the key.",
                    shown(key)
                ),
            ),
        };
        self.unresolved(problem.0, path, problem.1);
        None
    }
}

/// The value that `reference` in `id` names, where it can be used as `use_`.
pub(super) fn usable_value<'a>(
    world: &'a World,
    id: &ObjectId,
    reference: &SecretKeyRef,
    use_: Use,
) -> Option<&'a [u8]> {
    let value = world.secret(&id.namespace, &reference.name, &reference.key).ok()?;
    checked(value, use_).ok()
}

fn checked(value: &[u8], use_: Use) -> Result<&[u8], &'static str> {
    match use_ {
        Use::ProviderKey => header_value(value),
        Use::ConsumerKey => match header_value(value)? {
            key if key.len() < MIN_CONSUMER_KEY => {
                Err("is shorter than 16 characters. Use a longer, random one.")
            }
            key => Ok(key),
        },
        Use::Certificates => {
            let mut count = 0;
            for certificate in CertificateDer::pem_slice_iter(value) {
                certificate.map_err(|_| "is not well-formed PEM. Put certificates in PEM form there.")?;
                count += 1;
            }
            if count == 0 {
                Err("holds no certificate. Put certificates in PEM form there.")
            } else {
                Ok(value)
            }
        }
        Use::PrivateKey => PrivateKeyDer::from_pem_slice(value)
            .map(|_| value)
            .map_err(|_| "holds no private key. Put an unencrypted private key in PEM form there."),
    }
}

/// The name of a key, unless it looks as if the key itself was put where its name belongs.
fn shown(key: &str) -> String {
    if key.starts_with("sk-") || key.len() > 40 {
        format!("{}…", key.get(..3).unwrap_or_default())
    } else {
        key.to_owned()
    }
}

/// What can stand in an HTTP header. `kubectl create secret --from-file` and `echo` leave a line break at the end: one
/// is taken off.
fn header_value(value: &[u8]) -> Result<&[u8], &'static str> {
    let value = value.strip_suffix(b"\n").map_or(value, |value| value.strip_suffix(b"\r").unwrap_or(value));
    if value.is_empty() {
        return Err("is empty. Put the key there.");
    }
    if std::str::from_utf8(value).is_err() {
        return Err("is not text (UTF-8). Put the key there as it was issued, without further encoding.");
    }
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err("holds a line break. Put the key there on one line.");
    }
    if !value.iter().all(u8::is_ascii_graphic) {
        return Err(
            "holds a space or another character that no API key has. Put the key there as it was issued.",
        );
    }
    Ok(value)
}
