use super::*;

fn budget(bytes: u64) -> Arc<Budget> {
    let budget = Arc::new(Budget::default());
    budget.resize(bytes, bytes);
    budget
}

fn head() -> Head {
    Head { status: StatusCode::OK, headers: HeaderMap::new(), refused: None }
}

async fn next(reader: &mut Reader) -> Next {
    poll_fn(|cx| reader.poll_next(cx)).await
}

fn piece(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

#[tokio::test]
async fn who_joins_late_reads_all_of_it_from_the_beginning() {
    let (recording, mut first) = Recording::begin(&budget(1000));
    recording.head(head());
    recording.push(Bytes::from_static(b"one ")).await;
    assert_eq!(next(&mut first).await, Next::Piece(Bytes::from_static(b"one ")));
    let mut late = recording.join().expect("the beginning is there");
    recording.push(Bytes::from_static(b"two")).await;
    recording.finish(End::Complete);
    for expected in ["one ", "two"] {
        assert_eq!(next(&mut late).await, Next::Piece(Bytes::from_static(expected.as_bytes())));
    }
    assert_eq!(next(&mut late).await, Next::End(End::Complete));
    assert_eq!(recording.held().expect("it is whole"), Bytes::from_static(b"one two"));
}

#[tokio::test]
async fn beyond_its_budget_it_is_a_window_that_waits_for_its_slowest_reader_and_gives_everything_back() {
    let budget = budget(100);
    let (recording, mut reader) = Recording::begin(&budget);
    recording.push(piece(80)).await;
    assert_eq!(budget.used(), 80);
    recording.push(piece(WINDOW)).await;
    assert!(recording.join().is_none(), "nobody joins what may lose its beginning");
    let waits = timeout(Duration::from_millis(50), recording.push(piece(1)));
    assert!(waits.await.is_err(), "the backend waits");
    let reading = async {
        next(&mut reader).await;
        next(&mut reader).await;
    };
    tokio::join!(reading, recording.push(piece(1)));
    assert_eq!(budget.used(), 0, "what was read is let go");
    recording.finish(End::Complete);
    assert_eq!(next(&mut reader).await, Next::Piece(piece(1)));
    assert!(recording.held().is_none(), "it is not kept");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stands_still_is_left_behind_by_one_that_waits_and_is_told() {
    let (recording, mut quick) = Recording::begin(&budget(WINDOW as u64 + 10));
    recording.push(piece(10)).await;
    let mut slow = recording.join().expect("the beginning is there");
    recording.push(piece(WINDOW + 1)).await;
    next(&mut quick).await;
    next(&mut quick).await;
    let started = tokio::time::Instant::now();
    recording.push(piece(7)).await;
    assert!(started.elapsed() >= PATIENCE, "{:?}", started.elapsed());
    assert_eq!(next(&mut quick).await, Next::Piece(piece(7)));
    assert_eq!(next(&mut slow).await, Next::TooSlow);
}

#[tokio::test]
async fn when_the_last_reader_has_left_it_is_abandoned_and_nobody_joins() {
    let (recording, first) = Recording::begin(&budget(1000));
    let second = recording.join().expect("it is open");
    drop(first);
    assert!(timeout(Duration::from_millis(20), recording.abandoned()).await.is_err());
    let (waited, ()) =
        tokio::join!(timeout(Duration::from_secs(5), recording.abandoned()), async { drop(second) });
    assert!(waited.is_ok());
    assert!(recording.join().is_none());
}

#[tokio::test]
async fn a_reader_of_what_came_to_nothing_is_not_left_waiting() {
    let (recording, reader) = Recording::begin(&budget(1000));
    recording.finish(End::Cut);
    assert!(reader.head().await.is_none());
}
