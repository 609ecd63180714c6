//! The usage tap: reads token counts from an answer on its way, without parsing the rest of it.
//!
//! Inside a JSON string a quote is escaped, so `"usage"` followed by a colon is always a key. A stream may report
//! usage on its finish chunk (DeepSeek), on a chunk of its own (OpenAI), or in two parts (Anthropic): the largest
//! number of each kind counts.

use memchr::memmem::Finder;
use serde::Deserialize;
use std::sync::LazyLock;

/// Token counts of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cache hits included.
    pub input: u64,
    /// Of these, served from the provider's cache.
    pub cached_input: u64,
    /// Completion tokens, reasoning included.
    pub output: u64,
}

/// Reads usage from the bytes that pass.
#[derive(Default)]
pub struct Tap {
    found: Option<Usage>,
    state: State,
}

#[derive(Default)]
enum State {
    /// Looking for the key; holds the end of the last piece, in case the key is split.
    #[default]
    Searching,
    SearchingAfter(Vec<u8>),
    /// Collecting the object after the key.
    Collecting(Vec<u8>),
}

static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
const KEY_LEN: usize = 7;
/// The most tokens of a kind that one answer is believed to have: far above any model's context.
const MOST: u64 = 1_000_000_000;
/// A usage object is far smaller; a larger one is not one.
const MAX_OBJECT: usize = 8192;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_cache_hit_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

impl Tap {
    /// Looks at a piece that passes.
    pub fn feed(&mut self, piece: &[u8]) {
        match std::mem::take(&mut self.state) {
            State::Searching => self.search(piece),
            State::SearchingAfter(mut held) => {
                held.extend_from_slice(piece);
                self.search(&held);
            }
            State::Collecting(mut held) => {
                held.extend_from_slice(piece);
                self.collect(&held);
            }
        }
    }

    /// What was found.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.found
    }

    fn search(&mut self, mut piece: &[u8]) {
        while let Some(at) = KEY.find(piece) {
            piece = &piece[at + KEY_LEN..];
            let value = piece.trim_ascii_start();
            if value.is_empty()
                || value == b":"
                || value
                    .strip_prefix(b":")
                    .is_some_and(|v| v.trim_ascii_start().first().is_none_or(|c| *c == b'{'))
            {
                self.collect(piece);
                return;
            }
        }
        // Only an opening quote near the end can begin a key that goes on in the next piece.
        let tail = &piece[piece.len().saturating_sub(KEY_LEN - 1)..];
        if let Some(at) = memchr::memchr(b'"', tail) {
            self.state = State::SearchingAfter(tail[at..].to_vec());
        }
    }

    /// `text` is what follows the key.
    fn collect(&mut self, text: &[u8]) {
        let value = text.trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii_start();
        let mut stream = serde_json::Deserializer::from_slice(value).into_iter::<Wire>();
        match stream.next() {
            Some(Ok(wire)) => {
                self.add(&wire);
                let rest = &value[stream.byte_offset()..];
                self.search(rest);
            }
            Some(Err(error)) if !error.is_eof() => self.search(value),
            _ if text.len() > MAX_OBJECT => self.search(value),
            _ => self.state = State::Collecting(text.to_vec()),
        }
    }

    fn add(&mut self, wire: &Wire) {
        let cached = |details: &Option<Details>| details.as_ref().and_then(|d| d.cached_tokens);
        let largest = |values: [Option<u64>; 3]| values.into_iter().flatten().max().unwrap_or(0).min(MOST);
        let held = self.found.get_or_insert_default();
        held.input = held.input.max(largest([wire.prompt_tokens, wire.input_tokens, None]));
        held.output = held.output.max(largest([wire.completion_tokens, wire.output_tokens, None]));
        let hits = largest([
            wire.prompt_cache_hit_tokens.or(wire.cache_read_input_tokens),
            cached(&wire.prompt_tokens_details),
            cached(&wire.input_tokens_details),
        ]);
        held.cached_input = held.cached_input.max(hits);
    }
}

impl Usage {
    /// All tokens.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEEPSEEK: &str = r#"{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9999}"}}],"usage":{"prompt_tokens":339,"completion_tokens":92,"total_tokens":431,"prompt_tokens_details":{"cached_tokens":320},"completion_tokens_details":{"reasoning_tokens":48},"prompt_cache_hit_tokens":320,"prompt_cache_miss_tokens":19}}"#;
    const EXPECTED: Usage = Usage { input: 339, cached_input: 320, output: 92 };

    #[test]
    fn usage_is_found_however_the_bytes_are_split() {
        for split in 0..DEEPSEEK.len() {
            let mut tap = Tap::default();
            tap.feed(&DEEPSEEK.as_bytes()[..split]);
            tap.feed(&DEEPSEEK.as_bytes()[split..]);
            assert_eq!(tap.usage(), Some(EXPECTED), "split at {split}");
        }
        let mut tap = Tap::default();
        DEEPSEEK.as_bytes().iter().for_each(|byte| tap.feed(std::slice::from_ref(byte)));
        assert_eq!(tap.usage(), Some(EXPECTED), "byte by byte");
    }

    #[test]
    fn null_usage_and_usage_in_text_count_for_nothing() {
        let mut tap = Tap::default();
        tap.feed(br#"data: {"choices":[],"usage":null}"#);
        tap.feed(br#"data: {"choices":[{"delta":{"content":"the \"usage\": {\"prompt_tokens\": 5}"}}]}"#);
        assert_eq!(tap.usage(), None);
    }

    #[test]
    fn anthropics_two_parts_are_put_together() {
        let mut tap = Tap::default();
        tap.feed(br#"data: {"type":"message_start","message":{"usage":{"input_tokens":25,"cache_read_input_tokens":5,"output_tokens":1}}}"#);
        tap.feed(br#"data: {"type":"message_delta","delta":{},"usage":{"output_tokens":15}}"#);
        assert_eq!(tap.usage(), Some(Usage { input: 25, cached_input: 5, output: 15 }));
    }
}
