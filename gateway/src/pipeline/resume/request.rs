//! The request of a broken answer, borrowed: what decides whether and how its answer can be continued.

use super::chunk::{as_it_stands, text};
use super::outcome::Outcome;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A chat request, as far as a continuation depends on it.
#[derive(Deserialize)]
pub struct Request<'a> {
    #[serde(borrow)]
    pub messages: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub thinking: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub chat_template_kwargs: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub continue_final_message: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub add_generation_prompt: Option<&'a RawValue>,
    n: Option<u64>,
    logprobs: Option<bool>,
    echo: Option<bool>,
    #[serde(borrow, default)]
    stop: Option<Stop<'a>>,
    #[serde(borrow, default)]
    response_format: Option<Format<'a>>,
    // Other ways to give an answer a set form: vLLM's and SGLang's.
    structured_outputs: Option<IgnoredAny>,
    guided_json: Option<IgnoredAny>,
    guided_regex: Option<IgnoredAny>,
    guided_choice: Option<IgnoredAny>,
    guided_grammar: Option<IgnoredAny>,
    regex: Option<IgnoredAny>,
    ebnf: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(#[serde(borrow)] Vec<Cow<'a, str>>),
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// The caller's own beginning of the answer: a last message that the model was to go on with.
#[derive(Deserialize)]
pub struct Begun<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub content: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    pub prefix: Option<&'a RawValue>,
}

impl<'a> Request<'a> {
    /// Reads a body.
    pub fn read(body: &'a [u8]) -> Result<Self, Outcome> {
        serde_json::from_slice(body).map_err(|_| Outcome::Unreadable)
    }

    /// Why its answer cannot be continued; `content` says whether content has been sent.
    pub fn obstacle(&self, content: bool) -> Option<Outcome> {
        // Log-probabilities depend on how a text is cut into tokens, which is done anew at the joint.
        if self.logprobs == Some(true) {
            return Some(Outcome::Logprobs);
        }
        if self.n.is_some_and(|n| n > 1) {
            return Some(Outcome::Choices);
        }
        // What decodes by a grammar starts at its root: a second half would be another whole. Before the content that
        // is right.
        if content && self.is_structured() {
            return Some(Outcome::Structured);
        }
        // vLLM's `echo` repeats the caller's last message as a part of the answer.
        (self.echo == Some(true)).then_some(Outcome::Unreadable)
    }

    fn is_structured(&self) -> bool {
        let kind = self.response_format.as_ref().and_then(|format| format.kind.as_deref());
        kind.is_some_and(|kind| kind != "text")
            || [
                &self.structured_outputs,
                &self.guided_json,
                &self.guided_regex,
                &self.guided_choice,
                &self.guided_grammar,
                &self.regex,
                &self.ebnf,
            ]
            .into_iter()
            .any(Option::is_some)
    }

    /// Its stop sequences.
    pub fn stops(&self) -> Vec<String> {
        let stops = match &self.stop {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![stop.to_string()],
            Some(Stop::Many(stops)) => stops.iter().map(ToString::to_string).collect(),
        };
        stops.into_iter().filter(|stop| !stop.is_empty()).collect()
    }

    /// The caller's own beginning of the answer.
    pub fn begun(&self) -> Option<Begun<'a>> {
        let is_true = |value: Option<&RawValue>| value.is_some_and(|value| value.get() == "true");
        let last: Begun<'a> = serde_json::from_str(self.messages.last()?.get()).ok()?;
        let goes_on = is_true(last.prefix) || is_true(self.continue_final_message);
        (goes_on && last.role.as_deref() == Some("assistant")).then_some(last)
    }
}

impl Begun<'_> {
    /// Content and reasoning, as text; `None` where they are something else.
    pub fn texts(&self) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
        let known = |value: &Option<_>| value.filter(|value: &&RawValue| value.get() != "null");
        Some((text(known(&self.content))?, text(known(&self.reasoning_content))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle(fields: &str, content: bool) -> Option<Outcome> {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"x"}}]{fields}}}"#);
        Request::read(body.as_bytes()).expect("JSON").obstacle(content)
    }

    #[test]
    fn what_asks_for_more_than_one_plain_text_is_not_continued() {
        assert_eq!(obstacle("", true), None);
        assert_eq!(obstacle(r#","n":1,"logprobs":false,"response_format":{"type":"text"}"#, true), None);
        assert_eq!(obstacle(r#","n":2"#, true), Some(Outcome::Choices));
        assert_eq!(obstacle(r#","logprobs":true"#, true), Some(Outcome::Logprobs));
        assert_eq!(obstacle(r#","echo":true"#, true), Some(Outcome::Unreadable));
        for form in [r#","response_format":{"type":"json_object"}"#, r#","guided_json":{}"#] {
            assert_eq!(obstacle(form, true), Some(Outcome::Structured), "{form}");
            assert_eq!(obstacle(form, false), None, "{form}: content begins anew anyway");
        }
    }

    #[test]
    fn stop_sequences_are_one_or_many() {
        let stops = |stop: &str| {
            let body = format!(r#"{{"messages":[],"stop":{stop}}}"#);
            Request::read(body.as_bytes()).expect("JSON").stops()
        };
        assert_eq!(stops(r#""a\n""#), ["a\n"]);
        assert_eq!(stops(r#"["a","","b"]"#), ["a", "b"]);
        assert!(stops("null").is_empty());
    }
}
