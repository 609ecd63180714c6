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

/// Before the first token another backend answers; after fifty frames the client is told.
pub async fn f30_insufficient_system_resource_is_no_finish() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    stage[0].set_default("no-resource-first");
    stage.stream().await?.whole_by("b")?;
    stage.ask().await?.whole_by("b")?;
    stage[0].set_default("no-resource?chunks=50&thinking=false");
    let answer = stage.stream().await?;
    answer.interrupted()?;
    ensure!(answer.frames().len() >= 50, "what was said is passed on: {} frames", answer.frames().len());
    stage.received(&[3, 2])?;
    Ok(stage.seen("before the first token: the answer of b; after fifty frames: an error event"))
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
