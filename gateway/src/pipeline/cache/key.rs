//! What makes calls identical: everything that could give one of them another answer.
//!
//! The body counts byte for byte, but for blanks between its tokens: nothing is parsed, so no two numbers or names that
//! differ are ever taken for the same. Two spellings of one request are two requests, which costs a call and no truth.

use crate::pipeline::check::Call;
use crate::snapshot::{Consumer, Route};
use deepseek_crds::v1alpha1::CacheScope;
use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Stands for a call: equal for identical ones, and for no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

/// Headers with this beginning choose another behaviour of the API.
const VARYING: &str = "anthropic-";

impl Key {
    /// The key of a call of `consumer` at `route`. A route with another identity, or with other backends, has other keys:
    /// what was kept before is out of reach.
    #[must_use]
    pub fn of(route: &Route, consumer: &Consumer, call: &Call, headers: &HeaderMap) -> Self {
        let mut fields = Fields(Sha256::new());
        fields.add(route.id.to_string().as_bytes());
        fields.add(route.document.uid.as_bytes());
        for backend in &route.backends {
            fields.add(backend.name.as_bytes());
            fields.add(backend.model.as_deref().unwrap_or_default().as_bytes());
            let uri = backend.uris.get(&call.endpoint).map(ToString::to_string);
            fields.add(uri.unwrap_or_default().as_bytes());
        }
        let scope = route.policy.cache.as_ref().map_or(CacheScope::Consumer, |cache| cache.scope);
        fields.add(if scope == CacheScope::Consumer { consumer.name.as_bytes() } else { b"" });
        fields.add(call.endpoint.as_str().as_bytes());
        for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with(VARYING)) {
            fields.add(name.as_str().as_bytes());
            fields.add(value.as_bytes());
        }
        tokens(&call.body, |run| fields.0.update(run));
        Self(fields.0.finalize().into())
    }

    #[cfg(test)]
    pub(super) fn numbered(number: u8) -> Self {
        Self([number; 32])
    }
}

/// Fields one after the other, each with its length, so that no two lists of fields look the same.
struct Fields(Sha256);

impl Fields {
    fn add(&mut self, field: &[u8]) {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
    }
}

/// The parts of a JSON text without the blanks between its tokens.
fn tokens(json: &[u8], mut each: impl FnMut(&[u8])) {
    let (mut from, mut at) = (0, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = end_of_string(json, at + 1),
            b' ' | b'\n' | b'\r' | b'\t' => {
                each(&json[from..at]);
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    each(&json[from..]);
}

/// Where the string ends whose opening quote is before `at`.
fn end_of_string(json: &[u8], mut at: usize) -> usize {
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// Keys of calls in flight are compared with the time that their callers allow, too: a merged call has one deadline. So they
/// are with whether another route stands in: not every caller may use that.
pub type InFlightKey = (Key, Duration, bool);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn bare(json: &str) -> String {
        let mut out = Vec::new();
        tokens(json.as_bytes(), |run| out.extend_from_slice(run));
        String::from_utf8(out).expect("what was UTF-8 stays UTF-8")
    }

    #[test]
    fn blanks_between_tokens_make_no_difference_and_blanks_in_strings_do() {
        assert_eq!(bare("{ \"a\" : [1,\n\t2] }\r\n"), r#"{"a":[1,2]}"#);
        assert_eq!(bare(r#"{"a": "b c", "d\" e": "\\" , "f": 1}"#), r#"{"a":"b c","d\" e":"\\","f":1}"#);
        assert_eq!(bare(r#"{"a": "cut \"#), r#"{"a":"cut \"#);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            "[ a\"\\\\\t{},:]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ a\"\\\\]{0,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn texts_of_one_value_are_the_same_and_texts_of_two_are_not(one in values(), other in values()) {
            let pretty = serde_json::to_string_pretty(&one).expect("a value can be written");
            prop_assert_eq!(bare(&pretty), one.to_string());
            prop_assert_eq!(bare(&one.to_string()) == bare(&other.to_string()), one == other);
        }
    }
}
