//! Holds a document against the definition of its kind, as the API server would.
//!
//! Of OpenAPI just what the definitions use; `every_keyword_is_understood` fails when they use more. A general validator
//! would not do: structural schemas drop nulls, forbid nothing by themselves, and have list types.
//!
//! The CEL rules are not evaluated: the compiler refuses whatever they refuse (`rules` proves it), says more, and parsing
//! CEL would take longer than all the rest of a gateway's start.

use super::place::Place;
use super::words;
use crate::document::Kind;
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// What is wrong with `document`, which holds no nulls, as a resource of `kind`; empty when nothing is.
pub(super) fn problems(kind: Kind, document: &Value) -> Vec<String> {
    let Some(definition) = DEFINITIONS.get(kind.as_str()) else { return Vec::new() };
    let mut problems = Vec::new();
    definition.check(Place::root(""), document, &mut problems);
    problems
}

static DEFINITIONS: LazyLock<BTreeMap<&str, Node>> = LazyLock::new(|| {
    let mut patterns = Patterns::new();
    let mut definition = |schema: &Value| {
        let mut node = Node::new(schema, &mut patterns);
        // These have no schema of ours.
        for field in ["apiVersion", "kind", "metadata"] {
            node.properties.insert(field.to_owned(), Node::default());
        }
        node
    };
    deepseek_crds::schemas().into_iter().map(|(kind, schema)| (kind, definition(&schema))).collect()
});

/// The definitions use few patterns many times.
type Patterns = HashMap<String, Option<Regex>>;

/// A schema, read once.
#[derive(Default)]
struct Node {
    type_: Option<String>,
    int_or_string: bool,
    choices: Vec<String>,
    pattern: Option<(String, Regex)>,
    range: Range,
    length: Range,
    count: Range,
    entries: Range,
    properties: BTreeMap<String, Node>,
    required: Vec<String>,
    items: Option<Box<Node>>,
    values: Option<Box<Node>>,
    /// In a list of type `map`, the fields no two items agree in; in one of type `set`, empty.
    unique: Option<Vec<String>>,
}

#[derive(Clone, Copy, Default)]
struct Range {
    min: Option<f64>,
    max: Option<f64>,
}

