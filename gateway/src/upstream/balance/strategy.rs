//! One of several backends that could all be asked.
//!
//! Every draw is the same draw (weighted rendezvous): each backend gets a number out of a key and its own name, raised by
//! its weight, and the highest wins. With the key of a conversation all pods draw the same backend, one that leaves takes
//! along its own conversations only, and nothing is remembered. With a random key it is a draw by weight.

use super::{Ask, Set};
use deepseek_crds::v1alpha1::Strategy;
use std::time::Instant;

/// A conversation leaves its backend when that one has more than three halves of its part of the calls in flight.
const CROWDED: (u64, u64) = (3, 2);
/// Sets the draw of who has a turn apart from the draw of who is first.
const TURN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One of `among`, which is not empty.
pub(super) fn pick(ask: &Ask<'_>, among: Set, now: Instant) -> usize {
    let among = nearest(ask, among);
    if let Some(only) = among.only() {
        return only;
    }
    let strategy = ask.route.policy.balancing.strategy;
    if let Some(key) = ask.key {
        let at = draw(ask, among, key);
        let by_load = matches!(strategy, Strategy::LeastInFlight | Strategy::PeakEwma);
        if !(by_load && is_crowded(ask, at, among)) {
            return at;
        }
    }
    match strategy {
        Strategy::Weighted | Strategy::ConsistentHash => draw(ask, among, rand::random()),
        Strategy::LeastInFlight => least_in_flight(ask, among),
        Strategy::PeakEwma => better_of_two(ask, among, now),
    }
}

/// Whether a backend that gets only `share` of its calls gets this one. The calls of one key come back to it together.
pub(super) fn has_its_turn(ask: &Ask<'_>, at: usize, share: f64) -> bool {
    share >= 1.0 || {
        let key = ask.key.unwrap_or_else(rand::random);
        unit(mix(key ^ TURN, ask.backend(at).seed)) <= share
    }
}

/// Those of the lowest rank: priority, then weight above 0, then zone.
fn nearest(ask: &Ask<'_>, among: Set) -> Set {
    let lowest = among.iter().map(|at| ask.backend(at).rank).min();
    among.iter().filter(|at| Some(ask.backend(*at).rank) == lowest).collect()
}

fn draw(ask: &Ask<'_>, among: Set, key: u64) -> usize {
    let ticket = |at: usize| {
        let backend = ask.backend(at);
        // The logarithm of u^(1/w), after Efraimidis and Spirakis.
        unit(mix(key, backend.seed)).ln() / weight(backend.weight)
    };
    best(among, ticket, f64::total_cmp)
}

fn least_in_flight(ask: &Ask<'_>, among: Set) -> usize {
    let random = rand::random();
    let room = |at: usize| {
        let backend = ask.backend(at);
        let load = (f64::from(backend.load.in_flight()) + 1.0) / weight(backend.weight);
        // Of equal ones any.
        (-load, mix(random, backend.seed))
    };
    best(among, room, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
}

fn better_of_two(ask: &Ask<'_>, mut among: Set, now: Instant) -> usize {
    let one = draw(ask, among, rand::random());
    among.remove(one);
    let other = draw(ask, among, rand::random());
    let cost = |at: usize| ask.backend(at).load.cost(now);
    if cost(other) < cost(one) { other } else { one }
}

fn is_crowded(ask: &Ask<'_>, at: usize, among: Set) -> bool {
    let in_flight = |at: usize| u64::from(ask.backend(at).load.in_flight());
    let weight = |at: usize| u64::from(ask.backend(at).weight.max(1));
    let (calls, weights): (u64, u64) =
        among.iter().fold((1, 0), |(calls, weights), at| (calls + in_flight(at), weights + weight(at)));
    in_flight(at) * weights * CROWDED.1 > calls * weight(at) * CROWDED.0
}

fn best<T>(among: Set, of: impl Fn(usize) -> T, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> usize {
    let rated = among.iter().map(|at| (at, of(at)));
    rated.max_by(|a, b| order(&a.1, &b.1)).map_or(0, |(at, _)| at)
}

/// Backends of weight 0 are only ever compared with one another.
fn weight(weight: u32) -> f64 {
    f64::from(weight.max(1))
}

/// Two numbers made one, each bit of which depends on every bit of both (the finalizer of `splitmix64`).
fn mix(key: u64, seed: u64) -> u64 {
    let mut x = key.rotate_left(32) ^ seed;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A number above 0 and up to 1.
fn unit(bits: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what the fraction of an f64 holds")]
    let numerator = ((bits >> 11) + 1) as f64;
    numerator / 9_007_199_254_740_992.0
}
