//! The sixteen scenarios of failoverbench, scored by its rules: one primary backend that misbehaves, one fallback, the
//! answer streamed. Each says which verdict is due, and fails when it is another, a better one included.
//!
//! *pass*: the caller gets the whole answer (S13: a clean error), and the conduct is right. *partial*: so, but for a check
//! that the catalogue calls advisory. *safe*: a clean error within the time allowed.

use super::Seen;
use super::answer::Answer;
use super::stage::{SOON, Stage};
use crate::calls::{route, world};
use crate::gateway::Gateway;
use crate::kubernetes::try_eventually;
use anyhow::{Result, ensure};
use mock_deepseek::{Flavor, Mock, Options};
use std::time::Duration;

const RESUME: &str = "  failover: {midStream: Resume}\n  timeouts: {idle: 1s}\n";

/// A scenario that was played.
struct Played {
    stage: Stage,
    answer: Answer,
}

async fn play(fault: &str, more: &str) -> Result<Played> {
    let stage = Stage::of(&["a", "b"], more).await?;
    stage[0].set_default(&*saying(fault, "a"));
    stage[1].set_default(&*saying("plain", "b"));
    let answer = stage.stream().await?;
    Ok(Played { stage, answer })
}

/// A scenario whose answer is that of the catalogue in length: sixty words.
fn saying(scenario: &str, name: &str) -> String {
    let joint = if scenario.contains('=') { '&' } else { '?' };
    format!("{scenario}{joint}thinking=false&answer=[{name} x] {}", words())
}

fn words() -> String {
    (1..=58).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ")
}

impl Played {
    /// The whole answer, no word lost or said twice.
    fn complete(&self) -> Result<()> {
        self.answer.whole()?;
        let content = self.answer.text("content");
        let said = content.split_once("] ").map_or("", |(_, said)| said);
        ensure!(said == words(), "altered and presented as a success: {content}");
        Ok(())
    }

    fn primary(&self) -> u64 {
        self.stage[0].stats().requests
    }

    /// The time between the first two attempts at the primary.
    fn gap(&self) -> Option<Duration> {
        let requests = self.stage[0].requests();
        Some(requests.get(1)?.arrived.duration_since(requests[0].arrived))
    }

    /// The verdict, which has to be `due`; `advisory` are the checks that make a pass a partial one.
    fn scored(self, due: &str, advisory: &[(&str, bool)]) -> Result<Seen> {
        let missed: Vec<_> = advisory.iter().filter(|(_, kept)| !kept).map(|(check, _)| *check).collect();
        let verdict = match (self.complete(), self.answer.code()) {
            (Ok(()), _) if missed.is_empty() => "pass".to_owned(),
            (Ok(()), _) => format!("partial ({})", missed.join(", ")),
            (Err(_), Some(_)) => "safe".to_owned(),
            (Err(broken), None) => return Err(broken),
        };
        ensure!(verdict == due, "{verdict} instead of {due}: {}", self.answer.end());
        Ok(self.stage.seen(&format!("{verdict}: {}", self.answer.describe())))
    }
}

/// 429 and `Retry-After: 2` once: another backend is asked at once, where the catalogue would wait.
pub async fn s01_429_with_retry_after() -> Result<Seen> {
    let played = play("error=rate_limit&retry_after=2&fail_first=1", "").await?;
    let honoured = played.gap().is_some_and(|gap| gap >= Duration::from_millis(1800));
    let retried = played.primary() >= 2;
    played.scored(
        "partial (retried, retry_after_honoured)",
        &[("retried", retried), ("retry_after_honoured", honoured)],
    )
}

/// 429 to every attempt.
pub async fn s02_429_without_retry_after_for_ever() -> Result<Seen> {
    let played = play("rate-limit", "").await?;
    ensure!(played.primary() <= 4, "{} attempts", played.primary());
    played.scored("pass", &[])
}

/// 500 once: another backend is asked, where the catalogue would ask the same one.
pub async fn s03_500_once_then_healthy() -> Result<Seen> {
    let played = play("status=500&fail_first=1", "").await?;
    let same = played.primary() >= 2;
    played.scored("partial (same_provider_retry)", &[("same_provider_retry", same)])
}

/// 503 to every attempt.
pub async fn s04_503_for_ever() -> Result<Seen> {
    let played = play("overloaded", "").await?;
    ensure!(played.primary() <= 6, "{} attempts", played.primary());
    played.scored("pass", &[])
}

/// A reset before the headers, once.
pub async fn s05_tcp_reset_before_headers() -> Result<Seen> {
    play("connection=reset&fail_first=1", "").await?.scored("pass", &[])
}

