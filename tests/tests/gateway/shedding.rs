//! More than a pod can take: what is beyond its limits is refused at once, and what was let in is not disturbed.

use crate::support::{
    KEY, chat, chat_json, client, client_builder, code, hello, hello_streamed, payloads, route, said,
    upstream, world,
};
use anyhow::{Context as _, Result, ensure};
use deepseek_tests::gateway::Gateway;
use deepseek_tests::kubernetes::eventually;
use mock_deepseek::Mock;
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

const SOON: Duration = Duration::from_secs(20);
const CHAT: &str = "/v1/chat/completions";

/// A route over `upstream`, in a gateway with these `limits`.
fn limited(upstream: &Mock, limits: &str) -> String {
    let gateway = format!(
        "apiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {{name: default}}\nspec: {{limits: \
         {{{limits}}}}}\n"
    );
    world(&format!("{gateway}---\n{}", route(&[upstream], "")))
}

/// The value of a metric without labels, or with the labels written out.
async fn metric(gateway: &Gateway, name: &str) -> Result<i64> {
    let text = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {name} in\n{text}"))?.parse()?)
}

/// Waits until nothing is in flight and nothing held.
async fn at_rest(gateway: &Gateway) {
    eventually("nothing is in flight and nothing held", SOON, async || {
        let in_flight = metric(gateway, "deepseek_gateway_requests_in_flight").await?;
        let held = metric(gateway, "deepseek_gateway_buffered_bytes").await?;
        ensure!((in_flight, held) == (0, 0), "{in_flight} in flight, {held} bytes held");
        Ok(())
    })
    .await;
}

/// A request of whose body only the first byte was sent.
struct Half {
    socket: TcpStream,
    rest: String,
}

