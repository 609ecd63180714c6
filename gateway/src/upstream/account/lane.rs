//! The calls in flight of one account for one model, in this pod: who may send, and who waits.
//!
//! A [`Place`] is held from before a call is sent until its answer has ended, and given back by dropping it, however that
//! comes about. A freed place goes to the next tenant in turn ([`super::queue`]). It travels to the one who waits inside
//! of a channel, so that it finds its way back also when that one has gone meanwhile.

use super::cooling::Cooling;
use super::limit::Limit;
use super::queue::FairQueue;
use super::refusal::Refusal;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// What a refused caller is told to wait, at the least and at the most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The calls of one account for one model.
pub struct Lane {
    state: Mutex<State>,
    /// Wakes those who wait when the time at which they may ask has changed.
    changed: Notify,
}

struct State {
    settings: LaneSettings,
    limit: Limit,
    in_flight: u64,
    queue: FairQueue<oneshot::Sender<Place>>,
    cooling: Cooling,
    /// How long places are held, on average.
    held: Duration,
}

/// What is configured.
#[derive(Clone, Copy, Debug)]
pub struct LaneSettings {
    /// Calls in flight that the whole account takes.
    pub limit: Option<u64>,
    /// Pods that share it.
    pub pods: u32,
    /// Calls that may wait.
    pub queue: usize,
    /// How long one may wait.
    pub timeout: Duration,
}

/// Whether a call may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneStanding {
    /// At once.
    Ready,
    /// After waiting for a place, or for the end of a short cool-down.
    Full,
    /// Not before this long.
    Cooling(Duration),
}

/// No place came free in time, or too many wait for one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// When another try makes sense, by how long places have been held lately.
    pub retry_after: Duration,
}

/// What the lane looks like now, for metrics and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Calls in flight.
    pub in_flight: u64,
    /// Calls that may be, in this pod.
    pub limit: Option<u64>,
    /// The whole account's limit, where refusals taught one.
    pub learned: Option<u64>,
    /// Calls that wait.
    pub waiting: u64,
}

/// Places that were given, on their way to those who wait for them.
type Given = Vec<(oneshot::Sender<Place>, Place)>;

impl Lane {
    /// With nothing in flight.
    #[must_use]
    pub fn new(settings: LaneSettings) -> Arc<Self> {
        let state = State {
            settings,
            limit: Limit::new(settings.limit, settings.pods),
            in_flight: 0,
            queue: FairQueue::default(),
            cooling: Cooling::default(),
            held: Duration::ZERO,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Takes new settings. Who waits goes on waiting; a higher limit lets some of them in at once.
    pub fn configure(self: &Arc<Self>, settings: LaneSettings) {
        self.change(|state, _| {
            state.settings = settings;
            state.limit.configure(settings.limit, settings.pods);
        });
    }

    /// Whether a call of this tenant may be sent.
    #[must_use]
    pub fn standing(&self, tenant: &str, now: Instant) -> LaneStanding {
        let state = self.state.lock();
        match state.cooling.until(tenant, now) {
            Some(until) if until > now + state.settings.timeout => LaneStanding::Cooling(until - now),
            None if state.has_room() => LaneStanding::Ready,
            _ => LaneStanding::Full,
        }
    }

    /// A place, if one is free and nobody waits for it.
    pub fn try_enter(self: &Arc<Self>, tenant: &Arc<str>) -> Option<Place> {
        self.change(|state, now| {
            if state.cooling.until(tenant, now).is_some() {
                return None;
            }
            if !state.has_room() {
                state.limit.was_full();
                return None;
            }
            state.in_flight += 1;
            Some(self.place(now))
        })
    }

    /// A place, waited for until `until` or as long as the settings allow. Those who wait are asked in turn, tenant by
    /// tenant. `gone` is looked at once the caller is in the queue: true means that waiting is of no use any more.
    pub async fn enter(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        until: Instant,
        gone: impl Fn() -> bool,
    ) -> Result<Place, Full> {
        if let Some(place) = self.try_enter(tenant) {
            return Ok(place);
        }
        let (mut waiting, mut place, timeout) = self.wait_in_line(tenant)?;
        let until = until.min(Instant::now() + timeout);
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            let opens = self.state.lock().cooling.until(tenant, Instant::now());
            if gone() || opens.is_some_and(|opens| opens >= until) {
                break;
            }
            tokio::select! {
                biased;
                given = &mut place => {
                    waiting.done = true;
                    return given.map_err(|_| self.full(tenant));
                }
                () = changed => {}
                () = sleep_until(opens.unwrap_or(until)) => {
                    if Instant::now() >= until {
                        break;
                    }
                    self.change(|_, _| ());
                }
            }
        }
        drop(waiting);
        // One may have been given in the last moment.
        place.try_recv().map_err(|_| self.full(tenant))
    }

    /// The provider answered 429. Returns whether something was learned of the account.
    pub fn refused(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        refusal: Refusal,
        retry_after: Option<Duration>,
    ) -> bool {
        let learned = self.change(|state, now| {
            let figure = match refusal {
                Refusal::User => {
                    state.cooling.close_tenant(tenant, retry_after, now);
                    return false;
                }
                Refusal::Limit(figure) => Some(figure),
                Refusal::Unknown => None,
            };
            state.cooling.close(retry_after, now);
            state.limit.refused(figure, state.in_flight, now)
        });
        self.changed.notify_waiters();
        learned
    }

    /// A call was answered.
    pub fn answered(self: &Arc<Self>) {
        self.change(|state, now| state.limit.answered(now));
    }

    /// Sends everybody away who waits.
    pub fn turn_away(&self) {
        self.state.lock().queue.clear();
        self.changed.notify_waiters();
    }

    /// What was learned is void, and cool-downs with it. Returns whether anything had been learned.
    pub fn forget(self: &Arc<Self>) -> bool {
        self.change(|state, _| {
            state.cooling.clear();
            state.limit.forget()
        })
    }

    /// Whether nothing would be lost with it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.in_flight == 0
            && state.queue.is_empty()
            && state.limit.learned().is_none()
            && !state.cooling.is_closed(Instant::now())
    }

