//! Status: what is true now, written where it differs from what is written.
//!
//! [`facts`] gathers what pods and stored objects say, [`conditions`] and the file of each kind turn that into a status
//! (pure), and [`report`] writes it. A passing state that is about to end anyway (a document was just written, pods load
//! it within milliseconds) is held back for a moment, so that most changes cost one write.

mod account;
mod conditions;
mod facts;
mod kinds;

use crate::cluster::resources::Status;
use crate::cluster::version;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::metrics::Write;
use crate::queue::Work;
use crate::reconcile::{Have, Outcome, Owner, Plan};
use crate::write::{self, StatusPatch, Target};
use deepseek_config::document::{Kind, ObjectId};
use deepseek_crds::v1alpha1::{DeepSeekBackend, DeepSeekConsumer, DeepSeekGateway, DeepSeekRoute};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;

/// How long a passing state is held back.
const HOLD: Duration = Duration::from_secs(1);
/// How often to look whether what is waited for is there.
const WAIT: Duration = Duration::from_secs(5);
/// How often a status is written for figures alone.
const FIGURES: Duration = Duration::from_secs(1);
/// The same for what is paid for every call: the balance and what is learned of an account.
const MONEY: Duration = Duration::from_mins(1);

/// Writes the status of `plan`'s resource where it differs.
pub async fn report(cx: &Context, plan: &Plan, have: &Have) -> Result<Outcome> {
    let Some(owner) = &plan.owner else { return Ok(Outcome::Done) };
    let facts = facts::gather(&cx.cluster.lock(), plan, owner, have);
    if let Some(on) = &have.waits_for {
        cx.queue.wait(Work::Resource(plan.id.clone()), on.clone());
    }
    let under_way = have.wrote || have.waits_for.is_some() || owner.unread;
    let passing = conditions::passing(&facts) || (owner.unread && !owner.verdict.ok());
    if let Some(pause) = hold(cx, &plan.id, passing, under_way) {
        return Ok(Outcome::Later(pause));
    }

    let old = &owner.known.status;
    let new = kinds::status(&plan.id, old, &facts, &now());
    // Who waits is woken; should that be missed, this is the second chance. What is in the way is not ours, so nobody
    // says when it is gone.
    let unsettled = have.waits_for.is_some() || have.blocked.is_some();
    let done = if unsettled { Outcome::Later(WAIT) } else { Outcome::Done };
    if new == *old {
        let label = Write { kind: plan.id.kind.as_str(), result: "unchanged" };
        cx.metrics.status_writes.get_or_create(&label).inc();
        return Ok(done);
    }
    if new.conditions() == old.conditions()
        && let Some(written) = owner.known.figures_written
    {
        let pause = match (old, &new) {
            (Status::Backend(old), Status::Backend(new)) if account::only_money_moved(old, new) => MONEY,
            _ => FIGURES,
        };
        let left = pause.saturating_sub(written.elapsed());
        if !left.is_zero() {
            return Ok(Outcome::Later(left));
        }
    }
    write(cx, &plan.id, owner, new).await?;
    Ok(done)
}

/// For how long to hold back what is passing; `None` once it has lasted.
fn hold(cx: &Context, id: &ObjectId, passing: bool, under_way: bool) -> Option<Duration> {
    let mut cluster = cx.cluster.lock();
    let known = cluster.resources.get_mut(id)?;
    if !passing {
        known.hold = None;
        return None;
    }
    let now = Instant::now();
    if known.hold.is_none() && under_way {
        known.hold = Some(now + HOLD);
    }
    known.hold.filter(|until| *until > now).map(|until| until.duration_since(now))
}

async fn write(cx: &Context, id: &ObjectId, owner: &Owner, new: Status) -> Result<()> {
    let resource = api_resource(id.kind);
    let api: Api<DynamicObject> = Api::namespaced_with(cx.client.clone(), &id.namespace, &resource);
    let target = Target { kind: id.kind.as_str(), namespace: &id.namespace, name: &id.name };
    // With the uid a namesake made in the meantime is left alone.
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": id.name, "namespace": id.namespace, "uid": owner.known.uid},
        "status": new.to_json()?,
    });
    let how = if owner.known.malformed.is_some() { StatusPatch::Merge } else { StatusPatch::Apply };
    let controller = Work::Resource(id.clone()).controller();
    let transitions = conditions::transitions(owner.known.status.conditions(), new.conditions());
    let written = match write::status(cx, &api, &target, controller, how(&patch)).await {
        // So far from its definition that the API server takes not even a status: an Event has to do.
        Err(Error::Write { source: kube::Error::Api(status), .. })
            if status.code == 422 && owner.known.malformed.is_some() =>
        {
            for transition in &transitions {
                cx.events.tell(id, &owner.known.uid, transition);
            }
            return Ok(());
        }
        answer => answer?,
    };
    let Some(written) = written else { return Ok(()) };
    for transition in &transitions {
        info!(
            object.ref = %id,
            condition = transition.type_,
            status = transition.status,
            reason = transition.reason,
            "condition changed"
        );
        cx.events.tell(id, &owner.known.uid, transition);
    }
    let mut cluster = cx.cluster.lock();
    if let Some(known) = cluster.resources.get_mut(id).filter(|known| known.uid == owner.known.uid) {
        // Of another generation the watch is about to tell, with its spec.
        let same = written.metadata.generation == Some(known.generation);
        let written = version(written.metadata.resource_version.as_deref());
        if same && written > known.version {
            known.version = written;
            known.status = new;
        }
        known.figures_written = Some(Instant::now());
    }
    Ok(())
}

/// The API of a kind of custom resource.
pub fn api_resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::Gateway => ApiResource::erase::<DeepSeekGateway>(&()),
        Kind::Backend => ApiResource::erase::<DeepSeekBackend>(&()),
        Kind::Consumer => ApiResource::erase::<DeepSeekConsumer>(&()),
        Kind::Route => ApiResource::erase::<DeepSeekRoute>(&()),
    }
}

/// The time in whole seconds, as conditions carry it.
fn now() -> Time {
    let now = jiff::Timestamp::now();
    Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now))
}
