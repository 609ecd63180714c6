//! The definitions use nothing that is not understood here.

use super::super::words;
use serde_json::Value;

/// Keywords that are checked, by [`super::Node`] or by the CEL rules, and those that say nothing of validity.
const UNDERSTOOD: [&str; 22] = [
    "type",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-int-or-string",
    "x-kubernetes-validations",
    "anyOf",
    "description",
    "format",
    "minProperties",
];

fn walk(schema: &Value, see: &mut impl FnMut(&Value)) {
    see(schema);
    for property in schema["properties"].as_object().into_iter().flat_map(|map| map.values()) {
        walk(property, see);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key) {
            walk(inner, see);
        }
    }
}

fn specs() -> impl Iterator<Item = Value> {
    deepseek_crds::all().into_iter().map(|(_, definition)| {
        let version = serde_json::to_value(&definition.spec.versions[0]).unwrap();
        version.pointer("/schema/openAPIV3Schema/properties/spec").unwrap().clone()
    })
}

#[test]
fn every_keyword_is_understood() {
    for spec in specs() {
        walk(&spec, &mut |node| {
            for (key, value) in node.as_object().unwrap() {
                assert!(UNDERSTOOD.contains(&key.as_str()), "{key}: {value}");
                assert!(key != "anyOf" || node["x-kubernetes-int-or-string"] == true, "{node}");
            }
        });
    }
}

#[test]
fn every_pattern_has_words() {
    for spec in specs() {
        walk(&spec, &mut |node| {
            if let Some(pattern) = node["pattern"].as_str() {
                assert!(words::pattern(pattern).is_some(), "no words for {pattern}");
                assert!(regex::Regex::new(pattern).is_ok(), "{pattern}");
            }
        });
    }
}
