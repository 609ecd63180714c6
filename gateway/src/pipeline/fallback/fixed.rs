//! A fixed text in the form of a chat completion, or of its stream.

use crate::pipeline::check::Call;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the assistant says.
pub(super) fn answer(call: &Call, content: &str) -> Response<Bytes> {
    let id = format!("chatcmpl-fallback-{:016x}", rand::random::<u64>());
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let usage = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    let (content_type, body) = if call.stream {
        let chunk = |delta: Value, finish: Value, usage: Value| {
            let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
            let chunk = json!({
                "id": id, "object": "chat.completion.chunk", "created": created, "model": call.model,
                "choices": [choice], "usage": usage,
            });
            format!("data: {chunk}\n\n")
        };
        let said = chunk(json!({"role": "assistant", "content": content}), Value::Null, Value::Null);
        let finish = chunk(json!({"content": ""}), json!("stop"), usage);
        ("text/event-stream; charset=utf-8", format!("{said}{finish}data: [DONE]\n\n"))
    } else {
        let message = json!({"role": "assistant", "content": content});
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
        let whole = json!({
            "id": id, "object": "chat.completion", "created": created, "model": call.model,
            "choices": [choice], "usage": usage,
        });
        ("application/json", whole.to_string())
    };
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
