//! Which backend is asked: a conversation stays where its prefix is cached, and a backend in trouble is left alone.

use crate::support::{
    chat, chat_json, client, code, gateway, hello, hello_streamed, post, route, said, upstream, world,
};
use anyhow::{Result, ensure};
use deepseek_tests::gateway::Gateway;
use deepseek_tests::kubernetes::eventually;
use mock_deepseek::Mock;
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// A route over backends of the same priority.
fn leveled(upstreams: &[&Mock], more: &str) -> String {
    let route = route(upstreams, more);
    (1..upstreams.len())
        .fold(route, |route, priority| route.replace(&format!("priority: {priority}"), "priority: 0"))
}

/// A gateway over backends of the same priority.
async fn level(upstreams: &[&Mock], more: &str) -> Result<Gateway> {
    Gateway::standalone(&world(&leveled(upstreams, more))).await
}

/// A conversation by its first words, at its first turn or its second.
fn conversation(about: usize, turns: usize) -> Value {
    let mut messages = vec![json!({"role": "user", "content": format!("Let us talk about {about}.")})];
    if turns > 1 {
        messages.push(json!({"role": "assistant", "content": "Gladly."}));
        messages.push(json!({"role": "user", "content": "Go on."}));
    }
    json!({"model": "deepseek-flash", "messages": messages, "thinking": {"type": "disabled"}})
}

/// The name of the backend that answers.
async fn answered_by(gateway: &Gateway, body: &Value) -> Result<char> {
    let (status, answer) = chat_json(gateway, body).await?;
    ensure!(status == 200, "{answer}");
    Ok(said(&answer).chars().nth(1).unwrap_or_default())
}

#[tokio::test]
async fn a_conversation_stays_at_its_backend_and_moves_when_that_is_gone() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    let gateway = level(&[&a, &b], "").await?;
    let mut homes = Vec::new();
    for about in 0..16 {
        let home = answered_by(&gateway, &conversation(about, 1)).await?;
        for turns in [1, 2, 2] {
            assert_eq!(answered_by(&gateway, &conversation(about, turns)).await?, home, "{about}");
        }
        homes.push(home);
    }
    assert!(homes.contains(&'a') && homes.contains(&'b'), "both are used: {homes:?}");
    a.kill().await?;
    for (about, home) in homes.iter().enumerate() {
        let now = answered_by(&gateway, &conversation(about, 2)).await?;
        assert_eq!(now, 'b', "that of {home} is answered by the one that is left");
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_in_the_zone_of_the_gateway_goes_first_and_the_other_one_when_it_is_gone() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    let zoned = leveled(&[&a, &b], "")
        .replace("{name: a,", "{name: a, zone: far,")
        .replace("{name: b,", "{name: b, zone: near,");
    let gateway = Gateway::standalone_with(&world(&zoned), &["--zone", "near"]).await?;
    for about in 0..16 {
        assert_eq!(answered_by(&gateway, &conversation(about, 1)).await?, 'b', "{about}");
    }
    b.kill().await?;
    assert_eq!(answered_by(&gateway, &conversation(0, 2)).await?, 'a');
    Ok(())
}

#[tokio::test]
async fn by_calls_in_flight_the_backend_with_fewer_is_asked() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    for upstream in [&a, &b] {
        upstream.set_default("hang");
    }
    let gateway = level(&[&a, &b], "  balancing: {strategy: LeastInFlight, affinity: None}\n").await?;
    let mut calls = Vec::new();
    for count in 1..=6 {
        calls.push(tokio::spawn(post(&gateway, "/v1/chat/completions", &hello()).send()));
        eventually(&format!("{count} calls are in flight"), SOON, async || {
            let in_flight = a.stats().in_flight + b.stats().in_flight;
            ensure!(in_flight == count, "{in_flight}");
            Ok(())
        })
        .await;
        assert!(a.stats().in_flight.abs_diff(b.stats().in_flight) <= 1, "one goes after the other");
    }
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[tokio::test]
async fn by_latency_the_faster_backend_gets_most_of_the_calls() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("text?header_delay_ms=400");
    let gateway = level(&[&a, &b], "  balancing: {strategy: PeakEwma, affinity: None}\n").await?;
    for _ in 0..20 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    }
    assert!(a.stats().requests * 2 < b.stats().requests, "{:?} {:?}", a.stats(), b.stats());
    Ok(())
}

