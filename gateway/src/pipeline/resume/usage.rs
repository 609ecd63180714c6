//! Token counts of an answer that several backends wrote, as if one had.
//!
//! The last of them counts its own part: a prompt that holds the beginning of the answer, and the completion from there
//! on. What the client is told is the prompt it sent and all of the completion. What an earlier backend did not get to
//! count is estimated; hits and misses of the cache still come to the prompt.

use super::chunk::as_it_stands;
use super::edits::{Edits, place};
use super::transcript::Transcript;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    total_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt_cache_hit_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt_cache_miss_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt_tokens_details: Option<Details<'a>>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    completion_tokens_details: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow, default)]
    cached_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_tokens: Option<&'a RawValue>,
}

fn number(value: Option<&RawValue>) -> Option<u64> {
    value?.get().parse().ok()
}

impl<'a> Usage<'a> {
    fn hits(&self) -> Option<u64> {
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        number(self.prompt_cache_hit_tokens.or(cached))
    }

    fn thought(&self) -> Option<&'a RawValue> {
        serde_json::from_str::<Details<'_>>(self.completion_tokens_details?.get()).ok()?.reasoning_tokens
    }
}

/// What one backend counted.
pub struct Reported {
    /// Prompt tokens.
    pub prompt: u64,
    /// Of these, cache hits, where told.
    pub hits: Option<u64>,
    /// Completion tokens.
    pub completion: u64,
    /// Of these, reasoning, where told.
    pub reasoning: Option<u64>,
}

impl Reported {
    /// Reads a usage object.
    pub fn read(usage: &RawValue) -> Option<Self> {
        let usage: Usage<'_> = serde_json::from_str(usage.get()).ok()?;
        Some(Self {
            prompt: number(usage.prompt_tokens)?,
            hits: usage.hits(),
            completion: number(usage.completion_tokens)?,
            reasoning: number(usage.thought().or(usage.reasoning_tokens)),
        })
    }
}

/// What an answer came to before the backend whose counts are rewritten went on with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before {
    /// The prompt and its cache hits, as counted by the first backend.
    prompt: Option<(u64, Option<u64>)>,
    /// Tokens of the answer that are part of this backend's prompt.
    in_prompt: u64,
    completion: u64,
    reasoning: u64,
}

impl Before {
    /// Of a transcript, `in_prompt` tokens of which the next backend was sent.
    pub fn of(transcript: &Transcript, in_prompt: u64) -> Self {
        let reasoning = transcript.reasoning.tokens();
        Self { prompt: transcript.prompt, in_prompt, completion: transcript.tokens(), reasoning }
    }

    /// Notes the changes to a usage object, which stands in `whole`.
    pub fn add_to(&self, usage: &RawValue, whole: &[u8], edits: &mut Edits<'_>) {
        let Ok(counts) = serde_json::from_str::<Usage<'_>>(usage.get()) else { return };
        let mut put = |value: Option<&RawValue>, number: u64| {
            if let Some(value) = value {
                edits.replace(place(whole, value.get()), number.to_string());
            }
        };
        let (prompt, hits) = self.prompt.unwrap_or_else(|| {
            (number(counts.prompt_tokens).unwrap_or(0).saturating_sub(self.in_prompt), counts.hits())
        });
        let hits = hits.or(counts.hits()).unwrap_or(0).min(prompt);
        let completion = number(counts.completion_tokens).unwrap_or(0) + self.completion;
        put(counts.prompt_tokens, prompt);
        put(counts.completion_tokens, completion);
        put(counts.total_tokens, prompt + completion);
        put(counts.prompt_cache_hit_tokens, hits);
        put(counts.prompt_cache_miss_tokens, prompt - hits);
        put(counts.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens), hits);
        let thought = counts.thought();
        for value in [thought, counts.reasoning_tokens] {
            put(value, number(value).unwrap_or(0) + self.reasoning);
        }
        // A server that did not think itself leaves the count out.
        if self.reasoning > 0 && thought.is_none() && counts.reasoning_tokens.is_none() {
            let details = format!(r#"{{"reasoning_tokens":{}}}"#, self.reasoning);
            match counts.completion_tokens_details {
                None => {
                    let field = format!(r#""completion_tokens_details":{details},"#);
                    edits.insert(place(whole, usage.get()).start + 1, field);
                }
                Some(null) if null.get() == "null" => edits.replace(place(whole, null.get()), details),
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(before: Before, usage: &str) -> String {
        let raw: &RawValue = serde_json::from_str(usage).expect("JSON");
        let mut edits = Edits::default();
        before.add_to(raw, usage.as_bytes(), &mut edits);
        String::from_utf8(edits.apply(usage.as_bytes()).to_vec()).expect("UTF-8")
    }

    const DEEPSEEK: &str = r#"{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":90},"completion_tokens_details":{"reasoning_tokens":2},"prompt_cache_hit_tokens":90,"prompt_cache_miss_tokens":10}"#;

    #[test]
    fn the_beginning_of_the_answer_moves_from_the_prompt_to_the_completion() {
        let before = Before { prompt: None, in_prompt: 20, completion: 20, reasoning: 5 };
        assert_eq!(
            added(before, DEEPSEEK),
            r#"{"prompt_tokens":80,"completion_tokens":27,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":80},"completion_tokens_details":{"reasoning_tokens":7},"prompt_cache_hit_tokens":80,"prompt_cache_miss_tokens":0}"#
        );
    }

    #[test]
    fn what_the_first_backend_counted_itself_is_not_estimated() {
        let before = Before { prompt: Some((81, Some(64))), in_prompt: 20, completion: 20, reasoning: 0 };
        let rewritten = added(before, DEEPSEEK);
        assert!(rewritten.starts_with(r#"{"prompt_tokens":81,"completion_tokens":27,"total_tokens":108"#));
        assert!(rewritten.ends_with(r#""prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":17}"#));
    }

    #[test]
    fn the_shape_stays_and_reasoning_that_only_another_backend_did_is_told() {
        let before = Before { prompt: None, in_prompt: 3, completion: 5, reasoning: 0 };
        let plain =
            r#"{"prompt_tokens":9,"total_tokens":10,"completion_tokens":1,"prompt_tokens_details":null}"#;
        assert_eq!(
            added(before, plain),
            r#"{"prompt_tokens":6,"total_tokens":12,"completion_tokens":6,"prompt_tokens_details":null}"#
        );
        let thought = Before { reasoning: 4, ..before };
        let told = added(thought, r#"{"prompt_tokens":9,"completion_tokens":1}"#);
        assert_eq!(
            told,
            r#"{"completion_tokens_details":{"reasoning_tokens":4},"prompt_tokens":6,"completion_tokens":6}"#
        );
        let vllm = added(thought, r#"{"completion_tokens":1,"completion_tokens_details":null}"#);
        assert_eq!(vllm, r#"{"completion_tokens":6,"completion_tokens_details":{"reasoning_tokens":4}}"#);
        let sglang = added(thought, r#"{"completion_tokens":1,"reasoning_tokens":0}"#);
        assert_eq!(sglang, r#"{"completion_tokens":6,"reasoning_tokens":4}"#);
    }
}
