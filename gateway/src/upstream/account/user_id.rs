//! The `user_id` that DeepSeek separates context caches, scheduling and limits by, made of the consumer's name.
//!
//! It is put into the body where the body has none, as bytes: nothing is parsed and written again. A caller's own stays.

use crate::pipeline::endpoint::Endpoint;
use crate::upstream::splice::Splice;
use deepseek_config::keys::sha256_hex;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// How many hexadecimal digits of the hash are sent: 128 bits, more than enough to tell consumers apart.
const DIGITS: usize = 32;

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow, default, deserialize_with = "as_written")]
    user_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    user: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default, deserialize_with = "as_written")]
    user_id: Option<&'a RawValue>,
}

/// A `null` too is something that is written, and has to be replaced.
fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What a consumer is called towards DeepSeek: the same in every pod and for every account, and telling nothing of it.
#[must_use]
pub fn name_of(consumer: &str) -> String {
    let mut name = sha256_hex(consumer.as_bytes());
    name.truncate(DIGITS);
    name
}

/// What has to be put into `body` so that it names `consumer`; `None` where it names somebody already, or the endpoint
/// has no place for it. The body is a JSON object: it was checked before.
#[must_use]
pub fn splice(endpoint: Endpoint, body: &[u8], consumer: &str) -> Option<Splice> {
    let top: Top<'_> = serde_json::from_slice(body).ok()?;
    let name = name_of(consumer);
    match endpoint {
        Endpoint::Chat | Endpoint::BetaChat => set(body, 0, top.user_id, "user_id", &format!("\"{name}\"")),
        Endpoint::Responses => set(body, 0, top.user, "user", &format!("\"{name}\"")),
        Endpoint::Messages => match top.metadata.filter(|metadata| metadata.get().starts_with('{')) {
            None => set(body, 0, top.metadata, "metadata", &format!("{{\"user_id\":\"{name}\"}}")),
            Some(metadata) => {
                let inner: Metadata<'_> = serde_json::from_str(metadata.get()).ok()?;
                let start = place(body, metadata);
                set(
                    &body[..start + metadata.get().len()],
                    start,
                    inner.user_id,
                    "user_id",
                    &format!("\"{name}\""),
                )
            }
        },
        Endpoint::Completions | Endpoint::Embeddings | Endpoint::Models => None,
    }
}

/// Gives the object that begins at or after `start` a field; in the place of a `null`, or in front of its other fields.
fn set(body: &[u8], start: usize, held: Option<&RawValue>, field: &str, value: &str) -> Option<Splice> {
    if let Some(held) = held {
        let at = place(body, held);
        let null = held.get() == "null";
        return null.then(|| Splice { at: at..at + held.get().len(), with: value.to_owned().into() });
    }
    let inside = start + body[start..].iter().position(|byte| *byte == b'{')? + 1;
    let is_empty = body[inside..].trim_ascii_start().starts_with(b"}");
    let comma = if is_empty { "" } else { "," };
    Some(Splice { at: inside..inside, with: format!("\"{field}\":{value}{comma}").into() })
}

/// Where a value stands in the body that it was read from.
fn place(body: &[u8], value: &RawValue) -> usize {
    value.get().as_ptr().addr() - body.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spliced(endpoint: Endpoint, body: &str) -> Option<String> {
        let Splice { at, with } = splice(endpoint, body.as_bytes(), "default/team-a")?;
        Some(format!("{}{}{}", &body[..at.start], std::str::from_utf8(&with).unwrap(), &body[at.end..]))
    }

    #[test]
    fn a_body_that_names_nobody_names_the_consumer_and_is_else_the_same_bytes() {
        let name = name_of("default/team-a");
        assert_eq!(name.len(), 32);
        let body = r#" { "model":"m", "messages":[{"user_id":"nested"}],  "seed":1.0e0 }"#;
        for endpoint in [Endpoint::Chat, Endpoint::BetaChat] {
            let sent = spliced(endpoint, body).expect("a splice");
            assert_eq!(sent, body.replacen('{', &format!("{{\"user_id\":\"{name}\","), 1));
        }
        let sent = spliced(Endpoint::Responses, r#"{"model":"m","input":"x"}"#).expect("a splice");
        assert_eq!(sent, format!(r#"{{"user":"{name}","model":"m","input":"x"}}"#));
    }

    #[test]
    fn anthropics_place_for_it_is_inside_of_metadata() {
        let name = name_of("default/team-a");
        for (metadata, expected) in [
            (None, json!({"user_id": name})),
            (Some("null"), json!({"user_id": name})),
            (Some("{}"), json!({"user_id": name})),
            (Some(r#"{ "a" : 1 }"#), json!({"user_id": name, "a": 1})),
            (Some(r#"{"user_id":null,"a":1}"#), json!({"user_id": name, "a": 1})),
        ] {
            let metadata = metadata.map(|text| format!(r#","metadata": {text}"#)).unwrap_or_default();
            let body = format!(r#"{{"model":"m"{metadata},"messages":[{{}}]}}"#);
            let sent = spliced(Endpoint::Messages, &body).expect("a splice");
            let sent: Value = serde_json::from_str(&sent).unwrap_or_else(|error| panic!("{error}: {sent}"));
            assert_eq!(sent["metadata"], expected, "{body}");
            assert_eq!(sent["messages"], json!([{}]));
        }
    }

    #[test]
    fn a_name_that_is_there_stays() {
        for (endpoint, body) in [
            (Endpoint::Chat, r#"{"user_id":"mine","messages":[]}"#),
            (Endpoint::Responses, r#"{"user":"mine","input":""}"#),
            (Endpoint::Messages, r#"{"metadata":{"user_id":"mine"}}"#),
            (Endpoint::Messages, r#"{"metadata":"odd"}"#),
            (Endpoint::Completions, r#"{"prompt":"x"}"#),
            (Endpoint::Embeddings, r#"{"input":"x"}"#),
            (Endpoint::Chat, r#"{"user_id":"a","user_id":"b"}"#),
        ] {
            assert_eq!(splice(endpoint, body.as_bytes(), "default/team-a"), None, "{body}");
        }
    }

    #[test]
    fn names_differ_by_consumer_and_tell_nothing() {
        assert_ne!(name_of("default/team-a"), name_of("default/team-b"));
        assert!(name_of("default/team-a").bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
