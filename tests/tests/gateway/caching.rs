//! Answers that are kept and given again.

use crate::support::{
    KEY, chat, client, gateway, hello, hello_streamed, payloads, post, route, said, upstream, world,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use reqwest::Response;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
const CACHE: &str = "  cache: {}\n";

fn cache(response: &Response) -> &str {
    response.headers().get("x-deepseek-gateway-cache").map_or("", |value| value.to_str().unwrap_or_default())
}

#[tokio::test]
async fn the_very_same_call_costs_one_request_and_says_how_old_its_answer_is() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], CACHE).await?;
    let first = chat(&gateway, &hello()).await?;
    assert_eq!((first.status().as_u16(), cache(&first)), (200, "miss"));
    assert!(!first.headers().contains_key("age"));
    let first = first.bytes().await?;
    let second = chat(&gateway, &hello()).await?;
    assert_eq!((second.status().as_u16(), cache(&second)), (200, "hit"));
    assert_eq!(second.headers()["content-type"], "application/json");
    let age: u64 = second.headers()["age"].to_str()?.parse()?;
    assert!(age < 60, "{age}");
    assert_eq!(second.bytes().await?, first);
    assert_eq!(a.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_is_given_again_as_a_stream_to_its_last_byte() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], CACHE).await?;
    let first = chat(&gateway, &hello_streamed()).await?.text().await?;
    let second = chat(&gateway, &hello_streamed()).await?;
    assert_eq!(cache(&second), "hit");
    assert!(second.headers()["content-type"].to_str()?.starts_with("text/event-stream"));
    let second = second.text().await?;
    assert_eq!(payloads(&second), payloads(&first));
    assert!(second.contains("\"usage\":{"), "{second}");
    assert_eq!(payloads(&second).last(), Some(&"[DONE]"));
    let whole: Value = chat(&gateway, &hello()).await?.json().await?;
    assert!(said(&whole).starts_with("[a "), "a whole answer is another call: {whole}");
    assert_eq!(a.stats().requests, 2);
    Ok(())
}

/// The same call as another consumer's.
const OTHER_KEY: &str = "sk-other-0123456789abcdef";
const OTHER: &str = "apiVersion: v1
kind: Secret
metadata: {name: team-b}
stringData: {key: sk-other-0123456789abcdef}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {name: team-b}
spec: {apiKeys: [{secretRef: {name: team-b, key: key}}]}
---
";

async fn as_consumer(gateway: &Gateway, key: &str) -> Result<Response> {
    let call = client().post(gateway.url("/v1/chat/completions")).bearer_auth(key).json(&hello());
    Ok(call.send().await?)
}

#[tokio::test]
async fn an_answer_is_a_consumers_own_unless_the_route_shares_it() -> Result<()> {
    for (scope, expected) in [("{}", "miss"), ("{scope: Consumer}", "miss"), ("{scope: Route}", "hit")] {
        let a = upstream("a").await?;
        let documents = format!("{OTHER}{}", route(&[&a], &format!("  cache: {scope}\n")));
        let gateway = Gateway::standalone(&world(&documents)).await?;
        as_consumer(&gateway, KEY).await?.bytes().await?;
        assert_eq!(cache(&as_consumer(&gateway, OTHER_KEY).await?), expected, "{scope}");
        assert_eq!(cache(&as_consumer(&gateway, KEY).await?), "hit", "{scope}");
    }
    Ok(())
}

#[tokio::test]
async fn any_difference_makes_another_call_but_blanks_between_tokens() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], CACHE).await?;
    chat(&gateway, &hello()).await?.bytes().await?;
    for (field, value) in [
        ("temperature", json!(0.5)),
        ("max_tokens", json!(50)),
        ("messages", json!([{"role": "user", "content": "hello "}])),
        ("seed", json!(1)),
    ] {
        let mut body = hello();
        body[field] = value;
        assert_eq!(cache(&chat(&gateway, &body).await?), "miss", "{field}");
    }
    let spaced = serde_json::to_string_pretty(&hello())?;
    let call = post(&gateway, "/v1/chat/completions", &json!({})).body(spaced).send().await?;
    assert_eq!(cache(&call), "hit");
    Ok(())
}

