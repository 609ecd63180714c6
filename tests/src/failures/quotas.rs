//! What is reserved before a call, and what it is billed for after it.

use super::Seen;
use super::answer::Answer;
use super::pods::pods;
use super::stage::{SOON, Stage, fakes};
use crate::calls::{gateway, hello, hello_streamed, post, route, world};
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use std::time::Instant;

/// Fifty calls at once, where five fit.
pub async fn f18_calls_at_the_same_time_do_not_overrun_a_limit() -> Result<Seen> {
    let stage = Stage::of(&["a"], "  quota: [{tokens: 5100, window: 1d}]\n").await?;
    stage[0].set_default("stall");
    let mut body = with("max_tokens", json!(1000));
    body["stream"] = json!(true);
    let started = Instant::now();
    // Those that are admitted stay in flight for as long as their answers are held.
    let calls = (0..50).map(|_| stage.post("/v1/chat/completions", &body).send());
    let answers = try_join_all(calls).await?;
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status() == 200);
    ensure!(admitted.len() == 5, "{} of 50 were admitted, 5 fit", admitted.len());
    for refused in refused {
        let answer = Answer::rest_of(refused, started).await?;
        answer.refused(429, "rate_limit_exceeded")?;
        stage.note(&answer);
    }
    stage.received(&[5])?;
    let mut seen = stage.seen("5 answers, 45 times 429 `rate_limit_exceeded`");
    seen.calls += 5;
    Ok(seen)
}

/// A limit below what a call without `max_tokens` is thought to need.
pub async fn f18b_a_call_without_a_maximum_is_let_in() -> Result<Seen> {
    let stage = Stage::of(&["a"], "  quota: [{tokens: 1000, window: 1d}]\n").await?;
    let answer = stage.ask().await?;
    answer.whole_by("a")?;
    let second = stage.chat(&with("max_tokens", json!(100))).await?;
    second.whole_by("a").context("the first call is settled to what it used")?;
    stage.received(&[2])?;
    Ok(stage.seen(""))
}

/// A refused connection, a client that leaves, a gateway that is killed.
pub async fn f19_what_was_reserved_comes_back_however_a_call_ends() -> Result<Seen> {
    let quota = "  quota: [{tokens: 3000, window: 1d}]\n";
    let stage = Stage::of(&["a"], quota).await?;
    let large = with("max_tokens", json!(2900));
    stage[0].kill().await?;
    stage.chat(&large).await?.refused(502, "upstream_unreachable")?;
    stage[0].restart().await?;
    ensure!(remaining(&stage.chat(&large).await?)? < 100, "all of it was there again, and was reserved");

    let fresh = Stage::of(&["a"], quota).await?;
    fresh[0].set_default("thinking=false&chunks=400&chunk_delay_ms=20");
    let mut streamed = hello_streamed();
    streamed["max_tokens"] = json!(2900);
    let mut leaving = post(&fresh.gateway, "/v1/chat/completions", &streamed).send().await?;
    leaving.chunk().await?.context("a frame")?;
    drop(leaving);
    fresh[0].wait_for(|stats| stats.cancelled == 1, SOON).await?;
    fresh.until_metric(&["requests_in_flight"], 0).await?;
    fresh[0].set_default("plain");
    let left = remaining(&fresh.chat(&with("max_tokens", json!(100))).await?)?;
    ensure!((2500..2900).contains(&left), "of 3000 some dozens were used: {left} remain");

    let mut killed = Stage::of(&["a"], quota).await?;
    killed[0].set_default("stall");
    let mut cut = post(&killed.gateway, "/v1/chat/completions", &streamed).send().await?;
    cut.chunk().await?.context("a frame")?;
    killed.gateway.signal("KILL")?;
    killed.gateway.exited(SOON).await?;
    killed[0].wait_for(|stats| stats.in_flight == 0, SOON).await?;
    killed[0].set_default("plain");
    let upstreams: Vec<_> = killed.upstreams.iter().collect();
    let again = Stage::with(Vec::new(), gateway(&upstreams, quota).await?);
    again.chat(&large).await?.whole_by("a").context("nothing outlives the process")?;
    Ok(stage.seen("after each of them, a call for all that is left is answered"))
}

