//! Answers that look like one and are none.

use super::Seen;
use super::stage::Stage;
use anyhow::{Result, ensure};

/// Each of these of backend a, streamed and in one piece: the answer is that of b.
async fn replaced(faults: &[&str], whole_too: bool) -> Result<Stage> {
    let stage = Stage::of(&["a", "b"], "").await?;
    let mut calls = 0;
    for fault in faults {
        stage[0].set_default(*fault);
        stage.stream().await?.whole_by("b")?;
        calls += 1;
        if whole_too {
            stage.ask().await?.whole_by("b")?;
            calls += 1;
        }
    }
    stage.received(&[calls, calls])?;
    Ok(stage)
}

/// A 200 whose first event is an error.
pub async fn f10_an_error_as_the_first_event_is_a_failure() -> Result<Seen> {
    Ok(replaced(&["error-first", "error-first?error_then=stall"], false).await?.seen(""))
}

/// Before the first token another backend answers. After fifty frames it is passed on as what it is and counts against the
/// backend; where the route resumes streams, another backend goes on.
pub async fn f30_insufficient_system_resource_is_no_finish() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    stage[0].set_default("no-resource-first");
    stage.stream().await?.whole_by("b")?;
    stage.ask().await?.whole_by("b")?;
    let late = "no-resource?chunks=50&thinking=false";
    stage[0].set_default(late);
    let answer = stage.stream().await?;
    let told = answer.body.contains("\"finish_reason\":\"insufficient_system_resource\"");
    ensure!(told && !answer.body.contains("\"finish_reason\":\"stop\""), "as it was sent: {}", answer.end());
    stage.received(&[3, 2])?;
    for _ in 0..12 {
        stage.stream().await?.whole()?;
    }
    ensure!(stage[1].stats().requests > 2, "it counts: the breaker of a is open");
    let resuming = Stage::of(&["a", "b"], "  failover: {midStream: Resume}\n").await?;
    resuming[0].set_default(late);
    let answer = resuming.stream().await?;
    answer.whole()?;
    ensure!(answer.body.contains("\"finish_reason\":\"stop\""), "continued: {}", answer.end());
    resuming.received(&[1, 1])?;
    Ok(stage
        .seen("before the first token: the answer of b; later: the finish reason as sent, or the rest by b"))
}

/// A web page, no choices, no content.
pub async fn f34_a_200_that_holds_nothing_is_a_failure() -> Result<Seen> {
    let stage = replaced(&["html-200", "no-choices", "empty-all"], true).await?;
    stage[0].set_default("null-content");
    stage.ask().await?.whole_by("b")?;
    Ok(stage.seen(""))
}

/// 503 with a web page; 200 with an error in JSON, to a stream as well.
pub async fn f45_a_status_in_disguise_is_seen_through() -> Result<Seen> {
    Ok(replaced(&["html-503", "error-200", "html-502"], true).await?.seen(""))
}
