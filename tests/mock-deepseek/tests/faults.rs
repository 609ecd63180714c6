//! Every way a stream or a connection can break, seen from the socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::ErrorKind;

use mock_deepseek::Outcome;
use serde_json::json;
use support::{Client, KEY, SOON, ask, chat, post, start, stream};

#[tokio::test]
async fn a_cut_sends_its_frames_and_closes_without_the_end_of_the_body() {
    let mock = start().await;
    let answer = stream(&mock, Some("cut?cut_after=3")).await;
    assert_eq!(
        (answer.data().len(), answer.complete, answer.end),
        (3, false, Some(ErrorKind::UnexpectedEof))
    );
    assert_eq!(mock.requests()[0].outcome, Outcome::Faulted);
    let whole = ask(&mock, json!({}), Some("cut")).await;
    let length: usize = whole.header("content-length").unwrap().parse().unwrap();
    assert_eq!((whole.body.len(), whole.complete), (length / 2, false));
}

#[tokio::test]
async fn a_reset_cut_resets_after_its_frames() {
    let mock = start().await;
    let answer = stream(&mock, Some("cut-rst")).await;
    assert_eq!((answer.data().len(), answer.end), (3, Some(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_clean_cut_looks_complete_to_http_but_has_no_end() {
    let mock = start().await;
    let answer = stream(&mock, Some("cut-clean")).await;
    assert!(answer.complete && answer.end.is_none());
    assert_eq!((answer.data().len(), answer.text().contains("[DONE]")), (3, false));
}

#[tokio::test]
async fn a_cut_can_leave_half_a_frame() {
    let mock = start().await;
    let text = stream(&mock, Some("cut-mid-frame")).await.text();
    let (_, half) = text.rsplit_once("\n\n").unwrap();
    assert!(
        half.starts_with("data: {") && serde_json::from_str::<serde_json::Value>(&half[6..]).is_err(),
        "{half}"
    );
}

#[tokio::test]
async fn a_stall_keeps_the_connection_open_and_sees_the_client_go() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers = [
        ("Authorization", "Bearer sk-test"),
        ("Content-Type", "application/json"),
        ("x-mock-scenario", "stall"),
    ];
    let body = chat(json!({"stream": true})).to_string();
    client.send("POST", "/chat/completions", &headers, body.as_bytes()).await.unwrap();
    client.read_until(|text| text.matches("data: ").count() == 3).await;
    let stats = mock.stats();
    assert_eq!((stats.in_flight, stats.cancelled), (1, 0));
    drop(client);
    let stats = mock.wait_for(|stats| stats.cancelled == 1, SOON).await.unwrap();
    assert_eq!((stats.in_flight, stats.peak_concurrency["default/deepseek-v4-pro"]), (0, 1));
    let request = &mock.requests()[0];
    assert_eq!((request.outcome, request.frames), (Outcome::Cancelled, 3));
    assert!(request.ended_after.is_some());
}

#[tokio::test]
async fn a_stall_can_send_keep_alives_for_ever() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers = [
        ("Authorization", "Bearer sk-test"),
        ("Content-Type", "application/json"),
        ("x-mock-scenario", "stall-keep-alive?stall_keep_alive_ms=1"),
    ];
    let body = chat(json!({"stream": true})).to_string();
    client.send("POST", "/chat/completions", &headers, body.as_bytes()).await.unwrap();
    let text = client.read_until(|text| text.matches(": keep-alive\n\n").count() >= 5).await;
    assert_eq!(text.matches("data: ").count(), 5);
}

#[tokio::test]
async fn keep_alives_pad_streams_with_comments_and_whole_answers_with_newlines() {
    let mock = start().await;
    let scenario = Some("keep-alive?keep_alive_ms=1");
    let text = stream(&mock, scenario).await.text();
    assert!(text.starts_with(": keep-alive\n\n: keep-alive\n\n: keep-alive\n\ndata: {\"id\""), "{text}");
    let whole = ask(&mock, json!({}), scenario).await;
    assert!(whole.text().starts_with("\n\n\n{\"id\""));
    assert!(whole.complete && whole.header("content-length").is_none());
    let between = stream(&mock, Some("keep-alive-between")).await.text();
    assert_eq!(between.matches(": keep-alive\n\n").count(), between.matches("data: ").count());
}

#[tokio::test]
async fn an_end_can_lack_done_or_the_finish() {
    let mock = start().await;
    let no_done = stream(&mock, Some("no-done")).await;
    assert!(no_done.complete && !no_done.text().contains("[DONE]") && no_done.text().contains("\"stop\""));
    let no_finish = stream(&mock, Some("no-finish")).await;
    assert!(no_finish.text().ends_with("data: [DONE]\n\n") && !no_finish.text().contains("\"stop\""));
}

#[tokio::test]
async fn an_error_can_be_the_first_frame_or_come_amid_and_leave_the_stream_open() {
    let mock = start().await;
    let first = stream(&mock, Some("error-first")).await;
    assert_eq!((first.status, first.data().len()), (200, 1));
    assert!(first.data()[0].starts_with(r#"{"error":{"message":"#));
    let mid = stream(&mock, Some("error-mid?error=rate_limit")).await;
    assert_eq!((mid.data().len(), mid.complete), (5, true));
    assert!(mid.data()[4].contains("Rate limit reached for TPM"));
    let mut client = Client::to(&mock).await;
    let headers = [
        ("Authorization", "Bearer sk-t"),
        ("Content-Type", "application/json"),
        ("x-mock-scenario", "error-mid-open"),
    ];
    let body = chat(json!({"stream": true})).to_string();
    client.send("POST", "/chat/completions", &headers, body.as_bytes()).await.unwrap();
    client.read_until(|text| text.contains("\"error\"")).await;
    assert_eq!(mock.stats().in_flight, 1);
}

#[tokio::test]
async fn bytes_can_come_one_by_one_with_characters_split() {
    let mock = start().await;
    let body = chat(json!({"stream": true, "messages": [{"role": "user", "content": "多字节文本"}]}));
    let answer = post(&mock, "/chat/completions", &body, Some("split")).await;
    assert!(answer.chunks.iter().all(|size| *size == 1));
    assert!(answer.content().contains("多字节文本"));
    assert_eq!(answer.body, post(&mock, "/chat/completions", &body, None).await.body);
}

#[tokio::test]
async fn frames_can_lack_the_space_or_end_in_crlf() {
    let mock = start().await;
    assert!(stream(&mock, Some("no-space")).await.text().starts_with("data:{\"id\""));
    let crlf = stream(&mock, Some("crlf")).await.text();
    assert!(crlf.ends_with("data: [DONE]\r\n\r\n") && !crlf.replace("\r\n", "").contains('\n'));
}

#[tokio::test]
async fn lines_can_be_as_long_as_asked_for() {
    let mock = start().await;
    let wide = stream(&mock, Some("wide")).await;
    assert_eq!(wide.content().len(), 307_200);
    assert!(wide.data()[1].len() > 307_200);
    let tool = stream(&mock, Some("wide-tool")).await;
    assert!(tool.body.len() > 5_242_880);
}

#[tokio::test]
async fn a_connection_can_be_closed_reset_or_answered_by_half() {
    let mock = start().await;
    for (scenario, end, bytes) in [
        ("close", ErrorKind::UnexpectedEof, ""),
        ("reset", ErrorKind::ConnectionReset, ""),
        ("cut-headers", ErrorKind::UnexpectedEof, "HTTP/1.1 200 OK\r\nContent-Type: text/event-str"),
    ] {
        let answer = stream(&mock, Some(scenario)).await;
        assert_eq!((answer.status, answer.end, answer.text().as_str()), (0, Some(end), bytes), "{scenario}");
        assert_eq!(mock.last_request().unwrap().outcome, Outcome::Faulted);
    }
    assert!(stream(&mock, Some("not-http")).await.text().contains("no HTTP"));
}

#[tokio::test]
async fn a_hanging_request_is_never_answered_and_its_end_is_seen() {
    let mock = start().await;
    for (scenario, outcome) in [
        ("hang", Outcome::Cancelled),
        ("half-headers", Outcome::Faulted),
        ("slow-headers", Outcome::Cancelled),
    ] {
        let mut client = Client::to(&mock).await;
        let headers = [
            ("Authorization", "Bearer sk-t"),
            ("Content-Type", "application/json"),
            ("x-mock-scenario", scenario),
        ];
        client
            .send("POST", "/chat/completions", &headers, chat(json!({})).to_string().as_bytes())
            .await
            .unwrap();
        mock.wait_for(|stats| stats.scenario(scenario) == 1, SOON).await.unwrap();
        if scenario == "half-headers" {
            client.read_until(|text| text == "HTTP/1.1 200 OK\r\nContent-Type: text/event-str").await;
        }
        drop(client);
        mock.wait_for(|stats| stats.open_connections == 0 && stats.in_flight == 0, SOON).await.unwrap();
        let request = mock.last_request().unwrap();
        assert_eq!((request.outcome, request.status), (outcome, None), "{scenario}");
    }
}

#[tokio::test]
async fn a_pooled_connection_can_go_stale() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let first = client.post("/chat/completions", &chat(json!({})), Some("close-after")).await;
    assert!(first.complete && first.header("connection").is_none());
    let (_, end) = client.rest().await;
    assert_eq!(end, ErrorKind::UnexpectedEof);

    let mut client = Client::to(&mock).await;
    assert_eq!(client.post("/chat/completions", &chat(json!({})), Some("close-on-reuse")).await.status, 200);
    client.forget();
    let second = client.post("/chat/completions", &chat(json!({})), Some("close-on-reuse")).await;
    assert_eq!(second.status, 0);
}

#[tokio::test]
async fn new_connections_can_be_reset_closed_or_left_hanging() {
    let mock = start().await;
    mock.set_default("accept-reset");
    assert_eq!(stream(&mock, None).await.end, Some(ErrorKind::ConnectionReset));
    mock.set_default("accept-hang");
    let mut client = Client::to(&mock).await;
    client.send("GET", "/models", &[("Authorization", &format!("Bearer {KEY}"))], b"").await.unwrap();
    mock.wait_for(|stats| stats.connections == 2, SOON).await.unwrap();
    assert_eq!(mock.stats().requests, 0);
    mock.set_default("plain");
    assert_eq!(stream(&mock, None).await.status, 200);
}

#[tokio::test]
async fn a_killed_fake_resets_and_refuses_and_lives_again_on_its_port() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers = [
        ("Authorization", "Bearer sk-t"),
        ("Content-Type", "application/json"),
        ("x-mock-scenario", "stall"),
    ];
    let body = chat(json!({"stream": true})).to_string();
    client.send("POST", "/chat/completions", &headers, body.as_bytes()).await.unwrap();
    client.read_until(|text| text.matches("data: ").count() == 3).await;
    mock.kill().await.unwrap();
    assert_eq!(client.rest().await.1, ErrorKind::ConnectionReset);
    let refused = tokio::net::TcpStream::connect(mock.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    mock.restart().await.unwrap();
    assert_eq!(stream(&mock, None).await.status, 200);
    assert_eq!(mock.stats().requests, 2);
    mock.drop_connections().await.unwrap();
    assert_eq!(stream(&mock, None).await.status, 200);
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers = [
        ("Authorization", "Bearer sk-t"),
        ("Content-Type", "application/json"),
        ("x-mock-scenario", "slow?chunk_delay_ms=2"),
    ];
    let body = chat(json!({"stream": true})).to_string();
    client.send("POST", "/chat/completions", &headers, body.as_bytes()).await.unwrap();
    client.read_until(|text| text.contains("data: ")).await;
    let (answer, ()) = tokio::join!(client.answer(), mock.shutdown(SOON));
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn headers_come_at_once_however_late_the_first_token() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers = [
        ("Authorization", "Bearer sk-t"),
        ("Content-Type", "application/json"),
        ("x-mock-scenario", "slow-first-token"),
    ];
    let body = chat(json!({"stream": true})).to_string();
    client.send("POST", "/chat/completions", &headers, body.as_bytes()).await.unwrap();
    let head = client.read_until(|text| text.contains("\r\n\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}
