//! Waiting for a condition, never for a time.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// First pause between two looks; it grows to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Calls `look` until it is `Ok`, and panics with the last `Err` when `deadline` has passed.
///
/// ```ignore
/// let route = eventually("the route is Ready", Duration::from_secs(10), async || {
///     let route = routes.get("chat").await?;
///     anyhow::ensure!(is_ready(&route), "status is {:?}", route.status);
///     anyhow::Ok(route)
/// })
/// .await;
/// ```
#[track_caller]
pub fn eventually<T, E: Display>(
    what: &str,
    deadline: Duration,
    look: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match try_eventually(what, deadline, look).await {
            Ok(value) => value,
            Err(error) => panic!("{error:#} (waited for at {caller})"),
        }
    }
}

/// As [`eventually`], for those who pass the failure on.
pub async fn try_eventually<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut looks = 0_u32;
    let mut last = String::from("it never answered");
    loop {
        // A look that hangs must not outlive the deadline either.
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left.max(FIRST_PAUSE), look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) if looks > 0 => last = format!("no answer in time; before that: {last}"),
            Err(_) => {}
        }
        looks += 1;
        if start.elapsed() >= deadline {
            anyhow::bail!("not within {deadline:?}: {what}; last of {looks} looks: {last}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
