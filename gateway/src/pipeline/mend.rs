//! Mending: what follows when a stream breaks after content has flowed.
//!
//! With `midStream: Resume` another backend is asked to go on with it, within the attempts and the deadline of the call.
//! What can be continued, and how the joint is kept from the client's sight, is in [`resume`](super::resume).

use super::check::{Call, check};
use super::dispatch::dispatch;
use super::flow::Flow;
use super::resume::continuation::{Next, Resumption};
use super::resume::outcome::Outcome;
use super::resume::stitch::Stitch;
use crate::upstream::balance::Set;
use crate::upstream::judge::{self, Cause};
use bytes::Bytes;
use deepseek_crds::v1alpha1::{Flavor, MidStream};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A broken answer on its way to a backend that goes on with it.
pub struct Broken {
    resumption: Box<Resumption>,
    /// Backends that cannot go on with it.
    pub unable: Set,
    /// Whether a backend has said that nothing is left to say.
    pub silent: bool,
}

impl Broken {
    /// What a server of this kind is asked, and what joins its answer to what was sent; `None` where it cannot go on.
    pub fn request(&self, flavor: Flavor) -> Option<(Call, Stitch)> {
        let continuation = self.resumption.request(flavor)?;
        let call = check(continuation.endpoint, &continuation.body).ok()?;
        Some((call, self.resumption.stitch(&continuation)))
    }
}

/// An answer that is being continued.
pub type Mending = Pin<Box<dyn Future<Output = (Box<Flow>, Cause, Outcome)> + Send>>;

/// What follows a break.
pub enum Mend {
    /// A backend is asked to go on.
    Trying(Mending),
    /// Only this end was missing.
    Ends(Bytes),
    /// It is not continued; where the route wants that, for this reason.
    Not(Box<Flow>, Option<Outcome>),
}

/// Tells the backend's breaker of a break, and what follows it. Nothing more of that backend is wanted.
pub fn mend(mut flow: Box<Flow>, cause: Cause) -> Mend {
    let verdict = cause.verdict();
    // One that cannot go on with another's answer is well all the same.
    if verdict.counts && !flow.went_astray() {
        flow.backend.breaker.broke("StreamInterrupted");
    }
    flow.leave();
    let route = &flow.errand.settlement.route;
    let resumes = route.policy.failover.mid_stream == MidStream::Resume;
    if !(resumes && flow.is_stream() && verdict.next == judge::Next::Resume) {
        note(&flow, &flow.backend.name, cause, None);
        return Mend::Not(flow, None);
    }
    match plan(&flow) {
        Ok(Plan::End(end)) => {
            note(&flow, &flow.backend.name, cause, Some(Outcome::Finished));
            flow.ends();
            Mend::Ends(end)
        }
        Ok(Plan::Ask(broken)) => Mend::Trying(Box::pin(go_on(flow, broken, cause))),
        Err(outcome) => {
            note(&flow, &flow.backend.name, cause, Some(outcome));
            Mend::Not(flow, Some(outcome))
        }
    }
}

enum Plan {
    End(Bytes),
    Ask(Broken),
}

fn plan(flow: &Flow) -> Result<Plan, Outcome> {
    let call = &flow.errand.call;
    let thread = flow.thread()?;
    if call.choices > 1 {
        return Err(Outcome::Choices);
    }
    let resumption = match Resumption::of(call.endpoint, &call.body, &thread.transcript)? {
        Next::End(end) => return Ok(Plan::End(end)),
        Next::Ask(resumption) => resumption,
    };
    let backends = flow.errand.settlement.route.backends.iter().enumerate();
    let cannot = |at: &usize, flavor| thread.astray.contains(*at) || !resumption.is_for(flavor);
    let unable: Set = backends
        .clone()
        .map(|(at, b)| (at, b.flavor))
        .filter(|(at, f)| cannot(at, *f))
        .map(|(at, _)| at)
        .collect();
    let all: Set = backends.map(|(at, _)| at).collect();
    if all.without(unable).is_empty() {
        return Err(Outcome::Unsupported);
    }
    Ok(Plan::Ask(Broken { resumption, unable, silent: false }))
}

/// Asks backends to go on until one does.
async fn go_on(mut flow: Box<Flow>, broken: Broken, cause: Cause) -> (Box<Flow>, Cause, Outcome) {
    let from = Arc::clone(&flow.backend.name);
    flow.errand.broken = Some(broken);
    let outcome = match dispatch(&mut flow.errand).await {
        Ok(served) => {
            flow.go_on(served);
            Outcome::Resumed
        }
        Err(_) => Outcome::Failed,
    };
    flow.errand.broken = None;
    note(&flow, &from, cause, Some(outcome));
    (flow, cause, outcome)
}

/// Counts and logs a break, once it is known what became of the answer.
fn note(flow: &Flow, from: &str, cause: Cause, outcome: Option<Outcome>) {
    let settlement = &flow.errand.settlement;
    let metrics = &settlement.route.state.metrics;
    if let Some(outcome) = outcome {
        settlement.shared.metrics.resumed(metrics, outcome);
    }
    tracing::warn!(
        route = %metrics.label,
        backend = %from,
        reason = cause.as_str(),
        resume = outcome.map_or("", Outcome::as_str),
        by = if outcome == Some(Outcome::Resumed) { &*flow.backend.name } else { "" },
        request_id = settlement.request_id.to_str().unwrap_or_default(),
        "answer broke off"
    );
}
