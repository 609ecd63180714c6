//! Scenarios that change how an answer looks: usage, reasoning, emptiness, recordings, the bench, HTTP/2.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client as H2Client, rt::TokioExecutor};
use mock_deepseek::{Mock, Options};
use serde_json::{Value, json};
use support::{SOON, ask, chat, start, stream};

#[tokio::test]
async fn usage_can_be_alone_in_part_or_missing() {
    let mock = start().await;
    let asked = json!({"stream": true, "stream_options": {"include_usage": true}});
    let alone = ask(&mock, asked.clone(), Some("usage-separate")).await.events();
    let (last, others) = alone.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["prompt_cache_hit_tokens"].is_u64());
    assert!(others.iter().all(|event| event["usage"].is_null()));
    let none = ask(&mock, asked, Some("usage-none")).await.events();
    assert!(none.iter().all(|event| event.get("usage").is_none()));
    let details = stream(&mock, Some("usage-details")).await.events().pop().unwrap();
    assert_eq!(details["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    assert!(details["usage"].get("prompt_cache_hit_tokens").is_none());
    let plain = ask(&mock, json!({}), Some("usage-plain")).await.json();
    assert_eq!(plain["usage"].as_object().unwrap().len(), 3);
    let set =
        ask(&mock, json!({}), Some("prompt_tokens=339&cached_tokens=320&completion_tokens=92")).await.json();
    let usage = &set["usage"];
    assert_eq!((&usage["prompt_cache_miss_tokens"], &usage["total_tokens"]), (&json!(19), &json!(431)));
}

#[tokio::test]
async fn earlier_messages_are_cache_hits_in_units_of_64() {
    let mock = start().await;
    let messages = json!([{"role": "system", "content": "x".repeat(600)}, {"role": "user", "content": "hi"}]);
    let usage = ask(&mock, json!({"messages": messages}), None).await.json()["usage"].clone();
    assert_eq!((&usage["prompt_tokens"], &usage["prompt_cache_hit_tokens"]), (&json!(159), &json!(128)));
}

#[tokio::test]
async fn reasoning_can_have_vllm_s_name() {
    let mock = start().await;
    let whole = ask(&mock, json!({}), Some("reasoning-alias")).await.json();
    assert!(whole["choices"][0]["message"]["reasoning"].is_string());
    assert!(!stream(&mock, Some("reasoning-alias")).await.text().contains("reasoning_content"));
}

#[tokio::test]
async fn dsml_leaks_into_the_content_with_split_markers() {
    let mock = start().await;
    let answer = stream(&mock, Some("dsml")).await;
    assert!(answer.content().contains("<｜DSML｜invoke name=\"weather\">"));
    assert!(!answer.data().iter().any(|data| data.contains("<｜DSML｜")));
    assert_eq!(answer.events().last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn an_answer_can_be_empty_in_several_ways() {
    let mock = start().await;
    let empty = ask(&mock, json!({"thinking": null}), Some("empty")).await.json();
    let message = &empty["choices"][0]["message"];
    assert_eq!(
        (&message["content"], empty["choices"][0]["finish_reason"].as_str()),
        (&json!(""), Some("stop"))
    );
    assert!(message["reasoning_content"].as_str().unwrap().len() > 10);
    assert_eq!(stream(&mock, Some("empty-all")).await.content(), "");
    let null = ask(&mock, json!({}), Some("null-content")).await.json();
    assert_eq!(null["choices"][0]["message"].get("content"), Some(&Value::Null));
    assert_eq!(ask(&mock, json!({}), Some("no-choices")).await.json()["choices"], json!([]));
    assert!(
        stream(&mock, Some("no-choices")).await.events().iter().all(|event| event["choices"] == json!([]))
    );
    let blank = ask(&mock, json!({}), Some("blank-slow?keep_alive_ms=1")).await;
    assert_eq!((blank.status, blank.text().as_str(), blank.complete), (200, "\n\n\n\n", true));
}

#[tokio::test]
async fn an_answer_can_be_interrupted_for_want_of_resources() {
    let mock = start().await;
    let events = stream(&mock, Some("no-resource")).await.events();
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "insufficient_system_resource");
    assert!(events.len() > 10);
    assert_eq!(stream(&mock, Some("no-resource-first")).await.events().len(), 2);
    assert!(
        stream(&mock, Some("content-filter")).await.text().contains(r#""finish_reason":"content_filter""#)
    );
}

#[tokio::test]
async fn a_frame_can_be_no_json_and_comments_can_be_long() {
    let mock = start().await;
    let data = stream(&mock, Some("garbage-frame")).await.data();
    assert!(
        serde_json::from_str::<Value>(&data[2]).is_err() && serde_json::from_str::<Value>(&data[3]).is_ok()
    );
    let commented = stream(&mock, Some("comment_bytes=100000")).await;
    assert!(commented.text().starts_with(": xxx") && commented.body.len() > 100_000);
}

#[tokio::test]
async fn pace_is_as_asked_for() {
    let mock = start().await;
    let began = std::time::Instant::now();
    let answer =
        stream(&mock, Some("header_delay_ms=20&first_token_delay_ms=20&chunk_delay_ms=5&chunks=4")).await;
    assert!(began.elapsed().as_millis() >= 20 + 20 + 5 * 5, "{:?}", began.elapsed());
    assert_eq!(answer.events().len(), 6);
    let began = std::time::Instant::now();
    assert!(stream(&mock, Some("pause?pause_ms=50")).await.complete && began.elapsed().as_millis() >= 50);
    assert_eq!(stream(&mock, Some("long")).await.events().len(), 402);
}

#[tokio::test]
async fn token_probabilities_are_given_when_asked_for() {
    let mock = start().await;
    let fields = json!({"stream": true, "logprobs": true, "top_logprobs": 2});
    let events = ask(&mock, fields, None).await.events();
    let entry = &events[2]["choices"][0]["logprobs"]["content"][0];
    assert_eq!(
        (entry["token"].as_str(), entry["top_logprobs"].as_array().map(Vec::len)),
        (Some(" deepseek-v4-pro]"), Some(2))
    );
}

#[tokio::test]
async fn recorded_answers_are_sent_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x-text.json"), "{\n  \"id\": \"r\"\n}\n").unwrap();
    std::fs::write(dir.path().join("x-reasoning.json"), "{\"id\": \"thought\"}").unwrap();
    std::fs::write(dir.path().join("x-text.chunks.txt"), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}").unwrap();
    let scenario = "recorded".parse().unwrap();
    let options = Options { recorded: Some(dir.path().into()), scenario, ..Options::default() };
    let mock = Mock::start(options).await.unwrap();
    assert_eq!(ask(&mock, json!({}), None).await.text(), "{\n  \"id\": \"r\"\n}\n");
    assert_eq!(ask(&mock, json!({"thinking": null}), None).await.json()["id"], "thought");
    let whole = stream(&mock, None).await.text();
    assert_eq!(whole, "data: {\"n\":1}\n\ndata: {\"n\":2}\n\ndata: {\"n\":3}\n\ndata: [DONE]\n\n");
    assert_eq!(stream(&mock, Some("recorded=x-text&cut_after=1")).await.text(), "data: {\"n\":1}\n\n");
    let raw = ": keep-alive\r\n\r\ndata:{\"n\":\"é\"}\n\ndata: [DONE]\n\n";
    std::fs::write(dir.path().join("raw.sse"), raw).unwrap();
    let again = Options { recorded: Some(dir.path().into()), ..Options::default() };
    let again = Mock::start(again).await.unwrap();
    assert_eq!(stream(&again, Some("recorded=raw")).await.text(), raw);
    let cut = stream(&again, Some("recorded=raw&cut_at=20&split_at=[3,19]")).await;
    assert_eq!(
        (cut.body.as_slice(), cut.chunks.as_slice()),
        (&raw.as_bytes()[..20], [3, 13, 3, 1].as_slice())
    );
    let missing = ask(&mock, json!({}), Some("recorded=nope")).await;
    assert!(missing.status == 500 && missing.text().contains("nothing is recorded under `nope`"));
    let nothing = Options { recorded: Some(dir.path().join("nowhere")), ..Options::default() };
    assert!(Mock::start(nothing).await.is_err());
}

#[tokio::test]
async fn the_bench_answers_from_precomputed_bytes_and_counts() {
    let mock = start().await;
    mock.set_default("bench");
    let whole = ask(&mock, json!({}), None).await;
    assert_eq!((whole.status, &whole.json()["object"]), (200, &json!("chat.completion")));
    let streamed = stream(&mock, None).await;
    assert_eq!((streamed.events().len(), streamed.chunks.len()), (34, 35));
    assert!(streamed.text().ends_with("data: [DONE]\n\n"));
    assert_eq!((mock.stats().bench, mock.stats().requests), (2, 0));
    assert_eq!(stream(&mock, Some("cut")).await.data().len(), 3);
    mock.set_default("plain");
    assert!(ask(&mock, json!({}), None).await.text().contains("hello world"));
}

#[tokio::test]
async fn http_2_without_tls_is_served_and_cut_per_stream() {
    let mock = start().await;
    let client = H2Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = |scenario: &str| {
        http::Request::post(format!("{}/chat/completions", mock.base_url()))
            .header("authorization", "Bearer sk-test")
            .header("content-type", "application/json")
            .header("x-mock-scenario", scenario)
            .body(Full::new(bytes::Bytes::from(chat(json!({"stream": true})).to_string())))
            .unwrap()
    };
    let answer = client.request(request("plain")).await.unwrap();
    assert_eq!((answer.version(), answer.status()), (http::Version::HTTP_2, http::StatusCode::OK));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
    let cut = client.request(request("cut")).await.unwrap().into_body().collect().await;
    assert!(cut.is_err());
    let stalled = client.request(request("stall")).await.unwrap();
    drop(stalled);
    mock.wait_for(|stats| stats.cancelled == 1, SOON).await.unwrap();
    let reset = client.request(request("cut-rst")).await;
    assert!(match reset {
        Ok(answer) => answer.into_body().collect().await.is_err(),
        Err(_) => true,
    });
    assert_eq!(client.request(request("plain")).await.unwrap().status(), http::StatusCode::OK);
}
