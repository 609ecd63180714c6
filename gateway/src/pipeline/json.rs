//! Whether a JSON object that passes piece by piece has come to its end, told without keeping any of it.

/// Follows the strings and brackets of an object.
#[derive(Debug, Default)]
pub struct Outline {
    kind: Kind,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Only blanks so far.
    #[default]
    Unknown,
    Object,
    /// Something else, which is not followed.
    Other,
}

impl Outline {
    /// Looks at a piece that passes.
    pub fn feed(&mut self, mut piece: &[u8]) {
        if self.kind == Kind::Unknown {
            piece = piece.trim_ascii_start();
            self.kind = match piece.first() {
                None => return,
                Some(b'{') => Kind::Object,
                Some(_) => Kind::Other,
            };
        }
        if self.kind == Kind::Other {
            return;
        }
        while let Some((byte, rest)) = piece.split_first() {
            piece = rest;
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                match byte {
                    b'"' => self.in_string = false,
                    b'\\' => self.escaped = true,
                    _ => piece = &rest[memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())..],
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    /// Whether it is an object of which something is missing.
    #[must_use]
    pub fn is_half(&self) -> bool {
        self.kind == Kind::Object && (self.depth > 0 || self.in_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#" {"a":[{"b":"\"}]\\"}, 1.5e3, "}{"],"é":{}} "#;

    #[test]
    fn an_object_is_half_until_its_last_bracket_however_it_is_split() {
        let last = ANSWER.rfind('}').expect("it ends");
        for end in 2..=ANSWER.len() {
            for split in 0..=end {
                let mut outline = Outline::default();
                outline.feed(&ANSWER.as_bytes()[..split]);
                outline.feed(&ANSWER.as_bytes()[split..end]);
                assert_eq!(outline.is_half(), end <= last, "{end} {split}");
            }
        }
    }

    #[test]
    fn what_is_no_object_is_never_half() {
        for other in ["", "  ", "\x1f\u{8b}{", "text {", "[{"] {
            let mut outline = Outline::default();
            outline.feed(other.as_bytes());
            assert!(!outline.is_half(), "{other:?}");
        }
    }
}
