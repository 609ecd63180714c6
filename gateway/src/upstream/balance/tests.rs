use super::testing::{reloaded, route, weighted};
use super::*;
use crate::snapshot::Snapshot;
use deepseek_crds::v1alpha1::{Affinity, BackendState, Strategy};
use proptest::prelude::*;

const READY: &(dyn Fn(usize) -> Standing + Sync) = &|_| Standing::Ready;

fn ask(route: &Route) -> Ask<'_> {
    Ask {
        route,
        endpoint: Endpoint::Chat,
        key: None,
        tried: Set::default(),
        barred: Set::default(),
        beside: None,
        standing: READY,
    }
}

fn chosen(ask: &Ask<'_>) -> usize {
    choose(ask).map(|choice| choice.at).expect("a backend")
}

/// How often each backend is chosen in `calls`, none of which stays in flight.
fn shares(calls: u32, backends: usize, mut choose: impl FnMut(u64) -> usize) -> Vec<u32> {
    let mut counts = vec![0; backends];
    (0..calls).for_each(|call| counts[choose(u64::from(call).wrapping_mul(0x9E37_79B9_7F4A_7C15))] += 1);
    counts
}

fn fail(route: &Route, at: usize) {
    let mut ask = ask(route);
    ask.barred = (0..route.backends.len()).filter(|other| *other != at).collect();
    choose(&ask).expect("it is asked").permit.failed("ServerError", false);
    assert_eq!(route.backends[at].breaker.health().state, BackendState::Open);
}

#[test]
fn the_lowest_priority_is_asked_until_it_is_out() {
    let route =
        route(&[("a", 1, 1, None), ("b", 0, 1, None), ("c", 0, 0, None)], Strategy::Weighted, Affinity::None);
    assert!((0..50).all(|_| chosen(&ask(&route)) == 1), "b alone has weight in priority 0");
    fail(&route, 1);
    assert_eq!(chosen(&ask(&route)), 2, "weight 0 takes part in failover");
    fail(&route, 2);
    assert_eq!(chosen(&ask(&route)), 0);
    fail(&route, 0);
    assert!(matches!(choose(&ask(&route)).err(), Some(NoChoice::AllOpen(wait)) if wait.as_secs() > 50));
}

#[test]
fn backends_of_another_zone_come_last_within_a_priority() {
    let backends =
        [("a", 0, 1, Some("far")), ("b", 0, 1, Some("near")), ("c", 0, 1, None), ("d", 1, 1, Some("near"))];
    let route = route(&backends, Strategy::Weighted, Affinity::None);
    let near = shares(100, 4, |_| chosen(&ask(&route)));
    assert!(near[0] == 0 && near[1] > 0 && near[2] > 0, "without a zone it is as near as any: {near:?}");
    fail(&route, 1);
    fail(&route, 2);
    assert!((0..50).all(|_| chosen(&ask(&route)) == 0), "the far one before the next priority");
}

#[test]
fn a_call_goes_to_a_backend_with_a_place_before_it_waits_at_another() {
    let route = route(&[("a", 0, 1, None), ("b", 1, 1, None)], Strategy::Weighted, Affinity::None);
    let mut ask = ask(&route);
    ask.standing = &|at| if at == 0 { Standing::Full } else { Standing::Ready };
    assert_eq!(chosen(&ask), 1);
    ask.tried.insert(1);
    assert_eq!(chosen(&ask), 0, "waiting at one comes before asking another again");
    ask.tried = Set::default();
    ask.standing = &|at| if at == 0 { Standing::Full } else { Standing::Out };
    assert_eq!(chosen(&ask), 0);
    ask.standing = &|_| Standing::Out;
    assert_eq!(choose(&ask).err(), Some(NoChoice::AllOut));
}

#[test]
fn an_endpoint_that_no_backend_has_is_told_from_backends_that_are_out() {
    let route = route(&weighted(&[1, 1]), Strategy::Weighted, Affinity::None);
    let mut ask = ask(&route);
    ask.endpoint = Endpoint::Embeddings;
    assert_eq!(choose(&ask).err(), Some(NoChoice::Unsupported));
}

#[test]
fn conversations_are_spread_by_weight_and_each_stays_where_it_is() {
    let route = route(&weighted(&[300, 100]), Strategy::Weighted, Affinity::Conversation);
    let keyed = |key| chosen(&Ask { key: Some(key), ..ask(&route) });
    let first = shares(4000, 2, keyed);
    assert!((2850..=3150).contains(&first[0]), "{first:?}");
    assert!((0..500).all(|key| keyed(key) == keyed(key)));
}

