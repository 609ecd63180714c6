//! Quotas of one pod: requests, tokens, requests in flight.

use crate::support::{chat, chat_json, client, code, gateway, hello, hello_streamed, upstream};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn requests_over_the_quota_get_429_with_the_time_to_wait() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "  quota: [{requests: 3, window: 1d}]\n").await?;
    for remaining in ["2", "1", "0"] {
        let response = chat(&gateway, &hello()).await?;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-ratelimit-limit-requests"], "3");
        assert_eq!(response.headers()["x-ratelimit-remaining-requests"], remaining);
    }
    let response = chat(&gateway, &hello()).await?;
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str()?.parse()?;
    assert!((1..=86_400).contains(&wait), "{wait}");
    assert!(response.headers()["x-ratelimit-reset-requests"].to_str()?.ends_with('s'));
    assert_eq!(code(&response.json::<Value>().await?), "rate_limit_exceeded");
    assert_eq!(a.stats().requests, 3);
    Ok(())
}

#[tokio::test]
async fn tokens_are_reserved_before_and_settled_to_what_the_backend_reports() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "  quota: [{per: Route, tokens: 3000, window: 1d}]\n").await?;
    let mut body = hello();
    body["max_tokens"] = json!(2900);
    let answer = chat(&gateway, &body).await?;
    let reserved: u64 = answer.headers()["x-ratelimit-remaining-tokens"].to_str()?.parse()?;
    assert!(reserved < 100, "the whole maximum is reserved first: {reserved}");
    let used = answer.json::<Value>().await?["usage"]["total_tokens"].as_u64().expect("usage");
    body["max_tokens"] = json!(10);
    let answer = chat(&gateway, &body).await?;
    let remaining: u64 = answer.headers()["x-ratelimit-remaining-tokens"].to_str()?.parse()?;
    assert!(remaining > 3000 - used - 60, "settled to {used}: {remaining} remain");
    let mut streamed = hello_streamed();
    streamed["max_tokens"] = json!(2900);
    chat(&gateway, &streamed).await?.text().await?;
    body["max_tokens"] = json!(2990);
    let (status, answer) = chat_json(&gateway, &body).await?;
    assert_eq!(
        (status, code(&answer)),
        (429, "rate_limit_exceeded"),
        "what was used before stays charged: {answer}"
    );
    Ok(())
}

#[tokio::test]
async fn requests_in_flight_are_limited_and_a_place_is_free_again_when_one_ends_or_is_cancelled() -> Result<()>
{
    let a = upstream("a").await?;
    a.set_default("chunks=400&chunk_delay_ms=50");
    let gateway = gateway(&[&a], "  quota: [{concurrent: 2}]\n").await?;
    let mut first = chat(&gateway, &hello_streamed()).await?;
    let mut second = chat(&gateway, &hello_streamed()).await?;
    first.chunk().await?;
    second.chunk().await?;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!((status, code(&answer)), (429, "concurrency_limit_exceeded"), "{answer}");
    drop(first);
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    a.set_default("plain");
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_shadow_quota_lets_everything_pass_and_counts_it() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "  quota: [{requests: 1, window: 1d, mode: Shadow}]\n").await?;
    for _ in 0..3 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    }
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let counted =
        metrics.lines().find(|l| l.starts_with("deepseek_gateway_over_quota_total") && l.contains("Shadow"));
    assert!(counted.is_some_and(|line| line.ends_with(" 2")), "{counted:?}");
    Ok(())
}

#[tokio::test]
async fn usage_is_counted_by_kind_from_streams_and_whole_answers() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let (_, answer) = chat_json(&gateway, &hello()).await?;
    let usage = &answer["usage"];
    let once = usage["completion_tokens"].as_u64().expect("usage");
    chat(&gateway, &hello_streamed()).await?.text().await?;
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let output = metrics
        .lines()
        .find(|l| l.starts_with("deepseek_gateway_tokens_total") && l.contains("token_type=\"output\""));
    assert!(output.is_some_and(|line| line.ends_with(&format!(" {}", 2 * once))), "{output:?} of 2 × {once}");
    assert!(
        metrics.contains(
            "http_requests_total{route=\"default/chat\",endpoint=\"chat\",code=\"200\",reason=\"\"} 2"
        ),
        "{metrics}"
    );
    Ok(())
}