    /// What it looks like now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = self.state.lock();
        Figures {
            in_flight: state.in_flight,
            limit: state.limit.now(),
            learned: state.limit.learned(),
            waiting: state.queue.len() as u64,
        }
    }

    /// Changes the state and gives the places that are free then to those who wait.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = self.state.lock();
        // Those who wait come before the one who comes now, and before what was freed goes to somebody else.
        let mut given = self.give(&mut state, now);
        let result = change(&mut state, now);
        given.extend(self.give(&mut state, now));
        // Unlocked first: a place that nobody takes any more comes back through this lock.
        drop(state);
        for (to, place) in given {
            drop(to.send(place));
        }
        result
    }

    fn give(self: &Arc<Self>, state: &mut State, now: Instant) -> Given {
        let mut given = Vec::new();
        while state.has_room() {
            let State { queue, cooling, .. } = state;
            let Some((_, to)) = queue.next(|tenant| cooling.until(tenant, now).is_none()) else { break };
            state.in_flight += 1;
            given.push((to, self.place(now)));
        }
        given
    }

    fn place(self: &Arc<Self>, now: Instant) -> Place {
        Place { lane: Arc::clone(self), since: now }
    }

    fn wait_in_line<'a>(
        &'a self,
        tenant: &'a Arc<str>,
    ) -> Result<(Waiting<'a>, oneshot::Receiver<Place>, Duration), Full> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let bound = state.settings.queue;
        let Some(joined) = state.queue.join(tenant, bound, sender) else {
            return Err(state.full(tenant));
        };
        Ok((Waiting { lane: self, tenant, id: joined.id, done: false }, receiver, state.settings.timeout))
    }

    fn full(&self, tenant: &str) -> Full {
        self.state.lock().full(tenant)
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.limit.now().is_none_or(|limit| self.in_flight < limit)
    }

    fn full(&self, tenant: &str) -> Full {
        let now = Instant::now();
        let ahead = u32::try_from(self.queue.len()).unwrap_or(u32::MAX).saturating_add(1);
        let limit = u32::try_from(self.limit.now().unwrap_or(1)).unwrap_or(u32::MAX).max(1);
        let by_turn = self.held.saturating_mul(ahead) / limit;
        let cooled = self.cooling.until(tenant, now).map_or(Duration::ZERO, |until| until - now);
        Full { retry_after: by_turn.clamp(RETRY.0, RETRY.1).max(cooled) }
    }
}

/// A place among the calls in flight. Dropping it gives it back.
pub struct Place {
    lane: Arc<Lane>,
    since: Instant,
}

impl Place {
    /// Where it is.
    #[must_use]
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.change(|state, now| {
            state.in_flight -= 1;
            let held = now.saturating_duration_since(self.since);
            state.held = if state.held.is_zero() { held } else { (state.held * 7 + held) / 8 };
        });
    }
}

/// Somebody in the queue; dropped, not any more.
struct Waiting<'a> {
    lane: &'a Lane,
    tenant: &'a Arc<str>,
    id: u64,
    done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.lane.state.lock().queue.leave(self.tenant, self.id);
        }
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
