//! Validate: from what is known to what should be. Pure.
//!
//! A resource that is refused keeps its last good documents, as long as it exists, its gateway exists and takes it, and
//! what they refer to is permitted: those are withdrawn, not mistaken.

use super::build::config_map_name;
use super::resolve::Facts;
use crate::cluster::documents::Stored;
use crate::cluster::resources::Known;
use deepseek_config::compile::{Finding, Output, Verdict};
use deepseek_config::document::ObjectId;
use deepseek_crds::conditions::Reason;
use std::collections::BTreeMap;

/// The resource a plan is for.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Identity and status.
    pub known: Known,
    /// What is said of it.
    pub verdict: Verdict,
    /// Whether a Secret that somebody refers to was not read yet.
    pub unread: bool,
}

/// What should be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The resource.
    pub id: ObjectId,
    /// Identity, status and verdict; `None` when it is gone.
    pub owner: Option<Owner>,
    /// Documents to have.
    pub outputs: Vec<Output>,
    /// Last good documents to leave as they are.
    pub keep: Vec<Stored>,
    /// Documents to remove.
    pub remove: Vec<Stored>,
    /// Uids of gateways.
    pub gateways: BTreeMap<ObjectId, String>,
}

/// Decides what should be.
pub fn validate(facts: Facts) -> Plan {
    let Facts { id, known, compilation, stored, gateways, revoked, unread } = facts;
    let Some(known) = known else {
        return Plan { id, owner: None, outputs: Vec::new(), keep: Vec::new(), remove: stored, gateways };
    };
    let (verdict, outputs) = match compilation {
        Some(compilation) => (compilation.verdict, compilation.outputs),
        None => (unreadable(known.malformed.as_deref()), Vec::new()),
    };
    let barred = verdict.accepted.reason == Reason::NotAllowedByGateway;
    let (mut keep, mut remove) = (Vec::new(), Vec::new());
    for stored in stored {
        let stays = if verdict.ok() {
            outputs.iter().any(|output| {
                stored.name.1 == config_map_name(&output.gateway, &id) && stored.gateway == output.gateway
            })
        } else {
            let same =
                stored.uid == known.uid && gateways.get(&stored.gateway) == stored.gateway_uid.as_ref();
            same && !barred && stored.backends.is_disjoint(&revoked)
        };
        if stays { keep.push(stored) } else { remove.push(stored) }
    }
    if verdict.ok() {
        keep.clear();
    }
    Plan { id, owner: Some(Owner { known, verdict, unread }), outputs, keep, remove, gateways }
}

fn unreadable(why: Option<&str>) -> Verdict {
    let message = match why {
        Some(why) => format!(
            "The stored resource cannot be read: {why}. Apply it anew in the form its definition asks for."
        ),
        None => "The resource was not read yet.".to_owned(),
    };
    Verdict {
        accepted: Finding { ok: false, reason: Reason::Invalid, message },
        resolved_refs: Finding {
            ok: false,
            reason: Reason::NotAccepted,
            message: "The references of a resource that cannot be read are unknown.".to_owned(),
        },
    }
}
