use super::*;

const NO: Told = Told { available: false, risen: false, holds: Duration::from_secs(30) };
const YES: Told = Told { available: true, ..NO };

fn at(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn without_a_balance_to_ask_for_one_trial_an_interval_is_let_through() {
    let (parking, start) = (Parking::default(), Instant::now());
    assert_eq!(parking.admit(start), Some(Pass::Open));
    assert!(parking.out_of_balance(start));
    assert!(!parking.out_of_balance(start), "another call of the same moment");
    let trials: Vec<u64> =
        (0..3600).filter(|second| parking.admit(at(start, *second)) == Some(Pass::Trial)).collect();
    assert_eq!(trials, [30, 90, 210, 450, 930, 1530, 2130, 2730, 3330]);
}

#[test]
fn a_trial_that_is_answered_ends_it_and_an_older_answer_does_not() {
    let (parking, start) = (Parking::default(), Instant::now());
    parking.out_of_balance(start);
    assert!(!parking.answered(Pass::Open), "that call began before");
    assert_eq!(parking.closed_for(at(start, 10)), Some(Duration::from_secs(20)));
    let trial = parking.admit(at(start, 30)).expect("a trial");
    assert!(parking.answered(trial));
    assert_eq!(parking.admit(at(start, 31)), Some(Pass::Open));
    assert_eq!((parking.since(), parking.seen_since()), (None, None));
}

#[test]
fn the_poll_parks_and_ends_it_and_while_it_says_no_there_is_no_trial() {
    let (parking, start) = (Parking::default(), Instant::now());
    assert!(!parking.polled(YES, start));
    assert!(parking.polled(NO, start));
    assert!(parking.seen_since().is_some());
    for second in (10..300).step_by(15) {
        assert_eq!(parking.admit(at(start, second)), None);
        assert!(!parking.polled(NO, at(start, second)));
    }
    assert!(parking.polled(YES, at(start, 301)));
    assert_eq!(parking.admit(at(start, 301)), Some(Pass::Open));
}

#[test]
fn when_the_poll_falls_silent_trials_take_over() {
    let (parking, start) = (Parking::default(), Instant::now());
    parking.polled(NO, start);
    assert_eq!(parking.admit(at(start, 29)), None);
    assert_eq!(parking.admit(at(start, 30)), Some(Pass::Trial));
    assert_eq!(parking.admit(at(start, 31)), None);
}

#[test]
fn a_poll_that_never_said_no_does_not_explain_a_402_unless_the_balance_rose() {
    let (parking, start) = (Parking::default(), Instant::now());
    parking.out_of_balance(start);
    assert!(!parking.polled(YES, at(start, 1)));
    assert_eq!(parking.admit(at(start, 1)), None);
    assert_eq!(parking.admit(at(start, 30)), Some(Pass::Trial));
    assert!(parking.polled(Told { risen: true, ..YES }, at(start, 31)));
    assert_eq!(parking.admit(at(start, 31)), Some(Pass::Open));
}

#[test]
fn the_operators_word_parks_and_ends_it_also_what_was_seen_here() {
    let (parking, start) = (Parking::default(), Instant::now());
    assert!(!parking.document(false, start));
    assert!(parking.document(true, start));
    assert!(!parking.document(true, start), "it said so before");
    assert!(parking.since().is_some());
    assert!(parking.seen_since().is_none(), "the operator does not hear its own word");
    assert_eq!(parking.admit(at(start, 599)), None);
    assert!(parking.document(false, at(start, 599)));
    assert_eq!(parking.admit(at(start, 599)), Some(Pass::Open));

    parking.out_of_balance(start);
    assert!(!parking.document(true, at(start, 5)));
    assert_eq!(parking.admit(at(start, 600)), None, "trials are the poller's now");
    assert!(parking.document(false, at(start, 601)));
    assert_eq!(parking.admit(at(start, 601)), Some(Pass::Open));
}

#[test]
fn an_operator_that_is_away_keeps_nobody_parked_for_ever() {
    let (parking, start) = (Parking::default(), Instant::now());
    parking.document(true, start);
    let trial = parking.admit(at(start, 600)).expect("a trial");
    assert!(parking.answered(trial));
    assert!(!parking.document(true, at(start, 601)), "it says nothing new");
    assert_eq!(parking.admit(at(start, 602)), Some(Pass::Open));
}

#[test]
fn the_pod_that_polls_does_not_wait_for_its_own_word_to_come_back() {
    let (parking, start) = (Parking::default(), Instant::now());
    parking.polled(NO, start);
    parking.document(true, at(start, 1));
    assert!(parking.polled(YES, at(start, 15)));
    assert_eq!(parking.admit(at(start, 15)), Some(Pass::Open));
    assert!(!parking.document(false, at(start, 17)));
}
