//! What a client has been sent of an answer: enough for another backend to go on with it.
//!
//! Only whole events are ever sent to a client (the relay holds back the beginning of one), so that a transcript has no
//! half frame, no half character. It reads each event once and remembers text; what it cannot remember truly it gives
//! up, and says why.

use super::chunk::{Choice, Chunk, Delta, Payload, text};
use super::outcome::Outcome;
use super::usage::Reported;
use crate::upstream::finish::{ABORTED, OUT_OF_RESOURCES, gave_up};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// The most that is remembered of an answer, in bytes of text.
const MOST: usize = 4 << 20;
/// Bytes of text that are surely more than one token, on average: a server may send several tokens in an event.
const BYTES_PER_TOKEN: u64 = 8;

/// What has been sent of one answer.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// What every chunk of the answer repeats, once one has been seen.
    pub identity: Option<Identity>,
    /// Whether the client was told the role.
    pub role: bool,
    /// The text.
    pub content: Said,
    /// The reasoning before it.
    pub reasoning: Said,
    /// Whether a finish reason was sent: nothing but the end mark can be missing.
    pub finished: bool,
    /// The prompt as the first backend counted it, where it did: tokens, and how many of them were cache hits.
    pub prompt: Option<(u64, Option<u64>)>,
    /// Why the answer cannot be continued.
    pub obstacle: Option<Outcome>,
}

/// What every chunk of an answer repeats, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `id`
    pub id: Option<Box<str>>,
    /// `created`
    pub created: Option<Box<str>>,
    /// `model`
    pub model: Option<Box<str>>,
    /// `system_fingerprint`
    pub system_fingerprint: Option<Box<str>>,
}

/// A text, and how many tokens it came in.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The text.
    pub text: String,
    /// Tokens of it that a backend counted.
    counted: u64,
    /// Events since.
    events: u64,
    /// Bytes since.
    bytes: u64,
}

impl Said {
    /// Its tokens: an event holds one (or, where events are long, several).
    pub fn tokens(&self) -> u64 {
        self.counted + self.events.max(self.bytes / BYTES_PER_TOKEN)
    }

    fn add(&mut self, text: &str) {
        if !text.is_empty() {
            self.text.push_str(text);
            self.events += 1;
            self.bytes += text.len() as u64;
        }
    }

    fn count(&mut self, tokens: u64) {
        (self.counted, self.events, self.bytes) = (tokens, 0, 0);
    }
}

/// Why an event must not reach the client, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// It is an error.
    Error,
    /// It says that the platform gave the answer up.
    OutOfResources,
}

impl Transcript {
    /// Tokens sent so far.
    pub fn tokens(&self) -> u64 {
        self.content.tokens() + self.reasoning.tokens()
    }

    /// Bytes of text kept.
    pub fn bytes(&self) -> usize {
        self.content.text.len() + self.reasoning.text.len()
    }

    /// Adds one event, which is on its way to the client.
    pub fn add(&mut self, event: &[u8]) {
        if self.obstacle.is_some() {
            return;
        }
        match Payload::of(event) {
            Payload::Nothing | Payload::Done => {}
            Payload::Unreadable => self.give_up(Outcome::Unreadable),
            Payload::Chunk(chunk, _) => self.read(&chunk),
        }
    }

    /// Whether an event breaks the answer off. What it tells of the tokens used is kept; it must not be added.
    pub fn interrupted_by(&mut self, event: &[u8]) -> Option<Interruption> {
        // Told without parsing, as nearly every event is none.
        let holds = |word: &str| memchr::memmem::find(event, word.as_bytes()).is_some();
        let suspect = holds("\"error\"") || holds(OUT_OF_RESOURCES) || holds(ABORTED);
        let Payload::Chunk(chunk, _) = suspect.then(|| Payload::of(event))? else { return None };
        if chunk.is_error() {
            return Some(Interruption::Error);
        }
        let given_up = |choice: &Choice<'_>| choice.finish().is_some_and(gave_up);
        if !chunk.choices.as_ref()?.iter().any(given_up) {
            return None;
        }
        if let Some(reported) = chunk.usage.and_then(Reported::read) {
            self.prompt = self.prompt.or(Some((reported.prompt, reported.hits)));
            let thought =
                reported.reasoning.unwrap_or_else(|| self.reasoning.tokens()).min(reported.completion);
            self.reasoning.count(thought);
            self.content.count(reported.completion - thought);
        }
        Some(Interruption::OutOfResources)
    }

