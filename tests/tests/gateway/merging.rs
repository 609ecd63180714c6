//! Identical calls in flight share one call of the backend.

use crate::support::{
    KEY, chat, client, gateway, hello, hello_streamed, payloads, post, route, upstream, world,
};
use anyhow::{Context as _, Result};
use deepseek_tests::gateway::Gateway;
use futures::future::try_join_all;
use reqwest::Response;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

const SOON: Duration = Duration::from_secs(20);
const MERGE: &str = "  cache: {}\n";

/// Identical calls at once.
async fn at_once(gateway: &Gateway, count: usize, body: &Value) -> Result<Vec<Response>> {
    try_join_all((0..count).map(|_| chat(gateway, body))).await
}

fn found(response: &Response) -> &str {
    response.headers().get("x-deepseek-gateway-cache").map_or("", |value| value.to_str().unwrap_or_default())
}

#[tokio::test]
async fn twenty_identical_calls_in_flight_are_one_request_and_get_the_same_bytes() -> Result<()> {
    for body in [hello(), hello_streamed()] {
        let a = upstream("a").await?;
        a.set_default("first_token_delay_ms=6000");
        let gateway = gateway(&[&a], MERGE).await?;
        let responses = at_once(&gateway, 20, &body).await?;
        let count = |what| responses.iter().filter(|response| found(response) == what).count();
        assert_eq!((count("merged"), count("miss")), (19, 1));
        let texts = try_join_all(responses.into_iter().map(Response::text)).await?;
        assert!(
            texts.iter().all(|text| *text == texts[0] && text.contains("[a ") || text.contains("\"[a\""))
        );
        assert_eq!(a.stats().requests, 1);
    }
    Ok(())
}

/// What a second caller gets of a stream that flows: the same as the first.
async fn second_of_two(gateway: &Gateway) -> Result<String> {
    let mut first = chat(gateway, &hello_streamed()).await?;
    let begun = first.chunk().await?.expect("it has begun");
    let second = chat(gateway, &hello_streamed()).await?;
    assert_eq!(found(&second), "merged");
    let second = second.text().await?;
    let first = [&begun[..], &first.bytes().await?].concat();
    assert_eq!(payloads(&second), payloads(std::str::from_utf8(&first)?));
    Ok(second)
}

#[tokio::test]
async fn who_comes_while_a_stream_flows_gets_all_of_it() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=40&chunk_delay_ms=50");
    let gateway = gateway(&[&a], MERGE).await?;
    let second = second_of_two(&gateway).await?;
    assert_eq!(payloads(&second).last(), Some(&"[DONE]"));
    assert_eq!(a.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn the_call_goes_on_while_anybody_listens_and_is_cancelled_when_nobody_does() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=30&chunk_delay_ms=100");
    let gateway = gateway(&[&a], MERGE).await?;
    let mut first = chat(&gateway, &hello_streamed()).await?;
    first.chunk().await?;
    let second = chat(&gateway, &hello_streamed()).await?;
    assert_eq!(found(&second), "merged");
    drop(first);
    let text = second.text().await?;
    assert_eq!(payloads(&text).last(), Some(&"[DONE]"), "the first left, the second has all of it");
    assert_eq!((a.stats().requests, a.stats().cancelled), (1, 0));

    let mut other = hello_streamed();
    other["max_tokens"] = json!(77);
    let mut third = chat(&gateway, &other).await?;
    third.chunk().await?;
    let mut fourth = chat(&gateway, &other).await?;
    fourth.chunk().await?;
    drop((third, fourth));
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    assert_eq!(a.stats().requests, 2);
    a.set_default("plain");
    let again = chat(&gateway, &other).await?;
    assert_eq!(found(&again), "miss", "what nobody heard to its end is not kept");
    Ok(())
}

