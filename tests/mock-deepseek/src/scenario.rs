//! A scenario: everything the fake can be told to do differently, as one flat, documented value.
//!
//! It is chosen per request (header `x-mock-scenario`, or a model name that starts with `mock/`) or set at run time
//! for a key, a model, or all requests. All places take the same text: `preset`, `preset?field=value&…`,
//! `field=value&…`, or a JSON object. The presets are in [`crate::presets`].

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{presets, wire::errors::ErrorKind};

/// What to do with a request. Every field left out keeps the behaviour of a healthy DeepSeek.
///
/// `n` frames below means data frames of a stream: the one with the role is the first. A whole (not streamed) answer
/// counts as one frame of half its bytes; the end of an answer is a boundary too, so a cut always happens before the finish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent switch of the wire, named as users write it"
)]
pub struct Scenario {
    /// The label under which requests are counted; the preset's name unless set.
    pub name: String,

    // ---- pace
    /// Milliseconds before the response headers.
    pub header_delay_ms: u64,
    /// Milliseconds between the headers and the first frame (after the keep-alives).
    pub first_token_delay_ms: u64,
    /// Milliseconds before each later frame.
    pub chunk_delay_ms: u64,
    /// Keep-alives before the first frame: `: keep-alive` comments in a stream, empty lines before a whole answer.
    pub keep_alives: u32,
    /// Milliseconds before each keep-alive.
    pub keep_alive_ms: u64,
    /// A `: keep-alive` comment before every frame of a stream, the finish and `[DONE]` included.
    pub keep_alive_between: bool,

    // ---- the answer
    /// Thinks or not, whatever the request says.
    pub thinking: Option<bool>,
    /// The answer's text instead of the echo.
    pub answer: Option<String>,
    /// The reasoning's text instead of the usual one.
    pub reasoning: Option<String>,
    /// Exactly this many content frames: the text split, then filler.
    pub chunks: Option<u32>,
    /// Exactly this many reasoning frames.
    pub reasoning_chunks: Option<u32>,
    /// Pads every content frame's text to at least this many bytes.
    pub chunk_bytes: usize,
    /// This many parallel tool calls, of the request's tools in turn (or of a `weather` tool).
    pub tool_calls: u32,
    /// Pads each tool call's arguments to at least this many bytes.
    pub tool_bytes: usize,
    /// The finish reason instead of the natural one.
    pub finish_reason: Option<String>,
    /// Leaks this text, which no tool parser caught, as `DeepSeek`'s DSML in the content.
    pub dsml: bool,
    /// `prompt_tokens` instead of the counted ones.
    pub prompt_tokens: Option<u64>,
    /// Cache hits instead of the derived ones; never more than the prompt.
    pub cached_tokens: Option<u64>,
    /// `completion_tokens` instead of the counted ones.
    pub completion_tokens: Option<u64>,
    /// Answers from the recorded files (`--recorded DIR`): a file's stem, or `auto` to pick by the request.
    pub recorded: Option<String>,
    /// Answers from precomputed bytes, the request hardly looked at; for measuring what is in front. Only as default.
    pub bench: bool,

    // ---- how it looks on the wire
    /// Where usage rides; the flavor's way unless set.
    pub usage: Option<UsagePlace>,
    /// Which cache counts usage has; the flavor's unless set.
    pub usage_fields: Option<UsageFields>,
    /// The name of the reasoning field; the flavor's unless set.
    pub reasoning_field: Option<ReasoningField>,
    /// `data:{…}` without the space.
    pub no_space: bool,
    /// Lines end in CRLF.
    pub crlf: bool,
    /// No `data: [DONE]` at the end.
    pub no_done: bool,
    /// No frame with a finish reason (and so no usage on it).
    pub no_finish: bool,
    /// A `choices: []` instead of the answer (the finish included).
    pub no_choices: bool,
    /// `content: null` in a whole answer.
    pub null_content: bool,
    /// A comment line of this many bytes before the answer.
    pub comment_bytes: usize,
    /// Sends this many bytes at a time, each flushed by itself; 1 splits characters and frames at every offset.
    pub split: usize,
    /// The `Content-Type` of the answer or refusal.
    pub content_type: Option<String>,
    /// A frame in the middle of the stream that is not JSON, in place of the nth.
    pub garbage_at: Option<u32>,

