//! The request check: what the gateway must know of a body, read in one pass that copies nothing.
//!
//! Only fields that the gateway acts on, or whose limits DeepSeek documents, are looked at. Everything else passes.

use super::endpoint::Endpoint;
use super::error::{Code, GatewayError};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;
use std::str::Utf8Error;

/// A request as far as the gateway understands it.
#[derive(Debug)]
pub struct Call {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The model asked for.
    pub model: String,
    /// Where the model's JSON string stands in the body.
    pub model_span: Range<usize>,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// How many choices the answer is to have.
    pub choices: u64,
    /// Prompt tokens, estimated.
    pub estimated_input: u64,
    /// Tokens it may come to, estimated.
    pub estimated_tokens: u64,
    /// The body, as it came.
    pub body: Bytes,
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(borrow)]
    presence_penalty: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    top_logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<&'a RawValue>,
}

impl Probe<'_> {
    /// Bytes that become prompt tokens beside the content: tools and schemas are read by the model, too.
    fn beside_content(&self) -> usize {
        let fields =
            [self.tools, self.functions, self.system, self.instructions, self.response_format].into_iter();
        fields.flatten().map(|value| value.get().len()).sum()
    }
}

/// Output tokens reserved for a call that names no maximum: a typical answer, not the model's maximum, which would
/// starve everyone else. The reservation is settled to the real use in any case.
const TYPICAL_OUTPUT_TOKENS: u64 = 1024;
/// The most output tokens reserved for one choice.
const MAX_OUTPUT_TOKENS: u64 = 393_216;
/// Bytes of JSON per prompt token, on the safe side for English text and code.
const BYTES_PER_TOKEN: u64 = 4;

/// Checks `body` for `endpoint`.
pub fn check(endpoint: Endpoint, body: &Bytes) -> Result<Call, GatewayError> {
    // Once for the whole body, fields that are not looked at included; the reading of JSON need not look again.
    let text = str::from_utf8(body).map_err(|error| not_utf8(&error))?;
    if !text.trim_ascii_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    let probe: Probe<'_> = serde_json::from_str(text).map_err(|error| explain(text, &error))?;
    let model = required(probe.model, "model")?;
    let name: Cow<'_, str> = serde_json::from_str::<CowStr<'_>>(model.get())
        .map(|text| text.0)
        .map_err(|_| invalid("model", "model must be a string"))?;
    if name.is_empty() {
        return Err(invalid("model", "model must not be empty"));
    }
    let prompt = check_content(endpoint, &probe)?;
    number(probe.temperature, "temperature", 0.0, 2.0)?;
    number(probe.top_p, "top_p", 0.0, 1.0)?;
    number(probe.frequency_penalty, "frequency_penalty", -2.0, 2.0)?;
    number(probe.presence_penalty, "presence_penalty", -2.0, 2.0)?;
    integer(probe.top_logprobs, "top_logprobs", 0, 20)?;
    let prompts = if endpoint == Endpoint::Completions { prompts(prompt.get()) } else { 1 };
    let each = integer(probe.n, "n", 1, 128)?.unwrap_or(1);
    let output = [
        integer(probe.max_tokens, "max_tokens", 1, u64::MAX)?,
        integer(probe.max_completion_tokens, "max_completion_tokens", 1, u64::MAX)?,
        integer(probe.max_output_tokens, "max_output_tokens", 1, u64::MAX)?,
    ];
    let output = output.into_iter().flatten().max().unwrap_or(TYPICAL_OUTPUT_TOKENS).min(MAX_OUTPUT_TOKENS);
    let output = if endpoint == Endpoint::Embeddings { 0 } else { output.saturating_mul(each) };
    let estimated_input = (prompt.get().len() + probe.beside_content()) as u64 / BYTES_PER_TOKEN;
    let start = model.get().as_ptr().addr() - body.as_ptr().addr();
    Ok(Call {
        endpoint,
        model: name.into_owned(),
        model_span: start..start + model.get().len(),
        stream: boolean(probe.stream, "stream")?.unwrap_or(false),
        choices: each * prompts,
        estimated_input,
        estimated_tokens: estimated_input + output,
        body: body.clone(),
    })
}

/// How many prompts there are: a list of texts, or of lists of tokens, is several.
fn prompts(prompt: &str) -> u64 {
    let list = serde_json::from_str::<Vec<&RawValue>>(prompt).unwrap_or_default();
    let several = list.iter().all(|item| item.get().starts_with(['"', '[']));
    if several { (list.len() as u64).max(1) } else { 1 }
}

