//! The other APIs: fill in the middle, Anthropic's messages, responses, models, balance, embeddings.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mock_deepseek::{Flavor, Mock, Options};
use serde_json::{Value, json};
use support::{Answer, Client, KEY, keys, post, start};

/// The events of a stream with `event:` lines: name and data.
fn named_events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let frames = text.split_terminator("\n\n").map(|frame| {
        let (name, data) = frame.split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), data)
    });
    frames.collect()
}

async fn get(mock: &Mock, path: &str, scenario: &str) -> Answer {
    let mut client = Client::to(mock).await;
    let headers = [("Authorization", "Bearer sk-test"), ("x-mock-scenario", scenario)];
    client.send("GET", path, &headers, b"").await.unwrap();
    client.answer().await
}

#[tokio::test]
async fn fill_in_the_middle_is_a_text_completion_of_the_beta() {
    let mock = start().await;
    let body = json!({"model": "deepseek-v4-pro", "prompt": "def f():\n    return", "suffix": "\n", "stop": ["fake"]});
    let answer = post(&mock, "/beta/completions", &body, None).await;
    assert_eq!(answer.json()["object"], "text_completion");
    let text = answer.json()["choices"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("You said: return") && !text.contains("fake"), "{text}");
    assert!(answer.json()["usage"]["completion_tokens_details"].is_null());
    assert_eq!(post(&mock, "/v1/completions", &body, None).await.status, 400);

    let mut body = body;
    body["stream"] = true.into();
    let stream = post(&mock, "/beta/completions", &body, None).await;
    let said: String =
        stream.events().iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(said, text);
    assert!(stream.events().last().unwrap()["usage"]["total_tokens"].is_u64());
    assert!(stream.text().ends_with("data: [DONE]\n\n"));
    let cut = post(&mock, "/beta/completions", &body, Some("cut?cut_after=2")).await;
    assert_eq!((cut.data().len(), cut.complete), (2, false));
}

#[tokio::test]
async fn messages_are_answered_in_anthropic_s_shape() {
    let mock = start().await;
    let body = json!({
        "model": "claude-opus-4", "max_tokens": 1000, "system": [{"type": "text", "text": "be brief"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello world"}]}],
    });
    let answer = post(&mock, "/anthropic/v1/messages", &body, None).await.json();
    assert_eq!((&answer["model"], &answer["stop_reason"]), (&json!("deepseek-v4-pro"), &json!("end_turn")));
    assert_eq!(
        (&answer["content"][0]["type"], &answer["content"][1]["type"]),
        (&json!("thinking"), &json!("text"))
    );
    let text = answer["content"][1]["text"].as_str().unwrap();
    assert!(text.contains("You said: hello world"), "{text}");

    let mut body = body;
    body["stream"] = true.into();
    let answer = post(&mock, "/anthropic/v1/messages", &body, None).await;
    let events = named_events(&answer);
    let mut names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    assert_eq!(
        names,
        [&["message_start"], &block[..], &block[..], &["message_delta", "message_stop"]].concat()
    );
    assert!(events.iter().all(|(name, data)| data["type"] == name.as_str()));
    let said: String = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(said, text);
    assert!(!answer.text().contains("[DONE]"));
    let (_, last) = &events[events.len() - 2];
    assert!(last["usage"]["output_tokens"].as_u64().unwrap() > 10);
}

#[tokio::test]
async fn messages_take_x_api_key_and_refuse_in_openai_s_envelope() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers =
        [("x-api-key", KEY), ("Content-Type", "application/json"), ("anthropic-version", "2023-06-01")];
    let body =
        json!({"model": "nope", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}).to_string();
    client.send("POST", "/anthropic/v1/messages", &headers, body.as_bytes()).await.unwrap();
    let answer = client.answer().await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("invalid_request_error")));
    assert_eq!(mock.last_request().unwrap().key.as_deref(), Some(KEY));
    let turn = json!({
        "model": "deepseek-flash", "max_tokens": 5, "tools": [{"name": "clock", "input_schema": {}}],
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}],
    });
    let answer = post(&mock, "/anthropic/v1/messages", &turn, None).await;
    let wanted = "The `content[].thinking` in the thinking mode must be passed back to the API.";
    assert_eq!((answer.status, answer.json()["error"]["message"].as_str()), (400, Some(wanted)));
}

