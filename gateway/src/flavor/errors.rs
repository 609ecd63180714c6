//! Errors that are the client's to read: however a server puts them, the client gets OpenAI's envelope.
//!
//! What is in the envelope already keeps its bytes but for a `type` and a `code` that mean nothing outside of that server;
//! DeepSeek's stays as it is. The status is the server's.

use super::object::{Edit, Object};
use crate::upstream::judge::{Cause, by_status};
use crate::upstream::splice;
use bytes::{Bytes, BytesMut};
use deepseek_crds::v1alpha1::Flavor;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// `error.type` of everything that the caller has to change, and `error.code` where nothing more is known: as DeepSeek's.
const CALLERS: &str = "invalid_request_error";
/// How much of a text without any form is passed on, in characters.
const MOST_TEXT: usize = 1000;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: String,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<String>,
    code: &'a str,
}

/// The error in OpenAI's envelope; `None` where it is that already.
#[must_use]
pub fn envelope(flavor: Flavor, status: u16, body: &[u8]) -> Option<Bytes> {
    let known = known_code(status, body);
    if let Some(error) = enveloped(body) {
        return if flavor == Flavor::DeepSeek { None } else { named(body, &error, known) };
    }
    let read = serde_json::from_slice(body).unwrap_or(Value::Null);
    let message = message(&read).or_else(|| plain(body));
    let message = message.unwrap_or_else(|| format!("The server answered {status} and said no more."));
    let error = Inner { message, kind: CALLERS, param: param(&read), code: known.unwrap_or(CALLERS) };
    serde_json::to_vec(&Envelope { error }).ok().map(Bytes::from)
}

/// What the judge has a name for.
fn known_code(status: u16, body: &[u8]) -> Option<&'static str> {
    match by_status(status, body)? {
        Cause::ContextTooLong => Some("context_length_exceeded"),
        Cause::ContentRisk => Some("content_filter"),
        Cause::TooLarge => Some("request_too_large"),
        Cause::MediaType => Some("unsupported_media_type"),
        _ => None,
    }
}

/// The inner object of an envelope with a message in it.
fn enveloped(body: &[u8]) -> Option<Object<'_>> {
    let error = Object::at(body, Object::of(body)?.given("error")?)?;
    error.given("message")?.get().starts_with('"').then_some(error)
}

/// Gives the error a type and a code that clients know; whatever else it says stays.
fn named(body: &[u8], error: &Object<'_>, known: Option<&str>) -> Option<Bytes> {
    let mut edit = Edit::new(error);
    if !error.text("type").is_some_and(|kind| kind.ends_with("_error")) {
        edit.set("type", &quoted(CALLERS));
    }
    let word = error.text("code").filter(|code| code.contains(|c: char| !c.is_ascii_digit()));
    if known.is_some() || word.is_none() {
        edit.set("code", &quoted(known.unwrap_or(CALLERS)));
    }
    if error.get("param").is_none() {
        edit.set("param", "null");
    }
    let splices = edit.finish();
    if splices.is_empty() {
        return None;
    }
    let mut out = BytesMut::with_capacity(body.len() + 64);
    splice::write(&mut out, body, splices);
    Some(out.freeze())
}

fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

/// What an error says that is not in the envelope: flat (SGLang, SiliconFlow), a bare text (Ollama, vLLM), or FastAPI's.
fn message(error: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let named = ["message", "error", "detail", "error_msg", "msg"];
    text(error)
        .or_else(|| named.iter().find_map(|name| text(error.get(name)?)))
        .or_else(|| named[1..3].iter().find_map(|name| message(error.get(name)?)))
        .or_else(|| problems(error))
}

/// FastAPI's list of what is wrong with which field.
fn problems(list: &Value) -> Option<String> {
    let problem = |problem: &Value| {
        let what = problem.get("msg")?.as_str()?;
        Some(match place(problem) {
            Some(place) => format!("{place}: {what}"),
            None => what.to_owned(),
        })
    };
    let all: Vec<_> = list.as_array()?.iter().filter_map(problem).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The field that a problem of FastAPI's is about: `messages.0.role`.
fn place(problem: &Value) -> Option<String> {
    let steps = problem.get("loc")?.as_array()?.iter().filter(|step| *step != "body");
    let steps: Vec<_> =
        steps.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned)).collect();
    (!steps.is_empty()).then(|| steps.join("."))
}