/// A string that borrows where it holds no escapes.
#[derive(Deserialize)]
struct CowStr<'a>(#[serde(borrow)] Cow<'a, str>);

fn check_content<'a>(endpoint: Endpoint, probe: &Probe<'a>) -> Result<&'a RawValue, GatewayError> {
    match endpoint {
        Endpoint::Chat | Endpoint::BetaChat | Endpoint::Messages => {
            let messages = required(probe.messages, "messages")?;
            let text = messages.get();
            if !text.starts_with('[') {
                return Err(invalid("messages", "messages must be an array"));
            }
            if text[1..].trim_start().starts_with(']') {
                return Err(invalid("messages", "messages must hold at least one message"));
            }
            Ok(messages)
        }
        Endpoint::Completions => required(probe.prompt, "prompt"),
        Endpoint::Embeddings | Endpoint::Responses => required(probe.input, "input"),
        Endpoint::Models => Err(GatewayError::new(Code::MethodNotAllowed, "This URL takes GET only.")),
    }
}

fn not_utf8(error: &Utf8Error) -> GatewayError {
    let place = error.valid_up_to();
    GatewayError::new(Code::InvalidJson, format!("The request body is not UTF-8 (after {place} bytes)."))
}

fn not_an_object(text: &str) -> GatewayError {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => GatewayError::new(Code::InvalidJson, "The request body must be a JSON object."),
        Err(error) => explain(text, &error),
    }
}

fn explain(text: &str, error: &serde_json::Error) -> GatewayError {
    if text.trim_ascii().is_empty() {
        return GatewayError::new(Code::InvalidJson, "The request body is empty; a JSON object is needed.");
    }
    // serde_json's message can quote a value of the body; its category and place cannot.
    let what = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Syntax => "is not valid JSON",
        _ if text.trim_ascii_start().starts_with('{') => "names a field twice",
        _ => "must be a JSON object",
    };
    let place = format!("line {} column {}", error.line(), error.column());
    GatewayError::new(Code::InvalidJson, format!("The request body {what} ({place})."))
}

fn required<'a>(value: Option<&'a RawValue>, field: &'static str) -> Result<&'a RawValue, GatewayError> {
    let missing =
        || GatewayError::new(Code::MissingParameter, format!("The field {field} is required.")).param(field);
    value.filter(|v| v.get() != "null").ok_or_else(missing)
}

fn invalid(field: &'static str, message: impl Into<Cow<'static, str>>) -> GatewayError {
    GatewayError::new(Code::InvalidValue, message).param(field)
}

fn boolean(value: Option<&RawValue>, field: &'static str) -> Result<Option<bool>, GatewayError> {
    match value.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(invalid(field, format!("{field} must be true or false"))),
    }
}

fn number(value: Option<&RawValue>, field: &'static str, min: f64, max: f64) -> Result<(), GatewayError> {
    let Some(text) = value.map(RawValue::get).filter(|t| *t != "null") else { return Ok(()) };
    match text.parse::<f64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        Ok(_) => Err(invalid(field, format!("{field} must be between {min} and {max}"))),
        Err(_) => Err(invalid(field, format!("{field} must be a number between {min} and {max}"))),
    }
}

