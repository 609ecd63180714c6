//! Replacements in a text that stays as it is everywhere else.

use bytes::{BufMut as _, Bytes, BytesMut};
use std::borrow::Cow;
use std::ops::Range;

/// Replacements, in any order; no two of them overlap.
#[derive(Default)]
pub struct Edits<'a>(Vec<(Range<usize>, Cow<'a, str>)>);

impl<'a> Edits<'a> {
    /// Puts `text` in the place of `at`.
    pub fn replace(&mut self, at: Range<usize>, text: impl Into<Cow<'a, str>>) {
        self.0.push((at, text.into()));
    }

    /// Puts `text` before the byte at `at`; of several at one place the first comes first.
    pub fn insert(&mut self, at: usize, text: impl Into<Cow<'a, str>>) {
        self.replace(at..at, text);
    }

    /// `source` with everything replaced.
    pub fn apply(mut self, source: &[u8]) -> Bytes {
        self.0.sort_by_key(|(at, _)| at.start);
        let added: usize = self.0.iter().map(|(_, text)| text.len()).sum();
        let mut out = BytesMut::with_capacity(source.len() + added);
        let mut done = 0;
        for (at, text) in &self.0 {
            out.put_slice(&source[done..at.start]);
            out.put_slice(text.as_bytes());
            done = at.end;
        }
        out.put_slice(&source[done..]);
        out.freeze()
    }
}

/// Where `part`, which was borrowed from `whole`, stands in it.
pub fn place(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// `text` as the inside of a JSON string.
pub fn escaped(text: &str) -> String {
    let mut quoted = serde_json::Value::from(text).to_string();
    quoted.pop();
    quoted.remove(0);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_not_replaced_stays() {
        let source = r#"{ "a" : 1,"b":2 }"#;
        let mut edits = Edits::default();
        edits.replace(14..15, "3");
        edits.insert(1, r#""x":0,"#);
        edits.insert(1, r#""y":0,"#);
        edits.replace(8..9, "");
        assert_eq!(edits.apply(source.as_bytes()), r#"{"x":0,"y":0, "a" : ,"b":3 }"#.as_bytes());
    }

    #[test]
    fn a_text_is_escaped_for_the_inside_of_a_string() {
        assert_eq!(escaped("a\"b\\\n\u{1}é"), r#"a\"b\\\n\u0001é"#);
    }
}
