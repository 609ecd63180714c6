//! Resolve: everything that is known and matters for one resource.

use crate::cluster::Cluster;
use crate::cluster::documents::Stored;
use crate::cluster::resources::Known;
use crate::context::Context;
use crate::queue::Work;
use deepseek_config::compile::Compilation;
use deepseek_config::document::{Kind, ObjectId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A change of these is told in numbers only: many changes may go into one write.
const COUNTS_SETTLE: Duration = Duration::from_secs(1);

/// What is known of one resource.
pub struct Facts {
    /// The resource.
    pub id: ObjectId,
    /// Its identity and status; `None` when it is gone.
    pub known: Option<Known>,
    /// What it compiles to; `None` when it is gone or cannot be read.
    pub compilation: Option<Compilation>,
    /// Documents made from it, as they are stored.
    pub stored: Vec<Stored>,
    /// Uids of the gateways it has or should have documents on, as far as these exist.
    pub gateways: BTreeMap<ObjectId, String>,
    /// Backends that stored documents refer to and that are not permitted any more.
    pub revoked: BTreeSet<ObjectId>,
    /// Whether a Secret that somebody refers to was not read yet: what is missing may be there.
    pub unread: bool,
}

/// Gathers what is known of `id`.
pub fn resolve(cx: &Context, id: &ObjectId) -> Facts {
    let mut cluster = cx.cluster.lock();
    let compilation = compile(&mut cluster, id);
    note_desired(cx, &mut cluster, id, compilation.as_ref());
    let stored: Vec<Stored> = cluster.documents.of_owner(id).cloned().collect();
    let outputs = compilation.iter().flat_map(|c| &c.outputs).map(|output| &output.gateway);
    let gateways = stored.iter().map(|stored| &stored.gateway).chain(outputs);
    let gateways = gateways
        .filter_map(|gateway| Some((gateway.clone(), cluster.resources.get(gateway)?.uid.clone())))
        .collect();
    let backends = stored.iter().flat_map(|stored| &stored.backends);
    let revoked = backends.filter(|backend| !cluster.world.permits(id, backend)).cloned().collect();
    Facts {
        id: id.clone(),
        known: cluster.resources.get(id).cloned(),
        compilation,
        stored,
        gateways,
        revoked,
        unread: !cluster.stale_secrets.is_empty() || !cluster.world.unread_secrets().is_empty(),
    }
}

/// What `id` compiles to. Of an account that includes whether it is out of balance, by the word of the pod that asks.
fn compile(cluster: &mut Cluster, id: &ObjectId) -> Option<Compilation> {
    let compilation = cluster.world.compile(id)?;
    if id.kind != Kind::Backend || compilation.outputs.is_empty() {
        return Some(compilation);
    }
    let account = cluster.pods.account(compilation.outputs.iter().map(|output| &output.gateway), id);
    // While another pod takes over, or after a start, nobody has been told yet: what stands in its documents holds.
    let unknown = account.balance.is_none();
    let denied = account.denied || (unknown && was_denied(cluster, id));
    if cluster.world.set_parked(id, denied).is_empty() {
        Some(compilation)
    } else {
        cluster.world.compile(id)
    }
}

fn was_denied(cluster: &Cluster, id: &ObjectId) -> bool {
    let uid = cluster.resources.get(id).map(|known| &known.uid);
    cluster.documents.of_owner(id).any(|stored| stored.parked && Some(&stored.uid) == uid)
}

/// Notes what `id` compiles to now, and puts into the queue whom that concerns.
pub fn note_desired(cx: &Context, cluster: &mut Cluster, id: &ObjectId, compilation: Option<&Compilation>) {
    let concerned = cluster.desired.set(id, compilation);
    concerned.keys.into_iter().for_each(|gateway| cx.queue.add(Work::Keys(gateway)));
    for counted in concerned.counts {
        cx.queue.add_after(Work::Resource(counted), COUNTS_SETTLE);
    }
    if id.kind == Kind::Gateway && !cluster.projected.contains_key(id) && compilation.is_some() {
        cx.queue.add(Work::Keys(id.clone()));
    }
}