    // ---- refusals
    /// The status; alone it comes with the body that `DeepSeek` sends with it.
    pub status: Option<u16>,
    /// The refusal's body; alone it comes with its own status.
    pub error: Option<ErrorKind>,
    /// The refusal's message instead of the kind's own.
    pub message: Option<String>,
    /// `Retry-After` as is: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// `retry-after-ms`.
    pub retry_after_ms: Option<u64>,
    /// 400 to a request whose last message is the assistant's: continuing an answer is not supported here.
    pub reject_prefix: bool,

    // ---- faults of the stream and the connection
    /// Cuts the answer after n frames, in the way `cut` says.
    pub cut_after: Option<u32>,
    /// The way of the cut.
    pub cut: Cut,
    /// Sends n frames, then nothing, and keeps the connection open.
    pub stall_after: Option<u32>,
    /// While stalled, a `: keep-alive` comment every so many milliseconds.
    pub stall_keep_alive_ms: u64,
    /// Sends n frames, then an error frame; 0 makes it the first frame of a 200.
    pub error_after: Option<u32>,
    /// What follows the error frame.
    pub error_then: Then,
    /// Does this to the connection once the request is read, in place of any answer.
    pub connection: Option<ConnectionFault>,
    /// Does this to each new connection before reading. Only as default.
    pub accept: Option<ConnectionFault>,
    /// Closes the connection, without saying so, right after the answer: a stale connection for a pool.
    pub close_after: bool,
    /// Answers the first request of a connection and closes it when a second one arrives.
    pub close_on_reuse: bool,

    // ---- when
    /// Acts on the first n requests that chose it; later ones get a plain answer.
    pub fail_first: Option<u32>,
    /// Acts on every nth request that chose it; the others get a plain answer.
    pub fail_every: Option<u32>,

    // ---- the account
    /// Requests in flight allowed per account and model; above it 429 as `DeepSeek` words it.
    pub concurrency: Option<u32>,
    /// Counts `concurrency` per `user_id` of the request too, the empty one included.
    pub per_user: bool,
    /// The account's balance; at 0 or below, requests get 402.
    pub balance: Option<String>,
    /// The balance's currency, `CNY` unless set.
    pub currency: Option<String>,
}

/// Where the token counts are in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsagePlace {
    /// On the finish frame, asked for or not: `DeepSeek`.
    Finish,
    /// In a last frame with `choices: []`, if asked for: `OpenAI`, vLLM, Ollama, Azure.
    Separate,
    /// Nowhere.
    None,
}

/// Which fields usage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageFields {
    /// Counts, details, and the hit and miss pair.
    DeepSeek,
    /// Counts and details.
    Details,
    /// The three counts alone.
    Plain,
    /// The hit and miss pair without the details.
    HitMiss,
}

/// What the reasoning is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// `DeepSeek`, `SGLang`.
    ReasoningContent,
    /// vLLM, Ollama.
    Reasoning,
}

impl ReasoningField {
    /// The field's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReasoningContent => "reasoning_content",
            Self::Reasoning => "reasoning",
        }
    }
}

/// How an answer is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// The connection is closed (FIN) without the end of the body.
    #[default]
    Fin,
    /// The connection is reset (RST).
    Rst,
    /// The body ends as if it were complete: what a proxy in between makes of a cut.
    Clean,
    /// Half of the next frame is sent, then FIN.
    MidFrame,
}

/// What follows an error frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The stream ends, without `[DONE]`.
    #[default]
    Close,
    /// `[DONE]`, then the end.
    Done,
    /// Nothing: the stream stays open.
    Stall,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionFault {
    /// Closed (FIN).
    Close,
    /// Reset (RST).
    Reset,
    /// Left open, never answered.
    Hang,
    /// Half a response head is sent, then nothing.
    HalfHeaders,
    /// Half a response head is sent, then FIN.
    CutHeaders,
    /// Bytes that are not HTTP, then FIN.
    Garbage,
}

