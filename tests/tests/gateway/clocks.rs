//! Clocks: signs of life for the client, patience with backends, and one deadline over it all.

use crate::support::{
    chat, chat_json, code, gateway, hello, hello_streamed, over_account, payloads, post, said, upstream,
};
use anyhow::Result;
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);
const PINGS: &str = "  keepAlive: {interval: 1s}\n";

#[tokio::test]
async fn a_stream_whose_first_token_takes_long_gets_comments_and_then_its_answer() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("first_token_delay_ms=2500");
    let gateway = gateway(&[&a], PINGS).await?;
    let started = Instant::now();
    let response = chat(&gateway, &hello_streamed()).await?;
    assert!(started.elapsed() < Duration::from_secs(2), "the head does not wait for the token");
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = response.text().await?;
    let (before, answer) = text.split_once("data:").expect("an answer");
    assert!((1..=3).contains(&before.matches(": keep-alive\n\n").count()), "{text}");
    assert!(answer.contains("\"[a\""), "{text}");
    assert_eq!(payloads(&text).last(), Some(&"[DONE]"));
    Ok(())
}

#[tokio::test]
async fn a_stream_that_pauses_gets_comments_between_its_events() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("pause_after=3&pause_ms=2500");
    let gateway = gateway(&[&a], PINGS).await?;
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert!(text.matches("\n\n: keep-alive\n\n").count() >= 1, "{text}");
    for payload in payloads(&text) {
        assert!(payload == "[DONE]" || serde_json::from_str::<Value>(payload).is_ok(), "{payload}");
    }
    assert_eq!(payloads(&text).last(), Some(&"[DONE]"));
    Ok(())
}

#[tokio::test]
async fn what_fails_after_the_head_was_sent_is_told_by_one_error_event() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=20000");
    let policy = "  keepAlive: {interval: 1s}\n  timeouts: {firstToken: 3s, idle: 3s, request: 3s}\n";
    let gateway = gateway(&[&a], policy).await?;
    let response = chat(&gateway, &hello_streamed()).await?;
    assert_eq!(response.status(), 200);
    let text = response.text().await?;
    assert!(text.starts_with(": keep-alive\n\n"), "{text}");
    let payloads = payloads(&text);
    assert_eq!(payloads.len(), 1, "{text}");
    assert_eq!(code(&serde_json::from_str(payloads[0])?), "upstream_timeout", "{text}");
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_is_preceded_by_blank_lines_only_where_the_route_says_so() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=2500");
    let padded = gateway(&[&a], "  keepAlive: {interval: 1s, blankPadding: true}\n").await?;
    let text = chat(&padded, &hello()).await?.text().await?;
    assert!(text.starts_with('\n'), "{text}");
    assert!(said(&serde_json::from_str(&text)?).starts_with("[a "), "{text}");
    let plain = gateway(&[&a], PINGS).await?;
    let text = chat(&plain, &hello()).await?.text().await?;
    assert!(text.starts_with('{'), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_while_only_comments_came_cancels_the_backend_at_once() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("first_token_delay_ms=20000");
    let gateway = gateway(&[&a], PINGS).await?;
    let mut response = chat(&gateway, &hello_streamed()).await?;
    assert!(response.chunk().await?.is_some(), "a comment");
    drop(response);
    let started = Instant::now();
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_backend_that_is_silent_in_the_middle_of_a_whole_answer_is_replaced() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("stall_after=0");
    let policy = "  timeouts: {byteIdle: 400ms, request: 20s}\n";
    let gateway = gateway(&[&a, &b], policy).await?;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!(status, 200, "{answer}");
    assert!(said(&answer).starts_with("[b "), "{answer}");
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_that_takes_too_long_is_asked_of_the_next_backend_while_there_is_one() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("header_delay_ms=20000");
    b.set_default("header_delay_ms=1000");
    let policy = "  timeouts: {answer: 500ms, request: 20s}\n";
    let gateway = gateway(&[&a, &b], policy).await?;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!(status, 200, "{answer}");
    assert!(said(&answer).starts_with("[b "), "the last backend has all the time there is: {answer}");
    Ok(())
}