impl Half {
    async fn send(gateway: &Gateway, body: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(gateway.address()).await?;
        let (first, rest) = body.split_at(1);
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{first}",
            body.len()
        );
        socket.write_all(head.as_bytes()).await?;
        Ok(Self { socket, rest: rest.to_owned() })
    }

    /// Sends the rest, and reads the answer to its end.
    async fn finish(mut self) -> Result<String> {
        self.socket.write_all(self.rest.as_bytes()).await?;
        let mut answer = String::new();
        self.socket.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

/// That `response` refuses for want of room.
async fn assert_overloaded(response: Response) -> Result<()> {
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    let error: Value = response.json().await?;
    assert_eq!(code(&error), "overloaded", "{error}");
    for field in ["message", "type", "param", "code"] {
        assert!(error["error"].get(field).is_some(), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn beyond_the_cap_on_requests_in_flight_a_request_is_refused_at_once_and_the_others_finish()
-> Result<()> {
    let a = upstream("a").await?;
    let gateway = Gateway::standalone(&limited(&a, "maxInFlight: 3")).await?;
    let body = hello_streamed().to_string();
    let mut halves = Vec::new();
    for _ in 0..3 {
        halves.push(Half::send(&gateway, &body).await?);
    }
    eventually("three are in flight", SOON, async || {
        ensure!(metric(&gateway, "deepseek_gateway_requests_in_flight").await? == 3);
        Ok(())
    })
    .await;
    assert_overloaded(chat(&gateway, &hello()).await?).await?;
    let mut large = hello();
    large["messages"][0]["content"] = json!("x".repeat(20_000_000));
    assert_overloaded(chat(&gateway, &large).await?).await?;
    let probe = client().get(gateway.admin_url("/readyz")).send().await?;
    assert_eq!(probe.status(), 200, "a full pod is a healthy one");
    for half in halves {
        let answer = half.finish().await?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(payloads(&answer).contains(&"[DONE]"), "{answer}");
    }
    assert_eq!(a.stats().requests, 3, "what was refused reached no backend");
    assert!(metric(&gateway, "deepseek_gateway_shed_total{reason=\"in_flight\"}").await? >= 1);
    gateway.wait_for_log("overloaded, requests refused").await?;
    at_rest(&gateway).await;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_body_is_refused_before_it_is_read_where_no_memory_is_left_for_it() -> Result<()> {
    let a = upstream("a").await?;
    let limits = "maxBufferedBytes: 1048576, maxRequestBodyBytes: 1048576";
    let gateway = Gateway::standalone(&limited(&a, limits)).await?;
    // One request has most of the memory, and has sent nothing of its body yet.
    let slow = Half::send(&gateway, &"x".repeat(1_000_000)).await?;
    eventually("the announced body has its room", SOON, async || {
        ensure!(metric(&gateway, "deepseek_gateway_buffered_bytes").await? == 1_000_000);
        Ok(())
    })
    .await;
    let mut large = hello();
    large["messages"][0]["content"] = json!("x".repeat(100_000));
    assert_overloaded(chat(&gateway, &large).await?).await?;
    let pieces = large.to_string().into_bytes().chunks(10_000).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let chunked = client().post(gateway.url(CHAT)).bearer_auth(KEY).body(reqwest::Body::wrap_stream(pieces));
    assert_overloaded(chunked.send().await?).await?;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200, "a small one still fits");
    assert_eq!(a.stats().requests, 1);
    assert_eq!(metric(&gateway, "deepseek_gateway_shed_total{reason=\"buffered_bytes\"}").await?, 2);
    drop(slow);
    at_rest(&gateway).await;
    assert_eq!(chat_json(&gateway, &large).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn new_limits_hold_for_the_next_request() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("stall?stall_after=2");
    let gateway = Gateway::standalone(&limited(&a, "maxInFlight: 1")).await?;
    let _first = chat(&gateway, &hello_streamed()).await?;
    assert_overloaded(chat(&gateway, &hello()).await?).await?;
    a.set_default("plain");
    std::fs::write(gateway.directory().join("manifests.yaml"), limited(&a, "maxInFlight: 2"))?;
    eventually("there is room for two", SOON, async || {
        let (status, answer) = chat_json(&gateway, &hello()).await?;
        ensure!(status == 200, "{answer}");
        Ok(())
    })
    .await;
    Ok(())
}

/// A client of a stream that reads only what it is told to, over a connection whose own buffer is small.
struct SlowReader(TcpStream);

impl SlowReader {
    /// Begins a stream, and reads its head and a little more.
    async fn begin(gateway: &Gateway) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut socket = socket.connect(gateway.address()).await?;
        let body = hello_streamed().to_string();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).await?;
        let mut first = [0; 1024];
        socket.read_exact(&mut first).await?;
        ensure!(first.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&first));
        Ok(Self(socket))
    }

    /// Reads as fast as it can until `end` has come.
    async fn read_until(&mut self, end: &str) -> Result<String> {
        let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let length = self.0.read(&mut buffer).await?;
            ensure!(length > 0, "it ended before {end}");
            text.extend_from_slice(&buffer[..length]);
            let tail = &text[text.len().saturating_sub(length + end.len())..];
            if String::from_utf8_lossy(tail).contains(end) {
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
}

/// Resident memory of a gateway, in bytes.
fn resident(gateway: &Gateway) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid().context("it runs")?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

/// Frames sent to each of the streams, once no more are sent.
async fn frames_at_rest(a: &Mock) -> Vec<u64> {
    let mut before = Vec::new();
    eventually("the backend sends no more", Duration::from_mins(2), async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now: Vec<_> = a.requests().iter().map(|request| request.frames).collect();
        let same = now == before;
        before = now;
        ensure!(same, "it still sends");
        Ok(())
    })
    .await;
    before
}

#[tokio::test]
async fn slow_readers_slow_their_backend_and_take_little_memory() -> Result<()> {
    const READERS: usize = 100;
    const FRAME: u64 = 10_000;
    let a = upstream("a").await?;
    a.set_default("chunks=5000&chunk_bytes=10000&thinking=false");
    let gateway = Gateway::standalone(&world(&route(&[&a], ""))).await?;
    SlowReader::begin(&gateway).await?;
    let before = resident(&gateway)?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(SlowReader::begin(&gateway).await?);
    }
    let frames = frames_at_rest(&a).await;
    let grown = resident(&gateway)?.saturating_sub(before);
    println!("{frames:?} {} KB each", grown / READERS as u64 / 1024);
    assert!(frames.iter().all(|frames| frames * FRAME < 20_000_000), "{frames:?}");
    assert!(grown < READERS as u64 * 300_000, "{grown} bytes for {READERS} readers");
    Ok(())
}

#[tokio::test]
async fn the_time_that_a_client_does_not_read_is_not_held_against_its_backend() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=300&chunk_bytes=100000&thinking=false");
    let clocks = "  timeouts: {idle: 1s, byteIdle: 1s, firstToken: 60s}\n";
    let gateway = Gateway::standalone(&world(&route(&[&a], clocks))).await?;
    let mut reader = SlowReader::begin(&gateway).await?;
    // The backend is at a standstill for longer than both clocks allow.
    let frames = frames_at_rest(&a).await;
    assert!(frames[0] < 300, "all of it was sent");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = reader.read_until("[DONE]").await?;
    assert!(!answer.contains("\"error\""), "it was told of an error");
    assert!(payloads(&answer).len() >= 300, "{} payloads", payloads(&answer).len());
    Ok(())
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_after_the_calls_deadline() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=5000&chunk_bytes=10000&thinking=false");
    let clocks = "  timeouts: {idle: 2s, byteIdle: 2s, firstToken: 2s, request: 2s}\n";
    let gateway = Gateway::standalone(&world(&route(&[&a], clocks))).await?;
    let mut reader = SlowReader::begin(&gateway).await?;
    a.wait_for(|stats| stats.cancelled == 1, Duration::from_mins(1)).await?;
    at_rest(&gateway).await;
    let mut rest = Vec::new();
    // What the kernel still has, and then an end or a reset.
    let _reset = reader.0.read_to_end(&mut rest).await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("[DONE]"), "it is not passed off as a whole answer");
    Ok(())
}

