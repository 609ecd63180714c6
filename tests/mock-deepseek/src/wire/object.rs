//! JSON objects that keep the order in which they are written: on this wire the order of keys is part of the shape.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

/// A JSON object under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(Vec<(&'static str, Box<RawValue>)>);

impl Object {
    /// Adds a field at the end.
    #[expect(
        clippy::expect_used,
        reason = "the values are strings, numbers and lists of them: they always serialise"
    )]
    pub(crate) fn put(&mut self, key: &'static str, value: impl Serialize) -> &mut Self {
        self.0.push((key, serde_json::value::to_raw_value(&value).expect("plain data is valid JSON")));
        self
    }

    /// Adds a field if there is a value.
    pub(crate) fn put_some(&mut self, key: &'static str, value: Option<impl Serialize>) -> &mut Self {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    /// Adds another object's fields at the end.
    pub(crate) fn append(&mut self, other: Self) -> &mut Self {
        self.0.extend(other.0);
        self
    }

    /// The text.
    #[expect(clippy::expect_used, reason = "every field was serialised when it was put")]
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("fields are valid JSON")
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// `object! {"id": id, "choices": [choice]}`: an [`Object`] in this order; values are anything that serialises.
macro_rules! object {
    ($($key:literal : $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "an empty object is never changed")]
        let mut object = $crate::wire::object::Object::default();
        $(object.put($key, &$value);)*
        object
    }};
}
pub(crate) use object;

/// JSON's `null`.
pub(crate) const NULL: Option<()> = None;
