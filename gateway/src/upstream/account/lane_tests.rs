use super::*;
use rand::RngExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

const LONG: Duration = Duration::from_hours(1);

fn lane(limit: u64, queue: usize) -> Arc<Lane> {
    Lane::new(settings(limit, queue))
}

fn settings(limit: u64, queue: usize) -> LaneSettings {
    LaneSettings { limit: Some(limit), pods: 1, queue, timeout: Duration::from_secs(10) }
}

fn tenant(name: &str) -> Arc<str> {
    Arc::from(name)
}

async fn enter(lane: &Arc<Lane>, of: &Arc<str>) -> Result<Place, Full> {
    lane.enter(of, Instant::now() + LONG, || false).await
}

/// Waits, by letting everything run, until so many wait.
async fn until_waiting(lane: &Lane, waiting: u64) {
    while lane.figures().waiting != waiting {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_freed_place_goes_to_the_tenants_in_turn() {
    let lane = lane(1, 100);
    let first = lane.try_enter(&tenant("a")).expect("it is free");
    let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
    let arrivals = ["a", "a", "a", "b", "b", "c"];
    for (at, name) in arrivals.into_iter().enumerate() {
        let (lane, done) = (Arc::clone(&lane), done.clone());
        let waiter = Arc::clone(&lane);
        tokio::spawn(async move {
            let place = enter(&lane, &tenant(name)).await.expect("in time");
            done.send(name).unwrap();
            drop(place);
        });
        until_waiting(&waiter, at as u64 + 1).await;
    }
    assert!(lane.try_enter(&tenant("d")).is_none(), "nobody gets in past those who wait");
    drop((first, done));
    let mut seen = Vec::new();
    while let Some(name) = order.recv().await {
        seen.push(name);
    }
    assert_eq!(seen, ["a", "b", "c", "a", "b", "a"]);
    assert_eq!(lane.figures(), Figures { in_flight: 0, limit: Some(1), learned: None, waiting: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_a_wait_ends_with_its_time() {
    let lane = lane(1, 1);
    let _held = lane.try_enter(&tenant("a")).expect("it is free");
    let waiting = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { (enter(&lane, &tenant("a")).await.err(), Instant::now()) }
    });
    until_waiting(&lane, 1).await;
    let start = Instant::now();
    let full = enter(&lane, &tenant("a")).await.err().expect("the queue is full");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(full.retry_after >= Duration::from_secs(1));
    let (timed_out, at) = waiting.await.unwrap();
    assert!(timed_out.is_some());
    assert_eq!(at - start, Duration::from_secs(10), "the queue's timeout");
    let start = Instant::now();
    let until = start + Duration::from_secs(2);
    assert!(lane.enter(&tenant("a"), until, || false).await.is_err());
    assert_eq!(start.elapsed(), Duration::from_secs(2), "the call's own deadline");
    assert_eq!(lane.figures().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_estimated_from_how_long_places_are_held() {
    let lane = lane(2, 4);
    let held = lane.try_enter(&tenant("a")).expect("it is free");
    tokio::time::advance(Duration::from_secs(20)).await;
    drop(held);
    assert_eq!(lane.full("a").retry_after, Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_before_a_cool_down_is_over_and_those_who_can_wait_do() {
    let lane = lane(100, 100);
    lane.refused(&tenant("a"), Refusal::Unknown, Some(Duration::from_secs(2)));
    assert!(lane.try_enter(&tenant("b")).is_none());
    assert_eq!(lane.standing("b", Instant::now()), LaneStanding::Full, "it is worth waiting");
    let start = Instant::now();
    let (b, c) = (tenant("b"), tenant("c"));
    let patient = enter(&lane, &b);
    let hurried = lane.enter(&c, start + Duration::from_secs(1), || false);
    let (patient, hurried) = tokio::join!(patient, async { (hurried.await, Instant::now()) });
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    let place = patient.expect("after the cool-down");
    let (refused, at) = hurried;
    assert_eq!((at, refused.err()), (start, Some(Full { retry_after: Duration::from_secs(2) })));
    drop(place);
    lane.refused(&tenant("a"), Refusal::Unknown, Some(LONG));
    assert_eq!(lane.standing("b", Instant::now()), LaneStanding::Cooling(LONG));
}

#[tokio::test(start_paused = true)]
async fn a_cool_down_that_begins_meanwhile_holds_back_who_waits() {
    let lane = lane(2, 100);
    let held = [lane.try_enter(&tenant("a")), lane.try_enter(&tenant("a"))];
    let waiting = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { (enter(&lane, &tenant("b")).await.is_ok(), Instant::now()) }
    });
    until_waiting(&lane, 1).await;
    let start = Instant::now();
    lane.refused(&tenant("a"), Refusal::Limit(2), Some(Duration::from_secs(3)));
    drop(held);
    assert_eq!(waiting.await.unwrap(), (true, start + Duration::from_secs(3)), "nobody else wakes it");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_user_holds_back_that_tenant_alone_and_teaches_nothing() {
    let lane = lane(1, 100);
    assert!(!lane.refused(&tenant("a"), Refusal::User, Some(Duration::from_secs(5))));
    assert!(lane.try_enter(&tenant("a")).is_none());
    let held = lane.try_enter(&tenant("b")).expect("another tenant is served");
    assert_eq!(lane.figures().learned, None);
    let start = Instant::now();
    let (a, b) = (tenant("a"), tenant("b"));
    let (a, b) = tokio::join!(async { (enter(&lane, &a).await.is_ok(), start.elapsed()) }, async {
        until_waiting(&lane, 1).await;
        drop(held);
        (enter(&lane, &b).await.is_ok(), start.elapsed())
    });
    assert_eq!(b, (true, Duration::ZERO), "it is not held up by the one in front of it");
    assert_eq!(a, (true, Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn a_higher_limit_lets_those_in_who_wait_and_a_lower_one_holds_from_then_on() {
    let lane = lane(1, 100);
    let first = lane.try_enter(&tenant("a")).expect("it is free");
    let waiting = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { enter(&lane, &tenant("a")).await }
    });
    until_waiting(&lane, 1).await;
    lane.configure(settings(3, 100));
    let second = waiting.await.unwrap().expect("there is room now");
    lane.configure(settings(1, 100));
    drop(second);
    assert!(lane.try_enter(&tenant("a")).is_none(), "one is still in flight");
    drop(first);
    assert!(lane.try_enter(&tenant("a")).is_some());
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_can_be_sent_away() {
    let lane = lane(1, 100);
    let _held = lane.try_enter(&tenant("a"));
    let waiting = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { enter(&lane, &tenant("a")).await.is_err() }
    });
    until_waiting(&lane, 1).await;
    let start = Instant::now();
    lane.turn_away();
    assert!(waiting.await.unwrap());
    assert!(lane.enter(&tenant("a"), start + LONG, || true).await.is_err(), "it is of no use to wait");
    assert_eq!((start.elapsed(), lane.figures().waiting), (Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn a_learned_limit_rises_and_lets_those_in_who_wait() {
    let lane = lane(10, 100);
    let held: Vec<_> = (0..3).filter_map(|_| lane.try_enter(&tenant("a"))).collect();
    assert!(lane.refused(&tenant("a"), Refusal::Limit(2), None));
    assert_eq!(lane.figures().limit, Some(2));
    drop(held);
    tokio::time::advance(Duration::from_secs(11)).await;
    let _held = [lane.try_enter(&tenant("a")), lane.try_enter(&tenant("a"))];
    let waiting = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { enter(&lane, &tenant("a")).await.is_ok() }
    });
    until_waiting(&lane, 1).await;
    let start = Instant::now();
    for _ in 0..8 {
        lane.answered();
    }
    assert!(waiting.await.unwrap());
    assert_eq!((lane.figures().limit, start.elapsed()), (Some(3), Duration::ZERO));
}

/// Whatever is cancelled when, in flight returns to 0, nobody is left behind, and the limit was never exceeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_leaks_under_random_cancels_refusals_and_reloads() {
    let lane = lane(7, 40);
    let (most, entered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for caller in 0..64_u64 {
        let (lane, most, entered) = (Arc::clone(&lane), Arc::clone(&most), Arc::clone(&entered));
        tasks.push(tokio::spawn(async move {
            let of = tenant(&format!("tenant-{}", caller % 5));
            for _ in 0..200 {
                let (patience, hold) = {
                    let mut random = rand::rng();
                    (random.random_range(0..1500), random.random_range(0..300))
                };
                let until = Instant::now() + Duration::from_millis(500);
                let waiting = lane.enter(&of, until, || false);
                let Ok(Ok(place)) = tokio::time::timeout(Duration::from_micros(patience), waiting).await
                else {
                    continue;
                };
                entered.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(lane.figures().in_flight, Ordering::Relaxed);
                match hold % 10 {
                    0 => lane.answered(),
                    1 => {
                        let soon = Some(Duration::from_micros(50));
                        lane.refused(&of, Refusal::User, soon);
                    }
                    2 => lane.turn_away(),
                    3 => lane.configure(settings(1 + hold % 7, 40)),
                    _ => tokio::time::sleep(Duration::from_micros(hold)).await,
                }
                drop(place);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(entered.load(Ordering::Relaxed) > 100);
    assert!(most.load(Ordering::Relaxed) <= 7, "{most:?}");
    let figures = lane.figures();
    assert_eq!((figures.in_flight, figures.waiting), (0, 0));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(lane.is_idle());
    let again = tokio::time::timeout(Duration::from_secs(5), enter(&lane, &tenant("a"))).await;
    assert!(again.is_ok_and(|entered| entered.is_ok()), "it still serves");
}
