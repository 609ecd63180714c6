//! Hedging: a second backend is asked when the first has no token yet; the faster one answers, the other is cancelled.

use crate::support::{
    attempts, chat, chat_json, client, counter, gateway, hello, hello_streamed, over_account, payloads, post,
    upstream,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::{Mock, Outcome};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);
const HEDGE: &str = "  failover: {hedgeAfter: 300ms}\n";
/// A first token that comes long after everything else.
const LATE: &str = "first_token_delay_ms=20000";

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

/// Two backends of which the one at `winner` begins first, as `scenario` says, and a gateway that hedges between them.
async fn race(winner: usize, scenario: &str) -> Result<([Mock; 2], Gateway)> {
    let mocks = [upstream("a").await?, upstream("b").await?];
    mocks[winner].set_default(format!("{scenario}&first_token_delay_ms=900").as_str());
    mocks[1 - winner].set_default(LATE);
    let gateway = gateway(&mocks.each_ref(), HEDGE).await?;
    Ok((mocks, gateway))
}

#[tokio::test]
async fn whichever_loses_is_cancelled_within_100_ms_of_the_first_token() -> Result<()> {
    for winner in [0, 1] {
        let (mocks, gateway) = race(winner, "chunks=20&chunk_delay_ms=100").await?;
        let mut response = chat(&gateway, &hello_streamed()).await?;
        let mut text = Vec::new();
        while !text.windows(2).any(|pair| pair == b"\"[") {
            text.extend(response.chunk().await?.expect("a first token"));
        }
        let begun = Instant::now();
        let loser = &mocks[1 - winner];
        loser.wait_for(|stats| stats.cancelled == 1, SOON).await?;
        let lost = loser.last_request().expect("one");
        let late = lost.ended.expect("it has").saturating_duration_since(begun);
        assert!(late < Duration::from_millis(100), "{late:?} after the first token of {winner}");
        let rest = response.text().await?;
        assert_eq!(payloads(&rest).last(), Some(&"[DONE]"), "{rest}");
        let won = mocks[winner].last_request().expect("one");
        assert_eq!((won.outcome, lost.outcome), (Outcome::Completed, Outcome::Cancelled));
        let token = won.arrived + Duration::from_millis(900);
        assert!(lost.ended >= Some(token), "headers do not win: {:?}", token - lost.arrived);
    }
    Ok(())
}

#[tokio::test]
async fn only_the_tokens_of_the_winner_are_charged() -> Result<()> {
    for winner in [0, 1] {
        let usage = "prompt_tokens=1000&cached_tokens=600&completion_tokens=7";
        let (mocks, gateway) = race(winner, usage).await?;
        let text = chat(&gateway, &hello_streamed()).await?.text().await?;
        assert_eq!(payloads(&text).last(), Some(&"[DONE]"), "{text}");
        mocks[1 - winner].wait_for(|stats| stats.cancelled == 1, SOON).await?;
        for (kind, tokens) in [("input", 400), ("cached_input", 600), ("output", 7)] {
            let series =
                format!("deepseek_gateway_tokens_total{{route=\"default/chat\",token_type=\"{kind}\"}}");
            assert_eq!(counter(&gateway, &series).await?, tokens, "{kind}, {winner} won");
        }
        let estimated = "deepseek_gateway_usage_estimated_total{route=\"default/chat\"}";
        assert_eq!(counter(&gateway, estimated).await?, 0, "{winner} won");
        let names = [mocks[winner].name(), mocks[1 - winner].name()];
        assert_eq!(attempts(&gateway, names[0], "Answered").await?, 1);
        assert_eq!(attempts(&gateway, names[1], "Cancelled").await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn an_account_without_a_free_place_gets_no_hedge_and_none_waits_for_one() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("first_token_delay_ms=3000");
    b.set_default("header_delay_ms=1500");
    let spec = "  concurrency: {models: [{model: deepseek-flash, limit: 1}], queueTimeout: 20s}\n";
    let hedged = format!(
        "---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: hedged}}
spec:
  model: hedged
  backends:
  - {{name: slow, model: deepseek-flash, baseUrl: \"{}\", apiKey: {{secretRef: {{name: provider, key: token}}}}}}
  - {{name: account, model: deepseek-flash, priority: 1, backendRef: {{name: account}}}}
{HEDGE}",
        a.base_url()
    );
    let gateway = over_account(&b, None, spec, &hedged).await?;
    let mut body = hello_streamed();
    body["model"] = "hedged".into();
    let holds_the_place = tokio::spawn(post(&gateway, "/v1/chat/completions", &hello()).send());
    b.wait_for(|stats| stats.in_flight == 1, SOON).await?;
    let text = chat(&gateway, &body).await?.text().await?;
    assert!(text.contains("\"[a"), "{text}");
    assert_eq!(holds_the_place.await??.status(), 200);
    assert_eq!(b.stats().requests, 1, "not even when the place had become free");
    b.set_default("plain");
    let text = chat(&gateway, &body).await?.text().await?;
    assert!(text.contains("\"[b"), "with a free place it is hedged: {text}");
    assert_eq!((a.stats().requests, b.stats().requests), (2, 2));
    Ok(())
}
