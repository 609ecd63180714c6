//! Answers that end before their end, said by a backend that says what it is told to, byte by byte.

use crate::support::{
    chat, chat_json, client, gateway, hello, hello_streamed, payloads, post, route, said, upstream, world,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::Mock;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// A backend that says `pieces`, with a pause after each, and closes the connection.
async fn saying(pieces: Vec<String>, pause: Duration) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, pieces.clone(), pause));
        }
    });
    Ok(address)
}

async fn answer(mut socket: TcpStream, pieces: Vec<String>, pause: Duration) -> std::io::Result<()> {
    let mut request = Vec::new();
    // All of the prompts end like this.
    while !request.ends_with(b"}") {
        socket.read_buf(&mut request).await?;
    }
    for piece in pieces {
        socket.write_all(piece.as_bytes()).await?;
        tokio::time::sleep(pause).await;
    }
    socket.shutdown().await
}

/// A gateway whose first backend says `pieces`; `others` follow it.
async fn first_saying(pieces: &[&str], others: &[&Mock], more: &str) -> Result<Gateway> {
    paced(pieces.iter().map(ToString::to_string).collect(), Duration::ZERO, others, more).await
}

async fn paced(pieces: Vec<String>, pause: Duration, others: &[&Mock], more: &str) -> Result<Gateway> {
    let address = saying(pieces, pause).await?;
    let a = upstream("a").await?;
    let all: Vec<_> = [&a].into_iter().chain(others.iter().copied()).collect();
    let documents = route(&all, more).replace(&a.base_url(), &format!("http://{address}"));
    Gateway::standalone(&world(&documents)).await
}

fn chunk(index: u64, delta: &str, finish: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
}

fn assert_interrupted(text: &str) {
    let payloads = payloads(text);
    assert!(payloads.last().is_some_and(|last| last.contains("stream_interrupted")), "{text}");
    assert!(!payloads.contains(&"[DONE]"), "{text}");
}

#[tokio::test]
async fn an_answer_of_several_choices_is_whole_once_all_of_them_have_finished() -> Result<()> {
    let hi = r#"{"content":"hi"}"#;
    let (one, two) = (chunk(0, hi, "null") + &chunk(1, hi, "null"), chunk(0, "{}", "\"stop\""));
    let (rest, done) = (chunk(1, "{}", "\"stop\""), "data: [DONE]\n\n".to_owned());
    let mut body = hello_streamed();
    body["n"] = json!(2);
    for resume in ["", "  failover: {midStream: Resume}\n"] {
        for half in [[&one, &two, ""], [&one, &two, &done]] {
            let gateway = first_saying(&[STREAM, &half.concat()], &[], resume).await?;
            assert_interrupted(&chat(&gateway, &body).await?.text().await?);
        }
        for whole in
            [[&one, &two, &rest, ""], [&one, &two, &rest, &done], [&chunk(0, hi, "null"), &two, "", &done]]
        {
            let gateway = first_saying(&[STREAM, &whole.concat()], &[], resume).await?;
            let text = chat(&gateway, &body).await?.text().await?;
            assert_eq!(payloads(&text).last(), Some(&"[DONE]"), "{text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn half_a_large_answer_is_not_passed_off_as_whole_though_its_body_ends_well() -> Result<()> {
    let half = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{}", "x".repeat(1_500_000));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let sized = format!("{head}content-length: {}\r\n\r\n{half}", half.len());
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n0\r\n\r\n", half.len());
    for answer in [sized, chunked] {
        let gateway = first_saying(&[&answer], &[], "  cache: {}\n").await?;
        for _ in 0..2 {
            let response = chat(&gateway, &hello()).await?;
            assert_eq!(response.headers()["x-deepseek-gateway-cache"], "miss", "half of it is never kept");
            let read = response.bytes().await;
            assert!(read.is_err(), "{} bytes were read to their end", read.map_or(0, |bytes| bytes.len()));
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_error_event_of_the_other_apis_is_told_to_the_breaker_and_to_metrics() -> Result<()> {
    let stream = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"hi\"}}\n\n\
                  event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let breaker = "  failover: {attempts: 1, circuitBreaker: {minRequests: 3, openFor: 60s}}\n";
    let gateway = first_saying(&[STREAM, stream], &[], breaker).await?;
    let ask = json!({"model": "deepseek-flash", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    for _ in 0..3 {
        let text = post(&gateway, "/v1/messages", &ask).send().await?.text().await?;
        assert_eq!(text.matches("event: error").count(), 1, "{text}");
    }
    let report = client().get(gateway.admin_url("/status")).send().await?.json::<Value>().await?;
    assert_eq!(report["backends"][0]["state"], "Open", "{report}");
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let told =
        |line: &str| line.contains("http_requests_total") && line.contains("reason=\"stream_interrupted\"");
    assert!(metrics.lines().any(told), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn frames_without_a_word_do_not_keep_a_stalled_stream_alive() -> Result<()> {
    let empty = chunk(0, r#"{"role":"assistant","content":""}"#, "null");
    let mut pieces = vec![STREAM.to_owned(), chunk(0, r#"{"content":"hi"}"#, "null")];
    pieces.extend(std::iter::repeat_n(empty, 100));
    for resume in ["", "  failover: {midStream: Resume, attempts: 1}\n"] {
        let more = format!("{resume}  timeouts: {{idle: 1s}}\n");
        let gateway = paced(pieces.clone(), Duration::from_millis(100), &[], &more).await?;
        let start = Instant::now();
        assert_interrupted(&chat(&gateway, &hello_streamed()).await?.text().await?);
        assert!(start.elapsed() < Duration::from_secs(8), "it went on for {:?}", start.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_json_is_no_first_token() -> Result<()> {
    let b = upstream("b").await?;
    for garbage in ["data: oops\n\n", "data: {}\n\n"] {
        let gateway = first_saying(&[STREAM, garbage], &[&b], "").await?;
        let text = chat(&gateway, &hello_streamed()).await?.text().await?;
        assert!(text.contains("[b") && !text.contains("oops"), "{garbage}: {text}");
        assert_eq!(payloads(&text).last(), Some(&"[DONE]"), "{garbage}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn an_account_whose_keys_are_all_refused_is_not_asked_with_each_of_many() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("unauthorized");
    let keys: String = (0..9).map(|key| format!("\n  - secretRef: {{name: keys, key: k{key}}}")).collect();
    let secret: String = (0..9).map(|key| format!("k{key}: sk-provider-{key}-0123456789, ")).collect();
    let documents = format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{{secret}}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekBackend
metadata: {{name: account}}
spec:
  baseUrl: {}
  balance: {{watch: false}}
  apiKeys:{keys}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec:
  model: deepseek-flash
  backends:
  - {{name: account, backendRef: {{name: account}}}}
  failover: {{attempts: 2}}
",
        a.base_url()
    );
    let gateway = Gateway::standalone(&world(&documents)).await?;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 502);
    assert_eq!(a.stats().requests, 6, "two attempts, and four that only cost a key");
    Ok(())
}

#[tokio::test]
async fn a_whole_large_answer_passes() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=1&chunk_bytes=2000000&thinking=false");
    let gateway = gateway(&[&a], "").await?;
    let answer: Value = chat(&gateway, &hello()).await?.json().await?;
    assert!(said(&answer).len() >= 2_000_000);
    Ok(())
}
