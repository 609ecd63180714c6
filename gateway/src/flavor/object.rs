//! A JSON object as places in a body, and changes to it as splices.

use crate::upstream::splice::Splice;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::{self, Write as _};
use std::ops::Range;

/// An object in a body. Names are compared as they are written: nobody writes these with escapes.
pub struct Object<'a> {
    /// Behind its opening brace.
    inside: usize,
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    /// With its quotes.
    name: &'a str,
    value: &'a RawValue,
    /// Where the name begins.
    start: usize,
    /// Where the value ends.
    end: usize,
}

struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(All)
    }
}

impl<'a> Object<'a> {
    /// The object that `body` is.
    pub fn of(body: &'a [u8]) -> Option<Self> {
        Self::within(body, body)
    }

    /// The object that `value`, a part of `body`, is.
    pub fn at(body: &'a [u8], value: &'a RawValue) -> Option<Self> {
        Self::within(body, value.get().as_bytes())
    }

    /// The object that `part`, which was borrowed from `body`, is.
    pub fn within(body: &'a [u8], part: &'a [u8]) -> Option<Self> {
        let Pairs(pairs) = serde_json::from_slice(part).ok()?;
        let opening = part.iter().position(|byte| *byte == b'{')?;
        let fields = pairs.into_iter().map(|(name, value)| Field {
            name: name.get(),
            value,
            start: place(body, name.get()).start,
            end: place(body, value.get()).end,
        });
        let inside = part.as_ptr().addr() - body.as_ptr().addr() + opening + 1;
        Some(Self { inside, fields: fields.collect() })
    }

    /// A field's value as it is written; of several the last one, which is the one that servers read.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.named(name).next_back().map(|field| field.value)
    }

    /// The same, where it is not `null`.
    pub fn given(&self, name: &str) -> Option<&'a RawValue> {
        self.get(name).filter(|value| value.get() != "null")
    }

    /// The text of a field that is a string without escapes.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        unquoted(self.get(name)?.get())
    }

    /// Whether it has no other fields than these.
    pub fn holds_only(&self, names: &[&str]) -> bool {
        self.fields.iter().all(|field| names.iter().any(|name| field.is(name)))
    }

    fn named(&self, name: &str) -> impl DoubleEndedIterator<Item = &Field<'a>> {
        self.fields.iter().filter(move |field| field.is(name))
    }
}

impl Field<'_> {
    fn is(&self, name: &str) -> bool {
        unquoted(self.name) == Some(name)
    }

    fn value_at(&self) -> Range<usize> {
        self.end - self.value.get().len()..self.end
    }
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// Where a part of the body stands in it.
fn place(body: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - body.as_ptr().addr();
    start..start + part.len()
}

/// Changes to one object.
pub struct Edit<'o, 'a> {
    object: &'o Object<'a>,
    removed: Vec<bool>,
    added: String,
    splices: Vec<Splice>,
}

impl<'o, 'a> Edit<'o, 'a> {
    /// None yet.
    pub fn new(object: &'o Object<'a>) -> Self {
        let removed = vec![false; object.fields.len()];
        Self { object, removed, added: String::new(), splices: Vec::new() }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        for (field, removed) in self.object.fields.iter().zip(&mut self.removed) {
            *removed |= field.is(name);
        }
    }

    /// Gives a field a value, wherever it stands; nothing happens where it has that value.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.object.named(name).next_back() {
            Some(field) if field.value.get() == value => {}
            Some(field) => {
                self.splices.push(Splice { at: field.value_at(), with: value.to_owned().into() });
            }
            None => {
                let comma = if self.added.is_empty() { "" } else { "," };
                let _ = write!(self.added, "{comma}\"{name}\":{value}");
            }
        }
    }

    /// Gives a field another name.
    pub fn rename(&mut self, name: &str, to: &str) {
        if let Some(field) = self.object.named(name).next_back() {
            let at = field.start..field.start + field.name.len();
            self.splices.push(Splice { at, with: format!("\"{to}\"").into() });
        }
    }

    /// Adds changes of what is inside of a field.
    pub fn extend(&mut self, splices: Vec<Splice>) {
        self.splices.extend(splices);
    }

    /// All of them, as splices of the body.
    pub fn finish(mut self) -> Vec<Splice> {
        let fields = &self.object.fields;
        let first_kept = self.removed.iter().position(|removed| !removed);
        for (at, _) in self.removed.iter().enumerate().filter(|(_, removed)| **removed) {
            // With the comma in front of it, or behind it where nothing is left in front.
            let gone = match first_kept {
                Some(first) if first < at => fields[at - 1].end..fields[at].end,
                _ => fields[at].start..fields.get(at + 1).map_or(fields[at].end, |next| next.start),
            };
            self.splices.push(Splice { at: gone, with: bytes::Bytes::new() });
        }
        if !self.added.is_empty() {
            if first_kept.is_some() {
                self.added.push(',');
            }
            let at = self.object.inside..self.object.inside;
            self.splices.push(Splice { at, with: self.added.into() });
        }
        self.splices
    }
}
