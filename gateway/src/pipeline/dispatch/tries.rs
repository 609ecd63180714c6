//! One attempt: how it begins, how long it may take, and what its end tells the breaker, the account and the client.

use super::answered::retold;
use super::asked::Asked;
use super::{After, Asking, Held, Run, Served};
use crate::flavor::answer;
use crate::pipeline::mend::Broken;
use crate::pipeline::resume::stitch::Stitch;
use crate::pipeline::settle::Settlement;
use crate::pipeline::shed::Reason;
use crate::snapshot::{Route, RouteBackend, Shared};
use crate::upstream::account::keys::Key;
use crate::upstream::account::{AccountFailure, Slot};
use crate::upstream::attempt::{Answer, Limits, attempt};
use crate::upstream::balance::{Choice, Set, Standing};
use crate::upstream::breaker::Permit;
use crate::upstream::failure::Failure;
use crate::upstream::judge::{self, Cause, Next};
use deepseek_crds::v1alpha1::RetryOn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The largest answer in one piece that is read to its end before any of it goes to the client.
const MAX_WHOLE: usize = 1 << 20;
/// The same where it may have to be told in other words, which takes all of it.
const MAX_WHOLE_RETOLD: usize = 16 << 20;

/// Keys of a call that may be refused without counting as attempts.
const SPARED_KEYS: u32 = 4;

/// One backend being asked.
pub(super) struct Try {
    at: usize,
    backend: Arc<RouteBackend>,
    permit: Permit,
    held: Held,
    key: Option<Arc<Key>>,
    stitch: Option<Stitch>,
    /// Whether it has less time than the route would give it: its being late tells nothing of the backend.
    hurried: bool,
    counted: Counted,
}

/// Counts an attempt exactly once: by its outcome, or as cancelled where it is dropped before it has one.
struct Counted {
    shared: Arc<Shared>,
    route: Arc<Route>,
    backend: Arc<str>,
    outcome: &'static str,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.metrics.attempted(&self.route.state.metrics, &self.backend, self.outcome);
    }
}

