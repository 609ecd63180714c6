//! How many calls an account takes in flight for one model, in this pod: what is configured, and what refusals taught.
//!
//! Additive increase, multiplicative decrease. A refusal with the account's own figure sets the limit to this pod's part
//! of it; one without halves what was in flight. Then the limit rises again, while calls are answered that it holds back,
//! up to what is configured. Pure: times come in.

use std::time::Duration;
use tokio::time::Instant;

/// After a refusal the limit rises no sooner than this.
const QUIET: Duration = Duration::from_secs(10);
/// Refusals this close to each other come from the same burst: one of them lowers the limit.
const BURST: Duration = Duration::from_secs(1);
/// The limit rises after as many answers as it is large, and no fewer than this.
const FEWEST_ANSWERS: u64 = 8;
/// Every so many rises in a row the step grows by one: an account that was topped up gets back to 2,500 in minutes.
const RISES_PER_STEP: u64 = 4;

/// This pod's part of what an account takes: equal parts, at least one. The place where a store that pods share would
/// be asked.
#[must_use]
pub fn share(limit: u64, pods: u32) -> u64 {
    (limit / u64::from(pods.max(1))).max(1)
}

/// The limit of one account and model in this pod.
#[derive(Clone, Debug)]
pub struct Limit {
    configured: Option<u64>,
    pods: u32,
    learned: Option<Learned>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    /// This pod's part.
    limit: u64,
    refused_at: Instant,
    /// Answers since the limit moved.
    answers: u64,
    /// Whether the limit held something back since it moved.
    was_full: bool,
    rises: u64,
}

impl Limit {
    /// What is configured for the whole account (`None`: no limit), shared by `pods`.
    #[must_use]
    pub fn new(configured: Option<u64>, pods: u32) -> Self {
        Self { configured: configured.map(|limit| share(limit, pods)), pods, learned: None }
    }

    /// Takes new settings; what was learned of the account stays, in the new part.
    pub fn configure(&mut self, configured: Option<u64>, pods: u32) {
        let account = self.learned();
        self.configured = configured.map(|limit| share(limit, pods));
        self.pods = pods;
        if let (Some(learned), Some(account)) = (&mut self.learned, account) {
            learned.limit = share(account, pods);
        }
        self.forget_if_configured();
    }

    /// Calls in flight that this pod may have; `None`: no limit.
    #[must_use]
    pub fn now(&self) -> Option<u64> {
        self.learned.map(|learned| learned.limit).or(self.configured)
    }

    /// The limit of the whole account, where refusals taught one.
    #[must_use]
    pub fn learned(&self) -> Option<u64> {
        self.learned.map(|learned| learned.limit.saturating_mul(u64::from(self.pods.max(1))))
    }

    /// The provider refused one of `in_flight` calls; `figure` is the account's limit, where it was told. Returns whether
    /// the limit moved.
    pub fn refused(&mut self, figure: Option<u64>, in_flight: u64, now: Instant) -> bool {
        if self.learned.is_some_and(|learned| now < learned.refused_at + BURST) {
            return false;
        }
        let limit = match figure {
            // With fewer in flight than the pod's part, others use the account: there is room for what was not refused.
            Some(account) => share(account, self.pods).min(in_flight.saturating_sub(1)),
            None => self.now().unwrap_or(u64::MAX).min(in_flight) / 2,
        };
        let limit = limit.max(1);
        self.learned = Some(Learned { limit, refused_at: now, answers: 0, was_full: false, rises: 0 });
        self.forget_if_configured();
        true
    }

    /// The limit held a call back.
    pub fn was_full(&mut self) {
        if let Some(learned) = &mut self.learned {
            learned.was_full = true;
        }
    }

    /// A call was answered. Returns whether the limit rose.
    pub fn answered(&mut self, now: Instant) -> bool {
        let Some(learned) = &mut self.learned else { return false };
        learned.answers += 1;
        let enough = learned.answers >= learned.limit.max(FEWEST_ANSWERS);
        if !enough || !learned.was_full || now < learned.refused_at + QUIET {
            return false;
        }
        learned.limit += 1 + learned.rises / RISES_PER_STEP;
        learned.rises += 1;
        learned.answers = 0;
        learned.was_full = false;
        self.forget_if_configured();
        true
    }

