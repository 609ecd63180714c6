//! Dispatch: attempts until an answer has begun. Another backend is asked at once; the same one after a pause.
//!
//! A round is one attempt, or two that race (`hedgeAfter`). Whatever is left of a round when it ends, or when the client
//! goes away, is dropped, and with it its connection and its places in every count.

mod answered;
mod asked;
mod refusals;
mod trail;
mod tries;

use self::asked::{Asked, asked};
use self::refusals::time_up;
pub use self::trail::Trail;
use self::tries::Try;
use crate::pipeline::cache::Key;
use crate::pipeline::check::Call;
use crate::pipeline::error::GatewayError;
use crate::pipeline::mend::Broken;
use crate::pipeline::resume::stitch::Stitch;
use crate::pipeline::settle::Settlement;
use crate::snapshot::{Route, RouteBackend};
use crate::upstream::account::{self, Full, Slot};
use crate::upstream::attempt::Answer;
use crate::upstream::balance::{Ask, Calling, Choice, NoChoice, Set, Standing, affinity, choose};
use crate::upstream::failure::Failure;
use crate::upstream::judge::Cause;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::HeaderMap;
use rand::RngExt as _;
use std::future::Future;
use std::pin::{Pin, pin};
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
    /// What stands for it where answers are kept.
    pub key: Option<Key>,
    /// The route that serves it when every backend of its own is out.
    pub spare: Option<Arc<Route>>,
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

/// An attempt under way. In memory of its own: a call is moved about until it has one, and lives on when that has ended.
type Asking = Pin<Box<dyn Future<Output = (Try, Result<Answer, Failure>)> + Send>>;

/// The attempts of one call.
struct Run<'a> {
    errand: &'a mut Errand,
    route: Arc<Route>,
    /// What keeps calls that belong together at one backend.
    key: Option<u64>,
    /// Those that are not asked in this run, whatever another one of the call may do.
    passed: Set,
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
    if Instant::now() >= deadline {
        // Nobody waits for what would be begun, and it could cost something.
        return Err(time_up());
    }
    let key =
        affinity::key(&route, errand.call.endpoint, &errand.settlement.consumer.name, &errand.call.body);
    let mut passed = errand.broken.as_ref().map(|broken| broken.unable).unwrap_or_default();
    let longest = Duration::from_millis(route.policy.failover.backoff_max_ms);
    passed.extend(errand.settlement.trail.away(longest, Instant::now()).iter());
    let mut run = Run { errand, route, key, passed, last: None };
    timeout_at(deadline, pin!(run.rounds())).await.unwrap_or_else(|_| Err(time_up()))
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
        let mut running = FuturesUnordered::from_iter([first]);
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
        self.start(choice, slot, asked)
    }

    /// The backend to ask next; with `beside` the one to ask while that one is at work.
    fn choose(&self, beside: Option<usize>) -> Result<Choice, NoChoice> {
        let Self { errand, route, key, .. } = self;
        choose(&Ask {
            route,
            endpoint: errand.call.endpoint,
            key: *key,
            tried: errand.settlement.trail.tried,
            barred: self.barred(),
            beside,
            standing: &|at| self.standing(at),
        })
    }

    /// Those that may not be asked (again).
    fn barred(&self) -> Set {
        self.passed.or(self.errand.settlement.trail.barred)
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

    /// A backend that is not asked for now, because of `failure`. Nothing was sent to it: a continuation looks at it anew.
    fn passed_over(&mut self, at: usize, failure: Failure) {
        self.errand.settlement.trail.tried.insert(at);
        self.passed.insert(at);
        let backend = Arc::clone(&self.route.backends[at].name);
        self.note(failure, &backend);
    }

    /// Waits before the backend at `at` is asked again. False when the call's time would be up before.
    async fn pause_before(&self, at: usize) -> bool {
        let now = Instant::now();
        let asked_for = self.errand.settlement.trail.left(at, now);
        let pause = pause(&self.route, self.errand.settlement.attempts, asked_for);
        if now.checked_add(pause).is_none_or(|until| until >= self.errand.deadline) {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

/// Exponential, at most `max`, drawn between 0 and that where jitter is on; never shorter than the backend asked for.
fn pause(route: &Route, attempts: u32, asked_for: Duration) -> Duration {
    let policy = &route.policy.failover;
    let doubled = policy.backoff_base_ms.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let most = doubled.min(policy.backoff_max_ms);
    let drawn = if policy.jitter { rand::rng().random_range(0..=most) } else { most };
    Duration::from_millis(drawn).max(asked_for)
}