#[tokio::test]
async fn an_event_that_outgrows_the_memory_ends_its_stream_with_an_error() -> Result<()> {
    let a = upstream("a").await?;
    let gateway =
        Gateway::standalone(&limited(&a, "maxBufferedBytes: 1048576, maxRequestBodyBytes: 1048576")).await?;
    // An ordinary first token, then one event of 3 MB.
    a.set_default("chunks=3&tool_calls=1&tool_bytes=3000000&thinking=false");
    let text = chat(&gateway, &hello_streamed()).await?.text().await?;
    let last: Value = serde_json::from_str(payloads(&text).last().context("an error")?)?;
    assert_eq!(code(&last), "stream_interrupted", "{last}");
    assert!(text.len() < 1 << 20, "no part of the event was passed on");
    assert!(metric(&gateway, "deepseek_gateway_shed_total{reason=\"buffered_bytes\"}").await? >= 1);
    at_rest(&gateway).await;
    Ok(())
}

#[tokio::test]
async fn a_first_event_that_outgrows_the_memory_is_refused() -> Result<()> {
    let a = upstream("a").await?;
    let gateway =
        Gateway::standalone(&limited(&a, "maxBufferedBytes: 1048576, maxRequestBodyBytes: 1048576")).await?;
    a.set_default("chunks=1&chunk_bytes=3000000&thinking=false");
    assert_overloaded(chat(&gateway, &hello_streamed()).await?).await?;
    a.wait_for(|stats| stats.requests == 1 && stats.in_flight == 0, SOON).await?;
    at_rest(&gateway).await;
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_that_there_is_no_memory_for_is_passed_on_as_it_comes() -> Result<()> {
    let a = upstream("a").await?;
    let gateway =
        Gateway::standalone(&limited(&a, "maxBufferedBytes: 1048576, maxRequestBodyBytes: 1048576")).await?;
    let _other = Half::send(&gateway, &"x".repeat(1_000_000)).await?;
    eventually("the announced body has its room", SOON, async || {
        ensure!(metric(&gateway, "deepseek_gateway_buffered_bytes").await? == 1_000_000);
        Ok(())
    })
    .await;
    a.set_default("chunks=1&chunk_bytes=500000&thinking=false");
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!(status, 200, "{}", answer["error"]);
    assert!(said(&answer).len() >= 500_000);
    Ok(())
}

#[tokio::test]
async fn a_stream_of_http2_that_nobody_reads_is_given_up_after_its_deadline_and_the_others_go_on()
-> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=5000&chunk_bytes=10000&thinking=false");
    let clocks = "  timeouts: {idle: 2s, byteIdle: 2s, firstToken: 2s, request: 2s}\n";
    let gateway = Gateway::standalone(&world(&route(&[&a], clocks))).await?;
    let client = client_builder().http2_prior_knowledge().http2_initial_stream_window_size(65_535).build()?;
    let ask = |body: &Value| client.post(gateway.url(CHAT)).bearer_auth(KEY).json(body).send();
    let mut unread = ask(&hello_streamed()).await?;
    assert_eq!((unread.status().as_u16(), unread.version()), (200, reqwest::Version::HTTP_2));
    a.wait_for(|stats| stats.cancelled == 1, Duration::from_mins(1)).await?;
    at_rest(&gateway).await;
    a.set_default("plain");
    assert_eq!(ask(&hello()).await?.status(), 200);
    assert_eq!(metric(&gateway, "deepseek_gateway_connections").await?, 1, "on the same connection");
    let end = loop {
        match unread.chunk().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_err(), "it is not passed off as a whole answer");
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_read_a_kept_answer_is_in_flight_until_it_is_cut() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=300&chunk_bytes=10000&thinking=false");
    let more = "  cache: {}\n  timeouts: {firstToken: 20s, request: 20s}\n";
    let gateway = Gateway::standalone(&world(&route(&[&a], more))).await?;
    let all = chat(&gateway, &hello_streamed()).await?.text().await?;
    assert!(all.len() > 3_000_000);
    at_rest(&gateway).await;
    let mut reader = SlowReader::begin(&gateway).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(metric(&gateway, "deepseek_gateway_requests_in_flight").await?, 1);
    assert_eq!(a.stats().requests, 1);
    eventually("it is cut", Duration::from_mins(1), async || {
        ensure!(metric(&gateway, "deepseek_gateway_requests_in_flight").await? == 0);
        Ok(())
    })
    .await;
    at_rest(&gateway).await;
    let mut rest = Vec::new();
    let _reset = reader.0.read_to_end(&mut rest).await;
    assert!(rest.len() < 3_000_000);
    Ok(())
}
