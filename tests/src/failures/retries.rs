//! Who is asked again, how often, and when.

use super::Seen;
use super::stage::{SOON, Stage};
use crate::calls::{hello, hello_streamed};
use crate::kubernetes::try_eventually;
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

/// `Retry-After: 2`, `Retry-After-Ms: 1500`, a 429 without either that never ends.
pub async fn f14_retry_after_is_waited_for_or_another_is_asked() -> Result<Seen> {
    let alone = Stage::of(&["a"], "").await?;
    for (fault, least) in [("retry_after=2", 2000), ("retry_after_ms=1500", 1500)] {
        alone[0].set_default(format!("error=rate_limit&{fault}&fail_first=1").as_str());
        alone.stream().await?.whole_by("a")?;
        let [.., first, second] = &alone[0].requests()[..] else { anyhow::bail!("two requests") };
        let gap = second.arrived.duration_since(first.arrived);
        ensure!(gap >= Duration::from_millis(least - 20), "{fault}: asked again after {gap:?}");
    }
    alone.received(&[4])?;
    let both = Stage::of(&["a", "b"], "").await?;
    both[0].set_default("rate-limit");
    let answer = both.stream().await?;
    answer.whole_by("b")?;
    both.received(&[1, 1])?;
    Ok(alone.seen("alone: the whole answer after the pause; with another: its answer at once"))
}

/// 503 from the first call on: fifteen calls, then fifty at the same time.
pub async fn f15_a_backend_that_is_down_is_left_alone() -> Result<Seen> {
    let policy = "  failover: {circuitBreaker: {window: 60s, openFor: 60s}}\n";
    let stage = Stage::of(&["a", "b"], policy).await?;
    stage[0].set_default("overloaded");
    let mut output = 0;
    for _ in 0..15 {
        let answer = stage.stream().await?;
        answer.whole_by("b")?;
        let usage = answer.frames().into_iter().find(|frame| frame["usage"].is_object());
        output += usage.and_then(|frame| frame["usage"]["completion_tokens"].as_u64()).unwrap_or(0);
    }
    stage.received(&[10, 15])?;
    let billed = stage.metric(&["tokens_total", "token_type=\"output\""]).await?;
    ensure!(output > 0 && billed == output, "{billed} tokens are counted, b reported {output}");
    let burst = stage.burst(50, &hello_streamed()).await?;
    burst.iter().try_for_each(|answer| answer.whole_by("b"))?;
    stage.received(&[10, 65])?;
    Ok(stage.seen(""))
}

/// Down, then well: twenty calls at the same time while the trial is under way.
pub async fn f16_a_backend_that_is_well_again_is_found_by_one_trial() -> Result<Seen> {
    let policy = "  failover: {circuitBreaker: {minRequests: 4, openFor: 1s, slowStart: 0s}}\n";
    let stage = Stage::of(&["a", "b"], policy).await?;
    stage[0].set_default("overloaded");
    for _ in 0..6 {
        stage.ask().await?.whole_by("b")?;
    }
    stage.received(&[4, 6])?;
    stage[0].set_default("header_delay_ms=4000");
    try_eventually("a trial is made", SOON, async || {
        stage.burst(20, &hello()).await?;
        ensure!(stage[0].stats().requests > 4, "not yet");
        Ok(())
    })
    .await?;
    let trials = stage[0].stats().requests - 4;
    ensure!(trials == 1, "{trials} trials at once");
    stage[0].set_default("plain");
    stage.ask().await?.whole_by("a")?;
    let seen = stage.seen("the answer of b while a is down, that of a after one trial");
    Ok(seen.less(Duration::from_secs(4)))
}

/// 500 everywhere: one call over three backends, then fifty calls at one.
pub async fn f17_retries_are_bounded_for_a_call_and_for_a_backend() -> Result<Seen> {
    let once = Stage::of(&["a", "b"], "").await?;
    once[0].set_default("status=500&fail_first=1");
    once.stream().await?.whole()?;
    ensure!(once.attempts() == 2, "500 once: {} attempts", once.attempts());
    let stage = Stage::of(&["a", "b", "c", "d"], "").await?;
    stage.upstreams.iter().for_each(|upstream| upstream.set_default("server-error"));
    stage.ask().await?.refused(502, "upstream_error")?;
    ensure!(stage.attempts() == 3, "{} attempts for one call", stage.attempts());
    let alone = Stage::of(&["a"], "  failover: {circuitBreaker: {minRequests: 1000}}\n").await?;
    alone[0].set_default("server-error");
    let started = Instant::now();
    alone.burst(50, &hello()).await?;
    let again = alone.attempts() - 50;
    // A fifth of the calls; and three in each ten seconds, however few calls there are.
    let due = 10 + 3 * (1 + started.elapsed().as_secs() / 10);
    ensure!(again <= due, "{again} repeated attempts for fifty calls, {due} were due at most");
    Ok(stage.seen(""))
}

/// A forced `tool_choice` while thinking, more often than a breaker would bear.
pub async fn f29_a_mistake_of_the_caller_is_told_and_counts_against_nobody() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    let mut body = hello();
    body["thinking"] = json!({"type": "enabled"});
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": {}}}]);
    body["tool_choice"] = json!("required");
    for _ in 0..12 {
        let answer = stage.chat(&body).await?;
        ensure!(answer.status == 400, "{} {}", answer.status, answer.end());
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("tool_choice"), "in the provider's words: {message}");
    }
    stage.received(&[12, 0])?;
    let seen = stage.seen("400 in the provider's words");
    stage.ask().await?.whole_by("a")?;
    Ok(seen)
}

/// Closed after accepting, reset, closed when a kept connection is used again.
pub async fn f32_a_connection_that_breaks_before_an_answer_is_retried() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    for fault in ["connection=reset&fail_first=1", "connection=close&fail_first=1", "close-after"] {
        stage[0].set_default(fault);
        stage.stream().await?.whole_by("a")?;
        stage.ask().await?.whole_by("a")?;
    }
    ensure!(stage.attempts() <= 9, "{} attempts for six calls", stage.attempts());
    let reused = Stage::of(&["a"], "").await?;
    reused[0].set_default("close-on-reuse");
    for _ in 0..3 {
        reused.ask().await?.whole_by("a")?;
    }
    let both = Stage::of(&["a", "b"], "").await?;
    both[0].set_default("accept-reset");
    both.stream().await?.whole_by("b")?;
    both.received(&[0, 1])?;
    Ok(stage.seen(""))
}

/// A context that is too long, content that was refused.
pub async fn f33_refused_content_is_never_sent_elsewhere() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "").await?;
    for fault in ["context", "content-risk"] {
        stage[0].set_default(fault);
        for answer in [stage.stream().await?, stage.ask().await?] {
            ensure!(answer.status == 400, "{fault}: {} {}", answer.status, answer.end());
            let message = answer.json()["error"]["message"].is_string();
            ensure!(message, "{fault}: in the provider's words: {}", answer.end());
        }
    }
    stage.received(&[4, 0])?;
    Ok(stage.seen("400 in the provider's words"))
}
