//! Reads the beginning of a conversation out of a request body, and stops there.

use crate::pipeline::endpoint::Endpoint;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};

/// So much of a message's text is looked at, beside its length.
const MAX_TEXT: usize = 16 << 10;
/// So much of a prompt is looked at: what is completed as it is being written changes at its end.
const MAX_PROMPT: usize = 256;
/// So many items of a list of texts or tokens are looked at.
const MAX_ITEMS: usize = 64;

/// Feeds `hasher` with the texts that begin the conversation in `body`. A body that makes no sense feeds less.
pub(super) fn beginning(endpoint: Endpoint, body: &[u8], hasher: &mut DefaultHasher) {
    let mut reader = Reader { hasher, whole_text: endpoint != Endpoint::Completions };
    // What is read is in the hasher; the end of the reading is told as an error.
    let _ = serde_json::Deserializer::from_slice(body).deserialize_map(&mut reader);
}

struct Reader<'h> {
    hasher: &'h mut DefaultHasher,
    /// Whether a text stays as it is in later calls.
    whole_text: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    System,
    Instructions,
    Messages,
    Input,
    Prompt,
    #[serde(other)]
    Other,
}

/// A message of a chat, or an item of a response's input.
#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// A part of a message; images and the like have no text.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

impl Reader<'_> {
    /// A text as it stands in the JSON.
    fn text(&mut self, raw: &str) {
        if self.whole_text {
            self.hasher.write_usize(raw.len());
        }
        let most = if self.whole_text { MAX_TEXT } else { MAX_PROMPT };
        self.hasher.write(&raw.as_bytes()[..raw.len().min(most)]);
    }

    /// A text, or the texts of a list of parts.
    fn content(&mut self, content: &RawValue) {
        let raw = content.get();
        if raw.starts_with('[') {
            let parts = serde_json::from_str::<Vec<Part<'_>>>(raw).unwrap_or_default();
            parts.iter().filter_map(|part| part.text).for_each(|text| self.text(text.get()));
        } else {
            self.text(raw);
        }
    }

    /// Returns whether the turn is the last that counts.
    fn turn(&mut self, turn: &Turn<'_>) -> bool {
        let role = turn.role.as_deref().unwrap_or_default();
        let counts = matches!(role, "system" | "developer" | "user");
        if let Some(content) = turn.content.filter(|_| counts) {
            self.content(content);
        }
        role == "user"
    }
}

fn enough<T, E: de::Error>() -> Result<T, E> {
    Err(E::custom("enough"))
}

/// The body.
impl<'de> Visitor<'de> for &mut Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::System | Field::Instructions => self.content(map.next_value::<&RawValue>()?),
                Field::Messages | Field::Input | Field::Prompt => map.next_value_seed(Turns(self))?,
                Field::Other => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// Messages, items, a prompt or several.
struct Turns<'r, 'h>(&'r mut Reader<'h>);

impl<'de> DeserializeSeed<'de> for Turns<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Turns<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.0.text(text);
        enough()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut items = 0;
        while let Some(item) = seq.next_element::<&RawValue>()? {
            if item.get().starts_with('{') {
                let turn: Turn<'_> = serde_json::from_str(item.get()).map_err(A::Error::custom)?;
                if self.0.turn(&turn) {
                    return enough();
                }
            } else {
                self.0.text(item.get());
                items += 1;
                if items == MAX_ITEMS {
                    return enough();
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(endpoint: Endpoint, body: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        beginning(endpoint, body.as_bytes(), &mut hasher);
        hasher.finish()
    }

    fn chat(messages: &str) -> u64 {
        hash(Endpoint::Chat, &format!(r#"{{"model":"m","messages":[{messages}],"stream":true}}"#))
    }

    const SYSTEM: &str = r#"{"role":"system","content":"Be brief."}"#;
    const USER: &str = r#"{"role":"user","content":"Why is the sky blue?"}"#;

    #[test]
    fn a_conversation_keeps_its_key_as_it_goes_on() {
        let first = chat(&format!("{SYSTEM},{USER}"));
        let later = chat(&format!(
            r#"{SYSTEM},{USER},{{"role":"assistant","content":"Rayleigh."}},{{"role":"user","content":"And red?"}}"#
        ));
        assert_eq!(first, later);
        assert_ne!(first, chat(USER), "another system message");
        assert_ne!(first, chat(&format!(r#"{SYSTEM},{{"role":"user","content":"Why is grass green?"}}"#)));
    }

    #[test]
    fn what_clients_move_about_around_the_text_does_not_count() {
        let marked =
            r#"{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}}]}"#;
        let plain = r#"{"content":[{"text":"Hi","type":"text"}],"role":"user"}"#;
        assert_eq!(chat(marked), chat(plain));
        assert_ne!(chat(plain), chat(&plain.replace("Hi", "Ho")));
    }

    #[test]
    fn each_api_has_its_own_place_for_the_beginning() {
        let messages = |system: &str| {
            hash(Endpoint::Messages, &format!(r#"{{"system":"{system}","messages":[{USER}]}}"#))
        };
        assert_ne!(messages("a"), messages("b"));
        let responses = |input: &str| hash(Endpoint::Responses, &format!(r#"{{"input":{input}}}"#));
        assert_ne!(responses("\"a\""), responses("\"b\""));
        assert_eq!(
            responses(&format!("[{USER}]")),
            responses(&format!(r#"[{USER},{{"role":"assistant","content":[]}},{{"type":"reasoning"}}]"#))
        );
        let embeddings = |input: &str| hash(Endpoint::Embeddings, &format!(r#"{{"input":{input}}}"#));
        assert_ne!(embeddings(r#"["a","b"]"#), embeddings(r#"["a","c"]"#));
        assert_ne!(embeddings("[1,2]"), embeddings("[1,3]"));
    }

    #[test]
    fn a_text_that_is_being_written_keeps_its_key() {
        let prefix = "x".repeat(300);
        let completion = |text: &str| hash(Endpoint::Completions, &format!(r#"{{"prompt":"{text}"}}"#));
        assert_eq!(completion(&prefix), completion(&format!("{prefix} and more")));
        assert_ne!(completion("one"), completion("two"));
    }

    #[test]
    fn nothing_after_the_first_user_message_is_read() {
        let cut = format!(r#"{{"messages":[{SYSTEM},{USER},{{"role":"#);
        assert_eq!(hash(Endpoint::Chat, &cut), chat(&format!("{SYSTEM},{USER}")));
    }

    #[test]
    fn a_body_that_makes_no_sense_is_no_trouble() {
        for body in
            ["", "[]", "{", r#"{"messages":7}"#, r#"{"messages":[[],{"role":7}]}"#, "{\"input\":null}"]
        {
            hash(Endpoint::Chat, body);
        }
    }
}