#[tokio::test]
async fn a_failure_is_everybodys_and_the_next_call_is_a_new_one() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=503&header_delay_ms=6000");
    let more = "  cache: {}\n  failover: {attempts: 1}\n";
    let gateway = gateway(&[&a], more).await?;
    let responses = at_once(&gateway, 5, &hello()).await?;
    assert!(responses.iter().all(|response| response.status() == 502));
    let texts = try_join_all(responses.into_iter().map(Response::text)).await?;
    assert!(texts.iter().all(|text| *text == texts[0] && text.contains("upstream_error")), "{texts:?}");
    assert_eq!(a.stats().requests, 1);
    a.set_default("plain");
    let after = chat(&gateway, &hello()).await?;
    assert_eq!((after.status().as_u16(), found(&after)), (200, "miss"));
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    assert!(metrics.contains("code=\"502\",reason=\"upstream_error\"} 5"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_cut_stream_ends_with_one_error_event_for_everybody() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("cut_after=6&chunk_delay_ms=300");
    let gateway = gateway(&[&a], MERGE).await?;
    let second = second_of_two(&gateway).await?;
    assert_eq!(second.matches("stream_interrupted").count(), 1, "{second}");
    assert!(!second.contains("[DONE]"), "{second}");
    assert_eq!(a.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn with_merge_off_no_store_no_cache_or_another_patience_calls_are_made_by_themselves() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("first_token_delay_ms=5000");
    let off = gateway(&[&a], "  cache: {merge: false}\n").await?;
    at_once(&off, 2, &hello()).await?;
    assert_eq!(a.stats().requests, 2, "merge: false");
    let on = gateway(&[&a], MERGE).await?;
    let call = |name, value| post(&on, "/v1/chat/completions", &hello()).header(name, value).send();
    try_join_all([
        call("cache-control", "no-store"),
        call("cache-control", "no-store"),
        call("cache-control", "no-cache"),
        call("cache-control", "no-cache"),
        call("x-request-timeout-ms", "60000"),
        call("x-request-timeout-ms", "70000"),
    ])
    .await?;
    assert_eq!(a.stats().requests, 8);
    Ok(())
}

#[tokio::test]
async fn only_the_first_is_charged_tokens_and_everybody_a_request() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("first_token_delay_ms=2000");
    let gateway =
        gateway(&[&a], "  cache: {}\n  quota: [{requests: 4, window: 1d}, {tokens: 100000, window: 1d}]\n")
            .await?;
    let responses = at_once(&gateway, 3, &hello()).await?;
    let answers = try_join_all(responses.into_iter().map(Response::json::<Value>)).await?;
    let used = answers[0]["usage"]["total_tokens"].as_u64().expect("usage");
    let mut other = hello();
    other["max_tokens"] = json!(1);
    let last = chat(&gateway, &other).await?;
    assert_eq!(last.headers()["x-ratelimit-remaining-requests"], "0");
    let remaining: u64 = last.headers()["x-ratelimit-remaining-tokens"].to_str()?.parse()?;
    assert!((100_000 - used - 40..=100_000 - used).contains(&remaining), "{remaining} of 100000 - {used}");
    assert_eq!(chat(&gateway, &hello()).await?.status(), 429, "a kept answer counts as a request too");
    Ok(())
}

#[tokio::test]
async fn each_who_waits_gets_signs_of_life() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("first_token_delay_ms=6000");
    let gateway = gateway(&[&a], "  cache: {}\n  keepAlive: {interval: 1s}\n").await?;
    let responses = at_once(&gateway, 3, &hello_streamed()).await?;
    for response in responses {
        assert!(["miss", "merged"].contains(&found(&response)));
        let text = response.text().await?;
        assert!(text.starts_with(": keep-alive\n\n"), "{text}");
        assert_eq!(payloads(&text).last(), Some(&"[DONE]"));
    }
    assert_eq!(a.stats().requests, 1);
    let kept = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert!(!kept.contains("keep-alive"), "signs of life are not kept: {kept}");
    Ok(())
}

