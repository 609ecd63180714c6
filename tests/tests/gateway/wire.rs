//! Bodies pass byte for byte, in both directions; headers stop where they must.

use crate::support::{
    KEY, PROVIDER_KEY, chat, chat_json, client, gateway, hello, hello_streamed, post, said, upstream, world,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::{Flavor, Mock, Options};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn an_openai_call_is_answered_by_the_backend_with_the_gateways_own_key() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!(status, 200, "{answer}");
    assert!(said(&answer).starts_with("[a deepseek-flash]"), "{answer}");
    let sent = a.last_request().expect("one request");
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {PROVIDER_KEY}").as_str()));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    Ok(())
}

#[tokio::test]
async fn a_body_reaches_the_backend_byte_for_byte_unknown_fields_and_all() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let body = "{ \"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9llo \u{1f600}\"}] ,\n\t\"x_new\": {\"b\":1,\"a\":[1.0, 2e3]}, \"model\":\"deepseek-flash\" }";
    let request = client().post(gateway.url("/v1/chat/completions")).bearer_auth(KEY);
    let response =
        request.header("content-type", "application/json; charset=utf-8").body(body).send().await?;
    assert_eq!(response.status(), 200, "{}", response.text().await?);
    assert_eq!(a.last_request().expect("one request").body, body.as_bytes());
    Ok(())
}

#[tokio::test]
async fn where_a_route_renames_the_model_only_its_name_changes() -> Result<()> {
    let vllm = Mock::start(Options::flavored("in-house", Flavor::Vllm)).await?;
    let documents = format!(
        "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec:
  model: deepseek-flash
  aliases: [fast]
  backends:
  - {{name: in-house, baseUrl: \"{}/v1\", flavor: VLLM, model: deepseek-ai/DeepSeek-V3.2}}
",
        vllm.base_url()
    );
    let gateway = Gateway::standalone(&world(&documents)).await?;
    let body = r#"{"temperature":0.5, "model" : "fast" ,"messages":[{"role":"user","content":"\"model\":\"fast\""}],"chat_template_kwargs":{"thinking":true}}"#;
    let request = client().post(gateway.url("/v1/chat/completions")).bearer_auth(KEY).body(body);
    assert_eq!(request.send().await?.status(), 200);
    let sent = vllm.last_request().expect("one request");
    assert_eq!(sent.body, body.replacen("\"fast\"", "\"deepseek-ai/DeepSeek-V3.2\"", 1).as_bytes());
    assert_eq!(sent.path, "/v1/chat/completions");
    Ok(())
}

#[tokio::test]
async fn a_stream_passes_unchanged_and_frame_by_frame() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=5&chunk_delay_ms=150&thinking=true");
    let gateway = gateway(&[&a], "").await?;
    let mut body = hello_streamed();
    body["thinking"] = json!({"type": "enabled"});
    let direct =
        client().post(format!("{}/v1/chat/completions", a.base_url())).bearer_auth(PROVIDER_KEY).json(&body);
    let direct = direct.send().await?.text().await?;
    let mut through = chat(&gateway, &body).await?;
    assert_eq!(through.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut received = Vec::new();
    let mut arrivals = Vec::new();
    while let Some(piece) = through.chunk().await? {
        arrivals.push(std::time::Instant::now());
        assert!(piece.ends_with(b"\n\n"), "whole events only: {piece:?}");
        received.extend_from_slice(&piece);
    }
    assert_eq!(String::from_utf8(received)?, direct);
    let spread = arrivals.last().zip(arrivals.first()).map(|(last, first)| *last - *first);
    assert!(
        spread > Some(Duration::from_millis(400)),
        "frames came as they were made, not at the end: {spread:?}"
    );
    assert!(direct.contains("\"reasoning_content\":\""), "{direct}");
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_passes_unchanged_with_its_leading_newlines() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("keep_alives=4&keep_alive_ms=1");
    let gateway = gateway(&[&a], "").await?;
    let direct = client()
        .post(format!("{}/v1/chat/completions", a.base_url()))
        .bearer_auth(PROVIDER_KEY)
        .json(&hello());
    let direct = direct.send().await?.bytes().await?;
    let through = chat(&gateway, &hello()).await?.bytes().await?;
    assert_eq!(through, direct);
    assert!(through.starts_with(b"\n\n\n\n{"));
    Ok(())
}

#[tokio::test]
async fn every_endpoint_of_the_api_has_its_place() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let chat = hello();
    let fim = json!({"model": "deepseek-flash", "prompt": "def f(", "suffix": ")"});
    let messages = json!({"model": "deepseek-flash", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]});
    let responses = json!({"model": "deepseek-flash", "input": "hello"});
    for (path, body, sent_to) in [
        ("/v1/chat/completions", &chat, "/chat/completions"),
        ("/chat/completions", &chat, "/chat/completions"),
        ("/beta/chat/completions", &chat, "/beta/chat/completions"),
        ("/beta/completions", &fim, "/beta/completions"),
        ("/v1/completions", &fim, "/beta/completions"),
        ("/anthropic/v1/messages", &messages, "/anthropic/v1/messages"),
        ("/responses", &responses, "/responses"),
    ] {
        let response = post(&gateway, path, body).send().await?;
        assert_eq!(response.status(), 200, "{path}: {}", response.text().await?);
        assert_eq!(a.last_request().expect("a request").path, sent_to, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn embeddings_go_to_a_backend_that_has_them_and_are_refused_where_none_has() -> Result<()> {
    let (a, vllm) = (upstream("a").await?, Mock::start(Options::flavored("v", Flavor::Vllm)).await?);
    let documents = format!(
        "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: embed}}
spec:
  model: embed
  backends:
  - {{name: deepseek, baseUrl: \"{}\"}}
  - {{name: in-house, baseUrl: \"{}/v1\", flavor: VLLM, priority: 1}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: no-embed}}
spec:
  model: no-embed
  backends:
  - {{name: deepseek, baseUrl: \"{}\"}}
",
        a.base_url(),
        vllm.base_url(),
        a.base_url()
    );
    let gateway = Gateway::standalone(&world(&documents)).await?;
    let response =
        post(&gateway, "/v1/embeddings", &json!({"model": "embed", "input": "hello"})).send().await?;
    assert_eq!(response.status(), 200, "{}", response.text().await?);
    let response =
        post(&gateway, "/v1/embeddings", &json!({"model": "no-embed", "input": "hello"})).send().await?;
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Value>().await?["error"]["code"], "unsupported_endpoint");
    assert_eq!(a.stats().requests, 0);
    Ok(())
}

#[tokio::test]
async fn cookies_and_forwarding_headers_stop_at_the_gateway_and_tracing_headers_pass() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = post(&gateway, "/v1/chat/completions", &hello());
    let request = request.header("cookie", "session=1").header("x-forwarded-for", "203.0.113.9");
    let response = request.header("x-request-id", "req_mine").header("traceparent", trace).send().await?;
    assert_eq!(response.headers()["x-request-id"], "req_mine");
    let sent = a.last_request().expect("one request");
    assert_eq!((sent.header("cookie"), sent.header("x-forwarded-for")), (None, None));
    assert_eq!((sent.header("traceparent"), sent.header("x-request-id")), (Some(trace), Some("req_mine")));
    Ok(())
}