#[test]
fn a_conversation_goes_elsewhere_when_its_backend_is_out_and_comes_back_when_it_is_full_no_more() {
    let route = route(&weighted(&[1, 1, 1]), Strategy::Weighted, Affinity::Conversation);
    let mut ask = Ask { key: Some(7), ..ask(&route) };
    let home = chosen(&ask);
    let full = |at: usize| if at == home { Standing::Full } else { Standing::Ready };
    ask.standing = &full;
    let second = chosen(&ask);
    assert_ne!(second, home);
    assert!((0..20).all(|_| chosen(&ask) == second), "all of its calls go to the same one meanwhile");
    ask.standing = READY;
    assert_eq!(chosen(&ask), home);
    fail(&route, home);
    assert_eq!(chosen(&ask), second);
}

#[test]
fn by_load_a_conversation_leaves_a_crowded_backend() {
    for strategy in [Strategy::LeastInFlight, Strategy::PeakEwma] {
        let route = route(&weighted(&[1, 1]), strategy, Affinity::Conversation);
        let ask = Ask { key: Some(7), ..ask(&route) };
        let mut calls: Vec<_> = (0..3).filter_map(|_| choose(&ask).ok()).collect();
        let home = calls[0].at;
        assert!(calls.iter().all(|call| call.at == home), "it may have three halves of its part");
        calls.extend((0..9).filter_map(|_| choose(&ask).ok()));
        let there = calls.iter().filter(|call| call.at == home).count();
        assert!((5..=10).contains(&there), "{strategy:?}: {there} of 12");
    }
}

#[test]
fn the_least_in_flight_for_its_weight_is_asked() {
    let route = route(&weighted(&[200, 100]), Strategy::LeastInFlight, Affinity::None);
    let calls: Vec<_> = (0..30).filter_map(|_| choose(&ask(&route)).ok()).collect();
    assert_eq!(calls.iter().filter(|call| call.at == 0).count(), 20);
}

#[test]
fn of_two_the_faster_is_preferred_and_the_slower_is_not_forgotten() {
    let route = route(&weighted(&[1, 1, 1]), Strategy::PeakEwma, Affinity::None);
    let pace = |at: usize, took: Duration| {
        let began = Instant::now().checked_sub(took).expect("the clock is older");
        Load::enter(&route.backends[at].load, began).answered();
    };
    pace(0, Duration::from_millis(200));
    pace(1, Duration::from_millis(200));
    pace(2, Duration::from_millis(900));
    let calls: Vec<_> = (0..110).filter_map(|_| choose(&ask(&route)).ok()).collect();
    let slow = calls.iter().filter(|call| call.at == 2).count();
    assert!((3..=20).contains(&slow), "about a tenth: {slow}");
}

#[test]
fn a_backend_that_has_recovered_gets_a_tenth_first_and_a_conversation_comes_back_for_good() {
    let backends = [("a", 0, 1, None), ("b", 1, 1, None)];
    let (_, route) =
        reloaded(&Snapshot::default(), &backends, Strategy::Weighted, Affinity::Conversation, |p| {
            p.failover.breaker.open_for_ms = 0;
        });
    let mut only = ask(&route);
    only.barred.insert(1);
    choose(&only).expect("a").permit.failed("ServerError", false);
    choose(&only).expect("a trial").permit.succeeded();
    let keyed = |key| chosen(&Ask { key: Some(key), ..ask(&route) });
    let first = shares(4000, 2, keyed);
    assert!((300..=500).contains(&first[0]), "a tenth: {first:?}");
    assert!((0..500).all(|key| keyed(key) == keyed(key)));
    let drawn = shares(4000, 2, |_| chosen(&ask(&route)));
    assert!((300..=500).contains(&drawn[0]), "a tenth: {drawn:?}");
    only.barred = Set::default();
    only.standing = &|at| if at == 1 { Standing::Full } else { Standing::Ready };
    assert!((0..50).all(|_| chosen(&only) == 0), "nobody waits at b while a is well");
}

#[test]
fn asking_again_is_bounded_and_asking_another_is_not() {
    let route = route(&weighted(&[1, 1]), Strategy::Weighted, Affinity::None);
    let mut again = ask(&route);
    again.tried = [0, 1].into_iter().collect();
    let granted = (0..20).filter(|_| choose(&again).is_ok_and(|choice| choice.again)).count();
    assert_eq!(granted, 6, "the floor of each");
    assert_eq!(choose(&again).err(), Some(NoChoice::OverBudget));
    again.barred = again.tried;
    assert_eq!(choose(&again).err(), Some(NoChoice::Exhausted));
    let mut over = ask(&route);
    over.tried.insert(0);
    assert!((0..100).all(|_| choose(&over).is_ok_and(|choice| !choice.again && choice.at == 1)));
}