    fn read(&mut self, chunk: &Chunk<'_>) {
        // Azure's word about the prompt, which comes first, has no choices and an empty id.
        if self.identity.is_none() && chunk.choices.as_ref().is_some_and(|choices| !choices.is_empty()) {
            self.identity = Some(Identity::of(chunk));
        }
        for choice in chunk.choices.iter().flatten() {
            if choice.index != 0 {
                return self.give_up(Outcome::Choices);
            }
            self.finished |= choice.finish().is_some();
            if let Some(delta) = &choice.delta
                && let Err(why) = self.hear(delta)
            {
                return self.give_up(why);
            }
        }
        if self.content.text.len() + self.reasoning.text.len() > MOST {
            self.give_up(Outcome::TooLong);
        }
    }

    fn hear(&mut self, delta: &Delta<'_>) -> Result<(), Outcome> {
        if delta.calls() {
            return Err(Outcome::Tools);
        }
        if delta.says_otherwise() {
            return Err(Outcome::Unreadable);
        }
        self.role |= delta.role.is_some();
        self.reasoning.add(&text(delta.thought()).ok_or(Outcome::Unreadable)?);
        self.content.add(&text(delta.content).ok_or(Outcome::Unreadable)?);
        Ok(())
    }

    fn give_up(&mut self, why: Outcome) {
        self.obstacle = Some(why);
        self.content.text = String::new();
        self.reasoning.text = String::new();
    }
}

impl Identity {
    fn of(chunk: &Chunk<'_>) -> Self {
        let json = |value: Option<&RawValue>| value.map(|value| value.get().into());
        Self {
            id: json(chunk.id),
            created: json(chunk.created),
            model: json(chunk.model),
            system_fingerprint: json(chunk.system_fingerprint),
        }
    }

    /// The end of the answer, where the gateway has to supply it: a finish reason and the end mark.
    pub fn end(&self, finish_reason: &str) -> Bytes {
        let mut chunk = String::from("data: {");
        for (field, value) in [
            ("id", &self.id),
            ("created", &self.created),
            ("model", &self.model),
            ("system_fingerprint", &self.system_fingerprint),
        ] {
            if let Some(value) = value {
                let _ = write!(chunk, "\"{field}\":{value},");
            }
        }
        let _ = write!(
            chunk,
            r#""object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":""}},"logprobs":null,"finish_reason":"{finish_reason}"}}]}}"#
        );
        chunk.push_str("\n\ndata: [DONE]\n\n");
        chunk.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: &[&str]) -> Transcript {
        let mut transcript = Transcript::default();
        for chunk in chunks {
            transcript.add(format!("data: {chunk}\n\n").as_bytes());
        }
        transcript
    }

    const OPENING: &str = r#"{"id":"a-1","object":"chat.completion.chunk","created":17,"model":"deepseek-flash","system_fingerprint":null,"choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":""},"finish_reason":null}]}"#;

