//! Has the answer begun? Until it has, another backend can be asked.
//!
//! A stream begins with its first token: text, reasoning, or a tool call. Comments, blank lines, a frame that only names
//! the role, and Anthropic's and OpenAI's opening events are none. An answer in one piece begins when all of it is there
//! (up to a size): so one that breaks off, or holds nothing, can still be replaced.

use super::finish::gave_up;
use super::judge::Cause;
use crate::pipeline::frames::data_of;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;

/// What the first bytes of an answer are.
#[derive(Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing of the answer yet.
    NotYet,
    /// The answer.
    Begun,
    /// Not an answer.
    Failed(Cause),
}

/// Opening events of the other APIs, which carry no content.
const OPENING: [&str; 8] = [
    "message_start",
    "content_block_start",
    "ping",
    "response.created",
    "response.in_progress",
    "response.queued",
    "response.output_item.added",
    "response.content_part.added",
];

/// Events of the other APIs that say that there will be no answer.
pub const FAILED_EVENTS: [&str; 2] = ["error", "response.failed"];

#[derive(Deserialize)]
struct Frame<'a> {
    error: Option<IgnoredAny>,
    #[serde(borrow, default, deserialize_with = "or_none")]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default, rename = "type")]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    object: Option<Cow<'a, str>>,
    message: Option<IgnoredAny>,
    detail: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default, alias = "message")]
    delta: Option<Message<'a>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(default)]
    tool_calls: Option<Vec<IgnoredAny>>,
}

impl Frame<'_> {
    /// Whether it is an error: in an envelope, or flat as SGLang, SiliconFlow and FastAPI have it.
    fn is_error(&self) -> bool {
        let flat = self.message.is_some() || self.detail.is_some();
        self.error.is_some()
            || self.object.as_deref() == Some("error")
            || (flat && self.object.is_none() && self.event.is_none() && self.choices.is_none())
    }
}

impl Choice<'_> {
    /// Why it is over. Some servers say so with an empty text in every chunk but the last.
    fn finish(&self) -> Option<&str> {
        self.finish_reason.as_deref().filter(|reason| !reason.is_empty())
    }

    fn says_something(&self) -> bool {
        let said = |text: &Option<Cow<'_, str>>| text.as_ref().is_some_and(|t| !t.is_empty());
        let message = self.delta.as_ref().is_some_and(|m| {
            said(&m.content)
                || said(&m.reasoning_content)
                || said(&m.reasoning)
                || said(&m.refusal)
                || m.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
        });
        message || said(&self.text)
    }
}

/// Judges whole events of a stream that has not begun.
pub fn of_events(events: &[u8]) -> Beginning {
    data_of(events)
        .map(of_event)
        .find(|beginning| *beginning != Beginning::NotYet)
        .unwrap_or(Beginning::NotYet)
}

fn of_event(data: &[u8]) -> Beginning {
    if data == b"[DONE]" {
        return Beginning::Failed(Cause::EndedUnbegun);
    }
    let Ok(frame) = serde_json::from_slice::<Frame<'_>>(data) else {
        // A new shape is the client's to judge; what does not even look like an object is no token.
        return if data.starts_with(b"{") { Beginning::Begun } else { Beginning::NotYet };
    };
    if data[1..].trim_ascii() == b"}" {
        return Beginning::NotYet;
    }
    if frame.is_error() {
        return Beginning::Failed(Cause::ErrorFirst);
    }
    if let Some(event) = &frame.event {
        if FAILED_EVENTS.contains(&event.as_ref()) {
            return Beginning::Failed(Cause::ErrorFirst);
        }
        return if OPENING.contains(&event.as_ref()) { Beginning::NotYet } else { Beginning::Begun };
    }
    let Some(choices) = frame.choices else { return Beginning::Begun };
    if choices.iter().any(Choice::says_something) {
        return Beginning::Begun;
    }
    match choices.iter().find_map(Choice::finish) {
        None => Beginning::NotYet,
        Some(reason) if gave_up(reason) => Beginning::Failed(Cause::OutOfResources),
        // An answer cut by its limit or by moderation is an answer, if an empty one.
        // An empty completion is an answer: there may be nothing to fill in.
        Some("stop") if choices.iter().all(|choice| choice.text.is_none()) => {
            Beginning::Failed(Cause::NoContent)
        }
        Some(_) => Beginning::Begun,
    }
}