impl Run<'_> {
    /// Begins to ask a backend.
    pub(super) fn start(&mut self, choice: Choice, slot: Slot, asked: Asked) -> Option<Asking> {
        let backend = Arc::clone(&self.route.backends[choice.at]);
        let Asked { endpoint, body, stitch } = asked;
        let to = backend.request(endpoint)?;
        let (limits, hurried) = self.limits(choice.at);
        let headers = self.errand.headers.clone();
        let room = self.errand.settlement.held.another();
        self.errand.settlement.attempts += 1;
        let counted = Counted {
            shared: Arc::clone(&self.errand.settlement.shared),
            route: Arc::clone(&self.route),
            backend: Arc::clone(&backend.name),
            outcome: "Cancelled",
        };
        let Choice { at, permit, calling, .. } = choice;
        let key = to.key.as_ref().map(|(_, key)| Arc::clone(key));
        let held = Held { calling, slot };
        let attempt_made = Try { at, backend, permit, held, key, stitch, hurried, counted };
        Some(Box::pin(async move {
            let outcome = attempt(&attempt_made.backend, to, headers, body, limits, room).await;
            (attempt_made, outcome)
        }))
    }

    /// How long the backend at `at` may take, and whether that is less than what the route says.
    ///
    /// While another backend can be asked, one attempt gets at most half of the time that remains, so that a caller with
    /// little time is failed over as well. The last one may take longer, and as long as the call has for an answer in one
    /// piece: late is better than not at all.
    fn limits(&self, at: usize) -> (Limits, bool) {
        let timeouts = &self.route.policy.timeouts;
        let others = self.another_is_left(at);
        let policy = match (self.errand.call.stream, others) {
            (true, true) => Some(timeouts.first_token_ms),
            (true, false) => Some(timeouts.last_first_token_ms),
            (false, others) => others.then_some(timeouts.answer_ms),
        };
        let policy = policy.map(Duration::from_millis);
        let half = others.then(|| self.errand.deadline.saturating_duration_since(Instant::now()) / 2);
        let begin = policy.into_iter().chain(half).min();
        let byte_idle = Duration::from_millis(timeouts.byte_idle_ms);
        let may_be_silent = self.errand.broken.as_ref().is_some_and(|broken| self.may_be_silent(broken, at));
        let differs = answer::differs(self.route.backends[at].flavor, self.errand.call.endpoint);
        let most_whole = if differs { MAX_WHOLE_RETOLD } else { MAX_WHOLE };
        (Limits { begin, byte_idle, may_be_silent, most_whole }, begin < policy)
    }

    /// Whether the backend at `at` is believed that nothing is left to say. One in trouble says it as well: two have to say
    /// it, where the route has another one that could, whether that takes calls at present or not.
    fn may_be_silent(&self, broken: &Broken, at: usize) -> bool {
        let gone = broken.unable.or(self.errand.settlement.trail.broke).or(Set::of(at));
        let others = self.route.backends.iter().enumerate();
        let mut others = others.filter(|(_, backend)| backend.uris.contains_key(&self.errand.call.endpoint));
        broken.silent || others.all(|(other, _)| gone.contains(other))
    }

    /// Whether another backend than the one at `at` would be asked if that one failed now. One that takes no calls is no
    /// reason to hurry the one that does.
    fn another_is_left(&self, at: usize) -> bool {
        let Settlement { attempts, trail, .. } = &self.errand.settlement;
        if attempts + 1 >= self.route.policy.failover.attempts {
            return false;
        }
        let now = Instant::now().into_std();
        let gone = self.barred().or(trail.tried).or(Set::of(at));
        self.route.backends.iter().enumerate().any(|(other, backend)| {
            !gone.contains(other)
                && backend.uris.contains_key(&self.errand.call.endpoint)
                && backend.breaker.admits_after(now).is_none()
                && self.standing(other) != Standing::Out
        })
    }

    /// What follows the end of an attempt.
    pub(super) fn ended(
        &mut self,
        mut attempt: Try,
        outcome: Result<Answer, Failure>,
    ) -> Result<Served, After> {
        let settlement = &mut self.errand.settlement;
        match outcome {
            // A refusal, or something that is no stream: the client is in the middle of one.
            Ok(answer) if self.errand.broken.is_some() && !answer.stream => {
                attempt.counted.outcome = Cause::Unfit.as_str();
                Err(self.failed(attempt, Cause::Unfit.into()))
            }
            Ok(answer) => {
                attempt.held.slot.answered();
                // A caller's mistake says nothing of the backend's health.
                if answer.head.status.is_success() {
                    attempt.permit.succeeded();
                    attempt.held.calling.answered();
                }
                attempt.counted.outcome = "Answered";
                settlement.backend = Some(Arc::clone(&attempt.backend.name));
                let answer = retold(answer, attempt.backend.flavor, self.errand.call.endpoint);
                Ok(Served { answer, backend: attempt.backend, held: attempt.held, stitch: attempt.stitch })
            }
            Err(failure) => {
                attempt.counted.outcome = failure.cause.as_str();
                Err(self.failed(attempt, failure))
            }
        }
    }

    fn failed(&mut self, attempt: Try, failure: Failure) -> After {
        let Try { at, backend, permit, held, key, hurried, .. } = attempt;
        let settlement = &mut self.errand.settlement;
        let verdict = failure.verdict();
        let silent = failure.cause == Cause::NoContent;
        let may_be_right = self.errand.broken.as_mut().is_some_and(|broken| {
            broken.silent |= silent;
            silent
        });
        let another_key = tell_account(&held.slot, &failure, key.as_deref());
        let spared = |kind| another_key || may_be_right || (hurried && kind == RetryOn::Timeout);
        match verdict.kind {
            Some(kind) if verdict.counts && !spared(kind) => {
                permit.failed(judge::name(kind), kind == RetryOn::Timeout);
            }
            _ => drop(permit),
        }
        if failure.cause == Cause::NoRoom {
            settlement.shared.shed.count(Reason::BufferedBytes);
        }
        let reason = failure.cause.as_str();
        tracing::warn!(route = %self.route.state.metrics.label, backend = %backend.name, attempt = settlement.attempts, reason, detail = %failure.detail, request_id = settlement.request_id.to_str().unwrap_or_default(), "attempt failed");
        let policy = &self.route.policy.failover;
        if another_key {
            // The account is well: it is asked again at once, with its next key. That is the same attempt, but not for ever.
            if settlement.trail.spared < SPARED_KEYS {
                settlement.trail.spared += 1;
                settlement.attempts -= 1;
            }
            self.note(failure, &backend.name);
            return After::Another;
        }
        settlement.trail.tried.insert(at);
        // With no other key left, what was refused would be refused again.
        if matches!(verdict.next, Next::Elsewhere | Next::OtherKey) || may_be_right {
            settlement.trail.barred.insert(at);
        }
        if let Some(after) = failure.retry_after {
            settlement.trail.wait(at, after, Instant::now());
            if after > Duration::from_millis(policy.backoff_max_ms) {
                self.passed.insert(at);
            }
        }
        let retry = verdict.next != Next::Never && verdict.kind.is_none_or(|k| policy.retry_on.contains(&k));
        self.note(failure, &backend.name);
        if retry { After::Another } else { After::Nothing }
    }
}

/// Tells the account what a failure says of it. Returns whether another of its keys may do.
fn tell_account(slot: &Slot, failure: &Failure, key: Option<&Key>) -> bool {
    match (failure.cause, key) {
        (Cause::KeyRefused, Some(key)) => slot.failed(&AccountFailure::KeyRefused(key)),
        (Cause::OutOfBalance, _) => slot.failed(&AccountFailure::OutOfBalance),
        (Cause::RateLimitedAccount | Cause::RateLimitedTenant, _) => {
            let text = String::from_utf8_lossy(failure.text.as_deref().unwrap_or_default());
            slot.failed(&AccountFailure::RateLimited { retry_after: failure.retry_after, text: &text })
        }
        _ => false,
    }
}