/// Why a scenario's text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidScenario(String);

impl fmt::Display for InvalidScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid scenario: {}", self.0)
    }
}

impl std::error::Error for InvalidScenario {}

impl From<Infallible> for InvalidScenario {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Scenario {
    /// The behaviour of a healthy `DeepSeek`.
    pub fn plain() -> Self {
        Self { name: "plain".into(), ..Self::default() }
    }

    /// The label for counters.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { "custom" } else { &self.name }
    }

    fn from_fields(mut fields: Map<String, Value>) -> Result<Self, InvalidScenario> {
        let mut all = match fields.remove("preset") {
            Some(Value::String(name)) => presets::fields_of(&name).ok_or_else(|| {
                InvalidScenario(format!("no preset `{name}`; GET /__mock/scenarios lists them"))
            })?,
            Some(other) => return Err(InvalidScenario(format!("`preset` must be a name, not {other}"))),
            None => Map::new(),
        };
        all.append(&mut fields);
        serde_json::from_value(Value::Object(all)).map_err(|error| InvalidScenario(error.to_string()))
    }
}

/// Parses `a=1&b=text` into JSON fields: numbers, booleans and JSON strings as such, anything else as text; a bare `a` is true.
pub(crate) fn parse_fields(text: &str) -> Map<String, Value> {
    let value_of = |raw: &str| serde_json::from_str(raw).unwrap_or_else(|_| Value::String(raw.to_owned()));
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            // These are text even where they look like numbers.
            Some((key @ ("retry_after" | "balance" | "answer" | "reasoning" | "message" | "name"), raw)) => {
                (key.to_owned(), Value::String(raw.to_owned()))
            }
            Some((key, raw)) => (key.to_owned(), value_of(raw)),
            None => (pair.to_owned(), Value::Bool(true)),
        })
        .collect()
}

impl FromStr for Scenario {
    type Err = InvalidScenario;

    fn from_str(text: &str) -> Result<Self, InvalidScenario> {
        let text = text.trim();
        if text.starts_with('{') {
            let fields = serde_json::from_str(text).map_err(|error| InvalidScenario(error.to_string()))?;
            return Self::from_fields(fields);
        }
        let (preset, fields) = match text.split_once('?') {
            Some((preset, fields)) => (Some(preset), fields),
            None if text.contains('=') => (None, text),
            None => (Some(text), ""),
        };
        let mut fields = parse_fields(fields);
        if let Some(preset) = preset {
            fields.insert("preset".into(), preset.into());
        }
        Self::from_fields(fields)
    }
}

impl TryFrom<&str> for Scenario {
    type Error = InvalidScenario;

    fn try_from(text: &str) -> Result<Self, InvalidScenario> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_can_be_adjusted_field_by_field() {
        let scenario: Scenario = "stall?stall_after=7".parse().unwrap();
        assert_eq!((scenario.label(), scenario.stall_after), ("stall", Some(7)));
    }

    #[test]
    fn fields_alone_make_a_scenario() {
        let scenario: Scenario = "status=429&retry_after=2".parse().unwrap();
        assert_eq!((scenario.status, scenario.retry_after.as_deref()), (Some(429), Some("2")));
        assert_eq!(scenario.label(), "custom");
    }

    #[test]
    fn json_text_is_a_scenario_too() {
        let scenario: Scenario = r#"{"preset": "cut", "cut": "rst"}"#.parse().unwrap();
        assert_eq!((scenario.label(), scenario.cut), ("cut", Cut::Rst));
    }

    #[test]
    fn an_unknown_preset_or_field_is_refused_by_name() {
        assert!("nope".parse::<Scenario>().unwrap_err().to_string().contains("no preset `nope`"));
        assert!("cut?cut_aftr=1".parse::<Scenario>().unwrap_err().to_string().contains("cut_aftr"));
    }
}