/// Whether it is a chunk in which there is nothing but names and numbers of what might come, or nothing that looks like a
/// chunk: no step in an answer. What cannot be read may be one.
pub fn is_without_a_word(data: &[u8]) -> bool {
    let Ok(chunk) = serde_json::from_slice::<Value>(data) else { return !data.starts_with(b"{") };
    let choices = chunk.get("choices").and_then(Value::as_array).filter(|choices| !choices.is_empty());
    choices.is_some_and(|choices| choices.iter().all(is_empty)) && chunk.get("usage").is_none_or(is_empty)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => {
            fields.iter().all(|(name, value)| name == "index" || name == "role" || is_empty(value))
        }
    }
}

/// Judges a whole JSON answer with status 200.
pub fn of_answer(body: &[u8]) -> Beginning {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Beginning::Failed(Cause::BlankBody);
    }
    let Ok(answer) = serde_json::from_slice::<Frame<'_>>(body) else {
        // A new shape is the client's to judge; half an answer, whose connection was closed well, is none.
        let is_whole = body.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(body).is_ok();
        return if is_whole { Beginning::Begun } else { Beginning::Failed(Cause::NotJson) };
    };
    if body.starts_with(b"{") && body[1..].trim_ascii() == b"}" {
        return Beginning::Failed(Cause::NoContent);
    }
    // OpenAI's responses have `error: null`, or an error beside what they are.
    let is_flat = answer.object.as_deref() == Some("error");
    let is_nothing_else = is_flat || answer.event.as_deref().is_none_or(|event| event == "error");
    if answer.is_error() && answer.choices.is_none() && is_nothing_else {
        return Beginning::Failed(Cause::ErrorAnswer);
    }
    let Some(choices) = answer.choices else { return Beginning::Begun };
    // Whatever it says: half an answer of which the client has nothing yet can still be replaced.
    if choices.iter().filter_map(Choice::finish).any(gave_up) {
        return Beginning::Failed(Cause::OutOfResources);
    }
    if choices.iter().any(Choice::says_something) {
        return Beginning::Begun;
    }
    match choices.iter().find_map(Choice::finish) {
        Some("stop") | None if choices.iter().all(|choice| choice.text.is_none()) => {
            Beginning::Failed(Cause::NoContent)
        }
        _ => Beginning::Begun,
    }
}

