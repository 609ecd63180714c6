//! What a caller gets for a wrong request: the right 4xx in OpenAI's envelope, and nothing of it in any log.

use crate::support::{
    KEY, PROVIDER_KEY, chat_json, client, code, gateway, hello, post, route, upstream, world,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn each_wrong_request_gets_its_status_and_code_in_openais_envelope() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let send = |key: Option<&'static str>, path: &'static str, body: String| {
        let request = client().post(gateway.url(path)).body(body);
        match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    };
    let with = |field: &str, value: Value| {
        let mut body = hello();
        body[field] = value;
        body.to_string()
    };
    let hello = hello().to_string();
    let not_utf8 = &b"{\"model\":\"deepseek-flash\",\"messages\":[{}],\"user\":\"\xff\"}"[..];
    for (request, status, expected) in [
        (send(None, CHAT, hello.clone()), 401, "missing_api_key"),
        (send(Some("sk-wrong"), CHAT, hello.clone()), 401, "invalid_api_key"),
        (send(Some(KEY), CHAT, "{\"model\": \"deepseek-fl".into()), 400, "invalid_json"),
        (send(Some(KEY), CHAT, String::new()), 400, "invalid_json"),
        (send(Some(KEY), CHAT, "[\"deepseek-flash\",false,[{}]]".into()), 400, "invalid_json"),
        (send(Some(KEY), CHAT, String::new()).body(not_utf8), 400, "invalid_json"),
        (send(Some(KEY), CHAT, "{\"messages\":[{}]}".into()), 400, "missing_required_parameter"),
        (send(Some(KEY), CHAT, with("model", json!("gpt-4o"))), 404, "model_not_found"),
        (send(Some(KEY), CHAT, with("temperature", json!(2.5))), 400, "invalid_value"),
        (send(Some(KEY), CHAT, with("messages", json!([]))), 400, "invalid_value"),
        (send(Some(KEY), "/v1/chat", hello.clone()), 404, "unknown_url"),
        (client().get(gateway.url(CHAT)).bearer_auth(KEY), 405, "method_not_allowed"),
        (
            send(Some(KEY), CHAT, hello.clone()).header("content-encoding", "gzip"),
            415,
            "unsupported_media_type",
        ),
    ] {
        let response = request.send().await?;
        let got = response.status();
        let body: Value = response.json().await?;
        assert_eq!((got.as_u16(), code(&body)), (status, expected), "{body}");
        let error = body["error"].as_object().expect("an envelope");
        assert_eq!(error.keys().collect::<Vec<_>>().len(), 4, "message, type, param and code: {body}");
        assert!(error["message"].as_str().is_some_and(|m| m.len() > 20), "{body}");
    }
    assert_eq!(a.stats().requests, 0, "none of them reached the backend");
    Ok(())
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not() -> Result<()> {
    let a = upstream("a").await?;
    let limited = "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: default}
spec: {default: true, limits: {maxRequestBodyBytes: 2048}}
---
";
    let gateway = Gateway::standalone(&world(&format!("{limited}{}", route(&[&a], "")))).await?;
    let mut body = hello();
    body["messages"][0]["content"] = json!("x".repeat(4096));
    let (status, answer) = chat_json(&gateway, &body).await?;
    assert_eq!((status, code(&answer)), (413, "request_too_large"));
    let chunks = body
        .to_string()
        .into_bytes()
        .chunks(512)
        .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
        .collect::<Vec<_>>();
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let response = client().post(gateway.url(CHAT)).bearer_auth(KEY).body(chunked).send().await?;
    assert_eq!(response.status(), 413);
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200, "what is below it passes");
    Ok(())
}

#[tokio::test]
async fn a_half_sent_body_disturbs_nobody() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let mut socket = TcpStream::connect(gateway.address()).await?;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 500\r\n\r\n{{\"model\":"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.shutdown().await?;
    let mut answer = String::new();
    // hyper may close without an answer: the peer has said that nothing follows.
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_string(&mut answer)).await?;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    assert_eq!(a.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn a_model_that_is_not_for_this_consumer_does_not_exist_for_it() -> Result<()> {
    let a = upstream("a").await?;
    let secret = route(&[&a], "  access: {consumers: {matchLabels: {team: b}}}\n")
        .replace("name: chat}", "name: secret}")
        .replace("model: deepseek-flash", "model: secret-model");
    let open = route(&[&a], "  aliases: [fast]\n  access: {consumers: {matchLabels: {team: a}}}\n");
    let gateway = Gateway::standalone(&world(&format!("{open}---\n{secret}"))).await?;
    let mut body = hello();
    body["model"] = json!("secret-model");
    let (status, hidden) = chat_json(&gateway, &body).await?;
    body["model"] = json!("no-such-model");
    let (_, missing) = chat_json(&gateway, &body).await?;
    assert_eq!((status, hidden), (404, missing), "hidden and missing look the same");
    let models =
        client().get(gateway.url("/v1/models")).bearer_auth(KEY).send().await?.json::<Value>().await?;
    let ids: Vec<_> = models["data"].as_array().expect("a list").iter().map(|m| m["id"].as_str()).collect();
    assert_eq!(ids, [Some("deepseek-flash"), Some("fast")]);
    Ok(())
}

#[tokio::test]
async fn other_key_headers_are_taken_too() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    for header in ["x-api-key", "api-key"] {
        let request = client().post(gateway.url(CHAT)).header(header, KEY).json(&hello());
        assert_eq!(request.send().await?.status(), 200, "{header}");
        assert_eq!(a.last_request().expect("sent").header(header), None, "the caller's key stays here");
    }
    Ok(())
}

#[tokio::test]
async fn neither_keys_nor_prompts_are_logged_or_shown_in_metrics() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = Gateway::standalone_with(&world(&route(&[&a], "")), &["--log-level", "debug"]).await?;
    let mut body = hello();
    body["messages"][0]["content"] = json!("the-secret-prompt");
    assert_eq!(chat_json(&gateway, &body).await?.0, 200);
    for scenario in ["status=500", "status=401", "status=429"] {
        a.set_default(scenario);
        assert!(chat_json(&gateway, &body).await?.0 >= 429, "{scenario}");
    }
    for status in ["500", "503", "429"] {
        a.set_default(
            format!("status={status}&message=wrong key {PROVIDER_KEY} for the-secret-prompt").as_str(),
        );
        let answer = chat_json(&gateway, &body).await?.1.to_string();
        assert!(!answer.contains(PROVIDER_KEY) && !answer.contains("the-secret-prompt"), "{answer}");
    }
    let broken = format!("{{\"the-secret-prompt {KEY}");
    let request = client().post(gateway.url(CHAT)).bearer_auth(KEY).body(broken);
    assert_eq!(request.send().await?.status(), 400);
    post(&gateway, CHAT, &body).bearer_auth("sk-the-wrong-key-1234").send().await?;
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let status = client().get(gateway.admin_url("/status")).send().await?.text().await?;
    let seen = format!("{}{metrics}{status}", gateway.logs());
    assert!(seen.contains("request ended"), "the debug log is on: {seen}");
    for secret in [KEY, PROVIDER_KEY, "the-secret-prompt", "sk-the-wrong-key-1234"] {
        assert!(!seen.contains(secret), "{secret} leaked");
    }
    Ok(())
}
