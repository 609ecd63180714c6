//! Dispatch: attempts until an answer has begun. Another backend is asked at once; the same one after a pause.
//!
//! A round is one attempt, or two that race (`hedgeAfter`). Whatever is left of a round when it ends, or when the client
//! goes away, is dropped, and with it its connection and its places in every count.

use super::asked::{Asked, asked};
use super::check::Call;
use super::error::{Code, GatewayError};
use super::mend::Broken;
use super::resume::stitch::Stitch;
use super::settle::Settlement;
use crate::snapshot::{Route, RouteBackend, Shared};
use crate::upstream::account::keys::Key;
use crate::upstream::account::{self, AccountFailure, Full, Slot};
use crate::upstream::attempt::{Answer, Limits, attempt};
use crate::upstream::balance::{Ask, Calling, Choice, NoChoice, Set, Standing, affinity, choose};
use crate::upstream::breaker::Permit;
use crate::upstream::failure::Failure;
use crate::upstream::judge::{self, Cause, Next};
use deepseek_crds::v1alpha1::RetryOn;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::HeaderMap;
use rand::RngExt as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A call on its way to a backend.
pub struct Errand {
    /// What is asked.
    pub call: Call,
    /// Headers for the backend.
    pub headers: HeaderMap,
    /// When it must be over: one deadline for queueing, attempts and the answer.
    pub deadline: Instant,
    /// What is settled when it ends.
    pub settlement: Settlement,
    /// The broken answer that a backend is to go on with.
    pub broken: Option<Broken>,
}

/// An answer that has begun, and whose it is.
pub struct Served {
    /// The answer.
    pub answer: Answer,
    /// The backend that gives it.
    pub backend: Arc<RouteBackend>,
    /// What it holds there until the answer has ended.
    pub held: Held,
    /// What joins it to the broken answer that it goes on with.
    pub stitch: Option<Stitch>,
}

/// What a call holds at a backend; dropping it gives it back.
pub struct Held {
    /// Counts it as in flight.
    calling: Calling,
    /// Its place at the account.
    slot: Slot,
}

/// One backend being asked.
struct Try {
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

/// An attempt under way, where several race.
type Asking = Pin<Box<dyn Future<Output = (Try, Result<Answer, Failure>)> + Send>>;

/// The attempts of one call.
struct Run<'a> {
    errand: &'a mut Errand,
    route: Arc<Route>,
    /// What keeps calls that belong together at one backend.
    key: Option<u64>,
    tried: Set,
    barred: Set,
    last: Option<(Failure, Arc<str>)>,
}

/// What follows a round without an answer.
enum After {
    Another,
    Nothing,
}

/// Asks backends until one answers. The settlement learns which, and after how many attempts.
pub async fn dispatch(errand: &mut Errand) -> Result<Served, GatewayError> {
    let route = Arc::clone(&errand.settlement.route);
    let deadline = errand.deadline;
    let key =
        affinity::key(&route, errand.call.endpoint, &errand.settlement.consumer.name, &errand.call.body);
    let (tried, barred) = errand.broken.as_ref().map_or_else(Default::default, |b| (b.broke, b.unable));
    let mut run = Run { errand, route, key, tried, barred, last: None };
    match timeout_at(deadline, run.rounds()).await {
        Ok(served) => served,
        Err(_) => Err(time_up()),
    }
}

fn time_up() -> GatewayError {
    GatewayError::new(Code::UpstreamTimeout, "The call's time was up before a backend answered.")
}

