//! What is refused, and in which words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mock_deepseek::{Flavor, Mock, Options};
use serde_json::{Value, json};
use support::{Answer, Client, ask, chat, post, start, stream};

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().unwrap().to_owned()
}

async fn refused(fields: Value) -> (u16, String) {
    let answer = ask(&start().await, fields, None).await;
    (answer.status, message(&answer))
}

#[tokio::test]
async fn a_wrong_key_is_told_its_last_four_signs() {
    let mock = Mock::start(Options { keys: vec!["sk-right".into()], ..Options::default() }).await.unwrap();
    let mut client = Client::to(&mock).await;
    let body = chat(json!({})).to_string();
    for (headers, wanted) in [
        (
            vec![("Authorization", "Bearer sk-wrong-fcc2"), ("Content-Type", "application/json")],
            "Authentication Fails, Your api key: ****fcc2 is invalid",
        ),
        (
            vec![("Content-Type", "application/json")],
            "Authentication Fails (auth header format should be Bearer sk-...)",
        ),
    ] {
        client.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).await.unwrap();
        let answer = client.answer().await;
        client.forget();
        let envelope = json!({"error": {
            "message": wanted, "type": "authentication_error", "param": null, "code": "invalid_request_error",
        }});
        assert_eq!((answer.status, answer.json()), (401, envelope));
    }
    client.send("GET", "/v1/models", &[("Authorization", "Bearer sk-right")], b"").await.unwrap();
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_content_type_with_a_charset_is_refused_in_plain_text() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers = [("Authorization", "Bearer sk-any"), ("Content-Type", "application/json; charset=utf-8")];
    client.send("POST", "/chat/completions", &headers, chat(json!({})).to_string().as_bytes()).await.unwrap();
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (415, "Expected request with `Content-Type: application/json`")
    );
}

#[tokio::test]
async fn an_unknown_path_and_embeddings_are_not_found_outside_the_envelope() {
    let mock = start().await;
    for path in ["/v2/chat", "/v1/embeddings"] {
        let answer = post(&mock, path, &json!({"model": "x", "input": "y"}), None).await;
        let body = r#"{"error_msg":"Not Found. Please check the configuration."}"#;
        assert_eq!((answer.status, answer.text().as_str()), (404, body));
    }
}

#[tokio::test]
async fn retired_and_unknown_models_are_refused_with_the_current_names() {
    for model in ["deepseek-chat", "gpt-4o"] {
        let wanted = format!(
            "The supported API model names are deepseek-flash, deepseek-v4-pro, but you passed {model}."
        );
        assert_eq!(refused(json!({"model": model})).await, (400, wanted));
    }
    let alias = ask(&start().await, json!({"model": "deepseek-v4-flash"}), None).await;
    assert_eq!(alias.json()["model"], "deepseek-flash");
}

