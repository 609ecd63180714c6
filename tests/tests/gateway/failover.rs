//! Failures of backends: who is asked next, how often, and what the client sees.

use crate::support::{
    PROVIDER_KEY, chat, chat_json, client, code, gateway, hello, hello_streamed, over_account, payloads,
    route, said, upstream, world,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);
const FAST: &str = "  failover: {attempts: 3, backoff: {base: 10ms, max: 50ms}}\n  timeouts: {connect: 500ms, firstToken: 400ms, idle: 400ms, request: 3s}\n";

#[tokio::test]
async fn a_backend_that_is_gone_is_failed_over_streamed_or_not() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    let gateway = gateway(&[&a, &b], FAST).await?;
    let (_, answer) = chat_json(&gateway, &hello()).await?;
    assert!(said(&answer).starts_with("[a "), "{answer}");
    a.kill().await?;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!(status, 200, "{answer}");
    assert!(said(&answer).starts_with("[b "), "{answer}");
    let stream = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert_eq!(payloads(&stream).last(), Some(&"[DONE]"));
    assert_eq!(b.stats().requests, 2);
    Ok(())
}

#[tokio::test]
async fn every_failure_before_the_first_byte_goes_to_the_next_backend() -> Result<()> {
    for scenario in [
        "server-error",
        "overloaded",
        "html-502",
        "html-504",
        "html-503",
        "rate-limit",
        "unauthorized",
        "no-balance",
        "blank",
        "blank-slow",
        "empty-body",
        "html-200",
        "error-first",
        "error-200",
        "accept-close",
        "accept-reset",
        "close",
        "reset",
        "cut-headers",
        "not-http",
        "hang",
        "half-headers",
        "no-resource-first",
        "empty-all",
    ] {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(scenario);
        let gateway = gateway(&[&a, &b], FAST).await?;
        let stream = chat(&gateway, &hello_streamed()).await?;
        assert_eq!(stream.status(), 200, "{scenario}");
        let text = stream.text().await?;
        assert!(text.contains("\"[b\""), "{scenario}: {text}");
        assert_eq!(payloads(&text).last(), Some(&"[DONE]"), "{scenario}");
        assert_eq!(b.stats().requests, 1, "{scenario}");
    }
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_that_is_none_or_breaks_off_is_asked_of_the_next_backend() -> Result<()> {
    for scenario in [
        "blank",
        "empty-body",
        "no-choices",
        "null-content",
        "no-resource-first",
        "no-resource",
        "error-200",
        "html-200",
        "cut",
        "cut-rst",
        "cut-clean",
    ] {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(scenario);
        let gateway = gateway(&[&a, &b], FAST).await?;
        let (status, answer) = chat_json(&gateway, &hello()).await?;
        assert_eq!(status, 200, "{scenario}: {answer}");
        assert!(said(&answer).starts_with("[b "), "{scenario}: {answer}");
        assert_eq!((a.stats().requests, b.stats().requests), (1, 1), "{scenario}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_key_is_left_out_and_the_account_goes_on_with_its_others() -> Result<()> {
    let (a, standby) = (upstream("a").await?, upstream("standby").await?);
    a.set_for_key(PROVIDER_KEY, "unauthorized");
    let gateway = over_account(&a, Some(&standby), "", "").await?;
    for _ in 0..4 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    }
    assert_eq!(a.stats().requests, 5, "the refused key was tried once");
    assert_eq!(standby.stats().requests, 0, "the account itself is well");
    Ok(())
}

#[tokio::test]
async fn an_account_that_refuses_the_call_is_asked_once_though_there_is_no_other() -> Result<()> {
    for scenario in ["unauthorized", "no-balance", "forbidden", "not-found", "model-retired"] {
        let a = upstream("a").await?;
        a.set_default(scenario);
        let gateway = gateway(&[&a], FAST).await?;
        let (status, answer) = chat_json(&gateway, &hello()).await?;
        assert_eq!(status, 502, "{scenario}: {answer}");
        assert_eq!(a.stats().requests, 1, "{scenario}");
    }
    Ok(())
}

#[tokio::test]
async fn headers_and_keep_alives_without_a_token_are_no_answer() -> Result<()> {
    for scenario in ["first_token_delay_ms=10000", "header_delay_ms=10000", "keep-alive-forever"] {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(scenario);
        let gateway = gateway(&[&a, &b], FAST).await?;
        let started = Instant::now();
        let text = chat(&gateway, &hello_streamed()).await?.text().await?;
        assert!(text.contains("\"[b\""), "{scenario}: {text}");
        assert!(started.elapsed() < Duration::from_secs(2), "{scenario}: {:?}", started.elapsed());
        a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_callers_own_mistake_is_passed_on_and_never_retried() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    let gateway = gateway(&[&a, &b], FAST).await?;
    let mut body = hello();
    body["response_format"] = serde_json::json!({"type": "json_object"});
    let (status, answer) = chat_json(&gateway, &body).await?;
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|m| m.contains("'json'")), "{answer}");
    assert_eq!((a.stats().requests, b.stats().requests), (1, 0));
    Ok(())
}

#[tokio::test]
async fn any_number_of_422_goes_to_the_caller_as_sent_and_opens_no_breaker() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("unprocessable");
    let policy =
        "  failover: {circuitBreaker: {errorPercent: 50, minRequests: 4, window: 30s, openFor: 60s}}\n";
    let gateway = gateway(&[&a, &b], policy).await?;
    let direct = client().post(format!("{}/chat/completions", a.base_url())).bearer_auth(PROVIDER_KEY);
    let as_sent = direct.json(&hello()).send().await?.text().await?;
    assert!(!as_sent.is_empty());
    for number in 1..=25 {
        let response = chat(&gateway, &hello()).await?;
        assert_eq!(response.status(), 422, "call {number}");
        assert_eq!(response.text().await?, as_sent, "call {number}");
    }
    let report = client().get(gateway.admin_url("/status")).send().await?.json::<Value>().await?;
    assert_eq!(report["backends"][0]["state"], "Healthy", "{report}");
    assert_eq!((a.stats().requests, b.stats().requests), (26, 0));
    Ok(())
}

