//! A scenario: everything the fake can be told to do differently, as one flat, documented value.
//!
//! It is chosen per request (header `x-mock-scenario`, or a model name that starts with `mock/`) or set at run time
//! for a key, a model, or all requests. All places take the same text: `preset`, `preset?field=value&…`,
//! `field=value&…`, or a JSON object. The presets are in [`crate::presets`].

mod kinds;
mod parse;

use serde::{Deserialize, Serialize};

pub(crate) use self::parse::parse_fields;
pub use self::{
    kinds::{ConnectionFault, Cut, ReasoningField, Then, UsageFields, UsagePlace},
    parse::InvalidScenario,
};
use crate::wire::errors::ErrorKind;

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
    /// Milliseconds before the response headers; a refusal for concurrency comes at once.
    pub header_delay_ms: u64,
    /// Milliseconds between the headers and the first frame (after the keep-alives).
    pub first_token_delay_ms: u64,
    /// Milliseconds before each later frame.
    pub chunk_delay_ms: u64,
    /// After this many frames, pauses for `pause_ms`, then goes on.
    pub pause_after: Option<u32>,
    /// Milliseconds of the pause.
    pub pause_ms: u64,
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
    /// Leaks this text, which no tool parser caught, as DeepSeek's DSML in the content.
    pub dsml: bool,
    /// `prompt_tokens` instead of the counted ones.
    pub prompt_tokens: Option<u64>,
    /// Cache hits instead of the derived ones; never more than the prompt.
    pub cached_tokens: Option<u64>,
    /// `completion_tokens` instead of the counted ones.
    pub completion_tokens: Option<u64>,
    /// Answers from what is recorded (`--recorded DIR`, [`Options::recorded`](crate::Options)): a name, or `auto` to pick
    /// by the request.
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
    /// Offsets in the answer's bytes at which a new piece begins, flushed by itself.
    pub split_at: Vec<usize>,
    /// The `Content-Type` of the answer or refusal.
    pub content_type: Option<String>,
    /// A frame in the middle of the stream that is not JSON, in place of the nth.
    pub garbage_at: Option<u32>,

    // ---- refusals
    /// The status; alone it comes with the body that DeepSeek sends with it.
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
    /// Cuts the answer after so many bytes, in the way `cut` says.
    pub cut_at: Option<usize>,
    /// Cuts the answer after n frames, in the way `cut` says.
    pub cut_after: Option<u32>,
    /// The way of the cut.
    pub cut: Cut,
    /// Sends n frames, then nothing, and keeps the connection open.
    pub stall_after: Option<u32>,
    /// Sends all of the answer, and then keeps the body and its connection open.
    pub stays_open: bool,
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
    /// Acts on the first n requests that chose it; later ones get a plain answer. Those for models and balance do too,
    /// and count for nothing.
    pub fail_first: Option<u32>,
    /// Acts on every nth request that chose it; the others get a plain answer.
    pub fail_every: Option<u32>,

    // ---- the account
    /// Requests in flight allowed per account and model; above it 429 as DeepSeek words it.
    pub concurrency: Option<u32>,
    /// Counts `concurrency` per `user_id` of the request too, the empty one included.
    pub per_user: bool,
    /// The account's balance; at 0 or below, requests get 402.
    pub balance: Option<String>,
    /// The balance's currency, `CNY` unless set.
    pub currency: Option<String>,
}

impl Scenario {
    /// The behaviour of a healthy DeepSeek.
    pub fn plain() -> Self {
        Self { name: "plain".into(), ..Self::default() }
    }

    /// The label for counters.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { "custom" } else { &self.name }
    }
}