#[tokio::test]
async fn a_caller_may_shorten_the_deadline_and_its_header_stays_here() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=20000");
    let gateway = gateway(&[&a], "").await?;
    let call = |ms: &'static str| {
        post(&gateway, "/v1/chat/completions", &hello()).header("x-request-timeout-ms", ms)
    };
    let started = Instant::now();
    let response = call("400").send().await?;
    assert_eq!(response.status(), 504);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(a.last_request().expect("one").header("x-request-timeout-ms"), None);
    let refused = call("soon").send().await?;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await?["error"]["param"], "x-request-timeout-ms");
    Ok(())
}

#[tokio::test]
async fn a_caller_with_little_time_is_failed_over_within_it() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("hang");
    let gateway = gateway(&[&a, &b], "").await?;
    for body in [hello(), hello_streamed()] {
        let call = post(&gateway, "/v1/chat/completions", &body).header("x-request-timeout-ms", "3000");
        let text = call.send().await?.text().await?;
        assert!(text.contains("[b") && !text.contains("error"), "{text}");
    }
    Ok(())
}

/// A parked account, an open breaker or a server without the endpoint is no other backend to hurry on to.
#[tokio::test]
async fn the_only_backend_that_takes_calls_has_all_the_time_there_is() -> Result<()> {
    for (scenario, attempts) in [("no-balance", 1), ("status=503", 3)] {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(scenario);
        let policy =
            "  failover: {circuitBreaker: {minRequests: 3, openFor: 60s}}\n  timeouts: {answer: 1s}\n";
        let gateway = gateway(&[&a, &b], policy).await?;
        for _ in 0..attempts {
            assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
        }
        b.set_default("header_delay_ms=2500");
        let call = post(&gateway, "/v1/chat/completions", &hello()).header("x-request-timeout-ms", "20000");
        let answer: Value = call.send().await?.json().await?;
        assert!(said(&answer).starts_with("[b "), "{scenario}: {answer}");
        assert_eq!((a.stats().requests, b.stats().requests), (attempts, attempts + 1), "{scenario}");
    }
    Ok(())
}

/// Clients read a stream to the end of its body, behind the end mark.
#[tokio::test]
async fn a_backend_that_does_not_close_behind_the_end_mark_keeps_nobody_waiting() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("text?stays_open=true");
    let gateway = gateway(&[&a], "  keepAlive: {interval: 1m}\n").await?;
    let started = Instant::now();
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert_eq!(payloads(&text).last(), Some(&"[DONE]"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    Ok(())
}

/// An account with a single place.
const ONE_PLACE: &str = "  concurrency: {models: [{model: deepseek-flash, limit: 1}], queueTimeout: 20s}\n";

#[tokio::test]
async fn a_call_that_waits_for_a_place_ends_with_its_deadline_and_reaches_no_backend() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=20000");
    let gateway = over_account(&a, None, ONE_PLACE, "").await?;
    let call = || post(&gateway, "/v1/chat/completions", &hello());
    let holds_the_place = tokio::spawn(call().send());
    a.wait_for(|stats| stats.in_flight == 1, SOON).await?;
    let started = Instant::now();
    let response = call().header("x-request-timeout-ms", "500").send().await?;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    let answer: Value = response.json().await?;
    let said = (status, code(&answer));
    assert!([(504, "upstream_timeout"), (429, "upstream_rate_limited")].contains(&said), "{status} {answer}");
    assert!((450..1500).contains(&took.as_millis()), "{took:?}");
    assert_eq!((a.stats().requests, a.stats().in_flight), (1, 1));
    holds_the_place.abort();
    Ok(())
}

#[tokio::test]
async fn what_a_call_waited_for_a_place_is_missing_from_its_time_at_the_backend() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=1500");
    let gateway = over_account(&a, None, ONE_PLACE, "").await?;
    let call = || post(&gateway, "/v1/chat/completions", &hello());
    let first = tokio::spawn(call().send());
    a.wait_for(|stats| stats.in_flight == 1, SOON).await?;
    a.set_default("header_delay_ms=20000");
    let started = Instant::now();
    let (status, answer) = {
        let response = call().header("x-request-timeout-ms", "2500").send().await?;
        (response.status().as_u16(), response.json::<Value>().await?)
    };
    let took = started.elapsed();
    assert_eq!((status, code(&answer)), (504, "upstream_timeout"), "{answer}");
    assert!((2450..3500).contains(&took.as_millis()), "and not 2.5 s after it had its place: {took:?}");
    assert_eq!((first.await??.status().as_u16(), a.stats().requests), (200, 2));
    Ok(())
}
