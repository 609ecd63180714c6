//! `POST /chat/completions` as DeepSeek reads it: the typed body, whose serde errors are the real server's texts.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::Value;

use crate::wire::errors::{ErrorKind, Refusal};

#[derive(Debug, Deserialize)]
pub(crate) struct ChatRequest {
    pub(crate) messages: Vec<Message>,
    pub(crate) model: String,
    pub(crate) stream: Option<bool>,
    pub(crate) stream_options: Option<StreamOptions>,
    pub(crate) thinking: Option<Thinking>,
    /// Any text: which are known is the server's matter. All efforts answer alike.
    pub(crate) reasoning_effort: Option<String>,
    /// vLLM and SGLang: `{"thinking": true}`.
    pub(crate) chat_template_kwargs: Option<Value>,
    /// SiliconFlow.
    pub(crate) enable_thinking: Option<bool>,
    /// vLLM and SGLang: the last message is the beginning of the answer.
    pub(crate) continue_final_message: Option<bool>,
    /// vLLM: on unless told otherwise, and then nothing can be gone on from.
    pub(crate) add_generation_prompt: Option<bool>,
    pub(crate) max_tokens: Option<i64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) response_format: Option<ResponseFormat>,
    pub(crate) stop: Option<Stop>,
    pub(crate) tools: Option<Vec<Tool>>,
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) logprobs: Option<bool>,
    pub(crate) top_logprobs: Option<i64>,
    pub(crate) user_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub(crate) enum Message {
    System {
        content: Content,
    },
    User {
        content: Content,
    },
    Assistant {
        content: Option<Content>,
        reasoning_content: Option<String>,
        reasoning: Option<String>,
        tool_calls: Option<Vec<PastCall>>,
        #[serde(default)]
        prefix: bool,
    },
    Tool {
        content: Content,
        tool_call_id: String,
    },
    LatestReminder {
        content: Content,
    },
}

#[derive(Debug, Deserialize)]
pub(crate) struct PastCall {
    pub(crate) id: String,
}

/// A message's text: a string, or parts of which the text counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) has_image: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentPart {
    Text { text: String },
    ImageUrl { image_url: IgnoredAny },
    File { file: IgnoredAny },
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;

        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content { text: text.to_owned(), has_image: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                let parts = Vec::<ContentPart>::deserialize(SeqAccessDeserializer::new(parts))?;
                let mut content = Content::default();
                for part in parts {
                    match part {
                        ContentPart::Text { text } => content.text.push_str(&text),
                        ContentPart::ImageUrl { image_url: IgnoredAny }
                        | ContentPart::File { file: IgnoredAny } => {
                            content.has_image = true;
                        }
                    }
                }
                Ok(content)
            }
        }

        deserializer.deserialize_any(ContentVisitor)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamOptions {
    #[serde(default)]
    pub(crate) include_usage: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Thinking {
    Enabled,
    Disabled,
    Adaptive,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ResponseFormat {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Stop {
    One(String),
    Many(Vec<String>),
}

impl Stop {
    pub(crate) fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Tool {
    Function { function: Function },
}

impl Tool {
    pub(crate) fn function(&self) -> &Function {
        let Self::Function { function } = self;
        function
    }

    pub(crate) fn into_name(self) -> String {
        let Self::Function { function } = self;
        function.name
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) strict: Option<bool>,
    #[serde(default)]
    #[expect(dead_code, reason = "read so that a wrong type is refused")]
    pub(crate) parameters: Option<Value>,
}

#[derive(Debug)]
pub(crate) enum ToolChoice {
    None,
    Auto,
    Required,
    Named(String),
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Mode {
            None,
            Auto,
            Required,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Mode(Mode),
            Named { function: Named },
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Mode(Mode::None) => Self::None,
            Either::Mode(Mode::Auto) => Self::Auto,
            Either::Mode(Mode::Required) => Self::Required,
            Either::Named { function } => Self::Named(function.name),
        })
    }
}

/// Reads a body as a type; a failure is refused in DeepSeek's words.
pub(crate) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Refusal> {
    let reader = &mut serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut *reader).map_err(|error| refusal(&error))?;
    reader.end().map_err(|error| unparsable(&error))?;
    Ok(parsed)
}

fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    match error.inner().classify() {
        serde_json::error::Category::Data => Refusal::saying(
            ErrorKind::BadRequest,
            format!("Failed to deserialize the JSON body into the target type: {error}"),
        ),
        _ => unparsable(error),
    }
}

fn unparsable(error: &dyn fmt::Display) -> Refusal {
    Refusal::saying(ErrorKind::BadRequest, format!("Failed to parse the request body as JSON: {error}"))
}

/// What the choice of a scenario and the account need from a body of any API, wrong or not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Hints {
    #[serde(deserialize_with = "text_or_none")]
    pub(crate) model: Option<String>,
    /// Chat.
    #[serde(deserialize_with = "text_or_none")]
    user_id: Option<String>,
    /// Responses.
    #[serde(deserialize_with = "text_or_none")]
    user: Option<String>,
    /// Anthropic.
    metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "text_or_none")]
    user_id: Option<String>,
}

impl Hints {
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// The end user, empty if none is named.
    pub(crate) fn user(&self) -> &str {
        let metadata = self.metadata.as_ref().and_then(|metadata| metadata.user_id.as_ref());
        self.user_id.as_ref().or(self.user.as_ref()).or(metadata).map_or("", String::as_str)
    }
}

fn text_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Any::deserialize(deserializer)? {
        Any::Text(text) => Some(text),
        Any::Other(IgnoredAny) => None,
    })
}

/// All text in content of any shape: a string, parts with a `text`, or lists and items with `content`.
pub(crate) fn said_in(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(said_in).collect(),
        Value::Object(part) => {
            ["text", "content", "output"].iter().filter_map(|key| part.get(*key)).map(said_in).collect()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(body: &str) -> String {
        let refusal = parse::<ChatRequest>(body.as_bytes()).unwrap_err();
        String::from_utf8(refusal.body(crate::Flavor::DeepSeek).to_vec()).unwrap()
    }

    #[test]
    fn a_wrong_type_is_named_by_its_path() {
        let message = message_of(r#"{"model":"m","messages":[{"role":"user","content":5}]}"#);
        assert!(
            message.contains("target type: messages[0]: invalid type: integer `5`, expected a string"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_role_lists_the_private_one_too() {
        let message = message_of(r#"{"model":"m","messages":[{"role":"developer","content":"x"}]}"#);
        let wanted = "unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`, `latest_reminder`";
        assert!(message.contains(wanted), "{message}");
    }

    #[test]
    fn a_lone_surrogate_is_a_parse_error_with_its_path() {
        let message = message_of(r#"{"model":"m","messages":[{"role":"user","content":"\ud800"}]}"#);
        assert!(message.contains("Failed to parse the request body as JSON: messages[0]"), "{message}");
    }
}