#[tokio::test]
async fn after_its_time_an_answer_is_not_given_again() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "  cache: {ttl: 2s}\n").await?;
    chat(&gateway, &hello()).await?.bytes().await?;
    let started = Instant::now();
    while cache(&chat(&gateway, &hello()).await?) == "hit" {
        assert!(started.elapsed() < SOON, "it never expires");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(started.elapsed() > Duration::from_millis(1500), "too early: {:?}", started.elapsed());
    assert_eq!(a.stats().requests, 2);
    Ok(())
}

#[tokio::test]
async fn no_store_takes_no_part_and_no_cache_brings_a_fresh_answer_for_all() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], CACHE).await?;
    let call = |value| post(&gateway, "/v1/chat/completions", &hello()).header("cache-control", value).send();
    let alone = call("private, no-store").await?;
    assert!(!alone.headers().contains_key("x-deepseek-gateway-cache"));
    alone.bytes().await?;
    assert_eq!(cache(&chat(&gateway, &hello()).await?), "miss", "nothing was stored");
    assert!(!call("no-store").await?.headers().contains_key("age"), "nothing is read");
    assert_eq!(a.stats().requests, 3);
    let fresh = call("no-cache").await?;
    assert_eq!(cache(&fresh), "miss");
    fresh.bytes().await?;
    assert_eq!((cache(&chat(&gateway, &hello()).await?), a.stats().requests), ("hit", 4));
    Ok(())
}

#[tokio::test]
async fn what_failed_broke_or_was_given_up_is_never_kept() -> Result<()> {
    for scenario in [
        "content-risk",
        "server-error",
        "cut",
        "cut-clean",
        "error-mid",
        "garbage-frame",
        "no-resource",
        "stall?stall_after=3",
    ] {
        let a = upstream("a").await?;
        a.set_default(scenario);
        let more = "  cache: {}\n  failover: {attempts: 1}\n  timeouts: {idle: 500ms}\n";
        let gateway = gateway(&[&a], more).await?;
        chat(&gateway, &hello_streamed()).await?.text().await?;
        a.set_default("plain");
        let after = chat(&gateway, &hello_streamed()).await?;
        assert_eq!((after.status().as_u16(), cache(&after)), (200, "miss"), "{scenario}");
        assert_eq!(payloads(&after.text().await?).last(), Some(&"[DONE]"), "{scenario}");
        assert_eq!(a.stats().requests, 2, "{scenario}");
    }
    Ok(())
}