    /// What was learned is void: the account has got money, or is another one. Returns whether there was something.
    pub fn forget(&mut self) -> bool {
        self.learned.take().is_some()
    }

    fn forget_if_configured(&mut self) {
        if let (Some(learned), Some(configured)) = (self.learned, self.configured)
            && learned.limit >= configured
        {
            self.learned = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// As many answers as it takes to rise once, with the limit in the way.
    fn rise(limit: &mut Limit, now: Instant) {
        limit.was_full();
        let answers = limit.now().unwrap_or_default().max(FEWEST_ANSWERS);
        let rises = (0..answers).filter(|_| limit.answered(now)).count();
        assert_eq!(rises, 1);
    }

    #[test]
    fn pods_share_in_equal_parts_and_each_has_at_least_one() {
        assert_eq!((share(500, 2), share(39, 4), share(3, 5), share(7, 0)), (250, 9, 1, 7));
        assert_eq!(Limit::new(Some(500), 4).now(), Some(125));
        assert_eq!(Limit::new(None, 4).now(), None);
    }

    #[test]
    fn the_accounts_own_figure_becomes_the_limit_shared_by_pods() {
        let now = Instant::now();
        let mut limit = Limit::new(Some(500), 1);
        assert!(limit.refused(Some(39), 40, now));
        assert_eq!((limit.now(), limit.learned()), (Some(39), Some(39)));
        let mut limit = Limit::new(Some(500), 3);
        assert!(limit.refused(Some(39), 20, now));
        assert_eq!((limit.now(), limit.learned()), (Some(13), Some(39)));
        limit.configure(Some(500), 2);
        assert_eq!(limit.now(), Some(19), "the part grows as pods go");
    }

    #[test]
    fn a_figure_above_what_is_in_flight_means_that_others_use_the_account() {
        let mut limit = Limit::new(Some(500), 1);
        limit.refused(Some(39), 10, Instant::now());
        assert_eq!(limit.now(), Some(9));
    }

    #[test]
    fn a_refusal_without_figures_halves_what_was_in_flight_once_a_burst_and_never_below_one() {
        let now = Instant::now();
        let mut limit = Limit::new(None, 1);
        assert!(limit.refused(None, 16, now));
        assert!(!limit.refused(None, 15, now), "the same burst");
        assert_eq!(limit.now(), Some(8));
        limit.refused(None, 8, after(now, 2));
        limit.refused(None, 4, after(now, 4));
        limit.refused(None, 2, after(now, 6));
        limit.refused(None, 1, after(now, 8));
        assert_eq!(limit.now(), Some(1));
    }

    #[test]
    fn it_rises_only_with_answers_that_it_holds_back_and_up_to_what_is_configured() {
        let start = Instant::now();
        let mut limit = Limit::new(Some(12), 1);
        limit.refused(Some(10), 11, start);
        limit.was_full();
        assert!((0..100).all(|_| !limit.answered(after(start, 5))), "too soon");
        assert!(limit.answered(after(start, 11)));
        assert_eq!(limit.now(), Some(11));
        assert!((0..100).all(|_| !limit.answered(after(start, 12))), "nothing is held back");
        limit.was_full();
        assert!(limit.answered(after(start, 13)));
        assert_eq!((limit.now(), limit.learned()), (Some(12), None), "it is back");
    }

    #[test]
    fn a_long_way_up_is_gone_in_growing_steps() {
        let start = Instant::now();
        let mut limit = Limit::new(Some(2500), 1);
        limit.refused(Some(39), 40, start);
        let rises = (0..).take_while(|_| {
            rise(&mut limit, after(start, 60));
            limit.learned().is_some()
        });
        assert!(rises.count() < 150);
        assert_eq!(limit.now(), Some(2500));
    }

    #[test]
    fn what_was_learned_can_be_forgotten() {
        let mut limit = Limit::new(Some(500), 1);
        assert!(!limit.forget());
        limit.refused(Some(39), 40, Instant::now());
        assert!(limit.forget());
        assert_eq!(limit.now(), Some(500));
    }
}
