use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A breaker and its clock.
struct Rig {
    machine: Machine,
    now: Instant,
}

fn rig() -> Rig {
    let now = Instant::now();
    let mut machine = Machine::new(now);
    machine.configure(&document::Breaker {
        error_percent: 50,
        min_requests: 4,
        window_ms: 10_000,
        open_for_ms: 15_000,
        consecutive_timeouts: 3,
        slow_start_ms: 10_000,
    });
    Rig { machine, now }
}

impl Rig {
    fn admit(&mut self) -> Pass {
        self.machine.admit(self.now).expect("it admits")
    }

    fn succeed(&mut self) {
        let pass = self.admit();
        self.machine.succeeded(&pass, self.now);
    }

    fn fail(&mut self, reason: &'static str) {
        let pass = self.admit();
        self.machine.failed(&pass, reason, reason == "Timeout", self.now);
    }

    fn state(&self) -> BackendState {
        self.machine.health(self.now).state
    }

    fn opened() -> Self {
        let mut rig = rig();
        (0..4).for_each(|_| rig.fail("ServerError"));
        assert_eq!(rig.state(), BackendState::Open);
        rig
    }
}

#[test]
fn it_opens_at_half_the_attempts_failed_and_not_below_the_minimum() {
    let mut rig = rig();
    rig.succeed();
    rig.succeed();
    rig.fail("ServerError");
    assert_eq!(rig.state(), BackendState::Healthy);
    rig.fail("ServerError");
    assert_eq!(rig.state(), BackendState::Open);
    assert_eq!(rig.machine.health(rig.now).reason, Some("ServerError"));
    assert!(rig.machine.admit(rig.now).is_none());
    assert_eq!(rig.machine.admits_after(rig.now), Some(SECOND * 15));
}

#[test]
fn failures_older_than_the_window_count_no_more() {
    let mut rig = rig();
    (0..3).for_each(|_| rig.fail("ServerError"));
    rig.now += SECOND * 11;
    rig.fail("ServerError");
    assert_eq!(rig.state(), BackendState::Healthy);
}

#[test]
fn timeouts_in_a_row_open_it_whatever_the_share() {
    let mut rig = rig();
    (0..100).for_each(|_| rig.succeed());
    rig.now += SECOND;
    rig.fail("Timeout");
    rig.fail("Timeout");
    rig.fail("ServerError");
    rig.fail("Timeout");
    rig.fail("Timeout");
    assert_eq!(rig.state(), BackendState::Healthy, "another failure came between");
    rig.fail("Timeout");
    assert_eq!(rig.state(), BackendState::Open);
}

#[test]
fn a_timeout_of_an_attempt_that_began_before_the_last_answer_is_not_next_in_a_row() {
    let mut rig = rig();
    (0..100).for_each(|_| rig.succeed());
    let hung: Vec<_> = (0..5).map(|_| rig.admit()).collect();
    rig.now += SECOND * 5;
    rig.succeed();
    for pass in &hung {
        rig.machine.failed(pass, "Timeout", true, rig.now);
    }
    assert_eq!(rig.state(), BackendState::Healthy);
}

#[test]
fn half_open_lets_one_trial_through_and_a_cancelled_trial_gives_its_place_back() {
    let mut rig = Rig::opened();
    rig.now += SECOND * 15;
    assert_eq!(rig.state(), BackendState::HalfOpen);
    let trial = rig.admit();
    assert!(rig.machine.admit(rig.now).is_none(), "one trial at a time");
    rig.machine.cancelled(&trial);
    rig.succeed();
    assert_eq!(rig.state(), BackendState::Healthy);
}

#[test]
fn a_trial_that_takes_long_does_not_keep_others_from_being_made() {
    let mut rig = Rig::opened();
    rig.now += SECOND * 15;
    let first = rig.admit();
    rig.now += SECOND * 15;
    rig.succeed();
    assert_eq!(rig.state(), BackendState::Healthy);
    rig.machine.failed(&first, "Timeout", true, rig.now);
    assert_eq!(rig.state(), BackendState::Healthy, "the first trial is of another time");
}

#[test]
fn a_failed_trial_opens_it_again() {
    let mut rig = Rig::opened();
    rig.now += SECOND * 15;
    rig.fail("ConnectFailure");
    assert_eq!(rig.state(), BackendState::Open);
    assert_eq!(rig.machine.health(rig.now).reason, Some("ConnectFailure"));
    assert!(rig.machine.admit(rig.now).is_none());
}

#[test]
fn what_was_sent_before_it_opened_does_not_count_after_it_closed() {
    let mut rig = rig();
    let hung: Vec<_> = (0..9).map(|_| rig.admit()).collect();
    (0..4).for_each(|_| rig.fail("ServerError"));
    rig.now += SECOND * 15;
    rig.succeed();
    for pass in &hung {
        rig.machine.failed(pass, "Timeout", true, rig.now);
    }
    assert_eq!(rig.state(), BackendState::Healthy);
}

#[test]
fn a_cancelled_attempt_counts_for_nothing() {
    let mut rig = rig();
    for _ in 0..100 {
        let pass = rig.admit();
        rig.machine.cancelled(&pass);
    }
    (0..3).for_each(|_| rig.fail("ServerError"));
    assert_eq!(rig.state(), BackendState::Healthy, "three outcomes are below the minimum");
}

#[test]
fn answers_that_break_off_are_failures_and_no_longer_answers() {
    let mut rig = rig();
    for _ in 0..3 {
        rig.succeed();
        rig.machine.broke("StreamInterrupted", rig.now);
    }
    rig.succeed();
    assert_eq!(rig.state(), BackendState::Healthy);
    assert_eq!(rig.machine.outcomes.sums(rig.now), [1, 3]);
    rig.machine.broke("StreamInterrupted", rig.now);
    assert_eq!(rig.state(), BackendState::Open);
}

#[test]
fn its_share_grows_from_a_tenth_to_the_whole_after_it_closed() {
    let mut rig = Rig::opened();
    assert_eq!(rig.machine.share(rig.now), None);
    rig.now += SECOND * 15;
    assert_eq!(rig.machine.share(rig.now), Some(1.0), "a trial is due");
    rig.succeed();
    let mut shares = Vec::new();
    for _ in 0..=10 {
        shares.extend(rig.machine.share(rig.now).map(|share| (share * 100.0).round()));
        rig.now += SECOND;
    }
    assert_eq!(shares, [10.0, 19.0, 28.0, 37.0, 46.0, 55.0, 64.0, 73.0, 82.0, 91.0, 100.0]);
}

#[test]
fn without_a_slow_start_the_whole_share_is_back_at_once() {
    let mut rig = Rig::opened();
    rig.machine.settings.slow_start_ms = 0;
    rig.now += SECOND * 15;
    rig.succeed();
    assert_eq!(rig.machine.share(rig.now), Some(1.0));
}