impl Run<'_> {
    async fn rounds(&mut self) -> Result<Served, GatewayError> {
        while self.errand.settlement.attempts < self.route.policy.failover.attempts {
            let choice = match self.choose(None) {
                Ok(choice) => choice,
                Err(none) => return Err(self.no_choice(&none)),
            };
            let asked = match self.asked(choice.at) {
                Ok(asked) => asked,
                Err(unfit) => {
                    self.passed_over(choice.at, unfit);
                    continue;
                }
            };
            if choice.again && !self.pause_before(choice.at).await {
                break;
            }
            let slot = match self.enter(choice.at).await {
                Ok(slot) => slot,
                Err(full) => {
                    self.turned_away(choice.at, &full);
                    continue;
                }
            };
            match self.round(choice, slot, asked).await {
                Ok(served) => return Ok(served),
                Err(After::Another) => {}
                Err(After::Nothing) => break,
            }
        }
        Err(self.last_error())
    }

    /// One attempt, or two that race.
    async fn round(&mut self, choice: Choice, slot: Slot, asked: Asked) -> Result<Served, After> {
        let may_hedge = self.errand.call.stream && self.errand.broken.is_none();
        let hedge_after = self.route.policy.failover.hedge_after_ms.filter(|_| may_hedge);
        let at = choice.at;
        let Some(first) = self.start(choice, slot, asked) else { return Err(After::Nothing) };
        let Some(after) = hedge_after else {
            let (attempt, outcome) = first.await;
            return self.ended(attempt, outcome);
        };
        let hedge = tokio::time::sleep(Duration::from_millis(after));
        tokio::pin!(hedge);
        let mut running = FuturesUnordered::from_iter([Box::pin(first) as Asking]);
        let mut hedged = false;
        loop {
            tokio::select! {
                Some((attempt, outcome)) = running.next() => match self.ended(attempt, outcome) {
                    Err(_) if !running.is_empty() => {}
                    ended => return ended,
                },
                () = &mut hedge, if !hedged => {
                    hedged = true;
                    running.extend(self.second(at));
                }
            }
        }
    }

    /// A second backend for a round whose first has no token yet.
    fn second(&mut self, first: usize) -> Option<Asking> {
        if self.errand.settlement.attempts >= self.route.policy.failover.attempts {
            return None;
        }
        let choice = self.choose(Some(first)).ok()?;
        let asked = self.asked(choice.at).ok()?;
        let backend = &self.route.backends[choice.at];
        // A hedge does not wait for a place.
        let slot = backend.account.try_enter(self.model(backend), self.tenant())?;
        self.start(choice, slot, asked).map(|second| Box::pin(second) as Asking)
    }

    /// The backend to ask next; with `beside` the one to ask while that one is at work.
    fn choose(&self, beside: Option<usize>) -> Result<Choice, NoChoice> {
        let Self { route, key, tried, barred, .. } = self;
        choose(&Ask {
            route,
            endpoint: self.errand.call.endpoint,
            key: *key,
            tried: *tried,
            barred: *barred,
            beside,
            standing: &|at| self.standing(at),
        })
    }

    /// How the account behind the backend at `at` stands.
    fn standing(&self, at: usize) -> Standing {
        let backend = &self.route.backends[at];
        match backend.account.standing(self.model(backend), self.tenant()) {
            account::Standing::Ready => Standing::Ready,
            account::Standing::Full => Standing::Full,
            account::Standing::Cooling(_) | account::Standing::Parked(_) => Standing::Out,
        }
    }

    /// The model as the backend knows it.
    fn model<'a>(&'a self, backend: &'a RouteBackend) -> &'a str {
        backend.model.as_deref().unwrap_or(&self.errand.call.model)
    }

    /// What the backend at `at` is asked.
    fn asked(&self, at: usize) -> Result<Asked, Failure> {
        asked(self.errand, &self.route.backends[at])
    }

    fn tenant(&self) -> &Arc<str> {
        &self.errand.settlement.consumer.name
    }

    /// A place at the account of the backend at `at`, waited for as long as the account's queue and the call allow.
    async fn enter(&self, at: usize) -> Result<Slot, Full> {
        let backend = &self.route.backends[at];
        let (model, tenant) = (self.model(backend), self.tenant());
        match backend.account.try_enter(model, tenant) {
            Some(slot) => Ok(slot),
            None => backend.account.enter(model, tenant, self.errand.deadline).await,
        }
    }

    /// The account takes no more calls: another backend, or the caller is told when.
    fn turned_away(&mut self, at: usize, full: &Full) {
        self.passed_over(at, Failure { retry_after: Some(full.retry_after), ..Cause::AccountFull.into() });
    }

    /// A backend that is not asked in this call, because of `failure`.
    fn passed_over(&mut self, at: usize, failure: Failure) {
        self.tried.insert(at);
        self.barred.insert(at);
        let backend = Arc::clone(&self.route.backends[at].name);
        self.note(failure, &backend);
    }

    /// Begins to ask a backend.
    fn start(
        &mut self,
        choice: Choice,
        slot: Slot,
        asked: Asked,
    ) -> Option<impl Future<Output = (Try, Result<Answer, Failure>)> + use<>> {
        let backend = Arc::clone(&self.route.backends[choice.at]);
        let Asked { endpoint, body, stitch } = asked;
        let to = backend.request(endpoint)?;
        let (limits, hurried) = self.limits(choice.at);
        let headers = self.errand.headers.clone();
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
        Some(async move {
            let outcome = attempt(&attempt_made.backend, to, headers, body, limits).await;
            (attempt_made, outcome)
        })
    }

    /// How long the backend at `at` may take, and whether that is less than what the route says.
    ///
    /// While another backend is left, one attempt gets at most half of the time that remains, so that a caller with little
    /// time is failed over as well. An answer in one piece may take as long as the call has where no other is left.
    fn limits(&self, at: usize) -> (Limits, bool) {
        let timeouts = &self.route.policy.timeouts;
        let others = (0..self.route.backends.len())
            .any(|other| other != at && !self.tried.contains(other) && !self.barred.contains(other));
        let streamed = self.errand.call.stream;
        let policy =
            if streamed { Some(timeouts.first_token_ms) } else { others.then_some(timeouts.answer_ms) };
        let policy = policy.map(Duration::from_millis);
        let half = others.then(|| self.errand.deadline.saturating_duration_since(Instant::now()) / 2);
        let begin = policy.into_iter().chain(half).min();
        let byte_idle = Duration::from_millis(timeouts.byte_idle_ms);
        let may_be_silent = self.errand.broken.is_some();
        (Limits { begin, byte_idle, may_be_silent }, begin < policy)
    }

    fn ended(&mut self, mut attempt: Try, outcome: Result<Answer, Failure>) -> Result<Served, After> {
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
        let another_key = tell_account(&held.slot, &failure, key.as_deref());
        match verdict.kind {
            Some(kind) if verdict.counts && !another_key && !(hurried && kind == RetryOn::Timeout) => {
                permit.failed(judge::name(kind), kind == RetryOn::Timeout);
            }
            _ => drop(permit),
        }
        let reason = failure.cause.as_str();
        tracing::warn!(route = %self.route.state.metrics.label, backend = %backend.name, attempt = settlement.attempts, reason, detail = %failure.detail, request_id = settlement.request_id.to_str().unwrap_or_default(), "attempt failed");
        let policy = &self.route.policy.failover;
        if another_key {
            // The account is well: it is asked again at once, with its next key, and that is the same attempt.
            settlement.attempts -= 1;
            self.note(failure, &backend.name);
            return After::Another;
        }
        self.tried.insert(at);
        let longest = Duration::from_millis(policy.backoff_max_ms);
        if verdict.next == Next::Elsewhere || failure.retry_after.is_some_and(|after| after > longest) {
            self.barred.insert(at);
        }
        let retry = verdict.next != Next::Never && verdict.kind.is_none_or(|k| policy.retry_on.contains(&k));
        self.note(failure, &backend.name);
        if retry { After::Another } else { After::Nothing }
    }

    /// Remembers a failure for the client. That a backend was not even asked says less than what another one said.
    fn note(&mut self, failure: Failure, backend: &Arc<str>) {
        let unasked = matches!(failure.cause, Cause::Unfit | Cause::AccountFull);
        if self.last.is_none() || !unasked {
            self.last = Some((failure, Arc::clone(backend)));
        }
    }

    /// Waits before the backend at `at` is asked again. False when the call's time would be up before.
    async fn pause_before(&self, at: usize) -> bool {
        let name = &self.route.backends[at].name;
        let asked_for = self.last.as_ref().filter(|(_, of)| of == name).and_then(|(f, _)| f.retry_after);
        let pause = pause(&self.route, self.errand.settlement.attempts, asked_for);
        if Instant::now().checked_add(pause).is_none_or(|until| until >= self.errand.deadline) {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }

    fn no_choice(&mut self, none: &NoChoice) -> GatewayError {
        match none {
            NoChoice::Unsupported => {
                let Call { model, endpoint, .. } = &self.errand.call;
                let message =
                    format!("No backend of model {model:?} has the endpoint {}.", endpoint.as_str());
                GatewayError::new(Code::UnsupportedEndpoint, message)
            }
            NoChoice::AllOpen(wait) => {
                let message =
                    "Every backend of this model has failed too often lately and is left alone for a while.";
                GatewayError::new(Code::NoHealthyBackend, message).retry_after(Some(*wait))
            }
            NoChoice::AllOut => self.all_out(),
            NoChoice::Exhausted | NoChoice::OverBudget => self.last_error(),
        }
    }

    /// No account takes calls: for its limits, or for want of balance.
    fn all_out(&self) -> GatewayError {
        let standing =
            |backend: &Arc<RouteBackend>| backend.account.standing(self.model(backend), self.tenant());
        let (mut cooling, mut parked) = (None, None);
        for standing in self.route.backends.iter().map(standing) {
            match standing {
                account::Standing::Cooling(wait) => cooling = cooling.into_iter().chain([wait]).min(),
                account::Standing::Parked(wait) => parked = parked.into_iter().chain([wait]).min(),
                account::Standing::Ready | account::Standing::Full => {}
            }
        }
        if let Some(wait) = cooling {
            let message = "Every account behind this model is at the limit of its provider.";
            return GatewayError::new(Code::UpstreamRateLimited, message).retry_after(Some(wait));
        }
        let message = "No account behind this model takes calls at present.";
        let wait = parked.unwrap_or(Duration::from_secs(1));
        GatewayError::new(Code::NoHealthyBackend, message).retry_after(Some(wait))
    }

    fn last_error(&mut self) -> GatewayError {
        match self.last.take() {
            Some((failure, backend)) => failure.into_error(&backend),
            None => time_up(),
        }
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

/// Exponential, at most `max`, drawn between 0 and that where jitter is on; never shorter than the backend asked for.
fn pause(route: &Route, attempts: u32, retry_after: Option<Duration>) -> Duration {
    let policy = &route.policy.failover;
    let doubled = policy.backoff_base_ms.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let most = doubled.min(policy.backoff_max_ms);
    let drawn = if policy.jitter { rand::rng().random_range(0..=most) } else { most };
    Duration::from_millis(drawn).max(retry_after.unwrap_or_default())
}