#[tokio::test]
async fn when_all_leave_before_the_answer_has_begun_the_backend_is_left_too() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=60000");
    let gateway = gateway(&[&a], MERGE).await?;
    let impatient = crate::support::client_builder().timeout(Duration::from_secs(3)).build()?;
    let call = || impatient.post(gateway.url("/v1/chat/completions")).bearer_auth(KEY).json(&hello()).send();
    let (one, two) = futures::join!(call(), call());
    assert!(one.is_err() && two.is_err(), "both gave up");
    a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    assert_eq!(a.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn calls_are_merged_also_where_nothing_is_kept() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("first_token_delay_ms=6000&chunks=50&chunk_bytes=10000");
    let limits = "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: default}
spec: {default: true, limits: {maxCacheBytes: 0}}
---
";
    let gateway = Gateway::standalone(&world(&format!("{limits}{}", route(&[&a], MERGE)))).await?;
    let responses = at_once(&gateway, 5, &hello_streamed()).await?;
    let texts = try_join_all(responses.into_iter().map(Response::text)).await?;
    assert!(texts.iter().all(|text| *text == texts[0]));
    assert_eq!((texts[0].len() > 500_000, payloads(&texts[0]).last()), (true, Some(&"[DONE]")));
    assert_eq!(a.stats().requests, 1);
    let next = chat(&gateway, &hello_streamed()).await?;
    assert_eq!(found(&next), "miss");
    Ok(())
}

/// Seconds of CPU that the gateway has used.
async fn cpu(gateway: &Gateway) -> Result<f64> {
    let text = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
    Ok(line.context("no CPU time is told")?.parse()?)
}

#[tokio::test]
async fn waiting_for_the_rest_of_a_large_answer_costs_no_time_of_the_processor() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=1&chunk_bytes=4000000&stall_after=1&thinking=false");
    for padding in [false, true] {
        let more = format!("  cache: {{}}\n  keepAlive: {{interval: 1s, blankPadding: {padding}}}\n");
        let gateway = gateway(&[&a], &more).await?;
        let mut response = chat(&gateway, &hello()).await?;
        let mut read = 0;
        while read < 1_500_000 {
            read += response.chunk().await?.context("it goes on")?.len();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = cpu(&gateway).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let busy = cpu(&gateway).await? - before;
        assert!(busy < 0.5, "{busy} s of CPU in two seconds without a byte (padding: {padding})");
    }
    Ok(())
}

/// A backend that names the request in its answer, and ends that when `end` is closed.
async fn naming(end: watch::Receiver<()>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut end = end.clone();
            tokio::spawn(async move {
                socket.read_exact(&mut [0; 100]).await?;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: of-the-first\r\n\r\n";
                let text = r#"data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}"#;
                socket.write_all(format!("{head}{text}\n\n").as_bytes()).await?;
                let _ = end.changed().await;
                let finish = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
                socket.write_all(format!("{finish}\n\ndata: [DONE]\n\n").as_bytes()).await
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn a_merged_call_has_a_request_id_of_its_own() -> Result<()> {
    let (end, ends) = watch::channel(());
    let a = upstream("a").await?;
    let route = route(&[&a], MERGE).replace(&a.base_url(), &format!("http://{}", naming(ends).await?));
    let gateway = Gateway::standalone(&world(&route)).await?;
    let call =
        |id| post(&gateway, "/v1/chat/completions", &hello_streamed()).header("x-request-id", id).send();
    let first = call("first").await?;
    let second = call("second").await?;
    assert_eq!((found(&first), found(&second)), ("miss", "merged"));
    assert_eq!(first.headers()["x-request-id"], "of-the-first");
    assert_eq!(second.headers()["x-request-id"], "second");
    drop(end);
    assert_eq!(payloads(&second.text().await?).last(), Some(&"[DONE]"));
    Ok(())
}

#[tokio::test]
async fn the_body_of_a_merged_call_is_not_held_while_it_waits() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("first_token_delay_ms=3000&chunks=30&chunk_delay_ms=100");
    let gateway = gateway(&[&a], MERGE).await?;
    let mut body = hello_streamed();
    body["messages"][0]["content"] = json!("x".repeat(1_000_000));
    let responses = at_once(&gateway, 5, &body).await?;
    assert_eq!(responses.iter().filter(|response| found(response) == "merged").count(), 4);
    let text = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let held = text.lines().find_map(|line| line.strip_prefix("deepseek_gateway_buffered_bytes "));
    let held: u64 = held.context("it is told")?.parse()?;
    assert!(held < 1_500_000, "{held}");
    Ok(())
}
