//! One resource in, its verdict and its documents out.
//!
//! Each kind has a file; [`Cx`] is what they share: it reads the [`World`], collects problems and the secret values the
//! documents need. A problem names the field, what is wrong with it and what to do; all problems of a resource are told
//! at once. A resource with a problem has no outputs: nothing is half-programmed, and the last good version stays.

mod account;
mod answers;
pub(crate) mod backend;
mod balance;
mod concurrency;
pub(crate) mod consumer;
mod cx;
mod duration;
mod failover;
pub(crate) mod fallback;
pub(crate) mod gateway;
mod labels;
mod limits;
mod listener;
mod quota;
pub(crate) mod route;
mod secret;
mod timeouts;
mod url;

use crate::document::{Document, ObjectId};
use crate::keys::KeyId;
use crate::world::{Resource, World};
use cx::Cx;
use deepseek_crds::conditions::Reason;
use std::collections::BTreeMap;
use std::fmt;

pub(crate) use labels::is_dns_label;
pub(crate) use route::names;

/// What compiling one resource gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Compilation {
    /// Whether it can be served, and what is wrong if not.
    pub verdict: Verdict,
    /// What goes to which gateway. Empty when the verdict is bad; also for a backend that no route refers to.
    pub outputs: Vec<Output>,
}

/// A document for one gateway.
#[derive(Clone, PartialEq)]
pub struct Output {
    /// The gateway.
    pub gateway: ObjectId,
    /// What it loads.
    pub document: Document,
    /// The secret values that the document names.
    pub keys: BTreeMap<KeyId, Vec<u8>>,
}

/// What is said of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Condition `Accepted`.
    pub accepted: Finding,
    /// Condition `ResolvedRefs`.
    pub resolved_refs: Finding,
}

/// One condition's worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its status.
    pub ok: bool,
    /// Its reason.
    pub reason: Reason,
    /// Its message: each problem with field, value and fix. Holds no secret.
    pub message: String,
}

impl Verdict {
    /// Whether both findings are good: then, and only then, are there outputs.
    pub fn ok(&self) -> bool {
        self.accepted.ok && self.resolved_refs.ok
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: BTreeMap<_, _> =
            self.keys.iter().map(|(id, value)| (id.as_str(), format!("<{} bytes>", value.len()))).collect();
        f.debug_struct("Output")
            .field("gateway", &self.gateway)
            .field("document", &self.document)
            .field("keys", &keys)
            .finish()
    }
}

/// Compiles `resource`, which is `id` in `world`.
pub(crate) fn compile(world: &World, id: &ObjectId, resource: &Resource) -> Compilation {
    let mut cx = Cx::new(world, id);
    let (gateways, body) = match resource {
        Resource::Gateway(object) => (vec![id.clone()], Some(gateway::compile(&mut cx, object))),
        Resource::Backend(object) => {
            (world.gateways_of(id).cloned().collect(), backend::compile(&mut cx, &object.spec))
        }
        Resource::Consumer(object) => consumer::compile(&mut cx, object),
        Resource::Route(object) => route::compile(&mut cx, object),
    };
    cx.finish(resource.meta(), gateways, body)
}
