//! `DeepSeekConsumer`: labels, and hashes of the API keys.

use super::cx::Cx;
use super::secret::{Use, secret_key, usable_value};
use crate::document::{Body, Consumer, ObjectId};
use crate::keys::ApiKeyHash;
use crate::world::{Claim, SecretKey, World};
use deepseek_crds::conditions::Reason;
use deepseek_crds::v1alpha1::{DeepSeekConsumer, DeepSeekConsumerSpec};
use std::collections::BTreeSet;

const MAX_KEYS: usize = 16;

/// Keys of Secrets it uses.
pub(crate) fn secrets(id: &ObjectId, spec: &DeepSeekConsumerSpec) -> BTreeSet<SecretKey> {
    spec.api_keys.iter().map(|source| secret_key(id, &source.secret_ref)).collect()
}

/// Hashes of those of its keys that can be used.
pub(crate) fn hashes(
    world: &World,
    id: &ObjectId,
    spec: &DeepSeekConsumerSpec,
) -> impl Iterator<Item = ApiKeyHash> {
    let values = spec.api_keys.iter();
    values.filter_map(|key| usable_value(world, id, &key.secret_ref, Use::ConsumerKey)).map(ApiKeyHash::of)
}

pub(super) fn compile(cx: &mut Cx<'_>, object: &DeepSeekConsumer) -> (Vec<ObjectId>, Option<Body>) {
    let spec = &object.spec;
    let gateway = cx.gateway(spec.gateway_ref.as_ref());
    if !(1..=MAX_KEYS).contains(&spec.api_keys.len()) {
        cx.invalid("spec.apiKeys", format_args!("holds {} keys. Use 1 to {MAX_KEYS}.", spec.api_keys.len()));
    }
    let mut api_keys = Vec::with_capacity(spec.api_keys.len());
    for (i, source) in spec.api_keys.iter().enumerate() {
        let path = format!("spec.apiKeys[{i}].secretRef");
        let Some(value) = cx.value(&path, &source.secret_ref, Use::ConsumerKey) else { continue };
        let hash = ApiKeyHash::of(value);
        if let Some(gateway) = &gateway
            && let Some(holder) = cx.world.holder(gateway, Claim::Key(hash))
            && holder != cx.id
        {
            // The holder may be another team's: its name would tell whose key was guessed.
            cx.refuse(
                Reason::Conflicted,
                &path,
                "an older DeepSeekConsumer of the same gateway has the same key. Issue a key of its own \
                 to each consumer.",
            );
        }
        if !api_keys.contains(&hash) {
            api_keys.push(hash);
        }
    }
    let labels = object.metadata.labels.clone().unwrap_or_default();
    (gateway.into_iter().collect(), Some(Body::Consumer(Consumer { labels, api_keys })))
}
