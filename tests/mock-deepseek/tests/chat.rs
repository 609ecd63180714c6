//! Chat answers, whole and streamed, as recorded from the real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mock_deepseek::{Flavor, Mock, Options};
use serde_json::json;
use support::{ask, keys, post, start, stream};

const WHOLE_KEYS: &str = r#"{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"message":{"role":"","content":"","reasoning_content":""},"logprobs":null,"finish_reason":""}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":1,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":1},"prompt_cache_hit_tokens":1,"prompt_cache_miss_tokens":1},"system_fingerprint":""}"#;
const FIRST: &str = r#"{"id":"f6117a0b-129d-46fa-b239-78f01c2c5df9","object":"chat.completion.chunk","created":1764657993,"model":"deepseek-chat","system_fingerprint":"fp_eaab8d114b_prod0820_fp8_kvcache","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#;
const LAST: &str = r#"{"id":"f6117a0b-129d-46fa-b239-78f01c2c5df9","object":"chat.completion.chunk","created":1764657993,"model":"deepseek-chat","system_fingerprint":"fp_eaab8d114b_prod0820_fp8_kvcache","choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":13,"completion_tokens":400,"total_tokens":413,"prompt_tokens_details":{"cached_tokens":0},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":13}}"#;
const THOUGHT_LAST: &str = r#"{"id":"cac7192e-e619-40c6-96b0-ed4276bc03ac","object":"chat.completion.chunk","created":1764661832,"model":"deepseek-reasoner","system_fingerprint":"fp_eaab8d114b_prod0820_fp8_kvcache","choices":[{"index":0,"delta":{"content":"","reasoning_content":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":18,"completion_tokens":219,"total_tokens":237,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":205},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":18}}"#;

/// A recorded chunk with what differs from one answer to the next put in.
fn like(recorded: &str, actual: &serde_json::Value) -> String {
    let old: serde_json::Value = serde_json::from_str(recorded).unwrap();
    let mut text = recorded.to_owned();
    for key in ["id", "created", "model", "usage"] {
        if !actual[key].is_object() {
            text =
                text.replacen(&format!("\"{key}\":{}", old[key]), &format!("\"{key}\":{}", actual[key]), 1);
        }
    }
    text.replacen("\"finish_reason\":\"length\"", "\"finish_reason\":\"stop\"", 1)
}

#[tokio::test]
async fn a_whole_answer_names_who_answered_and_has_the_recorded_keys_in_order() {
    let mock = start().await;
    let answer = ask(&mock, json!({"thinking": null}), None).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(keys(&answer.text()), keys(WHOLE_KEYS));
    let content = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(content.starts_with("[a deepseek-v4-pro] You said: hello world"), "{content}");
    assert_eq!(answer.header("x-ds-trace-id").unwrap().len(), 32);
}

#[tokio::test]
async fn a_stream_has_the_recorded_frames_byte_for_byte() {
    let mock = start().await;
    let fields = json!({"stream": true, "stream_options": {"include_usage": true}});
    let answer = ask(&mock, fields, None).await;
    let (data, events) = (answer.data(), answer.events());
    assert_eq!(data[0], like(FIRST, &events[0]));
    assert_eq!(data.last().unwrap(), "[DONE]");
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let last = &data[data.len() - 2];
    assert_eq!(keys(last), keys(LAST));
    let until_usage = |text: &str| text[..text.find("\"usage\"").unwrap()].to_owned();
    assert_eq!(until_usage(last), until_usage(&like(LAST, events.last().unwrap())));
    assert!(
        events[..events.len() - 1]
            .iter()
            .all(|event| event["usage"].is_null() && event.get("usage").is_some())
    );
    assert!(answer.content().starts_with("[a deepseek-v4-pro] You said: hello world"));
}

#[tokio::test]
async fn usage_rides_on_the_finish_frame_also_when_not_asked_for() {
    let mock = start().await;
    let events = stream(&mock, None).await.events();
    let (last, others) = events.split_last().unwrap();
    assert!(others.iter().all(|event| event.get("usage").is_none()));
    let usage = &last["usage"];
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    let hit_and_miss = usage["prompt_cache_hit_tokens"].as_u64().unwrap()
        + usage["prompt_cache_miss_tokens"].as_u64().unwrap();
    assert_eq!(usage["prompt_tokens"].as_u64(), Some(hit_and_miss));
    assert_eq!(usage["completion_tokens"].as_u64(), Some(others.len() as u64 - 1));
}