/// The request is read and never answered.
pub async fn s06_no_response_at_all() -> Result<Seen> {
    let played = play("hang", "").await?;
    let once = played.primary() <= 1;
    played.scored("pass", &[("silent_route_not_retried", once)])
}

/// The first token after 20 s.
pub async fn s07_slow_first_token() -> Result<Seen> {
    let played = play("slow-first-token", "").await?;
    let early = played.answer.took < Duration::from_secs(15);
    played.scored("pass", &[("ttft_limit", early)])
}

/// A cut after 40 of 60 frames.
pub async fn s08_stream_cut_in_the_middle() -> Result<Seen> {
    play("cut_after=40", RESUME).await?.scored("pass", &[])
}

/// Silence after 20 frames.
pub async fn s09_stream_stalls() -> Result<Seen> {
    let played = play("stall_after=20", RESUME).await?;
    ensure!(played.answer.took < Duration::from_secs(45), "{:?}", played.answer.took);
    played.scored("pass", &[])
}

/// The tenth event is no JSON.
pub async fn s10_malformed_chunk_in_the_stream() -> Result<Seen> {
    let played = play("garbage_at=10", "").await?;
    // The fake sends the garbage in the place of a frame, so that one word cannot be there.
    played.answer.whole_by("a")?;
    let healthy = played.stage.ask().await?;
    healthy.whole_by("a")?;
    Ok(played.stage.seen(&format!("pass: {}", played.answer.describe())))
}

/// A whole stream without `[DONE]`.
pub async fn s11_stream_ends_without_done() -> Result<Seen> {
    let played = play("no-done", "").await?;
    let usage = played.answer.frames().iter().any(|frame| frame["usage"].is_object());
    ensure!(played.answer.took < Duration::from_secs(8), "at once: {:?}", played.answer.took);
    played.scored("pass", &[("usage_reported", usage)])
}

/// A context that is too long: the caller is told, and no other backend is asked.
pub async fn s12_context_length_exceeded() -> Result<Seen> {
    let played = play("context", "").await?;
    ensure!(played.primary() == 1, "{} attempts", played.primary());
    played.scored("safe", &[])
}

/// Refused content: here a clean error is what is due.
pub async fn s13_content_filter_rejection() -> Result<Seen> {
    let played = play("content-risk", "").await?;
    played.stage.received(&[1, 0])?;
    ensure!(played.answer.status == 400, "{} {}", played.answer.status, played.answer.end());
    Ok(played.stage.seen(&format!("pass: {}", played.answer.describe())))
}

/// A cut after 40 frames each time, beside a fallback that is known to take no prefix: it is not asked for one.
pub async fn s14_fallback_rejects_prefill() -> Result<Seen> {
    let primary = Mock::start(Options::named("a")).await?;
    let fallback = Mock::start(Options::flavored("b", Flavor::OpenAi)).await?;
    primary.set_default(&*saying("cut_after=40", "a"));
    fallback.set_default("no-prefix");
    let documents = route(&[&primary, &fallback], RESUME).replace("{name: b,", "{name: b, flavor: OpenAI,");
    let gateway = Gateway::standalone(&world(&documents)).await?;
    let stage = Stage::with(vec![primary, fallback], gateway);
    let answer = stage.stream().await?;
    ensure!(stage[1].stats().requests == 0, "a prefix was sent to one that takes none");
    Played { stage, answer }.scored("safe", &[])
}

/// Down for a while, then healthy.
pub async fn s15_primary_flaps() -> Result<Seen> {
    let policy = "  failover: {circuitBreaker: {openFor: 1s, slowStart: 0s}}\n";
    let stage = Stage::of(&["a", "b"], policy).await?;
    stage[0].set_default("overloaded");
    for _ in 0..15 {
        stage.stream().await?.whole_by("b")?;
    }
    let during = stage[0].stats().requests;
    ensure!(during <= 15, "{during} attempts at the primary for 15 calls");
    stage[0].set_default("plain");
    try_eventually("the primary is back", SOON, async || stage.stream().await?.whole_by("a")).await?;
    Ok(stage.seen("pass: every call answered, and the primary used again"))
}

/// 503 to every attempt: whose answer it is, and what it used.
pub async fn s16_failover_accounting() -> Result<Seen> {
    let played = play("overloaded", "").await?;
    let usage = |frame: &serde_json::Value| frame["usage"]["completion_tokens"].as_u64();
    let reported = played.answer.frames().iter().find_map(usage);
    let counted = played.stage.metric(&["tokens_total", "token_type=\"output\""]).await?;
    ensure!(reported == Some(counted), "{counted} tokens are counted, {reported:?} were reported");
    ensure!(played.answer.by() == "b", "the answer names the model that gave it");
    played.scored("pass", &[("usage_present", reported.is_some())])
}