fn integer(
    value: Option<&RawValue>,
    field: &'static str,
    min: u64,
    max: u64,
) -> Result<Option<u64>, GatewayError> {
    let Some(text) = value.map(RawValue::get).filter(|t| *t != "null") else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ if max == u64::MAX => {
            Err(invalid(field, format!("{field} must be a whole number of at least {min}")))
        }
        _ => Err(invalid(field, format!("{field} must be a whole number between {min} and {max}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Result<Call, GatewayError> {
        check(Endpoint::Chat, &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn the_model_is_found_where_it_stands() {
        let body = r#"{"messages":[{"role":"user","content":"\"model\":\"x\""}], "model" : "deep\u0073eek" ,"stream":true}"#;
        let call = chat(body).expect("valid");
        assert_eq!(call.model, "deepseek");
        assert_eq!(&body[call.model_span.clone()], r#""deep\u0073eek""#);
        assert!(call.stream);
    }

    #[test]
    fn choices_are_counted_over_all_prompts() {
        let of = |endpoint, body: &'static str| {
            check(endpoint, &Bytes::from_static(body.as_bytes())).expect("valid").choices
        };
        assert_eq!(of(Endpoint::Chat, r#"{"model":"m","messages":[{}],"n":3}"#), 3);
        for (body, choices) in [
            (r#"{"model":"m","prompt":"x"}"#, 1),
            (r#"{"model":"m","prompt":["x","y"],"n":2}"#, 4),
            (r#"{"model":"m","prompt":[1,2,3]}"#, 1),
            (r#"{"model":"m","prompt":[[1,2],[3]]}"#, 2),
            (r#"{"model":"m","prompt":[]}"#, 1),
        ] {
            assert_eq!(of(Endpoint::Completions, body), choices, "{body}");
        }
    }

    #[test]
    fn wrong_requests_name_the_field_and_the_limits() {
        let cases = [
            (r#"{"model":"m"}"#, Code::MissingParameter, "messages"),
            (r#"{"messages":[{}]}"#, Code::MissingParameter, "model"),
            (r#"{"model":null,"messages":[{}]}"#, Code::MissingParameter, "model"),
            (r#"{"model":7,"messages":[{}]}"#, Code::InvalidValue, "model"),
            (r#"{"model":"m","messages":[ ]}"#, Code::InvalidValue, "messages"),
            (r#"{"model":"m","messages":"hi"}"#, Code::InvalidValue, "messages"),
            (r#"{"model":"m","messages":[{}],"temperature":2.1}"#, Code::InvalidValue, "temperature"),
            (r#"{"model":"m","messages":[{}],"temperature":"hot"}"#, Code::InvalidValue, "temperature"),
            (r#"{"model":"m","messages":[{}],"top_p":-0.1}"#, Code::InvalidValue, "top_p"),
            (r#"{"model":"m","messages":[{}],"max_tokens":0}"#, Code::InvalidValue, "max_tokens"),
            (r#"{"model":"m","messages":[{}],"stream":"yes"}"#, Code::InvalidValue, "stream"),
        ];
        for (body, code, param) in cases {
            let error = chat(body).expect_err(body);
            assert_eq!((error.code, error.param), (code, Some(param)), "{body}");
            assert!(error.message.contains(param), "{}", error.message);
        }
    }

    #[test]
    fn bad_json_is_explained_without_quoting_it() {
        for (body, what) in [
            ("", "is empty"),
            ("{\"model\":\"secret prompt", "ends too early"),
            ("{\"model\": secret}", "is not valid JSON"),
            ("[\"secret\"]", "must be a JSON object"),
            ("{\"model\":\"a\",\"model\":\"secret\",\"messages\":[{}]}", "names a field twice"),
        ] {
            let error = chat(body).expect_err(body);
            assert_eq!(error.code, Code::InvalidJson);
            assert!(error.message.contains(what), "{body}: {}", error.message);
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
    }

    #[test]
    fn a_body_that_is_not_utf8_is_refused_wherever_that_is() {
        for (body, place) in [
            (&b"{\"model\":\"\xff\",\"messages\":[{}]}"[..], 10),
            (b"{\"model\":\"m\",\"messages\":[{\"content\":\"\xe4\xbd\"}]}", 37),
            (b"{\"model\":\"m\",\"messages\":[{}],\"metadata\":\"\xff\"}", 41),
            (b"{\"model\":\"m\",\"messages\":[{}],\"\xff\":1}", 30),
        ] {
            let error = check(Endpoint::Chat, &Bytes::from_static(body)).expect_err("not UTF-8");
            assert_eq!(error.code, Code::InvalidJson);
            let message = format!("The request body is not UTF-8 (after {place} bytes).");
            assert_eq!(error.message, message, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn every_way_to_ask_for_much_output_is_counted() {
        let tokens = |rest: &str| {
            chat(&format!(r#"{{"model":"m","messages":[{{}}]{rest}}}"#)).expect("valid").estimated_tokens
        };
        assert_eq!(tokens(""), 1 + TYPICAL_OUTPUT_TOKENS);
        assert_eq!(tokens(r#","max_tokens":50"#), 1 + 50);
        assert_eq!(tokens(r#","max_completion_tokens":50,"n":3"#), 1 + 150);
        assert_eq!(tokens(r#","max_tokens":99999999999"#), 1 + MAX_OUTPUT_TOKENS);
    }

    #[test]
    fn tools_and_schemas_are_counted_with_the_prompt() {
        let long = "x".repeat(398);
        for field in ["tools", "functions", "system", "instructions", "response_format"] {
            let body = format!(r#"{{"model":"m","messages":[{{}}],"{field}":"{long}"}}"#);
            assert_eq!(chat(&body).expect("valid").estimated_input, 101, "{field}");
        }
    }
}