#[tokio::test]
async fn thinking_is_on_by_default_and_streams_reasoning_first() {
    let mock = start().await;
    let answer = ask(&mock, json!({"thinking": null, "stream": true}), None).await;
    let (data, events) = (answer.data(), answer.events());
    assert!(data[0].contains(r#""delta":{"role":"assistant","content":null,"reasoning_content":""}"#));
    assert!(data[1].contains(r#""delta":{"content":null,"reasoning_content":"The"}"#), "{}", data[1]);
    let last = &data[data.len() - 2];
    assert_eq!(keys(last), keys(THOUGHT_LAST));
    assert!(last.contains(r#""delta":{"content":"","reasoning_content":null}"#));
    let usage = &events.last().unwrap()["usage"];
    assert!(usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 5);
    assert!(answer.content().starts_with("[a deepseek-v4-pro]"));
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes() {
    let mock = start().await;
    assert_eq!(stream(&mock, None).await.body, stream(&mock, None).await.body);
}

#[tokio::test]
async fn parallel_tool_calls_come_in_pieces_with_the_id_on_the_first_only() {
    let mock = start().await;
    let tools = json!([{"type": "function", "function": {"name": "clock", "parameters": {}}}]);
    let answer = ask(&mock, json!({"stream": true, "tools": tools}), Some("tools")).await;
    let (data, events) = (answer.data(), answer.events());
    let ids: Vec<_> = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0]["id"].as_str())
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(
        ids[0].starts_with("call_00_")
            && ids[1].starts_with("call_01_")
            && ids[0].len() == "call_00_".len() + 24
    );
    let begin = format!(
        r#""delta":{{"tool_calls":[{{"index":0,"id":"{}","type":"function","function":{{"name":"clock","arguments":""}}}}]}}"#,
        ids[0]
    );
    assert!(data[1].contains(&begin), "{}", data[1]);
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    let whole = ask(&mock, json!({"tools": tools}), Some("tools")).await.json();
    let calls = whole["choices"][0]["message"]["tool_calls"].as_array().unwrap().clone();
    assert_eq!((calls.len(), &calls[1]["index"]), (2, &json!(1)));
    assert!(
        serde_json::from_str::<serde_json::Value>(calls[0]["function"]["arguments"].as_str().unwrap())
            .is_ok()
    );
}

#[tokio::test]
async fn the_beta_goes_on_with_an_answer_that_another_upstream_began() {
    let (a, b) = (start().await, Mock::start(Options::named("b")).await.unwrap());
    let whole = stream(&a, None).await.content();
    let begun = &whole[..whole.find("world").unwrap()];
    let messages = json!([
        {"role": "user", "content": "hello world"}, {"role": "assistant", "content": begun, "prefix": true},
    ]);
    let body = support::chat(json!({"stream": true, "messages": messages}));
    let rest = post(&b, "/beta/chat/completions", &body, None).await.content();
    assert_eq!(format!("{begun}{rest}"), whole);
    assert_eq!(post(&b, "/chat/completions", &body, None).await.status, 400);
}

#[tokio::test]
async fn the_beta_goes_on_inside_of_the_reasoning() {
    let mock = start().await;
    let thought = "The user said something. I will name";
    let last = json!({"role": "assistant", "content": "", "reasoning_content": thought, "prefix": true});
    let messages = json!([{"role": "user", "content": "hello world"}, last]);
    let body = support::chat(json!({"messages": messages, "thinking": {"type": "enabled"}}));
    let answer = post(&mock, "/beta/chat/completions", &body, None).await.json();
    let message = &answer["choices"][0]["message"];
    assert!(message["reasoning_content"].as_str().unwrap().starts_with(" myself, then say"), "{answer}");
    assert!(message["content"].as_str().unwrap().starts_with("[a deepseek-v4-pro] You said"), "{answer}");
}

#[tokio::test]
async fn vllm_and_sglang_go_on_with_the_final_message_when_told_so_and_others_begin_anew() {
    let whole = "[a m] You said: hello world This answer";
    let messages =
        json!([{"role": "user", "content": "hello world"}, {"role": "assistant", "content": whole}]);
    for (flavor, fields, begins) in [
        (Flavor::Vllm, json!({"continue_final_message": true, "add_generation_prompt": false}), " was made"),
        (Flavor::SgLang, json!({"continue_final_message": true}), " was made"),
        (Flavor::Vllm, json!({}), "[b m] You said"),
        (Flavor::Azure, json!({"continue_final_message": true}), "[b m] You said"),
    ] {
        let mock = Mock::start(Options::flavored("b", flavor)).await.unwrap();
        let mut body = support::chat(json!({"model": "m", "messages": messages}));
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = post(&mock, "/v1/chat/completions", &body, None).await.json();
        let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(content.starts_with(begins), "{flavor:?}: {answer}");
    }
    let vllm = Mock::start(Options::flavored("b", Flavor::Vllm)).await.unwrap();
    let both = json!({"model": "m", "messages": messages, "continue_final_message": true});
    assert_eq!(ask(&vllm, both, None).await.status, 400);
}

#[tokio::test]
async fn each_server_is_told_to_think_in_its_own_way_and_ignores_the_others() {
    for (flavor, fields, thinks) in [
        (Flavor::Vllm, json!({"chat_template_kwargs": {"thinking": true}}), true),
        (Flavor::Vllm, json!({"thinking": {"type": "enabled"}}), false),
        (Flavor::SgLang, json!({"chat_template_kwargs": {"enable_thinking": true}}), true),
        (Flavor::SiliconFlow, json!({"enable_thinking": true}), true),
        (Flavor::Ollama, json!({"reasoning_effort": "high"}), true),
        (Flavor::Ollama, json!({"reasoning_effort": "none"}), false),
    ] {
        let mock = Mock::start(Options::flavored("b", flavor)).await.unwrap();
        let mut body = json!({"model": "m"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let message = &ask(&mock, body, None).await.json()["choices"][0]["message"];
        let thought = message.get("reasoning").or(message.get("reasoning_content"));
        assert_eq!(thought.is_some(), thinks, "{flavor:?} {fields}");
    }
}

#[tokio::test]
async fn openai_refuses_a_parameter_that_it_does_not_know() {
    let mock = Mock::start(Options::flavored("b", Flavor::OpenAi)).await.unwrap();
    let refused = ask(&mock, json!({"model": "m", "thinking": {"type": "enabled"}}), None).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["message"], "Unknown parameter: 'thinking'.");
}

#[tokio::test]
async fn max_tokens_counts_reasoning_and_gives_length() {
    let mock = start().await;
    let answer = ask(&mock, json!({"thinking": null, "max_tokens": 2}), None).await.json();
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["choices"][0]["message"]["content"], "");
    assert_eq!(answer["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn json_mode_answers_json() {
    let mock = start().await;
    let fields = json!({
        "response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "say it in JSON"}]
    });
    let answer = ask(&mock, fields, None).await.json();
    let content: serde_json::Value =
        serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["upstream"], "a");
}

#[tokio::test]
async fn other_flavors_send_usage_alone_and_name_the_reasoning_their_way() {
    let vllm = Mock::start(Options::flavored("v", Flavor::Vllm)).await.unwrap();
    let fields = json!({
        "model": "deepseek-ai/DeepSeek-V3.2", "stream": true, "chat_template_kwargs": {"thinking": true},
        "stream_options": {"include_usage": true},
    });
    let events = ask(&vllm, fields, None).await.events();
    assert_eq!(events.last().unwrap()["choices"], json!([]));
    assert!(events.last().unwrap()["usage"]["prompt_tokens"].is_u64());
    assert!(events[1]["choices"][0]["delta"]["reasoning"].is_string());
    let quiet = ask(&vllm, json!({"stream": true, "model": "x"}), None).await.events();
    assert!(quiet.iter().all(|event| event.get("usage").is_none()));
}
