//! Every property is documented and bounded: `kubectl explain` answers, CEL rules stay within the API server's budget,
//! and no object grows without limit.

use serde_json::{Map, Value};

/// Largest definition that still leaves room below etcd's limit.
const MAX_BYTES: usize = 256 << 10;

fn schemas() -> impl Iterator<Item = (String, Value)> {
    deepseek_crds::all().into_iter().map(|(_, definition)| {
        let kind = definition.spec.names.kind.clone();
        let version = serde_json::to_value(&definition.spec.versions[0]).unwrap();
        (kind, version["schema"]["openAPIV3Schema"].clone())
    })
}

/// Calls `check` with every schema node, its path and whether it is a named property.
fn walk(path: &str, node: &Value, named: bool, check: &mut impl FnMut(&str, &Map<String, Value>, bool)) {
    let Some(object) = node.as_object() else { return };
    check(path, object, named);
    for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, true, check);
    }
    if let Some(items) = object.get("items") {
        walk(&format!("{path}[]"), items, false, check);
    }
    if let Some(values) = object.get("additionalProperties") {
        walk(&format!("{path}{{}}"), values, false, check);
    }
}

fn failures(problem: impl Fn(&Map<String, Value>, bool) -> Option<&'static str>) -> Vec<String> {
    let mut failures = Vec::new();
    for (kind, schema) in schemas() {
        walk(&kind, &schema, true, &mut |path, node, named| {
            failures.extend(problem(node, named).map(|problem| format!("{path} {problem}")));
        });
    }
    failures
}

fn has(node: &Map<String, Value>, keys: &[&str]) -> bool {
    keys.iter().any(|key| node.contains_key(*key))
}

#[test]
fn every_property_is_described_as_a_sentence() {
    let failures = failures(|node, named| {
        let text = node.get("description").and_then(Value::as_str).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        match (named, text.is_empty()) {
            (true, true) => Some("has no description"),
            (true, false) if !first.ends_with(['.', '?']) => Some("has a description without a full stop"),
            _ => None,
        }
    });
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_value_is_bounded() {
    let failures = failures(|node, _| match node.get("type").and_then(Value::as_str) {
        Some("string") if !has(node, &["maxLength", "enum", "format"]) => {
            Some("is a string without maxLength")
        }
        Some("array") if !has(node, &["maxItems"]) => Some("is an array without maxItems"),
        Some("array") if !has(node, &["x-kubernetes-list-type"]) => Some("is an array without list type"),
        Some("integer") if !(has(node, &["minimum"]) && has(node, &["maximum"])) => {
            Some("is an integer without minimum and maximum")
        }
        Some("object") if has(node, &["additionalProperties"]) && !has(node, &["maxProperties"]) => {
            Some("is a map without maxProperties")
        }
        Some("object") if !has(node, &["properties", "additionalProperties"]) => {
            Some("is an object of anything")
        }
        Some("string" | "array" | "integer" | "object" | "boolean") => None,
        _ if has(node, &["x-kubernetes-int-or-string"]) && has(node, &["maxLength"]) => None,
        _ => Some("has no type"),
    });
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn nothing_is_used_that_the_api_server_or_other_languages_stumble_over() {
    let failures = failures(|node, _| {
        let format = node.get("format").and_then(Value::as_str).unwrap_or_default();
        match () {
            () if format.starts_with("uint") => Some("has an unsigned format"),
            () if has(node, &["nullable"]) => Some("is nullable"),
            () if has(node, &["oneOf", "allOf", "not", "default", "title", "$ref"]) => {
                Some("holds a keyword that structural schemas or server-side apply do not need")
            }
            () => None,
        }
    });
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_value_of_an_enum_is_explained() {
    let failures = failures(|node, _| {
        let values = node.get("enum").and_then(Value::as_array)?;
        let text = node.get("description").and_then(Value::as_str).unwrap_or_default();
        // Kubernetes' own enums are explained by Kubernetes.
        let foreign = ["True", "Equal", "NoSchedule"].iter().any(|value| values[0] == *value);
        let explained =
            values.iter().all(|v| text.contains(&format!("\n- `{}`: ", v.as_str().unwrap_or_default())));
        (!foreign && !explained).then_some("does not explain each of its values")
    });
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_schemas_alone_are_those_of_the_definitions() {
    for ((kind, in_definition), (alone_kind, alone)) in schemas().zip(deepseek_crds::schemas()) {
        // The definition holds numbers as floats.
        let fields = |schema: &Value| schema["properties"]["spec"]["properties"].as_object().map(Map::len);
        assert_eq!((kind.as_str(), fields(&in_definition)), (alone_kind, fields(&alone)));
    }
}

#[test]
fn every_definition_is_small() {
    for (file, _) in deepseek_crds::all() {
        let bytes = deepseek_crds::yaml(file).unwrap().len();
        assert!(bytes < MAX_BYTES, "{file} has {bytes} bytes");
    }
}

#[test]
fn every_kind_has_short_name_category_columns_and_status() {
    for (file, definition) in deepseek_crds::all() {
        let names = &definition.spec.names;
        let version = &definition.spec.versions[0];
        assert_eq!(names.short_names.as_ref().map(Vec::len), Some(1), "{file}");
        assert_eq!(names.categories.as_deref(), Some(&["deepseek".to_owned()][..]), "{file}");
        let columns = version.additional_printer_columns.as_deref().unwrap_or_default();
        for column in ["Ready", "Age", "Reason"] {
            assert!(columns.iter().any(|c| c.name == column), "{file} has no column {column}");
        }
        assert!(version.subresources.as_ref().is_some_and(|s| s.status.is_some()), "{file}");
    }
}