#[test]
fn a_hedge_goes_to_another_backend_and_spends_the_budget_of_the_slow_one() {
    let route = route(&weighted(&[1, 1]), Strategy::Weighted, Affinity::None);
    let hedge = Ask { beside: Some(0), ..ask(&route) };
    assert_eq!((0..20).filter(|_| choose(&hedge).is_ok_and(|choice| choice.at == 1)).count(), 3);
    assert_eq!(choose(&hedge).err(), Some(NoChoice::OverBudget));
    fail(&route, 1);
    assert_eq!(choose(&hedge).err(), Some(NoChoice::Exhausted), "there is no other");
}

#[test]
fn health_load_and_budget_outlive_a_reload() {
    let (first, route) =
        reloaded(&Snapshot::default(), &weighted(&[1, 1]), Strategy::Weighted, Affinity::None, |_| {});
    fail(&route, 0);
    let _calling = choose(&ask(&route)).expect("b").calling;
    let again = Ask { tried: Set::of(1), barred: Set::of(0), ..ask(&route) };
    while choose(&again).is_ok() {}
    let (_, route) =
        reloaded(&first, &weighted(&[1, 1]), Strategy::PeakEwma, Affinity::None, |p| p.failover.attempts = 7);
    assert_eq!(route.policy.failover.attempts, 7, "it is another one");
    assert_eq!(route.backends[0].breaker.health().state, BackendState::Open);
    assert_eq!(route.backends[1].load.in_flight(), 1);
    let again = Ask { tried: Set::of(1), barred: Set::of(0), ..ask(&route) };
    assert_eq!(choose(&again).err(), Some(NoChoice::OverBudget));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn when_a_backend_leaves_only_its_own_conversations_move(
        weights in prop::collection::vec(1_u32..=400, 2..=8),
        leaves in any::<prop::sample::Index>(),
        keys in prop::collection::vec(any::<u64>(), 50),
    ) {
        let leaves = leaves.index(weights.len());
        for strategy in [Strategy::Weighted, Strategy::ConsistentHash] {
            let route = route(&weighted(&weights), strategy, Affinity::Conversation);
            for key in &keys {
                let before = chosen(&Ask { key: Some(*key), ..ask(&route) });
                let after = chosen(&Ask { key: Some(*key), barred: Set::of(leaves), ..ask(&route) });
                prop_assert!(before == after || before == leaves);
            }
        }
    }

    #[test]
    fn calls_follow_the_weights(weights in prop::collection::vec(1_u32..=10, 2..=5), with_keys: bool) {
        let route = route(&weighted(&weights), Strategy::Weighted, Affinity::Conversation);
        let counts = shares(5000, weights.len(), |key| {
            chosen(&Ask { key: with_keys.then_some(key), ..ask(&route) })
        });
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let part = f64::from(*weight) / f64::from(total);
            let (expected, deviation) = (5000.0 * part, (5000.0 * part * (1.0 - part)).sqrt());
            prop_assert!((f64::from(*count) - expected).abs() < 6.0 * deviation, "{counts:?} for {weights:?}");
        }
    }

    #[test]
    fn whatever_is_asked_for_what_may_not_be_asked_is_never_chosen(
        strategy in prop::sample::select(vec![Strategy::Weighted, Strategy::LeastInFlight, Strategy::PeakEwma, Strategy::ConsistentHash]),
        weights in prop::collection::vec(0_u32..=3, 1..=8),
        barred: u8, tried: u8, out: u8, open: u8,
        key: Option<u64>,
    ) {
        let bits = |bits: u8| (0..8).filter(|at| bits & 1 << at != 0).collect::<Set>();
        let route = route(&weighted(&weights), strategy, Affinity::Conversation);
        let (barred, tried, out) = (bits(barred), bits(tried), bits(out));
        bits(open).iter().filter(|at| *at < weights.len()).for_each(|at| fail(&route, at));
        let standing = |at| if out.contains(at) { Standing::Out } else { Standing::Ready };
        let ask = Ask { key, barred, tried, standing: &standing, ..ask(&route) };
        let possible: Set = (0..weights.len())
            .filter(|at| !barred.contains(*at) && !out.contains(*at) && !bits(open).contains(*at))
            .collect();
        match choose(&ask) {
            Ok(choice) => {
                prop_assert!(possible.contains(choice.at));
                prop_assert_eq!(choice.again, possible.without(tried).is_empty());
            }
            Err(_) => prop_assert!(possible.is_empty()),
        }
    }
}
