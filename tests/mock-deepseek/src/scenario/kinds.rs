//! The kinds that a scenario's fields choose from.

use serde::{Deserialize, Serialize};

/// Where the token counts are in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsagePlace {
    /// On the finish frame, asked for or not: DeepSeek.
    Finish,
    /// In a last frame with `choices: []`, if asked for: OpenAI, vLLM, Ollama, Azure.
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
    /// The three counts and `reasoning_tokens` beside them: `SGLang`, Azure.
    TopReasoning,
    /// The hit and miss pair without the details.
    HitMiss,
}

/// What the reasoning is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// DeepSeek, `SGLang`.
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
