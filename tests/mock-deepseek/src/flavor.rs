//! Which server the fake plays: DeepSeek itself, or a compatible one that a route may fail over to.

use serde::{Deserialize, Serialize};

use crate::scenario::{ReasoningField, UsageFields, UsagePlace};

/// A kind of server. It decides the defaults of the wire; a scenario can override each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Flavor {
    /// The platform itself: api.deepseek.com.
    #[default]
    DeepSeek,
    /// Usage alone on request, unknown parameters refused, embeddings.
    OpenAi,
    /// Field reasoning, usage alone on request, `chat_template_kwargs`, integer error codes, embeddings.
    Vllm,
    /// Usage alone on request with the reasoning at its top, `chat_template_kwargs`, flat errors.
    SgLang,
    /// Field reasoning, plain usage alone on request, `reasoning_effort` to think or not, embeddings.
    Ollama,
    /// Plain usage, errors as code and message, `enable_thinking`, embeddings.
    SiliconFlow,
    /// The key in `api-key`, a first chunk about the prompt, usage alone on request with the reasoning at its top, errors with an inner one.
    Azure,
}

impl Flavor {
    /// Whether requests are checked as DeepSeek checks them (models, thinking rules, content type).
    pub fn is_deepseek(self) -> bool {
        self == Self::DeepSeek
    }

    /// Whether there are embeddings.
    pub fn embeds(self) -> bool {
        matches!(self, Self::OpenAi | Self::Vllm | Self::Ollama | Self::SiliconFlow)
    }

    pub(crate) fn usage_place(self) -> UsagePlace {
        if matches!(self, Self::DeepSeek | Self::SiliconFlow) {
            UsagePlace::Finish
        } else {
            UsagePlace::Separate
        }
    }

    pub(crate) fn usage_fields(self) -> UsageFields {
        match self {
            Self::DeepSeek => UsageFields::DeepSeek,
            Self::OpenAi | Self::Vllm => UsageFields::Details,
            Self::SgLang | Self::Azure => UsageFields::TopReasoning,
            Self::Ollama | Self::SiliconFlow => UsageFields::Plain,
        }
    }

    pub(crate) fn reasoning_field(self) -> ReasoningField {
        match self {
            Self::Vllm | Self::Ollama => ReasoningField::Reasoning,
            Self::DeepSeek | Self::OpenAi | Self::SgLang | Self::SiliconFlow | Self::Azure => {
                ReasoningField::ReasoningContent
            }
        }
    }
}
