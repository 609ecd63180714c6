//! Degraded answers: what a client gets when every backend is out.

use crate::support::{
    KEY, chat, chat_json, client, code, gateway, hello, hello_streamed, payloads, post, route, said,
    upstream, world,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use reqwest::Response;
use serde_json::{Value, json};

const STATIC: &str =
    "  failover: {attempts: 2, fallback: {static: {content: \"We are busy. Try again later.\"}}}\n";
const CACHED: &str = "  failover: {attempts: 1, fallback: {cached: true}}\n";

fn mark(response: &Response) -> Option<&str> {
    response.headers().get("x-deepseek-gateway-fallback").and_then(|value| value.to_str().ok())
}

/// The route `chat` over `a` that falls back on the route `small` over `b`.
fn two_routes(a: &mock_deepseek::Mock, b: &mock_deepseek::Mock, more: &str, small: &str) -> String {
    let chat = route(&[a], "  failover: {attempts: 1, fallback: {model: small, static: {content: sorry}}}\n");
    let spare = route(&[b], small).replace("metadata: {name: chat}", "metadata: {name: small}");
    let spare = spare.replace("model: deepseek-flash", "model: small");
    let spare = spare.replace("priority: 0,", "priority: 0, model: deepseek-flash,");
    world(&format!("{chat}{more}---\n{spare}"))
}

#[tokio::test]
async fn a_fixed_text_is_a_chat_completion_that_cost_nothing_and_is_marked() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    let gateway = gateway(&[&a, &b], STATIC).await?;
    let well = chat(&gateway, &hello()).await?;
    assert_eq!(mark(&well), None);
    a.set_default("status=503");
    assert_eq!(mark(&chat(&gateway, &hello()).await?), None, "one backend is left");
    b.set_default("status=503");
    let degraded = chat(&gateway, &hello()).await?;
    assert_eq!((degraded.status().as_u16(), mark(&degraded)), (200, Some("static")));
    let answer: Value = degraded.json().await?;
    assert_eq!(said(&answer), "We are busy. Try again later.");
    assert_eq!((&answer["model"], &answer["object"]), (&json!("deepseek-flash"), &json!("chat.completion")));
    assert_eq!(answer["usage"]["total_tokens"], 0);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let counted = "deepseek_gateway_fallbacks_total{route=\"default/chat\",kind=\"static\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_fixed_text_is_a_stream_where_one_was_asked_for() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=503");
    let gateway = gateway(&[&a], STATIC).await?;
    let response = chat(&gateway, &hello_streamed()).await?;
    assert_eq!((response.status().as_u16(), mark(&response)), (200, Some("static")));
    assert!(response.headers()["content-type"].to_str()?.starts_with("text/event-stream"));
    let text = response.text().await?;
    let chunks = payloads(&text);
    assert_eq!(chunks.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = chunks[..chunks.len() - 1]
        .iter()
        .map(|chunk| serde_json::from_str(chunk))
        .collect::<Result<_, _>>()?;
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[0]["choices"][0]["delta"]["content"], "We are busy. Try again later.");
    let finish = chunks.last().expect("a finish");
    assert_eq!(
        (&finish["choices"][0]["finish_reason"], &finish["usage"]["total_tokens"]),
        (&json!("stop"), &json!(0))
    );
    Ok(())
}

#[tokio::test]
async fn in_a_stream_whose_head_is_sent_a_comment_marks_it() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=503&header_delay_ms=2500");
    let more =
        "  keepAlive: {interval: 1s}\n  failover: {attempts: 1, fallback: {static: {content: sorry}}}\n";
    for more in [more.to_owned(), format!("{more}  cache: {{}}\n")] {
        let gateway = gateway(&[&a], &more).await?;
        let response = chat(&gateway, &hello_streamed()).await?;
        assert_eq!(mark(&response), None, "nobody knew then");
        let text = response.text().await?;
        assert!(text.contains("\n\n: fallback=static\n\ndata: "), "{text}");
        assert!(text.contains("sorry"), "{text}");
        assert_eq!(payloads(&text).last(), Some(&"[DONE]"));
    }
    Ok(())
}

