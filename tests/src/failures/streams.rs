//! Streams that are cut, that stall, that lack their end.

use super::Seen;
use super::stage::{SOON, Stage};
use anyhow::{Result, ensure};

/// A FIN, an RST, a clean end, half a frame after 40 of 60 frames.
pub async fn f01_a_cut_stream_is_never_presented_as_a_success() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    for way in ["fin", "rst", "clean", "mid_frame"] {
        stage[0].set_default(format!("thinking=false&chunks=60&cut_after=40&cut={way}").as_str());
        let answer = stage.stream().await?;
        answer.interrupted()?;
        // A reset may overtake what was sent before it.
        let frames = answer.frames().len();
        ensure!(frames == 41 || way == "rst", "{way}: all that came, and the error: {frames} frames");
    }
    stage.received(&[4, 0])?;
    let counted = stage.metric(&["http_requests_total", "reason=\"stream_interrupted\""]).await?;
    ensure!(counted == 4.0, "counted as interrupted: {counted}");
    Ok(stage.seen(""))
}

/// Without `[DONE]` a finished answer is complete; `[DONE]` without a finish reason completes nothing.
pub async fn f02_a_missing_end_mark_is_told_from_a_missing_finish() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    stage[0].set_default("no-done");
    let answer = stage.stream().await?;
    answer.whole_by("a")?;
    let usage = answer.frames().iter().any(|frame| frame["usage"]["total_tokens"].is_u64());
    ensure!(usage, "its usage is there: {}", answer.end());
    stage[0].set_default("no-finish");
    stage.stream().await?.interrupted()?;
    stage.received(&[2])?;
    Ok(stage.seen("without the mark: the whole answer; without the finish: an error event"))
}

/// Twenty frames, then a connection that stays open.
pub async fn f03_silence_in_the_middle_of_a_stream_ends_by_the_clock() -> Result<Seen> {
    silent("chunks=60&stall_after=20").await
}

/// Five frames, then a comment every 20 ms.
pub async fn f04_comments_do_not_keep_a_stalled_stream_alive() -> Result<Seen> {
    silent("chunks=60&stall_after=5&stall_keep_alive_ms=20").await
}

async fn silent(fault: &str) -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "  timeouts: {idle: 1s}\n").await?;
    stage[0].set_default(fault);
    let answer = stage.stream().await?;
    answer.interrupted()?;
    ensure!(answer.took.as_secs_f64() >= 1.0, "not before its time: {:?}", answer.took);
    stage[0].wait_for(|stats| stats.cancelled == 1, SOON).await?;
    stage[0].set_default("plain");
    stage.ask().await?.whole_by("a")?;
    Ok(stage.seen(&answer.describe()))
}

/// Before, between and after the frames, in pieces of one byte; 200 blank lines before JSON; blank lines and no more.
pub async fn f05_comments_and_blank_lines_are_no_answer_and_no_harm() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    for noise in ["keep_alives=3&keep_alive_between=true", "keep_alives=3&keep_alive_between=true&split=1"] {
        stage[0].set_default(noise);
        stage.stream().await?.whole_by("a")?;
    }
    stage[0].set_default("keep_alives=200");
    stage.ask().await?.whole_by("a")?;
    for nothing in ["blank", "blank-slow"] {
        stage[0].set_default(nothing);
        stage.ask().await?.whole_by("b")?;
        stage.stream().await?.whole_by("b")?;
    }
    stage.received(&[7, 4])?;
    Ok(stage.seen("the answer of a; where a sends only blanks, that of b"))
}
