//! The spine: how anything is brought up to date.
//!
//! ```text
//!   resolve   what is known: the resource, what it compiles to, what is stored      (reads memory)
//!   validate  what to write, what to keep as last good, what to remove             (pure)
//!   build     the ConfigMaps                                                       (pure)
//!   apply     write what differs, then remove what does not belong                 (writes)
//!   status    what is true now, and whom to tell                                   (writes)
//! ```
//!
//! All four kinds go this way; a gateway has a workload besides ([`crate::gateway`]). Nothing remembers what happened:
//! every visit starts from what is, so visits may be lost, repeated or cut short.

mod apply;
mod build;
mod keys;
mod resolve;
mod validate;

pub use apply::Have;
pub use build::gateway_owner;
pub use validate::{Owner, Plan};

use crate::context::Context;
use crate::error::Result;
use crate::gateway;
use crate::queue::Work;
use crate::status;
use deepseek_config::document::{Kind, ObjectId};
use std::time::Duration;

/// What a visit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well until something changes.
    Done,
    /// Look again after this time.
    Later(Duration),
}

/// Brings `work` up to date.
pub async fn reconcile(cx: &Context, work: &Work) -> Result<Outcome> {
    match work {
        Work::Keys(gateway) => keys::reconcile(cx, gateway).await,
        Work::Resource(id) => resource(cx, id).await,
    }
}

async fn resource(cx: &Context, id: &ObjectId) -> Result<Outcome> {
    let facts = resolve::resolve(cx, id);
    let plan = validate::validate(facts);
    let want = build::build(&plan)?;
    let mut have = apply::apply(cx, &plan, want).await?;
    if id.kind == Kind::Gateway {
        let blocked = gateway::reconcile(cx, &plan, &have).await?;
        have.blocked = have.blocked.or(blocked);
    }
    status::report(cx, &plan, &have).await
}

pub use resolve::note_desired;