/// 150 calls, spread over three pods that know of each other only how many they are.
pub async fn f22_pods_share_a_quota() -> Result<Seen> {
    let upstreams = fakes(&["a"]).await?;
    let quota = "  quota: [{requests: 100, window: 1d}]\n";
    let pods = pods(&world(&route(&[&upstreams[0]], quota)), 3).await?;
    let body = hello();
    let calls = pods.iter().cycle().take(150);
    let calls = calls.map(|pod| Answer::to(post(&pod.gateway, "/v1/chat/completions", &body)));
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(20).try_collect().await?;
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    refused.iter().try_for_each(|answer| answer.refused(429, "rate_limit_exceeded"))?;
    let longest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
    let (admitted, attempts) = (admitted.len(), upstreams[0].stats().requests);
    ensure!(
        (97..=100).contains(&admitted) && attempts == admitted as u64,
        "{admitted} answers, {attempts} attempts"
    );
    Ok(Seen {
        client: format!("{admitted} answers, {} times 429 `rate_limit_exceeded`", refused.len()),
        calls: 150,
        attempts: vec![("a".to_owned(), attempts)],
        added: longest,
    })
}

/// `max_completion_tokens`, `n`, a prompt that is a list, large tools.
pub async fn f24_every_field_that_asks_for_more_reserves_more() -> Result<Seen> {
    let stage = Stage::of(&["a"], "  quota: [{tokens: 100000, window: 1d}]\n").await?;
    let text = "word ".repeat(72_000);
    let tool = json!({"type": "function", "function": {"name": "t", "description": text, "parameters": {}}});
    let mut several = with("max_tokens", json!(30_000));
    several["n"] = json!(3);
    let prompts = json!({"model": "deepseek-flash", "prompt": [text], "max_tokens": 100});
    for (path, body) in [
        ("/v1/chat/completions", with("max_completion_tokens", json!(90_000))),
        ("/v1/chat/completions", several),
        ("/v1/chat/completions", with("tools", json!([tool]))),
        ("/beta/completions", prompts),
    ] {
        // What is left is told as it was when the call was admitted.
        let fields =
            body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let left = remaining(&stage.call(path, &body).await?)?;
        ensure!(left < 10_500, "{fields:?}: {left} of 100000 remain");
        stage.until_metric(&["requests_in_flight"], 0).await?;
    }
    Ok(stage.seen("each reserves about 90000 of 100000 tokens, settled after it"))
}

/// On the finish frame, on a frame of its own, in no frame at all.
pub async fn f25_usage_is_billed_wherever_it_stands() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    let output = ["tokens_total", "token_type=\"output\""];
    let mut with_usage = hello_streamed();
    with_usage["stream_options"] = json!({"include_usage": true});
    let mut before = 0;
    for form in ["plain", "usage-separate", "usage-plain", "usage-none"] {
        stage[0].set_default(form);
        stage.chat(&with_usage).await?.whole_by("a")?;
        stage.until_metric(&["requests_in_flight"], 0).await?;
        let now = stage.metric(&output).await?;
        ensure!(now > before, "{form}: nothing was billed");
        before = now;
    }
    let estimated = stage.metric(&["usage_estimated_total"]).await?;
    ensure!(estimated == 1, "the one without usage is counted as an estimate: {estimated}");
    Ok(stage.seen(""))
}

/// The hit and miss pair, the details alone, both.
pub async fn f26_cache_hits_are_counted_once_and_as_such() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    for (calls, fields) in (1..).zip(["hit_miss", "details", "deep_seek"]) {
        let usage = format!("thinking=false&prompt_tokens=1000&cached_tokens=640&usage_fields={fields}");
        stage[0].set_default(usage.as_str());
        stage.stream().await?.whole_by("a")?;
        stage.until_metric(&["tokens_total", "token_type=\"cached_input\""], 640 * calls).await?;
        stage.until_metric(&["tokens_total", "token_type=\"input\""], 360 * calls).await?;
    }
    Ok(stage.seen(""))
}

fn with(field: &str, value: Value) -> Value {
    let mut body = hello();
    body[field] = value;
    body
}

/// The tokens that were left when a call was admitted.
fn remaining(answer: &Answer) -> Result<u64> {
    let header = answer.headers.get("x-ratelimit-remaining-tokens");
    let header = header.with_context(|| format!("no limit is told: {} {}", answer.status, answer.end()))?;
    Ok(header.to_str()?.parse()?)
}