#[tokio::test]
async fn a_consumer_stays_at_one_backend_where_the_route_says_so_and_nothing_stays_without_affinity()
-> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    for balancing in ["{affinity: Consumer}", "{strategy: ConsistentHash, affinity: None}"] {
        let gateway = level(&[&a, &b], &format!("  balancing: {balancing}\n")).await?;
        let home = answered_by(&gateway, &conversation(0, 1)).await?;
        for about in 1..16 {
            assert_eq!(answered_by(&gateway, &conversation(about, 1)).await?, home, "{balancing} {about}");
        }
    }
    let gateway = level(&[&a, &b], "  balancing: {affinity: None}\n").await?;
    let mut homes = Vec::new();
    for _ in 0..40 {
        homes.push(answered_by(&gateway, &conversation(0, 1)).await?);
    }
    assert!(homes.contains(&'a') && homes.contains(&'b'), "{homes:?}");
    Ok(())
}

#[tokio::test]
async fn timeouts_one_after_the_other_open_the_breaker_long_before_the_share_of_failures_counts() -> Result<()>
{
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("hang");
    let gateway = gateway(&[&a, &b], "  timeouts: {firstToken: 100ms}\n").await?;
    for _ in 0..8 {
        assert_eq!(chat(&gateway, &hello_streamed()).await?.status(), 200);
    }
    assert_eq!((a.stats().requests, b.stats().requests), (3, 8), "three late in a row, then nothing");
    Ok(())
}

/// F15: without a breaker every request is an attempt at the backend that is down, or several.
#[tokio::test]
async fn a_backend_that_is_down_is_not_stormed() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("overloaded");
    let gateway = gateway(&[&a, &b], "").await?;
    for _ in 0..60 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    }
    assert_eq!((a.stats().requests, b.stats().requests), (10, 60), "the default minimum of the breaker");
    Ok(())
}

/// F16: the breaker closes again, after one trial that is really only one.
#[tokio::test]
async fn a_backend_that_has_recovered_is_tried_by_one_request_and_then_used_again() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("overloaded");
    let breaker = "  failover: {circuitBreaker: {minRequests: 2, openFor: 400ms, slowStart: 0s}}\n";
    let gateway = gateway(&[&a, &b], breaker).await?;
    for _ in 0..2 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    }
    assert_eq!(a.stats().requests, 2);
    // The trial takes long, so that the others come while it is under way.
    a.set_default("text?header_delay_ms=1500");
    let trial = async {
        eventually("a trial reaches the backend", SOON, async || {
            chat_json(&gateway, &hello()).await?;
            ensure!(a.stats().requests >= 3, "no trial yet");
            Ok(())
        })
        .await;
    };
    let others = async {
        a.wait_for(|stats| stats.requests == 3, SOON).await?;
        let mut beside = 0;
        while answered_by(&gateway, &hello()).await? == 'b' {
            beside += 1;
        }
        anyhow::Ok(beside)
    };
    let ((), beside) = tokio::join!(trial, others);
    assert!(beside? > 0, "a second call went to it while the trial was under way");
    a.set_default("text");
    for _ in 0..5 {
        assert_eq!(answered_by(&gateway, &hello()).await?, 'a', "closed after one success");
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_that_has_recovered_is_given_its_calls_back_bit_by_bit() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("overloaded");
    let slowly = "  balancing: {affinity: None}\n  failover: {circuitBreaker: {minRequests: 2, openFor: 100ms, slowStart: 5m}}\n";
    let gateway = gateway(&[&a, &b], slowly).await?;
    for _ in 0..2 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    }
    a.set_default("text");
    eventually("a trial closes its breaker", SOON, async || {
        ensure!(answered_by(&gateway, &hello()).await? == 'a');
        Ok(())
    })
    .await;
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(answered_by(&gateway, &hello()).await?);
    }
    let its = answers.iter().filter(|by| **by == 'a').count();
    // A tenth at first, which grows over five minutes; the other one stands in for the rest.
    assert!((1..50).contains(&its), "{its} of 100");
    Ok(())
}

/// F17: however many backends fail, a call is a few attempts and a backend gets little more than its calls.
#[tokio::test]
async fn when_every_backend_fails_attempts_are_capped_and_repeated_ones_bounded_by_the_budget() -> Result<()>
{
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    for upstream in [&a, &b] {
        upstream.set_default("server-error");
    }
    let patient =
        "  failover: {attempts: 4, backoff: {base: 1ms, max: 2ms}, circuitBreaker: {minRequests: 1000}}\n";
    let gateway = gateway(&[&a, &b], patient).await?;
    let attempts = || a.stats().requests + b.stats().requests;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!((status, code(&answer)), (502, "upstream_error"), "{answer}");
    assert_eq!(attempts(), 4, "the cap");
    for _ in 1..40 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 502);
    }
    // First attempts at either backend, and a fifth more.
    assert!((80..=80 + 16).contains(&attempts()), "{}", attempts());
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    assert!(metrics.contains("deepseek_gateway_requests_in_flight 0"), "{metrics}");
    Ok(())
}