fn param(error: &Value) -> Option<String> {
    let own = error.get("param").and_then(Value::as_str).map(str::to_owned);
    own.or_else(|| place(error.get("detail")?.get(0)?))
}

/// A text that is no JSON; a web page says nothing to a client of an API.
fn plain(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_text = !text.is_empty()
        && !text.starts_with(['<', '{', '['])
        && serde_json::from_str::<&RawValue>(text).is_err();
    is_text.then(|| text.chars().take(MOST_TEXT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(flavor: Flavor, status: u16, body: &str) -> Value {
        let told = envelope(flavor, status, body.as_bytes()).unwrap_or_else(|| body.to_owned().into());
        serde_json::from_slice::<Value>(&told).expect("JSON")["error"].take()
    }

    fn error(message: &str, param: Option<&str>, code: &str) -> Value {
        json!({"message": message, "type": CALLERS, "param": param, "code": code})
    }

    #[test]
    fn an_error_in_any_form_becomes_openais_envelope() {
        for (status, body, wanted) in [
            (
                400,
                r#"{"object":"error","message":"too hot","type":"BadRequestError","param":"temperature","code":400}"#,
                error("too hot", Some("temperature"), CALLERS),
            ),
            (
                422,
                r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"field required","type":"missing"},{"msg":"x"}]}"#,
                error("messages.0.role: field required; x", Some("messages.0.role"), CALLERS),
            ),
            (400, r#"{"detail":"no such thing"}"#, error("no such thing", None, CALLERS)),
            (400, r#"{"error":"invalid options"}"#, error("invalid options", None, CALLERS)),
            (
                400,
                r#"{"code":20015,"message":"length of prompt_tokens (9) must be less than max_seq_len (8).","data":null}"#,
                error(
                    "length of prompt_tokens (9) must be less than max_seq_len (8).",
                    None,
                    "context_length_exceeded",
                ),
            ),
            (400, r#"{"error":{"detail":"inner"}}"#, error("inner", None, CALLERS)),
            (400, r#""odd""#, error("odd", None, CALLERS)),
            (
                413,
                "<html>\n<h1>413</h1></html>",
                error("The server answered 413 and said no more.", None, "request_too_large"),
            ),
            (415, " Expected JSON\n", error("Expected JSON", None, "unsupported_media_type")),
            (409, "", error("The server answered 409 and said no more.", None, CALLERS)),
            (400, "{\"broken", error("The server answered 400 and said no more.", None, CALLERS)),
            (400, "7", error("The server answered 400 and said no more.", None, CALLERS)),
        ] {
            assert_eq!(told(Flavor::VLLM, status, body), wanted, "{body}");
        }
    }

    #[test]
    fn an_envelope_keeps_all_but_a_type_and_a_code_that_only_its_server_knows() {
        let vllm =
            r#"{"error":{"message":"too hot","type":"BadRequestError","param":null,"code":400},"x":1.0e0}"#;
        let told = envelope(Flavor::VLLM, 400, vllm.as_bytes()).expect("it differs");
        assert_eq!(
            told,
            r#"{"error":{"message":"too hot","type":"invalid_request_error","param":null,"code":"invalid_request_error"},"x":1.0e0}"#
        );
        let azure = r#"{"error":{"code":"400","message":"filtered","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        let told = envelope(Flavor::Azure, 400, azure.as_bytes()).expect("it differs");
        assert_eq!(
            told,
            r#"{"error":{"type":"invalid_request_error","param":null,"code":"content_filter","message":"filtered","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#
        );
        let openai = r#"{"error":{"message":"m","type":"invalid_request_error","param":"n","code":"unsupported_value"}}"#;
        assert_eq!(envelope(Flavor::OpenAI, 400, openai.as_bytes()), None);
        let long = r#"{"error":{"message":"maximum context length","type":"x","param":null,"code":null}}"#;
        assert_eq!(told_code(Flavor::OpenAI, long), "context_length_exceeded");
        assert_eq!(envelope(Flavor::DeepSeek, 400, long.as_bytes()), None, "DeepSeek's own words");
    }

    fn told_code(flavor: Flavor, body: &str) -> String {
        told(flavor, 400, body)["code"].as_str().unwrap_or_default().to_owned()
    }
}