#[tokio::test]
async fn a_single_backend_is_asked_again_after_a_pause_up_to_the_attempts() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=503");
    let gateway = gateway(&[&a], FAST).await?;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!((status, code(&answer)), (502, "upstream_error"), "{answer}");
    assert_eq!(a.stats().requests, 3);
    a.set_default("status=503&fail_first=1");
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200, "the second attempt succeeds");
    Ok(())
}

#[tokio::test]
async fn a_backend_that_asks_for_a_long_pause_is_not_asked_again() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=429&retry_after=7");
    let gateway = gateway(&[&a], FAST).await?;
    let response = chat(&gateway, &hello()).await?;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(code(&response.json::<Value>().await?), "upstream_rate_limited");
    assert_eq!(a.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn a_backend_is_left_alone_for_as_long_as_it_asked_for_whoever_failed_since() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503&fail_first=1&retry_after_ms=700");
    b.set_default("status=500");
    let gateway = gateway(&[&a, &b], "  failover: {backoff: {base: 10ms, max: 2s}}\n").await?;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((a.stats().requests, b.stats().requests), (2, 1));
    let asked: Vec<_> = a.requests().iter().map(|request| request.arrived).collect();
    assert!(asked[1] - asked[0] >= Duration::from_millis(700), "{:?}", asked[1] - asked[0]);
    Ok(())
}

