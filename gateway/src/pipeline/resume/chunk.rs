//! A chunk of a chat stream, borrowed: what it says, and where each value stands in it.

use crate::pipeline::frames::data_of;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The data of one event.
pub enum Payload<'a> {
    /// None: a comment, a blank line.
    Nothing,
    /// The end mark.
    Done,
    /// A chunk, and the bytes it was read from.
    Chunk(Box<Chunk<'a>>, &'a [u8]),
    /// Something else.
    Unreadable,
}

impl<'a> Payload<'a> {
    /// Reads one event.
    pub fn of(event: &'a [u8]) -> Self {
        let mut lines = data_of(event);
        let Some(data) = lines.next() else { return Self::Nothing };
        if data == b"[DONE]" {
            return Self::Done;
        }
        match serde_json::from_slice(data) {
            Ok(chunk) if lines.next().is_none() => Self::Chunk(Box::new(chunk), data),
            _ => Self::Unreadable,
        }
    }
}

/// A chunk. What may be replaced is there as it stands, `null` included.
#[derive(Deserialize)]
pub struct Chunk<'a> {
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub created: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub model: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub system_fingerprint: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    pub usage: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    object: Option<Cow<'a, str>>,
}

impl Chunk<'_> {
    /// Whether it is an error in place of a chunk: in an envelope, or flat as SGLang writes it.
    pub fn is_error(&self) -> bool {
        self.error.is_some() || self.object.as_deref() == Some("error")
    }
}

/// One choice of a chunk.
#[derive(Deserialize)]
pub struct Choice<'a> {
    #[serde(default)]
    pub index: u64,
    #[serde(borrow, default)]
    pub delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Choice<'_> {
    /// Why it is over. Some servers say so with an empty text in every chunk but the last.
    pub fn finish(&self) -> Option<&str> {
        self.finish_reason.as_deref().filter(|reason| !reason.is_empty())
    }
}

/// What a chunk adds to the message.
#[derive(Deserialize, Default)]
pub struct Delta<'a> {
    #[serde(borrow, default)]
    pub role: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub function_call: Option<&'a RawValue>,
    #[serde(default)]
    pub tool_calls: Option<Vec<IgnoredAny>>,
}

impl<'a> Delta<'a> {
    /// The reasoning, by whichever name.
    pub fn thought(&self) -> Option<&'a RawValue> {
        self.reasoning_content.or(self.reasoning)
    }

    /// Whether it calls a tool.
    pub fn calls(&self) -> bool {
        self.function_call.is_some() || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }

    /// Whether it holds a part of a message that is neither text, nor reasoning, nor a call.
    pub fn says_otherwise(&self) -> bool {
        self.audio.is_some() || self.refusal.is_some_and(|refusal| refusal.get() != "\"\"")
    }
}

/// The text of a string, empty where there is none; `None` where it is no string.
pub fn text(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let Some(value) = value else { return Some(Cow::Borrowed("")) };
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

/// Any value that is there, `null` included.
pub fn as_it_stands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