#[tokio::test]
async fn the_last_good_answer_to_the_same_call_is_given_however_old_and_to_nobody_else() -> Result<()> {
    for more in [CACHED, "  cache: {ttl: 1s}\n  failover: {attempts: 1, fallback: {cached: true}}\n"] {
        let a = upstream("a").await?;
        let gateway = gateway(&[&a], more).await?;
        let first = chat(&gateway, &hello()).await?;
        assert_eq!(mark(&first), None);
        let first = first.text().await?;
        let stream = chat(&gateway, &hello_streamed()).await?.text().await?;
        if more.contains("ttl") {
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        }
        a.set_default("status=503");
        let again = chat(&gateway, &hello()).await?;
        assert_eq!((again.status().as_u16(), mark(&again)), (200, Some("cached")));
        assert!(again.headers().contains_key("age"));
        assert_eq!(again.text().await?, first);
        let streamed = chat(&gateway, &hello_streamed()).await?;
        assert_eq!(mark(&streamed), Some("cached"));
        assert_eq!(payloads(&streamed.text().await?), payloads(&stream));
        let mut other = hello();
        other["temperature"] = json!(0.5);
        assert_eq!(
            chat(&gateway, &other).await?.status().as_u16() / 100,
            5,
            "another call has no last answer"
        );
        let refused = post(&gateway, "/v1/chat/completions", &hello())
            .header("cache-control", "no-store")
            .send()
            .await?;
        assert_eq!(refused.status().as_u16() / 100, 5, "no-store takes no part");
        assert!(a.stats().requests >= 4, "the backend was asked first each time: {:?}", a.stats());
    }
    Ok(())
}

#[tokio::test]
async fn another_model_answers_as_if_it_had_been_asked_and_is_marked() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503");
    let gateway = Gateway::standalone(&two_routes(&a, &b, "", "")).await?;
    for body in [hello(), hello_streamed()] {
        let response = chat(&gateway, &body).await?;
        assert_eq!((response.status().as_u16(), mark(&response)), (200, Some("model")));
        let text = response.text().await?;
        assert!(text.contains("[b"), "{text}");
    }
    assert_eq!(b.stats().by_model.get("deepseek-flash"), Some(&2), "{:?}", b.stats());
    b.set_default("status=503");
    let response = chat(&gateway, &hello()).await?;
    assert_eq!(mark(&response), Some("static"), "then the next in the order");
    Ok(())
}

/// The places of the two routes' backends are the same, and what is said of one is none of the other's.
#[tokio::test]
async fn another_model_is_asked_for_the_first_time_however_many_calls_come_to_it() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("not-found");
    let gateway = Gateway::standalone(&two_routes(&a, &b, "", "")).await?;
    for call in 1..=8 {
        let response = chat(&gateway, &hello()).await?;
        assert_eq!((response.status().as_u16(), mark(&response)), (200, Some("model")), "call {call}");
    }
    assert_eq!((a.stats().requests, b.stats().requests), (8, 8));
    Ok(())
}

/// The retry budget bounds what is sent again; the first attempt at the other model is none of that.
#[tokio::test]
async fn another_model_answers_every_call_of_an_outage_that_lasts() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503");
    let small = "  failover: {attempts: 1, budgetPercent: 0}\n";
    let gateway = Gateway::standalone(&two_routes(&a, &b, "", small)).await?;
    for call in 1..=24 {
        assert_eq!(mark(&chat(&gateway, &hello()).await?), Some("model"), "{call}");
        assert_eq!(b.stats().requests, call);
    }
    assert_eq!(a.stats().requests, 10, "its breaker is open, and the other model answers all the same");
    Ok(())
}