impl Node {
    fn new(schema: &Value, patterns: &mut Patterns) -> Self {
        let text = |key: &str| schema[key].as_str().map(str::to_owned);
        let texts = |key: &str| -> Vec<String> {
            let items = schema[key].as_array().into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let range = |min: &str, max: &str| Range { min: schema[min].as_f64(), max: schema[max].as_f64() };
        let pattern = text("pattern").and_then(|pattern| {
            let regex = patterns.entry(pattern.clone()).or_insert_with(|| Regex::new(&pattern).ok());
            Some((pattern, regex.clone()?))
        });
        let mut inner = |key: &str| {
            let inner = schema.get(key).filter(|inner| inner.is_object())?;
            Some(Box::new(Self::new(inner, patterns)))
        };
        let (items, values) = (inner("items"), inner("additionalProperties"));
        let properties = schema["properties"].as_object().into_iter().flatten();
        let properties = properties.map(|(name, schema)| (name.clone(), Self::new(schema, patterns)));
        Self {
            type_: text("type"),
            int_or_string: schema["x-kubernetes-int-or-string"] == true,
            choices: texts("enum"),
            pattern,
            range: range("minimum", "maximum"),
            length: range("minLength", "maxLength"),
            count: range("minItems", "maxItems"),
            entries: range("minProperties", "maxProperties"),
            properties: properties.collect(),
            required: texts("required"),
            items,
            values,
            unique: matches!(schema["x-kubernetes-list-type"].as_str(), Some("map" | "set"))
                .then(|| texts("x-kubernetes-list-map-keys")),
        }
    }

    fn check(&self, place: Place<'_>, value: &Value, problems: &mut Vec<String>) {
        // A unit that was forgotten: quotes alone would not help.
        if let (Value::Number(number), Some("string")) = (value, self.type_.as_deref())
            && let Some(problem) = self.wrong_form(&number.to_string())
        {
            problems.push(format!("{place}: {problem}."));
            return;
        }
        if let Some(expected) = self.mismatch(value) {
            // The value is not shown: a key that stands where a reference should be is a common mistake.
            problems.push(format!("{place}: is {}, but must be {expected}.", words::type_of(value)));
            return;
        }
        match value {
            Value::Object(fields) => self.check_object(place, fields, problems),
            Value::Array(items) => self.check_array(place, items, problems),
            Value::String(text) => self.check_text(place, text, problems),
            Value::Number(number) => {
                let value = number.as_f64().unwrap_or_default();
                self.range.check(place, value, &format!("{number} is out of range"), "", problems);
            }
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn mismatch(&self, value: &Value) -> Option<&'static str> {
        if self.int_or_string {
            return (!(value.is_string() || value.is_number())).then_some("a number or text");
        }
        let (fits, expected) = match self.type_.as_deref()? {
            "object" => (value.is_object(), "an object"),
            "array" => (value.is_array(), "a list"),
            "string" => (value.is_string(), "text (put it in quotes)"),
            "boolean" => (value.is_boolean(), "true or false"),
            "integer" => (value.is_i64() || value.is_u64(), "a whole number"),
            _ => (true, ""),
        };
        (!fits).then_some(expected)
    }

    fn check_object(
        &self,
        place: Place<'_>,
        fields: &serde_json::Map<String, Value>,
        problems: &mut Vec<String>,
    ) {
        self.entries.check(place, len(fields.len()), &format!("has {} entries", fields.len()), "", problems);
        for (name, value) in fields {
            let place = place.field(name);
            match self.properties.get(name).or(self.values.as_deref()) {
                Some(node) => node.check(place, value, problems),
                None if self.properties.is_empty() => {}
                None => problems.push(format!("{place}: there is no such field. {}", self.hint(name))),
            }
        }
        // Last: a field that is missing is mostly one that was misspelt.
        for name in self.required.iter().filter(|name| !fields.contains_key(*name)) {
            problems.push(format!("{}: is missing. Set it.", place.field(name)));
        }
    }

    fn hint(&self, name: &str) -> String {
        let known = self.properties.keys().map(String::as_str);
        match words::nearest(name, known.clone()) {
            Some(field) => format!("Did you mean {field}?"),
            None => format!("There are {}; check spelling and indentation.", words::or(known)),
        }
    }

    fn check_array(&self, place: Place<'_>, items: &[Value], problems: &mut Vec<String>) {
        self.count.check(place, len(items.len()), &format!("holds {} items", items.len()), "", problems);
        for (index, item) in items.iter().enumerate() {
            if let Some(node) = &self.items {
                node.check(place.item(index), item, problems);
            }
            let Some(keys) = &self.unique else { continue };
            let key = |item: &Value| match keys.as_slice() {
                [] => vec![item.clone()],
                keys => keys.iter().map(|key| item[key].clone()).collect(),
            };
            if items[..index].iter().any(|earlier| key(earlier) == key(item)) {
                let what =
                    if keys.is_empty() { "the value".to_owned() } else { format!("the {}", keys.join(", ")) };
                problems
                    .push(format!("{}: {what} stands here twice. Remove or change one.", place.item(index)));
            }
        }
    }

    fn check_text(&self, place: Place<'_>, text: &str, problems: &mut Vec<String>) {
        if !self.choices.is_empty() {
            let known = self.choices.iter().map(String::as_str);
            if known.clone().all(|choice| choice != text) {
                let hint = match words::nearest(text, known.clone()) {
                    Some(choice) => format!("Did you mean {choice}?"),
                    None => format!("Use {}.", words::or(known)),
                };
                problems.push(format!("{place}: {text:?} is not one of its values. {hint}"));
            }
            return;
        }
        let length = text.chars().count();
        if self.length.check(place, len(length), &format!("has {length} characters"), " characters", problems)
            && let Some(problem) = self.wrong_form(text)
        {
            problems.push(format!("{place}: {problem}."));
        }
    }

    fn wrong_form(&self, text: &str) -> Option<String> {
        let (pattern, _) = self.pattern.as_ref().filter(|(_, regex)| !regex.is_match(text))?;
        let words = words::pattern(pattern).unwrap_or("does not have the form that is asked for");
        // What is no base URL may hold a password.
        let shown = if pattern.starts_with("^http") { String::new() } else { format!("{text:?} ") };
        Some(format!("{shown}{words}"))
    }
}

impl Range {
    /// Tells a value out of the range, and returns whether it is in it.
    fn check(self, place: Place<'_>, value: f64, what: &str, unit: &str, problems: &mut Vec<String>) -> bool {
        let fits = self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max);
        if !fits {
            let use_ = match (self.min, self.max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, max) => format!("at most {}", max.unwrap_or_default()),
            };
            problems.push(format!("{place}: {what}. Use {use_}{unit}."));
        }
        fits
    }
}

#[expect(clippy::cast_precision_loss, reason = "documents are far shorter than 2^52")]
fn len(n: usize) -> f64 {
    n as f64
}

/// A null is no value: the API server drops it.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;
