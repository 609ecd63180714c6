//! Hedging: a second backend is asked when the first has no token yet; the faster one answers, the other is cancelled.

use crate::support::{chat, chat_json, client, gateway, hello, hello_streamed, payloads, upstream};
use anyhow::Result;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);
const HEDGE: &str = "  failover: {hedgeAfter: 300ms}\n";

#[tokio::test]
async fn a_slow_first_token_is_overtaken_by_a_second_backend_and_the_loser_is_cancelled_at_once() -> Result<()>
{
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("first_token_delay_ms=20000");
    let gateway = gateway(&[&a, &b], HEDGE).await?;
    let started = Instant::now();
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(text.contains("\"[b\""), "{text}");
    assert_eq!(payloads(&text).last(), Some(&"[DONE]"));
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    assert_eq!((a.stats().requests, b.stats().requests), (1, 1));
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    assert!(metrics.contains("deepseek_gateway_requests_in_flight 0"), "{metrics}");
    assert!(!metrics.contains("usage_estimated_total{route=\"default/chat\"} 1"), "the loser is not charged");
    Ok(())
}

#[tokio::test]
async fn the_first_backend_wins_where_it_is_faster_after_all() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("first_token_delay_ms=900");
    b.set_default("first_token_delay_ms=20000");
    let gateway = gateway(&[&a, &b], HEDGE).await?;
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert!(text.contains("\"[a\""), "{text}");
    b.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    assert_eq!((a.stats().requests, b.stats().requests), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_first_at_work() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("first_token_delay_ms=1000");
    b.set_default("status=503");
    let gateway = gateway(&[&a, &b], HEDGE).await?;
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert!(text.contains("\"[a\""), "{text}");
    assert_eq!(a.stats().requests, 1, "it is not asked again");
    Ok(())
}

#[tokio::test]
async fn without_hedge_after_and_for_whole_answers_nothing_is_hedged() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("first_token_delay_ms=900");
    let off = gateway(&[&a, &b], "").await?;
    assert!(chat(&off, &hello_streamed()).await?.text().await?.contains("\"[a\""));
    let hedged = gateway(&[&a, &b], HEDGE).await?;
    assert_eq!(chat_json(&hedged, &hello()).await?.0, 200);
    assert_eq!(b.stats().requests, 0);
    Ok(())
}