    #[test]
    fn it_remembers_who_answers_what_was_thought_and_what_was_said() {
        let transcript = of(&[
            OPENING,
            r#"{"id":"a-2","choices":[{"delta":{"content":null,"reasoning_content":"We\n"}}]}"#,
            r#"{"id":"a-2","choices":[{"delta":{"content":"\u00e9","reasoning_content":null}}]}"#,
            r#"{"id":"a-2","choices":[],"usage":null}"#,
            r#"{"id":"a-2","choices":[{"delta":{"content":"t\u00e9","reasoning_content":null}}]}"#,
        ]);
        assert_eq!((transcript.reasoning.text.as_str(), transcript.content.text.as_str()), ("We\n", "été"));
        assert_eq!((transcript.reasoning.tokens(), transcript.content.tokens()), (1, 2));
        assert!(transcript.role && !transcript.finished && transcript.obstacle.is_none());
        let identity = transcript.identity.expect("a chunk was seen");
        assert_eq!(identity.id.as_deref(), Some("\"a-1\""));
        assert_eq!(identity.created.as_deref(), Some("17"));
        assert_eq!(identity.system_fingerprint.as_deref(), Some("null"));
    }

    #[test]
    fn a_chunk_without_choices_does_not_say_who_answers() {
        let filter = r#"{"id":"","model":"","created":0,"choices":[],"prompt_filter_results":[]}"#;
        let identity = of(&[filter, OPENING]).identity.expect("a chunk was seen");
        assert_eq!(identity.id.as_deref(), Some("\"a-1\""));
    }

    #[test]
    fn vllms_name_for_reasoning_is_understood_and_comments_are_nothing() {
        let mut transcript = of(&[r#"{"choices":[{"delta":{"reasoning":"We"}}]}"#]);
        transcript.add(b": keep-alive\n\n");
        transcript.add(b"\n");
        transcript.add(b"data: [DONE]\n\n");
        assert_eq!(transcript.reasoning.text, "We");
        assert!(transcript.obstacle.is_none());
    }

    #[test]
    fn a_long_event_is_more_than_one_token() {
        let said = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "lorem ipsum ".repeat(10));
        assert_eq!(of(&[&said]).tokens(), 15);
    }

    #[test]
    fn what_cannot_be_continued_is_given_up_and_its_text_forgotten() {
        for (chunk, why) in [
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, Outcome::Tools),
            (r#"{"choices":[{"delta":{"function_call":{"name":"x"}}}]}"#, Outcome::Tools),
            (r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#, Outcome::Choices),
            (r#"{"choices":[{"delta":{"refusal":"no"}}]}"#, Outcome::Unreadable),
            (r#"{"choices":[{"delta":{"content":[1]}}]}"#, Outcome::Unreadable),
            ("{broken", Outcome::Unreadable),
        ] {
            let transcript = of(&[OPENING, r#"{"choices":[{"delta":{"content":"so far"}}]}"#, chunk]);
            assert_eq!((transcript.obstacle, transcript.content.text.as_str()), (Some(why), ""), "{chunk}");
        }
        let huge = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(MOST + 1));
        assert_eq!(of(&[&huge]).obstacle, Some(Outcome::TooLong));
    }

    #[test]
    fn errors_and_a_platform_that_gives_up_interrupt_an_answer_and_text_about_them_does_not() {
        let mut transcript = of(&[OPENING, r#"{"choices":[{"delta":{"content":"x"}}]}"#]);
        let mut by = |chunk: &str| transcript.interrupted_by(format!("data: {chunk}\n\n").as_bytes());
        assert_eq!(by(r#"{"error":{"message":"busy"}}"#), Some(Interruption::Error));
        assert_eq!(by(r#"{"object":"error","message":"busy","code":500}"#), Some(Interruption::Error));
        assert_eq!(by(r#"{"error":null,"choices":[{"delta":{"content":"x"}}]}"#), None);
        let said = r#"{"choices":[{"delta":{"content":"\"error\": insufficient_system_resource"}}]}"#;
        assert_eq!(by(said), None);
        let end = r#"{"choices":[{"delta":{"content":""},"finish_reason":"insufficient_system_resource"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":5,"completion_tokens_details":{"reasoning_tokens":3}}}"#;
        assert_eq!(by(end), Some(Interruption::OutOfResources));
        assert_eq!(transcript.prompt, Some((9, Some(4))));
        assert_eq!((transcript.reasoning.tokens(), transcript.content.tokens()), (3, 2), "as counted there");
        assert!(!transcript.finished);
    }
}
