//! What passes through: bytes as they came, at once, and no more than the client takes.

use super::Seen;
use super::answer::Answer;
use super::stage::Stage;
use crate::calls::{KEY, PROVIDER_KEY, client, hello, hello_streamed};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A tool turn, which the fake refuses without its `reasoning_content`, with fields that nobody knows.
pub async fn f27_reasoning_and_unknown_fields_survive_both_ways() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}});
    let mut body = json!({"model": "deepseek-flash", "x_unknown": {"kept": [1, 2.50, "ü"]}, "messages": [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": null, "reasoning_content": "I shall ask.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]});
    for stream in [false, true] {
        body["stream"] = json!(stream);
        let answer = as_direct(&stage, &body).await?;
        ensure!(!answer.text("reasoning_content").is_empty(), "the reasoning is there: {}", answer.end());
    }
    Ok(stage.seen("byte for byte what the backend sent, its `reasoning_content` included"))
}

/// Thinking on, off and unsaid, efforts, numbers and spaces as they were written.
pub async fn f28_nothing_is_edited_silently() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    for more in [
        r#""thinking": {"type":"enabled"}"#,
        r#""thinking":{"type":"disabled"} , "temperature": 0.70"#,
        r#""reasoning_effort":"high","top_p":1e0"#,
        r#""user":"\u00fcser""#,
    ] {
        let body = format!(
            "{{ {more}, \"model\" :\"deepseek-flash\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}"
        );
        let call = client().post(stage.gateway.url("/v1/chat/completions")).bearer_auth(KEY);
        let answer = Answer::to(call.header("content-type", "application/json").body(body.clone())).await?;
        stage.note(&answer);
        answer.whole_by("a")?;
        let received = stage[0].last_request().context("a request")?.body;
        ensure!(received == body.as_bytes(), "{body} became {}", String::from_utf8_lossy(&received));
    }
    stage.received(&[4])?;
    Ok(stage.seen(""))
}

/// One frame of 300 KiB, tool arguments of 5 MiB.
pub async fn f31_a_frame_of_any_size_passes() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    for fault in ["wide", "wide-tool"] {
        stage[0].set_default(fault);
        for body in [hello_streamed(), hello()] {
            as_direct(&stage, &body).await.with_context(|| fault)?;
        }
    }
    Ok(stage.seen("byte for byte what the backend sent"))
}

/// The answer through the gateway, which must be that of the fake without it, to the byte; so must the request be.
async fn as_direct(stage: &Stage, body: &Value) -> Result<Answer> {
    let url = format!("{}/v1/chat/completions", stage[0].base_url());
    let direct = Answer::to(client().post(url).bearer_auth(PROVIDER_KEY).json(body)).await?;
    let sent = stage[0].last_request().context("a request")?.body;
    let answer = stage.chat(body).await?;
    answer.whole()?;
    ensure!(answer.body == direct.body, "{} bytes instead of {}", answer.body.len(), direct.body.len());
    ensure!(stage[0].last_request().context("a request")?.body == sent, "the request was changed");
    Ok(answer)
}

/// Thirty streams of 32 MiB, as fast as they can be sent, to clients that do not read.
pub async fn f36_a_slow_reader_slows_its_backend_and_grows_no_memory() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    stage[0].set_default("thinking=false&chunks=500&chunk_bytes=65536");
    let memory = ["process_resident_memory_bytes"];
    let idle = stage.metric(&memory).await?;
    let started = Instant::now();
    let mut readers = Vec::new();
    for _ in 0..30 {
        readers.push(stage.post_stream().send().await?);
    }
    let frames = || stage[0].requests().iter().map(|request| request.frames).sum::<u64>();
    let mut before = 0;
    while before < frames() {
        before = frames();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let whole = 30 * 500;
    ensure!(before < whole / 2, "{before} of {whole} frames were taken from a backend nobody reads");
    let grown = stage.metric(&memory).await?.saturating_sub(idle) >> 20;
    ensure!(grown < 64, "{grown} MiB more for thirty clients that do not read");
    for reader in readers.drain(..2) {
        let answer = Answer::rest_of(reader, started).await?;
        answer.whole_by("a")?;
    }
    drop(readers);
    stage.until_metric(&["requests_in_flight"], 0).await?;
    stage[0].set_default("plain");
    stage.ask().await?.whole_by("a")?;
    let client = format!("its answer when it reads; until then the gateway held {grown} MiB for 30 of them");
    let mut seen = stage.seen(&client);
    seen.calls += 30;
    Ok(seen)
}

/// Frames of a few bytes every 5 ms: none waits for an acknowledgement, which comes after 40 ms.
pub async fn f38_small_frames_are_passed_on_at_once() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    stage[0].set_default("thinking=false&chunks=100&chunk_delay_ms=5");
    let mut most = 0;
    // A client that gets no time to read finds several frames at once: of three tries the best one counts.
    for _ in 0..3 {
        let mut response = stage.post_stream().send().await?;
        let mut pieces = 0;
        while response.chunk().await?.is_some() {
            pieces += 1;
        }
        most = most.max(pieces);
    }
    // Held back for 40 ms they would arrive by the eight.
    ensure!(most > 30, "{most} pieces for a hundred frames");
    let (direct, through) = (first_byte(&stage, false).await?, first_byte(&stage, true).await?);
    let mut seen = stage.seen("each frame by itself");
    (seen.calls, seen.added) = (seen.attempts[0].1, through.saturating_sub(direct));
    Ok(seen)
}

/// The median time to the first byte of a stream, through the gateway or without it.
async fn first_byte(stage: &Stage, through: bool) -> Result<Duration> {
    stage[0].set_default("thinking=false");
    let client = client();
    let mut times = Vec::new();
    for _ in 0..21 {
        let call = if through {
            client.post(stage.gateway.url("/v1/chat/completions")).bearer_auth(KEY)
        } else {
            client.post(format!("{}/v1/chat/completions", stage[0].base_url())).bearer_auth(PROVIDER_KEY)
        };
        let started = Instant::now();
        let mut response = call.json(&hello_streamed()).send().await?;
        response.chunk().await?.context("a frame")?;
        times.push(started.elapsed());
        while response.chunk().await?.is_some() {}
    }
    times.sort();
    Ok(times[times.len() / 2])
}