#[tokio::test]
async fn messages_call_tools_in_pieces_of_json() {
    let mock = start().await;
    let body = json!({
        "model": "deepseek-flash", "max_tokens": 100, "stream": true, "thinking": {"type": "disabled"},
        "tools": [{"name": "clock"}], "tool_choice": {"type": "tool", "name": "clock"},
        "messages": [{"role": "user", "content": "x"}],
    });
    let events = named_events(&post(&mock, "/anthropic/messages", &body, None).await);
    assert_eq!(events[1].1["content_block"]["type"], "tool_use");
    let input: String =
        events.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
    assert!(serde_json::from_str::<Value>(&input).unwrap()["location"].is_string());
    assert_eq!(events[events.len() - 2].1["delta"]["stop_reason"], "tool_use");
}

#[tokio::test]
async fn responses_stream_numbered_events_and_end_without_done() {
    let mock = start().await;
    let body = json!({"model": "deepseek-flash", "input": "hello world", "stream": true});
    let answer = post(&mock, "/responses", &body, None).await;
    let events = named_events(&answer);
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(
            (data["type"].as_str(), data["sequence_number"].as_u64()),
            (Some(name.as_str()), Some(number as u64))
        );
    }
    let of = |kind: &str| -> String {
        events
            .iter()
            .filter(|(name, _)| name == kind)
            .filter_map(|(_, data)| data["delta"].as_str())
            .collect()
    };
    assert!(of("response.output_text.delta").contains("You said: hello world"));
    assert!(of("response.reasoning_text.delta").contains("I will name myself"));
    let delta =
        answer.text().split("\n\n").find(|frame| frame.contains("output_text.delta")).unwrap().to_owned();
    let order = ["type", "sequence_number", "item_id", "output_index", "content_index", "delta"];
    assert_eq!(keys(delta.split_once("data: ").unwrap().1), order);
    let (name, last) = events.last().unwrap();
    assert_eq!(
        (name.as_str(), last["response"]["status"].as_str()),
        ("response.completed", Some("completed"))
    );
    assert_eq!(
        (&last["response"]["store"], &last["response"]["previous_response_id"]),
        (&json!(false), &Value::Null)
    );

    let short = json!({"model": "deepseek-flash", "input": [{"role": "developer", "content": "x"}], "max_output_tokens": 2});
    let whole = post(&mock, "/v1/responses", &short, None).await.json();
    assert_eq!(
        (&whole["status"], &whole["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    let failed = post(&mock, "/responses", &body, Some("no-resource")).await;
    assert_eq!(named_events(&failed).last().unwrap().0, "response.failed");
}

#[tokio::test]
async fn models_have_no_created_and_balances_are_strings() {
    let mock = start().await;
    let models = get(&mock, "/models", "plain").await.text();
    assert!(models.starts_with(
        r#"{"object":"list","data":[{"id":"deepseek-flash","object":"model","owned_by":"deepseek"},"#
    ));
    let balance = get(&mock, "/user/balance", "plain").await.text();
    let wanted = r#"{"is_available":true,"balance_infos":[{"currency":"CNY","total_balance":"110.00","granted_balance":"10.00","topped_up_balance":"100.00"}]}"#;
    assert_eq!(balance, wanted);
    let low = get(&mock, "/user/balance", "balance=3.50&currency=USD").await.json();
    assert_eq!(
        (&low["balance_infos"][0]["total_balance"], &low["is_available"]),
        (&json!("3.50"), &json!(true))
    );
    assert_eq!(get(&mock, "/user/balance", "no-balance").await.json()["is_available"], false);
    assert_eq!(get(&mock, "/chat/completions", "plain").await.status, 405);
}

#[tokio::test]
async fn flavors_with_embeddings_embed_the_same_text_alike() {
    let vllm = Mock::start(Options::flavored("v", Flavor::Vllm)).await.unwrap();
    let body = json!({"model": "e", "input": ["one", "two", "one"]});
    let answer = post(&vllm, "/v1/embeddings", &body, None).await.json();
    assert_eq!(answer["data"][0]["embedding"], answer["data"][2]["embedding"]);
    assert_ne!(answer["data"][0]["embedding"], answer["data"][1]["embedding"]);
    assert_eq!(answer["data"][0]["embedding"].as_array().unwrap().len(), 16);
    let body = json!({"model": "e", "input": "one", "dimensions": 4, "encoding_format": "base64"});
    let packed = post(&vllm, "/v1/embeddings", &body, None).await.json();
    assert_eq!(packed["data"][0]["embedding"].as_str().unwrap().len(), 24);
}
