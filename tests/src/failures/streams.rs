//! Streams that are cut, that lack their end, that hold what does not belong there.

use super::Seen;
use super::stage::Stage;
use anyhow::{Result, ensure};
use std::time::Duration;

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
    ensure!(counted == 4, "counted as interrupted: {counted}");
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

/// Four frames and an error frame, after which the stream ends or stays open.
pub async fn f09_an_error_in_the_middle_of_a_stream_ends_it_once() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    for fault in ["error-mid", "error-mid-open", "error-mid?error_then=done"] {
        stage[0].set_default(fault);
        stage.stream().await?.interrupted()?;
    }
    stage.received(&[3, 0])?;
    stage.until_metric(&["requests_in_flight"], 0).await?;
    let before = stage.cpu().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let busy = stage.cpu().await? - before;
    ensure!(busy < 0.5, "{busy} s of CPU in a second without calls");
    Ok(stage.seen(""))
}

/// A frame of garbage, characters split at every byte.
pub async fn f11_a_frame_that_is_no_json_harms_nothing_else() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    stage[0].set_default("garbage_at=3&thinking=false&answer=[a x] naïve 思考 🚀 done&chunks=8&split=1");
    let answer = stage.stream().await?;
    answer.whole_by("a")?;
    stage[0].set_default("thinking=false&answer=[a x] naïve 思考 🚀 done&split=1");
    let clean = stage.stream().await?;
    ensure!(clean.text("content") == "[a x] naïve 思考 🚀 done", "{}", clean.text("content"));
    let malformed = stage.metric(&["malformed_frames_total"]).await?;
    ensure!(malformed == 1, "counted as malformed: {malformed}");
    stage[0].set_default("plain");
    stage.ask().await?.whole_by("a")?;
    stage.received(&[3])?;
    Ok(stage.seen("the whole answer, the frame as it came, and service afterwards"))
}

/// A reset in the middle of a stream, with another backend at hand.
pub async fn f37_after_the_first_token_nothing_is_sent_again() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    stage[0].set_default("thinking=false&chunks=60&chunk_delay_ms=2&cut_after=10&cut=rst");
    stage.stream().await?.interrupted()?;
    stage.received(&[1, 0])?;
    Ok(stage.seen(""))
}