#[tokio::test]
async fn broken_json_and_wrong_types_are_refused_in_serde_s_words() {
    let mock = start().await;
    let mut client = Client::to(&mock).await;
    let headers = [("Authorization", "Bearer sk-any"), ("Content-Type", "application/json")];
    client.send("POST", "/chat/completions", &headers, b"{\"model\":").await.unwrap();
    let answer = client.answer().await;
    assert_eq!(answer.status, 400);
    assert!(
        message(&answer).starts_with("Failed to parse the request body as JSON: "),
        "{}",
        message(&answer)
    );
    let (status, text) = refused(json!({"messages": [{"role": "user", "content": 5}]})).await;
    assert_eq!(status, 400);
    assert!(
        text.starts_with(
            "Failed to deserialize the JSON body into the target type: messages[0]: invalid type"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn a_forced_tool_is_refused_while_thinking_only() {
    let tools = json!([{"type": "function", "function": {"name": "clock"}}]);
    let fields = json!({"thinking": null, "tools": tools, "tool_choice": "required"});
    assert_eq!(refused(fields).await, (400, "Thinking mode does not support this tool_choice".into()));
    let named = json!({"type": "function", "function": {"name": "clock"}});
    let calm = ask(&start().await, json!({"tools": tools, "tool_choice": named}), None).await.json();
    assert_eq!(calm["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "clock");
}

#[tokio::test]
async fn json_object_wants_the_word_and_json_schema_is_unavailable() {
    let (status, text) = refused(json!({"response_format": {"type": "json_object"}})).await;
    let wanted =
        "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.";
    assert_eq!((status, text.as_str()), (400, wanted));
    let (_, text) = refused(json!({"response_format": {"type": "json_schema"}})).await;
    assert_eq!(text, "This response_format type is unavailable now");
}

fn tool_turn(assistant: Value, answers: &[&str]) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "time?"}), assistant];
    messages.extend(answers.iter().map(|id| json!({"role": "tool", "tool_call_id": id, "content": "noon"})));
    json!({
        "messages": messages, "thinking": {"type": "enabled"},
        "tools": [{"type": "function", "function": {"name": "clock"}}],
    })
}

fn call(reasoning: Option<&str>) -> Value {
    let calls = json!([{"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]);
    let mut message = json!({"role": "assistant", "content": "", "tool_calls": calls});
    if let Some(reasoning) = reasoning {
        message["reasoning_content"] = reasoning.into();
    }
    message
}

#[tokio::test]
async fn reasoning_must_come_back_on_tool_turns() {
    let wanted = "The `reasoning_content` in the thinking mode must be passed back to the API.";
    assert_eq!(refused(tool_turn(call(None), &["c1"])).await, (400, wanted.into()));
    let mock = start().await;
    assert_eq!(ask(&mock, tool_turn(call(Some("I look")), &["c1"]), None).await.status, 200);
    let mut calm = tool_turn(call(None), &["c1"]);
    calm["thinking"] = json!({"type": "disabled"});
    assert_eq!(ask(&mock, calm, None).await.status, 200);
}

#[tokio::test]
async fn every_tool_call_must_be_answered_at_once() {
    let (status, text) = refused(tool_turn(call(Some("I look")), &[])).await;
    assert_eq!(status, 400);
    assert!(
        text.starts_with("An assistant message with 'tool_calls' must be followed by tool messages"),
        "{text}"
    );
    let (_, text) = refused(tool_turn(call(Some("I look")), &["c1", "c2"])).await;
    assert!(text.starts_with("Messages with role 'tool' must be a response"), "{text}");
}

#[tokio::test]
async fn the_context_is_messages_and_max_tokens_together() {
    let mock = Mock::start(Options { context: 100, ..Options::default() }).await.unwrap();
    let answer = ask(&mock, json!({"max_tokens": 95}), None).await;
    let wanted = "This model's maximum context length is 100 tokens. However, you requested 102 tokens (7 in the messages, \
                  95 in the completion). Please reduce the length of the messages or completion.";
    assert_eq!((answer.status, message(&answer).as_str()), (400, wanted));
    assert_eq!(ask(&mock, json!({"max_tokens": 93}), None).await.status, 200);
}

#[tokio::test]
async fn values_out_of_range_are_refused_by_name() {
    for (fields, wanted) in [
        (json!({"temperature": 2.1}), "Invalid temperature value, the valid range of temperature is [0, 2]"),
        (json!({"top_p": 1.5}), "Invalid top_p value, the valid range of top_p is [0, 1]"),
        (json!({"max_tokens": 0}), "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]"),
        (json!({"messages": []}), "Empty input messages"),
        (
            json!({"stream_options": {"include_usage": true}}),
            "stream_options should be set along with stream = true",
        ),
        (json!({"top_logprobs": 3}), "top_logprobs should be set along with logprobs = true"),
    ] {
        assert_eq!(refused(fields).await, (400, wanted.into()));
    }
}

#[tokio::test]
async fn every_refusal_can_be_ordered_with_its_status_and_type() {
    let mock = start().await;
    for (scenario, status, content_type, text) in [
        ("bad-request", 400, "application/json", "Failed to parse the request body as JSON"),
        ("octet-400", 400, "application/octet-stream", "Failed to parse the request body as JSON"),
        ("content-risk", 400, "application/json", "Content Exists Risk"),
        ("context", 400, "application/json", "maximum context length is 131072 tokens"),
        ("model-retired", 400, "application/json", "but you passed deepseek-chat."),
        ("unauthorized", 401, "application/json", "****fcc2 is invalid"),
        ("no-balance", 402, "application/json", "Insufficient Balance"),
        ("not-found", 404, "application/json", "error_msg"),
        ("unsupported-media", 415, "text/plain; charset=utf-8", "Expected request with"),
        ("unprocessable", 422, "application/json", "Failed to deserialize the JSON body"),
        ("rate-limit", 429, "application/json", "Rate limit reached for TPM"),
        ("rate-limit-after", 429, "application/json", "Rate limit reached for TPM"),
        ("server-error", 500, "application/json", "server_error"),
        ("overloaded", 503, "application/json", "server_error"),
        ("html-502", 502, "text/html", "<h1>502 Bad Gateway</h1>"),
        ("html-504", 504, "text/html", "<h1>504 Gateway Timeout</h1>"),
        ("html-503", 503, "text/html", "<h1>503 Service Unavailable</h1>"),
        ("html-200", 200, "text/html", "<html>"),
        ("error-200", 200, "application/json", "Service is too busy"),
        ("blank", 200, "application/json", "\n\n\n\n"),
        ("empty-body", 200, "application/json", ""),
        ("no-prefix", 200, "text/event-stream", "data: "),
    ] {
        let answer = stream(&mock, Some(scenario)).await;
        assert_eq!(answer.status, status, "{scenario}");
        assert!(answer.header("content-type").unwrap().starts_with(content_type), "{scenario}");
        assert!(answer.text().contains(text), "{scenario}: {}", answer.text());
        assert_eq!(answer.header("retry-after"), (scenario == "rate-limit-after").then_some("2"));
        assert_eq!(mock.last_request().unwrap().status.unwrap().as_u16(), status);
    }
    let worded = ask(&mock, json!({}), Some("status=418&message=short and stout&retry_after_ms=1500")).await;
    assert_eq!((worded.status, message(&worded).as_str()), (418, "short and stout"));
    assert_eq!(worded.header("retry-after-ms"), Some("1500"));
}

#[tokio::test]
async fn other_flavors_say_errors_their_way_and_serve_any_model() {
    let flat = Mock::start(Options::flavored("s", Flavor::SgLang)).await.unwrap();
    let answer = ask(&flat, json!({"model": "any"}), Some("server-error")).await.json();
    assert_eq!((&answer["object"], &answer["code"]), (&json!("error"), &json!(500)));
    let silicon = Mock::start(Options::flavored("s", Flavor::SiliconFlow)).await.unwrap();
    let answer = ask(&silicon, json!({"model": "any"}), Some("status=400")).await.json();
    assert_eq!((&answer["code"], &answer["data"]), (&json!(20015), &Value::Null));
    assert_eq!(ask(&flat, json!({"model": "any"}), None).await.status, 200);
}

#[tokio::test]
async fn other_flavors_want_a_key_only_when_keys_are_set() {
    let open = Mock::start(Options::flavored("v", Flavor::Vllm)).await.unwrap();
    let closed = Options { keys: vec!["token".into()], ..Options::flavored("v", Flavor::Vllm) };
    let closed = Mock::start(closed).await.unwrap();
    for (mock, status) in [(&open, 200), (&closed, 401)] {
        let mut client = Client::to(mock).await;
        let body = chat(json!({"model": "any"})).to_string();
        client
            .send("POST", "/v1/chat/completions", &[("Content-Type", "application/json")], body.as_bytes())
            .await
            .unwrap();
        assert_eq!(client.answer().await.status, status);
    }
}