#[tokio::test]
async fn what_is_not_in_retry_on_is_not_retried() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503");
    let gateway = gateway(&[&a, &b], "  failover: {retryOn: [ConnectFailure]}\n").await?;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 502);
    assert_eq!((a.stats().requests, b.stats().requests), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_stream_that_breaks_stalls_or_ends_early_gets_one_error_event_and_no_done() -> Result<()> {
    for scenario in [
        "cut",
        "cut-rst",
        "cut-clean",
        "cut-mid-frame",
        "stall",
        "stall-keep-alive",
        "no-finish",
        "finish_reason=abort",
        "error-mid",
        "error-mid-open",
    ] {
        let a = upstream("a").await?;
        a.set_default(scenario);
        let gateway = gateway(&[&a], FAST).await?;
        let response = chat(&gateway, &hello_streamed()).await?;
        assert_eq!(response.status(), 200, "{scenario}");
        let text = response.text().await?;
        let payloads = payloads(&text);
        let last: Value = serde_json::from_str(payloads.last().expect("frames"))?;
        assert_eq!(code(&last), "stream_interrupted", "{scenario}: {text}");
        assert!(!payloads.contains(&"[DONE]"), "{scenario}: {text}");
        for payload in &payloads[..payloads.len() - 1] {
            let frame: Value = serde_json::from_str(payload)?;
            assert!(frame["choices"].is_array(), "{scenario}: whole frames only: {payload}");
        }
        assert_eq!(a.stats().requests, 1, "{scenario}: nothing is sent twice after content has flowed");
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_has_finished_gets_the_end_mark_that_its_backend_left_out() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("no-done");
    let gateway = gateway(&[&a], FAST).await?;
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert_eq!(payloads(&text).last(), Some(&"[DONE]"), "{text}");
    assert!(!text.contains("stream_interrupted"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_large_answer_that_breaks_off_is_not_passed_off_as_whole() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("tool_calls=1&tool_bytes=5242880&cut_after=1");
    let gateway = gateway(&[&a], FAST).await?;
    let outcome = async {
        chat(&gateway, &hello()).await.expect("headers or an error").error_for_status()?.bytes().await
    };
    assert!(outcome.await.is_err(), "the connection is cut, or the gateway says 502");
    Ok(())
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_with_504_within_its_deadline() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=20000");
    let gateway =
        gateway(&[&a], "  timeouts: {connect: 500ms, firstToken: 500ms, idle: 500ms, request: 1s}\n").await?;
    let started = Instant::now();
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!((status, code(&answer)), (504, "upstream_timeout"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_backend_at_once() -> Result<()> {
    for (scenario, frames) in
        [("header_delay_ms=20000", 0), ("first_token_delay_ms=20000", 0), ("chunks=400&chunk_delay_ms=50", 2)]
    {
        let a = upstream("a").await?;
        a.set_default(scenario);
        let gateway = gateway(&[&a], "").await?;
        let call = crate::support::post(&gateway, "/v1/chat/completions", &hello_streamed()).send();
        if frames == 0 {
            let call = tokio::spawn(call);
            a.wait_for(|stats| stats.requests == 1, SOON).await?;
            call.abort();
        } else {
            let mut response = call.await?;
            for _ in 0..frames {
                response.chunk().await?;
            }
            drop(response);
        }
        let started = Instant::now();
        a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
        let took = started.elapsed();
        assert!(took < Duration::from_millis(100), "{scenario}: {took:?}");
        let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
        assert!(metrics.contains("deepseek_gateway_requests_in_flight 0"), "{scenario}: {metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn a_breaker_opens_leaves_the_backend_alone_and_closes_after_a_trial() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=503");
    let policy = "  failover: {attempts: 1, circuitBreaker: {errorPercent: 50, minRequests: 4, window: 30s, openFor: 1s}}\n";
    let gateway = gateway(&[&a], policy).await?;
    for _ in 0..4 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 502);
    }
    let response = chat(&gateway, &hello()).await?;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(code(&response.json::<Value>().await?), "no_healthy_backend");
    assert_eq!(a.stats().requests, 4, "it is left alone");
    let report = client().get(gateway.admin_url("/status")).send().await?.json::<Value>().await?;
    assert_eq!(report["backends"][0]["state"], "Open", "{report}");
    assert_eq!(report["backends"][0]["reason"], "ServerError", "{report}");
    a.set_default("plain");
    let deadline = Instant::now() + SOON;
    while chat_json(&gateway, &hello()).await?.0 != 200 {
        assert!(Instant::now() < deadline, "the breaker never closed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = client().get(gateway.admin_url("/status")).send().await?.json::<Value>().await?;
    assert_eq!(report["backends"][0]["state"], "Healthy", "{report}");
    Ok(())
}

#[tokio::test]
async fn an_end_mark_inside_of_the_text_is_not_the_end_of_the_stream() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("answer=say [DONE] and go on after it&cut=clean&cut_after=5");
    let gateway = gateway(&[&a], FAST).await?;
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert!(text.contains("stream_interrupted"), "{text}");
    Ok(())
}

#[tokio::test]
async fn answers_without_content_fail_over_and_do_not_open_the_breaker() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("empty-all");
    let policy =
        "  failover: {circuitBreaker: {errorPercent: 50, minRequests: 2, window: 30s, openFor: 60s}}\n";
    let gateway = gateway(&[&a, &b], policy).await?;
    for _ in 0..4 {
        let (_, answer) = chat_json(&gateway, &hello()).await?;
        assert!(said(&answer).starts_with("[b "), "{answer}");
    }
    assert_eq!(a.stats().requests, 4, "it is asked first each time");
    Ok(())
}

#[tokio::test]
async fn weights_share_the_traffic_and_a_weight_of_zero_takes_part_in_failover_only() -> Result<()> {
    let (a, b, c) = (upstream("a").await?, upstream("b").await?, upstream("c").await?);
    let weighted = route(&[&a, &b, &c], "")
        .replace("priority: 0", "weight: 300")
        .replace("priority: 1", "weight: 100")
        .replace("priority: 2", "weight: 0");
    let gateway = Gateway::standalone(&world(&weighted)).await?;
    for number in 0..200 {
        let mut another = hello();
        another["messages"][0]["content"] = format!("conversation {number}").into();
        assert_eq!(chat_json(&gateway, &another).await?.0, 200);
    }
    let share = a.stats().requests;
    assert!((120..=180).contains(&share), "about 150 of 200 go to a: {share}");
    assert_eq!(a.stats().requests + b.stats().requests, 200);
    assert_eq!(c.stats().requests, 0);
    a.kill().await?;
    b.kill().await?;
    let (_, answer) = chat_json(&gateway, &hello()).await?;
    assert!(said(&answer).starts_with("[c "), "{answer}");
    Ok(())
}