#[tokio::test]
async fn a_kept_answer_costs_a_request_and_no_tokens_and_what_it_saves_is_counted() -> Result<()> {
    let a = upstream("a").await?;
    let more = "  cache: {}\n  quota: [{requests: 10, window: 1d}, {tokens: 5000, window: 1d}]\n";
    let gateway = gateway(&[&a], more).await?;
    let answer: Value = chat(&gateway, &hello()).await?.json().await?;
    for remaining in ["8", "7", "6"] {
        let hit = chat(&gateway, &hello()).await?;
        assert_eq!(
            (cache(&hit), hit.headers()["x-ratelimit-remaining-requests"].to_str()?),
            ("hit", remaining)
        );
    }
    let mut other = hello();
    other["max_tokens"] = json!(1);
    let left =
        chat(&gateway, &other).await?.headers()["x-ratelimit-remaining-tokens"].to_str()?.parse::<u64>()?;
    let used = answer["usage"]["total_tokens"].as_u64().expect("usage");
    assert!((5000 - used - 40..=5000 - used).contains(&left), "{left} of 5000 - {used}");
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let output = answer["usage"]["completion_tokens"].as_u64().expect("usage") * 3;
    for expected in [
        "deepseek_gateway_cache_requests_total{route=\"default/chat\",result=\"hit\"} 3".to_owned(),
        format!(
            "deepseek_gateway_cache_saved_tokens_total{{route=\"default/chat\",token_type=\"output\"}} {output}"
        ),
        "deepseek_gateway_cache_entries 2".to_owned(),
    ] {
        assert!(metrics.contains(&expected), "no {expected} in {metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn another_backend_behind_the_route_leaves_what_was_kept_out_of_reach() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    let gateway = gateway(&[&a], CACHE).await?;
    chat(&gateway, &hello()).await?.bytes().await?;
    std::fs::write(gateway.directory().join("manifests.yaml"), world(&route(&[&b], CACHE)))?;
    let started = Instant::now();
    loop {
        let answer: Value = chat(&gateway, &hello()).await?.json().await?;
        if said(&answer).starts_with("[b ") {
            return Ok(());
        }
        assert!(started.elapsed() < SOON, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn bytes_kept_stay_below_the_limit_and_what_is_too_large_passes_unkept() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=1&chunk_bytes=20000");
    let limits = "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: default}
spec: {default: true, limits: {maxCacheBytes: 400000}}
---
";
    let gateway = Gateway::standalone(&world(&format!("{limits}{}", route(&[&a], CACHE)))).await?;
    let call = |number: usize| {
        let mut body = hello_streamed();
        body["max_tokens"] = json!(1000 + number);
        body
    };
    for number in 0..40 {
        let text = chat(&gateway, &call(number)).await?.text().await?;
        assert!(text.len() > 20_000);
    }
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("deepseek_gateway_cache_bytes "));
    let bytes: u64 = bytes.expect("a gauge").parse()?;
    assert!((100_000..=400_000).contains(&bytes), "{bytes}");
    assert_eq!(cache(&chat(&gateway, &call(39)).await?), "hit", "the last is there");
    a.set_default("chunks=20&chunk_bytes=20000");
    for _ in 0..2 {
        let large = chat(&gateway, &call(100)).await?;
        assert_eq!(cache(&large), "miss");
        let text = large.text().await?;
        assert!(text.len() > 400_000);
        assert_eq!(payloads(&text).last(), Some(&"[DONE]"));
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_was_resumed_is_kept_as_the_client_saw_it() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("cut_after=6");
    let gateway = gateway(&[&a, &b], "  cache: {}\n  failover: {midStream: Resume}\n").await?;
    let first = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert_eq!(payloads(&first).last(), Some(&"[DONE]"), "{first}");
    let again = chat(&gateway, &hello_streamed()).await?;
    assert_eq!(cache(&again), "hit");
    assert_eq!(payloads(&again.text().await?), payloads(&first));
    assert_eq!((a.stats().requests, b.stats().requests), (1, 1));
    Ok(())
}

#[tokio::test]
async fn every_endpoint_without_memory_of_its_own_has_a_part_in_it() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], CACHE).await?;
    let messages = json!([{"role": "user", "content": "hello"}]);
    let chat = json!({"model": "deepseek-flash", "max_tokens": 50, "messages": messages});
    let streamed = json!({"model": "deepseek-flash", "max_tokens": 50, "messages": messages, "stream": true});
    let fim = json!({"model": "deepseek-flash", "prompt": "fn main() {", "max_tokens": 20});
    for (path, body) in [
        ("/beta/chat/completions", &chat),
        ("/v1/completions", &fim),
        ("/anthropic/v1/messages", &chat),
        ("/anthropic/v1/messages", &streamed),
    ] {
        let first = post(&gateway, path, body).send().await?;
        assert_eq!((first.status().as_u16(), cache(&first)), (200, "miss"), "{path}");
        let first = first.bytes().await?;
        let again = post(&gateway, path, body).send().await?;
        assert_eq!(cache(&again), "hit", "{path}");
        assert_eq!(again.bytes().await?, first, "{path}");
    }
    let responses = json!({"model": "deepseek-flash", "input": "hello"});
    let stateful = post(&gateway, "/v1/responses", &responses).send().await?;
    assert_eq!(stateful.status(), 200);
    assert!(!stateful.headers().contains_key("x-deepseek-gateway-cache"));
    Ok(())
}