/// A list that may be `null`, which is an empty one.
fn or_none<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<Vec<T>>::deserialize(deserializer).map(|list| Some(list.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(frame: &str) -> Beginning {
        of_events(format!("data: {frame}\n\n").as_bytes())
    }

    #[test]
    fn comments_and_a_frame_with_the_role_alone_are_no_token() {
        assert_eq!(of_events(b": keep-alive\n\n"), Beginning::NotYet);
        assert_eq!(
            stream(
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#
            ),
            Beginning::NotYet
        );
        assert_eq!(
            stream(r#"{"choices":[{"delta":{"role":"assistant","content":null,"reasoning_content":""}}]}"#),
            Beginning::NotYet
        );
        assert_eq!(stream(r#"{"type":"message_start","message":{"content":[]}}"#), Beginning::NotYet);
        assert_eq!(
            stream(r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":""}]}"#),
            Beginning::NotYet
        );
        for garbage in ["oops", "{ }"] {
            assert_eq!(stream(garbage), Beginning::NotYet, "{garbage}");
        }
    }

    #[test]
    fn text_reasoning_and_tool_calls_begin_an_answer() {
        for delta in [
            r#"{"content":"Hi"}"#,
            r#"{"content":null,"reasoning_content":"We"}"#,
            r#"{"reasoning":"We"}"#,
            r#"{"tool_calls":[{"index":0}]}"#,
        ] {
            assert_eq!(
                stream(&format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)),
                Beginning::Begun,
                "{delta}"
            );
        }
        assert_eq!(stream(r#"{"choices":[{"text":"x"}]}"#), Beginning::Begun);
        assert_eq!(stream(r#"{"type":"content_block_delta","delta":{"text":"x"}}"#), Beginning::Begun);
        assert_eq!(stream(r#"{"choices":"of a new shape"}"#), Beginning::Begun);
        assert_eq!(
            stream(r#"{"choices":[{"delta":{"content":"x"},"logprobs":-Infinity}]}"#),
            Beginning::Begun
        );
    }

    #[test]
    fn a_first_frame_that_gives_up_is_a_failure() {
        let failed = |frame| matches!(stream(frame), Beginning::Failed(cause) if cause.verdict().counts);
        assert!(failed(r#"{"error":{"message":"busy"}}"#));
        assert!(failed(r#"{"choices":[{"delta":{"content":""},"finish_reason":"abort"}]}"#));
        assert!(failed(r#"{"type":"error","code":"server_error","message":"busy"}"#));
        assert!(failed(r#"{"type":"response.failed","response":{"error":{"code":"server_error"}}}"#));
        assert!(failed(
            r#"{"choices":[{"delta":{"content":""},"finish_reason":"insufficient_system_resource"}]}"#
        ));
        assert_eq!(
            stream(r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}"#),
            Beginning::Failed(Cause::NoContent)
        );
        assert_eq!(stream(r#"{"choices":[{"text":"","finish_reason":"stop"}]}"#), Beginning::Begun);
        assert!(failed("[DONE]"));
        assert!(!failed(r#"{"choices":[{"delta":{"content":""},"finish_reason":"length"}]}"#));
    }

    #[test]
    fn whole_answers_without_content_are_failures_and_others_are_not() {
        for empty in [
            "\n\n\n",
            r#"{"choices":[]}"#,
            r#"{"choices":null}"#,
            "{ }",
            r#"{"choices":[{"message":{"content":"half of i"#,
            r#"{"choices":[{"message":{"content":"half","audio":{}"#,
            r#"{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}"#,
            r#"{"error":{"message":"busy"}}"#,
            r#"{"error":"busy"}"#,
            r#"{"object":"error","message":"busy","type":"InternalServerError","code":500}"#,
            r#"{"code":50505,"message":"busy","data":null}"#,
            r#"{"detail":"busy"}"#,
            "<html></html>",
            r#"{"choices":[{"message":{"content":"half"},"finish_reason":"insufficient_system_resource"}]}"#,
            r#"{"choices":[{"text":"half","finish_reason":"insufficient_system_resource"}]}"#,
            r#"{"error":{"message":"busy","input":{"messages":[{"content":"Hi"}]}}}"#,
        ] {
            let judged = of_answer(empty.as_bytes());
            assert!(matches!(judged, Beginning::Failed(_)), "{empty}: {judged:?}");
        }
        for full in [
            r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"message":{"content":"","reasoning_content":"hm"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"length"}]}"#,
            r#"{"choices":[{"message":{"content":"of \"insufficient_system_resource\""},"finish_reason":"stop"}]}"#,
            r#"{"error":null,"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
            r#"{"object":"list","data":[{"embedding":[0.1]}]}"#,
            r#"{"type":"message","content":[{"type":"text","text":"Hi"}]}"#,
            r#"{"object":"response","error":null,"output":[]}"#,
            r#"{"choices":[{"message":{"content":[{"type":"text","text":"Hi"}]},"finish_reason":"stop"}]}"#,
        ] {
            assert_eq!(of_answer(full.as_bytes()), Beginning::Begun, "{full}");
        }
    }
}