#[tokio::test]
async fn another_model_is_asked_within_its_own_quotas_and_only_for_who_may_use_it() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503");
    let limited = two_routes(&a, &b, "", "  quota: [{requests: 1, window: 1d}]\n");
    let gateway = Gateway::standalone(&limited).await?;
    assert_eq!(mark(&chat(&gateway, &hello()).await?), Some("model"));
    assert_eq!(mark(&chat(&gateway, &hello()).await?), Some("static"), "its quota is used up");
    assert_eq!(b.stats().requests, 1);
    let closed = two_routes(&a, &b, "", "  access: {consumers: {matchLabels: {team: b}}}\n");
    let gateway = Gateway::standalone(&closed).await?;
    assert_eq!(mark(&chat(&gateway, &hello()).await?), Some("static"));
    assert_eq!(b.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn a_callers_mistake_and_a_used_up_quota_stay_what_they_are() -> Result<()> {
    let a = upstream("a").await?;
    let more = format!("{STATIC}  quota: [{{requests: 2, window: 1d}}]\n");
    let gateway = gateway(&[&a], &more).await?;
    a.set_default("content-risk");
    let response = chat(&gateway, &hello()).await?;
    assert_eq!((response.status().as_u16(), mark(&response)), (400, None));
    let response =
        post(&gateway, "/v1/embeddings", &json!({"model": "deepseek-flash", "input": "x"})).send().await?;
    assert_eq!((response.status().as_u16(), mark(&response)), (400, None));
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!((status, code(&answer)), (429, "rate_limit_exceeded"));
    Ok(())
}

#[tokio::test]
async fn a_degraded_answer_is_not_kept_as_a_good_one() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503");
    let gateway = Gateway::standalone(&two_routes(&a, &b, "  cache: {}\n", "")).await?;
    assert_eq!(mark(&chat(&gateway, &hello()).await?), Some("model"));
    a.set_default("plain");
    let mut response = chat(&gateway, &hello()).await?;
    // The breaker may still be closed to it; what matters is that nothing kept comes back.
    assert_ne!(response.headers()["x-deepseek-gateway-cache"], "hit");
    response.chunk().await?;
    Ok(())
}

#[tokio::test]
async fn another_model_is_asked_at_once() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503");
    let slow = "  failover: {backoff: {base: 60s, max: 60s, jitter: false}}\n";
    let gateway = Gateway::standalone(&two_routes(&a, &b, "", slow)).await?;
    let call = post(&gateway, "/v1/chat/completions", &hello()).header("x-request-timeout-ms", "30000");
    let response = call.send().await?;
    assert_eq!((response.status().as_u16(), mark(&response)), (200, Some("model")), "without a pause");
    assert_eq!((a.stats().requests, b.stats().requests), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_call_that_there_is_no_memory_for_gets_no_degraded_answer() -> Result<()> {
    let a = upstream("a").await?;
    let limits = "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: default}
spec: {limits: {maxBufferedBytes: 1048576, maxRequestBodyBytes: 1048576}}
---
";
    let gateway = Gateway::standalone(&world(&format!("{limits}{}", route(&[&a], STATIC)))).await?;
    a.set_default("chunks=1&chunk_bytes=3000000&thinking=false");
    let response = chat(&gateway, &hello_streamed()).await?;
    assert_eq!((response.status().as_u16(), mark(&response)), (503, None));
    assert_eq!(code(&response.json().await?), "overloaded");
    Ok(())
}

#[tokio::test]
async fn merged_calls_share_no_other_models_answer_with_who_may_not_use_it() -> Result<()> {
    const OTHER_KEY: &str = "sk-other-0123456789abcdef";
    let other = format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: team-b}}
stringData: {{key: {OTHER_KEY}}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {{name: team-b, labels: {{team: b}}}}
spec: {{apiKeys: [{{secretRef: {{name: team-b, key: key}}}}]}}
---
"
    );
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("status=503&header_delay_ms=5000");
    let access = "  access: {consumers: {matchLabels: {team: a}}}\n";
    let routes = two_routes(&a, &b, "  cache: {scope: Route}\n", access);
    let gateway = Gateway::standalone(&format!("{other}{routes}")).await?;
    let call =
        |key| client().post(gateway.url("/v1/chat/completions")).bearer_auth(key).json(&hello()).send();
    let (first, second, theirs) = futures::join!(call(KEY), call(KEY), call(OTHER_KEY));
    assert_eq!((mark(&first?), mark(&second?)), (Some("model"), Some("model")));
    assert_eq!(mark(&theirs?), Some("static"));
    assert_eq!((a.stats().requests, b.stats().requests), (2, 1));
    Ok(())
}
