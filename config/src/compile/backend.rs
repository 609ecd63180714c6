//! `DeepSeekBackend`: one document on every gateway with a route that refers to it.

use super::account::{self, Account};
use super::cx::Cx;
use super::secret::secret_key;
use crate::document::{Body, ObjectId};
use crate::world::{SecretKey, World};
use deepseek_crds::v1alpha1::DeepSeekBackendSpec;
use std::collections::BTreeSet;

const MAX_KEYS: usize = 32;

/// Keys of Secrets it uses.
pub(crate) fn secrets(id: &ObjectId, spec: &DeepSeekBackendSpec) -> BTreeSet<SecretKey> {
    let keys = spec.api_keys.iter().map(|source| &source.secret_ref);
    let ca = spec.tls.as_ref().map(|tls| &tls.ca_secret_ref);
    keys.chain(ca).map(|reference| secret_key(id, reference)).collect()
}

/// Whether it is valid by itself.
pub(crate) fn usable(world: &World, id: &ObjectId, spec: &DeepSeekBackendSpec) -> bool {
    let mut cx = Cx::new(world, id);
    compile(&mut cx, spec);
    cx.ok()
}

pub(crate) fn compile(cx: &mut Cx<'_>, spec: &DeepSeekBackendSpec) -> Option<Body> {
    let keys = spec.api_keys.iter().enumerate();
    let account = Account {
        base_url: &spec.base_url,
        flavor: spec.flavor,
        api_keys: keys.map(|(i, source)| (format!("spec.apiKeys[{i}].secretRef"), source)).collect(),
        tls: spec.tls.as_ref(),
        zone: spec.zone.as_ref(),
        concurrency: spec.concurrency.as_ref(),
        balance: spec.balance.as_ref(),
        user_id: spec.user_id,
    };
    if spec.api_keys.len() > MAX_KEYS {
        cx.invalid(
            "spec.apiKeys",
            format_args!("{} keys are too many. Use at most {MAX_KEYS}.", spec.api_keys.len()),
        );
    }
    account::compile(cx, "spec", &account).map(Body::Backend)
}
