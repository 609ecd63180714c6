//! The reader of token counts: whatever passes, however cut, no text of an answer is taken for its counts, and the
//! counts are found.
#![no_main]

use deepseek_fuzz::pieces;
use deepseek_gateway::pipeline::tap::{Tap, Usage};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const COUNTED: Usage = Usage { input: 339, cached_input: 320, output: 92 };

fuzz_target!(|data: &[u8]| {
    let mut tap = Tap::default();
    for piece in pieces(data) {
        tap.feed(&piece);
    }
    let most = tap.usage().map_or(0, |usage| usage.total().max(usage.cached_input));
    assert!(most <= 2_000_000_000);

    let text = Value::from(String::from_utf8_lossy(data));
    let answer = format!(
        r#"{{"choices":[{{"delta":{{"content":{text}}}}}],"usage":{{"prompt_tokens":339,"completion_tokens":92,"prompt_cache_hit_tokens":320}}}}"#
    );
    let mut bytes = answer.into_bytes();
    // Blanks after the object, the last byte of which says how it is cut.
    bytes.push([b' ', b'\t', b'\n', b'\r'][data.len() % 4]);
    let mut tap = Tap::default();
    for piece in pieces(&bytes) {
        tap.feed(&piece);
    }
    assert_eq!(tap.usage(), Some(COUNTED));
});
