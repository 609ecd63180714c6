//! What keeps the calls of a conversation at one backend: a key made of what stays the same in all of them.
//!
//! Each call of a chat repeats everything said before, and the account that served it last has that prefix in its context
//! cache, at a tenth of the price. So a key is made of the consumer, the system message and the first user message. Only
//! their text counts: around it clients move things from call to call (Anthropic's `cache_control`). The body is read up
//! to the end of the first user message and no further.

mod reader;

use crate::pipeline::endpoint::Endpoint;
use crate::snapshot::Route;
use deepseek_crds::v1alpha1::{Affinity, Strategy};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The key by which calls of `consumer` with this body stay together; `None` where they need not.
///
/// The same in every pod of one version of the gateway. In a rollout two versions may differ, and then caches are missed.
#[must_use]
pub fn key(route: &Route, endpoint: Endpoint, consumer: &str, body: &[u8]) -> Option<u64> {
    if route.backends.len() < 2 {
        return None;
    }
    let balancing = &route.policy.balancing;
    let mut hasher = DefaultHasher::new();
    consumer.hash(&mut hasher);
    match (balancing.affinity, balancing.strategy) {
        (Affinity::Conversation, _) => reader::beginning(endpoint, body, &mut hasher),
        (Affinity::Consumer, _) | (Affinity::None, Strategy::ConsistentHash) => {}
        (Affinity::None, _) => return None,
    }
    Some(hasher.finish())
}
