//! Backends that are silent: before the answer, in the middle of it, and while they think.

use super::Seen;
use super::answer::Answer;
use super::middlebox::impatient;
use super::stage::Stage;
use crate::calls::{KEY, client, hello, hello_streamed};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long the load balancer in between bears silence.
const PATIENCE: Duration = Duration::from_secs(3);

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
    stage.cancelled_when_left(0, Instant::now()).await?;
    answer.interrupted()?;
    ensure!(answer.took.as_secs_f64() >= 1.0, "not before its time: {:?}", answer.took);
    stage[0].set_default("plain");
    stage.ask().await?.whole_by("a")?;
    Ok(stage.seen(&answer.describe()))
}

/// The request is read, or not even that; half a head comes, or nothing.
pub async fn f06_a_backend_that_never_answers_is_replaced() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "  timeouts: {firstToken: 1s, answer: 1s}\n").await?;
    for (calls, fault) in (1..).zip(["hang", "half-headers"]) {
        stage[0].set_default(fault);
        let answer = stage.stream().await?;
        answer.whole_by("b")?;
        ensure!(answer.took < Duration::from_secs(10), "{fault}: within the call's time: {:?}", answer.took);
        ensure!(stage[0].stats().requests == calls, "{fault}: the silent one is asked once");
    }
    stage[0].set_default("hang");
    stage.ask().await?.whole_by("b")?;
    stage.received(&[3, 3])?;
    Ok(stage.seen(""))
}

/// Headers at once, the first token after 20 s; comments and nothing else.
pub async fn f07_headers_without_a_token_are_no_answer() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], "  timeouts: {firstToken: 1s}\n").await?;
    for fault in ["slow-first-token", "keep-alive-forever"] {
        stage[0].set_default(fault);
        let answer = stage.stream().await?;
        answer.whole_by("b")?;
        ensure!(answer.took < Duration::from_secs(10), "{fault}: long before the token: {:?}", answer.took);
        let next = stage[1].last_request().context("the next one was asked")?;
        stage.cancelled_when_left(0, next.arrived).await?;
    }
    stage.received(&[2, 2])?;
    Ok(stage.seen(""))
}

/// Five seconds of thinking, behind a load balancer that cuts connections after three seconds without a byte.
pub async fn f08_a_thinking_model_is_not_cut_by_what_is_in_between() -> Result<Seen> {
    let stage = Stage::of(&["a"], "  keepAlive: {interval: 1s, blankPadding: true}\n").await?;
    stage[0].set_default("first_token_delay_ms=5000");
    let between = impatient(stage.gateway.address(), PATIENCE).await?;
    for body in [hello_streamed(), hello()] {
        let url = format!("http://{between}/v1/chat/completions");
        let answer = Answer::to(client().post(url).bearer_auth(KEY).json(&body)).await?;
        answer.whole_by("a")?;
        stage.note(&answer);
    }
    stage.received(&[2])?;
    Ok(stage.seen("").less(Duration::from_secs(5)))
}

/// `/anthropic/v1/messages`, silent before the first event.
pub async fn f43_an_anthropic_stream_shows_signs_of_life() -> Result<Seen> {
    let stage = Stage::of(&["a"], "  keepAlive: {interval: 1s}\n").await?;
    stage[0].set_default("first_token_delay_ms=4000");
    let between = impatient(stage.gateway.address(), PATIENCE).await?;
    let body = json!({"model": "deepseek-flash", "max_tokens": 100, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let call = client().post(format!("http://{between}/anthropic/v1/messages")).header("x-api-key", KEY);
    let answer = Answer::to(call.json(&body)).await?;
    stage.note(&answer);
    ensure!(answer.status == 200 && !answer.broke, "{} {}", answer.status, answer.end());
    ensure!(answer.body.contains("event: message_stop"), "it ends as it should: {}", answer.end());
    let signs = answer.body.matches(": keep-alive\n\n").count();
    ensure!(signs >= 2, "{signs} comments in four seconds");
    stage.received(&[1])?;
    Ok(stage.seen("200, comments, then all events to `message_stop`").less(Duration::from_secs(4)))
}
